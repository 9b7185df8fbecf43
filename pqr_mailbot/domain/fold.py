"""Text as bare words, and patterns of words found in it.

A pattern is words with `*` (any ending), `…` (a gap of 0 to 4 words), `(a|b)` (alternatives) and `(a)?` (perhaps).
It is spelled out into plain phrases, and all phrases share one tree: a text is walked once, whatever the number of
patterns, and no text can make the walk long (a regular expression a pattern would promise neither).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

GAP = 4  # the most words a … skips
MAX_PHRASES = 2_000  # that one pattern may spell out
MAX_WORDS = 12  # of one phrase
MAX_GAPS = 3  # of one phrase: each multiplies the ways to walk by GAP + 1
MAX_NESTING = 8
MAX_SHOWN = 40  # characters of a word that cannot be used

_PICTURES = "\u2600-\u27bf\u2b50\u2b55\U0001f300-\U0001faff"  # emoji speak too: each is a word of its own
_PICTURE = re.compile(f"([{_PICTURES}])")
_NOT_WORD = re.compile(f"[^\\w{_PICTURES}]+|_+")
# Accents, what makes a picture colourful, and what nobody sees: soft hyphens, joiners, places to break a line.
_MARKS = re.compile("[\u0300-\u036f\ufe00-\ufe0f\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")
_WORD = re.compile(f"[^\\W_]+\\*?|[{_PICTURES}]")
_RUN = re.compile(r"[^()|?]+")


class PatternError(ValueError):
    """A pattern that cannot be read; the message says where and what was expected."""


def plain(text: str) -> str:
    """`text` in lower case without accents (ñ reads n: people type "ano" and "senor")."""
    bare = unicodedata.normalize("NFKD", text.replace("º", " ").replace("ª", " "))  # or "Nº 5" would read "no 5"
    return _MARKS.sub("", bare).lower()


def words(text: str) -> list[str]:
    """The words of `text`, folded: plain, punctuation gone, "malisimooo" as "malisimoo"; an emoji is a word."""
    folded = _STRETCHED.sub(r"\1\1", plain(text))
    return _NOT_WORD.sub(" ", _PICTURE.sub(r" \1 ", folded)).split()


def phrases(pattern: str) -> set[tuple[str, ...]]:
    """Every phrase that `pattern` spells out. Raises PatternError."""
    pattern = "…".join(_STRETCHED.sub(r"\1\1", plain(part)) for part in pattern.split("…"))
    spelled, end = _alternatives(pattern, 0, 0)
    if end < len(pattern):
        raise PatternError(f"a ')' without '(' at character {end + 1}")
    return {_phrase(text) for text in spelled}


def _alternatives(pattern: str, at: int, depth: int) -> tuple[list[str], int]:
    """What stands from `at` to the closing bracket or the end, spelled out, and where that is."""
    done: list[str] = []
    current = [""]
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "(":
            inner, at = _group(pattern, at + 1, depth + 1)
            _few(len(done) + len(current) * len(inner))
            current = [head + tail for head in current for tail in inner]
        elif pattern[at] == "|":
            _few(len(done) + len(current))
            done, current, at = done + current, [""], at + 1
        elif run := _RUN.match(pattern, at):
            current, at = [head + run.group() for head in current], run.end()
        else:
            raise PatternError(f"'?' at character {at + 1}, expected only after ')'")
    return done + current, at


def _few(phrases: int) -> None:
    if phrases > MAX_PHRASES:
        raise PatternError(f"more than {MAX_PHRASES} phrases in one pattern")


def _group(pattern: str, at: int, depth: int) -> tuple[list[str], int]:
    """The inside of a bracket that opened just before `at`, spelled out, and where the text goes on."""
    if depth > MAX_NESTING:
        raise PatternError(f"brackets more than {MAX_NESTING} deep")
    inner, at = _alternatives(pattern, at, depth)
    if at == len(pattern):
        raise PatternError("a '(' without ')'")
    at += 1
    if pattern[at : at + 1] == "?":
        return [*inner, ""], at + 1
    return inner, at


def _phrase(text: str) -> tuple[str, ...]:
    """The words and gaps of one spelled-out phrase."""
    found = tuple(text.split())
    if not found or "…" in (found[0], found[-1]):
        raise PatternError("expected words, and a word on either side of …")
    if wrong := next((part for part in found if part != "…" and not _is_word(part)), None):
        raise PatternError(f"{wrong[:MAX_SHOWN]!r} is not a word, a word's beginning with '*', or '…'")
    if len(found) > MAX_WORDS or found.count("…") > MAX_GAPS:
        raise PatternError(f"expected at most {MAX_WORDS} words and {MAX_GAPS} gaps in a phrase")
    return found


@lru_cache(maxsize=2_000)  # the parts of one table repeat
def _is_word(part: str) -> bool:
    return _WORD.fullmatch(part) is not None


@dataclass(frozen=True, slots=True)
class Hit:
    """Pattern number `row` stands in the words from `start` up to, not including, `end`."""

    row: int
    start: int
    end: int

    def touches(self, other: Hit) -> bool:
        return self.start < other.end and other.start < self.end


_NO_CHILDREN: dict[str, _Node] = {}  # of every leaf, and most nodes are leaves: a dict each would be most of the tree


class _Node:
    __slots__ = ("gap", "rows", "stems", "words")

    def __init__(self) -> None:
        self.words = self.stems = _NO_CHILDREN  # after a word, and after what stands before a *
        self.gap: _Node | None = None
        self.rows: tuple[int, ...] = ()  # patterns that end here

    def child(self, part: str) -> _Node:
        if part == "…":
            self.gap = self.gap or _Node()
            return self.gap
        if part.endswith("*"):
            if self.stems is _NO_CHILDREN:
                self.stems = {}
            return self.stems.setdefault(part[:-1], _Node())
        if self.words is _NO_CHILDREN:
            self.words = {}
        return self.words.setdefault(part, _Node())


class Patterns:
    """Numbered patterns in one tree of words."""

    def __init__(self) -> None:
        self._root = _Node()
        self._longest_stem = 0

    def add(self, row: int, pattern: str) -> None:
        """Have `find` report `pattern` as `row`. Raises PatternError."""
        for phrase in phrases(pattern):
            node = self._root
            for part in phrase:
                node = node.child(part)
                if part.endswith("*"):
                    self._longest_stem = max(self._longest_stem, len(part) - 1)
            node.rows += (row,)

    def find(self, text: list[str]) -> set[Hit]:
        """Every place where a pattern stands in these folded words."""
        found: set[Hit] = set()
        for start in range(len(text)):
            self._walk(self._root, text, start, start, found)
        return found

    def _walk(self, node: _Node, text: list[str], start: int, at: int, found: set[Hit]) -> None:
        for row in node.rows:
            found.add(Hit(row, start, at))
        if node.gap:
            for skipped in range(GAP + 1):
                self._walk(node.gap, text, start, at + skipped, found)
        if at >= len(text):
            return
        word = text[at]
        if child := node.words.get(word):
            self._walk(child, text, start, at + 1, found)
        if node.stems:
            for length in range(1, min(len(word), self._longest_stem) + 1):
                if child := node.stems.get(word[:length]):
                    self._walk(child, text, start, at + 1, found)
