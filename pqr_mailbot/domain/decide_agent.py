"""What to do with a colleague's mail: relay it, carry out its orders, hold it, or ask whether they wrote it at all.

Short of all keys nothing is lost and nothing is done. An order that cannot be done, or a doubt about what would reach
the customer, holds the whole mail. Every mail of a verified colleague gets one short transcript.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import takewhile

from pqr_mailbot.domain import leak_guard, letter_facts, machine_phrases
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
from pqr_mailbot.domain.model import (
    Address,
    Attachment,
    Classification,
    Happening,
    State,
    Ticket,
    Verdict,
    is_synthetic_id,
    moved,
)
from pqr_mailbot.domain.orders import ANSWERS, Work, carry_out
from pqr_mailbot.domain.reminders import last_day_to_complete
from pqr_mailbot.domain.situation import Desk

CHALLENGE_LASTS = timedelta(days=2)
HELD_LASTS = timedelta(days=30)
TRANSCRIPTS_PER_DAY = 500  # to one colleague; and of those that ask or answer an answer, which could go on with
ASKED_PER_DAY = 10  # an autoresponder that nobody recognised (FreeScout #4806), or with a forger
ANSWERED = "answered"  # what a transcript is about whose mail answered a letter that wanted none
MANY_CASES = (
    "digest",
    "alarm",
    "all_clear",
    "report",
)  # letters about no single case: free text that answers them is held
NOT_THE_CUSTOMER = ("transcript", "challenge")  # letters whose answer is meant for the desk

Classify = Callable[[str, str], Classification]


def on_agent_mail(mail: AgentMail, book: Book, classify: Classify, desk: Desk, now: datetime) -> list[Effect]:
    """A colleague's mail that the robot gate took for a person's."""
    if mail.released and (mail.verified or mail.released.kind == CHALLENGE):
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
    if asks and book.asked < ASKED_PER_DAY:
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
    why = (
        "ya se envió antes"
        if held.released
        else "pasó el tiempo para confirmarlo: escriba el correo de nuevo"
        if now > held.until
        else f"solo {held.agent}, que lo escribió, puede darlo por bueno"
    )
    word = "confirmar" if held.kind == CHALLENGE else "enviar"
    return _held(mail, [Said(f"#{word}", f"{why}.", ok=False)], [], mail.ticket, book, now, can_send=False)


# -- proved --------------------------------------------------------------------------------------------------------


def _verified(mail: AgentMail, book: Book, classify: Classify, desk: Desk, now: datetime) -> list[Effect]:
    reading, ticket = mail.reading, mail.ticket
    reached = ticket is not None and mail.reached_customer(ticket)
    takes_text = any(ordered.command.takes_text for ordered in reading.orders)
    for_customer = mail.enclosed and (not reading.orders or mail.forced or reading.names("enviar"))
    answers = bool(reading.text or for_customer) and not takes_text and ticket is not None
    work = Work(
        mail.proof.agent, book, desk, now, mail.received_at, ticket.reference if ticket else None, reading.text,
        mail.mail.subject, mail.mail.message_id, mail.mail.attachments, mail.forwarded, classify,
        answers=answers or (reached and not takes_text),
    )  # fmt: skip
    done = carry_out(work, tuple(one for one in reading.orders if not _lets_pass(one, answers)))
    doubts = _doubts(mail, work, answers and not reached, takes_text, desk)
    if not done or reading.unknown or doubts:
        can_send = done and not reading.unknown and (ticket is not None or mail.perhaps_done)
        reasons = [*reading.unknown, *doubts]
        return _held(mail, work.said, reasons, ticket, book, now, can_send)
    relayed: list[Effect] = []
    sent_to: tuple[str, ...] = ()
    if ticket and answers and not reached:
        relayed, sent_to = _relayed(mail, work, ticket, desk, now)
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
    if mail.perhaps_done and not mail.forced and (relays or reading.orders):
        return [
            "llegó en las horas que se perdieron al restaurar una copia de seguridad: lo que dice u ordena puede "
            "haberse hecho ya."
        ]
    if ticket is None or mail.letter in MANY_CASES:
        return [*(reading.stray if takes_text else ()), *_misplaced(mail, takes_text)]
    file = work.book.cases[ticket.reference]
    if mail.forced:
        return [] if takes_text else _since(mail, file)
    if reading.names("enviar"):
        return []
    doubts = [*reading.stray, *(_about_answer(mail, work, ticket, file, desk) if relays else ())]
    if work.told:
        doubts += _leaks("\n".join(work.told), mail, work, file, desk)
    if mail.enclosed and not relays and any(ordered.command.about_case for ordered in reading.orders):
        doubts.append("trae archivos y ningún texto: escriba la respuesta que los acompaña.")
    return doubts


def _misplaced(mail: AgentMail, takes_text: bool) -> list[str]:
    """A letter about many cases or none is answered: lookups, and orders that name their case."""
    if mail.reading.text and not takes_text:
        return ["este correo no es sobre un caso: responda el correo del caso para escribirle al cliente."]
    loose = [one for one in mail.reading.orders if one.command.about_case and one.case is None]
    return [f"#{one.command.name} necesita un radicado aquí." for one in loose]


def _about_answer(mail: AgentMail, work: Work, ticket: Ticket, file: CaseFile, desk: Desk) -> list[str]:
    """What speaks against sending this text to this customer now."""
    doubts = []
    if ticket.state is State.CLOSED and work.tickets.get(ticket.reference, ticket).state is State.CLOSED:
        doubts.append(f"el caso {ticket.reference} está cerrado: ponga #reabrir en la primera línea.")
    if mail.letter in NOT_THE_CUSTOMER:
        doubts.append("responde a un aviso del sistema, no al cliente.")
    if mail.named:
        named = ", ".join(mail.named)
        doubts.append(f"el asunto nombra {named}, pero usted responde un correo de {ticket.reference}.")
    if elsewhere := [str(one) for one in mail.reading.orders if one.command.about_case and _elsewhere(one, work)]:
        doubts.append(f"{elsewhere[0]} es de otro caso, y el texto saldría al cliente de {ticket.reference}.")
    if machine_phrases.sounds_away(machine_phrases.opening(mail.reading.text)):
        doubts.append("parece la respuesta automática de alguien que está ausente.")
    if mail.reading.text in _just_sent(mail, file):
        doubts.append("este mismo texto ya se le envió al cliente.")
    if mail.doubtful:
        doubts.append("puede haber quedado texto citado de otro correo.")
    said = "\n".join((mail.reading.text, *(one.filename for one in mail.files())))
    mails = [f.filename for f in mail.files() if _is_mail(f)]
    if mails:
        doubts.append(f"lleva adjunto otro correo: {', '.join(mails)}.")
    return [*doubts, *_since(mail, file), *_leaks(said, mail, work, file, desk)]


def _just_sent(mail: AgentMail, file: CaseFile) -> list[str]:
    """What this colleague answered since the customer's last words: sent a second time, or replayed by somebody."""
    since = takewhile(lambda words: words.direction != "in", reversed(file.words))
    return [one.text for one in since if one.direction == "out" and one.author.address in mail.proof.agent.addresses]


