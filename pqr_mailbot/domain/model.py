"""The nouns of the desk, and the one table of ticket states.

Every instant is an aware `datetime` in UTC; every day is a `date` of the office's zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from pqr_mailbot.domain.business_days import Pause


class State(StrEnum):
    """Where a ticket stands (contract)."""

    NEW = "new"  # no person has answered yet
    OPEN = "open"  # being handled
    WAITING = "waiting"  # an agent asked the customer for something
    RESOLVED = "resolved"  # answered for good; survey and quiet period running
    CLOSED = "closed"  # final: a later mail opens a linked ticket


class Happening(StrEnum):
    """What can move a ticket from one state to another."""

    CUSTOMER_WROTE = "customer_wrote"
    OFFICE_ANSWERED = "office_answered"
    OFFICE_ASKED = "office_asked"
    OFFICE_RESOLVED = "office_resolved"
    OFFICE_CLOSED = "office_closed"
    OFFICE_REOPENED = "office_reopened"
    QUIET = "quiet"


# Rule 1: whatever moves a ticket stands in this table and nowhere else. A move that is not here is impossible.
TRANSITIONS: Mapping[State, Mapping[Happening, State]] = {
    State.NEW: {
        Happening.CUSTOMER_WROTE: State.NEW,
        Happening.OFFICE_ANSWERED: State.OPEN,
        Happening.OFFICE_ASKED: State.WAITING,
        Happening.OFFICE_RESOLVED: State.RESOLVED,
        Happening.OFFICE_CLOSED: State.CLOSED,
    },
    State.OPEN: {
        Happening.CUSTOMER_WROTE: State.OPEN,
        Happening.OFFICE_ANSWERED: State.OPEN,
        Happening.OFFICE_ASKED: State.WAITING,
        Happening.OFFICE_RESOLVED: State.RESOLVED,
        Happening.OFFICE_CLOSED: State.CLOSED,
    },
    State.WAITING: {
        Happening.CUSTOMER_WROTE: State.OPEN,
        Happening.OFFICE_ANSWERED: State.OPEN,
        Happening.OFFICE_ASKED: State.WAITING,
        Happening.OFFICE_RESOLVED: State.RESOLVED,
        Happening.OFFICE_CLOSED: State.CLOSED,
        Happening.OFFICE_REOPENED: State.OPEN,
    },
    State.RESOLVED: {
        Happening.CUSTOMER_WROTE: State.OPEN,
        Happening.OFFICE_ANSWERED: State.RESOLVED,
        Happening.OFFICE_ASKED: State.WAITING,
        Happening.OFFICE_RESOLVED: State.RESOLVED,
        Happening.OFFICE_CLOSED: State.CLOSED,
        Happening.OFFICE_REOPENED: State.OPEN,
        Happening.QUIET: State.CLOSED,
    },
    State.CLOSED: {
        Happening.CUSTOMER_WROTE: State.OPEN,  # only in answer to the survey; any other mail opens a linked case
        Happening.OFFICE_REOPENED: State.OPEN,
    },
}


class ImpossibleMove(ValueError):
    """A ticket was asked to make a move that `TRANSITIONS` does not know."""


def moved(state: State, happening: Happening) -> State:
    """The state after `happening`. Raises ImpossibleMove, and nothing has happened then."""
    try:
        return TRANSITIONS[state][happening]
    except KeyError:
        raise ImpossibleMove(f"a ticket that is {state} cannot move on {happening}") from None


class Verdict(StrEnum):
    """Who may have sent a mail: a person, or which kind of machine (contract)."""

    PERSON = "person"
    AUTO_REPLY = "auto_reply"
    BOUNCE = "bounce"
    LIST = "list"
    NO_REPLY = "no_reply"
    OWN = "own"
    SPAM = "spam"
    REPORT = "report"
    RECEIPT = "receipt"
    CALENDAR = "calendar"
    CHALLENGE = "challenge"
    RESCAN = "rescan"
    UNREADABLE = "unreadable"


SYNTHETIC_DOMAIN = "sin-message-id.invalid"  # of the ids we make for mail that has none


def is_synthetic_id(message_id: str) -> bool:
    """Did we make this Message-ID? Then nobody else knows it and no letter may refer to it."""
    return message_id.endswith(f"@{SYNTHETIC_DOMAIN}>")


@dataclass(frozen=True, slots=True)
class Address:
    """A mail address in lower case, and the name its owner gave with it ("" when none)."""

    address: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment as listed: a safe file name, its type, and its decoded size in bytes."""

    filename: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Mail:
    """A received mail, read once and safely; nothing in it carries control characters or line breaks
    but `text`, which carries \\n only."""

    message_id: str  # with angle brackets; made from the content when the mail has none
    sender: Address | None  # None: no From that could be answered
    subject: str
    text: str  # the whole readable text: quotes, signatures and all
    content_hash: str  # hex SHA-256 over the decoded text and attachments, not over headers (gateways change them)
    headers: tuple[tuple[str, str], ...] = ()  # (lower-case name, unfolded value) in order of appearance
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()  # in the copies that mail programs keep of what they sent
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    content_type: str = "text/plain"  # of the whole mail
    part_types: tuple[str, ...] = ()  # of every part in order; after a calendar also "text/calendar; method=reply"
    sent_at: datetime | None = None  # its Date, UTC; None when absent or unreadable
    complete: bool = True  # False: above the size limit, only headers and the first part were kept
    defects: tuple[str, ...] = ()  # what was wrong with it, for `explain`

    def header(self, name: str) -> str:
        """The first value of a header (name in lower case), "" when absent."""
        return next((value for key, value in self.headers if key == name), "")

    def has_header(self, name: str) -> bool:
        return any(key == name for key, _ in self.headers)


CERTAIN = 0.9  # contract: certain means confidence >= 0.9


@dataclass(frozen=True, slots=True)
class Evidence:
    """Words that spoke for a type, and how loud."""

    words: str
    type: str
    weight: float


@dataclass(frozen=True, slots=True)
class Classification:
    """What a text is about, and why."""

    type: str
    confidence: float  # 0..1; certain from CERTAIN on
    urgency: tuple[str, ...] = ()  # names of urgency flags, e.g. "salud"
    urgent: bool = False  # True when a flag among them goes to level 2 at once
    evidence: tuple[Evidence, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def certain(self) -> bool:
        return self.confidence >= CERTAIN


@dataclass(frozen=True, slots=True)
class Ticket:
    """A customer's case."""

    reference: str
    state: State
    subject: str
    customer: Address
    owner: str | None
    level: int
    urgent: bool
    classification: Classification
    opened_at: datetime  # the legal instant of receipt
    business_days: int  # the term of its type; the deadline is always counted anew from the receipt
    due_on: date
    acknowledged_at: datetime | None = None  # when a server took the acknowledgement
    first_answered_at: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    reply_address: str | None = None  # Reply-To of the mail that opened it: for human answers
    participants: tuple[str, ...] = ()  # addresses that may write to it, the customer's not among them
    extension_days: int = 0  # business days added to the term (#prorrogar)
    pauses: tuple[Pause, ...] = ()  # while the customer owed something (#esperar), oldest first
    merged_into: str | None = None  # the case under which it goes on (#unir)
    reopened: int = 0  # how often the customer opened it again after its resolution

    @property
    def answer_to(self) -> str:
        """Where human answers go."""
        return self.reply_address or self.customer.address

    def admits(self, address: str) -> bool:
        """May this address write to the case: its customer or a participant?"""
        return address in (self.customer.address, self.reply_address, *self.participants)
