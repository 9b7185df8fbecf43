"""A customer's mail inside a colleague's: who wrote it, what about, and what it says, from the fields a program puts
above a forward. (One that was attached as it was is surer, and is read like any mail.)"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pqr_mailbot.domain.casework import Forwarded
from pqr_mailbot.domain.leak_guard import addresses_in
from pqr_mailbot.domain.model import Address
from pqr_mailbot.domain.reply_text import ANSWER_ABOVE

_FIELD = re.compile(
    r"[>\s]*\*?(?P<name>De|From|Desde|Asunto|Subject|Assunto|Fecha|Date|Enviado(?: el)?|Enviada(?: em)?|Sent|Data"
    r"|Para|To|CC|C\.C\.|Cc|Responder a|Reply-To)\s*:\*?\s*(?P<value>.*)",
    re.IGNORECASE,
)
_SENDER, _SUBJECT = frozenset({"de", "from", "desde"}), frozenset({"asunto", "subject", "assunto"})
_WHEN = frozenset({"fecha", "date", "enviado", "enviado el", "enviada", "enviada em", "sent", "data"})
BLOCK = 14  # lines within which the fields of a forward stand
SEARCHED = 400  # lines of the mail that are looked at


def inline_forward(text: str, ours: Collection[str]) -> Forwarded | None:
    """The first forwarded mail in a text, or None: a sender with an address and a subject must stand close together.

    A letter from one of `ours`, the office's addresses, that a colleague answers or passes on is none, nor is what
    stands below it: that is the case of somebody else.
    """
    lines = text.partition(ANSWER_ABOVE)[0].split("\n")
    for start, line in enumerate(lines[:SEARCHED]):
        found = _FIELD.fullmatch(line)
        if found and found["name"].lower() in _SENDER and addresses_in(found["value"]):
            fields, end = _block(lines, start)
            if _SUBJECT & fields.keys():
                if addresses_in(found["value"]).intersection(ours):
                    return None
                return _forwarded(fields, _unmarked(lines[end:], line.startswith(">")))
    return None


def _block(lines: list[str], start: int) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    end = start
    for at in range(start, min(len(lines), start + BLOCK)):
        found = _FIELD.fullmatch(lines[at])
        if found:
            fields.setdefault(found["name"].lower(), found["value"].strip())
            end = at + 1
        elif not lines[at].strip(" >\t") and _SUBJECT & fields.keys():
            break
    return fields, end


def _unmarked(lines: list[str], marked: bool) -> str:
    """What was forwarded, without the marks that Apple Mail sets before all of it."""
    below = [re.sub(r"^>\s?", "", line) for line in lines] if marked else lines
    return "\n".join(below).strip("\n")


def _forwarded(fields: dict[str, str], text: str) -> Forwarded:
    said = next(fields[name] for name in fields if name in _SENDER)
    address = max(addresses_in(said), key=said.lower().rindex)
    name = re.sub(r"[<\[(].*", "", said).strip(" \"'*")
    subject = next(value for key, value in fields.items() if key in _SUBJECT)
    when = next((value for key, value in fields.items() if key in _WHEN), "")
    return Forwarded(Address(address, "" if "@" in name else name), subject, text, _instant(when))


def _instant(said: str) -> datetime | None:
    """A date as mail headers have it; those in people's languages are left to the mail that brought the forward."""
    try:
        found = parsedate_to_datetime(said)
    except (ValueError, TypeError):
        return None
    return found.astimezone(UTC) if found.tzinfo else None
