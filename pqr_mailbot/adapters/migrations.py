"""The schema, step by step. Steps are only ever added; each runs once, in one transaction with its own record."""

from __future__ import annotations

import secrets

from sqlite_utils import Database, Migrations

from pqr_mailbot.adapters.tokens import new_key

migrations = Migrations("pqr_mailbot")


@migrations()
def m001_the_desk(db: Database) -> None:
    """Instants are UTC text of one width (they sort as they are), days are ISO dates of the office's zone."""
    for statement in _THE_DESK:
        db.execute(statement)
    db.execute("INSERT INTO signing_key (key) VALUES (?)", [new_key()])
    db.execute("INSERT INTO fact (name, value) VALUES ('store_id', ?)", [secrets.token_hex(8)])


@migrations()
def m002_what_letters_are_about(db: Database) -> None:
    """The address a question asks about, the fuse an alarm tells of."""
    db.execute("ALTER TABLE outbox ADD COLUMN about TEXT NOT NULL DEFAULT ''")
    db.execute("CREATE INDEX outbox_about ON outbox (letter, about) WHERE about <> ''")


@migrations()
def m003_message_id_aliases(db: Database) -> None:
    """The Message-IDs that servers gave our letters instead of ours, as `domain.given_id` compares them."""
    db.execute("""CREATE TABLE outbox_alias (
        message_id TEXT PRIMARY KEY,
        outbox_id INTEGER NOT NULL REFERENCES outbox (id)
    ) STRICT, WITHOUT ROWID""")
    db.execute("CREATE INDEX outbox_alias_letter ON outbox_alias (outbox_id)")


@migrations()
def m004_sent_folder(db: Database) -> None:
    """Mail of the Sent folder is kept beside that of the inbox, and means something else."""
    folders = "CHECK (folder IN ('inbox', 'sent'))"
    db.execute(f"ALTER TABLE inbound ADD COLUMN folder TEXT NOT NULL DEFAULT 'inbox' {folders}")


@migrations()
def m005_colleagues(db: Database) -> None:
    """What colleagues order: extensions, pauses, merged cases, held mails, absences; and what fired once."""
    for statement in _COLLEAGUES:
        db.execute(statement)


@migrations()
def m006_clock(db: Database) -> None:
    """When the clock has to look at a case again, how often it was reopened, and what customers say afterwards."""
    for statement in _CLOCK:
        db.execute(statement)


@migrations()
def m007_reasons(db: Database) -> None:
    """Why the clock wrote a letter: when the reason is gone before the first attempt, it is not sent."""
    db.execute("""CREATE TABLE letter_reason (
        outbox_id INTEGER NOT NULL REFERENCES outbox (id),
        about TEXT NOT NULL,
        rule TEXT NOT NULL,
        cycle TEXT NOT NULL,
        PRIMARY KEY (outbox_id, about, rule, cycle)
    ) STRICT, WITHOUT ROWID""")
    db.execute("CREATE INDEX letter_reason_about ON letter_reason (about, rule, cycle)")


@migrations()
def m008_oauth2(db: Database) -> None:
    """The token endpoint is a provider too, and what it gave outlives a restart."""
    for statement in _OAUTH2:
        db.execute(statement)


@migrations()
def m009_alarms(db: Database) -> None:
    """The problems people were told of and that are not over, and the probes that go out and come back."""
    db.execute("""CREATE TABLE alarm (
        name TEXT PRIMARY KEY,
        text TEXT NOT NULL,
        said TEXT NOT NULL,
        began_at TEXT NOT NULL,
        told_at TEXT NOT NULL,
        count INTEGER NOT NULL CHECK (count >= 0),
        well_since TEXT
    ) STRICT, WITHOUT ROWID""")
    db.execute("""CREATE TABLE heartbeat (
        outbox_id INTEGER PRIMARY KEY REFERENCES outbox (id),
        back_at TEXT
    ) STRICT""")
    # A look at the desk's health every few seconds must not read through years of mail.
    db.execute("CREATE INDEX inbound_rescan ON inbound (stored_at) WHERE verdict = 'rescan'")
    db.execute("CREATE INDEX outbox_amiss ON outbox (created_at) WHERE state IN ('uncertain', 'dead')")
    waiting = "(not_before, attempts, next_attempt_at) WHERE state IN ('queued', 'sending')"
    db.execute(f"CREATE INDEX outbox_waiting ON outbox {waiting}")
    db.execute("CREATE INDEX outbox_sent ON outbox (sent_at) WHERE state = 'sent'")


