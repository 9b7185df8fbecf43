"""What systemd is told and what it gives: readiness, the watchdog, the journal's levels."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from typing import IO


def notify(message: str, environ: Mapping[str, str] = os.environ) -> None:
    """sd_notify(3): one datagram; silence when nobody listens, and never a wait for a manager that is busy."""
    where = environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        link.setblocking(False)
        try:
            link.sendto(message.encode(), "\0" + where[1:] if where.startswith("@") else where)
        except OSError as error:
            logging.getLogger(__name__).warning("systemd could not be told %r: %s", message, error)


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """How often a sign of life is due, half of what systemd allows; None without a watchdog for this process."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 2_000_000


class _JournalLevels(logging.Formatter):
    """The journal reads the level from a `<n>` before the line (sd-daemon(3)) and adds the time itself."""

    _LEVELS = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))

    def format(self, record: logging.LogRecord) -> str:
        level = next(number for least, number in self._LEVELS if record.levelno >= least)
        return f"<{level}>{super().format(record)}".replace("\n", f"\n<{level}>")


def _is_the_journal(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """systemd.exec(5): the variable names device and inode, and is inherited by what has redirected its output."""
    try:
        state = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no file behind it
        return False
    return environ.get("JOURNAL_STREAM") == f"{state.st_dev}:{state.st_ino}"


def log_to_stderr(verbose: bool, environ: Mapping[str, str] = os.environ) -> None:
    """The program's log: to the journal as it likes it, with times on a terminal. Libraries only from warnings on:
    some of theirs would write people's addresses."""
    handler = logging.StreamHandler(sys.stderr)
    if _is_the_journal(sys.stderr, environ):
        handler.setFormatter(_JournalLevels("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.raiseExceptions = False  # a log on a full disk is no reason for a traceback
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("pqr_mailbot").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.getLogger("imapclient").setLevel(logging.ERROR)
    logging.getLogger("mailparser").setLevel(logging.CRITICAL)
