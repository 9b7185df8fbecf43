"""What each letter is told, in plain values: the only way from a decision to the words people read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from pqr_mailbot.domain.bounce import BouncedRecipient, SentLetter, likely_address
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.casework import AgentMail, Aside, CaseFile, Found, Said
from pqr_mailbot.domain.commands import shown
from pqr_mailbot.domain.effects import Facts, OpenTicket
from pqr_mailbot.domain.health import hour
from pqr_mailbot.domain.language import SPANISH, language_of
from pqr_mailbot.domain.machine_phrases import is_forward, plain_subject
from pqr_mailbot.domain.model import Address, Attachment, State, Ticket
from pqr_mailbot.domain.policy import Agent
from pqr_mailbot.domain.reminders import last_day_to_complete
from pqr_mailbot.domain.situation import Desk, Earlier, MachineMail, Occasion, Situation
from pqr_mailbot.domain.spanish import LETTERS, STATES, flag, long_date

TEXT_SHOWN = 20_000  # characters of a customer's text in a notification; the whole is in the store
ENCLOSED_BYTES = 10 * 2**20  # decoded bytes of attachments that go along with a notification
SENT_SHOWN = 300  # characters of an answer in its transcript
CASES_SHOWN = 50  # cases in a letter about many, those with the fewest days left
REASONS_SHOWN, REASON_SHOWN = 20, 500  # why a mail is held, and characters of each
MACHINES_SHOWN = 20  # machines' mails in a digest
_FIRST_CLAUSE = r": | \(|\.(?: |$)"  # where the first clause of a problem ends
WORDS_SHOWN, QUOTE_SHOWN = 20, 2_000  # messages of a case in a lookup, and characters of each


def acknowledgement(occasion: Occasion, opened: OpenTicket, others: Sequence[Ticket], desk: Desk) -> Facts:
    """The customer's constancia. Never the body; the subject only as the letter adapter shortens it.

    `others`: cases of the same person whose acknowledgement had to wait, and which this letter names too.
    """
    zone = desk.policy.office.timezone
    return {
        **acknowledgement_of(opened, occasion.mail.attachments, desk),
        "language": language_of(occasion.mail.subject, occasion.mail.text),
        "others": [
            {
                "reference": case.reference,
                "subject": case.subject,
                "received_on": local_day(case.opened_at, zone),
                "due_on": case.due_on,
            }
            for case in others
        ],
    }


def acknowledgement_of(case: Ticket | OpenTicket, attachments: Sequence[Attachment], desk: Desk) -> dict[str, object]:
    """The constancia of one case."""
    return {
        **_case(case, desk),
        "others": [],
        "language": SPANISH,
        "customer_name": case.customer.name,
        "subject": case.subject,
        "attachments": [attachment.filename for attachment in attachments],
    }


@dataclass(frozen=True, slots=True)
class Told:
    """What a notification brings beside the case: whose words, when, and what else the colleague should know."""

    event: str
    author: Address
    at: datetime
    text: str
    attachments: tuple[Attachment, ...] = ()
    warning: str = ""
    note: str = ""
    earlier: tuple[Earlier, ...] = ()
    history: tuple[tuple[datetime, str], ...] = ()
    related: tuple[str, ...] = ()

    @property
    def enclosed(self) -> tuple[int, ...]:
        """The attachments that go along: all of them, or none when together they are too large for a mail program."""
        fit = sum(attachment.size for attachment in self.attachments) <= ENCLOSED_BYTES
        return tuple(range(len(self.attachments))) if fit else ()


def told(occasion: Occasion, case: Ticket | OpenTicket, withheld: str | None, situation: Situation) -> Told:
    """What the mail at hand has to tell."""
    opening, related = isinstance(case, OpenTicket), occasion.related()
    return Told(
        "Caso nuevo" if opening else "El cliente escribió", occasion.identity.author, occasion.received_at,
        _text_shown(occasion, opening), occasion.mail.attachments if occasion.mail.complete else (),
        _warning(occasion, withheld), "", situation.earlier, situation.history, (related,) if related else (),
    )  # fmt: skip


def told_again(file: CaseFile, event: str, note: str, desk: Desk) -> Told:
    """The same for a colleague who hears of a case later: the customer's last words."""
    latest, ticket = file.latest, file.ticket
    author = latest.author if latest else ticket.customer
    at, text = (latest.at, latest.text) if latest else (ticket.opened_at, "")
    attachments = latest.attachments if latest else ()
    return Told(event, author, at, text, attachments, "", note, file.earlier, file.history, file.related)


