"""Hostile servers against the whole flow: every mail one case, every letter once, and nobody knocks without a pause."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from bench import eml
from desk_process import DeskProcess
from hostile import (
    DROP,
    IMAP_FAULTS,
    OK,
    Desk,
    Relay,
    ScriptedImap,
    Step,
    imap_campaign,
    impatient,
    meanwhile,
    saying,
    sent_campaign,
    smtp_campaign,
)
from office import BOGOTA, NOW
from servers import OFFICE, Dovecot, SmtpServer, wait_until

from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.fetching import AT_ONCE, FETCHES
from pqr_mailbot.flows.providers import Standing
from pqr_mailbot.flows.receive import MOVE_PROBLEM, Reading, Receiver

# -- every moment, spoilt in every way ---------------------------------------------------------------------------------


def test_whatever_an_imap_server_does_each_mail_is_one_case(tmp_path: Path, dovecot: Dovecot) -> None:
    tally = imap_campaign(dovecot, tmp_path, step=31)
    assert (tally.lost, tally.twice, tally.wrong) == (0, 0, [])
    assert tally.tried >= 8


def test_whatever_it_does_about_sent_each_mail_of_it_is_seen_once(tmp_path: Path, dovecot: Dovecot) -> None:
    tally = sent_campaign(dovecot, tmp_path, step=13)
    assert (tally.lost, tally.twice, tally.wrong) == (0, 0, [])
    assert tally.tried >= 10


def test_whatever_an_smtp_server_does_each_letter_goes_once_or_is_accounted_for(tmp_path: Path) -> None:
    tally = smtp_campaign(tmp_path, step=31)
    assert (tally.lost, tally.twice, tally.wrong) == (0, 0, [])
    assert tally.tried >= 10
    assert 0 <= tally.unsure <= tally.tried


# -- one mailbox, a scripted server ------------------------------------------------------------------------------------


class Reader:
    """A receiver on its own store before a scripted server; its clock stands unless it is moved."""

    def __init__(self, path: Path, server: ScriptedImap) -> None:
        self.server, self.now = server, NOW
        self.books = Books(lambda: Store.open(path, NOW))
        self.reading = Reading("INBOX", "", None, 0.05, 30 * 2**20, BOGOTA)

    def receiver(self) -> Receiver:
        return Receiver(self.books, self.server.open, Standing("imap", "mark"), self.reading, lambda: self.now)

    def once(self) -> str:
        """One fetch; what was wrong with it."""
        try:
            self.receiver().once()
        except Trouble as trouble:
            return str(trouble)
        return ""

    def begin_at(self, uid: int) -> None:
        """As after a first look that ended at this UID."""

        def begin(store: Store) -> None:
            with store.transaction():
                store.begin_mailbox("INBOX", 77, uid, NOW)
                store.set_fact("start:INBOX", "2026-06-01T15:42:00.000000Z")

        self.books.do_now(begin)

    def rows(self) -> list[tuple[int, str, str]]:
        """UID, state, receipt."""
        sql = "SELECT uid, state, received_at FROM inbound ORDER BY id"
        return self.books.do_now(lambda store: list(store.db.conn.execute(sql)))

    def cursor(self) -> int:
        found = self.books.do_now(lambda store: store.cursor("INBOX"))
        assert found
        return found.last_uid


Start = Callable[[ScriptedImap], Reader]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Start]:
    made: list[Reader] = []

    def make(server: ScriptedImap) -> Reader:
        made.append(Reader(tmp_path / "desk.db", server))
        return made[-1]

    yield make
    for one in made:
        one.books.close()


def handing_out(*, dates: bool = True, hidden: tuple[int, ...] = ()) -> Step:
    """What a server says to UID FETCH: of each mail asked for, its size and date or its body."""

    def say(said: str) -> bytes:
        lines = []
        for uid in map(int, re.findall(r"\d+", said.split(" ")[2])):
            if uid in hidden:
                continue
            raw = eml(f"c{uid}@correo.test", message_id=f"<{uid}@correo.test>")
            date = ' INTERNALDATE " 2-Jun-2026 10:42:00 -0500"' if dates else ""
            body = b"BODY[] {%d}\r\n%b" % (len(raw), raw)
            item = body if "BODY" in said else f"RFC822.SIZE {len(raw)}{date}".encode()
            lines.append(b"* %d FETCH (UID %d %b)\r\n" % (uid, uid, item))
        return b"".join(lines) + OK

    return say


def finding(*uids: int) -> Step:
    """What a server says to UID SEARCH: those asked for by number, or all."""

    def say(said: str) -> bytes:
        asked = re.fullmatch(r"UID SEARCH UID ([0-9,]+)", said)
        found = set(uids) & set(map(int, asked[1].split(","))) if asked else set(uids)
        return b"* SEARCH %b\r\n" % b" ".join(b"%d" % uid for uid in sorted(found)) + OK

    return say


def test_mail_without_a_date_was_received_when_it_was_seen(reader: Start) -> None:
    with ScriptedImap({"UID SEARCH": [finding(4)], "UID FETCH": [handing_out(dates=False)]}) as server:
        desk = reader(server)
        desk.begin_at(3)
        assert desk.once() == ""
        assert desk.rows() == [(4, "new", "2026-06-01T15:42:00.000000Z")]


def test_of_200_000_mails_only_what_is_new_is_fetched(reader: Start) -> None:
    """From a server that answers more than it was asked."""
    uids = range(10_000_001, 10_200_001)
    with ScriptedImap({"UID SEARCH": [finding(*uids)], "UID FETCH": [handing_out()]}) as server:
        desk = reader(server)
        desk.begin_at(uids[-4])
        assert desk.once() == ""
        assert [uid for uid, _, _ in desk.rows()] == list(uids[-3:])


@pytest.mark.parametrize("command", ["RFC822.SIZE", "BODY"])
def test_mail_that_is_named_and_not_handed_out_is_not_passed_over(reader: Start, command: str) -> None:
    """`OK`, and nothing of it: a server whose parts do not agree yet. What was removed is not named any more."""
    holding = handing_out(hidden=(5,))

    def fetch(said: str) -> bytes:
        return (holding if command in said else handing_out())(said)  # type: ignore[operator]

    script: dict[str, list[Step]] = {"UID SEARCH": [finding(4, 5, 6)], "UID FETCH": [fetch]}
    with ScriptedImap(script) as server:
        desk = reader(server)
        desk.begin_at(3)
        assert "names 1 mails that it does not hand out" in desk.once()
        assert desk.cursor() < 5
        script["UID FETCH"] = [handing_out()]
        assert desk.once() == ""
        assert [uid for uid, _, _ in desk.rows()] == [4, 5, 6]
    with ScriptedImap({"UID SEARCH": [finding(7, 9)], "UID FETCH": [handing_out(hidden=(8,))]}) as server:
        desk.server = server
        assert desk.once() == ""
        assert [uid for uid, _, _ in desk.rows()] == [4, 5, 6, 7, 9]


@pytest.mark.parametrize("command", ["RFC822.SIZE", "BODY"])
def test_mail_that_is_never_handed_out_is_set_apart(reader: Start, command: str) -> None:
    holding = handing_out(hidden=(5,))

    def fetch(said: str) -> bytes:
        return (holding if command in said else handing_out())(said)  # type: ignore[operator]

    with ScriptedImap({"UID SEARCH": [finding(4, 5, 6)], "UID FETCH": [fetch]}) as server:
        desk = reader(server)
        desk.begin_at(3)
        receiver = desk.receiver()
        for _ in range(FETCHES):
            with pytest.raises(Trouble, match="does not hand out"):
                receiver.once()
        receiver.once()
        assert [row[:2] for row in desk.rows()] == [(4, "new"), (5, "failed"), (6, "new")]


def test_what_dovecot_says_of_a_mail_that_is_gone_is_no_empty_mail(reader: Start) -> None:
    """No bytes, of 1970, and NIL; afterwards it is not named any more."""
    gone = b'* 4 FETCH (UID 4 RFC822.SIZE 0 INTERNALDATE "01-Jan-1970 00:00:00 +0000" BODY[] NIL)\r\n' + OK
    slips = [finding(4), finding()]

    def search(said: str) -> bytes:
        return (slips.pop(0) if len(slips) > 1 else slips[0])(said)  # type: ignore[operator]

    with ScriptedImap({"UID SEARCH": [search], "UID FETCH": [gone]}) as server:
        desk = reader(server)
        desk.begin_at(3)
        assert desk.once() == ""
        assert desk.rows() == []


def test_a_uid_that_no_mail_ever_had_does_not_make_the_desk_deaf(reader: Start) -> None:
    """Named once, by a slip; a cursor up there would never see mail again."""
    script: dict[str, list[Step]] = {"UID SEARCH": [finding(4, 4_000_000_000)], "UID FETCH": [handing_out()]}
    slips = [finding(4, 4_000_000_000), finding(4)]

    def search(said: str) -> bytes:
        return (slips.pop(0) if len(slips) > 1 else slips[0])(said)  # type: ignore[operator]

    def fetch(said: str) -> bytes:
        return handing_out(hidden=(4_000_000_000,))(said)  # type: ignore[operator]

    script = {"UID SEARCH": [search], "UID FETCH": [fetch]}
    with ScriptedImap(script) as server:
        desk = reader(server)
        desk.begin_at(3)
        assert desk.once() == ""
        assert (desk.cursor(), [uid for uid, _, _ in desk.rows()]) == (4, [4])


# -- no busy loop, no lockout ------------------------------------------------------------------------------------------


def knocks(desk: Reader, hours: float) -> int:
    """Connections within so many hours of trying whenever it is allowed."""
    standing, end = Standing("imap", "mark"), desk.now + timedelta(hours=hours)
    before = desk.server.connections
    while desk.now < end:
        until = desk.books.do_now(lambda store: standing.wait_until(store, desk.now))
        desk.now = max(desk.now, until or desk.now)
        assert desk.once()
    return desk.server.connections - before


REFUSALS: list[tuple[str, ScriptedImap, int, int]] = [  # a server that fails; the least and most connections in a day
    ("drops", ScriptedImap({}, greeting=(DROP,)), 200, 310),
    ("says BYE", ScriptedImap({}, greeting=(b"* BYE [UNAVAILABLE] too busy\r\n", DROP)), 200, 310),
    ("no login now", ScriptedImap({"LOGIN": [b"TAG NO [UNAVAILABLE] later\r\n"]}), 200, 310),
    ("refuses our name", ScriptedImap({"LOGIN": [b"TAG NO [AUTHENTICATIONFAILED] no\r\n"]}), 30, 55),
    ("has no such folder", ScriptedImap({"SELECT": [b"TAG NO [NONEXISTENT] no\r\n"]}), 200, 310),
]


@pytest.mark.parametrize(("server", "least", "most"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_a_server_that_fails_all_day_is_tried_again_and_again_but_not_often(
    reader: Start, server: ScriptedImap, least: int, most: int
) -> None:
    with server:
        assert least <= knocks(reader(server), hours=24) <= most


def test_a_refused_login_is_tried_once_by_the_running_thread_too(reader: Start) -> None:
    with ScriptedImap({"LOGIN": [b"TAG NO [AUTHENTICATIONFAILED] no\r\n"]}) as server:
        desk = reader(server)
        for _ in range(3):  # a program that is started again and again
            with running(desk.receiver()):
                wait_until(lambda: bool(desk.books.do_now(lambda store: store.provider_problem("imap"))))
        assert sum(line.startswith("LOGIN") for line in server.heard) == 1


def test_a_server_that_hangs_up_as_soon_as_we_listen_is_looked_into_once_a_poll(reader: Start) -> None:
    with ScriptedImap({"IDLE": [b"+ idling\r\n", DROP], "UID SEARCH": [finding()]}) as server:
        desk = reader(server)
        desk.reading = replace(desk.reading, poll_seconds=60)
        desk.begin_at(3)
        receiver, end = desk.receiver(), desk.now + timedelta(hours=2)
        while desk.now < end:
            desk.now = desk.books.do_now(lambda store: receiver.standing.wait_until(store, desk.now)) or desk.now
            receiver._turn()
        assert 100 < server.connections < 130


def test_mail_that_is_announced_and_not_there_is_no_reason_to_ask_without_a_pause(reader: Start) -> None:
    script: dict[str, list[Step]] = {
        "IDLE": [b"+ idling\r\n* 4 EXISTS\r\n"], "DONE": [b"TAG OK over\r\n"], "UID SEARCH": [finding()],
    }  # fmt: skip
    with ScriptedImap(script) as server:
        desk = reader(server)
        desk.reading = replace(desk.reading, poll_seconds=60)
        desk.begin_at(3)
        with running(desk.receiver()):
            wait_until(lambda: server.heard.count("IDLE") > 3)
            script["UID SEARCH"], script["UID FETCH"] = [finding(4)], [handing_out()]
            wait_until(lambda: len(desk.rows()) == 1, what="the mail, when it is there after all")
            script["UID SEARCH"] = [finding()]
            asked = server.heard.count("IDLE")
            threading.Event().wait(1.5)
            assert server.heard.count("IDLE") - asked < 10


@contextmanager
def running(receiver: Receiver) -> Iterator[None]:
    """The mailbox's thread at work."""
    thread = threading.Thread(target=receiver.run)
    thread.start()
    try:
        yield
    finally:
        receiver.stop()
        thread.join(10)
    assert not thread.is_alive()


