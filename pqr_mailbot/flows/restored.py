"""After a restore: what the mailbox proves of the lost time is believed, and what may have been sent is not sent again.

The order matters. Letters that were in the queue become uncertain; numbers go on above every one that was seen; then
each mail of the lost time is handled as if it had just come, after what the clock did before, with the number that its
case had where that is proved, and with letters to customers that are either found in the Sent folder or uncertain. Each
step can be done again after a crash; only the last one lets the desk send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pqr_mailbot.adapters import mime_parser
from pqr_mailbot.adapters.sqlite_ledger import Ledger, LostTime
from pqr_mailbot.adapters.sqlite_store import Store, StoreProblem
from pqr_mailbot.adapters.tokens import Signer, carried_by, token_in
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.identify import author_of, thread_ids
from pqr_mailbot.domain.lost_time import FoundLetter, LostMail, LostWork, counters, references_then
from pqr_mailbot.domain.model import Mail
from pqr_mailbot.domain.reference import find_references
from pqr_mailbot.flows.clock import ClockRound
from pqr_mailbot.flows.handle import Handler

SLACK = timedelta(days=2)  # before the backup's last sign of life: dates of saved mail may be wrong


@dataclass(frozen=True, slots=True)
class Settled:
    """What was found and done. `counters`: the last number of each year that has been skipped to."""

    mails: int
    same_reference: int
    letters_found: int
    letters_held: int
    counters: dict[int, int]


def must_not_be_held(store: Store) -> None:
    """Raises StoreProblem after a restore: what is ordered now could give a number that somebody has already."""
    if held := Ledger(store).held():
        raise StoreProblem(f"{store.path}: {held}")


@dataclass(frozen=True, slots=True)
class Aftermath:
    """`handler`: on the restored store. Everything that the mailbox has of the lost time lies in it as raw mail."""

    handler: Handler
    now: datetime
    arrived: int = 0  # mails that came into the inbox in the lost time, those that are gone from it too; 0: not known
    progress: Callable[[Sequence[int]], Iterable[int]] = iter  # shows how far the mails are handled

    def settle(self) -> Settled:
        """All of it; afterwards the desk may work again."""
        store = self.handler.store
        ledger, lost = Ledger(store), Ledger(store).lost_time()
        assert lost is not None
        with store.transaction():
            ledger.doubt_letters(lost)
            waiting = ledger.doubt_mails(lost)
            work, highest = self._evidence(ledger, lost)
            ledger.raise_counters(highest, self.now)
        found = len(work.letters)
        handler = replace(self.handler, lost=work)
        clock, since = ClockRound(handler), lost.begin
        for inbound_id in self.progress(waiting):
            came = store.inbound(inbound_id).received_at
            clock.make_up(work, since, came, self.now)  # a survey went before its answer came
            handler.alone(inbound_id, self.now)
            since = max(since, came)
        clock.make_up(work, since, lost.end, self.now)
        with store.transaction():
            same = sum(reference in ledger.references() for reference in set(work.references.values()))
            ledger.release(self.now)
        return Settled(len(waiting), same, found - len(work.letters), ledger.doubted(), highest)

    def _evidence(self, ledger: Ledger, lost: LostTime) -> tuple[LostWork, dict[int, int]]:
        """What the mails of the lost time prove, and above which numbers the counter has to go on."""
        letters: list[FoundLetter] = []
        mails: list[LostMail] = []
        subjects, came = [], 0
        for inbound_id, from_sent, at, mail in self._mails(ledger, lost):
            came += not from_sent and lost.begin < at <= lost.end
            references = tuple(find_references(mail.subject, self.handler.desk.policy.reference_prefix))
            subjects.append(references)
            if from_sent and (letter := self._letter(inbound_id, mail, references, at)):
                letters.append(letter)
            elif not from_sent and mail.sender and not self.handler.desk.policy.is_staff(mail.sender.address):
                mails.append(self._lost_mail(inbound_id, mail, references, at))
        unknown = ledger.unknown_tokens([letter.token for letter in letters])
        letters = list({letter.token: letter for letter in reversed(letters) if letter.token in unknown}.values())[::-1]
        zone = self.handler.desk.policy.office.timezone
        years = range(local_day(lost.begin, zone).year, local_day(lost.end, zone).year + 1)
        last = ledger.counters()
        highest = counters(letters, subjects, last, years)
        if not letters:  # no mail opens more than one case, so no more numbers can have been given
            came, then = max(came, self.arrived), ledger.counters_then()
            highest = {year: max(highest.get(year, 0), then.get(year, 0) + came) for year in years}
        for year, number in ledger.given().items():
            if number > last.get(year, 0):
                highest[year] = max(highest.get(year, 0), number)
        top = {year: max(last.get(year, 0), highest.get(year, 0)) for year in {*last, *highest}}
        return LostWork(letters, references_then(letters, mails, ledger.references(), top)), highest

    def _mails(self, ledger: Ledger, lost: LostTime) -> Iterator[tuple[int, bool, datetime, Mail]]:
        for inbound_id, from_sent in ledger.mails_since(lost.begin - SLACK):
            inbound = self.handler.store.inbound(inbound_id)
            yield inbound_id, from_sent, inbound.received_at, mime_parser.parse(inbound.raw, inbound.complete)

    def _letter(self, inbound_id: int, mail: Mail, references: tuple[str, ...], at: datetime) -> FoundLetter | None:
        """A letter of ours, proved by a token that we signed for its only recipient."""
        recipients = [one.address for one in mail.to]
        token = next(iter(carried_by(mail)), None)
        if token is None or len(recipients) != 1 or not self.handler.signer.genuine(token, recipients[0]):
            return None
        automatic = mail.header("auto-submitted").strip().lower()
        return FoundLetter(
            inbound_id, token, mail.message_id, recipients[0], automatic, mail.in_reply_to, references, at,
            self.handler.desk.policy.is_staff(recipients[0]),
        )  # fmt: skip

    def _lost_mail(self, inbound_id: int, mail: Mail, references: tuple[str, ...], at: datetime) -> LostMail:
        author, thread = author_of(mail, self.handler.desk.policy).address, thread_ids(mail)
        proven = any(_wrote(self.handler.signer, said, author) for said in thread)
        return LostMail(inbound_id, mail.message_id, author, mail.subject, thread, references, at, proven)


def _wrote(signer: Signer, message_id: str, recipient: str) -> bool:
    """Is it the id of a letter that we wrote to this address?"""
    token = token_in(message_id)
    return token is not None and signer.genuine(token, recipient)
