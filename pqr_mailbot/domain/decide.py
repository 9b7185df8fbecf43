"""What to do: pure functions from a situation to a list of effects.

Nothing here reads, writes, sends or asks the time; the caller gathers the facts before and applies the effects after.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pqr_mailbot.domain import escalation, letter_facts
from pqr_mailbot.domain.bounce import BouncedRecipient, SentLetter
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.classify import shortest_candidate
from pqr_mailbot.domain.effects import (
    AddParticipant,
    BounceLetter,
    CloseInbound,
    ConfirmLetter,
    Effect,
    Fire,
    LinkTickets,
    NoteEvent,
    NoteHeartbeat,
    NoteRating,
    OpenTicket,
    QueueLetter,
    RecordMessage,
    RefuseSurveys,
    SaveTicket,
)
from pqr_mailbot.domain.followup import Heard, heard, why_up
from pqr_mailbot.domain.identify import Clue
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
from pqr_mailbot.domain.orders import completed
from pqr_mailbot.domain.policy import Policy, TicketType
from pqr_mailbot.domain.screen import wants_no_acknowledgement
from pqr_mailbot.domain.situation import QUESTION, Desk, MachineMail, Occasion, Situation

DESK = "desk"  # the actor of what nobody but the program did
FUSE = "fuse"  # what the letter to the admin is about when acknowledgements had to wait
SHOUTING = frozenset({"judicial", "salud"})  # what a machine may say that a person must hear of at once,
SHOUTS_PER_DAY = 10  # but no machine floods them; the rest is in `inbox`
MACHINE = "machine"  # what the letter about such a mail is about,
OFFICE = "own_address"  # and about one from our own address: the check that found it
DAY = timedelta(days=1)
RATING_WORDS = 2_000  # characters of what a customer says with a rating


def on_machine(machine: MachineMail, desk: Desk, now: datetime) -> list[Effect]:
    """A machine's mail is set aside: kept, listed, never answered.

    Courts and authorities write from addresses that nobody reads: when the words are about a court or about health,
    level 2 hears of it at once. Not of mail that answers a letter of ours: such an answer could begin a loop.
    """
    screening, identity = machine.screening, machine.identity
    joined = identity.ticket.reference if identity and identity.ticket else None
    effects: list[Effect] = []
    if screening.check == OFFICE and identity and identity.clue:
        effects += _told_of_office(machine, identity.clue, desk, now)
    if screening.verdict in _MAY_BE_AN_OFFICE and identity and identity.trust == "newcomer":
        effects += _shouted(machine, desk, now)
    reason = f"{screening.check}: {screening.header}"
    return [*effects, CloseInbound("set_aside", screening.verdict, reason, joined, {"header": screening.header})]


def _told_of_office(machine: MachineMail, clue: Clue, desk: Desk, now: datetime) -> list[Effect]:
    """A colleague answered a letter of ours as the office itself: nobody says who they are, so nothing is done; they
    would think that the customer has it."""
    if not clue.internal or clue.sent_to is None or machine.told_today >= SHOUTS_PER_DAY:
        return []
    facts, subject = letter_facts.from_office(machine), "Su respuesta no se envió"
    to = Address(clue.sent_to)
    return [QueueLetter("alarm", to, subject, facts, "auto-generated", now, clue.reference, about=OFFICE)]


def on_bounce(
    machine: MachineMail,
    hits: Sequence[tuple[SentLetter, BouncedRecipient]],
    owners: Mapping[str, str | None],
    desk: Desk,
    now: datetime,
) -> list[Effect]:
    """A bounce that has both keys to a letter of ours. `owners`: of each case that the letters are about.

    A letter to a customer that came back is told to the owner; one to an agent never causes a letter (FreeScout #4806).
    """
    effects: list[Effect] = []
    for letter, found in hits:
        said = " ".join(part for part in (found.outcome, found.status, found.diagnostic[:300]) if part)
        if found.outcome == "hard":
            effects.append(BounceLetter(letter.outbox_id, said))
        if letter.reference:
            event = "letter_delayed" if found.outcome == "soft" else "letter_bounced"
            detail = f"{letter.letter} to {letter.recipient}: {said}"
            effects.append(NoteEvent(letter.reference, DESK, event, detail))
        if letter.to_customer and letter.reference and found.outcome != "soft" and not letter.told:
            effects += _told_of_bounce(letter, found, owners.get(letter.reference), desk, now)
    screening, reference = machine.screening, hits[0][0].reference if hits else None
    reason = f"{screening.check}: {screening.header}"
    return [*effects, CloseInbound("set_aside", screening.verdict, reason, reference, {"header": screening.header})]


def _told_of_bounce(
    letter: SentLetter, found: BouncedRecipient, owner: str | None, desk: Desk, now: datetime
) -> list[Effect]:
    """Once a letter: a mail system may say the same many times."""
    facts, subject = letter_facts.bounced(found, letter), f"Devuelto: {letter.recipient}"
    about = about_bounce(letter.outbox_id)
    return [
        QueueLetter("alarm", Address(one), subject, facts, "auto-generated", now, letter.reference, about=about)
        for one in ([owner] if owner else desk.policy.level_addresses(1))
    ]


def on_refused(letter: SentLetter, reply: str, ticket: Ticket | None, desk: Desk, now: datetime) -> list[Effect]:
    """A letter that our own server refused for good, which is as good as a bounce at once.

    One to the customer is told to the owner; a colleague who cannot be told of a case, to level 2. Never a letter about
    a letter of that kind.
    """
    if letter.to_customer:
        found = BouncedRecipient(letter.recipient, "failed", "", reply)
        return [] if letter.told else _told_of_bounce(letter, found, ticket.owner if ticket else None, desk, now)
    if letter.letter not in _ABOUT_CASES or ticket is None:
        return []
    others = [one for one in desk.policy.level_addresses(2) if one != letter.recipient] or list(desk.policy.alarms_to)
    facts = letter_facts.unreachable(letter, reply)
    subject = f"No se pudo avisar a {letter.recipient}"
    return [
        QueueLetter("alarm", Address(one), subject, facts, "auto-generated", now, ticket.reference)
        for one in others
        if one != letter.recipient
    ]


_ABOUT_CASES = frozenset({"notification", "escalation", "reminder"})


def about_bounce(outbox_id: int) -> str:
    """What the letter about a bounce is about."""
    return f"bounce of {outbox_id}"


_MAY_BE_AN_OFFICE = frozenset({Verdict.NO_REPLY, Verdict.AUTO_REPLY, Verdict.LIST})


def _shouted(machine: MachineMail, desk: Desk, now: datetime) -> list[Effect]:
    flags = sorted(SHOUTING.intersection(machine.urgency))
    if not flags or machine.told_today >= SHOUTS_PER_DAY:
        return []
    facts = letter_facts.urgent_machine(machine, flags, desk)
    subject = f"Correo automático urgente ({', '.join(flags)})"
    return [
        QueueLetter("alarm", Address(address), subject, facts, "auto-generated", now, about=MACHINE)
        for address in desk.policy.level_addresses(2)
    ]


def on_heartbeat(outbox_id: int, now: datetime) -> list[Effect]:
    """The probe that was awaited: mail goes out and comes in."""
    reason = "heartbeat: the probe came back"
    return [
        NoteHeartbeat(outbox_id, now),
        ConfirmLetter(outbox_id, now),
        CloseInbound("set_aside", Verdict.OWN, reason, trail={"header": "X-PQR-Letter"}),
    ]


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
    """A person's mail, but for colleagues' (`decide_agent`): joins its case, becomes a note, or opens a case."""
    identity = occasion.identity
    if identity.trust in ("staff", "former"):
        return _on_staff(occasion, desk, now)
    if identity.ticket and (guest := occasion.admits()):
        return _on_admission(occasion, identity.ticket, guest, situation, desk, now)
    if identity.ticket and _goes_on(occasion, identity.ticket, situation):
        return _on_known_case(occasion, identity.ticket, situation, desk, now)
    return _on_new_case(occasion, situation, desk, now)


def _goes_on(occasion: Occasion, ticket: Ticket, situation: Situation) -> bool:
    """A closed case is final, but for an answer to the survey about it, and for thanks."""
    said = heard(occasion, ticket, situation.surveyed)
    return ticket.state is not State.CLOSED or said.answer is not None or said.courtesy


def paced(times: Sequence[datetime], limit: int, window: timedelta, now: datetime) -> datetime:
    """The first instant from `now` on at which one more letter keeps to at most `limit` in any `window`.

    `times`: when the other letters went or will go, oldest first. Nothing is dropped: what is too much goes later.
    A letter that waits for a reason of its own takes no room from those who write now.
    """

    def has_room(at: datetime) -> bool:
        return bisect_left(times, at + window) - bisect_right(times, at - window) < limit

    return next(at for at in (now, *(time + window for time in times)) if at >= now and has_room(at))


# -- one mail ------------------------------------------------------------------------------------------------------


def _on_staff(occasion: Occasion, desk: Desk, now: datetime) -> list[Effect]:
    """What those who get alarms or reports answer, and what a colleague writes who has left: an unverified note.
    Nothing is sent to the writer and nothing changes; the owner hears of words that nobody waits for."""
    identity, ticket = occasion.identity, occasion.identity.ticket
    if ticket is None:
        return [_close(occasion, None, "an answer to a letter of the desk that concerns no case")]
    author = identity.author.address
    event = "former_colleague_wrote" if identity.trust == "former" else "note"
    return [
        _record(occasion, ticket.reference, "note"),
        NoteEvent(ticket.reference, author, event, "kept as an internal note; nothing was done"),
        *(_told_of_note(occasion, ticket, desk, now) if identity.trust == "former" else []),
        _close(occasion, ticket.reference, "kept as an internal note"),
    ]


def _told_of_note(occasion: Occasion, ticket: Ticket, desk: Desk, now: datetime) -> list[Effect]:
    author = occasion.identity.author.address
    facts = letter_facts.former_colleague(ticket, author)
    return [
        QueueLetter("alarm", Address(one), f"{author} ya no es agente", facts, "auto-generated", now, ticket.reference)
        for one in ([ticket.owner] if ticket.owner else desk.policy.level_addresses(1))
        if one != author
    ]


def _on_known_case(occasion: Occasion, ticket: Ticket, situation: Situation, desk: Desk, now: datetime) -> list[Effect]:
    """It joins its case; what the customer owed has come; a case whose agent has left or is away gets another one."""
    said = heard(occasion, ticket, situation.surveyed)
    if said.courtesy:
        return _on_courtesy(occasion, ticket, said)
    author, received_on = occasion.identity.author, local_day(occasion.received_at, desk.policy.office.timezone)
    after = replace(completed(ticket, received_on, desk), state=moved(ticket.state, Happening.CUSTOMER_WROTE))
    effects: list[Effect] = [
        _record(occasion, ticket.reference, "in"),
        NoteEvent(ticket.reference, author.address, "customer_wrote"),
    ]
    if _needs_owner(ticket, situation, desk):
        after = replace(after, owner=situation.next_owner)
        effects.append(NoteEvent(ticket.reference, DESK, "assigned", after.owner or ""))
    after, followed = _followed_up(occasion, ticket, after, said, situation, desk, now)
    effects += followed
    if after != ticket:
        effects.append(SaveTicket(after))
    effects += _notifications(occasion, after, after.owner, None, situation, desk, now)
    return [*effects, _close(occasion, ticket.reference, f"joined as {occasion.identity.trust}")]


def _on_courtesy(occasion: Occasion, ticket: Ticket, said: Heard) -> list[Effect]:
    """Thanks, or a good rating: kept, and nothing is opened again (brimir #88, frappe #2228)."""
    reference, author = ticket.reference, occasion.identity.author.address
    effects: list[Effect] = [_record(occasion, reference, "in"), NoteEvent(reference, author, said.event)]
    return [*effects, *_rated(occasion, ticket, said), _close(occasion, reference, said.event)]


def _rated(occasion: Occasion, ticket: Ticket, said: Heard) -> list[Effect]:
    answer = said.answer
    if answer is None:
        return []
    if answer.no_surveys:
        return [RefuseSurveys(ticket.customer.address)]
    words = occasion.parts.new[:RATING_WORDS]
    return [NoteRating(ticket.reference, answer.rating, answer.solved is not False, words, occasion.received_at)]


def _followed_up(
    occasion: Occasion, ticket: Ticket, after: Ticket, said: Heard, situation: Situation, desk: Desk, now: datetime
) -> tuple[Ticket, list[Effect]]:
    """A resolved case that is opened again is told so to the customer; what speaks of failure goes one level up."""
    effects: list[Effect] = _rated(occasion, ticket, said)
    again = ticket.state in (State.RESOLVED, State.CLOSED) and after.state is State.OPEN
    if again:
        after = replace(after, resolved_at=None, closed_at=None, reopened=ticket.reopened + 1)
        after = replace(after, due_on=desk.due(after).due_on)  # the calendar may be another since
        effects.append(NoteEvent(ticket.reference, occasion.identity.author.address, "reopened", said.event))
    reason = why_up(ticket, after, said, situation)
    if reason and escalation.can_rise(after, desk):
        after, noted = escalation.raised(after, after.level + 1, reason, DESK)
        told = letter_facts.told(occasion, after, None, situation)
        up = escalation.letters(after, after.level, told, reason, "el sistema", None, desk, now)
        effects += [*noted, *up, Fire(ticket.reference, reason, str(after.reopened))]
    if again:
        effects.append(_reopened_letter(occasion, after, desk, now))
    return after, effects


def _reopened_letter(occasion: Occasion, after: Ticket, desk: Desk, now: datetime) -> QueueLetter:
    mail, level = occasion.mail, desk.policy.level_name(after.level)
    facts = letter_facts.reopened(after, level, local_day(now, desk.policy.office.timezone))
    return QueueLetter(
        "reopened", after.customer, after.subject, facts, "auto-replied", now, after.reference,
        answers="" if is_synthetic_id(mail.message_id) else mail.message_id, thread=mail.references,
        customer_facing=True,
    )  # fmt: skip


def _needs_owner(ticket: Ticket, situation: Situation, desk: Desk) -> bool:
    """The agent has left, or is away and the case cannot wait."""
    gone = ticket.owner is None or desk.policy.agent_of(ticket.owner) is None
    return gone or (ticket.urgent and ticket.owner in situation.away and situation.next_owner is not None)


def _on_admission(
    occasion: Occasion, ticket: Ticket, guest: str, situation: Situation, desk: Desk, now: datetime
) -> list[Effect]:
    """The customer's yes to our question whether `guest` may write to the case."""
    effects: list[Effect] = [
        AddParticipant(ticket.reference, guest),
        NoteEvent(ticket.reference, occasion.identity.author.address, "participant_admitted", guest),
    ]
    if ticket.state is not State.CLOSED:
        return [*effects, *_on_known_case(occasion, ticket, situation, desk, now)]
    return [*effects, _record(occasion, ticket.reference, "in"), _close(occasion, ticket.reference, "admitted")]


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
        reply_address=_reply_address(mail, author, desk.policy),
    )
    effects: list[Effect] = [
        opened,
        NoteEvent(
            reference, DESK, "opened", f"type {opened.classification.type}, {opened.business_days} business days"
        ),
        _record(occasion, reference, "in"),
    ]
    if related := occasion.related():
        effects += [LinkTickets(reference, related), NoteEvent(reference, DESK, "linked", related)]
    withheld = _withheld(occasion)
    if withheld:
        effects.append(NoteEvent(reference, DESK, "acknowledgement_withheld", withheld))
    else:
        effects += _acknowledgement(occasion, opened, situation, desk, now)
    effects += _question(occasion, situation, now)
    effects += _notifications(occasion, opened, situation.next_owner, withheld, situation, desk, now)
    return [*effects, _close(occasion, reference, "opened a case")]


def _withheld(occasion: Occasion) -> str | None:
    """Why this writer gets no acknowledgement by itself: asked for none, or is probably not who From says.

    Whoever is forged would be hit by our answer (DMARC, RFC 7489); the owner is told, and decides.
    """
    if occasion.authentication.forged():
        return "dmarc=fail"
    return "X-Auto-Response-Suppress" if wants_no_acknowledgement(occasion.mail) else None


def _question(occasion: Occasion, situation: Situation, now: datetime) -> list[Effect]:
    """To the customer, once a case: may the stranger who answered one of the case's letters write to it?

    Only for a clue that cannot be guessed, a Message-ID; a reference in a subject is no reason to bother anybody.
    """
    identity, case = occasion.identity, occasion.identity.pointed_at
    if identity.trust != "stranger" or case is None or case.state is State.CLOSED or identity.clue is None:
        return []
    guessable = identity.clue.kind != "message_id" or identity.clue.internal
    if guessable or situation.admission_asked or occasion.authentication.forged():
        return []
    stranger = identity.author.address
    letter = QueueLetter(
        letter=QUESTION,
        recipient=case.customer,
        subject=case.subject,
        facts=letter_facts.admit_question(case, stranger),
        automatic="auto-generated",
        reference=case.reference,
        not_before=now,
        customer_facing=True,
        about=stranger,
    )
    return [letter, NoteEvent(case.reference, DESK, "admission_asked", stranger)]


def _reply_address(mail: Mail, author: Address, policy: Policy) -> str | None:
    """Where human answers go when the customer asked for another address; counts on the opening mail only.

    A group or form of the office puts its own address there, and would get the answer instead of the customer.
    """
    ours = policy.office.addresses | {form.sender for form in policy.forms}
    asked = next((one.address for one in mail.reply_to if one.address not in ours), author.address)
    return None if asked == author.address or policy.is_staff(asked) else asked


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
        text=occasion.parts.new,
        full_text=mail.text,
        attachments=mail.attachments,
        verified=False if identity.trust == "staff" else None,
    )


