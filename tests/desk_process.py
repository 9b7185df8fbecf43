"""The desk as the office has it: a configuration file, and the program as a process of its own."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from nursery import Child, Nursery
from servers import OFFICE, SMTP_PASSWORD, Dovecot, SmtpServer, wait_until
from steps import CLOCK

OFFICE_TABLES = """
[office]
name = "Lohas Beans SAS BIC"
address = "info@lohas.test"
aliases = ["hola@lohas.test"]
[[agents]]
address = "ana@lohas.test"
name = "Ana Ruiz"
[[levels]]
name = "Servicio al cliente"
addresses = ["ana@lohas.test"]
[[levels]]
name = "Coordinación"
addresses = ["coordinacion@lohas.test"]
"""


@dataclass
class DeskProcess:
    """One office in `directory`. `imap` and `smtp` are keys laid over what fits the running servers."""

    directory: Path
    dovecot: Dovecot
    smtp_server: SmtpServer
    imap: dict[str, Any] = field(default_factory=dict)
    smtp: dict[str, Any] = field(default_factory=dict)
    more: str = ""
    hours: str = "00:00-00:01"  # whatever the hour of the test, no letter comes that may wait, such as a digest
    environ: dict[str, str] = field(default_factory=dict)  # laid over that of the tests
    ahead: float = 0.0  # seconds
    process: Child | None = None

    def __post_init__(self) -> None:
        (self.directory / "imap").write_text(self.dovecot.passwords[OFFICE] + "\n", "utf-8")
        (self.directory / "smtp").write_text(SMTP_PASSWORD + "\n", "utf-8")
        self.configure()

    def configure(self, imap: dict[str, Any] | None = None, smtp: dict[str, Any] | None = None) -> None:
        self.imap, self.smtp = {**self.imap, **(imap or {})}, {**self.smtp, **(smtp or {})}
        ca_file = str(self.dovecot.ca_file)
        mailbox = {"host": "localhost", "port": self.dovecot.tls_port, "tls": "implicit", "ca_file": ca_file,
                   "username": OFFICE, "password": "file:imap", "poll_seconds": 2, **self.imap}  # fmt: skip
        relay = {"host": "localhost", "port": self.smtp_server.port, "tls": "starttls", "ca_file": ca_file,
                 "username": OFFICE, "password": "file:smtp", **self.smtp}  # fmt: skip
        tables = {"imap": mailbox, "smtp": relay, "store": {"path": str(self.store)},
                  "calendar": {"office_hours": self.hours}}  # fmt: skip
        text = OFFICE_TABLES + self.more
        for name, keys in tables.items():
            text += f"\n[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        self.config.write_text(text, "utf-8")

    @property
    def config(self) -> Path:
        return self.directory / "config.toml"

    @property
    def store(self) -> Path:
        return self.directory / "desk.db"

    @property
    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text("utf-8") if path.exists() else ""

    def time_is(self, now: datetime) -> None:
        """From now on, and it goes on from there."""
        self.ahead = (now - datetime.now(UTC)).total_seconds()
        file = self.directory / "ahead.new"
        file.write_text(str(self.ahead))
        file.rename(self.directory / "ahead")
        self.environ[CLOCK] = str(self.directory / "ahead")

    # -- the daemon ------------------------------------------------------------------------------------------------

    def start(self, **environment: str) -> None:
        """Returns once it says that it is open."""
        opened = self.log.count("the desk is open")
        self.launch(**environment)
        wait_until(lambda: self.log.count("the desk is open") > opened or self._ended(), what=f"the desk:\n{self.log}")
        assert not self._ended(), self.log

    def launch(self, **environment: str) -> None:
        """Returns at once."""
        with (self.directory / "log").open("ab") as log:
            self.process = self._started(["run"], log, log, environment)

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and waits for the end. Returns the exit status."""
        assert self.process
        self.process.send_signal(number)
        status = self.process.wait(20)
        self.process = None
        return status

    @contextmanager
    def running(self, **environment: str) -> Iterator[None]:
        """The daemon is up inside, and was never ill."""
        self.start(**environment)
        try:
            yield
        finally:
            status = self.stop() if self.process else 0
        assert status == 0, self.log
        assert "Traceback" not in self.log, self.log

    # -- commands --------------------------------------------------------------------------------------------------

    def say(self, *words: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Runs a command of the admin's. `status` None: any."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            ended = self._started(words, out, err).wait(60)
            out.seek(0)
            err.seek(0)
            done = subprocess.CompletedProcess(words, ended, out.read().decode(), err.read().decode())
        assert status is None or done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *words: str, status: int | None = 0) -> Any:
        return json.loads(self.say(*words, "--json", status=status).stdout)

    def _started(
        self, words: Sequence[str], out: BinaryIO, err: BinaryIO, environment: Mapping[str, str] | None = None
    ) -> Child:
        command = ["--config", str(self.config), *words]
        return nursery().start(command, {**os.environ, **self.environ, **(environment or {})}, self.directory, out, err)


@cache
def nursery() -> Nursery:
    """One for all tests of this process; it ends with it."""
    made = Nursery()
    atexit.register(made.close)
    return made
