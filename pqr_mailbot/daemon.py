"""Runs the desk: loops that wake each other, one thread for the store, signals and systemd.

The receiver's thread keeps raw mail, and another what it finds in the Sent folder; `_handle` decides it on the books'
thread, `_deliver` sends. APScheduler only says "look now"; the database is the schedule.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from pqr_mailbot import wiring
from pqr_mailbot.adapters import systemd
from pqr_mailbot.adapters.alarm_command import AlarmCommand
from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.smtp_mailer import Mailer, Outcome
from pqr_mailbot.adapters.sqlite_ledger import Ledger
from pqr_mailbot.adapters.sqlite_store import DueLetter, Store, StoreProblem, only_daemon
from pqr_mailbot.config import Settings
from pqr_mailbot.flows import token_source
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.clock import ClockRound
from pqr_mailbot.flows.deliver import Delivery
from pqr_mailbot.flows.handle import Handler
from pqr_mailbot.flows.heartbeat import Heartbeat
from pqr_mailbot.flows.receive import Receiver
from pqr_mailbot.flows.reconcile import DailyLook
from pqr_mailbot.flows.refused import Refusals
from pqr_mailbot.flows.token_source import TokenSource
from pqr_mailbot.flows.watch_health import HealthWatch, tell_of_the_end
from pqr_mailbot.flows.watch_sent import SentWatch, forget
from pqr_mailbot.flows.weather import weather_in

LOOK_SECONDS = 1.0  # a command beside the daemon is acted on within two seconds (contract)
WATCH_SECONDS = 2.0  # between two looks at the desk's health
PATIENCE = timedelta(minutes=15)  # for which the clock waits for the first look into the mailbox
NOTE_TRIES = 12  # of a single round to note what became of its letters, about a minute in all
DRAIN_SECONDS = 10.0  # how long letters under way may take at the end

Clock = Callable[[], datetime]
log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The only clock of the program; everything else is handed its time."""
    return datetime.now(UTC)


