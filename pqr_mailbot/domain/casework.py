"""What a colleague's mail is decided from: who wrote and with which proof, the cases at hand, what the store knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from pqr_mailbot.domain.authentication import Authentication
from pqr_mailbot.domain.commands import Reading
from pqr_mailbot.domain.identify import Clue
from pqr_mailbot.domain.model import Address, Attachment, Mail, State, Ticket
from pqr_mailbot.domain.policy import Agent, Policy
from pqr_mailbot.domain.situation import Earlier

EXCHANGE_INTERNAL = "x-ms-exchange-organization-authas"
HELD: Final = "held"
CHALLENGE: Final = "challenge"  # what a letter is about that asks for #enviar or #confirmar: "held 12"


@dataclass(frozen=True, slots=True)
class Proof:
    """May this mail act as its agent? Three keys: a letter of ours to that agent, their From, and, where a server is
    trusted, its word for the sender. `missing`: the keys that are not there, for the history and `explain`."""

    agent: Agent
    clue: Clue | None
    missing: tuple[str, ...]
    authenticated: bool = False  # a server we trust vouched for the sender
    forged: bool = False  # it found the sender forged

    @property
    def verified(self) -> bool:
        return not self.missing


@dataclass(frozen=True, slots=True)
class Words:
    """One message of a case."""

    id: int
    direction: str
    letter: str | None
    author: Address
    at: datetime
    text: str
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """The customer's latest mail as an answer needs it. `references`: its own chain, oldest first."""

    message: int  # the id of its message
    inbound_id: int | None
    message_id: str
    subject: str
    at: datetime
    author: Address
    text: str
    attachments: tuple[Attachment, ...] = ()
    references: tuple[str, ...] = ()
    thread_topic: str = ""
    thread_index: str = ""


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case with everything an order may need of it."""

    ticket: Ticket
    words: tuple[Words, ...] = ()  # the conversation, oldest first
    latest: Incoming | None = None
    internal: tuple[str, ...] = ()  # texts of letters to the office's own people about it
    acknowledgement: str = ""  # the state of its latest acknowledgement in the outbox, "" when there is none
    earlier: tuple[Earlier, ...] = ()
    history: tuple[tuple[datetime, str], ...] = ()
    related: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A case as a lookup lists it."""

    reference: str
    subject: str
    customer: str
    state: State
    due_on: date
    urgent: bool = False
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """A deadline that is another one when it is counted anew."""

    reference: str
    was: date
    is_now: date


@dataclass(frozen=True, slots=True)
class Aside:
    """A machine's mail that was kept apart."""

    id: int
    received_at: datetime
    sender: str
    subject: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Said:
    """What became of one order, a line of the transcript; Spanish."""

    order: str
    said: str
    ok: bool = True


@dataclass(frozen=True, slots=True)
class HeldMail:
    """A mail that waits for its writer's word."""

    inbound_id: int
    kind: str
    agent: str
    until: datetime
    released: bool


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A customer's mail that a colleague passed on, as far as it can be told."""

    sender: Address
    subject: str
    text: str
    sent_at: datetime | None = None
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """What the store knows that the orders of one mail may need. All of it is read inside the deciding transaction."""

    cases: Mapping[str, CaseFile] = field(default_factory=dict)  # by any name; a merged case stands for where it went
    queue: tuple[str, ...] = ()  # agents who are here, whoever has waited longest for a new case first
    next_reference: str = ""
    mine: tuple[Found, ...] = ()
    found: Mapping[str, tuple[Found, ...]] = field(default_factory=dict)  # by the words looked for
    histories: Mapping[str, tuple[Found, ...]] = field(default_factory=dict)  # by customer
    inbound_states: Mapping[int, str] = field(default_factory=dict)
    customers: frozenset[str] = frozenset()  # of the addresses in the text: those of customers and participants
    transcripts: int = 0  # letters about their mails that this agent got in the last day,
    asked: int = 0  # and those of them that ask something or answer an answer: what a program could go on with


@dataclass(frozen=True, slots=True)
class AgentMail:
    """A colleague's mail and what was worked out about it. `confirmed`: a challenge was answered; `forced`: #enviar
    released it from being held. `seen`: the last message of the case when the letter that it answers was written."""

    mail: Mail
    inbound_id: int
    received_at: datetime
    proof: Proof
    reading: Reading
    ticket: Ticket | None
    about: str = ""  # what the letter answered is about
    letter: str = ""  # which letter it answers
    seen: int | None = None
    named: tuple[str, ...] = ()  # cases that the subject names and the letter answered is not about
    doubtful: bool = False  # something quoted may be left in its text
    forwarded: Forwarded | None = None
    enclosed: tuple[int, ...] = ()  # which of its attachments are files for the customer
    released: HeldMail | None = None  # the mail that this one speaks for
    confirmed: bool = False
    forced: bool = False
    perhaps_done: bool = False  # it came in a time that a restored backup does not know: it may be carried out already

    @property
    def verified(self) -> bool:
        """May it act? What the customer has already only needs to be its writer's (design section 4)."""
        reached = self.ticket is not None and self.reached_customer(self.ticket) and not self.reading.orders
        return self.proof.verified or self.confirmed or (reached and self.proof.authenticated)

    def reached_customer(self, ticket: Ticket) -> bool:
        """Did it go to the customer directly? Then there is nothing to relay; a participant alone is not enough."""
        return bool(self.reached & {ticket.customer.address, ticket.answer_to})

    def files(self) -> tuple[Attachment, ...]:
        """The attachments that go along."""
        return tuple(self.mail.attachments[at] for at in self.enclosed if at < len(self.mail.attachments))

    @property
    def reached(self) -> frozenset[str]:
        return frozenset(address.address for address in (*self.mail.to, *self.mail.cc))


def prove(mail: Mail, author: Address, found: Sequence[Clue], checked: Authentication, policy: Policy) -> Proof | None:
    """The proof a colleague's mail carries; None when its author is no colleague."""
    agent = policy.colleague(author.address)
    if agent is None:
        return None
    theirs = next((clue for clue in found if clue.internal and clue.sent_to in agent.addresses), None)
    missing = []
    if theirs is None:
        missing.append("no letter of ours to this colleague is answered")
    vouched = _vouched(mail, author, checked, policy)
    asked = policy.trusted_authserv_ids or policy.exchange_internal_is_authenticated
    if checked.forged() or (asked and not vouched):
        missing.append(f"the sender is not authenticated ({checked})")
    clue = theirs or (found[0] if found else None)
    return Proof(agent, clue, tuple(missing), bool(asked and vouched), checked.forged())


def _vouched(mail: Mail, author: Address, checked: Authentication, policy: Policy) -> bool:
    internal = (
        policy.exchange_internal_is_authenticated and mail.header(EXCHANGE_INTERNAL).strip().lower() == "internal"
    )
    return internal or checked.vouches_for(author.address)