@migrations()
def m010_lost_time(db: Database) -> None:
    """Mails that the desk may have handled in a time that a restored backup knows nothing of; and above which UID a
    mailbox was ever read, so that a mail below the cursor without a row is known to be missing."""
    db.execute("ALTER TABLE inbound ADD COLUMN doubtful INTEGER NOT NULL DEFAULT 0 CHECK (doubtful IN (0, 1))")
    db.execute("ALTER TABLE mailbox_cursor ADD COLUMN began_above INTEGER NOT NULL DEFAULT 0")
    db.execute("""UPDATE mailbox_cursor SET began_above = min(last_uid, coalesce((
        SELECT min(uid) - 1 FROM inbound WHERE inbound.mailbox = mailbox_cursor.mailbox
        AND inbound.uidvalidity = mailbox_cursor.uidvalidity), last_uid))""")


_OAUTH2 = (
    "ALTER TABLE provider RENAME TO provider_before",
    """CREATE TABLE provider (
        name TEXT PRIMARY KEY CHECK (name IN ('imap', 'smtp', 'oauth2')),
        last_success_at TEXT,
        failures INTEGER NOT NULL DEFAULT 0,
        failing_since TEXT,
        next_attempt_at TEXT,
        refused TEXT NOT NULL DEFAULT '',  -- a short mark of the secret that a login was refused with
        problem TEXT
    ) STRICT""",
    """INSERT INTO provider (name, last_success_at, failures, failing_since, next_attempt_at, refused, problem)
    SELECT name, last_success_at, failures, failing_since, next_attempt_at, refused, problem FROM provider_before""",
    "DROP TABLE provider_before",
    # The access token itself is nowhere but in memory.
    """CREATE TABLE oauth_token (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        mark TEXT NOT NULL,  -- a short mark of the configured secret that the refresh token has taken the place of
        refresh_token TEXT NOT NULL,  -- '': the configured one
        refreshed_at TEXT NOT NULL,
        expires_at TEXT NOT NULL
    ) STRICT""",
)


_CLOCK = (
    # '': at the next look. Whatever happens to a case brings it to the front.
    "ALTER TABLE ticket ADD COLUMN look_on TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX ticket_look_on ON ticket (look_on) WHERE state <> 'closed'",
    "ALTER TABLE ticket ADD COLUMN reopened INTEGER NOT NULL DEFAULT 0 CHECK (reopened >= 0)",
    "ALTER TABLE person ADD COLUMN no_surveys INTEGER NOT NULL DEFAULT 0 CHECK (no_surveys IN (0, 1))",
    """CREATE TABLE rating (
        reference TEXT PRIMARY KEY REFERENCES ticket (reference),
        rating INTEGER CHECK (rating BETWEEN 1 AND 5),
        resolved INTEGER NOT NULL CHECK (resolved IN (0, 1)),
        words TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT""",
    """CREATE TRIGGER message_looked AFTER INSERT ON message BEGIN
        UPDATE ticket SET look_on = '' WHERE reference = new.reference;
    END""",
    """CREATE TRIGGER ticket_looked AFTER UPDATE OF state, customer, type, business_days, extension_days, due_on,
        acknowledged_at, resolved_at ON ticket BEGIN
        UPDATE ticket SET look_on = '' WHERE id = new.id;
    END""",
)

