"""Terms by Colombian business days: the table of the office's lawyer, every holiday of four decades, and the laws."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pqr_mailbot.adapters.holidays import business_calendar, colombian_holidays
from pqr_mailbot.domain.business_days import local_day

CALENDAR = business_calendar()
BOGOTA = ZoneInfo("America/Bogota")
DAYS = st.dates(date(2000, 1, 1), date(2039, 12, 31))
TERMS = st.integers(0, 40)


@pytest.mark.parametrize(
    ("received", "after_1", "after_5", "after_10", "after_15", "after_30"),
    [
        ("2026-06-01", "2026-06-02", "2026-06-09", "2026-06-17", "2026-06-24", "2026-07-17"),
        ("2026-06-05", "2026-06-09", "2026-06-16", "2026-06-23", "2026-07-01", "2026-07-24"),
        ("2026-06-07", "2026-06-09", "2026-06-16", "2026-06-23", "2026-07-01", "2026-07-24"),
        ("2026-07-01", "2026-07-02", "2026-07-08", "2026-07-16", "2026-07-24", "2026-08-18"),
        ("2026-03-31", "2026-04-01", "2026-04-09", "2026-04-16", "2026-04-23", "2026-05-15"),
        ("2025-06-27", "2025-07-01", "2025-07-07", "2025-07-14", "2025-07-21", "2025-08-12"),
        ("2026-12-24", "2026-12-28", "2027-01-04", "2027-01-12", "2027-01-19", "2027-02-09"),
    ],
)
def test_terms(received: str, after_1: str, after_5: str, after_10: str, after_15: str, after_30: str) -> None:
    counted = [CALENDAR.term(date.fromisoformat(received), days).due_on.isoformat() for days in (1, 5, 10, 15, 30)]
    assert counted == [after_1, after_5, after_10, after_15, after_30]


def test_the_skipped_holidays_have_names() -> None:
    skipped = [(day.date.isoformat(), day.name) for day in CALENDAR.term(date(2026, 7, 1), 15).skipped]
    assert skipped == [
        ("2026-07-13", "Nuestra Señora del Rosario de Chiquinquirá"),
        ("2026-07-20", "Día de la Independencia"),
    ]


def test_two_holidays_on_one_day_are_one_day_with_both_names() -> None:
    assert colombian_holidays(2025)[date(2025, 6, 30)] == "Sagrado Corazón y San Pedro y San Pablo"


def test_every_holiday_of_2000_to_2040() -> None:
    """The fixture was generated with the independent package `holidays` 0.109."""
    expected = json.loads((Path(__file__).parent / "colombian_holidays.json").read_text())
    ours = {year: sorted(f"{day:%m-%d}" for day in colombian_holidays(int(year))) for year in expected}
    assert ours == expected and len(expected) == 41


@pytest.mark.parametrize(
    ("today", "due_on", "left"),
    [
        ("2026-06-24", "2026-06-24", 0),
        ("2026-06-23", "2026-06-24", 1),
        ("2026-06-12", "2026-06-16", 1),  # over a weekend and a holiday
        ("2026-06-01", "2026-06-24", 15),
        ("2026-06-25", "2026-06-24", -1),
        ("2026-06-27", "2026-06-26", -1),  # Saturday after a Friday: overdue although no business day passed
        ("2026-06-30", "2026-06-26", -1),
        ("2026-07-01", "2026-06-26", -2),
    ],
)
def test_days_left(today: str, due_on: str, left: int) -> None:
    assert CALENDAR.days_left(date.fromisoformat(today), date.fromisoformat(due_on)) == left


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2026, 6, 2, 4, 59, 59, tzinfo=UTC), date(2026, 6, 1)),  # 23:59:59 in Bogotá, UTC already tomorrow
        (datetime(2026, 6, 2, 5, 0, 0, tzinfo=UTC), date(2026, 6, 2)),
        (datetime(2027, 1, 1, 3, 0, 0, tzinfo=UTC), date(2026, 12, 31)),
    ],
)
def test_the_day_is_the_offices(instant: datetime, day: date) -> None:
    assert local_day(instant, BOGOTA) == day


@given(DAYS, TERMS)
def test_a_term_ends_on_a_business_day_and_counts_exactly(received: date, days: int) -> None:
    term = CALENDAR.term(received, days)
    assert CALENDAR.between(received, term.due_on) == days
    assert days == 0 or CALENDAR.is_business_day(term.due_on)
    assert all(received < day.date <= term.due_on and day.date.weekday() < 5 for day in term.skipped)


@given(DAYS, TERMS, st.sets(st.integers(1, 60), max_size=10))
def test_another_holiday_never_brings_a_deadline_forward(received: date, days: int, offsets: set[int]) -> None:
    more = business_calendar(extra={received + timedelta(days=n): "Día cívico" for n in offsets})
    assert more.term(received, days).due_on >= CALENDAR.term(received, days).due_on


@given(DAYS, DAYS, TERMS)
def test_later_receipt_is_never_due_earlier(one: date, other: date, days: int) -> None:
    early, late = sorted((one, other))
    assert CALENDAR.term(early, days).due_on <= CALENDAR.term(late, days).due_on


@given(DAYS, TERMS)
def test_days_left_says_what_the_term_said(received: date, days: int) -> None:
    due_on = CALENDAR.term(received, days).due_on
    assert CALENDAR.days_left(received, due_on) == days
    assert CALENDAR.days_left(due_on + timedelta(days=1), due_on) < 0