def notification(case: Ticket | OpenTicket, told: Told, desk: Desk, now: datetime) -> dict[str, object]:
    """What the customer wrote and what we know, for whoever answers."""
    zone, classification, enclosed = desk.policy.office.timezone, case.classification, set(told.enclosed)
    written = told.at.astimezone(zone)
    return {
        **_case(case, desk),
        "event": told.event,
        "note": told.note,
        "written_on": None if told.at == case.opened_at else written.date(),
        "written_hour": written.strftime("%H:%M"),
        "customer_name": case.customer.name,
        "customer_address": case.customer.address,
        "writer": "" if told.author.address == case.customer.address else told.author.address,
        "answer_to": case.reply_address or case.customer.address,
        "subject": case.subject,
        "text": told.text[:TEXT_SHOWN],
        "attachments": [
            {"filename": a.filename, "content_type": a.content_type, "size": a.size, "enclosed": at in enclosed}
            for at, a in enumerate(told.attachments)
        ],
        "confidence": round(classification.confidence * 100),
        "evidence": list(dict.fromkeys(e.words for e in classification.evidence if e.type == classification.type)),
        "urgent": case.urgent if isinstance(case, Ticket) else classification.urgent,
        "urgency": list(map(flag, classification.urgency)),
        "days_left": desk.calendar.days_left(local_day(now, zone), case.due_on),
        "earlier": [
            {
                "reference": e.reference,
                "subject": e.subject,
                "state": e.state.value,
                "opened_on": local_day(e.opened_at, zone),
            }
            for e in told.earlier
        ],
        "history": [{"at": at.astimezone(zone).strftime("%Y-%m-%d %H:%M"), "what": what} for at, what in told.history],
        "related": list(told.related),
        "warning": told.warning,
        "orders": shown(),
    }


def _text_shown(occasion: Occasion, opening: bool) -> str:
    """What an agent reads: the writer's words and signature; of a forward that opens a case, what is forwarded too."""
    return occasion.mail.text if opening and is_forward(plain_subject(occasion.mail.subject)) else occasion.parts.own


# -- what colleagues answer and order ------------------------------------------------------------------------------


def answer(ticket: Ticket, text: str, agent: Agent, reply_by: date | None, desk: Desk) -> Facts:
    """A colleague's words to the customer, as an answer, the last one, or a question."""
    return {
        **_case(ticket, desk),
        "text": text,
        "agent_name": agent.name,
        "subject": ticket.subject,
        "customer_name": ticket.customer.name,
        "reply_by": reply_by,
        "paused": ticket.state is State.WAITING,
    }


def extension(before: Ticket, after: Ticket, reason: str, agent: Agent, desk: Desk) -> Facts:
    """To the customer: the term is longer, and why (Ley 1755/2015 art. 14 par.)."""
    return {
        **_case(after, desk),
        "subject": after.subject,
        "customer_name": after.customer.name,
        "reason": reason,
        "old_due_on": before.due_on,
        "agent_name": agent.name,
    }


def merged(ticket: Ticket, into: Ticket) -> Facts:
    """To the customer: their case goes on under another number."""
    return {
        "reference": ticket.reference,
        "into": into.reference,
        "subject": into.subject,
        "customer_name": ticket.customer.name,
        "due_on": into.due_on,
    }


