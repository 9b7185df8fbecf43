"""The ticket store: all the SQL that changes it, and what decisions read from it.

One thread owns a Store; what people read is in `sqlite_views`. Every change happens inside `transaction()`, which is
BEGIN IMMEDIATE: a deferred one that reads and then writes fails at once when another process wrote in between.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import sqlite3
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import zstandard
from sqlite_utils import Database

from pqr_mailbot.adapters.migrations import migrations
from pqr_mailbot.adapters.tokens import Signer, new_key, token_in
from pqr_mailbot.adapters.wal import commits_lost
from pqr_mailbot.domain.alarms import ALARM, Alarm
from pqr_mailbot.domain.bounce import SentLetter
from pqr_mailbot.domain.business_days import Pause
from pqr_mailbot.domain.decide_sent import OwnLetter
from pqr_mailbot.domain.effects import Because, CloseInbound, NoteEvent, NoteRating, OpenTicket, RecordMessage
from pqr_mailbot.domain.given_id import comparable, id_given
from pqr_mailbot.domain.identify import KnownId
from pqr_mailbot.domain.model import Address, Attachment, Classification, Evidence, Mail, State, Ticket
from pqr_mailbot.domain.reference import format_reference
from pqr_mailbot.domain.situation import Earlier, Waiting

ACKNOWLEDGING = ("acknowledgement", "phone_receipt")  # letters that are the customer's constancia
# The cases for which this letter is the constancia of who is their customer now (#cliente may have changed that).
_ACKNOWLEDGED_BY = """(reference, customer) IN (SELECT message.reference, outbox.recipient FROM message JOIN outbox
    ON outbox.id = message.outbox_id WHERE outbox.id = ? AND outbox.letter IN ('acknowledgement', 'phone_receipt'))"""
OF_THE_CLOCK = ("progress", "overdue", "survey", "closed", "withdrawal")  # letters to customers
PIECE = 2**20  # bytes of a large mail or letter that are in hand at once
BUSY_SECONDS = 10.0  # how long a command beside the daemon waits for another writer,
DAEMON_BUSY_SECONDS = 3.0  # and the daemon, which tries again by itself; who asks its one thread waits as long


class StoreProblem(Exception):
    """The store cannot be used; the text says which file and why, in one line."""


class DamagedStore(StoreProblem):
    """Nothing more is written into it; a person has to restore a backup."""

    def __init__(self, path: Path, what: object) -> None:
        super().__init__(
            f"{path}: the store is damaged ({what}); nothing more is written to it, and mail waits on its server: "
            "restore a backup with `pqr-mailbot restore FILE`"
        )


_WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "cannot be written: the file, its directory or its disk is read-only",
    sqlite3.SQLITE_BUSY: "locked by another program",
    sqlite3.SQLITE_CANTOPEN: "a file of the store cannot be opened or made",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written (I/O error)",
}


def words_of(error: sqlite3.Error) -> str:
    """What SQLite's error means to an admin."""
    return _WORDS.get(_code(error), str(error))


def is_damage(error: BaseException) -> bool:
    """The file is no longer what we wrote: not weather, and no single mail's fault."""
    return isinstance(error, sqlite3.DatabaseError) and _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def problem_of(path: Path, error: sqlite3.Error) -> StoreProblem:
    return DamagedStore(path, error) if is_damage(error) else StoreProblem(f"{path}: {words_of(error)}")


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what SQLite adds to tell the kinds apart


@dataclass(frozen=True, slots=True)
class Packed:
    """A raw mail as it is kept: compressed, with the hash of what it was."""

    zstd: bytes
    sha256: str

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> Packed:
        """Packs a mail that comes in pieces; it is never in memory whole."""
        deflate, digest, packed = zstandard.ZstdCompressor(level=3).compressobj(), hashlib.sha256(), BytesIO()
        for piece in pieces:
            digest.update(piece)
            packed.write(deflate.compress(piece))
        packed.write(deflate.flush())
        return cls(packed.getvalue(), digest.hexdigest())


@dataclass(frozen=True, slots=True)
class RawMail:
    """A mail as fetched. `raw` may be only its beginning when `complete` is False; `size` is the server's."""

    uid: int
    received_at: datetime
    size: int
    raw: bytes | Packed
    complete: bool = True
    suspect_before: datetime | None = None  # with any date before this it is old mail shown again
    error: str = ""  # why it cannot be had from the server: kept as `failed`, so that it is seen


@dataclass(frozen=True, slots=True)
class Inbound:
    """A stored mail waiting to be handled. `raw` is read anew each time: nobody is to hold a large one for long."""

    id: int
    received_at: datetime
    read: Callable[[], bytes]
    complete: bool
    as_person: bool
    attempts: int
    suspect_before: datetime | None
    from_sent: bool = False  # found in the Sent folder: somebody wrote it here
    doubtful: bool = False  # it came in a time that a restored backup knows nothing of: it may have been handled then

    @property
    def raw(self) -> bytes:
        return self.read()


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a mailbox has been read."""

    uidvalidity: int
    last_uid: int
    last_fetch_at: datetime
    renumbered_after: datetime | None = None
    renumbered_below: int = 0
    began_above: int = 0  # what lies at or below this UID was never to be read


@dataclass(frozen=True, slots=True)
class DueLetter:
    """An outbox row claimed for sending. `raw` None: a large one, which `Store.letter_raw` reads when it goes."""

    id: int
    letter: str
    reference: str | None
    recipient: str
    sender: str
    raw: bytes | None
    attempts: int  # this one included
    not_before: datetime  # when it was first due
    due: datetime  # when this attempt was


@dataclass(frozen=True, slots=True)
class FinishedLetter:
    """A letter as it goes into the outbox: finished bytes and what must be known of it.

    `more`: what follows `raw`, in pieces that are the same at each call; the files that go along may be large.
    """

    letter: str
    reference: str | None
    recipient: str
    sender: str
    automatic: bool
    message_id: str
    token: str
    raw: bytes
    not_before: datetime
    about: str = ""
    customer_facing: bool = False
    more: Callable[[], Iterable[bytes]] = tuple


@dataclass(frozen=True, slots=True)
class Provider:
    """How it stands with the IMAP or SMTP server, or the token endpoint."""

    failures: int
    next_attempt_at: datetime | None
    refused: str  # the mark of the secret it refused; "" when a login was not what failed


def stamp(instant: datetime) -> str:
    """UTC text of one width, so that it sorts as it is."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _stamped(instant: datetime | None) -> str | None:
    return stamp(instant) if instant else None


def _maybe(text: str | None) -> datetime | None:
    return instant(text) if text else None