class Daemon:
    """The desk at work on one store, alone. Make it, `run` it or do one `round`, and `close` it in any case."""

    def __init__(self, settings: Settings, secrets: wiring.Secrets, clock: Clock = utc_now) -> None:
        """Opens the store and everything else that needs no network. Raises StoreProblem, ConfigError."""
        self._clock = clock
        self._resources = ExitStack()
        with ExitStack() as undo:
            undo.callback(self._resources.close)
            self._lock = self._resources.enter_context(only_daemon(settings.store.path))
            self._command = AlarmCommand(settings.admin.command)
            try:
                self._wire(settings, secrets)
            except (StoreProblem, sqlite3.Error) as error:
                asyncio.run(tell_of_the_end(self._lock, self._command, error))
                raise
            undo.pop_all()

    def _wire(self, settings: Settings, secrets: wiring.Secrets) -> None:
        clock, desk = self._clock, wiring.desk_of(settings)
        lexicon, letters = wiring.lexicon_of(settings), wiring.proven_letters_of(settings)
        self.books = Books(lambda: Store.open(settings.store.path, clock()), self._lock.write)
        self._lock.write("")
        self._resources.callback(self.books.close)
        self.books.do_now(self._recover)
        suspects = self.books.do_now(lambda store: store.last_inbound_id())
        self._wired = partial(Handler, desk=desk, lexicon=lexicon, letters=letters, suspects_until=suspects)
        if moved := self.books.do_now(lambda store: ClockRound(self._handler(store)).adopt_rules(clock())):
            log.warning("%d deadlines moved: the calendar or the terms have changed", moved)
        self.source = self._token_source(settings, secrets)
        tokens = self.source.token if self.source else None
        self.receiver = Receiver(
            books=self.books,
            open_mailbox=partial(wiring.open_mailbox, settings, secrets, tokens),
            standing=wiring.imap_standing(settings, secrets),
            reading=wiring.reading_of(settings),
            clock=clock,
            login=lambda: self.source.serial if self.source else 0,
        )
        self.sent = self._sent_watch(settings, secrets, tokens)
        self.looks = DailyLook(wiring.reconciliation_of(settings, secrets, self.books, clock, tokens))
        self._new_mailer = partial(wiring.mailer_of, settings, secrets, tokens)
        self._smtp = wiring.smtp_standing(settings, secrets)
        self._width = settings.smtp.max_connections
        self.health = HealthWatch(self.books, self._handler, self._command, settings.expected(), clock, self._lock)
        self._broken: Exception | None = None  # what a thread ended of
        self._caught_up, self._opened_at = False, clock()
        self._stopping, self._mail, self._letters = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def _token_source(self, settings: Settings, secrets: wiring.Secrets) -> TokenSource | None:
        source = wiring.token_source(settings, secrets, self.books, self._clock)
        if source:
            self._resources.callback(source.close)
        else:
            self.books.do_now(token_source.forget)
        return source

    def _sent_watch(
        self, settings: Settings, secrets: wiring.Secrets, tokens: token_source.Tokens | None
    ) -> SentWatch | None:
        if not settings.imap.sent_folder:
            self.books.do_now(forget)
            return None
        return SentWatch(
            books=self.books,
            open_mailbox=partial(wiring.sent_mailbox, settings, secrets, tokens),
            max_bytes=settings.limits.max_message_bytes,
            clock=self._clock,
        )

    def _recover(self, store: Store) -> None:
        with store.transaction():
            interrupted = store.requeue_interrupted(self._clock())
        if held := Ledger(store).held():
            log.warning("%s", held)
        if interrupted:
            log.warning("%d letters were under way when the program last ended; they go again", interrupted)

    def stop(self) -> None:
        """Ends `run`, from the event loop."""
        self._stopping.set()

    def close(self) -> None:
        """Finishes the store's work and lets go of it."""
        self._resources.close()

    # -- one round -------------------------------------------------------------------------------------------------

    async def round(self) -> list[str]:
        """Fetch all, handle all, deliver all that is due. Returns what could not be done for want of a server."""
        problems = await self.books.do(lambda store: [held] if (held := Ledger(store).held()) else [])
        if self.source:
            self.source.in_haste = True
        try:
            await self._fetch_in_haste()
        except Trouble as trouble:
            problems.append(f"imap: {trouble}")
        else:
            await asyncio.to_thread(self.looks.look)
        await self.handle_all()
        await self.books.do(self._clock_round)
        if (problem := await self._deliver_in_haste()) is not None:
            problems.append(f"smtp: {problem}")
        return problems

    async def _fetch_in_haste(self) -> None:
        standing = self.receiver.standing
        if until := await self.books.do(lambda store: standing.wait_until(store, self._clock(), in_haste=True)):
            raise Trouble("login", f"the login was refused; not tried again before {until:%Y-%m-%d %H:%M} UTC")
        await asyncio.to_thread(self.receiver.once)
        if self.sent:
            await asyncio.to_thread(self.sent.look_once)

    async def handle_all(self) -> None:
        """Handles every mail that waits."""
        while await self.books.do(self._handle_some):
            pass

    def _handle_some(self, store: Store) -> bool:
        """One batch; False when no mail waits. Raises StoreProblem when the store's file is no longer ours."""
        store.must_be_in_place()
        if Ledger(store).held():
            return False
        return self._handler(store).round(self._clock) > 0

    def _handler(self, store: Store) -> Handler:
        """With the keys of this moment: an admin may have made a new one."""
        return self._wired(store, signer=store.signer())

    def _clock_round(self, store: Store) -> bool:
        """What is due by itself; True when there was something."""
        if Ledger(store).held():
            return False
        return ClockRound(self._handler(store)).run(self._clock()) > 0

    async def _deliver_in_haste(self) -> str | None:
        if until := await self.books.do(lambda store: self._smtp.wait_until(store, self._clock(), in_haste=True)):
            return f"the login was refused; not tried again before {until:%Y-%m-%d %H:%M} UTC"
        if not await self._deliver_all(self._new_mailer()):
            return await self.books.do(lambda store: store.provider_problem("smtp"))
        return None

    async def _deliver_all(self, mailer: Mailer) -> bool:
        try:
            return await self._delivery(mailer, NOTE_TRIES).round()
        finally:
            await mailer.close()

    def _delivery(self, mailer: Mailer, tries: int | None = None) -> Delivery:
        def refused(store: Store, letter: DueLetter, outcome: Outcome, now: datetime) -> None:
            Refusals(self._handler(store)).note(letter, outcome, now)

        def decided_again(store: Store, letters: list[DueLetter], now: datetime) -> list[DueLetter]:
            return ClockRound(self._handler(store)).decided_again(letters, now)

        return Delivery(
            self.books, mailer, self._smtp, self._width, self._clock, refused, decided_again, self._stopping.is_set,
            tries,
        )  # fmt: skip

    # -- the daemon ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises what broke a loop, so that systemd starts us anew."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        thread = self._thread("mailbox", self.receiver.run, loop)
        beside, scheduler = self._threads_beside(loop), self._scheduler()
        tasks = [
            asyncio.create_task(work)
            for work in (
                self._handle_mail(),
                self._deliver_letters(),
                self._signs_of_life(thread),
                self._watch_health(),
            )
        ]
        for one in (thread, *beside):
            one.start()
        scheduler.start()
        systemd.notify("READY=1")
        log.info("the desk is open")
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            systemd.notify("STOPPING=1")
            log.info("closing")
            scheduler.shutdown(wait=False)
            self._stopping.set()
            self.receiver.stop()
            self.looks.stop()
            if self.sent:
                self.sent.stop()
            await self._drain(tasks)
            for one in (thread, *beside):
                await asyncio.to_thread(one.join, DRAIN_SECONDS)
            stop.cancel()
        errors = [error for task in tasks if not task.cancelled() and (error := task.exception())]
        for error in (*errors, *filter(None, [self._broken])):
            if isinstance(error, StoreProblem | sqlite3.Error):
                await tell_of_the_end(self._lock, self._command, error)
            raise error

    def _threads_beside(self, loop: asyncio.AbstractEventLoop) -> list[threading.Thread]:
        """What the mailbox's thread wakes: handling, and a thread that looks at the Sent folder if it is watched; and
        the one that takes the look of the day."""
        self.receiver.on_mail = lambda: _wake(loop, self._mail)
        self.receiver.on_fetch = self._fetched
        self.looks.reconciliation.tell(self.receiver.on_mail)
        looks = self._thread("looks", partial(self.looks.run, lambda: self._caught_up), loop)
        if self.sent is None:
            return [looks]
        self.sent.on_mail = self.receiver.on_mail
        return [looks, self._thread("sent", self.sent.run, loop)]

    def _fetched(self) -> None:
        self._caught_up = True
        if self.sent:
            self.sent.tell()

    def _thread(self, name: str, work: Callable[[], None], loop: asyncio.AbstractEventLoop) -> threading.Thread:
        """A thread that ends the desk when it ends: a bug in it must not leave a desk that is open and deaf."""

        def run() -> None:
            try:
                work()
            except StoreProblem as problem:
                self._broken = self._broken or problem
            except Exception:
                if not self._stopping.is_set():
                    log.exception("the %s thread broke", name)
                    self._broken = RuntimeError("the mailbox could no longer be read")
            with suppress(RuntimeError):  # the loop is gone already
                loop.call_soon_threadsafe(self._stopping.set)

        return threading.Thread(target=run, name=name, daemon=True)

    def _scheduler(self) -> AsyncIOScheduler:
        scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        scheduler.add_job(self._look, "interval", seconds=LOOK_SECONDS)
        if self.source:
            scheduler.add_job(self._keep_token_fresh, "interval", seconds=LOOK_SECONDS)
        return scheduler

    async def _look(self) -> None:
        """Is there anything to do that nobody woke us for: an admin's command, a letter whose time has come?"""
        self._mail.set()
        self._letters.set()

    async def _keep_token_fresh(self) -> None:
        if self.source and not self._stopping.is_set():
            await asyncio.to_thread(self.source.keep_fresh)

    async def _handle_mail(self) -> None:
        async def work() -> None:
            while not self._stopping.is_set() and await self.books.do(self._handle_some):
                self._letters.set()
            if not self._stopping.is_set() and self._may_strike() and await self.books.do(self._clock_round):
                self._letters.set()

        await self._whenever("mail", self._mail, work)

    def _may_strike(self) -> bool:
        """After a downtime the mail that waited comes first: what a customer sent in time must not be called missing.
        A mailbox that cannot be read does not hold up the clock for long."""
        return self._caught_up or self._clock() >= self._opened_at + PATIENCE

    async def _deliver_letters(self) -> None:
        mailer = self._new_mailer()

        async def work() -> None:
            if not await self.books.do(lambda store: self._smtp.wait_until(store, self._clock())):
                await self._delivery(mailer).round()

        try:
            await self._whenever("letters", self._letters, work)
        finally:
            await mailer.close()

    async def _whenever(self, who: str, woken: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
        """Does the work each time it is woken, until the end. A store that cannot be written is tried again."""
        while not self._stopping.is_set():
            await woken.wait()
            woken.clear()
            try:
                await work()
                self.books.weather.good(who)
            except (sqlite3.OperationalError, OSError) as error:
                if not (words := weather_in(error)):
                    raise
                woken.set()
                await self._stops_within(self.books.weather.bad(who, words))

    async def _watch_health(self) -> None:
        """Alarms and the heartbeat, beside everything else: nothing that goes wrong here may close the desk."""
        self.health.on_letters = self._letters.set
        while not await self._stops_within(WATCH_SECONDS):
            for who, work in (("heartbeat", self._beat), ("alarms", self.health.look)):
                try:
                    await work()
                    self.books.weather.good(who)
                except StoreProblem:
                    raise
                except Exception as error:
                    if words := weather_in(error):
                        self.books.weather.bad(who, words)
                    else:
                        log.exception("watching the desk's health broke")

    async def _stops_within(self, seconds: float | None) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def _beat(self) -> None:
        if await self.books.do(lambda store: Heartbeat(self._handler(store)).beat(self._clock())):
            self._letters.set()

    async def _signs_of_life(self, thread: threading.Thread) -> None:
        """The watchdog proves that the loop, the books and the mailbox's thread live; providers are no part of it."""
        every = systemd.watchdog_seconds()
        while not self._stopping.is_set():
            if every:
                with suppress(sqlite3.OperationalError):
                    await self.books.do(lambda store: store.version())
                    if thread.is_alive():
                        systemd.notify("WATCHDOG=1")
            await self._stops_within(every)

    async def _drain(self, tasks: list[asyncio.Task[None]]) -> None:
        """Lets what is under way come to its end, for a while."""
        self._mail.set()
        self._letters.set()
        _, slow = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Sets the loop's event from another thread."""
    loop.call_soon_threadsafe(event.set)
