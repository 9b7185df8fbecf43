"""What can be learned about in a mail: its words, pairs, endings, marks and concepts, each by a name one can read.

plata               a word                          me devuelvan        two words side by side
me … plata          with one or two words between   devuel* *vuel* *van a beginning, a middle, an ending of a word
que me *an          small words as they are, of the others only the ending: the shape of a sentence
{refund}            a concept of data/concepts.tsv  no {refund}         with a negation just before it
{refund} ?          in a question                   {refund} & {harm}   both in this mail
asunto: plata       in the subject                  final: {refund}     in the last sentence
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations

from pqr_mailbot.domain.fold import Patterns, plain, words

Place = tuple[int, int]  # words from, up to
SUBJECT, FINAL = "asunto: ", "final: "
NEGATIONS = frozenset(("no", "ni", "nunca", "jamas", "nada", "sin", "tampoco", "nadie"))
REACH = 3  # words a negation reaches forward
_SMALL = """
    a al ante aun aunque como con cual cuando cuanto de del desde donde e el ella ellos en entre era es esa
    ese eso esta estan estas este esto estos estoy fue fueron ha han hasta hay he hemos la las le les lo los
    mas me mi mis muy nada nadie ni no nos nosotros nuestra nuestro nunca o otra otro para pero por porque
    que quien se ser si sido sin sino sobre solo son soy su sus tambien tampoco te ten tengo tiene tienen
    toca todo todos tu un una uno unos usted ustedes va van voy y ya yo
"""
SMALL = frozenset(_SMALL.split())
# What a feature belongs to; a mail's features of one kind share one voice, however many they are.
KINDS = WORDS, PARTS, SHAPES, CONCEPTS = range(4)

_SENTENCE = re.compile(r"([.!?¡¿\n\u2026;]+)")
_NUMBER = re.compile(r"\d+")
_LONG_WORD = 4
_LONGEST_WORD = 40  # characters: beyond, it is a key or an attachment gone astray, and its parts would fill the memory
_PART_LENGTHS = (3, 4, 5)


FEW = {WORDS: 30, PARTS: 40, SHAPES: 15, CONCEPTS: 6}  # a mail with fewer of a kind is no surer of itself


def share(kind: int, count: int) -> float:
    """How much one of `count` features of a kind says in its mail."""
    return 1 / math.sqrt(max(count, FEW[kind]))


class Concepts:
    """Named groups of patterns: words that mean the same."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        self._names: list[str] = []
        self._patterns = Patterns()
        for name, pattern in rows:
            self._patterns.add(len(self._names), pattern)
            self._names.append(name)

    def find(self, text: list[str]) -> Iterator[tuple[str, int, int]]:
        for hit in sorted(self._patterns.find(text), key=lambda hit: (hit.start, hit.end, hit.row)):
            yield self._names[hit.row], hit.start, hit.end


@dataclass(slots=True)
class Features:
    """The features of one mail by kind, each with the place of the words it first stands on."""

    words: list[str] = field(default_factory=list)
    kinds: tuple[dict[str, Place], ...] = field(default_factory=lambda: tuple({} for _ in KINDS))


def read(subject: str, text: str, concepts: Concepts) -> Features:
    found = Features()
    for sentence, asked in _sentences(subject):
        _read_sentence(found, sentence, asked, (SUBJECT,), concepts)
    body = list(_sentences(text))
    for at, (sentence, asked) in enumerate(body, start=1):
        _read_sentence(found, sentence, asked, ("", FINAL) if at == len(body) else ("",), concepts)
    known = found.kinds[CONCEPTS]
    once = sorted(name for name in known if name[0] == "{" and name[-1] == "}")
    for one, other in combinations(once, 2):
        known[f"{one} & {other}"] = known[one]
    return found


def _sentences(text: str) -> Iterator[tuple[list[str], bool]]:
    """The words of each sentence, and whether it asks."""
    parts = _SENTENCE.split(plain(text))
    for sentence, end in zip(parts[::2], [*parts[1::2], ""], strict=True):
        if found := words(_NUMBER.sub("0", sentence)):
            yield found, "?" in end


def _read_sentence(found: Features, text: list[str], asked: bool, where: tuple[str, ...], concepts: Concepts) -> None:
    start = len(found.words)
    found.words += text
    _read_words(text, asked, where, start, found.kinds[WORDS])
    if where[0] != SUBJECT:
        _read_shapes(text, asked, start, found.kinds[SHAPES])
    parts = found.kinds[PARTS]
    for at, word in enumerate(text, start):
        for part in _parts(word):
            parts.setdefault(part, (at, at + 1))
    _read_concepts(text, asked, where, start, concepts, found.kinds[CONCEPTS])


def _read_words(text: list[str], asked: bool, where: tuple[str, ...], start: int, into: dict[str, Place]) -> None:
    tokens = [*text, "?"] if asked else text
    last, end = len(tokens) - 1, start + len(text)  # the mark itself has no place among the words
    for at, word in enumerate(tokens):
        place = (start + at, min(start + at + 1, end))
        for prefix in where:
            into.setdefault(prefix + word, place)
        if at < last:
            place = (start + at, min(start + at + 2, end))
            for prefix in where:
                into.setdefault(f"{prefix}{word} {tokens[at + 1]}", place)
        for gap in (2, 3):
            if at + gap <= last:
                into.setdefault(f"{word} … {tokens[at + gap]}", (start + at, min(start + at + gap + 1, end)))


def _read_shapes(text: list[str], asked: bool, start: int, into: dict[str, Place]) -> None:
    shape = [word if word in SMALL else f"*{word[-3:]}" for word in text]
    if asked:
        shape.append("?")
    into.setdefault(f"^ {shape[0]}", (start, start + 1))
    for at in range(len(shape) - 1):
        into.setdefault(f"{shape[at]} {shape[at + 1]}", (start + at, start + at + 2))
        if at + 2 < len(shape):
            into.setdefault(f"{shape[at]} {shape[at + 1]} {shape[at + 2]}", (start + at, start + at + 3))


def _read_concepts(
    text: list[str], asked: bool, where: tuple[str, ...], start: int, concepts: Concepts, into: dict[str, Place]
) -> None:
    for name, begin, end in concepts.find(text):
        place = (start + begin, start + end)
        negated = any(word in NEGATIONS for word in text[max(0, begin - REACH) : begin])
        shown = f"no {{{name}}}" if negated else f"{{{name}}}"
        for prefix in where:
            into.setdefault(prefix + shown, place)
        if asked:
            into.setdefault(shown + " ?", place)


@lru_cache(maxsize=20_000)
def _parts(word: str) -> tuple[str, ...]:
    """Beginnings, middles and endings of a long word."""
    if not _LONG_WORD < len(word) <= _LONGEST_WORD:
        return ()
    found = []
    for length in _PART_LENGTHS:
        last = len(word) - length
        for at in range(last + 1):
            part = word[at : at + length]
            found.append(f"{part}*" if at == 0 else f"*{part}" if at == last else f"*{part}*")
    return tuple(dict.fromkeys(found))
