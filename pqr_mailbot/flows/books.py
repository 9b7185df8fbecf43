"""The one thread that owns the store; everybody else asks it to do things, one at a time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pqr_mailbot.adapters.sqlite_store import Store, StoreProblem, is_damage, problem_of
from pqr_mailbot.flows.weather import Weather

Result = TypeVar("Result")


class Books:
    """Runs functions of the store on its own thread. SQLite refuses any other, so a slip is an error.

    Once the store is known to be damaged nothing more is done: whoever asks is told (StoreProblem).
    """

    def __init__(self, open_store: Callable[[], Store], note: Callable[[str], None] = lambda _: None) -> None:
        """Opens the store on the thread; raises what opening raises. `note`: what is wrong with it, for `status`."""
        self.weather, self._note = Weather(note), note
        self._problem: StoreProblem | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="books")
        try:
            self._store = self._thread.submit(open_store).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def do(self, work: Callable[[Store], Result]) -> Result:
        """From the event loop."""
        return await asyncio.wrap_future(self._thread.submit(self._done, work))

    def do_now(self, work: Callable[[Store], Result]) -> Result:
        """From any other thread; waits."""
        return self._thread.submit(self._done, work).result()

    def _done(self, work: Callable[[Store], Result]) -> Result:
        if self._problem:
            raise self._problem
        try:
            return work(self._store)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._problem = problem_of(self._store.path, error)
            self._note(str(self._problem))
            raise self._problem from error

    def close(self) -> None:
        """Finishes what was asked, then closes the store."""
        self._thread.submit(self._store.close).result()
        self._thread.shutdown()
