"""What happens by itself: the digest each business morning, once, and the urgent cases of whoever is away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from bench import Bench, eml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from office import BOGOTA, DESK, NOW, POLICY

from pqr_mailbot.config import SHIPPED_REMINDERS, rules_of
from pqr_mailbot.domain.mornings import office_day
from pqr_mailbot.domain.reminders import survey_may_go
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.flows.clock import ClockRound

ONE = "PQR-2026-000001"
ANA = "Ana Ruiz <ana@lohas.test>"
LADDER = Desk(replace(POLICY, reminders=rules_of(SHIPPED_REMINDERS)), DESK.calendar)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "desk.db")
    yield bench
    bench.close()


def at(day: int, hour: int = 8, minute: int = 0) -> datetime:
    """A moment of June 2026, office time."""
    return datetime(2026, 6, day, hour, minute, tzinfo=BOGOTA)


OFFICE_DAYS = [
    (at(2, 8), True),
    (at(2, 7, 59), False),
    (at(2, 16, 59), True),
    (at(2, 17), False),
    (at(6, 10), False),  # a Saturday
    (at(7, 10), False),  # a Sunday
    (at(8, 10), False),  # Corpus Christi, a Monday
    (at(9, 10), True),
    (at(10, 10), False),  # a closure of the office
]


@pytest.mark.parametrize(("moment", "open_"), OFFICE_DAYS)
def test_letters_that_can_wait_go_in_office_hours_of_business_days(moment: datetime, open_: bool) -> None:
    policy = replace(POLICY, closures={date(2026, 6, 10): "Inventario"}, office_hours=(time(8), time(17)))
    desk = Desk(policy, DESK.calendar)
    assert (office_day(desk, moment) is not None) is open_


def digests(bench: Bench) -> list[str]:
    return [one.to for one in bench.letters("digest")]


def test_each_agent_hears_once_a_morning_of_what_was_there_before(bench: Bench) -> None:
    bench.take(eml())
    clock = ClockRound(bench.handler)
    for moment in (at(1, 16), at(1, 23), at(2, 7, 59)):
        clock.run(moment)
    assert digests(bench) == []
    for moment in (at(2, 8), at(2, 8, 1), at(2, 12), at(2, 16, 59), at(2, 20)):
        clock.run(moment)
    assert digests(bench) == ["ana@lohas.test"]
    (letter,) = bench.letters("digest")
    assert (letter.mail["Auto-Submitted"], letter.reference) == ("auto-generated", None)
    for words in (ONE, "Café vencido", "clara@correo.test", "Quedan 14 días hábiles"):
        assert words in " ".join(letter.text.split())
    clock.run(at(3, 8))
    assert len(digests(bench)) == 2


def test_nothing_to_say_nothing_sent(bench: Bench) -> None:
    ClockRound(bench.handler).run(at(2, 8))
    assert bench.letters() == []


def test_machines_mail_is_in_the_digest(bench: Bench) -> None:
    aside = bench.take(eml("Banco <no-reply@banco.test>", "Extracto", "Su extracto"))
    ClockRound(bench.handler).run(at(2, 8))
    assert sorted(digests(bench)) == ["ana@lohas.test", "luz@lohas.test"]
    text = bench.letters("digest")[0].text
    assert f"#abrir {aside['id']}" in text
    assert "Extracto" in text
    ClockRound(bench.handler).run(at(3, 8))
    assert len(digests(bench)) == 2


def test_a_week_of_downtime_brings_one_digest(bench: Bench) -> None:
    bench.take(eml())
    clock = ClockRound(bench.handler)
    clock.run(at(2, 8))
    clock.run(at(11, 9))
    clock.run(at(11, 9, 1))
    assert len(digests(bench)) == 2


def test_free_text_that_answers_a_digest_is_held(bench: Bench) -> None:
    bench.take(eml())
    ClockRound(bench.handler).run(at(2, 8))
    (letter,) = bench.letters("digest")
    for number, text in enumerate(("Ya le respondo a Clara.", "#resolver", f"#resolver {ONE}")):
        bench.take(eml(ANA, "Re: Sus casos", text, f"<a{number}@lohas.test>", In_Reply_To=letter.mail["Message-ID"]),
                   at(2, 9, number))  # fmt: skip
        assert bench.tickets()[0]["state"] == ("resolved" if number == 2 else "new")
    assert [one.to for one in bench.letters() if not one.to.endswith("@lohas.test")] == ["clara@correo.test"]


def test_an_absence_that_begins_later_passes_on_what_is_urgent_then(bench: Bench) -> None:
    bench.take(eml(text="Mi hija está en urgencias, intoxicada por el café."))
    with bench.store.transaction():
        bench.store.note_absence("ana@lohas.test", date(2026, 6, 3), date(2026, 6, 5))
    clock = ClockRound(bench.handler)
    clock.run(at(2, 23))
    assert bench.tickets()[0]["owner"] == "ana@lohas.test"
    clock.run(at(3, 0, 5))
    assert bench.tickets()[0]["owner"] == "luz@lohas.test"
    assert bench.letters("notification")[-1].to == "luz@lohas.test"
    count = len(bench.letters())
    clock.run(at(3, 0, 6))
    assert len(bench.letters()) == count
    clock.run(at(3, 8))
    assert digests(bench) == ["luz@lohas.test"]


def test_back_by_itself(bench: Bench) -> None:
    with bench.store.transaction():
        bench.store.note_absence("ana@lohas.test", date(2026, 6, 1), date(2026, 6, 3))
    owners = []
    for number, days in enumerate((0, 2, 3)):
        mail = eml(f"c{number}@x.test", text=f"hola {number}", message_id=f"<{number}@x.test>")
        bench.take(mail, NOW + timedelta(days))
        owners.append(bench.tickets()[-1]["owner"])
    assert owners == ["luz@lohas.test", "luz@lohas.test", "ana@lohas.test"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 60 * 24 * 60), st.sampled_from(["new", "open", "waiting", "resolved"]))
def test_no_letter_that_can_wait_leaves_outside_office_hours(bench: Bench, minute: int, state: str) -> None:
    """Surveys have their own lawful window; everything else waits for office hours."""
    now, one = at(1, 0) + timedelta(minutes=minute), f"<{minute}.{state}@x>"
    if not bench.take(eml(text=one, message_id=one), at(1, 0))["reference"]:
        return
    with bench.store.transaction():
        bench.store._run("UPDATE ticket SET state = ?, resolved_at = opened_at", state)
        bench.store._run("UPDATE ticket SET look_on = '9999-12-31' WHERE id < (SELECT max(id) FROM ticket)")
    before = len(bench.rows("SELECT id FROM outbox"))
    ClockRound(replace(bench.handler, desk=LADDER)).run(now)
    for letter in bench.rows("SELECT letter FROM outbox ORDER BY id LIMIT -1 OFFSET ?", before):
        if letter["letter"] == "survey":
            assert survey_may_go(now, DESK.calendar)
        else:
            assert office_day(LADDER, now) is not None, letter
