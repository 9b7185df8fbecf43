"""What a machine runs out of, under a real daemon between a real Dovecot and a real SMTP server: room on the disk, the
right to write, the lock on the store, file handles, memory. It is said once, passes by itself, and nothing is lost."""

from __future__ import annotations

import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes
from pathlib import Path

import pytest
from bench import eml
from desk_process import DeskProcess
from office import NOW
from servers import OFFICE, SMTP_PASSWORD, Authority, Dovecot, SmtpServer, wait_until

from pqr_mailbot.adapters.sqlite_store import Store, StoreProblem, only_daemon

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import large_mails

CLARA, DIEGO = "clara@correo.test", "diego@otro.test"
MEGABYTE, NOBODY = 2**20, 65534
ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount; RLIMIT_FSIZE beside it needs nobody")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where the store is to lie; what was mounted on it is taken away."""
    place = tmp_path / "store"
    place.mkdir()
    yield place
    while os.path.ismount(place):
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def desk(tmp_path: Path, place: Path, dovecot: Dovecot, smtp: SmtpServer) -> Iterator[DeskProcess]:
    """Configured, not started; the log lies on another disk than the store."""
    dovecot.reset()
    smtp.route = dovecot.route
    desk = _Desk(tmp_path, dovecot, smtp)
    yield desk
    if desk.process:
        desk.process.send_signal(signal.SIGKILL)
        desk.process.wait(10)


class _Desk(DeskProcess):
    @property
    def store(self) -> Path:
        return self.directory / "store" / "desk.db"

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def write(self, raw: bytes) -> None:
        self.dovecot.deliver(raw, OFFICE, "somebody@correo.test")

    def fetched(self) -> None:
        wait_until(lambda: self.json("status", status=None)["last_fetch_at"] is not None, what="the first fetch")

    def says(self, words: str) -> None:
        wait_until(lambda: words in self.log, 30, f"“{words}” in the log:\n{self.log[-2000:]}")

    def acknowledged(self, *addresses: str) -> None:
        """Everybody has exactly one letter, and nothing went twice."""
        for address in addresses:
            what = f"the letter to {address}:\n{self.log[-3000:]}"
            wait_until(lambda to=address: len(self.dovecot.mails(to)) >= 1, 40, what)  # type: ignore[misc]
        assert [len(self.dovecot.mails(address)) for address in addresses] == [1] * len(addresses)

    def trouble(self) -> list[str]:
        return [line for line in self.log.splitlines() if "tried again until it passes" in line]


def bulky(size: int) -> bytes:
    """A mail of Clara's that needs `size` bytes of the store."""
    return large_mails.attachment(1, size).replace(b"c1@", b"clara@")


# -- no room -----------------------------------------------------------------------------------------------------------


