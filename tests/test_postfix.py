"""The queue against a real Postfix that relays to a server of the tests: what arrives, what it refuses and how."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import postfix_server
import pytest
from bench import Bench, eml
from conftest import missing
from office import NOW
from postfix_server import Postfix
from servers import HOST, LOOPBACK, OFFICE, Authority, SmtpServer, wait_until

from pqr_mailbot.adapters.connection import Endpoint
from pqr_mailbot.adapters.smtp_mailer import Mailer
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.deliver import Delivery
from pqr_mailbot.flows.providers import Standing

CLARA, ANA = "clara@correo.test", "ana@lohas.test"
LETTER = b"""Date: Mon, 01 Jun 2026 10:42:00 -0500\r
From: info@lohas.test\r
Message-ID: <l1@lohas.test>\r
\r
.Buenas tardes.\r
"""

Start = Callable[..., Postfix]


@pytest.fixture
def behind() -> Iterator[SmtpServer]:
    """Where Postfix relays to."""
    with SmtpServer() as server:
        yield server


@pytest.fixture
def postfix(authority: Authority, behind: SmtpServer) -> Iterator[Start]:
    """Starts one that says to these recipients what is asked for."""
    if not postfix_server.MASTER:
        missing("Postfix is not installed (apt install postfix)")
    if os.getuid():
        missing("only root may run a Postfix")
    running: list[Postfix] = []

    def start(answers: dict[str, str] | None = None, **options: Any) -> Postfix:
        running.append(Postfix(authority, behind.port, answers or {}, **options))
        return running[-1].__enter__()

    yield start
    for one in running:
        one.close()


def endpoint(server: Postfix, authority: Authority) -> Endpoint:
    return Endpoint(HOST, server.port, "starttls", authority.ca_file, "")


@asynccontextmanager
async def mailer(where: Endpoint, width: int = 1) -> AsyncIterator[Mailer]:
    made = Mailer(where, None, width)
    try:
        yield made
    finally:
        await made.close()


class Queue:
    """Letters to customers and to their agent: cases of people who each wrote once."""

    def __init__(self, path: Path, where: Endpoint, *senders: str) -> None:
        self.path, self.where = path, where
        bench = Bench(path)
        for number, sender in enumerate(senders):
            bench.take(eml(sender, f"Asunto {number}", f"Texto {number}", f"<q{number}@correo.test>"))
        bench.close()

    def round(self, now: datetime = NOW) -> bool:
        books = Books(lambda: Store.open(self.path, now))

        async def work() -> bool:
            async with mailer(self.where, 2) as post:
                return await Delivery(books, post, Standing("smtp", ""), 2, lambda: now).round()

        try:
            return asyncio.run(work())
        finally:
            books.close()

    def states(self, letter: str = "acknowledgement") -> list[str]:
        return [row["state"] for row in self.rows() if row["letter"] == letter]

    def rows(self) -> list[dict[str, Any]]:
        bench = Bench(self.path)
        rows = bench.rows("SELECT letter, recipient, state, message_id, smtp_reply, error FROM outbox ORDER BY id")
        bench.close()
        return rows


def test_letters_go_through_it_unchanged(
    tmp_path: Path, postfix: Start, authority: Authority, behind: SmtpServer
) -> None:
    server = postfix()
    queue = Queue(tmp_path / "desk.db", endpoint(server, authority), CLARA, "diego@otro.test")
    assert queue.round()
    arrived = [message_from_bytes(one.data)["Message-ID"] for one in behind.wait_for(4)]
    rows = queue.rows()
    assert sorted(arrived) == sorted(row["message_id"] for row in rows)
    assert all(row["smtp_reply"].startswith("250 2.0.0 Ok: queued as ") for row in rows)
    bench = Bench(queue.path)
    assert bench.rows("SELECT * FROM outbox_alias") == []  # its queue's number is no other id of the letter
    assert all(row["acknowledged_at"] for row in bench.tickets())
    bench.close()

    async def one_more() -> None:
        async with mailer(queue.where) as post:
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"

    asyncio.run(one_more())
    assert behind.wait_for(5)[-1].data.endswith(LETTER)


def test_unknown_and_greylisted_people_hold_up_nobody(
    tmp_path: Path, postfix: Start, authority: Authority, behind: SmtpServer
) -> None:
    server = postfix({"nadie@otro.test": "550 5.1.1 no such user", "gris@otro.test": "450 4.7.1 greylisted"})
    queue = Queue(tmp_path / "desk.db", endpoint(server, authority), CLARA, "nadie@otro.test", "gris@otro.test")
    assert queue.round()
    assert queue.states() == ["sent", "dead", "queued"]
    assert queue.states("notification") == ["sent"] * 3
    server.stop()
    assert not queue.round(NOW + timedelta(hours=1))
    server.answer({})
    server.start()
    assert queue.round(NOW + timedelta(hours=2))
    assert queue.states() == ["sent", "dead", "sent"]
    assert len(behind.wait_for(5)) == 5


def test_what_it_thinks_of_a_client_with_many_wrong_addresses_kills_no_letter(
    tmp_path: Path, postfix: Start, authority: Authority, behind: SmtpServer
) -> None:
    """After twenty refusals it says 421 to whatever comes next: that is about us."""
    nobody = [f"nadie{number}@otro.test" for number in range(25)]
    server = postfix(dict.fromkeys(nobody, "550 5.1.1 no such user"))
    queue = Queue(tmp_path / "desk.db", endpoint(server, authority), *nobody, CLARA)
    rounds = 0
    while not queue.round(NOW + timedelta(minutes=5 * rounds)):
        rounds += 1
        assert rounds < 10, queue.rows()
    assert queue.states() == [*["dead"] * 25, "sent"]
    assert queue.states("notification") == ["sent"] * 26
    assert {row["error"].split(":")[0] for row in queue.rows() if row["state"] == "dead"} == {"RCPT TO"}


def test_size_silence_and_a_restart(postfix: Start, authority: Authority, behind: SmtpServer) -> None:
    server = postfix(patience=1)

    async def talk() -> None:
        async with mailer(endpoint(server, authority)) as post:
            large = await post.send(OFFICE, CLARA, LETTER + b"x" * 70 * 2000)
            assert (large.kind, large.stage) == ("refused", "size")
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
            await asyncio.sleep(1.5)  # it says 421 unasked and hangs up
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"
            # One that is ended while it hands on a letter hands it on again.
            await asyncio.to_thread(wait_until, lambda: server.log().count(": removed") == 2)
            await asyncio.to_thread(server.stop)
            gone = await post.send(OFFICE, CLARA, LETTER)
            assert (gone.kind, gone.stage) == ("paused", "connect")
            await asyncio.to_thread(server.start)
            assert (await post.send(OFFICE, CLARA, LETTER)).kind == "sent"

    asyncio.run(talk())
    assert "timeout after" in server.log()
    assert len(behind.wait_for(3)) == 3


@pytest.mark.parametrize(("tls", "ours", "kind", "words"), [
    ("none", "starttls", "tls", "does not offer STARTTLS"),
    ("encrypt", "none", "login", "530 5.7.0 Must issue a STARTTLS command first"),
])  # fmt: skip
def test_without_encryption_on_both_sides_no_letter_goes_and_none_dies(
    tmp_path: Path, postfix: Start, authority: Authority, behind: SmtpServer, tls: str, ours: Any, kind: str, words: str
) -> None:
    server = postfix(tls=tls)
    where = replace(endpoint(server, authority), tls=ours, host=LOOPBACK)
    queue = Queue(tmp_path / "desk.db", where, CLARA)
    assert not queue.round()
    assert {row["state"] for row in queue.rows()} == {"queued"}
    assert behind.received == []

    async def ask() -> None:
        async with mailer(where) as post:
            outcome = await post.send(OFFICE, CLARA, LETTER)
            assert outcome.trouble and (outcome.trouble.kind, words in outcome.reply) == (kind, True), outcome

    asyncio.run(ask())
