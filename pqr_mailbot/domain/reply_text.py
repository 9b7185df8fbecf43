"""What is new in this mail and what is quoted. Spanish mail programs first.

Every line of a mail goes to one of the two sides as it stands: nothing is deleted, and when in doubt a line is new.
Linear: a line is looked at together with at most six neighbours, and lines over 400 characters are no mail header.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

ANSWER_ABOVE = "##- Escriba su respuesta por encima de esta línea -##"  # a letter may carry it: quoted from there on

_LONGEST_HEADER = 400
_WROTE = re.compile(r"^(?:El|En|On|Em)\s.{5,300}?(?:escribi[oó]|wrote|escreveu)\s*:$", re.IGNORECASE)
_WROTE_BEGINS = re.compile(r"^(?:El|En|On|Em)\s", re.IGNORECASE)
_SEPARATOR = re.compile(
    r"^(?:[-_*]{3,}\s*(?:Mensaje original|Original Message|Mensagem original"
    r"|Mensaje reenviado|Forwarded message|Mensagem encaminhada)\b"
    r"|(?:Inicio del mensaje reenviado|Begin forwarded message):)",
    re.IGNORECASE,
)
_RULER = re.compile(r"^[_-]{20,}$")
_FIELD = re.compile(
    r"^\**(De|From|Enviado(?: el)?|Sent|Fecha|Date|Para|To|A|Asunto|Subject|CC|Assunto|Data)\s*:\**(?:\s|$)",
    re.IGNORECASE,
)
_SENT_FIELDS = frozenset({"enviado", "enviado el", "sent"})
_SUBJECT_FIELDS = frozenset({"asunto", "subject", "assunto"})
_DATE = re.compile(r"\d{1,2}[:/]\d{1,2}|\b(?:19|20)\d\d\b")
_ADDRESS = re.compile(r"[^\s<>@]@[^\s<>@]")
_PHONE = re.compile(
    r"^(?:Enviado desde|Sent from|Enviado do meu|(?:Obtener|Obtén|Get) Outlook)\b.{0,60}$", re.IGNORECASE
)

# Not "Cordial saludo" and "Saludos": many letters open with them.
_CLOSING = re.compile(
    r"^(?:muy )?(?:cordialmente|atentamente|atte|respetuosamente|(?:best |kind )?regards|sincerely)\s*[.,:]*$",
    re.IGNORECASE,
)
_SHORT = 60  # characters: names, posts and phone numbers under a closing
_SIGNATURE_LINES = 12
_FOOTER_CUES = tuple(
    re.compile(cue, re.IGNORECASE)
    for cue in (
        r"confidencial|confidential",
        r"destinatario|intended recipient",
        r"(?:este|el presente) (?:mensaje|correo)|this (?:message|e-?mail)",
        r"ley (?:estatutaria )?1581",
        r"datos personales|tratamiento de (?:sus |los )?datos|pol[ií]tica de (?:tratamiento|privacidad)",
        r"aviso legal|por error|antes de imprimir|medio ambiente|elim[ií]nelo",
    )
)
# Whoever asks about their own data writes in the first person; a footer does not.
_FIRST_PERSON = re.compile(
    r"\b(?:mi|mis|me|yo|solicito|exijo|pido|quiero|necesito|revoco|autoric[eé]|deseo)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Parts:
    """A mail's text in two: each holds whole lines of it, in order, without blank lines around them."""

    new: str
    quoted: str


