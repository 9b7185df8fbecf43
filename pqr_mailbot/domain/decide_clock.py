"""What to do when the clock strikes for cases: letters, levels, closings; each once, and no flood for one person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from pqr_mailbot.domain import escalation, letter_facts
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.casework import CaseFile
from pqr_mailbot.domain.decide import DESK
from pqr_mailbot.domain.effects import Because, Effect, Fire, LookAgain, NoteEvent, QueueLetter, SaveTicket
from pqr_mailbot.domain.model import Address, Happening, State, Ticket, moved
from pqr_mailbot.domain.orders import completed
from pqr_mailbot.domain.reminders import Due, last_day_to_complete, latest_for_each
from pqr_mailbot.domain.situation import Desk

LETTERS_OF = {"quiet": "closed", "withdrawal": "withdrawal", "survey": "survey"}


@dataclass(frozen=True, slots=True)
class Window:
    """What may go at a moment: what waits for office hours, and surveys, which have lawful hours of their own."""

    office: bool
    surveys: bool

    @property
    def states(self) -> tuple[str, ...]:
        """Cases in these states may have something to go."""
        return tuple(State) if self.office else (State.RESOLVED,) if self.surveys else ()

    def parted(self, found: Sequence[Due]) -> tuple[list[Due], list[Due]]:
        """What may go now, and what later."""
        may = [self.surveys if one.kind == "survey" else self.office for one in found]
        return [one for one, yes in zip(found, may, strict=True) if yes], [
            one for one, yes in zip(found, may, strict=True) if not yes
        ]


@dataclass(frozen=True, slots=True)
class Struck:
    """A case for which something is due, the oldest first, and when to look at it again."""

    file: CaseFile
    due: Sequence[Due]
    look_on: date


@dataclass
class _Round:
    """What one round does. `told`: what each colleague is to hear, by address."""

    desk: Desk
    now: datetime
    away: frozenset[str] = frozenset()
    effects: list[Effect] = field(default_factory=list)
    told: dict[str, list[tuple[Struck, Due, Ticket]]] = field(default_factory=dict)

    @property
    def today(self) -> date:
        return local_day(self.now, self.desk.policy.office.timezone)


def on_clock(struck: Iterable[Struck], desk: Desk, now: datetime, away: frozenset[str] = frozenset()) -> list[Effect]:
    """Everything that is due, for all cases of a round. `away`: agents who are not there today."""
    this = _Round(desk, now, away)
    look: list[Effect] = []
    for case in struck:
        ticket = _one(case, this)
        if ticket != case.file.ticket:
            this.effects.append(SaveTicket(ticket))
        this.effects += [Fire(ticket.reference, one.name, one.cycle) for one in case.due]
        look.append(LookAgain(ticket.reference, case.look_on))
    return [*this.effects, *_letters_to_colleagues(this), *look]


def _one(case: Struck, this: _Round) -> Ticket:
    ticket = case.file.ticket
    for one in latest_for_each(case.due):
        match one.kind:
            case "rule":
                ticket = _rule(case, one, ticket, this)
            case "acknowledgement":
                _acknowledgement(case, one, this)
            case "quiet":
                ticket = _quiet(case, one, ticket, this)
            case "withdrawal":
                ticket = _withdrawal(case, one, ticket, this)
            case "survey":
                _survey(case, one, this)
    return ticket


def _rule(case: Struck, one: Due, ticket: Ticket, this: _Round) -> Ticket:
    """A row of the configuration. A letter that escalates raises the case to its level."""
    policy = this.desk.policy
    this.effects.append(NoteEvent(ticket.reference, DESK, "reminded", f"{one.name}: {', '.join(one.to)}"))
    for to in one.to:
        level = int(to.removeprefix("level ")) if to.startswith("level ") else 0
        if level and one.letter == "escalation" and ticket.level < level <= len(policy.levels):
            ticket, noted = escalation.raised(ticket, level, one.name, DESK)
            this.effects += noted
    for to in one.to:
        if to == "customer":
            this.effects.append(_to_customer(case, one, ticket, this))
        else:
            _tell(to, case, one, ticket, this)
    return ticket


def _tell(to: str, case: Struck, one: Due, ticket: Ticket, this: _Round) -> None:
    """Whoever is meant hears it once, also who has the case and stands in the level besides."""
    for address in _addresses(to, ticket, this):
        heard = this.told.setdefault(address, [])
        if not heard or heard[-1] != (case, one, ticket):
            heard.append((case, one, ticket))


def _addresses(to: str, ticket: Ticket, this: _Round) -> tuple[str, ...]:
    """The desk stands in for an owner who has left, who must hear nothing any more, and for one who is away."""
    policy = this.desk.policy
    if to.startswith("level "):
        return policy.level_addresses(int(to.removeprefix("level ")))
    owner = ticket.owner if ticket.owner and policy.agent_of(ticket.owner) else None
    if owner and owner not in this.away:
        return (owner,)
    return tuple(one for one in policy.level_addresses(1) if one not in this.away) or policy.level_addresses(1)


def _to_customer(case: Struck, one: Due, ticket: Ticket, this: _Round) -> QueueLetter:
    latest, letter = case.file.latest, one.letter or LETTERS_OF[one.kind]
    facts = letter_facts.of_the_clock(letter, case.file, ticket, this.desk, this.today)
    return QueueLetter(
        letter, ticket.customer, ticket.subject, facts, "auto-generated", this.now, ticket.reference,
        answers=latest.message_id if latest else "", thread=latest.references if latest else (), customer_facing=True,
        because=(_because(case, one),),
    )  # fmt: skip


def _because(case: Struck, one: Due) -> Because:
    return case.file.ticket.reference, one.name, one.cycle


def _acknowledgement(case: Struck, one: Due, this: _Round) -> None:
    """The policy's outer limit comes nearer and the customer's server has not taken the acknowledgement."""
    ticket = case.file.ticket
    this.effects.append(NoteEvent(ticket.reference, DESK, "not_acknowledged", one.name))
    said = replace(one, said=letter_facts.not_acknowledged(ticket, case.file.acknowledgement, this.desk))
    for to in one.to:
        _tell(to, case, said, ticket, this)


def _quiet(case: Struck, one: Due, ticket: Ticket, this: _Round) -> Ticket:
    this.effects += [
        _to_customer(case, one, ticket, this),
        NoteEvent(ticket.reference, DESK, "closed", "quiet after its resolution"),
    ]
    return replace(ticket, state=moved(ticket.state, Happening.QUIET), closed_at=this.now)


def _withdrawal(case: Struck, one: Due, ticket: Ticket, this: _Round) -> Ticket:
    """The customer did not complete it in time: archived, told, and it may be filed again (Ley 1755/2015 art. 17)."""
    last = last_day_to_complete(ticket, this.desk.policy, this.desk.calendar)
    this.effects += [
        _to_customer(case, one, ticket, this),
        NoteEvent(ticket.reference, DESK, "withdrawn", f"not completed by {last}"),
    ]
    after = replace(ticket, state=moved(ticket.state, Happening.OFFICE_CLOSED), closed_at=this.now)
    return completed(after, this.today, this.desk)


def _survey(case: Struck, one: Due, this: _Round) -> None:
    this.effects += [
        _to_customer(case, one, case.file.ticket, this),
        NoteEvent(case.file.ticket.reference, DESK, "survey_sent"),
    ]


# -- letters to colleagues -----------------------------------------------------------------------------------------


def _letters_to_colleagues(this: _Round) -> list[Effect]:
    """One case is a letter about it, which can be answered; more at once are one letter."""
    letters: list[Effect] = []
    for address, told in this.told.items():
        one = len({case.file.ticket.reference for case, _, _ in told}) == 1
        letter = _about_one(address, told, this) if one else _about_many(address, told, this)
        letters.append(replace(letter, because=tuple(_because(case, due) for case, due, _ in told)))
    return letters


def _about_one(address: str, heard: Sequence[tuple[Struck, Due, Ticket]], this: _Round) -> QueueLetter:
    case, _, ticket = heard[-1]
    reason = "; ".join(one.reason for _, one, _ in heard)
    told = letter_facts.told_again(case.file, "Recordatorio", "", this.desk)
    source = case.file.latest.inbound_id if case.file.latest else None
    if level := max((_level_of(address, one, ticket, this) for _, one, _ in heard), default=0):
        (letter,) = escalation.letters(ticket, level, told, reason, "el reloj", source, this.desk, this.now, [address])
        return letter
    colleague = this.desk.policy.colleague(address)
    name = colleague.name if colleague else ""
    facts = letter_facts.reminder(ticket, told, reason, this.desk, this.now)
    return QueueLetter(
        "reminder",
        Address(address, name),
        ticket.subject,
        {**facts, "agent_name": name},
        "auto-generated",
        this.now,
        ticket.reference,
        enclosed=told.enclosed,
        enclosed_from=source,
    )


def _level_of(address: str, one: Due, ticket: Ticket, this: _Round) -> int:
    """The level at which somebody hears of an escalation; 0: it is a reminder."""
    if one.letter != "escalation":
        return 0
    levels = [to for to in one.to if to.startswith("level ") and address in _addresses(to, ticket, this)]
    return int(levels[0].removeprefix("level ")) if levels else ticket.level


def _about_many(address: str, told: Sequence[tuple[Struck, Due, Ticket]], this: _Round) -> QueueLetter:
    colleague = this.desk.policy.colleague(address)
    name = colleague.name if colleague else ""
    why: dict[str, tuple[Ticket, list[str]]] = {}
    for _, one, ticket in told:
        why.setdefault(ticket.reference, (ticket, []))[1].append(one.reason)
    rows = [(ticket, "; ".join(reasons)) for ticket, reasons in why.values()]
    facts = letter_facts.reminders(rows, name, this.desk, this.today)
    return QueueLetter(
        "reminder", Address(address, name), f"Recordatorio de {len(rows)} casos, {this.today:%Y-%m-%d}", facts,
        "auto-generated", this.now,
    )  # fmt: skip
