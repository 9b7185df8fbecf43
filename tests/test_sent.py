"""The Sent folder: what people write straight from the mailbox counts as their answer, once; our own letters do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, eml
from desk_process import DeskProcess
from imapclient import IMAPClient
from office import BOGOTA, NOW, mail
from servers import OFFICE, Dovecot, SmtpServer, wait_until

from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.imap_mailbox import Mailbox
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.adapters.tokens import Signer, carried_by, message_id, thread_id
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.fetching import FETCHES, HEAD
from pqr_mailbot.flows.providers import Standing
from pqr_mailbot.flows.receive import Reading, Receiver
from pqr_mailbot.flows.watch_sent import SENT_ABSENT, SENT_PROBLEM, NoSentFolder, SentWatch

ONE, TWO = "PQR-2026-000001", "PQR-2026-000002"
CLARA, DIEGO, ANA = "clara@correo.test", "diego@otro.test", "ana@lohas.test"
OURS = "Lohas Beans <info@lohas.test>"
LATER = NOW + timedelta(minutes=30)


def answer(text: str = "Le enviamos otro café hoy mismo.", to: str = CLARA, **fields: Any) -> bytes:
    """What an agent writes from the mailbox itself, in answer to the customer's mail."""
    headers = {"In_Reply_To": "<m1@correo.test>", "References": "<m1@correo.test>"}
    usual = {"subject": "Re: Café vencido", "message_id": "<a1@lohas.test>", "To": to}
    return eml(OURS, text=text, **{**usual, **headers, **fields})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """One case is open: Clara's."""
    bench = Bench(tmp_path / "desk.db")
    bench.take(eml())
    yield bench
    bench.close()


def written(bench: Bench, reference: str = ONE) -> list[str]:
    """What people said in a case, letters left out."""
    return [f"{m['direction']} {m['author']}" for m in bench.messages(reference) if m["letter"] is None]


def change(bench: Bench, sql: str, *values: object) -> None:
    bench.store.db.conn.execute(sql, values)


def events(bench: Bench, reference: str = ONE) -> list[str]:
    return [row["event"] for row in bench.rows("SELECT event FROM ticket_event WHERE reference = ?", reference)]


# -- an answer -----------------------------------------------------------------------------------------------------


def test_an_answer_written_from_the_mailbox_is_the_persons_answer(bench: Bench) -> None:
    letters = bench.said()
    quoted = "El lun, 1 jun 2026 a las 10:41, Clara Gómez <clara@correo.test> escribió:\n> El café llegó vencido"
    closed = bench.sent(answer(f"Le enviamos otro.\n\n{quoted}", attachments=["guia.jpg"]), LATER)
    (ticket,) = bench.tickets()
    assert (closed["state"], closed["verdict"], closed["reference"]) == ("done", "person", ONE)
    assert (ticket["state"], ticket["first_answered_at"]) == ("open", "2026-06-01T16:12:00.000000Z")
    message = bench.messages(ONE)[-1]
    assert (message["direction"], message["letter"], message["author"]) == ("out", None, "info@lohas.test")
    assert (message["recipients"], message["text"], message["verified"]) == (
        '["clara@correo.test"]',
        "Le enviamos otro.",
        None,
    )
    assert "guia.jpg" in message["attachments"]
    assert events(bench)[-1] == "answered_from_mailbox"
    assert bench.said() == letters


def test_the_first_answer_is_kept(bench: Bench) -> None:
    bench.sent(answer(), LATER)
    bench.sent(answer("Y una cosa más.", message_id="<a2@lohas.test>"), LATER + timedelta(days=1))
    assert bench.tickets()[0]["first_answered_at"] == "2026-06-01T16:12:00.000000Z"
    assert written(bench) == ["in clara@correo.test", *["out info@lohas.test"] * 2]


