"""What to do: pure functions from a situation to a list of effects.

Nothing here reads, writes, sends or asks the time; the caller gathers the facts before and applies the effects after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pqr_mailbot.domain.business_days import BusinessCalendar, Term, local_day
from pqr_mailbot.domain.classify import shortest_candidate
from pqr_mailbot.domain.effects import (
    AssignTicket,
    CloseInbound,
    Effect,
    LinkTickets,
    MoveTicket,
    NoteEvent,
    OpenTicket,
    QueueLetter,
    RecordMessage,
)
from pqr_mailbot.domain.identify import Identity
from pqr_mailbot.domain.model import (
    Address,
    Classification,
    Happening,
    Mail,
    State,
    Ticket,
    Verdict,
    is_synthetic_id,
    moved,
)
from pqr_mailbot.domain.policy import Policy, TicketType
from pqr_mailbot.domain.screen import Screening, wants_no_acknowledgement

DESK = "desk"  # the actor of what nobody but the program did
TEXT_SHOWN = 20_000  # characters of a customer's text in a notification; the whole is in the store


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
    new_text: str  # what the writer wrote, quotes folded away
    identity: Identity
    classification: Classification


@dataclass(frozen=True, slots=True)
class Situation:
    """What the store knows that the decision needs. All of it is read inside the deciding transaction."""

    next_reference: str
    next_owner: str | None  # whose turn it is for the type at hand
    earlier: tuple[Earlier, ...] = ()
    history: tuple[tuple[datetime, str], ...] = ()
    recent_acknowledgements: tuple[datetime, ...] = ()  # to this writer, when due out, newest last
    recent_automatic: tuple[datetime, ...] = ()  # to anybody, when due out, newest last


@dataclass(frozen=True, slots=True)
class Desk:
    """The rules in force: the office as rows, and which days count."""

    policy: Policy
    calendar: BusinessCalendar

    def term(self, received_at: datetime, business_days: int) -> Term:
        return self.calendar.term(local_day(received_at, self.policy.office.timezone), business_days)


def on_machine(screening: Screening, reference: str | None) -> list[Effect]:
    """A machine's mail is set aside: kept, listed, never answered."""
    reason = f"{screening.check}: {screening.header}"
    return [CloseInbound("set_aside", screening.verdict, reason, reference, {"header": screening.header})]


def on_duplicate(first_id: int, verdict: Verdict, reference: str | None) -> list[Effect]:
    """The same message again (two aliases, two folders, a restore) is one message."""
    return [CloseInbound("done", verdict, f"duplicate of inbound {first_id}", reference)]


def predates(mail_dates: Sequence[datetime], boundary: datetime) -> bool:
    """Does any date of this unknown mail lie before the boundary under which it is old mail shown again?"""
    return any(instant < boundary for instant in mail_dates)


def on_rescan() -> list[Effect]:
    """Old mail that a moved mailbox or a person's hand shows as new: set aside, told, never acknowledged."""
    return [CloseInbound("set_aside", Verdict.RESCAN, "older than what was read before, and never seen: not answered")]


def on_mail(occasion: Occasion, situation: Situation, desk: Desk, now: datetime) -> list[Effect]:
    """A person's mail: joins its case, becomes a colleague's note, or opens a case."""
    identity = occasion.identity
    if identity.trust == "staff":
        return _on_staff(occasion)
    if identity.ticket and identity.ticket.state is not State.CLOSED:
        return _on_known_case(occasion, identity.ticket, situation, desk, now)
    return _on_new_case(occasion, situation, desk, now)


def paced(times: Sequence[datetime], limit: int, window: timedelta, now: datetime) -> datetime:
    """The first instant from `now` on at which one more letter keeps to at most `limit` in any `window`.

    `times`: when the letters before it went or will go, oldest first. Nothing is dropped: what is too much goes later.
    """
    return max(now, times[-limit] + window) if len(times) >= limit else now


# -- one mail ------------------------------------------------------------------------------------------------------


def _on_staff(occasion: Occasion) -> list[Effect]:
    """A colleague's mail about a case is kept as an unverified note: nothing is sent, nothing changes."""
    identity, ticket = occasion.identity, occasion.identity.ticket
    if ticket is None:
        return [_close(occasion, None, "an answer to a letter of the desk that concerns no case")]
    return [
        _record(occasion, ticket.reference, "note"),
        NoteEvent(ticket.reference, identity.author.address, "note", "mail from a colleague kept as an internal note"),
        _close(occasion, ticket.reference, "a colleague's mail: internal note"),
    ]


