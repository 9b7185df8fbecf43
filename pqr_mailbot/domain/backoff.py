"""When to try again: how long a failing provider and a delayed letter wait.

`chance` is a number from 0 to 1 that the caller draws, so that many desks do not knock in step.
"""

from __future__ import annotations

from datetime import timedelta

GIVE_UP_AFTER = timedelta(days=5)  # RFC 5321 section 4.5.4.1: at least 4-5 days
LEAST_TRIES = 10  # in them; some forty fit

_LOGIN = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=30))
_LETTER = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=3))
LONGEST_DELAY = _LOGIN[-1] * 1.25  # of a provider


def provider_delay(failures: int, login_refused: bool, chance: float) -> timedelta:
    """After the n-th failure in a row (n >= 1): 2 s doubling up to 5 minutes; a refused login waits from one minute up
    to half an hour, so that no provider locks the account."""
    if login_refused:
        wait = _LOGIN[min(failures, len(_LOGIN)) - 1]
    else:
        wait = min(timedelta(minutes=5), timedelta(seconds=2) * 2 ** min(failures - 1, 16))
    return wait * (1 + chance / 4)


def letter_delay(attempts: int, chance: float) -> timedelta:
    """After the n-th temporary refusal of one letter (n >= 1): a minute, growing to three hours."""
    return _LETTER[min(attempts, len(_LETTER)) - 1] * (1 + chance / 4)
