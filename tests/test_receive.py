"""Reading a real mailbox: everything once, in order, whatever its size, whoever else works in it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench import eml
from imapclient import IMAPClient
from office import BOGOTA
from servers import OFFICE, Dovecot

from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.imap_mailbox import Mailbox
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.fetching import AT_ONCE, FETCHES, HEAD, MAILS_AT_ONCE
from pqr_mailbot.flows.providers import Standing
from pqr_mailbot.flows.receive import MOVE_PROBLEM, Reading, Receiver

BEGIN = datetime(2026, 6, 1, 15, 0, tzinfo=UTC)  # our first look at the mailbox


class Reader:
    """A receiver on its own store, and somebody else's mail program on the same mailbox."""

    def __init__(self, path: Path, dovecot: Dovecot, colleague: IMAPClient) -> None:
        self.dovecot, self.colleague = dovecot, colleague
        self.books = Books(lambda: Store.open(path, BEGIN))
        self.reading = Reading("INBOX", "", None, 60.0, 30 * 2**20, BOGOTA)
        self.woken = 0

    def once(self, now: datetime = BEGIN, opened: Callable[[], Mailbox] | None = None) -> None:
        """One whole fetch."""
        receiver = Receiver(
            self.books, opened or self.open, Standing("imap", "mark"), self.reading, lambda: now, self._wake
        )
        receiver.once()

    def _wake(self) -> None:
        self.woken += 1

    def open(self) -> Mailbox:
        password = self.dovecot.passwords[OFFICE]
        return Mailbox.open(self.dovecot.endpoint(OFFICE), password, self.reading.folder)

    def arrives(self, raw: bytes, at: datetime = BEGIN, folder: str = "INBOX") -> None:
        """With this INTERNALDATE."""
        self.colleague.append(folder, raw, msg_time=at)

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        def read(store: Store) -> list[tuple[Any, ...]]:
            return store.db.conn.execute(f"SELECT {columns} FROM inbound ORDER BY id").fetchall()

        return self.books.do_now(read)

    def raws(self) -> list[bytes]:
        return self.books.do_now(lambda s: [s.inbound(i).raw for (i,) in s.db.conn.execute("SELECT id FROM inbound")])

    def fact(self, name: str) -> str | None:
        return self.books.do_now(lambda store: store.fact(name))


@pytest.fixture
def reader(tmp_path: Path, dovecot: Dovecot) -> Iterator[Reader]:
    dovecot.reset(OFFICE)
    with dovecot.client(OFFICE) as colleague:
        reader = Reader(tmp_path / "desk.db", dovecot, colleague)
        yield reader
        reader.books.close()


def numbered(number: int, size: int = 0) -> bytes:
    return eml(text=f"carta {number}\r\n" + "x" * 70 + "\r\n" * (size > 0) + ("y" * 76 + "\r\n") * (size // 78))


def test_everything_once_and_in_order(reader: Reader) -> None:
    reader.once()
    mails = [numbered(n) for n in range(MAILS_AT_ONCE + 7)]
    for mail in mails:
        reader.arrives(mail)
    reader.once()
    reader.once()
    assert reader.raws() == mails
    assert reader.woken == 2  # two batches, and nobody is woken for nothing


def test_a_person_who_reads_flags_and_removes_mail_hides_none_of_the_rest(reader: Reader) -> None:
    reader.once()
    for number in range(5):
        reader.arrives(numbered(number))
    reader.colleague.add_flags(reader.colleague.search()[:3], ["\\Seen", "\\Flagged"])
    reader.colleague.delete_messages(reader.colleague.search()[1])
    reader.colleague.expunge()
    reader.once()
    assert reader.raws() == [numbered(n) for n in (0, 2, 3, 4)]


@pytest.mark.parametrize("size", [AT_ONCE - 5000, AT_ONCE + 5000, 9 * 2**20])
def test_large_mail_is_whole(reader: Reader, size: int) -> None:
    reader.once()
    mails = [numbered(1), numbered(2, size), numbered(3)]
    for mail in mails:
        reader.arrives(mail)
    reader.once()
    assert reader.raws() == mails
    assert reader.rows("complete") == [(1,)] * 3


def test_of_mail_above_the_limit_the_beginning_is_kept(reader: Reader) -> None:
    reader.reading = replace(reader.reading, max_bytes=5 * 2**20)
    reader.once()
    mail = numbered(1, 6 * 2**20)
    reader.arrives(mail)
    reader.once()
    assert reader.rows("complete, size") == [(0, len(mail))]
    assert reader.raws() == [mail[:HEAD]]


def test_receipt_is_the_servers_instant(reader: Reader) -> None:
    reader.once()
    reader.arrives(numbered(1), BEGIN + timedelta(minutes=42))
    reader.once(BEGIN + timedelta(days=3))
    assert reader.rows("received_at")[0][0].startswith("2026-06-01T15:42:00")


@pytest.mark.parametrize(
    ("received", "taken"),
    [
        (datetime(2026, 5, 31, 23, 59, tzinfo=BOGOTA), False),
        (datetime(2026, 6, 1, 0, 0, tzinfo=BOGOTA), True),
        (datetime(2026, 6, 1, 4, 59, tzinfo=UTC), False),  # already the day in UTC, not yet in Bogotá
        (datetime(2026, 6, 3, 9, 0, tzinfo=BOGOTA), True),
    ],
)
def test_start_from_is_a_day_of_the_office(reader: Reader, received: datetime, taken: bool) -> None:
    reader.reading = replace(reader.reading, start_from=date(2026, 6, 1))
    reader.arrives(numbered(1), received)
    reader.once()
    assert len(reader.rows("id")) == taken


def test_by_default_what_was_there_before_us_is_left_alone(reader: Reader) -> None:
    reader.arrives(numbered(1))
    reader.once()
    reader.arrives(numbered(2))
    reader.once()
    assert reader.raws() == [numbered(2)]


def test_an_outage_of_weeks_loses_nothing(reader: Reader) -> None:
    reader.once()
    reader.arrives(numbered(1), BEGIN + timedelta(days=1))
    reader.once(BEGIN + timedelta(days=40))
    assert reader.raws() == [numbered(1)]
    assert reader.rows("suspect_before") == [(None,)]


def test_old_mail_put_into_the_folder_by_a_persons_hand_is_suspect(reader: Reader) -> None:
    reader.once()
    reader.arrives(numbered(1), BEGIN - timedelta(days=90))
    reader.once()
    assert reader.rows("suspect_before")[0][0] is not None


def test_a_renumbered_folder_is_read_anew_with_suspicion(reader: Reader) -> None:
    """UIDVALIDITY changed: known mail comes again under other numbers; what is new and recent is nobody's suspect."""
    reader.reading = replace(reader.reading, folder="Entrada")
    reader.colleague.create_folder("Entrada")
    reader.once()
    reader.arrives(numbered(1), BEGIN + timedelta(hours=1), "Entrada")
    reader.once(BEGIN + timedelta(hours=2))
    reader.colleague.delete_folder("Entrada")
    reader.colleague.create_folder("Entrada")
    reader.arrives(numbered(1), BEGIN + timedelta(hours=1), "Entrada")
    reader.once(BEGIN + timedelta(days=9))
    reader.arrives(numbered(2), BEGIN + timedelta(days=9), "Entrada")
    reader.once(BEGIN + timedelta(days=9))
    assert reader.raws() == [numbered(1), numbered(1), numbered(2)]
    first, again, new = [row[0] for row in reader.rows("suspect_before")]
    assert (first, new) == (None, None)
    assert again is not None


def test_a_mail_of_the_second_in_which_we_began_is_read_anew_too(reader: Reader) -> None:
    """INTERNALDATE has no parts of a second: the mail came after our start, and its date says before."""
    reader.reading = replace(reader.reading, folder="Entrada")
    reader.colleague.create_folder("Entrada")
    reader.once(BEGIN + timedelta(milliseconds=500))
    reader.colleague.delete_folder("Entrada")
    reader.colleague.create_folder("Entrada")
    reader.arrives(numbered(1), BEGIN + timedelta(milliseconds=700), "Entrada")
    reader.once(BEGIN + timedelta(hours=1))
    assert reader.raws() == [numbered(1)]


def test_a_mailbox_set_back_by_its_provider_counts_again(reader: Reader, tmp_path: Path) -> None:
    """It was restored from a backup: under the same UIDVALIDITY new mail comes under UIDs that we have read."""
    reader.once()
    reader.arrives(numbered(1))
    mail = reader.dovecot.home / "mail" / OFFICE
    subprocess.run(["cp", "-a", mail, tmp_path / "backup"], check=True)
    reader.arrives(numbered(2))
    reader.arrives(numbered(3))
    reader.once()
    shutil.rmtree(mail)
    subprocess.run(["cp", "-a", tmp_path / "backup", mail], check=True)
    with reader.dovecot.client(OFFICE) as colleague:
        colleague.append("INBOX", numbered(4), msg_time=BEGIN)
    reader.once()
    reader.once()
    assert reader.raws() == [numbered(n) for n in (1, 2, 3, 1, 4)]


def test_the_last_mail_removed_is_no_restore(reader: Reader) -> None:
    reader.once()
    for number in (1, 2):
        reader.arrives(numbered(number))
    reader.once()
    reader.colleague.delete_messages(reader.colleague.search()[-1])
    reader.colleague.expunge()
    reader.once()
    assert reader.raws() == [numbered(1), numbered(2)]


def test_a_folder_named_in_spanish(reader: Reader) -> None:
    reader.reading = replace(reader.reading, folder="Reclamación & más")
    reader.colleague.create_folder("Reclamación & más")
    reader.once()
    reader.arrives(numbered(1), folder="Reclamación & más")
    reader.once()
    assert reader.raws() == [numbered(1)]


def test_a_clock_that_was_hours_ahead_at_the_start_silences_nobody(reader: Reader) -> None:
    reader.once(BEGIN + timedelta(hours=12))
    reader.arrives(numbered(1), BEGIN + timedelta(minutes=1))
    reader.once(BEGIN + timedelta(minutes=2))
    assert reader.rows("suspect_before") == [(None,)]


def test_a_back_off_written_by_a_wrong_clock_is_not_believed(reader: Reader) -> None:
    def wrong(store: Store) -> None:
        with store.transaction():
            store.provider_failed("imap", "no", BEGIN + timedelta(days=900), "", BEGIN)

    reader.books.do_now(wrong)
    standing = Standing("imap", "mark")
    assert reader.books.do_now(lambda store: standing.wait_until(store, BEGIN)) is None


class Withholding:
    """A mailbox of whose mails the server cannot hand out one."""

    def __init__(self, mailbox: Mailbox, uid: int) -> None:
        self._mailbox, self._uid = mailbox, uid

    def bodies(self, uids: Any) -> Any:
        if self._uid in uids:
            raise Trouble("dropped", "the server broke")
        return self._mailbox.bodies(uids)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailbox, name)


def test_a_mail_that_the_server_cannot_hand_out_is_seen_and_stands_in_nobodys_way(reader: Reader) -> None:
    reader.once()
    for number in range(4):
        reader.arrives(numbered(number))
    bad = reader.colleague.search()[1]
    receiver = Receiver(reader.books, lambda: Withholding(reader.open(), bad),  # type: ignore[arg-type,return-value]
                        Standing("imap", "mark"), reader.reading, lambda: BEGIN)  # fmt: skip
    for _ in range(FETCHES):
        with pytest.raises(Trouble):
            receiver.once()
    receiver.once()
    assert reader.rows("state") == [("new",), ("failed",), ("new",), ("new",)]
    assert f"UID {bad}" in reader.rows("error")[1][0]


# -- MOVE ----------------------------------------------------------------------------------------------------------


def test_stored_mail_is_moved_away(reader: Reader) -> None:
    reader.reading = replace(reader.reading, move_to="Atendidos")
    reader.colleague.create_folder("Atendidos")
    reader.once()
    reader.arrives(numbered(1))
    reader.once()
    assert reader.dovecot.mails(OFFICE) == []
    assert reader.dovecot.mails(OFFICE, "Atendidos") == [numbered(1)]


def test_mail_of_before_us_is_not_moved(reader: Reader) -> None:
    reader.reading = replace(reader.reading, move_to="Atendidos")
    reader.colleague.create_folder("Atendidos")
    reader.arrives(numbered(1))
    reader.once()
    reader.once()
    assert reader.dovecot.mails(OFFICE) == [numbered(1)]


def test_a_crash_between_storing_and_moving_is_made_good(reader: Reader) -> None:
    reader.colleague.create_folder("Atendidos")
    reader.once()
    reader.arrives(numbered(1))
    reader.once()  # stored; and the program died before it moved
    reader.reading = replace(reader.reading, move_to="Atendidos")
    reader.once()
    assert reader.dovecot.mails(OFFICE, "Atendidos") == [numbered(1)]
    assert len(reader.rows("id")) == 1


def test_a_folder_to_move_to_that_is_missing_is_told_and_stops_nothing(reader: Reader) -> None:
    reader.reading = replace(reader.reading, move_to="Atendidos")
    reader.once()
    reader.arrives(numbered(1))
    reader.once()
    reader.arrives(numbered(2))
    reader.once()
    assert len(reader.rows("id")) == 2
    assert "Atendidos" in (reader.fact(MOVE_PROBLEM) or "")
    reader.colleague.create_folder("Atendidos")
    reader.once()
    assert len(reader.dovecot.mails(OFFICE, "Atendidos")) == 2
    assert not reader.fact(MOVE_PROBLEM)


# -- breaks --------------------------------------------------------------------------------------------------------


class Breaking:
    """A mailbox whose connection breaks in the middle of the n-th command that fetches bodies."""

    def __init__(self, mailbox: Mailbox, after: int) -> None:
        self._mailbox, self._left = mailbox, after

    def bodies(self, uids: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            self._mailbox.close()
        return self._mailbox.bodies(uids)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailbox, name)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_connection_lost_in_the_middle_repeats_a_fetch_and_loses_nothing(reader: Reader, after: int) -> None:
    reader.once()
    mails = [numbered(n) for n in range(2 * MAILS_AT_ONCE + 10)]
    for mail in mails:
        reader.arrives(mail)
    with pytest.raises(Trouble):
        reader.once(opened=lambda: Breaking(reader.open(), after))  # type: ignore[arg-type,return-value]
    assert len(reader.rows("id")) == after * MAILS_AT_ONCE
    reader.once(BEGIN + timedelta(hours=1))
    assert reader.raws() == mails
