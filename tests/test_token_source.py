"""Access tokens for the whole desk: fetched in time and by one at a time, their refresh tokens never lost."""

from __future__ import annotations

import logging
import sqlite3
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from office import BOGOTA
from test_oauth import REFRESH
from token_server import CLIENT, CLIENT_SECRET, DROP, Fault, TokenServer, refusing

from pqr_mailbot import plain
from pqr_mailbot.adapters.connection import AccessToken, Trouble
from pqr_mailbot.adapters.holidays import business_calendar
from pqr_mailbot.adapters.oauth import client_of
from pqr_mailbot.adapters.sqlite_store import Provider, Store
from pqr_mailbot.adapters.sqlite_views import Views
from pqr_mailbot.domain.health import Expected
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.providers import Standing, secret_mark
from pqr_mailbot.flows.token_source import Access, TokenSource, forget, with_token

NOW = datetime(2026, 6, 1, 15, 0, tzinfo=UTC)


@dataclass
class Desk:
    """A store, a provider, and a clock that stands where it is put."""

    path: Path
    server: TokenServer
    configured: str = ""  # the refresh token
    secret: str = CLIENT_SECRET
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.books = Books(lambda: Store.open(self.path, NOW))

    def source(self) -> TokenSource:
        """As after a start: nothing in memory."""
        client = client_of("microsoft", "", CLIENT, self.secret, not self.configured, self.server.url)
        access = Access(client, self.configured, secret_mark(CLIENT, self.configured))
        mark = secret_mark(CLIENT, f"{self.secret} {self.configured}")
        return TokenSource(self.books, access, Standing("oauth2", mark), lambda: self.now)

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    def stored(self) -> str:
        return self.books.do_now(lambda store: store.refresh_token(secret_mark(CLIENT, self.configured)))

    def provider(self, name: str = "oauth2") -> Provider:
        return self.books.do_now(lambda store: store.provider(name))

    def problem(self) -> str | None:
        return self.books.do_now(lambda store: store.provider_problem("oauth2"))


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


@pytest.fixture
def desk(tmp_path: Path, server: TokenServer) -> Iterator[Desk]:
    """By client credentials."""
    desk = Desk(tmp_path / "desk.db", server)
    yield desk
    desk.books.close()


@pytest.fixture
def rotating(desk: Desk) -> Desk:
    """By a refresh token that counts once."""
    desk.configured = desk.server.refresh_token = REFRESH
    desk.server.rotates = True
    return desk


def refused(source: TokenSource) -> Trouble:
    with pytest.raises(Trouble) as caught:
        source.token()
    return caught.value


# -- in time -----------------------------------------------------------------------------------------------------------


def test_a_token_serves_until_shortly_before_its_end(desk: Desk) -> None:
    source = desk.source()
    first = source.token()
    desk.later(minutes=54)
    assert source.token() is first and source.serial == 1
    desk.later(minutes=1)  # five minutes before its end
    assert source.token() != first and source.serial == 2
    assert len(desk.server.asked) == 2


def test_one_that_lives_shortly_is_replaced_in_its_last_quarter(desk: Desk) -> None:
    desk.server.lifetime = 8
    source = desk.source()
    first = source.token()
    desk.later(seconds=5.9)
    assert source.token() is first
    desk.later(seconds=0.2)
    assert source.token() != first


def test_many_ask_and_one_fetches(desk: Desk) -> None:
    source = desk.source()
    desk.server.faults = [Fault(seconds=0.1, usual=True)]
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda _: source.token().text, range(8)))
    assert tokens == desk.server.given * 8
    desk.later(hours=1)
    desk.server.faults = [Fault(seconds=0.1, usual=True)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: source.token(), range(8)))
    assert (len(desk.server.asked), desk.server.most_at_once) == (2, 1)


