"""What each letter is told, in plain values: the only way from a decision to the words people read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pqr_mailbot.domain.bounce import BouncedRecipient, SentLetter, likely_address
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.effects import Facts, OpenTicket
from pqr_mailbot.domain.machine_phrases import is_forward, plain_subject
from pqr_mailbot.domain.model import Attachment, Classification, State, Ticket
from pqr_mailbot.domain.situation import Desk, MachineMail, Occasion, Situation

TEXT_SHOWN = 20_000  # characters of a customer's text in a notification; the whole is in the store


def acknowledgement(occasion: Occasion, opened: OpenTicket, others: Sequence[Ticket], desk: Desk) -> Facts:
    """The customer's constancia. Never the body; the subject only as the letter adapter shortens it.

    `others`: cases of the same person whose acknowledgement had to wait, and which this letter names too.
    """
    zone = desk.policy.office.timezone
    return {
        "others": [
            {
                "reference": case.reference,
                "subject": case.subject,
                "received_on": local_day(case.opened_at, zone),
                "due_on": case.due_on,
            }
            for case in others
        ],
        "customer_name": opened.customer.name,
        "subject": occasion.mail.subject,
        "attachments": [attachment.filename for attachment in occasion.mail.attachments],
        **_case(opened.reference, opened.classification, opened.opened_at, opened.business_days, desk),
    }


def notification(
    occasion: Occasion,
    case: Ticket | OpenTicket,
    withheld: str | None,
    situation: Situation,
    desk: Desk,
    now: datetime,
) -> dict[str, object]:
    """What the customer wrote and what we know, for whoever answers."""
    mail, identity, zone = occasion.mail, occasion.identity, desk.policy.office.timezone
    classification = case.classification
    facts = _case(case.reference, classification, case.opened_at, case.business_days, desk)
    received = occasion.received_at.astimezone(zone)
    related = occasion.related()
    return {
        **facts,
        "received_on": received.date(),
        "received_hour": received.strftime("%H:%M"),
        "event": "Caso nuevo" if isinstance(case, OpenTicket) else "El cliente escribió",
        "customer_name": case.customer.name,
        "customer_address": case.customer.address,
        "writer": "" if identity.author.address == case.customer.address else identity.author.address,
        "answer_to": case.reply_address or case.customer.address,
        "subject": mail.subject,
        "text": _text_shown(occasion, isinstance(case, OpenTicket))[:TEXT_SHOWN],
        "attachments": [_file(attachment) for attachment in mail.attachments],
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
        "warning": _warning(occasion, withheld),
        "note": "",
        "orders": [],
    }


def _file(attachment: Attachment, enclosed: bool = False) -> Facts:
    """`enclosed`: it goes along with this very letter; else it is in the original mail alone."""
    return {
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "size": attachment.size,
        "enclosed": enclosed,
    }


def _text_shown(occasion: Occasion, opening: bool) -> str:
    """What an agent reads: the writer's words and signature; of a forward that opens a case, what is forwarded too."""
    return occasion.mail.text if opening and is_forward(plain_subject(occasion.mail.subject)) else occasion.parts.own


def admit_question(case: Ticket, stranger: str) -> Facts:
    """To the customer: may this address write to the case?"""
    return {
        "reference": case.reference,
        "customer_name": case.customer.name,
        "stranger": stranger,
        "subject": case.subject,
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


def _case(
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
    if guest := occasion.admits():
        said.append(f"El cliente autorizó a {guest} a escribir en este caso.")
    if not occasion.mail.complete:
        said.append("El correo supera el tamaño máximo: solo se guardó su comienzo; el original sigue en el buzón.")
    return " ".join(said)
