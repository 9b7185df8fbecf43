"""Which rules are due on which day: tables by the written ladder, and laws over all cases."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from office import BOGOTA, DESK, NOW, POLICY, ticket

from pqr_mailbot.adapters.holidays import business_calendar
from pqr_mailbot.config import SHIPPED_REMINDERS, rules_of
from pqr_mailbot.domain.business_days import Pause
from pqr_mailbot.domain.model import Classification, State, Ticket
from pqr_mailbot.domain.policy import Rule
from pqr_mailbot.domain.reminders import Due, Standing, due, latest_for_each, scaled, survey_may_go

LADDER = replace(POLICY, reminders=rules_of(SHIPPED_REMINDERS))
CALENDAR = DESK.calendar
JUNE = date(2026, 6, 1)


def standing(case: Ticket, fired: frozenset[tuple[str, str]] = frozenset(), **more: Any) -> Standing:
    opened = case.opened_at.astimezone(BOGOTA).date()
    fields: dict[str, Any] = {"customer_word_on": opened, "office_word_on": opened, "resolved_on": None, "reopened": 0}
    return Standing(case, opened, fired=fired, **{**fields, **more})


def told(
    case: Ticket, days: int = 35, skip: tuple[date, date] | None = None, **more: Any
) -> list[tuple[str, str, str]]:
    """Day, rule and recipients of everything that fires while nobody does anything; `skip`: a stretch of downtime."""
    fired: set[tuple[str, str]] = set()
    said = []
    for day in (JUNE + timedelta(n) for n in range(days)):
        if not CALENDAR.is_business_day(day) or (skip and skip[0] <= day <= skip[1]):
            continue
        found, _ = due(standing(case, frozenset(fired), **more), day, LADDER, CALENDAR)
        fired.update(one.key for one in found)
        said += [(f"{day:%m-%d}", one.name, ", ".join(one.to)) for one in found]
    return said


FIFTEEN = [
    ("06-03", "sin respuesta, 2 días", "owner"),
    ("06-09", "sin respuesta, 5 días", "level 2"),
    ("06-12", "sin resolver, 8 días", "owner, level 2"),
    ("06-12", "sin noticias, 8 días", "customer"),
    ("06-19", "faltan 3 días", "level 2"),
    ("06-23", "falta 1 día", "level 3"),
    ("06-25", "vencido", "owner, level 3"),
    ("06-25", "vencido, al cliente", "customer"),
    ("06-26", "vencido", "owner, level 3"),
    ("06-30", "vencido", "owner, level 3"),
]


def test_the_ladder_of_a_term_of_fifteen_days() -> None:
    """Received Monday 1 June 2026, due on the 24th; 8, 15 and 29 June are holidays (colombia.md)."""
    assert told(ticket(acknowledged_at=NOW), 30) == FIFTEEN


def test_a_week_of_downtime_is_caught_up_in_order_and_each_fires_once() -> None:
    said = told(ticket(acknowledged_at=NOW), 30, skip=(date(2026, 6, 9), date(2026, 6, 15)))
    assert said[1:4] == [
        ("06-16", "sin respuesta, 5 días", "level 2"),
        ("06-16", "sin resolver, 8 días", "owner, level 2"),
        ("06-16", "sin noticias, 8 días", "customer"),
    ]
    assert [one for one in said if one[0] > "06-16"] == FIFTEEN[4:]


def test_missed_repetitions_are_not_made_up_for() -> None:
    said = told(ticket(acknowledged_at=NOW), 40, skip=(date(2026, 6, 25), date(2026, 7, 2)))
    assert [one for one in said if one[1] == "vencido"][:2] == [
        ("07-03", "vencido", "owner, level 3"),
        ("07-06", "vencido", "owner, level 3"),
    ]


@pytest.mark.parametrize(
    ("term", "days"),
    [
        (15, [2, 5, 2, 8, 8, -3, -1, 1, 1]),
        (10, [1, 3, 1, 5, 5, -2, -1, 1, 1]),
        (5, [1, 2, 1, 3, 3, -1, -1, 1, 1]),
        (30, [4, 10, 4, 16, 16, -6, -2, 1, 1]),
    ],
)
def test_other_terms_scale_by_the_same_shares(term: int, days: list[int]) -> None:
    assert [scaled(rule, term) for rule in LADDER.reminders] == days


ASKED = frozenset({("survey", "")})
STANDS: list[tuple[str, Ticket, dict[str, Any], date, list[str]]] = [
    ("an answer ends “sin respuesta”", ticket(state=State.OPEN, acknowledged_at=NOW), {}, date(2026, 6, 9), []),
    ("a person wrote on the 10th", ticket(state=State.OPEN, acknowledged_at=NOW), {"office_word_on": date(2026, 6, 10)},
     date(2026, 6, 12), ["sin resolver, 8 días"]),
    ("who waits for the customer tells them nothing", ticket(state=State.WAITING, acknowledged_at=NOW), {},
     date(2026, 6, 12), ["sin resolver, 8 días"]),
    ("the survey, two days after", ticket(state=State.RESOLVED, acknowledged_at=NOW, resolved_at=NOW),
     {"resolved_on": JUNE}, date(2026, 6, 3), ["survey"]),
    ("no survey after a suggestion", ticket(state=State.RESOLVED, acknowledged_at=NOW,
     classification=Classification("sugerencia", 1.0)), {"resolved_on": JUNE}, date(2026, 6, 3), []),
    ("no survey to who refuses them", ticket(state=State.RESOLVED, acknowledged_at=NOW),
     {"resolved_on": JUNE, "no_surveys": True}, date(2026, 6, 3), []),
    ("asked before it is closed", ticket(state=State.RESOLVED, acknowledged_at=NOW), {"resolved_on": JUNE},
     date(2026, 6, 9), ["survey"]),
    ("quiet for five days, and asked", ticket(state=State.RESOLVED, acknowledged_at=NOW, resolved_at=NOW),
     {"resolved_on": JUNE, "fired": ASKED, "surveyed_on": date(2026, 6, 3)}, date(2026, 6, 9), ["quiet"]),
    ("asked too late to be closed already", ticket(state=State.RESOLVED, acknowledged_at=NOW, resolved_at=NOW),
     {"resolved_on": JUNE, "fired": ASKED, "surveyed_on": date(2026, 6, 9)}, date(2026, 6, 11), []),
    ("a person wrote again", ticket(state=State.RESOLVED, acknowledged_at=NOW, resolved_at=NOW),
     {"resolved_on": JUNE, "fired": ASKED, "office_word_on": date(2026, 6, 5)}, date(2026, 6, 9), []),
    ("a term that stands still does not end", ticket(state=State.WAITING, acknowledged_at=NOW,
     pauses=(Pause(date(2026, 6, 5)),), classification=Classification("solicitud", 1.0)), {}, date(2026, 6, 26),
     ["sin resolver, 8 días"]),
    ("that of a reclamo never does", ticket(state=State.WAITING, acknowledged_at=NOW,
     pauses=(Pause(date(2026, 6, 5)),)), {}, date(2026, 6, 26),
     ["sin resolver, 8 días", "faltan 3 días", "falta 1 día", "vencido, al cliente", "vencido"]),
    ("not quiet: the customer said thanks", ticket(state=State.RESOLVED, acknowledged_at=NOW),
     {"resolved_on": JUNE, "customer_word_on": date(2026, 6, 4)}, date(2026, 6, 9), ["survey"]),
    ("nothing about a closed case", ticket(state=State.CLOSED), {}, date(2026, 7, 9), []),
    ("not acknowledged, 2 days", ticket(state=State.OPEN), {}, date(2026, 6, 3), ["acuse sin entregar, 2 días"]),
    ("not acknowledged, 4 days", ticket(state=State.OPEN), {}, date(2026, 6, 5),
     ["acuse sin entregar, 2 días", "acuse sin entregar, 4 días"]),
    ("a reopened case broke no promise", ticket(state=State.OPEN, acknowledged_at=NOW),
     {"reopened": 1, "office_word_on": date(2026, 6, 24)}, date(2026, 6, 25),
     ["sin resolver, 8 días", "faltan 3 días", "falta 1 día", "vencido"]),
    ("habeas data has its legend in two days", ticket(state=State.OPEN, acknowledged_at=NOW, business_days=10,
     due_on=date(2026, 6, 17), classification=Classification("habeas_data", 1.0)), {}, date(2026, 6, 3),
     ["habeas data: leyenda “reclamo en trámite”"]),
    ("a petition that was not completed in a month", ticket(state=State.WAITING, acknowledged_at=NOW,
     pauses=(Pause(date(2026, 7, 8)),), due_on=date(2026, 12, 1), classification=Classification("solicitud", 1.0)),
     {"office_word_on": date(2026, 7, 8)}, date(2026, 8, 11), ["sin resolver, 8 días", "withdrawal"]),
    ("one month from 8 July ends on Monday 10 August", ticket(state=State.WAITING, acknowledged_at=NOW,
     pauses=(Pause(date(2026, 7, 8)),), due_on=date(2026, 12, 1), classification=Classification("solicitud", 1.0)),
     {"office_word_on": date(2026, 7, 8)}, date(2026, 8, 10), ["sin resolver, 8 días"]),
]  # fmt: skip


@pytest.mark.parametrize(("case", "now", "more", "day", "names"), STANDS, ids=[case for case, *_ in STANDS])
def test_what_is_due(case: str, now: Ticket, more: dict[str, Any], day: date, names: list[str]) -> None:
    found, _ = due(standing(now, **more), day, LADDER, CALENDAR)
    assert [one.name for one in found] == names


@pytest.mark.parametrize(
    ("moment", "may"),
    [
        ("2026-06-02T06:59", False),
        ("2026-06-02T07:00", True),
        ("2026-06-02T18:59", True),
        ("2026-06-02T19:00", False),
        ("2026-06-06T07:59", False),  # Saturday
        ("2026-06-06T08:00", True),
        ("2026-06-06T15:00", False),
        ("2026-06-07T10:00", False),  # Sunday
        ("2026-06-08T10:00", False),  # Corpus Christi
    ],
)
def test_the_lawful_window_of_surveys(moment: str, may: bool) -> None:
    """Ley 2300/2023."""
    assert survey_may_go(datetime.fromisoformat(moment), CALENDAR) is may


def test_who_hears_several_things_at_once_hears_the_last() -> None:
    found = [
        Due("rule", "a", "0", JUNE, ("owner",), "reminder"),
        Due("rule", "b", "0", JUNE, ("level 2",), "escalation"),
        Due("rule", "c", "0", JUNE, ("owner", "level 2"), "reminder"),
        Due("rule", "d", "0", JUNE, ("customer",), "progress"),
        Due("quiet", "quiet", "0", JUNE),
    ]
    assert [(one.name, one.to) for one in latest_for_each(found)] == [
        ("c", ("owner", "level 2")), ("d", ("customer",)), ("quiet", ()),
    ]  # fmt: skip


# -- laws ----------------------------------------------------------------------------------------------------------

DAYS = st.integers(0, 60).map(lambda n: JUNE + timedelta(n))
STATES = st.sampled_from(list(State))
RULES = st.builds(
    Rule, st.text("ab", min_size=1, max_size=3), st.frozensets(STATES.map(str), min_size=1),
    st.sampled_from(["opening", "customer_word", "office_word", "resolved"]), st.integers(0, 20),
    st.just(("owner",)), st.just("reminder"), st.booleans(),
)  # fmt: skip


@given(STATES, st.lists(RULES, max_size=4, unique_by=lambda rule: rule.name), DAYS, DAYS, st.integers(0, 40))
def test_nothing_fires_twice_and_nothing_is_forgotten(
    state: State, rules: list[Rule], word: date, resolved: date, days: int
) -> None:
    """Looking every day and looking only on the days that were named fire the same, each key once."""
    policy = replace(POLICY, reminders=tuple(rules))
    case = ticket(state=state, acknowledged_at=NOW)
    more = {"office_word_on": word, "customer_word_on": word, "resolved_on": resolved}
    every: list[tuple[str, str]] = []
    named: list[tuple[str, str]] = []
    look_on = JUNE
    for day in (JUNE + timedelta(n) for n in range(days)):
        found, _ = due(standing(case, frozenset(every), **more), day, policy, CALENDAR)
        every += [one.key for one in found]
        if look_on <= day:
            found, look_on = due(standing(case, frozenset(named), **more), day, policy, CALENDAR)
            named += [one.key for one in found]
    assert len(set(every)) == len(every)
    assert named == every


@given(DAYS, st.integers(0, 40), st.integers(0, 30), st.integers(0, 40))
def test_a_pause_never_brings_a_deadline_forward(received: date, days: int, asked: int, length: int) -> None:
    start = received + timedelta(asked)
    paused = CALENDAR.term(received, days, (Pause(start, start + timedelta(length)),)).due_on
    assert paused >= CALENDAR.term(received, days).due_on


@given(DAYS, st.integers(-20, 20))
def test_so_many_days_before_is_so_many_days_left(day: date, count: int) -> None:
    due_on = CALENDAR.next_business_day(day)
    found = CALENDAR.after(due_on, count)
    assert CALENDAR.is_business_day(found)
    assert (CALENDAR.between(found, due_on) if count < 0 else CALENDAR.between(due_on, found)) == abs(count)


@given(DAYS, st.integers(1, 20), st.sets(st.integers(1, 60), max_size=6))
def test_another_holiday_never_makes_a_reminder_earlier(opened: date, days: int, offsets: set[int]) -> None:
    more = business_calendar(extra={opened + timedelta(n): "Día cívico" for n in offsets})
    assert more.after(opened, days) >= CALENDAR.after(opened, days)
