"""The configuration: every key, every mistake at once, and never a secret shown."""

from __future__ import annotations

import copy
import os
import re
import tomllib
from datetime import date, time
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from pqr_mailbot import config
from pqr_mailbot.config import ConfigError, SecretError, Settings, load, resolve_secret, settings_from
from pqr_mailbot.domain.model import State
from pqr_mailbot.domain.policy import SHIPPED_TYPES, Agent, Level

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
HERE = Path("/somewhere")
MINIMAL = """
[office]
name = "Lohas Beans"
address = "info@lohasbeans.test"
[imap]
host = "imap.lohasbeans.test"
username = "info@lohasbeans.test"
password = "credential:imap-password"
[smtp]
host = "smtp.lohasbeans.test"
[[agents]]
address = "Ana@LohasBeans.test"
name = "Ana Ruiz"
"""
REMINDER = {"name": "r", "states": ["new"], "to": ["owner"], "letter": "reminder"}
OPENING = {"business_days": 2, "after": "opening"}
ABSENT = object()


def minimal() -> dict[str, Any]:
    return tomllib.loads(MINIMAL)


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The minimal document with values put at paths such as `imap.port` or `agents.0.name`; ABSENT takes one away."""
    document = minimal()
    for path, value in changes:
        *parents, last = (int(part) if part.isdecimal() else part for part in path.split("."))
        place: Any = document
        for part in parents:
            place = place[part] if isinstance(place, list) else place.setdefault(part, {})
        if value is ABSENT:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return document


def mistakes(document: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings_from(document, HERE)
    assert str(caught.value).split("\n") == caught.value.mistakes, "one line a mistake"
    return caught.value.mistakes


def valid(*changes: tuple[str, Any]) -> Settings:
    return settings_from(changed(*changes), HERE)


# (what is put where, the whole line or its beginning)
MISTAKES: list[tuple[str, Any, str]] = [
    # required
    ("office.name", ABSENT, "office.name: required"),
    ("office.address", ABSENT, "office.address: required"),
    ("imap.host", ABSENT, "imap.host: required"),
    ("imap.username", ABSENT, "imap.username: required"),
    ("imap.password", ABSENT, "imap.password: required"),
    ("imap.password", "", "imap.password: required"),
    ("smtp.host", ABSENT, "smtp.host: required"),
    ("smtp.username", "info", "smtp.password: required"),
    ("agents", ABSENT, "agents: required"),
    ("agents", [], "agents: expected at least one"),
    ("agents.0.name", ABSENT, "agents[1].name: required"),
    ("levels", [{"name": "Mesa"}], "levels[1].addresses: required"),
    # unknown keys, and tables that are something else
    ("imapp", {}, "imapp: unknown key; did you mean imap?"),
    ("imap.passwrod", "x", "imap.passwrod: unknown key; did you mean password?"),
    ("agents.0.frobnicate", 1, "agents[1].frobnicate: unknown key"),
    (
        "calendar.closures",
        [{"date": "2026-12-24", "nmae": "x", "name": "x"}],
        "calendar.closures[1].nmae: unknown key; did",
    ),
    ("types.queja", {"days": 3}, "types.queja.days: unknown key"),
    ("office.line\nbreak", 1, 'office."line\\nbreak": unknown key'),
    ("imap", 5, "imap: expected a table"),
    ("agents", "ana", "agents: expected rows that begin with [[agents]]"),
    ("agents.1", 5, "agents[2]: expected a table"),
    ("types", [], "types: expected a table"),
    # office
    ("office.name", "  ", "office.name: expected some text"),
    ("office.name", "a\r\nBcc: x", "office.name: expected text in quotes, on one line"),
    ("office.address", "info", "office.address: expected a mail address"),
    ("office.aliases", "a@b.test", "office.aliases: expected a list"),
    ("office.aliases", ["a@b.test", "a b@c.test"], "office.aliases[2]: expected a mail address"),
    ("office.phone", 3186126496, "office.phone: expected text"),
    ("office.timezone", "America/Bogotá", "office.timezone: expected a time zone"),
    ("office.timezone", "America", "office.timezone: expected a time zone"),
    ("office.timezone", "../../etc/passwd", "office.timezone: expected a time zone"),
    ("office.language", "en", 'office.language: expected "es"'),
    ("office.privacy_notice_url", "javascript:alert(1)", "office.privacy_notice_url: expected a web address"),
    # servers
    ("imap.port", "993", "imap.port: expected a number from 1 to 65535"),
    ("imap.port", True, "imap.port: expected a number"),
    ("imap.port", 993.0, "imap.port: expected a number"),
    ("imap.port", 0, "imap.port: expected a number"),
    ("smtp.port", 65536, "smtp.port: expected a number"),
    ("imap.host", "https://imap.x.test", "imap.host: expected a host name"),
    ("imap.host", "imap.x.test:993", "imap.host: expected a host name"),
    ("imap.host", "imap..test", "imap.host: expected a host name"),
    ("smtp.host", "", "smtp.host: expected a host name"),
    ("imap.tls", "ssl", 'imap.tls: expected "implicit", "starttls" or "none"'),
    ("imap.tls", ["implicit"], 'imap.tls: expected "implicit"'),
    ("imap.tls", "none", 'imap.tls: "none" is only for a server on this machine'),
    ("smtp", {"host": "128.0.0.1", "tls": "none"}, 'smtp.tls: "none" is only for'),
    ("imap.auth", "plain", 'imap.auth: expected "password" or "oauth2"'),
    ("imap.ca_file", 1, "imap.ca_file: expected text"),
    (
        "imap.password",
        "hunter2",
        "imap.password: expected credential:NAME, file:PATH or env:NAME; a secret itself never",
    ),
    ("imap.password", 12345, "imap.password: expected credential:NAME"),
    ("imap.password", "credential:", "imap.password: expected credential:NAME"),
    ("imap.password", "credential:../shadow", "imap.password: expected credential:NAME"),
    ("imap.password", "credential:..", "imap.password: expected credential:NAME"),
    ("imap.password", "file: ", "imap.password: expected credential:NAME"),
    ("imap.password", "env:A B", "imap.password: expected credential:NAME"),
    ("smtp.password", "hunter2", "smtp.password: expected credential:NAME"),
    ("imap.folder", "", "imap.folder: expected some text"),
    ("imap.move_to", "inbox", "imap.move_to: expected another folder"),
    ("imap.sent_folder", "Inbox", "imap.sent_folder: expected another folder"),
    ("imap.start_from", "yesterday", 'imap.start_from: expected "now" or a date'),
    ("imap.start_from", "20260601", 'imap.start_from: expected "now" or a date'),
    ("imap.start_from", "2026-02-29", 'imap.start_from: expected "now" or a date'),
    ("imap.idle", "true", "imap.idle: expected true or false"),
    ("imap.idle", 1, "imap.idle: expected true or false"),
    ("imap.poll_seconds", 0, "imap.poll_seconds: expected a number"),
    ("imap.trusted_authserv_ids", [""], "imap.trusted_authserv_ids[1]: expected some text"),
    ("imap.exchange_internal_is_authenticated", 0, "imap.exchange_internal_is_authenticated: expected true"),
    ("imap.own_lists", [1], "imap.own_lists[1]: expected text"),
    ("smtp.max_connections", 0, "smtp.max_connections: expected a number from 1 to 100"),
    # oauth2
    ("imap.auth", "oauth2", 'oauth2.client_id: required, because imap.auth is "oauth2"'),
    ("imap.auth", "oauth2", "oauth2.client_secret: required"),
    ("imap.auth", "oauth2", "oauth2.tenant: required"),
    ("smtp.auth", "oauth2", 'oauth2.client_id: required, because smtp.auth is "oauth2"'),
    ("smtp.auth", "oauth2", "smtp.username: required"),
    ("oauth2.provider", "yahoo", 'oauth2.provider: expected "microsoft", "google" or "other"'),
    ("oauth2.client_secret", "hunter2", "oauth2.client_secret: expected credential:NAME"),
    ("oauth2.tenant", "lohas/../otro", "oauth2.tenant: expected the id or a domain of your tenant"),
    ("oauth2.token_url", "http://id.example.com/token", "oauth2.token_url: expected an address that begins with https"),
    ("oauth2.token_url", "http://localhost.example.com/", "oauth2.token_url: expected an address that begins"),
    ("oauth2.token_url", "https://id.example.com:99999/", "oauth2.token_url: expected an address that begins"),
    ("oauth2.token_url", "https://a:b@id.example.com/", "oauth2.token_url: expected an address that begins"),
    ("oauth2.token_url", "https:///token", "oauth2.token_url: expected an address that begins"),
    ("oauth2.token_url", "file:///etc/passwd", "oauth2.token_url: expected an address that begins"),
    ("oauth2.scope", "a\nb", "oauth2.scope: expected text in quotes, on one line"),
    # store, templates, reference
    ("store.path", "", "store.path: expected the path of a file"),
    ("templates.directory", False, "templates.directory: expected text"),
    ("reference.prefix", "pqr", "reference.prefix: expected 1 to 10 capital letters"),
    ("reference.prefix", "PQR2", "reference.prefix: expected 1 to 10 capital letters"),
    ("reference.prefix", "ABCDEFGHIJK", "reference.prefix: expected 1 to 10 capital letters"),
    ("reference.prefix", "PQÑ", "reference.prefix: expected 1 to 10 capital letters"),
    # agents, forms, levels
    (
        "agents.1",
        {"address": "ana@LOHASBEANS.test", "name": "B"},
        "agents[2].address: the same address as agents[1].address",
    ),
    (
        "agents.0.other_addresses",
        ["ana@lohasbeans.test"],
        "agents[1].other_addresses[1]: the same address as agents[1]",
    ),
    ("agents.0.address", "INFO@lohasbeans.test", "agents[1].address: expected a person's address"),
    ("agents.0.types", ["queja", "quejas"], "agents[1].types[2]: no such type; there are solicitud, "),
    ("forms", [{"sender": "web"}], "forms[1].sender: expected a mail address"),
    ("levels", [{"name": "Mesa", "addresses": []}], "levels[1].addresses: expected at least one"),
    (
        "levels",
        [{"name": "Mesa", "addresses": ["info@lohasbeans.test"]}],
        "levels[1].addresses[1]: expected a person's",
    ),
    # calendar
    ("calendar.country", "chile", 'calendar.country: expected "colombia"'),
    ("calendar.weekend", ["sábado"], "calendar.weekend: expected a list of weekdays in English"),
    ("calendar.weekend", "sunday", "calendar.weekend: expected a list of weekdays"),
    ("calendar.weekend", list(config._WEEKDAYS), "calendar.weekend: expected at least one day"),
    ("calendar.office_hours", "8-17", "calendar.office_hours: expected hours"),
    ("calendar.office_hours", "17:00-08:00", "calendar.office_hours: expected hours"),
    ("calendar.office_hours", "08:00-24:00", "calendar.office_hours: expected hours"),
    (
        "calendar.closures",
        [{"date": "2026-02-30", "name": "x"}],
        "calendar.closures[1].date: expected a date that exists",
    ),
    ("calendar.closures", [{"date": "2026-12-24"}], "calendar.closures[1].name: required"),
    ("calendar.holidays", [{"date": 20261224, "name": "x"}], "calendar.holidays[1].date: expected a date"),
    (
        "calendar.holidays",
        [{"date": "2026-07-13", "name": "x"}, {"date": date(2026, 7, 13), "name": "y"}],
        "calendar.holidays[2].date: the same day as calendar.holidays[1]",
    ),
    ("calendar.reviewed_until", "2027", "calendar.reviewed_until: expected a number from 2000 to 2999"),
    # types
    ("types.queja", {"resolve_days": 0}, "types.queja.resolve_days: expected a number from 1 to 365"),
    ("types.queja", {"name": ""}, "types.queja.name: expected some text"),
    ("types.Queja", {"name": "q", "resolve_days": 3}, "types.Queja: expected a name of small letters"),
    ("types.garantia", {"name": "garantía"}, "types.garantia.resolve_days: required: a new type needs"),
    ("types.garantia", {"resolve_days": 5}, "types.garantia.name: required: a new type needs"),
    # reminders
    ("reminders", [REMINDER], "reminders[1].when: required"),
    (
        "reminders",
        [{**REMINDER, "when": OPENING, "states": ["new", "lost"]}],
        'reminders[1].states[2]: expected "new", ',
    ),
    ("reminders", [{**REMINDER, "when": OPENING, "states": []}], "reminders[1].states: expected at least one"),
    (
        "reminders",
        [{**REMINDER, "when": OPENING, "letter": "nag"}],
        'reminders[1].letter: expected "acknowledgement", ',
    ),
    (
        "reminders",
        [{**REMINDER, "when": OPENING, "to": ["boss"]}],
        'reminders[1].to[1]: expected "customer", "owner" or',
    ),
    ("reminders", [{**REMINDER, "when": OPENING, "to": ["level 4"]}], "reminders[1].to[1]: no such level; there are 3"),
    ("reminders", [{**REMINDER, "when": OPENING, "to": "owner"}], "reminders[1].to: expected a list"),
    ("reminders", [{**REMINDER, "when": {**OPENING, "after": "lunch"}}], 'reminders[1].when.after: expected "opening"'),
    (
        "reminders",
        [{**REMINDER, "when": {**OPENING, "business_days": -1}}],
        "reminders[1].when.business_days: expected 0 or more",
    ),
    ("reminders", [{**REMINDER, "when": OPENING}] * 2, "reminders[2].name: the same name as reminders[1].name"),
    ("reminders", [{**REMINDER, "when": OPENING, "repeat": "no"}], "reminders[1].repeat: expected true or false"),
    # limits, admin, report
    ("limits.max_message_bytes", -1, "limits.max_message_bytes: expected a number"),
    ("limits.acknowledgements_per_sender_per_day", 0, "limits.acknowledgements_per_sender_per_day: expected a number"),
    ("limits.automatic_letters_per_hour", 1.5, "limits.automatic_letters_per_hour: expected a number"),
    ("admin.alarms_to", ["root"], "admin.alarms_to[1]: expected a mail address"),
    ("admin.alarm_command", ["a"], "admin.alarm_command: expected text"),
    ("admin.alarm_command", "page 'sistemas", "admin.alarm_command: expected a program and its arguments, with every"),
    ("admin.patience_minutes", 61, "admin.patience_minutes: expected a number from 0 to 60"),
    ("admin.heartbeat", "yes", "admin.heartbeat: expected true or false"),
    ("admin.heartbeat_minutes", 4, "admin.heartbeat_minutes: expected a number from 5 to 1440"),
    ("report.send_to", [None], "report.send_to[1]: expected a mail address"),
    ("report.day", 29, "report.day: expected a number from 1 to 28"),
]


@pytest.mark.parametrize(("path", "value", "line"), MISTAKES)
def test_a_mistake_is_named(path: str, value: Any, line: str) -> None:
    found = mistakes(changed((path, value)))
    assert [mistake for mistake in found if mistake.startswith(line)], found
    assert not [
        word
        for word in ("pydantic", "http", "Input should", "Value error")
        if word in str(found).replace("with https", "")
    ]


def test_all_mistakes_come_at_once_between_keys_too() -> None:
    found = mistakes(
        changed(
            ("office.name", ABSENT),
            ("imap.port", "993"),
            ("imap.password", "hunter2"),
            ("smtp.tls", "none"),
            ("smtp.colour", 1),
            ("agents.1", {"address": "ana@lohasbeans.test", "types": ["nada"]}),
            ("agents.2", {"address": "info@lohasbeans.test", "name": "I"}),
            ("report.day", 31),
        )
    )
    assert sorted(line.split(":")[0] for line in found) == [
        "agents[2].address",
        "agents[2].name",
        "agents[2].types[1]",
        "agents[3].address",
        "imap.password",
        "imap.port",
        "office.name",
        "report.day",
        "smtp.colour",
        "smtp.tls",
    ]


def test_an_empty_file_names_everything_required() -> None:
    required = ["agents", "imap.host", "imap.password", "imap.username", "office.address", "office.name", "smtp.host"]
    assert sorted(line.split(":")[0] for line in mistakes({})) == required


def test_a_wrong_table_is_one_mistake_not_one_for_each_key() -> None:
    assert mistakes(changed(("imap", 5))) == ["imap: expected a table"]
    assert mistakes(changed(("types.Queja", {}))) == ["types.Queja: expected a name of small letters from a to z and _"]


def test_the_minimal_file_has_the_documented_defaults() -> None:
    s = valid()
    assert (s.office.timezone, s.office.language, s.office.aliases, s.office.phone) == ("America/Bogota", "es", (), "")
    assert (s.imap.port, s.imap.tls, s.imap.auth, s.imap.ca_file) == (993, "implicit", "password", None)
    assert (s.imap.folder, s.imap.move_to, s.imap.sent_folder, s.imap.start_from) == ("INBOX", "", "auto", "now")
    assert (s.imap.idle, s.imap.poll_seconds, s.imap.exchange_internal_is_authenticated) == (True, 60, False)
    assert (s.smtp.port, s.smtp.tls, s.smtp.username, s.smtp.max_connections) == (465, "implicit", "", 4)
    assert (s.oauth2, s.forms, s.levels, s.templates.directory) == (None, (), (), None)
    assert (s.store.path, s.reference.prefix) == (Path("/var/lib/pqr-mailbot/desk.db"), "PQR")
    assert s.calendar == config.SHIPPED_CALENDAR
    assert (s.calendar.weekend, s.calendar.office_hours) == (frozenset({5, 6}), (time(8), time(17)))
    assert (s.calendar.closures, s.calendar.holidays, s.calendar.reviewed_until) == ({}, {}, 2027)
    assert tuple(s.types.values()) == SHIPPED_TYPES
    assert s.reminders == config.SHIPPED_REMINDERS
    limits = s.limits
    assert (limits.max_message_bytes, limits.acknowledgements_per_sender_per_day) == (36700160, 5)
    assert limits.automatic_letters_per_hour == 200
    assert (s.admin.alarms_to, s.admin.alarm_command, s.report.send_to, s.report.day) == ((), "", (), 1)


@pytest.mark.parametrize(
    ("table", "tls", "host", "port"),
    [
        ("imap", "implicit", "mail.test", 993),
        ("imap", "starttls", "mail.test", 143),
        ("imap", "none", "127.8.9.1", 143),
        ("smtp", "implicit", "mail.test", 465),
        ("smtp", "starttls", "mail.test", 587),
        ("smtp", "none", "localhost", 25),
        ("smtp", "none", "::1", 25),
    ],
)
def test_a_port_left_out_follows_the_encryption(table: str, tls: str, host: str, port: int) -> None:
    assert getattr(valid((f"{table}.tls", tls), (f"{table}.host", host)), table).port == port
    assert getattr(valid((f"{table}.tls", tls), (f"{table}.host", host), (f"{table}.port", 2525)), table).port == 2525


@pytest.mark.parametrize(
    "tables",
    [
        {"provider": "microsoft", "tenant": "t"},
        {"provider": "google", "refresh_token": "credential:r"},
        {"provider": "other", "token_url": "https://id.example.test/token"},
    ],
)
def test_a_complete_oauth2_table_replaces_the_password(tables: dict[str, str]) -> None:
    table = {"client_id": "c", "client_secret": "env:SECRET", **tables}
    assert valid(("imap.auth", "oauth2"), ("imap.password", ABSENT), ("oauth2", table)).oauth2 is not None
    del table[list(table)[-1]]
    mistakes(changed(("imap.auth", "oauth2"), ("oauth2", table)))


@pytest.mark.parametrize("url", ["", "https://id.example.com:8443/a?b=c", "http://127.0.0.1:8080/t", "http://[::1]/"])
def test_where_tokens_may_be_fetched(url: str) -> None:
    table = valid(("oauth2", {"token_url": url})).oauth2
    assert table and table.token_url == url


def test_days_are_text_or_toml_dates() -> None:
    as_text, as_dates = (
        tomllib.loads(
            MINIMAL.replace(
                'password = "credential:imap-password"', f'password = "env:P"\nstart_from = {q}2026-06-01{q}'
            )
            + f'[calendar]\nclosures = [{{ date = {q}2026-12-24{q}, name = "Cierre" }}]\n'
        )
        for q in ('"', "")
    )
    for document in (as_text, as_dates):
        s = settings_from(document, HERE)
        assert (s.imap.start_from, s.calendar.closures) == (date(2026, 6, 1), {date(2026, 12, 24): "Cierre"})
    as_dates["imap"]["start_from"] = tomllib.loads("t = 2026-06-01T10:00:00Z")["t"]
    assert mistakes(as_dates) == ['imap.start_from: expected "now" or a date such as 2026-12-24']


def test_the_policy_is_the_configuration_in_the_domains_words() -> None:
    policy = valid().policy()
    assert policy.agents == (Agent("ana@lohasbeans.test", "Ana Ruiz"),)
    assert policy.levels == (Level("Servicio al cliente", ("ana@lohasbeans.test",)),), "the agents are the desk"
    assert (policy.office.address, policy.office.timezone.key) == ("info@lohasbeans.test", "America/Bogota")
    policy = valid(
        ("office.aliases", ["Ventas@x.test"]),
        ("levels", [{"name": "A", "addresses": ["a@x.test"]}, {"name": "B", "addresses": ["B@x.test"]}]),
        ("imap.own_lists", ["info.x.test"]),
        ("forms", [{"sender": "web@x.test"}]),
        ("admin.alarms_to", ["root@x.test"]),
        ("report.send_to", ["jefe@x.test"]),
        ("reference.prefix", "CASO"),
        ("calendar.closures", [{"date": "2026-12-24", "name": "Cierre"}]),
        ("limits.automatic_letters_per_hour", 7),
    ).policy()
    assert policy.office.addresses == {"info@lohasbeans.test", "ventas@x.test"}
    assert (policy.level_addresses(2), policy.forms[0].sender) == (("b@x.test",), "web@x.test")
    assert (policy.own_lists, policy.alarms_to, policy.reports_to) == (
        {"info.x.test"},
        ("root@x.test",),
        ("jefe@x.test",),
    )
    assert (policy.reference_prefix, policy.automatic_letters_per_hour) == ("CASO", 7)
    assert policy.closures == {date(2026, 12, 24): "Cierre"}


def test_a_type_table_changes_a_shipped_type_or_adds_one() -> None:
    s = valid(
        ("types.queja", {"resolve_days": 8, "lexicon": "words/queja.tsv"}),
        ("types.garantia", {"name": "garantía", "resolve_days": 5}),
        ("agents.0.types", ["garantia"]),
    )
    assert (s.types["queja"].name, s.types["queja"].resolve_days, s.types["solicitud"].resolve_days) == ("queja", 8, 15)
    assert (s.types["garantia"].name, s.types["garantia"].resolve_days) == ("garantía", 5)
    assert s.lexicons == {"queja": HERE / "words/queja.tsv"}
    assert set(s.policy().types) == {*(shipped.key for shipped in SHIPPED_TYPES), "garantia"}


def test_reminder_rows_replace_the_shipped_ones() -> None:
    assert valid(("reminders", [])).reminders == ()
    (row,) = valid(("reminders", [{**REMINDER, "when": {"business_days": -3, "after": "due"}}])).reminders
    assert (row.when.business_days, row.states, row.to, row.repeat) == (-3, ("new",), ("owner",), False)
    assert get_args(config.StateName) == tuple(State)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Info@LohasBeans.COM", "info@lohasbeans.com"),
        ("a.b+c@x.local", "a.b+c@x.local"),
        ("root@localhost", "root@localhost"),
        ("o'brien@x-y.test", "o'brien@x-y.test"),
        *((bad, None) for bad in ("", "a", "a@", "@b", "a@@b", "a..b@c.test", ".a@c.test", "a.@c.test", "a@b..test")),
        *((bad, None) for bad in ("a b@c.test", "a@b.test,c@d.test", "<a@b.test>", "Ana <a@b.test>", "a@b.test\n")),
        *((bad, None) for bad in ("a@b\r\nBcc: c@d.test", "a@-b.test", "a@b.test.", "ñ@b.test", "x" * 65 + "@b.test")),
        *((bad, None) for bad in ("\u212aa@b.test", "a@b.test\0", "a@[127.0.0.1]", "a@" + "b." * 130 + "test")),
    ],
)
def test_addresses_are_checked_by_syntax_alone(text: str, address: str | None) -> None:
    if address:
        assert config.address_syntax(text) == address
    else:
        with pytest.raises(ValueError, match="expected a mail address"):
            config.address_syntax(text)


# --- The file


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[imap\n", "is not valid TOML: "),
        (b'[imap]\nhost = "a"\npassword = hunter2\n', "(at line 3, column 12)"),
        (b'[imap]\npassword = "hunter2\n', "is not valid TOML: "),
        (b'[office]\nname = "caf\xe9"\n', "is not UTF-8 text (at line 2)"),
        (b"x = " + b"[" * 100_000, "is not a usable TOML file"),
        (b"x = " + b"9" * 10_000, "is not a usable TOML file"),
        (b"\0", "is not valid TOML: "),
    ],
)
def test_an_unreadable_file_is_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (mistake,) = caught.value.mistakes
    assert mistake.startswith(f"{path}: ") and line in mistake and "\n" not in mistake and "hunter2" not in mistake


def test_a_missing_file_and_a_directory_are_one_line(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path / "none.toml", "no such file"),
        (tmp_path, "is a directory, expected a TOML file"),
        (EXAMPLE / "x", "cannot be read: Not a directory"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.mistakes == [f"{path}: {reason}"]


def test_a_mark_and_line_ends_of_windows_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load(path).office.name == "Lohas Beans"


def test_relative_paths_are_meant_from_the_files_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text(MINIMAL + '[store]\npath = "desk.db"\n[templates]\ndirectory = "/abs"\n')
    monkeypatch.chdir(tmp_path)
    s = load(Path("config.toml"))
    assert (s.config_dir, s.store.path, s.templates.directory) == (tmp_path, tmp_path / "desk.db", Path("/abs"))


@pytest.mark.parametrize(
    ("given_path", "environ", "found"),
    [
        ("a.toml", {"PQR_MAILBOT_CONFIG": "b.toml"}, "a.toml"),
        (None, {"PQR_MAILBOT_CONFIG": "b.toml"}, "b.toml"),
        (None, {"PQR_MAILBOT_CONFIG": ""}, "/etc/pqr-mailbot/config.toml"),
        (None, {}, "/etc/pqr-mailbot/config.toml"),
    ],
)
def test_where_the_file_is_looked_for(given_path: str | None, environ: dict[str, str], found: str) -> None:
    assert config.find_config(given_path, environ) == Path(found)


# --- The example


def every_key(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted keys of a model and of the models inside it, rows and tables by type without a number or name."""
    keys = []
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        keys.append(key)
        inner = config._model_in(field.annotation)
        keys += every_key(inner, f"{key}.") if inner else []
    return keys