# -- one mailbox, a real server behind a relay -------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path, dovecot: Dovecot) -> Iterator[Desk]:
    dovecot.reset(OFFICE)
    with (
        impatient(5), Relay(dovecot.port, "imap") as relay, dovecot.client(OFFICE) as colleague,
        Desk(dovecot, relay, tmp_path / "desk.db", colleague) as desk,
    ):  # fmt: skip
        yield desk


def test_a_folder_that_is_renamed_under_us_and_back_is_read_wherever_it_is(desk: Desk) -> None:
    """The server goes on showing the renamed folder to who had it open; mail arrives in the one of the name."""
    desk.colleague.create_folder("Entrada")
    desk.reading = replace(desk.reading, folder="Entrada")
    desk.once()
    with desk.running():
        desk.write("Entrada")
        assert desk.came(1)
        desk.colleague.rename_folder("Entrada", "Vieja")
        desk.colleague.create_folder("Entrada")
        desk.write("Entrada")
        assert desk.came(2)
        desk.colleague.delete_folder("Entrada")
        wait_until(lambda: "does not exist" in desk.state_of_imap(), what="the missing folder is told")
        desk.colleague.rename_folder("Vieja", "Entrada")
        desk.write("Entrada")
        assert desk.came(3)
        wait_until(lambda: desk.state_of_imap() == "", what="health")
    assert set(desk.answered().values()) == {(1, 1)}


