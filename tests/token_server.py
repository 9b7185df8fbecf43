"""An OAuth2 provider for the tests: a token endpoint on loopback that gives, rotates and refuses, and fails when told
to; mail servers ask it whose an access token is."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from servers import LOOPBACK, OFFICE

CLIENT, CLIENT_SECRET = "el-escritorio", "s3creto+del/cliente="
DROP = "DROP"


@dataclass
class Fault:
    """An answer in place of the usual one; `seconds` before it, or between its pieces when there are several."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    pieces: int = 1
    usual: bool = False  # only late


def refusing(code: str, description: str = "", status: int = 400) -> Fault:
    return Fault(status, json.dumps({"error": code, "error_description": description}).encode())


@dataclass
class TokenServer:
    """Gives access tokens for `owner` that live for `lifetime` seconds. With `rotates`, a refresh token counts once.

    `faults`: used up one by one. `asked`: the form of every request. `given`: every secret it gave away.
    """

    lifetime: float = 3600
    rotates: bool = False
    refresh_token: str = ""  # the one that counts; "": client credentials only
    owner: str = OFFICE
    context: ssl.SSLContext | None = None
    faults: list[Fault | str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)  # laid over the usual answer
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.ends: dict[str, float] = {}  # access token -> the instant of its end, by the monotonic clock
        self._server = _Server((LOOPBACK, 0), _Handler)
        self._server.tokens = self
        if self.context:
            self._server.socket = self.context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> TokenServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        scheme, host = ("https", "localhost") if self.context else ("http", LOOPBACK)
        return f"{scheme}://{host}:{self.port}/token"

    @property
    def tokeninfo(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/tokeninfo?access_token="

    def counts(self, name: str, token: str) -> bool:
        """For SmtpServer.bearer."""
        with self.lock:
            return name == self.owner and time.monotonic() < self.ends.get(token, 0)

    def withdraw(self) -> None:
        """No access token given so far counts any more."""
        with self.lock:
            self.ends.clear()

    def grant(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.asked.append(form)
            if (form.get("client_id"), form.get("client_secret")) != (CLIENT, CLIENT_SECRET):
                return 401, {"error": "invalid_client", "error_description": "no such client"}
            wanted = form.get("refresh_token", "")
            if wanted != self.refresh_token or (form.get("grant_type") == "refresh_token") != bool(wanted):
                return 400, {"error": "invalid_grant", "error_description": "expired or revoked"}
            token = f"at.{secrets.token_urlsafe(24)}"
            self.ends[token] = time.monotonic() + self.lifetime
            answer = {"token_type": "Bearer", "expires_in": int(self.lifetime), "access_token": token}
            if self.rotates and wanted:
                answer["refresh_token"] = self.refresh_token = f"rt.{secrets.token_urlsafe(24)}"
            answer |= self.more
            self.given += [str(answer[key]) for key in ("access_token", "refresh_token") if key in answer]
            return 200, answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    tokens: TokenServer

    def handle_error(self, *_: object) -> None:
        """A client that breaks off is part of the test."""


class _Handler(BaseHTTPRequestHandler):
    @property
    def tokens(self) -> TokenServer:
        assert isinstance(self.server, _Server)
        return self.server.tokens

    def do_POST(self) -> None:
        with self.tokens.lock:
            self.tokens.at_once += 1
            self.tokens.most_at_once = max(self.tokens.most_at_once, self.tokens.at_once)
        try:
            with suppress(ConnectionError, ssl.SSLError):
                self._serve()
        finally:
            with self.tokens.lock:
                self.tokens.at_once -= 1

    def _serve(self) -> None:
        form = dict(self._form())
        fault = self.tokens.faults.pop(0) if self.tokens.faults else None
        if isinstance(fault, str):
            self.tokens.asked.append(form)
            self.close_connection = True
        elif fault and not fault.usual:
            self.tokens.asked.append(form)
            self._say(fault.status, fault.body, fault.headers, fault.seconds, fault.pieces)
        else:
            time.sleep(fault.seconds if fault else 0)
            status, answer = self.tokens.grant(form)
            self._say(status, json.dumps(answer).encode())

    def _form(self) -> Iterator[tuple[str, str]]:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        yield from ((key, values[0]) for key, values in parse_qs(body).items())
        if given := self.headers.get("Authorization"):
            name, _, secret = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
            yield from (("client_id", unquote_plus(name)), ("client_secret", unquote_plus(secret)))

    def do_GET(self) -> None:
        """tokeninfo, as Google has it."""
        (token,) = parse_qs(urlsplit(self.path).query).get("access_token", [""])
        counts = self.tokens.counts(self.tokens.owner, token)
        answer = {"email": self.tokens.owner, "expires_in": 60} if counts else {"error": "invalid_token"}
        self._say(200 if counts else 400, json.dumps(answer).encode())

    def _say(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, seconds: float = 0, pieces: int = 1
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        size = max(1, len(body) // pieces)
        for start in range(0, len(body), size):
            time.sleep(seconds)
            self.wfile.write(body[start : start + size])
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass
