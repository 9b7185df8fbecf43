"""The configuration: a TOML file becomes frozen settings, or every mistake in it named at once.

Nothing here connects anywhere or reads a secret while loading: a secret is a reference until a command that connects
asks `resolve_secret` for it. No message of this module repeats a value, so none can show a secret written in the wrong
place.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from pqr_mailbot.domain.health import Expected
from pqr_mailbot.domain.policy import SHIPPED_TYPES, Agent, Form, Level, Office, Policy, Rule, TicketType

DEFAULT_PATH = Path("/etc/pqr-mailbot/config.toml")
SYSTEM_CREDENTIALS = Path("/etc/pqr-mailbot/credentials")  # where `credential:` looks outside the service
LONGEST_SECRET = 65536  # bytes; a device or a wrong file given as a secret must not fill the memory

# Keys that are accepted and checked but change nothing in this version: `check` names those a file has.
# "key=value" speaks of that value only. The version that brings a feature deletes its rows.
NOT_YET = (
    "report.send_to",
    "report.day",
)

Mistake = tuple[str, str]  # the dotted key, and what is wrong with it in plain words


class ConfigError(Exception):
    """The configuration cannot be used. `mistakes`: one line each, beginning with the dotted key (or the file)."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


class SecretError(Exception):
    """A secret cannot be had. One line with its reference and the reason, never the secret."""


# --- What a value may be. Each takes whatever TOML gave and returns it in its final form, or raises ValueError with the
# --- words that follow the key. Types are exact: "993" is no number, and true is not 1.

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_SECRET = re.compile(r"credential:(?!\.\.?$)[^/\s]+|file:.*\S|env:[A-Za-z_][A-Za-z0-9_]*")


def address_syntax(text: str) -> str:
    """The mail address in lower case, checked by its syntax alone (RFC 5321 dot-string; reserved domains are valid).

    Raises ValueError with the words for the admin.
    """
    address = text.lower()
    # The text itself must be ASCII: lower() makes a plain "k" of a Kelvin sign.
    if not text.isascii() or len(address) > 254 or not _ADDRESS.fullmatch(address):
        raise ValueError("expected a mail address such as info@example.com")
    return address


def _address(value: object) -> str:
    return address_syntax(value if isinstance(value, str) else "")


def _is_one_line(text: str) -> bool:
    """No control characters, line separators or lone surrogates: what could break a header, a log line or the wire."""
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


def _line(value: object) -> str:
    if isinstance(value, str) and _is_one_line(value):
        return value
    raise ValueError("expected text in quotes, on one line")


def _filled_line(value: object) -> str:
    if text := _line(value).strip():
        return text
    raise ValueError("expected some text, not an empty one")


def _command(value: object) -> str:
    text = _line(value)
    try:
        shlex.split(text)
    except ValueError:
        raise ValueError("expected a program and its arguments, with every quote closed") from None
    return text


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("expected true or false, without quotes")


