"""The closed list of verbs: everything a decision may ask to be done. Applied by `flows.handle`, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from pqr_mailbot.domain.model import Address, Attachment, Classification, Ticket, Verdict

Because = tuple[str, str, str]  # a case, or an agent for their digest; a rule; a cycle: as in `Fire`
Automatic = Literal["auto-replied", "auto-generated"]  # RFC 3834 section 5; None: a person's own words

# What a letter may be told: str, int, bool, date, None, lists and mappings of them; a template can call nothing.
Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """A new case. Its reference is the next one, read inside the same transaction."""

    reference: str
    customer: Address
    subject: str
    classification: Classification
    opened_at: datetime
    business_days: int
    due_on: date
    owner: str | None
    reply_address: str | None = None


@dataclass(frozen=True, slots=True)
class RecordMessage:
    """A mail becomes part of a case's conversation."""

    reference: str
    direction: Literal["in", "out", "note"]
    author: Address
    recipients: tuple[str, ...]
    subject: str
    message_id: str
    at: datetime
    text: str  # what the person wrote, quotes folded away
    full_text: str
    attachments: tuple[Attachment, ...] = ()
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class SaveTicket:
    """A case as it stands from now on: everything of it that can change, its pauses too, not its participants."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class NoteAnswer:
    """A person answered the customer. The first time is kept."""

    reference: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LinkTickets:
    """Two cases that concern each other; a link has no direction."""

    reference: str
    other: str


@dataclass(frozen=True, slots=True)
class AddParticipant:
    """One more address may write to a case."""

    reference: str
    address: str


@dataclass(frozen=True, slots=True)
class RemoveParticipant:
    reference: str
    address: str


@dataclass(frozen=True, slots=True)
class MoveMessage:
    """A message of one case becomes another's (#separar)."""

    message: int
    reference: str


@dataclass(frozen=True, slots=True)
class HoldMail:
    """A colleague's mail is kept until its writer says so. `kind`: "held" waits for `#enviar`, "challenge" for
    `#confirmar`. `until`: from then on it can no longer be carried out."""

    kind: Literal["held", "challenge"]
    agent: str  # the registered address of whoever has to say so
    until: datetime


@dataclass(frozen=True, slots=True)
class ReleaseMail:
    """A held mail was carried out: once."""

    inbound_id: int


@dataclass(frozen=True, slots=True)
class RetryInbound:
    """A mail that was set aside or failed is handled after all, as a person's."""

    inbound_id: int


@dataclass(frozen=True, slots=True)
class NoteAbsence:
    """An agent is away from `first` to `last`, office days, both included. `last` before `first`: no longer."""

    address: str
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Fire:
    """A rule of the clock did what it does for a case, in a cycle: never again in that cycle."""

    reference: str
    rule: str
    cycle: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The clock need not look at a case before a day."""

    reference: str
    on: date


@dataclass(frozen=True, slots=True)
class NoteRating:
    """What a customer says of how their case was handled. `rating` 1..5, None: words alone; `resolved` False: it was
    not."""

    reference: str
    rating: int | None
    resolved: bool
    words: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RefuseSurveys:
    """A person wants no surveys."""

    address: str


@dataclass(frozen=True, slots=True)
class NoteEvent:
    """One line of a case's history; `reference` None: of the desk's own."""

    reference: str | None
    actor: str
    event: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class QueueLetter:
    """A letter to one recipient, rendered and put in the outbox in the same transaction.

    `about` says what the letter is about where its name does not: the address asked about, the fuse that blew.
    `answers` is the Message-ID the letter replies to, `thread` the References before it (oldest first).
    `instead_of` names a letter that waits, never tried yet: this one takes its place and speaks for its cases too.
    `customer_facing` letters are part of the conversation; the others are the office's own affair.
    `author`: the person whose words a relayed answer brings, under their name; None: the office itself. A `copy` of
    a letter goes to one more person and is no message of its own.
    `enclosed`: the attachments that go along, by their place in the mail at hand, or in that of `enclosed_from`.
    """

    letter: str
    recipient: Address
    subject: str
    facts: Facts
    automatic: Automatic | None
    not_before: datetime
    reference: str | None = None
    answers: str = ""
    thread: tuple[str, ...] = ()
    customer_facing: bool = False
    about: str = ""
    instead_of: int | None = None
    author: Address | None = None
    copy: bool = False
    words: str = ""  # what of a relayed answer the person wrote
    enclosed: tuple[int, ...] = ()
    enclosed_from: int | None = None
    thread_topic: str = ""  # Outlook's own threading, passed on as the customer's program made it
    thread_index: str = ""
    because: tuple[Because, ...] = ()  # why the clock writes it: decided again before its first attempt


@dataclass(frozen=True, slots=True)
class BounceLetter:
    """A letter came back for good. A bounced acknowledgement is one that never happened."""

    outbox_id: int
    diagnostic: str


@dataclass(frozen=True, slots=True)
class ConfirmLetter:
    """A letter that may or may not have gone was found in the Sent folder: it went."""

    outbox_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class NoteHeartbeat:
    """A probe that we sent to ourselves came back."""

    outbox_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class CloseInbound:
    """What became of the mail itself. Every decision about a mail ends with exactly one of these."""

    state: Literal["done", "set_aside"]
    verdict: Verdict
    reason: str
    reference: str | None = None
    trail: Mapping[str, str] = field(default_factory=dict)  # header, clue, key, sender_trust for `explain`


Effect = (
    OpenTicket
    | RecordMessage
    | SaveTicket
    | NoteAnswer
    | LinkTickets
    | AddParticipant
    | RemoveParticipant
    | MoveMessage
    | HoldMail
    | ReleaseMail
    | RetryInbound
    | NoteAbsence
    | Fire
    | LookAgain
    | NoteRating
    | RefuseSurveys
    | NoteEvent
    | QueueLetter
    | BounceLetter
    | ConfirmLetter
    | NoteHeartbeat
    | CloseInbound
)
