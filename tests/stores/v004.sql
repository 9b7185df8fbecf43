CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES (1, 'pqr_mailbot', 'm001_the_desk', '2026-11-27 17:07:42.604329+00:00');
INSERT INTO "_sqlite_migrations" VALUES (2, 'pqr_mailbot', 'm002_what_letters_are_about', '2026-11-27 17:07:42.609245+00:00');
INSERT INTO "_sqlite_migrations" VALUES (3, 'pqr_mailbot', 'm003_message_id_aliases', '2026-11-27 17:07:42.609519+00:00');
INSERT INTO "_sqlite_migrations" VALUES (4, 'pqr_mailbot', 'm004_sent_folder', '2026-11-27 17:07:42.610067+00:00');
CREATE TABLE signing_key (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL
    ) STRICT;
INSERT INTO "signing_key" VALUES (1, X'5BEEF7C739EF1D52FEB0943E62ED258ECCC2818E54AF7A8BE288BDB6D05552E4');
CREATE TABLE fact (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT;
INSERT INTO "fact" VALUES ('store_id', '9ad5c7af05b0e42c');
INSERT INTO "fact" VALUES ('start:INBOX', '2026-05-30T13:00:00.000000Z');
CREATE TABLE provider (
        name TEXT PRIMARY KEY CHECK (name IN ('imap', 'smtp')),
        last_success_at TEXT,
        failures INTEGER NOT NULL DEFAULT 0,
        failing_since TEXT,
        next_attempt_at TEXT,
        refused TEXT NOT NULL DEFAULT '',  -- a short mark of the secret that a login was refused with
        problem TEXT
    ) STRICT;
INSERT INTO "provider" VALUES ('imap', '2026-06-01T15:42:00.000000Z', 0, NULL, NULL, '', NULL);
INSERT INTO "provider" VALUES ('smtp', '2026-06-01T15:42:00.000000Z', 0, NULL, NULL, '', NULL);
CREATE TABLE mailbox_cursor (
        mailbox TEXT PRIMARY KEY,
        uidvalidity INTEGER NOT NULL,
        last_uid INTEGER NOT NULL,
        last_fetch_at TEXT NOT NULL,
        renumbered_after TEXT,  -- the last good fetch before the latest change of UIDVALIDITY,
        renumbered_below INTEGER NOT NULL DEFAULT 0  -- and the UID below which mail was there at that change
    ) STRICT;
INSERT INTO "mailbox_cursor" VALUES ('INBOX', 7, 14, '2026-06-01T15:42:00.000000Z', NULL, 0);
CREATE TABLE inbound (
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
        error TEXT, folder TEXT NOT NULL DEFAULT 'inbox' CHECK (folder IN ('inbox', 'sent')),
        UNIQUE (mailbox, uidvalidity, uid)
    ) STRICT;
INSERT INTO "inbound" VALUES (1, 'INBOX', 7, 11, '2026-06-01T15:41:00.000000Z', '2026-06-01T15:42:00.000000Z', 357, 1, X'28B52FFD0058E50800E652412F5085B80D30C9295DB99999291AF6B4B2085336B18F3A291E89864B86351AD440ABE024ACB1366EB483C89895A0A60F3500350034009408E6D01C9693AF8DB72C6DF890E61032F6ECBCDFFBB321AFAC93D1318AF00B5288901419224BB468AC8C45B1E595556A78FD5D088FE035FD1E7C06E07BBA40F1146DB1867E5E07D8A71A7A968EE76234743C1A97488C9D6AEE2B3AAD5F3A4606091192A2252598A707D03EC5D71F9A897A50CD651A593494585AFDB45373DDC256DE442266C7574E661F582A6B4520633C37F40A04A4C9D6B37DA9B917CD397FDDD2AAE9D55EB5CD647462F52F5EB5ACFD148A99DA019065EC9DC9245E6BFBD58E593A4066C9D9756AAEB9E73C1D0600C9D390706A4C91DA15E9457F4D3034F29A66', 'c8fcb2a0c6d0a9c641a26149263dacdf1f681efea3b6ee159ff3afb80611f7b3', NULL, 'done', 0, 0, NULL, NULL, NULL, NULL, 'person', 'opened a case', 'PQR-2026-000001', NULL, NULL, 'inbox');
INSERT INTO "inbound" VALUES (2, 'INBOX', 7, 12, '2026-06-01T15:41:00.000000Z', '2026-06-01T15:42:00.000000Z', 309, 1, X'28B52FFD0058ED070086913B2D5065B83930D9185DB999998904A2D15247110BA06F266B86D2A632144D1B84EB2085AB221A694B8C26B38CA1C32E0030002F00942EB4D883BC51367457A395402886C5E88BB464B4C4F1AE1F8B2154BAB5E9599BD1D346B8784F1B1B77939E0A0114816AD97AB794870753792B77C262AD1134E6AD3967C035E705899638530B77DA03B8A1BBADAFE1C0C55DC3C1ECF402D1E5B3D862AD71EEB8239DDBC03C90035AAC4688E26EE2083BE287992B517E13A160A44A210EEAD2F922D10D383E198B353D97237C9C7CE1F952C588925D59F827DF926879DE348C116FE500AA4AF7976A5A29BF932FE5F00095F4020300905323F208F79AD72C03', '4f4565bfabcb1120f572a03ac289f2e6cae089138dd51b2458e840ea601130cb', NULL, 'done', 0, 0, NULL, NULL, NULL, NULL, 'person', 'opened a case', 'PQR-2026-000002', NULL, NULL, 'inbox');
INSERT INTO "inbound" VALUES (3, 'INBOX', 7, 13, '2026-06-01T15:41:00.000000Z', '2026-06-01T15:42:00.000000Z', 335, 1, X'28B52FFD005895080046523F2F60356E033030D45C411064887F5A598492E5218F3A49A6728BA75CEDD55E153B08432047A8624BF48C3609F4F805033200330031005564401528E1AA6B410FC32B5B32590258B331F274F1954F86FF606DE1DABECD4B8FD30243295DDDBB825F7A6C6038F90A200CD6DE3B788EDF838E017C0E23201E82DD0AC0CEE3017F8961DFD8702605C386C335245ADB126B4F4DE96DE1074A60780A184F0CFDA7AD3DC045924362EDCE29C110E2937AE991AB5D598FF570786EDB1A2392157C464A21B897BE0C9B8279B8EB7DFD03AC355FDB27C573C24DB167AE292DFA96A638527EC9BC44DC10B8AE6DCE5C90A6947BC26D55B8C05545C934628DB5D73801050089D390706A4C39D815B30B12460A130A', 'b0f6c6f98e300416fe83add39af55a3c6ea46a5bf7bc8e810af438aef8b51a70', NULL, 'set_aside', 0, 0, NULL, NULL, NULL, NULL, 'no_reply', 'sender', NULL, NULL, NULL, 'sent');
INSERT INTO "inbound" VALUES (4, 'INBOX', 7, 14, '2026-06-01T15:41:00.000000Z', '2026-06-01T15:42:00.000000Z', 315, 1, X'28B52FFD00583D0800C6913D2F60354E073030D45C4110E4108B90DDA22FD2FE8B88844DC4BAC3145883281429085DC45045441B7DA3A56079F495033200300030009C4080120D6856DA90E812291AAB6611F458A9A544B205F7A89CF4C5688BE76343DC3BA874AB8361486D17979AF458692C21712D0D90A6F256EE867B1012C0E610C66720C2E705088838670A7FE003B8A7C7ADD2F1ECE2D1F168562229DDC93D280ABF24F7DC83CEF3C83D29B60C8D343D26F7EA8C281E253CABA6586AB0B5284BEC7080EA524C4EA81BF0949745A062B63EEE398D2DCFEAB3F2ADCE996D52D9D5DA5697D79B3231D29DAE26C5AB1DC056E93EB349F6BABE956F767980CD925404004E4D143FAE212AEC76B6930C', 'e3575f1ee8949b0b13aeb06680e419be68673afed44b2a07ceecf0bac3ef0072', NULL, 'new', 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'inbox');
CREATE TABLE person (
        address TEXT PRIMARY KEY,  -- lower case
        name TEXT NOT NULL DEFAULT ''
    ) STRICT;
INSERT INTO "person" VALUES ('clara@correo.test', 'Clara Gómez');
INSERT INTO "person" VALUES ('diego@otro.test', 'Diego Paz');
CREATE TABLE reference_counter (
        year INTEGER PRIMARY KEY,
        last INTEGER NOT NULL
    ) STRICT;
INSERT INTO "reference_counter" VALUES (2026, 2);
CREATE TABLE ticket (
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
    ) STRICT;
INSERT INTO "ticket" VALUES (1, 'PQR-2026-000001', 2026, 1, 'reclamo', 'new', 'Café vencido', 'clara@correo.test', NULL, 'ana@lohas.test', 1, 0, '{"confidence": 0.95, "urgency": [], "urgent": false, "evidence": [], "scores": {"reclamo": 0.95}}', '2026-06-01T15:41:00.000000Z', 15, '2026-06-24', '2026-06-01T15:42:00.000000Z', NULL, NULL, NULL);
INSERT INTO "ticket" VALUES (2, 'PQR-2026-000002', 2026, 2, 'reclamo', 'resolved', 'Molienda', 'diego@otro.test', NULL, 'ana@lohas.test', 1, 0, '{"confidence": 0.95, "urgency": [], "urgent": false, "evidence": [], "scores": {"reclamo": 0.95}}', '2026-06-01T15:41:00.000000Z', 15, '2026-06-24', '2026-06-01T15:42:00.000000Z', '2026-06-01T15:42:00.000000Z', '2026-06-01T15:42:00.000000Z', NULL);
CREATE TABLE participant (
        reference TEXT NOT NULL REFERENCES ticket (reference),
        address TEXT NOT NULL,
        PRIMARY KEY (reference, address)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "participant" VALUES ('PQR-2026-000001', 'hija@correo.test');
CREATE TABLE ticket_link (
        reference TEXT NOT NULL REFERENCES ticket (reference),
        other TEXT NOT NULL REFERENCES ticket (reference),
        PRIMARY KEY (reference, other),
        CHECK (reference < other)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "ticket_link" VALUES ('PQR-2026-000001', 'PQR-2026-000002');
CREATE TABLE outbox (
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
    , about TEXT NOT NULL DEFAULT '') STRICT;
INSERT INTO "outbox" VALUES (1, 'PQR-2026-000001', 'acknowledgement', 'clara@correo.test', 'info@lohas.test', 1, '<pqr.abcdefghijklm.abcdefghijklmnop@lohas.test>', 'abcdefghijklm.abcdefghijklmnop', X'46726F6D3A20696E666F406C6F6861732E746573740D0A546F3A20696E666F406C6F6861732E746573740D0A5375626A6563743A205B5051522D323032362D3030303030315D0D0A4D6573736167652D49443A203C6D3140636F7272656F2E746573743E0D0A446174653A204D6F6E2C203031204A756E20323032362031303A34313A3030202D303530300D0A436F6E74656E742D547970653A20746578742F706C61696E3B20636861727365743D227574662D38220D0A436F6E74656E742D5472616E736665722D456E636F64696E673A20386269740D0A4D494D452D56657273696F6E3A20312E300D0A0D0A456C20636166C3A920717565206D65206C6C6567C3B320657374C3A12076656E6369646F2E204578696A6F206C61206465766F6C756369C3B36E206465206D692064696E65726F2E0D0A', 'sent', '2026-06-01T15:42:00.000000Z', '2026-06-01T15:42:00.000000Z', '2026-06-01T15:42:00.000000Z', 1, 0, '2026-06-01T15:42:00.000000Z', NULL, NULL, '');
INSERT INTO "outbox" VALUES (2, 'PQR-2026-000001', 'notification', 'ana@lohas.test', 'info@lohas.test', 0, '<pqr.bbcdefghijklm.abcdefghijklmnop@lohas.test>', 'bbcdefghijklm.abcdefghijklmnop', X'46726F6D3A20696E666F406C6F6861732E746573740D0A546F3A20696E666F406C6F6861732E746573740D0A5375626A6563743A205B5051522D323032362D3030303030315D0D0A4D6573736167652D49443A203C6D3140636F7272656F2E746573743E0D0A446174653A204D6F6E2C203031204A756E20323032362031303A34313A3030202D303530300D0A436F6E74656E742D547970653A20746578742F706C61696E3B20636861727365743D227574662D38220D0A436F6E74656E742D5472616E736665722D456E636F64696E673A20386269740D0A4D494D452D56657273696F6E3A20312E300D0A0D0A456C20636166C3A920717565206D65206C6C6567C3B320657374C3A12076656E6369646F2E204578696A6F206C61206465766F6C756369C3B36E206465206D692064696E65726F2E0D0A', 'sent', '2026-06-01T15:42:00.000000Z', '2026-06-01T15:42:00.000000Z', '2026-06-01T15:42:00.000000Z', 1, 0, '2026-06-01T15:42:00.000000Z', NULL, NULL, 'bounce:1');
INSERT INTO "outbox" VALUES (3, 'PQR-2026-000002', 'acknowledgement', 'diego@otro.test', 'info@lohas.test', 1, '<pqr.cbcdefghijklm.abcdefghijklmnop@lohas.test>', 'cbcdefghijklm.abcdefghijklmnop', X'46726F6D3A20696E666F406C6F6861732E746573740D0A546F3A20696E666F406C6F6861732E746573740D0A5375626A6563743A205B5051522D323032362D3030303030325D0D0A4D6573736167652D49443A203C6D3140636F7272656F2E746573743E0D0A446174653A204D6F6E2C203031204A756E20323032362031303A34313A3030202D303530300D0A436F6E74656E742D547970653A20746578742F706C61696E3B20636861727365743D227574662D38220D0A436F6E74656E742D5472616E736665722D456E636F64696E673A20386269740D0A4D494D452D56657273696F6E3A20312E300D0A0D0A456C20636166C3A920717565206D65206C6C6567C3B320657374C3A12076656E6369646F2E204578696A6F206C61206465766F6C756369C3B36E206465206D692064696E65726F2E0D0A', 'queued', '2026-06-01T15:42:00.000000Z', '2026-06-02T13:00:00.000000Z', '2026-06-02T13:00:00.000000Z', 0, 0, NULL, NULL, NULL, '');
CREATE TABLE message (
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
    ) STRICT;
INSERT INTO "message" VALUES (1, 'PQR-2026-000001', 'in', NULL, 'clara@correo.test', '', '[]', 'Café vencido', '<m1@correo.test>', '2026-06-01T15:41:00.000000Z', 'vencido', 'vencido', '[]', NULL, 1, NULL);
INSERT INTO "message" VALUES (2, 'PQR-2026-000001', 'out', 'acknowledgement', 'info@lohas.test', '', '[]', '[PQR-2026-000001]', '<a@lohas.test>', '2026-06-01T15:42:00.000000Z', 'Hola', 'Hola', '[]', NULL, NULL, 1);
INSERT INTO "message" VALUES (3, 'PQR-2026-000002', 'in', NULL, 'diego@otro.test', '', '[]', 'Molienda', '<d1@otro.test>', '2026-06-01T15:41:00.000000Z', 'greca', 'greca', '[]', NULL, 2, NULL);
CREATE VIRTUAL TABLE message_fts USING fts5 (
        subject, full_text, content = 'message', content_rowid = 'id', tokenize = "unicode61 remove_diacritics 2"
    );
CREATE TABLE ticket_event (
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
    ) STRICT;
INSERT INTO "ticket_event" VALUES (1, 'PQR-2026-000001', '2026-06-01T15:42:00.000000Z', 'desk', 'opened', 'detail 1', X'01010101010101010101010101010101', '7483ae70216e1816467a22a67fcbe5b41f655c01211847326396a95090e39c87', 'df93919103bf6185160fccba4ed18b90042d0c1f5d7e726cdc523d607f08c2b5', '', '5b259c709f95787a472cb33856d2a1745b9b81b079b67a74d2269dd7db83f299');
INSERT INTO "ticket_event" VALUES (2, 'PQR-2026-000001', '2026-06-01T15:42:00.000000Z', 'desk', 'letter_queued', 'detail 2', X'02020202020202020202020202020202', '045da7b745365436de88552f8408fe7c19fbee3edd2d1c9f0fa6da6036544600', '2dc4ab5370ee823ceda9d4bff3664387bba93fc3b7b6ed0f89b7e8aba5640e16', '5b259c709f95787a472cb33856d2a1745b9b81b079b67a74d2269dd7db83f299', 'ab90d2ebca0cca6bc11181319d8c5cb4adae533b03ae31101e58c1f5215b6e3e');
INSERT INTO "ticket_event" VALUES (3, 'PQR-2026-000002', '2026-06-01T15:42:00.000000Z', 'desk', 'opened', 'detail 3', X'03030303030303030303030303030303', '5bc13945a47d14bed12c4b33214ac0e8ae5aa5734839e3874d077cee321c9e5b', 'd3526b09b43082d7cf3dfd5c04fafc2e809889ab44964c5266e646139cf7474c', 'ab90d2ebca0cca6bc11181319d8c5cb4adae533b03ae31101e58c1f5215b6e3e', '055adc3e6477e72b21a3792d36cfdbe83ba256a72fdfc2a4c099be2a642bffa9');
INSERT INTO "ticket_event" VALUES (4, 'PQR-2026-000001', '2026-06-01T15:42:00.000000Z', 'desk', 'letter_sent', 'detail 4', X'04040404040404040404040404040404', 'f4e40866e78857b656e878a93011faef08847e797484ff4c41ccd097690b172d', '2108f7cd3542b2d658cd3e6a0c14f1252d39b417d15e07b54148ddabccf0bb48', '055adc3e6477e72b21a3792d36cfdbe83ba256a72fdfc2a4c099be2a642bffa9', '740f82d57717f679336f8d84ab26227d456a07828b05bd51218710d8b004bcf0');
CREATE TABLE outbox_alias (
        message_id TEXT PRIMARY KEY,
        outbox_id INTEGER NOT NULL REFERENCES outbox (id)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "outbox_alias" VALUES ('0100018f@email.amazonses.com', 1);
INSERT INTO message_fts (message_fts) VALUES ('rebuild');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX inbound_waiting ON inbound (id) WHERE state = 'new';
CREATE INDEX inbound_identity ON inbound (message_id, content_key);
CREATE INDEX inbound_reference ON inbound (reference);
CREATE INDEX inbound_state ON inbound (state);
CREATE INDEX ticket_customer ON ticket (customer, id);
CREATE INDEX ticket_owner ON ticket (owner, id);
CREATE INDEX ticket_live ON ticket (due_on) WHERE state NOT IN ('resolved', 'closed');
CREATE INDEX ticket_state ON ticket (state);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'queued';
CREATE INDEX outbox_state ON outbox (state);
CREATE INDEX outbox_to ON outbox (recipient, letter, not_before);
CREATE INDEX outbox_automatic ON outbox (not_before) WHERE automatic;
CREATE INDEX outbox_reference ON outbox (reference);
CREATE INDEX message_reference ON message (reference, id);
CREATE INDEX message_message_id ON message (message_id);
CREATE TRIGGER message_inserted AFTER INSERT ON message BEGIN
        INSERT INTO message_fts (rowid, subject, full_text) VALUES (new.id, new.subject, new.full_text);
    END;
CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN
        INSERT INTO message_fts (message_fts, rowid, subject, full_text)
        VALUES ('delete', old.id, old.subject, old.full_text);
    END;
CREATE TRIGGER message_changed AFTER UPDATE OF subject, full_text ON message BEGIN
        INSERT INTO message_fts (message_fts, rowid, subject, full_text)
        VALUES ('delete', old.id, old.subject, old.full_text);
        INSERT INTO message_fts (rowid, subject, full_text) VALUES (new.id, new.subject, new.full_text);
    END;
CREATE INDEX ticket_event_reference ON ticket_event (reference, id);
CREATE TRIGGER ticket_event_kept BEFORE DELETE ON ticket_event BEGIN
        SELECT RAISE(ABORT, 'history is append-only');
    END;
CREATE TRIGGER ticket_event_unchanged BEFORE UPDATE ON ticket_event
    WHEN new.id IS NOT old.id OR new.reference IS NOT old.reference OR new.at IS NOT old.at
        OR new.event IS NOT old.event OR new.actor_commitment IS NOT old.actor_commitment
        OR new.detail_commitment IS NOT old.detail_commitment OR new.previous_hash IS NOT old.previous_hash
        OR new.hash IS NOT old.hash OR coalesce(new.actor, '') NOT IN ('', coalesce(old.actor, ''))
        OR coalesce(new.detail, '') NOT IN ('', coalesce(old.detail, ''))
        OR (new.salt IS NOT NULL AND new.salt IS NOT old.salt)
    BEGIN
        SELECT RAISE(ABORT, 'history is append-only');
    END;
CREATE INDEX outbox_about ON outbox (letter, about) WHERE about <> '';
CREATE INDEX outbox_alias_letter ON outbox_alias (outbox_id);
