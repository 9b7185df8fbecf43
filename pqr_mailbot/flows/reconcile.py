"""The mailbox held against the store: which mail has no row, which row has no mail, and why. It reads with EXAMINE.

What was never fetched is fetched, wherever the cursor stands: a server may show a mail late, below what was read. What
a look costs is bounded: UIDs are compared as sets, headers are asked for in slices, and only of what is not explained.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as of_day
from functools import partial
from typing import Protocol, TypeVar

from pqr_mailbot.adapters import mime_parser
from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.imap_mailbox import Mailbox
from pqr_mailbot.adapters.sqlite_ledger import JUNK, LOOKED_ON, MISSING, Kept, Ledger, LostTime
from pqr_mailbot.adapters.sqlite_store import Cursor, RawMail, Store, StoreProblem, instant, only_reconcile
from pqr_mailbot.adapters.tokens import carried_by, token_in
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.identify import thread_ids
from pqr_mailbot.domain.model import Mail, Verdict, is_synthetic_id
from pqr_mailbot.domain.policy import Policy
from pqr_mailbot.domain.reference import find_references
from pqr_mailbot.domain.screen import screen
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.fetching import Fetcher, next_uid
from pqr_mailbot.flows.receive import Reading, Receiver, start_fact
from pqr_mailbot.flows.restored import SLACK, Settled
from pqr_mailbot.flows.watch_sent import NoSentFolder, SentWatch
from pqr_mailbot.flows.weather import weather_in

UIDS_AT_ONCE = 5_000  # asked of the store at once
HEADERS_AT_ONCE = 250
ALL = 2**62
LOOKED_THROUGH = 5_000  # mails of another folder, the latest, in which a mail is looked for
JUNK_DAYS, JUNK_SHOWN = timedelta(days=30), 1_000  # of the junk folder, the latest
UNCERTAIN_DAYS = timedelta(days=30)  # for which a letter of unknown fate is looked for by itself
WITHHELD_TRIES = 50  # after a restore, until every mail that is named and not handed out has been set apart
EVER = datetime(1970, 1, 2, tzinfo=UTC)
QUIET = of_day(3)  # from this hour of the office on the day's look is taken
PATIENCE = timedelta(hours=1)  # after a look that failed
EVERY = 30.0  # seconds between two questions whether it is time
FIELDS = (
    "FROM", "TO", "SUBJECT", "DATE", "MESSAGE-ID", "IN-REPLY-TO", "REFERENCES", "REPLY-TO", "RETURN-PATH",
    "AUTO-SUBMITTED", "PRECEDENCE", "LIST-ID", "LIST-UNSUBSCRIBE", "CONTENT-TYPE", "X-PQR-LETTER",
)  # fmt: skip
CARRIERS = ("MESSAGE-ID", "REFERENCES", "X-PQR-LETTER")  # where a letter of ours has its token

AFTER = "arrived after the last fetch"
BEFORE = "received before imap.start_from"
UNWATCHED = "sent before this folder was watched"
RENUMBERED = "the server renumbered the folder: the next fetch looks at it anew"
FETCHED = "was never fetched: it is now"
WITHHELD = "the server names it and does not hand it out"
ASIDE = "put there in the time that the restored backup does not know: move it to the inbox to have it handled"
MAYBE = "junk folder, not read: it may be a person's"
OURS = "junk folder, not read: a letter of ours"

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """A mail without a row, or a row without its mail. `message_id` None: it has none, or it was not asked for."""

    mailbox: str
    uid: int
    why: str
    message_id: str | None = None
    sender: str = ""
    subject: str = ""

    def as_json(self) -> dict[str, object]:
        """Without what somebody wrote."""
        return {"mailbox": self.mailbox, "uid": self.uid, "message_id": self.message_id, "why": self.why}


@dataclass
class Report:
    """`unexplained`: how many mails have no row and no reason."""

    missing_rows: list[Row] = field(default_factory=list)
    missing_mails: list[Row] = field(default_factory=list)
    junk: list[Row] = field(default_factory=list)
    marked_sent: int = 0
    unexplained: int = 0
    settled: Settled | None = None
    counter: dict[int, int] = field(default_factory=dict)


class Settle(Protocol):
    """Does what has to be done after a restore, in which so many mails have come into the inbox."""

    def __call__(self, store: Store, arrived: int) -> Settled: ...


@dataclass
class Reconciliation:
    """`open_mailbox` connects and opens the inbox for reading only; `receiver` and `sent` keep what is missing, and
    move nothing."""

    books: Books
    open_mailbox: Callable[[], Mailbox]
    to_sent: Callable[[Mailbox], None]
    receiver: Receiver
    sent: SentWatch | None
    reading: Reading
    policy: Policy
    clock: Callable[[], datetime]
    pause: float = 2.0  # seconds before a mail that is not handed out is asked for again
    _mailbox: Mailbox | None = None

    # -- the command -----------------------------------------------------------------------------------------------

    def whole(self, settle: Settle) -> Report:
        """Everything. `settle`: what has to be done after a restore, when the mail of the lost time is here; it runs on
        the thread of the books. Raises Trouble, StoreProblem; then nothing was let go."""
        report = Report()
        with self._held() as held, self._opened() as mailbox:
            if held and (lost := self._ledger(Ledger.lost_time)):
                arrived = self._fetch_lost(mailbox, lost)
                report.missing_rows += self._elsewhere(mailbox, lost)
                report.settled = self.books.do_now(partial(settle, arrived=arrived))
            self._inbox(mailbox, report)
            self._gone(mailbox, report)
            self._sent_folder(mailbox, report, EVER)
            report.junk = self._junk(mailbox)
        report.counter = self._ledger(Ledger.counters)
        self._remember(report)
        return report

    @contextmanager
    def _held(self) -> Iterator[bool]:
        """Is the desk held after a restore? Then no other command makes it good meanwhile: a mail handled by two would
        be two cases."""
        with ExitStack() as alone:
            if self._ledger(Ledger.held):
                alone.enter_context(only_reconcile(self.books.do_now(lambda store: store.path)))
            yield bool(self._ledger(Ledger.held))

    # -- once a day ------------------------------------------------------------------------------------------------

    def daily(self) -> None:
        """What is missing is fetched; what stays without a reason becomes a fact for `status`. Raises Trouble."""
        report = Report()
        with self._opened() as mailbox:
            self._inbox(mailbox, report)
            self._sent_folder(mailbox, report, self.clock() - UNCERTAIN_DAYS)
            report.junk = self._junk(mailbox)
        self._remember(report)

    def tell(self, on_mail: Callable[[], None]) -> None:
        """Whom to wake when mail was kept."""
        self.receiver.on_mail = on_mail
        if self.sent:
            self.sent.on_mail = on_mail

    def abort(self) -> None:
        """From another thread: a look that is under way ends at once with Trouble."""
        if mailbox := self._mailbox:
            mailbox.abort()

    @contextmanager
    def _opened(self) -> Iterator[Mailbox]:
        mailbox = self._mailbox = self.open_mailbox()
        try:
            yield mailbox
        finally:
            self._mailbox = None
            mailbox.close()

    def _remember(self, report: Report) -> None:
        today = local_day(self.clock(), self.reading.zone).isoformat()
        customers = sum(row.why not in (MAYBE, OURS) for row in report.junk)
        missing = _words(report.unexplained, "on the server with no row here and no reason: `reconcile`")
        junk = _words(customers, "of customers in the junk folder: `reconcile`")

        def note(store: Store) -> None:
            with store.transaction():
                for name, value in ((MISSING, missing), (JUNK, junk), (LOOKED_ON, today)):
                    store.set_fact(name, value)

        self.books.do_now(note)

    # -- the inbox and the Sent folder -----------------------------------------------------------------------------

    def _inbox(self, mailbox: Mailbox, report: Report) -> None:
        start = self.books.do_now(lambda store: store.fact(start_fact(self.reading.folder)))
        if start is None:
            return  # never read yet: the first fetch says what is ours
        self._compare(mailbox, report, partial(self.receiver.fetch, mailbox), instant(start))

    def _sent_folder(self, mailbox: Mailbox, report: Report, since: datetime) -> None:
        if self.sent is None:
            return
        try:
            self.to_sent(mailbox)
        except NoSentFolder:
            return
        self._compare(mailbox, report, partial(self.sent.fetch, mailbox), None)
        report.marked_sent += self._confirm(mailbox, since)

    def _compare(
        self, mailbox: Mailbox, report: Report, fetch: Callable[[list[int]], None], start: datetime | None
    ) -> None:
        """`start`: mail received before it is not ours; None: only the UID says so."""
        folder, uids = mailbox.folder, mailbox.uids_after(0)
        cursor = self.books.do_now(lambda store: store.cursor(folder))
        if cursor is None:
            return
        if cursor.uidvalidity != mailbox.uidvalidity:
            report.missing_rows += [Row(folder, uid, RENUMBERED) for uid in uids]
            return
        unkept = self._unkept(mailbox, uids)
        new = [uid for uid in unkept if uid > cursor.last_uid]
        ours = set(uids if start is None else mailbox.uids_since(local_day(start, self.reading.zone) - SLACK))
        missed = [uid for uid in unkept if cursor.began_above < uid <= cursor.last_uid and uid in ours]
        if missed:
            log.warning("%d mails of %r were never fetched: they are now", len(missed), folder)
            try:
                fetch(missed)
            except Trouble as trouble:
                if trouble.kind != "withheld":  # what is left is told below
                    raise
        left = set(self._unkept(mailbox, missed))
        old = self._received_before(mailbox, sorted(left), start)
        why = dict.fromkeys(new, AFTER) | dict.fromkeys(missed, FETCHED) | dict.fromkeys(left, WITHHELD)
        before = UNWATCHED if start is None else BEFORE
        why |= dict.fromkeys(old, before)
        report.unexplained += len(left - old)
        shown = [*new, *missed]
        report.missing_rows += [Row(folder, uid, before) for uid in unkept if uid not in why]
        report.missing_rows += self._rows(mailbox, shown, why)

    def _unkept(self, mailbox: Mailbox, uids: Sequence[int]) -> list[int]:
        """In slices, so that nobody waits long for the store."""
        found: list[int] = []
        for start in range(0, len(uids), UIDS_AT_ONCE):
            some = uids[start : start + UIDS_AT_ONCE]
            ask = partial(Ledger.unkept, mailbox=mailbox.folder, uidvalidity=mailbox.uidvalidity, uids=some)
            found += self._ledger(ask)
        return found

    @staticmethod
    def _received_before(mailbox: Mailbox, uids: Sequence[int], start: datetime | None) -> set[int]:
        if start is None:
            return set()
        dated = (one for some in _slices(uids) for one in mailbox.headers_of(some))
        return {one.uid for one in dated if one.received_at and one.received_at < start}

    def _rows(self, mailbox: Mailbox, uids: Sequence[int], why: dict[int, str]) -> list[Row]:
        heads = _heads(mailbox, uids)
        return [_row(mailbox.folder, uid, heads.get(uid), why[uid]) for uid in uids]

    def _gone(self, mailbox: Mailbox, report: Report) -> None:
        """Rows whose mail is no longer in the inbox, and where it lies now."""
        folder, present = mailbox.folder, set(mailbox.uids_after(0))
        kept = self._ledger(lambda ledger: ledger.kept(folder, mailbox.uidvalidity))
        gone = [one for one in kept if one.uid not in present]
        if not gone:
            return
        places = self._places(mailbox, min(one.received_at for one in gone))
        report.missing_mails = [
            Row(folder, one.uid, self._whereabouts(one, places), one.message_id, one.sender or "", one.subject or "")
            for one in gone
        ]

    def _whereabouts(self, mail: Kept, places: dict[str, str]) -> str:
        if place := places.get(mail.message_id or ""):
            return f'moved to "{place}"'
        if self.reading.move_to:
            return f'moved to "{self.reading.move_to}" once it was kept (imap.move_to), or from there by a person'
        return "removed, or moved by a person"

    def _places(self, mailbox: Mailbox, since: datetime) -> dict[str, str]:
        """By Message-ID the folder in which a mail lies now."""
        inbox, places = mailbox.folder, dict[str, str]()
        for folder in mailbox.places():
            if folder.casefold() != inbox.casefold():
                for _, mail in self._latest(
                    mailbox, folder, since - timedelta(days=1), ("MESSAGE-ID",), LOOKED_THROUGH
                ):
                    places.setdefault(mail.message_id, folder)
        return places

    def _latest(
        self, mailbox: Mailbox, folder: str, since: datetime, fields: Sequence[str] = FIELDS, at_most: int = ALL
    ) -> list[tuple[int, Mail]]:
        """UID and header of the latest mails of a folder; none of one that cannot be opened."""
        try:
            mailbox.examine(folder)
        except Trouble as trouble:
            if trouble.kind != "folder":
                raise
            return []
        uids = mailbox.uids_since(local_day(since, self.reading.zone))[-at_most:]
        return list(_heads(mailbox, uids, fields).items())

    # -- after a restore -------------------------------------------------------------------------------------------

    def _fetch_lost(self, mailbox: Mailbox, lost: LostTime) -> int:
        """Everything that the mailbox has of the lost time, as raw mail. Returns how many mails came to the inbox."""
        inbox = mailbox.folder
        ask = partial(Ledger.arrived_since, mailbox=inbox, uidvalidity=mailbox.uidvalidity, uidnext=next_uid(mailbox))
        self._patiently(lambda: self.receiver.catch_up(mailbox))
        if self.reading.move_to:
            self._fetch_moved(mailbox, lost)
        if sent := self.sent:
            try:
                self.to_sent(mailbox)
                uids = mailbox.uids_since(local_day(lost.begin - SLACK, self.reading.zone))
                self._patiently(lambda: sent.fetch(mailbox, self._unkept(mailbox, uids)))
            except NoSentFolder as absent:
                log.warning("%s; what was sent in the lost time is not proved", absent)
        mailbox.examine(inbox)
        return self._ledger(ask)

    def _fetch_moved(self, mailbox: Mailbox, lost: LostTime) -> None:
        """What the lost desk had moved away from the inbox."""
        folder = self.reading.move_to
        unknown = self._unknown(self._latest(mailbox, folder, lost.begin - SLACK))
        fetcher, cursor = Fetcher(self.reading.max_bytes, self.clock), Cursor(mailbox.uidvalidity, 0, lost.begin)

        def fetch() -> None:
            for envelopes in fetcher.batches(mailbox, [uid for uid, _ in unknown]):
                mails = fetcher.mails(mailbox, envelopes)
                self.books.do_now(partial(self._keep, folder=folder, cursor=cursor, mails=mails))

        self._patiently(fetch)

    def _patiently(self, fetch: Callable[[], object]) -> None:
        """Again and again, so that the fetcher sets apart what the server names and does not hand out: one such mail
        must not hold the desk for ever."""
        for _ in range(WITHHELD_TRIES):
            try:
                fetch()
            except Trouble as trouble:
                if trouble.kind != "withheld":
                    raise
                time.sleep(self.pause)
            else:
                return
        fetch()

    def _keep(self, store: Store, folder: str, cursor: Cursor, mails: list[RawMail]) -> None:
        with store.transaction():
            store.store_mail(folder, cursor, mails, 0, self.clock())

    def _unknown(self, mails: Sequence[tuple[int, Mail]]) -> list[tuple[int, Mail]]:
        said = [mail.message_id for _, mail in mails]
        known = self._ledger(lambda ledger: ledger.known_mails(said))
        return [(uid, mail) for uid, mail in mails if mail.message_id not in known]

    def _elsewhere(self, mailbox: Mailbox, lost: LostTime) -> list[Row]:
        """Mail of the lost time that somebody has put into a folder which the desk does not read: never handled by
        itself, for a rule may sort there what was never the desk's."""
        inbox, ours = mailbox.folder, {mailbox.folder.casefold(), self.reading.move_to.casefold()}
        beside = {mailbox.sent_folder(), mailbox.junk_folder()}
        rows = []
        for folder in mailbox.places():
            if folder.casefold() not in ours and folder not in beside:
                found = self._unknown(self._latest(mailbox, folder, lost.begin))
                rows += [_row(folder, uid, mail, ASIDE) for uid, mail in found if not carried_by(mail)]
        mailbox.examine(inbox)
        return rows

    # -- letters and the junk folder -------------------------------------------------------------------------------

    def _confirm(self, mailbox: Mailbox, since: datetime) -> int:
        """Letters written since an instant that may or may not have gone, and lie in the Sent folder, did go."""
        letters = {one["token"]: one for one in self._ledger(partial(Ledger.uncertain, since=since))}
        if not letters:
            return 0
        oldest = min(one["created_at"] for one in letters.values())
        copies: dict[str, int] = {}
        for uid, mail in self._latest(mailbox, mailbox.folder, oldest - timedelta(days=1), CARRIERS, LOOKED_THROUGH):
            copies |= {token: uid for token in carried_by(mail) if token in letters and token not in copies}
        dates = {
            one.uid: one.received_at for some in _slices(sorted(copies.values())) for one in mailbox.headers_of(some)
        }
        now = self.clock()

        def note(store: Store) -> None:
            with store.transaction():
                for token, uid in copies.items():
                    Ledger(store).went(letters[token], dates.get(uid) or now, now)

        self.books.do_now(note)
        return len(copies)

    def _junk(self, mailbox: Mailbox) -> list[Row]:
        """Mail that the server took for spam and that may be a customer's. It is never handled by itself."""
        folder = mailbox.junk_folder()
        if folder is None or folder.casefold() == self.reading.folder.casefold():
            return []
        mails = self._unknown(self._latest(mailbox, folder, self.clock() - JUNK_DAYS, at_most=JUNK_SHOWN))
        return [_row(folder, uid, mail, why) for uid, mail in mails if (why := self._ledger(self._of_customer(mail)))]

    def _of_customer(self, mail: Mail) -> Callable[[Ledger], str]:
        def why(ledger: Ledger) -> str:
            if carried_by(mail) and mail.sender and mail.sender.address in self.policy.office.addresses:
                return OURS  # a probe of the heartbeat: mail to the office goes astray
            known = ledger.store.known_ids(thread_ids(mail))
            if known or any(map(token_in, thread_ids(mail))):
                return "junk folder, not read: it answers a letter of ours"
            named = find_references(mail.subject, self.policy.reference_prefix)
            if any(ledger.store.ticket(reference) for reference in named):
                return "junk folder, not read: it names a case"
            if mail.sender and ledger.customers([mail.sender.address]):
                return "junk folder, not read: a customer wrote it"
            return MAYBE if mail.sender and screen(mail, self.policy).verdict is Verdict.PERSON else ""

        return why

    def _ledger(self, ask: Callable[[Ledger], Answer]) -> Answer:
        return self.books.do_now(lambda store: ask(Ledger(store)))


