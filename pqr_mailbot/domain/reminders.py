"""What the clock owes a case: which rules are due on a day, each once, and when to look again.

Everything is computed from what the store knows, at each look: a new holiday or rule takes effect at once, a week of
downtime is caught up in one round. The rows are the office's (`policy.Rule`); what the law and the policy ask of every
office stands here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import lru_cache
from typing import Literal

from pqr_mailbot.domain.business_days import BusinessCalendar, months_later
from pqr_mailbot.domain.model import State, Ticket
from pqr_mailbot.domain.policy import COURTESY_TYPES, FULL_TERM, Policy, Rule, counted

SURVEY_AFTER = 2  # business days after the resolution (colombia.md)
QUIET_AFTER = 5  # business days of silence that close a resolved case
ACKNOWLEDGED_WITHIN = ((2, "owner"), (4, "level 2"))  # the policy's outer limit is 5 business days
NEVER = date.max
CLOSING = frozenset({"quiet", "withdrawal"})
SCALED = frozenset({"opening", "office_word", "customer_word"})  # and what comes before the due day

Kind = Literal["rule", "acknowledgement", "survey", "quiet", "withdrawal"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a case stands for the clock. Days are the office's. `fired`: (rule, cycle) of what was done before."""

    ticket: Ticket
    opened_on: date
    customer_word_on: date  # of their last mail
    office_word_on: date  # of the last letter a person wrote; the opening when nobody did
    resolved_on: date | None
    reopened: int
    fired: frozenset[tuple[str, str]]
    no_surveys: bool = False
    surveyed_on: date | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """Something to be done for a case now. `to` as in a rule; `since`: the day it became due, for the order; `said`:
    what letters say of it where its name is not enough."""

    kind: Kind
    name: str
    cycle: str
    since: date
    to: tuple[str, ...] = ()
    letter: str = ""
    said: str = ""

    @property
    def reason(self) -> str:
        return self.said or self.name

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.cycle


def survey_may_go(local: datetime, calendar: BusinessCalendar) -> bool:
    """Ley 2300/2023, read conservatively: Monday to Friday 7-19, Saturday 8-15, never on Sundays and holidays."""
    if calendar.holiday(local.date()) is not None or local.weekday() == 6:
        return False
    opens, closes = (time(8), time(15)) if local.weekday() == 5 else (time(7), time(19))
    return opens <= local.time() < closes


def due(case: Standing, today: date, policy: Policy, calendar: BusinessCalendar) -> tuple[list[Due], date]:
    """What is due for a case today and was not done, the oldest first, and the next day on which something may be."""
    found: list[Due] = []
    following = NEVER
    for one in _all(case, today, policy, calendar):
        if one.key in case.fired:
            continue
        if one.since <= today:
            found.append(one)
        else:
            following = min(following, one.since)
    return sorted(found, key=lambda one: one.since), following


def still_due(case: Standing, name: str, cycle: str, today: date, policy: Policy, calendar: BusinessCalendar) -> bool:
    """Does what the clock decided hold today? A case that it closed stays closed until somebody opens it."""
    if name in CLOSING:
        return case.ticket.state is State.CLOSED
    return any(one.key == (name, cycle) and one.since <= today for one in _all(case, today, policy, calendar))


def _all(case: Standing, today: date, policy: Policy, calendar: BusinessCalendar) -> Iterator[Due]:
    """Everything that is or will be due while the case stays as it is."""
    ticket = case.ticket
    for rule in policy.reminders:
        if ticket.state in rule.states and (not rule.types or ticket.classification.type in rule.types):
            yield from _of_rule(rule, case, today, policy, calendar)
    if ticket.state is State.RESOLVED and case.resolved_on:
        yield from _after_resolution(case, case.resolved_on, today, calendar)
    if ticket.state is State.WAITING and (last := last_day_to_complete(ticket, policy, calendar)):
        yield Due("withdrawal", "withdrawal", str(last), _next_day(last))
    if ticket.acknowledged_at is None and ticket.state is not State.CLOSED:
        for days, to in ACKNOWLEDGED_WITHIN:
            name = f"acuse sin entregar, {days} días"
            yield Due("acknowledgement", name, "", _after(calendar, case.opened_on, days), (to,))