def transcript(
    mail: AgentMail,
    said: Sequence[Said],
    sent_to: Sequence[str],
    sections: Sequence[Mapping[str, object]],
    reference: str | None,
    reached: bool,
) -> Facts:
    """To the colleague: what their mail did, order by order, and who got what."""
    lines = [{"order": one.order, "said": one.said, "ok": one.ok} for one in said]
    if reached:
        direct = "el cliente ya recibió su correo directamente; quedó en el caso y no se envió otra vez."
        lines.append({"order": "Su respuesta", "said": direct, "ok": True})
    return {
        "reference": reference or "",
        "agent_name": mail.proof.agent.name,
        "subject": mail.mail.subject,
        "lines": lines,
        "sent_to": list(sent_to),
        "sent_text": mail.reading.text[:SENT_SHOWN] if sent_to else "",
        "sent_files": [a.filename for at, a in enumerate(mail.mail.attachments) if sent_to and at in mail.enclosed],
        "held": [],
        "can_send": False,
        "again": False,
        "sections": [dict(section) for section in sections],
        "help": mail.reading.names("ayuda"),
        "orders": shown(),
    }


def held(mail: AgentMail, reasons: Sequence[str], can_send: bool) -> Facts:
    """To the colleague: why nothing was sent and nothing changed."""
    return {
        **transcript(mail, (), (), (), mail.ticket.reference if mail.ticket else None, reached=False),
        "held": [reason[:REASON_SHOWN] for reason in reasons[:REASONS_SHOWN]],
        "can_send": can_send,
        "again": bool(mail.ticket) and not can_send and mail.released is None,
        "help": False,
    }


def challenge(mail: AgentMail, ticket: Ticket | None, until: datetime, desk: Desk) -> Facts:
    """To the registered address: did you write this?"""
    zone = desk.policy.office.timezone
    would = [f"se cumple la orden {ordered}" for ordered in mail.reading.orders]
    if mail.reading.text and ticket and not any(ordered.command.takes_text for ordered in mail.reading.orders):
        would.append(f"el texto del correo sale para {ticket.answer_to}")
    received = mail.received_at.astimezone(zone)
    return {
        "reference": ticket.reference if ticket else "",
        "agent_name": mail.proof.agent.name,
        "subject": mail.mail.subject,
        "received_on": received.date(),
        "received_hour": received.strftime("%H:%M"),
        "would": would or ["el correo queda en el caso"],
        "expires_on": local_day(until, zone),
    }


def digest(
    agent: Agent, mine: Sequence[Found], waiting: Sequence[Found], machines: Sequence[Aside], desk: Desk, today: date
) -> Facts:
    """To an agent each business morning: what is theirs, by days left."""
    zone = desk.policy.office.timezone

    def rows(found: Sequence[Found]) -> list[dict[str, object]]:
        return [
            {
                "reference": one.reference,
                "subject": one.subject,
                "customer": one.customer,
                "state": one.state.value,
                "due_on": one.due_on,
                "days_left": desk.calendar.days_left(today, one.due_on),
                "urgent": one.urgent,
            }
            for one in found[:CASES_SHOWN]
        ]

    example = (*mine, *waiting)
    return {
        "agent_name": agent.name,
        "today": today,
        "mine": rows(mine),
        "mine_total": len(mine),
        "waiting": rows(waiting),
        "waiting_total": len(waiting),
        "machines": [
            {
                "id": one.id,
                "received": one.received_at.astimezone(zone).strftime("%Y-%m-%d %H:%M"),
                "sender": one.sender,
                "subject": one.subject,
                "verdict": one.verdict,
            }
            for one in machines[:MACHINES_SHOWN]
        ],
        "machines_more": max(0, len(machines) - MACHINES_SHOWN),
        "order_example": f"#ver {example[0].reference}" if example else "#lista",
    }


