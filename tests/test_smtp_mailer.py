"""The SMTP adapter: what becomes of a letter, against scripted servers byte by byte and against a real one."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from servers import CERTIFICATES, DROP, OFFICE, SMTP_PASSWORD, Authority, SmtpServer, free_ports

from pqr_mailbot.adapters import smtp_mailer
from pqr_mailbot.adapters.connection import Endpoint, Trouble
from pqr_mailbot.adapters.smtp_mailer import Mailer, Outcome

CLARA = "clara@correo.test"
LETTER = b"From: info@lohas.test\r\nTo: clara@correo.test\r\nSubject: Recibida\r\n\r\nBuenas tardes.\r\n"
HANG, CLOSE = "hang", "close"
Step = bytes | str


# -- a server that says what it is told to say

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


@dataclass
class ScriptedSmtp:
    """Answers each verb with its steps: bytes as they are, HANG (silence for ever), CLOSE. DOT is the letter's end."""

    script: dict[str, list[Step]] = field(default_factory=dict)
    extensions: tuple[str, ...] = EXTENSIONS
    heard: list[str] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)  # as on the wire, dots doubled, the final dot included
    connections: int = 0

    async def __aenter__(self) -> ScriptedSmtp:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        self.serving: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self.serving:
            task.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.serving.add(task)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await self._converse(reader, writer)
        finally:
            writer.close()
            self.serving.discard(task)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._play("CONNECT", writer):
            return
        while line := await reader.readline():
            verb = line.split()[0].decode().upper() if line.split() else ""
            self.heard.append(line.decode("utf-8", "replace").rstrip("\r\n"))
            if not await self._play(verb, writer):
                return
            if verb == "DATA" and "DATA" not in self.script:
                self.letters.append(await reader.readuntil(b"\r\n.\r\n"))
                if not await self._play("DOT", writer):
                    return

    async def _play(self, verb: str, writer: asyncio.StreamWriter) -> bool:
        extensions = b"".join(b"250-" + name.encode() + b"\r\n" for name in self.extensions)
        usual: dict[str, list[Step]] = {
            "CONNECT": [b"220 hello\r\n"],
            "EHLO": [b"250-hello\r\n" + extensions + b"250 HELP\r\n"],
            "DATA": [b"354 go on\r\n"],
            "DOT": [b"250 2.0.0 queued as X1\r\n"],
            "QUIT": [b"221 bye\r\n", CLOSE],
        }
        for step in self.script.get(verb, usual.get(verb, [b"250 ok\r\n"])):
            if step == CLOSE:
                return False
            if step == HANG:
                await asyncio.Event().wait()
            elif isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
                await asyncio.sleep(0.01)  # so that two steps are two packets
        return True

    def endpoint(self, tls: Any = "none", username: str = "") -> Endpoint:
        return Endpoint("127.0.0.1", self.port, tls, "", username)


@asynccontextmanager
async def mailer(
    where: Endpoint, password: str | None = None, width: int = 1, patience: float = 20
) -> AsyncIterator[Mailer]:
    made = Mailer(where, password, width, patience)
    try:
        yield made
    finally:
        await made.close()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def attempt(server: ScriptedSmtp, patience: float = 20, letters: int = 1) -> list[Outcome]:
    """What became of the same letter, sent again and again."""

    async def sending() -> list[Outcome]:
        async with server, mailer(server.endpoint(), patience=patience) as post:
            return [await post.send(OFFICE, CLARA, LETTER) for _ in range(letters)]

    return asyncio.run(sending())


# -- what an answer means