_COLLEAGUES = (
    "ALTER TABLE ticket ADD COLUMN extension_days INTEGER NOT NULL DEFAULT 0 CHECK (extension_days >= 0)",
    "ALTER TABLE ticket ADD COLUMN merged_into TEXT REFERENCES ticket (reference)",
    "CREATE INDEX ticket_merged ON ticket (merged_into) WHERE merged_into IS NOT NULL",
    "CREATE INDEX ticket_reply_address ON ticket (reply_address) WHERE reply_address IS NOT NULL",
    "CREATE INDEX participant_address ON participant (address)",
    # Days after asked_on up to and including completed_on do not count; NULL: the customer still owes something.
    """CREATE TABLE pause (
        reference TEXT NOT NULL REFERENCES ticket (reference),
        asked_on TEXT NOT NULL,
        completed_on TEXT CHECK (completed_on >= asked_on),
        PRIMARY KEY (reference, asked_on)
    ) STRICT, WITHOUT ROWID""",
    # Until now a letter was the customer's when it was a message of the conversation; copies are no message.
    "ALTER TABLE outbox ADD COLUMN customer_facing INTEGER NOT NULL DEFAULT 0 CHECK (customer_facing IN (0, 1))",
    "UPDATE outbox SET customer_facing = 1 WHERE id IN (SELECT outbox_id FROM message WHERE outbox_id IS NOT NULL)",
    "ALTER TABLE outbox ADD COLUMN seen INTEGER",  # the last message of its case when it was written
    """CREATE TABLE held_mail (
        inbound_id INTEGER PRIMARY KEY REFERENCES inbound (id),
        kind TEXT NOT NULL CHECK (kind IN ('held', 'challenge')),
        agent TEXT NOT NULL,
        until TEXT NOT NULL,
        released_at TEXT
    ) STRICT""",
    """CREATE TABLE absence (
        address TEXT PRIMARY KEY,
        first TEXT NOT NULL,
        last TEXT NOT NULL CHECK (last >= first)
    ) STRICT""",
    # Once-only: what fired for whom, by which rule, in which cycle (a day, a case's round).
    """CREATE TABLE fired (
        about TEXT NOT NULL,
        rule TEXT NOT NULL,
        cycle TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (about, rule, cycle)
    ) STRICT, WITHOUT ROWID""",
)

