"""The store on a real SQLite file: schema, constraints, the counter, the cursor, the queue, the history chain."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from office import CLAIM, CLARA

from pqr_mailbot.adapters.sqlite_store import (
    Cursor,
    FinishedLetter,
    RawMail,
    Store,
    StoreProblem,
    event_hash,
    instant,
    only_daemon,
    stamp,
)
from pqr_mailbot.domain.effects import NoteEvent, OpenTicket

NOW = datetime(2026, 6, 1, 15, 42, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "desk.db", NOW)
    yield store
    store.close()


def open_one(store: Store) -> str:
    reference = store.next_reference("PQR", 2026)
    store.open_ticket(OpenTicket(reference, CLARA, "Café", CLAIM, NOW, 15, date(2026, 6, 24), "ana@lohas.test"))
    return reference


def letter(reference: str | None, number: int, recipient: str = CLARA.address, at: datetime = NOW) -> FinishedLetter:
    token = f"t{number}"
    return FinishedLetter(
        "acknowledgement", reference, recipient, "info@lohas.test", True, f"<{token}@us>", token, b"raw", at
    )


def test_only_its_owner_may_read_the_store(store: Store) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in store.path.parent.iterdir()}
    assert modes == {0o600}


@pytest.mark.parametrize("content", [b"my diary", b"SQLite"])
def test_a_file_that_is_no_store_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "diary"
    path.write_bytes(content)
    path.chmod(0o644)
    with pytest.raises(StoreProblem, match="is no SQLite file"):
        Store.open(path, NOW)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (content, 0o644)


def test_a_device_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o644)
    with pytest.raises(StoreProblem, match="no regular file"):
        Store.open(path, NOW)


def test_a_store_that_is_removed_or_replaced_is_noticed(store: Store, tmp_path: Path) -> None:
    store.must_be_in_place()
    store.path.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreProblem, match="is gone"):
        store.must_be_in_place()
    store.path.touch()
    with pytest.raises(StoreProblem, match="was replaced"):
        store.must_be_in_place()


def test_settings_of_the_connection(store: Store) -> None:
    pragma = {
        name: store.db.conn.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "foreign_keys", "synchronous")
    }
    assert pragma == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}


def test_tables_are_strict(store: Store) -> None:
    rows = store.db.conn.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    loose = {name for name, strict in rows if not strict and not name.startswith(("sqlite_", "_sqlite", "message_fts"))}
    assert not loose


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ticket SET state = 'happy'",
        "UPDATE inbound SET state = 'lost'",
        "UPDATE inbound SET folder = 'attic'",
        "UPDATE outbox SET state = 'maybe'",
        "UPDATE message SET direction = 'sideways'",
        "UPDATE ticket SET customer = 'nobody@nowhere.test'",
        "UPDATE ticket SET level = 0",
        "UPDATE ticket SET number = 'one'",
        "INSERT INTO outbox SELECT * FROM outbox",
        "DELETE FROM ticket_event",
        "UPDATE ticket_event SET detail = 'another'",
        "UPDATE ticket_event SET event = 'another'",
        "UPDATE ticket_event SET at = '1999'",
    ],
)
def test_what_the_schema_refuses(store: Store, statement: str) -> None:
    with store.transaction():
        reference = open_one(store)
        store.queue_letter(letter(reference, 1), NOW)
        store.note_event(NoteEvent(reference, "desk", "opened", "one"), NOW)
        store.begin_mailbox("INBOX", 1, 0, NOW)
        store.store_mail("INBOX", Cursor(1, 0, NOW), [RawMail(1, NOW, 1, b"x")], 1, NOW)
        store.db.conn.execute(
            "INSERT INTO message (reference, direction, author, recipients, subject, message_id, at, text, full_text)"
            " VALUES (?, 'in', 'a', '[]', '', '<m>', 'x', '', '')",
            [reference],
        )
    with pytest.raises(sqlite3.IntegrityError):
        store.db.conn.execute(statement)


# -- references ------------------------------------------------------------------------------------------------------


def test_a_rolled_back_ticket_leaves_no_hole(store: Store) -> None:
    with store.transaction():
        assert open_one(store) == "PQR-2026-000001"
    with pytest.raises(ZeroDivisionError), store.transaction():
        open_one(store)
        raise ZeroDivisionError
    with store.transaction():
        with pytest.raises(ZeroDivisionError), store.savepoint():
            open_one(store)
            raise ZeroDivisionError
        assert open_one(store) == "PQR-2026-000002"


def test_each_year_counts_for_itself(store: Store) -> None:
    with store.transaction():
        open_one(store)
    assert store.next_reference("PQR", 2027) == "PQR-2027-000001"


def _open_many(path: Path, number: int) -> None:
    store = Store.attach(path)
    for _ in range(number):
        with store.transaction():
            open_one(store)
    store.close()


def test_two_processes_share_the_numbers_without_holes(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_open_many, args=(store.path, 40)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    numbers = [row[0] for row in store.db.conn.execute("SELECT number FROM ticket ORDER BY number")]
    assert numbers == list(range(1, 81))


# -- mail in ---------------------------------------------------------------------------------------------------------


def test_a_mail_is_kept_once_however_often_it_is_fetched(store: Store) -> None:
    with store.transaction():
        store.begin_mailbox("INBOX", 7, 10, NOW)
        cursor = store.cursor("INBOX")
        assert cursor
        mails = [RawMail(11, NOW, 5, b"uno"), RawMail(12, NOW, 5, b"dos")]
        assert store.store_mail("INBOX", cursor, mails, 12, NOW) == 2
        assert store.store_mail("INBOX", cursor, mails, 12, NOW) == 0
    assert store.waiting_ids(10) == [1, 2]
    assert store.inbound(1).raw == b"uno"
    moved = store.cursor("INBOX")
    assert moved and moved.last_uid == 12
    assert store.stored_uids("INBOX", 7, [10, 11, 12, 13]) == [11, 12]


def test_the_cursor_never_goes_back(store: Store) -> None:
    with store.transaction():
        store.begin_mailbox("INBOX", 7, 10, NOW)
        store.store_mail("INBOX", Cursor(7, 10, NOW), [], 3, NOW)
    cursor = store.cursor("INBOX")
    assert cursor and cursor.last_uid == 10


def test_a_renumbered_mailbox_is_read_anew_and_remembers_when_all_was_well(store: Store) -> None:
    later = NOW + timedelta(days=1)
    with store.transaction():
        store.begin_mailbox("INBOX", 7, 10, NOW)
        store.renumber_mailbox("INBOX", 8, 30, later)
    assert store.cursor("INBOX") == Cursor(8, 0, later, NOW, 30)


# -- the queue -------------------------------------------------------------------------------------------------------


def queued(store: Store, *letters: FinishedLetter) -> None:
    with store.transaction():
        for one in letters:
            store.queue_letter(one, NOW)


def claim(store: Store, at: datetime = NOW, limit: int = 10) -> list[int]:
    with store.transaction():
        return [one.id for one in store.claim_letters(at, limit)]


def test_letters_are_claimed_when_due_and_only_once(store: Store) -> None:
    queued(store, letter(None, 1), letter(None, 2, at=NOW + timedelta(hours=1)), letter(None, 3))
    assert store.next_letter_at() == NOW
    assert claim(store) == [1, 3]
    assert claim(store) == []
    assert claim(store, NOW + timedelta(hours=2)) == [2]
    assert store.next_letter_at() is None


def test_after_a_crash_what_was_under_way_goes_again_and_is_counted(store: Store) -> None:
    queued(store, letter(None, 1))
    assert claim(store) == [1]
    with store.transaction():
        assert store.requeue_interrupted(NOW) == 1
    assert claim(store) == [1]
    row = store.db.conn.execute("SELECT interrupted, attempts, message_id FROM outbox").fetchone()
    assert row == (1, 2, "<t1@us>")


def test_the_acknowledgement_counts_when_a_server_took_it(store: Store) -> None:
    with store.transaction():
        reference = open_one(store)
        store.queue_letter(letter(reference, 1), NOW)
        (due,) = store.claim_letters(NOW, 1)
        before = store.ticket(reference)
        store.letter_sent(due, "250 ok", NOW + timedelta(seconds=1))
    after = store.ticket(reference)
    assert before and before.acknowledged_at is None
    assert after and after.acknowledged_at == NOW + timedelta(seconds=1)


def test_who_has_waited_longest_gets_the_next_case(store: Store) -> None:
    agents = ["ana@lohas.test", "luz@lohas.test"]
    assert store.in_turn(agents) == ("ana@lohas.test", "luz@lohas.test")
    with store.transaction():
        open_one(store)
    assert store.in_turn(agents) == ("luz@lohas.test", "ana@lohas.test")
    assert store.in_turn([]) == ()


# -- history ---------------------------------------------------------------------------------------------------------


def rows_of(store: Store) -> list[sqlite3.Row]:
    connection = sqlite3.connect(store.path)
    connection.row_factory = sqlite3.Row
    with connection:
        rows = connection.execute("SELECT * FROM ticket_event ORDER BY id").fetchall()
    connection.close()
    return rows


def test_each_line_carries_the_hash_of_the_one_before_and_survives_erasure(store: Store) -> None:
    with store.transaction():
        for event in ("opened", "customer_wrote", "letter_sent"):
            store.note_event(NoteEvent(None, CLARA.address, event, "one"), NOW)
    before = rows_of(store)
    with store.transaction():
        store.db.conn.execute("UPDATE ticket_event SET actor = NULL, detail = NULL, salt = NULL WHERE id = 2")
    after = rows_of(store)
    assert [row["hash"] for row in after] == [row["hash"] for row in before]
    assert [row["hash"] for row in after] == [event_hash(dict(row)) for row in after]
    assert [row["previous_hash"] for row in after] == ["", *[row["hash"] for row in after[:-1]]]
    assert len({row["actor_commitment"] for row in after}) == 3  # salted: equal names do not show


# -- opening ---------------------------------------------------------------------------------------------------------


def test_the_second_daemon_refuses(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    with only_daemon(path), pytest.raises(StoreProblem, match="another pqr-mailbot is running"), only_daemon(path):
        pass
    with only_daemon(path):
        pass


def test_mail_of_a_store_from_before_the_sent_folder_was_watched_is_the_inboxs(store: Store) -> None:
    with store.transaction():
        store.begin_mailbox("INBOX", 1, 0, NOW)
        store.store_mail("INBOX", Cursor(1, 0, NOW), [RawMail(1, NOW, 1, b"x")], 1, NOW)
    store.db.conn.execute("ALTER TABLE inbound DROP COLUMN folder")
    store.db.conn.execute("DELETE FROM _sqlite_migrations WHERE name = 'm004_sent_folder'")
    store.close()
    again = Store.open(store.path, NOW)
    assert not again.inbound(1).from_sent
    again.close()


def test_a_newer_store_is_refused(store: Store) -> None:
    store.db.conn.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('pqr_mailbot', 'm999_future', 'x')"
    )
    with pytest.raises(StoreProblem, match=r"newer version.*m999_future"):
        Store.open(store.path, NOW)
    with pytest.raises(StoreProblem, match="newer version"):
        Store.attach(store.path)


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to look at " * 40, b"SQLite format 3\0" + b"x" * 5000]
)
def test_what_is_no_store_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "desk.db"
    path.write_bytes(content)
    with pytest.raises(StoreProblem) as problem:
        Store.open(path, NOW)
    assert str(path) in str(problem.value) and "\n" not in str(problem.value)
    assert path.read_bytes() == content


def test_no_store_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreProblem, match="no store yet"):
        Store.attach(tmp_path / "desk.db")
    with pytest.raises(StoreProblem, match="No such file"):
        Store.open(tmp_path / "missing" / "desk.db", NOW)


def test_a_store_without_tables_yet_is_brought_up_to_date_with_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    sqlite3.connect(path).close()
    path.touch()
    Store.open(path, NOW).close()
    backups = list(tmp_path.glob("desk.db.before-*"))
    assert len(backups) == 1 and stat.S_IMODE(backups[0].stat().st_mode) == 0o600


def test_instants_sort_as_text() -> None:
    moments = [NOW + timedelta(microseconds=n) for n in (0, 1, 999_999, 1_000_000)]
    assert sorted(map(stamp, reversed(moments))) == list(map(stamp, moments))
    assert [instant(stamp(moment)) for moment in moments] == moments
