"""The queue's law, letter by letter: a real store, a real SMTP server that answers what each row says."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, eml
from office import DESK, NOW, POLICY
from servers import DROP, OFFICE, SMTP_PASSWORD, SmtpServer

from pqr_mailbot import wiring
from pqr_mailbot.adapters.letters import Letters
from pqr_mailbot.adapters.smtp_mailer import Mailer
from pqr_mailbot.adapters.sqlite_store import Store, StoreProblem
from pqr_mailbot.domain.backoff import GIVE_UP_AFTER, LEAST_TRIES
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.deliver import Delivery
from pqr_mailbot.flows.handle import Handler
from pqr_mailbot.flows.providers import Standing, secret_mark
from pqr_mailbot.flows.refused import Refusals

CLARA, ANA = "clara@correo.test", "ana@lohas.test"


class Post:
    """The outbox of one case of Clara's: her acknowledgement and Ana's notification."""

    def __init__(self, path: Path, server: SmtpServer, password: str = SMTP_PASSWORD) -> None:
        self.path, self.server, self.password = path, server, password
        bench = Bench(path)
        bench.take(eml())
        bench.close()

    def round(
        self, now: datetime = NOW, width: int = 4, refused: Any = lambda *_: None, tries: int | None = None
    ) -> bool:
        """One round at this instant, by a program started anew."""
        books = Books(lambda: Store.open(self.path, now))
        endpoint = self.server.endpoint(OFFICE)
        standing = Standing("smtp", secret_mark(OFFICE, self.password))

        async def work() -> bool:
            mailer = Mailer(endpoint, self.password, width, timeout=2.0)
            try:
                return await Delivery(books, mailer, standing, width, lambda: now, refused, tries=tries).round()
            finally:
                await mailer.close()

        try:
            return asyncio.run(work())
        finally:
            books.close()

    def rows(self, columns: str, table: str = "outbox") -> list[tuple[Any, ...]]:
        bench = Bench(self.path)
        found = [tuple(row.values()) for row in bench.rows(f"SELECT {columns} FROM {table} ORDER BY id")]
        bench.close()
        return found

    @property
    def states(self) -> list[str]:
        return [state for (state,) in self.rows("state")]

    @property
    def events(self) -> list[str]:
        """What the case's history says of letters."""
        return [event for (event,) in self.rows("event", "ticket_event") if event.startswith("letter_")][2:]

    def arrived(self) -> list[str]:
        return [recipient for received in self.server.received for recipient in received.rcpt_to]


@pytest.fixture
def post(tmp_path: Path, smtp: SmtpServer) -> Iterator[Post]:
    return Post(tmp_path / "desk.db", smtp)  # type: ignore[return-value]


SENT, QUEUED, DEAD, UNCERTAIN = "sent", "queued", "dead", "uncertain"

ANSWERS: list[tuple[str, dict[str, Any], list[str], list[int], bool]] = [
    # what the server says; states and counted attempts of acknowledgement and notification; did the queue go on
    ("all is well", {}, [SENT, SENT], [1, 1], True),
    ("the customer is unknown", {f"RCPT {CLARA}": "550 5.1.1 no such user"}, [DEAD, SENT], [1, 1], True),
    ("the customer's box is full", {f"RCPT {CLARA}": "452 4.2.2 over quota"}, [QUEUED, SENT], [1, 1], True),
    ("greylisted", {"RCPT": "451 4.7.1 greylisted, try later"}, [QUEUED, QUEUED], [1, 1], True),
    ("content refused for good", {"DOT": ["554 5.6.0 not this", "250 ok"]}, [DEAD, SENT], [1, 1], True),
    ("content refused for now", {"DOT": ["451 4.3.0 later", "250 ok"]}, [QUEUED, SENT], [1, 1], True),
    ("lost after the dot", {"DOT": [DROP, "250 ok"]}, [UNCERTAIN, SENT], [1, 1], True),
    ("lost before the dot", {"DATA": [DROP]}, [QUEUED, SENT], [1, 1], True),
    ("our quota is used up", {"MAIL": "451 4.5.3 too many messages per hour"}, [QUEUED, QUEUED], [0, 0], False),
    ("turned away at the door", {"CONNECT": "421 4.3.2 come back later"}, [QUEUED, QUEUED], [0, 0], False),
    ("the login is refused", {"AUTH": "535 5.7.8 no"}, [QUEUED, QUEUED], [0, 0], False),
    ("cut off at the door", {"CONNECT": DROP}, [QUEUED, QUEUED], [0, 0], False),
]


