"""What each order does: one function an order, from the case as it stands to effects and one line for the transcript.

Orders of one mail are tried one after the other on a copy; one that cannot be done refuses, and then none is done. The
same functions serve mail and the command line. An order for what already is succeeds and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from pqr_mailbot.domain import escalation, letter_facts
from pqr_mailbot.domain.business_days import Pause, local_day
from pqr_mailbot.domain.casework import Book, CaseFile, Forwarded, Found, Incoming, Said
from pqr_mailbot.domain.classify import shortest_candidate
from pqr_mailbot.domain.commands import Ordered
from pqr_mailbot.domain.effects import (
    AddParticipant,
    Effect,
    LinkTickets,
    MoveMessage,
    NoteAbsence,
    NoteEvent,
    OpenTicket,
    QueueLetter,
    RecordMessage,
    RemoveParticipant,
    RetryInbound,
    SaveTicket,
)
from pqr_mailbot.domain.leak_guard import addresses_in
from pqr_mailbot.domain.model import (
    Address,
    Attachment,
    Classification,
    Happening,
    ImpossibleMove,
    State,
    Ticket,
    moved,
)
from pqr_mailbot.domain.policy import Agent
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.domain.spanish import STATES, folded, long_date

NAMED = 200  # characters of an order that its transcript repeats
LONGEST_ABSENCE = timedelta(days=366)
FORWARD_AGE = timedelta(days=30)  # a forwarded mail's own date counts as its receipt within so many days
SUBJECT_LENGTH = 70  # characters of a phone call's first line that become its subject


class Refused(Exception):
    """An order that cannot be done; the text says why and how to go on, in Spanish, for whoever gave it."""


@dataclass
class Work:
    """The orders of one mail being tried. `case`: the one the mail is about; `text`: what stands below the orders.

    `answered`: will a text go to the customer with this mail? `letter`: as which letter.
    """

    agent: Agent
    book: Book
    desk: Desk
    now: datetime
    received_at: datetime
    case: str | None = None
    text: str = ""
    subject: str = ""
    message_id: str = ""
    attachments: tuple[Attachment, ...] = ()
    forwarded: Forwarded | None = None
    classify: Callable[[str, str], Classification] | None = None
    answers: bool = False
    letter: str = "answer"
    told: list[str] = field(default_factory=list)  # what orders themselves say to the customer in the agent's words
    opened: str | None = None  # the case that this mail opened
    said: list[Said] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    tickets: dict[str, Ticket] = field(default_factory=dict)

    # -- what deeds use --------------------------------------------------------------------------------------------

    def file(self, ordered: Ordered) -> CaseFile:
        """The case an order is about, as it was before this mail."""
        name = ordered.case or self.case
        if name is None:
            example = f"#{ordered.command.name} {self.desk.policy.reference_prefix}-{self.now.year}-000123"
            raise Refused(f"no se sabe de qué caso se trata: escriba el radicado, por ejemplo “{example}”.")
        return self.named(name)

    def named(self, reference: str) -> CaseFile:
        try:
            return self.book.cases[reference]
        except KeyError:
            raise Refused(f"no existe el caso {reference}.") from None

    def ticket(self, ordered: Ordered) -> Ticket:
        """The case an order is about, as the orders before it left it."""
        ticket = self.file(ordered).ticket
        return self.tickets.get(ticket.reference, ticket)

    def live(self, ordered: Ordered) -> Ticket:
        """The same, for what makes no sense on a closed case."""
        ticket = self.ticket(ordered)
        if ticket.state is State.CLOSED:
            raise Refused(f"el caso {ticket.reference} está cerrado; primero #reabrir.")
        return ticket

    def answering(self, ticket: Ticket) -> bool:
        """Does the text of this mail go to the customer of this very case?"""
        return self.answers and ticket.reference == self.case

    def save(self, ticket: Ticket, event: str, detail: str = "") -> None:
        self.tickets[ticket.reference] = ticket
        self.note(ticket.reference, event, detail)

    def move(self, ticket: Ticket, happening: Happening) -> Ticket:
        try:
            return replace(ticket, state=moved(ticket.state, happening))
        except ImpossibleMove:
            raise Refused(f"el caso {ticket.reference} está {STATES[ticket.state]}.") from None

    def note(self, reference: str, event: str, detail: str = "") -> None:
        self.effects.append(NoteEvent(reference, self.agent.address, event, detail))

    def tell(self, ticket: Ticket, address: str, event: str, note: str = "") -> None:
        """A notification about a case to one of the office's own people, with the customer's last words."""
        file = self.book.cases[ticket.reference]
        told = letter_facts.told_again(file, event, note, self.desk)
        facts = letter_facts.notification(ticket, told, self.desk, self.now)
        colleague = self.desk.policy.colleague(address)
        name = colleague.name if colleague else ""
        latest = file.latest
        self.effects.append(
            QueueLetter(
                "notification", Address(address, name), ticket.subject, {**facts, "agent_name": name},
                "auto-generated", self.now, ticket.reference,
                enclosed=told.enclosed, enclosed_from=latest.inbound_id if latest else None,
            )
        )  # fmt: skip

    def to_customer(self, ticket: Ticket, letter: str, facts: Mapping[str, object], thread: Incoming | None) -> None:
        """An automatic letter to the customer that an order asks for."""
        self.effects.append(
            QueueLetter(
                letter, ticket.customer, ticket.subject, facts, "auto-generated", self.now, ticket.reference,
                answers=thread.message_id if thread else "", thread=thread.references if thread else (),
                customer_facing=True,
            )
        )  # fmt: skip

    def results(self) -> list[Effect]:
        """What was done, the changed cases last: each is saved as the last order left it."""
        return [*self.effects, *(SaveTicket(ticket) for ticket in self.tickets.values())]


Deed = Callable[[Work, Ordered], str]


def carry_out(work: Work, orders: tuple[Ordered, ...]) -> bool:
    """Tries every order, each leaving its line in `work.said`. False when one was refused: then nothing may be done."""
    for ordered in orders:
        try:
            _goes_alone(ordered)
            work.said.append(Said(_named(ordered), DEEDS[ordered.command.name](work, ordered)))
        except Refused as refusal:
            work.said.append(Said(_named(ordered), str(refusal), ok=False))
    return all(said.ok for said in work.said)


def _named(ordered: Ordered) -> str:
    """The order as the transcript repeats it."""
    said = str(ordered)
    return said if len(said) <= NAMED else f"{said[:NAMED]}…"


def _goes_alone(ordered: Ordered) -> None:
    """No word and no case that was written is left out in silence."""
    if not ordered.command.arguments and ordered.arguments:
        raise Refused("esta orden va sola en su línea; escriba el texto debajo.")
    if len(ordered.references) > (2 if ordered.command.names_case and ordered.command.about_case else 1):
        raise Refused("nombra demasiados casos: escriba una línea por cada uno.")


# -- where a case stands -------------------------------------------------------------------------------------------


def _resolve(work: Work, ordered: Ordered) -> str:
    ticket = work.live(ordered)
    if ticket.state is State.RESOLVED and not work.answering(ticket):
        return f"{ticket.reference} ya estaba resuelto."
    unanswered = not work.answering(ticket) and not _answered(work.file(ordered))
    after = replace(work.move(ticket, Happening.OFFICE_RESOLVED), resolved_at=ticket.resolved_at or work.now)
    work.save(_paused_no_more(after, work), "resolved")
    work.letter = "resolved" if work.answering(ticket) else work.letter
    warning = " Atención: el cliente no ha recibido ninguna respuesta." if unanswered else ""
    return f"{ticket.reference} quedó resuelto.{warning}"


def _close(work: Work, ordered: Ordered) -> str:
    ticket = work.ticket(ordered)
    if ticket.state is State.CLOSED:
        return f"{ticket.reference} ya estaba cerrado."
    after = replace(work.move(ticket, Happening.OFFICE_CLOSED), closed_at=work.now)
    work.save(_paused_no_more(after, work), "closed")
    unanswered = not work.answering(ticket) and not _answered(work.file(ordered))
    warning = " Atención: el cliente no ha recibido ninguna respuesta." if unanswered else ""
    return f"{ticket.reference} quedó cerrado.{warning}"


def _reopen(work: Work, ordered: Ordered) -> str:
    ticket = work.ticket(ordered)
    if ticket.merged_into:
        raise Refused(f"{ticket.reference} sigue en {ticket.merged_into}.")
    if ticket.state not in (State.RESOLVED, State.CLOSED):
        return f"{ticket.reference} ya estaba abierto."
    after = replace(work.move(ticket, Happening.OFFICE_REOPENED), resolved_at=None, closed_at=None)
    after = _recounted(after, work.desk)  # the calendar may be another since
    work.save(after, "reopened", "by a colleague")
    return f"{ticket.reference} quedó abierto otra vez; vence el {long_date(after.due_on)}."


def _wait(work: Work, ordered: Ordered) -> str:
    ticket = work.live(ordered)
    kind = work.desk.policy.types.get(ticket.classification.type)
    if kind is None or not kind.wait_months:
        name = kind.name if kind else ticket.classification.type
        raise Refused(
            f"el plazo de un caso de tipo {name} no se suspende aunque falte información del cliente: "
            "escríbale sin #esperar y el caso sigue en curso."
        )
    if ticket.state is State.WAITING:
        return f"{ticket.reference} ya estaba en espera del cliente."
    if not work.answering(ticket) and not _asked(work.file(ordered)):
        raise Refused("escriba debajo qué debe enviar el cliente: sin pedírselo no se suspende el plazo.")
    today = local_day(work.now, work.desk.policy.office.timezone)
    pauses = (*ticket.pauses, Pause(today))
    after = replace(work.move(ticket, Happening.OFFICE_ASKED), pauses=pauses, resolved_at=None)
    work.save(after, "waiting", f"since {today}")
    work.letter = "request_for_information" if work.answering(ticket) else work.letter
    return f"{ticket.reference} queda en espera del cliente; el plazo se suspende desde hoy."


def _extend(work: Work, ordered: Ordered) -> str:
    ticket, desk = work.live(ordered), work.desk
    kind = desk.policy.types.get(ticket.classification.type)
    name = kind.name if kind else ticket.classification.type
    cap = kind.extension_days if kind else 0
    if not cap:
        raise Refused(f"un caso de tipo {name} no admite prórroga; puede escribirle al cliente cómo va.")
    if ticket.state is State.RESOLVED:
        raise Refused(f"el caso {ticket.reference} está resuelto; primero #reabrir.")
    if ticket.extension_days:
        raise Refused(f"{ticket.reference} ya tuvo una prórroga; solo se permite una.")
    day, reason = _date_and_rest(ordered.arguments)
    if not reason:
        raise Refused(f"falta el motivo: “#prorrogar {day} MOTIVO”; el cliente lo recibe.")
    today = local_day(work.now, desk.policy.office.timezone)
    if today > ticket.due_on:
        raise Refused(f"el plazo venció el {long_date(ticket.due_on)}: ya no se puede prorrogar.")
    if not desk.calendar.is_business_day(day):
        raise Refused(f"el {long_date(day)} no es día hábil.")
    longest = desk.calendar.term(ticket.due_on, cap).due_on
    if day > longest:  # compared as days: counting up to the year 9999 would take seconds
        raise Refused(f"para un caso de tipo {name} se admiten {cap} días hábiles más, hasta el {long_date(longest)}.")
    added = desk.calendar.between(ticket.due_on, day)
    if not added:
        raise Refused(f"el {long_date(day)} no es posterior al vencimiento, que es el {long_date(ticket.due_on)}.")
    after = _recounted(replace(ticket, extension_days=added), desk)
    work.told.append(reason)
    work.save(after, "extended", f"{ticket.due_on} -> {after.due_on}: {reason}")
    facts = letter_facts.extension(ticket, after, reason, work.agent, desk)
    work.to_customer(after, "extension", facts, work.file(ordered).latest)
    return f"{ticket.reference} vence ahora el {long_date(after.due_on)}; se le avisó a {ticket.customer.address}."


# -- who handles it ------------------------------------------------------------------------------------------------


def _assign(work: Work, ordered: Ordered) -> str:
    return _hand_over(work, ordered, _agent_named(work, ordered.arguments))


def _take(work: Work, ordered: Ordered) -> str:
    agent = work.desk.policy.agent_of(work.agent.address)
    if agent is None:
        raise Refused("solo un agente puede quedar a cargo de un caso; use #asignar.")
    return _hand_over(work, ordered, agent)


def _release(work: Work, ordered: Ordered) -> str:
    ticket = work.live(ordered)
    kind = ticket.classification.type
    able = {agent.address for agent in work.desk.policy.agents_for(kind)}
    others = [one for one in work.book.queue if one != ticket.owner]
    following = next((one for one in others if one in able), None) or next(iter(others), None)
    if following is None:
        raise Refused("no hay otro agente que lo reciba.")
    agent = work.desk.policy.agent_of(following)
    assert agent
    return _hand_over(work, ordered, agent)


def _hand_over(work: Work, ordered: Ordered, agent: Agent) -> str:
    ticket = work.live(ordered)
    if ticket.owner == agent.address:
        return f"{ticket.reference} ya estaba a cargo de {agent.name}."
    after = replace(ticket, owner=agent.address)
    work.save(after, "assigned", agent.address)
    if agent.address != work.agent.address:
        work.tell(after, agent.address, "Caso asignado a usted")
    away = "" if agent.address in work.book.queue else f" Atención: {agent.name} está ausente."
    return f"{ticket.reference} queda a cargo de {agent.name}.{away}"


def _escalate(work: Work, ordered: Ordered) -> str:
    ticket, policy = work.live(ordered), work.desk.policy
    if not ordered.arguments:
        raise Refused("falta el motivo: “#escalar MOTIVO”.")
    if ticket.level >= len(policy.levels):
        raise Refused(f"{ticket.reference} ya está en el nivel más alto ({policy.levels[-1].name}).")
    after, noted = escalation.raised(ticket, ticket.level + 1, ordered.arguments, work.agent.address)
    work.tickets[ticket.reference] = after
    work.effects += noted
    level = policy.levels[after.level - 1]
    file = work.book.cases[ticket.reference]
    told, source = letter_facts.told_again(file, "", "", work.desk), file.latest.inbound_id if file.latest else None
    by = work.agent.name or work.agent.address
    work.effects += escalation.letters(after, after.level, told, ordered.arguments, by, source, work.desk, work.now)
    return f"{ticket.reference} pasó al nivel {after.level} ({level.name}): se avisó a {', '.join(level.addresses)}."


# -- what it is ----------------------------------------------------------------------------------------------------


def _retype(work: Work, ordered: Ordered) -> str:
    ticket, types = work.live(ordered), work.desk.policy.types
    wanted = folded(ordered.arguments)
    kind = next((one for one in types.values() if wanted in (folded(one.key), folded(one.name))), None)
    if kind is None:
        names = ", ".join(one.name for one in types.values())
        raise Refused(f"no hay un tipo “{ordered.arguments[:40]}”; los tipos son {names}.")
    before = ticket.classification
    if before.type == kind.key and before.certain:
        return f"{ticket.reference} ya era de tipo {kind.name}."
    after = _recounted(
        replace(
            ticket,
            classification=replace(before, type=kind.key, confidence=1.0),
            business_days=kind.resolve_days,
        ),
        work.desk,
    )
    work.save(after, "reclassified", f"{before.type} -> {kind.key}")
    return f"{ticket.reference} es de tipo {kind.name}; vence el {long_date(after.due_on)}."


def _urgent(work: Work, ordered: Ordered) -> str:
    ticket, policy = work.live(ordered), work.desk.policy
    if ticket.urgent:
        return f"{ticket.reference} ya era urgente."
    after = replace(ticket, urgent=True)
    work.save(after, "urgent")
    told = [one for one in policy.level_addresses(2) if one != work.agent.address] if len(policy.levels) > 1 else []
    for address in told:
        work.tell(after, address, "Urgente")
    return f"{ticket.reference} es urgente{'; se avisó a ' + ', '.join(told) if told else ''}."


def _not_urgent(work: Work, ordered: Ordered) -> str:
    ticket = work.ticket(ordered)
    if not ticket.urgent:
        return f"{ticket.reference} no era urgente."
    work.save(replace(ticket, urgent=False), "not_urgent")
    return f"{ticket.reference} ya no es urgente."


def _merge(work: Work, ordered: Ordered) -> str:
    ticket, into = work.live(ordered), _other(work, ordered)
    if into.reference == ticket.reference:
        raise Refused(f"{ordered.other} ya es este mismo caso.")
    if into.state is State.CLOSED:
        raise Refused(f"{into.reference} está cerrado; primero #reabrir {into.reference}.")
    if into.customer.address != ticket.customer.address:
        raise Refused(
            f"{into.reference} es de otro cliente: unirlos mezclaría sus datos. Use #vincular {into.reference}."
        )
    if into.due_on > ticket.due_on:
        raise Refused(
            f"{ticket.reference} vence antes que {into.reference}: ordene al revés, "
            f"“#unir {into.reference} {ticket.reference}”."
        )
    after = replace(work.move(ticket, Happening.OFFICE_CLOSED), closed_at=work.now, merged_into=into.reference)
    work.save(_paused_no_more(after, work), "merged", into.reference)
    work.note(into.reference, "merged_from", ticket.reference)
    work.effects.append(LinkTickets(ticket.reference, into.reference))
    work.effects += [AddParticipant(into.reference, guest) for guest in ticket.participants]
    work.to_customer(after, "merged", letter_facts.merged(ticket, into), work.file(ordered).latest)
    return f"{ticket.reference} sigue en {into.reference}; se le avisó a {ticket.customer.address}."


def _link(work: Work, ordered: Ordered) -> str:
    ticket, other = work.ticket(ordered), _other(work, ordered)
    if other.reference == ticket.reference:
        raise Refused(f"{ordered.other} es este mismo caso.")
    work.effects.append(LinkTickets(ticket.reference, other.reference))
    work.note(ticket.reference, "linked", other.reference)
    work.note(other.reference, "linked", ticket.reference)
    return f"{ticket.reference} y {other.reference} quedaron enlazados."


def _split(work: Work, ordered: Ordered) -> str:
    file = work.file(ordered)
    ticket, latest = work.live(ordered), file.latest
    incoming = [words for words in file.words if words.direction == "in"]
    if latest is None or len(incoming) < 2:
        raise Refused(f"{ticket.reference} tiene un solo correo del cliente: no hay qué separar.")
    found = _classified(work, latest.subject, latest.text)
    opened = _new_case(work, ticket.customer, latest.subject, found, latest.at, ticket.owner, ticket.reply_address)
    work.effects += [
        MoveMessage(latest.message, opened.reference),
        LinkTickets(opened.reference, ticket.reference),
        _acknowledged(work, opened, latest.attachments, latest.message_id, latest.references),
    ]
    work.note(ticket.reference, "split", opened.reference)
    return f"el último correo del cliente pasó al caso nuevo {opened.reference}; se le envió el acuse de recibo."


def _participants(work: Work, ordered: Ordered) -> str:
    ticket = work.live(ordered)
    steps = re.findall(r"([+-]?)\s*<?([^\s<>,;+-][^\s<>,;]*@[^\s<>,;]+)>?", ordered.arguments)
    if not steps:
        raise Refused("escriba las direcciones: “#cc +ella@correo.com -el@correo.com”.")
    done = []
    for sign, said in steps:
        address = _address(said)
        if sign == "-":
            if address not in ticket.participants:
                done.append(f"{address} no participaba")
                continue
            ticket = replace(ticket, participants=tuple(one for one in ticket.participants if one != address))
            work.effects.append(RemoveParticipant(ticket.reference, address))
            work.save(ticket, "participant_removed", address)
            done.append(f"{address} ya no participa")
        elif ticket.admits(address):
            done.append(f"{address} ya participaba")
        else:
            _outsider(work, address)
            if work.desk.policy.is_staff(address):
                raise Refused(f"{address} es de la oficina: su correo contaría como del cliente. Use #asignar.")
            ticket = replace(ticket, participants=(*ticket.participants, address))
            work.effects.append(AddParticipant(ticket.reference, address))
            work.save(ticket, "participant_added", address)
            done.append(f"{address} participa y recibirá copia de las respuestas")
    return f"{ticket.reference}: {'; '.join(done)}."


def _change_customer(work: Work, ordered: Ordered) -> str:
    ticket = work.live(ordered)
    customer = _person(ordered.arguments)
    if customer.address == ticket.customer.address:
        return f"{customer.address} ya era el cliente de {ticket.reference}."
    _outsider(work, customer.address)
    after = replace(ticket, customer=customer, reply_address=None, acknowledged_at=None)
    work.save(after, "customer_changed", f"{ticket.customer.address} -> {customer.address}")
    return (
        f"el cliente de {ticket.reference} es ahora {customer.address}; {ticket.customer.address} ya no recibe nada. "
        "Con #acusar le envía el acuse de recibo."
    )


# -- letters and mails ---------------------------------------------------------------------------------------------


def _note(work: Work, ordered: Ordered) -> str:
    ticket = work.ticket(ordered)
    text = "\n".join(filter(None, (ordered.arguments, work.text)))
    if not text:
        raise Refused("escriba el texto de la nota debajo de la orden.")
    work.effects.append(
        RecordMessage(
            ticket.reference, "note", Address(work.agent.address, work.agent.name), (), work.subject or ticket.subject,
            work.message_id, work.received_at, text, text, work.attachments, verified=True,
        )
    )  # fmt: skip
    work.note(ticket.reference, "note")
    return f"la nota quedó en {ticket.reference}; el cliente no la recibe."


def _register(work: Work, ordered: Ordered) -> str:
    """A call or a forwarded mail becomes the customer's own case, with the written constancia (policy, channels)."""
    passed = work.forwarded
    customer = _person(ordered.arguments) if ordered.arguments else passed.sender if passed else None
    if customer is None:
        raise Refused("escriba de quién es: “#registrar DIRECCIÓN NOMBRE”, o reenvíe el correo del cliente.")
    _outsider(work, customer.address)
    text = passed.text if passed else work.text
    if not text.strip():
        raise Refused("escriba debajo lo que dijo el cliente.")
    subject = passed.subject if passed else _first_line(text)
    received = _received(work, passed)
    found = _classified(work, subject, text)
    agent = work.desk.policy.agent_of(work.agent.address)
    able = agent is not None and customer.address not in agent.addresses  # nobody answers themselves
    owner = work.agent.address if able else _next_owner(work, found.type, but=work.agent.address)
    opened = _new_case(work, customer, subject, found, received, owner)
    channel = "a forwarded mail" if passed else "a telephone call"
    message_id = passed.message_id if passed and passed.message_id else work.message_id
    work.effects.append(
        RecordMessage(opened.reference, "in", customer, (), subject, message_id, received, text, text, work.attachments)
    )
    work.note(opened.reference, "registered", channel)
    if passed and work.text.strip():
        work.effects.append(
            RecordMessage(opened.reference, "note", Address(work.agent.address, work.agent.name), (), subject,
                          work.message_id, work.received_at, work.text, work.text, verified=True)
        )  # fmt: skip
    letter = "acknowledgement" if passed else "phone_receipt"
    work.effects.append(_acknowledged(work, opened, work.attachments if passed else (), "", (), letter))
    work.opened = opened.reference
    due = long_date(opened.due_on)
    return f"se abrió {opened.reference} para {customer.address} y se le envió la constancia; vence el {due}."


