"""Who wrote, and which case: two keys, a clue to the ticket and a right to it.

A reference proves which ticket, never who (Zammad #5064, FreeScout #1504). Somebody else's mail with a valid clue
opens a new, linked ticket and the writer learns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pqr_mailbot.domain.model import Address, Mail, Ticket
from pqr_mailbot.domain.policy import Policy
from pqr_mailbot.domain.screen import form_customer

Trust = Literal["customer", "participant", "addressed", "staff", "former", "stranger", "newcomer"]


@dataclass(frozen=True, slots=True)
class KnownId:
    """A Message-ID we know: the case it belongs to (None: a letter about no case), and, for a letter of ours,
    the one address it was sent to."""

    reference: str | None
    sent_to: str | None = None
    internal: bool = False  # a letter to the office's own people
    letter: str = ""  # which letter of ours it was,
    about: str = ""  # and what it was about
    seen: int | None = None  # the last message of its case when the letter was written


@dataclass(frozen=True, slots=True)
class Clue:
    """What points to a case: its kind, the id or subject that said so, and the case."""

    kind: Literal["message_id", "subject"]
    said: str
    reference: str | None
    sent_to: str | None = None
    internal: bool = False
    letter: str = ""
    about: str = ""
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who wrote and where it belongs. `ticket`: the case it joins. `linked`: a case it only points to."""

    author: Address
    trust: Trust
    clue: Clue | None = None
    ticket: Ticket | None = None
    linked: str | None = None
    pointed_at: Ticket | None = None  # the case that `linked` names


def author_of(mail: Mail, policy: Policy) -> Address:
    """The person who wrote: From, or the customer in Reply-To when a website form of the office wrote it.

    The screening has seen to it that there is a From.
    """
    assert mail.sender is not None
    return mail.reply_to[0] if form_customer(mail, policy) else mail.sender


def thread_ids(mail: Mail) -> tuple[str, ...]:
    """The ids a mail answers, the nearest first: In-Reply-To, then References from the end."""
    return tuple(dict.fromkeys((*mail.in_reply_to, *reversed(mail.references))))


def clues(
    mail: Mail, known: Mapping[str, KnownId], subject_references: Sequence[str], button: str | None = None
) -> list[Clue]:
    """Every clue, strongest first: ids of our letters and of stored mails, then references in the subject.

    `button`: the id of the letter whose button wrote this mail, which then answers nothing.
    """
    by_id = [
        Clue("message_id", said, k.reference, k.sent_to, k.internal, k.letter, k.about, k.seen)
        for said in filter(None, (button, *thread_ids(mail)))
        if (k := known.get(said)) is not None
    ]
    by_id.sort(key=lambda clue: clue.sent_to is None)  # stable: our own letters first, the nearest of them first
    return by_id + [Clue("subject", reference, reference) for reference in subject_references]


def identify(mail: Mail, found: Sequence[Clue], tickets: Mapping[str, Ticket], policy: Policy) -> Identity:
    """Matches the clues with the writer's rights. `tickets` holds every case the clues name and that exists."""
    author = author_of(mail, policy)
    real = [clue for clue in found if clue.reference in tickets or (clue.reference is None and clue.internal)]
    colleagues = _of_colleague(author, real, policy)
    if colleagues and not _is_customer_of(author, tickets.get(colleagues.reference or "")):
        return Identity(author, "staff", colleagues, tickets.get(colleagues.reference or ""))
    for clue in real:
        ticket = tickets.get(clue.reference or "")
        if ticket and (trust := _right(author, clue, ticket)):
            return Identity(author, trust, clue, ticket)
    if not real:
        return Identity(author, "newcomer")
    nearest, case = real[0], tickets.get(real[0].reference or "")
    if policy.is_staff(author.address):
        return Identity(author, "staff", nearest, case)
    former = next((clue for clue in real if clue.internal and clue.sent_to == author.address), None)
    if former:  # our letter to a colleague, answered from the very address, which is no colleague's any more
        return Identity(author, "former", former, tickets.get(former.reference or ""))
    return Identity(author, "stranger", nearest, linked=case.reference if case else nearest.reference, pointed_at=case)


def _is_customer_of(author: Address, ticket: Ticket | None) -> bool:
    return ticket is not None and author.address == ticket.customer.address


def _of_colleague(author: Address, real: Sequence[Clue], policy: Policy) -> Clue | None:
    """The clue that is a letter of ours to this very colleague, at any of their addresses."""
    if not policy.is_staff(author.address):
        return None
    agent = policy.colleague(author.address)
    addresses = agent.addresses if agent else {author.address}
    return next((clue for clue in real if clue.internal and clue.sent_to in addresses), None)


def _right(author: Address, clue: Clue, ticket: Ticket) -> Trust | None:
    """The second key. An internal letter in somebody else's hands opens nothing: an agent forwarded it."""
    if author.address == ticket.customer.address:
        return "customer"
    if ticket.admits(author.address):
        return "participant"
    if clue.sent_to == author.address and not clue.internal:
        return "addressed"
    return None