@pytest.mark.parametrize("command", ["UID SEARCH", "UID FETCH", "BODY.PEEK", "UID MOVE", "IDLE"])
@pytest.mark.parametrize("what", ["expunged", "renamed", "made anew"])
def test_what_somebody_does_to_the_folder_under_our_hands_hides_none_of_the_rest(
    desk: Desk, command: str, what: str
) -> None:
    """A mail that is removed before it is seen is gone; every other one becomes one case."""
    for name in ("Entrada", "Hechas"):
        desk.colleague.create_folder(name)
    desk.reading = replace(desk.reading, folder="Entrada", move_to="Hechas")
    desk.once()
    desk.write("Entrada")
    desk.write("Entrada")

    done = threading.Event()

    def deed() -> None:
        desk.relay.spoil(None)
        with desk.dovecot.client(OFFICE, "Entrada") as somebody:
            if what == "expunged":
                somebody.delete_messages(somebody.search()[:1])
                somebody.expunge()
            else:
                somebody.rename_folder("Entrada", "Vieja")
            if what == "made anew":
                somebody.create_folder("Entrada")
            if what == "renamed":
                somebody.rename_folder("Vieja", "Entrada")
        done.set()

    desk.relay.spoil(lambda said: command in said, meanwhile(deed))
    with desk.running():
        assert done.wait(10)
        desk.write("Entrada")
        wait_until(lambda: "texto 3" in desk.kept(), what="the next mail")
    seen = desk.kept()
    if what == "renamed" or command in ("UID MOVE", "IDLE"):
        assert seen == ["texto 1", "texto 2", "texto 3"]
    elif what == "expunged":
        assert seen == ["texto 2", "texto 3"]
    cases = {f"c{text.split()[1]}@correo.test": (1, 1) for text in seen}
    assert desk.answered() == {f"c{n}@correo.test": cases.get(f"c{n}@correo.test", (0, 0)) for n in (1, 2, 3)}


