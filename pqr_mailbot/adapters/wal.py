"""What SQLite does not say of its journal: that it holds commits which can no longer be read.

SQLite reads a write-ahead log up to the first frame that is not whole and takes the rest for the end of a transaction
that a crash cut short. With `synchronous = FULL` only the last one can be: a commit is on the disk before the next is
written. So whole commits beyond that frame are lost ones. The format: https://sqlite.org/walformat.html
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_HEADER, _FRAME = 32, 24  # bytes


def commits_lost(path: Path) -> int:
    """How many commits of the store at `path` its journal holds and cannot give back; 0 for none that is known.

    To be asked while a connection is open that has read: what can be read stands in the index it made.
    """
    try:
        with (
            path.with_name(f"{path.name}-shm").open("rb") as index,
            path.with_name(f"{path.name}-wal").open("rb") as wal,
        ):
            readable = struct.unpack_from("=I", index.read(20), 16)[0]
            behind = _commits_behind(wal, readable)
    except (OSError, struct.error):  # no journal, or nothing in it yet
        return 0
    return behind if behind > 1 else 0


def _commits_behind(wal: BinaryIO, readable: int) -> int:
    """Frames of the journal's present round that end a commit, beyond the readable ones."""
    header = wal.read(_HEADER)
    size = struct.unpack_from(">I", header, 8)[0]
    if size.bit_count() != 1 or not 512 <= size <= 65536:
        return 0
    salts, frames = header[16:24], (os.fstat(wal.fileno()).st_size - _HEADER) // (_FRAME + size)
    found = 0
    for number in range(readable, frames):
        wal.seek(_HEADER + number * (_FRAME + size))
        frame = wal.read(_FRAME)
        found += frame[8:16] == salts and frame[4:8] != bytes(4)
    return found
