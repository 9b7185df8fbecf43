"""The admin's rehearsal before the first real mail: one finding a line."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pqr_mailbot import wiring
from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.imap_mailbox import Mailbox
from pqr_mailbot.adapters.letters import SAMPLE_FACTS, TemplateProblem
from pqr_mailbot.adapters.oauth import Granted
from pqr_mailbot.adapters.sqlite_store import Store, StoreProblem
from pqr_mailbot.adapters.sqlite_views import NoStore, OlderStore, Views
from pqr_mailbot.adapters.tokens import carried_in
from pqr_mailbot.config import ConfigError, Settings, keys_without_effect
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.casework import Moved
from pqr_mailbot.domain.screen import LETTER_HEADER
from pqr_mailbot.flows.token_source import Access, Tokens
from pqr_mailbot.flows.watch_sent import NoSentFolder

AHEAD = timedelta(days=60)  # a term of 30 business days begun today may reach this far
MOVES_SHOWN = 10  # tickets named when a changed calendar moves their dates
CLOCK_SLACK = timedelta(minutes=5)
SENT_DAYS = 14  # without a person's mail in the Sent folder it is probably not the right one
SENT_LOOKED_AT, SENT_AT_ONCE = 5000, 250  # mails whose headers are looked at, the latest, and how many in one command


@dataclass(frozen=True, slots=True)
class Finding:
    level: Literal["ok", "warn", "FAIL"]
    what: str
    detail: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def findings(settings: Settings, environ: Mapping[str, str], now: datetime, offline: bool) -> Iterator[Finding]:
    """Everything that can be known before the first mail, cheapest first. Sends nothing, and writes nothing but the
    refresh token that a provider gives in place of ours."""
    yield from _configuration(settings)
    yield from _alarms(settings)
    yield from _words_and_letters(settings)
    yield from _calendar(settings, now)
    yield from _store(settings, now)
    if offline:
        return
    try:
        secrets = wiring.Secrets.read(settings, environ)
    except ConfigError as error:
        for mistake in error.mistakes:
            yield Finding("FAIL", "secrets", mistake)
        return
    tokens: Tokens | None = None
    if access := wiring.access_of(settings, secrets):
        finding, tokens = _access_token(settings, access, now)
        yield finding
    if tokens or settings.imap.auth == "password":
        yield from _imap(settings, secrets, tokens, now)
    if tokens or settings.smtp.auth == "password":
        yield from _smtp(settings, secrets, tokens)


def _configuration(settings: Settings) -> Iterator[Finding]:
    agents = ", ".join(agent.address for agent in settings.agents)
    yield Finding("ok", "configuration", f"{settings.office.name} <{settings.office.address}>, agents {agents}")
    if later := keys_without_effect(settings):
        yield Finding("warn", "configuration", "accepted, but without effect in this version: " + ", ".join(later))
    absent = {
        "office.phone": settings.office.phone,
        "office.privacy_notice_url": settings.office.privacy_notice_url,
    }
    for key, value in absent.items():
        if not value:
            yield Finding("warn", key, "empty: the letters leave it out")
    if not settings.imap.trusted_authserv_ids:
        yield Finding("warn", "imap.trusted_authserv_ids", "empty: no Authentication-Results header is believed")


def _alarms(settings: Settings) -> Iterator[Finding]:
    """Whether anybody hears of it when something is wrong."""
    admin = settings.admin
    if admin.command:
        program = shutil.which(admin.command[0])
        found = f"runs {program}" if program else f"{admin.command[0]}: no such program that can be executed"
        yield Finding("ok" if program else "FAIL", "admin.alarm_command", found)
    elif not admin.alarms_to:
        detail = "empty, and no alarm_command: alarms only go to the journal"
        yield Finding("warn", "admin.alarms_to", detail)


def _words_and_letters(settings: Settings) -> Iterator[Finding]:
    try:
        wiring.lexicon_of(settings)
        yield Finding("ok", "lexicon", "every row can be used")
    except ConfigError as error:
        yield Finding("FAIL", "lexicon", "; ".join(error.mistakes))
    model = settings.classification.model
    if model and not model.exists():
        yield Finding("warn", "classification.model", f"{model}: not there yet, shipped weights hold until `learn`")
    try:
        letters = wiring.letters_of(settings)
    except ConfigError as error:
        yield Finding("FAIL", "letters", "; ".join(error.mistakes))
        return
    for letter, facts in SAMPLE_FACTS.items():
        try:
            letters.render(letter, facts)
            yield Finding("ok", f"letter {letter}", "renders")
        except TemplateProblem as problem:
            yield Finding("FAIL", f"letter {letter}", str(problem))


def _calendar(settings: Settings, now: datetime) -> Iterator[Finding]:
    last_year, reviewed = (local_day(now, settings.office.zone) + AHEAD).year, settings.calendar.reviewed_until
    if last_year > reviewed:
        todo = f"read `calendar {last_year}`, then raise calendar.reviewed_until"
        detail = f"deadlines reach {last_year}, reviewed until {reviewed}: {todo}"
        yield Finding("warn", "calendar", detail)
    else:
        yield Finding("ok", "calendar", f"reviewed until {reviewed}")


def _store(settings: Settings, now: datetime) -> Iterator[Finding]:
    path, last_event = settings.store.path, None
    try:
        with closing(Views(path, settings.office.zone, wiring.desk_of(settings).calendar, settings.types)) as views:
            damage, last_event = views.soundness()
            moved = views.moved_deadlines() if damage == "ok" else []
        yield Finding("ok" if damage == "ok" else "FAIL", "store", f"{path}: {damage}")
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding("warn", "store", f"{path} can be read by others (expected mode 0600)")
        if moved:
            yield Finding("warn", "calendar", _moves(moved))
    except NoStore:
        yield _place_for_a_store(path)
    except OlderStore as problem:
        yield Finding("warn", "store", str(problem))
    except StoreProblem as problem:
        yield Finding("FAIL", "store", str(problem))
    yield _clock(now, last_event)


def _moves(moved: Sequence[Moved]) -> str:
    """What a changed calendar or term does to open tickets, before it does."""
    shown = ", ".join(f"{one.reference} {one.was} -> {one.is_now}" for one in moved[:MOVES_SHOWN])
    more = f" and {len(moved) - MOVES_SHOWN} more" if len(moved) > MOVES_SHOWN else ""
    return f"the next start moves the date of open tickets: {shown}{more}"


def _place_for_a_store(path: Path) -> Finding:
    if not path.parent.is_dir():
        return Finding("FAIL", "store", f"{path.parent}: no such directory; store.path is to be made in it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return Finding("FAIL", "store", f"{path.parent}: this user may not write there; store.path is to be made in it")
    return Finding("ok", "store", f"{path} is made at the first start")


def _clock(now: datetime, last_event: datetime | None) -> Finding:
    here = f"{now:%Y-%m-%d %H:%M} UTC"
    if last_event and last_event > now + CLOCK_SLACK:
        known = f"{last_event:%Y-%m-%d %H:%M}"
        return Finding("FAIL", "clock", f"it is {here} here, but the store knows {known}: the clock went back")
    return Finding("ok", "clock", here)


def _access_token(settings: Settings, access: Access, now: datetime) -> tuple[Finding, Tokens | None]:
    """Fetches a token, as the desk does. A new refresh token that comes with it is kept in the store, else the desk
    would go on with one that counts no more; that this can be done is made sure of before."""
    what, server = "oauth2", access.client.endpoint
    try:
        with _store_to_keep_it(settings, access) as store:
            granted = _granted(access, store, now)
    except Trouble as trouble:
        return Finding("FAIL", what, str(trouble)), None
    except StoreProblem as problem:
        return Finding("warn", what, f"not tried, a new refresh token could not be kept: {problem}"), None
    except (sqlite3.Error, OSError) as error:
        return Finding("FAIL", what, f"{settings.store.path}: a new refresh token could not be kept: {error}"), None
    minutes = round(granted.lifetime.total_seconds() / 60)
    holds = f"{server.host}:{server.port}: an access token that holds for {minutes} minutes"
    return Finding("ok", what, holds), lambda _: granted.access_token


@contextmanager
def _store_to_keep_it(settings: Settings, access: Access) -> Iterator[Store | None]:
    """None: there is none yet, and the provider is known to let the configured refresh token count as well.

    Raises StoreProblem, sqlite3.Error.
    """
    path = settings.store.path
    revokes = bool(access.refresh_token and settings.oauth2 and settings.oauth2.provider == "other")
    if not path.exists() and not revokes:
        yield None
        return
    with closing(Store.attach(path)) as store:
        with store.transaction():
            pass
        yield store


def _granted(access: Access, store: Store | None, now: datetime) -> Granted:
    granted, refresh_token = access.obtain(lambda: store.refresh_token(access.mark) if store else "")
    if store:
        with store.transaction():
            store.keep_token(access.mark, refresh_token, now, now + granted.lifetime)
    return granted


def _imap(settings: Settings, secrets: wiring.Secrets, tokens: Tokens | None, now: datetime) -> Iterator[Finding]:
    imap = settings.imap
    try:
        mailbox = wiring.open_mailbox(settings, secrets, tokens, readonly=True)
    except Trouble as trouble:
        yield Finding("FAIL", "imap", str(trouble))
        return
    with closing(mailbox):
        yield Finding("ok", "imap", f"{imap.host}:{imap.port} as {imap.username}, folder {imap.folder}")
        try:
            if imap.move_to and imap.move_to not in mailbox.folders():
                yield Finding("FAIL", "imap.move_to", f"no folder {imap.move_to} on the server")
            if imap.sent_folder:
                yield _sent(settings, mailbox, now)
        except Trouble as trouble:
            yield Finding("FAIL", "imap", str(trouble))


def _sent(settings: Settings, mailbox: Mailbox, now: datetime) -> Finding:
    """Which folder is watched, and whether it is the one in which people's answers lie. Raises Trouble."""
    what = "imap.sent_folder"
    try:
        wiring.turn_to_sent(settings, mailbox)
    except NoSentFolder as absent:
        return Finding("warn", what, str(absent))
    except Trouble as trouble:
        if trouble.kind != "folder":
            raise
        return Finding("warn", what, f"{trouble}; the desk looks for it again while it runs")
    recent = mailbox.uids_since(local_day(now, settings.office.zone) - timedelta(days=SENT_DAYS))[-SENT_LOOKED_AT:]
    for start in range(0, len(recent), SENT_AT_ONCE):
        headers = mailbox.header_fields(recent[start : start + SENT_AT_ONCE], ("MESSAGE-ID", LETTER_HEADER))
        if any(not carried_in(header) for header in headers.values()):
            return Finding("ok", what, f"watched: {mailbox.folder}")
    quiet = f"no mail written by a person in {SENT_DAYS} days; do mail programs keep copies of answers there?"
    return Finding("warn", what, f"watched: {mailbox.folder}, {quiet}")


def _smtp(settings: Settings, secrets: wiring.Secrets, tokens: Tokens | None) -> Iterator[Finding]:
    async def knock() -> None:
        mailer = wiring.mailer_of(settings, secrets, tokens)
        try:
            await mailer.check()
        finally:
            await mailer.close()

    try:
        asyncio.run(knock())
        yield Finding(
            "ok",
            "smtp",
            f"{settings.smtp.host}:{settings.smtp.port} as {settings.smtp.username or 'nobody (no login)'}",
        )
    except Trouble as trouble:
        yield Finding("FAIL", "smtp", str(trouble))