ACK = "the id of our acknowledgement"  # stands for it
POINTERS: list[tuple[str, dict[str, str], bool]] = [  # what, fields laid over, does it count
    ("answers the customer's mail", {}, True),
    ("answers it, the subject rewritten", {"subject": "Su pedido"}, True),
    ("only References name it", {"In_Reply_To": ""}, True),
    ("answers our acknowledgement", {"In_Reply_To": ACK, "References": ACK}, True),
    ("only the subject", {"In_Reply_To": "", "References": "", "subject": "RE: pqr 2026 1"}, True),
    ("a subject of another case", {"In_Reply_To": "", "References": "", "subject": "PQR-2026-000777"}, False),
    ("nothing points to a case", {"In_Reply_To": "", "References": ""}, False),
    ("in Cc", {"To": DIEGO, "Cc": f"Clara <{CLARA}>"}, True),
    ("in Bcc", {"To": DIEGO, "Bcc": CLARA}, True),
    ("to nobody of the case", {"To": DIEGO}, False),
    ("to a colleague", {"To": ANA}, False),
    ("to nobody", {"To": ""}, False),
    ("a vacation notice", {"Auto_Submitted": "auto-replied (vacation)"}, False),
    ("it says that it is none", {"Auto_Submitted": "no"}, True),
    ("in the words of a machine", {"subject": f"Respuesta automática: {ONE}", "Precedence": "bulk"}, True),
    ("without a From", {"From": ""}, True),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "counts"), [row[1:] for row in POINTERS], ids=[row[0] for row in POINTERS])
def test_what_counts_as_an_answer(bench: Bench, fields: dict[str, str], counts: bool) -> None:
    letters, own = bench.said(), bench.letters("acknowledgement")[0].mail["Message-ID"]
    closed = bench.sent(answer(**{name: value.replace(ACK, own) for name, value in fields.items()}), LATER)
    (ticket,) = bench.tickets()
    assert (ticket["state"], ticket["first_answered_at"] is not None) == (("open", True) if counts else ("new", False))
    assert len(written(bench)) == 1 + counts
    assert (closed["state"], closed["verdict"]) == ("done", "person" if counts else "own")
    assert bench.said() == letters


def test_a_receipt_that_the_mail_program_sent_is_no_answer(bench: Bench) -> None:
    raw = answer().replace(b"Content-Type: text/plain", b'Content-Type: multipart/report; boundary="x"', 1)
    assert bench.sent(raw)["reason"] == "sent from the mailbox by a machine"
    assert bench.tickets()[0]["state"] == "new"


def test_participants_and_the_reply_address_are_of_the_case(bench: Bench) -> None:
    with bench.store.transaction():
        bench.store.add_participant(ONE, DIEGO)
    assert bench.sent(answer(to=DIEGO))["reference"] == ONE
    bench.take(eml(message_id="<m9@correo.test>", text="otra cosa", Reply_To="casa@correo.test"), LATER)
    fields = {"In_Reply_To": "<m9@correo.test>", "References": "", "message_id": "<a9@lohas.test>"}
    assert bench.sent(answer(to="casa@correo.test", **fields))["reference"] == TWO


def test_the_nearest_mail_says_which_case(bench: Bench) -> None:
    """The customer's second case began with an answer to a letter about the first, now closed."""
    own = bench.letters("acknowledgement")[0].mail["Message-ID"]
    change(bench, "UPDATE ticket SET state = 'closed'")
    bench.take(eml(text="otra cosa", message_id="<m2@correo.test>", In_Reply_To=own, References=own), LATER)
    assert [ticket["reference"] for ticket in bench.tickets()] == [ONE, TWO]
    thread = {"In_Reply_To": "<m2@correo.test>", "References": f"<m1@correo.test> {own} <m2@correo.test>"}
    assert bench.sent(answer(subject=f"Re: [{ONE}]", **thread), LATER)["reference"] == TWO


STATES = [("new", "open"), ("open", "open"), ("waiting", "open"), ("resolved", "resolved"), ("closed", "closed")]


