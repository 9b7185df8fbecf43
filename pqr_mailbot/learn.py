"""New keyword weights from labelled mail: fitted, tried on mail held out, written as the table `domain.weights` reads.

Needs scikit-learn (the extra `learn`); nothing else of the package imports it.
"""

from __future__ import annotations

import json
import lzma
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pqr_mailbot.domain import features, reply_text, weights
from pqr_mailbot.domain.features import CONCEPTS, PARTS, SHAPES, WORDS, Concepts
from pqr_mailbot.domain.model import CERTAIN
from pqr_mailbot.domain.policy import DEFAULT_TYPE

VOLUME = {WORDS: 1.2, PARTS: 1.0, SHAPES: 1.0, CONCEPTS: 0.35}  # how much each kind may say
RARE = {WORDS: 2, PARTS: 3, SHAPES: 3, CONCEPTS: 2}  # a feature of fewer mails is not learned
IDF_UNIT = 5.0
PRICE = 0.4  # LinearSVC's C: how hard it tries to please every mail
SMOOTH = 0.02
MOST_PARTING = 2.0
KEPT = 150_000  # weights: the softest of all change no answer


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
                share = features.share(kind, len(mail[kind]))
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
    """Two machines with one voice: one as the columns are, one where a column counts as it parts its type from others.

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
    sharpness, starts = calibrated(raw, [one.label for one in examples], types)
    columns = _Columns(mails)
    machine = _fitted(columns, mails, [one.label for one in examples], types)
    loud = machine.said * sharpness * columns.scale
    order = sorted(range(len(columns.names)), key=lambda at: (-abs(loud[:, at]).max(), columns.names[at]))
    rows = [(columns.names[at], loud[:, at]) for at in order if loud[:, at].any()]
    return weights.written(types, [(weights.START, machine.start * sharpness + starts), *rows])


# -- where labelled mail comes from -----------------------------------------------------------------------------------

SHIPPED = Path(__file__).parent / "data" / "labelled.jsonl.xz"
TYPES = ("solicitud", "queja", "reclamo", "sugerencia", "felicitacion", "habeas_data")
FOLDS = 5  # parts in which mails of no known writer are held out


class LearnProblem(ValueError):
    """Labelled mail that cannot be used, or nothing to learn; one line."""


def shipped_examples() -> list[Example]:
    return list(_examples(SHIPPED.name, lzma.decompress(SHIPPED.read_bytes()).decode(), ""))


def examples_of(path: Path) -> list[Example]:
    """One JSON object a line: subject, body, label. Raises LearnProblem."""
    try:
        return list(_examples(str(path), path.read_text("utf-8"), path.name))
    except (OSError, UnicodeDecodeError) as error:
        raise LearnProblem(f"{path}: {error}") from error


def _examples(where: str, lines: str, group: str) -> Iterator[Example]:
    for number, line in enumerate(lines.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found = str(row["subject"]), str(row["body"]), _learned_type(str(row["label"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise LearnProblem(f"{where} line {number}: expected JSON with subject, body and label") from None
        if found[2] not in TYPES:
            raise LearnProblem(f"{where} line {number}: label {found[2]!r}: expected one of {', '.join(TYPES)}")
        yield example(str(row.get("group", "")) if not group else f"{group} {number % FOLDS}", *found)


def _learned_type(label: str) -> str:
    """A petition is a request that names the right: that is a rule, the words are learned as a request's."""
    return DEFAULT_TYPE if label == "derecho_de_peticion" else label


def corrected_examples(rows: Iterable[dict[str, Any]]) -> list[Example]:
    """Agents' `#tipo` orders ("old -> new") with the customer's first words. An office's own types are left out."""
    found = []
    for number, row in enumerate(rows):
        label = _learned_type(str(row["detail"]).rpartition(" -> ")[2])
        if label in TYPES and (row["subject"] or row["text"]):
            found.append(example(f"agents {number % FOLDS}", row["subject"], row["text"], label))
    return found


def example(group: str, subject: str, body: str, label: str) -> Example:
    return Example(group, subject, reply_text.without_signature(reply_text.split(body).new), label)


# -- is it better? ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """How well held-out mail is sorted."""

    mails: int
    right: float
    f1: float
    certain: float  # the share called certain
    certain_right: float

    def __str__(self) -> str:
        return (
            f"right {self.right:.1%}, macro-F1 {self.f1:.3f}, "
            f"called certain {self.certain:.1%}, of these right {self.certain_right:.1%}"
        )


