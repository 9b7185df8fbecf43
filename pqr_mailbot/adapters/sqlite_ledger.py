"""The store held against the mailbox: which mails it has, and what a restored backup may and may not do about them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pqr_mailbot.adapters.sqlite_store import Store, instant, stamp
from pqr_mailbot.domain.decide import DESK
from pqr_mailbot.domain.effects import NoteEvent
from pqr_mailbot.domain.lost_time import skipped_words

HELD = "held_after_restore"  # the facts: why nothing is handled or sent, "" when all is well;
RESTORED, LAST_SIGN = "restored_at", "restored_from"  # from when to when the store knows nothing;
READ_TO = "restored_read_to"  # how far each mailbox had been read then: JSON, UIDVALIDITY and UID;
NUMBERS = "restored_numbers"  # the last number of each year in the backup: JSON;
GIVEN = "restored_over_numbers"  # the last number of each year that the store given up for the backup had: JSON;
MISSING, JUNK = "missing_mail", "junk_mail"  # what `status` tells of the last look at the mailbox;
LOOKED_ON = "reconciled_on"  # and the day of that look
SKIPPED = "references_skipped"  # the event that explains numbers without a ticket
DOUBT = "the store was restored: it may have been sent before"


@dataclass(frozen=True, slots=True)
class LostTime:
    """From the last sign of life in the backup to the restore."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """A mail as the store has it. `message_id` None: not handled yet."""

    uid: int
    message_id: str | None
    received_at: datetime
    sender: str | None
    subject: str | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads and writes inside the caller's transaction."""

    store: Store

    # -- after a restore -------------------------------------------------------------------------------------------

    def note_restored(self, now: datetime, given: Mapping[int, int]) -> None:
        """From now on nothing is handled or sent until `reconcile` says so. For a store of any version. `given`: the
        last number of each year in the store that is given up.

        A backup made between a restore and its `reconcile` knows nothing of the time that was lost then either.
        """
        row = self.store._one(
            """SELECT max(at) AS at FROM (SELECT max(last_fetch_at) AS at FROM mailbox_cursor
            UNION SELECT max(stored_at) FROM inbound UNION SELECT max(at) FROM ticket_event)"""
        )
        still_lost = self.store.fact(LAST_SIGN) if self.held() else None
        known = self.given() if still_lost else {}
        numbers = {year: max(given.get(year, 0), known.get(year, 0)) for year in {*given, *known}}
        begin = still_lost or row["at"] or stamp(now)
        read_to = {
            row["mailbox"]: [row["uidvalidity"], row["last_uid"]]
            for row in self.store._all("SELECT mailbox, uidvalidity, last_uid FROM mailbox_cursor")
        }
        with self.store.transaction():
            if not still_lost:
                self.store.set_fact(READ_TO, json.dumps(read_to))
                self.store.set_fact(NUMBERS, json.dumps(self.counters()))
            self.store.set_fact(GIVEN, json.dumps(numbers))
            held = f"restored from a backup of {begin[:16].replace('T', ' ')} UTC: nothing is sent until `reconcile`"
            for name, value in ((HELD, held), (RESTORED, stamp(now)), (LAST_SIGN, min(begin, stamp(now)))):
                self.store.set_fact(name, value)
            self.store.note_event(NoteEvent(None, DESK, "restored", f"from a backup of {begin}"), now)

    def held(self) -> str:
        """Why nothing may be handled or sent; "" when all is well."""
        return self.store.fact(HELD) or ""

    def release(self, now: datetime) -> None:
        self.store.set_fact(HELD, "")
        self.store.note_event(NoteEvent(None, DESK, "reconciled", "after a restore"), now)

    def lost_time(self) -> LostTime | None:
        """Of the last restore."""
        begin, end = self.store.fact(LAST_SIGN), self.store.fact(RESTORED)
        return LostTime(instant(begin), instant(end)) if begin and end else None

    def arrived_since(self, mailbox: str, uidvalidity: int, uidnext: int) -> int:
        """How many mails have come into a folder in the lost time, those that are gone from it too."""
        then = json.loads(self.store.fact(READ_TO) or "{}").get(mailbox, [0, 0])
        return max(0, uidnext - 1 - then[1]) if then[0] == uidvalidity else 0

    def given(self) -> dict[int, int]:
        """The last number of each year that the store given up for this one had."""
        return _numbers(self.store.fact(GIVEN) or "{}")

    def counters_then(self) -> dict[int, int]:
        """The last number of each year in the backup, however far a `reconcile` that was killed had come."""
        noted = self.store.fact(NUMBERS)
        return _numbers(noted) if noted is not None else self.counters()

    def doubt_mails(self, lost: LostTime) -> list[int]:
        """The mails that wait and may have been handled in the lost time, in the order in which they came; what was
        sent goes after what was received."""
        self.store._run("UPDATE inbound SET doubtful = 1 WHERE state = 'new' AND received_at <= ?", stamp(lost.end))
        rows = self.store._all(
            "SELECT id FROM inbound WHERE state = 'new' AND doubtful ORDER BY received_at, folder = 'sent', id"
        )
        return [row["id"] for row in rows]

    def doubt_late(self, inbound_id: int, received_at: datetime) -> bool:
        """A mail that is handled after `reconcile`: does it come out of the lost time? Somebody had filed it, say, and
        put it back into the inbox. Then it may have been handled too."""
        lost = self.lost_time()
        if lost is None or not lost.begin.replace(microsecond=0) <= received_at <= lost.end:  # IMAP has whole seconds
            return False
        self.store._run("UPDATE inbound SET doubtful = 1 WHERE id = ?", inbound_id)
        return True

    def doubt_letters(self, lost: LostTime) -> int:
        """Letters to customers that were in the queue when the backup was made are not sent by themselves. Colleagues
        get theirs, if need be twice, with the same Message-ID. Returns how many are held."""
        done = self.store.db.conn.execute(
            """UPDATE outbox SET state = 'uncertain', error = ? WHERE state IN ('queued', 'sending') AND customer_facing
            AND created_at <= ? AND not_before <= ?""",
            [DOUBT, stamp(lost.begin), stamp(lost.end)],
        )
        return done.rowcount

    def doubted(self) -> int:
        """How many letters wait for a person because they may have been sent before."""
        sql = "SELECT count(*) AS n FROM outbox WHERE state = 'uncertain' AND error = ?"
        return int(self.store._one(sql, DOUBT)["n"])

    def mails_since(self, begin: datetime) -> list[tuple[int, bool]]:
        """Inbound id and whether it is one of the Sent folder, of mails since an instant, oldest first."""
        rows = self.store._all(
            "SELECT id, folder FROM inbound WHERE received_at >= ? OR state = 'new' ORDER BY received_at, id",
            stamp(begin),
        )
        return [(row["id"], row["folder"] == "sent") for row in rows]

    def unknown_tokens(self, tokens: Collection[str]) -> set[str]:
        """Those of the tokens that no letter of the store has."""
        known = self.store._all(
            "SELECT token FROM outbox WHERE token IN (SELECT value FROM json_each(?))", json.dumps(sorted(tokens))
        )
        return set(tokens) - {row["token"] for row in known}

    def references(self) -> set[str]:
        return {row["reference"] for row in self.store._all("SELECT reference FROM ticket")}

    def counters(self) -> dict[int, int]:
        """The last number of each year."""
        return {row["year"]: row["last"] for row in self.store._all("SELECT year, last FROM reference_counter")}

    def raise_counters(self, highest: Mapping[int, int], now: datetime) -> None:
        """Numbers go on above these; which ones are skipped is noted."""
        last = self.counters()
        for year, number in sorted(highest.items()):
            if number > last.get(year, 0):
                self.store._run(
                    "INSERT INTO reference_counter VALUES (?, ?) ON CONFLICT DO UPDATE SET last = excluded.last",
                    year, number,
                )  # fmt: skip
                detail = skipped_words(year, last.get(year, 0) + 1, number)
                self.store.note_event(NoteEvent(None, DESK, SKIPPED, detail), now)

    # -- mails -----------------------------------------------------------------------------------------------------

    def unkept(self, mailbox: str, uidvalidity: int, uids: Sequence[int]) -> list[int]:
        """Those of the UIDs of which the store has no row."""
        return sorted(set(uids) - set(self.store.stored_uids(mailbox, uidvalidity, uids)))

    def kept(self, mailbox: str, uidvalidity: int) -> list[Kept]:
        """Every mail that was ever in this folder, by UID."""
        rows = self.store._all(
            """SELECT uid, message_id, received_at, sender, subject FROM inbound
            WHERE mailbox = ? AND uidvalidity = ? ORDER BY uid""",
            mailbox, uidvalidity,
        )  # fmt: skip
        return [Kept(**{**row, "received_at": instant(row["received_at"])}) for row in rows]

    def known_mails(self, message_ids: Collection[str]) -> set[str]:
        """Those of the Message-IDs that a mail of the store has."""
        rows = self.store._all(
            "SELECT message_id FROM inbound WHERE message_id IN (SELECT value FROM json_each(?))",
            json.dumps(sorted(message_ids)),
        )
        return {row["message_id"] for row in rows}

    def customers(self, addresses: Collection[str]) -> set[str]:
        """Those of the addresses that have a case."""
        rows = self.store._all(
            "SELECT DISTINCT customer FROM ticket WHERE customer IN (SELECT value FROM json_each(?))",
            json.dumps(sorted(addresses)),
        )
        return {row["customer"] for row in rows}

    # -- letters whose fate is not known ---------------------------------------------------------------------------

    def uncertain(self, since: datetime) -> list[dict[str, Any]]:
        """Letters written since an instant that may or may not have gone."""
        rows = self.store._all(
            """SELECT id, token, letter, recipient, reference, created_at FROM outbox
            WHERE state = 'uncertain' AND created_at >= ? ORDER BY id""",
            stamp(since),
        )
        return [{**row, "created_at": instant(row["created_at"])} for row in rows]

    def went(self, letter: Mapping[str, Any], at: datetime, now: datetime) -> None:
        """It lies in the Sent folder: it did go."""
        self.store.letter_went(letter["id"], at)
        detail = f"{letter['letter']} to {letter['recipient']}: found in the Sent folder"
        for reference in self.store.cases_of(letter["id"]) or [letter["reference"]] * bool(letter["reference"]):
            self.store.note_event(NoteEvent(reference, DESK, "letter_sent", detail), now)


def _numbers(noted: str) -> dict[int, int]:
    return {int(year): int(last) for year, last in json.loads(noted).items()}
