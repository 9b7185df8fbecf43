"""Words -> type, urgency, and why.

Sorts a mail by the words of its new text; quotes, signatures and legal footers are cut away first. A Spanish mail is
sorted by the learned weights of its words (`weights`), with the admin's own rows on top; one in another language, or
any mail where no weights are given, by the points of hand-written rows (`data/lexicon*.tsv`; their header says how to
write a row). Urgency has rows of its own (`data/urgency.tsv`).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pqr_mailbot.domain import reply_text
from pqr_mailbot.domain.features import Concepts
from pqr_mailbot.domain.fold import Hit, PatternError, Patterns, words
from pqr_mailbot.domain.language import language_of
from pqr_mailbot.domain.model import Classification, Evidence
from pqr_mailbot.domain.policy import COURTESY_TYPES, DEFAULT_TYPE, TicketType
from pqr_mailbot.domain.weights import Weights, WeightsError

EVIDENCE = 12  # how many words are kept as reasons
LONGEST_TEXT = 20_000  # characters that are read: who has not said it by then will not
LONGEST_SUBJECT = 500
SUBJECT_FACTOR = 1.25
CUES = frozenset({"harm", "demand"})  # rows of these speak for reclamo only when both are there
CUE_BONUS = 3.0
# What a type has before any word speaks, in the lexicon's points. One that is not named here is as rare as habeas data.
HEADSTART = {"solicitud": 0.7, "queja": 0.0, "reclamo": 0.0, "sugerencia": 0.0, "felicitacion": 0.0}
RARE = -1.0
PETITION = "derecho_de_peticion"
SHARPNESS = 0.6  # how much of a learned score a point of a hand-written row is
WORDS_ENOUGH = 8  # a mail of fewer words is not sure of anything
OWN_VOICE = 1.0  # the same for an admin's point: they know what their customers say
HALF_AS_PROBABLE = math.log(2) / SHARPNESS  # a score this much lower is half as probable
NOT = "not"
AT_ONCE = frozenset({"P0", "P1"})  # priorities that go to level 2 at once
PRIORITIES = frozenset({*AT_ONCE, "P2", "P3", "–"})

_NAME = re.compile(r"[a-z][a-z_]*")
_SIC = re.compile(r"\(\s*sic\s*\)", re.IGNORECASE)  # the writer's "(sic)", not the Superintendencia


class LexiconError(ValueError):
    """A row of a lexicon that cannot be used; the message names the line and what was expected."""


@dataclass(frozen=True, slots=True)
class _Row:
    label: str  # a type, a cue or an urgency flag
    grade: str  # a weight or a priority as written; NOT: what this row covers does not count for its label


@dataclass(frozen=True, slots=True)
class _Found:
    """A row that counts: the words it stood on, and the part of the mail."""

    row: _Row
    text: str
    factor: float


class _Table:
    """Rows and the tree of their patterns."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self._patterns = Patterns()

    def add(self, row: _Row, pattern: str) -> None:
        self._patterns.add(len(self._rows), pattern)
        self._rows.append(row)

    @property
    def labels(self) -> frozenset[str]:
        return frozenset(row.label for row in self._rows)

    def read(self, parts: Iterable[tuple[list[str], float]]) -> list[_Found]:
        """The rows that count in these parts of a mail (the loudest part first), each once, where it stands first."""
        first: dict[int, _Found] = {}
        for text, factor in parts:
            for hit in self._standing(text):
                if hit.row not in first:
                    first[hit.row] = _Found(self._rows[hit.row], " ".join(text[hit.start : hit.end]), factor)
        return [first[row] for row in sorted(first)]

    def _standing(self, text: list[str]) -> Iterator[Hit]:
        """The hits that no NOT row of the same label touches, by place."""
        hits = sorted(self._patterns.find(text), key=lambda hit: (hit.start, hit.end, hit.row))
        barred: dict[str, set[int]] = defaultdict(set)  # label -> places of words
        for hit in hits:
            if self._rows[hit.row].grade == NOT:
                barred[self._rows[hit.row].label].update(range(hit.start, hit.end))
        for hit in hits:
            row = self._rows[hit.row]
            if row.grade != NOT and barred[row.label].isdisjoint(range(hit.start, hit.end)):
                yield hit


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words, ready for use: parse once, classify many."""

    types: _Table
    urgency: _Table
    own: _Table = field(default_factory=_Table)  # the admin's rows
    weights: Weights | None = None
    languages: Mapping[str, _Table] = field(default_factory=dict)  # rows for mail that is not Spanish

    @classmethod
    def parse(
        cls,
        tsv: str,
        urgency_tsv: str,
        extra: Mapping[str, str] | None = None,
        learned: Learned | None = None,
        languages: Mapping[str, str] | None = None,
    ) -> Lexicon:
        """From the text of the tables, and per type an admin's own rows `weight<TAB>pattern`.

        Raises LexiconError at the first row that cannot be used.
        """
        types, urgency, own = _Table(), _Table(), _Table()
        # Beside learned weights the rows speak as concepts; with a voice of their own only the petition's, a rule.
        _add_all(types, "lexicon", _petition_rows(tsv) if learned else tsv)
        for number, line in _lines(urgency_tsv):
            _add(urgency, f"urgency line {number}", line, PRIORITIES.__contains__, "P0, P1, P2, P3, – or 'not'")
        for label, rows in (extra or {}).items():
            _add_all(own, f"lexicon of {label},", rows, f"{label}\t")
        others: dict[str, _Table] = {}
        for language, rows in (languages or {}).items():
            _add_all(others.setdefault(language, _Table()), f"lexicon in {language},", rows)
        weights = learned.weights(tsv) if learned else None
        return cls(types, urgency, own, weights, others)

    def prove(self) -> None:
        """Reads every learned weight, which `parse` leaves for later. Raises LexiconError."""
        try:
            if self.weights:
                self.weights.prove()
        except WeightsError as wrong:
            raise LexiconError(f"weights: {wrong}") from None


@dataclass(frozen=True, slots=True)
class Learned:
    """The texts of the learned weights and of the concepts they speak about."""

    weights_tsv: str
    concepts_tsv: str

    def weights(self, lexicon_tsv: str) -> Weights:
        """Raises LexiconError."""
        try:
            return Weights.parse(self.weights_tsv, concepts_of(self.concepts_tsv, lexicon_tsv))
        except WeightsError as wrong:
            raise LexiconError(f"weights: {wrong}") from None


def concepts_of(concepts_tsv: str, lexicon_tsv: str) -> Concepts:
    """The concepts, and each type's rows of the lexicon as one more concept `lex_TYPE`. Raises LexiconError."""
    rows = []
    for number, line in _lines(concepts_tsv):
        cells = line.split("\t")
        if len(cells) < 2 or not _NAME.fullmatch(cells[0]):
            raise LexiconError(f"concepts line {number}: expected a name and a pattern, found {line!r}")
        rows.append((cells[0], cells[1]))
    for _, line in _lines(lexicon_tsv):
        label, grade, pattern = line.split("\t")[:3]
        rows.append((f"lex_{label}_not" if grade == NOT else f"lex_{label}", pattern))
    try:
        return Concepts(rows)
    except PatternError as wrong:
        raise LexiconError(f"concepts: {wrong}") from None


