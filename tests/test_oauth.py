"""The token endpoint: what is asked of a real server on loopback, and what each of its answers means."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from servers import Authority, free_ports
from token_server import CLIENT, CLIENT_SECRET, DROP, Fault, TokenServer, refusing

from pqr_mailbot.adapters import oauth
from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.oauth import Client, Refusal, client_of, fetch_token

REFRESH = "rt.del-administrador/+="


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


def by_app(server: TokenServer, **more: Any) -> Client:
    return client_of("microsoft", "lohas.test", CLIENT, CLIENT_SECRET, True, server.url, **more)


def by_refresh(server: TokenServer, provider: Any = "google") -> Client:
    server.refresh_token = REFRESH
    return client_of(provider, "", CLIENT, CLIENT_SECRET, False, server.url)


def trouble(client: Client, refresh_token: str = "") -> Trouble:
    """What was raised; no secret is in it, nor in the traceback a bug of ours would print."""
    with pytest.raises(Trouble) as caught:
        fetch_token(client, refresh_token)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(client)
    assert CLIENT_SECRET not in told and "del-administrador" not in told
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{client.endpoint.host}:{client.endpoint.port}: ")
    return caught.value


# -- what is asked -----------------------------------------------------------------------------------------------------


def test_where_the_providers_are() -> None:
    app = client_of("microsoft", "lohas.onmicrosoft.com", "c", "s", True)
    assert app.token_url == "https://login.microsoftonline.com/lohas.onmicrosoft.com/oauth2/v2.0/token"
    assert app.scope == "https://outlook.office365.com/.default"
    assert client_of("microsoft", "t", "c", "s", False).scope == ""  # what the person consented to
    assert client_of("google", "", "c", "s", False).token_url == "https://oauth2.googleapis.com/token"
    other = client_of("other", "", "c", "s", True, "https://id.example.test:8443/t?x=1", "correo")
    assert (other.basic, other.scope, other.endpoint.host, other.endpoint.port) == (
        True, "correo", "id.example.test", 8443,
    )  # fmt: skip


def test_client_credentials(server: TokenServer) -> None:
    granted = fetch_token(by_app(server))
    assert server.asked == [
        {
            "grant_type": "client_credentials",
            "client_id": CLIENT,
            "client_secret": CLIENT_SECRET,
            "scope": "https://outlook.office365.com/.default",
        }
    ]
    assert (granted.access_token.text, granted.refresh_token) == (server.given[0], "")
    assert granted.lifetime == timedelta(hours=1)
    assert server.given[0] not in repr(granted)


def test_a_refresh_token_and_the_one_that_follows_it(server: TokenServer) -> None:
    server.rotates = True
    client = by_refresh(server)
    first = fetch_token(client, REFRESH)
    assert server.asked[0]["grant_type"] == "refresh_token" and "scope" not in server.asked[0]
    assert first.refresh_token == server.refresh_token != REFRESH
    assert first.refresh_token not in repr(first)
    assert fetch_token(client, first.refresh_token).access_token != first.access_token
    assert isinstance(trouble(client, REFRESH), Refusal)  # it counted once


def test_others_get_name_and_secret_in_the_header(server: TokenServer) -> None:
    client = by_refresh(server, "other")
    assert fetch_token(client, REFRESH).access_token.text == server.given[0]
    assert client.basic and server.asked[0]["client_secret"] == CLIENT_SECRET


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(60, 60), ("1800", 1800), (None, 3600), (0, 3600), (-5, 3600), (True, 3600), (1e300, 3600), ("soon", 3600),
     (10**9 - 1, 86400), (10**12, 3600), ([], 3600)],
)  # fmt: skip
def test_how_long_a_token_lives(expires_in: Any, seconds: int, server: TokenServer) -> None:
    server.more = {"expires_in": expires_in}
    assert fetch_token(by_app(server)).lifetime == timedelta(seconds=seconds)


# -- what may be wrong -------------------------------------------------------------------------------------------------

EXPIRED = "AADSTS700082: The refresh token has expired due to inactivity. Trace ID: 1f-2 Correlation ID: 3 Timestamp: 4"
FOR_GOOD = [  # error, status, description, what is to be done, what is told
    ("invalid_grant", 400, EXPIRED, "renew oauth2.refresh_token", "has expired due to inactivity.)"),
    ("invalid_client", 401, "", "renew oauth2.client_secret", "(invalid_client)"),
    (
        "unauthorized_client",
        400,
        "AADSTS700016: not found",
        "check oauth2.client_id, and what the application may do",
        "AADSTS700016",
    ),
    ("invalid_scope", 400, "no\nsuch\x1b[31m scope", "check oauth2.scope", "no such [31m scope"),
    ("deleted_client", 401, 7, "check the [oauth2] table", "(deleted_client)"),
    (
        "invalid_grant",
        403,
        f"{REFRESH} of info@lohas.test",
        "renew oauth2.refresh_token",
        "(invalid_grant: *** of ***)",
    ),
]


@pytest.mark.parametrize(("error", "status", "description", "to_do", "told"), FOR_GOOD)
def test_a_refusal_for_good_says_what_to_do(
    error: str, status: int, description: Any, to_do: str, told: str, server: TokenServer
) -> None:
    server.faults = [refusing(error, description, status)]
    refusal = trouble(by_refresh(server), REFRESH)
    assert isinstance(refusal, Refusal) and (refusal.kind, refusal.error) == ("login", error)
    assert str(refusal).endswith(f"; {to_do}")
    assert told in str(refusal)


def test_a_grant_of_the_application_is_its_secret(server: TokenServer) -> None:
    server.faults = [refusing("invalid_grant")]
    assert str(trouble(by_app(server))).endswith("; renew oauth2.client_secret")


FOR_NOW: list[tuple[str, Fault, str, float]] = [  # what passes, what is said of it, the seconds to wait
    ("broken", Fault(500, b"oops"), "(500)", 0),
    ("overloaded", Fault(503, b"", {"Retry-After": "120"}), "(503)", 120),
    ("too many", Fault(429, b"{}", {"Retry-After": "7"}), "(429)", 7),
    ("too many, for days", Fault(429, b"{}", {"Retry-After": "999999"}), "(429)", 1800),
    ("until a date", Fault(503, b"", {"Retry-After": "Fri, 27 Nov 2099 16:00:00 GMT"}), "(503)", 1800),
    ("until a date gone by", Fault(503, b"", {"Retry-After": "Fri, 27 Nov 1999 16:00:00 GMT"}), "(503)", 0),
    ("until whenever", Fault(503, b"", {"Retry-After": "Fri, 99 Nov"}), "(503)", 0),
    ("says so", refusing("temporarily_unavailable"), "(400 temporarily_unavailable)", 0),
    ("a code with a limit", refusing("invalid_grant", status=429), "(429 invalid_grant)", 0),
    ("elsewhere", Fault(302, b"", {"Location": "http://127.0.0.1:1/"}), "is oauth2.token_url right?", 0),
    ("not there", Fault(404, b"<html>"), "oauth2.tenant and oauth2.token_url right?", 0),
    ("no JSON", Fault(200, b"\xff\xfe{"), "without a usable access token", 0),
    ("deep JSON", Fault(200, b"[" * 60000), "without a usable access token", 0),
    ("no object", Fault(200, b"[1]"), "without a usable access token", 0),
    ("no token", Fault(200, b'{"access_token": ""}'), "without a usable access token", 0),
    ("a number", Fault(200, b'{"access_token": 5}'), "without a usable access token", 0),
    ("a token that would end a line", Fault(200, b'{"access_token": "a\\r\\nb"}'), "without a usable", 0),
    ("huge", Fault(200, json.dumps({"access_token": "x" * 10**6}).encode()), "too large", 0),
]


@pytest.mark.parametrize(("case", "fault", "told", "wait"), FOR_NOW, ids=[row[0] for row in FOR_NOW])
def test_what_passes_by_itself(case: str, fault: Fault, told: str, wait: float, server: TokenServer) -> None:
    server.faults = [fault]
    refusal = trouble(by_app(server))
    assert isinstance(refusal, Refusal) and refusal.kind == "login-later"
    assert told in str(refusal)
    assert refusal.retry_after == timedelta(seconds=wait)
    assert fetch_token(by_app(server)).lifetime  # and then it works


def test_a_refresh_token_nobody_could_send_is_not_taken(server: TokenServer) -> None:
    server.more = {"refresh_token": "uno\ndos"}
    assert fetch_token(by_app(server)).refresh_token == ""


# -- the way there -----------------------------------------------------------------------------------------------------


def test_nobody_there_and_gone_in_the_middle(server: TokenServer) -> None:
    server.faults = [DROP]
    assert trouble(by_app(server)).kind == "unreachable"
    (port,) = free_ports(1)
    nobody = trouble(Client(f"http://127.0.0.1:{port}/", "c", CLIENT_SECRET))
    assert (nobody.kind, "nothing listens" in str(nobody)) == ("unreachable", True)


def test_an_answer_that_trickles_is_cut_off(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "ANSWER_SECONDS", 0.2)
    server.faults = [Fault(200, b" " * 1000, seconds=0.05, pieces=1000)]
    assert "no answer in time" in str(trouble(by_app(server)))


def test_silence(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "STEP_SECONDS", 0.1)
    server.faults = [Fault(seconds=0.5, usual=True)]
    assert "no answer in time" in str(trouble(by_app(server)))


def test_encrypted_and_only_with_a_certificate_to_trust(authority: Authority) -> None:
    with TokenServer(context=authority.server_context()) as server:
        assert fetch_token(by_app(server, ca_file=authority.ca_file)).access_token.text == server.given[0]
        assert trouble(by_app(server)).kind == "certificate"
        assert len(server.asked) == 1  # no secret was sent
    with TokenServer(context=authority.server_context("otro.test")) as server:
        assert "not for localhost" in str(trouble(by_app(server, ca_file=authority.ca_file)))
    with TokenServer() as plain:
        secure = by_app(plain).token_url.replace("http:", "https:")
        assert trouble(Client(secure, "c", CLIENT_SECRET)).kind == "tls"
