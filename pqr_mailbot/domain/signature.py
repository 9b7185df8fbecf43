"""A colleague's signature, which their answer does without: the letter says who writes, no inner address goes out."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pqr_mailbot.domain.spanish import folded

LONGEST = 10  # lines
_CONTACT = re.compile(
    r"(?:tel[eé]?f?o?n?o?|cel(?:ular)?|m[oó]vil|ext|whatsapp|www\.|https?://|\+?\d[\d\s().-]{6,}|[^\s@]+@[^\s@]+\.\w+)",
    re.IGNORECASE,
)


def without_signature(text: str, name: str, addresses: Collection[str]) -> str:
    """The text without the lines at its end that only say who writes.

    They begin with the colleague's own name, or with one of their own addresses, alone on its line, within the last
    lines; whatever stands below must look like a signature too. A closing such as "Cordialmente," stays. The first name
    alone counts where it ends the text as one signs: below an empty line or a closing's comma.
    """
    lines = text.rstrip().split("\n")
    start = max(0, len(lines) - LONGEST)
    for at in range(start, len(lines)):
        below = [line.strip() for line in lines[at:] if line.strip()]
        if below and _is_own(below[0], name, addresses) and all(_is_signature(line) for line in below[1:]):
            return "\n".join(lines[:at]).rstrip()
    if _signs(lines[-2:], name):
        return "\n".join(lines[:-1]).rstrip()
    return text.strip("\n")


def _is_own(line: str, name: str, addresses: Collection[str]) -> bool:
    bare = folded(line.strip("*_-–—•|<> \t,."))
    return bare == folded(name) if name and bare == folded(name) else bare.removeprefix("mailto:") in addresses


def _signs(last: Sequence[str], name: str) -> bool:
    first = folded(name).partition(" ")[0]
    above, own = (line.strip() for line in last) if len(last) == 2 else ("-", "")
    return bool(first) and (not above or above.endswith(",")) and folded(own.strip("*_-–—• .")) == first


def _is_signature(line: str) -> bool:
    """A post, a company, a telephone: short, and nobody speaks in it."""
    return (
        len(line) <= 80
        and not re.search(r"[?¿!¡]|[.,;:]$", line)
        and (_CONTACT.search(line) is not None or len(line.split()) <= 8)
    )
