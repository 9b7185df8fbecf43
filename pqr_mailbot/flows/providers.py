"""How it stands with the mail servers and the token endpoint: may we try now, and what is remembered of a failure.

Kept in the store, so that a restart neither forgets a back-off nor tries a refused login again and again (lockout).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.domain.backoff import LONGEST_DELAY, provider_delay

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """One provider's standing. `mark`: a mark of the login secret, too short to tell anything about it; with another
    secret a refused login may be tried at once."""

    name: Literal["imap", "smtp", "oauth2"]
    mark: str

    def wait_until(self, store: Store, now: datetime, in_haste: bool = False) -> datetime | None:
        """The instant until which we must not try, None: try now. `in_haste`: an admin asked for a round now, and
        only a refused login makes wait."""
        provider = store.provider(self.name)
        if provider.next_attempt_at is None or not now < provider.next_attempt_at <= now + LONGEST_DELAY:
            return None  # further off than any back-off: the clock was wrong when it was written
        if provider.refused:
            return provider.next_attempt_at if provider.refused == self.mark else None
        return None if in_haste else provider.next_attempt_at

    def failed(self, store: Store, trouble: Trouble, now: datetime, at_least: timedelta = timedelta()) -> None:
        """Inside the caller's transaction. `at_least`: how long we wait, however well it went before."""
        refused = trouble.kind == "login"
        chance = random.random()  # noqa: S311  # jitter, not a secret
        delay = max(at_least, provider_delay(store.provider(self.name).failures + 1, refused, chance))
        store.provider_failed(self.name, str(trouble), now + delay, self.mark if refused else "", now)
        log.warning("%s: %s; next attempt in %d s", self.name, trouble, delay.total_seconds())

    def well(self, store: Store, now: datetime) -> None:
        """Inside the caller's transaction."""
        store.provider_well(self.name, now)


def secret_mark(username: str, secret: str) -> str:
    """Sixteen bits: enough to notice that an admin changed the secret, useless for guessing it."""
    return hmac.new(b"pqr-mailbot login", f"{username}\0{secret}".encode(), hashlib.sha256).hexdigest()[:4]
