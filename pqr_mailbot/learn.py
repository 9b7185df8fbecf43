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

VOLUME = {WORDS: 1.0, PARTS: 1.0, SHAPES: 1.0, CONCEPTS: 0.45}  # how much each kind may say
RARE = {WORDS: 3, PARTS: 4, SHAPES: 4, CONCEPTS: 3}  # a feature of fewer mails is not learned
IDF_UNIT = 5.0
PRICE = 0.4  # LinearSVC's C: how hard it tries to please every mail
SMOOTH = 0.02
MOST_PARTING = 2.0
KEPT = 50_000  # weights; the file stays small enough to read, and quick to load


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


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A linear machine: what each column says for each type, and what each type starts with."""

    said: Any
    start: Any

    def scores(self, matrix: Any) -> Any:
        return matrix @ self.said.T + self.start


def _fitted(columns: _Columns, mails: Sequence[Kinds], labels: Sequence[str], types: Sequence[str]) -> _Fitted:
    """Two machines with one voice: one as the columns are, one where a column counts as it parts the type from the rest.

    The second (naive Bayes weights in a support vector machine) is the better on short mail; together they are better.
    """
    import numpy
    from sklearn.svm import LinearSVC

    matrix, scale = columns.matrix(mails), columns.scale
    wanted = numpy.array(list(labels))
    said, start = [], []
    for label in types:
        mine = wanted == label
        inside, outside = (numpy.asarray(matrix[rows].sum(0)).ravel() + SMOOTH for rows in (mine, ~mine))
        parting = numpy.sqrt(numpy.abs(numpy.log(inside / inside.sum()) - numpy.log(outside / outside.sum())))
        parting = numpy.minimum(parting, MOST_PARTING)
        plain = LinearSVC(C=PRICE, class_weight="balanced", random_state=0).fit(matrix, mine)
        parted = LinearSVC(C=PRICE, class_weight="balanced", random_state=0).fit(matrix.multiply(parting).tocsr(), mine)
        said.append(plain.coef_[0] + parted.coef_[0] * parting)
        start.append(plain.intercept_[0] + parted.intercept_[0])
    return _Fitted(_loudest(numpy.array(said), scale), numpy.array(start))


def _loudest(said: Any, scale: Sequence[float]) -> Any:
    """The KEPT loudest of all weights, the rest 0. Only differences between types matter, and few types differ."""
    import numpy

    said = said - numpy.median(said, axis=0)
    loud = numpy.abs(said * numpy.array(scale)).ravel()
    if len(loud) > KEPT:
        said[numpy.abs(said * numpy.array(scale)) < numpy.partition(loud, -KEPT)[-KEPT]] = 0
    return said


def held_out(mails: Sequence[Kinds], examples: Sequence[Example]) -> tuple[list[str], Any]:
    """The types, and each mail's raw scores by weights learned without its group."""
    import numpy

    types = sorted({example.label for example in examples})
    scores = numpy.zeros((len(examples), len(types)))
    for group in sorted({example.group for example in examples}):
        inside = [at for at, example in enumerate(examples) if example.group == group]
        outside = [at for at, example in enumerate(examples) if example.group != group]
        columns = _Columns([mails[at] for at in outside])
        labels = [examples[at].label for at in outside]
        machine = _fitted(columns, [mails[at] for at in outside], labels, types)
        scores[inside] = machine.scores(columns.matrix([mails[at] for at in inside]))
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
    sharpness, starts = calibrated(raw, [example.label for example in examples], types)
    columns = _Columns(mails)
    machine = _fitted(columns, mails, [example.label for example in examples], types)
    loud = machine.said * sharpness * columns.scale
    rows = [
        (label, float(value), weights.START)
        for label, value in zip(types, machine.start * sharpness + starts, strict=True)
    ]
    order = sorted(range(len(columns.names)), key=lambda at: -abs(loud[:, at]).max())
    for at in order:
        for number, label in enumerate(types):
            if loud[number, at]:
                rows.append((label, float(loud[number, at]), columns.names[at]))
    return weights.written(rows)