def _number(lowest: int, highest: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        raise ValueError(f"expected a number from {lowest} to {highest}")

    return check


def _ip(host: str) -> Any:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _host(value: object) -> str:
    host = value.lower() if isinstance(value, str) and value.isascii() else ""
    if len(host) <= 253 and (_HOST_NAME.fullmatch(host) or _ip(host)):
        return host
    raise ValueError("expected a host name such as mail.example.com, without protocol or port")


def _is_loopback(host: str) -> bool:
    address = _ip(host)
    return host == "localhost" or bool(address and address.is_loopback)


def _time_zone(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", value):
        try:
            return ZoneInfo(value).key
        except (KeyError, ValueError, OSError):  # unknown, not a time zone file, a directory of them
            pass
    raise ValueError("expected a time zone of the IANA list, such as America/Bogota")


def _web_address(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"(?:https?://[^\s<>\"]+)?", value) and _is_one_line(value):
        return value
    raise ValueError("expected a web address that begins with https, or nothing")


def _token_address(value: object) -> str:
    """Secrets are sent there: encrypted, or not away from this machine."""
    expected = "expected an address that begins with https (without encryption only on this machine), or nothing"
    if not (isinstance(value, str) and value.isascii() and re.fullmatch(r"(?:https?://[^\s<>\"#@\\]+)?", value)):
        raise ValueError(expected)
    try:
        url = urlsplit(value)
        usable = bool(url.hostname and _host(url.hostname)) and (url.port is None or url.port > 0)
    except ValueError:  # of a port that is none
        raise ValueError(expected) from None
    if value and not (usable and (url.scheme == "https" or _is_loopback(str(url.hostname)))):
        raise ValueError(expected)
    return value


def _tenant(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9.-]*", value):
        return value
    raise ValueError("expected the id or a domain of your tenant, such as example.onmicrosoft.com")


def _capitals(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Z]{1,10}", value):
        return value
    raise ValueError("expected 1 to 10 capital letters from A to Z")


def _day(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("expected a date that exists, such as 2026-12-24")


def _now_or_day(value: object) -> Literal["now"] | date:
    try:
        return "now" if value == "now" else _day(value)
    except ValueError:
        raise ValueError('expected "now" or a date such as 2026-12-24') from None


def _hours(value: object) -> tuple[time, time]:
    if isinstance(value, str) and (match := _HOURS.fullmatch(value)):
        hour, minute, until_hour, until_minute = map(int, match.groups())
        start, end = time(hour, minute), time(until_hour, until_minute)
        if start < end:
            return start, end
    raise ValueError('expected hours such as "08:00-17:00", the first before the second')


def _weekend(value: object) -> frozenset[int]:
    if not isinstance(value, list) or not all(isinstance(day, str) and day in _WEEKDAYS for day in value):
        raise ValueError('expected a list of weekdays in English, such as ["saturday", "sunday"]')
    days = frozenset(map(_WEEKDAYS.index, value))
    if len(days) == 7:  # a term would never end
        raise ValueError("expected at least one day of the week to be left for work")
    return days


def _path(value: object, info: ValidationInfo) -> Path | None:
    """A path; a relative one is meant from the directory of the configuration file. "" is None."""
    text = _line(value)
    return Path((info.context or {}).get("config_dir", ""), text) if text else None


def _filled_path(value: object, info: ValidationInfo) -> Path:
    if path := _path(value, info):
        return path
    raise ValueError("expected the path of a file")


def _secret_reference(value: object) -> str:
    if isinstance(value, str) and _is_one_line(value) and (not value or _SECRET.fullmatch(value)):
        return value
    raise ValueError("expected credential:NAME, file:PATH or env:NAME; a secret itself never stands in this file")


def _recipient(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"customer|owner|level [1-9]", value):
        return value
    raise ValueError('expected "customer", "owner" or "level N"')


def _type_key(key: str) -> str:
    if re.fullmatch(r"[a-z][a-z_]*", key):
        return key
    raise ValueError("expected a name of small letters from a to z and _")


def _not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if values:
        return values
    raise ValueError("expected at least one")


Line = Annotated[str, PlainValidator(_line)]
FilledLine = Annotated[str, PlainValidator(_filled_line)]
Flag = Annotated[bool, PlainValidator(_flag)]
MailAddress = Annotated[str, PlainValidator(_address)]
Host = Annotated[str, PlainValidator(_host)]
Port = Annotated[int, PlainValidator(_number(1, 65535))]
SecretReference = Annotated[str, PlainValidator(_secret_reference)]
OptionalPath = Annotated[Path | None, PlainValidator(_path)]
Day = Annotated[date, PlainValidator(_day)]
BusinessDays = Annotated[int, PlainValidator(_number(1, 365))]
Encryption = Literal["implicit", "starttls", "none"]
Login = Literal["password", "oauth2"]
StateName = Literal["new", "open", "waiting", "resolved", "closed"]
Letter = Literal[
    "acknowledgement", "notification", "answer", "transcript", "challenge", "admit_question", "reminder", "escalation",
    "digest", "progress", "overdue", "extension", "request_for_information", "withdrawal", "resolved", "survey",
    "reopened", "closed", "merged", "phone_receipt", "alarm", "all_clear", "report",
]  # fmt: skip


# --- The tables. A field is a key of contract.md; what has no default is required.


class Table(BaseModel):
    """Common to all tables: no unknown keys, no changes afterwards, and no value shown in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class OfficeTable(Table):
    """[office]: the company customers write to."""

    name: FilledLine
    address: MailAddress
    aliases: tuple[MailAddress, ...] = ()
    phone: Line = ""
    timezone: Annotated[str, PlainValidator(_time_zone)] = "America/Bogota"
    language: Literal["es"] = "es"
    privacy_notice_url: Annotated[str, PlainValidator(_web_address)] = ""

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which days begin and end, and in which times are shown."""
        return ZoneInfo(self.timezone)


class ServerTable(Table):
    """What [imap] and [smtp] have in common. `host` and `tls` come first: the checks of later keys look at them."""

    host: Host
    tls: Encryption = "implicit"
    ca_file: OptionalPath = None
    auth: Login = "password"
    password: SecretReference = ""

    @field_validator("tls")
    @classmethod
    def _plain_text_stays_here(cls, tls: Encryption, info: ValidationInfo) -> Encryption:
        if tls == "none" and "host" in info.data and not _is_loopback(info.data["host"]):
            raise ValueError('"none" is only for a server on this machine: localhost, 127.0.0.1 or ::1')
        return tls


class ImapTable(ServerTable):
    """[imap]: the mailbox that is read."""

    port: Port = Field(default_factory=lambda data: 993 if data["tls"] == "implicit" else 143)
    username: FilledLine
    folder: FilledLine = "INBOX"
    move_to: Line = ""
    sent_folder: Line = "auto"
    start_from: Annotated[Literal["now"] | date, PlainValidator(_now_or_day)] = "now"
    idle: Flag = True
    poll_seconds: Annotated[int, PlainValidator(_number(1, 86400))] = 60
    trusted_authserv_ids: tuple[FilledLine, ...] = ()
    exchange_internal_is_authenticated: Flag = False
    own_lists: tuple[FilledLine, ...] = ()

    @field_validator("move_to", "sent_folder")
    @classmethod
    def _somewhere_else(cls, name: str, info: ValidationInfo) -> str:
        if name and name.casefold() == info.data.get("folder", "").casefold():
            raise ValueError("expected another folder than imap.folder, or nothing")
        return name


_SMTP_PORTS = {"implicit": 465, "starttls": 587, "none": 25}


class SmtpTable(ServerTable):
    """[smtp]: the server that takes our letters. `username` "": no login."""

    port: Port = Field(default_factory=lambda data: _SMTP_PORTS[data["tls"]])
    username: Line = ""
    max_connections: Annotated[int, PlainValidator(_number(1, 100))] = 4


class Oauth2Table(Table):
    """[oauth2]: checked for completeness only when a server's `auth` asks for it."""

    provider: Literal["microsoft", "google", "other"] = "microsoft"
    tenant: Annotated[str, PlainValidator(_tenant)] = ""
    client_id: Line = ""
    client_secret: SecretReference = ""
    refresh_token: SecretReference = ""
    token_url: Annotated[str, PlainValidator(_token_address)] = ""
    scope: Line = ""
    ca_file: OptionalPath = None


class StoreTable(Table):
    """[store]"""

    path: Annotated[Path, PlainValidator(_filled_path)] = Path("/var/lib/pqr-mailbot/desk.db")


class TemplatesTable(Table):
    """[templates]"""

    directory: OptionalPath = None


class ClassificationTable(Table):
    """[classification]"""

    model: OptionalPath = None


class ReferenceTable(Table):
    """[reference]"""

    prefix: Annotated[str, PlainValidator(_capitals)] = "PQR"


class AgentRow(Table):
    """[[agents]]: one person who answers customers."""

    address: MailAddress
    name: FilledLine
    other_addresses: tuple[MailAddress, ...] = ()
    types: tuple[FilledLine, ...] = ()


class FormRow(Table):
    """[[forms]]: a website form that writes in a customer's name."""

    sender: MailAddress


class LevelRow(Table):
    """[[levels]]: who is told when a ticket is escalated."""

    name: FilledLine
    addresses: Annotated[tuple[MailAddress, ...], AfterValidator(_not_empty)]


class DayRow(Table):
    """A day with its name, in `calendar.closures` and `calendar.holidays`."""

    date: Day
    name: FilledLine


class CalendarTable(Table):
    """[calendar]. `weekend` holds weekday numbers, Monday is 0; `office_hours` are times of the office's zone."""

    country: Literal["colombia"] = "colombia"
    weekend: Annotated[frozenset[int], PlainValidator(_weekend)] = frozenset({5, 6})
    office_hours: Annotated[tuple[time, time], PlainValidator(_hours)] = (time(8), time(17))
    closure_rows: tuple[DayRow, ...] = Field(default=(), alias="closures")
    holiday_rows: tuple[DayRow, ...] = Field(default=(), alias="holidays")
    reviewed_until: Annotated[int, PlainValidator(_number(2000, 2999))] = 2027

    @property
    def closures(self) -> dict[date, str]:
        """Days on which no letter goes that can wait; terms run on."""
        return {row.date: row.name for row in self.closure_rows}

    @property
    def holidays(self) -> dict[date, str]:
        """Days off by law that the calendar library does not know."""
        return {row.date: row.name for row in self.holiday_rows}


class TypeTable(Table):
    """[types.KEY]: what differs from the shipped type; a new type needs `name` and `resolve_days`."""

    name: Annotated[str | None, PlainValidator(_filled_line)] = None
    resolve_days: Annotated[int | None, PlainValidator(_number(1, 365))] = None
    extension_days: Annotated[int | None, PlainValidator(_number(0, 365))] = None
    wait_months: Annotated[int | None, PlainValidator(_number(0, 24))] = None
    lexicon: OptionalPath = None


class When(Table):
    """The moment of a reminder: so many business days after something.

    `opening` the receipt of the first mail · `due` the last day of the term (negative numbers: before it) ·
    `customer_word`, `office_word` the last mail of the customer, of a person of the office (nobody wrote yet: the
    opening) · `resolved`.
    """

    after: Literal["opening", "due", "customer_word", "office_word", "resolved"]
    business_days: Annotated[int, PlainValidator(_number(-365, 365))]

    @field_validator("business_days")
    @classmethod
    def _only_the_due_day_is_known_before(cls, days: int, info: ValidationInfo) -> int:
        if days < 0 and info.data.get("after", "due") != "due":
            raise ValueError('expected 0 or more; days before something are possible only with after = "due"')
        return days


class ReminderRow(Table):
    """[[reminders]]: one rule of the clock. Fires once a ticket and cycle; `repeat`: once a business day."""

    name: FilledLine
    states: Annotated[tuple[StateName, ...], AfterValidator(_not_empty)]
    when: When
    to: Annotated[tuple[Annotated[str, PlainValidator(_recipient)], ...], AfterValidator(_not_empty)]
    letter: Letter
    repeat: Flag = False
    types: tuple[FilledLine, ...] = ()


class LimitsTable(Table):
    """[limits]"""

    max_message_bytes: Annotated[int, PlainValidator(_number(1, 1_000_000_000))] = 36_700_160
    acknowledgements_per_sender_per_day: Annotated[int, PlainValidator(_number(1, 1_000_000))] = 5
    automatic_letters_per_hour: Annotated[int, PlainValidator(_number(1, 1_000_000))] = 200


class AdminTable(Table):
    """[admin]"""

    alarms_to: tuple[MailAddress, ...] = ()
    alarm_command: Annotated[str, PlainValidator(_command)] = ""
    patience_minutes: Annotated[int, PlainValidator(_number(0, 60))] = 5
    heartbeat: Flag = False
    heartbeat_minutes: Annotated[int, PlainValidator(_number(5, 1440))] = 60

    @property
    def command(self) -> tuple[str, ...]:
        """The words of `alarm_command`; no shell reads them."""
        return tuple(shlex.split(self.alarm_command))


class ReportTable(Table):
    """[report]"""

    send_to: tuple[MailAddress, ...] = ()
    day: Annotated[int, PlainValidator(_number(1, 28))] = 1


# --- What is shipped, usable without any configuration.

SHIPPED_CALENDAR = CalendarTable()
_UNRESOLVED = ("new", "open", "waiting")
_BEING_HANDLED = ("new", "open")  # not waiting: then it is the customer who owes us something


def _rule(name: str, states: tuple[str, ...], days: int, after: str, to: str, letter: str, **more: Any) -> ReminderRow:
    row = {"name": name, "states": states, "to": to.split(", "), "letter": letter, **more}
    return ReminderRow.model_validate({**row, "when": {"business_days": days, "after": after}})


# The escalation ladder of the service policy for a term of 15 business days, one step or recipient's letter a row.
SHIPPED_REMINDERS: tuple[ReminderRow, ...] = (
    _rule("sin respuesta, 2 días", ("new",), 2, "opening", "owner", "reminder"),
    _rule("sin respuesta, 5 días", ("new",), 5, "opening", "level 2", "escalation"),
    _rule(
        "habeas data: leyenda “reclamo en trámite”",
        _UNRESOLVED,
        2,
        "opening",
        "owner",
        "reminder",
        types=("habeas_data",),
    ),
    _rule("sin resolver, 8 días", _UNRESOLVED, 8, "opening", "owner, level 2", "reminder"),
    _rule("sin noticias, 8 días", _BEING_HANDLED, 8, "office_word", "customer", "progress"),
    _rule("faltan 3 días", _UNRESOLVED, -3, "due", "level 2", "escalation"),
    _rule("falta 1 día", _UNRESOLVED, -1, "due", "level 3", "escalation"),
    _rule("vencido", _UNRESOLVED, 1, "due", "owner, level 3", "escalation", repeat=True),
    _rule("vencido, al cliente", _UNRESOLVED, 1, "due", "customer", "overdue"),
)


def rules_of(rows: Sequence[ReminderRow]) -> tuple[Rule, ...]:
    """The rows in the domain's words."""
    return tuple(
        Rule(
            row.name, frozenset(row.states), row.when.after, row.when.business_days, row.to, row.letter, row.repeat,
            frozenset(row.types),
        )
        for row in rows
    )  # fmt: skip


_LETTERS_TO_CUSTOMERS, _LETTERS_TO_COLLEAGUES = ("progress", "overdue"), ("reminder", "escalation")
_SHIPPED_LEVELS = 3  # levels of which the ladder speaks; with fewer, the highest there is stands in (Policy)


_TERMS = ("name", "resolve_days", "extension_days", "wait_months")  # of a TypeTable, by the names of TicketType


def merged_types(tables: Mapping[str, TypeTable] | None = None) -> dict[str, TicketType]:
    """The shipped types by key, with the names and terms (business days) of `[types.KEY]` tables over them."""
    types = {shipped.key: shipped for shipped in SHIPPED_TYPES}
    for key, table in (tables or {}).items():
        shipped = types.get(key, TicketType(key, key, 15))
        changed = {name: value for name in _TERMS if (value := getattr(table, name)) is not None}
        types[key] = replace(shipped, **changed)
    return types


def _empty_when_left_out() -> Any:
    """A table left out is an empty one: its defaults hold, and each required key in it is named."""
    return Field(default={}, validate_default=True)


class Settings(Table):
    """The whole configuration, checked. Made by `load`."""

    office: OfficeTable = _empty_when_left_out()
    imap: ImapTable = _empty_when_left_out()
    smtp: SmtpTable = _empty_when_left_out()
    oauth2: Oauth2Table | None = None
    store: StoreTable = _empty_when_left_out()
    templates: TemplatesTable = _empty_when_left_out()
    classification: ClassificationTable = _empty_when_left_out()
    reference: ReferenceTable = _empty_when_left_out()
    agents: Annotated[tuple[AgentRow, ...], AfterValidator(_not_empty)]
    forms: tuple[FormRow, ...] = ()
    levels: tuple[LevelRow, ...] = ()
    calendar: CalendarTable = _empty_when_left_out()
    type_tables: dict[Annotated[str, AfterValidator(_type_key)], TypeTable] = Field(default={}, alias="types")
    reminders: tuple[ReminderRow, ...] = SHIPPED_REMINDERS
    limits: LimitsTable = _empty_when_left_out()
    admin: AdminTable = _empty_when_left_out()
    report: ReportTable = _empty_when_left_out()

    _config_dir: Path = PrivateAttr()
    _given: frozenset[str] = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        self._config_dir = context["config_dir"]
        self._given = context["given"]

    @property
    def config_dir(self) -> Path:
        """The directory of the configuration file: relative paths are meant from here."""
        return self._config_dir

    @property
    def given(self) -> frozenset[str]:
        """The tables and dotted keys the file has, whatever their values (`imap`, `imap.port`)."""
        return self._given

    @property
    def types(self) -> dict[str, TicketType]:
        """Every ticket type by its key: the shipped ones with the configuration's changes and additions."""
        return merged_types(self.type_tables)

    @property
    def lexicons(self) -> dict[str, Path]:
        """Files with extra words, by the key of their type."""
        return {key: table.lexicon for key, table in self.type_tables.items() if table.lexicon}

    def policy(self) -> Policy:
        """Everything decisions depend on, in the domain's words. Without [[levels]] the agents are level 1."""
        office = self.office
        levels = tuple(Level(row.name, row.addresses) for row in self.levels)
        agents = tuple(Agent(row.address, row.name, row.other_addresses, row.types) for row in self.agents)
        return Policy(
            Office(office.name, office.address, office.zone, office.aliases, office.phone, office.privacy_notice_url),
            agents,
            levels or (Level("Servicio al cliente", tuple(agent.address for agent in agents)),),
            self.types,
            self.reference.prefix,
            tuple(Form(row.sender) for row in self.forms),
            frozenset(self.imap.own_lists),
            self.admin.alarms_to,
            self.report.send_to,
            self.limits.acknowledgements_per_sender_per_day,
            self.limits.automatic_letters_per_hour,
            self.calendar.reviewed_until,
            self.calendar.closures,
            self.imap.trusted_authserv_ids,
            self.imap.exchange_internal_is_authenticated,
            rules_of(self.reminders),
            self.calendar.office_hours,
            self.expected(),
        )

    def expected(self) -> Expected:
        """What a healthy desk does."""
        heartbeat = timedelta(minutes=self.admin.heartbeat_minutes) if self.admin.heartbeat else None
        patience = timedelta(minutes=self.admin.patience_minutes)
        return Expected(timedelta(seconds=self.imap.poll_seconds), patience, heartbeat)


# --- Loading


def find_config(given: str | None, environ: Mapping[str, str]) -> Path:
    """The configuration file: `--config`, else $PQR_MAILBOT_CONFIG, else the one in /etc."""
    return Path(given or environ.get("PQR_MAILBOT_CONFIG") or DEFAULT_PATH)


def load(path: Path) -> Settings:
    """Reads and checks the file. Raises ConfigError with every mistake in it; reads no secret and connects nowhere."""
    return settings_from(_read(path), path.absolute().parent)


def settings_from(document: Mapping[str, Any], config_dir: Path) -> Settings:
    """The settings of a parsed TOML document. Raises ConfigError with every mistake in it."""
    mistakes: dict[str, str] = {}
    settings = None
    try:
        settings = Settings.model_validate(document, context={"config_dir": config_dir, "given": _given_keys(document)})
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            if detail["type"] != "default_factory_not_called":  # a default that waits for a mistaken key beside it
                mistakes.setdefault(_dotted(detail["loc"]), _in_plain_words(detail))
    for key, words in (mistake for check in CROSS_CHECKS for mistake in check(document)):
        if not any(key == known or key.startswith((f"{known}.", f"{known}[")) for known in mistakes):
            mistakes[key] = words
    if mistakes or settings is None:
        raise ConfigError([f"{key}: {words}" for key, words in mistakes.items()])
    return settings


def keys_without_effect(settings: Settings) -> list[str]:
    """The dotted keys in the file whose feature this version does not have yet, in the order of `NOT_YET`."""
    keys = []
    for entry in NOT_YET:
        key, _, value = entry.partition("=")
        table, _, name = key.partition(".")
        if key in settings.given and (not value or getattr(getattr(settings, table), name) == value):
            keys.append(key)
    return keys


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))  # Windows editors put a mark before the first line
    except FileNotFoundError:
        reason = "no such file"
    except IsADirectoryError:
        reason = "is a directory, expected a TOML file"
    except OSError as error:
        reason = f"cannot be read: {error.strerror or 'input or output error'}"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        reason = f"is not UTF-8 text (at line {line})"
    except tomllib.TOMLDecodeError as error:
        reason = f"is not valid TOML: {error}"
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of nested brackets
        reason = "is not a usable TOML file"
    raise ConfigError([f"{path}: {reason}"])


def _given_keys(document: Mapping[str, Any]) -> frozenset[str]:
    tables = [(name, table) for name, table in document.items() if isinstance(table, Mapping)]
    return frozenset(document) | {f"{name}.{key}" for name, table in tables for key in table}


# --- Mistakes in plain words

_WORDS = {
    "missing": "required",
    "tuple_type": "expected a list in square brackets",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
}
_REQUIRED = {
    "name": "required: a name to show people",
    "address": "required: a mail address such as info@example.com",
    "host": "required: the server's host name",
    "username": "required: the name to log in with",
    "agents": "required: at least one [[agents]] row",
}
_PASSWORD_REQUIRED = "required: credential:NAME, file:PATH or env:NAME"  # noqa: S105  # says how to give one


def _dotted(location: tuple[int | str, ...]) -> str:
    """`agents[2].address`: rows count from 1; a key that is no bare TOML key is quoted, so that a line stays a line."""
    text = ""
    for part in location[:2] if location[2:] == ("[key]",) else location:  # pydantic's mark: the key itself is wrong
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += "." + (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part))
    return text.removeprefix(".")


