"""New keyword weights from labelled mail: fitted, tried on mail held out, written as the table `domain.weights` reads.

Needs scikit-learn (the extra `learn`); nothing else of the package imports it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pqr_mailbot.domain import features, weights
from pqr_mailbot.domain.features import CONCEPTS, PARTS, SHAPES, WORDS, Concepts

VOLUME = {WORDS: 1.0, PARTS: 1.0, SHAPES: 0.5, CONCEPTS: 0.5}  # how much each kind may say
RARE = {WORDS: 1, PARTS: 2, SHAPES: 2, CONCEPTS: 3}  # a feature of fewer mails is not learned
IDF_UNIT = 5.0
PRICE = 0.2  # LinearSVC's C: how hard it tries to please every mail
FAINT = 0.4  # a weight nearer to zero is left out of the file


@dataclass(frozen=True, slots=True)
class Example:
    group: str  # who wrote it, or the file it is from: held out together
    subject: str
    text: str  # new words only
    label: str


Kinds = tuple[dict[str, Any], ...]


class _Columns:
    """Features as columns of a matrix, common ones quieter."""

    def __init__(self, mails: Sequence[Kinds]) -> None:
        self.names: list[str] = []
        self._column: list[dict[str, tuple[int, float]]] = []
        for kind, rare in RARE.items():
            known = Counter(feature for mail in mails for feature in mail[kind])
            kept: dict[str, tuple[int, float]] = {}
            for feature in sorted(feature for feature, count in known.items() if count >= rare):
                idf = (math.log((1 + len(mails)) / (1 + known[feature])) + 1) / IDF_UNIT
                kept[feature] = (len(self.names), idf * VOLUME[kind])
                self.names.append(feature)
            self._column.append(kept)
        self.scale = [0.0] * len(self.names)
        for kept in self._column:
            for column, value in kept.values():
                self.scale[column] = value

    def matrix(self, mails: Sequence[Kinds]) -> Any:
        from scipy.sparse import csr_matrix

        values, rows, columns = [], [], []
        for row, mail in enumerate(mails):
            for kind, kept in enumerate(self._column):
                share = 1 / math.sqrt(len(mail[kind])) if mail[kind] else 0.0
                for feature in mail[kind]:
                    if found := kept.get(feature):
                        values.append(found[1] * share)
                        rows.append(row)
                        columns.append(found[0])
        return csr_matrix((values, (rows, columns)), shape=(len(mails), len(self.names)))


def _fitted(matrix: Any, labels: Sequence[str]) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(C=PRICE, class_weight="balanced", random_state=0).fit(matrix, list(labels))


def held_out(mails: Sequence[Kinds], examples: Sequence[Example]) -> tuple[list[str], Any]:
    """The types, and each mail's raw scores by weights learned without its group."""
    import numpy

    types = sorted({example.label for example in examples})
    scores = numpy.zeros((len(examples), len(types)))
    for group in sorted({example.group for example in examples}):
        inside = [at for at, example in enumerate(examples) if example.group == group]
        outside = [at for at, example in enumerate(examples) if example.group != group]
        columns = _Columns([mails[at] for at in outside])
        machine = _fitted(columns.matrix([mails[at] for at in outside]), [examples[at].label for at in outside])
        scores[inside] = machine.decision_function(columns.matrix([mails[at] for at in inside]))
    return types, scores


def calibrated(scores: Any, labels: Sequence[str], types: Sequence[str]) -> tuple[float, list[float]]:
    """The sharpness and the starts with which the softmax of held-out scores says how often it is right."""
    import numpy
    from scipy.optimize import minimize

    wanted = numpy.array([types.index(label) for label in labels])

    def loss(at: Any) -> float:
        raw = scores * math.exp(at[0]) + at[1:]
        raw = raw - raw.max(1, keepdims=True)
        logs = raw - numpy.log(numpy.exp(raw).sum(1, keepdims=True))
        return float(-logs[numpy.arange(len(wanted)), wanted].mean() + 0.01 * (at[1:] ** 2).sum())

    best = minimize(loss, numpy.array([1.0] + [0.0] * len(types)), method="BFGS").x
    return math.exp(best[0]), [float(start) for start in best[1:]]


def read(examples: Sequence[Example], concepts: Concepts) -> list[Kinds]:
    return [features.read(example.subject, example.text, concepts).kinds for example in examples]


def learn(examples: Sequence[Example], mails: Sequence[Kinds], types: Sequence[str], raw: Any) -> str:
    """The table of weights."""
    import numpy

    sharpness, starts = calibrated(raw, [example.label for example in examples], types)
    columns = _Columns(mails)
    machine = _fitted(columns.matrix(mails), [example.label for example in examples])
    loud = machine.coef_ * sharpness * columns.scale
    loud = loud - numpy.median(loud, axis=0)  # only differences between types matter, and few types differ
    rows = [
        (label, float(value), weights.START)
        for label, value in zip(types, machine.intercept_ * sharpness + starts, strict=True)
    ]
    order = sorted(range(len(columns.names)), key=lambda at: -abs(loud[:, at]).max())
    for at in order:
        for number, label in enumerate(types):
            if abs(loud[number, at]) >= FAINT:
                rows.append((label, float(loud[number, at]), columns.names[at]))
    return weights.written(rows)
