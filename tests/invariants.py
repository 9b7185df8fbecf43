"""What must hold of a desk after whatever was done to it: no mail, case, letter or line of history lost, none twice.

It is compared with the books of a desk to which nothing was done, and with what the SMTP server really got.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers import Received

from pqr_mailbot.adapters.sqlite_store import event_hash
from pqr_mailbot.adapters.sqlite_verify import damages

Letter = tuple[Any, ...]  # its name, whom it went to, about which case

# What is the same in every life of a desk that got the same mail; no ids, tokens or instants.
BOOKS = {
    "mails": """SELECT folder, state, verdict, reference, sender, subject, error FROM inbound
        WHERE verdict IS NOT 'own'""",  # a letter of ours that went twice lies twice in Sent
    "cases": """SELECT reference, type, state, subject, customer, owner, level, urgent, due_on, reopened, merged_into,
        acknowledged_at IS NULL, first_answered_at IS NULL, resolved_at IS NULL, closed_at IS NULL FROM ticket""",
    "conversations": "SELECT reference, direction, letter, author, recipients, subject, attachments FROM message",
    "letters": "SELECT letter, recipient, reference, state FROM outbox",
    "history": "SELECT reference, event FROM ticket_event",
    "what fired": "SELECT about, rule, cycle FROM fired",
    "held mails": "SELECT kind, agent, released_at IS NULL FROM held_mail",
    "ratings": "SELECT reference, rating, resolved, words FROM rating",
    "reasons": """SELECT letter, reason.about, rule, cycle FROM letter_reason AS reason
        JOIN outbox ON outbox.id = outbox_id""",
    "links": "SELECT reference, other FROM ticket_link",
    "participants": "SELECT reference, address FROM participant",
}


@dataclass
class Tally:
    """What came of one or many tries. `broken`: every other promise that was not kept, in words."""

    tried: int = 0
    owed: int = 0
    lost: int = 0
    unexplained: int = 0  # letters that went twice without a reason
    explained: int = 0  # that went twice with the same Message-ID, and are counted as such
    broken: list[str] = field(default_factory=list)

    def __iadd__(self, other: Tally) -> Tally:
        for name in ("tried", "owed", "lost", "unexplained", "explained", "broken"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    @property
    def good(self) -> bool:
        return not (self.lost or self.unexplained or self.broken)


@dataclass(frozen=True, slots=True)
class Books:
    """A store in a form that can be compared, and which of its letters arrived."""

    pages: Mapping[str, Counter[tuple[Any, ...]]]
    delivered: Counter[Letter]


def books_of(store: Path, received: Sequence[Received]) -> Books:
    with _reading(store) as db:
        pages = {name: Counter(map(tuple, db.execute(sql))) for name, sql in BOOKS.items()}
        return Books(pages, Counter(key for key, copies, _ in _letters(db, received) if copies))


def audit(
    store: Path, received: Sequence[Received], calm: Books, crashes: int, width: int, given_up: Path | None = None
) -> Tally:
    """`calm`: of a desk that was left in peace. `width`: how many letters may be under way at once. `given_up`: the
    store in whose place a backup was put, if one was."""
    found, tally = books_of(store, received), Tally(tried=1, owed=calm.delivered.total())
    with _reading(store) as db:
        tally.broken += [*_unsound(db), *_differences(calm, found, _never_told(db))]
        tally.broken += _holes(db) if given_up is None else map(str, damages(store))
    lost, more = calm.delivered - found.delivered, found.delivered - calm.delivered
    tally.lost, tally.unexplained = lost.total(), more.total()
    tally.broken += [f"lost: {one}" for one in lost.elements()] + [f"once too often: {one}" for one in more.elements()]
    with _reading(store) as db:
        for key, copies, interrupted in _letters(db, received):
            explained = min(max(copies - 1, 0), interrupted)
            tally.explained += explained
            if copies - 1 > explained:
                tally.unexplained += copies - 1 - explained
                tally.broken.append(f"{copies} copies, interrupted {interrupted} times: {key}")
        unknown = _unknown(db, received)
    if given_up:
        with _reading(store) as db, _reading(given_up) as before:
            unknown &= _unknown(before, received)
            tally += _after_restore(db, before, received)
    tally.broken += [f"nobody knows of a letter with Message-ID {one}" for one in unknown]
    if tally.explained > crashes * width:
        tally.broken.append(f"{tally.explained} letters went twice after {crashes} crashes of {width} connections")
    return tally


# -- after a restore ---------------------------------------------------------------------------------------------------

# What a letter is, whatever its number and its token are: its name, whom it goes to, the mail that opened its case. The
# mail that it answers comes from its header.
_LETTERS = """SELECT message_id, letter, recipient, (SELECT message_id FROM message
        WHERE message.reference = outbox.reference AND direction = 'in' ORDER BY id LIMIT 1) AS opening,
    raw, state, interrupted FROM outbox WHERE customer_facing ORDER BY id"""
_HELD_ANSWERS = """SELECT message_id FROM inbound WHERE id IN (SELECT inbound_id FROM held_mail)"""
_OPENED = """SELECT reference, (SELECT message_id FROM message WHERE message.reference = ticket.reference
    AND direction = 'in' ORDER BY id LIMIT 1) FROM ticket"""
_MAILS = "SELECT DISTINCT message_id FROM inbound WHERE folder = 'inbox' AND reference IS NOT NULL"


@dataclass
class _Fate:
    """Of one letter to a customer, in the life that was lost and in the one that followed."""

    copies: int = 0
    interrupted: int = 0
    states: set[str] = field(default_factory=set)  # of what the store in force says of it


def _after_restore(db: sqlite3.Connection, before: sqlite3.Connection, received: Sequence[Received]) -> Tally:
    """What a customer was promised holds across both lives; `before`: the store that was lost."""
    tally = Tally()
    for what, fate in _fates(db, before, received).items():
        explained = min(max(fate.copies - 1, 0), fate.interrupted)
        if fate.copies - 1 > explained:
            tally.unexplained += fate.copies - 1 - explained
            tally.broken.append(f"a customer got it {fate.copies} times: {what}")
        if not fate.copies and not fate.states & {"uncertain", "queued", "dead"}:
            tally.lost += 1
            tally.broken.append(f"nobody got it, and it is not uncertain: {what}")
        if fate.copies and not fate.states and not _waits_for_a_person(db, what):
            tally.broken.append(f"a customer got it, and the store does not know: {what}")
    caseless = _column(before, _MAILS) - _column(db, _MAILS)
    tally.lost += len(caseless)
    tally.broken += [f"had a case before, and has none: {one}" for one in sorted(caseless)]
    opened, then = dict(db.execute(_OPENED)), dict(before.execute(_OPENED))
    tally.broken += [
        f"{reference} is of {opened[reference]}, and was of {then[reference]}"
        for reference in sorted({*opened} & {*then})
        if opened[reference] != then[reference]
    ]
    return tally


def _fates(
    db: sqlite3.Connection, before: sqlite3.Connection, received: Sequence[Received]
) -> dict[tuple[str, ...], _Fate]:
    copies, fates, seen = Counter(map(_id_of, received)), dict[tuple[str, ...], _Fate](), dict[str, tuple[str, ...]]()
    for life in (db, before):
        for own_id, letter, recipient, opening, raw, state, interrupted in life.execute(_LETTERS):
            known = own_id in seen  # in both lives
            what = seen.setdefault(own_id, (letter, recipient, opening or "", _header("In-Reply-To", raw)))
            fate = fates.setdefault(what, _Fate())
            fate.interrupted += interrupted
            if not known:
                fate.copies += copies[own_id]
            if life is db:
                fate.states.add(state)
    return fates


def _waits_for_a_person(db: sqlite3.Connection, what: tuple[str, ...]) -> bool:
    """An agent's answer of the lost time is held for a word of theirs."""
    return what[0] == "answer" and bool(_column(db, _HELD_ANSWERS))


