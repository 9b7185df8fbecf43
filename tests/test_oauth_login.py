"""Logging in by OAuth2: XOAUTH2 byte by byte, with a real Dovecot and a real SMTP server, and the desk as a process."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import servers
from bench import eml
from conftest import missing
from desk_process import DeskProcess
from hostile import OK, ScriptedImap
from servers import OFFICE, Authority, Dovecot, SmtpServer, wait_until
from test_check import MINIMAL
from test_oauth import REFRESH
from test_smtp_mailer import CLARA, LETTER, ScriptedSmtp
from test_token_source import Desk
from token_server import CLIENT, CLIENT_SECRET, TokenServer, refusing

from pqr_mailbot import cli, config, wiring
from pqr_mailbot.adapters.connection import AccessToken, Trouble
from pqr_mailbot.adapters.imap_mailbox import Mailbox
from pqr_mailbot.adapters.smtp_mailer import Mailer
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.adapters.sqlite_views import Views
from pqr_mailbot.check import findings
from pqr_mailbot.domain.health import Expected
from pqr_mailbot.flows.token_source import with_token

TOKEN = AccessToken("at.nadie-lo-lee")
SAID = base64.b64encode(f"user=info@oficina.test\x01auth=Bearer {TOKEN.text}\x01\x01".encode()).decode()
WHY = base64.b64encode(b'{"status":"401"}').decode()

# -- the words ---------------------------------------------------------------------------------------------------------


def by_token(server: ScriptedImap) -> Mailbox:
    return Mailbox.open(server.endpoint(), TOKEN, "INBOX")


def test_imap_answers_the_challenge_of_a_refusal_with_an_empty_line() -> None:
    script: dict[str, list[Any]] = {
        "AUTHENTICATE": [b"+ \r\n"],
        SAID: [f"+ {WHY}\r\n".encode()],
        "": [f"TAG NO AUTHENTICATE failed. {SAID}\r\n".encode()],
    }
    with ScriptedImap(script, caps="IMAP4rev1 AUTH=XOAUTH2") as server, pytest.raises(Trouble) as caught:
        by_token(server)
    assert server.heard[-3:] == ["AUTHENTICATE XOAUTH2", SAID, ""]
    assert (caught.value.kind, "AUTHENTICATE failed. ***" in str(caught.value)) == ("login", True)
    assert TOKEN.text not in str(caught.value) and SAID not in str(caught.value)


IMAP_ANSWERS = [  # to the client's first line, what it means
    (b"TAG OK in\r\n", None),
    (b"TAG NO [UNAVAILABLE] later\r\n", "login-later"),
    (b"TAG NO [AUTHENTICATIONFAILED] no\r\n", "login"),
    (b"TAG BAD User is authenticated but not connected.\r\n", "login-later"),
    (b"+ no base64 at all!\r\n", "dropped"),
]


@pytest.mark.parametrize(("answer", "kind"), IMAP_ANSWERS)
def test_what_an_imap_server_says_to_a_token(answer: bytes, kind: str | None) -> None:
    script: dict[str, list[Any]] = {"AUTHENTICATE": [b"+ \r\n"], SAID: [answer]}
    with ScriptedImap(script, caps="IMAP4rev1 AUTH=XOAUTH2") as server:
        try:
            by_token(server).close()
            said = None
        except Trouble as trouble:
            said = trouble.kind
    assert said == kind


def test_a_server_that_knows_no_xoauth2_gets_no_token() -> None:
    with ScriptedImap({"AUTHENTICATE": [OK]}) as server, pytest.raises(Trouble, match="offers no login by XOAUTH2"):
        by_token(server)
    assert not any("AUTHENTICATE" in line for line in server.heard)

    async def knock() -> None:
        async with ScriptedSmtp(extensions=("AUTH PLAIN LOGIN",)) as server:
            with pytest.raises(Trouble, match="offers no login by XOAUTH2"):
                await Mailer(server.endpoint(username="x"), Supply(), 1).check()
            assert not any("AUTH" in line for line in server.heard)

    asyncio.run(knock())


class Supply:
    """Numbered tokens, another one when the last was refused."""

    def __init__(self) -> None:
        self.given: list[AccessToken] = []

    async def __call__(self, refused: AccessToken | None) -> AccessToken:
        if not self.given or self.given[-1] == refused:
            self.given.append(AccessToken(f"at.{len(self.given) + 1}"))
        return self.given[-1]


SMTP_ANSWERS: list[tuple[list[bytes], str | None, int]] = [  # to AUTH on each connection, the trouble, tokens used
    ([b"235 2.7.0 welcome"], None, 1),
    ([b"535 5.7.8 no", b"235 2.7.0 welcome"], None, 2),
    ([b"535 5.7.8 no", b"535 5.7.8 no"], "login", 2),
    ([b"454 4.7.0 later"], "login-later", 1),
]


@pytest.mark.parametrize(("answers", "kind", "tokens"), SMTP_ANSWERS)
def test_what_an_smtp_server_says_to_a_token(answers: list[bytes], kind: str | None, tokens: int) -> None:
    async def knock() -> None:
        supply, script = Supply(), {"AUTH": [answer + b"\r\n" for answer in answers]}
        async with OneEach(script, extensions=("AUTH XOAUTH2",)) as server:  # type: ignore[arg-type]
            try:
                await Mailer(server.endpoint(username="info"), supply, 1).check()
                assert kind is None
            except Trouble as trouble:
                assert trouble.kind == kind
                assert "at." not in str(trouble)
            assert len(supply.given) == tokens

    asyncio.run(knock())


class OneEach(ScriptedSmtp):
    """Plays one step of a verb each time it is heard; the last one for ever."""

    async def _play(self, verb: str, writer: asyncio.StreamWriter) -> bool:
        if len(steps := self.script.get(verb, [])) > 1:
            first, self.script[verb] = steps[0], steps[1:]
            writer.write(first)  # type: ignore[arg-type]
            await writer.drain()
            return True
        return await super()._play(verb, writer)


def test_a_connection_whose_token_has_ended_is_replaced_and_the_letter_goes() -> None:
    """Exchange says 530 or 535 to the next letter on a connection that has outlived its token."""

    async def sending() -> None:
        supply = Supply()
        script = {"AUTH": [b"235 ok\r\n"], "MAIL": [b"250 ok\r\n", b"535 5.7.3 token expired\r\n", b"250 ok\r\n"]}
        async with OneEach(script, extensions=("AUTH XOAUTH2",)) as server:  # type: ignore[arg-type]
            post = Mailer(server.endpoint(username="info"), supply, 1)
            outcomes = [await post.send(OFFICE, CLARA, LETTER) for _ in range(3)]
            await post.close()
        assert [outcome.kind for outcome in outcomes] == ["sent"] * 3
        assert server.connections == 2

    asyncio.run(sending())


# -- real servers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokens() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


@pytest.fixture(scope="module")
def imap(authority: Authority, tokens: TokenServer) -> Iterator[Dovecot]:
    """It asks the provider whose a token is, as Google's and Microsoft's servers do."""
    if not servers.DOVECOT:
        missing("Dovecot is not installed (apt install dovecot-imapd dovecot-lmtpd)")
    with Dovecot(authority, servers.mailboxes((OFFICE, CLARA, "ana@lohas.test")), tokens.tokeninfo) as server:
        yield server


@pytest.fixture
def provider(tokens: TokenServer) -> TokenServer:
    """As new."""
    tokens.lifetime, tokens.rotates, tokens.refresh_token = 3600, False, ""
    for one in (tokens.faults, tokens.asked, tokens.given, tokens.ends, tokens.more):
        one.clear()
    return tokens


@pytest.fixture
def smtp(authority: Authority, provider: TokenServer) -> Iterator[SmtpServer]:
    with SmtpServer(authority, "starttls", bearer=provider.counts) as server:
        yield server


OAUTH2 = {"provider": "microsoft", "tenant": "lohas.test", "client_id": CLIENT, "client_secret": "env:CLIENT_SECRET"}
ENVIRONMENT = {"CLIENT_SECRET": CLIENT_SECRET, "REFRESH": REFRESH}


@pytest.fixture
def checked(
    tmp_path: Path, imap: Dovecot, smtp: SmtpServer, provider: TokenServer
) -> Callable[..., dict[str, tuple[str, str]]]:
    """What `check` finds out about the servers, with these keys of [oauth2]."""
    by_token = {"auth": "oauth2", "username": OFFICE, "host": "localhost", "ca_file": imap.ca_file}

    def check(**keys: str) -> dict[str, tuple[str, str]]:
        document = {
            **MINIMAL,
            "imap": {**by_token, "port": imap.tls_port, "sent_folder": ""},
            "smtp": {**by_token, "port": smtp.port, "tls": "starttls"},
            "oauth2": {**OAUTH2, "token_url": provider.url, **keys},
            "store": {"path": "desk.db"},
        }
        settings = config.settings_from(document, tmp_path)
        found = list(findings(settings, ENVIRONMENT, datetime.now(UTC), offline=False))
        assert not any(secret in repr(found) for secret in (CLIENT_SECRET, REFRESH, *provider.given))
        return {row.what: (row.level, row.detail) for row in found if row.what in ("oauth2", "imap", "smtp")}

    return check


def test_check_fetches_a_token_and_logs_in_with_it(checked: Callable[..., Any], provider: TokenServer) -> None:
    found = checked()
    assert found["oauth2"] == ("ok", f"127.0.0.1:{provider.port}: an access token that holds for 60 minutes")
    assert (found["imap"][0], found["smtp"][0]) == ("ok", "ok")
    assert len(provider.asked) == 1


def test_check_says_what_to_renew_and_knocks_nowhere(
    checked: Callable[..., Any], provider: TokenServer, smtp: SmtpServer
) -> None:
    provider.faults = [refusing("invalid_client", "AADSTS7000222: The provided client secret keys are expired.", 401)]
    ((what, (level, detail)),) = checked().items()
    assert (what, level) == ("oauth2", "FAIL")
    assert detail.endswith("client secret keys are expired.); renew oauth2.client_secret")
    assert smtp.connections == 0


def test_check_of_a_token_that_the_servers_refuse(checked: Callable[..., Any], provider: TokenServer) -> None:
    provider.owner = "otra@lohas.test"
    try:
        found = checked()
    finally:
        provider.owner = OFFICE
    assert (found["oauth2"][0], found["imap"][0], found["smtp"][0]) == ("ok", "FAIL", "FAIL")


def test_check_keeps_the_new_refresh_token_or_does_not_ask_for_one(
    checked: Callable[..., Any], provider: TokenServer, tmp_path: Path
) -> None:
    provider.refresh_token, provider.rotates = REFRESH, True
    found = checked(provider="other", refresh_token="env:REFRESH")
    assert (found, provider.asked) == ({"oauth2": ("warn", found["oauth2"][1])}, [])
    Store.open(tmp_path / "desk.db", datetime.now(UTC)).close()
    assert checked(provider="other", refresh_token="env:REFRESH")["oauth2"][0] == "ok"
    with closing(sqlite3.connect(tmp_path / "desk.db")) as store:
        assert store.execute("SELECT refresh_token FROM oauth_token").fetchall() == [(provider.refresh_token,)]
    assert provider.refresh_token != REFRESH


def test_reconcile_asks_for_a_token_though_the_desk_is_waiting_to(tmp_path: Path, provider: TokenServer) -> None:
    """An admin asked for it now; what passes makes only the desk itself wait."""
    (tmp_path / "client").write_text(CLIENT_SECRET)
    keys = {**OAUTH2, "client_secret": "file:client", "token_url": provider.url}
    (tmp_path / "config.toml").write_text(
        '[office]\nname = "Lohas"\naddress = "info@lohas.test"\n[store]\npath = "desk.db"\n'
        '[[agents]]\naddress = "ana@lohas.test"\nname = "Ana"\n[smtp]\nhost = "127.0.0.1"\ntls = "none"\n'
        '[imap]\nhost = "127.0.0.1"\nport = 1\ntls = "none"\nauth = "oauth2"\nusername = "info@lohas.test"\n'
        "[oauth2]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()), "utf-8",
    )  # fmt: skip
    now = datetime.now(UTC)
    with closing(Store.open(tmp_path / "desk.db", now)) as store, store.transaction():
        store.provider_failed("oauth2", "it was ill", now + timedelta(minutes=5), "", now)
    with pytest.raises(SystemExit) as ended:
        cli.main(["--config", str(tmp_path / "config.toml"), "reconcile"])
    assert (ended.value.code, len(provider.asked)) == (1, 1)  # nothing listens for IMAP there


def test_a_withdrawn_token_is_replaced_once(imap: Dovecot, provider: TokenServer, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk.db", provider)
    source = desk.source()
    try:
        with_token(source.token, lambda token: Mailbox.open(imap.endpoint(OFFICE), token, "INBOX")).close()
        provider.withdraw()
        with_token(source.token, lambda token: Mailbox.open(imap.endpoint(OFFICE), token, "INBOX")).close()
    finally:
        desk.books.close()
    assert len(provider.given) == 2


# -- the desk ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path, imap: Dovecot, smtp: SmtpServer, provider: TokenServer) -> Iterator[DeskProcess]:
    """By a refresh token that counts once, with access tokens of two seconds."""
    imap.reset()
    smtp.route = imap.route
    provider.lifetime, provider.rotates, provider.refresh_token = 2, True, REFRESH
    (tmp_path / "client").write_text(CLIENT_SECRET + "\n")
    (tmp_path / "refresh").write_text(REFRESH + "\n")
    keys = {**OAUTH2, "client_secret": "file:client", "refresh_token": "file:refresh", "token_url": provider.url}
    more = "[oauth2]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    desk = DeskProcess(tmp_path, imap, smtp, {"auth": "oauth2"}, {"auth": "oauth2"}, more)
    yield desk
    if desk.process:
        desk.process.kill()
        desk.process.wait(10)


def acknowledged(desk: DeskProcess, number: int) -> None:
    desk.dovecot.deliver(eml(subject=f"Pedido {number}", message_id=f"<m{number}@correo.test>"), OFFICE, CLARA)
    what = f"acknowledgement {number}:\n{desk.log[-3000:]}"
    wait_until(lambda: len(desk.dovecot.mails(CLARA)) == number, what=what)


def renewed(provider: TokenServer, times: int, what: str) -> None:
    before = len(provider.asked)
    wait_until(lambda: len(provider.asked) >= before + times, what=what)


def status(desk: DeskProcess) -> dict[str, Any]:
    """What the command shows, without starting a process for it."""
    settings = config.load(desk.config)
    calendar = wiring.desk_of(settings).calendar
    with closing(Views(settings.store.path, settings.office.zone, calendar, settings.types)) as views:
        return views.status(datetime.now(UTC), Expected())


def imap_logins(desk: DeskProcess) -> int:
    return (desk.dovecot.home / "log").read_text().count("method=XOAUTH2")


def test_a_desk_outlives_its_tokens_a_kill_and_says_when_its_secret_is_dead(
    desk: DeskProcess, provider: TokenServer
) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    desk.start()
    wait_until(lambda: status(desk)["last_fetch_at"] is not None, what="the first fetch")
    acknowledged(desk, 1)
    logins = imap_logins(desk)
    renewed(provider, 2, "another token, twice")
    acknowledged(desk, 2)
    assert imap_logins(desk) > logins  # with the new token, though nobody ended the old session
    healthy = status(desk)
    assert healthy["problems"] == []
    for key in ("token_refreshed_at", "token_expires_at"):
        assert datetime.fromisoformat(healthy[key]) > began
    assert desk.stop(signal.SIGKILL) == -signal.SIGKILL

    kept, before = provider.refresh_token, len(provider.asked)
    assert kept != REFRESH
    desk.start()
    acknowledged(desk, 3)
    assert provider.asked[before]["refresh_token"] == kept

    provider.refresh_token = "revocada"
    words = (
        f"oauth2: 127.0.0.1:{provider.port}: access refused (invalid_grant: expired or revoked); renew oauth2.refresh"
    )
    wait_until(lambda: words in str(status(desk)["problems"]), what=f"a problem:\n{desk.log}")
    told = desk.say("status", status=1).stdout
    assert words in told and desk.log.count(f"{words}_token; next attempt") == 1
    assert desk.log.count(words) - desk.log.count(f"alarm: {words}") == 1 >= desk.log.count(f"alarm: {words}")
    assert desk.stop() == 0
    told += desk.log
    assert not any(secret in told for secret in (CLIENT_SECRET, REFRESH, *provider.given))
    assert "Traceback" not in told
