"""`check`, the rehearsal before the first mail: what it finds, in one line each, and that it changes nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, eml
from desk_process import DeskProcess
from office import NOW
from servers import OFFICE, SMTP_PASSWORD, Authority, Dovecot, SmtpServer, free_ports

from pqr_mailbot import config
from pqr_mailbot.check import findings

MINIMAL: dict[str, Any] = {
    "office": {"name": "Lohas Beans", "address": "info@lohas.test"},
    "imap": {"host": "localhost", "username": "info@lohas.test", "password": "env:NEVER_SET"},
    "smtp": {"host": "localhost"},
    "agents": [{"address": "ana@lohas.test", "name": "Ana Ruiz"}],
}


def found(directory: Path, now: datetime = NOW, **tables: Any) -> list[tuple[str, str, str]]:
    """The findings without a server, of a configuration with these tables, at that time."""
    settings = config.settings_from({**MINIMAL, "store": {"path": "desk.db"}, **tables}, directory)
    return [(finding.level, finding.what, finding.detail) for finding in findings(settings, {}, now, offline=True)]


def about(what: str, rows: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [(level, detail) for level, name, detail in rows if name == what]


# -- without a server ----------------------------------------------------------------------------------------------


def test_a_new_office_may_open(tmp_path: Path) -> None:
    rows = found(tmp_path)
    assert {level for level, _, _ in rows} == {"ok", "warn"}
    assert [what for level, what, _ in rows if level == "warn"] == [
        "office.phone", "office.privacy_notice_url", "imap.trusted_authserv_ids", "admin.alarms_to",
    ]  # fmt: skip
    assert about("store", rows) == [("ok", f"{tmp_path}/desk.db is made at the first start")]
    assert about("clock", rows) == [("ok", "2026-06-01 15:42 UTC")]
    shipped = {path.stem for path in (Path(__file__).parent.parent / "templates").iterdir() if path.name[0] != "_"}
    assert {what for _, what, _ in rows if what.startswith("letter ")} == {f"letter {name}" for name in shipped}
    assert list(tmp_path.iterdir()) == []


def test_keys_without_effect_are_named(tmp_path: Path) -> None:
    rows = found(
        tmp_path,
        admin={"alarms_to": ["sistemas@lohas.test"]},
        report={"day": 2},
    )
    (warning,) = (detail for level, detail in about("configuration", rows) if level == "warn")
    assert warning.endswith(": report.day")


@pytest.mark.parametrize(
    ("command", "level"), [("sh -c 'true'", "ok"), ("/no/such/program", "FAIL"), ("/etc/passwd", "FAIL")]
)
def test_the_alarm_command_is_a_program(tmp_path: Path, command: str, level: str) -> None:
    rows = found(tmp_path, admin={"alarm_command": command})
    assert [seen for seen, _ in about("admin.alarm_command", rows)] == [level]
    assert about("admin.alarms_to", rows) == []


def test_weights_that_were_not_learned_yet_are_named(tmp_path: Path) -> None:
    rows = found(tmp_path, classification={"model": str(tmp_path / "pesos.tsv")})
    assert [level for level, _ in about("classification.model", rows)] == ["warn"]


LETTERS = [  # a template of the office's own, what is found
    ("{{ reference", "FAIL", "acknowledgement.j2, line 1"),
    ("{{ nada.de.esto }}", "FAIL", "acknowledgement.j2, line 1"),
    ("{% include '/etc/passwd' %}", "FAIL", "acknowledgement.j2"),
]


@pytest.mark.parametrize(("template", "level", "words"), LETTERS, ids=[row[0] for row in LETTERS])
def test_every_letter_is_rendered(tmp_path: Path, template: str, level: str, words: str) -> None:
    (tmp_path / "acknowledgement.j2").write_text(template)
    rows = found(tmp_path, templates={"directory": "."})
    ((seen, detail),) = about("letter acknowledgement", rows)
    assert seen == level
    assert words in detail
    assert "\n" not in detail
    assert about("letter notification", rows) == [("ok", "renders")]


LEXICONS = [
    (None, "types.queja.lexicon: {path}: No such file or directory"),
    ("sin peso\n", "types.queja.lexicon: {path}: lexicon of queja, line 1: expected "),
    (b"\xff\xfe", "types.queja.lexicon: {path}: "),
]


@pytest.mark.parametrize(("content", "words"), LEXICONS, ids=["missing", "bad row", "not UTF-8"])
def test_the_offices_own_words(tmp_path: Path, content: str | bytes | None, words: str) -> None:
    path = tmp_path / "words.tsv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ((level, detail),) = about("lexicon", found(tmp_path, types={"queja": {"lexicon": "words.tsv"}}))
    assert level == "FAIL"
    assert detail.startswith(words.format(path=path))


REVIEWED = [  # now, reviewed until, what is found
    (datetime(2027, 6, 1, tzinfo=UTC), 2027, "ok"),
    (datetime(2027, 11, 1, tzinfo=UTC), 2027, "ok"),
    (datetime(2027, 11, 15, tzinfo=UTC), 2027, "warn"),  # thirty business days from here end in January
    (datetime(2028, 1, 1, 4, tzinfo=UTC), 2028, "ok"),
    (datetime(2030, 1, 2, tzinfo=UTC), 2029, "warn"),
]


@pytest.mark.parametrize(("now", "reviewed", "level"), REVIEWED, ids=[f"{row[0]:%Y-%m-%d}" for row in REVIEWED])
def test_holidays_that_nobody_has_looked_at(tmp_path: Path, now: datetime, reviewed: int, level: str) -> None:
    ((seen, detail),) = about("calendar", found(tmp_path, now, calendar={"reviewed_until": reviewed}))
    assert seen == level
    assert level == "ok" or f"reviewed until {reviewed}" in detail


def test_a_clock_that_went_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "desk.db")
    bench.take(eml())
    bench.close()
    assert about("clock", found(tmp_path, NOW + timedelta(days=1)))[0][0] == "ok"
    assert about("clock", found(tmp_path, NOW - timedelta(minutes=1)))[0][0] == "ok"
    assert about("clock", found(tmp_path, NOW - timedelta(hours=1))) == [
        ("FAIL", "it is 2026-06-01 14:42 UTC here, but the store knows 2026-06-01 15:42: the clock went back")
    ]


def test_a_store_that_others_can_read(tmp_path: Path) -> None:
    Bench(tmp_path / "desk.db").close()
    assert about("store", found(tmp_path)) == [("ok", f"{tmp_path}/desk.db: ok")]
    (tmp_path / "desk.db").chmod(0o640)
    assert about("store", found(tmp_path))[1:] == [
        ("warn", f"{tmp_path}/desk.db can be read by others (expected mode 0600)")
    ]


def test_no_place_for_a_store(tmp_path: Path) -> None:
    rows = found(tmp_path, store={"path": "nowhere/desk.db"})
    assert about("store", rows) == [
        ("FAIL", f"{tmp_path}/nowhere: no such directory; store.path is to be made in it")
    ]  # fmt: skip
    (tmp_path / "file").touch()
    assert about("store", found(tmp_path, store={"path": "file/desk.db"}))[0][0] == "FAIL"


# -- with real servers ---------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path, dovecot: Dovecot, smtp: SmtpServer) -> DeskProcess:
    dovecot.reset(OFFICE)
    return DeskProcess(tmp_path, dovecot, smtp)


def of_servers(desk: DeskProcess, status: int) -> dict[str, tuple[str, str]]:
    """What `check` says of the servers: {what: (level, detail)}. The number of FAILs is one line on stderr."""
    done = desk.say("check", "--json", status=status)
    rows = json.loads(done.stdout)
    failed = sum(row["level"] == "FAIL" for row in rows)
    assert done.stderr == ({0: "", 1: "check: 1 finding FAIL\n"}.get(failed, f"check: {failed} findings FAIL\n"))
    return {row["what"]: (row["level"], row["detail"]) for row in rows if row["what"].startswith(("imap", "smtp"))
            and row["what"] != "imap.trusted_authserv_ids"}  # fmt: skip


def test_all_is_well_and_nothing_changes(desk: DeskProcess, smtp: SmtpServer) -> None:
    desk.dovecot.deliver(eml(), OFFICE)
    with desk.dovecot.client(OFFICE) as client:
        client.append("Enviadas", eml(OFFICE))
    assert of_servers(desk, 0) == {
        "imap": ("ok", f"localhost:{desk.dovecot.tls_port} as {OFFICE}, folder INBOX"),
        "imap.sent_folder": ("ok", "watched: Enviadas"),
        "smtp": ("ok", f"localhost:{smtp.port} as {OFFICE}"),
    }
    assert smtp.received == []
    assert not [line for line in smtp.heard if line.upper().startswith("MAIL")]
    with desk.dovecot.client(OFFICE) as client:
        (flags,) = (row[b"FLAGS"] for row in client.fetch(client.search(), ["FLAGS"]).values())
    assert b"\\Seen" not in flags
    assert not desk.store.exists()


def test_starttls_and_a_relay_without_a_login(desk: DeskProcess) -> None:
    with SmtpServer() as relay:
        desk.configure(
            {"port": desk.dovecot.port, "tls": "starttls", "sent_folder": ""},
            {"port": relay.port, "tls": "none", "username": "", "ca_file": ""},
        )
        assert of_servers(desk, 0) == {
            "imap": ("ok", f"localhost:{desk.dovecot.port} as {OFFICE}, folder INBOX"),
            "smtp": ("ok", f"localhost:{relay.port} as nobody (no login)"),
        }


CLOSED = "closed"  # stands for a port on which nothing listens
WRONG: list[tuple[str, str, dict[str, Any], str]] = [  # what, the server, keys laid over, words of the finding
    ("nothing listens", "imap", {"port": CLOSED}, "connection refused, nothing listens there"),
    ("nothing listens", "smtp", {"port": CLOSED}, "connection refused, nothing listens there"),
    ("wrong password", "imap", {"password": "file:wrong"}, "refused"),
    ("wrong password", "smtp", {"password": "file:wrong"}, "refused"),
    ("untrusted certificate", "imap", {"ca_file": ""}, "the certificate is not trusted"),
    ("untrusted certificate", "smtp", {"ca_file": ""}, "the certificate is not trusted"),
    ("no ca_file", "imap", {"ca_file": "/nonexistent.pem"}, "ca_file /nonexistent.pem"),
    ("no certificate in ca_file", "smtp", {"ca_file": "config.toml"}, "config.toml"),
    ("TLS where STARTTLS is expected", "smtp", {"tls": "implicit"}, "does not speak TLS on this port"),
    ("no such folder", "imap", {"folder": "Peticiones"}, "Peticiones"),
]


@pytest.mark.parametrize(
    ("server", "keys", "words"), [row[1:] for row in WRONG], ids=[f"{row[1]}: {row[0]}" for row in WRONG]
)
def test_what_is_wrong_with_a_server(desk: DeskProcess, server: str, keys: dict[str, Any], words: str) -> None:
    """One line that names the server; the other server is looked at all the same."""
    (desk.directory / "wrong").write_text("not the password")
    keys = {key: free_ports(1)[0] if value == CLOSED else value for key, value in keys.items()}
    desk.configure(**{server: keys})
    result = of_servers(desk, 1)
    other = "smtp" if server == "imap" else "imap"
    assert result[other][0] == "ok"
    level, detail = result[server]
    assert level == "FAIL"
    assert words in detail
    assert "\n" not in detail
    assert "not the password" not in detail


CERTIFICATES = [("mail.otra.test", (-1, 30), "is not for localhost"), ("localhost", (-30, -1), "has expired")]


@pytest.mark.parametrize(("host", "days", "words"), CERTIFICATES, ids=[row[2] for row in CERTIFICATES])
def test_a_certificate_not_to_be_trusted(
    desk: DeskProcess, authority: Authority, host: str, days: tuple[int, int], words: str
) -> None:
    login = (OFFICE, SMTP_PASSWORD)
    with SmtpServer(authority, "starttls", login, context=authority.server_context(host, days)) as server:
        desk.configure(smtp={"port": server.port})
        level, detail = of_servers(desk, 1)["smtp"]
    assert level == "FAIL"
    assert words in detail


def test_a_folder_to_move_to(desk: DeskProcess) -> None:
    desk.configure({"move_to": "Hechas"})
    assert of_servers(desk, 1)["imap.move_to"] == ("FAIL", "no folder Hechas on the server")
    desk.configure({"move_to": "Enviadas"})
    assert "imap.move_to" not in of_servers(desk, 0)


OLD = datetime.now(UTC) - timedelta(days=20)
OURS = eml(OFFICE, message_id="<pqr.abcdefghijklm.abcdefghijklmnop@lohas.test>", X_PQR_Letter="abcdefghijklm.x")
SENT_FOLDERS: list[tuple[str, str, list[tuple[bytes, datetime | None]], str, str]] = [
    ("a person wrote from it", "auto", [(OURS, None), (eml(OFFICE), None)], "ok", "watched: Enviadas"),
    ("nobody did", "auto", [], "warn", "watched: Enviadas, no mail written by a person in 14 days; "),
    ("only the desk did", "auto", [(OURS, None)], "warn", "watched: Enviadas, no mail written by a person"),
    ("somebody did long ago", "auto", [(eml(OFFICE), OLD)], "warn", "watched: Enviadas, no mail written by a person"),
    ("missing", "Correspondencia", [], "warn", 'folder "Correspondencia" does not exist'),
]


@pytest.mark.parametrize(
    ("name", "mails", "level", "words"), [row[1:] for row in SENT_FOLDERS], ids=[row[0] for row in SENT_FOLDERS]
)
def test_the_sent_folder(
    desk: DeskProcess, name: str, mails: list[tuple[bytes, datetime | None]], level: str, words: str
) -> None:
    with desk.dovecot.client(OFFICE) as client:
        for raw, at in mails:
            client.append("Enviadas", raw, msg_time=at)
    desk.configure({"sent_folder": name})
    seen, detail = of_servers(desk, 0)["imap.sent_folder"]
    assert (seen, words in detail) == (level, True), detail
    with desk.dovecot.client(OFFICE, "Enviadas") as client:
        assert not any(b"\\Seen" in flags for flags in client.get_flags(client.search()).values())


def test_secrets_that_cannot_be_read_are_named_at_once(desk: DeskProcess) -> None:
    desk.configure({"password": "file:nowhere"}, {"password": "env:PQR_NEVER_SET"})
    rows = [row for row in desk.json("check", status=1) if row["what"] == "secrets"]
    assert [(row["level"], row["detail"].partition(": ")[0]) for row in rows] == [
        ("FAIL", "imap.password"),
        ("FAIL", "smtp.password"),
    ]


def test_offline_connects_to_nothing_and_reads_no_secret(desk: DeskProcess, smtp: SmtpServer) -> None:
    desk.configure({"password": "file:nowhere"}, {"password": "env:PQR_NEVER_SET"})
    done = desk.say("check", "--offline")
    assert done.stderr == ""
    assert "imap:" not in done.stdout
    assert smtp.connections == 0


def test_a_finding_is_a_line(desk: DeskProcess) -> None:
    """Both servers are away: each is said, and everything else is looked at all the same."""
    closed = free_ports(2)
    desk.configure({"port": closed[0]}, {"port": closed[1]})
    done = desk.say("check", status=1)
    assert {line[:6] for line in done.stdout.splitlines()} == {"ok    ", "warn  ", "FAIL  "}
    assert "letter acknowledgement: renders" in done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL")] == ["imap:", "smtp:"]
    assert done.stderr == "check: 2 findings FAIL\n"