@pytest.mark.parametrize(("before", "after"), STATES)
def test_where_the_case_stands_after_an_answer(bench: Bench, before: str, after: str) -> None:
    change(bench, "UPDATE ticket SET state = ?", before)
    assert bench.sent(answer(), LATER)["reference"] == ONE
    assert bench.tickets()[0]["state"] == after
    assert written(bench)[-1] == "out info@lohas.test"
    assert "answered_from_mailbox" in events(bench)


CLOCKS = [
    ("right", LATER, "16:12"),
    ("slow", NOW - timedelta(days=9), "15:42"),
    ("fast", NOW + timedelta(days=9), "16:12"),
]


@pytest.mark.parametrize(("at", "hour"), [row[1:] for row in CLOCKS], ids=[row[0] for row in CLOCKS])
def test_a_mail_programs_clock_is_not_believed_beyond_reason(bench: Bench, at: datetime, hour: str) -> None:
    """It may date what it saves: no answer was before the question, or will be."""
    bench.post(answer(), at, folder="Enviadas")
    bench.work(LATER)
    assert bench.tickets()[0]["first_answered_at"].startswith(f"2026-06-01T{hour}")


# -- once ----------------------------------------------------------------------------------------------------------


COPIED = {"Cc": "info@lohas.test"}  # the agent copies the mailbox: the same mail lies in both folders


def test_the_same_mail_found_twice_is_one_message(bench: Bench) -> None:
    bench.sent(answer())
    assert bench.sent(answer())["reason"] == "duplicate of inbound 2"
    assert written(bench) == ["in clara@correo.test", "out info@lohas.test"]


@pytest.mark.parametrize("sent_first", [True, False])
def test_a_copy_in_the_inbox_changes_nothing(bench: Bench, sent_first: bool) -> None:
    letters = bench.said()
    for put in (bench.sent, bench.take) if sent_first else (bench.take, bench.sent):
        closed = put(answer(**COPIED))
    assert closed["verdict"] == ("own" if sent_first else "person")
    assert written(bench) == ["in clara@correo.test", "out info@lohas.test"]
    assert (bench.tickets()[0]["state"], len(bench.tickets()), bench.said()) == ("open", 1, letters)


def test_an_answer_that_came_as_a_colleagues_mail_first_still_counts(bench: Bench) -> None:
    """Written with the agent's own name from the mailbox: what came to the inbox could not be believed; this can."""
    raw = answer(From=f"Ana Ruiz <{ANA}>", **COPIED)
    bench.take(raw)
    assert bench.sent(raw)["verdict"] == "person"
    assert bench.tickets()[0]["state"] == "open"


# -- our own letters -----------------------------------------------------------------------------------------------


def copied(raw: bytes, drop: tuple[str, ...] = (), **change: str) -> bytes:
    """A letter as a provider saves it."""
    message = message_from_bytes(raw, policy=SMTP)
    for name in drop:
        del message[name]
    for name, value in change.items():
        del message[name.replace("_", "-")]
        message[name.replace("_", "-")] = value
    return message.as_bytes()


SES = "<0100018f@email.amazonses.test>"
COPIES: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("as it was sent", lambda raw: raw),
    ("Message-ID rewritten", lambda raw: copied(raw, Message_ID=SES)),
    ("only the token in References left", lambda raw: copied(raw, ("X-PQR-Letter",), Message_ID=SES)),
    ("only X-PQR-Letter left", lambda raw: copied(raw, ("References", "In-Reply-To"), Message_ID=SES)),
    ("only Message-ID left", lambda raw: copied(raw, ("References", "X-PQR-Letter"))),
    ("no automatic headers left", lambda raw: copied(raw, ("Auto-Submitted", "X-Auto-Response-Suppress"))),
]


