"""Freed memory goes back to the system: one mail of 35 MB must not cost that much for ever after.

A C library other than glibc is left as it is.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD = -1  # malloc.h
_KEPT = 128 * 2**10  # bytes; glibc's own default, which it raises with each large piece that is freed


def give_back() -> None:
    """For the whole process, once at its start: set by hand, the threshold of mallopt(3) no longer moves, nor does the
    one above which a piece of memory is the system's own."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, _KEPT)


def trim() -> None:
    """After something large that was made of many small pieces, such as the tree of a page of HTML: malloc_trim(3)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
