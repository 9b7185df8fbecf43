"""What to do with a colleague's mail: relay it, carry out its orders, hold it, or ask whether they wrote it at all.

Short of all keys nothing is lost and nothing is done. An order that cannot be done, or a doubt about what would reach
the customer, holds the whole mail. Every mail of a verified colleague gets one short transcript.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pqr_mailbot.domain import leak_guard, letter_facts
from pqr_mailbot.domain.casework import CHALLENGE, HELD, AgentMail, Book, CaseFile, HeldMail, Incoming, Said
from pqr_mailbot.domain.commands import Ordered
from pqr_mailbot.domain.effects import (
    CloseInbound,
    Effect,
    HoldMail,
    NoteAnswer,
    NoteEvent,
    QueueLetter,
    RecordMessage,
)
from pqr_mailbot.domain.model import Address, Classification, Happening, State, Ticket, Verdict, is_synthetic_id, moved
from pqr_mailbot.domain.orders import ANSWERS, Work, carry_out, reply_by
from pqr_mailbot.domain.situation import Desk

CHALLENGE_LASTS = timedelta(days=2)
HELD_LASTS = timedelta(days=30)
TRANSCRIPTS_PER_DAY = 500  # to one colleague; and to a program that answers transcripts and gives no orders,
ANSWERED_TRANSCRIPTS_PER_DAY = 10  # an autoresponder that nobody recognised (FreeScout #4806)
MANY_CASES = ("digest", "alarm", "report")  # letters about no single case: free text that answers them is held
NOT_THE_CUSTOMER = ("transcript", "challenge")  # letters whose answer is meant for the desk

Classify = Callable[[str, str], Classification]


def on_agent_mail(mail: AgentMail, book: Book, classify: Classify, desk: Desk, now: datetime) -> list[Effect]:
    """A colleague's mail that the robot gate took for a person's."""
    if mail.released:
        return _not_again(mail, mail.released, book, now)
    if not mail.verified:
        return _unverified(mail, book, desk, now)
    return _verified(mail, book, classify, desk, now)


def releases(mail: AgentMail, held: HeldMail | None, now: datetime) -> bool:
    """Does this mail carry out a held one? It must answer the very letter that asked, and say so in its first line:
    `#enviar` for what was held, `#confirmar` for a challenge, from the colleague it was sent to, in time, once."""
    if held is None or not mail.reading.orders:
        return False
    word = "confirmar" if held.kind == CHALLENGE else "enviar"
    first = mail.reading.orders[0]
    alone = len(mail.reading.orders) == 1 and not mail.reading.text and not mail.reading.unknown
    said = first.command.name == word and (alone or held.kind == CHALLENGE)
    proved = mail.verified or (held.kind == CHALLENGE and not mail.proof.forged)
    theirs = held.agent in mail.proof.agent.addresses
    return said and theirs and proved and not held.released and now <= held.until


# -- not proved ----------------------------------------------------------------------------------------------------


def _unverified(mail: AgentMail, book: Book, desk: Desk, now: datetime) -> list[Effect]:
    """Kept as an unverified note; the registered address is asked, once a mail and not without end. A mail that the
    customer has already needs no question: there is nothing to carry out."""
    ticket, agent = mail.ticket, mail.proof.agent
    missing = "; ".join(mail.proof.missing)
    effects: list[Effect] = []
    if ticket:
        effects += [
            _recorded(mail, ticket, "note", verified=False),
            NoteEvent(ticket.reference, agent.address, "unverified", missing),
        ]
    pointless = ticket is not None and mail.reached_customer(ticket) and not mail.reading.orders
    asks = not pointless and (mail.reading.orders or mail.reading.unknown or mail.reading.text or mail.enclosed)
    if asks and book.transcripts < ANSWERED_TRANSCRIPTS_PER_DAY:
        until = now + CHALLENGE_LASTS
        facts = letter_facts.challenge(mail, ticket, until, desk)
        effects += [
            HoldMail(CHALLENGE, agent.address, until),
            _to_agent(mail, "challenge", facts, ticket, now, f"{CHALLENGE} {mail.inbound_id}"),
        ]
    reason = f"a colleague's mail, not proved: {missing}"
    return [*effects, _closed(mail, ticket, reason)]


def _not_again(mail: AgentMail, held: HeldMail, book: Book, now: datetime) -> list[Effect]:
    """`#enviar` or `#confirmar` for what cannot be carried out any more, or was already."""
    why = "ya se envió antes" if held.released else "pasó el tiempo para confirmarlo: escriba el correo de nuevo"
    word = "confirmar" if held.kind == CHALLENGE else "enviar"
    return _held(mail, [Said(f"#{word}", f"{why}.", ok=False)], [], mail.ticket, book, now, can_send=False)


# -- proved --------------------------------------------------------------------------------------------------------


def _verified(mail: AgentMail, book: Book, classify: Classify, desk: Desk, now: datetime) -> list[Effect]:
    reading, ticket = mail.reading, mail.ticket
    reached = ticket is not None and mail.reached_customer(ticket)
    takes_text = any(ordered.command.takes_text for ordered in reading.orders)
    enclosed = mail.enclosed
    answers = bool(reading.text or (enclosed and not reading.orders)) and not takes_text and ticket is not None
    work = Work(
        mail.proof.agent, book, desk, now, mail.received_at, ticket.reference if ticket else None, reading.text,
        mail.mail.subject, mail.mail.message_id, mail.mail.attachments, mail.forwarded, classify,
        answers=answers or (reached and not takes_text),
    )  # fmt: skip
    done = carry_out(work, tuple(one for one in reading.orders if not _lets_pass(one, answers)))
    doubts = _doubts(mail, work, answers and not reached, takes_text, desk)
    if not done or reading.unknown or doubts:
        can_send = done and not reading.unknown and ticket is not None
        reasons = [*reading.unknown, *doubts]
        return _held(mail, work.said, reasons, ticket, book, now, can_send)
    relayed: list[Effect] = []
    sent_to: tuple[str, ...] = ()
    if ticket and answers and not reached:
        relayed, sent_to = _relayed(mail, work, ticket, enclosed, desk, now)
    elif ticket and reached:
        relayed = _recorded_answer(mail, work, ticket, now)
    after = work.opened or (ticket.reference if ticket else None)
    lookups = sections(reading.orders, work, book, desk, now)
    facts = letter_facts.transcript(mail, work.said, sent_to, lookups, after, reached)
    told = _transcript(mail, facts, ticket, book, now)
    return [*relayed, *work.results(), *told, _closed(mail, ticket, "a colleague's mail")]


def _lets_pass(ordered: Ordered, answers: bool) -> bool:
    """`#enviar` over a text is no deed of its own."""
    return ordered.command.name == "enviar" and answers


def _doubts(mail: AgentMail, work: Work, relays: bool, takes_text: bool, desk: Desk) -> list[str]:
    """Why a mail is held although every order could be done; Spanish. `#enviar` overrules what a person may judge."""
    reading, ticket = mail.reading, mail.ticket
    if ticket is None or mail.letter in MANY_CASES:
        return [*(reading.stray if takes_text else ()), *_misplaced(mail, takes_text)]
    file = work.book.cases[ticket.reference]
    if mail.forced:
        return [] if takes_text else _since(mail, file)
    if reading.names("enviar"):
        return []
    return [*reading.stray, *(_about_answer(mail, work, ticket, file, desk) if relays else ())]


def _misplaced(mail: AgentMail, takes_text: bool) -> list[str]:
    """A letter about many cases or none is answered: lookups, and orders that name their case."""
    if mail.reading.text and not takes_text:
        return ["este correo no es sobre un caso: responda el correo del caso para escribirle al cliente."]
    loose = [one for one in mail.reading.orders if one.command.about_case and one.case is None]
    return [f"#{one.command.name} necesita un radicado aquí." for one in loose]


def _about_answer(mail: AgentMail, work: Work, ticket: Ticket, file: CaseFile, desk: Desk) -> list[str]:
    """What speaks against sending this text to this customer now."""
    doubts = []
    if ticket.state is State.CLOSED and ticket.reference not in work.tickets:
        doubts.append(f"el caso {ticket.reference} está cerrado: ponga #reabrir en la primera línea.")
    if mail.letter in NOT_THE_CUSTOMER:
        doubts.append("responde a un aviso del sistema, no al cliente.")
    if mail.named:
        named = ", ".join(mail.named)
        doubts.append(f"el asunto nombra {named}, pero usted responde un correo de {ticket.reference}.")
    if mail.doubtful:
        doubts.append("puede haber quedado texto citado de otro correo.")
    return [*doubts, *_since(mail, file), *_leaks(mail, work, file, desk)]


def _since(mail: AgentMail, file: CaseFile) -> list[str]:
    """What happened on the case after the message that this one answers: somebody else's answer, or new words."""
    if mail.seen is None:
        return []
    news = [words for words in file.words if words.id > mail.seen]
    mine = mail.proof.agent.addresses
    doubts = []
    if any(words.direction == "in" for words in news):
        doubts.append("el cliente volvió a escribir después del correo que usted responde.")
    others = [
        w.author for w in news if w.direction == "out" and w.letter in (*ANSWERS, None) and w.author.address not in mine
    ]
    if others:
        doubts.append(f"{others[-1].name or others[-1].address} ya respondió este caso.")
    return doubts