@pytest.mark.parametrize("piece", [1, 3, 5])
def test_a_large_mail_that_is_removed_while_it_is_read_is_no_half_mail(desk: Desk, piece: int) -> None:
    """Dovecot answers NIL, as others do beyond the end."""
    desk.once()
    desk.colleague.append("INBOX", eml() + b"y" * (AT_ONCE + 2**19), msg_time=desk.clock.now)
    desk.write()

    def deed() -> None:
        with desk.dovecot.client(OFFICE) as somebody:
            somebody.delete_messages(somebody.search()[:1])
            somebody.expunge()

    pieces = iter(range(10))
    desk.relay.spoil(lambda said: "BODY.PEEK[]<" in said and next(pieces) == piece - 1, meanwhile(deed))
    desk.once()
    assert desk.relay.spoilt
    desk.once()
    assert desk.kept() == ["texto 1"]


def test_a_folder_to_move_to_that_is_full_for_a_while(desk: Desk) -> None:
    """Without another connection: a link may hold for weeks."""
    desk.colleague.create_folder("Hechas")
    desk.reading = replace(desk.reading, move_to="Hechas")
    desk.once()
    desk.relay.spoil(lambda said: "UID MOVE" in said, saying(b"TAG NO [OVERQUOTA] Quota exceeded\r\n"))
    with desk.running():
        desk.write()
        wait_until(lambda: "OVERQUOTA" in desk.fact(MOVE_PROBLEM), what="the problem is told")
        connections = desk.relay.connections
        assert desk.count() == 1
        desk.relay.spoil(None)
        wait_until(lambda: not desk.fact(MOVE_PROBLEM), what="the mail is moved")
        assert desk.relay.connections == connections
    assert (len(desk.dovecot.mails(OFFICE)), len(desk.dovecot.mails(OFFICE, "Hechas"))) == (0, 1)


