"""Learned weights: what each feature of a mail says for each type.

The file (data/weights.tsv) is a table: a heading that names the types, then a row a feature (`features` says how one is
written) with its weight for each type; an empty cell is 0. A type's score is what it starts with, `(start)`, and for
each kind of feature the sum of the weights that stand in the mail, divided by the root of how many of that kind it has,
so that a long mail shouts no louder than a short one.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pqr_mailbot.domain import features
from pqr_mailbot.domain.features import Concepts, Place

START = "(start)"
HEADING = "feature"
LOUDEST = 1_000  # of any weight: a score stays a number
LONGEST_SHOWN = 100  # characters of a feature whose row cannot be used

REMEMBERED = 20_000  # rows that some mail had: common ones are read once, and all of them would fill the memory

_NAME = re.compile(r"[a-z][a-z_]*")
_HEADING = re.compile(r"(?:#[^\n]*\n|\n)*([^\n#][^\n]*)(?:\n|$)")  # the first row that is no comment


class WeightsError(ValueError):
    """A row that cannot be used; the message names the line and what was expected."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Words of a mail that spoke for a type, and how loud."""

    words: str
    type: str
    weight: float


@dataclass(frozen=True, slots=True)
class _Row:
    """The weights of one feature, in the order of the types, and the type it speaks for most."""

    weights: tuple[float, ...]
    loudest: int


class _Table:
    """The rows of the file, found by their feature in the text as it stands: as objects of their own they would take
    many times the memory."""

    def __init__(self, text: str) -> None:
        """`text`: rows, blank lines and comments."""
        self._text = text.encode() + b"\n"
        size = 1 << (2 * self._text.count(b"\n")).bit_length()  # at most half full
        self._mask, self._slots = size - 1, array("I", bytes(4 * size))  # open addressing; 0: empty
        start = 0
        while start < len(self._text):
            end = self._text.index(b"\n", start)
            if end > start and self._text[start] != ord("#"):
                tab = self._text.find(b"\t", start, end)
                feature = self._text[start : tab if tab >= 0 else end].decode()
                self._slots[self._slot(feature)] = start + 1
            start = end + 1

    def _slot(self, feature: str) -> int:
        """The slot in which the feature's place stands, plus one; or would stand."""
        at = hash(feature) & self._mask
        if self._slots[at]:
            known = feature.encode("utf-8", "replace")
            while (start := self._slots[at]) and not (
                self._text.startswith(known, start - 1) and self._text[start - 1 + len(known)] in b"\t\n"
            ):
                at = (at + 1) & self._mask
        return at

    def cells(self, feature: str) -> str | None:
        """What stands behind a feature; None: it has no row."""
        if not (start := self._slots[self._slot(feature)]):
            return None
        return self._text[start - 1 : self._text.index(b"\n", start)].decode()[len(feature) + 1 :]

    def features(self) -> Iterator[str]:
        for start in self._slots:
            if start:
                yield self._text[start - 1 : self._text.index(b"\n", start)].partition(b"\t")[0].decode()


@dataclass(frozen=True, slots=True)
class Weights:
    types: tuple[str, ...]
    concepts: Concepts
    _table: _Table
    _rows: dict[str, _Row] = field(default_factory=dict)  # the latest that some mail had

    @classmethod
    def parse(cls, tsv: str, concepts: Concepts) -> Weights:
        """Raises WeightsError for a table without a heading; `prove` reads the rows."""
        text = tsv.removeprefix("\ufeff")
        found = _HEADING.match(text)
        heading = found[1].split("\t") if found else []
        if not found or len(heading) < 3 or heading[0] != HEADING or not all(map(_NAME.fullmatch, heading)):
            raise WeightsError(f"expected a heading '{HEADING}' and the names of the types, divided by tabs")
        if len(set(heading)) < len(heading):
            raise WeightsError("a type stands twice in the heading")
        return cls(tuple(heading[1:]), concepts, _Table(text[found.end() :]))

    def prove(self) -> None:
        """Reads every row. Raises WeightsError naming the first that cannot be used."""
        for feature in sorted(self._table.features()):
            self._row(feature)

    def _row(self, feature: str) -> _Row | None:
        row = self._rows.get(feature)
        if row is None and (cells := self._table.cells(feature)) is not None:
            try:
                weights = tuple(float(cell or 0) for cell in cells.split("\t"))
            except ValueError:
                weights = ()
            if len(weights) != len(self.types) or not all(abs(weight) <= LOUDEST for weight in weights):
                shown = feature[:LONGEST_SHOWN]
                raise WeightsError(
                    f"{shown!r}: expected {len(self.types)} weights from -{LOUDEST} to {LOUDEST}, divided by tabs"
                )
            if len(self._rows) >= REMEMBERED:
                self._rows.clear()
            row = self._rows[feature] = _Row(weights, max(range(len(weights)), key=weights.__getitem__))
        return row

    def score(self, subject: str, text: str) -> tuple[dict[str, float], list[Voice]]:
        """What the mail scores for each type, and the words that spoke for one, loudest first."""
        found = features.read(subject, text, self.concepts)
        start, read = self._row(START), self._rows.get
        sums = list(start.weights) if start else [0.0] * len(self.types)
        heard: dict[tuple[Place, int], float] = defaultdict(float)
        for number_of_kind, kind in enumerate(found.kinds):
            share = features.share(number_of_kind, len(kind))
            known = [(place, row) for feature, place in kind.items() if (row := read(feature) or self._row(feature))]
            for number, column in enumerate(zip(*(row.weights for _, row in known), strict=True)):
                sums[number] += sum(column) * share
            for place, row in known:
                heard[place, row.loudest] += row.weights[row.loudest] * share
        return dict(zip(self.types, sums, strict=True)), self._voices(heard, found.words)

    def _voices(self, heard: Mapping[tuple[Place, int], float], words: list[str]) -> list[Voice]:
        summed: dict[tuple[str, int], float] = defaultdict(float)
        for (place, number), weight in heard.items():
            summed[" ".join(words[place[0] : place[1]]) or "?", number] += weight
        voices = [Voice(text, self.types[number], weight) for (text, number), weight in summed.items() if weight > 0]
        return sorted(voices, key=lambda voice: (-voice.weight, voice.words, voice.type))


def written(types: Sequence[str], rows: Iterable[tuple[str, Sequence[float]]]) -> str:
    """A table of features and their weights as the text of the file."""
    lines = ["\t".join((HEADING, *types))]
    for feature, weights in rows:
        cells = (f"{weight:.2f}" for weight in weights)
        lines.append("\t".join((feature, *("" if float(cell) == 0 else cell for cell in cells))))
    return "\n".join(lines) + "\n"
