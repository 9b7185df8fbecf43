"""Freed memory goes back to the system: one mail of 35 MB must not cost that much for ever after."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD = -1  # malloc.h
_KEPT = 128 * 2**10  # bytes; glibc's own default, which it raises with each large piece that is freed


def give_back() -> None:
    """For the whole process, once at its start. A C library that knows no mallopt(3) is left as it is.

    Set by hand the threshold no longer moves, nor does the one above which a piece of memory is the system's own.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, _KEPT)