def written_keys(value: Any, prefix: str = "") -> set[str]:
    if isinstance(value, list):
        return set().union(*(written_keys(item, prefix) for item in value))
    if not isinstance(value, dict):
        return set()
    keys = set()
    for key, inner in value.items():
        path = f"{prefix}.{key}".lstrip(".")
        keys |= {path} | written_keys(inner, path)
    return keys


def test_the_example_loads_and_has_every_key() -> None:
    load(EXAMPLE)
    written = {re.sub(r"^types\.\w+", "types", key) for key in written_keys(tomllib.loads(EXAMPLE.read_text()))}
    commented = {"calendar.closures.date", "calendar.closures.name", "calendar.holidays.date", "calendar.holidays.name"}
    assert set(every_key(Settings)) - written == commented, "the form of a day is shown in the comment"


SAMPLES = {"office", "agents", "forms", "levels", "host", "username", "password"}  # what has no default, or is a sample


def test_the_example_shows_the_defaults() -> None:
    example, plain = load(EXAMPLE), valid(("smtp.username", "x"), ("smtp.password", "env:X"))
    for name, field in Settings.model_fields.items():
        if name in SAMPLES or name == "type_tables":
            continue
        shown, default = getattr(example, name), getattr(plain, name)
        if name == "oauth2":
            default = config.Oauth2Table()
        if config._model_in(field.annotation) and isinstance(shown, BaseModel):
            shown, default = shown.model_dump(exclude=SAMPLES), default.model_dump(exclude=SAMPLES)
        assert shown == default, name
    assert tuple(example.types.values()) == SHIPPED_TYPES
    assert example.office.model_dump(exclude={"name", "address"}) == plain.office.model_dump(
        exclude={"name", "address"}
    )