def _petition_rows(tsv: str) -> str:
    return "\n".join(line for line in tsv.split("\n") if line.startswith(PETITION))


def _add_all(table: _Table, where: str, tsv: str, label: str = "") -> None:
    for number, line in _lines(tsv):
        _add(table, f"{where} line {number}", label + line, _is_weight, "a weight from 0.1 to 10 or 'not'")


def _lines(tsv: str) -> Iterator[tuple[int, str]]:
    """The rows with their line numbers, comments and blank lines left out."""
    for number, line in enumerate(tsv.removeprefix("\ufeff").split("\n"), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line.rstrip("\r")


def _is_weight(grade: str) -> bool:
    try:
        return 0.1 <= float(grade) <= 10
    except ValueError:
        return False


def _add(table: _Table, where: str, line: str, is_grade: Callable[[str], bool], expected: str) -> None:
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) < 3:
        raise LexiconError(f"{where}: expected columns divided by tabs, the last a pattern, found {line.strip()!r}")
    label, grade, pattern = cells[:3]
    if not _NAME.fullmatch(label):
        raise LexiconError(f"{where}: expected a name of small letters and _, found {label!r}")
    if grade != NOT and not is_grade(grade):
        raise LexiconError(f"{where}: expected {expected}, found {grade!r}")
    try:
        table.add(_Row(label, grade), pattern)
    except PatternError as wrong:
        raise LexiconError(f"{where}: {wrong} in {pattern!r}") from None


def classify(subject: str, text: str, lexicon: Lexicon) -> Classification:
    """What a mail is about, from its subject and its whole text (quotes and signature included: they are cut here).

    `scores` are probabilities over the types (sum 1), so that confidence, the probability of the winner, says how often
    such an answer is right (README, "How well mail is sorted"). `evidence`: the words that spoke, folded, loudest
    first. No word speaks: DEFAULT_TYPE with low confidence.
    """
    subject = subject[:LONGEST_SUBJECT]
    own = reply_text.without_signature(reply_text.split(text).new[:LONGEST_TEXT])
    parts = [(_words(subject), SUBJECT_FACTOR), (_words(own), 1.0)]
    language = language_of(subject, own)
    if lexicon.weights and language not in lexicon.languages:
        scores, evidence = _by_weights(subject, own, parts, lexicon, lexicon.weights)
    else:
        scores, evidence = _by_points(parts, lexicon, lexicon.languages.get(language, lexicon.types))
    best = max(scores, key=lambda label: (scores[label], label == "reclamo"))  # equal: the harder duty
    flags = lexicon.urgency.read(parts)
    return Classification(
        type=best,
        confidence=scores[best],
        urgency=tuple(dict.fromkeys(flag.row.label for flag in flags)),
        urgent=any(flag.row.grade in AT_ONCE for flag in flags),
        evidence=evidence,
        scores=scores,
    )


