"""The Sent folder to inbound rows: what people write straight from the shared mailbox is seen.

It has a thread and a connection of its own, so that nothing that is wrong with this folder can hold up the inbox: that
one waits in IDLE on its own link and never learns of it. The folder is looked at after each good fetch of the inbox, at
least once a poll; while the inbox cannot be read nobody knocks for this. Reading begins at its UIDNEXT: nothing older
is ever read, and a folder that the server has renumbered begins anew, for an answer must not count twice.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.imap_mailbox import Mailbox
from pqr_mailbot.adapters.sqlite_store import Cursor, RawMail, Store, StoreProblem
from pqr_mailbot.domain.backoff import LONGEST_DELAY, provider_delay
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.fetching import Fetcher, counts_again, next_uid
from pqr_mailbot.flows.weather import weather_in

SENT_PROBLEM = "sent_problem"  # the facts under which `status` finds what is wrong with the folder,
SENT_ABSENT = "sent_absent"  # and that there is none

log = logging.getLogger(__name__)


class NoSentFolder(Exception):
    """None was named and none was found; the text says what to do. Many a mailbox needs none."""


@dataclass
class SentWatch:
    """Reads the Sent folder. `open_mailbox` connects and opens it for reading only; `on_mail` is called after mail was
    kept."""

    books: Books
    open_mailbox: Callable[[], Mailbox]
    max_bytes: int
    clock: Callable[[], datetime]
    on_mail: Callable[[], None] = lambda: None
    _told: threading.Event = field(default_factory=threading.Event)
    _stopping: bool = False
    _mailbox: Mailbox | None = None  # kept from look to look
    _failures: int = 0
    _not_before: datetime | None = None  # after a failure
    _said: str | None = None  # of what kind the trouble is that was told last; "": none
    _fetcher: Fetcher = field(init=False)

    def __post_init__(self) -> None:
        self._fetcher = Fetcher(self.max_bytes, self.clock)

    # -- the daemon's thread ---------------------------------------------------------------------------------------

    def tell(self) -> None:
        """From any thread: it is time to look."""
        self._told.set()

    def run(self) -> None:
        """A look each time it is told to, until `stop`."""
        while self._told.wait() and not self._stopping:
            self._told.clear()
            try:
                self.look()
                self.books.weather.good("sent")
            except StoreProblem:
                raise
            except Exception as error:  # a bug here must not close the desk: the inbox is read all the same
                if words := weather_in(error):  # the cursor stands where it stood
                    self.books.weather.bad("sent", words)
                    continue
                log.exception("looking at the Sent folder broke")
                self._failed("broken", "looking at the Sent folder broke (the log says where)")
        self.close()

    def stop(self) -> None:
        """From another thread: ends `run` soon, with nothing half done."""
        self._stopping = True
        self._told.set()
        if mailbox := self._mailbox:
            mailbox.abort()

    def close(self) -> None:
        """Lets go of the connection."""
        mailbox, self._mailbox = self._mailbox, None
        if mailbox:
            mailbox.close()

    # -- one look --------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Keeps what is new. What is wrong with the folder becomes a fact for `status`, and is tried again later."""
        if self._not_before and self.clock() < self._not_before <= self.clock() + LONGEST_DELAY:
            return  # further off than any back-off: the clock was wrong then
        try:
            self._catch_up()
        except NoSentFolder as absent:
            self._failed("absent", absent=str(absent))
        except Trouble as trouble:
            self._failed(trouble.kind, f"the Sent folder cannot be read: {trouble}")
        else:
            self._failures, self._not_before = 0, None
            self._note("")

    def look_once(self) -> None:
        """A look that leaves no connection behind."""
        try:
            self.look()
        finally:
            self.close()

    def _catch_up(self) -> None:
        mailbox = self._opened()
        self.fetch(mailbox, mailbox.uids_after(self._aligned(mailbox).last_uid))

    def fetch(self, mailbox: Mailbox, uids: Sequence[int]) -> None:
        """Keeps these mails of the folder that is open."""
        cursor = self._aligned(mailbox)
        for envelopes in self._fetcher.batches(mailbox, uids):
            self._keep(mailbox.folder, cursor, self._fetcher.mails(mailbox, envelopes), envelopes[-1].uid)

    def _opened(self) -> Mailbox:
        """The folder as it is now. A link that died since the last look is nothing to speak of: another is made."""
        if self._mailbox:
            try:
                self._mailbox.examine(self._mailbox.folder)
            except Trouble:
                self.close()
        self._mailbox = self._mailbox or self.open_mailbox()
        return self._mailbox

    def _aligned(self, mailbox: Mailbox) -> Cursor:
        """The cursor; at first sight of the folder, or of its new numbering, just below what comes next."""
        if known := self.books.do_now(lambda store: self._known(store, mailbox)):
            return known
        now, last = self.clock(), next_uid(mailbox) - 1

        def begin(store: Store) -> Cursor:
            with store.transaction():
                store.free_numbers(mailbox.folder, mailbox.uidvalidity)
                store.begin_mailbox(mailbox.folder, mailbox.uidvalidity, last, now)
            cursor = store.cursor(mailbox.folder)
            assert cursor
            return cursor

        log.info("watching the Sent folder, above UID %d", last)
        return self.books.do_now(begin)

    def _known(self, store: Store, mailbox: Mailbox) -> Cursor | None:
        cursor = store.cursor(mailbox.folder)
        if cursor and (cursor.uidvalidity != mailbox.uidvalidity or counts_again(mailbox, cursor)):
            log.warning("the server renumbered the Sent folder: what is in it now is left alone")
            return None
        return cursor

    def _keep(self, folder: str, cursor: Cursor, mails: list[RawMail], last_uid: int) -> None:
        def keep(store: Store) -> int:
            with store.transaction():
                return store.store_mail(folder, cursor, mails, last_uid, self.clock(), "sent")

        if self.books.do_now(keep):
            self.on_mail()

    # -- what is wrong ---------------------------------------------------------------------------------------------

    def _failed(self, kind: str, problem: str = "", absent: str = "") -> None:
        self.close()
        if self._stopping:
            return
        self._failures += 1
        delay = provider_delay(self._failures, kind == "login", random.random())  # noqa: S311  # jitter, not a secret
        self._not_before = self.clock() + delay
        self._note(kind, problem, absent)

    def _note(self, kind: str, problem: str = "", absent: str = "") -> None:
        """Told once, however often it happens: servers put the time it took into what they say."""
        if kind == self._said:
            return

        def note(store: Store) -> None:
            with store.transaction():
                store.set_fact(SENT_PROBLEM, problem)
                store.set_fact(SENT_ABSENT, absent)

        self.books.do_now(note)
        self._said = kind
        if said := problem or absent:
            log.warning("%s", said)


def forget(store: Store) -> None:
    """The folder is not watched any more: nothing is wrong with it."""
    for name in (SENT_PROBLEM, SENT_ABSENT):
        if store.fact(name):
            with store.transaction():
                store.set_fact(name, "")