ANSWERS: list[tuple[str, str, str, str]] = [  # at which command, the answer, the outcome, its stage
    ("DOT", "250 2.0.0 queued as X1", "sent", "accepted"),
    ("DOT", "251 somewhere", "sent", "accepted"),
    # this letter or its recipient: for good
    ("RCPT", "550 5.1.1 unknown user", "refused", "RCPT TO"),
    ("RCPT", "553 5.1.3 no such address", "refused", "RCPT TO"),
    ("DATA", "554 5.6.0 no", "refused", "DATA"),
    ("DOT", "554 5.7.1 rejected as spam", "refused", "end of data"),
    ("DOT", "552 5.3.4 too large", "refused", "end of data"),
    ("MAIL", "552 5.3.4 message size exceeds fixed limit", "refused", "size"),
    ("DOT", "554 5.4.6 Too many hops", "refused", "end of data"),
    # this letter or its recipient: not now
    ("RCPT", "450 4.7.1 greylisted", "later", "RCPT TO"),
    ("RCPT", "452 4.2.2 mailbox full, over quota limit per day", "later", "RCPT TO"),
    ("RCPT", "450 4.2.1 the user is receiving mail at a rate that", "later", "RCPT TO"),
    ("RCPT", "452 the user has too many messages", "later", "RCPT TO"),
    ("DATA", "451 4.3.0 try later", "later", "DATA"),
    ("DOT", "451 4.3.0 try later", "later", "end of data"),
    ("RCPT", "421 4.3.2 closing", "later", "RCPT TO"),
    ("DATA", "421 4.3.2 closing", "later", "DATA"),
    ("DOT", "421 4.3.2 content filter fell over", "later", "end of data"),
    # us
    ("CONNECT", "421 4.3.2 too busy", "paused", "connect"),
    ("CONNECT", "554 5.7.1 go away", "paused", "connect"),
    ("MAIL", "421 4.3.2 closing", "paused", "MAIL FROM"),
    ("MAIL", "451 4.3.1 disk full", "paused", "MAIL FROM"),
    ("MAIL", "550 5.1.8 sender rejected", "paused", "MAIL FROM"),
    ("MAIL", "530 5.7.0 authentication required", "paused", "MAIL FROM"),
    ("RCPT", "554 5.7.1 <clara@correo.test>: Relay access denied", "paused", "RCPT TO"),
    ("RCPT", "553 5.7.1 <info@lohas.test>: Sender address rejected: not owned by user", "paused", "RCPT TO"),
    ("RCPT", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using a list", "paused", "RCPT TO"),
    ("RCPT", "450 4.7.1 <desk>: Helo command rejected: Host not found", "paused", "RCPT TO"),
    ("RCPT", "450 4.7.1 Error: too much mail from 192.0.2.1", "paused", "RCPT TO"),
    ("RCPT", "452 4.5.3 recipients of this hour used up", "paused", "RCPT TO"),
    ("RCPT", "421 4.7.0 Too many connections from your address", "paused", "RCPT TO"),
    ("DOT", "550 5.4.5 Daily user sending limit exceeded", "paused", "end of data"),
    ("DOT", "550 5.7.60 Client does not have permissions to send as this sender", "paused", "end of data"),
    ("DOT", "554 5.2.252 SendAsDenied; info@ not allowed to send as hola@", "paused", "end of data"),
    # nonsense: nothing accepted before the dot, perhaps after it
    ("RCPT", "299 what", "later", "RCPT TO"),
    ("DATA", "250 ok", "later", "DATA"),
    ("RCPT", "hello?", "later", "RCPT TO"),
    ("DOT", "354 go on", "uncertain", "end of data"),
    ("DOT", "ok!", "uncertain", "end of data"),
]


@pytest.mark.parametrize(("verb", "answer", "kind", "stage"), ANSWERS, ids=[f"{row[0]} {row[1]}" for row in ANSWERS])
def test_what_an_answer_means(verb: str, answer: str, kind: str, stage: str) -> None:
    server = ScriptedSmtp({verb: [answer.encode() + b"\r\n"]})
    (outcome,) = attempt(server)
    assert (outcome.kind, outcome.stage) == (kind, stage), outcome
    assert (outcome.trouble is not None) == (kind == "paused")
    assert answer in outcome.reply or "out of turn" in outcome.reply
    assert not (answer.startswith("421") and "RSET" in server.heard)  # it has said goodbye
    if outcome.trouble:
        assert str(outcome.trouble).startswith(f"127.0.0.1:{server.port}: ")


LOSSES: list[tuple[str, list[Step], str, str]] = [
    ("CONNECT", [CLOSE], "paused", "connect"),
    ("CONNECT", [b"220 he", CLOSE], "paused", "connect"),
    ("CONNECT", [b"* OK IMAP4rev1 here\r\n"], "paused", "connect"),
    ("CONNECT", [HANG], "paused", "connect"),
    ("EHLO", [CLOSE], "paused", "connect"),
    ("EHLO", [HANG], "paused", "connect"),
    ("MAIL", [CLOSE], "paused", "MAIL FROM"),
    ("MAIL", [HANG], "paused", "MAIL FROM"),
    ("RCPT", [CLOSE], "later", "RCPT TO"),
    ("RCPT", [HANG], "later", "RCPT TO"),
    ("DATA", [CLOSE], "later", "DATA"),
    ("DATA", [HANG], "later", "DATA"),
    ("DOT", [CLOSE], "uncertain", "end of data"),
    ("DOT", [b"250 2.0.0 que", CLOSE], "uncertain", "end of data"),
    ("DOT", [HANG], "uncertain", "end of data"),
]


@pytest.mark.parametrize(("verb", "steps", "kind", "stage"), LOSSES, ids=[f"{row[0]} {row[1]}" for row in LOSSES])
def test_what_a_lost_connection_means(
    verb: str, steps: list[Step], kind: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the final dot the letter may have arrived; before it, it has not."""
    if steps[-1] == HANG:
        monkeypatch.setattr(smtp_mailer, "_SLOWEST", 10**9)
    server = ScriptedSmtp({verb: steps})
    (outcome,) = attempt(server, patience=0.4 if HANG in steps else 20)
    assert (outcome.kind, outcome.stage) == (kind, stage), outcome
    assert outcome.reply and "\n" not in outcome.reply


SPLIT: list[tuple[str, list[Step]]] = [
    ("in two packets", [b"250 2.0.0 que", b"ued as X1\r\n"]),
    ("one byte at a time", [bytes([byte]) for byte in b"250 2.0.0 queued as X1\r\n"]),
    ("over several lines", [b"250-2.0.0 queued\r\n250 2.0.0 as X1\r\n"]),
    ("over several lines and packets", [b"250-2.0.0 queued\r\n25", b"0 2.0.0 as X1\r\n"]),
    ("with a bare line feed", [b"250 2.0.0 queued as X1\n"]),
]


@pytest.mark.parametrize(("case", "steps"), SPLIT, ids=[row[0] for row in SPLIT])
def test_an_answer_may_come_in_pieces(case: str, steps: list[Step]) -> None:
    outcomes = attempt(ScriptedSmtp({"DOT": steps}), letters=2)
    assert [(outcome.kind, "X1" in outcome.reply) for outcome in outcomes] == [("sent", True)] * 2


def test_words_of_a_server_are_one_harmless_line() -> None:
    words = "550-no\r\n550-\x1b[2J\x07\r\n550 \u202elive\r\n".encode()
    (outcome,) = attempt(ScriptedSmtp({"RCPT": [words]}))
    assert outcome.kind == "refused"
    assert outcome.reply == "550 no [2J live"


def test_a_refusal_leaves_the_connection_in_step() -> None:
    server = ScriptedSmtp({"RCPT": [b"550 5.1.1 unknown\r\n"]})
    assert [outcome.kind for outcome in attempt(server, letters=3)] == ["refused"] * 3
    assert server.connections == 1
    assert [line.split()[0] for line in server.heard].count("RSET") == 3


def test_a_server_without_ehlo_gets_helo() -> None:
    server = ScriptedSmtp({"EHLO": [b"502 what\r\n"]})
    (outcome,) = attempt(server)
    assert outcome.kind == "sent"
    assert [line.split()[0] for line in server.heard][:4] == ["EHLO", "HELO", "MAIL", "RCPT"]
    assert server.heard[2] == "MAIL FROM:<info@lohas.test>"


# -- what goes out

WIRE: list[tuple[str, bytes, bytes]] = [
    ("as it is", b"A: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n"),
    ("leading dots are doubled", b"A: b\r\n\r\n.\r\n..\r\n.c\r\n", b"A: b\r\n\r\n..\r\n...\r\n..c\r\n"),
    ("a dot at the very start", b".A: b\r\n\r\n", b"..A: b\r\n\r\n"),
    ("bare line feeds", b"A: b\n\n.\nc\n", b"A: b\r\n\r\n..\r\nc\r\n"),
    ("bare carriage returns", b"A: b\r\r.\rc\r", b"A: b\r\n\r\n..\r\nc\r\n"),
    ("smuggling", b"A:b\r\n\r\nc\n.\nMAIL FROM:<x>\r\r\n", b"A:b\r\n\r\nc\r\n..\r\nMAIL FROM:<x>\r\n\r\n"),
    ("no line end at the end", b"A: b\r\n\r\nc", b"A: b\r\n\r\nc\r\n"),
    ("a dot and no line end", b"A: b\r\n\r\n.", b"A: b\r\n\r\n..\r\n"),
    ("a line too long", b"A: b\r\n\r\n" + b"x" * 5000 + b"\r\n", b"A: b\r\n\r\n" + b"x" * 5000 + b"\r\n"),
    ("eight bits", b"A: b\r\n\r\n\xc3\xb1\x80\r\n", b"A: b\r\n\r\n\xc3\xb1\x80\r\n"),
    ("nothing", b"", b"\r\n"),
]


@pytest.mark.parametrize(("case", "raw", "wire"), WIRE, ids=[row[0] for row in WIRE])
def test_the_bytes_on_the_wire(case: str, raw: bytes, wire: bytes) -> None:
    async def test() -> None:
        async with ScriptedSmtp() as server, mailer(server.endpoint()) as post:
            assert (await post.send(OFFICE, CLARA, raw)).kind == "sent"
            assert server.letters == [wire + b".\r\n"]

    run(test)


NOBODY = [
    "", "clara", "clara@", "@correo.test", "clara@correo.test\r\nRCPT TO:<x@x.test>", "a@x.test,b@x.test", "a b@x.test",
    "<clara@correo.test>", "a@b@c.test", "a@-x.test", "a\0@x.t", "a@x\u2028.test", "\ud800@x.test", "a" * 65 + "@x.t",
]  # fmt: skip


@pytest.mark.parametrize("address", NOBODY)
def test_what_is_no_address_is_not_said_to_a_server(address: str) -> None:
    async def test() -> None:
        async with ScriptedSmtp() as server, mailer(server.endpoint()) as post:
            outcome = await post.send(OFFICE, address, LETTER)
            assert (outcome.kind, outcome.stage) == ("refused", "address")
            assert "\n" not in outcome.reply
            if address:
                assert (await post.send(address, CLARA, LETTER)).stage == "address"
            assert server.heard == []

    run(test)


FROM, TO, UTF8 = "MAIL FROM:<info@lohas.test>", "RCPT TO:<clara@correo.test>", "peña@ñandú.test"
ENVELOPES: list[tuple[str, str, str, tuple[str, ...], bytes, list[str] | None]] = [
    ("plain", OFFICE, CLARA, (), b"x", [FROM, TO]),
    ("null sender", "", CLARA, (), b"x", ["MAIL FROM:<>", TO]),
    ("plus and dots", OFFICE, "c.l+a..r'a@x.test", (), b"x", [FROM, "RCPT TO:<c.l+a..r'a@x.test>"]),
    ("SIZE", OFFICE, CLARA, ("SIZE 1000",), b"xxx", [f"{FROM} size=5", TO]),
    ("no limit", OFFICE, CLARA, ("SIZE",), b"xxx", [f"{FROM} size=5", TO]),
    ("too large", OFFICE, CLARA, ("SIZE 4",), b"xxx", None),
    ("8BITMIME", OFFICE, CLARA, ("8BITMIME",), b"\xc3\xb1", [f"{FROM} body=8bitmime", TO]),
    ("SMTPUTF8", OFFICE, UTF8, ("SMTPUTF8",), b"x", [f"{FROM} smtputf8", f"RCPT TO:<{UTF8}>"]),
    ("a domain without SMTPUTF8", OFFICE, "a@ñandú.test", (), b"x", [FROM, "RCPT TO:<a@xn--and-6ma2c.test>"]),
    ("a name without SMTPUTF8", OFFICE, UTF8, (), b"x", None),
]


@pytest.mark.parametrize(
    ("case", "sender", "recipient", "extensions", "raw", "said"), ENVELOPES, ids=[row[0] for row in ENVELOPES]
)
def test_the_envelope(
    case: str, sender: str, recipient: str, extensions: tuple[str, ...], raw: bytes, said: list[str] | None
) -> None:
    async def test() -> None:
        async with ScriptedSmtp(extensions=extensions) as server, mailer(server.endpoint()) as post:
            outcome = await post.send(sender, recipient, raw)
            envelope = [line for line in server.heard if line.startswith(("MAIL", "RCPT"))]
            if said is None:
                assert (outcome.kind, envelope) == ("refused", [])
                assert outcome.stage in ("size", "address")
                assert (await post.send(OFFICE, CLARA, b"")).kind == "sent"  # the connection is as good as before
            else:
                assert (outcome.kind, envelope) == ("sent", said)

    run(test)


# -- several letters


def test_a_connection_is_used_again_and_given_back_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_mailer, "IDLE_SECONDS", 0.1)

    async def test() -> None:
        async with ScriptedSmtp() as server, mailer(server.endpoint()) as post:
            for _ in range(3):
                assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
            assert server.connections == 1
            while "QUIT" not in server.heard:
                await asyncio.sleep(0.01)
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
            assert server.connections == 2
        assert server.heard.count("QUIT") == 2

    run(test)


@pytest.mark.parametrize("farewell", [[b"421 4.4.2 idle too long\r\n", CLOSE], [CLOSE], [b"421 4.4.2 no more\r\n"]])
def test_a_connection_that_died_while_unused_costs_nothing(farewell: list[Step]) -> None:
    """It is found out at the next letter's MAIL FROM, and the letter goes over a new one."""

    async def test() -> None:
        async with ScriptedSmtp() as server, mailer(server.endpoint()) as post:
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
            server.script["MAIL"] = farewell

            async def mend() -> None:
                while server.connections < 2:
                    await asyncio.sleep(0)
                del server.script["MAIL"]

            mending = asyncio.create_task(mend())
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
            await mending
            assert (server.connections, len(server.letters)) == (2, 2)

    run(test)


def test_what_a_server_says_between_letters_is_no_answer() -> None:
    async def test() -> None:
        dot: list[Step] = [b"250 2.0.0 queued as X1\r\n", b"250 2.0.0 and a joke\r\n"]
        async with ScriptedSmtp({"DOT": dot}) as server, mailer(server.endpoint()) as post:
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
            await asyncio.sleep(0.1)
            server.script = {"RCPT": [b"550 5.1.1 unknown\r\n"]}
            assert (await post.send(OFFICE, CLARA, LETTER)).stage == "RCPT TO"

    run(test)


def test_a_cancelled_letter_takes_its_connection_with_it() -> None:
    async def test() -> None:
        async with ScriptedSmtp({"DOT": []}) as server, mailer(server.endpoint()) as post:
            sending = asyncio.create_task(post.send(OFFICE, CLARA, LETTER))
            while not server.letters:
                await asyncio.sleep(0.01)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            while server.serving:  # it sees us hang up
                await asyncio.sleep(0.01)
            server.script = {}
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
            assert server.connections == 2

    run(test)


def test_a_large_letter_is_refused_while_it_is_still_being_sent() -> None:
    """The server does not want the rest: what it says counts, and nobody waits for a time-out."""

    async def test() -> None:
        script: dict[str, list[Step]] = {"DATA": [b"354 go on\r\n", b"552 5.3.4 enough\r\n", HANG]}
        async with ScriptedSmtp(script) as server, mailer(server.endpoint()) as post:
            outcome = await post.send(OFFICE, CLARA, b"A: b\r\n\r\n" + b"x" * 2**25)
            assert (outcome.kind, outcome.stage, outcome.reply) == ("refused", "DATA", "552 5.3.4 enough")

    run(test)


# -- logging in and TLS

LOGINS: list[tuple[str, str, str]] = [
    ("535 5.7.8 authentication failed", "login", "login refused for info@lohas.test"),
    ("534 5.7.9 application password needed", "login", "application password"),
    ("454 4.7.0 too many login attempts", "login-later", "too many"),
    ("421 4.7.0 later", "login-later", "later"),
    ("538 5.7.11 encryption required", "tls", "encryption"),
    (f"535 wrong: {SMTP_PASSWORD}", "login", "wrong: ***"),
    ("501 AGluZm9AbG9oYXMudGVzdABuby1sYS1lc2NyaWJhLWVuLW5pbmd1bi1sYWRv?", "login", "501 ***?"),
]


@pytest.mark.parametrize(("answer", "kind", "words"), LOGINS)
def test_a_refused_login_pauses_and_never_tells_the_password(answer: str, kind: str, words: str) -> None:
    async def test() -> None:
        script: dict[str, list[Step]] = {"AUTH": [answer.encode() + b"\r\n"]}
        async with (
            ScriptedSmtp(script, extensions=("AUTH CRAM-MD5 LOGIN PLAIN",)) as server,
            mailer(server.endpoint(username=OFFICE), SMTP_PASSWORD) as post,
        ):
            outcome = await post.send(OFFICE, CLARA, LETTER)
            assert outcome.kind == "paused" and outcome.trouble
            assert (outcome.trouble.kind, words in str(outcome.trouble)) == (kind, True), outcome.trouble
            assert str(outcome.trouble).startswith(f"127.0.0.1:{server.port}: ")
            assert SMTP_PASSWORD not in outcome.reply
            # one attempt: each counts towards a lockout
            assert [line.split()[1] for line in server.heard if line.startswith("AUTH")] == ["PLAIN"]

    run(test)


def test_a_login_that_breaks_off_is_not_a_refused_one() -> None:
    async def test() -> None:
        async with (
            ScriptedSmtp({"AUTH": [CLOSE]}, extensions=("AUTH PLAIN",)) as server,
            mailer(server.endpoint(username=OFFICE), SMTP_PASSWORD) as post,
        ):
            with pytest.raises(Trouble, match="connection lost during login") as caught:
                await post.check()
            assert caught.value.kind == "dropped"

    run(test)


STRIPPED: list[tuple[str, dict[str, list[Step]], tuple[str, ...]]] = [
    ("not offered", {}, ("AUTH PLAIN",)),
    ("refused", {"STARTTLS": [b"454 4.7.0 not available\r\n"]}, ("STARTTLS", "AUTH PLAIN")),
    ("nonsense", {"STARTTLS": [b"220 go\r\n", b"this is not TLS\r\n"]}, ("STARTTLS", "AUTH PLAIN")),
    ("closed", {"STARTTLS": [b"220 go\r\n", CLOSE]}, ("STARTTLS", "AUTH PLAIN")),
]


@pytest.mark.parametrize(("case", "script", "extensions"), STRIPPED, ids=[row[0] for row in STRIPPED])
def test_without_starttls_nothing_is_said_in_clear(
    case: str, script: dict[str, list[Step]], extensions: tuple[str, ...]
) -> None:
    async def test() -> None:
        async with (
            ScriptedSmtp(script, extensions=extensions) as server,
            mailer(server.endpoint("starttls", OFFICE), SMTP_PASSWORD) as post,
        ):
            outcome = await post.send(OFFICE, CLARA, LETTER)
            assert (outcome.kind, outcome.stage) == ("paused", "connect")
            assert outcome.trouble and outcome.trouble.kind in ("tls", "unreachable")
            assert {line.split()[0] for line in server.heard if line.isascii()} <= {"EHLO", "HELO", "STARTTLS", "QUIT"}

    run(test)


FIRST_WORDS: list[tuple[str, list[Step], str]] = [
    ("CONNECT", [CLOSE], "the server closed the connection before we could log in"),
    ("EHLO", [CLOSE], "the server closed the connection before we could log in"),
    ("CONNECT", [b"* OK IMAP4rev1\r\n"], "the server does not speak SMTP on this port, it says: * OK IMAP4rev1"),
    ("CONNECT", [b"554 5.7.1 not you\r\n"], "the server turns us away: 554 5.7.1 not you"),
    ("CONNECT", [HANG], "no answer in time"),
]


@pytest.mark.parametrize(("verb", "steps", "words"), FIRST_WORDS)
def test_what_an_admin_is_told_of_a_server_that_lets_nobody_in(verb: str, steps: list[Step], words: str) -> None:
    server = ScriptedSmtp({verb: steps})
    (outcome,) = attempt(server, patience=0.4 if HANG in steps else 20)
    assert outcome.reply == f"127.0.0.1:{server.port}: {words}"


def test_nobody_there() -> None:
    (port,) = free_ports(1)

    async def test() -> None:
        for host, words in (("127.0.0.1", "refused"), ("no-such-host.invalid", "resolved")):
            async with mailer(Endpoint(host, port, "none", "", "")) as post:
                outcome = await post.send(OFFICE, CLARA, LETTER)
                assert outcome.kind == "paused" and outcome.trouble
                assert outcome.trouble.kind == "unreachable"
                assert words in outcome.reply and f"{host}:{port}" in outcome.reply

    run(test)


# -- a real server


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_letter_arrives_byte_for_byte_over_tls(authority: Authority, tls: Any) -> None:
    raw = LETTER + b".\r\n..\r\n. .\r\n" + b"x" * 3000 + b"\r\n" + b"y" * 3 * 2**20 + b"\r\n"
    raw = raw.replace(b"y" * 900, b"y" * 898 + b"\r\n")

    async def test() -> None:
        with SmtpServer(authority, tls, (OFFICE, SMTP_PASSWORD)) as server:
            async with mailer(server.endpoint(), SMTP_PASSWORD) as post:
                await post.check()
                outcome = await post.send(OFFICE, CLARA, raw)
                assert (outcome.kind, outcome.stage, outcome.reply) == ("sent", "accepted", "250 2.0.0 queued as 1")
            (letter,) = server.received
            assert letter.data == raw
            assert (letter.mail_from, letter.rcpt_to) == (OFFICE, (CLARA,))
            assert (letter.login, letter.encrypted) == (OFFICE, True)
            assert server.heard[-1] == "QUIT"

    run(test)


@pytest.mark.parametrize("password", ["otra", "contraseña", "", None])
def test_a_wrong_password(smtp: SmtpServer, password: str | None) -> None:
    async def test() -> None:
        async with mailer(smtp.endpoint(), password) as post:
            outcome = await post.send(OFFICE, CLARA, LETTER)
            assert outcome.kind == "paused" and outcome.trouble
            assert outcome.trouble.kind == "login"
            assert "login refused for info@lohas.test: 535" in outcome.reply
            with pytest.raises(Trouble, match="login refused"):
                await post.check()

    run(test)
    assert [line for line in smtp.heard if line.startswith("AUTH")] == ["AUTH PLAIN"] * 2
    assert smtp.received == []


def test_a_password_outside_ascii(authority: Authority) -> None:
    async def test() -> None:
        with SmtpServer(authority, "starttls", (OFFICE, "contraseña 1")) as server:
            async with mailer(server.endpoint(), "contraseña 1") as post:
                assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"

    run(test)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
@pytest.mark.parametrize(("case", "host", "days", "known", "words"), CERTIFICATES, ids=[row[0] for row in CERTIFICATES])
def test_certificates_not_to_trust(
    authority: Authority, tls: Any, case: str, host: str, days: tuple[int, int], known: bool, words: str
) -> None:
    async def test() -> None:
        context = authority.server_context(host, days)
        with SmtpServer(authority, tls, (OFFICE, SMTP_PASSWORD), context=context) as server:
            where = server.endpoint() if known else replace(server.endpoint(), ca_file="")
            async with mailer(where, SMTP_PASSWORD) as post:
                outcome = await post.send(OFFICE, CLARA, LETTER)
            assert outcome.kind == "paused" and outcome.trouble
            assert (outcome.trouble.kind, words in outcome.reply) == ("certificate", True), outcome
            assert not [line for line in server.heard if line.startswith(("AUTH", "MAIL"))]

    run(test)


def test_tls_against_a_port_that_speaks_none(smtp: SmtpServer) -> None:
    async def test() -> None:
        async with mailer(replace(smtp.endpoint(), tls="implicit"), SMTP_PASSWORD) as post:
            outcome = await post.send(OFFICE, CLARA, LETTER)
            assert outcome.trouble and outcome.trouble.kind == "tls"
            assert "does not speak TLS on this port" in outcome.reply

    run(test)


def test_letters_at_once_share_as_many_connections_as_are_allowed(smtp: SmtpServer) -> None:
    smtp.answers["DOT"] = 0.05

    async def test() -> None:
        async with mailer(smtp.endpoint(), SMTP_PASSWORD, width=3) as post:
            texts = [LETTER + b"%d\r\n" % number for number in range(12)]
            outcomes = await asyncio.gather(*(post.send(OFFICE, CLARA, text) for text in texts))
            assert {outcome.kind for outcome in outcomes} == {"sent"}
            assert sorted(letter.data for letter in smtp.received) == sorted(texts)
            assert (smtp.connections, smtp.most_at_once) == (3, 3)

    run(test)


def test_one_recipient_refused_does_not_hold_up_another(smtp: SmtpServer) -> None:
    smtp.answers[f"RCPT {CLARA}"] = "550 5.1.1 unknown user"

    async def test() -> None:
        async with mailer(smtp.endpoint(), SMTP_PASSWORD) as post:
            kinds = [(await post.send(OFFICE, to, LETTER)).kind for to in (CLARA, "diego@otro.test", CLARA)]
            assert kinds == ["refused", "sent", "refused"]
            assert smtp.connections == 1

    run(test)


def test_a_server_that_goes_away_and_comes_back(smtp: SmtpServer) -> None:
    async def test() -> None:
        async with mailer(smtp.endpoint(), SMTP_PASSWORD) as post:
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
            smtp.drop_all()  # between two letters
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
            smtp.stop()
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "paused"
            smtp.start()
            smtp.answers["DOT"] = [DROP]  # it has the letter, and we do not know
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "uncertain"
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
        assert len(smtp.received) == 4

    run(test)


def test_a_link_that_is_given_up_is_closed_though_the_server_takes_no_leave(authority: Authority) -> None:
    """The library would hold it for half a minute, to hear TLS end as it should."""

    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            closed: list[bool] = []

            def serve() -> None:
                link, _ = listener.accept()
                with authority.server_context().wrap_socket(link, server_side=True) as encrypted:
                    encrypted.sendall(b"554 not you\r\n")
                    encrypted.settimeout(5)
                    raw = socket.socket(fileno=os.dup(encrypted.fileno()))
                    raw.settimeout(3)
                    with raw, suppress(ConnectionError):
                        while raw.recv(4096):  # TLS taking leave; nobody answers
                            pass
                    closed.append(True)

            thread = threading.Thread(target=serve)
            thread.start()
            async with mailer(Endpoint("localhost", port, "implicit", authority.ca_file, "")) as post:
                assert (await post.send(OFFICE, CLARA, LETTER)).kind == "paused"
                await asyncio.to_thread(thread.join)
            assert closed

    run(test)


def test_closing_waits_for_the_letters_under_way(smtp: SmtpServer) -> None:
    smtp.answers["DOT"] = 0.3

    async def test() -> None:
        post = Mailer(smtp.endpoint(), SMTP_PASSWORD, 2)
        sending = asyncio.create_task(post.send(OFFICE, CLARA, LETTER))
        while "DATA" not in smtp.heard:
            await asyncio.sleep(0.01)
        await post.close()
        assert sending.done() and sending.result().kind == "sent"
        assert smtp.heard[-1] == "QUIT"
        await post.close()

    run(test)


def test_addresses_outside_ascii(authority: Authority) -> None:
    async def test() -> None:
        for smtputf8, kind in ((True, "sent"), (False, "refused")):
            with SmtpServer(smtputf8=smtputf8) as server:
                async with mailer(server.endpoint()) as post:
                    assert (await post.send(OFFICE, "peña@ñandú.test", LETTER)).kind == kind
                assert [letter.rcpt_to for letter in server.received] == [("peña@ñandú.test",)] * smtputf8

    run(test)