def _close(occasion: Occasion, reference: str | None, reason: str) -> CloseInbound:
    identity = occasion.identity
    trail = {"key": _KEYS[identity.trust], "sender_trust": f"{identity.author.address}; {occasion.authentication}"}
    if identity.clue:
        trail["clue"] = f"{identity.clue.kind} {identity.clue.said}"
    return CloseInbound("done", Verdict.PERSON, reason, reference, trail)


# For `explain`: why this writer may, or may not, write to the case that the clue points to.
_KEYS = {
    "customer": "the case's customer",
    "participant": "a participant of the case",
    "addressed": "the letter that is answered was sent to this address",
    "staff": "one of the office's own people, not proved by the mail",
    "former": "was one of the office's own people and is no longer",
    "stranger": "none: a stranger to the case, so it is only linked",
    "newcomer": "none needed: nothing points to a case",
}


def _acknowledgement(
    occasion: Occasion, opened: OpenTicket, situation: Situation, desk: Desk, now: datetime
) -> list[Effect]:
    """The customer's constancia. Too many of them wait: those to one person become one letter, and the admin is told,
    once a day."""
    mail, policy = occasion.mail, desk.policy
    limit, hourly = policy.acknowledgements_per_sender_per_day, policy.automatic_letters_per_hour
    due = max(
        paced(situation.recent_acknowledgements, limit, DAY, now),
        paced(situation.recent_automatic, hourly, timedelta(hours=1), now),
    )
    joins = situation.waiting if due > now else None
    letter = QueueLetter(
        letter="acknowledgement",
        recipient=opened.customer,
        subject=mail.subject,
        facts=letter_facts.acknowledgement(occasion, opened, joins.cases if joins else (), desk),
        automatic="auto-replied",
        reference=opened.reference,
        answers="" if is_synthetic_id(mail.message_id) else mail.message_id,
        thread=mail.references,
        customer_facing=True,
        not_before=joins.not_before if joins else due,
        instead_of=joins.outbox_id if joins else None,
    )
    told = situation.fuse_told_at is not None and now - situation.fuse_told_at < DAY
    if due == now or told:
        return [letter]
    facts = letter_facts.fuse_blown(opened, due, desk)
    return [
        letter,
        *(
            QueueLetter("alarm", Address(one), "Acuses de recibo en espera", facts, "auto-generated", now, about=FUSE)
            for one in policy.alarms_to
        ),
    ]