def reminder(ticket: Ticket, told: Told, reason: str, desk: Desk, now: datetime) -> dict[str, object]:
    """To a colleague: this case is waiting."""
    return {**notification(ticket, told, desk, now), "reason": reason, "cases": []}


def reminders(rows: Sequence[tuple[Ticket, str]], agent_name: str, desk: Desk, today: date) -> Facts:
    """To a colleague, about many cases at once: each with why."""
    cases = [
        {
            "reference": ticket.reference,
            "subject": ticket.subject,
            "customer": ticket.customer.address,
            "state": ticket.state.value,
            "due_on": ticket.due_on,
            "days_left": desk.calendar.days_left(today, ticket.due_on),
            "urgent": ticket.urgent,
            "reason": reason,
        }
        for ticket, reason in sorted(rows, key=lambda row: row[0].due_on)[:CASES_SHOWN]
    ]
    return {
        "reference": "",
        "agent_name": agent_name,
        "today": today,
        "cases": cases,
        "cases_total": len(rows),
        "orders": shown(),
    }


def of_the_clock(letter: str, file: CaseFile, ticket: Ticket, desk: Desk, today: date) -> Facts:
    """To the customer, by the clock: each letter is told what its template asks for and no more."""
    pause = ticket.pauses[-1] if ticket.pauses else None
    facts: dict[str, object] = {
        "reference": ticket.reference,
        "subject": ticket.subject,
        "customer_name": ticket.customer.name,
        "due_on": ticket.due_on if ticket.due_on >= today or letter == "overdue" else None,  # no promise in the past
        "days_left": desk.calendar.days_left(today, ticket.due_on),
        "steps": _steps(file, desk),
        "level_name": desk.policy.level_name(ticket.level),
        "is_claim": ticket.classification.type == "reclamo",
        "asked_on": pause.asked_on if pause else None,
        "reply_by": last_day_to_complete(ticket, desk.policy, desk.calendar),
    }
    return {name: facts[name] for name in ("reference", "subject", "customer_name", *_CLOCK_FACTS[letter])}


def reopened(ticket: Ticket, level_name: str, today: date) -> Facts:
    """To the customer: their case is open again. A day that has passed is no promise."""
    return {
        "reference": ticket.reference,
        "subject": ticket.subject,
        "customer_name": ticket.customer.name,
        "due_on": ticket.due_on if ticket.due_on >= today else None,
        "level_name": level_name,
    }


_CLOCK_FACTS: Mapping[str, tuple[str, ...]] = {
    "progress": ("due_on", "days_left", "steps"),
    "overdue": ("due_on", "level_name", "is_claim"),
    "withdrawal": ("asked_on", "reply_by"),
    "survey": (),
    "closed": (),
}


def _steps(file: CaseFile, desk: Desk) -> list[dict[str, object]]:
    """What was done for the customer, without anybody's words."""
    zone, ticket = desk.policy.office.timezone, file.ticket
    steps: list[dict[str, object]] = [
        {"on": local_day(ticket.opened_at, zone), "what": "recibimos su mensaje y quedó radicado"}
    ]
    if ticket.owner:
        steps.append({"on": local_day(ticket.opened_at, zone), "what": "un asesor quedó a cargo de su caso"})
    answers = [words for words in file.words if words.direction == "out" and words.letter in (None, *PERSONS_LETTERS)]
    steps += [{"on": local_day(words.at, zone), "what": "le escribimos"} for words in answers[-3:]]
    return steps


PERSONS_LETTERS = ("answer", "resolved", "request_for_information")  # letters that bring a person's words


def not_acknowledged(ticket: Ticket, state: str, desk: Desk) -> str:
    """Why a colleague is reminded: the acknowledgement did not reach the customer, and its outer limit comes nearer."""
    limit = desk.calendar.term(local_day(ticket.opened_at, desk.policy.office.timezone), ACKNOWLEDGEMENT_LIMIT).due_on
    said = {"queued": "todavía no ha salido", "dead": "no pudo entregarse o fue devuelto", "": "no se ha enviado"}
    return (
        f"el acuse de recibo {said.get(state, 'no ha sido confirmado')}, y la política lo promete a más tardar el "
        f"{long_date(limit)}: ordene #acusar o confirme por otro medio y déjelo en una #nota"
    )