@pytest.mark.parametrize("copy", [row[1] for row in COPIES], ids=[row[0] for row in COPIES])
@pytest.mark.parametrize("state", ["queued", "sending", "sent", "dead"])
def test_our_own_letter_does_not_count(bench: Bench, copy: Callable[[bytes], bytes], state: str) -> None:
    change(bench, "UPDATE outbox SET state = ?", state)
    (letter,) = bench.letters("acknowledgement")
    before = events(bench)
    closed = bench.sent(copy(letter.raw))
    assert (closed["state"], closed["verdict"], closed["reference"]) == ("done", "own", ONE)
    (ticket,) = bench.tickets()
    assert (ticket["state"], ticket["first_answered_at"], events(bench)) == ("new", None, before)
    assert {row["state"] for row in bench.rows("SELECT state FROM outbox")} == {state}
    assert len(bench.messages(ONE)) == 2


def test_a_letter_to_an_agent_does_not_count(bench: Bench) -> None:
    (letter,) = bench.letters("notification")
    assert bench.sent(letter.raw)["verdict"] == "own"
    assert bench.tickets()[0]["first_answered_at"] is None


def test_an_uncertain_letter_that_lies_in_sent_did_go(bench: Bench) -> None:
    change(bench, "UPDATE outbox SET state = 'uncertain', error = 'no answer'")
    bench.sent(bench.letters("acknowledgement")[0].raw, LATER)
    (ticket,) = bench.tickets()
    (row,) = bench.rows("SELECT state, sent_at, error FROM outbox WHERE letter = 'acknowledgement'")
    assert (row["state"], row["sent_at"], row["error"]) == ("sent", "2026-06-01T16:12:00.000000Z", None)
    assert (ticket["acknowledged_at"], ticket["state"]) == ("2026-06-01T16:12:00.000000Z", "new")
    (event,) = bench.rows("SELECT detail FROM ticket_event WHERE event = 'letter_sent'")
    assert event["detail"] == "acknowledgement to clara@correo.test: found in the Sent folder"
    assert bench.rows("SELECT state FROM outbox WHERE letter = 'notification'")[0]["state"] == "uncertain"


def test_an_answer_in_a_thread_that_began_with_our_letter_is_no_letter_of_ours(bench: Bench) -> None:
    """Every id of ours stands in its References, as mail programs write them; the provider had rewritten the first."""
    (letter,) = bench.letters("acknowledgement")
    thread = f"{letter.mail['References']} {SES}"
    bench.take(eml(message_id="<m2@correo.test>", subject=f"Re: [{ONE}]", In_Reply_To=SES, References=thread), LATER)
    thread += " <m2@correo.test>"
    closed = bench.sent(answer(In_Reply_To="<m2@correo.test>", References=thread), LATER)
    assert (closed["verdict"], closed["reference"]) == ("person", ONE)


TOKEN = Signer(b"k").mint(CLARA)
IDS = message_id(TOKEN, "lohas.test"), thread_id(TOKEN, "lohas.test")
CARRIERS: list[tuple[str, dict[str, Any], bool]] = [
    ("Message-ID", {"message_id": IDS[0]}, True),
    ("the synthetic id, last", {"references": ("<m1@x>", IDS[1])}, True),
    ("the synthetic id, further up", {"references": (IDS[1], "<m1@x>")}, False),
    ("our letter is what is answered", {"references": (IDS[1], IDS[0]), "in_reply_to": (IDS[0],)}, False),
    ("X-PQR-Letter", {"headers": {"X-PQR-Letter": TOKEN}}, True),
    ("X-PQR-Letter with other words", {"headers": {"X-PQR-Letter": "x" + TOKEN}}, False),
    ("nothing", {}, False),
]


@pytest.mark.parametrize(("fields", "ours"), [row[1:] for row in CARRIERS], ids=[row[0] for row in CARRIERS])
def test_what_carries_a_token(fields: dict[str, Any], ours: bool) -> None:
    assert carried_by(mail(**fields)) == ([TOKEN] if ours else [])


# -- the folder, on a real server ----------------------------------------------------------------------------------


BEGIN = datetime(2026, 6, 1, 15, 0, tzinfo=UTC)