def _notifications(
    occasion: Occasion,
    case: Ticket | OpenTicket,
    owner: str | None,
    withheld: str | None,
    situation: Situation,
    desk: Desk,
    now: datetime,
) -> list[Effect]:
    """To the owner, and for an urgent case to level 2 too: what the customer wrote and what we know.

    Never to whoever wrote the mail: an agent's autoresponder would go on forever (FreeScout #4806).
    """
    opening = isinstance(case, OpenTicket)
    urgent = case.classification.urgent if isinstance(case, OpenTicket) else case.urgent
    policy, author = desk.policy, occasion.identity.author.address
    writer = policy.agent_of(author)
    own = writer.addresses if writer else {author}
    recipients = [owner] if owner and owner not in own else list(policy.level_addresses(1))
    if opening and urgent and len(policy.levels) > 1:
        recipients += policy.level_addresses(2)
    told = letter_facts.told(occasion, case, withheld, situation)
    facts = letter_facts.notification(case, told, desk, now)
    letters: list[Effect] = []
    for address in dict.fromkeys(one for one in recipients if one not in own):
        agent = policy.agent_of(address)
        name = agent.name if agent else ""
        letters.append(
            QueueLetter(
                letter="notification",
                recipient=Address(address, name),
                subject=case.subject,
                facts={**facts, "agent_name": name},
                automatic="auto-generated",
                reference=case.reference,
                not_before=now,
                enclosed=told.enclosed,
            )
        )
    return letters