ACKNOWLEDGEMENT_LIMIT = 5  # business days, by the policy


def case_sections(file: CaseFile, desk: Desk, now: datetime) -> list[dict[str, object]]:
    """A case as `#ver` shows it."""
    ticket, zone = file.ticket, desk.policy.office.timezone
    kind = desk.policy.types.get(ticket.classification.type)
    left = desk.calendar.days_left(local_day(now, zone), ticket.due_on)
    rows = [
        ["Asunto", ticket.subject or "(sin asunto)"],
        ["Cliente", str(ticket.customer)],
        ["Participan", ", ".join(ticket.participants)],
        ["Estado", STATES[ticket.state]],
        ["Tipo", kind.name if kind else ticket.classification.type],
        ["A cargo", ticket.owner or "nadie"],
        ["Vence", f"{long_date(ticket.due_on)}{_left(left, ticket.state)}"],
        ["Enlazado con", ", ".join(file.related)],
        ["Sigue en", ticket.merged_into or ""],
    ]
    sections: list[dict[str, object]] = [_section(ticket.reference, rows=rows)]
    for words in file.words[-WORDS_SHOWN:]:
        at = words.at.astimezone(zone).strftime("%Y-%m-%d %H:%M")
        if named := LETTERS.get(words.letter or ""):
            sections.append(_section(f"{at} · {named} al cliente"))
            continue
        did = {"in": "escribió", "out": "respondió", "note": "anotó"}[words.direction]
        sections.append(_section(f"{at} · {words.author} {did}", quote=words.text[:QUOTE_SHOWN]))
    return sections


def history(brief: Sequence[tuple[datetime, str, str, str | None]], customer: str) -> tuple[tuple[datetime, str], ...]:
    """A conversation in brief, from when, direction, author and letter of each message."""
    did = {"in": "escribió", "out": "respondió", "note": "nota de"}
    return tuple(
        (at, f"{LETTERS[letter]} a {customer}" if letter and letter in LETTERS else f"{did[direction]} {author}")
        for at, direction, author, letter in brief
    )


def found_section(title: str, found: Sequence[Found], desk: Desk, now: datetime) -> dict[str, object]:
    """Cases as lookups list them."""
    today = local_day(now, desk.policy.office.timezone)
    lines = [
        f"{one.reference} · {one.subject or '(sin asunto)'} · {one.customer} · {STATES[one.state]} · vence el "
        f"{long_date(one.due_on, weekday=False)}{_left(desk.calendar.days_left(today, one.due_on), one.state)}"
        + (" · URGENTE" if one.urgent else "")
        + (f" · {one.snippet}" if one.snippet else "")
        for one in found[:CASES_SHOWN]
    ]
    if len(found) > CASES_SHOWN:
        lines.append(f"Y {len(found) - CASES_SHOWN} más.")
    return _section(title, lines=lines or ["No hay ninguno."])


def _section(
    title: str, rows: Sequence[Sequence[str]] = (), lines: Sequence[str] = (), quote: str = ""
) -> dict[str, object]:
    return {"title": title, "rows": [list(row) for row in rows], "lines": list(lines), "quote": quote}


def _left(days: int, state: State) -> str:
    """How a date of a case stands today, in brackets; nothing for a case that is over."""
    if state in (State.RESOLVED, State.CLOSED):
        return ""
    counted = f"{abs(days)} {'día hábil' if abs(days) == 1 else 'días hábiles'}"
    if days < 0:
        return f" (vencido hace {counted})"
    return f" ({'queda' if days == 1 else 'quedan'} {counted})" if days else " (hoy)"