# What every list of states below says is said in domain.model too; a test compares them.
_THE_DESK = (
    """CREATE TABLE signing_key (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL
    ) STRICT""",
    # Single facts about the desk itself: when it began to read the mailbox, which store this is.
    """CREATE TABLE fact (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT""",
    # How it stands with each provider. Kept here so that a restart neither forgets a back-off nor hammers a login.
    """CREATE TABLE provider (
        name TEXT PRIMARY KEY CHECK (name IN ('imap', 'smtp')),
        last_success_at TEXT,
        failures INTEGER NOT NULL DEFAULT 0,
        failing_since TEXT,
        next_attempt_at TEXT,
        refused TEXT NOT NULL DEFAULT '',  -- a short mark of the secret that a login was refused with
        problem TEXT
    ) STRICT""",
    """CREATE TABLE mailbox_cursor (
        mailbox TEXT PRIMARY KEY,
        uidvalidity INTEGER NOT NULL,
        last_uid INTEGER NOT NULL,
        last_fetch_at TEXT NOT NULL,
        renumbered_after TEXT,  -- the last good fetch before the latest change of UIDVALIDITY,
        renumbered_below INTEGER NOT NULL DEFAULT 0  -- and the UID below which mail was there at that change
    ) STRICT""",
    """CREATE TABLE inbound (
        id INTEGER PRIMARY KEY,
        mailbox TEXT NOT NULL,
        uidvalidity INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        received_at TEXT NOT NULL,  -- INTERNALDATE: the legal instant of receipt (Ley 527/1999 art. 24)
        stored_at TEXT NOT NULL,
        size INTEGER NOT NULL,
        complete INTEGER NOT NULL DEFAULT 1 CHECK (complete IN (0, 1)),
        raw BLOB NOT NULL,  -- zstd
        sha256 TEXT NOT NULL,  -- of the raw mail
        suspect_before TEXT,  -- with any date before this it is old mail shown again; NULL: simply new
        state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'done', 'set_aside', 'failed')),
        as_person INTEGER NOT NULL DEFAULT 0 CHECK (as_person IN (0, 1)),
        attempts INTEGER NOT NULL DEFAULT 0,
        message_id TEXT,
        content_key TEXT,  -- keyed hash of the content: recognises the mail after its erasure too
        sender TEXT,
        subject TEXT,
        verdict TEXT,
        reason TEXT,
        reference TEXT REFERENCES ticket (reference),
        trail TEXT,  -- JSON: how the decision came about
        error TEXT,
        UNIQUE (mailbox, uidvalidity, uid)
    ) STRICT""",
    "CREATE INDEX inbound_waiting ON inbound (id) WHERE state = 'new'",
    "CREATE INDEX inbound_identity ON inbound (message_id, content_key)",
    "CREATE INDEX inbound_reference ON inbound (reference)",
    "CREATE INDEX inbound_state ON inbound (state)",
    """CREATE TABLE person (
        address TEXT PRIMARY KEY,  -- lower case
        name TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    # The counter moves only together with the ticket that takes the number: no holes.
    """CREATE TABLE reference_counter (
        year INTEGER PRIMARY KEY,
        last INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE ticket (
        id INTEGER PRIMARY KEY,
        reference TEXT NOT NULL UNIQUE,
        year INTEGER NOT NULL,
        number INTEGER NOT NULL CHECK (number > 0),
        type TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'open', 'waiting', 'resolved', 'closed')),
        subject TEXT NOT NULL,
        customer TEXT NOT NULL REFERENCES person (address),
        reply_address TEXT,
        owner TEXT,
        level INTEGER NOT NULL DEFAULT 1 CHECK (level > 0),
        urgent INTEGER NOT NULL DEFAULT 0 CHECK (urgent IN (0, 1)),
        classification TEXT NOT NULL,  -- JSON: confidence, urgency, evidence, scores
        opened_at TEXT NOT NULL,
        business_days INTEGER NOT NULL CHECK (business_days >= 0),
        due_on TEXT NOT NULL,
        acknowledged_at TEXT,
        first_answered_at TEXT,
        resolved_at TEXT,
        closed_at TEXT,
        UNIQUE (year, number)
    ) STRICT""",
    "CREATE INDEX ticket_customer ON ticket (customer, id)",
    "CREATE INDEX ticket_owner ON ticket (owner, id)",
    "CREATE INDEX ticket_live ON ticket (due_on) WHERE state NOT IN ('resolved', 'closed')",
    "CREATE INDEX ticket_state ON ticket (state)",
    """CREATE TABLE participant (
        reference TEXT NOT NULL REFERENCES ticket (reference),
        address TEXT NOT NULL,
        PRIMARY KEY (reference, address)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE ticket_link (
        reference TEXT NOT NULL REFERENCES ticket (reference),
        other TEXT NOT NULL REFERENCES ticket (reference),
        PRIMARY KEY (reference, other),
        CHECK (reference < other)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        reference TEXT REFERENCES ticket (reference),
        letter TEXT NOT NULL,
        recipient TEXT NOT NULL,
        sender TEXT NOT NULL,  -- of the envelope
        automatic INTEGER NOT NULL CHECK (automatic IN (0, 1)),
        message_id TEXT NOT NULL UNIQUE,
        token TEXT NOT NULL UNIQUE,
        raw BLOB NOT NULL,  -- rendered when queued: every attempt sends the same bytes
        state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sending', 'sent', 'uncertain', 'dead')),
        created_at TEXT NOT NULL,
        not_before TEXT NOT NULL,
        next_attempt_at TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        interrupted INTEGER NOT NULL DEFAULT 0,  -- times a crash left it in sending: it may have gone twice
        sent_at TEXT,
        smtp_reply TEXT,
        error TEXT
    ) STRICT""",
    "CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'queued'",
    "CREATE INDEX outbox_state ON outbox (state)",
    "CREATE INDEX outbox_to ON outbox (recipient, letter, not_before)",
    "CREATE INDEX outbox_automatic ON outbox (not_before) WHERE automatic",
    "CREATE INDEX outbox_reference ON outbox (reference)",
    """CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        reference TEXT NOT NULL REFERENCES ticket (reference),
        direction TEXT NOT NULL CHECK (direction IN ('in', 'out', 'note')),
        letter TEXT,
        author TEXT NOT NULL,
        author_name TEXT NOT NULL DEFAULT '',
        recipients TEXT NOT NULL,  -- JSON list
        subject TEXT NOT NULL,
        message_id TEXT NOT NULL,
        at TEXT NOT NULL,
        text TEXT NOT NULL,
        full_text TEXT NOT NULL,
        attachments TEXT NOT NULL DEFAULT '[]',  -- JSON list; the bytes stay in the raw mail
        verified INTEGER CHECK (verified IN (0, 1)),
        inbound_id INTEGER REFERENCES inbound (id),
        outbox_id INTEGER REFERENCES outbox (id)
    ) STRICT""",
    "CREATE INDEX message_reference ON message (reference, id)",
    "CREATE INDEX message_message_id ON message (message_id)",
    """CREATE VIRTUAL TABLE message_fts USING fts5 (
        subject, full_text, content = 'message', content_rowid = 'id', tokenize = "unicode61 remove_diacritics 2"
    )""",
    """CREATE TRIGGER message_inserted AFTER INSERT ON message BEGIN
        INSERT INTO message_fts (rowid, subject, full_text) VALUES (new.id, new.subject, new.full_text);
    END""",
    """CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN
        INSERT INTO message_fts (message_fts, rowid, subject, full_text)
        VALUES ('delete', old.id, old.subject, old.full_text);
    END""",
    """CREATE TRIGGER message_changed AFTER UPDATE OF subject, full_text ON message BEGIN
        INSERT INTO message_fts (message_fts, rowid, subject, full_text)
        VALUES ('delete', old.id, old.subject, old.full_text);
        INSERT INTO message_fts (rowid, subject, full_text) VALUES (new.id, new.subject, new.full_text);
    END""",
    # Append-only. Personal fields enter the hash as salted commitments: erasing a value and its salt (both to NULL)
    # leaves the chain whole.
    """CREATE TABLE ticket_event (
        id INTEGER PRIMARY KEY,
        reference TEXT REFERENCES ticket (reference),
        at TEXT NOT NULL,
        actor TEXT,
        event TEXT NOT NULL,
        detail TEXT,
        salt BLOB,
        actor_commitment TEXT NOT NULL,
        detail_commitment TEXT NOT NULL,
        previous_hash TEXT NOT NULL,
        hash TEXT NOT NULL UNIQUE
    ) STRICT""",
    "CREATE INDEX ticket_event_reference ON ticket_event (reference, id)",
    """CREATE TRIGGER ticket_event_kept BEFORE DELETE ON ticket_event BEGIN
        SELECT RAISE(ABORT, 'history is append-only');
    END""",
    """CREATE TRIGGER ticket_event_unchanged BEFORE UPDATE ON ticket_event
    WHEN new.id IS NOT old.id OR new.reference IS NOT old.reference OR new.at IS NOT old.at
        OR new.event IS NOT old.event OR new.actor_commitment IS NOT old.actor_commitment
        OR new.detail_commitment IS NOT old.detail_commitment OR new.previous_hash IS NOT old.previous_hash
        OR new.hash IS NOT old.hash OR coalesce(new.actor, '') NOT IN ('', coalesce(old.actor, ''))
        OR coalesce(new.detail, '') NOT IN ('', coalesce(old.detail, ''))
        OR (new.salt IS NOT NULL AND new.salt IS NOT old.salt)
    BEGIN
        SELECT RAISE(ABORT, 'history is append-only');
    END""",
)