def _on_known_case(occasion: Occasion, ticket: Ticket, situation: Situation, desk: Desk, now: datetime) -> list[Effect]:
    author, state = occasion.identity.author, moved(ticket.state, Happening.CUSTOMER_WROTE)
    effects: list[Effect] = [
        _record(occasion, ticket.reference, "in"),
        NoteEvent(ticket.reference, author.address, "customer_wrote"),
    ]
    if state is not ticket.state:
        effects.append(MoveTicket(ticket.reference, state))
    owner = ticket.owner
    if owner is None or desk.policy.agent_of(owner) is None:  # the agent has left
        owner = situation.next_owner
        effects += [AssignTicket(ticket.reference, owner), NoteEvent(ticket.reference, DESK, "assigned", owner or "")]
    effects += _notifications(occasion, ticket.reference, ticket, owner, "", situation, desk, now)
    return [*effects, _close(occasion, ticket.reference, f"joined as {occasion.identity.trust}")]


def _on_new_case(occasion: Occasion, situation: Situation, desk: Desk, now: datetime) -> list[Effect]:
    mail, author, reference = occasion.mail, occasion.identity.author, situation.next_reference
    term = desk.term(occasion.received_at, term_type(occasion.classification, desk.policy).resolve_days)
    opened = OpenTicket(
        reference=reference,
        customer=author,
        subject=mail.subject,
        classification=occasion.classification,
        opened_at=occasion.received_at,
        business_days=term.business_days,
        due_on=term.due_on,
        owner=situation.next_owner,
        reply_address=_reply_address(mail, author),
    )
    effects: list[Effect] = [
        opened,
        NoteEvent(
            reference, DESK, "opened", f"type {opened.classification.type}, {opened.business_days} business days"
        ),
        _record(occasion, reference, "in"),
    ]
    related = _related(occasion.identity)
    if related:
        effects += [LinkTickets(reference, related), NoteEvent(reference, DESK, "linked", related)]
    suppressed = wants_no_acknowledgement(mail)
    if suppressed:
        effects.append(NoteEvent(reference, DESK, "acknowledgement_suppressed", "X-Auto-Response-Suppress"))
    else:
        effects.append(_acknowledgement(occasion, reference, opened, situation, desk, now))
    warning = _warning(occasion, related, suppressed)
    effects += _notifications(occasion, reference, opened, situation.next_owner, warning, situation, desk, now)
    return [*effects, _close(occasion, reference, "opened a case")]


def _related(identity: Identity) -> str | None:
    """The case this one must be linked to: a stranger's clue, or a closed case of the same customer."""
    return identity.linked or (identity.ticket.reference if identity.ticket else None)


def _reply_address(mail: Mail, author: Address) -> str | None:
    """Where human answers go when the customer asked for another address; counts on the opening mail only."""
    asked = mail.reply_to[0].address if mail.reply_to else author.address
    return asked if asked != author.address else None


def term_type(classification: Classification, policy: Policy) -> TicketType:
    """The type whose term counts: the shortest among the likely ones while we are not certain (colombia.md)."""
    return shortest_candidate(classification, policy.types)


# -- records and letters -------------------------------------------------------------------------------------------


def _record(occasion: Occasion, reference: str, direction: str) -> RecordMessage:
    mail, identity = occasion.mail, occasion.identity
    return RecordMessage(
        reference=reference,
        direction="in" if direction == "in" else "note",
        author=identity.author,
        recipients=tuple(address.address for address in (*mail.to, *mail.cc)),
        subject=mail.subject,
        message_id=mail.message_id,
        at=occasion.received_at,
        text=occasion.new_text,
        full_text=mail.text,
        attachments=mail.attachments,
        verified=False if identity.trust == "staff" else None,
    )


def _close(occasion: Occasion, reference: str | None, reason: str) -> CloseInbound:
    identity = occasion.identity
    trail = {"key": identity.trust, "sender_trust": f"{identity.author.address}: {identity.trust}"}
    if identity.clue:
        trail["clue"] = f"{identity.clue.kind} {identity.clue.said}"
    return CloseInbound("done", Verdict.PERSON, reason, reference, trail)


def _acknowledgement(
    occasion: Occasion, reference: str, opened: OpenTicket, situation: Situation, desk: Desk, now: datetime
) -> QueueLetter:
    """The customer's constancia. Never the body; the subject only as the letter adapter shortens it."""
    mail, policy = occasion.mail, desk.policy
    limit, hourly = policy.acknowledgements_per_sender_per_day, policy.automatic_letters_per_hour
    facts: dict[str, object] = {
        "customer_name": opened.customer.name,
        "subject": mail.subject,
        "attachments": [attachment.filename for attachment in mail.attachments],
        **_case_facts(reference, opened.classification, opened.opened_at, opened.business_days, desk),
    }
    return QueueLetter(
        letter="acknowledgement",
        recipient=opened.customer,
        subject=mail.subject,
        facts=facts,
        automatic="auto-replied",
        reference=reference,
        answers="" if is_synthetic_id(mail.message_id) else mail.message_id,
        thread=mail.references,
        customer_facing=True,
        not_before=max(
            paced(situation.recent_acknowledgements, limit, timedelta(days=1), now),
            paced(situation.recent_automatic, hourly, timedelta(hours=1), now),
        ),
    )


