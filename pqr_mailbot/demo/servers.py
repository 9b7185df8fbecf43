"""A small internet on loopback: an IMAP server with a mailbox for everybody, and an SMTP server that fills it."""

from __future__ import annotations

import asyncio
import email
import email.policy
import uuid
from argparse import Namespace
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session
from imapclient import IMAPClient
from proxyprotocol.sock import SocketInfo
from pymap.backend.dict import Config, DictBackend, Identity, Login
from pymap.imap import IMAPServer
from pymap.user import Passwords, UserMetadata
from pysasl.hashing import BuiltinHash

LOOPBACK = "127.0.0.1"
PASSWORD = "demo"  # noqa: S105  # of servers that live for a minute on loopback


class Internet:
    """Everybody's mailbox. What arrives is dated by the given clock, so that days can go by in a minute."""

    def __init__(self, office: str, people: Iterable[str], clock: Callable[[], datetime]) -> None:
        self.office, self._people, self._clock = office, [office, *people], clock
        self.letters: dict[str, list[EmailMessage]] = {}  # what each person (not the office) received
        self.raw: list[tuple[str, bytes]] = []  # every mail that travelled: recipient and bytes
        self._arrived = asyncio.Condition()
        self.imap_port = self.smtp_port = 0

    async def __aenter__(self) -> Internet:
        self._connections: set[asyncio.Task[None]] = set()
        self._imap = await self._start_imap()
        self._smtp = await asyncio.get_running_loop().create_server(lambda: SMTP(self, hostname="demo"), LOOPBACK, 0)
        self.imap_port = self._imap.sockets[0].getsockname()[1]
        self.smtp_port = self._smtp.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._smtp.close()
        self._imap.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _start_imap(self) -> asyncio.Server:
        arguments = Namespace(
            host=None, port=0, cert=None, key=None, tls=False, proxy_protocol=None, passlib_cfg=None,
            inherited_sockets=None, debug=False, demo_data=False, demo_user=self.office, demo_password=PASSWORD,
            skip_services=[],
        )  # fmt: skip
        config = Config(
            arguments, host=LOOPBACK, port=0, demo_data=False, demo_user=self.office, demo_password=PASSWORD,
            tls_enabled=False, secure_auth=False, reject_dnsbl=False,
            hash_context=BuiltinHash(hash_name="sha256", rounds=1),
        )  # fmt: skip
        login = Login(config)
        DictBackend(login, config)
        config.apply_context()
        secret = await Passwords(config).hash_password(PASSWORD)
        for person in self._people:
            await Identity(person, login, None, frozenset()).set(UserMetadata(config, person, password=secret))
        server = IMAPServer(login, config)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            self._connections.add(task)  # kept here: a connection nobody refers to may vanish while it waits
            task.add_done_callback(self._connections.discard)
            try:
                await server(reader, writer, SocketInfo.get(writer, None, unique_id=uuid.uuid4().bytes))
            finally:
                writer.close()

        return await asyncio.start_server(serve, LOOPBACK, 0)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        """Every recipient finds the mail in their INBOX."""
        raw = bytes(envelope.content or b"")
        for recipient in envelope.rcpt_tos:
            await self.deliver(recipient.lower(), raw)
        return "250 2.0.0 delivered"

    async def deliver(self, recipient: str, raw: bytes) -> None:
        """Puts a mail into a mailbox, received now by the demo's clock."""
        when = self._clock()
        if recipient in self._people:
            await asyncio.to_thread(self._append, recipient, raw, when)
        async with self._arrived:
            self.raw.append((recipient, raw))
            message = email.message_from_bytes(raw, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            self.letters.setdefault(recipient, []).append(message)
            self._arrived.notify_all()

    def _append(self, recipient: str, raw: bytes, when: datetime) -> None:
        client = IMAPClient(LOOPBACK, self.imap_port, ssl=False, timeout=20)
        with closing(client.socket()):
            client.login(recipient, PASSWORD)
            client.append("INBOX", raw, msg_time=when)
            client.logout()

    async def received(self, person: str, number: int) -> EmailMessage:
        """Waits for a person's n-th letter (1 is the first)."""
        async with self._arrived, asyncio.timeout(30):
            await self._arrived.wait_for(lambda: len(self.letters.get(person, [])) >= number)
            return self.letters[person][number - 1]
