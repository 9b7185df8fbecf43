"""One seed is one office over one simulated year: the real rules, flows and store; mailbox, mail server, clock and
crashes are simulated, and every roll of the dice comes from the seed.

Real: Receiver, SentWatch, Handler, ClockRound, Delivery, Refusals, the store with its migrations, the shipped rules,
words and templates. Simulated: what the servers hold and say (`Folder`, `Post`), the time, and when the program dies.
What people write is in `simulated_people`, what must always hold in `simulated_rules`.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import heapq
import logging
import random
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from office import ANA, BOGOTA, LUZ, POLICY
from simulated_people import People, Written
from simulated_rules import Violation, Watch

from pqr_mailbot import wiring
from pqr_mailbot.adapters import letter_mail
from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.holidays import business_calendar
from pqr_mailbot.adapters.imap_mailbox import Envelope
from pqr_mailbot.adapters.letters import Letters, Rendered, _plain, _tidy_lines
from pqr_mailbot.adapters.smtp_mailer import Outcome
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.adapters.tokens import Signer, _base32, _signature
from pqr_mailbot.config import SHIPPED_REMINDERS, rules_of
from pqr_mailbot.domain.business_days import BusinessCalendar
from pqr_mailbot.domain.policy import Agent, Level, Policy
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.flows.clock import ClockRound
from pqr_mailbot.flows.deliver import Delivery
from pqr_mailbot.flows.handle import Handler
from pqr_mailbot.flows.providers import Standing
from pqr_mailbot.flows.receive import Reading, Receiver
from pqr_mailbot.flows.refused import Refusals
from pqr_mailbot.flows.watch_sent import SentWatch
from pqr_mailbot.flows.weather import Weather

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
PATIENCE = timedelta(minutes=15)  # as the daemon's
MEMORY = Path("/dev/shm")
EVERY_WHOLE = 20  # one year in so many has letters with all their parts
INBOX, SENT = "INBOX", "Enviadas"
MARTA = Agent("marta@lohas.test", "Marta Díaz", (), ("solicitud", "derecho_de_peticion", "habeas_data"))


class Crash(BaseException):
    """The program was killed: nothing of ours may catch it."""


@dataclass
class Fuse:
    """Counts the places at which the program may die, down to the one where it does."""

    left: int = 0  # 0: it lives on

    def burn(self) -> None:
        if self.left:
            self.left -= 1
            if not self.left:
                raise Crash


class MortalStore(Store):
    """The store of a program that may die before, within or after any transaction."""

    fuse = Fuse()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.fuse.burn()
        with super().transaction():
            yield
            self.fuse.burn()
        self.fuse.burn()


@dataclass
class Books:
    """`flows.books.Books` without its thread."""

    store: Store
    weather: Weather = field(default_factory=lambda: Weather(lambda _: None))

    def do_now(self, work: Callable[[Store], Any]) -> Any:
        return work(self.store)

    async def do(self, work: Callable[[Store], Any]) -> Any:
        return work(self.store)


class SeededSigner(Signer):
    """Signs as the desk does; its nonces come from the seed."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng.randbytes(32))
        self._rng = rng

    def mint(self, recipient: str) -> str:
        nonce = _base32(self._rng.randbytes(8))
        return f"{nonce}.{_signature(self._keys[-1], nonce, recipient)}"


class TextLetters(Letters):
    """The same templates, facts, words and header fields, but only the text part: MIME and HTML are most of the time a
    letter takes, and decide nothing. A letter has no files here."""

    def render(self, letter: str, facts: Mapping[str, object]) -> Rendered:
        values = {name: _plain(value) for name, value in facts.items()}
        template = self._environments[0].get_template(f"{letter}.j2")
        return Rendered(_tidy_lines(template.render({**values, "layout": "_text.j2"})), "")

    def compose(self, envelope: letter_mail.Envelope, rendered: Rendered) -> bytes:
        fields = [f"{name}: {_shown(value)}" for name, value in letter_mail._headers(envelope)]
        head = "\r\n".join([*fields, "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"])
        return f"{head}\r\n\r\n{rendered.text}".encode()