def split(text: str) -> Parts:
    """What the sender wrote now, and what they quoted (signature of a phone included).

    Every line with anything on it is in one of the two. `new` is empty only when `text` is blank: a mail that is
    only a quote is taken as written.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    quoted = _quoted_lines(lines)
    if not any(line.strip() and not is_quoted for line, is_quoted in zip(lines, quoted, strict=True)):
        quoted = [False] * len(lines)
    _mark_phone_signature(lines, quoted)
    return Parts(
        _joined([line for line, is_quoted in zip(lines, quoted, strict=True) if not is_quoted]),
        _joined([line for line, is_quoted in zip(lines, quoted, strict=True) if is_quoted]),
    )


def without_signature(text: str) -> str:
    """`text` (one's own, already split) without the closing, name and legal footer at its end: for reading by
    machine only, since now and then a fact stands there. Never empty unless `text` is blank."""
    lines = _without_footer(text.split("\n"))
    below = 0
    for at in range(len(lines) - 1, 0, -1):  # the first line is never a signature
        line = lines[at].strip()
        if line == "--" or (len(line) <= _SHORT and _CLOSING.match(line)):
            return _joined(lines[:at]) or text
        below += bool(line)
        if below > _SIGNATURE_LINES or len(line) > _SHORT:
            break
    return _joined(lines) or text


def _without_footer(lines: list[str]) -> list[str]:
    """Without the legal paragraphs at the end: never the first paragraph, never one in the first person."""
    starts = [at for at in range(1, len(lines)) if lines[at].strip() and not lines[at - 1].strip()]
    for start in reversed(starts):
        paragraph = " ".join(lines[start:])
        cues = sum(1 for cue in _FOOTER_CUES if cue.search(paragraph))
        if cues < 2 or _FIRST_PERSON.search(paragraph):
            break
        lines = lines[:start]
    return lines


def _quoted_lines(lines: Sequence[str]) -> list[bool]:
    """For each line: is it quoted?"""
    header = next((at for at in range(len(lines)) if _is_header(lines, at)), None)
    if header is None:
        return _quoted_without_header(lines)
    size = _header_size(lines, header)
    below = lines[header + size :]
    marked = _is_marked(lines[header]) or _marks_its_quote(lines, header, below)
    return [
        *_quoted_without_header(lines[:header]),
        *([True] * size),
        *((_is_marked(line) or not line.strip()) if marked else True for line in below),
    ]


def _quoted_without_header(lines: Sequence[str]) -> list[bool]:
    """No program said where the quote begins: blocks of two and more ">" lines are one, unless the mail opens
    with ">": then the sender may mean it."""
    first = next((line for line in lines if line.strip()), "")
    if _is_marked(first):
        return [False] * len(lines)
    marks = [_is_marked(line) for line in lines]
    around = [False, *marks, False]
    return [mark and (around[at] or around[at + 2]) for at, mark in enumerate(marks)]


def _is_marked(line: str) -> bool:
    return line.lstrip(" \t\u200e").startswith(">")


def _bare(line: str) -> str:
    """A line without quote marks, white space and direction marks around it."""
    return line.strip("> \t\r\u200e\u200f\xa0")


def _is_header(lines: Sequence[str], at: int) -> bool:
    """Does a mail program's "here begins the quote" stand at this line?"""
    line = lines[at]
    if len(line) > _LONGEST_HEADER:
        return False
    return (
        ANSWER_ABOVE in line
        or _SEPARATOR.match(_bare(line)) is not None
        or _attribution_size(lines, at) > 0
        or _is_field_block(lines, at)
        or (_RULER.match(line.strip()) is not None and _is_field_block(lines, at + 1))
    )


def _header_size(lines: Sequence[str], at: int) -> int:
    return _attribution_size(lines, at) or 1


def _attribution_size(lines: Sequence[str], at: int) -> int:
    """How many lines the "El … escribió:" that begins here takes (programs wrap it over up to three); 0: none."""
    if not _WROTE_BEGINS.match(_bare(lines[at])):
        return 0
    for size in (1, 2, 3):
        joined = " ".join(_bare(line) for line in lines[at : at + size])
        if len(joined) > _LONGEST_HEADER:
            return 0
        # Without a date or an address it may be the customer's own sentence: "En su carta usted escribió:"
        if _WROTE.match(joined) and (_DATE.search(joined) or _ADDRESS.search(joined)):
            return size
    return 0


def _is_field_block(lines: Sequence[str], at: int) -> bool:
    """Outlook's "De: … Enviado: … Para: … Asunto: …". A customer may list "De: Cali, Para: Tunja, Fecha: …" too, or
    head a letter like that: so a subject must be there, and a time of sending or an address."""
    first = _FIELD.match(_bare(lines[at])) if at < len(lines) else None
    if first is None or first.group(1).lower() not in ("de", "from"):
        return False
    near = [_bare(line[:_LONGEST_HEADER]) for line in lines[at : at + 7]]
    block = [(found.group(1).lower(), line) for line in near if (found := _FIELD.match(line))]
    fields = {name for name, _ in block}
    by_machine = fields & _SENT_FIELDS or any(_ADDRESS.search(line) for _, line in block)
    return len(fields) >= 3 and bool(fields & _SUBJECT_FIELDS) and bool(by_machine)


def _marks_its_quote(lines: Sequence[str], header: int, below: Sequence[str]) -> bool:
    """Did this program put ">" before what it quotes, so that lines without it are answers in between?"""
    if _attribution_size(lines, header):
        return any(_is_marked(line) for line in below)
    return _is_marked(next((line for line in below if line.strip()), ""))


def _mark_phone_signature(lines: Sequence[str], quoted: list[bool]) -> None:
    """Moves "Enviado desde mi iPhone" at the end of what is new over to the quoted side, if anything else is new."""
    new = [at for at, line in enumerate(lines) if line.strip() and not quoted[at]]
    while len(new) > 1 and len(lines[new[-1]]) <= _LONGEST_HEADER and _PHONE.match(lines[new[-1]].strip()):
        at = new.pop()
        quoted[at:] = [True] * (len(lines) - at)  # below it all is quoted or blank


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines).strip("\n") if any(line.strip() for line in lines) else ""
