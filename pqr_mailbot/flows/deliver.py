"""Outbox to SMTP. The law of the queue:

- A letter is one row, one recipient, finished bytes with a stable Message-ID; every attempt sends the same bytes.
- queued -> sending -> sent | uncertain | dead; back to queued when it may be tried again. A row is claimed in its own
  transaction before the network is touched, and no transaction is open while a server is spoken to.
- Errors are temporary unless proven otherwise. Only a 5xx to this letter's own RCPT or DATA makes it dead (or to its
  size: RFC 1870), or five days of temporary refusals (RFC 5321 section 4.5.4.1), in which it was tried often: days
  without us, or a clock that is ahead, are none.
- What is about us and not about a letter (connection, login, quota) pauses the queue; no letter dies or ages of it.
- A connection lost after the final dot leaves `uncertain`: it may have arrived, so it is not sent again by itself.
- Before its first attempt a letter of the clock is decided again: its reason gone, it is dead, `superseded`. Before
  every attempt: its hours over, it waits for the next ones.
- After a restore nothing is claimed until the mailbox was read (`flows.restored`).
- After a crash `sending` rows go again with the same Message-ID and are counted as interrupted. That, and nothing
  else, is where a letter may go twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from typing import TypeVar

from pqr_mailbot.adapters.smtp_mailer import Mailer, Outcome
from pqr_mailbot.adapters.sqlite_ledger import Ledger
from pqr_mailbot.adapters.sqlite_store import DueLetter, Store, StoreProblem
from pqr_mailbot.domain.backoff import GIVE_UP_AFTER, LEAST_TRIES, letter_delay
from pqr_mailbot.domain.decide import DESK
from pqr_mailbot.domain.effects import NoteEvent
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.providers import Standing
from pqr_mailbot.flows.weather import weather_in

NOTE_PAUSE = 5.0  # seconds at most until what became of a letter is noted
Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Sends what is due."""

    books: Books
    mailer: Mailer
    standing: Standing
    width: int  # letters under way at once
    clock: Callable[[], datetime]
    refused: Callable[[Store, DueLetter, Outcome, datetime], None] = lambda *_: None  # what follows a refusal for good
    # Those of the letters just claimed that still have a reason to go; the others were put aside or off.
    decided_again: Callable[[Store, list[DueLetter], datetime], list[DueLetter]] = lambda _, letters, __: letters
    stopping: Callable[[], bool] = lambda: False  # then nothing new is begun, and what is under way is finished
    tries: int | None = None  # how often what became of a letter is noted; None: as often as it takes
    _large: asyncio.Lock = field(default_factory=asyncio.Lock)  # one at a time, so that memory has a bound

    async def round(self) -> bool:
        """Sends every letter that is due. False when the queue had to be paused because of the server.

        The first goes alone: when the server turns it away no other knocks, and a wrong password is tried once.
        """
        flying: dict[asyncio.Task[Outcome], DueLetter] = {}
        paused, width = False, 1
        try:
            while True:
                if not paused and not self.stopping() and len(flying) < width:
                    for letter in await self._claimed(width - len(flying), under_way=bool(flying)):
                        flying[asyncio.create_task(self._send(letter))] = letter
                if not flying:
                    return not paused
                landed, _ = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
                width = self.width
                # In the order in which they were begun: a set of tasks has another in each process.
                outcomes = [(flying.pop(task), task.result()) for task in list(flying) if task in landed]
                paused = paused or any(outcome.kind == "paused" for _, outcome in outcomes)
                await self._weathered(partial(self._note, outcomes=outcomes))  # never forgotten lightly
        finally:
            for task in flying:  # the program is stopping: the rows stay `sending` and go again
                task.cancel()

    async def _claimed(self, limit: int, under_way: bool) -> list[DueLetter]:
        """With letters under way a busy store is waited for; without, it is the caller's weather."""
        claim = partial(self._claim, limit=limit)
        return await (self._weathered(claim) if under_way else self.books.do(claim))

    async def _weathered(self, work: Callable[[Store], Result]) -> Result:
        """Asks a store that cannot be written again and again, so that nothing that is known of a letter is forgotten;
        the desk's end alone cuts it short, and then these letters go a second time.

        Raises StoreProblem after so many `tries`.
        """
        for tried in count(1):
            try:
                result = await self.books.do(work)
            except sqlite3.OperationalError as error:
                words = weather_in(error) or str(error)
                pause = self.books.weather.bad("letters", words)
                if tried == self.tries:
                    raise StoreProblem(f"{words}, and what became of letters under way could not be noted") from error
                await asyncio.sleep(min(pause, NOTE_PAUSE))
            else:
                self.books.weather.good("letters")
                return result
        raise AssertionError

    def _claim(self, store: Store, limit: int) -> list[DueLetter]:
        now, due = self.clock(), store.next_letter_at()
        if due is None or due > now:
            return []
        if Ledger(store).held():
            return []
        with store.transaction():
            while claimed := store.claim_letters(now, limit):
                if fit := self.decided_again(store, claimed, now):
                    return fit
        return []

    async def _send(self, letter: DueLetter) -> Outcome:
        if letter.raw is not None:
            return await self.mailer.send(letter.sender, letter.recipient, letter.raw)
        async with self._large:
            raw = await self._weathered(lambda store: store.letter_raw(letter.id))
            return await self.mailer.send(letter.sender, letter.recipient, raw)

    def _note(self, store: Store, outcomes: list[tuple[DueLetter, Outcome]]) -> None:
        """What became of each letter, in one transaction."""
        now = self.clock()
        with store.transaction():
            for letter, outcome in outcomes:
                self._note_one(store, letter, outcome, now)
            troubles = [outcome.trouble for _, outcome in outcomes if outcome.trouble]
            if troubles:
                self.standing.failed(store, troubles[0], now)
            elif any(outcome.kind != "paused" for _, outcome in outcomes):
                self.standing.well(store, now)

    def _note_one(self, store: Store, letter: DueLetter, outcome: Outcome, now: datetime) -> None:
        event, detail = "", outcome.reply
        if outcome.kind == "sent":
            store.letter_sent(letter, outcome.reply, now)
            event = "letter_sent"
        elif outcome.kind == "paused":
            # Said at the door, it is about us. Said later it may be about this letter after all: another goes first.
            due = letter.due if outcome.stage in ("connect", "MAIL FROM") else now + letter_delay(1, 0)
            store.letter_back(letter, due, outcome.reply, counts=False)
        elif outcome.kind == "later" and (now - letter.not_before < GIVE_UP_AFTER or letter.attempts < LEAST_TRIES):
            store.letter_back(letter, now + letter_delay(letter.attempts, random.random()), outcome.reply)  # noqa: S311  # jitter
        elif outcome.kind == "uncertain":
            store.letter_stopped(letter, "uncertain", "", outcome.reply)
            event = "letter_uncertain"
        else:
            store.letter_stopped(letter, "dead", outcome.reply, f"{outcome.stage}: {outcome.reply}")
            event = "letter_dead"
            self.refused(store, letter, outcome, now)
        if event and letter.reference:
            detail = f"{letter.letter} to {letter.recipient}: {detail}"
            for reference in store.cases_of(letter.id) or [letter.reference]:
                store.note_event(NoteEvent(reference, DESK, event, detail), now)
        if outcome.kind not in ("sent", "paused"):
            log.warning("letter %d (%s) %s at %s", letter.id, letter.letter, outcome.kind, outcome.stage)