def _shown(value: object) -> str:
    return format_datetime(value) if isinstance(value, datetime) else str(value)


# -- servers -------------------------------------------------------------------------------------------------------


@dataclass
class Folder:
    """A folder of the mail server, as the adapters' `Mailbox` shows one."""

    folder: str
    uidvalidity: int = 1
    uidnext: int = 1
    mails: dict[int, tuple[datetime, bytes]] = field(default_factory=dict)
    down: bool = False

    def receive(self, raw: bytes, at: datetime) -> None:
        self.mails[self.uidnext] = (at, raw)
        self.uidnext += 1

    def renumber(self) -> None:
        self.uidvalidity += 1
        self.mails = dict(enumerate(self.mails.values(), start=1))
        self.uidnext = len(self.mails) + 1

    def opened(self) -> Folder:
        if self.down:
            raise Trouble("unreachable", "imap.sim:993: connection refused")
        return self

    def uids_after(self, last: int) -> list[int]:
        return [uid for uid in self.mails if uid > last] if self.uidnext > last + 1 else []

    def headers_of(self, uids: Sequence[int]) -> list[Envelope]:
        return [Envelope(uid, len(self.mails[uid][1]), self.mails[uid][0]) for uid in uids]

    def bodies(self, uids: Sequence[int]) -> dict[int, bytes]:
        return {uid: self.mails[uid][1] for uid in uids}

    def withheld(self, uids: Collection[int]) -> list[int]:
        return [uid for uid in uids if uid in self.mails]

    def examine(self, folder: str) -> None:
        self.opened()

    def close(self) -> None:
        pass


@dataclass
class Post:
    """The mail server that takes letters. `weather`: fair, down, quota, grey (refuses most letters for now)."""

    year: Year
    weather: str = "fair"
    roughness: float = 0.0  # how often a letter meets trouble of its own
    accepted: dict[str, int] = field(default_factory=dict)  # by token

    async def send(self, sender: str, recipient: str, raw: bytes) -> Outcome:
        year, chance = self.year, self.year.rng.random()
        if self.weather in ("down", "quota"):
            stage, words = (
                ("connect", "connection refused") if self.weather == "down" else ("RCPT TO", "550 5.4.5 limit")
            )
            return Outcome("paused", words, stage, Trouble("login-later", f"smtp.sim:465: {words}"))
        year.fuse.burn()  # the letter is on the wire, and nothing was accepted
        if chance < self.roughness or (self.weather == "grey" and chance < 0.7):
            return Outcome("later", "451 4.7.1 greylisted", "RCPT TO")
        if recipient in year.people.refused:
            return Outcome("refused", "550 5.1.1 no such user", "RCPT TO")
        lost = chance > 1 - self.roughness
        if not lost or year.rng.random() < 0.5:
            year.delivered(recipient, raw)
        year.fuse.burn()  # accepted, and not noted yet
        if lost:
            return Outcome("uncertain", "connection lost after the final dot", "end of data")
        return Outcome("sent", "250 2.0.0 ok", "accepted")


# -- the office ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _calendar(extra: tuple[date, ...]) -> BusinessCalendar:
    return business_calendar(extra=dict.fromkeys(extra, "Día cívico"))


@lru_cache(maxsize=8)
def _letters(whole: bool) -> Letters:
    return (Letters if whole else TextLetters)(None, POLICY.office)


