"""Writes stores/vNNN.sql: a store as the version with that many schema steps left it, as text. Each is made once, when
a step is added, and then kept as it is: an upgrade has to find what was really written.

    PYTHONPATH=. python tests/make_store.py NUMBER_OF_STEPS
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import eml
from sqlite_utils import Database

from pqr_mailbot.adapters.migrations import migrations
from pqr_mailbot.adapters.sqlite_store import Packed, commitment, event_hash

STORES = Path(__file__).parent / "stores"
OPENED, NOON = "2026-06-01T15:41:00.000000Z", "2026-06-01T15:42:00.000000Z"
DIEGO = "Diego Paz <diego@otro.test>"
ONE, TWO = "PQR-2026-000001", "PQR-2026-000002"
KNOWN = '{"confidence": 0.95, "urgency": [], "urgent": false, "evidence": [], "scores": {"reclamo": 0.95}}'
NEXT_DAY = "2026-06-02T13:00:00.000000Z"
TOKEN = "{}bcdefghijklm.abcdefghijklmnop"


def make(steps: int) -> str:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    db = Database(connection, execute_plugins=False)
    last = [step.name for step in migrations.pending(db)][steps - 1]
    migrations.apply(db, stop_before=_after(last))
    for sql, rows in _rows(steps):
        connection.executemany(sql, rows)
    return "\n".join(_dumped(connection)) + "\n"


def _after(name: str) -> str | None:
    names = [step.name for step in migrations._migrations]
    return next(iter(names[names.index(name) + 1 :]), None)


def _rows(steps: int) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """What a desk had after a morning: an open case, a resolved one, a machine's mail; a mail and a letter wait."""
    yield "INSERT INTO fact VALUES (?, ?)", [("start:INBOX", "2026-05-30T13:00:00.000000Z")]
    yield (
        "INSERT INTO provider (name, last_success_at) VALUES (?, ?)",
        [("imap", NOON), ("smtp", NOON)],
    )
    yield (
        "INSERT INTO mailbox_cursor (mailbox, uidvalidity, last_uid, last_fetch_at) VALUES (?, ?, ?, ?)",
        [("INBOX", 7, 14, NOON)],
    )
    yield (
        "INSERT INTO person (address, name) VALUES (?, ?)",
        [
            ("clara@correo.test", "Clara Gómez"),
            ("diego@otro.test", "Diego Paz"),
        ],
    )
    yield "INSERT INTO reference_counter VALUES (?, ?)", [(2026, 2)]
    yield (
        """INSERT INTO ticket (reference, year, number, type, state, subject, customer, owner, level, urgent,
        classification, opened_at, business_days, due_on, acknowledged_at, first_answered_at, resolved_at)
        VALUES (?, 2026, ?, 'reclamo', ?, ?, ?, 'ana@lohas.test', 1, 0, ?, ?, 15, '2026-06-24', ?, ?, ?)""",
        [
            (ONE, 1, "new", "Café vencido", "clara@correo.test", KNOWN, OPENED, NOON, None, None),
            (TWO, 2, "resolved", "Molienda", "diego@otro.test", KNOWN, OPENED, NOON, NOON, NOON),
        ],
    )
    yield "INSERT INTO participant VALUES (?, ?)", [(ONE, "hija@correo.test")]
    yield "INSERT INTO ticket_link VALUES (?, ?)", [(ONE, TWO)]
    mails = [
        (eml(), "done", "person", "opened a case", ONE),
        (
            eml("Diego <diego@otro.test>", "Molienda", message_id="<d1@otro.test>"),
            "done",
            "person",
            "opened a case",
            TWO,
        ),
        (eml("Banco <no-reply@banco.test>", message_id="<b1@banco.test>"), "set_aside", "no_reply", "sender", None),
        (eml("Eva <eva@x.test>", "Tostión", message_id="<e1@x.test>"), "new", None, None, None),
    ]
    yield (
        """INSERT INTO inbound (mailbox, uidvalidity, uid, received_at, stored_at, size, raw, sha256, state, verdict,
        reason, reference) VALUES ('INBOX', 7, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            (11 + n, OPENED, NOON, len(raw), packed.zstd, packed.sha256, *more)
            for n, (raw, *more) in enumerate(mails)
            for packed in (Packed.of([raw]),)
        ],
    )
    letters = [
        (ONE, "acknowledgement", "clara@correo.test", 1, "sent", NOON, NOON, 1, TOKEN.format("a")),
        (ONE, "notification", "ana@lohas.test", 0, "sent", NOON, NOON, 1, TOKEN.format("b")),
        (
            TWO,
            "acknowledgement",
            "diego@otro.test",
            1,
            "queued",
            "2026-06-02T13:00:00.000000Z",
            None,
            0,
            TOKEN.format("c"),
        ),
    ]
    yield (
        """INSERT INTO outbox (reference, letter, recipient, automatic, state, not_before, next_attempt_at, sent_at,
        attempts, token, message_id, sender, raw, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, '<pqr.' || ?9 || '@lohas.test>', 'info@lohas.test', ?10,
        ?11)""",
        [(*letter, eml("info@lohas.test", f"[{letter[0]}]"), NOON) for letter in letters],
    )
    yield (
        """INSERT INTO message (reference, direction, letter, author, recipients, subject, message_id, at, text,
        full_text, inbound_id, outbox_id) VALUES (?, ?, ?, ?, '[]', ?, ?, ?, ?, ?, ?, ?)""",
        [
            (
                ONE,
                "in",
                None,
                "clara@correo.test",
                "Café vencido",
                "<m1@correo.test>",
                OPENED,
                "vencido",
                "vencido",
                1,
                None,
            ),
            (
                ONE,
                "out",
                "acknowledgement",
                "info@lohas.test",
                f"[{ONE}]",
                "<a@lohas.test>",
                NOON,
                "Hola",
                "Hola",
                None,
                1,
            ),
            (TWO, "in", None, "diego@otro.test", "Molienda", "<d1@otro.test>", OPENED, "greca", "greca", 2, None),
        ],
    )
    yield (
        "INSERT INTO ticket_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        list(_events([(ONE, "opened"), (ONE, "letter_queued"), (TWO, "opened"), (ONE, "letter_sent")])),
    )
    yield from _later_rows(steps)


def _events(said: list[tuple[str, str]]) -> Iterator[tuple[object, ...]]:
    previous = ""
    for number, (reference, event) in enumerate(said, start=1):
        salt, actor, detail = bytes([number]) * 16, "desk", f"detail {number}"
        row = {
            "id": number, "reference": reference, "at": NOON, "actor": actor, "event": event, "detail": detail,
            "salt": salt, "actor_commitment": commitment(salt, actor),
            "detail_commitment": commitment(salt, detail), "previous_hash": previous,
        }  # fmt: skip
        previous = event_hash(row)
        yield (*row.values(), previous)


def _later_rows(steps: int) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """What later steps made room for."""
    if steps >= 2:
        yield "UPDATE outbox SET about = ? WHERE id = ?", [("bounce:1", 2)]
    if steps >= 3:
        yield "INSERT INTO outbox_alias VALUES (?, ?)", [("0100018f@email.amazonses.com", 1)]
    if steps >= 4:
        yield "UPDATE inbound SET folder = ? WHERE id = ?", [("sent", 3)]
    if steps >= 5:
        yield "UPDATE ticket SET extension_days = ? WHERE reference = ?", [(5, TWO)]
        yield "UPDATE outbox SET seen = ?, customer_facing = ? WHERE id = ?", [(1, 0, 2), (1, 1, 1), (3, 1, 3)]
        yield "INSERT INTO pause VALUES (?, ?, ?)", [(TWO, "2026-06-02", "2026-06-03")]
        yield "INSERT INTO held_mail VALUES (?, ?, ?, ?, ?)", [(3, "held", "ana@lohas.test", NOON, NOON)]
        yield "INSERT INTO absence VALUES (?, ?, ?)", [("luz@lohas.test", "2026-07-01", "2026-07-10")]
        yield "INSERT INTO fired VALUES (?, ?, ?, ?)", [("ana@lohas.test", "digest", "2026-06-01", NOON)]
    if steps >= 6:
        yield "UPDATE ticket SET look_on = ? WHERE reference = ?", [("2026-06-03", ONE)]
        yield "INSERT INTO rating VALUES (?, ?, ?, ?, ?)", [(TWO, 5, 1, "Gracias", NOON)]
    if steps >= 7:
        yield "INSERT INTO letter_reason VALUES (?, ?, ?, ?)", [(3, TWO, "survey", "")]
    if steps >= 8:
        yield "INSERT INTO provider (name, last_success_at) VALUES (?, ?)", [("oauth2", NOON)]
        yield (
            "INSERT INTO oauth_token (id, mark, refresh_token, refreshed_at, expires_at) VALUES (1, ?, ?, ?, ?)",
            [("4f1c", "1//0g", OPENED, NOON)],
        )
    if steps >= 9:
        said = "No se puede enviar correo."
        yield (
            "INSERT INTO alarm (name, text, said, began_at, told_at, count) VALUES (?, ?, ?, ?, ?, 0)",
            [("smtp", "smtp: connection refused", said, OPENED, NOON)],
        )
        yield "INSERT INTO heartbeat VALUES (?, ?)", [(2, NOON)]
    if steps >= 10:
        yield "UPDATE inbound SET doubtful = ? WHERE id = ?", [(1, 2)]
        yield "UPDATE mailbox_cursor SET began_above = ? WHERE mailbox = ?", [(10, "INBOX")]


def _dumped(connection: sqlite3.Connection) -> Iterator[str]:
    """The store as SQL: tables, rows, the full-text index made anew, then what the rows must not set off."""
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
    ).fetchall()
    own = [row for row in rows if not row[1].startswith(("message_fts_", "sqlite_"))]
    for kind, name, sql in own:
        if kind == "table":
            yield f"{sql};"
            columns = [row[1] for row in connection.execute(f"SELECT * FROM pragma_table_info('{name}')")]
            quoted = " || ', ' || ".join(f'quote("{column}")' for column in columns)
            for (values,) in connection.execute(f'SELECT {quoted} FROM "{name}"') if name != "message_fts" else ():
                yield f'INSERT INTO "{name}" VALUES ({values});'
    yield "INSERT INTO message_fts (message_fts) VALUES ('rebuild');"
    yield from (f"{sql};" for kind, _, sql in own if kind != "table")


if __name__ == "__main__":
    number = int(sys.argv[1])
    (STORES / f"v{number:03}.sql").write_text(make(number), "utf-8")
