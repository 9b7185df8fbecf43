"""The Message-ID a mail server gives a letter instead of ours, as far as its answer to the letter tells.

Only what is certain is taken: an id is a clue to a case, so it must be nothing a stranger could guess.
"""

from __future__ import annotations

import re

# Amazon SES says only what stands before the @ ("250 Ok 0100018f…-000000"); after it stands email.amazonses.com, or
# the region, which the answer does not name.
_OF_SES = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}-[0-9]{6}")
_SES_REPLY = re.compile(rf"250 (?:2\.\d\.\d )?ok:? ({_OF_SES.pattern})\s*", re.IGNORECASE)
_SES_ID = re.compile(rf"<({_OF_SES.pattern})@(?:[a-z0-9-]{{1,40}}\.)?amazonses\.com>", re.IGNORECASE)
# Exchange, Outlook, Brevo name all of it. Shorter ones, or such without a digit, may be somebody's address.
_BRACKETED = re.compile(r"<([!-;=?A-~]{1,200})@([a-z0-9.-]{1,200})>", re.IGNORECASE)
_UNGUESSABLE = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9.$_%+=/-]{16,}")


def id_given(reply: str) -> str | None:
    """The id that this answer to a letter names, as `comparable` has it; None where it names none or more than one."""
    if not reply.startswith("250"):
        return None
    if found := _SES_REPLY.fullmatch(reply):
        return comparable(f"<{found[1]}@amazonses.com>")
    named = {match[0] for match in _BRACKETED.finditer(reply[:1_000]) if _UNGUESSABLE.fullmatch(match[1])}
    return comparable(named.pop()) if len(named) == 1 else None


def comparable(message_id: str) -> str:
    """The id without what is not certain of it: ids of Amazon SES lose their region, all others stay as they are."""
    found = _SES_ID.fullmatch(message_id)
    return f"<{found[1].lower()}@amazonses.com>" if found else message_id