class Watcher:
    """A watch on its own store, and somebody's mail program on the same mailbox."""

    def __init__(self, path: Path, dovecot: Dovecot, colleague: IMAPClient) -> None:
        self.dovecot, self.colleague = dovecot, colleague
        self.books, self.now = Books(lambda: Store.open(path, BEGIN)), BEGIN
        self.folder, self.opened, self.woken = "Enviadas", 0, 0
        self.watch = self.anew()

    def anew(self, max_bytes: int = 30 * 2**20) -> SentWatch:
        return SentWatch(self.books, self.open, max_bytes, lambda: self.now, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def open(self) -> Mailbox:
        self.opened += 1
        if not self.folder:
            raise NoSentFolder("none")
        return Mailbox.open(self.dovecot.endpoint(OFFICE), self.dovecot.passwords[OFFICE], self.folder, readonly=True)

    def open_inbox(self) -> Mailbox:
        return Mailbox.open(self.dovecot.endpoint(OFFICE), self.dovecot.passwords[OFFICE], "INBOX")

    def look(self, hours: float = 0) -> None:
        self.now += timedelta(hours=hours)
        self.watch.look()

    def saves(self, raw: bytes, folder: str = "Enviadas") -> None:
        self.colleague.append(folder, raw, msg_time=self.now)

    def kept(self) -> list[bytes]:
        return self.books.do_now(lambda s: [s.inbound(i).raw for (i,) in s.db.conn.execute("SELECT id FROM inbound")])

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        return self.books.do_now(lambda s: s.db.conn.execute(f"SELECT {columns} FROM inbound ORDER BY id").fetchall())

    def facts(self) -> tuple[str, str]:
        return self.books.do_now(lambda store: (store.fact(SENT_PROBLEM) or "", store.fact(SENT_ABSENT) or ""))


@pytest.fixture
def watcher(tmp_path: Path, dovecot: Dovecot) -> Iterator[Watcher]:
    dovecot.reset(OFFICE)
    with dovecot.client(OFFICE) as colleague:
        watcher = Watcher(tmp_path / "desk.db", dovecot, colleague)
        yield watcher
        watcher.watch.close()
        watcher.books.close()


def test_everything_from_the_first_look_on_is_kept_once_and_nothing_is_changed(watcher: Watcher) -> None:
    watcher.saves(answer("antes"))
    watcher.look()
    watcher.saves(answer("uno"))
    watcher.look()
    watcher.saves(answer("dos"))
    watcher.look()
    watcher.look()
    assert watcher.kept() == [answer("uno"), answer("dos")]
    assert watcher.rows("folder, state") == [("sent", "new")] * 2
    assert (watcher.woken, watcher.opened) == (2, 1)  # one connection, and nobody is woken for nothing
    with watcher.dovecot.client(OFFICE, "Enviadas") as client:
        flags = client.get_flags(client.search())
    assert len(flags) == 3
    assert not any(b"\\Seen" in some or b"\\Deleted" in some for some in flags.values())


def test_a_program_that_starts_again_goes_on_where_it_was(watcher: Watcher) -> None:
    watcher.look()
    watcher.watch.close()
    watcher.saves(answer())
    watcher.watch = watcher.anew()
    watcher.look(hours=100)
    assert watcher.kept() == [answer()]


def test_a_large_mail_is_kept_as_in_the_inbox(watcher: Watcher) -> None:
    watcher.watch = watcher.anew(max_bytes=5 * 2**20)
    watcher.look()
    large = answer() + b"y" * 6 * 2**20
    watcher.saves(large)
    watcher.look()
    assert watcher.kept() == [large[:HEAD]]


SPANISH = "Comunicación enviada & más"


def test_a_folder_named_in_spanish(watcher: Watcher) -> None:
    watcher.folder = SPANISH
    watcher.colleague.create_folder(SPANISH)
    watcher.look()
    watcher.saves(answer(), SPANISH)
    watcher.look()
    assert watcher.kept() == [answer()]


def test_a_renumbered_folder_begins_anew_and_nothing_counts_twice(watcher: Watcher) -> None:
    watcher.folder = "Salida"
    watcher.colleague.create_folder("Salida")
    watcher.look()
    watcher.saves(answer("uno"), "Salida")
    watcher.look()
    watcher.colleague.delete_folder("Salida")
    watcher.colleague.create_folder("Salida")
    for text in ("uno", "viejo", "más viejo"):
        watcher.saves(answer(text), "Salida")
    watcher.look(hours=1)
    watcher.saves(answer("dos"), "Salida")
    watcher.look()
    assert watcher.kept() == [answer("uno"), answer("dos")]
    assert watcher.facts() == ("", "")


def test_a_folder_that_is_missing_is_told_and_looked_for_again(watcher: Watcher) -> None:
    watcher.folder = "Salida"
    watcher.look()
    problem, _ = watcher.facts()
    assert "the Sent folder cannot be read: localhost:" in problem
    assert 'folder "Salida" does not exist' in problem
    watcher.look()
    assert watcher.opened == 1  # not at each look
    watcher.colleague.create_folder("Salida")
    watcher.look(hours=1)
    assert watcher.facts() == ("", "")
    watcher.saves(answer(), "Salida")
    watcher.look()
    assert watcher.kept() == [answer()]


def test_a_folder_that_vanishes_is_told(watcher: Watcher) -> None:
    watcher.folder = "Salida"
    watcher.colleague.create_folder("Salida")
    watcher.look()
    watcher.colleague.delete_folder("Salida")
    watcher.look()
    assert "Salida" in watcher.facts()[0]


def test_a_mailbox_without_such_a_folder_is_not_ill(watcher: Watcher) -> None:
    watcher.folder = ""
    watcher.look()
    assert watcher.facts() == ("", "none")
    watcher.folder = "Enviadas"
    watcher.look(hours=1)
    assert watcher.facts() == ("", "")


def test_a_link_that_died_since_the_last_look_is_nothing_to_speak_of(watcher: Watcher) -> None:
    watcher.look()
    watcher.dovecot.stop()
    watcher.dovecot.start()
    with watcher.dovecot.client(OFFICE) as colleague:
        colleague.append("Enviadas", answer(), msg_time=BEGIN)
    watcher.look()
    assert (watcher.kept(), watcher.opened, watcher.facts()) == ([answer()], 2, ("", ""))


class Withholding:
    """A folder of whose mails the server cannot hand out one."""

    def __init__(self, mailbox: Mailbox, uid: int) -> None:
        self._mailbox, self._uid = mailbox, uid

    def bodies(self, uids: Any) -> Any:
        if self._uid in uids:
            raise Trouble("dropped", "the server broke")
        return self._mailbox.bodies(uids)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailbox, name)