def _office(rng: random.Random, first: date) -> Policy:
    """Offices differ: who works there, whom they trust, when they are closed."""
    agents = (ANA, LUZ, MARTA)[: rng.choice((1, 2, 3, 3))]
    desk = rng.choice(((ANA.address,), tuple(agent.address for agent in agents)))
    levels = (Level("Servicio al cliente", desk), *POLICY.levels[1 : rng.choice((1, 2, 3, 3, 3))])
    closures = {first + DAY * rng.randrange(365): "Cierre" for _ in range(rng.randrange(6))}
    trusted = rng.choice(((), ("mx.lohas.test",)))
    return replace(
        POLICY, agents=agents, levels=levels, closures=closures, reminders=rules_of(SHIPPED_REMINDERS),
        trusted_authserv_ids=trusted,
    )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a year came to. `digest`: of everything in the store but keys and salts."""

    seed: int
    mails: int
    letters: int
    cases: int
    crashes: int
    violations: list[Violation]
    digest: str


class Year:
    """One office over one year. Everybody in it asks it for the time, the dice, and to be called later."""

    def __init__(self, seed: int, path: Path, days: int = 365) -> None:
        self.seed, self.path, self.days = seed, path, days
        self.rng = rng = random.Random(seed)
        random.seed(seed)  # the back-offs of the package draw from the module's own dice
        self.first = date(rng.choice((2025, 2026, 2027)), 1, 1) + DAY * rng.randrange(365)
        self.now = self.begins = datetime.combine(self.first, time(7), BOGOTA).astimezone(UTC)
        self.ends = self.begins + DAY * days
        self.calm, self.skewed = seed % 5 == 0, seed % 5 == 1 or seed % 7 == 1  # no fault at all; a clock that errs
        self.noisy = seed % 8 in (3, 4)  # programs that answer whatever comes: such a year takes as long as five others
        self.skew = timedelta()
        self.holidays: tuple[date, ...] = ()  # days off by law that were made known during the year
        self.policy = _office(rng, self.first)
        self.fuse, self.up, self.crashes, self.opened_at = Fuse(), False, 0, self.now
        self.inbox, self.sent_folder = Folder(INBOX), Folder(SENT)
        self.post = Post(self, roughness=0.0 if self.calm else 0.01)
        self.signer = SeededSigner(rng)
        self.written: dict[str, Written] = {}  # by the hash of what was written
        self.letters = 0
        self._events: list[tuple[datetime, int, Callable[[], object]]] = []
        self._count, self._next_round, self._caught_up = 0, self.ends, False
        self._loop = asyncio.new_event_loop()
        self.people, self.watch = People(self), Watch(self)

    # -- time ------------------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        """As the office's machine believes it to be."""
        return self.now + self.skew

    def later(self, wait: timedelta, act: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + wait, self._count, act))

    def look(self, at: datetime) -> None:
        """A round takes place then, if none does before."""
        if self._next_round > at or self._next_round <= self.now:
            self._next_round = at
            self.later(max(at - self.now, timedelta()), self.round)

    def run(self) -> Result:
        try:
            self._start()
            self._plan()
            while self._events and self._events[0][0] < self.ends:
                self.now, _, act = heapq.heappop(self._events)
                act()
            self._last_day()
            rows = self.store._one
            mails, cases = (rows(f"SELECT count(*) AS n FROM {table}")["n"] for table in ("inbound", "ticket"))
            return Result(self.seed, mails, self.letters, cases, self.crashes, self.watch.violations, self._digest())
        finally:
            self._loop.close()
            if self.up:
                self.store.close()

    def _plan(self) -> None:
        rng = self.rng
        for day in range(self.days):
            morning = self.begins + DAY * day
            for minute in (rng.randrange(61, 90), rng.randrange(90, 600), rng.randrange(600, 1440)):
                self.later(morning + MINUTE * minute - self.now, self.round)
        self.people.plan()
        if not self.calm:
            self._plan_faults()

    def _last_day(self) -> None:
        """All is well once more, so that what is owed gets done; then everything is looked over."""
        self.skew, self.fuse.left, self.post.weather, self.inbox.down = timedelta(), 0, "fair", False
        self.post.roughness, self.sent_folder.down = 0.0, False
        self.people.quiet = True
        self.now = datetime.combine(self.first + DAY * self.days, time(10), BOGOTA).astimezone(UTC)
        if not self.up:
            self._start()
        for _ in range(15):  # after weekends and holidays come days on which everything may go
            self.round()
            self.now += DAY
        self.watch.look_over()

    # -- faults ----------------------------------------------------------------------------------------------------

    def _plan_faults(self) -> None:
        rng = self.rng
        faults: list[tuple[int, Callable[[], object]]] = [
            (rng.randrange(25), self._arm), (rng.randrange(5), self._stop), (rng.randrange(8), self._imap_outage),
            (rng.randrange(8), self._smtp_weather), (rng.randrange(3), self._renumber),
            (rng.randrange(2), self._new_holiday),
        ]  # fmt: skip
        if self.skewed:
            faults.append((rng.randrange(1, 4), self._clock_errs))
        for often, fault in faults:
            for _ in range(often):
                self.later(timedelta(days=rng.uniform(1, self.days - 10)), fault)

    def _some(self, *longest: timedelta) -> timedelta:
        return self.rng.choice(longest) * self.rng.random()

    def _arm(self) -> None:
        """The program will die at one of the next places where it can."""
        self.fuse.left = self.rng.randrange(1, 40)

    def _stop(self) -> None:
        if self.up:
            self.up = False
            self.store.close()
            self.later(self._some(HOUR, DAY, 7 * DAY), self._start)

    def _imap_outage(self) -> None:
        folder = self.rng.choice((self.inbox, self.inbox, self.sent_folder))
        folder.down = True
        self.later(self._some(HOUR, 2 * DAY), lambda: setattr(folder, "down", False))

    def _smtp_weather(self) -> None:
        self.post.weather = self.rng.choice(("down", "quota", "grey"))
        self.later(self._some(HOUR, DAY, 3 * DAY), lambda: setattr(self.post, "weather", "fair"))

    def _renumber(self) -> None:
        self.rng.choice((self.inbox, self.inbox, self.sent_folder)).renumber()

    def _clock_errs(self) -> None:
        self.skew = self.rng.choice((-1, 1)) * self._some(HOUR, DAY, 20 * DAY)
        self.watch.skewed()
        self.later(self._some(HOUR, DAY), lambda: setattr(self, "skew", timedelta()))

    def _new_holiday(self) -> None:
        """A day off by law is made known; a restart learns of it."""
        self.holidays = (*self.holidays, (self.now + DAY * self.rng.randrange(5, 60)).date())
        if self.up:
            self.up = False
            self.store.close()
            self._start()

    # -- the program -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Wires the parts as the daemon does."""
        if self.up:
            return
        clock = self.clock
        store = self.store = MortalStore.open(self.path, clock())
        store.fuse = self.fuse
        store.db.conn.execute("PRAGMA synchronous = OFF")  # no power cut here
        self.up, self.opened_at, self._caught_up = True, clock(), False
        self.desk = Desk(self.policy, _calendar(self.holidays))
        letters = _letters(self.seed % EVERY_WHOLE == 0)
        self.handler = Handler(
            store, self.desk, wiring.shipped_lexicon(), letters, self.signer, store.last_inbound_id()
        )  # fmt: skip
        self.clock_round = ClockRound(self.handler)
        self.watch.opened(store)
        books, far = Books(store), 35 * 2**20
        self.receiver = Receiver(
            books, self.inbox.opened, Standing("imap", "ab12"), Reading(INBOX, "", None, 60, far, BOGOTA), clock
        )
        self.receiver.on_fetch = lambda: setattr(self, "_caught_up", True)
        self.sent_watch = SentWatch(books, self.sent_folder.opened, far, clock)
        self.delivery = Delivery(
            books, self.post, Standing("smtp", "ab12"), 4, clock, self._refused,
            lambda _, letters, now: self.clock_round.decided_again(letters, now),
        )  # fmt: skip
        with self._mortal():
            with store.transaction():
                store.requeue_interrupted(clock())
            self.clock_round.adopt_rules(clock())
            self.look(self.now)

    def _refused(self, store: Store, letter: Any, outcome: Outcome, now: datetime) -> None:
        Refusals(self.handler).note(letter, outcome, now)

    @contextmanager
    def _mortal(self) -> Iterator[None]:
        """What happens here may end the program, which somebody or systemd starts anew."""
        try:
            yield
        except Crash:
            self.crashes += 1
            self.up = False
            self.store.close()
            self.later(self._some(timedelta(seconds=20), HOUR, DAY), self._start)

    def round(self) -> None:
        """The daemon's loops, one after the other."""
        if not self.up:
            return
        with self._mortal():
            self._fetch()
            while self.handler.round(self.clock):
                pass
            if self._caught_up or self.clock() >= self.opened_at + PATIENCE:
                self.clock_round.run(self.clock())
                self.watch.after_clock()
            if self.delivery.standing.wait_until(self.store, self.clock()) is None:
                self._loop.run_until_complete(self.delivery.round())
            self._plan_next()
        if self.up:
            self.watch.after_round()

    def _fetch(self) -> None:
        if self.receiver.standing.wait_until(self.store, self.clock()) is None:
            try:
                self.receiver.once()
            except Trouble:
                return
            self.sent_watch.look()

    def _plan_next(self) -> None:
        """When a letter is due again. While servers are out the daemon looks every few minutes, here less often."""
        due = self.store.next_letter_at()
        if due is not None and due - self.skew < self.now + DAY:
            out = self.post.weather != "fair"
            soonest = self.now + (self._some(HOUR, 6 * HOUR) + 5 * MINUTE if out else MINUTE)
            self.look(max(due - self.skew, soonest))

    # -- mail ------------------------------------------------------------------------------------------------------

    def found(self, sql: str, *values: object) -> dict[str, Any] | None:
        """For people who look something up; nothing while the program does not run."""
        return self.store._first(sql, *values) if self.up else None

    def write(self, raw: bytes, written: Written, copies: int = 1) -> None:
        """Somebody's mail reaches the office's mailbox now, perhaps by several of its addresses."""
        for copy in range(copies):
            mail = b"Received: by mx%d.lohas.test\r\n" % copy + raw
            self.written[hashlib.sha256(mail).hexdigest()] = written
            self.inbox.receive(mail, self.now)
        self.look(self.now + self._some(MINUTE, 5 * MINUTE))

    def delivered(self, recipient: str, raw: bytes) -> None:
        """A letter reached somebody."""
        self.letters += 1
        letter = self.watch.letter(recipient, raw)
        self.people.received(letter)

    def _digest(self) -> str:
        """Of all that the store holds, without what is secret by nature: keys and salts, and what is made of them."""
        secret = {"salt", "actor_commitment", "detail_commitment", "hash", "previous_hash"}
        digest = hashlib.sha256()
        for table in sorted(row["name"] for row in self.store._all(_TABLES)):
            for row in self.store._all(f"SELECT * FROM {table}"):
                if row.get("name") != "store_id":
                    digest.update(repr([value for name, value in row.items() if name not in secret]).encode())
        return digest.hexdigest()


_TABLES = """SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'message_fts%'
    AND name NOT IN ('signing_key', '_sqlite_migrations') AND name NOT LIKE 'sqlite_%'"""


def simulate(seed: int, days: int = 365) -> Result:
    """One year. The same seed, the same year, to the last byte."""
    logging.getLogger("pqr_mailbot").setLevel(logging.CRITICAL)
    gc.disable()  # what a year leaves behind is swept up after it
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None, prefix="year-") as folder:
        result = Year(seed, Path(folder) / "desk.db", days).run()
    gc.enable()
    gc.collect()
    return result


def replayed_by(seed: int) -> str:
    return f"python benchmarks/simulation.py --seed {seed}"


__all__ = ["Crash", "Result", "Year", "replayed_by", "simulate"]
