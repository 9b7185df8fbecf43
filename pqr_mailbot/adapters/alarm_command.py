"""Runs the admin's alarm command: no shell, a bounded time, nothing of what it prints kept."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

SECONDS = 30.0  # then its process group is killed
# What it gets of our environment: no secret, and no socket to speak to systemd in our name.
KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlarmCommand:
    """`words`: the program and its arguments; none: nothing is run."""

    words: Sequence[str]
    seconds: float = SECONDS

    async def run(self, kind: str, names: Sequence[str], text: str, environ: Mapping[str, str] = os.environ) -> bool:
        """`kind` goes into PQR_ALARM, the problems' names into PQR_ALARM_NAMES, the text to its standard input.

        True: it was run and succeeded. A failure is a line of the log, never an exception.
        """
        if not self.words:
            return False
        given = {name: environ[name] for name in KEPT if name in environ}
        given |= {"PQR_ALARM": kind, "PQR_ALARM_NAMES": " ".join(names)}
        try:
            process = await asyncio.create_subprocess_exec(
                *self.words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL, start_new_session=True, env=given,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "cannot be run"
            log.warning("admin.alarm_command could not be started: %s", reason)
            return False
        return await self._ended(process, text)

    async def _ended(self, process: asyncio.subprocess.Process, text: str) -> bool:
        try:
            await asyncio.wait_for(process.communicate(text.encode("utf-8", "replace")), self.seconds)
        except TimeoutError:
            log.warning("admin.alarm_command did not end within %d seconds and was killed", self.seconds)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode and process.returncode != -signal.SIGKILL:
            log.warning("admin.alarm_command ended with exit status %d", process.returncode)
        return process.returncode == 0