def test_every_setting_of_the_example_has_a_comment_the_first_time_its_key_appears() -> None:
    described: set[str] = set()
    previous = ""
    for line in EXAMPLE.read_text().splitlines():
        if line.startswith("[") and not previous.startswith("#"):
            described = described if line in ("[[levels]]", "[[reminders]]") or line.startswith("[types.") else set()
        elif match := re.match(r"(\w+) = ", line):
            assert "#" in line or match[1] in described | {"name", "addresses", "resolve_days", "lexicon"}, line
            described.add(match[1])
        previous = line


# --- Keys without effect


def test_keys_without_effect_are_those_the_file_has() -> None:
    assert config.keys_without_effect(valid()) == []
    s = valid(("imap.own_lists", []), ("report.day", 2), ("admin", {}))
    assert config.keys_without_effect(s) == ["report.day"]
    assert config.keys_without_effect(valid(("imap.auth", "password"))) == []


def test_keys_that_rule_digests_and_trust_are_not_among_them() -> None:
    """They are read where mornings are told from nights, and where a colleague's mail is believed or asked about."""
    closures = [{"date": "2026-12-24", "name": "Cierre"}]
    s = valid(("calendar.office_hours", "07:00-16:00"), ("calendar.closures", closures))
    assert config.keys_without_effect(s) == []
    assert config.keys_without_effect(valid(("imap.exchange_internal_is_authenticated", True))) == []


