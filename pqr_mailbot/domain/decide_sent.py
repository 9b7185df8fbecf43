"""What a mail in the Sent folder means: a letter of ours, a person's answer to a customer, or nothing to us.

Pure, as `decide`. No letter is ever caused by a mail of Sent: it only tells what somebody has done already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pqr_mailbot.domain.decide import DESK
from pqr_mailbot.domain.effects import (
    CloseInbound,
    ConfirmLetter,
    Effect,
    NoteAnswer,
    NoteEvent,
    RecordMessage,
    SaveTicket,
)
from pqr_mailbot.domain.identify import Clue, KnownId, thread_ids
from pqr_mailbot.domain.model import Address, Happening, Mail, State, Ticket, Verdict, moved


@dataclass(frozen=True, slots=True)
class OwnLetter:
    """The letter of ours that a mail is a copy of. `cases`: those it is about."""

    outbox_id: int
    letter: str
    recipient: str
    state: str
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail of the Sent folder and what was worked out about it. `clues`: what points to a case, the nearest first;
    `cases`: those that the clues name and that exist."""

    mail: Mail
    sent_at: datetime  # INTERNALDATE, UTC
    text: str  # what its writer wrote, quotes folded away
    own: OwnLetter | None
    clues: Sequence[Clue]
    cases: Mapping[str, Ticket]
    office: Address


def pointers(mail: Mail, known: Mapping[str, KnownId], subject_references: Sequence[str]) -> list[Clue]:
    """What points to a case, the nearest first: the mail that is answered says more than our letter before it."""
    by_id = [Clue("message_id", said, known[said].reference) for said in thread_ids(mail) if said in known]
    return by_id + [Clue("subject", reference, reference) for reference in subject_references]


def on_sent(sent: SentMail, now: datetime) -> list[Effect]:
    """Ours by its token; else an answer when it points to a case and went to somebody of that case."""
    if sent.own:
        return _own_letter(sent.own, sent.sent_at)
    if _by_a_machine(sent.mail):
        return [CloseInbound("done", Verdict.OWN, "sent from the mailbox by a machine")]
    recipients = [address.address for address in (*sent.mail.to, *sent.mail.cc, *sent.mail.bcc)]
    for clue in sent.clues:
        case = sent.cases.get(clue.reference or "")
        if case and (reached := [one for one in recipients if case.admits(one)]):
            return _answer(sent, clue, case, recipients, reached, now)
    return [CloseInbound("done", Verdict.OWN, "sent from the mailbox, about no case")]


def _own_letter(own: OwnLetter, found_at: datetime) -> list[Effect]:
    """Our own letter does not count twice; one that may or may not have gone did go."""
    reference = own.cases[0] if own.cases else None
    closing = CloseInbound("done", Verdict.OWN, f"a letter of ours ({own.letter})", reference)
    if own.state != "uncertain":
        return [closing]
    detail = f"{own.letter} to {own.recipient}: found in the Sent folder"
    events = (NoteEvent(case, DESK, "letter_sent", detail) for case in own.cases)
    return [ConfirmLetter(own.outbox_id, found_at), *events, closing]


def _answer(
    sent: SentMail, clue: Clue, case: Ticket, recipients: Sequence[str], reached: Sequence[str], now: datetime
) -> list[Effect]:
    mail, author = sent.mail, sent.mail.sender or sent.office
    # A mail program dates the copy it saves: by a clock that may be wrong.
    answered_at = min(max(sent.sent_at, case.opened_at), now)
    effects: list[Effect] = [
        RecordMessage(
            reference=case.reference,
            direction="out",
            author=author,
            recipients=tuple(dict.fromkeys(recipients)),
            subject=mail.subject,
            message_id=mail.message_id,
            at=sent.sent_at,
            text=sent.text,
            full_text=mail.text,
            attachments=mail.attachments,
        ),
        NoteEvent(case.reference, author.address, "answered_from_mailbox", f"to {', '.join(reached)}"),
        NoteAnswer(case.reference, answered_at),
    ]
    state = case.state if case.state is State.CLOSED else moved(case.state, Happening.OFFICE_ANSWERED)
    if state is not case.state:
        effects.append(SaveTicket(replace(case, state=state)))
    trail = {"clue": f"{clue.kind} {clue.said}", "key": f"it went to {', '.join(reached)}, of that case"}
    reason = "an answer written from the mailbox itself"
    return [*effects, CloseInbound("done", Verdict.PERSON, reason, case.reference, trail)]


def _by_a_machine(mail: Mail) -> bool:
    """A vacation notice or a receipt that the mail server or program sent: it answers nobody."""
    said = mail.header("auto-submitted").partition(";")[0].strip().lower()
    return said not in ("", "no") or mail.content_type == "multipart/report"
