"""What a template can do with a value: plain facts -> the words, lines and links that a person reads."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from urllib.parse import quote as percent_encoded

from markupsafe import Markup, escape

from pqr_mailbot.domain.reference import find_references
from pqr_mailbot.domain.spanish import STATES, long_date

WIDTH = 72  # columns of the text part
SUBJECT_LENGTH = 80  # characters of a customer's subject that we repeat
NO_SUBJECT = "(sin asunto)"

_BREAKS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Plain text with \\n and tabs as its only controls: no lone surrogate, no mark that turns the direction round."""
    return _CONTROLS.sub("", _BREAKS.sub("\n", text)).encode("utf-8", "ignore").decode("utf-8")


def one_line(text: str) -> str:
    return " ".join(clean(text).split())


# -- what templates can do with a value ----------------------------------------------------------------------------


def clock_name(zone: str) -> str:
    """Whose hour it is, for a customer: `hora de Colombia`."""
    return "hora de Colombia" if zone == "America/Bogota" else f"hora de {zone.rpartition('/')[2].replace('_', ' ')}"


def _size(size: int) -> str:
    """`245 kB`, `3,1 MB`."""
    if size < 1_000_000:
        return f"{max(1, round(size / 1000))} kB" if size else "0 kB"
    return f"{size / 1_000_000:.1f} MB".replace(".", ",")


_VERDICTS = {
    "auto_reply": "respuesta automática",
    "bounce": "devolución",
    "list": "lista de correo",
    "no_reply": "no recibe respuestas",
    "own": "de esta misma mesa",
    "spam": "no deseado",
    "report": "informe automático",
    "receipt": "acuse de lectura",
    "calendar": "invitación",
    "challenge": "pide comprobación",
    "rescan": "correo antiguo",
    "unreadable": "ilegible",
}


def _verdict(verdict: str) -> str:
    return _VERDICTS.get(verdict, verdict)


def _state(state: str) -> str:
    return STATES.get(state, state)


def mailto(address: str, subject: str, body: str = "") -> str:
    """RFC 6068. A plus sign too is encoded: some programs read it as a blank."""
    fields = {"subject": subject, "body": "\r\n".join(body.splitlines())}
    asked = "&".join(f"{name}={percent_encoded(value, safe='')}" for name, value in fields.items() if value)
    return f"mailto:{percent_encoded(address, safe='@')}?{asked}"


def _https(url: str) -> str:
    """The address when a letter may link to it, else ""."""
    return url if url.startswith("https://") else ""


