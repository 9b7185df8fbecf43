"""Inside a forked program: it can live at another time, and die at its N-th step.

A step changes something outside of the process: a statement that is more than a look into the store, a file that gets
another name or goes, and whatever is said to a server. Who dies before each of them has died everywhere: before the
next step is after the answer to this one was read, too.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from pathlib import Path
from typing import Any

CLOCK = "DESK_CLOCK"  # a file with the seconds by which its clock is ahead, read at each look at it
STEPS = "DESK_STEPS"  # a file that gets a line for each step; processes that follow each other go on counting in it
DIES_AT = "DESK_DIES_AT"  # numbers of steps before which it ends by SIGKILL, with commas between them

_READING = ("SELECT", "PRAGMA", "--")  # "--": a trigger's statement, part of the one that fired it
_FILES = {"os.rename": "file renamed", "os.link": "file linked", "os.remove": "file removed"}  # audited by Python


def prepare(environ: Mapping[str, str]) -> None:
    """As the environment asks."""
    if file := environ.get(CLOCK):
        from pqr_mailbot import cli

        now = partial(_now, Path(file))
        cli.Daemon, cli.utc_now = partial(cli.Daemon, clock=now), now  # type: ignore[assignment, misc]
    if file := environ.get(STEPS):
        _Steps(Path(file), frozenset(map(int, filter(None, environ.get(DIES_AT, "").split(","))))).watch()


def _now(ahead: Path) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=float(ahead.read_text()))


class _Steps:
    def __init__(self, file: Path, fatal: frozenset[int]) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._done, self._fatal, self._one = file.read_bytes().count(b"\n"), fatal, threading.Lock()

    def take(self, what: str) -> None:
        """Before it is done."""
        with self._one:
            self._done += 1
            os.write(self._file, what.encode() + b"\n")
            if self._done in self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """From here on. IMAP speaks through ssl's sockets, asyncio (SMTP) through plain ones below its own TLS."""
        sqlite3.connect = self._traced(sqlite3.connect)  # type: ignore[assignment]
        ssl.SSLSocket.send = self._counted("imap", ssl.SSLSocket.send)  # type: ignore[method-assign]
        socket.socket.send = self._counted("smtp", socket.socket.send)  # type: ignore[method-assign]
        sys.addaudithook(self._audited)

    def _audited(self, event: str, _: tuple[object, ...]) -> None:
        if what := _FILES.get(event):
            self.take(what)

    def _traced(self, connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        @wraps(connect)
        def traced(*words: Any, **more: Any) -> sqlite3.Connection:
            connection = connect(*words, **more)
            connection.set_trace_callback(self._said)
            return connection

        return traced

    def _said(self, sql: str) -> None:
        if not sql.lstrip().upper().startswith(_READING):
            self.take(f"sqlite {' '.join(sql[:80].split()[:6])}")

    def _counted(self, server: str, send: Callable[..., int]) -> Callable[..., int]:
        @wraps(send)
        def counted(link: socket.socket, *words: Any) -> int:
            if link.family in (socket.AF_INET, socket.AF_INET6):  # not a pipe between our own threads
                self.take(f"{server} says")
            return send(link, *words)

        return counted
