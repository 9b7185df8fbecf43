"""The mailbox beside the store, on a real server: every mail without a row, every row without a mail, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bench import eml
from imapclient import IMAPClient
from office import BOGOTA, CLARA, DESK, POLICY
from servers import OFFICE, Dovecot

from pqr_mailbot import plain, wiring
from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.imap_mailbox import Mailbox
from pqr_mailbot.adapters.letters import Letters
from pqr_mailbot.adapters.sqlite_files import back_up, restore
from pqr_mailbot.adapters.sqlite_ledger import JUNK, LOOKED_ON, MISSING, Ledger
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.adapters.sqlite_verify import damages
from pqr_mailbot.flows import reconcile
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.handle import Handler
from pqr_mailbot.flows.providers import Standing
from pqr_mailbot.flows.receive import Reading, Receiver
from pqr_mailbot.flows.reconcile import DailyLook, Reconciliation, Report
from pqr_mailbot.flows.restored import Aftermath
from pqr_mailbot.flows.watch_sent import SentWatch

BEGIN = datetime(2026, 6, 1, 15, 0, tzinfo=UTC)  # our first look at the mailbox
HOUR = timedelta(hours=1)


class Desk:
    """The flows of a desk on its own store, one round at a time, and somebody's mail program on the same mailbox."""

    def __init__(self, path: Path, dovecot: Dovecot, colleague: IMAPClient) -> None:
        self.path, self.dovecot, self.colleague, self.now = path, dovecot, colleague, BEGIN
        self.reading = Reading("INBOX", "", None, 60.0, 2**20, BOGOTA)
        self.opened = 0
        self.wrap: Callable[[Mailbox], Any] = lambda mailbox: mailbox
        self.books = self._books()

    def _books(self) -> Books:
        return Books(lambda: Store.open(self.path, BEGIN))

    def _open(self, folder: str, readonly: bool) -> Any:
        self.opened += 1
        endpoint, password = self.dovecot.endpoint(OFFICE), self.dovecot.passwords[OFFICE]
        return self.wrap(Mailbox.open(endpoint, password, folder, readonly=readonly))

    def once(self) -> None:
        """One round: fetch, and handle all."""
        opened = partial(self._open, self.reading.folder, False)
        Receiver(self.books, opened, Standing("imap", "mark"), self.reading, lambda: self.now).once()
        self.watch().look_once()
        while self.books.do_now(lambda store: self.handler(store).round(lambda: self.now)):
            pass

    def watch(self) -> SentWatch:
        return SentWatch(self.books, partial(self._open, "Enviadas", True), 2**20, lambda: self.now)

    def handler(self, store: Store) -> Handler:
        letters = Letters(None, POLICY.office)
        return Handler(store, DESK, wiring.shipped_lexicon(), letters, store.signer(), store.last_inbound_id())

    def task(self) -> Reconciliation:
        opened = partial(self._open, self.reading.folder, True)
        receiver = Receiver(
            self.books, opened, Standing("imap", "mark"), replace(self.reading, move_to=""), lambda: self.now
        )
        to_sent = lambda mailbox: mailbox.examine("Enviadas")  # noqa: E731
        return Reconciliation(
            self.books, opened, to_sent, receiver, self.watch(), self.reading, POLICY, lambda: self.now
        )

    def report(self) -> Report:
        """What `reconcile` finds and does."""
        return self.task().whole(lambda store, arrived: Aftermath(self.handler(store), self.now, arrived).settle())

    def arrives(self, raw: bytes, at: datetime | None = None, folder: str = "INBOX") -> None:
        self.colleague.append(folder, raw, msg_time=at or self.now)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.books.do_now(lambda store: store.db.conn.execute(sql).fetchall())

    def change(self, *statements: str) -> None:
        def run(store: Store) -> None:
            for statement in statements:
                store.db.conn.execute(statement)

        self.books.do_now(run)

    def fact(self, name: str) -> str | None:
        return self.books.do_now(lambda store: store.fact(name))

    def lost_and_restored(self, backup: Path) -> None:
        """The store of this moment is gone."""
        self.books.close()
        restore(backup, self.path, self.now, force=True)
        self.books = self._books()


@pytest.fixture
def desk(tmp_path: Path, dovecot: Dovecot) -> Iterator[Desk]:
    """It has read the mailbox once."""
    dovecot.reset(OFFICE)
    with dovecot.client(OFFICE) as colleague:
        desk = Desk(tmp_path / "desk.db", dovecot, colleague)
        yield desk
        desk.books.close()


