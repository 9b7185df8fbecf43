"""What is wrong with a store: the file, the chain of its history, and rows that must fit each other. It only reads.

Every check stands alone, so that a file which is half unreadable still tells what of it is damaged.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zstandard

from pqr_mailbot.adapters.sqlite_ledger import SKIPPED
from pqr_mailbot.adapters.sqlite_store import commitment, event_hash
from pqr_mailbot.adapters.sqlite_views import MOST_DAMAGES, opened, schema_steps
from pqr_mailbot.domain.lost_time import skipped_numbers

Row = dict[str, Any]
Read = Callable[..., Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Damage:
    """`check`: which one found it. `what`: the row or the part of the file. `detail`: what is wrong there."""

    check: str
    what: str
    detail: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def damages(path: Path) -> list[Damage]:
    """Everything that is wrong, empty when the store is sound. Raises StoreProblem when there is no file that could be
    a store of this version; a file that is damaged is no such case."""
    with closing(opened(path)) as db:
        try:
            schema_steps(db, path)
        except sqlite3.Error as error:
            return [Damage("file", path.name, str(error))]
        read = _reader(db)
        found = [damage for check in (_file, _keys) for damage in _told(check, read)]
        return [*found, *(damage for check in CHECKS for damage in _told(check, read))]


def file_damages(db: sqlite3.Connection) -> list[Damage]:
    """The quick part, for a copy just made: the file itself, and rows that name rows which are not there."""
    return [damage for check in (_file, _keys) for damage in _told(check, _reader(db))]


def _reader(db: sqlite3.Connection) -> Read:
    def read(sql: str, *values: object) -> Iterator[Row]:
        cursor = db.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return (dict(zip(names, row, strict=True)) for row in cursor)

    return read


def _told(check: Callable[[Read], Iterator[Damage]], read: Read) -> list[Damage]:
    """What a check finds, at most so much that a person reads it; where it cannot go on, that is the damage."""
    found: list[Damage] = []
    name = check.__name__.strip("_")
    try:
        for damage in check(read):
            found.append(damage)
            if len(found) >= MOST_DAMAGES:
                break
    except (sqlite3.Error, UnicodeDecodeError, ValueError, TypeError, AttributeError) as error:
        found.append(Damage(name, "unreadable", f"{type(error).__name__}: {error}"))
    return found


def _file(read: Read) -> Iterator[Damage]:
    for row in read(f"PRAGMA integrity_check({MOST_DAMAGES})"):
        (said,) = row.values()
        if said != "ok":
            yield Damage("file", "integrity_check", str(said))


def _keys(read: Read) -> Iterator[Damage]:
    for row in read("PRAGMA foreign_key_check"):
        yield Damage("keys", f"{row['table']} {row['rowid']}", f"names a row of {row['parent']} that is not there")


def _chain(read: Read) -> Iterator[Damage]:
    """Each event carries the hash of the one before, and commitments to what was said, unless it was erased."""
    last, number = "", 0
    for row in read("SELECT * FROM ticket_event ORDER BY id"):
        what, number = f"ticket_event {row['id']}", number + 1
        if row["id"] != number:
            yield Damage("chain", what, f"event {number} is missing before it")
            number = row["id"]
        if row["previous_hash"] != last:
            yield Damage("chain", what, "does not follow on the event before it")
        if row["hash"] != event_hash(row):
            yield Damage("chain", what, "was changed after it was written")
        for name in ("actor", "detail"):
            erased = row["salt"] is None or row[name] is None
            if not erased and commitment(row["salt"], row[name]) != row[f"{name}_commitment"]:
                yield Damage("chain", what, f"its {name} was changed after it was written")
        last = row["hash"]


def _tickets(read: Read) -> Iterator[Damage]:
    lists = {
        # What a colleague separated, or merged, may have left a case without one.
        "has no opening mail": """merged_into IS NULL AND NOT EXISTS (
                SELECT 1 FROM message WHERE message.reference = ticket.reference AND direction = 'in')
            AND NOT EXISTS (
                SELECT 1 FROM ticket_event WHERE ticket_event.reference = ticket.reference AND event = 'split')""",
        "has no history": "NOT EXISTS (SELECT 1 FROM ticket_event WHERE ticket_event.reference = ticket.reference)",
        "was merged into itself": """merged_into IS NOT NULL AND reference IN (
            WITH RECURSIVE up (above) AS (
                SELECT ticket.merged_into UNION
                SELECT other.merged_into FROM up JOIN ticket AS other ON other.reference = up.above
            ) SELECT above FROM up)""",
        "has a reference that is not its number": "reference NOT LIKE printf('%%-%04d-%06d', year, number)",
    }
    for detail, where in lists.items():
        for row in read(f"SELECT reference FROM ticket WHERE {where} ORDER BY id"):
            yield Damage("tickets", row["reference"], detail)


def _counter(read: Read) -> Iterator[Damage]:
    """Numbers without holes, but for those that a restore is known to have skipped."""
    noted = [row["detail"] or "" for row in read("SELECT detail FROM ticket_event WHERE event = ?", SKIPPED)]
    spans = [span for detail in noted for span in skipped_numbers(detail)]
    holes = read("""WITH given (year, number) AS (
            SELECT year, number FROM ticket UNION SELECT year, last + 1 FROM reference_counter
        ), pairs AS (
            SELECT year, number, lag(number, 1, 0) OVER (PARTITION BY year ORDER BY number) AS before FROM given
        ) SELECT year, before + 1 AS first, number - 1 AS last FROM pairs WHERE number > before + 1""")
    for hole in holes:
        year, numbers = hole["year"], range(hole["first"], hole["last"] + 1)
        inside = [range(first, last + 1) for y, first, last in spans if y == year]
        if any(not any(number in span for span in inside) for number in numbers):
            yield Damage("counter", f"{year}: {numbers[0]} to {numbers[-1]}", "numbers that no ticket has")
    for row in read("""SELECT reference FROM ticket LEFT JOIN reference_counter AS counter USING (year)
            WHERE number > coalesce(counter.last, 0) ORDER BY ticket.id"""):
        yield Damage("counter", row["reference"], "is above the counter: its number would be given again")


def _outbox(read: Read) -> Iterator[Damage]:
    lists = {
        "a letter to a customer about no ticket": """customer_facing AND reference IS NULL
            AND NOT EXISTS (SELECT 1 FROM message WHERE message.outbox_id = outbox.id)""",
        "sent, and nobody knows when": "state = 'sent' AND sent_at IS NULL",
        "empty": "length(raw) = 0 AND state IN ('queued', 'sending')",
    }
    for detail, where in lists.items():
        for row in read(f"SELECT id FROM outbox WHERE {where} ORDER BY id"):
            yield Damage("outbox", f"outbox {row['id']}", detail)


def _inbox(read: Read) -> Iterator[Damage]:
    for row in read("""SELECT id FROM inbound WHERE state = 'done' AND reference IS NULL
            AND id IN (SELECT inbound_id FROM message) ORDER BY id"""):
        yield Damage("inbox", f"inbound {row['id']}", "became a message and names no ticket")
    for row in read("""SELECT mailbox_cursor.mailbox, max(uid) AS uid, last_uid FROM mailbox_cursor JOIN inbound
            ON inbound.mailbox = mailbox_cursor.mailbox AND inbound.uidvalidity = mailbox_cursor.uidvalidity
            GROUP BY mailbox_cursor.mailbox HAVING max(uid) > last_uid"""):
        yield Damage("inbox", row["mailbox"], f"mail {row['uid']} is kept, but the cursor stands at {row['last_uid']}")
    inflate = zstandard.ZstdDecompressor()
    for row in read("SELECT id, raw, sha256 FROM inbound ORDER BY id"):
        if row["raw"]:  # an erased mail has none
            try:
                digest = hashlib.sha256()
                for piece in inflate.read_to_iter(row["raw"]):
                    digest.update(piece)
                sound = digest.hexdigest() == row["sha256"]
            except zstandard.ZstdError:
                sound = False
            if not sound:
                yield Damage("inbox", f"inbound {row['id']}", "its raw mail is not what was received")


def _search(read: Read) -> Iterator[Damage]:
    for row in read("""SELECT id FROM message WHERE NOT EXISTS (
            SELECT 1 FROM message_fts_docsize WHERE message_fts_docsize.id = message.id) ORDER BY id"""):
        yield Damage("search", f"message {row['id']}", "cannot be found by `search`")


def _secrets(read: Read) -> Iterator[Damage]:
    if not list(read("SELECT id FROM signing_key WHERE length(key) >= 16 LIMIT 1")):
        yield Damage("secrets", "signing_key", "there is none: answers to letters are believed no more")
    if not list(read("SELECT value FROM fact WHERE name = 'store_id'")):
        yield Damage("secrets", "fact", "the store has lost its name")


CHECKS = (_chain, _tickets, _counter, _outbox, _inbox, _search, _secrets)
