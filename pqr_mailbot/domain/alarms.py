"""Which alarms begin and which end: each problem is told once when it begins and once when it is over for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pqr_mailbot.domain import letter_facts
from pqr_mailbot.domain.effects import Because, Effect, QueueLetter
from pqr_mailbot.domain.health import SMTP, Problem
from pqr_mailbot.domain.model import Address
from pqr_mailbot.domain.situation import Desk

HEALTH = "health"  # what the letters are about
ALARM = "alarm"  # the rule in their reasons; its cycle is the problem's name
AGAIN = timedelta(hours=1)  # of things that go wrong one by one, more are told at most this often


@dataclass(frozen=True, slots=True)
class Alarm:
    """A problem that people were told of and that is not over. `well_since`: since when it was not seen any more."""

    name: str
    text: str
    said: str
    began_at: datetime
    told_at: datetime
    count: int = 0  # of the things people know of
    well_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A problem of which nobody was told yet."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """`begun` and `ended` are to be told now; `open` and `sightings` are what to come back with."""

    begun: tuple[Alarm, ...]
    ended: tuple[Alarm, ...]
    open: tuple[Alarm, ...]
    sightings: Mapping[str, Sighting]


def turn(
    problems: Sequence[Problem], told: Sequence[Alarm], sightings: Mapping[str, Sighting], well_for: timedelta,
    now: datetime,
) -> Turn:  # fmt: skip
    """`told`: the alarms that are open, which outlive a restart; `sightings` need not.

    What is nearly ripe is told with what is, and nobody is told that one thing is well while another is about to be:
    one trouble is one letter, and so is its end. A clock that was turned back forgets nothing.
    """
    wrong = {one.name: one for one in problems if one.patience is not None}
    seen_before = {one.name: _after(one, wrong, now) for one in told}
    seen = _sighted(wrong, sightings, now)
    begun = [*_begun(wrong, seen_before, seen, now), *_told_again(wrong, seen_before, now)]
    gone = [one for one in seen_before.values() if one.well_since is not None]
    over = [one for one in gone if one.well_since and now - one.well_since >= well_for]
    ended = over if len(over) == len(gone) else []
    still = {**seen_before, **{one.name: one for one in begun}}
    for one in ended:
        del still[one.name]
    sightings = {name: sighting for name, sighting in seen.items() if name not in still}
    return Turn(tuple(begun), tuple(ended), tuple(still.values()), sightings)


def _after(alarm: Alarm, wrong: Mapping[str, Problem], now: datetime) -> Alarm:
    """An open alarm as it stands now."""
    if problem := wrong.get(alarm.name):
        return replace(alarm, well_since=None, count=min(alarm.count, problem.count))
    return replace(alarm, well_since=min(alarm.well_since or now, now), count=0)


def _sighted(wrong: Mapping[str, Problem], sightings: Mapping[str, Sighting], now: datetime) -> dict[str, Sighting]:
    """What flaps is not new each time: it is forgotten after it was gone for as long as it may be there."""
    seen = {}
    for name, problem in wrong.items():
        before = sightings.get(name)
        fresh = before is None or problem.patience is None or now - before.last > problem.patience
        seen[name] = Sighting(now if fresh or before is None else min(before.first, now), now)
    return {**{name: one for name, one in sightings.items() if name not in wrong}, **seen}


def _begun(
    wrong: Mapping[str, Problem], told: Mapping[str, Alarm], seen: Mapping[str, Sighting], now: datetime
) -> list[Alarm]:
    lasted = {
        name: (now - seen[name].first, problem.patience)
        for name, problem in wrong.items()
        if name not in told and problem.patience is not None
    }
    if not any(time >= patience for time, patience in lasted.values()):
        return []
    return [
        Alarm(name, wrong[name].text, wrong[name].said, seen[name].first, now, wrong[name].count)
        for name, (time, patience) in lasted.items()
        if time >= patience / 2
    ]


def _told_again(wrong: Mapping[str, Problem], told: Mapping[str, Alarm], now: datetime) -> list[Alarm]:
    """One more failed mail is another failure, not the same one."""
    return [
        replace(alarm, text=problem.text, said=problem.said, told_at=now, count=problem.count)
        for name, alarm in told.items()
        if (problem := wrong.get(name)) and problem.count > alarm.count
        and not alarm.told_at <= now < alarm.told_at + AGAIN
    ]  # fmt: skip


def letters(this: Turn, desk: Desk, now: datetime) -> list[Effect]:
    """To each of `alarms_to`: what began in one letter, what ended in another."""
    effects: list[Effect] = []
    zone = desk.policy.office.timezone
    for to in desk.policy.alarms_to:
        if this.begun:
            facts = letter_facts.alarm([one.said for one in this.begun])
            subject = letter_facts.alarm_subject([one.said for one in this.begun])
            effects.append(_letter("alarm", to, subject, facts, now, tuple(map(because, this.begun))))
        if this.ended:
            times = [(one.said, one.began_at, one.well_since or now) for one in this.ended]
            still = [one.said for one in this.open if one.name != SMTP]  # whoever reads it sees that letters go out
            facts = letter_facts.all_clear(times, still, zone)
            subject = "Resuelto en parte" if still else "Todo en orden otra vez"
            effects.append(_letter("all_clear", to, subject, facts, now, ()))
    return effects


def _letter(
    letter: str, to: str, subject: str, facts: Mapping[str, object], now: datetime, reasons: tuple[Because, ...]
) -> QueueLetter:
    return QueueLetter(letter, Address(to), subject, facts, "auto-generated", now, about=HEALTH, because=reasons)


def because(alarm: Alarm) -> Because:
    """Why an alarm's letter goes: when none of its problems is there any more before its first attempt, it does not."""
    return HEALTH, ALARM, alarm.name
