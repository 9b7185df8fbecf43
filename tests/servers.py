"""Real servers for the tests, each a context manager: a private CA, Dovecot (IMAP and LMTP), and an SMTP server that
keeps what it was sent and fails when told to. They listen on loopback only and leave no process, socket or file."""

from __future__ import annotations

import asyncio
import base64
import grp
import os
import pwd
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from imaplib import IMAP4
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from imapclient import IMAPClient, SocketTimeout

from pqr_mailbot.adapters.connection import Endpoint

LOOPBACK = "127.0.0.1"
HOST = "localhost"  # what certificates are for; they name 127.0.0.1 as well
DOVECOT = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin:/usr/local/sbin")
Tls = Literal["implicit", "starttls", "none"]
OFFICE, SMTP_PASSWORD = "info@lohas.test", "no-la-escriba-en-ningun-lado"
EVERYBODY = (  # of office.py
    OFFICE, "ana@lohas.test", "luz@lohas.test", "coordinacion@lohas.test", "gerencia@lohas.test",
    "sistemas@lohas.test", "informes@lohas.test", "clara@correo.test", "diego@otro.test",
)  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below the range that outgoing connections take theirs from: a server that is stopped
    for a while finds its port free when it comes back."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            with suppress(OSError):
                held.append(socket.create_server((LOOPBACK, random.randint(20000, 32000))))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


# -- certificates ------------------------------------------------------------------------------------------------------


# Certificates not to trust: whose authority signs for which host and days, is it known, and what is said of it.
CERTIFICATES: list[tuple[str, str, tuple[int, int], bool, str]] = [
    ("unknown authority", "localhost", (-1, 30), False, "not trusted"),
    ("another host", "correo.example.com", (-1, 30), True, "not for localhost"),
    ("expired", "localhost", (-30, -1), True, "expired"),
    ("of tomorrow", "localhost", (1, 30), True, "not valid yet"),
]


