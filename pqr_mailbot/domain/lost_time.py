"""What the mailbox proves about a time that the store knows nothing of: after a restore, yesterday's work is in it.

Letters of ours in the Sent folder prove what was sent, and answers to them which number a case had. What they do not
prove is doubtful, and nothing doubtful reaches a customer by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pqr_mailbot.domain.effects import QueueLetter

LIKELY = 10_000  # numbers above the last that a subject alone may claim: anybody can write a subject
CLOCKS = timedelta(hours=1)  # by which a mail program's date of what it saves may be wrong

Number = tuple[int, int]  # year and counter


@dataclass(frozen=True, slots=True)
class FoundLetter:
    """A letter with a token of ours, genuine for its recipient, that the store does not know."""

    inbound_id: int  # the mail of the Sent folder that it is
    token: str
    message_id: str  # as it has it there
    recipient: str
    automatic: str  # Auto-Submitted, "" for a person's words
    answers: tuple[str, ...]  # In-Reply-To
    references: tuple[str, ...]  # in its subject, canonical
    at: datetime
    internal: bool = False  # to one of the office's own people


@dataclass(frozen=True, slots=True)
class LostMail:
    """A mail of the inbox out of the lost time. `proven`: it answers a letter that we wrote to its very author."""

    inbound_id: int
    message_id: str
    author: str
    subject: str
    thread: tuple[str, ...]
    references: tuple[str, ...]
    at: datetime
    proven: bool


def references_then(
    letters: Sequence[FoundLetter], mails: Sequence[LostMail], given: Collection[str]
) -> dict[int, str]:
    """The number that the case of a mail had, by inbound id, for mails that opened one. `given`: the numbers that the
    store's own tickets have. Both lists oldest first; no colleague's mail is among them."""
    then: dict[int, str] = {}
    holders: dict[str, set[str]] = {}
    for letter in letters:
        for reference in letter.references[:1] if not letter.internal else ():
            holders.setdefault(reference, set()).add(letter.recipient)
            opening = next((m for m in mails if m.message_id in letter.answers and m.author == letter.recipient), None)
            if opening and opening.inbound_id not in then and reference not in {*given, *then.values()}:
                then[opening.inbound_id] = reference
    for reply in mails:
        for reference in reply.references[:1] if reply.proven else ():
            theirs = reply.author in holders.get(reference, {reply.author})
            if theirs and reference not in {*given, *then.values()}:
                then[_opening(reply, mails, then).inbound_id] = reference
    return then


def _opening(reply: LostMail, mails: Sequence[LostMail], then: Mapping[int, str]) -> LostMail:
    """The mail that opened the case which a reply names: the one that it answers, else the writer's earlier one of that
    subject, else the reply itself."""
    mine = [m for m in mails if m.author == reply.author and m.at <= reply.at and m.inbound_id not in then]
    mine = [m for m in mine if m is not reply and not m.references]
    named = [m for m in mine if m.message_id in reply.thread]
    alike = [m for m in mine if m.subject and m.subject.casefold() in reply.subject.casefold()]
    return next(iter((*named, *alike)), reply)


def counters(
    letters: Iterable[FoundLetter], subjects: Iterable[Sequence[str]], last: Mapping[int, int], years: Collection[int]
) -> dict[int, int]:
    """Above which number the counter of each year has to go on, where that is above the last it gave.

    `subjects`: the references of each mail's subject. A number that only a subject names counts when it is likely.
    """
    seen = [number_of(reference) for letter in letters for reference in letter.references[:1]]
    for references in subjects:
        likely = (number_of(reference) for reference in references)
        seen += [(y, n) for y, n in likely if n <= last.get(y, 0) + LIKELY]
    highest: dict[int, int] = {}
    for year, number in seen:
        if year in years and number > max(last.get(year, 0), highest.get(year, 0)):
            highest[year] = number
    return highest


def number_of(reference: str) -> Number:
    """Year and counter of a canonical reference."""
    _, year, number = reference.rsplit("-", 2)
    return int(year), int(number)


def skipped_words(year: int, first: int, last: int) -> str:
    """How the numbers that no ticket of the store has are noted in the history."""
    return f"{year}: {first} to {last}, given before the store was restored"


def skipped_numbers(words: str) -> list[tuple[int, int, int]]:
    """Year, first and last number of what `skipped_words` noted."""
    return [(int(y), int(a), int(b)) for y, a, b in re.findall(r"(\d{4}): (\d{1,9}) to (\d{1,9})\b", words)]


@dataclass
class LostWork:
    """What was done in the lost time, as far as it is proved. A letter that was found is one letter: it is taken once.

    `references`: by inbound id the number that the case of a mail had.
    """

    letters: list[FoundLetter] = field(default_factory=list)
    references: Mapping[int, str] = field(default_factory=dict)

    def take(self, wanted: QueueLetter, since: datetime) -> FoundLetter | None:
        """The letter that a mail received at `since` causes, if it lies in the Sent folder."""
        found = next((letter for letter in self.letters if is_it(letter, wanted, since)), None)
        if found:
            self.letters.remove(found)
        return found


def is_it(letter: FoundLetter, wanted: QueueLetter, since: datetime) -> bool:
    """Is a letter that was found the one that a mail received at `since` causes?

    Of letters to colleagues only the notification: the others say what is done now.
    """
    if not wanted.customer_facing and wanted.letter != "notification":
        return False
    if letter.recipient != wanted.recipient.address.lower() or letter.automatic != (wanted.automatic or ""):
        return False
    if letter.at < since - CLOCKS:
        return False
    return wanted.answers in letter.answers if wanted.answers else wanted.reference in letter.references
