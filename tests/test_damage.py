"""A store whose bytes are no longer what was written: named in one line with what to do, and never written to again."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from bench import Bench, eml
from desk_process import DeskProcess
from office import NOW
from servers import OFFICE, Dovecot, SmtpServer, wait_until

from pqr_mailbot.adapters.sqlite_store import DamagedStore, Store, StoreProblem, only_daemon, words_left
from pqr_mailbot.flows.books import Books

CLARA = "clara@correo.test"


@pytest.fixture
def desk(tmp_path: Path, dovecot: Dovecot, smtp: SmtpServer) -> Iterator[DeskProcess]:
    dovecot.reset()
    smtp.route = dovecot.route
    desk = DeskProcess(tmp_path, dovecot, smtp)
    yield desk
    if desk.process:
        desk.process.send_signal(signal.SIGKILL)
        desk.process.wait(10)


def root_page(path: Path, table: str) -> tuple[int, int]:
    """Where the first page of a table stands in the file, and how long it is."""
    with closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
    return (page - 1) * size, size


def spoil(path: Path, table: str) -> None:
    """Another program wrote over a page of a table."""
    at, size = root_page(path, table)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(size))


def assert_told(problem: str, path: Path) -> None:
    assert problem.startswith(f"{path}: the store is damaged")
    assert "restore FILE" in problem and "\n" not in problem


DAMAGES: list[tuple[str, Callable[[Path], object]]] = [
    ("a page of a table", lambda path: spoil(path, "inbound")),
    ("half of the file", lambda path: os.truncate(path, path.stat().st_size // 8192 * 4096)),
    ("not even the header", lambda path: os.truncate(path, 60)),
    ("empty", lambda path: os.truncate(path, 0)),
    ("another header", lambda path: path.write_bytes(path.read_bytes()[:24] + bytes(100) + path.read_bytes()[124:])),
]


@pytest.mark.parametrize(("_", "damage"), DAMAGES, ids=[case[0] for case in DAMAGES])
def test_a_damaged_store_does_not_open_after_a_crash(tmp_path: Path, _: str, damage: Callable[[Path], object]) -> None:
    path = tmp_path / "desk.db"
    with only_daemon(path) as lock:
        bench = Bench(path)
        bench.take(eml())
        bench.close()
        lock.write("")
    damage(path)
    Path(f"{path}-wal").touch()  # it was not closed
    before = path.read_bytes()
    with only_daemon(path), pytest.raises(StoreProblem) as problem:
        Store.open(path, NOW)
    assert_told(str(problem.value), path)
    assert path.read_bytes() == before


def test_commits_that_the_journal_cannot_give_back(tmp_path: Path) -> None:
    """SQLite itself would open the store as it was before them, and say nothing."""
    path = tmp_path / "desk.db"
    bench = Bench(path)
    bench.store.db.conn.execute("PRAGMA wal_autocheckpoint = 0")
    for number in range(4):
        bench.take(eml(f"c{number}@x.test", message_id=f"<{number}@x.test>", text=f"texto {number}"))
    copy = tmp_path / "copy" / "desk.db"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    journal = bytearray(Path(f"{path}-wal").read_bytes())
    bench.close()
    frames = len(journal) // (24 + 4096)
    for flipped, lost in ((None, False), (frames - 1, False), (frames // 3, True)):
        wal = bytearray(journal)
        if flipped is not None:
            wal[32 + flipped * (24 + 4096) + 1000] ^= 1
        Path(f"{copy}-wal").write_bytes(wal)
        Path(f"{copy}-shm").unlink(missing_ok=True)
        before = copy.read_bytes()
        if lost:
            for _ in range(2):  # at every start
                with pytest.raises(DamagedStore, match=r"commits in desk\.db-wal cannot be read"):
                    Store.open(copy, NOW)
            assert (copy.read_bytes(), Path(f"{copy}-wal").read_bytes()) == (before, bytes(wal))
        else:  # a last transaction that a power cut interrupted is nobody's loss
            Store.open(copy, NOW).close()
            copy.write_bytes(before)


def test_damage_that_is_met_ends_all_work_on_the_store(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    bench = Bench(path)
    bench.take(eml())
    bench.close()
    with only_daemon(path) as lock:
        spoil(path, "outbox")
        books = Books(lambda: Store.open(path, NOW), lock.write)
        with pytest.raises(DamagedStore) as problem:
            books.do_now(lambda store: store.db.conn.execute("SELECT count(raw) FROM outbox NOT INDEXED").fetchall())
        assert_told(str(problem.value), path)
        with pytest.raises(DamagedStore):
            books.do_now(lambda store: store.rotate_key())
        books.close()
    assert words_left(path) == str(problem.value)
    with only_daemon(path), pytest.raises(DamagedStore):  # though it was closed
        Store.open(path, NOW)


def test_a_running_desk_that_meets_damage_ends_and_does_not_come_back(desk: DeskProcess) -> None:
    assert desk.say("run", "--once").returncode == 0
    desk.dovecot.deliver(eml(), OFFICE, "somebody@correo.test")
    desk.say("run", "--once")
    spoil(desk.store, "ticket")
    before = desk.json("inbox")
    desk.start()
    assert desk.process
    desk.dovecot.deliver(eml("Diego <diego@otro.test>", message_id="<d1@otro.test>"), OFFICE, "somebody@correo.test")
    assert desk.process.wait(30) == 1
    desk.process = None
    assert "Traceback" not in desk.log
    assert_told(desk.log.splitlines()[-1], desk.store)
    again = desk.say("run", status=1).stderr.strip()
    assert_told(again, desk.store)
    assert_told(desk.say("tickets", status=1).stderr.strip(), desk.store)
    assert all(row["state"] != "failed" for row in desk.json("inbox"))
    assert desk.json("inbox")[: len(before)] == before
    assert len(desk.dovecot.mails(OFFICE)) == 2
    checked = desk.json("check", "--offline", status=1)
    assert any(row["level"] == "FAIL" and row["what"] == "store" for row in checked)
    wait_until(lambda: len(desk.dovecot.mails(CLARA)) == 1, what="the letter of before")


def test_an_empty_store_where_there_was_none_is_made(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    path.touch()
    with only_daemon(path):
        Store.open(path, NOW).close()
    assert path.stat().st_size > 0