# -- strangers, machines, alarms -----------------------------------------------------------------------------------


def admit_question(case: Ticket, stranger: str) -> Facts:
    """To the customer: may this address write to the case?"""
    return {
        "reference": case.reference,
        "customer_name": case.customer.name,
        "stranger": stranger,
        "subject": case.subject,
    }


def former_colleague(ticket: Ticket, author: str) -> Facts:
    """To the owner: somebody who has left answers old letters of the desk."""
    return {
        "title": f"{ticket.reference}: escribió alguien que ya no es agente",
        "problem": f"{author} respondió un correo interno del caso. No se hizo nada y el cliente no recibió nada.",
        "details": [f"El texto quedó como nota sin verificar en {ticket.reference}: ordene #ver {ticket.reference}."],
        "advice": "Si debe seguir trabajando en la mesa, pida a sistemas que lo agregue a los agentes.",
    }


def urgent_machine(machine: MachineMail, flags: list[str], desk: Desk) -> Facts:
    """To level 2: a machine wrote what a person must hear of."""
    received = machine.received_at.astimezone(desk.policy.office.timezone)
    sender = machine.mail.sender
    return {
        "title": "Correo automático urgente: " + ", ".join(flags),
        "problem": "Un remitente automático escribió algo que parece urgente. No se le respondió ni se abrió un caso.",
        "details": [f"De: {sender or ''}", f"Asunto: {machine.mail.subject}", f"Recibido: {received:%Y-%m-%d %H:%M}"],
        "advice": "El correo está en el buzón de la oficina. Para abrir un caso, pida a sistemas que lo procese "
        "(“inbox --state set_aside” y “retry --as-person”).",
    }


def from_office(machine: MachineMail) -> Facts:
    """To the colleague whose letter was answered from the office's own address."""
    sender = machine.mail.sender.address if machine.mail.sender else ""
    return {
        "title": "Su respuesta no se envió",
        "problem": f"Se respondió un correo interno desde {sender}, y así no se sabe quién escribe: no se hizo nada.",
        "details": [f"Asunto: {machine.mail.subject}"],
        "advice": "Responda otra vez desde su propia dirección.",
    }


def bounced(found: BouncedRecipient, letter: SentLetter) -> Facts:
    """To the owner: a letter to the customer came back."""
    meant = likely_address(letter.recipient) if found.no_such_address else None
    sure = found.outcome == "hard"
    acknowledged = "acuse de recibo" if letter.letter == "acknowledgement" else "correo"
    return {
        "title": f"{letter.reference}: devuelto",
        "problem": f"El {acknowledged} al cliente {'no llegó' if sure else 'quizás no llegó'}: {letter.recipient}.",
        "details": [
            *([f"¿Quiso decir {meant}?"] if meant else []),
            f"Dijo el servidor: {' '.join(part for part in (found.status, found.diagnostic[:300]) if part) or 'nada'}",
        ],
        "advice": "Busque otra forma de avisarle al cliente: el plazo del caso sigue corriendo.",
    }


def unreachable(letter: SentLetter, reply: str) -> Facts:
    """To level 2: whoever has the case cannot be told of it."""
    return {
        "title": f"{letter.reference}: no se pudo avisar",
        "problem": f"El correo sobre el caso no pudo entregarse a {letter.recipient}: nadie lo está viendo.",
        "details": [f"Dijo el servidor: {reply[:300] or 'nada'}"],
        "advice": f"Ordene #ver {letter.reference} para verlo, y #asignar {letter.reference} AGENTE para pasarlo.",
    }


