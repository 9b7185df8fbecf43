"""What the orders of a colleague's mail read from the store: cases with their conversations, lookups, held mails."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pqr_mailbot.adapters import mime_parser
from pqr_mailbot.adapters.letter_mail import own_words
from pqr_mailbot.adapters.sqlite_store import Store, instant, stamp
from pqr_mailbot.domain.business_days import BusinessCalendar, Pause, local_day
from pqr_mailbot.domain.casework import Aside, CaseFile, Found, HeldMail, Incoming, Moved, Words
from pqr_mailbot.domain.letter_facts import PERSONS_LETTERS, history
from pqr_mailbot.domain.model import Address, Attachment, State, Ticket
from pqr_mailbot.domain.policy import TicketType, counted
from pqr_mailbot.domain.reminders import Standing
from pqr_mailbot.domain.situation import Desk

WORDS = 200  # messages of a case that are looked at, the latest
INTERNAL = 10  # letters to colleagues that an answer is held against, the latest
LISTED = 50  # cases in one list

_FOUND = """SELECT ticket.reference, ticket.subject, customer, state, due_on, urgent, '' AS snippet FROM ticket"""
_LIVE = "state NOT IN ('resolved', 'closed')"


@dataclass(frozen=True, slots=True)
class Cases:
    """Reads for one decision, inside its transaction."""

    store: Store

    def file(self, ticket: Ticket, to_be_answered: bool = False) -> CaseFile:
        """A case with its conversation, that of the cases merged into it too. `to_be_answered`: with our letters to
        colleagues about it, which an answer is held against; they take their time to read."""
        names = self._names(ticket.reference)
        words = self._words(names)
        return CaseFile(
            ticket=ticket,
            words=words,
            latest=self._latest(names),
            internal=self._internal(names) if to_be_answered else (),
            acknowledgement=self._acknowledgement(ticket),
            earlier=self.store.earlier_tickets(ticket.customer.address, ticket.reference),
            history=history(self.store.conversation_brief(ticket.reference), ticket.customer.address),
            related=self._related(ticket.reference),
        )

    def _names(self, reference: str) -> list[str]:
        rows = self.store._all(
            """WITH RECURSIVE names (reference) AS (
                SELECT ? UNION SELECT ticket.reference FROM ticket JOIN names ON merged_into = names.reference
            ) SELECT reference FROM names""",
            reference,
        )
        return [row["reference"] for row in rows]

    def _words(self, names: Collection[str]) -> tuple[Words, ...]:
        rows = self.store._all(
            """SELECT id, direction, letter, author, author_name, at, text, verified FROM message
            WHERE reference IN (SELECT value FROM json_each(?)) ORDER BY id DESC LIMIT ?""",
            json.dumps(list(names)), WORDS,
        )  # fmt: skip
        return tuple(
            Words(
                row["id"], row["direction"], row["letter"], Address(row["author"], row["author_name"]),
                instant(row["at"]), row["text"], None if row["verified"] is None else bool(row["verified"]),
            )
            for row in reversed(rows)
        )  # fmt: skip

    def _latest(self, names: Collection[str]) -> Incoming | None:
        row = self.store._first(
            """SELECT message.*, inbound.complete FROM message
            LEFT JOIN inbound ON inbound.id = message.inbound_id
            WHERE message.reference IN (SELECT value FROM json_each(?)) AND direction = 'in'
            ORDER BY message.id DESC LIMIT 1""",
            json.dumps(list(names)),
        )
        if row is None:
            return None
        source = row["inbound_id"]
        mail = mime_parser.parse(self.store.raw_mail(source), bool(row["complete"])) if source else None
        theirs = mail if mail and mail.message_id == row["message_id"] else None  # else a colleague registered it
        return Incoming(
            message=row["id"],
            inbound_id=row["inbound_id"] if theirs else None,
            message_id=row["message_id"] if theirs else "",
            subject=row["subject"],
            at=instant(row["at"]),
            author=Address(row["author"], row["author_name"]),
            text=row["text"],
            attachments=tuple(Attachment(**one) for one in json.loads(row["attachments"])) if theirs else (),
            references=theirs.references if theirs else (),
            thread_topic=theirs.header("thread-topic") if theirs else "",
            thread_index=theirs.header("thread-index") if theirs else "",
        )

    def _internal(self, names: Collection[str]) -> tuple[str, ...]:
        """What our letters to colleagues say in our own words: what the customer wrote stands quoted in them."""
        rows = self.store._all(
            """SELECT id FROM outbox WHERE NOT customer_facing AND letter IN ('notification', 'escalation', 'reminder')
            AND reference IN (SELECT value FROM json_each(?)) ORDER BY id DESC LIMIT ?""",
            json.dumps(list(names)), INTERNAL,
        )  # fmt: skip
        return tuple(own_words(self.store.letter_begin(row["id"])) for row in rows)

    def _acknowledgement(self, ticket: Ticket) -> str:
        """To who is the customer now."""
        row = self.store._first(
            """SELECT outbox.state FROM outbox JOIN message ON message.outbox_id = outbox.id
            WHERE message.reference = ? AND outbox.letter IN ('acknowledgement', 'phone_receipt')
            AND outbox.recipient = ? ORDER BY outbox.id DESC LIMIT 1""",
            ticket.reference, ticket.customer.address,
        )  # fmt: skip
        return row["state"] if row else ""

    def _related(self, reference: str) -> tuple[str, ...]:
        rows = self.store._all(
            """SELECT other AS found FROM ticket_link WHERE reference = ?1
            UNION SELECT reference FROM ticket_link WHERE other = ?1 ORDER BY found""",
            reference,
        )
        return tuple(row["found"] for row in rows)

    # -- lookups ---------------------------------------------------------------------------------------------------

    def owned_by(self, addresses: Iterable[str], before: datetime | None = None) -> tuple[Found, ...]:
        """The open cases of a colleague, the most pressing first; those opened before an instant."""
        return self._found(
            f"""{_FOUND} WHERE owner IN (SELECT value FROM json_each(?)) AND {_LIVE}
            AND (?2 IS NULL OR opened_at < ?2) ORDER BY due_on, id""",
            json.dumps(list(addresses)), stamp(before) if before else None,
        )  # fmt: skip

    def of_customer(self, address: str) -> tuple[Found, ...]:
        """Every case of a customer, the newest first."""
        return self._found(f"{_FOUND} WHERE customer = ? ORDER BY id DESC LIMIT {LISTED}", address)

    def with_words(self, text: str) -> tuple[Found, ...]:
        """Cases in whose conversation all these words stand. What people type is never query syntax."""
        words = " ".join('"' + word.replace('"', '""').replace("\0", "") + '"' for word in text.split())
        if not words:
            return ()
        found = self._found(
            f"""SELECT ticket.reference, ticket.subject, customer, ticket.state, due_on, urgent,
                snippet(message_fts, -1, '', '', '…', 12) AS snippet
            FROM message_fts JOIN message ON message.id = message_fts.rowid
            JOIN ticket ON ticket.reference = message.reference
            WHERE message_fts MATCH ? ORDER BY message.id DESC LIMIT {4 * LISTED}""",
            words,
        )
        return tuple({one.reference: one for one in reversed(found)}.values())[::-1][:LISTED]

    def _found(self, sql: str, *values: object) -> tuple[Found, ...]:
        return tuple(_found(row) for row in self.store._all(sql, *values))

    def customers_among(self, addresses: Collection[str]) -> frozenset[str]:
        """Those of the addresses that are a customer's or a participant's."""
        rows = self.store._all(
            """SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM ticket WHERE customer = value)
                OR EXISTS (SELECT 1 FROM ticket WHERE reply_address = value)
                OR EXISTS (SELECT 1 FROM participant WHERE address = value)""",
            json.dumps(sorted(addresses)),
        )
        return frozenset(row["value"] for row in rows)

    def inbound_states(self, ids: Collection[int]) -> dict[int, str]:
        rows = self.store._all(
            "SELECT id, state FROM inbound WHERE id IN (SELECT value FROM json_each(?))", json.dumps(sorted(ids))
        )
        return {row["id"]: row["state"] for row in rows}

    def held(self, inbound_id: int) -> HeldMail | None:
        row = self.store._first("SELECT * FROM held_mail WHERE inbound_id = ?", inbound_id)
        if row is None:
            return None
        return HeldMail(inbound_id, row["kind"], row["agent"], instant(row["until"]), row["released_at"] is not None)

    def transcripts_to(self, address: str, since: datetime) -> tuple[int, int]:
        """How many letters about their mails a colleague got, and how many of them are about something that waits."""
        row = self.store._one(
            """SELECT count(*) AS n, count(nullif(about, '')) AS asked FROM outbox
            WHERE recipient = ? AND letter IN ('transcript', 'challenge') AND not_before > ?""",
            address, stamp(since),
        )  # fmt: skip
        return int(row["n"]), int(row["asked"])

    def moved_deadlines(self, desk: Desk) -> list[Moved]:
        """The live cases whose deadline, counted anew by today's rules, is another than the one they have."""
        return moved_deadlines(self.store._all, desk.calendar, desk.policy.office.timezone, desk.policy.types)

    # -- the clock -------------------------------------------------------------------------------------------------

    def to_look_at(self, today: date, states: Collection[str], limit: int) -> list[str]:
        """Cases in these states for which something may be due, those that were not looked at longest first."""
        rows = self.store._all(
            """SELECT reference FROM ticket WHERE look_on <= ? AND state <> 'closed'
            AND state IN (SELECT value FROM json_each(?)) ORDER BY look_on, id LIMIT ?""",
            today.isoformat(), json.dumps(list(states)), limit,
        )  # fmt: skip
        return [row["reference"] for row in rows]

    def standings(self, references: Collection[str], zone: ZoneInfo) -> list[Standing]:
        """How these cases stand for the clock."""
        rows = self.store._all(
            """SELECT ticket.reference, person.no_surveys,
                (SELECT max(at) FROM message WHERE reference = ticket.reference AND direction = 'in') AS asked_at,
                (SELECT max(at) FROM message WHERE reference = ticket.reference AND direction = 'out'
                    AND coalesce(letter, 'answer') IN (SELECT value FROM json_each(?2))) AS answered_at,
                (SELECT max(at) FROM fired WHERE about = ticket.reference AND rule = 'survey') AS surveyed_at,
                (SELECT json_group_array(json_array(rule, cycle)) FROM fired WHERE about = ticket.reference) AS fired
            FROM ticket JOIN person ON person.address = ticket.customer
            WHERE ticket.reference IN (SELECT value FROM json_each(?1))""",
            json.dumps(list(references)), json.dumps(PERSONS_LETTERS),
        )  # fmt: skip
        return [self._standing(row, zone) for row in rows]

    def _standing(self, row: dict[str, Any], zone: ZoneInfo) -> Standing:
        ticket = self.store.ticket(row["reference"])
        assert ticket

        def day(text: str | None) -> date:
            return local_day(instant(text) if text else ticket.opened_at, zone)

        return Standing(
            ticket=ticket,
            opened_on=day(None),
            customer_word_on=day(row["asked_at"]),
            office_word_on=day(row["answered_at"]),
            resolved_on=local_day(ticket.resolved_at, zone) if ticket.resolved_at else None,
            reopened=ticket.reopened,
            fired=frozenset((rule, cycle) for rule, cycle in json.loads(row["fired"])),
            no_surveys=bool(row["no_surveys"]),
            surveyed_on=day(row["surveyed_at"]) if row["surveyed_at"] else None,
        )

    # -- the morning -----------------------------------------------------------------------------------------------

    def set_aside(self, since: datetime, until: datetime) -> list[Aside]:
        """Machines' mail that was kept apart in a stretch of time, the newest first; what we sent ourselves is none."""
        rows = self.store._all(
            """SELECT id, received_at, sender, subject, verdict FROM inbound WHERE state = 'set_aside'
            AND verdict <> 'own' AND stored_at > ? AND stored_at <= ? ORDER BY id DESC""",
            stamp(since), stamp(until),
        )  # fmt: skip
        return [
            Aside(row["id"], instant(row["received_at"]), row["sender"] or "", row["subject"] or "", row["verdict"])
            for row in rows
        ]