def _fill(text: object, first: str = "", rest: str = "") -> str:
    """One paragraph of the text part. Long words, such as addresses, stay whole."""
    return textwrap.fill(
        " ".join(str(text).split()),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _columns(rows: Sequence[Sequence[str]], colon: str = ":") -> str:
    """Labels and values side by side, values aligned."""
    width = max((len(label) for label, _ in rows), default=0) + len(colon) + 2
    return "\n".join(_fill(value, f"{label + colon:{width}}", " " * width) for label, value in rows)


def _orders_with_help(orders: Sequence[Mapping[str, str]], examples: bool = False) -> list[tuple[str, str]]:
    """What is typed, and what it does; with an example where there is one that shows more than the order itself."""
    typed = [f"{row['order']} {row['arguments']}".strip() for row in orders]
    shown = [row.get("example", "") if examples else "" for row in orders]
    told = [
        f"{row['help']} ({example})" if example not in ("", row["order"]) else row["help"]
        for row, example in zip(orders, shown, strict=True)
    ]
    return list(zip(typed, told, strict=True))


def _quoted(text: str) -> str:
    """A person's words behind "> ", their lines kept apart; only a line too long to read is broken, at a blank."""
    return "\n".join(f"> {piece}" for line in text.strip("\n").split("\n") for piece in _pieces(line))


def _kept(text: str) -> str:
    """A person's words with their lines as they stand; only a line too long to read is broken, at a blank."""
    return "\n".join(piece for line in text.strip("\n").split("\n") for piece in _pieces(line))


def _paragraphs(text: str) -> list[str]:
    return [paragraph for paragraph in re.split(r"\n[^\S\n]*(?:\n[^\S\n]*)+", text.strip("\n")) if paragraph.strip()]


def _pieces(line: str) -> list[str]:
    if len(line) <= WIDTH:
        return [line]
    plain: dict[str, bool] = dict.fromkeys(
        ("expand_tabs", "replace_whitespace", "break_long_words", "break_on_hyphens"), False
    )
    return textwrap.wrap(line, WIDTH, **plain) or [""]  # type: ignore[arg-type]


def _html_lines(text: str) -> Markup:
    """A person's words in HTML with their line breaks and indents, which Outlook loses under `pre-wrap`."""
    lines = (re.sub(r"^ +", lambda blanks: "\u00a0" * len(blanks[0]), line) for line in text.strip("\n").split("\n"))
    return Markup("<br>\n").join(escape(line) for line in lines)


_HYPHENED = re.compile(r"\w+(?:-\w+)+")
_LONGEST_UNBROKEN = 24


def _unbroken(text: str) -> Markup:
    """HTML whose references stay on one line."""
    safe = str(escape(text))
    kept = '<span style="white-space:nowrap;">{}</span>'
    return Markup(_HYPHENED.sub(lambda m: kept.format(m[0]) if len(m[0]) <= _LONGEST_UNBROKEN else m[0], safe))  # noqa: S704  # escaped above


# -- subjects, and other words of strangers that we repeat ---------------------------------------------------------

# What an attacker would have us carry to a forged sender: anything that a mail program makes a link of. A dotted word
# is one too, unless it ends like a file ("factura.pdf"; .zip and .mov are domains as well) or is a sentence's end
# without its blank ("Comí.Como").
_FILE_ENDINGS = (
    "pdf|jpe?g|png|gif|heic|webp|tiff?|bmp|docx?|xlsx?|pptx?|odt|ods|csv|txt|xml|html?|eml|msg|mp[34]|m4a|ogg|opus"
)
_LINK = re.compile(
    r"(?:[a-z0-9+.-]{0,20}://|\bwww\.|\bmailto:"
    rf"|(?<![\w-])(?:[\w.+-]{{1,64}}@)?(?:[\w-]+\.)+(?!(?:{_FILE_ENDINGS})\b(?!\.))"
    r"(?-i:[a-zà-ÿ]|[A-Z](?=[A-Z]))[^\W\d_]+\b)[^\s)\]>]*",
    re.IGNORECASE,
)
_DOTS = re.compile("[\u3002\uff0e\uff61\u2024]")  # what browsers take for the dot of a domain
_ANSWERED = re.compile(
    r"^(?:(?:re|rv|fwd?|res|rm|enc|wg|aw|sv|vs|tr)\s?(?:\[[0-9]{1,3}\]|\([0-9]{1,3}\))?\s?[:：]\s*)+", re.IGNORECASE
)
_EMPTY_BRACKETS = re.compile(r"\[\s*\]|\(\s*\)|<\s*>")
_DASHES = re.compile(r"[\u2010-\u2015\u2043\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d]")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_LOOKED_AT = 1_000  # characters of a name or subject; more would be none


def letter_subject(reference: str, subject: str) -> str:
    """`[PQR-2026-000123] Café vencido`: the case's own reference, the only one, then the customer's subject made safe.

    Without Re: and the like, links, control characters and other references of the same prefix; at most
    SUBJECT_LENGTH characters of it, cut at a word. `reference` "": a letter about no case, the subject alone.
    """
    return f"[{reference}] {plain_subject(subject, reference)}" if reference else plain_subject(subject)


def plain_subject(subject: str, reference: str = "") -> str:
    """The customer's subject made safe as in `letter_subject`, without the tag: the reference stands beside it."""
    text, before = one_line(subject[:_LOOKED_AT]), None
    while text != before:  # taking one thing out may bring another together
        before = text
        # Our own tag as we write it goes first: what is left of a plain answer is what the customer's eyes know.
        text = text.replace(f"[{reference}]", " ") if reference else text
        text = _without_references(text, reference.rsplit("-", 2)[0])
        text = _shortened(_ANSWERED.sub("", _unlinked(text)).lstrip(" :;,|-–—"), SUBJECT_LENGTH)
    return text or NO_SUBJECT


def _without_references(text: str, prefix: str) -> str:
    """Every reference of that prefix taken out, however it is written (see `domain.reference`)."""
    gap = r"[\s\-_./]{0,3}"
    tag = re.compile(rf"[\[(#]*{re.escape(prefix)}{gap}\d{{4}}{gap}\d{{1,9}}[\])]*", re.IGNORECASE)
    while prefix and find_references(text, prefix):
        plain = _DASHES.sub("-", _INVISIBLE.sub("", unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))))
        text = tag.sub(" ", plain)
    return text


def _unlinked(text: str) -> str:
    return " ".join(_EMPTY_BRACKETS.sub(" ", _LINK.sub(" ", _DOTS.sub(".", text))).split())


def _shortened(text: str, length: int) -> str:
    """At most `length` characters, cut at a word where there is one in the second half."""
    if len(text) <= length:
        return text
    cut = text[:length]
    at = cut.rfind(" ")
    return f"{cut[: at if at > length // 2 else length - 1].rstrip()}…"


def repeatable(text: str, length: int = SUBJECT_LENGTH) -> str:
    """A stranger's words fit for an automatic letter: one line, no links, not long."""
    return _shortened(_unlinked(one_line(text[:_LOOKED_AT])), length)


FILTERS = {
    "columns": _columns,
    "fill": _fill,
    "html_lines": _html_lines,
    "https": _https,
    "letter_subject": lambda subject, reference="": letter_subject(reference, subject),
    "kept": _kept,
    "long_date": long_date,
    "mailto": mailto,
    "orders_with_help": _orders_with_help,
    "paragraphs": _paragraphs,
    "plain_subject": plain_subject,
    "quoted": _quoted,
    "repeatable": repeatable,
    "size": _size,
    "state": _state,
    "unbroken": _unbroken,
    "verdict": _verdict,
}