def _leaks(mail: AgentMail, work: Work, file: CaseFile, desk: Desk) -> list[str]:
    ticket, policy = file.ticket, desk.policy
    staff = {address for agent in policy.agents for address in agent.addresses}
    staff.update(*(level.addresses for level in policy.levels), policy.alarms_to, policy.reports_to)
    allowed = {ticket.customer.address, ticket.answer_to, *ticket.participants, *policy.office.addresses}
    said = "\n".join((mail.reading.text, *(one.filename for one in mail.mail.attachments)))
    found = leak_guard.findings(
        said,
        own={ticket.reference},
        prefix=policy.reference_prefix,
        allowed=allowed,
        customers=work.book.customers,
        staff=staff - allowed,
        notes=[words.text for words in file.words if words.direction == "note" and words.verified],
        internal=file.internal,
        public=[words.text for words in file.words if words.direction != "note"],
    )
    return [f"el texto contiene {what}." for what in found]


# -- what goes to the customer -------------------------------------------------------------------------------------


def _relayed(
    mail: AgentMail, work: Work, ticket: Ticket, enclosed: tuple[int, ...], desk: Desk, now: datetime
) -> tuple[list[Effect], tuple[str, ...]]:
    """The colleague's words under their name from the office's address, to the customer and to who takes part."""
    agent, latest = mail.proof.agent, work.book.cases[ticket.reference].latest
    ticket = _moved_by_answer(work, ticket)
    author = Address(agent.address, agent.name)
    facts = letter_facts.answer(ticket, mail.reading.text, agent, reply_by(ticket, desk, now), desk)
    customer = Address(ticket.answer_to, ticket.customer.name)
    copies = [Address(guest) for guest in ticket.participants if guest not in (customer.address, agent.address)]
    letters: list[Effect] = [
        QueueLetter(
            work.letter, recipient, ticket.subject, facts, None, now, ticket.reference,
            answers=_answered_id(latest), thread=latest.references if latest else (), customer_facing=True,
            author=author, copy=recipient is not customer, words=mail.reading.text, enclosed=enclosed,
            thread_topic=latest.thread_topic if latest else "", thread_index=latest.thread_index if latest else "",
        )
        for recipient in (customer, *copies)
    ]  # fmt: skip
    noted: list[Effect] = [
        NoteEvent(ticket.reference, agent.address, "answered", work.letter),
        NoteAnswer(ticket.reference, now),
    ]
    return [*letters, *noted], tuple(one.address for one in (customer, *copies))


