"""The office as rows: who it is, its agents, levels, ticket types and limits. Made once from the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from typing import Literal
from zoneinfo import ZoneInfo

from pqr_mailbot.domain.business_days import Pause
from pqr_mailbot.domain.health import Expected


@dataclass(frozen=True, slots=True)
class Office:
    """The company customers write to."""

    name: str
    address: str
    timezone: ZoneInfo
    aliases: tuple[str, ...] = ()
    phone: str = ""
    privacy_notice_url: str = ""

    @property
    def addresses(self) -> frozenset[str]:
        """Every address under which the office itself receives mail."""
        return frozenset((self.address, *self.aliases))


@dataclass(frozen=True, slots=True)
class Agent:
    """A person who answers customers. `types` empty: takes every type."""

    address: str
    name: str
    other_addresses: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset((self.address, *self.other_addresses))


@dataclass(frozen=True, slots=True)
class Level:
    """Who is told when a ticket is escalated; the first row is level 1, the desk."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TicketType:
    """A kind of case: the word shown to people, and its terms (source: colombia.md, config)."""

    key: str
    name: str
    resolve_days: int  # business days
    extension_days: int = 0  # business days that one extension, with notice and reason, may add; 0: it has none
    wait_months: int = 0  # how long a customer may owe something while the term is paused; 0: it is never paused


def counted(kind: TicketType | None, extension_days: int, pauses: Sequence[Pause]) -> tuple[int, tuple[Pause, ...]]:
    """What of an extension and of pauses counts for a case of a type: a reclamo has neither (colombia.md). A case keeps
    what it was given, so that another type and back again changes nothing."""
    if kind is None:
        return extension_days, tuple(pauses)
    return min(extension_days, kind.extension_days), tuple(pauses) if kind.wait_months else ()


# The shipped types. Terms: the policy (15), Ley 1480/2011 art. 58 (reclamo 15), Ley 1755/2015 (petición 10 on the
# shorter reading), Ley 1581/2012 art. 14 (habeas data 10 on the shorter reading). sugerencia, felicitacion: courtesy.
# Extensions: none for a reclamo; a petición at most its own term again (Ley 1755/2015 art. 14), a consulta five days
# (Ley 1581/2012 art. 14). Pauses: art. 17 of Ley 1755 (a month), art. 15 of Ley 1581 (two).
SHIPPED_TYPES: tuple[TicketType, ...] = (
    TicketType("solicitud", "solicitud", 15, extension_days=15, wait_months=1),
    TicketType("derecho_de_peticion", "derecho de petición", 10, extension_days=10, wait_months=1),
    TicketType("queja", "queja", 15, extension_days=15),
    TicketType("reclamo", "reclamo", 15),
    TicketType("sugerencia", "sugerencia", 15),
    TicketType("felicitacion", "felicitación", 5),
    TicketType("habeas_data", "consulta de datos personales (habeas data)", 10, extension_days=5, wait_months=2),
)
COURTESY_TYPES = frozenset({"sugerencia", "felicitacion"})  # their terms never shorten another's
DEFAULT_TYPE = "solicitud"  # what a mail is when no word speaks


After = Literal["opening", "due", "customer_word", "office_word", "resolved"]
FULL_TERM = 15  # business days of the term that the days of a rule are meant for; other terms scale by the same shares


@dataclass(frozen=True, slots=True)
class Rule:
    """A reminder of the clock: for cases in these `states`, so many business days after (or before, negative) something
    that happened to them, a letter to somebody. `to`: owner, customer, or `level N`. `types` empty: every type.

    Fires once a case and cycle; what repeats, once a business day.
    """

    name: str
    states: frozenset[str]
    after: After
    days: int
    to: tuple[str, ...]
    letter: str
    repeat: bool = False
    types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Form:
    """A website form that writes in a customer's name: the customer is in Reply-To."""

    sender: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything the decisions depend on beside the mail, the store and the time."""

    office: Office
    agents: tuple[Agent, ...]
    levels: tuple[Level, ...]
    types: Mapping[str, TicketType]
    reference_prefix: str = "PQR"
    forms: tuple[Form, ...] = ()
    own_lists: frozenset[str] = frozenset()
    alarms_to: tuple[str, ...] = ()
    reports_to: tuple[str, ...] = ()
    acknowledgements_per_sender_per_day: int = 5
    automatic_letters_per_hour: int = 200
    calendar_reviewed_until: int = 2027
    closures: Mapping[date, str] = field(default_factory=dict)
    trusted_authserv_ids: tuple[str, ...] = ()  # servers whose Authentication-Results are believed
    exchange_internal_is_authenticated: bool = False
    reminders: tuple[Rule, ...] = ()
    office_hours: tuple[time, time] = (time(8), time(17))  # when letters that can wait are sent, office time
    expected: Expected = field(default_factory=Expected)  # what a healthy desk does

    def agent_of(self, address: str) -> Agent | None:
        """The agent who writes from this address, if any."""
        return next((agent for agent in self.agents if address in agent.addresses), None)

    def colleague(self, address: str) -> Agent | None:
        """Whose mail counts as an agent's: agents, and the people of the levels (without a name of their own)."""
        in_levels = any(address in level.addresses for level in self.levels)
        return self.agent_of(address) or (Agent(address, "") if in_levels else None)

    def is_staff(self, address: str) -> bool:
        """Agents, the people of the levels, and whoever gets alarms or reports: never customers of the desk."""
        return self.agent_of(address) is not None or any(
            address in group for group in (*(level.addresses for level in self.levels), self.alarms_to, self.reports_to)
        )

    def level_addresses(self, number: int) -> tuple[str, ...]:
        """The addresses of level `number` (1 is the desk); the highest there is when there are fewer."""
        return self.levels[min(number, len(self.levels)) - 1].addresses if self.levels else ()

    def level_name(self, number: int) -> str:
        """The name of a level above the desk, "" for the desk; the highest there is when there are fewer."""
        return self.levels[min(number, len(self.levels)) - 1].name if number > 1 and self.levels else ""

    def agents_for(self, type_key: str) -> tuple[Agent, ...]:
        """The agents among whom a ticket of this type goes round; every agent when none takes the type."""
        return tuple(a for a in self.agents if not a.types or type_key in a.types) or self.agents
