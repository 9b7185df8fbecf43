"""An OAuth2 token endpoint: a client and its grant go in, an access token comes out, or what is wrong in one line.

The grants are client credentials and the refresh token (RFC 6749 sections 4.4 and 6). Over HTTPS, and in clear only on
this machine. Redirects are not followed: a secret goes to the address in the configuration or nowhere.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from typing import Literal
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from pqr_mailbot.adapters.connection import (
    AccessToken,
    Endpoint,
    Trouble,
    TroubleKind,
    connect_trouble,
    one_line,
    tls_context,
)

STEP_SECONDS = 10.0  # for the connection, and for each piece of an answer
ANSWER_SECONDS = 15.0  # for the whole of it: whoever wants to log in meanwhile waits
LARGEST_ANSWER = 2**16  # bytes; a real one has a few thousand
USUAL_LIFETIME = timedelta(hours=1)  # when the endpoint does not say (RFC 6749 section 5.1 only recommends it)
LONGEST_LIFETIME = timedelta(days=1)
LONGEST_WAIT = timedelta(minutes=30)  # that a Retry-After may ask for

Provider = Literal["microsoft", "google", "other"]
_URLS = {
    "microsoft": "https://login.microsoftonline.com/{}/oauth2/v2.0/token",
    "google": "https://oauth2.googleapis.com/token",
}
_APP_ONLY = "https://outlook.office365.com/.default"  # all that an admin has granted the application itself
_FOR_LATER = {"temporarily_unavailable", "server_error", "slow_down"}
_TO_DO = {
    "invalid_grant": "renew oauth2.refresh_token",
    "invalid_client": "renew oauth2.client_secret",
    "unauthorized_client": "check oauth2.client_id, and what the application may do",
    "invalid_scope": "check oauth2.scope",
}


@dataclass(frozen=True, slots=True)
class Client:
    """The endpoint, and how we are known there. `basic`: name and secret go into the header, not the form. `scope` "":
    none is asked for. The secret is never shown."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    basic: bool = False
    ca_file: str = ""

    @property
    def endpoint(self) -> Endpoint:
        url = urlsplit(self.token_url)
        secure = url.scheme == "https"
        port = url.port or (443 if secure else 80)
        return Endpoint(url.hostname or "", port, "implicit" if secure else "none", self.ca_file, self.client_id)


@dataclass(frozen=True, slots=True)
class Granted:
    """`lifetime` from now on. `refresh_token`: the one to use from now on; "": none came with it."""

    access_token: AccessToken
    lifetime: timedelta
    refresh_token: str = field(default="", repr=False)


class Refusal(Trouble):
    """The endpoint's answer was no token. `error`: its code (RFC 6749 section 5.2), "" when it gave none. Of kind
    "login" it is for good, until an admin does what the text says. `retry_after`: how long it asks us to wait."""

    def __init__(self, kind: TroubleKind, message: str, error: str, retry_after: timedelta = timedelta()) -> None:
        super().__init__(kind, message)
        self.error = error
        self.retry_after = retry_after


def client_of(
    provider: Provider, tenant: str, client_id: str, client_secret: str, app_only: bool, token_url: str = "",
    scope: str = "", ca_file: str = "",
) -> Client:  # fmt: skip
    """What is known of the providers. `app_only`: there is no refresh token. `token_url` and `scope` win over it."""
    url = token_url or _URLS[provider].format(quote(tenant, safe=""))
    scope = scope or (_APP_ONLY if provider == "microsoft" and app_only else "")
    # RFC 6749 section 2.3.1: every server takes Basic; the two big ones document the form.
    return Client(url, client_id, client_secret, scope, provider == "other", ca_file)


def fetch_token(client: Client, refresh_token: str = "") -> Granted:
    """Asks once; without a refresh token by client credentials. Raises Trouble: a Refusal, or that of a connection."""
    form = {"grant_type": "refresh_token" if refresh_token else "client_credentials"}
    form |= {"refresh_token": refresh_token} if refresh_token else {}
    form |= {"scope": client.scope} if client.scope else {}
    headers = {
        "Accept": "application/json",
        "Connection": "close",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "pqr-mailbot",
    }
    if client.basic:
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form |= {"client_id": client.client_id, "client_secret": client.client_secret}
    status, said, body = _post(client, urlencode(form).encode(), headers)
    return _understood(client, refresh_token, status, said, body)


# -- the wire ----------------------------------------------------------------------------------------------------------


