"""The office that the tests of the rules speak of."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pqr_mailbot.adapters.holidays import business_calendar
from pqr_mailbot.domain.model import Address, Classification, Mail, State, Ticket
from pqr_mailbot.domain.policy import SHIPPED_TYPES, Agent, Form, Level, Office, Policy
from pqr_mailbot.domain.situation import Desk

BOGOTA = ZoneInfo("America/Bogota")
ANA = Agent("ana@lohas.test", "Ana Ruiz", ("ana.ruiz@casa.test",))
LUZ = Agent("luz@lohas.test", "Luz Mora")
CLARA = Address("clara@correo.test", "Clara Gómez")
DIEGO = Address("diego@otro.test", "Diego Paz")
NOW = datetime(2026, 6, 1, 15, 42, tzinfo=UTC)  # Monday 10:42 in Bogotá

POLICY = Policy(
    office=Office("Lohas Beans SAS BIC", "info@lohas.test", BOGOTA, ("hola@lohas.test",), "+57 318 6126496"),
    agents=(ANA, LUZ),
    levels=(
        Level("Servicio al cliente", ("ana@lohas.test",)),
        Level("Coordinación", ("coordinacion@lohas.test",)),
        Level("Gerencia", ("gerencia@lohas.test",)),
    ),
    types={kind.key: kind for kind in SHIPPED_TYPES},
    forms=(Form("web@lohas.test"), Form("no-reply@lohas.test")),
    own_lists=frozenset({"info.lohas.test"}),
    alarms_to=("sistemas@lohas.test",),
    reports_to=("informes@lohas.test",),
)
DESK = Desk(POLICY, business_calendar())
CLAIM = Classification("reclamo", 0.95)


def mail(sender: str | Address | None = CLARA, subject: str = "Café vencido", **more: Any) -> Mail:
    """A mail with these headers (`headers={...}`) and fields, everything else as a plain mail has it."""
    headers = tuple((name.lower(), value) for name, value in more.pop("headers", {}).items())
    author = Address(sender) if isinstance(sender, str) else sender
    fields: dict[str, Any] = {
        "message_id": "<m1@correo.test>",
        "text": "El café llegó vencido.",
        "content_hash": "00",
        "to": (Address("info@lohas.test"),),
    }
    return Mail(sender=author, subject=subject, headers=headers, **{**fields, **more})


def ticket(reference: str = "PQR-2026-000001", state: State = State.NEW, **more: Any) -> Ticket:
    fields: dict[str, Any] = {
        "subject": "Café vencido",
        "customer": CLARA,
        "owner": ANA.address,
        "level": 1,
        "urgent": False,
        "classification": CLAIM,
        "opened_at": NOW,
        "business_days": 15,
        "due_on": date(2026, 6, 24),
    }
    return Ticket(reference=reference, state=state, **{**fields, **more})