def _recorded_answer(mail: AgentMail, work: Work, ticket: Ticket, now: datetime) -> list[Effect]:
    """It went to the customer from the colleague's own program: an answer, and nothing is sent again."""
    ticket = _moved_by_answer(work, ticket)
    return [
        _recorded(mail, ticket, "out", verified=True),
        NoteEvent(ticket.reference, mail.proof.agent.address, "answered", "sent to the customer directly"),
        NoteAnswer(ticket.reference, now),
    ]


def _moved_by_answer(work: Work, ticket: Ticket) -> Ticket:
    """An answer opens a new case; where an order says where the case stands, the order has the word."""
    ticket = work.tickets.get(ticket.reference, ticket)
    if ticket.state in (State.NEW, State.OPEN):
        ticket = replace(ticket, state=moved(ticket.state, Happening.OFFICE_ANSWERED))
        work.tickets[ticket.reference] = ticket
    return ticket


def _answered_id(latest: Incoming | None) -> str:
    return latest.message_id if latest and not is_synthetic_id(latest.message_id) else ""


# -- letters to the colleague --------------------------------------------------------------------------------------


def _held(
    mail: AgentMail,
    said: Sequence[Said],
    reasons: Sequence[str],
    ticket: Ticket | None,
    book: Book,
    now: datetime,
    can_send: bool,
) -> list[Effect]:
    """Nothing is sent and nothing changes; the mail waits for `#enviar` where that could help."""
    refused = [f"{one.order}: {one.said}" for one in said if not one.ok]
    facts = letter_facts.held(mail, [*refused, *reasons], can_send)
    effects: list[Effect] = [HoldMail(HELD, mail.proof.agent.address, now + HELD_LASTS)] if can_send else []
    if ticket:
        detail = "; ".join([*refused, *reasons])
        effects.append(NoteEvent(ticket.reference, mail.proof.agent.address, "held", detail[:500]))
    about = f"{HELD} {mail.inbound_id}" if can_send else ""
    return [*effects, *_transcript(mail, facts, ticket, book, now, about), _closed(mail, ticket, "held")]