def test_a_server_of_old_that_can_do_nothing_extra(desk: Desk) -> None:
    """No MOVE, UIDPLUS, IDLE, LITERAL+: mail comes by asking, and what is moved is marked, never expunged."""
    desk.relay.without = ("MOVE", "UIDPLUS", "IDLE", "LITERAL+")
    desk.colleague.create_folder("Hechas")
    desk.reading = replace(desk.reading, move_to="Hechas")
    desk.once()
    with desk.running():
        for count in (1, 2):
            desk.write()
            assert desk.came(count)
            wait_until(lambda: len(desk.dovecot.mails(OFFICE, "Hechas")) == count)  # noqa: B023
    commands = {" ".join(line.split(" ")[: 1 + line.startswith("UID")]) for line in desk.relay.said}
    assert {"NOOP", "UID COPY", "UID STORE"} <= commands
    assert not commands & {"IDLE", "UID MOVE", "UID EXPUNGE", "EXPUNGE"}
    assert len(desk.dovecot.mails(OFFICE)) == 2
    assert set(desk.answered().values()) == {(1, 1)}


def test_a_folder_that_may_only_be_read(desk: Desk) -> None:
    """The server says so in its answer to SELECT: mail is taken, and that it cannot be moved is told."""
    read_only = b"* 0 EXISTS\r\n* OK [UIDVALIDITY 1] v\r\nTAG OK [READ-ONLY] done\r\n"
    desk.reading = replace(desk.reading, move_to="Hechas")
    desk.relay.spoil(lambda said: said.startswith("SELECT"), saying(read_only))
    desk.once()
    desk.write()
    desk.once()
    assert desk.count() == 1
    assert "this folder is read-only" in desk.fact(MOVE_PROBLEM)
    assert not any(line.startswith(("UID MOVE", "UID COPY", "UID STORE")) for line in desk.relay.said)


# -- the desk as a process ---------------------------------------------------------------------------------------------


def test_the_program_outlives_what_an_imap_server_says(tmp_path: Path, dovecot: Dovecot, smtp: SmtpServer) -> None:
    """Each of these once ended it: a literal that no machine has the memory for, a number that no store can keep."""
    dovecot.reset()
    smtp.route = dovecot.route
    with Relay(dovecot.port, "imap") as relay:
        desk = DeskProcess(tmp_path, dovecot, smtp, imap={"port": relay.port, "tls": "none", "sent_folder": ""})
        assert desk.say("run", "--once").returncode == 0
        dovecot.deliver(eml(), OFFICE, sender="clara@correo.test")
        for fault in (IMAP_FAULTS["a literal of 100 TB"], saying(b"* SEARCH 99999999999999999999\r\nTAG OK done\r\n")):
            relay.spoil(lambda said: "UID SEARCH" in said, fault)
            said = desk.say("run", "--once", status=1).stderr
            assert sum(line.startswith("imap: ") for line in said.splitlines()) == 1, said
        relay.spoil(None)
        desk.say("run", "--once")
        assert len(dovecot.mails("clara@correo.test")) == 1
        assert relay.connections == 4