def _column(db: sqlite3.Connection, sql: str) -> set[str]:
    return {row[0] for row in db.execute(sql)}


# -- one store ---------------------------------------------------------------------------------------------------------


def _reading(store: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10))


def _letters(db: sqlite3.Connection, received: Iterable[Received]) -> Iterator[tuple[Letter, int, int]]:
    """Each letter of the outbox, how often it arrived, how often a crash met it under way."""
    copies = Counter((_id_of(one), one.rcpt_to[0]) for one in received)
    for *key, own_id, interrupted in db.execute(
        "SELECT letter, recipient, reference, message_id, interrupted FROM outbox ORDER BY id"
    ):
        yield tuple(key), copies[own_id, key[1]], interrupted


def _unknown(db: sqlite3.Connection, received: Iterable[Received]) -> set[str]:
    return {_id_of(one) for one in received} - {row[0] for row in db.execute("SELECT message_id FROM outbox")}


def _id_of(letter: Received) -> str:
    return _header("Message-ID", letter.data)


def _header(name: str, raw: bytes) -> str:
    match = re.search(rb"^%s:\s*(\S+)" % name.encode(), raw, re.IGNORECASE | re.MULTILINE)
    return match[1].decode() if match else "none"


def _differences(calm: Books, found: Books, never_told: Counter[tuple[Any, ...]]) -> Iterator[str]:
    """`never_told`: lines of history that a crash kept from being written."""
    for name, page in calm.pages.items():
        missing, more = page - found.pages[name], found.pages[name] - page
        if name == "history":
            missing -= never_told
        if missing or more:
            yield f"{name}: missing {sorted(missing.elements(), key=str)}, too many {sorted(more.elements(), key=str)}"


def _never_told(db: sqlite3.Connection) -> Counter[tuple[Any, ...]]:
    """That a letter went: a crash hid the server's answer, and it came back before it could go again."""
    return Counter(
        (reference, "letter_sent")
        for (reference,) in db.execute("SELECT reference FROM outbox WHERE interrupted AND state = 'dead'")
    )


def _unsound(db: sqlite3.Connection) -> Iterator[str]:
    for check in ("integrity_check", "foreign_key_check"):
        yield from (f"{check}: {row}" for row in db.execute(f"PRAGMA {check}") if row[0] != "ok")
    yield from _broken_chain(db)
    twice = db.execute(
        """SELECT inbound_id, count(*) FROM message WHERE inbound_id IS NOT NULL AND direction = 'in'
        GROUP BY 1 HAVING count(*) > 1"""
    )
    yield from (f"mail {inbound_id} stands {times} times in its case" for inbound_id, times in twice)


def _holes(db: sqlite3.Connection) -> Iterator[str]:
    for year, last in db.execute("SELECT year, last FROM reference_counter").fetchall():
        numbers = [row[0] for row in db.execute("SELECT number FROM ticket WHERE year = ? ORDER BY number", (year,))]
        if numbers != list(range(1, last + 1)):
            yield f"the numbers of {year} have holes: {numbers}, the counter says {last}"


def _broken_chain(db: sqlite3.Connection) -> Iterator[str]:
    previous, cursor = "", db.execute("SELECT * FROM ticket_event ORDER BY id")
    names = [column[0] for column in cursor.description]
    for number, values in enumerate(cursor, start=1):
        row = dict(zip(names, values, strict=True))
        if row["id"] != number or row["previous_hash"] != previous or row["hash"] != event_hash(row):
            yield f"the chain of the history breaks at row {row['id']}"
        previous = row["hash"]