@contextmanager
def tmpfs(desk: _Desk) -> Iterator[tuple[str, Callable[[], None]]]:
    """The store on a disk of 8 MB, which a large file fills."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", desk.store.parent], check=True)
    desk.start()
    desk.fetched()
    filling = desk.store.parent / "filling"
    with suppress(OSError), filling.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    yield "the disk is full", filling.unlink
    desk.stop()


@contextmanager
def file_size(desk: _Desk) -> Iterator[tuple[str, Callable[[], None]]]:
    """No file of the daemon may grow (RLIMIT_FSIZE): works for every user."""
    desk.start()
    desk.fetched()
    _, hard = resource.prlimit(desk.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(desk.pid, resource.RLIMIT_FSIZE, (2**16, hard))
    yield "I/O error", lambda: resource.prlimit(desk.pid, resource.RLIMIT_FSIZE, (hard, hard)) and None
    desk.stop()


@pytest.mark.parametrize("full", [pytest.param(tmpfs, marks=ROOT_ONLY), file_size])
def test_a_full_disk_passes(desk: _Desk, full: Callable[[_Desk], object]) -> None:
    with full(desk) as (words, clear):  # type: ignore[attr-defined]
        desk.write(bulky(MEGABYTE))
        desk.write(eml("Diego <diego@otro.test>", message_id="<d1@otro.test>"))
        desk.says(words)
        time.sleep(1.5)  # it is tried again meanwhile
        status = desk.json("status", status=1)
        assert any(words in problem for problem in status["problems"]), status
        assert desk.json("tickets") == []
        assert len(desk.trouble()) == 1, desk.log
        assert len(desk.dovecot.mails(OFFICE)) == 2
        clear()
        desk.acknowledged(CLARA, DIEGO)
        wait_until(lambda: desk.json("status", status=None)["healthy"], what="health")
    assert "all goes on" in desk.log
    assert "Traceback" not in desk.log
    assert [row["reason"] for row in desk.json("inbox")] == ["opened a case"] * 2
    assert all(row["state"] == "sent" for row in desk.json("outbox"))


@pytest.mark.parametrize("killed", [False, True])
def test_letters_under_way_when_the_disk_fills(desk: _Desk, smtp: SmtpServer, killed: bool) -> None:
    """Sent, and that cannot be noted: it is remembered and noted later. Killed meanwhile it goes again, as itself."""
    smtp.answers = {"DOT": 0.4}
    with file_size(desk) as (words, clear):
        clear()
        desk.write(eml())
        wait_until(lambda: "DATA" in smtp.heard, what="a letter under way")
        resource.prlimit(desk.pid, resource.RLIMIT_FSIZE, (2**16, resource.RLIM_INFINITY))
        smtp.wait_for(1)
        desk.says(words)
        if killed:
            desk.stop(signal.SIGKILL)
            smtp.answers = {}
            desk.start()
        else:
            clear()
        wait_until(lambda: {row["state"] for row in desk.json("outbox")} == {"sent"}, what="the notes")
    ids = Counter(message_from_bytes(letter.data)["Message-ID"] for letter in smtp.received)
    again = re.findall(r"(\d+) letters were under way", desk.log)
    assert len(ids) == 2
    assert sum(ids.values()) - 2 <= sum(map(int, again))
    assert bool(again) is killed
    assert "Traceback" not in desk.log


# -- no right to write -------------------------------------------------------------------------------------------------


@ROOT_ONLY
def test_a_read_only_disk_at_the_start_and_while_running(desk: _Desk) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", desk.store.parent], check=True)
    assert desk.say("run", "--once").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", desk.store.parent], check=True)
    told = desk.say("run", status=1).stderr.strip().splitlines()
    assert len(told) == 1
    assert "desk.db" in told[0] and "ead-only" in told[0]
    assert desk.json("tickets") == []  # what only reads can be had all the same
    subprocess.run(["mount", "-o", "remount,rw", desk.store.parent], check=True)
    desk.write(eml())
    desk.say("run", "--once")
    desk.acknowledged(CLARA)


UNWRITABLE = [("the store", "desk.db", 0o444), ("its directory", ".", 0o555), ("its lock", "desk.db.lock", 0o444)]


@pytest.mark.parametrize(("_", "what", "mode"), UNWRITABLE, ids=[case[0] for case in UNWRITABLE])
def test_what_this_user_may_not_write(tmp_path: Path, _: str, what: str, mode: int) -> None:
    """As the user nobody when we are root, for whom modes mean nothing."""
    path = tmp_path / "desk.db"
    with only_daemon(path):
        Store.open(path, NOW).close()
    before = path.read_bytes()
    if os.getuid() == 0:
        for one in (tmp_path, *tmp_path.iterdir()):
            os.chown(one, NOBODY, NOBODY)
        for one in tmp_path.parents:
            if one.owner() == "root" and one.is_relative_to("/tmp"):
                one.chmod(one.stat().st_mode | 0o011)
    (tmp_path / what).chmod(mode)
    told = _told_to_nobody(path)
    tmp_path.chmod(0o755)
    assert told.startswith(f"{path}: ") and "\n" not in told
    assert re.search("read-only|Permission denied|cannot be opened", told)
    assert path.read_bytes() == before


def _told_to_nobody(path: Path) -> str:
    """What opening a store says in a process that is not root's."""
    ear, mouth = os.pipe()
    if not (child := os.fork()):
        said = "nothing"
        try:
            if os.getuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            with only_daemon(path):
                Store.open(path, NOW)
        except BaseException as problem:  # told to the parent, whatever it is
            said = str(problem) if isinstance(problem, StoreProblem) else repr(problem)
        os.write(mouth, said.encode())
        os._exit(0)
    os.close(mouth)
    os.waitpid(child, 0)
    with os.fdopen(ear, "rb") as file:
        return file.read().decode()


