"""A clock that is wrong: a year or an hour ahead or behind, between rounds and over restarts. Nobody hears a thing
twice, nothing waits for a day that the clock made up, and what was received when is the server's word."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from bench import Bench, eml
from desk_process import DeskProcess
from office import BOGOTA, DESK, NOW, POLICY
from servers import OFFICE, Dovecot, SmtpServer

from pqr_mailbot import wiring
from pqr_mailbot.adapters.sqlite_views import Views
from pqr_mailbot.config import SHIPPED_REMINDERS, load, rules_of
from pqr_mailbot.daemon import Daemon
from pqr_mailbot.domain.health import Expected
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.flows.clock import ClockRound

LADDER = Desk(replace(POLICY, reminders=rules_of(SHIPPED_REMINDERS)), DESK.calendar)
HOUR, YEAR = timedelta(hours=1), timedelta(days=365)
MORNING = datetime(2026, 6, 3, 9, tzinfo=BOGOTA)


class Clocked:
    """An office whose desk is started anew for each round, by whatever clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        bench = Bench(path, LADDER)
        bench.take(eml())
        bench.take(eml("Diego <diego@otro.test>", "Molienda", message_id="<d1@otro.test>"))
        ClockRound(bench.handler).adopt_rules(NOW)
        bench.close()

    def rounds(self, *moments: datetime) -> Counter[str]:
        """What was written at these moments, all of it sent at once."""
        said: Counter[str] = Counter()
        for moment in moments:
            bench = Bench(self.path, LADDER)
            before = len(bench.said())
            clock = ClockRound(bench.handler)
            for _ in range(3):
                clock.run(moment)
            said.update(bench.said()[before:])
            with bench.store.transaction():
                for letter in bench.store.claim_letters(moment, 100):
                    bench.store.letter_sent(letter, "250 ok", moment)
            bench.close()
        return said


@pytest.fixture
def office(tmp_path: Path) -> Clocked:
    return Clocked(tmp_path / "desk.db")


@pytest.mark.parametrize("jump", [YEAR, -YEAR, HOUR, -HOUR])
def test_no_storm_while_it_is_wrong_and_nothing_twice_when_it_is_right_again(office: Clocked, jump: timedelta) -> None:
    first = office.rounds(MORNING)
    assert first == {"digest>ana@lohas.test": 1, "digest>luz@lohas.test": 1, "reminder>ana@lohas.test": 1,
                     "reminder>luz@lohas.test": 1}  # fmt: skip
    wrong = office.rounds(MORNING + jump, MORNING + jump + timedelta(minutes=1))
    assert max(wrong.values(), default=0) <= 1  # whoever hears of several things hears of them in one letter
    assert not wrong or jump == YEAR
    assert office.rounds(MORNING + HOUR, MORNING + 2 * HOUR) == {}
    following = office.rounds(MORNING + timedelta(days=1), MORNING + timedelta(days=1, hours=1))
    assert max(following.values(), default=0) <= 1
    assert set(following) <= {"digest>ana@lohas.test", "digest>luz@lohas.test"}


def test_an_hour_back_makes_no_second_morning(office: Clocked) -> None:
    """Nor midnight a second day, back and forth."""
    midnight = datetime(2026, 6, 4, 0, 0, 10, tzinfo=BOGOTA)
    said = office.rounds(MORNING, *(midnight + n * timedelta(seconds=20 * (-1) ** n) for n in range(6)))
    assert said["digest>ana@lohas.test"] == 1
    assert said["reminder>ana@lohas.test"] == 1


def test_letters_that_a_clock_ahead_put_off_go_when_it_is_right_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "desk.db", LADDER)
    bench.take(eml(), NOW)
    later = NOW + timedelta(days=2)
    with bench.store.transaction():
        (tried, waiting) = bench.store.claim_letters(NOW, 2)
        bench.store.letter_back(tried, NOW + YEAR + HOUR, "451 later")  # tried while the clock was ahead
        bench.store.letter_back(waiting, later, "not yet", counts=False)  # put off by the right clock
    bench.take(eml("Diego <diego@otro.test>", message_id="<d1@otro.test>"), NOW + YEAR)  # and written while it was
    clock = ClockRound(bench.handler)
    clock.run(NOW + YEAR)
    clock.run(NOW + HOUR)
    due = {row["id"]: row["next_attempt_at"] for row in bench.rows("SELECT * FROM outbox")}
    assert datetime.fromisoformat(due.pop(waiting.id)) == later
    assert max(map(datetime.fromisoformat, due.values())) <= NOW + HOUR
    bench.close()


def test_a_fetch_of_the_future_does_not_hide_that_there_was_none_since(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "desk.db")
    with bench.store.transaction():
        bench.store.begin_mailbox("Enviadas", 1, 0, NOW + YEAR)
        bench.store.begin_mailbox("INBOX", 1, 0, NOW)
    bench.close()
    for at, silent in ((NOW, False), (NOW + HOUR, True)):
        with closing(Views(bench.path, BOGOTA, DESK.calendar)) as views:
            report = views.status(at, Expected())
        assert report["last_fetch_at"] == NOW.astimezone(BOGOTA).isoformat()
        assert any("no successful fetch" in problem for problem in report["problems"]) is silent


def test_a_desk_that_began_with_a_clock_ahead_answers_when_it_is_right(
    tmp_path: Path, dovecot: Dovecot, smtp: SmtpServer
) -> None:
    """Real servers, whose clock is right. By its own first day everything since would be old mail shown again."""
    dovecot.reset()
    smtp.route = dovecot.route
    desk = DeskProcess(tmp_path, dovecot, smtp)
    settings = load(desk.config)

    def a_round(jump: timedelta, address: str = "") -> datetime:
        """A desk whose clock is off by so much, and a mail to it. Returns when that was written."""
        sent = datetime.now(UTC)
        if address:
            dovecot.deliver(eml(address, text=address, message_id=f"<{address}>"), OFFICE, address)
        daemon = Daemon(settings, wiring.Secrets.read(settings, {}), lambda: datetime.now(UTC) + jump)
        try:
            assert asyncio.run(daemon.round()) == []
        finally:
            daemon.close()
        return sent

    a_round(YEAR)
    jumps = (timedelta(), -YEAR, -HOUR, timedelta())
    sent = [a_round(jump, f"c{number}@correo.test") for number, jump in enumerate(jumps)]
    tickets = desk.json("tickets")
    opened = [datetime.fromisoformat(ticket["opened_at"]) for ticket in tickets]
    assert len(opened) == len(sent)  # receipts are the server's instants, to the second
    assert all(abs(one - at) < timedelta(seconds=30) for one, at in zip(opened, sent, strict=True))
    assert all(date.fromisoformat(ticket["due_on"]) - one.date() < timedelta(days=60)
               for ticket, one in zip(tickets, opened, strict=True))  # fmt: skip
    acknowledged = Counter(row["recipient"] for row in desk.json("outbox") if row["letter"] == "acknowledgement")
    assert sorted(acknowledged.values()) == [1] * len(sent)