def _in_plain_words(detail: Any) -> str:
    """What one of pydantic's findings means to the admin. It never contains the value."""
    kind, location = detail["type"], detail["loc"]
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "literal_error":
        choices = str(detail["ctx"]["expected"])
        return "expected " + choices.replace("'", '"')
    if kind == "extra_forbidden":
        return _unknown_key(location)
    if kind == "missing":
        return _REQUIRED.get(str(location[-1]), "required")
    if kind == "tuple_type" and location in (("agents",), ("forms",), ("levels",), ("reminders",)):
        return f"expected rows that begin with [[{location[0]}]]"
    return _WORDS.get(kind, "is not possible here")


def _unknown_key(location: tuple[int | str, ...]) -> str:
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        if field := _fields(model).get(str(part)):
            model = _model_in(field) or model
    similar = difflib.get_close_matches(str(location[-1]), _fields(model), n=1)
    return f"unknown key; did you mean {similar[0]}?" if similar else "unknown key"


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)


# --- Checks between keys. They read the document as it was written, whatever else is wrong in it, so that all mistakes
# --- come at once; a key or table that has a mistake already keeps that one.


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name)
    return table if isinstance(table, Mapping) else {}


def _rows(document: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of an array of tables with their dotted names, `agents[1]` the first."""
    rows = document.get(name)
    for number, row in enumerate(rows if isinstance(rows, list) else (), 1):
        if isinstance(row, Mapping):
            yield f"{name}[{number}]", row


def _texts(key: str, value: object) -> Iterator[tuple[str, str]]:
    """A text, or each text of a list, with its dotted key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        yield from ((f"{key}[{number}]", text) for number, text in enumerate(value, 1) if isinstance(text, str))


def _logins(document: Mapping[str, Any]) -> Iterator[Mistake]:
    for name in ("imap", "smtp"):
        table = _table(document, name)
        by_password = table.get("auth", "password") == "password"
        if by_password and not table.get("password") and (name == "imap" or table.get("username")):
            yield f"{name}.password", _PASSWORD_REQUIRED
        if table.get("auth") == "oauth2" and not table.get("username"):
            yield f"{name}.username", _REQUIRED["username"]


def _oauth2(document: Mapping[str, Any]) -> Iterator[Mistake]:
    wanted_by = next((name for name in ("imap", "smtp") if _table(document, name).get("auth") == "oauth2"), None)
    if wanted_by is None:
        return
    table = _table(document, "oauth2")
    own = {"microsoft": "tenant", "google": "refresh_token", "other": "token_url"}
    for key in ("client_id", "client_secret", own.get(str(table.get("provider", "microsoft")), "provider")):
        if not table.get(key):
            yield f"oauth2.{key}", f'required, because {wanted_by}.auth is "oauth2"'


def _people(document: Mapping[str, Any]) -> Iterator[Mistake]:
    """An agent's address is one person's; the office's own would make us write to ourselves."""
    office = _table(document, "office")
    own = {text.lower() for key in ("address", "aliases") for _, text in _texts(key, office.get(key))}
    seen: dict[str, str] = {}
    for row_key, row in _rows(document, "agents"):
        for name in ("address", "other_addresses"):
            for key, text in _texts(f"{row_key}.{name}", row.get(name)):
                if text.lower() in own:
                    yield key, "expected a person's address, this one is the office's own"
                elif (first := seen.setdefault(text.lower(), key)) != key:
                    yield key, f"the same address as {first}"
    for row_key, row in _rows(document, "levels"):
        for key, text in _texts(f"{row_key}.addresses", row.get("addresses")):
            if text.lower() in own:
                yield key, "expected a person's address, this one is the office's own"


def _ticket_types(document: Mapping[str, Any]) -> Iterator[Mistake]:
    shipped = [kind.key for kind in SHIPPED_TYPES]
    own = {name: table for name, table in _table(document, "types").items() if name not in shipped}
    for name, table in own.items():
        for key in ("name", "resolve_days"):
            if isinstance(table, Mapping) and key not in table:
                yield _dotted(("types", name, key)), "required: a new type needs a name and resolve_days"
    for row_key, row in _rows(document, "agents"):
        for key, text in _texts(f"{row_key}.types", row.get("types")):
            if text not in shipped and text not in own:
                yield key, "no such type; there are " + ", ".join(_dotted((name,)) for name in (*shipped, *own))


def _reminders(document: Mapping[str, Any]) -> Iterator[Mistake]:
    levels = len(list(_rows(document, "levels")))
    seen: dict[str, str] = {}
    for row_key, row in _rows(document, "reminders"):
        for key, name in _texts(f"{row_key}.name", row.get("name")):
            if (first := seen.setdefault(name.strip(), key)) != key:
                yield key, f"the same name as {first}"
        for key, recipient in _texts(f"{row_key}.to", row.get("to")):
            if re.fullmatch("level [1-9]", recipient) and int(recipient[-1]) > (levels or _SHIPPED_LEVELS):
                yield key, f"no such level; there are {levels or _SHIPPED_LEVELS}"
            fitting = _LETTERS_TO_CUSTOMERS if recipient == "customer" else _LETTERS_TO_COLLEAGUES
            if row.get("letter") in get_args(Letter) and row.get("letter") not in fitting:
                whom = "the customer" if recipient == "customer" else "a colleague"
                yield f"{row_key}.letter", f"a reminder to {whom} is " + " or ".join(f'"{one}"' for one in fitting)
        known = {shipped.key for shipped in SHIPPED_TYPES} | set(_table(document, "types"))
        for key, name in _texts(f"{row_key}.types", row.get("types")):
            if name not in known:
                yield key, f"no such type; there are {', '.join(sorted(known))}"


def _calendar_days(document: Mapping[str, Any]) -> Iterator[Mistake]:
    calendar = _table(document, "calendar")
    for name in ("closures", "holidays"):
        seen: dict[str, str] = {}
        for row_key, row in _rows(calendar, name):
            day = str(row.get("date"))
            if "date" in row and (first := seen.setdefault(day, row_key)) != row_key:
                yield f"calendar.{row_key}.date", f"the same day as calendar.{first}"


CROSS_CHECKS: tuple[Callable[[Mapping[str, Any]], Iterator[Mistake]], ...] = (
    _logins,
    _oauth2,
    _people,
    _ticket_types,
    _reminders,
    _calendar_days,
)


# --- Secrets


def resolve_secret(text: str, config_dir: Path, environ: Mapping[str, str]) -> str:
    """The secret behind a reference `credential:NAME`, `file:PATH` (relative to `config_dir`) or `env:NAME`.

    `credential:` is looked for in $CREDENTIALS_DIRECTORY (systemd) and then in /etc/pqr-mailbot/credentials. A trailing
    newline is cut. Raises SecretError in one line that never contains the secret.
    """
    if not (_is_one_line(text) and _SECRET.fullmatch(text)):
        raise SecretError("a secret is given as credential:NAME, file:PATH or env:NAME")  # not shown: it may be one
    kind, _, name = text.partition(":")
    if kind == "env":
        if name not in environ:
            raise SecretError(f"{text}: no such environment variable")
        secret = environ[name]
    elif kind == "file":
        secret = _secret_file(text, [config_dir / name])
    else:
        service = environ.get("CREDENTIALS_DIRECTORY")
        directories = [Path(service), SYSTEM_CREDENTIALS] if service else [SYSTEM_CREDENTIALS]
        secret = _secret_file(text, [directory / name for directory in directories])
    return _usable(text, secret.rstrip("\r\n"))


def _secret_file(reference: str, places: list[Path]) -> str:
    """The content of the first of these files that exists."""
    for place in places:
        try:
            with place.open("rb") as file:
                return file.read(LONGEST_SECRET + 1).decode()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except UnicodeDecodeError:
            raise SecretError(f"{reference}: {place} is not UTF-8 text") from None
        except OSError as error:
            raise SecretError(f"{reference}: {place} cannot be read: {error.strerror}") from None
    raise SecretError(f"{reference}: no such file in " + " or ".join(str(place.parent) for place in places))


def _usable(reference: str, secret: str) -> str:
    if not secret or len(secret) > LONGEST_SECRET:
        raise SecretError(f"{reference}: is {'too long' if secret else 'empty'}")
    if not _is_one_line(secret):
        raise SecretError(f"{reference}: has more than one line, or control characters")
    return secret