# -- locked ------------------------------------------------------------------------------------------------------------


def test_a_store_that_another_program_holds(desk: _Desk) -> None:
    """An admin's shell between BEGIN IMMEDIATE and COMMIT."""
    with desk.running():
        desk.fetched()
        with sqlite3.connect(desk.store, isolation_level=None) as shell:
            shell.execute("BEGIN IMMEDIATE")
            desk.write(eml())
            desk.says("locked by another program")
            assert desk.json("tickets") == []
            assert any("locked" in problem for problem in desk.json("status", status=1)["problems"])
            shell.execute("COMMIT")
        shell.close()
        desk.acknowledged(CLARA)
        wait_until(lambda: desk.json("status", status=None)["healthy"], what="health")
    assert len(desk.trouble()) == 1


def test_one_desk_a_store_by_whatever_name(desk: _Desk, tmp_path: Path) -> None:
    other = _Other(tmp_path / "other", desk)
    other.store.symlink_to(desk.store)
    with desk.running():
        desk.fetched()
        assert "another pqr-mailbot is running" in other.say("run", "--once", status=1).stderr
        desk.write(eml())
        desk.acknowledged(CLARA)
        assert len(other.json("tickets")) == 1  # read through the link, the journal beside the store
        other.store.unlink()
        other.store.hardlink_to(desk.store)
        assert "second name (a hard link)" in other.say("run", "--once", status=1).stderr
        other.store.unlink()


class _Other(DeskProcess):
    """Another configuration for the same mailbox."""

    def __init__(self, directory: Path, desk: DeskProcess) -> None:
        directory.mkdir()
        super().__init__(directory, desk.dovecot, desk.smtp_server)


# -- no file handles ---------------------------------------------------------------------------------------------------


def test_no_file_handles_left(desk: _Desk, smtp: SmtpServer) -> None:
    """Neither server can be reached, no ticket opened (SQLite needs a file for a savepoint); then all goes on."""
    smtp.stop()
    with desk.running():
        desk.fetched()
        desk.write(eml())
        wait_until(lambda: len(desk.json("tickets")) == 1, what="the case")
        soft, hard = resource.prlimit(desk.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(desk.pid, resource.RLIMIT_NOFILE, (3, hard))  # what is open stays so, nothing new is opened
        smtp.start()
        desk.write(eml("Diego <diego@otro.test>", message_id="<d1@otro.test>"))
        desk.says("a file of the store cannot be opened")
        desk.says("PEM: Too many open files")  # no certificates can be read
        desk.dovecot.stop()
        desk.dovecot.start()
        wait_until(lambda: re.search("imap: .*Too many open files", desk.log) is not None, what="the mailbox")
        assert any("Too many open files" in one for one in desk.json("status", status=1)["problems"])
        resource.prlimit(desk.pid, resource.RLIMIT_NOFILE, (soft, hard))
        desk.acknowledged(CLARA, DIEGO)
    assert {row["state"] for row in desk.json("outbox")} == {"sent"}


# -- memory ------------------------------------------------------------------------------------------------------------


def test_the_largest_mails_in_a_row(tmp_path: Path, dovecot: Dovecot, authority: Authority) -> None:
    """More of them: benchmarks/large_mails.py."""
    dovecot.reset()
    login = (OFFICE, SMTP_PASSWORD)
    with SmtpServer(authority, "starttls", login, size_limit=large_mails.SMTP_LIMIT) as server:
        kinds = (large_mails.both, large_mails.attachment)
        mails = [make(number, large_mails.SIZE) for number, make in enumerate(kinds)]
        (tried, owed, lost, twice), peak = large_mails.run(tmp_path, dovecot, server, mails)
        assert (tried, owed, lost, twice) == (2, 4, 0, 0)
        assert max(len(letter.data) for letter in server.received) > 13 * large_mails.MEGABYTE * 0.9
    assert peak < large_mails.ALLOWED
