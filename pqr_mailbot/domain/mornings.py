"""What a business morning brings: a digest for each agent, and the urgent cases of those who are away passed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from pqr_mailbot.domain import letter_facts
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.casework import Aside, Found
from pqr_mailbot.domain.effects import Effect, QueueLetter
from pqr_mailbot.domain.model import Address, State
from pqr_mailbot.domain.policy import Agent
from pqr_mailbot.domain.situation import Desk

DIGEST = "digest"


def office_day(desk: Desk, now: datetime) -> date | None:
    """Today, while letters that can wait may go: in office hours of a business day that is no closure of the office."""
    policy = desk.policy
    local = now.astimezone(policy.office.timezone)
    opens, closes = policy.office_hours
    if not opens <= local.time() < closes or local.date() in policy.closures:
        return None
    return local.date() if desk.calendar.is_business_day(local.date()) else None


def opening(desk: Desk, today: date) -> datetime:
    """When office hours begin on a day."""
    return datetime.combine(today, desk.policy.office_hours[0], desk.policy.office.timezone)


def digest(agent: Agent, mine: Sequence[Found], machines: Sequence[Aside], desk: Desk, now: datetime) -> list[Effect]:
    """An agent's cases by days left, what waits for the customer, what machines sent. Nothing to say, nothing sent."""
    if not mine and not machines:
        return []
    today = local_day(now, desk.policy.office.timezone)
    facts: Mapping[str, object] = letter_facts.digest(
        agent,
        [one for one in mine if one.state is not State.WAITING],
        [one for one in mine if one.state is State.WAITING],
        machines,
        desk,
        today,
    )
    recipient = Address(agent.address, agent.name)
    because = ((agent.address, DIGEST, today.isoformat()),)
    subject = f"Sus casos, {today:%Y-%m-%d}"
    return [QueueLetter("digest", recipient, subject, facts, "auto-generated", now, because=because)]