def _slices(uids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (uids[start : start + HEADERS_AT_ONCE] for start in range(0, len(uids), HEADERS_AT_ONCE))


def _heads(mailbox: Mailbox, uids: Sequence[int], fields: Sequence[str] = FIELDS) -> dict[int, Mail]:
    """The headers of mails that are still there, by UID."""
    found = (pair for some in _slices(uids) for pair in mailbox.header_fields(some, fields).items())
    return {uid: mime_parser.parse(header) for uid, header in sorted(found)}


def _row(folder: str, uid: int, mail: Mail | None, why: str) -> Row:
    if mail is None:
        return Row(folder, uid, why)
    own = None if is_synthetic_id(mail.message_id) else mail.message_id
    return Row(folder, uid, why, own, mail.sender.address if mail.sender else "", mail.subject)


def _words(count: int, what: str) -> str:
    return f"{count} mail{'s' if count > 1 else ''} {what}" if count else ""


@dataclass
class DailyLook:
    """Takes the look of the day by itself, in the quiet of the night or as soon as the desk is open, on a connection of
    its own: nothing that is wrong with it can hold up the inbox."""

    reconciliation: Reconciliation
    _stop: threading.Event = field(default_factory=threading.Event)
    _not_before: datetime | None = None

    def run(self, may_look: Callable[[], bool]) -> None:
        """Until `stop`. `may_look`: has the inbox been read since the start?"""
        weather = self.reconciliation.books.weather
        while not self._stop.wait(EVERY):
            try:
                if may_look():
                    self.look()
                    weather.good("looks")
            except StoreProblem:
                raise
            except Exception as error:  # a bug here must not close the desk
                if words := weather_in(error):
                    weather.bad("looks", words)
                    continue
                log.exception("comparing the mailbox with the store broke")
                self._not_before = self.reconciliation.clock() + PATIENCE

    def look(self) -> None:
        """If it is time. What fails is tried again later: the inbox has its own way of telling that it is ill."""
        now = self.reconciliation.clock()
        if self._not_before and now < self._not_before <= now + PATIENCE:
            return
        if not self.reconciliation.books.do_now(partial(self._is_due, now=now)):
            return
        try:
            self.reconciliation.daily()
            self._not_before = None
        except Trouble as trouble:
            self._not_before = now + PATIENCE
            if not self._stop.is_set():
                log.warning("the mailbox was not compared with the store: %s", trouble)

    def _is_due(self, store: Store, now: datetime) -> bool:
        """Not on the first day: what was in the mailbox before us is nobody's loss. Not between a restore and its
        `reconcile`."""
        local = now.astimezone(self.reconciliation.reading.zone)
        today, last = local.date().isoformat(), store.fact(LOOKED_ON)
        if last is None:
            with store.transaction():
                store.set_fact(LOOKED_ON, today)
        if last in (None, today) or local.time() < QUIET or Ledger(store).held():
            return False
        return self.reconciliation.receiver.standing.wait_until(store, now) is None  # else nobody knocks for this

    def stop(self) -> None:
        """From another thread: ends `run` soon."""
        self._stop.set()
        self.reconciliation.abort()