class Store:
    """The open store. Use `Store.open` (the daemon: creates, migrates) or `Store.attach` (a command beside it)."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self.db = Database(connection, execute_plugins=False)
        state = path.stat()
        self._identity = (state.st_dev, state.st_ino)

    # -- opening ---------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path, now: datetime) -> Store:
        """Creates the store (mode 0600) when there is none, brings its schema up to date, after a backup.

        Raises StoreProblem. The caller holds `only_daemon`.
        """
        path = path.resolve()
        with _one_line(path):
            fresh = not path.exists()
            if not fresh:
                _must_be_a_store(path)
            unclean = not fresh and (_beside(path, "-wal").exists() or words_left(path))
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            path.chmod(0o600)
            if unclean:
                _look_over(path)
            store = cls(_connect(path, DAEMON_BUSY_SECONDS), path)
            store.db.conn.execute("PRAGMA journal_mode = WAL")
            store._refuse_newer()
            if pending := migrations.pending(store.db):
                if not fresh:
                    store._copy_before(pending[0].name)
                migrations.apply(store.db)
            return store

    @classmethod
    def attach(cls, path: Path) -> Store:
        """Opens a store that a daemon has made, to change it beside the daemon. Raises StoreProblem."""
        path = path.resolve()
        if not path.exists():
            raise StoreProblem(f"{path}: no store yet; `pqr-mailbot run` makes it")
        with _one_line(path):
            store = cls(_connect(path, BUSY_SECONDS), path)
            store._refuse_newer()
            if migrations.pending(store.db):
                raise StoreProblem(
                    f"{path}: the store is of an older version; starting the daemon brings it up to date"
                )
            return store

    def _copy_before(self, step: str) -> None:
        """One copy a step, the latest: a step that fails at every start must not fill the disk."""
        unfinished = _beside(self.path, ".copy")
        unfinished.unlink(missing_ok=True)
        try:
            self.copy_to(unfinished)
        except (sqlite3.OperationalError, OSError) as error:
            unfinished.unlink(missing_ok=True)
            why = words_of(error) if isinstance(error, sqlite3.Error) else error.strerror
            raise StoreProblem(f"{self.path}: no backup before the upgrade, so nothing was changed: {why}") from error
        unfinished.replace(_beside(self.path, f".before-{step}"))

    def must_be_in_place(self) -> None:
        """Raises StoreProblem when the file was removed or replaced under us: what we write would be lost."""
        try:
            now = self.path.stat()
        except OSError as error:
            raise StoreProblem(f"{self.path}: the store is gone: {error.strerror}") from error
        if (now.st_dev, now.st_ino) != self._identity:
            raise StoreProblem(f"{self.path}: the store was replaced by another file while the desk was open")

    def _refuse_newer(self) -> None:
        known = {migration.name for migration in migrations._migrations}  # no public list of names
        newer = [step.name for step in migrations.applied(self.db) if step.name not in known]
        if newer:
            raise StoreProblem(f"{self.path}: written by a newer version of pqr-mailbot (schema step {newer[-1]})")

    def close(self) -> None:
        self.db.conn.close()

    def copy_to(self, target: Path) -> None:
        """An online copy, safe beside other connections; mode 0600."""
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        copy = sqlite3.connect(target)
        try:
            self.db.conn.backup(copy)
        finally:
            copy.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One immediate transaction: all of it or nothing. Waits for another writer, then raises OperationalError."""
        connection = self.db.conn
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            connection.rollback()
            raise
        connection.commit()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of a transaction that may fail alone."""
        with self.db.atomic():
            yield

    def signer(self) -> Signer:
        return Signer(*(row["key"] for row in self._all("SELECT key FROM signing_key ORDER BY id")))

    def rotate_key(self) -> None:
        """Letters are signed by a new key from now on; answers to those signed before still count."""
        self._run("INSERT INTO signing_key (key) VALUES (?)", new_key())

    def version(self) -> int:
        """Changes whenever another connection has written."""
        return int(self.db.conn.execute("PRAGMA data_version").fetchone()[0])

    # -- the mailbox -----------------------------------------------------------------------------------------------

    def cursor(self, mailbox: str) -> Cursor | None:
        row = self._first("SELECT * FROM mailbox_cursor WHERE mailbox = ?", mailbox)
        if row is None:
            return None
        return Cursor(
            row["uidvalidity"], row["last_uid"], instant(row["last_fetch_at"]), _maybe(row["renumbered_after"]),
            row["renumbered_below"], row["began_above"],
        )  # fmt: skip

    def begin_mailbox(self, mailbox: str, uidvalidity: int, last_uid: int, now: datetime) -> None:
        """The first time, or anew: reading goes on above `last_uid`."""
        self._run(
            """INSERT INTO mailbox_cursor (mailbox, uidvalidity, last_uid, last_fetch_at, began_above)
            VALUES (?1, ?2, ?3, ?4, ?3) ON CONFLICT DO UPDATE SET uidvalidity = excluded.uidvalidity,
            last_uid = excluded.last_uid, last_fetch_at = excluded.last_fetch_at, began_above = excluded.began_above""",
            mailbox, uidvalidity, last_uid, stamp(now),
        )  # fmt: skip

    def renumber_mailbox(self, mailbox: str, uidvalidity: int, uidnext: int, now: datetime) -> None:
        """The server renumbered the mailbox: everything is read anew, what lies below `uidnext` with suspicion."""
        self._run(
            """UPDATE mailbox_cursor SET renumbered_after = last_fetch_at, renumbered_below = ?, uidvalidity = ?,
            last_uid = 0, began_above = 0, last_fetch_at = ? WHERE mailbox = ?""",
            uidnext, uidvalidity, stamp(now), mailbox,
        )  # fmt: skip

    def free_numbers(self, mailbox: str, uidvalidity: int) -> None:
        """The server gives UIDs a second time: what is kept under them makes room, and is known by its content."""
        self._run(
            "UPDATE inbound SET uid = -id WHERE mailbox = ? AND uidvalidity = ? AND uid > 0", mailbox, uidvalidity
        )

    def store_mail(
        self, mailbox: str, cursor: Cursor, mails: Sequence[RawMail], last_uid: int, now: datetime,
        folder: str = "inbox",
    ) -> int:  # fmt: skip
        """Keeps raw mails and moves the cursor to `last_uid`, in one go. Returns how many were new by their UID.

        `folder`: "inbox" or "sent", what the mailbox is to the desk.
        """
        kept = sum(self._store_one(mailbox, cursor.uidvalidity, mail, now, folder) for mail in mails)
        self._run(
            "UPDATE mailbox_cursor SET last_uid = max(last_uid, ?), last_fetch_at = ? WHERE mailbox = ?",
            last_uid, stamp(now), mailbox,
        )  # fmt: skip
        return kept

    def _store_one(self, mailbox: str, uidvalidity: int, mail: RawMail, now: datetime, folder: str) -> bool:
        """False: it was here before."""
        packed = mail.raw if isinstance(mail.raw, Packed) else Packed.of([mail.raw])
        done = self.db.conn.execute(
            """INSERT INTO inbound (mailbox, uidvalidity, uid, received_at, stored_at, size, complete, raw, sha256,
                suspect_before, state, error, folder)
            VALUES (?, ?, ?, ?, ?, ?, ?, zeroblob(?), ?, ?, ?, ?, ?)
            ON CONFLICT (mailbox, uidvalidity, uid) DO NOTHING""",
            (
                mailbox, uidvalidity, mail.uid, stamp(mail.received_at), stamp(now), mail.size, mail.complete,
                len(packed.zstd), packed.sha256, _stamped(mail.suspect_before), "failed" if mail.error else "new",
                mail.error or None, folder,
            ),
        )  # fmt: skip
        if done.rowcount:
            self._fill("inbound", int(done.lastrowid or 0), [packed.zstd])
        return bool(done.rowcount)

    def _fill(self, table: str, row_id: int, pieces: Iterable[bytes]) -> None:
        """Writes the column `raw` where there is room for it: a statement that had it as a value would hold on to a
        copy of it for as long as the connection lives."""
        with self.db.conn.blobopen(table, "raw", row_id) as blob:
            for piece in pieces:
                blob.write(piece)

    def stored_uids(self, mailbox: str, uidvalidity: int, uids: Sequence[int]) -> list[int]:
        """Those of the UIDs whose mail is safely here."""
        return [
            row["uid"]
            for row in self._all(
                """SELECT uid FROM inbound WHERE mailbox = ? AND uidvalidity = ?
                AND uid IN (SELECT value FROM json_each(?)) ORDER BY uid""",
                mailbox, uidvalidity, json.dumps(list(uids)),
            )
        ]  # fmt: skip

    def fact(self, name: str) -> str | None:
        row = self._first("SELECT value FROM fact WHERE name = ?", name)
        return row["value"] if row else None

    def set_fact(self, name: str, value: str) -> None:
        self._run(
            "INSERT INTO fact (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", name, value
        )

    # -- providers -------------------------------------------------------------------------------------------------

    def provider(self, name: str) -> Provider:
        row = self._first("SELECT * FROM provider WHERE name = ?", name)
        return (
            Provider(row["failures"], _maybe(row["next_attempt_at"]), row["refused"]) if row else Provider(0, None, "")
        )

    def provider_problem(self, name: str) -> str | None:
        """What is wrong with it now, None when all is well."""
        row = self._first("SELECT problem FROM provider WHERE name = ?", name)
        return row["problem"] if row else None

    def provider_well(self, name: str, now: datetime) -> None:
        self._run(
            """INSERT INTO provider (name, last_success_at) VALUES (?, ?) ON CONFLICT DO UPDATE SET
            last_success_at = excluded.last_success_at, failures = 0, failing_since = NULL, next_attempt_at = NULL,
            refused = '', problem = NULL""",
            name, stamp(now),
        )  # fmt: skip

    def provider_failed(self, name: str, problem: str, next_attempt_at: datetime, refused: str, now: datetime) -> None:
        self._run(
            """INSERT INTO provider (name, failures, failing_since, next_attempt_at, refused, problem)
            VALUES (?, 1, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
            failures = failures + 1, failing_since = coalesce(failing_since, excluded.failing_since),
            next_attempt_at = excluded.next_attempt_at, refused = excluded.refused, problem = excluded.problem""",
            name, stamp(now), stamp(next_attempt_at), refused, problem,
        )  # fmt: skip

    def providers_freed(self, name: str) -> None:
        """This provider is well again: those that failed only because it did, whose trouble begins with its endpoint,
        may be tried at once, and until then nothing is known to be wrong with them."""
        self._run(
            """UPDATE provider SET failures = 0, failing_since = NULL, next_attempt_at = NULL, refused = '',
            problem = NULL WHERE name <> ?1
            AND substr(problem, 1, instr(problem, ': ')) IN
                (SELECT substr(problem, 1, instr(problem, ': ')) FROM provider WHERE name = ?1)""",
            name,
        )

    def provider_forgotten(self, name: str) -> None:
        self._run("DELETE FROM provider WHERE name = ?", name)

    # -- OAuth2 ----------------------------------------------------------------------------------------------------

    def refresh_token(self, mark: str) -> str:
        """The one that has taken the place of the configured one with this mark; "" when none has."""
        row = self._first("SELECT refresh_token FROM oauth_token WHERE mark = ?", mark)
        return row["refresh_token"] if row else ""

    def keep_token(self, mark: str, refresh_token: str, refreshed_at: datetime, expires_at: datetime) -> None:
        """The refresh token to use from now on, "" for the configured one, and what is known of the access token."""
        self._run(
            """INSERT INTO oauth_token (id, mark, refresh_token, refreshed_at, expires_at) VALUES (1, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET mark = excluded.mark, refresh_token = excluded.refresh_token,
            refreshed_at = excluded.refreshed_at, expires_at = excluded.expires_at""",
            mark, refresh_token, stamp(refreshed_at), stamp(expires_at),
        )  # fmt: skip

    def forget_token(self) -> None:
        self._run("DELETE FROM oauth_token")

    # -- inbound mail ----------------------------------------------------------------------------------------------

    def last_inbound_id(self) -> int:
        return int(self._one("SELECT coalesce(max(id), 0) AS id FROM inbound")["id"])

    def waiting_ids(self, limit: int) -> list[int]:
        return [row["id"] for row in self._all("SELECT id FROM inbound WHERE state = 'new' ORDER BY id LIMIT ?", limit)]

    def inbound(self, inbound_id: int) -> Inbound:
        row = self._one(
            """SELECT id, received_at, complete, as_person, attempts, suspect_before, folder, doubtful FROM inbound
            WHERE id = ?""",
            inbound_id,
        )
        return Inbound(
            row["id"], instant(row["received_at"]), lambda: self.raw_mail(inbound_id), bool(row["complete"]),
            bool(row["as_person"]), row["attempts"], _maybe(row["suspect_before"]), row["folder"] == "sent",
            bool(row["doubtful"]),
        )  # fmt: skip

    def raw_mail(self, inbound_id: int) -> bytes:
        """The mail as it came, unpacked piece by piece."""
        raw = BytesIO()
        with self.db.conn.blobopen("inbound", "raw", inbound_id, readonly=True) as packed:
            zstandard.ZstdDecompressor().copy_stream(cast("IO[bytes]", packed), raw)
        return raw.getvalue()

    def letter_raw(self, outbox_id: int) -> bytes:
        """The finished bytes of a letter."""
        raw = BytesIO()
        for piece in self._pieces("outbox", outbox_id):
            raw.write(piece)
        return raw.getvalue()

    def letter_begin(self, outbox_id: int) -> bytes:
        """The beginning of a letter, its words in it, without all of the files that go along."""
        return next(self._pieces("outbox", outbox_id), b"")

    def _pieces(self, table: str, row_id: int) -> Iterator[bytes]:
        """The column `raw` of a row, without SQLite holding another copy of it."""
        with self.db.conn.blobopen(table, "raw", row_id, readonly=True) as blob:
            while piece := blob.read(PIECE):
                yield piece

    def count_attempt(self, inbound_id: int) -> int:
        """Notes that a mail is about to be tried: one that kills the process leaves this trace."""
        self._run("UPDATE inbound SET attempts = attempts + 1 WHERE id = ?", inbound_id)
        return int(self._one("SELECT attempts FROM inbound WHERE id = ?", inbound_id)["attempts"])

    def describe_inbound(self, inbound_id: int, mail: Mail, content_key: str) -> None:
        """What the mail is, for `inbox`, whatever becomes of it."""
        self._run(
            "UPDATE inbound SET message_id = ?, content_key = ?, sender = ?, subject = ? WHERE id = ?",
            mail.message_id, content_key, mail.sender.address if mail.sender else None, mail.subject, inbound_id,
        )  # fmt: skip

    def close_inbound(self, inbound_id: int, closing: CloseInbound, trail: Mapping[str, Any]) -> None:
        self._run(
            """UPDATE inbound SET state = ?, verdict = ?, reason = ?, reference = ?, trail = ?, error = NULL
            WHERE id = ?""",
            closing.state, closing.verdict, closing.reason, closing.reference,
            json.dumps(trail, ensure_ascii=False), inbound_id,
        )  # fmt: skip

    def fail_inbound(self, inbound_id: int, error: str) -> None:
        self._run("UPDATE inbound SET state = 'failed', error = ? WHERE id = ?", error, inbound_id)

    def retry(self, inbound_id: int | None, as_person: bool) -> int:
        """Failed mails (or one set-aside mail, as a person's) wait to be handled again. Returns how many."""
        states = "('failed', 'set_aside')" if as_person else "('failed')"
        where, values = (" AND id = ?", [inbound_id]) if inbound_id is not None else ("", [])
        done = self.db.conn.execute(
            f"""UPDATE inbound SET state = 'new', attempts = 0, as_person = max(as_person, ?)
            WHERE state IN {states}{where}""",
            [as_person, *values],
        )
        return done.rowcount

    def same_mail(
        self, inbound_id: int, message_id: str, content_key: str, direction: str | None = None
    ) -> tuple[int, str | None] | None:
        """The first other mail with this Message-ID and content that was handled, and its case.

        One that failed, was set aside or was itself a duplicate stands for nothing: its copy is handled. `direction`:
        only one that became such a message.
        """
        row = self._first(
            """SELECT id, reference FROM inbound WHERE message_id = ?1 AND content_key = ?2 AND id <> ?3
            AND state = 'done' AND reason NOT LIKE 'duplicate of%'
            AND (?4 IS NULL OR EXISTS (SELECT 1 FROM message WHERE inbound_id = inbound.id AND direction = ?4))
            ORDER BY id LIMIT 1""",
            message_id, content_key, inbound_id, direction,
        )  # fmt: skip
        return (row["id"], row["reference"]) if row else None

    # -- what a decision reads -------------------------------------------------------------------------------------

    def known_ids(self, ids: Sequence[str]) -> dict[str, KnownId]:
        """Which of these Message-IDs we know: our own letters by their token or the id a server gave them, other mail
        by its id."""
        known: dict[str, KnownId] = {}
        for said in ids:
            if row := self._letter_of(said):
                known[said] = KnownId(
                    row["reference"], row["recipient"].lower(), not row["customer_facing"], row["letter"],
                    row["about"], row["seen"],
                )  # fmt: skip
            elif row := self._first(
                "SELECT reference FROM message WHERE message_id = ? ORDER BY id DESC LIMIT 1", said
            ):
                known[said] = KnownId(row["reference"])
        return known

    def _letter_of(self, message_id: str) -> dict[str, Any] | None:
        return self._first(
            """SELECT reference, recipient, letter, about, customer_facing, seen FROM outbox
            WHERE token = ? OR id = (SELECT outbox_id FROM outbox_alias WHERE message_id = ?)""",
            token_in(message_id), comparable(message_id),
        )  # fmt: skip

    def letter(self, outbox_id: int) -> SentLetter:
        """A letter by its row, in whatever state."""
        row = self._one(
            "SELECT recipient, token, message_id, letter, reference, customer_facing, about FROM outbox WHERE id = ?",
            outbox_id,
        )
        return SentLetter(
            outbox_id, row["recipient"], row["token"], row["message_id"], letter=row["letter"],
            reference=row["reference"], to_customer=bool(row["customer_facing"]), about=row["about"],
        )  # fmt: skip

    def letters_named(self, tokens: Sequence[str], message_ids: Sequence[str]) -> list[SentLetter]:
        """The letters of ours that these tokens or Message-IDs name, those known to be dead left out."""
        rows = self._all(
            """SELECT id, recipient, token, message_id, letter, reference, customer_facing
            FROM outbox WHERE state <> 'dead' AND (token IN (SELECT value FROM json_each(?))
                OR message_id IN (SELECT value FROM json_each(?))
                OR id IN (SELECT outbox_id FROM outbox_alias WHERE message_id IN (SELECT value FROM json_each(?))))
            ORDER BY id""",
            json.dumps(list(tokens)), json.dumps(list(message_ids)), json.dumps(list(map(comparable, message_ids))),
        )  # fmt: skip
        return [
            SentLetter(
                outbox_id=row["id"], recipient=row["recipient"], token=row["token"], message_id=row["message_id"],
                aliases=self._aliases_of(row["id"]),
                letter=row["letter"], reference=row["reference"], to_customer=bool(row["customer_facing"]),
            )
            for row in rows
        ]  # fmt: skip

    def letter_carrying(self, tokens: Sequence[str]) -> OwnLetter | None:
        """The letter of ours with one of these tokens, in whatever state."""
        row = self._first(
            """SELECT id, letter, recipient, state, reference FROM outbox
            WHERE token IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT 1""",
            json.dumps(list(tokens)),
        )
        if row is None:
            return None
        cases = self.cases_of(row["id"]) or [row["reference"]] * (row["reference"] is not None)
        return OwnLetter(row["id"], row["letter"], row["recipient"], row["state"], tuple(cases))

    def _aliases_of(self, outbox_id: int) -> tuple[str, ...]:
        rows = self._all("SELECT message_id FROM outbox_alias WHERE outbox_id = ? ORDER BY message_id", outbox_id)
        return tuple(row["message_id"] for row in rows)

    def ticket(self, reference: str) -> Ticket | None:
        row = self._first(
            "SELECT ticket.*, person.name FROM ticket JOIN person ON person.address = customer WHERE reference = ?",
            reference,
        )
        if row is None:
            return None
        guests = self._all("SELECT address FROM participant WHERE reference = ?", reference)
        return Ticket(
            reference=row["reference"],
            state=State(row["state"]),
            subject=row["subject"],
            customer=Address(row["customer"], row["name"]),
            owner=row["owner"],
            level=row["level"],
            urgent=bool(row["urgent"]),
            classification=_classification(row["type"], row["classification"]),
            opened_at=instant(row["opened_at"]),
            business_days=row["business_days"],
            due_on=date.fromisoformat(row["due_on"]),
            acknowledged_at=_maybe(row["acknowledged_at"]),
            first_answered_at=_maybe(row["first_answered_at"]),
            resolved_at=_maybe(row["resolved_at"]),
            closed_at=_maybe(row["closed_at"]),
            reply_address=row["reply_address"],
            participants=tuple(guest["address"] for guest in guests),
            extension_days=row["extension_days"],
            pauses=self._pauses(reference),
            merged_into=row["merged_into"],
            reopened=row["reopened"],
        )

    def case(self, reference: str) -> Ticket | None:
        """The case under which a reference goes on: its own, or the one it was merged into."""
        ticket = self.ticket(reference)
        while ticket and ticket.merged_into:
            ticket = self.ticket(ticket.merged_into)
        return ticket

    def _pauses(self, reference: str) -> tuple[Pause, ...]:
        rows = self._all("SELECT asked_on, completed_on FROM pause WHERE reference = ? ORDER BY asked_on", reference)
        return tuple(
            Pause(
                date.fromisoformat(row["asked_on"]),
                date.fromisoformat(row["completed_on"]) if row["completed_on"] else None,
            )
            for row in rows
        )

    def next_reference(self, prefix: str, year: int) -> str:
        """The number the next ticket of that year takes. Exact only inside the transaction that opens it."""
        row = self._first("SELECT last FROM reference_counter WHERE year = ?", year)
        return format_reference(prefix, year, (row["last"] if row else 0) + 1)

    def in_turn(self, agents: Sequence[str]) -> tuple[str, ...]:
        """Round robin: whoever has waited longest for a new case comes first."""
        last = {
            agent: self._one("SELECT coalesce(max(id), 0) AS id FROM ticket WHERE owner = ?", agent)["id"]
            for agent in agents
        }
        return tuple(sorted(agents, key=lambda agent: last[agent]))

    def earlier_tickets(self, customer: str, but: str | None, limit: int = 5) -> tuple[Earlier, ...]:
        rows = self._all(
            """SELECT reference, subject, state, opened_at FROM ticket WHERE customer = ? AND reference IS NOT ?
            ORDER BY id DESC LIMIT ?""",
            customer, but, limit,
        )  # fmt: skip
        return tuple(Earlier(r["reference"], r["subject"], State(r["state"]), instant(r["opened_at"])) for r in rows)

    def conversation_brief(self, reference: str, limit: int = 10) -> tuple[tuple[datetime, str, str, str | None], ...]:
        """The latest messages of a case, oldest first: when, direction, author, letter."""
        rows = self._all(
            "SELECT at, direction, author, letter FROM message WHERE reference = ? ORDER BY id DESC LIMIT ?",
            reference,
            limit,
        )
        return tuple((instant(r["at"]), r["direction"], r["author"], r["letter"]) for r in reversed(rows))

    def letters_to(self, recipient: str, letter: str, since: datetime) -> tuple[datetime, ...]:
        """When such letters to this mailbox go or went, those since an instant, oldest first. `ana+x@` is `ana@`'s: a
        mail bomb, and a help desk with an address a ticket, would else have as many allowances as they like."""
        name, _, domain = recipient.rpartition("@")
        plain = name.partition("+")[0]
        rows = self._all(
            """SELECT not_before FROM outbox WHERE (recipient IN (?, ?) OR (recipient > ? AND recipient < ?
            AND substr(recipient, -length(?)) = ?)) AND letter = ? AND not_before > ? ORDER BY not_before""",
            recipient, f"{plain}@{domain}", f"{plain}+", f"{plain},", f"@{domain}", f"@{domain}", letter, stamp(since),
        )  # fmt: skip
        return tuple(instant(row["not_before"]) for row in rows)

    def automatic_letters(self, since: datetime) -> tuple[datetime, ...]:
        """When automatic letters to customers go or went, those since an instant, oldest first. Letters of the clock
        answer nobody, so they feed no loop: an acknowledgement does not wait for them."""
        rows = self._all(
            """SELECT not_before FROM outbox WHERE automatic AND not_before > ?
            AND letter NOT IN (SELECT value FROM json_each(?)) ORDER BY not_before""",
            stamp(since), json.dumps(OF_THE_CLOCK),
        )  # fmt: skip
        return tuple(instant(row["not_before"]) for row in rows)

    def waiting_acknowledgement(self, recipient: str, now: datetime) -> Waiting | None:
        """The acknowledgement to this person that has to wait and was never tried."""
        row = self._first(
            """SELECT id, not_before FROM outbox WHERE recipient = ? AND letter = 'acknowledgement'
            AND state = 'queued' AND attempts = 0 AND not_before > ? ORDER BY id DESC LIMIT 1""",
            recipient, stamp(now),
        )  # fmt: skip
        if row is None:
            return None
        cases = (self.ticket(reference) for reference in self.cases_of(row["id"]))
        return Waiting(row["id"], instant(row["not_before"]), tuple(case for case in cases if case))

    def cases_of(self, outbox_id: int) -> list[str]:
        """The cases a letter to a customer is about; none for an internal one."""
        rows = self._all("SELECT DISTINCT reference FROM message WHERE outbox_id = ? ORDER BY id", outbox_id)
        return [row["reference"] for row in rows]

    def last_letter_about(self, letter: str, about: str) -> datetime | None:
        """When such a letter was last queued."""
        row = self._one("SELECT max(created_at) AS at FROM outbox WHERE letter = ? AND about = ?", letter, about)
        return _maybe(row["at"])

    def mails_told_of(self, letter: str, about: str, since: datetime) -> int:
        """How many mails caused such letters since an instant; one mail may have caused several at once."""
        row = self._one(
            "SELECT count(DISTINCT created_at) AS n FROM outbox WHERE letter = ? AND about = ? AND created_at > ?",
            letter, about, stamp(since),
        )  # fmt: skip
        return int(row["n"])

    def asked_since(self, reference: str, customer: str, letter: str, since: datetime) -> bool:
        """Was such a letter ever written about this case, or to this customer since an instant?"""
        row = self._one(
            """SELECT EXISTS (SELECT 1 FROM outbox WHERE letter = ?1 AND reference = ?2)
                OR EXISTS (SELECT 1 FROM outbox WHERE letter = ?1 AND recipient = ?3 AND created_at > ?4) AS asked""",
            letter, reference, customer, stamp(since),
        )  # fmt: skip
        return bool(row["asked"])

    # -- what effects do -------------------------------------------------------------------------------------------

    def open_ticket(self, opened: OpenTicket) -> None:
        """Writes the case and moves the counter: together or not at all, so that the numbers have no holes."""
        match = re.search(r"-(\d{4})-(\d+)$", opened.reference)
        assert match
        year, number = int(match[1]), int(match[2])
        self._run(
            "INSERT INTO reference_counter (year, last) VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET last = max(last, excluded.last)",
            year,
            number,
        )
        self._keep_person(opened.customer)
        self._insert(
            "ticket",
            reference=opened.reference, year=year, number=number, type=opened.classification.type,
            subject=opened.subject, customer=opened.customer.address, reply_address=opened.reply_address,
            owner=opened.owner, urgent=opened.classification.urgent,
            classification=_classification_json(opened.classification),
            opened_at=stamp(opened.opened_at), business_days=opened.business_days, due_on=opened.due_on.isoformat(),
        )  # fmt: skip

    def save_ticket(self, ticket: Ticket) -> None:
        """Everything of a case that can change, but when it was first answered: `note_answer`."""
        self._keep_person(ticket.customer)
        self._run(
            """UPDATE ticket SET state = ?, customer = ?, reply_address = ?, owner = ?, level = ?, urgent = ?, type = ?,
                classification = ?, business_days = ?, extension_days = ?, due_on = ?, acknowledged_at = ?,
                resolved_at = ?, closed_at = ?, merged_into = ?, reopened = ? WHERE reference = ?""",
            ticket.state, ticket.customer.address, ticket.reply_address, ticket.owner, ticket.level, ticket.urgent,
            ticket.classification.type, _classification_json(ticket.classification), ticket.business_days,
            ticket.extension_days, ticket.due_on.isoformat(), _stamped(ticket.acknowledged_at),
            _stamped(ticket.resolved_at), _stamped(ticket.closed_at), ticket.merged_into, ticket.reopened,
            ticket.reference,
        )  # fmt: skip
        for pause in ticket.pauses:
            self._run(
                """INSERT INTO pause (reference, asked_on, completed_on) VALUES (?, ?, ?)
                ON CONFLICT DO UPDATE SET completed_on = excluded.completed_on""",
                ticket.reference, pause.asked_on.isoformat(),
                pause.completed_on.isoformat() if pause.completed_on else None,
            )  # fmt: skip

    def note_answer(self, reference: str, at: datetime) -> None:
        """A person answered the customer; the first time is kept."""
        sql = "UPDATE ticket SET first_answered_at = coalesce(first_answered_at, ?) WHERE reference = ?"
        self._run(sql, stamp(at), reference)

    def _keep_person(self, person: Address) -> None:
        self._run(
            """INSERT INTO person (address, name) VALUES (?, ?)
            ON CONFLICT DO UPDATE SET name = coalesce(nullif(excluded.name, ''), name)""",
            person.address, person.name,
        )  # fmt: skip

    def link_tickets(self, one: str, other: str) -> None:
        if one != other:
            self._run(
                "INSERT INTO ticket_link (reference, other) VALUES (?, ?) ON CONFLICT DO NOTHING", *sorted((one, other))
            )

    def add_participant(self, reference: str, address: str) -> None:
        sql = "INSERT INTO participant (reference, address) VALUES (?, ?) ON CONFLICT DO NOTHING"
        self._run(sql, reference, address)

    def remove_participant(self, reference: str, address: str) -> None:
        self._run("DELETE FROM participant WHERE reference = ? AND address = ?", reference, address)

    def move_message(self, message_id: int, reference: str) -> None:
        self._run("UPDATE message SET reference = ? WHERE id = ?", reference, message_id)

    def hold_mail(self, inbound_id: int, kind: str, agent: str, until: datetime) -> None:
        """Waits for its writer's word; a confirmed mail may have to wait once more."""
        self._run(
            """INSERT INTO held_mail (inbound_id, kind, agent, until) VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET kind = excluded.kind, until = excluded.until, released_at = NULL""",
            inbound_id, kind, agent, stamp(until),
        )  # fmt: skip

    def release_mail(self, inbound_id: int, now: datetime) -> None:
        self._run("UPDATE held_mail SET released_at = ? WHERE inbound_id = ?", stamp(now), inbound_id)

    def note_absence(self, address: str, first: date, last: date) -> None:
        self._run("DELETE FROM absence WHERE address = ?", address)
        if first <= last:
            self._insert("absence", address=address, first=first.isoformat(), last=last.isoformat())

    def away(self, today: date) -> frozenset[str]:
        """Who is away on a day of the office."""
        rows = self._all("SELECT address FROM absence WHERE ? BETWEEN first AND last", today.isoformat())
        return frozenset(row["address"] for row in rows)

    def fire(self, about: str, rule: str, cycle: str, now: datetime) -> bool:
        """True once for each rule and cycle, False ever after."""
        done = self.db.conn.execute(
            "INSERT INTO fired (about, rule, cycle, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [about, rule, cycle, stamp(now)],
        )
        return done.rowcount == 1

    def look_again(self, reference: str, on: date) -> None:
        self._run("UPDATE ticket SET look_on = ? WHERE reference = ?", on.isoformat(), reference)

    def look_at_all(self) -> None:
        """The rules are others now: every case is looked at."""
        self._run("UPDATE ticket SET look_on = '' WHERE state <> 'closed'")

    def note_rating(self, said: NoteRating) -> None:
        """The latest word counts."""
        self._run(
            """INSERT INTO rating (reference, rating, resolved, words, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
            SET rating = excluded.rating, resolved = excluded.resolved, words = excluded.words, at = excluded.at""",
            said.reference, said.rating, said.resolved, said.words, stamp(said.at),
        )  # fmt: skip

    def refuse_surveys(self, address: str) -> None:
        self._run("UPDATE person SET no_surveys = 1 WHERE address = ?", address)

    def clock_went_back(self, now: datetime) -> None:
        """Letters put off by a clock that was ahead are due: those of then, and those it tried."""
        self._run(
            """UPDATE outbox SET next_attempt_at = ?1
            WHERE state = 'queued' AND next_attempt_at > ?1 AND (created_at > ?1 OR attempts > 0)""",
            stamp(now),
        )

    def fired(self, about: str, rule: str, cycle: str) -> bool:
        sql = "SELECT 1 AS yes FROM fired WHERE about = ? AND rule = ? AND cycle = ?"
        return self._first(sql, about, rule, cycle) is not None

    def rename_rule(self, old: str, new: str) -> None:
        """In what was done and in the reasons of letters that still wait."""
        for table in ("fired", "letter_reason"):
            self._run(f"UPDATE OR IGNORE {table} SET rule = ? WHERE rule = ?", new, old)

    def fired_in(self, about: str, cycle: str) -> frozenset[str]:
        """The rules that fired in a cycle."""
        rows = self._all("SELECT rule FROM fired WHERE about = ? AND cycle = ?", about, cycle)
        return frozenset(row["rule"] for row in rows)

    def mails_of(self, reference: str) -> int:
        """How many mails of the customer's side a case has."""
        sql = "SELECT count(*) AS n FROM message WHERE reference = ? AND direction = 'in'"
        return int(self._one(sql, reference)["n"])

    def last_fired(self, about: str, rule: str) -> datetime | None:
        row = self._one("SELECT max(at) AS at FROM fired WHERE about = ? AND rule = ?", about, rule)
        return _maybe(row["at"])

    def record_message(self, message: RecordMessage, inbound_id: int | None) -> None:
        self._insert(
            "message",
            reference=message.reference, direction=message.direction, author=message.author.address,
            author_name=message.author.name, recipients=json.dumps(message.recipients), subject=message.subject,
            message_id=message.message_id, at=stamp(message.at), text=message.text, full_text=message.full_text,
            attachments=json.dumps([asdict(a) for a in message.attachments], ensure_ascii=False),
            verified=message.verified, inbound_id=inbound_id,
        )  # fmt: skip

    def record_letter(
        self, outbox_id: int, letter: FinishedLetter, author: Address, subject: str, text: str, full_text: str,
        attachments: Sequence[Attachment] = (),
    ) -> None:  # fmt: skip
        """A letter to a customer is part of the conversation."""
        self._insert(
            "message",
            reference=letter.reference, direction="out", letter=letter.letter, author=author.address,
            author_name=author.name, recipients=json.dumps([letter.recipient]), subject=subject,
            message_id=letter.message_id, at=stamp(letter.not_before), text=text, full_text=full_text,
            attachments=json.dumps([asdict(a) for a in attachments], ensure_ascii=False), outbox_id=outbox_id,
        )  # fmt: skip

    def queue_letter(self, letter: FinishedLetter, now: datetime) -> int:
        outbox_id = self._insert(
            "outbox",
            reference=letter.reference, letter=letter.letter, recipient=letter.recipient, sender=letter.sender,
            automatic=letter.automatic, message_id=letter.message_id, token=letter.token, raw=letter.raw,
            created_at=stamp(now), not_before=stamp(letter.not_before), next_attempt_at=stamp(letter.not_before),
            about=letter.about, customer_facing=letter.customer_facing, seen=self._last_message(letter.reference),
        )  # fmt: skip
        self._enclose(outbox_id, letter)
        return outbox_id

    def _enclose(self, outbox_id: int, letter: FinishedLetter) -> None:
        """What follows the beginning of a letter: SQLite makes room for it, and it is written piece by piece."""
        if not (size := sum(map(len, letter.more()))):
            return
        self._run("UPDATE outbox SET raw = zeroblob(?) WHERE id = ?", len(letter.raw) + size, outbox_id)
        self._fill("outbox", outbox_id, chain([letter.raw], letter.more()))

    def note_reasons(self, outbox_id: int, because: Sequence[Because]) -> None:
        """Why the clock wrote a letter."""
        for about, rule, cycle in because:
            self._run("INSERT OR IGNORE INTO letter_reason VALUES (?, ?, ?, ?)", outbox_id, about, rule, cycle)

    def reasons(self, outbox_id: int) -> list[Because]:
        rows = self._all("SELECT about, rule, cycle FROM letter_reason WHERE outbox_id = ?", outbox_id)
        return [(row["about"], row["rule"], row["cycle"]) for row in rows]

    def letter_superseded(self, letter: DueLetter) -> None:
        """Its reason is gone before it was ever tried. What nobody was told may be said when its time comes again."""
        sql = "UPDATE outbox SET state = 'dead', attempts = attempts - 1, error = 'superseded' WHERE id = ?"
        self._run(sql, letter.id)
        self._run(
            """DELETE FROM fired WHERE (about, rule, cycle) IN (
                SELECT about, rule, cycle FROM letter_reason AS mine WHERE outbox_id = ?1 AND NOT EXISTS (
                    SELECT 1 FROM letter_reason AS other JOIN outbox ON outbox.id = other.outbox_id
                    WHERE (other.about, other.rule, other.cycle) = (mine.about, mine.rule, mine.cycle)
                    AND outbox.state <> 'dead'))""",
            letter.id,
        )

    def _last_message(self, reference: str | None) -> int | None:
        row = self._one("SELECT max(id) AS id FROM message WHERE reference = ?", reference)
        return int(row["id"]) if row["id"] else None

    def identity_of(self, outbox_id: int) -> tuple[str, str]:
        """A letter's token and Message-ID."""
        row = self._one("SELECT token, message_id FROM outbox WHERE id = ?", outbox_id)
        return row["token"], row["message_id"]

    def rewrite_letter(self, outbox_id: int, letter: FinishedLetter, subject: str, text: str) -> int:
        """Another letter takes the place of one that waits; every attempt sends the same bytes, so only before the
        first. Returns the outbox id."""
        done = self.db.conn.execute(
            "UPDATE outbox SET raw = ?, reference = ? WHERE id = ? AND state = 'queued' AND attempts = 0",
            [letter.raw, letter.reference, outbox_id],
        )
        assert done.rowcount == 1
        self._enclose(outbox_id, letter)
        sql = "UPDATE message SET subject = ?, text = ?, full_text = ? WHERE outbox_id = ?"
        self._run(sql, subject, text, text, outbox_id)
        return outbox_id

    def note_event(self, note: NoteEvent, now: datetime) -> None:
        """Appends to the history; each row carries the hash of the one before."""
        last = self._first("SELECT id, hash FROM ticket_event ORDER BY id DESC LIMIT 1")
        row_id, previous = (last["id"] + 1, last["hash"]) if last else (1, "")
        salt = secrets.token_bytes(16)
        row: dict[str, Any] = {
            "id": row_id, "reference": note.reference, "at": stamp(now), "actor": note.actor, "event": note.event,
            "detail": note.detail, "salt": salt, "actor_commitment": commitment(salt, note.actor),
            "detail_commitment": commitment(salt, note.detail), "previous_hash": previous,
        }  # fmt: skip
        self._insert("ticket_event", **row, hash=event_hash(row))

    # -- the outbox ------------------------------------------------------------------------------------------------

    def requeue_interrupted(self, now: datetime) -> int:
        """After a crash: what was being sent goes again, with the same Message-ID, and is counted."""
        done = self.db.conn.execute(
            """UPDATE outbox SET state = 'queued', interrupted = interrupted + 1, next_attempt_at = ?
            WHERE state = 'sending'""",
            [stamp(now)],
        )
        return done.rowcount

    def claim_letters(self, now: datetime, limit: int) -> list[DueLetter]:
        rows = self._all(
            """UPDATE outbox SET state = 'sending', attempts = attempts + 1 WHERE id IN (
                SELECT id FROM outbox WHERE state = 'queued' AND next_attempt_at <= ?
                ORDER BY next_attempt_at, id LIMIT ?
            ) RETURNING id, letter, reference, recipient, sender, iif(length(raw) <= ?, raw, NULL) AS raw, attempts,
            not_before, next_attempt_at AS due""",
            stamp(now), limit, PIECE,
        )  # fmt: skip
        letters = [
            DueLetter(**{**row, "not_before": instant(row["not_before"]), "due": instant(row["due"])}) for row in rows
        ]
        return sorted(letters, key=lambda letter: letter.id)

    def letter_sent(self, letter: DueLetter, reply: str, now: datetime) -> None:
        self._run(
            "UPDATE outbox SET state = 'sent', sent_at = ?, smtp_reply = ?, error = NULL WHERE id = ?",
            stamp(now),
            reply,
            letter.id,
        )
        self._alias(id_given(reply), letter.id)
        if letter.letter in ACKNOWLEDGING:
            self._run(
                """UPDATE ticket SET acknowledged_at = coalesce(acknowledged_at, ?) WHERE customer = ?
                AND (reference = ? OR reference IN (SELECT reference FROM message WHERE outbox_id = ?))""",
                stamp(now), letter.recipient, letter.reference, letter.id,
            )  # fmt: skip

    def _alias(self, given: str | None, outbox_id: int) -> None:
        if given and token_in(given) is None:  # most servers that name an id name ours
            self._run("INSERT OR IGNORE INTO outbox_alias (message_id, outbox_id) VALUES (?, ?)", given, outbox_id)

    def letter_back(self, letter: DueLetter, next_attempt_at: datetime, error: str, counts: bool = True) -> None:
        """Back into the queue. `counts` False: this attempt was not about the letter, it does not count against it."""
        self._run(
            "UPDATE outbox SET state = 'queued', next_attempt_at = ?, error = ?, attempts = attempts - ? WHERE id = ?",
            stamp(next_attempt_at), error, 0 if counts else 1, letter.id,
        )  # fmt: skip

    def letter_stopped(self, letter: DueLetter, state: str, reply: str, error: str) -> None:
        """`dead` or `uncertain`: it is not sent again by itself."""
        self._run("UPDATE outbox SET state = ?, smtp_reply = ?, error = ? WHERE id = ?", state, reply, error, letter.id)

    def letter_bounced(self, outbox_id: int, diagnostic: str) -> None:
        """It did not arrive after all; a bounced acknowledgement acknowledges nothing."""
        self._run("UPDATE outbox SET state = 'dead', error = ? WHERE id = ?", f"bounced: {diagnostic}", outbox_id)
        self._run(f"UPDATE ticket SET acknowledged_at = NULL WHERE {_ACKNOWLEDGED_BY}", outbox_id)

    def letter_doubted(self, outbox_id: int, why: str) -> None:
        """A letter that may have gone before it was written here: it is not sent by itself."""
        self._run("UPDATE outbox SET state = 'uncertain', error = ? WHERE id = ? AND attempts = 0", why, outbox_id)

    def letter_found(self, outbox_id: int, at: datetime, raw: bytes, given_id: str) -> None:
        """A letter written here again lies in the Sent folder as it went. `given_id`: the Message-ID it has there."""
        sql = "UPDATE outbox SET raw = zeroblob(?), state = 'uncertain', attempts = 1 WHERE id = ?"
        self._run(sql, len(raw), outbox_id)
        self._fill("outbox", outbox_id, [raw])
        self.letter_went(outbox_id, at)
        self._alias(given_id, outbox_id)

    def letter_went(self, outbox_id: int, at: datetime) -> None:
        """It is known to have gone after all; an acknowledgement acknowledges."""
        sql = "UPDATE outbox SET state = 'sent', sent_at = ?, error = NULL WHERE id = ? AND state = 'uncertain'"
        self._run(sql, stamp(at), outbox_id)
        sql = f"UPDATE ticket SET acknowledged_at = coalesce(acknowledged_at, ?) WHERE {_ACKNOWLEDGED_BY}"
        self._run(sql, stamp(at), outbox_id)

    def next_letter_at(self) -> datetime | None:
        row = self._one("SELECT min(next_attempt_at) AS at FROM outbox WHERE state = 'queued'")
        return _maybe(row["at"])

    # -- alarms and probes -----------------------------------------------------------------------------------------

    def alarms(self) -> list[Alarm]:
        """Those that are open."""
        rows = self._all("SELECT * FROM alarm ORDER BY told_at, name")
        times = ("began_at", "told_at", "well_since")
        return [Alarm(**{**row, **{name: _maybe(row[name]) for name in times}}) for row in rows]

    def set_alarms(self, alarms: Sequence[Alarm]) -> None:
        """These are open, and no others."""
        self._run("DELETE FROM alarm")
        for one in alarms:
            self._insert(
                "alarm",
                name=one.name, text=one.text, said=one.said, began_at=stamp(one.began_at), told_at=stamp(one.told_at),
                count=one.count, well_since=_stamped(one.well_since),
            )  # fmt: skip

    def supersede_alarms(self, still_open: Collection[str]) -> None:
        """Letters about alarms that are over and that no server has taken: the all-clear says it all."""
        self._run(
            """UPDATE outbox SET state = 'dead', error = 'superseded' WHERE state = 'queued' AND id IN (
                SELECT outbox_id FROM letter_reason WHERE rule = ?1)
            AND NOT EXISTS (SELECT 1 FROM letter_reason WHERE outbox_id = outbox.id AND rule = ?1
                AND cycle IN (SELECT value FROM json_each(?2)))""",
            ALARM, json.dumps(list(still_open)),
        )  # fmt: skip

    def last_probe(self) -> tuple[datetime, bool] | None:
        """When the latest probe was written, and whether it still waits to leave."""
        row = self._first("""SELECT created_at, state FROM outbox WHERE id = (SELECT max(outbox_id) FROM heartbeat)""")
        return (instant(row["created_at"]), row["state"] in ("queued", "sending")) if row else None

    def note_probe(self, outbox_id: int) -> None:
        self._insert("heartbeat", outbox_id=outbox_id)

    def awaited_probe(self, tokens: Sequence[str]) -> int | None:
        """The probe with one of these tokens that has not come back yet."""
        row = self._first(
            """SELECT outbox_id FROM heartbeat JOIN outbox ON outbox.id = outbox_id
            WHERE token IN (SELECT value FROM json_each(?)) AND back_at IS NULL""",
            json.dumps(list(tokens)),
        )
        return int(row["outbox_id"]) if row else None

    def probe_back(self, outbox_id: int, now: datetime) -> None:
        self._run("UPDATE heartbeat SET back_at = ? WHERE outbox_id = ?", stamp(now), outbox_id)

    # -- plumbing --------------------------------------------------------------------------------------------------

    def _run(self, sql: str, *values: object) -> None:
        self.db.conn.execute(sql, values)

    def _all(self, sql: str, *values: object) -> list[dict[str, Any]]:
        cursor = self.db.conn.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _first(self, sql: str, *values: object) -> dict[str, Any] | None:
        return next(iter(self._all(sql, *values)), None)

    def _one(self, sql: str, *values: object) -> dict[str, Any]:
        return self._all(sql, *values)[0]

    def _insert(self, table: str, **values: object) -> int:
        """One row into a table of the schema. (sqlite-utils would make an unknown table; SQLite refuses it.)"""
        names = ", ".join(values)
        cursor = self.db.conn.execute(
            f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(values))})",
            tuple(values.values()),
        )
        return int(cursor.lastrowid or 0)


