"""A case goes one level up: who hears of it and what they are told. By order, by the clock, or by a customer's word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from pqr_mailbot.domain import letter_facts
from pqr_mailbot.domain.effects import Effect, NoteEvent, QueueLetter
from pqr_mailbot.domain.letter_facts import Told
from pqr_mailbot.domain.model import Address, Ticket
from pqr_mailbot.domain.situation import Desk


def raised(ticket: Ticket, level: int, reason: str, by: str) -> tuple[Ticket, list[Effect]]:
    """The case at a level, never a lower one than it has."""
    after = replace(ticket, level=max(ticket.level, level))
    event = NoteEvent(ticket.reference, by, "escalated", f"to level {level}: {reason}")
    return after, [event]


def letters(
    ticket: Ticket, level: int, told: Told, reason: str, by: str, source: int | None, desk: Desk, now: datetime,
    only: Sequence[str] | None = None,
) -> list[QueueLetter]:  # fmt: skip
    """To everybody of a level, or `only` to these. `source`: the inbound mail whose attachments go along."""
    policy = desk.policy
    found = policy.levels[min(level, len(policy.levels)) - 1] if policy.levels else None
    if found is None:
        return []
    facts: Mapping[str, object] = {
        **letter_facts.notification(ticket, replace(told, event=f"Escalado a {found.name}"), desk, now),
        "reason": reason,
        "level_name": found.name,
        "escalated_by": by,
    }
    queued: list[QueueLetter] = []
    for address in found.addresses if only is None else only:
        colleague = policy.colleague(address)
        name = colleague.name if colleague else ""
        queued.append(
            QueueLetter(
                "escalation", Address(address, name), ticket.subject, {**facts, "agent_name": name}, "auto-generated",
                now, ticket.reference, enclosed=told.enclosed, enclosed_from=source,
            )
        )  # fmt: skip
    return queued


def can_rise(ticket: Ticket, desk: Desk) -> bool:
    return ticket.level < len(desk.policy.levels)