@dataclass(frozen=True, slots=True)
class Learned:
    """New weights beside the ones without the new mail, both tried on the same held-out mail."""

    tsv: str
    before: Standing
    after: Standing
    new: int  # how many mails are new, and how many of them were sorted right
    new_before: int
    new_after: int
    moved: list[tuple[str, str, float, float]]  # feature, type, weight before and after; those that moved most first

    @property
    def better(self) -> bool:
        """The new mail is sorted no worse, and all of it no worse than chance may make it look."""
        right = self.before.right
        chance = math.sqrt(right * (1 - right) / self.before.mails)  # the standard error of a share
        return self.after.right >= right - chance and self.new_after >= self.new_before


def _sorted(scores: Any, labels: Sequence[str], types: Sequence[str]) -> tuple[Any, Any]:
    """The type each mail gets, and how sure of it the calibrated scores are."""
    import numpy

    sharpness, starts = calibrated(scores, labels, types)
    raw = scores * sharpness + starts
    powers = numpy.exp(raw - raw.max(1, keepdims=True))
    return numpy.array(types)[raw.argmax(1)], powers.max(1) / powers.sum(1)


def standing(scores: Any, labels: Sequence[str], types: Sequence[str]) -> Standing:
    import numpy
    from sklearn.metrics import f1_score

    guessed, sure = _sorted(scores, labels, types)
    right, certain = guessed == numpy.array(list(labels)), sure >= CERTAIN
    return Standing(
        len(labels), float(right.mean()), float(f1_score(list(labels), guessed, average="macro")),
        float(certain.mean()), float(right[certain].mean()) if certain.any() else 1.0,
    )  # fmt: skip


def learned_from(known: Sequence[Example], new: Sequence[Example], concepts: Concepts) -> Learned:
    """Weights with the new mail, and how held-out mail fares without and with it."""
    import numpy

    if not new:
        raise LearnProblem("nothing to learn from: no labelled mail given, no type corrected by an agent")
    everything = [*known, *new]
    mails = read(everything, concepts)
    types, without = held_out(mails[: len(known)], known)
    old = _Columns(mails[: len(known)])
    machine = _fitted(old, mails[: len(known)], [one.label for one in known], types)
    stranger = numpy.vstack([without, machine.scores(old.matrix(mails[len(known) :]))])
    _, with_new = held_out(mails, everything)
    labels = [one.label for one in everything]
    wanted = numpy.array(labels[len(known) :])
    said_before, said_after = (_sorted(raw, labels, types)[0][len(known) :] for raw in (stranger, with_new))
    before = learn(known, mails[: len(known)], types, without)
    after = learn(everything, mails, types, with_new)
    return Learned(
        after, standing(stranger, labels, types), standing(with_new, labels, types),
        len(new), int((said_before == wanted).sum()), int((said_after == wanted).sum()), moved(before, after),
    )  # fmt: skip


def moved(before: str, after: str) -> list[tuple[str, str, float, float]]:
    old, new = _by_feature(before), _by_feature(after)
    found = [(feature, label, old.get((label, feature), 0.0), new.get((label, feature), 0.0))
             for label, feature in old.keys() | new.keys()]  # fmt: skip
    return sorted(found, key=lambda one: (-abs(one[3] - one[2]), one[:2]))


def _by_feature(tsv: str) -> dict[tuple[str, str], float]:
    heading, *lines = (line.split("\t") for line in tsv.splitlines())
    return {
        (label, line[0]): float(cell)
        for line in lines
        for label, cell in zip(heading[1:], line[1:], strict=True)
        if cell
    }


# -- the package's own weights ----------------------------------------------------------------------------------------

ABOUT = (
    "# Learned from labelled mail (`python -m pqr_mailbot.learn`); domain/features.py says how a feature is written.\n"
)


def relearn(concepts: Concepts) -> Standing:
    """Writes the weights that are shipped anew, from the shipped mail. Returns how held-out mail is sorted."""
    examples = shipped_examples()
    mails = read(examples, concepts)
    types, raw = held_out(mails, examples)
    SHIPPED.with_name("weights.tsv").write_text(ABOUT + learn(examples, mails, types, raw), "utf-8")
    return standing(raw, [one.label for one in examples], types)


if __name__ == "__main__":
    from pqr_mailbot.wiring import shipped_concepts

    print(relearn(shipped_concepts()))  # noqa: T201