def test_a_mail_that_cannot_be_had_is_set_apart_and_the_inbox_is_read_all_the_while(watcher: Watcher) -> None:
    watcher.look()
    watcher.watch.close()
    for text in ("uno", "dos", "tres"):
        watcher.saves(answer(text))
    with watcher.dovecot.client(OFFICE, "Enviadas") as client:
        bad = client.search()[1]
    watcher.watch = replace(watcher.watch, open_mailbox=lambda: Withholding(watcher.open(), bad))  # type: ignore[arg-type,return-value]
    reading, standing = Reading("INBOX", "", None, 60.0, 2**20, BOGOTA), Standing("imap", "mark")
    inbox = Receiver(watcher.books, watcher.open_inbox, standing, reading, lambda: watcher.now)
    inbox.on_fetch = watcher.watch.look
    inbox.once()
    for _ in range(FETCHES + 1):
        watcher.now += timedelta(hours=1)
        watcher.saves(eml(), "INBOX")
        inbox.once()
    assert watcher.rows("state, folder").count(("new", "inbox")) == FETCHES + 1
    assert watcher.rows("state, folder").count(("failed", "sent")) == 1
    assert watcher.rows("state, folder").count(("new", "sent")) == 2
    assert watcher.facts() == ("", "")


# -- the desk as a process -----------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path, dovecot: Dovecot, smtp: SmtpServer) -> Iterator[DeskProcess]:
    """Configured, not started; it polls every second. Empty mailboxes."""
    dovecot.reset()
    desk = DeskProcess(tmp_path, dovecot, smtp, imap={"poll_seconds": 1})
    yield desk
    if desk.process:
        desk.process.kill()
        desk.process.wait(10)


