"""What people read of the store, in the JSON shapes of the contract. Opened read-only: it writes nothing.

Times come out as RFC 3339 with the office's offset, days as ISO dates, absent ones as None.
"""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pqr_mailbot.adapters.migrations import migrations
from pqr_mailbot.adapters.sqlite_cases import moved_deadlines
from pqr_mailbot.adapters.sqlite_health import last_fetch, last_heartbeat, last_sent, look
from pqr_mailbot.adapters.sqlite_ledger import JUNK
from pqr_mailbot.adapters.sqlite_store import StoreProblem, instant, problem_of, words_left
from pqr_mailbot.domain.business_days import BusinessCalendar, Pause, local_day
from pqr_mailbot.domain.casework import Moved
from pqr_mailbot.domain.health import STORE, Expected, problems
from pqr_mailbot.domain.model import State
from pqr_mailbot.domain.policy import SHIPPED_TYPES, TicketType, counted

Row = dict[str, Any]
INBOUND_STATES = ("new", "done", "set_aside", "failed")
OUTBOX_STATES = ("queued", "sending", "sent", "uncertain", "dead")
LARGEST_ID = 2**63 - 1
BUSY_SECONDS = 10.0
MOST_DAMAGES = 100  # of one kind that are told: nobody reads more

_MISSING = "{}: no store yet; `pqr-mailbot run` makes it"
_TICKET = (
    """SELECT ticket.*, person.name AS customer_name FROM ticket JOIN person ON person.address = ticket.customer"""
)


_SUSPENDED = """state = 'waiting' AND type IN (SELECT value FROM json_each(?)) AND EXISTS (
    SELECT 1 FROM pause WHERE pause.reference = ticket.reference AND completed_on IS NULL)"""