def event_hash(row: Mapping[str, Any]) -> str:
    """The chain's link: over the row's public fields, its commitments, and the hash of the row before."""
    fields = ("previous_hash", "id", "reference", "at", "event", "actor_commitment", "detail_commitment")
    return hashlib.sha256(json.dumps([row[name] for name in fields]).encode()).hexdigest()


def commitment(salt: bytes, value: str) -> str:
    """What stands for a personal field in the chain: it says nothing once the salt is erased."""
    return hashlib.sha256(salt + value.encode("utf-8", "surrogatepass")).hexdigest()


def _classification_json(classification: Classification) -> str:
    return json.dumps(
        {
            "confidence": classification.confidence,
            "urgency": classification.urgency,
            "urgent": classification.urgent,
            "evidence": [asdict(e) for e in classification.evidence],
            "scores": dict(classification.scores),
        },
        ensure_ascii=False,
    )


def _classification(type_key: str, text: str) -> Classification:
    data = json.loads(text)
    evidence = tuple(Evidence(**e) for e in data["evidence"])
    return Classification(
        type_key, data["confidence"], tuple(data["urgency"]), data["urgent"], evidence, data["scores"]
    )


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")  # a power cut must not unsend what was decided
    return connection


def _look_over(path: Path) -> None:
    """Before anything is written to a store that was not closed: after a crash, a power cut, or damage found. Reading
    alone leaves the journal as it is."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as reading:
        (found,) = reading.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise DamagedStore(path, found.splitlines()[-1])
        if lost := commits_lost(path):
            raise DamagedStore(path, f"{lost} commits in {_beside(path, '-wal').name} cannot be read")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _must_be_a_store(path: Path) -> None:
    """Nothing about a file that is something else is changed. An empty one is a store about to be made."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise StoreProblem(f"{path}: is no regular file, expected a store or nothing")
    if state.st_nlink > 1:  # SQLite keeps its journal beside one name, and looks for it beside the other
        raise StoreProblem(f"{path}: has a second name (a hard link), by which it could be opened twice: remove that")
    if not state.st_size and _was_made(path):
        raise DamagedStore(path, f"it is empty; to begin anew all the same, remove {_beside(path, LOCK).name}")
    with path.open("rb") as file:
        begin = file.read(16)
    if begin and begin != b"SQLite format 3\0":
        raise StoreProblem(f"{path}: is no SQLite file, expected a store or nothing")


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise problem_of(path, error) from error
    except OSError as error:
        raise StoreProblem(f"{path}: {error.strerror or error}") from error