def fuse_blown(opened: OpenTicket, due: datetime, desk: Desk) -> Facts:
    """To the admin: acknowledgements have to wait."""
    policy, local = desk.policy, due.astimezone(desk.policy.office.timezone)
    return {
        "title": "pqr-mailbot necesita atención",
        "problem": "Hay más acuses de recibo de los permitidos: los que sobran esperan y saldrán más tarde.",
        "details": [
            f"El primero en esperar: {opened.reference}, de {opened.customer.address}; "
            f"saldrá a las {local:%H:%M} del {local:%Y-%m-%d}.",
            f"Los límites: {policy.acknowledgements_per_sender_per_day} al día para una persona "
            f"y {policy.automatic_letters_per_hour} por hora en total (limits en la configuración).",
        ],
        "advice": "El comando “pqr-mailbot outbox --state queued” muestra los que esperan.",
    }


def alarm(said: Sequence[str]) -> Facts:
    """To the admin: what is wrong with the desk."""
    one = len(said) == 1
    return {
        "title": "La mesa de servicio necesita atención",
        "problem": said[0] if one else f"Hay {len(said)} problemas:",
        "details": [] if one else list(said),
        "advice": "“pqr-mailbot status” muestra el estado actual y “journalctl -u pqr-mailbot” lo que pasó. "
        "No se avisará otra vez de lo mismo; cuando todo esté bien, llegará otro correo.",
    }


def alarm_subject(said: Sequence[str]) -> str:
    """What a phone shows of it."""
    more = f" (y {len(said) - 1} más)" if len(said) > 1 else ""
    return f"Alarma: {re.split(_FIRST_CLAUSE, said[0])[0]}{more}"


def all_clear(ended: Sequence[tuple[str, datetime, datetime]], still: Sequence[str], zone: ZoneInfo) -> Facts:
    """To the admin: what was wrong from when to when, and what still is."""
    return {
        "ended": [
            {"said": said, "since": hour(since, zone), "until": hour(until, zone)} for said, since, until in ended
        ],
        "still": list(still),
    }


def _case(case: Ticket | OpenTicket, desk: Desk) -> dict[str, object]:
    """What every letter about a case says of it."""
    received = case.opened_at.astimezone(desk.policy.office.timezone)
    term = desk.due(case) if isinstance(case, Ticket) else desk.term(case.opened_at, case.business_days)
    kind = desk.policy.types.get(case.classification.type)
    return {
        "reference": case.reference,
        "type_name": kind.name if kind else case.classification.type,
        "certain": case.classification.certain,
        "is_claim": case.classification.type == "reclamo",
        "received_on": received.date(),
        "received_hour": received.strftime("%H:%M"),
        "business_days": term.business_days,
        "due_on": term.due_on,
        "skipped": [{"date": day.date, "name": day.name} for day in term.skipped],
    }


def _warning(occasion: Occasion, withheld: str | None) -> str:
    """What the agent should know before answering; Spanish, one sentence each."""
    said, related = [], occasion.related()
    if occasion.identity.linked:
        said.append(f"Quien escribe citó {related} pero no hace parte de ese caso: se abrió este, enlazado.")
    elif occasion.identity.ticket and occasion.identity.ticket.state is State.CLOSED:
        said.append(f"El caso {related} ya estaba cerrado: se abrió este, enlazado.")
    if occasion.authentication.forged():
        said.append("El remitente puede ser falso: el servidor de correo no pudo comprobar su dirección (DMARC).")
    if withheld:
        asked = withheld != "dmarc=fail"
        reason = "El remitente pidió no recibir respuestas automáticas: no" if asked else "No"
        said.append(f"{reason} se le envió acuse de recibo.")
    if occasion.doubtful:
        said.append(
            "Este correo llegó en las horas que se perdieron al restaurar una copia de seguridad: puede que ya se haya "
            "atendido, y al cliente no se le envía nada por ahora. Si no tiene su acuse de recibo, #acusar lo envía."
        )
    if guest := occasion.admits():
        said.append(f"El cliente autorizó a {guest} a escribir en este caso.")
    if not occasion.mail.complete:
        said.append("El correo supera el tamaño máximo: solo se guardó su comienzo; el original sigue en el buzón.")
    return " ".join(said)
