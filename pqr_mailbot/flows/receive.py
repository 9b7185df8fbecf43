"""Mailbox to inbound rows: fetch everything above the cursor, keep it raw, only then wait or touch the server.

Order on one connection (design section 2): fetch, then IDLE; whatever IDLE says, search again before waiting again, so
that no race between the two can hide a mail; and the poll runs while IDLE is up. `\\Seen` is never a queue: people read
the mailbox too. The store moves the cursor in the transaction that keeps the mail, so a crash anywhere repeats a fetch
and loses nothing.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from time import monotonic
from zoneinfo import ZoneInfo

from pqr_mailbot.adapters import memory
from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.imap_mailbox import Envelope, Mailbox
from pqr_mailbot.adapters.sqlite_store import Cursor, RawMail, Store, instant, stamp
from pqr_mailbot.domain.backoff import provider_delay
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.fetching import AT_ONCE, Fetcher, counts_again, next_uid
from pqr_mailbot.flows.providers import Standing
from pqr_mailbot.flows.weather import weather_in

WINDOW = 60.0  # seconds of IDLE before it is renewed; a dead link is noticed within it (RFC 2177 allows 29 minutes)
MIGRATION_GAP = timedelta(days=2)  # unknown mail this much older than our start, or than the last good fetch before
# the server renumbered the mailbox, is old mail shown again. Days, not hours: clocks may be wrong by hours.
HANDLED_WITHIN = 30.0  # seconds for which a large mail waits until those before it are handled
BRIEF = timedelta(minutes=2)  # a session that breaks within it
VAIN_NEWS = 3  # times in a row that a server may tell of mail that is not there before we listen less often
MOVE_PROBLEM = "move_problem"  # the fact under which a failing MOVE is remembered for `status`

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the mailbox is read: settings in plain values."""

    folder: str
    move_to: str
    start_from: date | None  # None: from the first successful round on
    poll_seconds: float
    max_bytes: int
    zone: ZoneInfo