def moved_deadlines(
    read: Callable[[str], list[dict[str, Any]]],
    calendar: BusinessCalendar,
    zone: ZoneInfo,
    types: Mapping[str, TicketType],
) -> list[Moved]:
    """`read` runs a query. Terms that begin on the same day are counted once."""
    pauses: dict[str, list[Pause]] = {}
    for row in read("SELECT reference, asked_on, completed_on FROM pause WHERE completed_on IS NOT NULL"):
        pause = Pause(date.fromisoformat(row["asked_on"]), date.fromisoformat(row["completed_on"]))
        pauses.setdefault(row["reference"], []).append(pause)
    known: dict[tuple[date, int, tuple[Pause, ...]], date] = {}
    moved = []
    terms = "SELECT reference, opened_at, type, business_days, extension_days, due_on FROM ticket"
    for row in read(f"{terms} WHERE {_LIVE}"):
        extension, held = counted(types.get(row["type"]), row["extension_days"], pauses.get(row["reference"], ()))
        key = (local_day(instant(row["opened_at"]), zone), row["business_days"] + extension, held)
        if key not in known:
            known[key] = calendar.term(*key).due_on
        if (was := date.fromisoformat(row["due_on"])) != known[key]:
            moved.append(Moved(row["reference"], was, known[key]))
    return moved


def _found(row: dict[str, Any]) -> Found:
    return Found(
        row["reference"], row["subject"], row["customer"], State(row["state"]), date.fromisoformat(row["due_on"]),
        bool(row["urgent"]), " ".join(row["snippet"].split()),
    )  # fmt: skip
