"""A letter refused for good: a colleague's goes again without its files, or somebody else hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pqr_mailbot.adapters.letters import without_enclosures
from pqr_mailbot.adapters.smtp_mailer import Outcome
from pqr_mailbot.adapters.sqlite_store import DueLetter, FinishedLetter, Store
from pqr_mailbot.adapters.tokens import message_id
from pqr_mailbot.domain import decide
from pqr_mailbot.domain.bounce import SentLetter
from pqr_mailbot.domain.effects import NoteEvent
from pqr_mailbot.domain.model import Address
from pqr_mailbot.flows.handle import Handler

OF_THE_CONTENT = ("size", "end of data")  # stages at which a server speaks about what a letter holds


@dataclass(frozen=True, slots=True)
class Refusals:
    """Works in the transaction that notes what became of the letter."""

    handler: Handler

    def note(self, letter: DueLetter, outcome: Outcome, now: datetime) -> None:
        sent = self.handler.store.letter(letter.id)
        if not sent.to_customer and outcome.stage in OF_THE_CONTENT and self._without_files(letter, sent, now):
            return
        ticket = self.handler.store.case(sent.reference) if sent.reference else None
        effects = decide.on_refused(sent, outcome.reply, ticket, self.handler.desk, now)
        self.handler.applying(now).all(effects)

    def _without_files(self, letter: DueLetter, sent: SentLetter, now: datetime) -> bool:
        """The same letter at once, its files named where they were. False: it had none."""
        token = self.handler.signer.mint(letter.recipient)
        own_id = message_id(token, Address(letter.sender).domain)
        raw = without_enclosures(self.handler.store.letter_raw(letter.id), own_id, token)
        if raw is None:
            return False
        store: Store = self.handler.store
        store.queue_letter(
            FinishedLetter(
                letter.letter, letter.reference, letter.recipient, letter.sender, automatic=False, message_id=own_id,
                token=token, raw=raw, not_before=now, about=sent.about,
            ),
            now,
        )  # fmt: skip
        if letter.reference:
            detail = f"{letter.letter} to {letter.recipient} without its attachments"
            store.note_event(NoteEvent(letter.reference, decide.DESK, "letter_queued", detail), now)
        return True
