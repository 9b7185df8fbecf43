"""Effects -> the store and its outbox, inside the caller's transaction: all of a decision or nothing of it.

A letter is rendered here, when it is queued: the number in it is the number in the store, and every attempt sends the
same bytes with the same Message-ID.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pqr_mailbot.adapters.letters import Enclosure, Envelope, Letters, Rendered, letter_subject
from pqr_mailbot.adapters.mime_parser import OpenedAttachment, open_attachments
from pqr_mailbot.adapters.sqlite_ledger import DOUBT
from pqr_mailbot.adapters.sqlite_store import FinishedLetter, Store
from pqr_mailbot.adapters.tokens import Signer, message_id, subject_token, thread_id
from pqr_mailbot.domain.decide import DESK
from pqr_mailbot.domain.effects import (
    AddParticipant,
    BounceLetter,
    CloseInbound,
    ConfirmLetter,
    Effect,
    Fire,
    HoldMail,
    LinkTickets,
    LookAgain,
    MoveMessage,
    NoteAbsence,
    NoteAnswer,
    NoteEvent,
    NoteHeartbeat,
    NoteRating,
    OpenTicket,
    QueueLetter,
    RecordMessage,
    RefuseSurveys,
    ReleaseMail,
    RemoveParticipant,
    RetryInbound,
    SaveTicket,
)
from pqr_mailbot.domain.given_id import comparable
from pqr_mailbot.domain.lost_time import FoundLetter, LostWork
from pqr_mailbot.domain.model import Address
from pqr_mailbot.domain.policy import Office


@dataclass(frozen=True, slots=True)
class Doubt:
    """A decision that may have been carried out before, in a time that a restored backup knows nothing of.

    No letter of it goes to a customer by itself: it was found in the Sent folder, or it is uncertain.
    """

    work: LostWork
    since: datetime  # when what is decided about came up


@dataclass(frozen=True, slots=True)
class Applying:
    """One decision being carried out, about one mail or none (an order of the command line, the clock)."""

    store: Store
    office: Office
    letters: Letters
    signer: Signer
    now: datetime
    inbound_id: int | None = None
    doubt: Doubt | None = None

    def all(self, effects: Sequence[Effect], trail: Mapping[str, object] | None = None) -> None:
        """`trail`: what `explain` tells beside the effects themselves."""
        shown = [DEEDS[type(effect)].said(effect) for effect in effects]
        for effect in effects:
            if isinstance(effect, CloseInbound):
                self.store.close_inbound(self.mail_id, effect, {**effect.trail, **(trail or {}), "effects": shown})
            else:
                DEEDS[type(effect)].done(self, effect)

    @property
    def mail_id(self) -> int:
        assert self.inbound_id is not None, "this effect is about a mail"
        return self.inbound_id

    # -- letters ---------------------------------------------------------------------------------------------------

    def queue(self, effect: QueueLetter) -> None:
        """Renders a letter and puts it in the outbox; one to a customer becomes part of the conversation."""
        found = self.doubt.work.take(effect, self.doubt.since) if self.doubt else None
        if self.doubt and effect.customer_facing:
            effect = replace(effect, instead_of=None, not_before=min(effect.not_before, self.doubt.since))
        token = found.token if found else self.signer.mint(effect.recipient.address)
        own_id = message_id(token, self._domain)
        if effect.instead_of:
            token, own_id = self.store.identity_of(effect.instead_of)
        rendered = self.letters.render(effect.letter, {**effect.facts, "token": subject_token(token)})
        enclosed = self._enclosed(effect)
        letter = self._finished(effect, token, own_id, rendered, enclosed)
        subject = letter_subject(effect.reference or "", effect.subject)
        if effect.instead_of:
            outbox_id = self.store.rewrite_letter(effect.instead_of, letter, subject, rendered.text)
        else:
            outbox_id = self.store.queue_letter(letter, self.now)
            self.store.note_reasons(outbox_id, effect.because)
        if effect.customer_facing and not effect.copy:
            author = effect.author or Address(self.office.address, self.office.name)
            words = effect.words if effect.author else rendered.text
            sent = [opened.attachment for opened in enclosed.opened()]
            self.store.record_letter(outbox_id, letter, author, subject, words, rendered.text, sent)
        if effect.reference:
            detail = f"{effect.letter} to {effect.recipient.address}"
            self.store.note_event(NoteEvent(effect.reference, DESK, "letter_queued", detail), self.now)
        if found:
            self._found(outbox_id, found, effect)
        elif self.doubt and effect.customer_facing:
            self.store.letter_doubted(outbox_id, DOUBT)

    def _found(self, outbox_id: int, found: FoundLetter, effect: QueueLetter) -> None:
        """The letter went in the lost time: its row is that of the copy in the Sent folder."""
        raw = self.store.raw_mail(found.inbound_id)
        self.store.letter_found(outbox_id, found.at, raw, comparable(found.message_id))
        if effect.reference:
            detail = f"{effect.letter} to {effect.recipient.address}: found in the Sent folder"
            self.store.note_event(NoteEvent(effect.reference, DESK, "letter_sent", detail), self.now)

    def _finished(
        self, effect: QueueLetter, token: str, own_id: str, rendered: Rendered, enclosed: _Enclosed
    ) -> FinishedLetter:
        raw, more = self.letters.in_pieces(self._envelope(effect, token, own_id, enclosed), rendered)
        return FinishedLetter(
            letter=effect.letter,
            reference=effect.reference,
            recipient=effect.recipient.address,
            sender=self.office.address,
            automatic=effect.automatic is not None and effect.customer_facing,
            message_id=own_id,
            token=token,
            raw=raw,
            more=more,
            not_before=effect.not_before,
            about=effect.about,
            customer_facing=effect.customer_facing,
        )

    def _envelope(self, effect: QueueLetter, token: str, own_id: str, enclosed: _Enclosed) -> Envelope:
        case = "" if effect.customer_facing else _case_thread(effect.reference, self._domain)
        thread = self._without_internal(effect.thread) if effect.customer_facing else effect.thread
        references = (*thread, effect.answers, case, thread_id(token, self._domain))
        return Envelope(
            message_id=own_id,
            from_name=_from_name(effect, self.office),
            from_address=self.office.address,
            recipient=effect.recipient,
            subject=letter_subject(effect.reference or "", effect.subject),
            date=effect.not_before.astimezone(self.office.timezone),
            in_reply_to=effect.answers,
            references=tuple(filter(None, references)),
            automatic=effect.automatic,
            token=token,
            attachments=enclosed,
            thread_topic=effect.thread_topic,
            thread_index=effect.thread_index,
        )

    def _without_internal(self, thread: Sequence[str]) -> list[str]:
        """A customer who answered a letter that a colleague passed on to them names its key, which is a colleague's."""
        known = self.store.known_ids(list(thread))
        inner = _CASE_THREAD.format("", self._domain)
        return [one for one in thread if not (one in known and known[one].internal) and not one.endswith(inner)]

    @property
    def _domain(self) -> str:
        return Address(self.office.address).domain

    def _enclosed(self, effect: QueueLetter) -> _Enclosed:
        source = effect.enclosed_from or self.inbound_id
        return _Enclosed(self.store, source, frozenset(effect.enclosed) if source is not None else frozenset())