LOCK = ".lock"
_MADE, _WORDS_END = b"a store was made here", 600  # bytes


class DaemonLock:
    """The lock file of the one daemon, which outlives a store that cannot be opened or written: one byte says whether
    people were told of that, and a line for `status` and the next start what is wrong.

    Its length never changes, so that it can be written on a full disk.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def told(self) -> bool:
        return os.pread(self._descriptor, 1, 0) == b"!"

    def note(self, told: bool) -> bool:
        """False: it cannot be noted."""
        return self._put(b"!" if told else b"-", 0)

    def write(self, words: str) -> None:
        """ "": all is well. What cannot be written is not: the log has it."""
        line = words.encode()[: _WORDS_END - 2].ljust(_WORDS_END - 2) + b"\n"
        self._put(line + _MADE + b"\n", 1)

    def _put(self, content: bytes, at: int) -> bool:
        try:
            return os.pwrite(self._descriptor, content, at) == len(content)
        except OSError:
            return False


def words_left(path: Path) -> str:
    """What the daemon of a store last wrote about it; "" when all was well."""
    try:
        return _beside(path.resolve(), LOCK).read_bytes()[1:_WORDS_END].decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _was_made(path: Path) -> bool:
    try:
        return _MADE in _beside(path, LOCK).read_bytes()
    except OSError:
        return False


@contextmanager
def only_daemon(path: Path) -> Iterator[DaemonLock]:
    """Held by the one daemon of a store, by whatever name it is called; the second refuses to start. The system lets
    go of it whatever kills us."""
    path = path.resolve()
    with _one_line(path):
        lock = os.fdopen(os.open(_beside(path, LOCK), os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
    with lock:
        with _one_line(path), _nobody_else(f"{path}: another pqr-mailbot is running on this store"):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield DaemonLock(lock.fileno())


@contextmanager
def only_reconcile(path: Path) -> Iterator[None]:
    """Held by the one command that makes good what a restore lost; raises StoreProblem for the second.

    The lock is on the directory: a file that root made here would keep the service out.
    """
    with _one_line(path):
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _one_line(path), _nobody_else(f"{path}: another `reconcile` is at work after the restore"):
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(directory)


@contextmanager
def _nobody_else(words: str) -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        raise StoreProblem(words) from None