class Authority:
    """A private CA and the certificates it signs, as files in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory, self._key, self._signed = directory, ec.generate_private_key(ec.SECP256R1()), 0
        now, public = datetime.now(UTC), self._key.public_key()
        certificate = (
            _certificate("Oficina CA", public, now - timedelta(days=400), now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        Path(self.ca_file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def ca_file(self) -> str:
        return str(self.directory / "ca.pem")

    def sign(self, host: str = HOST, days: tuple[int, int] = (-1, 30)) -> tuple[Path, Path]:
        """A certificate for `host`, valid from and to these days from now; the files of certificate and key."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == HOST:
            names.append(x509.IPAddress(ip_address(LOOPBACK)))
        issued = (
            _certificate(host, key.public_key(), now + timedelta(days=days[0]), now + timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._signed += 1
        certificate, secret = (self.directory / f"{self._signed}.{kind}" for kind in ("pem", "key"))
        certificate.write_bytes(issued.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, secret

    def server_context(self, host: str = HOST, days: tuple[int, int] = (-1, 30)) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.sign(host, days))
        return context

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)


def _certificate(
    subject: str, public: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    def name(common_name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])

    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name("Oficina CA"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


# -- IMAP and LMTP -----------------------------------------------------------------------------------------------------

_CONFIGURATION = """
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/log
listen = 127.0.0.1, 127.0.0.2
protocols = imap lmtp
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
auth_mechanisms = plain login{mechanisms}
auth_failure_delay = 0
mail_location = maildir:{home}/mail/%u
mail_fsync = never
mail_max_userip_connections = 100
mailbox_idle_check_interval = 1 secs
first_valid_uid = 0
first_valid_gid = 0
postmaster_address = postmaster@localhost
{tokens}
passdb {{
  driver = passwd-file
  args = username_format=%u {home}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}/mail/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Enviadas {{
    auto = create
    special_use = \\Sent
  }}
}}
service imap-login {{
  {chroot}
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
service anvil {{
  {chroot}
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  {chroot}
}}
{users}
"""


_BY_TOKEN = """
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {home}/oauth2
}}
"""


class Dovecot:
    """A real IMAP server with a mailbox for each address, which LMTP fills; runs as root and as an ordinary user.

    A login needs TLS. `stop` and `start` let it go away and come back, on the same ports and with the same mail.
    """

    def __init__(self, authority: Authority, mailboxes: dict[str, str], tokeninfo: str = "") -> None:
        """`mailboxes`: address -> password; more may be added to it while it runs, by `add`. `tokeninfo`: a URL to
        which an access token is appended; it knows whose the token is, and a login may be by XOAUTH2."""
        assert DOVECOT, "Dovecot is not installed"
        self.ca_file, self._tls = authority.ca_file, authority.client_context()
        self.passwords: dict[str, str] = {}
        self.port, self.tls_port, self.lmtp_port = free_ports(3)  # IMAP with STARTTLS, IMAP over TLS, LMTP
        self._directory = tempfile.TemporaryDirectory(prefix="dovecot-")
        self.home = Path(self._directory.name)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._configure(authority, tokeninfo)
            for address, password in mailboxes.items():
                self.add(address, password)
            self.start()
        except BaseException:
            self.close()
            raise

    def _configure(self, authority: Authority, tokeninfo: str) -> None:
        certificate, key = authority.sign()
        me, users, chroot = pwd.getpwuid(os.getuid()), "", ""
        if me.pw_uid == 0:  # then it insists on its own users, and hands no mail to a process of root
            me = pwd.getpwnam("nobody")
            self.home.chmod(0o755)
        else:
            users = f"default_login_user = {me.pw_name}\ndefault_internal_user = {me.pw_name}\n"
            users += f"default_internal_group = {grp.getgrgid(me.pw_gid).gr_name}\n"
            chroot = "chroot ="
        (self.home / "mail").mkdir()
        os.chown(self.home / "mail", me.pw_uid, me.pw_gid)
        text = _CONFIGURATION.format(
            home=self.home, certificate=certificate, key=key, uid=me.pw_uid, gid=me.pw_gid, users=users, chroot=chroot,
            port=self.port, tls_port=self.tls_port, lmtp_port=self.lmtp_port,
            mechanisms=" xoauth2 oauthbearer" if tokeninfo else "",
            tokens=_BY_TOKEN.format(home=self.home) if tokeninfo else "",
        )  # fmt: skip
        if tokeninfo:
            oauth2 = f"tokeninfo_url = {tokeninfo}\nusername_attribute = email\nintrospection_mode =\n"
            (self.home / "oauth2").write_text(oauth2)
        (self.home / "dovecot.conf").write_text(text)

    def __enter__(self) -> Dovecot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert DOVECOT and not self.running
        self._process = subprocess.Popen(
            [DOVECOT, "-F", "-c", str(self.home / "dovecot.conf")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        for port in (self.port, self.tls_port, self.lmtp_port):
            self._until_it_listens(self._process, port)

    def _until_it_listens(self, process: subprocess.Popen[bytes], port: int) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if process.poll() is not None:
                words = process.stderr.read().decode() if process.stderr else ""
                self.stop()
                raise AssertionError(f"Dovecot ended at once: {words}{self.log()}")
            with suppress(OSError), socket.create_connection((LOOPBACK, port), 1) as link:
                link.settimeout(5)
                if port == self.tls_port or link.recv(1):  # a greeting: it listens and serves
                    return
            time.sleep(0.02)
        raise AssertionError(f"Dovecot does not listen on {port}: {self.log()}")

    def stop(self) -> None:
        """Every connection ends, the ports are free. Harmless when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        finally:
            with suppress(ProcessLookupError):  # its children hold the ports for a moment longer
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
            if process.stderr:
                process.stderr.close()
        end = time.monotonic() + 10
        while time.monotonic() < end and any(map(_is_taken, (self.port, self.tls_port, self.lmtp_port))):
            time.sleep(0.02)

    def close(self) -> None:
        """Ends it and removes its mail."""
        self.stop()
        self._directory.cleanup()

    def log(self) -> str:
        """The last lines of its log, for a message."""
        path = self.home / "log"
        return "\n".join(path.read_text("utf-8", "replace").splitlines()[-20:]) if path.exists() else ""

    # -- mailboxes

    def add(self, address: str, password: str) -> None:
        """One more mailbox."""
        self.passwords[address] = password
        lines = [
            f"{name}:{{PLAIN.B64}}{base64.b64encode(secret.encode()).decode()}::::::\n"
            for name, secret in self.passwords.items()
        ]
        (self.home / "users.new").write_text("".join(lines))
        (self.home / "users.new").chmod(0o644)
        (self.home / "users.new").rename(self.home / "users")
        if self.running:  # it looks for changes once a second
            wait_until(lambda: self._knows(address), what=f"a login for {address}")

    def _knows(self, address: str) -> bool:
        try:
            with self.client(address):
                return True
        except IMAP4.error:
            return False

    def deliver(self, mail: bytes, address: str, sender: str = "") -> None:
        """Puts a mail into the INBOX of `address` by LMTP, as a mail server does: with Return-Path, Delivered-To and
        Received. `sender`: the envelope's. Raises smtplib.SMTPException when there is no such mailbox."""
        with smtplib.LMTP(LOOPBACK, self.lmtp_port, timeout=20) as link:
            link.sendmail(sender, [address], mail)

    def route(self, received: Received) -> None:
        """For SmtpServer.route: what was sent goes into the mailbox of everybody who has one here."""
        for address in received.rcpt_to:
            if address in self.passwords:
                self.deliver(received.data, address, received.mail_from)

    def endpoint(self, address: str, tls: Tls = "implicit") -> Endpoint:
        return Endpoint(HOST, self.tls_port if tls == "implicit" else self.port, tls, self.ca_file, address)

    @contextmanager
    def client(self, address: str, folder: str = "INBOX") -> Iterator[IMAPClient]:
        """Somebody's mail program: logged in over TLS, with the folder selected."""
        client = IMAPClient(HOST, self.tls_port, ssl_context=self._tls, timeout=SocketTimeout(10, 20))
        client.normalise_times = False
        try:
            client.plain_login(address, self.passwords[address])
            client.select_folder(folder)
            yield client
        finally:
            with suppress(OSError, IMAP4.error):  # the server may have been stopped meanwhile
                client.logout()
            with suppress(OSError):
                client.shutdown()

    def mails(self, address: str, folder: str = "INBOX") -> list[bytes]:
        """Every mail in a folder, oldest first; none is marked as read."""
        with self.client(address, folder) as client:
            answers = client.fetch(client.search(), ["BODY.PEEK[]"])
            return [answers[uid][b"BODY[]"] for uid in sorted(answers)]

    def reset(self, *addresses: str) -> None:
        """Empties these mailboxes (all, when none is named); folders that a test made are removed."""
        for address in addresses or tuple(self.passwords):
            with self.client(address) as client:
                for _, _, name in client.list_folders():
                    if name not in ("INBOX", "Enviadas"):
                        client.delete_folder(name)
                        continue
                    client.select_folder(name)
                    client.delete_messages(client.search(), silent=True)
                    client.expunge()


def _is_taken(port: int) -> bool:
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError:
        return True
    return False


# -- SMTP --------------------------------------------------------------------------------------------------------------

DROP = "DROP"  # an "answer": the connection is closed instead
Fault = str | float | Sequence[str | float]


@dataclass(frozen=True, slots=True)
class Received:
    """A letter as the server got it; `data` without the dots that SMTP adds. `login`: who had authenticated."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    data: bytes
    at: datetime
    login: str = ""
    encrypted: bool = False
    options: tuple[str, ...] = ()  # parameters of MAIL FROM


@dataclass
class SmtpServer:
    """A real SMTP server on loopback that keeps what it got, and fails as `answers` says.

    `login`: name and password it demands; None: it offers no login by password. With TLS it takes no login and no mail
    in clear.

    `answers` may be changed at any time. Its keys are CONNECT (the greeting), EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA,
    DOT (the end of the letter), RSET, QUIT; or "RCPT ana@x.test" and "MAIL …" for one address alone, which go first.
    Its values: a reply ("451 4.3.0 later"), DROP, or a number of seconds to wait before the usual answer; a list is
    used up one by one, then all is as usual. A letter is kept when its DOT is answered with 2xx - or with DROP: it
    arrived, and only the sender does not know.
    """

    authority: Authority | None = None
    tls: Tls = "none"
    login: tuple[str, str] | None = None
    bearer: Callable[[str, str], bool] | None = None  # does this name have this access token? Then it takes XOAUTH2
    answers: dict[str, Fault] = field(default_factory=dict)
    route: Callable[[Received], None] | None = None  # called with each letter that was accepted, in another thread
    size_limit: int = 33554432
    smtputf8: bool = True
    context: ssl.SSLContext | None = None  # a certificate other than the authority's good one
    received: list[Received] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)  # every command line; of AUTH only the method
    connections: int = 0  # begun so far
    most_at_once: int = 0

    def __post_init__(self) -> None:
        (self.port,) = free_ports(1)
        if self.tls != "none" and self.context is None:
            assert self.authority, "TLS needs an authority"
            self.context = self.authority.server_context()
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self.errors: list[BaseException] = []  # of `route` and of the thread; the end of the context raises the first
        self.open: set[_Protocol] = set()

    def __enter__(self) -> SmtpServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self.errors:
            raise self.errors[0]

    def start(self) -> None:
        assert self._thread is None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="smtp", daemon=True)
        self._thread.start()
        assert ready.wait(10), "the SMTP server does not listen"

    def stop(self) -> None:
        """Every connection is cut, the port is free. Harmless when it is not running."""
        if self._thread:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(10)
            assert not self._thread.is_alive(), "the SMTP server does not end"
            self._thread = None

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:
            self.errors.append(error)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        context = self.context if self.tls == "implicit" else None
        server = await self._loop.create_server(lambda: _Protocol(self), LOOPBACK, self.port, ssl=context)
        ready.set()
        await self._over.wait()
        server.close()
        await self.cut()

    async def cut(self) -> None:
        """Closes every connection."""
        tasks = [task for protocol in self.open if (task := protocol._handler_coroutine)]
        for protocol in list(self.open):
            with suppress(AttributeError):  # of a transport that is closing already
                protocol.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # transports close a turn later

    def drop_all(self) -> None:
        """Cuts the connections there are, as an idle time-out or a restart does; new ones are welcome."""
        asyncio.run_coroutine_threadsafe(self.cut(), self._loop).result(10)

    def wait_for(self, count: int, seconds: float = 20) -> list[Received]:
        """The letters, once there are at least `count`; fails when they do not come."""
        with self._news:
            came = self._news.wait_for(lambda: len(self.received) >= count, seconds)
        assert came, f"{len(self.received)} letters came, not {count}"
        return list(self.received)

    def endpoint(self, username: str | None = None) -> Endpoint:
        name = username if username is not None else (self.login or ("",))[0]
        return Endpoint(HOST, self.port, self.tls, self.authority.ca_file if self.authority else "", name)

    def keep(self, letter: Received) -> None:
        with self._news:
            self.received.append(letter)
            self._news.notify_all()

    def fault(self, verb: str, address: str = "") -> str | float | None:
        for key in (f"{verb} {address}", verb):
            fault = self.answers.get(key)
            if isinstance(fault, str | int | float):
                return fault
            if fault:
                self.answers[key] = fault[1:]
                return fault[0]
        return None

    def may_log_in(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        matches = isinstance(given, LoginPassword) and self.login == (given.login.decode(), given.password.decode())
        return AuthResult(success=matches, handled=False, auth_data=given)

    async def handle_DATA(self, protocol: _Protocol, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """The end of a letter."""
        letter = Received(
            (envelope.mail_from or "").removeprefix("<>"), tuple(envelope.rcpt_tos), bytes(envelope.content or b""),
            datetime.now(UTC),
            session.auth_data.login.decode() if isinstance(session.auth_data, LoginPassword) else "",
            session.ssl is not None or self.tls == "implicit", tuple(envelope.mail_options),
        )  # fmt: skip
        fault = self.fault("DOT")
        if isinstance(fault, int | float):
            await asyncio.sleep(fault)
            fault = None
        if fault and fault != DROP and not fault.startswith("2"):
            return fault
        if self.route:
            try:
                await asyncio.to_thread(self.route, letter)
            except Exception as error:
                self.errors.append(error)
            except asyncio.CancelledError:  # whoever sent it is gone; it was taken all the same
                self.keep(letter)
                raise
        self.keep(letter)
        if fault == DROP:
            protocol.transport.close()
        return fault if fault and fault != DROP else f"250 2.0.0 queued as {len(self.received)}"


class _Protocol(SMTP):
    """One connection: aiosmtpd's, with the faults asked for before each command."""

    line_length_limit = 2**17  # what a sender does about long lines is the test's to judge

    def __init__(self, server: SmtpServer) -> None:
        upgrade = server.tls == "starttls"
        super().__init__(
            server, hostname="smtp.test", data_size_limit=server.size_limit, enable_SMTPUTF8=server.smtputf8,
            tls_context=server.context if upgrade else None, require_starttls=upgrade, auth_require_tls=upgrade,
            authenticator=server.may_log_in, auth_exclude_mechanism=[
                *(() if server.login else ("PLAIN", "LOGIN")), *(() if server.bearer else ("XOAUTH2",)),
            ],
        )  # fmt: skip
        # Set here: the library warns of it where TLS is implicit.
        self._auth_required = bool(server.login or server.bearer)
        self._server = server

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self not in self._server.open:  # STARTTLS begins a second time
            self._server.open.add(self)
            self._server.connections += 1
            self._server.most_at_once = max(self._server.most_at_once, len(self._server.open))

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._server.open.discard(self)

    def eof_received(self) -> bool:
        super().eof_received()
        return False  # half a connection serves nobody

    async def faulty(self, verb: str, address: str = "") -> bool:
        """Whether the fault asked for has taken the place of the usual answer."""
        fault = self._server.fault(verb, address)
        if isinstance(fault, int | float):
            await asyncio.sleep(fault)
            return False
        if fault == DROP:
            self.transport.close()
        elif fault:
            await self.push(fault)
            if fault.startswith("421"):
                self.transport.close()
        return fault is not None

    async def _handle_client(self) -> None:
        if await self.faulty("CONNECT"):
            self.transport.close()
        else:
            await super()._handle_client()

    async def _command(self, verb: str, argument: str | None, usual: Callable[[str | None], Any]) -> None:
        said = (argument or "").split(" ")[0] if verb == "AUTH" else argument or ""
        self._server.heard.append(f"{verb} {said}".strip())
        address = (argument or "").partition("<")[2].partition(">")[0] if verb in ("MAIL", "RCPT") else ""
        if not await self.faulty(verb, address):
            await usual(argument)

    async def smtp_EHLO(self, arg: str | None) -> None:  # noqa: N802  # named by the library
        await self._command("EHLO", arg, super().smtp_EHLO)

    async def smtp_STARTTLS(self, arg: str | None) -> None:  # noqa: N802
        await self._command("STARTTLS", arg, super().smtp_STARTTLS)

    async def smtp_AUTH(self, arg: str | None) -> None:  # noqa: N802
        await self._command("AUTH", arg, super().smtp_AUTH)

    async def auth_XOAUTH2(self, _: Any, arguments: list[str]) -> AuthResult:  # noqa: N802
        """Of a refusal the reason first, as a challenge; the no after the client's empty line."""
        said = re.fullmatch(r"user=(.+)\x01auth=Bearer (.+)\x01\x01", base64.b64decode(arguments[1]).decode())
        if said and self._server.bearer and self._server.bearer(said[1], said[2]):
            return AuthResult(success=True, auth_data=LoginPassword(said[1].encode(), b""))
        answer = await self.challenge_auth('{"status":"401","schemes":"bearer","scope":"mail"}')
        self._server.heard.append(f"after the challenge: {answer!r}")
        return AuthResult(success=False, handled=False)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        await self._command("MAIL", arg, super().smtp_MAIL)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        await self._command("RCPT", arg, super().smtp_RCPT)

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        await self._command("DATA", arg, super().smtp_DATA)

    async def smtp_RSET(self, arg: str | None) -> None:  # noqa: N802
        await self._command("RSET", arg, super().smtp_RSET)

    async def smtp_QUIT(self, arg: str | None) -> None:  # noqa: N802
        await self._command("QUIT", arg, super().smtp_QUIT)


def wait_until(true: Callable[[], bool], seconds: float = 20, what: str = "it") -> None:
    """For what another thread or process does; fails when it does not happen."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} did not happen in {seconds} s"
        time.sleep(0.02)


def mailboxes(addresses: Iterable[str]) -> dict[str, str]:
    """A password for each."""
    return {address: f"clave de {address}" for address in addresses}
