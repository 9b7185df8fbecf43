"""Learned weights: what each feature of a mail says for each type.

The file (data/weights.tsv) has rows `type<TAB>weight<TAB>feature`; `features` says how a feature is written. A type's
score is what it starts with, `(start)`, and for each kind of feature the sum of the weights that stand in the mail,
divided by the root of how many of that kind it has, so that a long mail shouts no louder than a short one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pqr_mailbot.domain import features
from pqr_mailbot.domain.features import Concepts, Place

START = "(start)"
COLUMNS = 3


class WeightsError(ValueError):
    """A row that cannot be used; the message names the line and what was expected."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Words of a mail that spoke for a type, and how loud."""

    words: str
    type: str
    weight: float


@dataclass(frozen=True, slots=True)
class Weights:
    types: tuple[str, ...]
    start: tuple[float, ...]
    rows: Mapping[str, tuple[tuple[int, float], ...]]  # feature -> number of the type, weight
    concepts: Concepts

    @classmethod
    def parse(cls, tsv: str, concepts: Concepts) -> Weights:
        """Raises WeightsError."""
        found: dict[str, list[tuple[int, float]]] = defaultdict(list)
        numbers: dict[str, int] = {}
        for at, line in enumerate(tsv.split("\n"), start=1):
            if not line or line[0] == "#":
                continue
            try:
                label, weight, feature = line.split("\t")
                number = numbers.setdefault(label, len(numbers))
                found[feature].append((number, float(weight)))
            except ValueError:
                raise WeightsError(f"line {at}: expected type, weight and feature, divided by tabs") from None
        start = dict(found.pop(START, []))
        if not numbers or not all(math.isfinite(weight) for row in found.values() for _, weight in row):
            raise WeightsError("expected rows with finite weights")
        types = tuple(numbers)
        opening = tuple(start.get(number, 0.0) for number in range(len(types)))
        return cls(types, opening, {feature: tuple(row) for feature, row in found.items()}, concepts)

    def score(self, subject: str, text: str) -> tuple[dict[str, float], list[Voice]]:
        """What the mail scores for each type, and the words that spoke for one, loudest first."""
        found = features.read(subject, text, self.concepts)
        sums = list(self.start)
        heard: dict[tuple[Place, int], float] = defaultdict(float)
        for number_of_kind, kind in enumerate(found.kinds):
            share = features.share(number_of_kind, len(kind))
            for feature, place in kind.items():
                for number, weight in self.rows.get(feature, ()):
                    sums[number] += weight * share
                    heard[place, number] += weight * share
        return dict(zip(self.types, sums, strict=True)), self._voices(heard, found.words)

    def _voices(self, heard: Mapping[tuple[Place, int], float], words: list[str]) -> list[Voice]:
        summed: dict[tuple[str, int], float] = defaultdict(float)
        for (place, number), weight in heard.items():
            summed[" ".join(words[place[0] : place[1]]), number] += weight
        voices = [Voice(text, self.types[number], weight) for (text, number), weight in summed.items() if weight > 0]
        return sorted(voices, key=lambda voice: (-voice.weight, voice.words, voice.type))


def written(rows: Iterable[tuple[str, float, str]]) -> str:
    """Rows as lines of the file."""
    return "".join(f"{label}\t{weight:.2f}\t{feature}\n" for label, weight, feature in rows)
