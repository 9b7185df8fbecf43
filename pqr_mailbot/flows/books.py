"""The one thread that owns the store; everybody else asks it to do things, one at a time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pqr_mailbot.adapters.sqlite_store import Store

Result = TypeVar("Result")


class Books:
    """Runs functions of the store on its own thread. SQLite refuses any other, so a slip is an error."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        """Opens the store on the thread; raises what opening raises."""
        self.trouble = ""  # why the store could not be used when it last could not, for whoever watches its health
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
        try:
            return work(self._store)
        except sqlite3.OperationalError as error:
            self.trouble = str(error)
            raise

    def close(self) -> None:
        """Finishes what was asked, then closes the store."""
        self._thread.submit(self._store.close).result()
        self._thread.shutdown()