def test_a_token_that_a_server_refused_is_replaced_once(desk: Desk) -> None:
    source, tried = desk.source(), []

    def log_in(token: AccessToken) -> str:
        tried.append(token)
        if len(tried) == 1:
            raise Trouble("login", "no")
        return "in"

    assert with_token(source.token, log_in) == "in"
    assert len({token.text for token in tried}) == 2
    assert source.token() == tried[1]
    assert source.token(tried[0]) == tried[1]  # who is late with the old one gets the new one, without another fetch
    assert len(desk.server.asked) == 2


def test_refused_twice_is_refused_and_other_trouble_is_not_tried_again(desk: Desk) -> None:
    source, tried = desk.source(), []

    def log_in(token: AccessToken, kind: str) -> None:
        tried.append(token)
        raise Trouble(kind, "no")  # type: ignore[arg-type]

    for kind, times in (("login", 2), ("dropped", 1), ("login-later", 1)):
        tried.clear()
        with pytest.raises(Trouble, match="no"):
            with_token(source.token, lambda token, kind=kind: log_in(token, kind))  # type: ignore[misc]
        assert len(tried) == times


# -- trouble that passes -----------------------------------------------------------------------------------------------


def test_while_a_token_holds_trouble_that_passes_harms_nobody(desk: Desk) -> None:
    source = desk.source()
    first = source.token()
    desk.later(minutes=56)
    desk.server.faults = [Fault(503)]
    assert source.token() is first
    assert "(503)" in (desk.problem() or "")
    desk.later(minutes=3)
    assert source.token() != first
    assert (desk.problem(), desk.provider().failures) == (None, 0)


def test_it_is_asked_again_after_a_while_and_not_by_each_who_asks(desk: Desk) -> None:
    source = desk.source()
    desk.server.faults = [DROP, Fault(500)]
    first = refused(source)
    again = refused(source)
    assert (again.kind, str(again), len(desk.server.asked)) == ("login-later", str(first), 1)
    desk.later(seconds=3)
    assert refused(source).kind == "login-later" and len(desk.server.asked) == 2
    desk.later(seconds=6)
    assert source.token()


def test_it_waits_as_long_as_it_is_asked_to(desk: Desk) -> None:
    source = desk.source()
    desk.server.faults = [Fault(429, b"", {"Retry-After": "600"})]
    refused(source)
    desk.later(seconds=590)
    refused(source)
    assert len(desk.server.asked) == 1
    desk.later(seconds=11)
    assert source.token()


def test_a_round_in_haste_does_not_wait_for_what_passes(desk: Desk) -> None:
    desk.server.faults = [Fault(500)]
    refused(desk.source())
    source = desk.source()
    source.in_haste = True
    assert source.token()


# -- an admin has to act -----------------------------------------------------------------------------------------------


def test_a_dead_secret_is_remembered_and_another_is_tried_at_once(desk: Desk) -> None:
    desk.secret = "vencido"
    dead = refused(desk.source())
    assert dead.kind == "login" and str(dead).endswith("renew oauth2.client_secret")
    source = desk.source()  # a restart
    source.in_haste = True
    assert (refused(source).kind, str(refused(source)), len(desk.server.asked)) == ("login", str(dead), 1)
    assert desk.problem() == str(dead)
    desk.secret = CLIENT_SECRET
    assert desk.source().token()
    assert desk.problem() is None


def test_it_is_told_while_the_last_token_still_holds(desk: Desk) -> None:
    source = desk.source()
    first = source.token()
    desk.later(minutes=55)
    desk.server.faults = [refusing("invalid_client", status=401)]
    source.keep_fresh()
    assert "renew oauth2.client_secret" in (desk.problem() or "")
    assert source.token() is first
    desk.later(minutes=6)
    assert source.token() != first  # the admin renewed it over there