def test_every_key_without_effect_exists() -> None:
    assert {entry.partition("=")[0] for entry in config.NOT_YET} <= set(every_key(Settings))


# --- Secrets


def test_settings_do_not_change_and_show_no_secret(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    s = settings_from(changed(("imap.password", "file:password")), tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        s.imap.port = 1  # type: ignore[misc]
    assert "hunter2" not in repr(s) + str(s) + repr(s.model_dump())


@pytest.mark.parametrize("path", ["imap.password", "smtp.password", "oauth2.client_secret", "oauth2.refresh_token"])
@pytest.mark.parametrize(
    "secret", ["hunter2", " hunter2", "hunter2\n", "env:hunter2!", "credential:a/hunter2", ["hunter2"]]
)
def test_a_secret_written_into_the_file_is_refused_and_never_shown(path: str, secret: Any) -> None:
    document = changed((path, secret), ("smtp.colour", "hunter2"), ("imap.tls", "hunter2"))
    with pytest.raises(ConfigError) as caught:
        settings_from(document, HERE)
    assert f"{path}: expected credential:NAME" in str(caught.value)
    assert "hunter2" not in str(caught.value) + repr(caught.value) + repr(caught.value.__context__)


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in {
        "service/both": b"from the service\n",
        "system/both": b"from the system\n",
        "system/outside": b"outside\r\n",
        "plain": b"a b  ",
        "empty": b"\n",
        "lines": b"one\ntwo\n",
        "latin": b"caf\xe9",
        "long": b"x" * 70_000,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(config, "SYSTEM_CREDENTIALS", tmp_path / "system")
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "environ", "secret"),
    [
        ("credential:both", {"CREDENTIALS_DIRECTORY": "{}/service"}, "from the service"),
        ("credential:outside", {"CREDENTIALS_DIRECTORY": "{}/service"}, "outside"),
        ("credential:both", {}, "from the system"),
        ("credential:outside", {"CREDENTIALS_DIRECTORY": ""}, "outside"),
        ("file:plain", {}, "a b  "),
        ("file:{}/plain", {}, "a b  "),
        ("env:P", {"P": "from the environment\n"}, "from the environment"),
    ],
)
def test_a_secret_is_found(secrets: Path, reference: str, environ: dict[str, str], secret: str) -> None:
    environ = {name: value.replace("{}", str(secrets)) for name, value in environ.items()}
    assert resolve_secret(reference.replace("{}", str(secrets)), secrets, environ) == secret


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("credential:none", "credential:none: no such file in {}/service or {}/system"),
        ("file:none", "file:none: no such file in {}"),
        ("file:plain/none", "file:plain/none: no such file in {}/plain"),
        ("file:service", "file:service: {}/service cannot be read: Is a directory"),
        ("file:empty", "file:empty: is empty"),
        ("file:lines", "file:lines: has more than one line, or control characters"),
        ("file:latin", "file:latin: {}/latin is not UTF-8 text"),
        ("file:long", "file:long: is too long"),
        ("env:NONE", "env:NONE: no such environment variable"),
        ("env:EMPTY", "env:EMPTY: is empty"),
        ("hunter2", "a secret is given as credential:NAME, file:PATH or env:NAME"),
        ("credential:../plain", "a secret is given as credential:NAME, file:PATH or env:NAME"),
        ("file:a\0b", "a secret is given as credential:NAME, file:PATH or env:NAME"),
    ],
)
def test_a_secret_that_cannot_be_had_is_one_line(secrets: Path, reference: str, reason: str) -> None:
    with pytest.raises(SecretError) as caught:
        resolve_secret(reference, secrets, {"CREDENTIALS_DIRECTORY": f"{secrets}/service", "EMPTY": ""})
    assert str(caught.value) == reason.replace("{}", str(secrets))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_secret_without_permission_is_one_line(secrets: Path) -> None:
    (secrets / "plain").chmod(0)
    with pytest.raises(SecretError, match="cannot be read: Permission denied"):
        resolve_secret("file:plain", secrets, {})