def _post(client: Client, form: bytes, headers: dict[str, str]) -> tuple[int, HTTPMessage, bytes]:
    where, url = client.endpoint, urlsplit(client.token_url)
    link: HTTPConnection
    if where.tls == "implicit":
        link = HTTPSConnection(where.host, where.port, timeout=STEP_SECONDS, context=tls_context(where))
    else:
        link = HTTPConnection(where.host, where.port, timeout=STEP_SECONDS)
    late = threading.Event()
    try:
        link.connect()
        cut = threading.Timer(ANSWER_SECONDS, _cut, (link.sock, late))
        cut.daemon = True
        cut.start()
        try:
            link.request("POST", (url.path or "/") + (f"?{url.query}" if url.query else ""), form, headers)
            with link.getresponse() as answer:
                body = answer.read(LARGEST_ANSWER + 1)
        finally:
            cut.cancel()
    except (OSError, HTTPException, ValueError) as error:
        raise _wire_trouble(where, error, late.is_set()) from None
    finally:
        link.close()
    if late.is_set():
        raise where.trouble("unreachable", "no answer in time")
    return answer.status, answer.headers, body


def _cut(link: socket.socket, late: threading.Event) -> None:
    """An answer that trickles in: each piece is in time, the whole never is."""
    late.set()
    with suppress(OSError):
        socket.socket.shutdown(link, socket.SHUT_RDWR)


def _wire_trouble(where: Endpoint, error: Exception, late: bool) -> Trouble:
    if late:
        return where.trouble("unreachable", "no answer in time")
    if isinstance(error, OSError):
        return connect_trouble(where, error)
    return where.trouble("unreachable", f"no token endpoint: an answer that is no HTTP ({type(error).__name__})")


# -- the answer --------------------------------------------------------------------------------------------------------


def _understood(
    client: Client, refresh_token: str, status: int, headers: HTTPMessage, body: bytes
) -> Granted:  # fmt: skip
    said = _json_object(body)
    token, error = said.get("access_token"), said.get("error")
    if status == 200 and isinstance(token, str) and re.fullmatch(r"[\x21-\x7e]{1,32768}", token):
        newer = said.get("refresh_token")
        usable = isinstance(newer, str) and re.fullmatch(r"[\x20-\x7e]{1,32768}", newer)
        return Granted(AccessToken(token), _lifetime(said.get("expires_in")), str(newer) if usable else "")
    code = error if isinstance(error, str) and re.fullmatch(r"[\w.-]{1,60}", error) else ""
    if 400 <= status < 500 and status not in (408, 425, 429) and code and code not in _FOR_LATER:
        raise _refused_for_good(client, refresh_token, code, said.get("error_description"))
    raise _no_token_now(client.endpoint, status, code, headers, len(body))


def _refused_for_good(client: Client, refresh_token: str, code: str, description: object) -> Refusal:
    to_do = _TO_DO.get(code, "check the [oauth2] table")
    if code == "invalid_grant" and not refresh_token:
        to_do = _TO_DO["invalid_client"]
    words = _words(description, client.client_secret, refresh_token)
    what = f"access refused ({f'{code}: {words}' if words else code}); {to_do}"
    return Refusal("login", str(client.endpoint.trouble("login", what)), code)


def _no_token_now(where: Endpoint, status: int, code: str, headers: HTTPMessage, size: int) -> Refusal:
    if 300 <= status < 400:
        what = f"redirected ({status}), which is not followed; is oauth2.token_url right?"
    elif size > LARGEST_ANSWER:
        what = "an answer too large for a token"
    elif status == 200:
        what = "an answer without a usable access token"
    elif status in (408, 425, 429) or status >= 500 or code:
        what = f"no access token just now ({status}{f' {code}' if code else ''})"
    else:
        what = f"no token endpoint ({status}); are oauth2.tenant and oauth2.token_url right?"
    return Refusal("login-later", str(where.trouble("login-later", what)), code, _retry_after(headers))


def _json_object(body: bytes) -> dict[str, object]:
    if len(body) > LARGEST_ANSWER:
        return {}
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _lifetime(expires_in: object) -> timedelta:
    """Seconds, as a number or (some of Microsoft's endpoints) as text."""
    text = str(expires_in) if isinstance(expires_in, int | str) and not isinstance(expires_in, bool) else ""
    if re.fullmatch(r"[0-9]{1,9}", text) and int(text):
        return min(timedelta(seconds=int(text)), LONGEST_LIFETIME)
    return USUAL_LIFETIME


def _retry_after(headers: HTTPMessage) -> timedelta:
    """RFC 9110 section 10.2.3: seconds, or a date, which is compared with the server's own."""
    text = (headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(timedelta(seconds=int(text)), LONGEST_WAIT)
    then, now = _date(text), _date(headers.get("Date") or "")
    return max(timedelta(), min(then - now, LONGEST_WAIT)) if then and now else timedelta()


def _date(text: str) -> datetime | None:
    with suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(text)
        return moment if moment.tzinfo else None
    return None


def _words(description: object, *secrets: str) -> str:
    """An error's description as one line: without what we sent, without addresses, and without the numbers of the
    attempt that Microsoft adds, so that the same trouble is told in the same words."""
    text = description if isinstance(description, str) else ""
    for secret in secrets:
        for form in (secret, quote_plus(secret)) if secret else ():
            text = text.replace(form, "***")
    text = re.split(r"\s*(?:Trace ID|Correlation ID|Timestamp):", text)[0]
    return one_line(re.sub(r"\S+@\S+", "***", text), 200)