def test_when_it_is_well_again_who_was_kept_out_need_not_wait(desk: Desk) -> None:
    desk.server.faults = [refusing("invalid_client", status=401)]
    trouble = refused(desk.source())

    def note(store: Store) -> None:
        Standing("imap", "mark").failed(store, trouble, desk.now)
        Standing("smtp", "mark").failed(store, Trouble("login", "login refused"), desk.now)

    desk.books.do_now(note)
    desk.later(minutes=2)
    assert desk.source().token()
    assert desk.provider("imap").next_attempt_at is None
    assert desk.provider("smtp").refused == "mark"  # it had a reason of its own


def test_who_was_kept_out_by_an_earlier_answer_need_not_wait_either(desk: Desk) -> None:
    """The endpoint said no, then that it is ill; IMAP still has the first in mind."""
    desk.server.faults = [refusing("invalid_client", status=401), Fault(503)]
    trouble = refused(desk.source())
    desk.books.do_now(lambda store: Standing("imap", "mark").failed(store, trouble, desk.now))
    desk.later(minutes=2)
    assert str(refused(desk.source())) != str(trouble)
    desk.later(minutes=20)
    assert desk.source().token()
    assert (desk.provider("imap").next_attempt_at, desk.provider("imap").refused) == (None, "")


def test_status_tells_it_once_and_until_when_the_last_token_holds(desk: Desk) -> None:
    calendar = business_calendar()

    def status() -> dict[str, Any]:
        with closing(Views(desk.path, BOGOTA, calendar, {})) as views:
            return views.status(desk.now, Expected())

    assert (status()["token_expires_at"], status()["token_refreshed_at"]) == (None, None)
    desk.source().token()
    expected = ("2026-06-01T11:00:00-05:00", "2026-06-01T10:00:00-05:00")
    assert (status()["token_expires_at"], status()["token_refreshed_at"]) == expected
    assert "holds until" in plain.status(status())
    desk.server.faults = [refusing("invalid_client", status=401)]
    trouble = refused(desk.source())
    desk.books.do_now(lambda store: Standing("imap", "mark").failed(store, trouble, desk.now))
    desk.books.do_now(lambda store: Standing("smtp", "mark").failed(store, Trouble("login", "no"), desk.now))
    problems = [problem.partition(" (since")[0] for problem in status()["problems"] if "since 2026" in problem]
    assert problems == [f"oauth2: {trouble}", "smtp: no"]


# -- refresh tokens ----------------------------------------------------------------------------------------------------


def test_the_new_refresh_token_is_stored_before_anybody_sees_the_access_token(rotating: Desk) -> None:
    first = rotating.source().token()
    assert rotating.stored() == rotating.server.refresh_token != REFRESH
    assert rotating.source().token() != first  # after SIGKILL: what is in the store is all there is
    assert rotating.server.asked[0]["refresh_token"] == REFRESH
    assert rotating.stored() == rotating.server.refresh_token
    assert stat.S_IMODE(rotating.path.stat().st_mode) == 0o600


def test_a_provider_that_never_rotates_keeps_being_asked_with_ours(rotating: Desk) -> None:
    rotating.server.rotates = False
    for _ in range(2):
        rotating.source().token()
    assert rotating.stored() == ""
    assert {form["refresh_token"] for form in rotating.server.asked} == {REFRESH}


def test_one_that_stops_rotating_is_asked_with_the_last(rotating: Desk) -> None:
    rotating.source().token()
    rotating.server.rotates = False
    for _ in range(2):
        rotating.source().token()
    assert rotating.stored() == rotating.server.refresh_token


def test_a_changed_secret_wins_over_the_stored_one(rotating: Desk) -> None:
    rotating.source().token()
    rotating.configured = rotating.server.refresh_token = "rt.nueva"
    rotating.source().token()
    assert rotating.server.asked[-1]["refresh_token"] == "rt.nueva"
    assert len(rotating.server.asked) == 2  # the old one was not even tried
    assert rotating.stored() == rotating.server.refresh_token


def test_a_store_from_a_backup_holds_one_that_counts_no_more(rotating: Desk) -> None:
    """The configured one may still count, as Microsoft's do."""
    rotating.source().token()
    rotating.server.refresh_token = REFRESH
    assert rotating.source().token()
    assert [form["refresh_token"] == REFRESH for form in rotating.server.asked] == [True, False, True]