def _acknowledge(work: Work, ordered: Ordered) -> str:
    file, ticket = work.file(ordered), work.live(ordered)
    if ticket.acknowledged_at or file.acknowledgement in ("queued", "sending"):
        when = "ya se le envió" if ticket.acknowledged_at else "ya está por salir"
        return f"el acuse de recibo de {ticket.reference} {when}."
    latest = file.latest
    work.effects.append(
        QueueLetter(
            "acknowledgement", ticket.customer, ticket.subject,
            letter_facts.acknowledgement_of(ticket, latest.attachments if latest else (), work.desk),
            "auto-replied", work.now, ticket.reference, answers=latest.message_id if latest else "",
            thread=latest.references if latest else (), customer_facing=True,
        )
    )  # fmt: skip
    work.note(ticket.reference, "acknowledgement_released")
    return f"el acuse de recibo de {ticket.reference} sale para {ticket.customer.address}."


def _spam(work: Work, ordered: Ordered) -> str:
    ticket = work.ticket(ordered)
    if ticket.state is State.CLOSED:
        return f"{ticket.reference} ya estaba cerrado."
    if work.answering(ticket):
        raise Refused("a un correo basura no se le responde: quite el texto.")
    work.save(replace(work.move(ticket, Happening.OFFICE_CLOSED), closed_at=work.now), "spam")
    return f"{ticket.reference} quedó cerrado como correo basura; no se le escribe a nadie."