def _after_resolution(case: Standing, resolved_on: date, today: date, calendar: BusinessCalendar) -> Iterator[Due]:
    """The survey, and the closing when nobody said more; whoever is asked has time to answer before it."""
    quiet_since = max(resolved_on, case.customer_word_on, case.office_word_on)
    closes = _after(calendar, quiet_since, QUIET_AFTER)
    if case.surveyed_on and case.surveyed_on <= today:  # a clock may have been ahead
        closes = max(closes, _after(calendar, case.surveyed_on, QUIET_AFTER - SURVEY_AFTER))
    if case.ticket.classification.type not in COURTESY_TYPES and not case.no_surveys:
        survey = Due("survey", "survey", "", _after(calendar, resolved_on, SURVEY_AFTER))
        yield survey
        if survey.key not in case.fired and survey.since <= today:
            closes = max(closes, _next_day(today))
    yield Due("quiet", "quiet", f"{case.reopened} {quiet_since}", closes)


def _of_rule(rule: Rule, case: Standing, today: date, policy: Policy, calendar: BusinessCalendar) -> Iterator[Due]:
    start = _start(rule, case)
    kept = rule.letter == "overdue" and case.reopened  # a case that was answered in time broke no promise
    stands_still = rule.after == "due" and suspended(case.ticket, policy)
    if start is None or kept or stands_still:
        return
    kind = policy.types.get(case.ticket.classification.type)
    extension, _ = counted(kind, case.ticket.extension_days, ())
    since = _after(calendar, start, scaled(rule, case.ticket.business_days + extension))
    cycle = f"{case.reopened} {start}" if rule.after in ("office_word", "customer_word") else str(case.reopened)
    if rule.repeat:  # once a business day, and never for days that have passed
        since = max(since, today if calendar.is_business_day(today) else calendar.next_business_day(today))
        cycle = f"{since}"
        following = calendar.after(since, 1)
        yield Due("rule", rule.name, f"{following}", following, rule.to, rule.letter)
    yield Due("rule", rule.name, cycle, since, rule.to, rule.letter)


def _start(rule: Rule, case: Standing) -> date | None:
    return {
        "opening": case.opened_on,
        "due": case.ticket.due_on,
        "customer_word": case.customer_word_on,
        "office_word": case.office_word_on,
        "resolved": case.resolved_on,
    }[rule.after]


def scaled(rule: Rule, term: int) -> int:
    """The rule's days for a case of this term: its rows speak of 15 business days, others scale by the same shares."""
    if rule.after not in SCALED and not (rule.after == "due" and rule.days < 0):
        return rule.days
    share = max(1, round(abs(rule.days) * term / FULL_TERM)) if rule.days else 0
    return -share if rule.days < 0 else share


def suspended(ticket: Ticket, policy: Policy) -> bool:
    """Does the term stand still because the customer owes something? Then it cannot end."""
    kind = policy.types.get(ticket.classification.type)
    owes = ticket.state is State.WAITING and ticket.pauses and ticket.pauses[-1].completed_on is None
    return bool(owes and kind and kind.wait_months)


def last_day_to_complete(ticket: Ticket, policy: Policy, calendar: BusinessCalendar) -> date | None:
    """Until when the customer may send what was asked for: months by the calendar (Ley 1755/2015 art. 17)."""
    kind = policy.types.get(ticket.classification.type)
    if kind is None or not kind.wait_months or not ticket.pauses or ticket.pauses[-1].completed_on:
        return None
    return calendar.next_business_day(months_later(ticket.pauses[-1].asked_on, kind.wait_months))


def _next_day(day: date) -> date:
    return date.fromordinal(day.toordinal() + 1)


def latest_for_each(found: Iterable[Due]) -> list[Due]:
    """Of the rules that came due together, each recipient hears the last; what was passed over counts as done."""
    heard: frozenset[str] = frozenset()
    kept: list[Due] = []
    for one in reversed(list(found)):
        if one.kind != "rule":
            kept.append(one)
            continue
        if left := tuple(to for to in one.to if to not in heard):
            kept.append(replace(one, to=left))
        heard |= set(left)
    return kept[::-1]


@lru_cache(maxsize=100_000)
def _counted(calendar: BusinessCalendar, day: date, business_days: int) -> date:
    return calendar.after(day, business_days)


def _after(calendar: BusinessCalendar, day: date, business_days: int) -> date:
    """Many cases ask about the same days."""
    return _counted(calendar, day, business_days)
