"""The reference number: how it is written, and how it is found in a subject however people mangle it (contract)."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Hyphens, dashes and minus signs of every alphabet, and the blanks, dots and slashes people write for them.
_DASHES = re.compile(r"[\u2010-\u2015\u2043\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d]")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def format_reference(prefix: str, year: int, number: int) -> str:
    """`PQR-2026-000123`."""
    return f"{prefix}-{year:04d}-{number:06d}"


def find_references(subject: str, prefix: str) -> list[str]:
    """Every reference in a subject, in order, in its canonical form, each once.

    Case, brackets, kinds of hyphen and blank, and missing leading zeros do not matter. A typo in the prefix word is
    not forgiven: a reference is found or it is not, it is never guessed.
    """
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", _INVISIBLE.sub("", subject)))
    found: dict[str, None] = {}
    for match in _pattern(prefix).finditer(_DASHES.sub("-", text)):
        number = int(match["number"] or match["glued"])
        if number:
            found[format_reference(prefix, int(match["year"]), number)] = None
    return list(found)


def leading_references(text: str, prefix: str) -> tuple[list[str], str]:
    """The references a line begins with, in their canonical form, and the rest of the line."""
    rest = _DASHES.sub("-", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))).lstrip(_LEADING)
    found: list[str] = []
    while (match := _pattern(prefix).match(rest)) and int(match["number"] or match["glued"]):
        found.append(format_reference(prefix, int(match["year"]), int(match["number"] or match["glued"])))
        rest = rest[match.end() :].lstrip(_LEADING)
    return found, rest if found else text.lstrip(_LEADING)


_LEADING = " \t[]()#,;:.*_"


@lru_cache(maxsize=8)
def _pattern(prefix: str) -> re.Pattern[str]:
    gap = r"[\s\-_./]{1,3}"
    return re.compile(
        rf"(?<![^\W_]){re.escape(prefix)}(?:{gap})?(?P<year>[0-9]{{4}})"
        rf"(?:{gap}(?P<number>[0-9]{{1,9}})|(?P<glued>[0-9]{{6}}))(?![^\W_]|-[0-9])",
        re.IGNORECASE | re.ASCII if prefix.isascii() else re.IGNORECASE,
    )