def _open(work: Work, ordered: Ordered) -> str:
    number = ordered.arguments.strip().lstrip("#")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise Refused("escriba el número del correo apartado: “#abrir 123”.")
    state = work.book.inbound_states.get(int(number))
    if state not in ("set_aside", "failed"):
        raise Refused(f"el correo {number} {'no está apartado' if state else 'no existe'}.")
    work.effects.append(RetryInbound(int(number)))
    return f"el correo {number} se procesa ahora como el de una persona."


def _away(work: Work, ordered: Ordered) -> str:
    agent = work.desk.policy.agent_of(work.agent.address)
    if agent is None:
        raise Refused("solo un agente puede declararse ausente.")
    if folded(ordered.arguments) in ("no", "ninguno", "cancelar", "off"):
        work.effects.append(NoteAbsence(agent.address, date.max, date.min))
        return "su ausencia quedó sin efecto: vuelve a recibir casos."
    days = [_date(said) for said in re.findall(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{4}", ordered.arguments)]
    if not 1 <= len(days) <= 2:
        raise Refused("escriba desde y hasta cuándo: “#ausente 2026-12-20..2027-01-05”.")
    first, last = days[0], days[-1]
    today = local_day(work.now, work.desk.policy.office.timezone)
    if last < first or last < today or last - first > LONGEST_ABSENCE:
        raise Refused("la ausencia termina antes de comenzar, ya pasó o es de más de un año.")
    work.effects.append(NoteAbsence(agent.address, first, last))
    passed_on = _pass_on_urgent(work, agent) if first <= today else []
    moved_on = f" Sus casos urgentes pasaron a otro agente: {', '.join(passed_on)}." if passed_on else ""
    alone = "Solo vale esta ausencia: si había otra, queda sin efecto."
    return f"del {long_date(first)} al {long_date(last)} no recibe casos nuevos.{moved_on} {alone}"


def _pass_on_urgent(work: Work, agent: Agent) -> list[str]:
    """What is urgent does not wait for somebody's return."""
    return pass_on_urgent(work, agent, [found.reference for found in work.book.mine if found.urgent])


def pass_on_urgent(work: Work, agent: Agent, references: list[str]) -> list[str]:
    """Hands these cases of an agent who is away to whoever is next. Returns those that found somebody."""
    done = []
    for reference in references:
        ticket = work.tickets.get(reference, work.book.cases[reference].ticket)
        following = _next_owner(work, ticket.classification.type, but=agent.address)
        if following and following != agent.address:
            after = replace(ticket, owner=following)
            work.save(after, "assigned", f"{following}: {agent.address} is away")
            work.tell(after, following, "Caso asignado a usted", f"{agent.name} está ausente y el caso es urgente.")
            done.append(reference)
    return done


# -- lookups, and orders about mails -------------------------------------------------------------------------------


def _show(work: Work, ordered: Ordered) -> str:
    name = ordered.other or work.case
    if name is None:
        raise Refused("escriba el radicado: “#ver PQR-2026-000123”.")
    work.named(name)
    return "vea abajo."


def _looked_up(work: Work, ordered: Ordered) -> str:
    return "vea abajo."


def _search(work: Work, ordered: Ordered) -> str:
    if not ordered.arguments:
        raise Refused("escriba qué buscar: “#buscar molienda”.")
    return f"{_count(work.book.found.get(ordered.arguments, ()))}; vea abajo."


def _history(work: Work, ordered: Ordered) -> str:
    address = _address(ordered.arguments)
    return f"{_count(work.book.histories.get(address, ()))} de {address}; vea abajo."


def _nothing_held(work: Work, ordered: Ordered) -> str:
    """`#enviar` over a text lets it pass, and is ruled elsewhere; alone it answers a letter that says what is held."""
    if not work.answers:
        raise Refused("no hay nada retenido para enviar; responda el correo que dice qué se retuvo.")
    return "el texto se envía sin más revisión."


def _nothing_to_confirm(work: Work, ordered: Ordered) -> str:
    raise Refused("no hay nada que confirmar; responda el correo que lo pregunta.")


DEEDS: Mapping[str, Deed] = {
    "nota": _note,
    "resolver": _resolve,
    "cerrar": _close,
    "reabrir": _reopen,
    "esperar": _wait,
    "prorrogar": _extend,
    "asignar": _assign,
    "tomar": _take,
    "soltar": _release,
    "escalar": _escalate,
    "tipo": _retype,
    "urgente": _urgent,
    "normal": _not_urgent,
    "unir": _merge,
    "vincular": _link,
    "separar": _split,
    "cc": _participants,
    "cliente": _change_customer,
    "registrar": _register,
    "acusar": _acknowledge,
    "spam": _spam,
    "abrir": _open,
    "ausente": _away,
    "ver": _show,
    "lista": _looked_up,
    "buscar": _search,
    "historial": _history,
    "enviar": _nothing_held,
    "confirmar": _nothing_to_confirm,
    "ayuda": _looked_up,
}


# -- what deeds share ----------------------------------------------------------------------------------------------


def _recounted(ticket: Ticket, desk: Desk) -> Ticket:
    """With its deadline counted anew from the receipt, as everywhere."""
    return replace(ticket, due_on=desk.due(ticket).due_on)


def _paused_no_more(ticket: Ticket, work: Work) -> Ticket:
    return completed(ticket, local_day(work.now, work.desk.policy.office.timezone), work.desk)


def completed(ticket: Ticket, on: date, desk: Desk) -> Ticket:
    """The same case when what the customer owed came on a day, or is no longer waited for."""
    if not ticket.pauses or ticket.pauses[-1].completed_on is not None:
        return ticket
    pauses = (*ticket.pauses[:-1], replace(ticket.pauses[-1], completed_on=max(on, ticket.pauses[-1].asked_on)))
    return _recounted(replace(ticket, pauses=pauses), desk)


def _new_case(
    work: Work, customer: Address, subject: str, found: Classification, received: datetime, owner: str | None,
    reply_address: str | None = None,
) -> OpenTicket:  # fmt: skip
    if work.opened or any(isinstance(effect, OpenTicket) for effect in work.effects):
        raise Refused("cada correo puede abrir un solo caso.")
    kind = shortest_candidate(found, work.desk.policy.types)
    term = work.desk.term(received, kind.resolve_days)
    opened = OpenTicket(
        work.book.next_reference, customer, subject, found, received, term.business_days, term.due_on, owner,
        reply_address,
    )  # fmt: skip
    work.effects.append(opened)
    work.note(opened.reference, "opened", f"type {found.type}, {term.business_days} business days")
    return opened


def _acknowledged(
    work: Work, opened: OpenTicket, attachments: tuple[Attachment, ...], answers: str, thread: tuple[str, ...],
    letter: str = "acknowledgement",
) -> QueueLetter:  # fmt: skip
    facts = letter_facts.acknowledgement_of(opened, attachments, work.desk)
    if letter == "phone_receipt":
        facts = {**facts, "agent_name": work.agent.name}
    return QueueLetter(
        letter, opened.customer, opened.subject, facts, "auto-replied", work.now, opened.reference, answers=answers,
        thread=thread, customer_facing=True,
    )  # fmt: skip


def _classified(work: Work, subject: str, text: str) -> Classification:
    assert work.classify is not None
    return work.classify(subject, text)


def _received(work: Work, passed: Forwarded | None) -> datetime:
    """A forwarded mail reached the company when it reached the colleague, as far as its date can be believed."""
    sent = passed.sent_at if passed else None
    believable = sent is not None and work.received_at - FORWARD_AGE <= sent <= work.received_at
    return sent if sent and believable else work.received_at


def _next_owner(work: Work, type_key: str, but: str = "") -> str | None:
    able = {agent.address for agent in work.desk.policy.agents_for(type_key)}
    queue = [one for one in work.book.queue if one != but]
    return next((one for one in queue if one in able), None) or next(iter(queue), None)


def _other(work: Work, ordered: Ordered) -> Ticket:
    if ordered.other is None:
        raise Refused(f"escriba el otro radicado: “#{ordered.command.name} PQR-2026-000123”.")
    ticket = work.named(ordered.other).ticket
    return work.tickets.get(ticket.reference, ticket)


def _agent_named(work: Work, said: str) -> Agent:
    wanted = folded(said)
    agents = work.desk.policy.agents
    exact = [a for a in agents if wanted in {*map(folded, a.addresses), folded(a.name)}]
    begins = exact or [a for a in agents if wanted and (folded(a.name) + "\0").startswith(wanted)]
    if len(begins) != 1:
        raise Refused(f"no hay un único agente “{said[:40]}”; son {', '.join(a.address for a in agents)}.")
    return begins[0]


def _outsider(work: Work, address: str) -> None:
    if address in work.desk.policy.office.addresses:
        raise Refused(f"{address} es la dirección de la oficina.")


def _person(said: str) -> Address:
    """`clara@x.co Clara Gómez`, in either order."""
    address = _address(said)
    name = re.sub(r"\S*@\S*", " ", said)
    return Address(address, " ".join(name.replace("<", " ").replace(">", " ").strip(" \"',;").split()))


def _address(said: str) -> str:
    found = addresses_in(said)
    address = next(iter(found), "").strip("*`")  # bold, as text mails show it
    if len(found) != 1 or len(address) > 254 or not _MAILBOX.fullmatch(address):
        raise Refused(f"“{said[:60]}” no es una dirección de correo.")
    return address


_MAILBOX = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.)+[\w-]{2,63}")


def _date_and_rest(said: str) -> tuple[date, str]:
    first, _, rest = said.partition(" ")
    return _date(first), rest.strip(" .,:;-")


def _date(said: str) -> date:
    """`2026-07-01`, or `1/7/2026` with the day first."""
    for pattern, order in ((r"(\d{4})-(\d{1,2})-(\d{1,2})", (1, 2, 3)), (r"(\d{1,2})/(\d{1,2})/(\d{4})", (3, 2, 1))):
        if found := re.fullmatch(pattern, said.strip(" .,;")):
            year, month, day = (int(found[at]) for at in order)
            try:
                return date(year, month, day)
            except ValueError:
                break
    raise Refused(f"“{said[:20]}” no es una fecha; escriba por ejemplo 2026-07-01.")


def _answered(file: CaseFile) -> bool:
    return file.ticket.first_answered_at is not None


def _asked(file: CaseFile) -> bool:
    """Is a person's letter the last word of the conversation?"""
    said = [words for words in file.words if words.direction == "in" or words.letter in (*ANSWERS, None)]
    return bool(said) and said[-1].direction == "out"


ANSWERS = letter_facts.PERSONS_LETTERS


def _first_line(text: str) -> str:
    line = " ".join(next(line for line in text.splitlines() if line.strip()).split())
    return line if len(line) <= SUBJECT_LENGTH else f"{line[:SUBJECT_LENGTH].rsplit(' ', 1)[0]}…"


def _count(found: tuple[Found, ...]) -> str:
    return "ningún caso" if not found else "un caso" if len(found) == 1 else f"{len(found)} casos"
