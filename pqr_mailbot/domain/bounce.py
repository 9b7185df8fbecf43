"""What a bounce says, and which letter of ours it may speak about: one that went to a recipient it names.

A bounce is a mail anybody can write. It counts only with two keys at once: an id or token of one of our letters, and
the address that letter was sent to among those it says were not reached. Anything else changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pqr_mailbot.domain.given_id import comparable

Outcome = Literal["hard", "soft", "unknown"]  # given up · still being tried · returned, and it does not say which

_ARRIVED = frozenset({"delivered", "relayed", "expanded"})
_WORST_FIRST: tuple[Outcome, ...] = ("hard", "unknown", "soft")
_NO_SUCH_ADDRESS = ("5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.4.4", "5.2.1")
_NO_SUCH_WORDS = (
    "user unknown", "unknown user", "no such user", "does not exist", "doesn't exist", "not found", "no existe",
    "no mailbox here", "invalid recipient", "host or domain name not found", "recipnotfound", "nosuchuser",
    "desconocid", "no se encontr", "mailbox unavailable", "account is disabled",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BouncedRecipient:
    """One recipient as a bounce speaks of it. `address`: where delivery ended; `original`: as we addressed it, when the
    report names it (RFC 3464 section 2.3.1). `action`: failed, delayed, delivered, relayed, expanded, or "" when it is
    not said. `status`: the code of RFC 3463, "" when none. `diagnostic`: the other server's words, one line."""

    address: str
    action: str = ""
    status: str = ""
    diagnostic: str = ""
    original: str = ""

    @property
    def outcome(self) -> Outcome | None:
        """None: it arrived. RFC 3464 section 2.3.3: `failed` is final whatever the class of the status says, for the
        server has given up; a letter that waited five days in vain (4.4.7) did not arrive either."""
        if self.action in _ARRIVED:
            return None
        if self.action == "failed":
            return "hard"
        if self.action == "delayed":
            return "soft"
        by_class: dict[str, Outcome | None] = {"5": "hard", "4": "soft", "2": None}
        return by_class.get(self.status[:1], "unknown")

    @property
    def no_such_address(self) -> bool:
        """Is the address itself wrong, rather than its mailbox full or our letter unwelcome?"""
        said = self.diagnostic.lower()
        return self.status in _NO_SUCH_ADDRESS or any(words in said for words in _NO_SUCH_WORDS)


@dataclass(frozen=True, slots=True)
class Bounce:
    """A bounce as read. `message_ids` (with angle brackets) and `tokens`: every one found in the report and in what it
    returns of the letter. `subject`: the letter's, "" when it is not returned."""

    recipients: tuple[BouncedRecipient, ...] = ()
    message_ids: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    subject: str = ""


@dataclass(frozen=True, slots=True)
class SentLetter:
    """What the outbox knows a letter by: its row, its token, its Message-ID and those a server gave it instead; and
    which letter it was. `to_customer` False: to one of the office's own people."""

    outbox_id: int
    recipient: str
    token: str
    message_id: str
    aliases: tuple[str, ...] = field(default=())
    letter: str = ""
    reference: str | None = None
    to_customer: bool = False
    about: str = ""
    told: bool = False  # somebody was told already that it came back


def outcome_for(bounce: Bounce, letter: SentLetter) -> Outcome | None:
    """What this bounce says became of the letter; None: it says nothing about it that counts, or that it arrived."""
    found = reading_for(bounce, letter)
    return found.outcome if found else None


def reading_for(bounce: Bounce, letter: SentLetter) -> BouncedRecipient | None:
    """The gravest line of the bounce about this very letter and its recipient, None when the two keys do not meet."""
    ids = {letter.message_id, *letter.aliases}
    said = {*bounce.message_ids, *map(comparable, bounce.message_ids)}
    if letter.token not in bounce.tokens and not ids & said:
        return None
    recipient = letter.recipient.lower()
    about = [one for one in bounce.recipients if recipient in (one.address.lower(), one.original.lower())]
    bad = [(outcome, one) for one in about if (outcome := one.outcome)]
    return min(bad, key=lambda pair: _WORST_FIRST.index(pair[0]))[1] if bad else None


def bounced_letters(bounce: Bounce, letters: Sequence[SentLetter]) -> list[tuple[SentLetter, BouncedRecipient]]:
    """The letters this bounce counts for, each with what is said of its recipient."""
    return [(letter, found) for letter in letters if (found := reading_for(bounce, letter))]


# Where customers have their mail; a domain one slip away from one of these was meant to be it.
_COMMON_DOMAINS = (
    "gmail.com", "hotmail.com", "outlook.com", "yahoo.com", "yahoo.es", "live.com", "icloud.com", "hotmail.es",
    "outlook.es", "msn.com", "une.net.co", "etb.net.co", "misena.edu.co", "unal.edu.co", "yahoo.com.co",
    "protonmail.com", "mail.com", "ymail.com",
)  # fmt: skip


def likely_address(address: str) -> str | None:
    """The address that was probably meant ("gmial.com" → "gmail.com"), None when nothing common is one slip away."""
    local, _, domain = address.lower().rpartition("@")
    if not local or domain in _COMMON_DOMAINS:
        return None
    meant = next((common for common in _COMMON_DOMAINS if _one_slip(domain, common)), None)
    return f"{local}@{meant}" if meant else None


def _one_slip(said: str, meant: str) -> bool:
    """Do they differ by one letter too many, too few, wrong, or by two neighbours exchanged?"""
    if abs(len(said) - len(meant)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(said, meant, strict=False)) if a != b), min(len(said), len(meant)))
    a, b = said[start:], meant[start:]
    return a[1:] == b or a == b[1:] or a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
