"""A store of each version that was ever released, opened by this one: backed up, migrated, nothing lost, at work again;
and when the upgrade is cut short at any statement, the old store or the new one."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from bench import Bench
from desk_process import DeskProcess
from office import BOGOTA, DESK, NOW, POLICY
from servers import Dovecot, SmtpServer

from pqr_mailbot.adapters import sqlite_store
from pqr_mailbot.adapters.migrations import migrations
from pqr_mailbot.adapters.sqlite_store import Store, StoreProblem, event_hash
from pqr_mailbot.config import SHIPPED_REMINDERS, rules_of
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.flows.clock import ClockRound

STORES = Path(__file__).parent / "stores"
STEPS = [step.name for step in migrations._migrations]  # no public list of names
MADE = sorted(STORES.glob("v*.sql"))
OLDER = [path for path in MADE if int(path.stem[1:]) < len(STEPS)]
ONE, TWO = "PQR-2026-000001", "PQR-2026-000002"
LADDER = Desk(replace(POLICY, reminders=rules_of(SHIPPED_REMINDERS)), DESK.calendar)
TABLES = ("fact", "provider", "mailbox_cursor", "person", "ticket", "inbound", "outbox", "message", "ticket_event",
          "participant", "ticket_link", "reference_counter", "signing_key")  # fmt: skip

older = pytest.mark.parametrize("sql", OLDER, ids=[path.stem for path in OLDER])


def loaded(sql: Path, directory: Path) -> Path:
    """The store that the text describes."""
    path = directory / "desk.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; BEGIN;" + sql.read_text("utf-8") + "COMMIT;")
    return path


def content(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of the tables that the first version had."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in TABLES}


def steps_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM _sqlite_migrations ORDER BY id")]


def assert_sound(path: Path) -> None:
    """As `verify` looks: SQLite's own integrity, references between rows, the chain of the history."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        assert [tuple(row) for row in connection.execute("PRAGMA integrity_check")] == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        previous = ""
        for row in connection.execute("SELECT * FROM ticket_event ORDER BY id"):
            assert (row["previous_hash"], row["hash"]) == (previous, event_hash(dict(row)))
            previous = row["hash"]


