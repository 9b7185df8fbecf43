"""Hands out an access token that holds: fetched ahead of its end, by one thread at a time, whoever asks.

The access token is in memory only. A refresh token that the provider gave in place of the configured one is in the
store before anybody sees what came with it; until then the one before it stands there. When the configured one is
changed it wins: what is stored carries a mark of the one whose place it took.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from pqr_mailbot.adapters.connection import AccessToken, Trouble, TroubleKind
from pqr_mailbot.adapters.oauth import Client, Granted, Refusal, fetch_token
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.providers import Standing
from pqr_mailbot.flows.weather import weather_in

AHEAD = timedelta(minutes=5)  # before its end a token is replaced; of one that lives shortly, in its last quarter
Tokens = Callable[[AccessToken | None], AccessToken]  # one that holds, other than the one that a server refused
Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """The [oauth2] table: the endpoint, the configured refresh token ("": client credentials), and its mark."""

    client: Client
    refresh_token: str = field(repr=False)
    mark: str

    def obtain(self, stored: Callable[[], str]) -> tuple[Granted, str]:
        """A token, and the refresh token to store, "" when the configured one stays. Raises Trouble.

        `stored` reads the store. It is read again after a refusal, for a command beside us may have been given a newer
        one; and the configured one is tried last, for the store may come from a backup.
        """
        tried: list[str] = []
        refusal: Refusal | None = None
        for refresh_token in self._candidates(stored):
            if refresh_token in tried:
                continue
            tried.append(refresh_token)
            try:
                granted = fetch_token(self.client, refresh_token)
            except Refusal as error:
                if error.kind != "login" or error.error != "invalid_grant":
                    raise
                refusal = error
                continue
            used = "" if refresh_token == self.refresh_token else refresh_token
            return granted, granted.refresh_token if self.refresh_token and granted.refresh_token else used
        assert refusal
        raise refusal

    def _candidates(self, stored: Callable[[], str]) -> Iterator[str]:
        if not self.refresh_token:
            yield ""
            return
        for source in (stored, stored, lambda: self.refresh_token, stored):
            if found := source():
                yield found


@dataclass(frozen=True, slots=True)
class _Held:
    token: AccessToken
    renew_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Unwritten:
    """What the store has to know of the latest answer."""

    refresh_token: str = field(repr=False)
    refreshed_at: datetime
    expires_at: datetime


class TokenSource:
    """One for the whole desk, from any thread but the books'. Make it once, `close` it before the books."""

    def __init__(self, books: Books, access: Access, standing: Standing, clock: Callable[[], datetime]) -> None:
        self.in_haste = False  # an admin asked for a round now
        self.serial = 0  # changes with each new token
        self._books, self._access, self._standing, self._clock = books, access, standing, clock
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._unwritten: _Unwritten | None = None
        self._closed = False

    def token(self, refused: AccessToken | None = None) -> AccessToken:
        """Raises Trouble: of kind "login" when an admin has to renew something.

        A token that a server refused is not given out again, however long it should hold. While no newer one can be
        had, one that still holds is used.
        """
        with self._lock:
            now = self._clock()
            self._write()
            if self._held and self._held.token == refused:
                self._held = None
            held = self._held
            if held and now < held.renew_at:
                return held.token
            try:
                return self._renewed(now).token
            except Trouble:
                if held and now < held.expires_at:
                    return held.token
                raise

    def keep_fresh(self) -> None:
        """Fetches the next token when it is time, though nobody asks: a dead secret is known while the old token still
        holds. Never raises Trouble; it is noted."""
        try:
            self.token()
        except Trouble as trouble:
            log.debug("no access token: %s", trouble)

    def close(self) -> None:
        """Waits for a refresh under way, so that what it brings is stored. No token is given out afterwards."""
        with self._lock:
            self._closed = True

    def _renewed(self, now: datetime) -> _Held:
        if self._closed:
            raise Trouble("dropped", "the desk is closing")
        self._must_be_time(now)
        try:
            granted, refresh_token = self._access.obtain(self._stored)
        except Trouble as trouble:
            self._failed(trouble, now)
            raise
        lifetime = granted.lifetime
        held = _Held(granted.access_token, now + lifetime - min(AHEAD, lifetime / 4), now + lifetime)
        self._unwritten = _Unwritten(refresh_token, now, held.expires_at)
        self._write()
        self._held = held
        self.serial += 1
        return held

    # -- the store ---------------------------------------------------------------------------------------------------

    def _must_be_time(self, now: datetime) -> None:
        """Raises what was wrong the last time, while it is too early to ask again."""

        def early(store: Store) -> Trouble | None:
            if not self._standing.wait_until(store, now, self.in_haste):
                return None
            kind: TroubleKind = "login" if store.provider("oauth2").refused else "login-later"
            return Trouble(kind, store.provider_problem("oauth2") or "no access token")

        if trouble := self._asked(early):
            raise trouble

    def _stored(self) -> str:
        if self._unwritten:
            return self._unwritten.refresh_token
        return self._asked(lambda store: store.refresh_token(self._access.mark))

    def _failed(self, trouble: Trouble, now: datetime) -> None:
        wait = trouble.retry_after if isinstance(trouble, Refusal) else timedelta()

        def note(store: Store) -> None:
            with store.transaction():
                self._standing.failed(store, trouble, now, wait)

        self._asked(note)

    def _write(self) -> None:
        """A store that is busy or full does not stop the desk: the newest refresh token stays in memory, is the one
        that is used, and is written at the next occasion."""
        if (found := self._unwritten) is None:
            return

        def write(store: Store) -> None:
            with store.transaction():
                store.keep_token(self._access.mark, found.refresh_token, found.refreshed_at, found.expires_at)
                store.providers_freed("oauth2")
                self._standing.well(store, found.refreshed_at)

        try:
            self._books.do_now(write)
        except sqlite3.OperationalError as error:
            self._books.weather.bad("token", weather_in(error) or str(error))
        else:
            self._unwritten = None
            self._books.weather.good("token")

    def _asked(self, work: Callable[[Store], Result]) -> Result:
        try:
            return self._books.do_now(work)
        except sqlite3.OperationalError as error:
            raise Trouble("login-later", weather_in(error) or str(error)) from error


def with_token(tokens: Tokens, log_in: Callable[[AccessToken], Result]) -> Result:
    """Logs in. A server may refuse a token that should hold, since it was withdrawn: another is tried, once."""
    token = tokens(None)
    try:
        return log_in(token)
    except Trouble as trouble:
        if trouble.kind != "login":
            raise
    return log_in(tokens(token))


def forget(store: Store) -> None:
    """No login is by OAuth2 any more: nothing is wrong with it, and no secret of it is kept."""
    with store.transaction():
        store.provider_forgotten("oauth2")
        store.forget_token()