@dataclass(frozen=True, slots=True)
class _Enclosed(Collection[Enclosure]):
    """The attachments of a mail that go along; the mail is read when one goes through them, and let go of after it."""

    store: Store
    source: int | None
    wanted: frozenset[int]

    def opened(self) -> Iterator[OpenedAttachment]:
        if self.wanted and self.source is not None:
            opened = open_attachments(self.store.raw_mail(self.source))
            yield from (one for at, one in enumerate(opened) if at in self.wanted)

    def __iter__(self) -> Iterator[Enclosure]:
        for one in self.opened():
            yield Enclosure(one.attachment.filename, one.attachment.content_type, one.pieces)

    def __len__(self) -> int:
        return len(self.wanted)

    def __contains__(self, one: object) -> bool:
        return one in list(self)


def _from_name(effect: QueueLetter, office: Office) -> str:
    """A person's answer comes under their name, over the office's address."""
    return f"{effect.author.name}, {office.name}" if effect.author and effect.author.name else office.name


def _case_thread(reference: str | None, domain: str) -> str:
    """Internal letters about one case share this id, so that an agent's mail client shows them as one thread."""
    return f"<{_CASE_THREAD.format(reference.lower(), domain)}" if reference else ""


_CASE_THREAD = "{}.caso@{}>"


