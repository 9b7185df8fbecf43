"""The only place that knows which days count, and how a term is counted.

Rules: the day of receipt is excluded and the term ends with the last business day (Ley 4/1913 arts. 59-62);
business days are the weekdays that are no holiday (Ley 51/1983, Ley 2578/2026). A company's closures stop letters,
not terms, so they are not known here.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)
SATURDAY_AND_SUNDAY = frozenset({5, 6})


@dataclass(frozen=True, slots=True)
class DayOff:
    """A weekday that did not count, and why."""

    date: date
    name: str


@dataclass(frozen=True, slots=True)
class Term:
    """A deadline and its derivation."""

    received_on: date
    business_days: int
    due_on: date
    skipped: tuple[DayOff, ...]  # holidays that would have counted; weekends go without saying


@dataclass(frozen=True, slots=True)
class Pause:
    """The days after `asked_on` up to and including `completed_on`, when the customer owed something: they do not
    count. While it lasts (None) nobody knows its end, so it moves no deadline yet."""

    asked_on: date
    completed_on: date | None = None

    def holds(self, day: date) -> bool:
        return self.completed_on is not None and self.asked_on < day <= self.completed_on


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """Which days count. `holidays_of(year)` names that year's days off by law."""

    holidays_of: Callable[[int], Mapping[date, str]]
    weekend: frozenset[int] = SATURDAY_AND_SUNDAY

    def holiday(self, day: date) -> str | None:
        """The holiday's name, or None."""
        return self.holidays_of(day.year).get(day)

    def is_business_day(self, day: date) -> bool:
        return day.weekday() not in self.weekend and self.holiday(day) is None

    def term(self, received_on: date, business_days: int, pauses: Sequence[Pause] = ()) -> Term:
        """The last day of a term of `business_days` (>= 0) that began with a receipt on `received_on`."""
        day, left, skipped = received_on, business_days, []
        while left:
            day += ONE_DAY
            if day.weekday() in self.weekend or any(pause.holds(day) for pause in pauses):
                continue
            if name := self.holiday(day):
                skipped.append(DayOff(day, name))
            else:
                left -= 1
        return Term(received_on, business_days, day, tuple(skipped))

    def next_business_day(self, day: date) -> date:
        """The day itself when it is one, else the first after it: where a term of months ends (colombia.md)."""
        while not self.is_business_day(day):
            day += ONE_DAY
        return day

    def after(self, day: date, business_days: int) -> date:
        """The day `business_days` after another; for a negative number the business day with so many left until it."""
        return self.term(day, business_days).due_on if business_days >= 0 else self._before(day, -business_days)

    def _before(self, day: date, business_days: int) -> date:
        left = business_days
        while left:
            left -= self.is_business_day(day)
            day -= ONE_DAY
        while not self.is_business_day(day):
            day -= ONE_DAY
        return day

    def between(self, after: date, until: date) -> int:
        """Business days after `after` up to and including `until`; 0 when there are none or the order is reversed."""
        return sum(self.is_business_day(after + ONE_DAY * n) for n in range(1, (until - after).days + 1))

    def days_left(self, today: date, due_on: date) -> int:
        """Business days after today up to and including `due_on`; 0 on the day, negative after (contract).

        A term that ended on Friday is overdue on Saturday although no business day has passed: -1 at least.
        """
        return self.between(today, due_on) if today <= due_on else -max(1, self.between(due_on, today))


def months_later(day: date, months: int) -> date:
    """The same day `months` later; the month's last day where it has no such day (Ley 4/1913 art. 59)."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def local_day(instant: datetime, zone: ZoneInfo) -> date:
    """The office's day at an aware instant."""
    return instant.astimezone(zone).date()
