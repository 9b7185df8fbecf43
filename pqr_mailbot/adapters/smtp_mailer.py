"""Hands finished letters to the SMTP server, one recipient each, over a few reused connections, and says what became
of each in words the queue can act on.

The transaction is conducted here rather than by the library's `sendmail`, because only so is it known whether the final
dot had gone out when a connection broke: before it nothing was accepted, after it the letter may have arrived.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, cast

import aiosmtplib

from pqr_mailbot.adapters.connection import (
    AccessToken,
    Endpoint,
    Trouble,
    TroubleKind,
    connect_trouble,
    masked,
    one_line,
    tls_context,
)

IDLE_SECONDS = 30.0  # an unused connection is given back after this
_SLOWEST = 20_000  # bytes a second: a letter may take as long as this makes it
_PIECE = 2**18
_FAREWELL_SECONDS = 2.0

# An access token that holds, other than the one that was refused. Raises Trouble.
TokenSupply = Callable[[AccessToken | None], Awaitable[AccessToken]]
OutcomeKind = Literal["sent", "later", "refused", "uncertain", "paused"]
Stage = Literal["address", "size", "connect", "MAIL FROM", "RCPT TO", "DATA", "end of data", "accepted"]

# No blanks, controls, brackets, quotes or commas: nothing in it could end the address or begin another (the library
# would quietly send to the first of two).
_ADDRESS = re.compile(
    r'[^\s<>()\[\],;:\\"@\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff]{1,64}@'
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?(?:\.[^\W_](?:[\w-]{0,61}[^\W_])?)*|\[(?:[0-9.]{7,15}|IPv6:[0-9A-Fa-f:.]{2,45})\])"
)
_LINE_END = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT = re.compile(rb"(?<=\n)\.")

# Said of one letter, meant for the account: limits on what we send, and a server that does not know us or our sender
# (many say so only at RCPT, some after the letter). A recipient's own limits (x.2.x: its mailbox; "receiving mail at a
# rate") must not match.
_ABOUT_US = re.compile(
    r"""^530\ | ^454\ 4\.7\.0 | SendAsDenied | ^(?!.* (?: \breceiv | \b[45]\.2\.\d )) .* (?:
    \b5\.4\.5\b | \b5\.1\.90\b | \b5\.7\.(?:60|70[58])\b | \b4\.5\.3\b
    | \b(?:hourly|daily|monthly)\b .{0,40} \b(?:limit|quota|max)
    | \b(?:max|limit|quota|exceeded)\b .{0,60} \bper\ (?:minute|hour|day)\b
    | \btoo\ (?:much\ mail|many\ (?:concurrent|connections|sessions|errors|logins?|e?-?mails?\ from|messages\ from))
    | \bsending\ (?:limit|quota|rate|paused|activity) | \bthrottling\ failure
    | \b(?:sender\ address|helo\ command|client\ host)\ rejected | \bclient\ host\ .{3,60}\ blocked
    | \bsend\ as\ this\ sender
    | \bauthentication\ (?:is\ )?required | \bmust\ authenticate
    | \brelay(?:ing)?\ (?:access\ )?(?:denied|not\ permitted) | \bunable\ to\ relay )""",
    re.IGNORECASE | re.VERBOSE,
)
_TOO_LARGE = re.compile(r"^552 |^5\d\d 5\.(?:3\.4|2\.3)\b")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt to send one letter.

    kind: `sent` the server answered 2xx to the whole of it · `later` it may be tried again, nothing was accepted ·
    `refused` for good, and because of this letter or its recipient · `uncertain` lost after the final dot: it may have
    arrived · `paused` about us, so no other letter would fare better; `trouble` says why.
    reply: the server's words, or ours, as one line. stage: how far it came.
    """

    kind: OutcomeKind
    reply: str
    stage: Stage
    trouble: Trouble | None = None


