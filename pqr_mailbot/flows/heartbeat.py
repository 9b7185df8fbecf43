"""The heartbeat: a signed letter from the office to itself, out by SMTP and back by IMAP, one under way at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pqr_mailbot.adapters.letters import Envelope, Rendered
from pqr_mailbot.adapters.sqlite_store import FinishedLetter
from pqr_mailbot.adapters.tokens import message_id, thread_id
from pqr_mailbot.domain.model import Address
from pqr_mailbot.flows.handle import Handler

LETTER = "heartbeat"
SUBJECT = "Correo de prueba de la mesa de servicio"
WORDS = "Este correo comprueba que el correo de la mesa de servicio sale y llega. No lo responda; puede borrarlo."


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Writes probes. What comes back is recognised by `flows.handle`; a missing one is a problem of `domain.health`."""

    handler: Handler

    def beat(self, now: datetime) -> bool:
        """Queues a probe when one is due and the last has left. True when it did."""
        store, every = self.handler.store, self.handler.desk.policy.expected.heartbeat
        if every is None or not self._due(now):
            return False
        with store.transaction():
            store.note_probe(store.queue_letter(self._probe(now), now))
        return True

    def _due(self, now: datetime) -> bool:
        last, every = self.handler.store.last_probe(), self.handler.desk.policy.expected.heartbeat
        if last is None or every is None:
            return True
        written, waits = last
        return not waits and not written <= now < written + every  # a clock may have been ahead

    def _probe(self, now: datetime) -> FinishedLetter:
        office, signer = self.handler.desk.policy.office, self.handler.signer
        token, domain = signer.mint(office.address), Address(office.address).domain
        envelope = Envelope(
            message_id=message_id(token, domain),
            from_name=office.name,
            from_address=office.address,
            recipient=Address(office.address, office.name),
            subject=SUBJECT,
            date=now.astimezone(office.timezone),
            in_reply_to=None,
            references=(thread_id(token, domain),),
            automatic="auto-generated",
            token=token,
        )
        raw = self.handler.letters.compose(envelope, Rendered(f"{WORDS}\n", f"<p>{WORDS}</p>\n"))
        return FinishedLetter(
            LETTER, None, office.address, office.address, automatic=False, message_id=envelope.message_id, token=token,
            raw=raw, not_before=now,
        )  # fmt: skip