@pytest.mark.parametrize(("case", "answers", "states", "attempts", "went_on"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_what_becomes_of_the_letters(
    post: Post, case: str, answers: dict[str, Any], states: list[str], attempts: list[int], went_on: bool
) -> None:
    post.server.answers = answers
    assert post.round() is went_on
    assert post.states == states
    assert [count for (count,) in post.rows("attempts")] == attempts


@pytest.mark.parametrize(
    ("answers", "events"),
    [
        ({}, ["letter_sent", "letter_sent"]),
        ({f"RCPT {CLARA}": "550 5.1.1 no such user"}, ["letter_dead", "letter_sent"]),
        ({"DOT": [DROP, "250 ok"]}, ["letter_uncertain", "letter_sent"]),
        ({"RCPT": "451 later"}, []),
    ],
)
def test_the_history_tells_what_became_of_them(post: Post, answers: dict[str, Any], events: list[str]) -> None:
    post.server.answers = answers
    post.round()
    assert post.events == events


def test_the_acknowledgement_counts_once_the_server_took_it(post: Post) -> None:
    post.server.answers = {"RCPT": "451 later"}
    post.round()
    assert post.rows("acknowledged_at", "ticket") == [(None,)]
    post.server.answers = {}
    post.round(NOW + timedelta(minutes=5))
    assert post.rows("acknowledged_at", "ticket")[0][0].startswith("2026-06-01T15:47")


SES_LETTER = "0100018f6e2c1a2b-1a2b3c4d-1234-5678-9abc-def012345678-000000"
GIVEN = "<DM6PR11MB4457A1B2@DM6PR11MB4457.namprd11.prod.outlook.com>"
REWRITTEN = [
    # what the server says; the id the customer's program and other mail systems then see
    (f"250 Ok {SES_LETTER}", f"<{SES_LETTER}@email.amazonses.com>"),
    (f"250 Ok {SES_LETTER}", f"<{SES_LETTER}@sa-east-1.amazonses.com>"),
    (f"250 2.0.0 OK {GIVEN} [Hostname=DM6PR11MB4457.namprd11.prod.outlook.com]", GIVEN),
]


@pytest.mark.parametrize(("answer", "seen"), REWRITTEN)
def test_an_answer_to_an_id_that_the_server_gave_joins_the_case(post: Post, answer: str, seen: str) -> None:
    post.server.answers = {"DOT": [answer, "250 ok"]}
    post.round(width=1)
    bench = Bench(post.path)
    reply = bench.take(eml(subject="gracias", message_id="<m2@correo.test>", In_Reply_To=seen))
    stranger = bench.take(eml("Eva <eva@otro.test>", "gracias", message_id="<m3@otro.test>", In_Reply_To=seen))
    assert (reply["reference"], len(bench.tickets())) == ("PQR-2026-000001", 2)
    assert stranger["reference"] == "PQR-2026-000002"  # it proves which case, never who
    bench.close()


@pytest.mark.parametrize(("answer", "seen"), REWRITTEN)
@pytest.mark.parametrize(("gone", "acknowledged"), [(CLARA, False), ("eva@otro.test", True)])
def test_a_bounce_that_names_only_the_id_the_server_gave_is_tied(
    post: Post, answer: str, seen: str, gone: str, acknowledged: bool
) -> None:
    post.server.answers = {"DOT": [answer, "250 ok"]}
    post.round(width=1)
    bench = Bench(post.path)
    report = f"<{gone}>: 550 5.1.1 User unknown\n\n--- Original message headers ---\n\nMessage-ID: {seen}\n"
    bounce = eml("MAILER-DAEMON@mx.test", "Undelivered Mail Returned to Sender", report, message_id="<b1@mx.test>")
    assert bench.take(bounce)["verdict"] == "bounce"
    assert bool(bench.tickets()[0]["acknowledged_at"]) is acknowledged
    bench.close()


def test_a_server_that_names_our_own_id_gives_no_other(post: Post) -> None:
    ours = [message_id for (message_id,) in post.rows("message_id")]
    post.server.answers = {"DOT": [f"250 2.6.0 {one} Queued mail for delivery" for one in ours]}
    post.round(width=1)
    assert post.states == [SENT, SENT]
    assert post.rows("count(*) AS n, 0 AS id", "outbox_alias") == [(0, 0)]


def test_a_letter_that_is_tried_again_is_the_same_letter(post: Post) -> None:
    ids = [message_id for (message_id,) in post.rows("message_id")]
    post.server.answers = {"DOT": "451 4.3.0 later"}
    for minutes in (0, 2, 8):
        post.round(NOW + timedelta(minutes=minutes))
    post.server.answers = {}
    post.round(NOW + timedelta(hours=1))
    arrived = [message_from_bytes(one.data)["Message-ID"] for one in post.server.received]
    assert sorted(arrived) == sorted(ids)


def test_nothing_is_tried_before_its_time(post: Post) -> None:
    post.server.answers = {"RCPT": "451 later"}
    post.round()
    heard = len(post.server.heard)
    post.round(NOW + timedelta(seconds=59))
    assert len(post.server.heard) == heard
    post.round(NOW + timedelta(seconds=76))
    assert len(post.server.heard) > heard


def test_five_days_of_not_now_are_a_no(post: Post) -> None:
    post.server.answers = {"RCPT": "451 4.7.1 later"}
    post.round()
    post.round(NOW + GIVE_UP_AFTER - timedelta(minutes=1))
    assert post.states == [QUEUED, QUEUED]
    for tried in range(2, LEAST_TRIES):
        assert post.states == [QUEUED, QUEUED]  # days without us, or a clock that is ahead, are no tries
        post.round(NOW + GIVE_UP_AFTER + tried * timedelta(hours=4))
    assert post.states == [DEAD, DEAD]


def test_days_without_a_server_age_no_letter(post: Post) -> None:
    post.server.stop()
    for days in range(10):
        assert post.round(NOW + timedelta(days=days)) is False
    assert post.states == [QUEUED, QUEUED]
    post.server.start()
    assert post.round(NOW + timedelta(days=10)) is True
    assert sorted(post.arrived()) == [ANA, CLARA]


def test_a_refusal_that_sounds_like_ours_but_is_one_letters_stops_no_other(post: Post) -> None:
    """`Relay access denied` for one recipient: the next letter goes first, and the mail flows on."""
    post.server.answers = {f"RCPT {CLARA}": f"550 5.7.1 <{CLARA}>: Relay access denied"}
    for minutes in range(0, 10, 2):
        post.round(NOW + timedelta(minutes=minutes))
    assert post.states == [QUEUED, SENT]
    post.server.answers = {}
    post.round(NOW + timedelta(hours=1))
    assert post.states == [SENT, SENT]


def test_what_became_of_a_letter_is_remembered_when_the_store_was_busy(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An admin's shell holds the store while letters are under way: none of them goes twice."""
    monkeypatch.setattr("pqr_mailbot.adapters.sqlite_store.DAEMON_BUSY_SECONDS", 0.1)
    monkeypatch.setattr("pqr_mailbot.flows.deliver.NOTE_PAUSE", 0.1)
    shell = sqlite3.connect(post.path, isolation_level=None, check_same_thread=False)

    def hold(_: object) -> None:
        if not shell.in_transaction:
            shell.execute("BEGIN IMMEDIATE")
            threading.Timer(1.5, shell.rollback).start()

    post.server.route = hold
    assert post.round() is True
    shell.close()
    assert post.states == [SENT, SENT]
    assert sorted(post.arrived()) == [ANA, CLARA]


def test_a_store_that_stays_broken_ends_the_round(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """No round goes on forever; whoever starts anew sends what was under way again, and counts it."""
    monkeypatch.setattr("pqr_mailbot.adapters.sqlite_store.DAEMON_BUSY_SECONDS", 0.05)
    monkeypatch.setattr("pqr_mailbot.flows.deliver.NOTE_PAUSE", 0.01)
    shell = sqlite3.connect(post.path, isolation_level=None, check_same_thread=False)
    post.server.route = lambda _: None if shell.in_transaction else shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreProblem, match="letters under way"):
        post.round(tries=3)
    shell.rollback()
    shell.close()
    assert "sending" in post.states


def test_a_store_that_is_busy_before_anything_is_under_way_is_the_callers_weather(post: Post) -> None:
    books = Books(lambda: Store.open(post.path, NOW))
    books.do_now(lambda store: store.db.conn.execute("PRAGMA busy_timeout = 50"))
    shell = sqlite3.connect(post.path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    mailer = Mailer(post.server.endpoint(OFFICE), SMTP_PASSWORD, 1)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        asyncio.run(Delivery(books, mailer, Standing("smtp", ""), 1, lambda: NOW).round())
    shell.rollback()
    shell.close()
    books.close()
    assert post.states == [QUEUED, QUEUED]


def test_a_wrong_password_is_tried_once_a_round(tmp_path: Path, smtp: SmtpServer) -> None:
    """Four connections refused at once would bring a lockout nearer by four."""
    post = Post(tmp_path / "desk.db", smtp, password="no")
    assert post.round() is False
    assert len([line for line in smtp.heard if line.startswith("AUTH")]) == 1
    assert post.rows("failures, refused", "(SELECT 0 AS id, * FROM provider WHERE name = 'smtp')") == [
        (1, secret_mark(OFFICE, "no"))
    ]


def test_after_a_crash_what_was_under_way_goes_again_and_is_counted(post: Post) -> None:
    bench = Bench(post.path)
    with bench.store.transaction():
        bench.store.claim_letters(NOW, 2)  # the program dies here
    bench.close()
    books = Books(lambda: Store.open(post.path, NOW))
    assert books.do_now(lambda store: _recovered(store)) == 2
    books.close()
    post.round(NOW + timedelta(minutes=1))
    assert post.rows("state, interrupted") == [(SENT, 1), (SENT, 1)]
    assert sorted(post.arrived()) == [ANA, CLARA]


def _recovered(store: Store) -> int:
    with store.transaction():
        return store.requeue_interrupted(NOW)


def test_a_uncertain_letter_is_never_sent_again_by_itself(post: Post) -> None:
    post.server.answers = {"DOT": DROP}
    post.round()
    post.server.answers = {}
    for hours in range(1, 200, 24):
        post.round(NOW + timedelta(hours=hours))
    assert (post.states, len(post.server.received)) == ([UNCERTAIN, UNCERTAIN], 2)


def test_many_letters_share_few_connections(tmp_path: Path, smtp: SmtpServer) -> None:
    post = Post(tmp_path / "desk.db", smtp)
    bench = Bench(post.path)
    for number in range(30):
        bench.take(eml(f"c{number}@x.test", text=f"t{number}", message_id=f"<{number}@x.test>"))
    bench.close()
    assert post.round(width=3) is True
    assert set(post.states) == {SENT}
    assert len(post.states) == len(smtp.received) == 62
    assert smtp.connections <= 3


# -- refused for good ----------------------------------------------------------------------------------------------


def following(store: Store, letter: Any, outcome: Any, now: datetime) -> None:
    """What the daemon does about it, on this round's store."""
    handler = Handler(store, DESK, wiring.shipped_lexicon(), Letters(None, POLICY.office), store.signer(), 0)
    Refusals(handler).note(letter, outcome, now)


REFUSED: list[tuple[str, str, list[str]]] = [
    # who is refused; letters that follow
    ("the customer", f"RCPT {CLARA}", [f"alarm>{ANA}"]),
    ("the owner", f"RCPT {ANA}", ["alarm>coordinacion@lohas.test"]),
]


@pytest.mark.parametrize(("case", "where", "told"), REFUSED, ids=[row[0] for row in REFUSED])
def test_somebody_hears_of_a_letter_that_was_refused(post: Post, case: str, where: str, told: list[str]) -> None:
    post.server.answers = {where: "550 5.1.1 no such user"}
    post.round(refused=following)
    assert [f"{letter}>{recipient}" for letter, recipient in post.rows("letter, recipient")][2:] == told


def test_a_notification_that_is_too_large_goes_again_without_its_files(tmp_path: Path, smtp: SmtpServer) -> None:
    post = Post(tmp_path / "desk.db", smtp)
    bench = Bench(post.path)
    bench.take(eml(text="Va la foto.", subject="[PQR-2026-000001]", message_id="<m2@x>", attachments=["bolsa.jpg"]))
    bench.close()
    smtp.answers = {"DOT": ["250 ok", "250 ok", "552 5.3.4 too large", "250 ok"]}
    post.round(width=1, refused=following)
    assert post.rows("letter, recipient, state")[2:] == [("notification", ANA, DEAD), ("notification", ANA, SENT)]
    again = message_from_bytes(smtp.received[-1].data)
    assert "bolsa.jpg" in again.as_string()
    assert again.get_content_type() == "multipart/alternative"
    tokens = {token for (token,) in post.rows("token")}
    assert again["X-PQR-Letter"] in tokens
