"""What is wrong -> an alarm, what is well again -> an all-clear: by letter, by command and in the journal, each once.

What people were told stands in the store, so that a restart repeats nothing; the letters are queued in the same
transaction. Trouble of the store itself is told from memory. Letters of alarms wait like any other: one whose problems
are gone before a server took it is `superseded`, and the all-clear tells the whole story.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from pqr_mailbot.adapters.alarm_command import AlarmCommand
from pqr_mailbot.adapters.sqlite_health import look
from pqr_mailbot.adapters.sqlite_store import DaemonLock, Store, StoreProblem, words_of
from pqr_mailbot.domain.alarms import Alarm, Sighting, Turn, letters, turn
from pqr_mailbot.domain.health import STORE, Expected, Problem, problems, store_trouble
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.handle import Handler
from pqr_mailbot.flows.weather import weather_in

WHO = "health"  # is held up by the weather

log = logging.getLogger(__name__)


@dataclass
class HealthWatch:
    """Looks at the desk's health now and then. `handler`: with what letters are written, on an open store."""

    books: Books
    handler: Callable[[Store], Handler]
    command: AlarmCommand
    expected: Expected
    clock: Callable[[], datetime]
    lock: DaemonLock
    on_letters: Callable[[], None] = lambda: None  # called when letters were queued
    _sightings: Mapping[str, Sighting] = field(default_factory=dict)
    _unwritten: tuple[Alarm, ...] = ()  # told while the store could not be written

    def __post_init__(self) -> None:
        """What an earlier life told of a store in trouble is open, and may come to its end."""
        if self.lock.told:
            now, said = self.clock(), "El almacén de la mesa no se podía usar."
            self._unwritten = (Alarm(STORE, "store: it could not be used", said, now, now),)
        self.lock.note(told=bool(self._unwritten))

    async def look(self) -> None:
        """One look, and everything that follows from it."""
        now, trouble = self.clock(), self.books.weather.words(but=WHO)
        try:
            this = await self.books.do(partial(self._judged, trouble=trouble, now=now))
            if self._unwritten:
                self._unwritten = ()
                self.lock.note(told=False)
            self._sightings = this.sightings
            if this.begun or this.ended:
                self.on_letters()
            self.books.weather.good(WHO)
        except sqlite3.OperationalError as error:
            words = weather_in(error) or str(error)
            self.books.weather.bad(WHO, words)
            this = self._from_memory(words, now)
        await self._tell(this)

    def _judged(self, store: Store, trouble: str, now: datetime) -> Turn:
        """The turn, written down with its letters when anything changed."""
        handler, told = self.handler(store), store.alarms()
        before = (*(one for one in told if one.name not in {mine.name for mine in self._unwritten}), *self._unwritten)
        wrong = problems(look(store._all, now), self.expected, handler.desk.policy.office.timezone, now)
        if trouble:
            wrong.append(store_trouble(trouble, self.expected))
        this = turn(wrong, before, self._sightings, self.expected.patience, now)
        if set(this.open) != set(told) or this.begun or this.ended:
            with store.transaction():
                self._write(store, handler, this, now)
        return this

    def _write(self, store: Store, handler: Handler, this: Turn, now: datetime) -> None:
        store.set_alarms(this.open)
        if this.ended:
            store.supersede_alarms([one.name for one in this.open])
        handler.applying(now).all(letters(this, handler.desk, now))

    def _from_memory(self, words: str, now: datetime) -> Turn:
        """The store cannot be written, so of everything else nothing is known for sure."""
        wrong: list[Problem] = [store_trouble(words, self.expected)]
        before = {name: one for name, one in self._sightings.items() if name == STORE}
        this = turn(wrong, self._unwritten, before, self.expected.patience, now)
        if this.begun:
            self.lock.note(told=True)
        self._unwritten = this.open
        self._sightings = {**self._sightings, **this.sightings}
        return this

    async def _tell(self, this: Turn) -> None:
        for level, kind, alarms in ((logging.ERROR, "alarm", this.begun), (logging.WARNING, "all clear", this.ended)):
            for alarm in alarms:
                if alarm.name != STORE:  # of that the weather speaks in the log
                    log.log(level, "%s: %s", kind, alarm.text)
        for kind, alarms in (("alarm", this.begun), ("all_clear", this.ended)):
            if alarms:
                await self.command.run(kind, [one.name for one in alarms], _lines(alarms))


async def tell_of_the_end(lock: DaemonLock, command: AlarmCommand, error: StoreProblem | sqlite3.Error) -> None:
    """The store cannot be used at all: by command once, however often we are started anew. Whoever ends says it in the
    log."""
    if not lock.told and lock.note(told=True):
        words = words_of(error) if isinstance(error, sqlite3.Error) else str(error)
        await command.run("alarm", [STORE], f"store: {words}\n")


def _lines(alarms: Sequence[Alarm]) -> str:
    return "".join(f"{one.text}\n" for one in alarms)
