"""This machine's weather: a store that cannot be written now, no file handles; said once, and once when it is over.

Weather passes, so whoever meets it waits and tries again. A damaged store is none: the desk ends (`StoreProblem`).
"""

from __future__ import annotations

import errno
import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pqr_mailbot.adapters.sqlite_store import is_damage, words_of

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds until what could not be done is tried again
_OF_THE_MACHINE = {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EROFS, errno.EIO}

log = logging.getLogger(__name__)


def weather_in(error: BaseException | None) -> str | None:
    """What an error says about the machine; None when it is about something else."""
    while error is not None:
        if isinstance(error, sqlite3.OperationalError) and not is_damage(error):
            return f"store: {words_of(error)}"
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            return f"machine: {error.strerror}"
        error = error.__cause__ or error.__context__
    return None


@dataclass
class Weather:
    """Who is held up by what, for several threads. `note` is told the words for `status`, "" when all is well."""

    note: Callable[[str], None] = lambda _: None
    _held_up: dict[str, str] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def words(self, but: str) -> str:
        """What somebody is held up by, whoever that is `but` one; "" when all is well."""
        with self._lock:
            return next((words for who, words in self._held_up.items() if who != but), "")

    def bad(self, who: str, words: str) -> float:
        """Returns the seconds after which it should be tried again, more each time."""
        with self._lock:
            self._held_up[who] = words
            if words not in self._said:
                self._said.add(words)
                log.error("%s; tried again until it passes, and nothing is lost meanwhile", words)
            self.note(words)
            failures = self._failures[who] = self._failures.get(who, 0) + 1
            return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))

    def good(self, who: str) -> None:
        """What was held up has been done."""
        with self._lock:
            self._failures.pop(who, None)
            if self._held_up.pop(who, None) and not self._held_up:
                self._said.clear()
                self.note("")
                log.warning("what could not be written or opened before can be again; all goes on")
