"""What the IMAP and the SMTP adapter share: where a server is, when to trust it, and its failures in plain English."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

TroubleKind = Literal["unreachable", "certificate", "tls", "login", "login-later", "folder", "withheld", "dropped"]

# Controls, and what turns the reading direction round: a server's words end in logs, letters and on terminals.
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]+")
_EXPIRED, _NOT_YET_VALID, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64  # OpenSSL's X509_V_ERR_*


class Trouble(ConnectionError):  # a noun of the house, and mostly weather
    """The weather of a provider: it will pass, or an admin must act. `str()` is one line that names the server.

    kind: `unreachable` no conversation began · `certificate` not one to trust · `tls` no encryption to be had ·
    `login` our name or password is wrong · `login-later` not now: limits, quotas, a server in difficulties ·
    `folder` not there or not to be changed · `withheld` mail that is named and not handed out · `dropped` the
    conversation broke off.
    """

    def __init__(self, kind: TroubleKind, message: str) -> None:
        super().__init__(one_line(message, 600))
        self.kind: TroubleKind = kind


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and our name there; the password is never part of it. `ca_file` "": the system's authorities."""

    host: str
    port: int
    tls: Literal["implicit", "starttls", "none"]
    ca_file: str
    username: str

    def trouble(self, kind: TroubleKind, what: str) -> Trouble:
        return Trouble(kind, f"{self.host}:{self.port}: {what}")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An OAuth2 access token, given where else a password stands; with it the login is by XOAUTH2. Never shown."""

    text: str = field(repr=False)


def xoauth2(username: str, token: AccessToken) -> str:
    """What the client says first, before base64 (developers.google.com/gmail/imap/xoauth2-protocol). A refusal comes
    as one more challenge, to be answered with nothing; only then the server says no."""
    return f"user={username}\1auth=Bearer {token.text}\1\1"


def one_line(text: str, limit: int = 300) -> str:
    """Foreign words fit for a log: one line without control characters, at most `limit` characters."""
    line = _UNSAFE.sub(" ", text).strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def masked(words: str, endpoint: Endpoint, secret: str | AccessToken) -> str:
    """A server's words about a login as one line, without the secret in any form in which it was sent: some servers
    repeat what they refuse."""
    password = secret if isinstance(secret, str) else secret.text
    sent = [f"\0{endpoint.username}\0{password}", password]
    if isinstance(secret, AccessToken):
        sent.append(xoauth2(endpoint.username, secret))
    forms = [base64.b64encode(text.encode("utf-8", "replace")).decode() for text in sent]
    forms += [password.replace("\\", "\\\\").replace('"', '\\"'), password]
    for form in forms if password else ():
        words = words.replace(form, "***")
    return one_line(words)


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Verifies certificate and host name, TLS 1.2 or newer. With a `ca_file` only that authority counts.

    Raises Trouble when the file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file or None)
    except OSError as error:
        what = f"ca_file {endpoint.ca_file} is no readable certificate in PEM: {_reason(error)}"
        raise endpoint.trouble("certificate", what) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def connect_trouble(endpoint: Endpoint, error: BaseException) -> Trouble:
    """What an exception met while connecting or upgrading to TLS means."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return endpoint.trouble("certificate", _certificate_problem(endpoint.host, cause))
        if isinstance(cause, ssl.SSLError):
            return endpoint.trouble("tls", _tls_problem(cause))
        if isinstance(cause, socket.gaierror):
            return endpoint.trouble("unreachable", f"the host name cannot be resolved ({_reason(cause)})")
        if isinstance(cause, ConnectionRefusedError):
            return endpoint.trouble("unreachable", "connection refused, nothing listens there")
    if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
        return endpoint.trouble("unreachable", "no answer in time")
    numbered = [cause for cause in _causes(error) if isinstance(cause, OSError) and cause.errno]
    if not numbered and any(isinstance(cause, ConnectionError) for cause in _causes(error)):
        return endpoint.trouble("unreachable", "the server closed the connection before we could log in")
    return endpoint.trouble("unreachable", f"cannot connect: {_reason(numbered[0] if numbered else error)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what led to it; the libraries wrap the one that says why."""
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__


def _certificate_problem(host: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
        return f"the certificate is not for {host}"
    if error.verify_code == _EXPIRED:
        return "the certificate has expired"
    if error.verify_code == _NOT_YET_VALID:
        return "the certificate is not valid yet (is this machine's clock right?)"
    return f"the certificate is not trusted: {error.verify_message}; for a private authority set ca_file"


def _tls_problem(error: ssl.SSLError) -> str:
    if error.reason == "WRONG_VERSION_NUMBER":
        return "the server does not speak TLS on this port (is it a port for starttls?)"
    return f"TLS could not be established: {(error.reason or _reason(error)).replace('_', ' ').lower()}"


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