def numbered(number: int, sender: str = "clara@correo.test", **more: Any) -> bytes:
    return eml(sender, f"Carta {number}", f"El café {number} llegó vencido.", f"<n{number}@correo.test>", **more)


def whys(report: Report) -> list[tuple[str, str | None, str]]:
    return [(row.mailbox, row.message_id, row.why) for row in report.missing_rows]


# -- what is missing -----------------------------------------------------------------------------------------------


def test_a_mailbox_that_agrees_is_left_as_it_was(desk: Desk) -> None:
    desk.once()
    desk.arrives(numbered(1))
    desk.once()
    report = desk.report()
    assert (report.missing_rows, report.missing_mails, report.junk, report.unexplained) == ([], [], [], 0)
    assert report.counter == {2026: 1}
    flags = desk.colleague.get_flags(desk.colleague.search())
    assert not any(b"\\Seen" in one for one in flags.values())
    assert plain.reconciled(report, 80) == "mailbox and store agree"


def test_mail_from_before_us_and_mail_that_just_came(desk: Desk) -> None:
    desk.arrives(numbered(1), BEGIN - HOUR)
    desk.once()
    desk.arrives(numbered(2))
    report = desk.report()
    assert whys(report) == [
        ("INBOX", None, "received before imap.start_from"),
        ("INBOX", "<n2@correo.test>", "arrived after the last fetch"),
    ]
    assert report.unexplained == 0
    assert desk.rows("SELECT count(*) FROM inbound") == [(0,)]  # the next fetch takes it
    desk.once()
    assert len(desk.report().missing_rows) == 1


def test_a_day_to_start_from(desk: Desk) -> None:
    """Mail of the days before it lies above the UID where reading began, and is nobody's loss."""
    desk.reading = replace(desk.reading, start_from=date(2026, 6, 1))
    desk.arrives(numbered(1), datetime(2026, 6, 1, 12, tzinfo=BOGOTA))
    desk.arrives(numbered(2), datetime(2026, 5, 31, 12, tzinfo=BOGOTA))
    desk.arrives(numbered(3), datetime(2026, 4, 1, 12, tzinfo=BOGOTA))
    desk.arrives(numbered(4), datetime(2026, 6, 1, 13, tzinfo=BOGOTA))
    desk.once()
    report = desk.report()
    assert [row.why for row in report.missing_rows] == ["received before imap.start_from"] * 2
    assert (report.unexplained, desk.rows("SELECT count(*) FROM inbound")) == (0, [(2,)])


def late(desk: Desk, number: int = 1) -> None:
    """A mail below the cursor of which there is no row: the server showed it late."""
    desk.once()
    desk.arrives(numbered(number))
    Receiver(
        desk.books, partial(desk._open, "INBOX", False), Standing("imap", "m"), desk.reading, lambda: desk.now
    ).once()
    desk.change("DELETE FROM inbound")
    desk.once()
    assert desk.rows("SELECT count(*) FROM ticket") == [(0,)]


@pytest.mark.parametrize("by", ["the command", "itself"])
def test_a_mail_that_was_never_fetched_becomes_a_case(desk: Desk, by: str) -> None:
    late(desk)
    if by == "itself":
        desk.task().daily()
    else:
        report = desk.report()
        assert whys(report) == [("INBOX", "<n1@correo.test>", "was never fetched: it is now")]
        assert report.unexplained == 0
    desk.once()
    assert desk.rows("SELECT reference FROM ticket") == [("PQR-2026-000001",)]
    assert desk.fact(MISSING) == ""


