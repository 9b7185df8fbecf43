"""What the store says of the desk's health: one look for the daemon and for `status`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pqr_mailbot.adapters.sqlite_ledger import HELD, MISSING
from pqr_mailbot.adapters.sqlite_store import instant, stamp
from pqr_mailbot.domain.health import BACK_WITHIN, LATE, PUT_OFF, REMEMBERED, Seen, Server

CLOCK_SLACK = timedelta(minutes=5)  # between the clocks of two processes

Read = Callable[..., list[dict[str, Any]]]  # runs a query with its values

_HEALTH = "('alarm', 'all_clear')"
_CASES = "('notification', 'escalation', 'reminder')"  # refused for good, level 2 hears of them (`decide.on_refused`)
_LETTERS = f"""SELECT
    count(*) FILTER (WHERE state = 'uncertain' AND letter NOT IN {_HEALTH}) AS uncertain,
    count(*) FILTER (WHERE state = 'dead' AND letter NOT IN {_HEALTH}) AS dead,
    count(*) FILTER (WHERE state = 'dead' AND letter NOT IN {_HEALTH} AND NOT customer_facing
        AND (letter NOT IN {_CASES} OR error LIKE 'bounced:%')) AS untold,
    count(*) FILTER (WHERE letter IN {_HEALTH}) AS alarm_letters
    FROM outbox INDEXED BY outbox_amiss WHERE state IN ('uncertain', 'dead') AND coalesce(error, '') <> 'superseded'
    AND letter <> 'heartbeat' AND created_at > ?"""
_LATE = """SELECT count(*) AS late, count(*) FILTER (WHERE attempts = 0) AS untried,
    count(*) FILTER (WHERE attempts > 0 AND not_before < ?) AS put_off, min(not_before) AS oldest
    FROM outbox INDEXED BY outbox_waiting WHERE state IN ('queued', 'sending') AND not_before < ?
    AND NOT (attempts = 0 AND next_attempt_at > ?)"""  # that one waits for its hours
_LAST_SENT = "SELECT max(sent_at) AS at FROM outbox INDEXED BY outbox_sent WHERE state = 'sent'"


def look(read: Read, now: datetime) -> Seen:
    """All that a judgement of the desk's health needs."""
    letters, late = (
        read(_LETTERS, stamp(now - REMEMBERED))[0],
        read(_LATE, *map(stamp, (now - PUT_OFF, now - LATE, now)))[0],
    )
    fetched = last_fetch(read, now)
    return Seen(
        servers=_servers(read),
        last_fetch_at=instant(fetched) if fetched else None,
        failed_mails=read("SELECT count(*) AS n FROM inbound WHERE state = 'failed'")[0]["n"],
        rescans=_rescans(read, now),
        uncertain=letters["uncertain"],
        dead=letters["dead"],
        untold=letters["untold"],
        alarm_letters=letters["alarm_letters"],
        late=late["late"],
        untried=late["untried"],
        moving=late["oldest"] is None or (last_sent(read) or "") > late["oldest"],
        put_off=late["put_off"],
        probe_missing_since=_missing_probe(read, now),
        move_problem=_fact(read, "move_problem"),
        sent_problem=_fact(read, "sent_problem"),
        held=_fact(read, HELD),
        missing=_fact(read, MISSING),
    )


def last_fetch(read: Read, now: datetime) -> str | None:
    """When a mailbox was last read. What lies in the future is a wrong clock's, and must not hide that there was none
    since."""
    sql = "SELECT max(last_fetch_at) AS at FROM mailbox_cursor WHERE last_fetch_at <= ?"
    at: str | None = read(sql, stamp(now + CLOCK_SLACK))[0]["at"]
    return at


def last_sent(read: Read) -> str | None:
    """When a server last took a letter."""
    at: str | None = read(_LAST_SENT)[0]["at"]
    return at


def last_heartbeat(read: Read) -> str | None:
    """When a probe was last seen to come back."""
    at: str | None = read("SELECT max(back_at) AS at FROM heartbeat")[0]["at"]
    return at


def _servers(read: Read) -> tuple[Server, ...]:
    rows = read("SELECT * FROM provider WHERE problem IS NOT NULL ORDER BY name")
    return tuple(
        Server(row["name"], row["problem"], instant(row["failing_since"]), bool(row["refused"])) for row in rows
    )


def _rescans(read: Read, now: datetime) -> int:
    sql = "SELECT count(*) AS n FROM inbound WHERE verdict = 'rescan' AND stored_at > ?"
    return int(read(sql, stamp(now - REMEMBERED))[0]["n"])


def _missing_probe(read: Read, now: datetime) -> datetime | None:
    """When the first probe was sent that should be back, since the last one that is."""
    rows = read(
        """SELECT coalesce(sent_at, not_before) AS at FROM heartbeat CROSS JOIN outbox ON outbox.id = outbox_id
        WHERE outbox_id > coalesce((SELECT max(outbox_id) FROM heartbeat WHERE back_at IS NOT NULL), 0)
        AND outbox.state IN ('sent', 'uncertain', 'dead') AND coalesce(sent_at, not_before) BETWEEN ? AND ?
        ORDER BY outbox_id LIMIT 1""",
        stamp(now - REMEMBERED), stamp(now - BACK_WITHIN),
    )  # fmt: skip
    return instant(rows[0]["at"]) if rows else None


def _fact(read: Read, name: str) -> str:
    rows = read("SELECT value FROM fact WHERE name = ?", name)
    return str(rows[0]["value"]) if rows else ""
