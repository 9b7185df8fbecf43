"""Servers that misbehave on purpose: a scripted IMAP server, a relay that spoils one moment of a real conversation, and
the campaigns that spoil every moment in every way and count what was lost and what was done twice."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from imaplib import IMAP4
from pathlib import Path
from typing import Any, Literal

from bench import Bench, eml
from imapclient import IMAPClient
from office import BOGOTA, NOW
from servers import LOOPBACK, OFFICE, Dovecot, SmtpServer

from pqr_mailbot.adapters import imap_mailbox, imap_session
from pqr_mailbot.adapters.connection import Endpoint, Trouble
from pqr_mailbot.adapters.imap_mailbox import Mailbox
from pqr_mailbot.adapters.smtp_mailer import Mailer
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.deliver import Delivery
from pqr_mailbot.flows.providers import Standing
from pqr_mailbot.flows.receive import Reading, Receiver
from pqr_mailbot.flows.watch_sent import SentWatch

PASSWORD = "no-la-escriba-en-ningun-lado"


@contextmanager
def impatient(seconds: float) -> Iterator[None]:
    """Mailboxes inside wait no longer than this for an answer: nobody has a minute for every silence."""
    before = imap_mailbox.CONNECT_SECONDS, imap_mailbox.READ_SECONDS
    imap_mailbox.CONNECT_SECONDS = imap_mailbox.READ_SECONDS = seconds
    try:
        yield
    finally:
        imap_mailbox.CONNECT_SECONDS, imap_mailbox.READ_SECONDS = before


@contextmanager
def frugal(size: int) -> Iterator[None]:
    """Mailboxes inside take no more than so many bytes for one answer."""
    before = imap_session.ANSWER
    imap_session.ANSWER = size
    try:
        yield
    finally:
        imap_session.ANSWER = before


# -- a server that says what it is told to say -------------------------------------------------------------------------

DROP, RESET = "drop", "reset"  # what a script may do beside sending bytes


@dataclass(frozen=True)
class Endless:
    """A step that sends `first`, then `again` for as long as it is taken."""

    first: bytes
    again: bytes


Step = bytes | str | float | Endless | Callable[[str], bytes]
SELECTED = b"* 3 EXISTS\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 77] v\r\n* OK [UIDNEXT 4] n\r\nTAG OK done\r\n"
OK = b"TAG OK done\r\n"


def answer(*lines: bytes) -> list[Step]:
    return [b"".join(b"* " + line + b"\r\n" for line in lines) + OK]


@dataclass
class ScriptedImap:
    """Answers each command with its steps: bytes (TAG stands for the command tag), a function of what was said that
    makes such bytes, seconds of silence, something endless, DROP, RESET. Serves any number of connections."""

    script: dict[str, list[Step]]
    caps: str = "IMAP4rev1 IDLE UIDPLUS MOVE AUTH=PLAIN"
    greeting: tuple[Step, ...] = (b"* OK here\r\n",)
    tls: ssl.SSLContext | None = None
    heard: list[str] = field(default_factory=list)
    connections: int = 0
    poured: int = 0  # bytes of endless steps that were taken

    def __enter__(self) -> ScriptedImap:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = self._listener.getsockname()[1]
        self._over, self._links = threading.Event(), set[socket.socket]()
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in (self._listener, *self._links):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                self.connections += 1
                self._links.add(link)
                self._threads.append(threading.Thread(target=self._host, args=(link,), daemon=True))
                self._threads[-1].start()

    def _host(self, link: socket.socket) -> None:
        plain = link
        with suppress(OSError), plain:
            if self.tls:
                link = self.tls.wrap_socket(link, server_side=True)
                self._links.add(link)
            link.settimeout(10)
            with link, link.makefile("rb") as lines:
                self._serve(link, lines)
        self._links -= {plain, link}

    def _serve(self, link: socket.socket, lines: Any) -> None:
        if not self._play(link, self.greeting, b""):
            return
        tag = b""
        while line := lines.readline():
            words = line.strip().split(b" ", 2)
            text = line.strip().decode("utf-8", "replace")
            said = text.partition(" ")[2] or text
            self.heard.append(said)
            if len(words) == 1:  # DONE, or an answer to a challenge
                command = text
            else:
                tag, command = words[0], words[1].decode("utf-8", "replace").upper()
                if command == "UID":
                    command = "UID " + words[2].decode().split(" ")[0].upper()
            standard: dict[str, list[Step]] = {
                "CAPABILITY": [f"* CAPABILITY {self.caps}\r\n".encode() + OK],
                "SELECT": [SELECTED],
                "EXAMINE": [SELECTED],
                "IDLE": [b"+ idling\r\n"],
                "LIST": [b'* LIST () "/" INBOX\r\n* LIST () "/" Enviados\r\n' + OK],
                "LOGOUT": [b"* BYE\r\n" + OK, DROP],
            }
            steps = self.script.get(command, standard.get(command, [OK]))
            if not self._play(link, [step(said) if callable(step) else step for step in steps], tag):
                return

    def _play(self, link: socket.socket, steps: Any, tag: bytes) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                link.sendall(step.replace(b"TAG", tag))
            elif isinstance(step, float):
                self._over.wait(step)
            elif isinstance(step, Endless):
                self._pour(link, step)
            else:
                if step == RESET:
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    link.close()
                return False
        return True

    def _pour(self, link: socket.socket, flood: Endless) -> None:
        link.sendall(flood.first)
        much = flood.again * (2**16 // len(flood.again))
        while not self._over.is_set():
            link.sendall(much)
            self.poured += len(much)

    def endpoint(self, tls: Any = "none", ca_file: str = "", host: str = LOOPBACK) -> Endpoint:
        return Endpoint(host, self.port, tls, ca_file, "info@oficina.test")

    def open(self, **options: Any) -> Mailbox:
        return Mailbox.open(self.endpoint(), PASSWORD, "INBOX", **options)


# -- a relay that spoils one moment ------------------------------------------------------------------------------------


class Relay:
    """Stands between a client and a real server of lines (IMAP, SMTP), in clear, on loopback. It counts what the client
    says over all its connections - 0 is the first connection itself - and at one position does a fault instead.

    `spoil` arms it and begins to count anew; `spoilt` tells what was said there, None while nothing was.
    """

    def __init__(self, port: int, protocol: Literal["imap", "smtp"], without: Sequence[str] = ()) -> None:
        """`without`: capabilities of the server that its clients never learn of."""
        self._target, self.protocol, self.without = port, protocol, without
        self._lock = threading.Lock()
        self._open = set[_Conversation]()
        self.connections = 0
        self.said: list[str] = []  # since `spoil`
        self.spoil(None)

    def __enter__(self) -> Relay:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for conversation in tuple(self._open):
            conversation.end()
        for conversation in tuple(self._open):
            conversation.join()

    def spoil(self, at: int | Callable[[str], bool] | None, fault: Fault | None = None) -> None:
        """`at`: a position; or what is true of every line to spoil; None: nothing is spoilt."""
        with self._lock:
            self.at, self.fault = at, fault
            self.said, self.spoilt = [], None

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                _Conversation(self, client, self._target).start()

    def fault_at(self, line: bytes) -> Fault | None:
        """Counts one thing that a client said."""
        text = line.decode("utf-8", "replace").strip()
        said = text if self.protocol == "smtp" or text == "DONE" else text.partition(" ")[2]
        with self._lock:
            here = self.at(said) if callable(self.at) else len(self.said) == self.at
            self.said.append(said or "connect")
            if not here:
                return None
            self.spoilt = said or "connect"
            return self.fault


class _Conversation:
    """One relayed connection: a thread for each direction."""

    def __init__(self, relay: Relay, client: socket.socket, port: int) -> None:
        self.relay, self.client = relay, client
        self.server = socket.create_connection((LOOPBACK, port), 10)
        for link in (client, self.server):
            link.settimeout(None)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tag, self.letter, self.over = b"", False, threading.Event()
        self.told: Callable[[bytes], bool] = self.tell  # what is done with the server's words
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._up, self._down)]

    def start(self) -> None:
        self.relay._open.add(self)
        self._threads[0].start()

    def join(self) -> None:
        for thread in self._threads:
            if thread.ident:
                thread.join(5)
                assert not thread.is_alive()

    def end(self) -> None:
        self.over.set()
        for link in (self.client, self.server):
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _up(self) -> None:
        """From the client. It alone does faults, and closes both sides at the end."""
        try:
            with suppress(OSError), self.client.makefile("rb") as lines:
                if self._heard(b""):
                    while (line := lines.readline()) and self._heard(line):
                        pass
        finally:
            self.end()
            if self._threads[1].ident:
                self._threads[1].join(5)
            self.client.close()
            self.server.close()
            self.relay._open.discard(self)

    def _heard(self, line: bytes) -> bool:
        """False: this conversation is over."""
        if self.letter and line != b".\r\n":
            return self.say(line)
        self.letter, self.told = False, self.tell
        if self.relay.protocol == "imap" and line and line != b"DONE\r\n":
            self.tag = line.split(b" ")[0]
        fault = self.relay.fault_at(line)
        return fault(self, line) if fault else self.say(line)

    def say(self, line: bytes) -> bool:
        """To the server; nothing but a connection is a greeting asked for."""
        if line:
            self.server.sendall(line)
        else:
            self._threads[1].start()
        return True

    def _down(self) -> None:
        """From the server."""
        with suppress(OSError):
            while words := self.server.recv(65536):
                self.letter = self.letter or words.startswith(b"354")
                if not self.told(words):
                    break
        self.end()

    def tell(self, words: bytes) -> bool:
        """To the client."""
        for name in self.relay.without:
            words = re.sub(rb"(?i)(CAPABILITY[^\r\n]*) %s(?=[ \]\r])" % re.escape(name.encode()), rb"\1", words)
        self.client.sendall(words)
        return True


Fault = Callable[[_Conversation, bytes], bool]


def dropped(talk: _Conversation, _: bytes) -> bool:
    return False


def reset(talk: _Conversation, _: bytes) -> bool:
    talk.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def done_but_dropped(talk: _Conversation, line: bytes) -> bool:
    """The server did it; the client never hears."""
    talk.told = lambda _: False
    return talk.say(line)


def half_an_answer(talk: _Conversation, line: bytes) -> bool:
    def tell(words: bytes) -> bool:
        talk.tell(words[: len(words) // 2])
        return False

    talk.told = tell
    return talk.say(line)


def silence(talk: _Conversation, _: bytes) -> bool:
    """As a half-open link: nothing goes either way any more, and nobody says so."""
    talk.over.wait(30)
    return False


def done_and_silence(talk: _Conversation, line: bytes) -> bool:
    talk.told = lambda _: True
    return talk.say(line)


def one_byte_at_a_time(talk: _Conversation, line: bytes) -> bool:
    def tell(words: bytes) -> bool:
        for start in range(min(len(words), 600)):
            talk.client.sendall(words[start : start + 1])
        return talk.tell(words[600:])

    talk.told = tell
    return talk.say(line)


def saying(words: bytes, ends: bool = False) -> Fault:
    """The server is not asked; these words are the answer, TAG in them the command's tag."""

    def fault(talk: _Conversation, line: bytes) -> bool:
        talk.client.sendall(words.replace(b"TAG", talk.tag or b"*"))
        if talk.letter or line == b".\r\n":  # the server waits for the end of a letter: there is no going on with it
            talk.server.shutdown(socket.SHUT_RDWR)
        return not ends

    return fault