def write(desk: DeskProcess, raw: bytes) -> None:
    """A mail arrives at the office."""
    desk.dovecot.deliver(raw, OFFICE, sender="somebody@correo.test")


def save(desk: DeskProcess, raw: bytes, folder: str = "Enviadas") -> None:
    """A mail program, or the provider, keeps a copy of what was sent."""
    with desk.dovecot.client(OFFICE) as client:
        client.append(folder, raw)


def ticket(desk: DeskProcess) -> dict[str, Any]:
    (row,) = desk.json("tickets")
    assert isinstance(row, dict)
    return row


@pytest.mark.parametrize("folder", ["auto", SPANISH])
def test_an_answer_counts_and_our_own_saved_letters_do_not(desk: DeskProcess, smtp: SmtpServer, folder: str) -> None:
    place = "Enviadas" if folder == "auto" else folder
    if folder != "auto":
        desk.configure(imap={"sent_folder": folder})
        with desk.dovecot.client(OFFICE) as client:
            client.create_folder(folder)
    with desk.running():
        wait_until(lambda: "watching the Sent folder" in desk.log, what="the first look")
        write(desk, eml())
        letters = [received.data for received in smtp.wait_for(2)]
        for number, raw in enumerate(letters):
            save(desk, raw, place)
            save(desk, copied(raw, Message_ID=f"<{number}@ses.test>"), place)
        wait_until(lambda: len(desk.json("inbox")) == 5, what="our own letters in Sent")
        wait_until(lambda: desk.json("status", status=None)["inbox"]["new"] == 0)
        assert (ticket(desk)["state"], ticket(desk)["first_answered_at"]) == ("new", None)
        save(desk, answer(), place)
        wait_until(lambda: ticket(desk)["state"] == "open", what="the answer")
        shown = desk.json("show", ticket(desk)["reference"])
        assert ticket(desk)["first_answered_at"] is not None
        assert desk.json("status")["healthy"]
    assert [(m["direction"], m["letter"]) for m in shown["messages"]] == [
        ("in", None),
        ("out", "acknowledgement"),
        ("out", None),
    ]
    assert shown["messages"][-1]["sent_at"] is not None
    assert {row["verdict"] for row in desk.json("inbox")[1:5]} == {"own"}
    assert len(smtp.received) == 2  # no letter is caused by a mail of Sent
    assert "info@lohas.test answered" in desk.say("show", ticket(desk)["reference"]).stdout


def test_a_round_looks_at_sent_too(desk: DeskProcess) -> None:
    desk.say("run", "--once")
    write(desk, eml())
    desk.say("run", "--once")
    save(desk, answer())
    desk.say("run", "--once")
    assert ticket(desk)["state"] == "open"


def test_not_watched_when_told_so(desk: DeskProcess) -> None:
    desk.configure(imap={"sent_folder": ""})
    desk.say("run", "--once")
    write(desk, eml())
    save(desk, answer())
    desk.say("run", "--once")
    assert (ticket(desk)["state"], len(desk.json("inbox"))) == ("new", 1)


def test_a_folder_that_is_missing_is_one_line_and_the_desk_works(desk: DeskProcess, smtp: SmtpServer) -> None:
    desk.configure(imap={"sent_folder": "Salida"})
    with desk.running():
        wait_until(lambda: 'folder "Salida" does not exist' in desk.log, what="the line in the log")
        write(desk, eml())
        smtp.wait_for(2)
        (problem,) = desk.json("status", status=1)["problems"]
    assert desk.log.count('folder "Salida" does not exist') == 1
    assert problem.startswith("the Sent folder cannot be read: ")
    desk.configure(imap={"sent_folder": ""})
    desk.say("run", "--once")
    assert desk.json("status")["healthy"]
