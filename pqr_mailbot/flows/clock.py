"""What is due by itself: looked up in the store at each round, done once, with the mails and orders of its moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from pqr_mailbot.adapters.sqlite_cases import Cases
from pqr_mailbot.adapters.sqlite_health import look
from pqr_mailbot.adapters.sqlite_store import DueLetter
from pqr_mailbot.domain import mornings
from pqr_mailbot.domain.alarms import ALARM
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.decide import DESK
from pqr_mailbot.domain.decide_clock import Struck, Window, on_clock
from pqr_mailbot.domain.effects import Because, NoteEvent
from pqr_mailbot.domain.health import STORE, problems
from pqr_mailbot.domain.lost_time import LostWork
from pqr_mailbot.domain.model import State
from pqr_mailbot.domain.policy import Agent
from pqr_mailbot.domain.reminders import Due, due, still_due, survey_may_go
from pqr_mailbot.flows.apply import Doubt
from pqr_mailbot.flows.handle import Handler

NAMES = "clock_rule_names"  # and what each rule said, with its name
RULES = "clock_rules"  # the fact under which the mark of the rules in force is remembered
TODAY = "clock_day"  # and this one the day of the last round
MORNING = "morning"
ALL = 2**62
LOOKED_AT = 1_000  # cases in one round, so that nobody waits long to write; the next takes up where it ended
DAY = timedelta(days=1)
STEP, STEPS = timedelta(minutes=15), 4 * 24 * 21  # in which the next hours for a letter are looked for


@dataclass(frozen=True, slots=True)
class ClockRound:
    """One round; the rules of what is due are the domain's."""

    handler: Handler

    def run(self, now: datetime) -> int:
        """Does what is due and was not done. Returns how many letters or cases it touched."""
        self._turned_back(now)
        return self._urgent_of_the_away(now) + self._cases(now) + self._morning(now)

    def make_up(self, work: LostWork, begin: datetime, end: datetime, now: datetime) -> int:
        """What customers were owed between two instants of the past, in the hours in which letters go, and may have
        got: done, and nothing goes by itself. What colleagues are told comes in the next rounds. Returns how many cases
        it touched."""
        touched = 0
        for surveys in (False, True):
            if moment := self._last_hours(begin, end, surveys):
                touched += self._made_up(moment, surveys, Doubt(work, begin), now)
        return touched

    def _last_hours(self, begin: datetime, end: datetime, surveys: bool) -> datetime | None:
        """The last moment between the two at which letters could go."""
        for moment in (end - STEP * n for n in range(min(STEPS, (end - begin) // STEP + 1))):
            may_go = self._window(moment)
            if may_go.surveys if surveys else may_go.office:
                return moment
        return None

    def _made_up(self, moment: datetime, surveys: bool, doubt: Doubt, now: datetime) -> int:
        store, desk = self.handler.store, self.handler.desk
        day, touched = local_day(moment, desk.policy.office.timezone), 0
        with store.transaction():
            references = Cases(store).to_look_at(day, tuple(State), ALL)
            for standing in Cases(store).standings(references, desk.policy.office.timezone):
                found, _ = due(standing, day, desk.policy, desk.calendar)
                owed = [one for one in found if _to_customer(one) and (one.kind == "survey") is surveys]
                if owed:
                    struck = Struck(Cases(store).file(standing.ticket), owed, day)
                    self.handler.applying(now, doubt=doubt).all(on_clock([struck], desk, moment))
                    touched += 1
        return touched

    def adopt_rules(self, now: datetime) -> int:
        """At a start: when rules, terms or days off are others than before, deadlines are counted anew, each move is
        noted, and every case is looked at. Returns how many dates moved."""
        store, desk = self.handler.store, self.handler.desk
        mark = desk.rules_mark()
        if store.fact(RULES) == mark:
            return 0
        with store.transaction():
            moved = Cases(store).moved_deadlines(desk)
            for one in moved:
                ticket = store.ticket(one.reference)
                assert ticket
                store.save_ticket(replace(ticket, due_on=one.is_now))
                store.note_event(NoteEvent(one.reference, DESK, "due_recounted", f"{one.was} -> {one.is_now}"), now)
            self._adopt_names()
            store.look_at_all()
            store.set_fact(RULES, mark)
        return len(moved)

    def decided_again(self, letters: list[DueLetter], now: datetime) -> list[DueLetter]:
        """Of letters about to be tried, those that may go now, and that still have a reason to when it is the first
        time: a server that put one off in office hours may not have it at night."""
        store, fit = self.handler.store, []
        for letter in letters:
            reasons = store.reasons(letter.id)
            if reasons and letter.attempts == 1 and not any(self._holds(one, now) for one in reasons):
                store.letter_superseded(letter)
                if letter.reference:
                    detail = f"{letter.letter} to {letter.recipient}"
                    store.note_event(NoteEvent(letter.reference, DESK, "letter_superseded", detail), now)
            elif reasons and not self._may_go(letter.letter, now):
                store.letter_back(letter, self._next_hours(letter.letter, now), "waits for its hours", counts=False)
            else:
                fit.append(letter)
        return fit

    def _holds(self, because: Because, now: datetime) -> bool:
        about, rule, cycle = because
        desk, zone = self.handler.desk, self.handler.desk.policy.office.timezone
        today = local_day(now, zone)
        if rule == ALARM:
            return cycle == STORE or cycle in self._wrong(now)
        if rule == mornings.DIGEST:
            return cycle == today.isoformat()
        standings = Cases(self.handler.store).standings([about], zone)
        return any(still_due(one, rule, cycle, today, desk.policy, desk.calendar) for one in standings)

    def _wrong(self, now: datetime) -> set[str]:
        """The problems that the store itself does not hide, by name."""
        policy = self.handler.desk.policy
        seen = look(self.handler.store._all, now)
        return {one.name for one in problems(seen, policy.expected, policy.office.timezone, now)}

    def _may_go(self, letter: str, now: datetime) -> bool:
        if letter == ALARM:
            return True
        may_go = self._window(now)
        return may_go.surveys if letter == "survey" else may_go.office

    def _next_hours(self, letter: str, now: datetime) -> datetime:
        steps = (now + STEP * n for n in range(1, STEPS))
        return next((moment for moment in steps if self._may_go(letter, moment)), now + STEP * STEPS)

    def _window(self, now: datetime) -> Window:
        desk = self.handler.desk
        local = now.astimezone(desk.policy.office.timezone)
        surveys = survey_may_go(local, desk.calendar) and local.date() not in desk.policy.closures
        return Window(mornings.office_day(desk, now) is not None, surveys)

    def _turned_back(self, now: datetime) -> None:
        """A clock that was ahead put off cases and letters to days too late: they are looked at anew."""
        store, today = self.handler.store, local_day(now, self.handler.desk.policy.office.timezone).isoformat()
        last = store.fact(TODAY)
        if last != today:
            with store.transaction():
                if last and last > today:
                    store.look_at_all()
                    store.clock_went_back(now)
                store.set_fact(TODAY, today)

    def _adopt_names(self) -> None:
        """A rule that only got another name has fired already where it fired under the old one."""
        store, names = self.handler.store, self.handler.desk.rule_names()
        before: dict[str, str] = json.loads(store.fact(NAMES) or "{}")
        for said, name in names.items():
            old = before.get(said, name)
            if old != name and old not in names.values():
                store.rename_rule(old, name)
        store.set_fact(NAMES, json.dumps(names, ensure_ascii=False))

    def _cases(self, now: datetime) -> int:
        """Reminders and the ladder in office hours; surveys in the wider window that the law leaves them."""
        store, desk = self.handler.store, self.handler.desk
        local = now.astimezone(desk.policy.office.timezone)
        may_go = self._window(now)
        if not Cases(store).to_look_at(local.date(), may_go.states, 1):  # most rounds: nobody is kept from writing
            return 0
        with store.transaction():
            struck = list(self._struck(local.date(), may_go))
            self.handler.applying(now).all(on_clock(struck, desk, now, store.away(local.date())))
        return len(struck)

    def _struck(self, today: date, may_go: Window) -> Iterator[Struck]:
        """Cases for which something may be done now. One for which nothing is due, is not looked at before its day."""
        store, desk = self.handler.store, self.handler.desk
        references = Cases(store).to_look_at(today, may_go.states, LOOKED_AT)
        for standing in Cases(store).standings(references, desk.policy.office.timezone):
            found, look_on = due(standing, today, desk.policy, desk.calendar)
            now_due, later = may_go.parted(found)
            if now_due:
                again = min([look_on, *(one.since for one in later)])
                yield Struck(Cases(store).file(standing.ticket), now_due, again)
            elif not found:
                store.look_again(standing.ticket.reference, look_on)

    def _urgent_of_the_away(self, now: datetime) -> int:
        """On the first day of an absence, whatever the hour: an urgent case does not wait for somebody's return."""
        store, desk = self.handler.store, self.handler.desk
        done = 0
        for address in sorted(store.away(local_day(now, desk.policy.office.timezone))):
            agent = desk.policy.agent_of(address)
            urgent = [one.reference for one in Cases(store).owned_by([address]) if one.urgent] if agent else []
            if agent and urgent:
                with store.transaction():
                    effects = self.handler.colleagues().pass_on(agent, urgent, now)
                    self.handler.applying(now).all(effects)
                done += len(effects)
        return done

    def _morning(self, now: datetime) -> int:
        """The digests, in the first round of office hours of a business day."""
        store, desk = self.handler.store, self.handler.desk
        today = mornings.office_day(desk, now)
        if today is None or store.fired("", MORNING, today.isoformat()):
            return 0
        with store.transaction():
            away = store.away(today)
            sent = sum(self._digest(agent, today, now) for agent in desk.policy.agents if agent.address not in away)
            store.fire("", MORNING, today.isoformat(), now)
        return sent

    def _digest(self, agent: Agent, today: date, now: datetime) -> int:
        store, desk = self.handler.store, self.handler.desk
        last = store.last_fired(agent.address, mornings.DIGEST)
        since = last if last and last <= now else now - DAY  # a clock may have been ahead
        if not store.fire(agent.address, mornings.DIGEST, today.isoformat(), now):
            return 0
        cases = Cases(store)
        mine = cases.owned_by(agent.addresses, mornings.opening(desk, today))
        effects = mornings.digest(agent, mine, cases.set_aside(since, now), desk, now)
        self.handler.applying(now).all(effects)
        return len(effects)


def _to_customer(one: Due) -> bool:
    return one.kind in ("survey", "quiet", "withdrawal") or "customer" in one.to