def assert_kept(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    """Every row is there with every value it had; steps may have added columns."""
    for name, rows in before.items():
        assert [{column: new[column] for column in row} for row, new in zip(rows, after[name], strict=True)] == rows


def test_every_step_that_another_followed_has_its_store() -> None:
    assert [path.stem for path in OLDER] == [f"v{number:03}" for number in range(1, len(STEPS))]


@older
def test_an_older_store_is_backed_up_and_brought_up_to_date(sql: Path, tmp_path: Path) -> None:
    path = loaded(sql, tmp_path)
    done, before = steps_of(path), content(path)
    Store.open(path, NOW).close()
    (backup,) = tmp_path.glob("desk.db.before-*")
    assert backup.name == f"desk.db.before-{STEPS[len(done)]}"
    assert (steps_of(backup), content(backup)) == (done, before)
    assert steps_of(path) == STEPS
    assert_kept(before, content(path))
    assert_sound(path)
    assert_sound(backup)
    Store.open(path, NOW).close()
    assert list(tmp_path.glob("desk.db.before-*")) == [backup]


@older
def test_the_desk_goes_on_where_the_older_one_stopped(sql: Path, tmp_path: Path) -> None:
    bench = Bench(loaded(sql, tmp_path), LADDER)
    assert bench.work() == 1  # the mail that waited
    assert [row["reference"] for row in bench.rows("SELECT reference FROM ticket ORDER BY id")][2:] == [
        "PQR-2026-000003"
    ]
    clock = ClockRound(bench.handler)
    clock.adopt_rules(NOW)
    with bench.store.transaction():
        due = bench.store.claim_letters(_june(2, 9), 20)
    assert "diego@otro.test" in {letter.recipient for letter in due}
    heard: list[tuple[int, str, str]] = []
    for day in (2, 3, 4, 24, 25, 26, 30):
        bench.store.db.conn.execute("UPDATE outbox SET state = 'sent' WHERE state IN ('queued', 'sending')")
        seen = bench.rows("SELECT max(id) AS id FROM outbox")[0]["id"]
        clock.run(_june(day, 9))
        heard += [
            (day, row["letter"], row["recipient"])
            for row in bench.rows("SELECT * FROM outbox WHERE id > ? AND reference = ?", seen, ONE)
        ]
    assert (3, "reminder", "ana@lohas.test") in heard
    assert {day for day, letter, to in heard if letter == "overdue" and to == "clara@correo.test"} == {25}
    bench.close()
    assert_sound(tmp_path / "desk.db")


def _june(day: int, hour: int) -> datetime:
    return datetime(2026, 6, day, hour, tzinfo=BOGOTA)


# -- cut short ---------------------------------------------------------------------------------------------------------


def in_a_child(work: Callable[[], None]) -> int:
    """Runs it in a process of its own. Returns its wait status: 0, or how it died."""
    if not (child := os.fork()):
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def dying_at(statement: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the connection to a store kills this process at its n-th statement that changes something."""
    connect, seen = sqlite_store._connect, 0

    def traced(path: Path, patience: float) -> sqlite3.Connection:
        connection = connect(path, patience)

        def count(sql: str) -> None:
            nonlocal seen
            if sql.split(None, 1)[0] in ("ALTER", "CREATE", "DROP", "UPDATE", "INSERT", "COMMIT", "RELEASE"):
                seen += 1
                if seen == statement:
                    os.kill(os.getpid(), signal.SIGKILL)

        connection.set_trace_callback(count)
        return connection

    monkeypatch.setattr(sqlite_store, "_connect", traced)


def test_killed_at_any_statement_of_the_upgrade_it_is_the_old_store_or_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest = loaded(MADE[0], tmp_path)
    before = content(oldest)
    statement, reached = 0, set()
    while True:
        statement += 1
        directory = tmp_path / str(statement)
        directory.mkdir()
        path = Path(copy(oldest, directory))

        def upgrade(path: Path = path, statement: int = statement) -> None:
            dying_at(statement, monkeypatch)
            Store.open(path, NOW)

        status = in_a_child(upgrade)
        reached.add(len(steps_of(path)))
        assert steps_of(path) == STEPS[: len(steps_of(path))]
        assert_kept(before, content(path))
        assert_sound(path)
        Store.open(path, NOW).close()
        assert steps_of(path) == STEPS
        assert_kept(before, content(path))
        if status == 0:
            break
        assert status == signal.SIGKILL
    assert reached == set(range(1, len(STEPS) + 1))


@older
def test_no_room_for_the_backup(sql: Path, tmp_path: Path) -> None:
    path = loaded(sql, tmp_path)
    done, before, told = steps_of(path), content(path), tmp_path / "told"

    def upgrade() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
        try:
            Store.open(path, NOW)
        except StoreProblem as problem:
            told.write_text(str(problem))

    assert in_a_child(upgrade) == 0
    assert "no backup before the upgrade, so nothing was changed" in told.read_text()
    assert (steps_of(path), content(path)) == (done, before)
    assert not [*tmp_path.glob("desk.db.before-*"), *tmp_path.glob("*.copy")]
    Store.open(path, NOW).close()
    assert steps_of(path) == STEPS


@pytest.mark.parametrize("sql", [path for path in OLDER if path.stem != "v009"], ids=lambda path: path.stem)
def test_no_room_for_the_upgrade_itself(sql: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """m010 alone needs none: it only adds columns."""
    path = loaded(sql, tmp_path)
    before, connect = content(path), sqlite_store._connect

    def cramped(path: Path, patience: float) -> sqlite3.Connection:
        connection = connect(path, patience)
        connection.execute("PRAGMA max_page_count = 1")  # as many as there are
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(sqlite_store, "_connect", cramped)
        with pytest.raises(StoreProblem, match="the disk is full") as problem:
            Store.open(path, NOW)
    assert "\n" not in str(problem.value)
    assert_kept(before, content(path))
    assert_sound(path)
    Store.open(path, NOW).close()
    assert steps_of(path) == STEPS


# -- the other way round -----------------------------------------------------------------------------------------------

COMMANDS = [
    ["run"], ["run", "--once"], ["check", "--offline"], ["status"], ["tickets"], ["show", ONE], ["search", "café"],
    ["inbox"], ["outbox"], ["retry", "1"], ["explain", "1"], ["order", ONE, "#resolver"], ["rotate-key"],
]  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path, dovecot: Dovecot, smtp: SmtpServer) -> Iterator[DeskProcess]:
    desk = DeskProcess(tmp_path, dovecot, smtp)
    yield desk
    assert desk.process is None


def test_a_newer_store_is_refused_by_every_command_and_left_as_it_is(desk: DeskProcess) -> None:
    loaded(MADE[-1], desk.directory)
    Store.open(desk.store, NOW).close()
    with closing(sqlite3.connect(desk.store)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('pqr_mailbot', 'm999_later', 'x')"
        )
    before = desk.store.read_bytes()
    for words in COMMANDS:
        told = desk.say(*words, status=1)
        said = (told.stdout if words[0] == "check" else told.stderr).splitlines()
        assert sum("newer version of pqr-mailbot" in line for line in said) == 1, (words, told)
        assert words[0] == "check" or len(said) == 1, (words, told)
    assert desk.store.read_bytes() == before


def test_an_older_store_is_named_by_every_command_beside_the_daemon(desk: DeskProcess) -> None:
    loaded(MADE[0], desk.directory)
    before = desk.store.read_bytes()
    for words in COMMANDS[3:]:
        assert "older version" in desk.say(*words, status=1).stderr, words
    assert desk.store.read_bytes() == before