def _elsewhere(ordered: Ordered, work: Work) -> bool:
    return ordered.case is not None and work.book.cases[ordered.case].ticket.reference != work.case


def _is_mail(attachment: Attachment) -> bool:
    """It may be our own letter, with its key, or anybody's: nobody looks into it."""
    return attachment.content_type == "message/rfc822" or attachment.filename.lower().endswith((".eml", ".msg"))


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


def _leaks(said: str, mail: AgentMail, work: Work, file: CaseFile, desk: Desk) -> list[str]:
    ticket, policy = work.tickets.get(file.ticket.reference, file.ticket), desk.policy
    staff = {address for agent in policy.agents for address in agent.addresses}
    staff.update(*(level.addresses for level in policy.levels), policy.alarms_to, policy.reports_to)
    allowed = {ticket.customer.address, ticket.answer_to, *ticket.participants, *policy.office.addresses}
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
    mail: AgentMail, work: Work, ticket: Ticket, desk: Desk, now: datetime
) -> tuple[list[Effect], tuple[str, ...]]:
    """The colleague's words under their name from the office's address, to the customer and to who takes part."""
    agent, latest = mail.proof.agent, work.book.cases[ticket.reference].latest
    ticket = _moved_by_answer(work, ticket)
    author = Address(agent.address, agent.name)
    reply_by = last_day_to_complete(ticket, desk.policy, desk.calendar)
    facts = letter_facts.answer(ticket, mail.reading.text, agent, reply_by, desk)
    customer = Address(ticket.answer_to, ticket.customer.name)
    have_it = {customer.address, agent.address, *mail.reached}
    copies = [Address(guest) for guest in ticket.participants if guest not in have_it]
    letters: list[Effect] = [
        QueueLetter(
            work.letter, recipient, ticket.subject, facts, None, now, ticket.reference,
            answers=_answered_id(latest), thread=latest.references if latest else (), customer_facing=True,
            author=author, copy=recipient is not customer, words=mail.reading.text, enclosed=mail.enclosed,
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
    if book.transcripts >= TRANSCRIPTS_PER_DAY or (loops and book.asked >= ASKED_PER_DAY):
        return []
    return [_to_agent(mail, "transcript", facts, ticket, now, about or (ANSWERED if loops else ""))]


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
