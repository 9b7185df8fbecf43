"""Processes of the program, forked from one that has imported it already: each starts in a tenth of the time.

A forked one is a process in every respect that tests speak of: its own id, files, environment, signals and end. Only
that the interpreter starts and imports is left out; tests/test_cli.py and others start the program from nothing.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

LONGEST_REQUEST = 2**20


class Child:
    """A process of the program; as much of subprocess.Popen as tests use."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery, self.pid = nursery, pid

    def poll(self) -> int | None:
        """Its exit status, minus the signal that ended it; None while it runs."""
        return self._nursery.status_of(self.pid)

    def wait(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        while (status := self._nursery.status_of(self.pid, end - time.monotonic())) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("pqr_mailbot", seconds)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that has imported the program, and what is known of those it started. Not for several threads."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        self._statuses: dict[int, int] = {}

    def start(
        self, words: Sequence[str], environ: Mapping[str, str], directory: Path, out: BinaryIO, err: BinaryIO
    ) -> Child:
        request = json.dumps({"words": list(words), "environ": dict(environ), "directory": str(directory)}).encode()
        assert len(request) < LONGEST_REQUEST
        socket.send_fds(self._link, [request], [out.fileno(), err.fileno()])
        while "started" not in (told := self._hear()):
            self._statuses[told["pid"]] = told["status"]
        self._statuses.pop(told["started"], None)  # ids come round again: that was another process
        return Child(self, told["started"])

    def status_of(self, pid: int, seconds: float = 0) -> int | None:
        """Waits for as long as `seconds` for one of the processes to end."""
        while pid not in self._statuses and select.select([self._link], [], [], max(seconds, 0))[0]:
            told = self._hear()
            self._statuses[told["pid"]] = told["status"]
        return self._statuses.get(pid)

    def _hear(self) -> dict[str, int]:
        told = self._link.recv(LONGEST_REQUEST)
        assert told, "the nursery has ended"
        found: dict[str, int] = json.loads(told)
        return found

    def close(self) -> None:
        self._link.close()
        self._process.wait(20)


# -- the other side ----------------------------------------------------------------------------------------------------


def _serve(link: socket.socket) -> None:
    """Until the tests have hung up."""
    living: dict[int, int] = {}  # a descriptor that tells when a process has ended -> its id
    while True:
        for ready in select.select([link, *living], [], [])[0]:
            if ready is link:
                request, files, _, _ = socket.recv_fds(link, LONGEST_REQUEST, 2)
                if not request:
                    return
                pid = _fork(link, json.loads(request), files)
                living[os.pidfd_open(pid)] = pid
                link.send(json.dumps({"started": pid}).encode())
            else:
                pid = living.pop(ready)
                os.close(ready)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                link.send(json.dumps({"pid": pid, "status": status}).encode())


def _fork(link: socket.socket, request: dict[str, object], files: list[int]) -> int:
    if pid := os.fork():
        for descriptor in files:
            os.close(descriptor)
        return pid
    link.close()
    status = 1
    try:
        _become(request, files)
        from steps import prepare

        from pqr_mailbot.__main__ import main

        prepare(os.environ)
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _become(request: dict[str, object], files: list[int]) -> None:
    """The process that was asked for."""
    for number, descriptor in enumerate(files, start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(str(request["directory"]))
    os.environ.clear()
    os.environ.update(request["environ"])  # type: ignore[call-overload]
    time.tzset()
    sys.argv = ["pqr-mailbot", *request["words"]]  # type: ignore[misc]


def _compile_templates_once() -> None:
    """Whoever is forked finds the shipped letters compiled; others, and mended ones, compile as ever."""
    compiled: dict[tuple[object, ...], object] = {}
    plainly = Environment.compile

    def compile_once(environment: Environment, source: object, *words: object, **more: object) -> object:
        key = (environment.autoescape, source, *words, *more.items())
        if key not in compiled:
            compiled[key] = plainly(environment, source, *words, **more)  # type: ignore[call-overload]
        return compiled[key]

    Environment.compile = compile_once  # type: ignore[assignment, method-assign]
    Letters(None, Office("X", "x@x.test", ZoneInfo("UTC"))).prove()


if __name__ == "__main__":
    import gc
    import random
    from zoneinfo import ZoneInfo

    from jinja2 import Environment

    from pqr_mailbot import cli, wiring
    from pqr_mailbot.adapters.letters import Letters
    from pqr_mailbot.domain.policy import Office

    assert cli
    wiring.shipped_lexicon()
    _compile_templates_once()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.register_at_fork(after_in_child=random.seed)
    _serve(socket.socket(fileno=int(sys.argv[1])))