def _transcript(
    mail: AgentMail, facts: Mapping[str, object], ticket: Ticket | None, book: Book, now: datetime, about: str = ""
) -> list[Effect]:
    """One short letter after each mail, unless a program goes on writing."""
    loops = mail.letter in NOT_THE_CUSTOMER and not mail.reading.orders
    if book.transcripts >= (ANSWERED_TRANSCRIPTS_PER_DAY if loops else TRANSCRIPTS_PER_DAY):
        return []
    return [_to_agent(mail, "transcript", facts, ticket, now, about)]


def _to_agent(
    mail: AgentMail, letter: str, facts: Mapping[str, object], ticket: Ticket | None, now: datetime, about: str = ""
) -> QueueLetter:
    """To the registered address of the colleague, whatever address the mail came from."""
    agent, answers = mail.proof.agent, mail.mail.message_id
    proved = mail.proof.verified or mail.confirmed
    return QueueLetter(
        letter, Address(agent.address, agent.name), ticket.subject if ticket else mail.mail.subject, facts,
        "auto-replied", now, ticket.reference if ticket else None,
        answers=answers if proved and not is_synthetic_id(answers) else "",
        thread=mail.mail.references if proved else (), about=about,
    )  # fmt: skip


def _recorded(mail: AgentMail, ticket: Ticket, direction: str, verified: bool) -> RecordMessage:
    agent, said = mail.proof.agent, mail.mail
    author = said.sender.address if said.sender else agent.address
    text = (
        "\n".join(filter(None, (*map(str, mail.reading.orders), mail.reading.text)))
        if direction == "note"
        else mail.reading.text
    )
    return RecordMessage(
        ticket.reference, "out" if direction == "out" else "note", Address(author, agent.name),
        tuple(one.address for one in (*said.to, *said.cc)) if direction == "out" else (), said.subject,
        said.message_id, mail.received_at, text, said.text, said.attachments, verified,
    )  # fmt: skip


def _closed(mail: AgentMail, ticket: Ticket | None, reason: str) -> CloseInbound:
    clue = mail.proof.clue
    trail = {
        "key": "three keys: letter, address, authentication" if mail.proof.verified else
        "confirmed by its writer" if mail.confirmed else "; ".join(mail.proof.missing),
        "sender_trust": f"{mail.proof.agent.address}; {'verified' if mail.verified else 'unverified'} colleague",
    }  # fmt: skip
    if clue:
        trail["clue"] = f"{clue.kind} {clue.said}"
    return CloseInbound("done", Verdict.PERSON, reason, ticket.reference if ticket else None, trail)


def spoke_for(speaker: AgentMail, held: HeldMail) -> CloseInbound:
    """What is noted of the mail that said `#enviar` or `#confirmar`, beside what the held one causes."""
    kind = "confirmed" if held.kind == CHALLENGE else "released"
    return _closed(speaker, speaker.ticket, f"{kind} inbound {held.inbound_id}")


def sections(orders: Sequence[Ordered], work: Work, book: Book, desk: Desk, now: datetime) -> list[dict[str, object]]:
    """The answers to lookups, in the order they were asked."""
    found_sections: list[dict[str, object]] = []
    for ordered in orders:
        match ordered.command.name:
            case "ver":
                found_sections += letter_facts.case_sections(book.cases[ordered.other or work.case or ""], desk, now)
            case "lista":
                found_sections.append(letter_facts.found_section("Sus casos abiertos", book.mine, desk, now))
            case "buscar":
                found = book.found.get(ordered.arguments, ())
                found_sections.append(letter_facts.found_section(f"Casos con “{ordered.arguments}”", found, desk, now))
            case "historial":
                address, found = next(
                    ((a, f) for a, f in book.histories.items() if a in ordered.arguments.lower()), ("", ())
                )
                found_sections.append(letter_facts.found_section(f"Casos de {address}", found, desk, now))
    return found_sections
