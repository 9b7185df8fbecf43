"""A desk without servers: the real store and the real handler; mails are put in, letters are taken out, by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from pathlib import Path
from typing import Any

from office import DESK, NOW

from pqr_mailbot import wiring
from pqr_mailbot.adapters.letters import Letters
from pqr_mailbot.adapters.sqlite_store import RawMail, Store
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.flows.handle import Handler

FOLDER, SENT = "INBOX", "Enviadas"
ROOT = Path(__file__).parent.parent


def eml(
    sender: str = "Clara Gómez <clara@correo.test>",
    subject: str | None = "Café vencido",
    text: str = "El café que me llegó está vencido. Exijo la devolución de mi dinero.",
    message_id: str = "<m1@correo.test>",
    attachments: Iterable[str] = (),
    **headers: str,
) -> bytes:
    """A mail as a mail program writes it. Header names have underscores for hyphens; an empty value leaves it out."""
    message = EmailMessage(policy=SMTP)
    fields = {
        "From": sender,
        "To": "info@lohas.test",
        "Subject": subject,
        "Message-ID": message_id,
        "Date": "Mon, 01 Jun 2026 10:41:00 -0500",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    for name, value in fields.items():
        if value:
            message[name] = value
    message.set_content(text)
    for name in attachments:
        message.add_attachment(b"x" * 1000, maintype="image", subtype="jpeg", filename=name)
    return message.as_bytes()


@dataclass
class Letter:
    """A letter as it lies in the outbox."""

    name: str
    to: str
    reference: str | None
    raw: bytes
    mail: EmailMessage = field(repr=False)

    @property
    def text(self) -> str:
        part = self.mail.get_body(("plain",))
        assert part is not None
        return str(part.get_content())

    def __str__(self) -> str:
        return f"{self.name}>{self.to}"


class Bench:
    """`post` a mail, `work`, and look. A bench can be left and entered again on the same store, as after a crash."""

    def __init__(self, path: Path, desk: Desk = DESK, templates: Path | None = None) -> None:
        self.path, self.desk = path, desk
        self.store = Store.open(path, NOW)
        for folder in (FOLDER, SENT):
            if self.store.cursor(folder) is None:
                with self.store.transaction():
                    self.store.begin_mailbox(folder, 1, 0, NOW)
        self.handler = Handler(
            self.store,
            desk,
            wiring.shipped_lexicon(),
            Letters(templates, desk.policy.office),
            self.store.signer(),
            self.store.last_inbound_id(),
        )

    def close(self) -> None:
        self.store.close()

    def post(self, raw: bytes, at: datetime = NOW, folder: str = FOLDER, **more: Any) -> int:
        """Keeps a mail as the receiver does. Returns its inbound id."""
        cursor = self.store.cursor(folder)
        assert cursor
        mail = replace(RawMail(cursor.last_uid + 1, at, len(raw), raw), **more)
        with self.store.transaction():
            self.store.store_mail(folder, cursor, [mail], mail.uid, at, "sent" if folder == SENT else "inbox")
        return self.store.last_inbound_id()

    def work(self, now: datetime = NOW) -> int:
        """Handles all that waits. Returns how many mails were taken."""
        taken = 0
        while count := self.handler.round(lambda: now):
            taken += count
        return taken

    def take(self, raw: bytes, at: datetime = NOW, **more: Any) -> dict[str, Any]:
        """Posts, works, and tells what became of the mail."""
        inbound_id = self.post(raw, at, **more)
        self.work(at)
        return self.inbound(inbound_id)

    def sent(self, raw: bytes, at: datetime = NOW) -> dict[str, Any]:
        """A mail lies in the Sent folder: tells what became of it."""
        return self.take(raw, at, folder=SENT)

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        cursor = self.store.db.conn.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def inbound(self, inbound_id: int) -> dict[str, Any]:
        return self.rows("SELECT * FROM inbound WHERE id = ?", inbound_id)[0]

    def tickets(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM ticket ORDER BY reference")

    def messages(self, reference: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM message WHERE reference = ? ORDER BY id", reference)

    def letters(self, name: str | None = None) -> list[Letter]:
        found = self.rows("SELECT letter, recipient, reference, raw FROM outbox ORDER BY id")
        return [
            Letter(row["letter"], row["recipient"], row["reference"], row["raw"], _parsed(row["raw"]))
            for row in found
            if name in (None, row["letter"])
        ]

    def said(self) -> list[str]:
        """Every letter as `name>recipient`."""
        return [str(letter) for letter in self.letters()]


def _parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message