class Empty:
    """A server that hands out no mail."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def bodies(self, uids: Any) -> Any:
        return {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailbox, name)


def test_what_the_server_does_not_hand_out_is_a_problem(desk: Desk) -> None:
    late(desk)
    desk.wrap = Empty
    desk.task().daily()
    assert desk.fact(MISSING) == "1 mail on the server with no row here and no reason: `reconcile`"
    assert whys(desk.report()) == [("INBOX", "<n1@correo.test>", "the server names it and does not hand it out")]
    desk.wrap = lambda mailbox: mailbox
    desk.report()
    assert desk.fact(MISSING) == ""


def test_an_answer_in_sent_that_was_passed_over(desk: Desk) -> None:
    desk.arrives(numbered(8), folder="Enviadas")
    desk.once()
    desk.arrives(numbered(1))
    desk.once()
    desk.arrives(eml("Ana <info@lohas.test>", "Re: Carta 1", "Sí.", "<a1@lohas.test>", To=CLARA.address,
                     In_Reply_To="<n1@correo.test>"), folder="Enviadas")  # fmt: skip
    desk.watch().look_once()
    desk.change("DELETE FROM inbound WHERE folder = 'sent'")
    assert whys(desk.report()) == [
        ("Enviadas", None, "sent before this folder was watched"),
        ("Enviadas", "<a1@lohas.test>", "was never fetched: it is now"),
    ]
    desk.once()
    assert desk.rows("SELECT state FROM ticket") == [("open",)]


def test_a_renumbered_folder_is_said_to_be_one(desk: Desk) -> None:
    desk.reading = replace(desk.reading, folder="Buzón")
    desk.colleague.create_folder("Buzón")
    desk.once()
    desk.colleague.delete_folder("Buzón")
    desk.colleague.create_folder("Buzón")
    desk.arrives(numbered(1), folder="Buzón")
    report = desk.report()
    assert ([row.why for row in report.missing_rows], report.unexplained) == ([reconcile.RENUMBERED], 0)


# -- what is gone --------------------------------------------------------------------------------------------------


def test_where_mail_went(desk: Desk) -> None:
    desk.once()
    for number in range(4):
        desk.arrives(numbered(number))
    desk.once()
    desk.colleague.create_folder("Atendidos")
    desk.colleague.create_folder("Papelera")
    uids = desk.colleague.search()
    desk.colleague.move(uids[0], "Atendidos")
    desk.colleague.move(uids[1], "Papelera")
    desk.colleague.delete_messages(uids[2])
    desk.colleague.expunge()
    report = desk.report()
    assert [(row.message_id, row.why) for row in report.missing_mails] == [
        ("<n0@correo.test>", 'moved to "Atendidos"'),
        ("<n1@correo.test>", 'moved to "Papelera"'),
        ("<n2@correo.test>", "removed, or moved by a person"),
    ]
    assert report.missing_rows == []


# -- the junk folder -----------------------------------------------------------------------------------------------


def test_customers_in_the_junk_folder(desk: Desk) -> None:
    desk.once()
    desk.arrives(numbered(1))
    desk.once()
    ours = desk.rows("SELECT message_id FROM outbox WHERE letter = 'acknowledgement'")[0][0]
    desk.colleague.create_folder("Spam")
    for raw in (
        numbered(2),
        eml("eva@lejos.test", "Re: [PQR-2026-000001] x", "Yo", "<e1@lejos.test>"),
        eml("eva@lejos.test", "x", "Yo", "<e2@lejos.test>", In_Reply_To=ours),
        eml("nuevo@lejos.test", "Pedido", "Hola", "<e3@lejos.test>"),
        eml("ofertas@lejos.test", "Gane", "Compre", "<e4@lejos.test>", Precedence="bulk"),
    ):
        desk.arrives(raw, folder="Spam")
    desk.arrives(numbered(3), BEGIN - timedelta(days=60), folder="Spam")
    report = desk.report()
    assert [(row.message_id, row.why.partition(": ")[2] or row.why) for row in report.junk] == [
        ("<n2@correo.test>", "a customer wrote it"),
        ("<e1@lejos.test>", "it names a case"),
        ("<e2@lejos.test>", "it answers a letter of ours"),
        ("<e3@lejos.test>", "it may be a person's"),
    ]
    assert desk.fact(JUNK) == "3 mails of customers in the junk folder: `reconcile`"
    assert desk.rows("SELECT count(*) FROM inbound") == [(1,)]
    shown = plain.reconciled(report, 0)
    assert "Spam" in shown and "Carta 2" in shown and "clara@correo.test" in shown
    told = plain.document(plain.reconciled_json(report))
    assert "Carta 2" not in told and "clara@" not in told and "<n2@correo.test>" in told


# -- letters of unknown fate ---------------------------------------------------------------------------------------


def test_an_uncertain_letter_that_lies_in_sent_went(desk: Desk) -> None:
    """The copy was looked at while the letter was still under way; an answer that names it is no copy."""
    desk.once()
    desk.arrives(numbered(1))
    desk.once()
    (raw,) = desk.rows("SELECT raw FROM outbox WHERE letter = 'acknowledgement'")[0]
    ours = desk.rows("SELECT message_id FROM outbox WHERE letter = 'notification'")[0][0]
    desk.arrives(raw, BEGIN + HOUR, folder="Enviadas")
    desk.arrives(eml("Ana <info@lohas.test>", "Re: x", "Sí", "<a1@lohas.test>", References=ours), folder="Enviadas")
    desk.once()
    desk.change("UPDATE outbox SET state = 'uncertain'")
    assert desk.report().marked_sent == 1
    assert desk.rows("SELECT letter, state, sent_at FROM outbox ORDER BY id") == [
        ("acknowledgement", "sent", "2026-06-01T16:00:00.000000Z"),
        ("notification", "uncertain", None),
    ]
    assert desk.rows("SELECT acknowledged_at FROM ticket") == [("2026-06-01T16:00:00.000000Z",)]
    assert desk.report().marked_sent == 0


# -- once a day ----------------------------------------------------------------------------------------------------


def test_the_look_of_the_day(desk: Desk) -> None:
    desk.once()
    look = DailyLook(desk.task())
    moments = [  # office time, and does it look?
        (datetime(2026, 6, 1, 10, tzinfo=BOGOTA), False),  # the first day
        (datetime(2026, 6, 2, 2, 59, tzinfo=BOGOTA), False),
        (datetime(2026, 6, 2, 3, 0, tzinfo=BOGOTA), True),
        (datetime(2026, 6, 2, 12, 0, tzinfo=BOGOTA), False),
        (datetime(2026, 6, 5, 9, 0, tzinfo=BOGOTA), True),  # the desk was away in the night
    ]
    for moment, looks in moments:
        desk.now, before = moment, desk.opened
        look.look()
        assert (desk.opened > before) is looks, moment
    assert desk.fact(LOOKED_ON) == "2026-06-05"


def test_a_look_that_fails_is_taken_later(desk: Desk) -> None:
    def broken(mailbox: Mailbox) -> Any:
        mailbox.close()
        raise Trouble("dropped", "the server broke")

    desk.once()
    look, desk.now = DailyLook(desk.task()), BEGIN
    look.look()
    desk.now, good = BEGIN + timedelta(days=1), desk.wrap
    desk.wrap = broken
    look.look()
    desk.wrap, before = good, desk.opened
    look.look()
    assert (desk.opened, desk.fact(LOOKED_ON)) == (before, "2026-06-01")
    desk.now += HOUR
    look.look()
    assert desk.fact(LOOKED_ON) == "2026-06-02"


# -- after a restore -----------------------------------------------------------------------------------------------


def test_nothing_of_the_lost_time_is_lost_wherever_it_lies(desk: Desk, tmp_path: Path) -> None:
    """What our own MOVE took away is fetched from there; what somebody filed elsewhere is named."""
    desk.colleague.create_folder("Procesados")
    desk.colleague.create_folder("Proveedores")
    desk.reading = replace(desk.reading, move_to="Procesados")
    desk.once()
    desk.arrives(numbered(1))
    desk.once()
    back_up(desk.path, tmp_path / "copy.db")
    desk.now += HOUR
    for number in (2, 3):
        desk.arrives(numbered(number, f"c{number}@correo.test"))
        desk.once()
    desk.arrives(numbered(4, "c4@correo.test"), folder="Proveedores")
    desk.now += HOUR
    desk.lost_and_restored(tmp_path / "copy.db")
    report = desk.report()
    assert report.settled and report.settled.mails == 2
    assert desk.rows("SELECT customer FROM ticket ORDER BY id") == [
        (CLARA.address,), ("c2@correo.test",), ("c3@correo.test",),
    ]  # fmt: skip
    assert [row for row in whys(report) if row[0] == "Proveedores"] == [
        ("Proveedores", "<n4@correo.test>", reconcile.ASIDE)
    ]
    # Three mails came to the inbox since; none of our numbers is given to somebody else.
    assert [number for (number,) in desk.rows("SELECT number FROM ticket ORDER BY id")] == [1, 4, 5]
    assert desk.rows("SELECT DISTINCT state FROM outbox WHERE customer_facing") == [("uncertain",)]
    assert not desk.books.do_now(lambda store: Ledger(store).held())
    assert damages(desk.path) == []
    assert desk.report().settled is None


def test_a_sent_folder_that_cannot_be_read_lets_nothing_go(desk: Desk, tmp_path: Path) -> None:
    desk.once()
    back_up(desk.path, tmp_path / "copy.db")
    desk.now += HOUR
    desk.lost_and_restored(tmp_path / "copy.db")
    task = desk.task()

    def broken(_: Mailbox) -> None:
        raise Trouble("dropped", "the server broke")

    task.to_sent = broken
    with pytest.raises(Trouble):
        task.whole(lambda store, arrived: Aftermath(desk.handler(store), desk.now, arrived).settle())
    assert desk.books.do_now(lambda store: Ledger(store).held())