class Mailer:
    """Letters to one server. Made and used in one event loop; `close` it there."""

    def __init__(
        self, endpoint: Endpoint, secret: str | TokenSupply | None, max_connections: int, timeout: float = 60.0
    ) -> None:
        """`secret`: the password, or what gives the access token for each connection.

        `timeout`: seconds a reply may take; ten times as long for the one after the letter (RFC 5321 section
        4.5.3.2.6), longer still for large ones."""
        self._endpoint = endpoint
        self._secret = secret
        self._width = max_connections
        self._timeout = timeout
        self._slots = asyncio.Semaphore(max_connections)
        self._unused: dict[_Link, asyncio.TimerHandle] = {}  # the most recently used last
        self._leaving: set[asyncio.Task[None]] = set()

    async def send(self, sender: str, recipient: str, raw: bytes) -> Outcome:
        """Sends the bytes as they are (line ends made CRLF). `sender` "" is the null return path.

        Never raises for anything a server or a network does. Cancelled, it throws its connection away: what became of
        the letter is then unknown.
        """
        for address in (sender, recipient) if sender else (recipient,):
            if not _ADDRESS.fullmatch(address):
                return Outcome("refused", f"not an address mail can be sent to: {one_line(address, 100)}", "address")
        async with self._slots:
            link = self._take()
            if link:
                outcome = await self._attempt(link, sender, recipient, raw)
                if self._outlived(outcome):
                    self._drop(link)
                if outcome.stage != "MAIL FROM" or link.is_connected:
                    return outcome  # else it had died while it lay unused, and nothing was sent
            try:
                link = await self._connect()
            except Trouble as trouble:
                return Outcome("paused", str(trouble), "connect", trouble)
            return await self._attempt(link, sender, recipient, raw)

    async def check(self) -> None:
        """Connects and logs in, sending nothing. Raises Trouble."""
        async with self._slots:
            await _leave(await self._connect())

    async def close(self) -> None:
        """Waits for the letters under way and ends every connection."""
        for _ in range(self._width):
            await self._slots.acquire()
        while link := self._take():
            self._dismiss(link)
        if self._leaving:
            await asyncio.wait(self._leaving)
        for _ in range(self._width):
            self._slots.release()

    # -- connections -----------------------------------------------------------------------------------------------

    def _take(self) -> _Link | None:
        """A connection that is still open as far as we know."""
        while self._unused:
            link, expiry = self._unused.popitem()
            expiry.cancel()
            if link.is_connected:
                return link
            link.close()
        return None

    def _give_back(self, link: _Link) -> None:
        self._unused[link] = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire, link)

    def _expire(self, link: _Link) -> None:
        if self._unused.pop(link, None):
            self._dismiss(link)

    def _drop(self, link: _Link) -> None:
        if expiry := self._unused.pop(link, None):
            expiry.cancel()
        link.close()

    def _dismiss(self, link: _Link) -> None:
        task = asyncio.create_task(_leave(link))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _outlived(self, outcome: Outcome) -> bool:
        """Whether the login of an open connection no longer counts: an access token ends by the clock."""
        return callable(self._secret) and outcome.trouble is not None and outcome.trouble.kind == "login"

    async def _connect(self) -> _Link:
        """Encrypted as configured or not at all, and logged in. A refused access token is replaced once, it may have
        been withdrawn. Raises Trouble."""
        if not callable(self._secret) or not self._endpoint.username:
            return await self._connect_with(str(self._secret or ""))
        token = await self._secret(None)
        try:
            return await self._connect_with(token)
        except Trouble as trouble:
            if trouble.kind != "login":
                raise
        return await self._connect_with(await self._secret(token))

    async def _connect_with(self, secret: str | AccessToken) -> _Link:
        where = self._endpoint
        link = _Link(
            hostname=where.host,
            port=where.port,
            local_hostname=_our_name(),
            timeout=self._timeout,
            use_tls=where.tls == "implicit",
            start_tls=False,  # never "if it happens to be offered": see below
            tls_context=None if where.tls == "none" else tls_context(where),
        )
        try:
            await self._greet(link)
            if where.tls == "starttls":
                await self._start_tls(link)
            if where.username:
                await self._log_in(link, secret)
        except BaseException:
            link.close()
            raise
        return link

    async def _greet(self, link: _Link) -> None:
        try:
            await link.connect(timeout=self._timeout / 2)
            await link.introduce()
        except aiosmtplib.SMTPResponseException as error:
            said = _words(error).removeprefix("-1 Malformed SMTP response line: ")
            what = "turns us away" if error.code > 0 else "does not speak SMTP on this port, it says"
            raise self._endpoint.trouble("unreachable", f"the server {what}: {said}") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise connect_trouble(self._endpoint, error) from error

    async def _start_tls(self, link: _Link) -> None:
        if not link.supports_extension("starttls"):
            raise self._endpoint.trouble("tls", "the server does not offer STARTTLS; nothing was sent in clear")
        try:
            await link.starttls()
            await link.introduce()
        except aiosmtplib.SMTPResponseException as error:
            raise self._endpoint.trouble("tls", f"the server refused STARTTLS: {_words(error)}") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise connect_trouble(self._endpoint, error) from error

    async def _log_in(self, link: _Link, secret: str | AccessToken) -> None:
        where, by_token = self._endpoint, isinstance(secret, AccessToken)
        if not ("xoauth2" in link.server_auth_methods if by_token else link.supported_auth_methods):
            ways = "XOAUTH2" if by_token else "PLAIN or LOGIN"
            raise where.trouble("login-later", f"the server offers no login by {ways}")
        try:
            if isinstance(secret, AccessToken):
                await link.auth_xoauth2(where.username, secret.text)
            else:
                await link.login(where.username, secret)
        except aiosmtplib.SMTPResponseException as error:
            kind: TroubleKind = "login" if 500 <= error.code < 600 else "login-later"
            if error.code in (530, 538):
                kind = "tls"
            words = masked(f"{error.code} {error.message}", where, secret)
            raise where.trouble(kind, f"login refused for {where.username}: {words}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise where.trouble("dropped", f"connection lost during login: {_loss(error)}") from error

    # -- one letter ------------------------------------------------------------------------------------------------

    async def _attempt(self, link: _Link, sender: str, recipient: str, raw: bytes) -> Outcome:
        try:
            outcome = await self._transact(link, sender, recipient, raw)
            if outcome.kind in ("later", "refused") and link.is_connected:
                await link.start_over()
        except BaseException:  # cancelled: the replies would be off by one for ever after
            link.close()
            raise
        if link.is_connected:
            self._give_back(link)
        return outcome

    async def _transact(self, link: _Link, sender: str, recipient: str, raw: bytes) -> Outcome:
        try:
            return Outcome("sent", await link.transact(sender, recipient, raw, self._timeout), "accepted")
        except _Unsendable as error:
            return Outcome("refused", str(error), error.stage)
        except aiosmtplib.SMTPResponseException as error:
            return self._judge(link, error)
        except (aiosmtplib.SMTPException, OSError) as error:
            link.close()
            return self._lost(link.stage, _loss(error))

    def _judge(self, link: _Link, error: aiosmtplib.SMTPResponseException) -> Outcome:
        """What the server's answer to one command means."""
        words, stage = _words(error), link.stage
        if not 400 <= error.code < 600:  # no answer to what we said: out of step
            link.close()
            return self._lost(stage, f"an answer out of turn: {words}")
        about_us = bool(_ABOUT_US.search(words))
        if stage == "MAIL FROM" and _TOO_LARGE.search(words) and not about_us:  # the size was part of the command
            return Outcome("refused", words, "size")
        if stage == "MAIL FROM" or about_us:
            kind: TroubleKind = "login" if error.code in (530, 535) else "login-later"
            trouble = self._endpoint.trouble(kind, f"the server takes no letters from us now: {words}")
            if stage != "MAIL FROM" or error.code == 421:
                link.close()
            return Outcome("paused", words, stage, trouble)
        if error.code == 421:  # after MAIL FROM perhaps because of this very letter, which must not stop the others
            link.close()
        return Outcome("refused" if error.code >= 500 else "later", words, stage)

    def _lost(self, stage: Stage, why: str) -> Outcome:
        if stage == "MAIL FROM":
            trouble = self._endpoint.trouble("dropped", f"connection lost: {why}")
            return Outcome("paused", str(trouble), stage, trouble)
        return Outcome("uncertain" if stage == "end of data" else "later", f"connection lost: {why}", stage)


class _Unsendable(Exception):
    """This server cannot take this letter, as is plain before it is offered."""

    def __init__(self, stage: Stage, why: str) -> None:
        super().__init__(why)
        self.stage: Stage = stage


class _Link(aiosmtplib.SMTP):
    """A connection that knows how far its present letter has come."""

    AUTH_METHODS = ("plain", "login")  # CRAM-MD5 first would be one more failed login for a wrong password
    stage: Stage = "connect"

    @property
    def supported_auth_methods(self) -> list[str]:
        """One attempt with one method: each failure counts towards a lockout."""
        return super().supported_auth_methods[:1]

    def close(self) -> None:
        """At once. Over TLS the library would wait for the server to take leave as well, up to half a minute."""
        transport = self.transport
        super().close()
        if transport is not None:
            cast("asyncio.WriteTransport", transport).abort()

    async def introduce(self) -> None:
        """EHLO, or HELO to a server of old."""
        try:
            await self.ehlo()
        except aiosmtplib.SMTPHeloError:
            if not self.is_connected:
                raise
            await self.helo()

    async def transact(self, sender: str, recipient: str, raw: bytes, patience: float) -> str:
        """One letter to one recipient; the server's words of acceptance. Raises _Unsendable and what the library does,
        with `stage` telling where. `patience`: seconds a reply may take."""
        size = _wire_size(raw)
        self.stage = "MAIL FROM"
        sender, recipient, options = self._envelope(sender, recipient, size, raw.isascii())
        encoding = "utf-8" if "smtputf8" in options else "ascii"
        await self.mail(sender, options=options, encoding=encoding, timeout=patience)
        self.stage = "RCPT TO"
        await self.rcpt(recipient, encoding=encoding, timeout=patience)
        self.stage = "DATA"
        reply = await self.execute_command(b"DATA", timeout=patience)
        if reply.code != 354:
            raise aiosmtplib.SMTPDataError(reply.code, reply.message)
        code, message = await self._upload(_on_the_wire(raw), 10 * patience + size / _SLOWEST)
        if not 200 <= code < 300:
            raise aiosmtplib.SMTPDataError(code, message)
        return one_line(f"{code} {message}")

    def _envelope(self, sender: str, recipient: str, size: int, ascii_only: bool) -> tuple[str, str, list[str]]:
        """The addresses as this server can take them, and the parameters of MAIL FROM."""
        options = []
        if self.supports_extension("size"):
            limit = self.esmtp_extensions["size"].strip()
            if limit.isdecimal() and 0 < int(limit) < size:
                raise _Unsendable("size", f"the letter has {size} bytes, the server takes {int(limit)} at most")
            options.append(f"size={size}")
        if not ascii_only and self.supports_extension("8bitmime"):
            options.append("body=8bitmime")
        if self.supports_extension("smtputf8"):
            if not (sender + recipient).isascii():
                options.append("smtputf8")
            return sender, recipient, options
        return _in_ascii(sender), _in_ascii(recipient), options

    async def _upload(self, body: Iterable[bytes], patience: float) -> aiosmtplib.SMTPResponse:
        """The letter, then the final dot, and the answer to it. A server may answer before it has heard all."""
        protocol, transport = self.protocol, cast("asyncio.WriteTransport | None", self.transport)
        if protocol is None or transport is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        answer = asyncio.create_task(protocol.read_response(patience))
        try:
            await asyncio.sleep(0)  # it listens before we speak
            for piece in body:
                if answer.done():
                    break
                transport.write(piece)
                while transport.get_write_buffer_size() > _PIECE and not answer.done():
                    await asyncio.wait({answer}, timeout=0.02)
            if not answer.done():
                self.stage = "end of data"
                transport.write(b".\r\n")
            response = await answer
        finally:
            answer.cancel()
        if self.stage != "end of data":
            self.close()  # it waits for the rest of a letter that it has refused already
            if response.code < 400:
                raise aiosmtplib.SMTPServerDisconnected("an answer out of turn")
        return response

    async def start_over(self) -> None:
        """After a refusal: forget the envelope, or the connection."""
        try:
            await self.rset(timeout=10)
        except (aiosmtplib.SMTPException, OSError):
            self.close()


async def _leave(link: _Link) -> None:
    """QUIT, without minding the answer."""
    with suppress(aiosmtplib.SMTPException, OSError):
        await link.quit(timeout=_FAREWELL_SECONDS)
    link.close()


def _wire_size(raw: bytes) -> int:
    """Bytes of the letter with every line ended by CRLF, the dots that SMTP adds not counted (RFC 1870)."""
    ends = raw.count(b"\r\n")
    size = len(raw) + raw.count(b"\n") + raw.count(b"\r") - 2 * ends
    return size if raw.endswith((b"\n", b"\r")) else size + 2


def _on_the_wire(raw: bytes) -> Iterator[bytes]:
    """The letter as it is sent: every line ended by CRLF, a dot at its beginning doubled (RFC 5321 section 4.5.2)."""
    start, before = 0, b"\n"  # what the last piece ended with
    while start < len(raw):
        end = min(start + _PIECE, len(raw))
        end += raw[end - 1 : end + 1] == b"\r\n"
        piece = _LINE_END.sub(b"\r\n", raw[start:end])
        yield _LEADING_DOT.sub(b"..", before + piece)[1:]
        start, before = end, piece[-1:]
    if before != b"\n" or not raw:
        yield b"\r\n"


def _in_ascii(address: str) -> str:
    """For a server without SMTPUTF8: a domain has an ASCII form (RFC 5891), a local part has none."""
    local, _, domain = address.rpartition("@")
    if address.isascii():
        return address
    with suppress(UnicodeError):
        if local.isascii():
            return f"{local}@{domain.encode('idna').decode('ascii')}"
    raise _Unsendable("address", "the server takes no addresses outside ASCII (no SMTPUTF8)")


def _our_name() -> str:
    """What EHLO says: this machine's full name where it has one, else an address literal (RFC 5321 section 4.1.4)."""
    name = socket.gethostname()
    full = re.fullmatch(r"(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]{0,62}", name)
    return name if full and not name.startswith("localhost") else "[127.0.0.1]"


def _words(error: aiosmtplib.SMTPResponseException) -> str:
    return one_line(f"{error.code} {error.message}")


def _loss(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return "closed by the server" if isinstance(error, ConnectionError) else one_line(str(error))