Parts = list[tuple[list[str], float]]
Answer = tuple[dict[str, float], tuple[Evidence, ...]]


def _by_points(parts: Parts, lexicon: Lexicon, table: _Table) -> Answer:
    found = [*table.read(parts), *lexicon.own.read(parts)]
    sums = _ruled(_summed(found), (lexicon.types.labels | table.labels | lexicon.own.labels) - CUES)
    return _probabilities({label: score * SHARPNESS for label, score in sums.items()}), _evidence(found)


def _by_weights(subject: str, text: str, parts: Parts, lexicon: Lexicon, weights: Weights) -> Answer:
    """The learned scores, the admin's points on top, and a petition when it is invoked."""
    if not (parts[0][0] or parts[1][0]):
        return _by_points(parts, lexicon, lexicon.types)
    scores, voices = weights.score(_SIC.sub(" ", subject), _SIC.sub(" ", text))
    hushed = min(1.0, (len(parts[0][0]) + len(parts[1][0])) / WORDS_ENOUGH)
    scores = {label: score * hushed for label, score in scores.items()}
    own = lexicon.own.read(parts)
    for label in lexicon.own.labels - CUES:
        scores.setdefault(label, min(scores.values()))
    for label, said in _summed(own).items():
        if label not in CUES:
            scores[label] += said * OWN_VOICE
    asked = lexicon.types.read(parts)  # beside weights these rows are the petition's alone
    ruled = {label: score / SHARPNESS for label, score in scores.items()}
    if DEFAULT_TYPE in ruled:
        ruled = _with_petition(ruled, _summed(asked).get(PETITION, 0.0))
    loud = [Evidence(voice.words, voice.type, voice.weight) for voice in voices[:EVIDENCE]]
    evidence = sorted([*_evidence([*own, *asked]), *loud], key=lambda one: -one.weight)[:EVIDENCE]
    return _probabilities({label: points * SHARPNESS for label, points in ruled.items()}), tuple(evidence)


def shortest_candidate(classification: Classification, types: Mapping[str, TicketType]) -> TicketType:
    """The type whose term binds: that of a certain classification; else, among the types at least half as probable
    as the best, the one with the fewest days. Courtesy types count only among themselves: their short terms never
    shorten another's."""
    best = types.get(classification.type, types[DEFAULT_TYPE])
    if classification.certain:
        return best
    enough = classification.scores.get(classification.type, 0.0) / 2
    candidates = [
        types[key]
        for key, score in classification.scores.items()
        if key in types and key not in COURTESY_TYPES and score >= enough
    ]
    return min(candidates, key=lambda kind: (kind.resolve_days, kind != best), default=best)


def _words(text: str) -> list[str]:
    return words(_SIC.sub(" ", text))


def _summed(found: Iterable[_Found]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for one in found:
        sums[one.row.label] += float(one.row.grade) * one.factor
    return sums


def _ruled(sums: Mapping[str, float], labels: frozenset[str]) -> dict[str, float]:
    """The sums with the rules that no single word can say."""
    ruled = {label: sums.get(label, 0.0) for label in sorted(labels | {DEFAULT_TYPE})}
    if all(sums.get(cue) for cue in CUES):  # something went wrong, and something is to be done about it
        ruled["reclamo"] = ruled.get("reclamo", 0.0) + CUE_BONUS
    if (anger := ruled.get("queja", 0.0)) >= 3:  # praise in an angry mail is irony, advice in it is anger
        for label in COURTESY_TYPES & ruled.keys():
            ruled[label] = min(ruled[label], anger - 1)
    if ruled.get("habeas_data", 0.0) >= 4 and ruled.get("reclamo", 0.0) < 6:  # a right of its own, unless it is money
        ruled["habeas_data"] = max(ruled["habeas_data"], max(ruled.values()) + 3)
    started = {label: score + HEADSTART.get(label, RARE) for label, score in ruled.items()}
    return _with_petition(started, sums.get(PETITION, 0.0))


def _with_petition(ruled: dict[str, float], invoked: float) -> dict[str, float]:
    """Without its name there is no petition. Whoever invokes it asks nothing less; when the content speaks louder
    for another type, petition stays a candidate, so that its shorter term binds."""
    others = {label: score for label, score in ruled.items() if label != PETITION}
    if not invoked:
        return others
    asked = others.pop(DEFAULT_TYPE) + invoked
    return {**others, PETITION: max(asked, max(others.values(), default=0.0) - HALF_AS_PROBABLE * 0.9)}


def _probabilities(scores: Mapping[str, float]) -> dict[str, float]:
    top = max(scores.values())
    powers = {label: math.exp(score - top) for label, score in scores.items()}
    total = sum(powers.values())
    return {label: power / total for label, power in powers.items()}


def _evidence(found: Iterable[_Found]) -> tuple[Evidence, ...]:
    loud = [Evidence(f.text, f.row.label, float(f.row.grade) * f.factor) for f in found if f.row.label not in CUES]
    return tuple(sorted(loud, key=lambda evidence: -evidence.weight)[:EVIDENCE])
