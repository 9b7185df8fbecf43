"""The one path of a mail: parse, screen, identify, classify, decide, apply; one transaction, all or nothing.

Several mails share one commit through savepoints, so long as a bad one takes down only itself. A mail that raises
becomes `failed` with its reason; a mail that kills the process leaves its count of attempts behind and is set apart
after three. A busy or broken store is weather, not the mail's fault: it passes through, and the round is tried again.
"""

from __future__ import annotations

import logging
import sqlite3
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import singledispatchmethod
from typing import Any

from pqr_mailbot.adapters import mime_header, mime_parser
from pqr_mailbot.adapters.bounces import read_bounce
from pqr_mailbot.adapters.letters import Envelope, Letters, letter_subject
from pqr_mailbot.adapters.sqlite_store import FinishedLetter, Inbound, Store
from pqr_mailbot.adapters.tokens import Signer, message_id, thread_id
from pqr_mailbot.domain import decide
from pqr_mailbot.domain.authentication import authentication
from pqr_mailbot.domain.bounce import BouncedRecipient, SentLetter, bounced_letters
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.classify import Lexicon, classify
from pqr_mailbot.domain.effects import (
    AddParticipant,
    AssignTicket,
    BounceLetter,
    CloseInbound,
    ConfirmLetter,
    Effect,
    LinkTickets,
    MoveTicket,
    NoteAnswer,
    NoteEvent,
    OpenTicket,
    QueueLetter,
    RecordMessage,
)
from pqr_mailbot.domain.identify import Identity, clues, identify, thread_ids
from pqr_mailbot.domain.machine_phrases import is_forward, plain_subject
from pqr_mailbot.domain.model import Address, Mail, Ticket, Verdict
from pqr_mailbot.domain.reference import find_references
from pqr_mailbot.domain.reply_text import split
from pqr_mailbot.domain.screen import Screening, screen
from pqr_mailbot.domain.situation import QUESTION, Desk, MachineMail, Occasion, Situation
from pqr_mailbot.flows.handle_sent import decide_sent

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ATTEMPTS = 3  # a mail that kills the process this often is set apart (Mailman's switchboard does the same)
BATCH = 50  # mails that share one commit

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handler:
    """What handling needs beside the mail: the store, the rules, the words, the letters and the signature."""

    store: Store
    desk: Desk
    lexicon: Lexicon
    letters: Letters
    signer: Signer
    suspects_until: int  # mails up to this id were waiting when we started: one of them may have killed us

    def round(self, now: Callable[[], datetime]) -> int:
        """Handles what is waiting, at most one batch. Returns how many mails were taken; 0: nothing waits."""
        waiting = self.store.waiting_ids(BATCH)
        if not waiting:
            return 0
        if waiting[0] <= self.suspects_until:
            self._one_suspect(waiting[0], now())
            return 1
        with self.store.transaction():
            for inbound_id in waiting:
                self._one(inbound_id, now())
        return len(waiting)

    def _one_suspect(self, inbound_id: int, now: datetime) -> None:
        """Alone, and counted before it is touched."""
        with self.store.transaction():
            attempts = self.store.count_attempt(inbound_id)
            if attempts > ATTEMPTS:
                self.store.fail_inbound(inbound_id, f"the program died {ATTEMPTS} times while handling this mail")
                return
        with self.store.transaction():
            self._one(inbound_id, now)

    def _one(self, inbound_id: int, now: datetime) -> None:
        try:
            with self.store.savepoint():
                self.handle(self.store.inbound(inbound_id), now)
        except (sqlite3.OperationalError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  # a bad mail must not stand in the way of the next one
            where = traceback.extract_tb(error.__traceback__)[-1]
            log.error("inbound %d failed: %s in %s line %s", inbound_id, type(error).__name__, where.name, where.lineno)
            self.store.fail_inbound(inbound_id, "".join(traceback.format_exception(error))[-4000:])

    # -- the path --------------------------------------------------------------------------------------------------

    def handle(self, inbound: Inbound, now: datetime) -> list[Effect]:
        """Decides one stored mail and applies what was decided, inside the caller's transaction."""
        mail = mime_parser.parse(inbound.raw, inbound.complete)
        author = mail.sender.address if mail.sender else ""
        # A constant Message-ID tells nobody apart: the same mail has the same author and content too.
        content_key = self.signer.content_key(f"{author} {mail.content_hash}")
        self.store.describe_inbound(inbound.id, mail, content_key)
        effects, trail = self._decide(inbound, mail, content_key, now)
        Applying(self, inbound.id, trail, now).all(effects)
        return effects

    def _decide(
        self, inbound: Inbound, mail: Mail, content_key: str, now: datetime
    ) -> tuple[list[Effect], dict[str, object]]:
        if inbound.from_sent:
            return decide_sent(self.store, self.desk.policy, inbound, mail, content_key, now), {}
        screening = self._screen(inbound, mail)
        if twin := self.store.same_mail(inbound.id, mail.message_id, content_key):
            return decide.on_duplicate(twin[0], screening.verdict, twin[1]), {}
        if inbound.suspect_before and decide.predates(_dates(inbound, mail), inbound.suspect_before):
            return decide.on_rescan(), {}
        identity = self._identify(mail) if mail.sender else None
        parts = split(mail.text)
        passed_on = is_forward(plain_subject(mail.subject))  # then what is quoted may be the whole matter
        found = classify(mail.subject, mail.text if passed_on else parts.new, self.lexicon)
        if screening.verdict is not Verdict.PERSON or identity is None:
            told = self.store.mails_told_of("alarm", decide.MACHINE, now - DAY)
            machine = MachineMail(mail, inbound.received_at, screening, identity, found.urgency, told)
            if screening.verdict is Verdict.BOUNCE and (hits := self._hits(inbound, mail)):
                return decide.on_bounce(machine, hits, self._owners(hits), self.desk, now), {}
            return decide.on_machine(machine, self.desk, now), {}
        checked = authentication(mail, self.desk.policy.trusted_authserv_ids)
        occasion = Occasion(mail, inbound.received_at, parts, identity, found, checked)
        trail: dict[str, object] = {
            "classification": _shown(found.type, found.confidence, [e.words for e in found.evidence])
        }
        return decide.on_mail(occasion, self._situation(occasion, now), self.desk, now), trail

    def _screen(self, inbound: Inbound, mail: Mail) -> Screening:
        if inbound.as_person and mail.sender and mail.sender.address not in self.desk.policy.office.addresses:
            return Screening(Verdict.PERSON, "retry --as-person")
        return screen(mail, self.desk.policy)

    def _hits(self, inbound: Inbound, mail: Mail) -> list[tuple[SentLetter, BouncedRecipient]]:
        bounce = read_bounce(inbound.raw, mail)
        letters = self.store.letters_named(bounce.tokens, bounce.message_ids) if bounce else []
        hits = bounced_letters(bounce, letters) if bounce else []
        return [(replace(letter, told=self._told(letter)), found) for letter, found in hits]

    def _told(self, letter: SentLetter) -> bool:
        return self.store.last_letter_about("alarm", decide.about_bounce(letter.outbox_id)) is not None

    def _owners(self, hits: Sequence[tuple[SentLetter, BouncedRecipient]]) -> dict[str, str | None]:
        cases = (self.store.ticket(letter.reference) for letter, _ in hits if letter.reference)
        return {case.reference: case.owner for case in cases if case}

    def _identify(self, mail: Mail) -> Identity:
        known = self.store.known_ids(thread_ids(mail))
        found = clues(mail, known, find_references(mail.subject, self.desk.policy.reference_prefix))
        references = {clue.reference for clue in found if clue.reference}
        tickets = {reference: ticket for reference in references if (ticket := self.store.ticket(reference))}
        return identify(mail, found, tickets, self.desk.policy)

    def _situation(self, occasion: Occasion, now: datetime) -> Situation:
        policy, store = self.desk.policy, self.store
        author, ticket, case = occasion.identity.author.address, occasion.identity.ticket, occasion.identity.pointed_at
        kind = ticket.classification.type if ticket else occasion.classification.type
        year = local_day(occasion.received_at, policy.office.timezone).year
        return Situation(
            next_reference=store.next_reference(policy.reference_prefix, year),
            next_owner=store.turn_among([a.address for a in policy.agents_for(kind) if author not in a.addresses]),
            earlier=store.earlier_tickets(
                ticket.customer.address if ticket else author, ticket.reference if ticket else None
            ),
            history=self._history(ticket),
            recent_acknowledgements=store.letters_to(author, "acknowledgement", now - DAY),
            recent_automatic=store.automatic_letters(now - HOUR),
            waiting=store.waiting_acknowledgement(author, now),
            fuse_told_at=store.last_letter_about("alarm", decide.FUSE),
            admission_asked=case is not None
            and store.asked_since(case.reference, case.customer.address, QUESTION, now - DAY),
        )

    def _history(self, ticket: Ticket | None) -> tuple[tuple[datetime, str], ...]:
        if ticket is None:
            return ()
        said = {"in": "escribió", "out": "se le envió", "note": "nota de"}
        return tuple(
            (
                at,
                f"acuse de recibo a {ticket.customer.address}"
                if letter == "acknowledgement"
                else f"{'respondió' if direction == 'out' and not letter else said[direction]} {author}",
            )
            for at, direction, author, letter in self.store.conversation_brief(ticket.reference)
        )


@dataclass(frozen=True, slots=True)
class Applying:
    """One decision being carried out. Each effect has one method; an effect without one cannot be applied."""

    handler: Handler
    inbound_id: int
    trail: dict[str, object]
    now: datetime

    def all(self, effects: Sequence[Effect]) -> None:
        shown = [_SAID[type(effect)](effect) for effect in effects]
        self.trail["effects"] = shown
        for effect in effects:
            self.apply(effect)

    @singledispatchmethod
    def apply(self, effect: Effect) -> None:
        raise TypeError(f"no way to apply {type(effect).__name__}")

    @apply.register
    def _(self, effect: OpenTicket) -> None:
        self.handler.store.open_ticket(effect)

    @apply.register
    def _(self, effect: RecordMessage) -> None:
        self.handler.store.record_message(effect, self.inbound_id)

    @apply.register
    def _(self, effect: MoveTicket) -> None:
        self.handler.store.move_ticket(effect.reference, effect.state)

    @apply.register
    def _(self, effect: AssignTicket) -> None:
        self.handler.store.assign_ticket(effect.reference, effect.owner)

    @apply.register
    def _(self, effect: LinkTickets) -> None:
        self.handler.store.link_tickets(effect.reference, effect.other)

    @apply.register
    def _(self, effect: AddParticipant) -> None:
        self.handler.store.add_participant(effect.reference, effect.address)

    @apply.register
    def _(self, effect: NoteEvent) -> None:
        self.handler.store.note_event(effect, self.now)

    @apply.register
    def _(self, effect: BounceLetter) -> None:
        self.handler.store.letter_bounced(effect.outbox_id, effect.diagnostic)

    @apply.register
    def _(self, effect: ConfirmLetter) -> None:
        self.handler.store.letter_went(effect.outbox_id, effect.at)

    @apply.register
    def _(self, effect: NoteAnswer) -> None:
        self.handler.store.note_answer(effect.reference, effect.at)

    @apply.register
    def _(self, effect: CloseInbound) -> None:
        self.handler.store.close_inbound(self.inbound_id, effect, {**effect.trail, **self.trail})

    @apply.register
    def _(self, effect: QueueLetter) -> None:
        handler, office = self.handler, self.handler.desk.policy.office
        domain, token = Address(office.address).domain, handler.signer.mint(effect.recipient.address)
        own_id = message_id(token, domain)
        if effect.instead_of:
            token, own_id = handler.store.identity_of(effect.instead_of)
        rendered = handler.letters.render(effect.letter, effect.facts)
        subject = letter_subject(effect.reference or "", effect.subject)
        references = (*effect.thread, effect.answers, _case_thread(effect, domain), thread_id(token, domain))
        letter = FinishedLetter(
            letter=effect.letter,
            reference=effect.reference,
            recipient=effect.recipient.address,
            sender=office.address,
            automatic=effect.automatic is not None and effect.customer_facing,
            message_id=own_id,
            token=token,
            raw=handler.letters.compose(
                Envelope(
                    message_id=own_id,
                    from_name=office.name,
                    from_address=office.address,
                    recipient=effect.recipient,
                    subject=subject,
                    date=effect.not_before.astimezone(office.timezone),
                    in_reply_to=effect.answers,
                    references=tuple(filter(None, references)),
                    automatic=effect.automatic,
                    token=token,
                ),
                rendered,
            ),
            not_before=effect.not_before,
            about=effect.about,
        )
        if effect.instead_of:
            outbox_id = handler.store.rewrite_letter(effect.instead_of, letter, subject, rendered.text)
        else:
            outbox_id = handler.store.queue_letter(letter, self.now)
        if effect.customer_facing:
            handler.store.record_letter(outbox_id, letter, Address(office.address, office.name), subject, rendered.text)
        if effect.reference:
            detail = f"{effect.letter} to {effect.recipient.address}"
            handler.store.note_event(NoteEvent(effect.reference, decide.DESK, "letter_queued", detail), self.now)


def _case_thread(effect: QueueLetter, domain: str) -> str:
    """Internal letters about one case share this id, so that an agent's mail client shows them as one thread."""
    return "" if effect.customer_facing or not effect.reference else f"<{effect.reference.lower()}.caso@{domain}>"


def _dates(inbound: Inbound, mail: Mail) -> list[datetime]:
    """Every instant that says how old a mail is: INTERNALDATE, the topmost Received, its own Date."""
    received = mime_header.received_at(mail)
    return [instant for instant in (inbound.received_at, received, mail.sent_at) if instant]


# One line of the trail each: what was done, without anybody's words.
_SAID: Mapping[type, Callable[[Any], str]] = {
    OpenTicket: lambda e: f"open {e.reference} for {e.customer.address}, due {e.due_on}, owner {e.owner}",
    RecordMessage: lambda e: f"record the mail on {e.reference} ({e.direction})",
    MoveTicket: lambda e: f"move {e.reference} to {e.state}",
    AssignTicket: lambda e: f"assign {e.reference} to {e.owner}",
    LinkTickets: lambda e: f"link {e.reference} with {e.other}",
    AddParticipant: lambda e: f"admit {e.address} to {e.reference}",
    NoteEvent: lambda e: f"note {e.event} on {e.reference}",
    QueueLetter: lambda e: f"queue {e.letter} to {e.recipient.address}",
    BounceLetter: lambda e: f"letter {e.outbox_id} came back: {e.diagnostic}",
    ConfirmLetter: lambda e: f"letter {e.outbox_id} did go",
    NoteAnswer: lambda e: f"note an answer on {e.reference}",
    CloseInbound: lambda e: f"close the mail as {e.state} ({e.verdict}): {e.reason}",
}


def _shown(kind: str, confidence: float, words: Sequence[str]) -> str:
    return f"{kind} ({confidence:.0%}): {', '.join(words) or 'no word spoke'}"