# --- Laws

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = [*sorted({part for key in every_key(Settings) for part in key.split(".")}), "[key]", "queja", "nueva"]
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["oauth2", "none", "level 2", "due", "new", "queja", "ana@lohasbeans.test"]
)
NEAR = st.recursive(
    VALUES | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


def spoken_of(document: dict[str, Any]) -> list[str]:
    """The mistakes, [] for a valid document; anything but a ConfigError fails the test that asks."""
    try:
        settings_from(document, HERE).policy()
    except ConfigError as error:
        assert error.mistakes and str(error).split("\n") == error.mistakes
        assert all(re.match(r"\S.*: .+", line) and line.isprintable() for line in error.mistakes), error.mistakes
        assert "is not possible here" not in str(error), "each kind of mistake has its words"
        return error.mistakes
    return []


@given(st.dictionaries(st.sampled_from([*KEYS, "x y"]), NEAR, max_size=6))
@settings(deadline=None, max_examples=300)
def test_any_document_gives_settings_or_mistakes_and_nothing_else(document: dict[str, Any]) -> None:
    spoken_of(document)


PATHS = [
    key for key in every_key(Settings) if "." in key and not key.startswith(("types", "reminders", "levels", "forms"))
]


@given(st.lists(st.tuples(st.sampled_from(PATHS), NEAR), min_size=1, max_size=3))
@settings(deadline=None, max_examples=300)
def test_any_value_in_any_place_gives_settings_or_mistakes_and_nothing_else(changes: list[tuple[str, Any]]) -> None:
    document = minimal()
    document["calendar"] = {"closures": [{}], "holidays": [{}]}
    for path, value in changes:
        place: Any = document
        *parents, last = path.split(".")
        for part in parents:
            place = place.setdefault(part, {}) if isinstance(place, dict) else {}
            place = place[0] if isinstance(place, list) and place else place
        if isinstance(place, dict):
            place[last] = copy.deepcopy(value)
    spoken_of(document)


@given(st.text() | st.from_regex(r"[a-z.@+ -]{1,30}", fullmatch=True))
def test_an_address_is_accepted_once_and_for_all_or_refused(text: str) -> None:
    try:
        address = config.address_syntax(text)
    except ValueError:
        return
    assert config.address_syntax(address) == address == address.lower()
    assert address.isascii() and address.isprintable() and address.count("@") == 1 and " " not in address