@dataclass
class Receiver:
    """Reads one mailbox. `open_mailbox` connects and selects; `on_mail` is called after mail was kept, `on_fetch` after
    every fetch that succeeded. When `login` changes, another access token is at hand, and a new session begins with it
    before the server ends the old one."""

    books: Books
    open_mailbox: Callable[[], Mailbox]
    standing: Standing
    reading: Reading
    clock: Callable[[], datetime]
    on_mail: Callable[[], None] = lambda: None
    on_fetch: Callable[[], None] = lambda: None
    login: Callable[[], int] = lambda: 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _mailbox: Mailbox | None = None
    _beside_handling: bool = False  # others handle what is kept, while we fetch
    _brief: int = 0  # sessions in a row that soon broke
    _unmoved: bool = False  # mail that is kept lies in the folder still: it could not be moved
    _fetcher: Fetcher = field(init=False)

    def __post_init__(self) -> None:
        self._fetcher = Fetcher(self.reading.max_bytes, self.clock)

    # -- the daemon's thread ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until `stop`: sessions, each rebuilt after any trouble, with the back-off that the store remembers."""
        self._beside_handling = True
        while not self._stop.is_set():
            try:
                self._turn()
            except (sqlite3.OperationalError, OSError) as error:  # nothing was taken from the server
                if not (words := weather_in(error)):
                    raise
                self._stop.wait(self.books.weather.bad("mailbox", words))

    def _turn(self) -> None:
        """One session, or a piece of the waiting for the next."""
        now = self.clock()
        until = self.books.do_now(partial(self.standing.wait_until, now=now))
        if until is not None:
            self._stop.wait(min(5.0, max(0.1, (until - now).total_seconds())))
            return
        try:
            self._session()
        except Trouble as trouble:
            if not self._stop.is_set():
                self._failed(trouble, self._pause(self.clock() - now))

    def _pause(self, lasted: timedelta) -> timedelta:
        """How long to wait at least after a session that broke: a server that lets us in, and hangs up as soon as we
        listen, is looked into as often as one without IDLE, not every two seconds."""
        self._brief = self._brief + 1 if lasted < BRIEF else 1
        poll = timedelta(seconds=self.reading.poll_seconds)
        return min(poll, provider_delay(self._brief, False, random.random()))  # noqa: S311  # jitter, not a secret

    def once(self) -> None:
        """One whole fetch. Raises Trouble after remembering it."""
        try:
            with self._opened() as mailbox:
                self.catch_up(mailbox)
        except Trouble as trouble:
            self._failed(trouble)
            raise

    def stop(self) -> None:
        """From another thread: ends `run` within a second or so, with nothing half done."""
        self._stop.set()
        if self._mailbox:
            self._mailbox.wake()

    def _session(self) -> None:
        """Looks whenever the server tells of mail, at least once a window. After a window without news the folder is
        opened anew: a server goes on showing a renamed one, which gets no mail any more."""
        window, told, vain = min(self.reading.poll_seconds, WINDOW), False, 0
        with self._opened() as mailbox:
            login = self.login()
            while not self._stop.is_set() and self.login() == login:
                found = self.catch_up(mailbox)
                vain = vain + 1 if told and not found else 0
                if vain > VAIN_NEWS:  # else a server that tells of mail and has none would be asked without a pause
                    self._stop.wait(min(window, 2.0 ** min(vain - VAIN_NEWS, 10)))
                told = mailbox.wait(window, self._stop.is_set)
                if not told and not self._stop.is_set():
                    mailbox.reopen()
                    self._notice_a_restore(mailbox)
                    if self._unmoved:
                        self._redo_moves(mailbox)

    @contextmanager
    def _opened(self) -> Iterator[Mailbox]:
        mailbox = self._mailbox = self.open_mailbox()
        try:
            self._notice_a_restore(mailbox)
            self._redo_moves(mailbox)
            yield mailbox
        finally:
            self._mailbox = None
            mailbox.close()

    def _notice_a_restore(self, mailbox: Mailbox) -> None:
        """A mailbox that its provider restored from a backup counts on from there: UIDs come a second time, under the
        same UIDVALIDITY, and new mail under them would never be seen."""
        folder, now = self.reading.folder, self.clock()
        cursor = self.books.do_now(lambda store: store.cursor(folder))
        if cursor is None or not counts_again(mailbox, cursor) or mailbox.uids_after(cursor.last_uid - 1):
            return
        log.warning("the server counts again from UID %d: reading the mailbox anew, with suspicion", mailbox.uidnext)

        def begin_anew(store: Store) -> None:
            with store.transaction():
                store.free_numbers(folder, mailbox.uidvalidity)
                store.renumber_mailbox(folder, mailbox.uidvalidity, next_uid(mailbox), now)

        self.books.do_now(begin_anew)

    def _failed(self, trouble: Trouble, at_least: timedelta = timedelta()) -> None:
        def note(store: Store) -> None:
            with store.transaction():
                self.standing.failed(store, trouble, self.clock(), at_least)

        self.books.do_now(note)
        self.books.weather.good("mailbox")

    # -- one fetch -------------------------------------------------------------------------------------------------

    def catch_up(self, mailbox: Mailbox) -> bool:
        """Keeps everything above the cursor, in batches that each move the cursor; True when there was something."""
        cursor, start = self._aligned(mailbox)
        uids = mailbox.uids_after(cursor.last_uid)
        self._take(mailbox, uids, cursor, start)
        self._well(cursor)
        self.on_fetch()
        return bool(uids)

    def fetch(self, mailbox: Mailbox, uids: Sequence[int]) -> None:
        """Keeps these mails too, wherever the cursor stands: a server may show one late, below what was read."""
        cursor, start = self._aligned(mailbox)
        self._take(mailbox, uids, cursor, start)

    def _take(self, mailbox: Mailbox, uids: Sequence[int], cursor: Cursor, start: datetime) -> None:
        for envelopes in self._fetcher.batches(mailbox, uids):
            large = envelopes[-1].size > AT_ONCE
            if large and self._beside_handling:
                self._until_handled()
            self._move(mailbox, self._take_some(mailbox, envelopes, cursor, start))
            if large:
                memory.trim()

    def _until_handled(self) -> None:
        """Before a large mail: what came before it is handled first, for both at once need twice the memory. Not waited
        for long: handling may be held up."""
        end = monotonic() + HANDLED_WITHIN
        while self.books.do_now(lambda store: store.waiting_ids(1)) and monotonic() < end:
            if self._stop.wait(0.1):
                return

    def _take_some(self, mailbox: Mailbox, envelopes: Sequence[Envelope], cursor: Cursor, start: datetime) -> list[int]:
        """One batch into the store; the UIDs of what is here now. A large mail is let go of before the next is read."""
        wanted = [e for e in envelopes if not self._left_alone(e, cursor, start)]
        mails = self._fetcher.mails(mailbox, wanted, lambda e: self._suspect_before(e, cursor, start))
        self._keep(cursor, mails, envelopes[-1].uid)
        return [mail.uid for mail in mails]

    def _aligned(self, mailbox: Mailbox) -> tuple[Cursor, datetime]:
        """The cursor in the numbering the server uses now, and the instant our reading begins."""
        folder, now = self.reading.folder, self.clock()

        def align(store: Store) -> tuple[Cursor, datetime] | None:
            cursor, start = store.cursor(folder), store.fact(start_fact(folder))
            if cursor is None or start is None:
                return None
            begin = instant(start)
            if begin > now and self.reading.start_from is None:
                begin = now  # the clock was ahead then: by it every mail would be an old one
                with store.transaction():
                    store.set_fact(start_fact(folder), stamp(begin))
            if cursor.uidvalidity != mailbox.uidvalidity:
                log.warning("the server renumbered the mailbox (UIDVALIDITY): reading it anew, with suspicion")
                with store.transaction():
                    store.renumber_mailbox(folder, mailbox.uidvalidity, next_uid(mailbox), now)
                cursor = store.cursor(folder)
                assert cursor
            return cursor, begin

        aligned = self.books.do_now(align)
        return aligned or self._first_time(mailbox, now)

    def _first_time(self, mailbox: Mailbox, now: datetime) -> tuple[Cursor, datetime]:
        """What was there before us is left alone."""
        folder, begin, last = self.reading.folder, now, next_uid(mailbox) - 1
        if self.reading.start_from:
            begin = datetime.combine(self.reading.start_from, time(), self.reading.zone).astimezone(UTC)
            since = mailbox.uids_since(self.reading.start_from - timedelta(days=1))  # SEARCH ignores zones
            last = min(since) - 1 if since else last

        def start(store: Store) -> Cursor:
            with store.transaction():
                store.begin_mailbox(folder, mailbox.uidvalidity, last, now)
                store.set_fact(start_fact(folder), stamp(begin))
            cursor = store.cursor(folder)
            assert cursor
            return cursor

        log.info("reading the mailbox for the first time, above UID %d", last)
        return self.books.do_now(start), begin

    def _left_alone(self, envelope: Envelope, cursor: Cursor, start: datetime) -> bool:
        """Mail received before our start: when the admin named a day, or when a renumbering shows all of it again."""
        second = start.replace(microsecond=0)  # INTERNALDATE knows no parts of one
        if envelope.received_at is None or envelope.received_at >= second:
            return False
        return self.reading.start_from is not None or envelope.uid < cursor.renumbered_below

    def _suspect_before(self, envelope: Envelope, cursor: Cursor, start: datetime) -> datetime | None:
        """With any date before this, the mail is old mail shown again and must not be answered."""
        if cursor.renumbered_after and envelope.uid < cursor.renumbered_below:
            return cursor.renumbered_after - MIGRATION_GAP
        if envelope.received_at and envelope.received_at < start - MIGRATION_GAP:  # moved in by a person's hand
            return start - MIGRATION_GAP
        return None

    def _keep(self, cursor: Cursor, mails: Sequence[RawMail], last_uid: int) -> None:
        def keep(store: Store) -> int:
            with store.transaction():
                return store.store_mail(self.reading.folder, cursor, mails, last_uid, self.clock())

        if self.books.do_now(keep):
            self.on_mail()

    def _well(self, cursor: Cursor) -> None:
        """A fetch that succeeded, whether or not it found mail. The cursor stays at the last mail that was seen: what a
        server names and never shows may be a slip of its."""

        def well(store: Store) -> None:
            with store.transaction():
                store.store_mail(self.reading.folder, cursor, [], cursor.last_uid, self.clock())
                self.standing.well(store, self.clock())

        self.books.do_now(well)
        self.books.weather.good("mailbox")

    # -- MOVE ------------------------------------------------------------------------------------------------------

    def _redo_moves(self, mailbox: Mailbox) -> None:
        """Moves what a crash left behind: mail that is safely here and still in the folder."""
        if not self.reading.move_to:
            return
        cursor = self.books.do_now(lambda store: store.cursor(self.reading.folder))
        if cursor and cursor.uidvalidity == mailbox.uidvalidity:
            present = mailbox.present(cursor.last_uid)
            kept = self.books.do_now(lambda store: store.stored_uids(self.reading.folder, cursor.uidvalidity, present))
            self._move(mailbox, kept)

    def _move(self, mailbox: Mailbox, uids: Sequence[int]) -> None:
        """A folder that cannot be moved to is a problem for `status`, never a reason to stop reading mail."""
        if not self.reading.move_to or not uids:
            return
        problem = ""
        try:
            mailbox.move(list(uids), self.reading.move_to)
        except Trouble as trouble:
            if trouble.kind != "folder":
                raise
            problem = str(trouble)
            log.warning("%s", problem)
        self._unmoved = bool(problem)

        def note(store: Store) -> None:
            if (store.fact(MOVE_PROBLEM) or "") != problem:
                with store.transaction():
                    store.set_fact(MOVE_PROBLEM, problem)

        self.books.do_now(note)


def start_fact(folder: str) -> str:
    """The fact under which the instant is remembered from which on a folder's mail is ours to read."""
    return f"start:{folder}"