def _notifications(
    occasion: Occasion,
    reference: str,
    case: Ticket | OpenTicket,
    owner: str | None,
    warning: str,
    situation: Situation,
    desk: Desk,
    now: datetime,
) -> list[Effect]:
    """To the owner, and for an urgent case to level 2 too: what the customer wrote and what we know."""
    opening = isinstance(case, OpenTicket)
    urgent = case.classification.urgent if isinstance(case, OpenTicket) else case.urgent
    recipients = [owner] if owner else list(desk.policy.level_addresses(1))
    if opening and urgent and len(desk.policy.levels) > 1:
        recipients += desk.policy.level_addresses(2)
    facts = _notification_facts(occasion, reference, case, warning, situation, desk, now)
    letters: list[Effect] = []
    for address in dict.fromkeys(recipients):
        agent = desk.policy.agent_of(address)
        name = agent.name if agent else ""
        letters.append(
            QueueLetter(
                letter="notification",
                recipient=Address(address, name),
                subject=case.subject,
                facts={**facts, "agent_name": name},
                automatic="auto-generated",
                reference=reference,
                not_before=now,
            )
        )
    return letters


def _notification_facts(
    occasion: Occasion,
    reference: str,
    case: Ticket | OpenTicket,
    warning: str,
    situation: Situation,
    desk: Desk,
    now: datetime,
) -> dict[str, object]:
    mail, identity, zone = occasion.mail, occasion.identity, desk.policy.office.timezone
    classification = case.classification
    facts = _case_facts(reference, classification, case.opened_at, case.business_days, desk)
    received = occasion.received_at.astimezone(zone)
    related = _related(identity)
    return {
        **facts,
        "received_on": received.date(),
        "received_hour": received.strftime("%H:%M"),
        "is_new": isinstance(case, OpenTicket),
        "customer_name": case.customer.name,
        "customer_address": case.customer.address,
        "writer": "" if identity.author.address == case.customer.address else identity.author.address,
        "answer_to": case.reply_address or case.customer.address,
        "subject": mail.subject,
        "text": occasion.new_text[:TEXT_SHOWN],
        "attachments": [
            {"filename": a.filename, "content_type": a.content_type, "size": a.size} for a in mail.attachments
        ],
        "confidence": round(classification.confidence * 100),
        "evidence": list(dict.fromkeys(e.words for e in classification.evidence if e.type == classification.type)),
        "urgent": classification.urgent,
        "urgency": list(classification.urgency),
        "days_left": desk.calendar.days_left(local_day(now, zone), case.due_on),
        "earlier": [
            {
                "reference": e.reference,
                "subject": e.subject,
                "state": e.state.value,
                "opened_on": local_day(e.opened_at, zone),
            }
            for e in situation.earlier
        ],
        "history": [
            {"at": at.astimezone(zone).strftime("%Y-%m-%d %H:%M"), "what": what} for at, what in situation.history
        ],
        "related": [related] if related else [],
        "warning": warning,
    }


def _case_facts(
    reference: str, classification: Classification, opened_at: datetime, business_days: int, desk: Desk
) -> dict[str, object]:
    """What every letter about a case says of it."""
    received, term = opened_at.astimezone(desk.policy.office.timezone), desk.term(opened_at, business_days)
    kind = desk.policy.types.get(classification.type)
    return {
        "reference": reference,
        "type_name": kind.name if kind else classification.type,
        "certain": classification.certain,
        "is_claim": classification.type == "reclamo",
        "received_on": received.date(),
        "received_hour": received.strftime("%H:%M"),
        "business_days": business_days,
        "due_on": term.due_on,
        "skipped": [{"date": day.date, "name": day.name} for day in term.skipped],
    }


def _warning(occasion: Occasion, related: str | None, suppressed: bool) -> str:
    """What the agent should know before answering; Spanish, one sentence each."""
    said = []
    if occasion.identity.linked:
        said.append(f"Quien escribe citó {related} pero no hace parte de ese caso: se abrió este, enlazado.")
    elif related:
        said.append(f"El caso {related} ya estaba cerrado: se abrió este, enlazado.")
    if suppressed:
        said.append("El remitente pidió no recibir respuestas automáticas: no se le envió acuse de recibo.")
    if not occasion.mail.complete:
        said.append("El correo supera el tamaño máximo: solo se guardó su comienzo; el original sigue en el buzón.")
    return " ".join(said)
