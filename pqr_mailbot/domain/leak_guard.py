"""What must not reach a customer: looks at an answer before it goes, and names what it found (Spanish).

Other systems sent internal notes and other customers' data out (FreeScout #5138, #5182). A finding holds the mail; the
agent who knows better says #enviar.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from pqr_mailbot.domain.reference import find_references
from pqr_mailbot.domain.spanish import folded

RUN = 8  # words in a row that are no chance
SHORTEST_NOTE = 4  # words of a note that is looked for as a whole
FOOTER = "Correo interno"  # the mark of letters to the office's own people
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"'“”«»]{1,64}@[\w.-]{1,255}\w")
_TOKEN = re.compile(r"pqr\.[a-z2-7]{13}\.[a-z2-7]{16}", re.IGNORECASE)
# What gateways write above a mail that came from outside, as an answer from a telephone or from home may have.
_MAIL = r"\b(?:correo|mensaje|e-?mail|message)\b"
_BANNER = re.compile(
    r"^\W*(?:\[|\(|\*{1,3})\s?(?:externo|external|ext)\b"
    rf"|^\W*(?:caution|warning|precauci[oó]n|advertencia|atenci[oó]n)\s?:(?=.{{0,40}}{_MAIL})"
    rf"|{_MAIL}.{{0,60}}\b(?:from outside|outside of|externo a|fuera de|exterior de) "
    r"(?:the|your|our|la|su|nuestra) (?:organi[sz]a|empresa|compa|entidad)",
    re.IGNORECASE | re.MULTILINE,
)
BANNER_LINES = 6
_WORD = re.compile(r"[^\W_]+")


def addresses_in(text: str) -> frozenset[str]:
    """Every mail address that stands in a text, in lower case."""
    return frozenset(found.lower().rstrip(".") for found in _ADDRESS.findall(text))


def findings(
    text: str,
    *,
    own: Collection[str],
    prefix: str,
    allowed: Collection[str],
    customers: Collection[str],
    staff: Collection[str],
    notes: Sequence[str],
    internal: Sequence[str],
    public: Sequence[str],
) -> Iterator[str]:
    """What in an answer is not the customer's to read; nothing: it may go.

    `own`: the names of this very case. `allowed`: addresses the customer knows. `customers`, `staff`: addresses of
    others that would give somebody away. `notes`: internal notes of the case. `internal`: our letters to colleagues
    about it. `public`: what the customer wrote or was sent, and so may be said to them.
    """
    for reference in find_references(text, prefix):
        if reference not in own:
            yield f"el radicado de otro caso: {reference}"
    for address in sorted(addresses_in(text) - set(allowed)):
        if address in customers:
            yield f"la dirección de otro cliente: {address}"
        elif address in staff:
            yield f"una dirección interna: {address}"
    if banner := _BANNER.search("\n".join(text.lstrip().split("\n")[:BANNER_LINES])):
        yield f"un aviso que puso un servidor de correo: “{banner[0]}”"
    if _TOKEN.search(text):
        yield "la clave de un correo interno"
    if folded(FOOTER) in folded(text):
        yield f"el pie de un correo interno (“{FOOTER}”)"
    yield from _words_of_ours(text, notes, internal, public)


def _words_of_ours(text: str, notes: Sequence[str], internal: Sequence[str], public: Sequence[str]) -> Iterator[str]:
    said = _words(text)
    for note in map(_words, notes):
        size = min(RUN, len(note))
        if size >= SHORTEST_NOTE and (common := _common(said, note, public, size)):
            yield f"palabras de una nota interna: “{common}”"
            break
    for letter in map(_words, internal):
        if common := _common(said, letter, public, RUN):
            yield f"palabras de nuestro correo interno: “{common}”"
            break


def _common(said: Sequence[str], ours: Sequence[str], public: Iterable[str], size: int) -> str | None:
    """The first run of words that an answer shares with what is ours alone. What the customer knows is looked at only
    when there is something to excuse: a case may have a long history."""
    runs = set(_runs(ours, size)).intersection(_runs(said, size))
    for whole in public:
        if not runs:
            return None
        runs.difference_update(_runs(_words(whole), size))
    return next((" ".join(run) for run in _runs(said, size) if run in runs), None)


def _runs(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def _words(text: str) -> list[str]:
    return _WORD.findall(folded(text))