def pouring(first: bytes, again: bytes) -> Fault:
    """An answer without end."""

    def fault(talk: _Conversation, _: bytes) -> bool:
        talk.client.sendall(first)
        while True:  # until the client closes
            talk.client.sendall(again * (2**16 // len(again)))

    return fault


def with_noise(noise: bytes) -> Fault:
    """In one packet with the answer."""

    def fault(talk: _Conversation, line: bytes) -> bool:
        def tell(words: bytes) -> bool:
            talk.told = talk.tell
            return talk.tell(words if line == b"" else noise + words)

        talk.told = tell
        return talk.say(line)

    return fault


def meanwhile(deed: Callable[[], object]) -> Fault:
    """Somebody else does this before the server hears of it; all else is as usual."""

    def fault(talk: _Conversation, line: bytes) -> bool:
        deed()
        return talk.say(line)

    return fault


_ANYWHERE: dict[str, Fault] = {
    "dropped": dropped,
    "reset": reset,
    "done but dropped": done_but_dropped,
    "half an answer": half_an_answer,
    "silence": silence,
    "done and silence": done_and_silence,
    "one byte at a time": one_byte_at_a_time,
}
IMAP_FAULTS: dict[str, Fault] = {
    **_ANYWHERE,
    "NO": saying(b"TAG NO [SERVERBUG] internal error\r\n"),
    "NO, over quota": saying(b"TAG NO [OVERQUOTA] full\r\n"),
    "BAD": saying(b"TAG BAD what\r\n"),
    "BYE": saying(b"* BYE going down\r\n", ends=True),
    "OK, and nothing was done": saying(b"TAG OK done\r\n"),
    "another's tag": saying(b"ZZZ9 OK done\r\n"),
    "garbage": saying(b"\x00\xff{7}{{\r\n* ((((\r\n"),
    "noise in one packet": with_noise(b"* 99 EXISTS\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* OK still here\r\n"),
    "lines without end": pouring(b"", b"* OK x\r\n"),
    "a line without end": pouring(b"* OK ", b"x"),
    "a literal of 100 TB": pouring(b"* 1 FETCH (UID 1 BODY[] {100000000000000}\r\n", b"x"),
}
SMTP_FAULTS: dict[str, Fault] = {
    **_ANYWHERE,
    "4xx": saying(b"451 4.3.0 later\r\n"),
    "5xx": saying(b"554 5.0.0 no\r\n"),
    "421": saying(b"421 4.3.2 closing\r\n", ends=True),
    "a code out of turn": saying(b"199 what\r\n"),
    "garbage": saying(b"\x00\xff?\r\n"),
    "lines without end": pouring(b"", b"250-x\r\n"),
    "a line without end": pouring(b"250 ", b"x"),
}


# -- campaigns: every moment of a conversation spoilt in every way -----------------------------------------------------


@dataclass
class Tally:
    """What came of a campaign. `owed`: mails, or letters; `wrong`: each of them in words."""

    tried: int = 0  # moments spoilt
    owed: int = 0
    lost: int = 0
    twice: int = 0
    unsure: int = 0  # letters that may have arrived, and stay where they are
    wrong: list[str] = field(default_factory=list)

    def note(self, lost: int, twice: int, words: str) -> None:
        self.lost, self.twice = self.lost + lost, self.twice + twice
        if lost or twice:
            self.wrong.append(words)


class Clock:
    """Goes on by a minute each time it is asked, so that nobody waits for a back-off; `hours` may be added."""

    def __init__(self, begin: datetime) -> None:
        self.now = begin

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    def skip(self, hours: float) -> None:
        self.now += timedelta(hours=hours)


class Desk:
    """The flows of one office between a relay, a real Dovecot and a real store."""

    def __init__(self, dovecot: Dovecot, relay: Relay, path: Path, colleague: IMAPClient) -> None:
        self.dovecot, self.relay, self.path, self.colleague = dovecot, relay, path, colleague
        self.clock = Clock(datetime(2026, 6, 1, 15, 0, tzinfo=UTC))
        self.books = Books(lambda: Store.open(path, self.clock.now))
        self.reading = Reading("INBOX", "", None, 0.05, 30 * 2**20, BOGOTA)
        self.written = 0

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.books.close()

    def open(self) -> Mailbox:
        endpoint = Endpoint(LOOPBACK, self.relay.port, "none", "", OFFICE)
        return Mailbox.open(endpoint, self.dovecot.passwords[OFFICE], self.reading.folder)

    def open_sent(self) -> Mailbox:
        endpoint = Endpoint(LOOPBACK, self.relay.port, "none", "", OFFICE)
        return Mailbox.open(endpoint, self.dovecot.passwords[OFFICE], "Enviadas", readonly=True)

    def receiver(self) -> Receiver:
        return Receiver(self.books, self.open, Standing("imap", "mark"), self.reading, self.clock)

    def once(self) -> None:
        """One whole fetch, whatever comes of it."""
        with suppress(Trouble):
            self.receiver().once()

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        """The mailbox's thread at work, never broken."""
        receiver, broken = self.receiver(), list[BaseException]()

        def run() -> None:
            try:
                receiver.run()
            except BaseException as error:
                broken.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.stop()
            thread.join(20)
        assert not thread.is_alive() and not broken, broken

    def write(self, folder: str = "INBOX") -> str:
        """A mail of somebody else's each time lies in the folder. Returns its Message-ID."""
        self.written += 1
        message_id = f"<m{self.written}@correo.test>"
        raw = eml(f"c{self.written}@correo.test", f"Asunto {self.written}", f"texto {self.written}", message_id)
        try:
            self.colleague.append(folder, raw, msg_time=self.clock.now)
        except IMAP4.error:  # of a folder made anew, who had seen the old one is told that it is gone
            with self.dovecot.client(OFFICE) as another:
                another.append(folder, raw, msg_time=self.clock.now)
        return message_id

    def kept(self) -> list[str]:
        """Of each mail that is kept its text's first line."""

        def read(store: Store) -> list[bytes]:
            return [store.inbound(i).raw for (i,) in store.db.conn.execute("SELECT id FROM inbound ORDER BY id")]

        return [raw.partition(b"\r\n\r\n")[2].decode().strip() for raw in self.books.do_now(read)]

    def count(self) -> int:
        return self.books.do_now(lambda store: int(store.db.conn.execute("SELECT count(*) FROM inbound").fetchone()[0]))

    def came(self, count: int, seconds: float = 10) -> bool:
        """Whether so many mails are kept, within some time."""
        end = time.monotonic() + seconds
        while (kept := self.count()) < count and time.monotonic() < end:
            time.sleep(0.005)
        return kept >= count

    def fact(self, name: str) -> str:
        return self.books.do_now(lambda store: store.fact(name)) or ""

    def state_of_imap(self) -> str:
        return self.books.do_now(lambda store: store.provider_problem("imap")) or ""

    def answered(self) -> dict[str, tuple[int, int]]:
        """Handles all mail. Of each customer who wrote: how many cases, how many acknowledgements."""
        bench = Bench(self.path)
        bench.work(self.clock.now)
        cases = Counter(row["customer"] for row in bench.rows("SELECT customer FROM ticket"))
        said = Counter(row["recipient"] for row in bench.rows("SELECT * FROM outbox WHERE letter = 'acknowledgement'"))
        bench.close()
        return {f"c{n}@correo.test": (cases[f"c{n}@correo.test"], said[f"c{n}@correo.test"]) for n in self.numbers}

    @property
    def numbers(self) -> range:
        return range(1, self.written + 1)


def every(positions: int, faults: dict[str, Fault], step: int, first: int) -> list[tuple[int, str]]:
    """Every `step`-th of all moments and faults, from the `first` on: campaigns of one step, one for each `first` below
    it, do all of them between them. A prime step reaches many of both."""
    return [(at, name) for at in range(positions) for name in faults][first::step]


def imap_campaign(dovecot: Dovecot, directory: Path, step: int = 1, first: int = 0) -> Tally:
    """Two mails for each moment of a session that is spoilt: one lies there before it, one comes while it listens.
    Whatever became of the session, afterwards each mail is one case with one acknowledgement, and was moved once."""
    tally = Tally()
    dovecot.reset(OFFICE)
    with (
        impatient(0.4), frugal(2**20), Relay(dovecot.port, "imap") as relay, dovecot.client(OFFICE) as colleague,
        Desk(dovecot, relay, directory / "imap.db", colleague) as desk,
    ):  # fmt: skip
        colleague.create_folder("Hechas")
        desk.reading = replace(desk.reading, move_to="Hechas")
        desk.once()
        spoilt_session(desk)
        for at, name in every(len(relay.said), IMAP_FAULTS, step, first):
            relay.spoil(at, IMAP_FAULTS[name])
            before, came = desk.written, spoilt_session(desk)
            tally.tried += relay.spoilt is not None
            tally.note(before + 2 - came, 0, f"{name} at {at} ({relay.spoilt}): {before + 2 - came} mails did not come")
        relay.spoil(None)
        desk.once()
        tally.owed = desk.written
        for customer, (cases, letters) in desk.answered().items():
            words = f"{customer}: {cases} cases, {letters} acknowledgements"
            tally.note(cases + letters < 2, cases > 1 or letters > 1, words)
        moved = [raw.partition(b"\r\n\r\n")[2] for raw in dovecot.mails(OFFICE, "Hechas")]
        if len(moved) != len(set(moved)) or len(moved) != desk.written or dovecot.mails(OFFICE):
            tally.wrong.append(f"{len(moved)} mails were moved, of {desk.written}")
    return tally


def spoilt_session(desk: Desk) -> int:
    """A mail before it, a mail in it; returns how many are kept at its end."""
    desk.write()
    with desk.running():
        desk.came(desk.written)
        desk.write()
        desk.came(desk.written)
    return desk.count()


def sent_campaign(dovecot: Dovecot, directory: Path, step: int = 1, first: int = 0) -> Tally:
    """The same for the Sent folder: a mail for each moment of a look that is spoilt; later looks find it, once."""
    tally = Tally()
    dovecot.reset(OFFICE)
    with (
        impatient(0.4), frugal(2**20), Relay(dovecot.port, "imap") as relay, dovecot.client(OFFICE) as colleague,
        Desk(dovecot, relay, directory / "sent.db", colleague) as desk,
    ):  # fmt: skip
        watch = SentWatch(desk.books, desk.open_sent, 2**20, desk.clock)
        watch.look_once()
        relay.spoil(None)
        desk.write("Enviadas")
        watch.look_once()
        for at, name in every(len(relay.said), IMAP_FAULTS, step, first):
            desk.write("Enviadas")
            relay.spoil(at, IMAP_FAULTS[name])
            for _ in range(3):
                watch.look_once()
                desk.clock.skip(hours=1)
            tally.tried += relay.spoilt is not None
        tally.owed = desk.written
        kept = Counter(desk.kept())
        for number in desk.numbers:
            found = kept[f"texto {number}"]
            tally.note(found == 0, found > 1, f"mail {number} of Sent was kept {found} times")
    return tally


def smtp_campaign(directory: Path, step: int = 1, first: int = 0) -> Tally:
    """A queue of several letters for each moment of its sending that is spoilt. Afterwards each arrived once; or it is
    `uncertain`, lost after its last dot, and not sent again; or `dead`, because the server had said so of it."""
    tally, queue = Tally(), directory / "queue.db"
    _fill(queue)
    with SmtpServer() as server, Relay(server.port, "smtp") as relay:
        _sent(queue, directory / "trial.db", relay)
        positions = len(relay.said)
        for at, name in every(positions, SMTP_FAULTS, step, first):
            server.received.clear()
            relay.spoil(at, SMTP_FAULTS[name])
            rows = _sent(queue, directory / "trial.db", relay)
            tally.tried += relay.spoilt is not None
            tally.owed += len(rows)
            arrived = Counter(message_from_bytes(one.data)["Message-ID"] for one in server.received)
            for row in rows:
                lost, twice = _judged(row, arrived[row["message_id"]], name, relay.spoilt or "")
                tally.unsure += row["state"] == "uncertain"
                words = f"{row['letter']} {row['state']}, came {arrived[row['message_id']]} times"
                tally.note(lost, twice, f"{name} at {at} ({relay.spoilt}): {words}")
    return tally


def _fill(path: Path) -> None:
    """Letters to two customers, one of them with a companion, and to their agent."""
    bench = Bench(path)
    bench.take(eml())
    bench.take(eml("Diego Paz <diego@otro.test>", "Molienda", "¿Qué molienda sirve para greca?", "<d1@otro.test>"))
    with bench.store.transaction():
        bench.store.add_participant("PQR-2026-000001", "eva@correo.test")
    (told, _) = bench.letters("notification")
    above = {"In_Reply_To": told.mail["Message-ID"], "References": told.mail["Message-ID"]}
    subject = f"Re: {told.mail['Subject']}"
    bench.take(eml("Ana Ruiz <ana@lohas.test>", subject, "Le enviamos otra bolsa.", "<a1@lohas.test>", **above))
    assert bench.said().count("answer>eva@correo.test") == 1, bench.said()
    bench.close()


def _sent(queue: Path, path: Path, relay: Relay) -> list[dict[str, Any]]:
    """What became of the letters of a copy of this queue: a round, and some later ones."""
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    shutil.copy(queue, path)
    for hours in (0, 1, 6, 12):
        _round(path, Endpoint(LOOPBACK, relay.port, "none", "", ""), NOW + timedelta(hours=hours))
    bench = Bench(path)
    rows = bench.rows("SELECT letter, message_id, state, attempts, error FROM outbox ORDER BY id")
    bench.close()
    return rows


def _round(path: Path, endpoint: Endpoint, now: datetime) -> None:
    books = Books(lambda: Store.open(path, now))

    async def deliver() -> None:
        mailer = Mailer(endpoint, None, 2, timeout=0.15)
        await Delivery(books, mailer, Standing("smtp", ""), 2, lambda: now).round()
        await mailer.close()

    try:
        asyncio.run(deliver())
    finally:
        books.close()


def _judged(row: dict[str, Any], came: int, fault: str, where: str) -> tuple[bool, bool]:
    """Was this letter lost, did it come twice? One that is not known to have come must have a reason."""
    state, verb = row["state"], where.split(" ")[0]
    reason = {
        "sent": came == 1,
        "uncertain": verb == "." and fault not in ("4xx", "5xx"),
        "dead": fault == "5xx" and verb in ("RCPT", "DATA", "."),
    }
    return not reason.get(state, False), came > 1