def test_a_command_beside_the_daemon_may_have_been_given_a_newer_one(rotating: Desk) -> None:
    source = rotating.source()
    source.token()
    command = rotating.source()  # has the same store
    command.token()
    rotating.later(hours=1)
    assert source.token()
    assert len(rotating.server.asked) == 3


def test_a_dead_refresh_token_is_asked_about_once_in_a_while(rotating: Desk) -> None:
    rotating.source().token()
    rotating.server.refresh_token = "revocada"
    source = rotating.source()
    dead = refused(source)
    assert (dead.kind, str(dead).endswith("; renew oauth2.refresh_token")) == ("login", True)
    refused(source)
    assert len(rotating.server.asked) == 3  # the stored one and the configured one, once each


def test_a_limit_is_no_refusal(rotating: Desk) -> None:
    """Else the configured one would be tried for nothing, and against the limit."""
    rotating.source().token()
    rotating.server.faults = [refusing("invalid_grant", status=429)]
    assert refused(rotating.source()).kind == "login-later"
    assert len(rotating.server.asked) == 2


def test_a_store_that_cannot_be_written_loses_no_refresh_token(
    rotating: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest one stays in memory, is the one that is used, and is written as soon as that can be done."""
    source = rotating.source()
    rotating.books.do_now(lambda store: store.db.conn.execute("PRAGMA busy_timeout = 10"))
    other = sqlite3.connect(rotating.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    first = source.token()
    assert rotating.stored() == "" and "locked by another program" in caplog.text
    rotating.later(hours=1)
    assert source.token() != first
    other.execute("ROLLBACK")
    other.close()
    source.token()
    assert rotating.stored() == rotating.server.refresh_token
    assert not any(secret in caplog.text for secret in rotating.server.given)


def test_closing_waits_for_what_is_under_way(rotating: Desk) -> None:
    source = rotating.source()
    rotating.server.faults = [Fault(seconds=0.2, usual=True)]
    asking = threading.Thread(target=source.token)
    asking.start()
    while not rotating.server.at_once:
        pass
    source.close()
    assert rotating.stored() == rotating.server.refresh_token != REFRESH
    asking.join()
    rotating.later(hours=2)
    assert refused(source).kind == "dropped"


def test_a_store_from_before_keeps_how_it_stands_with_the_servers(desk: Desk) -> None:
    desk.books.do_now(lambda store: Standing("imap", "mark").failed(store, Trouble("login", "no"), NOW))
    before = desk.provider("imap")

    def older(store: Store) -> None:
        """As the step before this one left it."""
        store.db.conn.execute("DROP TABLE oauth_token")
        store.db.conn.execute("DELETE FROM _sqlite_migrations WHERE name = 'm008_oauth2'")

    desk.books.do_now(older)
    desk.books.close()
    desk.__post_init__()
    assert (desk.provider("imap"), before.refused) == (before, "mark")
    assert desk.source().token()


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_no_secret_is_told(rotating: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    source = rotating.source()
    source.token()
    rotating.later(hours=1)
    rotating.server.faults = [refusing("invalid_client", f"{CLIENT_SECRET} {rotating.stored()}", 401)]
    source.keep_fresh()
    told = caplog.text + repr(vars(source)) + str(rotating.problem())
    assert "renew oauth2.client_secret" in told
    assert not any(secret in told for secret in (*rotating.server.given, REFRESH, CLIENT_SECRET))


def test_the_access_token_is_not_in_the_store(rotating: Desk) -> None:
    token = rotating.source().token()
    rotating.books.do_now(lambda store: store.db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    content = rotating.path.read_bytes()
    assert token.text.encode() not in content and rotating.server.refresh_token.encode() in content
    rotating.books.do_now(forget)  # passwords again
    assert rotating.stored() == ""
    assert rotating.problem() is None