# -- every effect --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deed:
    """How an effect is carried out, and the line of the trail it leaves: what was done, without anybody's words."""

    done: Callable[[Applying, Any], object]
    said: Callable[[Any], str]


DEEDS: Mapping[type, Deed] = {
    OpenTicket: Deed(
        lambda to, e: to.store.open_ticket(e),
        lambda e: f"open {e.reference} for {e.customer.address}, due {e.due_on}, owner {e.owner}",
    ),
    RecordMessage: Deed(
        lambda to, e: to.store.record_message(e, to.inbound_id),
        lambda e: f"record the mail on {e.reference} ({e.direction})",
    ),
    SaveTicket: Deed(
        lambda to, e: to.store.save_ticket(e.ticket),
        lambda e: f"{e.ticket.reference} is {e.ticket.state}, due {e.ticket.due_on}, owner {e.ticket.owner}",
    ),
    NoteAnswer: Deed(
        lambda to, e: to.store.note_answer(e.reference, e.at),
        lambda e: f"{e.reference} was answered by a person",
    ),
    LinkTickets: Deed(
        lambda to, e: to.store.link_tickets(e.reference, e.other),
        lambda e: f"link {e.reference} with {e.other}",
    ),
    AddParticipant: Deed(
        lambda to, e: to.store.add_participant(e.reference, e.address),
        lambda e: f"admit {e.address} to {e.reference}",
    ),
    RemoveParticipant: Deed(
        lambda to, e: to.store.remove_participant(e.reference, e.address),
        lambda e: f"{e.address} leaves {e.reference}",
    ),
    MoveMessage: Deed(
        lambda to, e: to.store.move_message(e.message, e.reference),
        lambda e: f"message {e.message} goes to {e.reference}",
    ),
    HoldMail: Deed(
        lambda to, e: to.store.hold_mail(to.mail_id, e.kind, e.agent, e.until),
        lambda e: f"hold the mail ({e.kind}) until {e.until:%Y-%m-%d %H:%M} UTC",
    ),
    ReleaseMail: Deed(
        lambda to, e: to.store.release_mail(e.inbound_id, to.now),
        lambda e: f"carry out inbound {e.inbound_id}",
    ),
    RetryInbound: Deed(
        lambda to, e: to.store.retry(e.inbound_id, as_person=True),
        lambda e: f"handle inbound {e.inbound_id} as a person's",
    ),
    NoteAbsence: Deed(
        lambda to, e: to.store.note_absence(e.address, e.first, e.last),
        lambda e: f"{e.address} is away from {e.first} to {e.last}",
    ),
    Fire: Deed(
        lambda to, e: to.store.fire(e.reference, e.rule, e.cycle, to.now),
        lambda e: f"{e.rule} fired for {e.reference}",
    ),
    LookAgain: Deed(
        lambda to, e: to.store.look_again(e.reference, e.on),
        lambda e: f"look at {e.reference} again on {e.on}",
    ),
    NoteRating: Deed(
        lambda to, e: to.store.note_rating(e),
        lambda e: f"rating of {e.reference}: {e.rating or '-'}, {'' if e.resolved else 'not '}resolved",
    ),
    RefuseSurveys: Deed(
        lambda to, e: to.store.refuse_surveys(e.address),
        lambda e: f"{e.address} wants no surveys",
    ),
    NoteEvent: Deed(
        lambda to, e: to.store.note_event(e, to.now),
        lambda e: f"note {e.event} on {e.reference}",
    ),
    QueueLetter: Deed(
        lambda to, e: to.queue(e),
        lambda e: f"queue {e.letter} to {e.recipient.address}",
    ),
    BounceLetter: Deed(
        lambda to, e: to.store.letter_bounced(e.outbox_id, e.diagnostic),
        lambda e: f"letter {e.outbox_id} came back: {e.diagnostic}",
    ),
    ConfirmLetter: Deed(
        lambda to, e: to.store.letter_went(e.outbox_id, e.at),
        lambda e: f"letter {e.outbox_id} did go",
    ),
    NoteHeartbeat: Deed(
        lambda to, e: to.store.probe_back(e.outbox_id, e.at),
        lambda e: f"the probe {e.outbox_id} came back",
    ),
    CloseInbound: Deed(
        lambda to, e: to.store.close_inbound(to.mail_id, e, e.trail),
        lambda e: f"close the mail as {e.state} ({e.verdict}): {e.reason}",
    ),
}
