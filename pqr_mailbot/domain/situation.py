"""What a decision is made from: the mail and what was worked out about it, what the store knows, the rules in force."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat

from pqr_mailbot.domain.authentication import NOTHING_KNOWN, Authentication
from pqr_mailbot.domain.business_days import BusinessCalendar, Term, local_day
from pqr_mailbot.domain.fold import plain, words
from pqr_mailbot.domain.identify import Identity
from pqr_mailbot.domain.model import Classification, Mail, State, Ticket
from pqr_mailbot.domain.policy import Policy, counted
from pqr_mailbot.domain.reply_text import Parts
from pqr_mailbot.domain.screen import Screening

FIRST_MARKED, LAST_MARKED = 2020, 2045  # years whose days off are looked at for a change
QUESTION = "admit_question"  # the letter that asks a customer whether somebody may write to the case


@dataclass(frozen=True, slots=True)
class Earlier:
    """One of the customer's other cases, for the agent's eyes."""

    reference: str
    subject: str
    state: State
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Occasion:
    """A mail and everything that was worked out about it before deciding."""

    mail: Mail
    received_at: datetime  # INTERNALDATE, UTC: the legal instant of receipt
    parts: Parts  # what the writer wrote, their signature, and what they quoted
    identity: Identity
    classification: Classification
    authentication: Authentication = NOTHING_KNOWN
    doubtful: bool = False  # it may have been handled before, in a time that a restored backup does not know

    def related(self) -> str | None:
        """The case a new one must be linked to: a stranger's clue, or a closed case of the same customer."""
        ticket = self.identity.ticket
        return self.identity.linked or (ticket.reference if ticket and ticket.state is State.CLOSED else None)

    def admits(self) -> str | None:
        """The address that the customer lets write to the case, with a yes to our question.

        Only in reply to the question's own token, and never from a sender whose address failed its check.
        """
        clue = self.identity.clue
        if clue is None or clue.letter != QUESTION or clue.sent_to != self.identity.author.address:
            return None
        return clue.about if says_yes(self.parts.new) and not self.authentication.forged() else None


@dataclass(frozen=True, slots=True)
class MachineMail:
    """A machine's mail, and what was worked out about it. `identity` None: it has no sender."""

    mail: Mail
    received_at: datetime
    screening: Screening
    identity: Identity | None
    urgency: tuple[str, ...] = ()
    told_today: int = 0  # of how many such mails level 2 was told in the last day


@dataclass(frozen=True, slots=True)
class Waiting:
    """An acknowledgement to the writer that has to wait: its outbox id, when it is due, and the cases it is about."""

    outbox_id: int
    not_before: datetime
    cases: tuple[Ticket, ...]


@dataclass(frozen=True, slots=True)
class Situation:
    """What the store knows that the decision needs. All of it is read inside the deciding transaction."""

    next_reference: str
    next_owner: str | None  # whose turn it is for the type at hand
    earlier: tuple[Earlier, ...] = ()
    history: tuple[tuple[datetime, str], ...] = ()
    recent_acknowledgements: tuple[datetime, ...] = ()  # to this writer, when due out, newest last
    recent_automatic: tuple[datetime, ...] = ()  # to anybody, when due out, newest last
    waiting: Waiting | None = None
    fuse_told_at: datetime | None = None  # when the admin was last told that acknowledgements wait
    surveyed: bool = False  # was the customer of the case at hand asked how it went?
    mails_before: int = 0  # of the customer on the case at hand
    went_up: frozenset[str] = frozenset()  # why the case went a level up in its present round
    away: frozenset[str] = frozenset()  # agents who are away today
    admission_asked: bool = False  # was the customer of the case at hand asked to admit somebody, or anybody today?


@dataclass(frozen=True, slots=True)
class Desk:
    """The rules in force: the office as rows, and which days count."""

    policy: Policy
    calendar: BusinessCalendar

    def term(self, received_at: datetime, business_days: int) -> Term:
        return self.calendar.term(local_day(received_at, self.policy.office.timezone), business_days)

    def rules_mark(self) -> str:
        """Another text whenever rules, terms or days off are others: then every case has to be looked at anew."""
        days = [sorted(self.calendar.holidays_of(year)) for year in range(FIRST_MARKED, LAST_MARKED + 1)]
        rules = sorted(self.rule_names().items())
        types = sorted(self.policy.types.items())
        said = (rules, types, len(self.policy.levels), sorted(self.calendar.weekend), days)
        return hashlib.sha256(repr(said).encode()).hexdigest()

    def rule_names(self) -> dict[str, str]:
        """What each reminder says, as text, and its name: a row that only got another name is the same row."""
        return {
            repr((sorted(r.states), r.after, r.days, r.to, r.letter, r.repeat, sorted(r.types))): r.name
            for r in self.policy.reminders
        }

    def due(self, ticket: Ticket) -> Term:
        """A case's whole term, counted anew from its receipt."""
        received_on = local_day(ticket.opened_at, self.policy.office.timezone)
        kind = self.policy.types.get(ticket.classification.type)
        extension, pauses = counted(kind, ticket.extension_days, ticket.pauses)
        return self.calendar.term(received_on, ticket.business_days + extension, pauses)


def says_yes(text: str) -> bool:
    """Is the first line, a greeting aside, a plain yes? "Si no responden…" is none."""
    lines = [line for line in map(_GREETING.sub, repeat(""), plain(text).splitlines()) if words(line)]
    return bool(lines) and "?" not in lines[0] and _YES.fullmatch(" ".join(words(lines[0]))) is not None


_GREETING = re.compile(
    r"\s*(?:(?:hola|bue[nr]\w{1,3}(?: (?:dias?|tardes?|noches?))?|cordial saludo|senor(?:es|as?)?|hi|hello)\b"
    r"(?: (?!si\b)[\w ]{1,40}(?=[:,]))?[\s,.:!]*)+"
)
_YES = re.compile(
    r"(?:(?:responda )?si{1,2}|claro que si|por supuesto(?: que si)?|yes|sim)"
    r"(?: (?:si|yo|(?:lo|la|le)? ?autorizo|acepto|claro(?: que si)?|senora?|por favor|please|de acuerdo|esta bien"
    r"|gracias|puede(?: escribir)?|es mi \w+))*|(?:yo )?(?:(?:lo|la|le) )?autorizo(?: gracias)?"
)