SHIPPED: Mapping[str, TicketType] = {kind.key: kind for kind in SHIPPED_TYPES}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tickets: each field None or False means all."""

    state: str | None = None
    type: str | None = None
    owner: str | None = None
    overdue: bool = False


class NoStore(StoreProblem):
    """There is none yet, or an empty file in its place; starting the daemon makes it."""


class OlderStore(StoreProblem):
    """A store as an earlier version left it; starting the daemon brings it up to date."""


class Views:
    """The store for reading, in the office's zone: everything is seen as it was at the first look."""

    def __init__(
        self, path: Path, zone: ZoneInfo, calendar: BusinessCalendar, types: Mapping[str, TicketType] = SHIPPED
    ) -> None:
        """Raises StoreProblem when there is no store that can be read; NoStore, OlderStore when starting mends it."""
        self._zone, self._calendar, self._types, self._path = zone, calendar, types, path
        self._db = opened(path)
        try:
            self._check_schema()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._db.close()

    def _check_schema(self) -> None:
        self._all("PRAGMA query_only = ON")
        self._all("BEGIN")
        try:
            schema_steps(self._db, self._path)
        except sqlite3.Error as error:
            raise problem_of(self._path, error) from error

    def soundness(self) -> tuple[str, datetime | None]:
        """What SQLite says of the file ("ok", or the first damage), and the instant of the last event in it."""
        (damage,) = self._one("PRAGMA quick_check(1)").values()
        last = self._one("SELECT max(at) AS at FROM ticket_event")["at"]
        return str(damage), instant(last) if last else None

    # -- tickets ---------------------------------------------------------------------------------------------------

    def tickets(self, wanted: Filter, today: date) -> list[Row]:
        where, values = ["1"], []
        for column, value in (("state", wanted.state), ("type", wanted.type), ("owner", wanted.owner)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        if wanted.overdue:
            where.append("due_on < ? AND state NOT IN ('resolved', 'closed')")
            where.append(f"NOT ({_SUSPENDED})")
            values += [today.isoformat(), json.dumps([key for key, kind in self._types.items() if kind.wait_months])]
        rows = self._all(f"{_TICKET} WHERE {' AND '.join(where)} ORDER BY ticket.id", *values)
        return [self._ticket(row) for row in rows]

    def ticket(self, reference: str, today: date) -> Row | None:
        rows = self._all(f"{_TICKET} WHERE reference = ?", reference)
        if not rows:
            return None
        row = rows[0]
        return {
            **self._ticket(row),
            "messages": [self._message(m) for m in self._messages(reference)],
            "events": self._events(reference),
            "deadline": self._deadline(row, today),
            "related": self._related(reference),
        }

    def _ticket(self, row: Row) -> Row:
        return {
            "reference": row["reference"],
            "type": row["type"],
            "state": row["state"],
            "subject": row["subject"],
            "customer": {"name": row["customer_name"], "address": row["customer"]},
            "owner": row["owner"],
            "level": row["level"],
            "urgent": bool(row["urgent"]),
            "opened_at": self._time(row["opened_at"]),
            "acknowledged_at": self._time(row["acknowledged_at"]),
            "due_on": row["due_on"],
            "first_answered_at": self._time(row["first_answered_at"]),
            "resolved_at": self._time(row["resolved_at"]),
            "closed_at": self._time(row["closed_at"]),
        }

    def _deadline(self, row: Row, today: date) -> Row:
        """Counted anew from the receipt, with the holidays it skipped."""
        extension, pauses = counted(self._types.get(row["type"]), row["extension_days"], self._pauses(row))
        days = row["business_days"] + extension
        term = self._calendar.term(local_day(instant(row["opened_at"]), self._zone), days, pauses)
        due_on = date.fromisoformat(row["due_on"])
        return {
            "due_on": row["due_on"],
            "business_days": days,
            "days_left": self._calendar.days_left(today, due_on),
            "skipped": [{"date": day.date.isoformat(), "name": day.name} for day in term.skipped],
        }

    def _pauses(self, row: Row) -> list[Pause]:
        rows = self._all("SELECT asked_on, completed_on FROM pause WHERE reference = ?", row["reference"])
        return [
            Pause(date.fromisoformat(one["asked_on"]), date.fromisoformat(one["completed_on"]))
            for one in rows
            if one["completed_on"]
        ]

    def _messages(self, reference: str) -> list[Row]:
        """The conversation, with that of the cases merged into this one."""
        return self._all(
            """WITH RECURSIVE names (reference) AS (
                SELECT ? UNION SELECT ticket.reference FROM ticket JOIN names ON merged_into = names.reference
            )
            SELECT message.*, outbox.sent_at AS left_at
            FROM message LEFT JOIN outbox ON outbox.id = message.outbox_id
            WHERE message.reference IN (SELECT reference FROM names) ORDER BY message.id""",
            reference,
        )

    def _message(self, row: Row) -> Row:
        return {
            "id": row["id"],
            "direction": row["direction"],
            "letter": row["letter"],
            "author": row["author"],
            "recipients": json.loads(row["recipients"]),
            "subject": row["subject"],
            "message_id": row["message_id"],
            "sent_at": self._time(row["left_at"] if row["outbox_id"] else row["at"]),
            "text": row["text"],
            "full_text": row["full_text"],
            "attachments": json.loads(row["attachments"]),
            "verified": None if row["verified"] is None else bool(row["verified"]),
        }

    def _events(self, reference: str) -> list[Row]:
        rows = self._all("SELECT at, actor, event, detail FROM ticket_event WHERE reference = ? ORDER BY id", reference)
        return [{**row, "at": self._time(row["at"])} for row in rows]

    def corrections(self) -> list[Row]:
        """What colleagues ordered a case to be: its last type, and the customer's first words (no erased ones)."""
        return self._all(
            """SELECT event.reference, event.detail, message.subject, message.text
            FROM ticket_event AS event JOIN message ON message.id = (
                SELECT min(id) FROM message WHERE reference = event.reference AND direction = 'in'
            )
            WHERE event.id IN (SELECT max(id) FROM ticket_event WHERE event = 'reclassified' GROUP BY reference)
                AND event.detail IS NOT NULL ORDER BY event.id"""
        )

    def _related(self, reference: str) -> list[str]:
        rows = self._all(
            """SELECT other AS found FROM ticket_link WHERE reference = ?1
            UNION SELECT reference FROM ticket_link WHERE other = ?1 ORDER BY found""",
            reference,
        )
        return [row["found"] for row in rows]

    def looked_on(self, day: date) -> bool:
        """Has the clock's morning round of a day been done, with nothing left to look at?"""
        done = self._all("SELECT 1 FROM fired WHERE rule = 'morning' AND cycle = ?", day.isoformat())
        waiting = self._all("SELECT 1 FROM ticket WHERE look_on <= ? AND state <> 'closed' LIMIT 1", day.isoformat())
        return bool(done) and not waiting

    def moved_deadlines(self) -> list[Moved]:
        """The live cases whose deadline today's calendar counts otherwise: starting the daemon moves them."""
        return moved_deadlines(self._all, self._calendar, self._zone, self._types)

    def search(self, text: str) -> list[Row]:
        """Full text, accents and case aside; every word must be there. What people type is never query syntax."""
        words = " ".join('"' + word.replace('"', '""') + '"' for word in text.split())
        if not words:
            return []
        rows = self._all(
            """SELECT message.reference, message.message_id, message.author, message.at, outbox.sent_at AS left_at,
                message.outbox_id, snippet(message_fts, -1, '', '', '…', 24) AS snippet
            FROM message_fts JOIN message ON message.id = message_fts.rowid
            LEFT JOIN outbox ON outbox.id = message.outbox_id
            WHERE message_fts MATCH ? ORDER BY message.id DESC""",
            words.replace("\0", ""),
        )
        return [
            {
                "reference": row["reference"],
                "message_id": row["message_id"],
                "author": row["author"],
                "sent_at": self._time(row["left_at"] if row["outbox_id"] else row["at"]),
                "snippet": " ".join(row["snippet"].split()),
            }
            for row in rows
        ]

    # -- mail in and out -------------------------------------------------------------------------------------------

    def inbox(self, state: str | None) -> list[Row]:
        rows = self._all(
            """SELECT id, state, verdict, reason, message_id, sender, subject, reference, received_at, attempts, error
            FROM inbound WHERE ?1 IS NULL OR state = ?1 ORDER BY id""",
            state,
        )
        return [{**row, "received_at": self._time(row["received_at"])} for row in rows]

    def outbox(self, state: str | None) -> list[Row]:
        rows = self._all(
            """SELECT id, state, letter, reference, recipient, message_id, attempts, next_attempt_at, sent_at,
            smtp_reply, error FROM outbox WHERE ?1 IS NULL OR state = ?1 ORDER BY id""",
            state,
        )
        for row in rows:
            row["next_attempt_at"] = self._time(row["next_attempt_at"]) if row["state"] == "queued" else None
            row["sent_at"] = self._time(row["sent_at"])
        return rows

    def inbound_state(self, inbound_id: int) -> str | None:
        """The state of a mail, None when there is no such mail."""
        rows = self._all("SELECT state FROM inbound WHERE id = ?", inbound_id)
        return rows[0]["state"] if rows else None

    def explain(self, wanted: str) -> list[Row]:
        """The decision trail of a mail by inbound id or Message-ID; a Message-ID may have come more than once."""
        by_id = wanted.isascii() and wanted.isdigit() and int(wanted) <= LARGEST_ID
        bracketed = wanted if wanted.startswith("<") else f"<{wanted}>"
        rows = self._all(
            f"SELECT * FROM inbound WHERE {'id' if by_id else 'message_id'} = ? ORDER BY id",
            int(wanted) if by_id else bracketed,
        )
        return [self._trail(row) for row in rows]

    def _trail(self, row: Row) -> Row:
        trail: Mapping[str, Any] = json.loads(row["trail"]) if row["trail"] else {}
        return {
            "inbound_id": row["id"],
            "verdict": row["verdict"],
            "reason": row["error"].splitlines()[-1] if row["state"] == "failed" and row["error"] else row["reason"],
            "header": trail.get("header"),
            "clue": trail.get("clue"),
            "key": trail.get("key"),
            "sender_trust": trail.get("sender_trust"),
            "reference": row["reference"],
            "classification": trail.get("classification"),
            "effects": trail.get("effects", []),
        }

    # -- health ----------------------------------------------------------------------------------------------------

    def status(self, now: datetime, expected: Expected) -> Row:
        """Is the desk healthy? `expected`: what a healthy one does."""
        inbox = self._counts("inbound", INBOUND_STATES)
        outbox = self._counts("outbox", OUTBOX_STATES)
        tickets = self._counts("ticket", tuple(State))
        wrong = [problem.text for problem in problems(look(self._all, now), expected, self._zone, now)]
        alarms = self._all("SELECT name, text FROM alarm ORDER BY told_at, name")
        # What only the daemon knows of: it says so beside the store, and what was told of it may not be over yet.
        of_the_store = [words_left(self._path), *(row["text"] for row in alarms if row["name"] == STORE)]
        wrong += list(filter(None, of_the_store))[:1]
        return {
            "healthy": not wrong,
            "problems": wrong,
            "notices": self._notices(),  # an admin should know; nothing is ill
            "alarms": [row["name"] for row in alarms],
            "last_fetch_at": self._time(last_fetch(self._all, now)),
            "last_send_at": self._time(last_sent(self._all)),
            "heartbeat_at": self._time(last_heartbeat(self._all)),
            **self._token(),
            "inbox": inbox,
            "outbox": outbox,
            "tickets": tickets,
            "overdue": len(self.tickets(Filter(overdue=True), local_day(now, self._zone))),
        }

    def _token(self) -> Row:
        """The access token of a login by OAuth2, as last known; None without one."""
        rows = self._all("SELECT expires_at, refreshed_at FROM oauth_token")
        row = rows[0] if rows else {}
        return {
            "token_expires_at": self._time(row.get("expires_at")),
            "token_refreshed_at": self._time(row.get("refreshed_at")),
        }

    def _notices(self) -> list[str]:
        found = self._all("SELECT value FROM fact WHERE name IN ('sent_absent', ?) AND value <> '' ORDER BY name", JUNK)
        return [row["value"] for row in found]

    def _counts(self, table: str, states: Sequence[str]) -> dict[str, int]:
        """Every state with its number, so that a script need not ask whether it is there."""
        rows = self._all(f"SELECT state, count(*) AS n FROM {table} GROUP BY state")
        return {**dict.fromkeys(map(str, states), 0), **{row["state"]: row["n"] for row in rows}}

    # -- plumbing --------------------------------------------------------------------------------------------------

    def _time(self, text: str | None) -> str | None:
        return instant(text).astimezone(self._zone).isoformat(timespec="seconds") if text else None

    def _all(self, sql: str, *values: object) -> list[Row]:
        try:
            cursor = self._db.execute(sql, values)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except sqlite3.Error as error:
            raise problem_of(self._path, error) from error

    def _one(self, sql: str, *values: object) -> Row:
        return self._all(sql, *values)[0]


def schema_steps(db: sqlite3.Connection, path: Path) -> None:
    """Raises StoreProblem unless it is a store of this version: NoStore, OlderStore when starting mends that."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if not tables:
        raise NoStore(_MISSING.format(path))
    if "_sqlite_migrations" not in tables:
        raise StoreProblem(f"{path}: is no store of pqr-mailbot")
    rows = db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'pqr_mailbot' ORDER BY id")
    known = [migration.name for migration in migrations._migrations]  # no public list of names
    applied = [name for (name,) in rows]
    if set(applied) - set(known):
        raise StoreProblem(f"{path}: written by a newer version of pqr-mailbot (schema step {applied[-1]})")
    if applied != known:
        raise OlderStore(f"{path}: of an older version of pqr-mailbot; starting it brings it up to date")


def opened(path: Path) -> sqlite3.Connection:
    """A store for reading. Raises StoreProblem saying what stands in the way."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise NoStore(_MISSING.format(path)) from None
    except OSError as error:
        raise StoreProblem(f"{path}: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        raise StoreProblem(f"{path}: is a directory, expected the file of a store")
    if not status.st_size:  # a daemon is making it at this moment
        raise NoStore(_MISSING.format(path))
    try:
        return sqlite3.connect(_read_only(path), uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise problem_of(path, error) from error


def _read_only(path: Path) -> str:
    """Opening a store in WAL mode makes files beside it, even for reading. While nobody has it open there are none,
    and none are needed: nothing changes, and the copy of a store on a disk that cannot be written can be read."""
    path = path.resolve()
    at_rest = not any(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-journal"))
    return f"{path.as_uri()}?mode=ro{'&immutable=1' if at_rest else ''}"
