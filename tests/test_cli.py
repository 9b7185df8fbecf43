"""The admin's commands, to the letter of the contract: shapes, order, times, exit codes, a line for what went wrong."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import textwrap
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, eml
from office import BOGOTA, DESK, NOW
from servers import wait_until

from pqr_mailbot import cli, config, plain
from pqr_mailbot.adapters import migrations, sqlite_store
from pqr_mailbot.adapters.sqlite_views import Views
from pqr_mailbot.domain.health import Expected

ONE, TWO, THREE = (f"PQR-2026-{number:06d}" for number in (1, 2, 3))
CONFIG = """
[office]
name = "Lohas Beans SAS BIC"
address = "info@lohas.test"
[imap]
host = "127.0.0.1"
port = 1
tls = "none"
username = "info@lohas.test"
password = "env:PQR_TEST_PASSWORD"
[smtp]
host = "127.0.0.1"
port = 1
tls = "none"
[store]
path = "desk.db"
[[agents]]
address = "ana@lohas.test"
name = "Ana Ruiz"
[[agents]]
address = "luz@lohas.test"
name = "Luz Mora"
[calendar]
closures = [{ date = "2026-12-24", name = "Cierre de fin de año" }]
"""
# What would colour, move, hide or turn round an admin's terminal, were it printed as it came.
EVIL = "\x1b[2J\x1b]0;amo\x07\x9b31m\u202egnp.exe\u202c\u2066x\u2069\u200f\x7f\r\x08\u2028"
EVIL_SUBJECT = "C\u0327afe\u0301 " + "\x1b[31m\x9b1m\u202efdp.exe\u202c 漢字☕ de grano entero, tueste medio"


@dataclass
class Done:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Done]


# -- the office ----------------------------------------------------------------------------------------------------


def fill(directory: Path) -> None:
    """An ordinary fortnight, through the real path of a mail: every state of mail and letter that there is."""
    templates = directory / "templates"
    templates.mkdir()
    bench = Bench(directory / "desk.db", templates=templates)
    bench.take(eml(attachments=["bolsa.jpg"]))
    bench.take(_evil_mail(), NOW + timedelta(minutes=5))
    bench.take(eml("robot@correo.test", "Fuera", "No estoy", "<auto@correo.test>", Auto_Submitted="auto-replied"))
    bench.take(b"")
    bench.take(eml("Eva <eva@lejos.test>", f"Re: [{ONE}] Café", "Yo también", "<e1@lejos.test>"), _on(2))
    bench.take(eml(text="¿Alguna novedad?", subject="Re: pqr 2026 1 \u202etxt", message_id="<m2@correo.test>"), _on(3))
    bench.take(eml("Ana Ruiz <ana@lohas.test>", f"Re: [{ONE}]", "La llamo mañana.", "<ana1@lohas.test>"), _on(3))
    with bench.store.transaction():
        letters = bench.store.claim_letters(_on(3), 4)
        bench.store.letter_sent(letters[0], f"250 2.0.0 Ok: {EVIL} queued", NOW + timedelta(seconds=2))
        bench.store.letter_stopped(letters[1], "dead", "550 5.1.1 no", f"refused: 550 {EVIL}")
        bench.store.letter_stopped(letters[2], "uncertain", "", "the connection broke")
        bench.store.letter_back(letters[3], _on(4), "451 4.3.0 later")
    (templates / "acknowledgement.j2").write_text("{{ attachments[7].nothing }}")
    bench.close()
    bench = Bench(directory / "desk.db", templates=templates)
    bench.take(eml("Rosa <rosa@correo.test>", "Otra", "Hola", "<rosa@correo.test>"), _on(4))
    bench.post(eml("Luis <luis@correo.test>", "Espera", "Hola", "<luis@correo.test>"), _on(4))
    bench.close()


def _on(day: int) -> datetime:
    return datetime(2026, 6, day, 15, 0, tzinfo=UTC)


def _evil_mail() -> bytes:
    name = f'bolsa{EVIL}.exe"'.encode()
    return (
        b"From: =?utf-8?q?Diego_=1b=5b31m=E2=80=AEPaz?= <diego@otro.test>\r\nTo: info@lohas.test\r\n"
        b"Message-ID: <d1\x1b[31m@otro.test>\r\nSubject: " + EVIL_SUBJECT.encode() + b"\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n'
        + f"Qu\u00e9 molienda {EVIL} sirve para greca?\r\n".encode()
        + b'--b\r\nContent-Type: image/x\x1b[31m; name="' + name + b'\r\nContent-Disposition: attachment; filename="'
        + name + b"\r\n\r\nx\r\n--b--\r\n"
    )  # fmt: skip


def configure(directory: Path, **changed: str) -> Path:
    """A configuration in the directory, with words of it replaced."""
    text = CONFIG
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    (directory / "config.toml").write_text(text, "utf-8")
    return directory / "config.toml"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a desk at rest. Tests only read it."""
    directory = tmp_path_factory.mktemp("office")
    fill(directory)
    configure(directory)
    return directory


@pytest.fixture
def own_office(tmp_path: Path) -> Path:
    """The same for a test of its own that changes things."""
    fill(tmp_path)
    configure(tmp_path)
    return tmp_path


@pytest.fixture
def new_office(tmp_path: Path) -> Path:
    """A desk to which nobody has written yet."""
    Bench(tmp_path / "desk.db").close()
    configure(tmp_path)
    return tmp_path


@pytest.fixture
def cwd_free_of_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration anywhere, whatever the machine has in /etc."""
    monkeypatch.delenv("PQR_MAILBOT_CONFIG", raising=False)
    monkeypatch.setattr(config, "DEFAULT_PATH", tmp_path / "none.toml")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Command:
    """The program's own entry, in this process."""

    def run(*words: str, office: Path | None = None) -> Done:
        given = ["--config", str(office / "config.toml")] if office else []
        others, logging.root.handlers = logging.root.handlers, []  # the program sets up the log of its process
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main([*given, *words])
        finally:
            logging.root.handlers = others
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run


def process(*words: str, office: Path | None = None, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """The program as a process of its own."""
    given = ["--config", str(office / "config.toml")] if office else []
    environment = {**os.environ, **more.pop("env", {})}
    command = [sys.executable, "-m", "pqr_mailbot", *given, *words]
    return subprocess.run(command, env=environment, timeout=60, **{"capture_output": True, **more})


# -- shapes (contract, "JSON shapes") ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Maybe:
    """A value of this shape, or null."""

    shape: Any


class When:
    """RFC 3339 with the offset of the office's zone."""


class Day:
    """An ISO date."""


PATTERNS = {When: r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d-05:00", Day: r"\d{4}-\d\d-\d\d"}


def fits(value: Any, shape: Any, at: str = "$") -> list[str]:
    """What does not fit the shape: a type, a set of choices, [shape of each], {key: shape}, {str: shape}."""
    if isinstance(shape, Maybe):
        return [] if value is None else fits(value, shape.shape, at)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{at}: no list"]
        return [wrong for n, one in enumerate(value) for wrong in fits(one, shape[0], f"{at}[{n}]")]
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{at}: no object"]
        if str not in shape and set(value) != set(shape):
            return [f"{at}: keys {sorted(set(value) ^ set(shape))}"]
        shapes = {key: shape.get(key, shape.get(str)) for key in value}
        return [wrong for key, one in value.items() for wrong in fits(one, shapes[key], f"{at}.{key}")]
    if shape in PATTERNS:
        return [] if isinstance(value, str) and re.fullmatch(PATTERNS[shape], value) else [f"{at}: {value!r}"]
    if isinstance(shape, frozenset):
        return [] if value in shape else [f"{at}: {value!r}"]
    exact = type(value) is shape or (shape is float and type(value) is int)
    return [] if exact else [f"{at}: {value!r} is no {shape.__name__}"]


def choice(words: str) -> frozenset[str]:
    return frozenset(words.split())


VERDICT = choice("person auto_reply bounce list no_reply own spam report receipt calendar challenge rescan unreadable")
TYPE = choice("solicitud derecho_de_peticion queja reclamo sugerencia felicitacion habeas_data")
TICKET: dict[Any, Any] = {
    "reference": str, "type": TYPE, "state": choice("new open waiting resolved closed"), "subject": str,
    "customer": {"name": str, "address": str}, "owner": Maybe(str), "level": int, "urgent": bool, "opened_at": When,
    "acknowledged_at": Maybe(When), "due_on": Day, "first_answered_at": Maybe(When), "resolved_at": Maybe(When),
    "closed_at": Maybe(When),
}  # fmt: skip
MESSAGE = {
    "id": int, "direction": choice("in out note"), "letter": Maybe(str), "author": str, "recipients": [str],
    "subject": str, "message_id": str, "sent_at": Maybe(When), "text": str, "full_text": str,
    "attachments": [{"filename": str, "content_type": str, "size": int}], "verified": Maybe(bool),
}  # fmt: skip
SKIPPED = [{"date": Day, "name": str}]
SHOWN = {
    **TICKET, "messages": [MESSAGE], "events": [{"at": When, "actor": str, "event": str, "detail": str}],
    "deadline": {"due_on": Day, "business_days": int, "days_left": int, "skipped": SKIPPED}, "related": [str],
}  # fmt: skip
INBOX = {
    "id": int, "state": choice("new done set_aside failed"), "verdict": Maybe(VERDICT), "reason": Maybe(str),
    "message_id": Maybe(str), "sender": Maybe(str), "subject": Maybe(str), "reference": Maybe(str),
    "received_at": When, "attempts": int, "error": Maybe(str),
}  # fmt: skip
OUTBOX = {
    "id": int, "state": choice("queued sending sent uncertain dead"), "letter": str, "reference": Maybe(str),
    "recipient": str, "message_id": str, "attempts": int, "next_attempt_at": Maybe(When), "sent_at": Maybe(When),
    "smtp_reply": Maybe(str), "error": Maybe(str),
}  # fmt: skip
EXPLAINED = {
    "inbound_id": int, "verdict": Maybe(VERDICT), "reason": Maybe(str), "header": Maybe(str), "clue": Maybe(str),
    "key": Maybe(str), "sender_trust": Maybe(str), "reference": Maybe(str), "classification": Maybe(str),
    "effects": [str],
}  # fmt: skip
CLASSIFIED = {
    "type": TYPE, "urgent": bool, "urgency": [str], "confidence": float,
    "evidence": [{"words": str, "type": str, "weight": float}], "scores": {str: float},
}  # fmt: skip
STATUS = {
    "healthy": bool, "problems": [str], "notices": [str], "alarms": [str],
    "last_fetch_at": Maybe(When), "last_send_at": Maybe(When), "heartbeat_at": Maybe(When),
    "token_expires_at": Maybe(When), "token_refreshed_at": Maybe(When),
    "inbox": {str: int}, "outbox": {str: int}, "tickets": {str: int}, "overdue": int,
}  # fmt: skip
FOUND = {"reference": str, "message_id": str, "author": str, "sent_at": Maybe(When), "snippet": str}
DEADLINE = {"type": TYPE, "received_on": Day, "business_days": int, "due_on": Day, "skipped": SKIPPED}
DAY_OFF = {"date": Day, "name": str, "kind": choice("holiday closure")}

SHAPES: list[tuple[str, Any, int]] = [  # command, shape, exit code
    ("tickets", [TICKET], 0),
    (f"show {ONE}", SHOWN, 0),
    (f"show {TWO}", SHOWN, 0),
    ("search novedad", [FOUND], 0),
    ("inbox", [INBOX], 0),
    ("outbox", [OUTBOX], 0),
    *((f"explain {inbound_id}", EXPLAINED, 0) for inbound_id in range(1, 10)),
    ("status", STATUS, 1),
    ("deadlines --from 2026-06-01", [DEADLINE], 0),
    ("calendar 2026", [DAY_OFF], 0),
    ("check --offline", [{"level": choice("ok warn FAIL"), "what": str, "detail": str}], 0),
]


@pytest.mark.parametrize(("command", "shape", "code"), SHAPES, ids=[row[0] for row in SHAPES])
def test_the_shape_of_json(say: Command, office: Path, command: str, shape: Any, code: int) -> None:
    done = say(*command.split(), "--json", office=office)
    assert done.code == code
    assert fits(done.json, shape) == []
    assert done.json, "an empty list would fit any shape"


def test_the_shape_of_what_classify_says(say: Command, office: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Exijo la devolución de mi dinero, el café llegó vencido", "utf-8")
    done = say("classify", str(tmp_path / "text"), "--json", office=office)
    assert fits(done.json, CLASSIFIED) == []
    assert (done.json["type"], done.json["confidence"] >= 0.9) == ("reclamo", True)
    assert "devolucion" in [evidence["words"] for evidence in done.json["evidence"]]


def test_one_ticket_in_full(say: Command, office: Path) -> None:
    """The conversation, its order and what became of each letter."""
    row = say("show", ONE, "--json", office=office).json
    assert {key: row[key] for key in TICKET} == say("tickets", "--json", office=office).json[0]
    assert [(m["direction"], m["letter"], m["sent_at"], m["verified"]) for m in row["messages"]] == [
        ("in", None, "2026-06-01T10:42:00-05:00", None),
        ("out", "acknowledgement", "2026-06-01T10:42:02-05:00", None),
        ("in", None, "2026-06-03T10:00:00-05:00", None),
        ("note", None, "2026-06-03T10:00:00-05:00", False),
    ]
    assert row["messages"][0]["attachments"] == [{"filename": "bolsa.jpg", "content_type": "image/jpeg", "size": 1000}]
    assert row["acknowledged_at"] == "2026-06-01T10:42:02-05:00"
    assert [event["event"] for event in row["events"]][:3] == ["opened", "letter_queued", "letter_queued"]
    assert [event["at"] for event in row["events"]] == sorted(event["at"] for event in row["events"])
    assert row["deadline"] == {
        "due_on": "2026-06-24",
        "business_days": 15,
        "days_left": row["deadline"]["days_left"],
        "skipped": [
            {"date": "2026-06-08", "name": "Corpus Christi"},
            {"date": "2026-06-15", "name": "Sagrado Corazón"},
        ],
    }
    assert row["related"] == [THREE]
    assert say("show", THREE, "--json", office=office).json["related"] == [ONE]


def test_mails_as_they_were_received(say: Command, office: Path) -> None:
    rows = say("inbox", "--json", office=office).json
    assert [(row["state"], row["verdict"], row["reference"]) for row in rows] == [
        ("done", "person", ONE),
        ("done", "person", TWO),
        ("set_aside", "auto_reply", None),
        ("set_aside", "unreadable", None),
        ("done", "person", THREE),
        ("done", "person", ONE),
        ("done", "person", ONE),
        ("failed", None, None),
        ("new", None, None),
    ]
    assert rows[0]["message_id"] == "<m1@correo.test>"
    assert rows[0]["received_at"] == "2026-06-01T10:42:00-05:00"
    assert "acknowledgement.j2, line 1" in rows[7]["error"]
    assert "acknowledgement.j2, line 1" in say("explain", "8", "--json", office=office).json["reason"]


def test_letters_as_they_stand(say: Command, office: Path) -> None:
    rows = say("outbox", "--json", office=office).json
    by_state = {row["state"]: row for row in rows[:4]}
    assert (by_state["sent"]["sent_at"], by_state["sent"]["attempts"]) == ("2026-06-01T10:42:02-05:00", 1)
    assert by_state["queued"]["next_attempt_at"] == "2026-06-04T10:00:00-05:00"
    assert by_state["queued"]["error"] == "451 4.3.0 later"
    assert {state: by_state[state]["next_attempt_at"] for state in ("sent", "dead", "uncertain")} == {
        "sent": None, "dead": None, "uncertain": None,
    }  # fmt: skip
    ids = [row["message_id"] for row in rows]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"<[^<>\s]+@lohas\.test>", one) for one in ids)


FILTERS = [  # command, the first column that is left
    ("tickets --state new", [ONE, TWO, THREE]),
    ("tickets --state closed", []),
    ("tickets --type reclamo", [ONE]),
    ("tickets --owner LUZ@lohas.test", [TWO]),
    ("tickets --owner nadie@lohas.test", []),
    ("tickets --overdue", [ONE, TWO, THREE]),
    ("tickets --overdue --type habeas_data", []),
    ("inbox --state set_aside", [3, 4]),
    ("inbox --state failed", [8]),
    ("outbox --state dead", [2]),
    ("outbox --state sending", []),
    ("search NOVEDAD", [ONE]),
    ("search vencido", [ONE, ONE]),
    ("search nadalodice", []),
    ('search "', []),
    ("search molienda*", [TWO]),
    ("search NEAR(molienda)", []),
]


@pytest.mark.parametrize(("command", "found"), FILTERS, ids=[command for command, _ in FILTERS])
def test_filters(say: Command, office: Path, command: str, found: list[Any]) -> None:
    done = say(*command.split(), "--json", office=office)
    assert done.code == 0
    assert [next(iter(row.values())) for row in done.json] == found


TYPED = [ONE, "pqr-2026-1", f"[{ONE}]", "PQR 2026 0001", "RE: pqr–2026–000001", "PQR2026000001", f" {ONE.lower()} "]


@pytest.mark.parametrize("typed", TYPED)
def test_a_reference_is_found_however_it_is_typed(say: Command, office: Path, typed: str) -> None:
    assert say("show", typed, "--json", office=office).json["reference"] == ONE


# -- dates ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cwd_free_of_configuration")
@pytest.mark.parametrize(
    ("received", "due_on", "skipped"),
    [
        ("2026-06-01", "2026-06-24", ["Corpus Christi", "Sagrado Corazón"]),
        ("2026-06-01T10:42", "2026-06-24", ["Corpus Christi", "Sagrado Corazón"]),
        ("2026-06-02T03:00:00Z", "2026-06-24", ["Corpus Christi", "Sagrado Corazón"]),  # still 1 June in Bogotá
        ("2026-07-01", "2026-07-24", ["Nuestra Señora del Rosario de Chiquinquirá", "Día de la Independencia"]),
    ],
)
def test_a_term_spelled_out(say: Command, received: str, due_on: str, skipped: list[str]) -> None:
    (row,) = say("deadlines", "--from", received, "--type", "reclamo", "--json").json
    assert (row["business_days"], row["due_on"]) == (15, due_on)
    assert [day["name"] for day in row["skipped"]] == skipped
    text = say("deadlines", "--from", received).out
    assert all(name in text for name in (due_on, *skipped))


@pytest.mark.usefixtures("cwd_free_of_configuration")
def test_the_days_off_of_a_year(say: Command) -> None:
    rows = say("calendar", "2026", "--json").json
    assert len(rows) == 19
    assert {"date": "2026-06-08", "name": "Corpus Christi", "kind": "holiday"} in rows
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    assert "Wed 2026-07-01" not in say("calendar", "2026").out


def test_a_closure_is_no_holiday(say: Command, office: Path) -> None:
    rows = say("calendar", "2026", "--json", office=office).json
    assert {"date": "2026-12-24", "name": "Cierre de fin de año", "kind": "closure"} in rows
    assert "closure: terms run on" in say("calendar", "2026", office=office).out
    assert all(row["kind"] == "holiday" for row in say("calendar", "2027", "--json", office=office).json)


# -- what goes wrong -----------------------------------------------------------------------------------------------

BAD_WORDS = [  # command, exit code, words of the one line
    ("show PQR-2026-999999", 1, "PQR-2026-999999: no such ticket"),
    ("show 2026-1", 2, "expected a reference such as PQR-2026-000123"),
    ("show PQRS-2026-1", 2, "expected a reference"),
    (f"show {ONE},{TWO}", 2, "expected a reference"),
    ("show", 2, "Missing argument 'REFERENCE'"),
    ("explain 999", 1, "999: no such mail"),
    ("explain 99999999999999999999", 1, "no such mail"),
    ("explain ²", 1, "no such mail"),
    ("explain <nobody@nowhere.test>", 1, "no such mail"),
    ("explain \udcff", 2, "UTF-8"),
    ("search \udcff", 2, "UTF-8"),
    ("tickets --owner \udcff", 2, "UTF-8"),
    ("tickets --state lost", 2, "'new', 'open', 'waiting', 'resolved', 'closed'"),
    ("tickets --type ruego", 2, "--type ruego: expected one of solicitud, "),
    ("inbox --state x", 2, "'new', 'done', 'set_aside', 'failed'"),
    ("outbox --state x", 2, "'queued', 'sending', 'sent', 'uncertain', 'dead'"),
    ("retry", 2, "expected the ID of a mail"),
    ("retry 1 --all", 2, "expected the ID of a mail"),
    ("retry x", 2, "not a valid integer"),
    ("retry 0", 2, "range"),
    ("retry 99999999999999999999", 2, "range"),
    ("retry 999", 1, "inbound 999: no such mail"),
    ("retry 1", 1, "inbound 1: is done"),
    ("retry 3", 1, "--as-person"),
    ("deadlines", 2, "Missing option '--from'"),
    ("deadlines --from ayer", 2, "expected a day such as 2026-06-01"),
    ("deadlines --from 2026-02-30", 2, "expected a day"),
    ("deadlines --from 9999-12-31", 2, "1984 to 2999"),
    ("deadlines --from 0001-01-01", 2, "1984 to 2999"),
    ("deadlines --from 2026-06-01 --type ruego", 2, "expected one of"),
    ("calendar 1983", 2, "range"),
    ("calendar dosmil", 2, "not a valid integer"),
    ("classify /nonexistent/file", 2, "No such file or directory"),
    ("classify /", 2, "directory"),
    ("orden", 2, "No such command 'orden'"),
    ("tickets --nope", 2, "No such option"),
    ("tickets and more", 2, "unexpected extra arguments"),
    ("init --to /dev/null", 1, "/dev/null: exists already; nothing was overwritten"),
    ("init --to /dev/null/sub", 1, "Not a directory"),
    ("run --once", 2, "imap.password: env:PQR_TEST_PASSWORD: no such environment variable"),
]


@pytest.mark.parametrize(("command", "code", "words"), BAD_WORDS, ids=[ascii(command) for command, _, _ in BAD_WORDS])
def test_a_mistake_is_one_line(say: Command, office: Path, command: str, code: int, words: str) -> None:
    done = say(*command.split(" "), office=office)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_without_a_command_the_help_is_shown(say: Command) -> None:
    done = say()
    assert (done.code, done.out) == (2, "")
    assert "Commands:" in done.err


BAD_CONFIGURATIONS: list[tuple[str, Callable[[Path], object], str]] = [
    ("missing", lambda path: None, "no such file"),
    ("a directory", lambda path: path.mkdir(), "is a directory"),
    ("not TOML", lambda path: path.write_text("[office"), "is not valid TOML"),
    ("not UTF-8", lambda path: path.write_bytes(b"x = '\xff'"), "is not UTF-8 text (at line 1)"),
    ("bytes", lambda path: path.write_bytes(bytes(range(256))), "config.toml: is not"),
    ("a loop", lambda path: path.symlink_to(path), "cannot be read"),
]


@pytest.mark.parametrize(
    ("make", "words"), [row[1:] for row in BAD_CONFIGURATIONS], ids=[row[0] for row in BAD_CONFIGURATIONS]
)
@pytest.mark.parametrize("command", ["tickets", "check", "run --once", "classify -", "deadlines --from 2026-06-01"])
def test_a_configuration_that_cannot_be_read(
    say: Command,
    tmp_path: Path,
    command: str,
    make: Callable[[Path], object],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"hola")))
    make(tmp_path / "config.toml")
    done = say(*command.split(), office=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_every_mistake_of_a_configuration_has_its_line(say: Command, tmp_path: Path) -> None:
    configure(tmp_path, **{"port = 1": "prot = 1", 'name = "Ana Ruiz"': "name = 7"})
    done = say("tickets", office=tmp_path)
    assert done.code == 2
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["imap.prot", "smtp.prot", "agents[1].name"]


def test_where_the_configuration_is_looked_for(
    say: Command, office: Path, new_office: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--config, then the environment, then the one in /etc."""
    monkeypatch.setattr(config, "DEFAULT_PATH", tmp_path / "etc.toml")
    monkeypatch.delenv("PQR_MAILBOT_CONFIG", raising=False)
    assert "etc.toml: no such file" in say("tickets").err
    monkeypatch.setenv("PQR_MAILBOT_CONFIG", str(new_office / "config.toml"))
    assert say("tickets", "--json").json == []
    assert len(say("tickets", "--json", office=office).json) == 3


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('pqr_mailbot', 'm999_x', '2030')"
        )
    db.close()


def _older(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM _sqlite_migrations WHERE name = ?", [migrations.migrations._migrations[-1].name])
    db.close()


def _foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    db.close()


def _just_begun(path: Path) -> None:
    """As the daemon leaves it for a moment at its very first start."""
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
    db.close()


def _replaced_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _damaged(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


BAD_STORES: list[tuple[str, Callable[[Path], object], str, str]] = [  # what, how, words, what `check` says
    ("missing", lambda path: path.unlink(), "no store yet; `pqr-mailbot run` makes it", "ok"),
    ("empty", lambda path: path.write_bytes(b""), "no store yet", "ok"),
    ("a moment old", _just_begun, "no store yet", "ok"),
    ("garbage", lambda path: path.write_bytes(b"\x93" * 9000), "file is not a database", "FAIL"),
    ("truncated", lambda path: path.write_bytes(path.read_bytes()[:50]), "desk.db: ", "FAIL"),
    ("damaged", _damaged, "desk.db: ", "FAIL"),
    ("a directory", _replaced_by_directory, "is a directory", "FAIL"),
    ("another program's", _foreign, "is no store of pqr-mailbot", "FAIL"),
    ("newer", _newer, "written by a newer version", "FAIL"),
    ("older", _older, "older version", "warn"),
]


@pytest.mark.parametrize(
    ("spoil", "words", "level"), [row[1:] for row in BAD_STORES], ids=[row[0] for row in BAD_STORES]
)
def test_a_store_that_cannot_be_used(
    say: Command, own_office: Path, spoil: Callable[[Path], object], words: str, level: str
) -> None:
    store = own_office / "desk.db"
    spoil(store)
    for command in ("tickets", f"show {ONE}", "search x", "inbox", "outbox", "explain 1", "status", "retry --all"):
        done = say(*command.split(), office=own_office)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1), (command, done)
        assert words in done.err, command
        assert str(store) in done.err
    checked = say("check", "--offline", "--json", office=own_office)
    assert [finding["level"] for finding in checked.json if finding["what"] == "store"] == [level]
    assert checked.code == (1 if level == "FAIL" else 0)


def as_nobody(*words: str, office: Path) -> subprocess.CompletedProcess[bytes]:
    """As somebody the file modes hold for, which they do not for root."""
    more: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    for directory in (office, *office.parents):
        if more and directory.stat().st_uid == 0 and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o055)
    try:
        done = process(*words, office=office, cwd="/", **more)
    except PermissionError:
        pytest.skip("this Python can be run by root only")
    if b"No module named" in done.stderr or b"can't open file" in done.stderr:
        pytest.skip("this installation can be read by root only")
    return done


def test_a_store_that_may_not_be_read(own_office: Path) -> None:
    (own_office / "desk.db").chmod(0)
    done = as_nobody("tickets", office=own_office)
    assert done.returncode == 1
    assert done.stderr.decode() == f"{own_office}/desk.db: a file of the store cannot be opened or made\n"
    (own_office / "config.toml").chmod(0)
    done = as_nobody("tickets", office=own_office)
    assert (done.returncode, done.stderr.decode()) == (
        2, f"{own_office}/config.toml: cannot be read: Permission denied\n"
    )  # fmt: skip


def test_a_store_on_a_disk_that_cannot_be_written(own_office: Path) -> None:
    """An admin's copy, or somebody who may only read."""
    (own_office / "desk.db").chmod(0o444)
    own_office.chmod(0o555)
    done = as_nobody("tickets", "--json", office=own_office)
    own_office.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 3


READING = [*(command for command, *_ in SHAPES), "tickets --overdue", "check --offline"]


def test_reading_writes_nothing(say: Command, own_office: Path) -> None:
    def everything() -> dict[str, tuple[bytes, int, int]]:
        return {
            path.name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
            for path in own_office.rglob("*")
            if path.is_file()
        }

    before = everything()
    for command in READING:
        say(*command.split(), office=own_office)
    assert everything() == before


def test_reading_beside_a_writer(say: Command, own_office: Path) -> None:
    """The daemon is in the middle of a transaction: what was there before is shown, at once."""
    bench = Bench(own_office / "desk.db")
    with bench.store.transaction():
        bench.store._run("UPDATE ticket SET state = 'closed' WHERE reference = ?", ONE)
        assert [row["state"] for row in say("tickets", "--json", office=own_office).json] == ["new"] * 3
    assert [row["state"] for row in say("tickets", "--json", office=own_office).json] == ["closed", "new", "new"]
    bench.close()


def test_a_writer_that_does_not_let_go(say: Command, own_office: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_SECONDS", 0.05)
    bench = Bench(own_office / "desk.db")
    with bench.store.transaction():
        done = say("retry", "--all", office=own_office)
    bench.close()
    assert (done.code, done.err) == (1, f"{own_office}/desk.db: locked by another program\n")


# -- changing things -----------------------------------------------------------------------------------------------

RETRIES = [  # command, what is said, the ids that wait afterwards
    ("retry 8", "1 mail waits", [8, 9]),
    ("retry --all", "1 mail waits", [8, 9]),
    ("retry --all --as-person", "1 mail waits", [8, 9]),
    ("retry 3 --as-person", "1 mail waits", [3, 9]),
    ("retry 8 --as-person", "1 mail waits", [8, 9]),
]


@pytest.mark.parametrize(("command", "words", "waiting"), RETRIES, ids=[row[0] for row in RETRIES])
def test_handling_again(say: Command, own_office: Path, command: str, words: str, waiting: list[int]) -> None:
    done = say(*command.split(), office=own_office)
    assert (done.code, done.err) == (0, "")
    assert words in done.out
    assert [row["id"] for row in say("inbox", "--state", "new", "--json", office=own_office).json] == waiting


def test_a_machines_mail_handled_after_all(say: Command, own_office: Path) -> None:
    say("retry", "3", "--as-person", office=own_office)
    bench = Bench(own_office / "desk.db")
    bench.work()
    bench.close()
    explained = say("explain", "3", "--json", office=own_office).json
    assert explained["verdict"] == "person"
    assert explained["reference"].startswith("PQR-2026-")


def test_nothing_to_handle_again(say: Command, new_office: Path) -> None:
    done = say("retry", "--all", office=new_office)
    assert done.code == 0
    assert done.out.startswith("0 mails wait")


def test_a_configuration_to_start_from(say: Command, tmp_path: Path) -> None:
    target = tmp_path / "etc" / "pqr-mailbot"
    done = say("init", "--to", str(target))
    assert done.code == 0
    assert [line[:4] for line in done.out.splitlines()] == ["Wrot", "  1.", "  2.", "  3."]
    umask = os.umask(0)
    os.umask(umask)
    assert (target / "config.toml").stat().st_mode & 0o777 == 0o666 & ~umask
    assert say("tickets", office=target).code == 1, "it loads; there is only no store yet"
    (target / "config.toml").write_text("mine")
    again = say("init", "--to", str(target))
    assert (again.code, again.out) == (1, "")
    assert again.err == f"{target}/config.toml: exists already; nothing was overwritten\n"
    assert (target / "config.toml").read_text() == "mine"


def test_a_dangling_link_is_not_overwritten_either(say: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").symlink_to(tmp_path / "elsewhere")
    assert say("init", "--to", str(tmp_path)).code == 1
    assert not (tmp_path / "elsewhere").exists()


# -- classify ------------------------------------------------------------------------------------------------------

MAIL = eml(subject="Reclamo", text="Exijo la devolución de mi dinero, el café llegó vencido")
TEXTS: list[tuple[str, bytes, str]] = [
    ("a text", "El café llegó vencido. Exijo la devolución de mi dinero.".encode(), "reclamo"),
    ("in Windows-1252", "El café llegó vencido. Exijo la devolución de mi dinero.".encode("cp1252"), "reclamo"),
    ("a mail", MAIL, "reclamo"),
    ("a mail with bare newlines", MAIL.replace(b"\r\n", b"\n"), "reclamo"),
    ("a mail after a byte order mark", b"\xef\xbb\xbf" + MAIL, "reclamo"),
    ("a text that opens like a header", b"Hola: felicitaciones por el excelente servicio", "felicitacion"),
    ("nothing", b"", "solicitud"),
    ("bytes", bytes(range(256)) * 50, "solicitud"),
    ("a quoted complaint under thanks", eml(subject="Re: Hola", text="Felicitaciones, excelente servicio\n\n"
        "El lun, 1 jun 2026 a las 10:54, Ana <a@x.test> escribió:\n"
        + "".join(f"> {line}\n" for line in ["Exijo la devolución de mi dinero, llegó vencido"] * 9)), "felicitacion"),
]  # fmt: skip


@pytest.mark.usefixtures("cwd_free_of_configuration")
@pytest.mark.parametrize(("raw", "kind"), [row[1:] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_classify_needs_nothing(
    say: Command, raw: bytes, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file or from the standard input, and the same from both."""
    (tmp_path / "text").write_bytes(raw)
    from_file = say("classify", str(tmp_path / "text"), "--json")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
    piped = say("classify", "-", "--json")
    assert (from_file.code, from_file.json["type"]) == (0, kind)
    assert (piped.code, piped.out) == (0, from_file.out)
    assert say("classify", str(tmp_path / "text")).out.startswith(kind)


# -- explain -------------------------------------------------------------------------------------------------------


def _nested(depth: int) -> bytes:
    head = b"From: clara@correo.test\r\nSubject: caja\r\nMessage-ID: <nested@correo.test>\r\nMIME-Version: 1.0\r\n"
    opened = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(depth))
    return head + opened + b"Content-Type: text/plain; charset=utf-8\r\n\r\nExijo mi dinero\r\n"


BOUNCE = b"""From: MAILER-DAEMON@correo.test\r\nTo: info@lohas.test\r\nSubject: Undelivered\r
Content-Type: multipart/report; report-type=delivery-status; boundary="r"\r\n\r\n--r\r\n\r\nsorry\r
--r\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r
Final-Recipient: rfc822; a@b.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--r--\r\n"""
ODD: list[tuple[str, bytes, str, str, str]] = [  # what, the mail, verdict, the check, the header that said so
    ("zero bytes", b"", "unreadable", "no_sender", "From:"),
    ("blank lines", b"\r\n\r\n\r\n", "unreadable", "no_sender", "From:"),
    ("no From", b"Subject: hola\r\n\r\nhola", "unreadable", "no_sender", "From:"),
    ("an unparsable From", b"From: <<>>@,;\r\nSubject: hola\r\n\r\nhola", "unreadable", "no_sender", "From:"),
    ("bytes", bytes(range(256)) * 40, "unreadable", "no_sender", "From:"),
    ("a list", eml(List_Id="<cafe.lista.test>"), "list", "mailing_list", "List-Id: <cafe.lista.test>"),
    ("an autoresponder", eml(Auto_Submitted="auto-replied"), "auto_reply", "auto_submitted", "Auto-Submitted: auto-"),
    ("vacation", eml(subject="Fuera de la oficina: Re: x"), "auto_reply", "out_of_office", "Subject: Fuera de la"),
    ("bulk", eml(Precedence="bulk"), "list", "precedence_bulk", "Precedence: bulk"),
    ("a bounce", BOUNCE, "bounce", "delivery_report", "Content-Type: multipart/report"),
    ("null sender", eml(Return_Path="<>"), "bounce", "null_sender", "Return-Path: <>"),
    ("no-reply", eml("no-reply@tienda.test"), "no_reply", "no_reply_sender", "From: no-reply@tienda.test"),
    ("ourselves", eml("info@lohas.test"), "own", "own_address", "From: info@lohas.test"),
    ("spam", eml(X_Spam_Flag="YES"), "spam", "marked_spam", "X-Spam-Flag: YES"),
]


@pytest.mark.parametrize(("raw", "verdict", "check", "header"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_why_a_mail_was_set_aside(
    say: Command, new_office: Path, raw: bytes, verdict: str, check: str, header: str
) -> None:
    bench = Bench(new_office / "desk.db")
    bench.take(raw)
    bench.close()
    explained = say("explain", "1", "--json", office=new_office).json
    assert fits(explained, EXPLAINED) == []
    assert (explained["verdict"], explained["reference"]) == (verdict, None)
    assert explained["reason"].startswith(f"{check}: ")
    assert explained["header"].startswith(header)
    assert explained["effects"], "what was done with it"
    text = say("explain", "1", office=new_office).out
    assert verdict in text
    assert header in text


def test_why_a_mail_opened_joined_or_was_linked(say: Command, office: Path) -> None:
    opened, stranger, joined, note = (say("explain", i, "--json", office=office).json for i in ("1", "5", "6", "7"))
    assert (opened["reference"], opened["key"], opened["clue"]) == (ONE, "none needed: nothing points to a case", None)
    assert opened["classification"].startswith("reclamo (")
    assert re.search(r"\bdevolucion \+\d\.\d\d reclamo.*; scores: reclamo \d\.\d\d, ", opened["classification"])
    assert f"open {ONE} for clara@correo.test, due 2026-06-24, owner ana@lohas.test" in opened["effects"]
    assert (stranger["reference"], stranger["clue"]) == (THREE, f"subject {ONE}")
    assert stranger["key"] == "none: a stranger to the case, so it is only linked"
    assert (joined["reference"], joined["key"], joined["reason"]) == (ONE, "the case's customer", "joined as customer")
    assert (note["reference"], note["key"]) == (ONE, "no letter of ours to this colleague is answered")
    assert note["sender_trust"] == "ana@lohas.test; unverified colleague"


def test_a_mail_is_named_by_its_message_id_too(say: Command, office: Path) -> None:
    for name in ("<m1@correo.test>", "m1@correo.test", "1"):
        assert say("explain", name, "--json", office=office).json["inbound_id"] == 1


def test_a_mail_that_came_twice_explains_both(say: Command, new_office: Path) -> None:
    bench = Bench(new_office / "desk.db")
    bench.take(eml())
    bench.take(eml())
    bench.close()
    assert say("explain", "<m1@correo.test>", "--json", office=new_office).json["inbound_id"] == 1
    text = say("explain", "<m1@correo.test>", office=new_office).out
    assert "inbound 1" in text
    assert "duplicate of inbound 1" in text


HUGE = eml(text="Exijo la devolución de mi dinero.\r\n" * 800_000)  # some 30 MB


@pytest.mark.parametrize("raw", [_nested(1000), HUGE], ids=["a thousand nested parts", "30 MB"])
def test_a_monstrous_mail_is_explained(say: Command, new_office: Path, raw: bytes) -> None:
    bench = Bench(new_office / "desk.db")
    closed = bench.take(raw)
    bench.close()
    assert closed["state"] == "done", closed["error"]
    explained = say("explain", "1", "--json", office=new_office).json
    assert fits(explained, EXPLAINED) == []
    assert explained["reference"] == ONE
    assert say("show", ONE, "--json", office=new_office).json["reference"] == ONE


# -- health --------------------------------------------------------------------------------------------------------


def test_an_unhealthy_desk_says_why(say: Command, office: Path) -> None:
    done = say("status", "--json", office=office)
    assert done.code == 1
    report = done.json
    assert report["healthy"] is False
    words = "1 mail could not be handled"
    assert any(problem.startswith(words) for problem in report["problems"])
    assert words in done.err
    assert done.err.count("\n") == 1
    assert report["inbox"] == {"new": 1, "done": 5, "set_aside": 2, "failed": 1}
    assert report["tickets"] == {"new": 3, "open": 0, "waiting": 0, "resolved": 0, "closed": 0}
    assert report["outbox"]["dead"] == 1
    assert report["overdue"] == 3
    assert report["last_send_at"] == "2026-06-01T10:42:02-05:00"
    assert say("status", office=office).out.startswith("UNHEALTHY\n  problem ")


@pytest.mark.parametrize(("days", "told"), [(1, True), (6, True), (8, False)])
def test_what_went_wrong_with_a_letter_is_a_problem_for_a_week(office: Path, days: int, told: bool) -> None:
    views = Views(office / "desk.db", BOGOTA, DESK.calendar)
    problems = views.status(NOW + timedelta(days=days), Expected())["problems"]
    views.close()
    for words in ("1 letter may or may not", "1 letter could not be delivered"):
        assert any(problem.startswith(words) for problem in problems) is told


def test_a_healthy_desk(say: Command, new_office: Path) -> None:
    bench = Bench(new_office / "desk.db")
    cursor = bench.store.cursor("INBOX")
    assert cursor
    with bench.store.transaction():
        bench.store.store_mail("INBOX", cursor, [], 0, cli.utc_now())
    bench.close()
    done = say("status", "--json", office=new_office)
    assert (done.code, done.err, done.json["healthy"], done.json["problems"]) == (0, "", True, [])
    assert say("status", office=new_office).out.startswith("healthy\n")


# -- what a terminal shows -----------------------------------------------------------------------------------------

EMPTY = [
    ("tickets", "no tickets"), ("search x", "nothing found; every word must stand in the mail"), ("inbox", "no mail"),
    ("outbox", "no letters"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "words"), EMPTY)
def test_an_empty_desk(say: Command, new_office: Path, command: str, words: str) -> None:
    assert say(*command.split(), office=new_office) == Done(0, f"{words}\n", "")
    assert say(*command.split(), "--json", office=new_office) == Done(0, "[]\n", "")


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("command", [*(command for command, *_ in SHAPES), "search molienda", "search greca"])
def test_no_mail_steers_the_terminal(say: Command, office: Path, command: str, form: list[str]) -> None:
    done = say(*command.split(), *form, office=office)
    acting = [c for c in done.out + done.err if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert acting == []


def test_json_tells_the_truth_about_what_it_escapes(say: Command, office: Path) -> None:
    text = say("show", TWO, "--json", office=office).json["messages"][0]["text"]
    assert "\u200f" in text


def on_terminal(columns: int, *words: str, office: Path, **environment: str) -> str:
    """What the program writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "pqr_mailbot", "--config", str(office / "config.toml"), *words]
    free = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**free, **environment})
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the last who held the other end has ended
            break
        said += part
        if not part:
            break
    os.close(ours)
    running.wait(20)
    return said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 132])
@pytest.mark.parametrize("command", ["tickets", "inbox", "outbox", "search molienda", f"show {TWO}"])
def test_lines_fit_the_terminal(office: Path, command: str, columns: int) -> None:
    lines = on_terminal(columns, *command.split(), office=office).splitlines()
    assert len(lines) > 1
    assert [line for line in lines if plain.columns(line) > columns] == []


def test_columns_stand_under_each_other(say: Command, office: Path) -> None:
    """Wide and combining characters in between move nothing."""
    head, *lines = say("inbox", office=office).out.splitlines()
    became = head.index("BECAME")
    assert {line for line in lines if EVIL_SUBJECT[-10:] in line}, "the wide one is there"
    begins = [ONE, TWO, "auto_reply", "unreadable", THREE, ONE, ONE, "pqr_mailbot.adapters", "waits"]
    for line, words in zip(lines, begins, strict=True):
        assert plain.columns(line[: line.rindex(words)]) == became, line


def test_colours_are_for_terminals(office: Path) -> None:
    on_screen = on_terminal(80, "check", "--offline", office=office)
    assert "\x1b[32mok" in on_screen
    assert "\x1b" not in on_terminal(80, "check", "--offline", office=office, NO_COLOR="1")
    assert b"\x1b" not in process("check", "--offline", office=office).stdout


def test_times_are_the_offices(say: Command, office: Path) -> None:
    assert "2026-06-01 10:42" in say("inbox", office=office).out
    shown = say("show", ONE, office=office).out
    assert "opened        2026-06-01 10:42" in shown
    assert "Mon 2026-06-08 Corpus Christi" in shown
    assert "Wed 2026-06-24, 15 business days; OVERDUE by" in shown


HARMLESS = [  # what came, what is shown, in how many columns
    ("plain", "plain", 5),
    ("\x1b[31mred\x1b[0m", "[31mred [0m", 11),
    ("a\x00b\tc\nd", "a b c d", 7),
    ("\u202eevil\u202c", "evil", 4),
    ("so\u00adft", "soft", 4),
    ("cafe\u0301", "cafe\u0301", 4),
    ("漢字", "漢字", 4),
    ("☕ tinto", "☕ tinto", 8),
    ("\ue000\ud800", "\ufffd\ufffd", 2),
    ("a\u2028b\u00a0c", "a b c", 5),
]


@pytest.mark.parametrize(("came", "shown", "columns"), HARMLESS, ids=[ascii(row[0]) for row in HARMLESS])
def test_harmless(came: str, shown: str, columns: int) -> None:
    assert plain.harmless(came) == shown
    assert plain.columns(shown) == columns


CUT = [
    ("abcdef", 6, "abcdef"),
    ("abcdefg", 6, "abcde…"),
    ("漢字漢字", 6, "漢字…"),
    ("e" + "\u0301" * 99, 2, "e" + "\u0301" * 15),
]


@pytest.mark.parametrize(("text", "width", "shown"), CUT, ids=[ascii(row[0]) for row in CUT])
def test_cut_to_columns(text: str, width: int, shown: str) -> None:
    assert plain.harmless(text, width) == shown


# -- as a process --------------------------------------------------------------------------------------------------


TERMINALS = [
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
]


@pytest.mark.parametrize("environment", TERMINALS, ids=str)
def test_a_terminal_that_does_not_know_the_letters(office: Path, environment: dict[str, str]) -> None:
    for words in (["tickets"], ["show", TWO], ["calendar", "2026"]):
        done = process(*words, office=office, env=environment)
        assert (done.returncode, done.stderr) == (0, b""), words
    encoding = environment.get("PYTHONIOENCODING", "utf-8").replace("ascii", "utf-8")
    document = json.loads(process("tickets", "--json", office=office, env=environment).stdout.decode(encoding))
    assert document[0]["subject"] == "Café vencido"
    assert "漢字☕" in document[1]["subject"]


def test_nobody_reads_the_output(office: Path) -> None:
    """`pqr-mailbot … | head -1`: no traceback, no complaint."""
    reading, writing = os.pipe()
    os.close(reading)
    done = process("calendar", "2026", office=office, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_the_disk_of_the_output_is_full(office: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = process("calendar", "2026", office=office, capture_output=False, stdout=full, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (1, b"the output could not be written: No space left on device\n")
        done = process("show", "x", office=office, capture_output=False, stdout=subprocess.PIPE, stderr=full)
        assert (done.returncode, done.stdout) == (2, b"")


def test_closed_output(office: Path) -> None:
    program = f"{sys.executable} -m pqr_mailbot --config {office}/config.toml"
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(["sh", "-c", f"{program} tickets {closed}"], capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b""), closed


def test_ctrl_c() -> None:
    """While it waits for the rest of its input; a test run in the background may have been told to ignore SIGINT."""
    reading, writing = os.pipe()
    running = subprocess.Popen(
        [sys.executable, "-m", "pqr_mailbot", "classify", "-"], stdin=reading, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    os.close(reading)
    os.write(writing, b"x" * 4096)
    wait_until(lambda: not any(fcntl.ioctl(writing, termios.FIONREAD, b"\0" * 4)), what="the program reading its input")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    os.close(writing)
    assert (running.returncode, out, err.strip()) == (1, b"", b"interrupted")


def test_the_program_is_found_both_ways() -> None:
    done = process("--version")
    installed = Path(sys.executable).with_name("pqr-mailbot")
    script = subprocess.run([installed, "--version"], capture_output=True, timeout=60)
    assert done.returncode == script.returncode == 0
    assert done.stdout == script.stdout


def test_every_command_explains_itself(say: Command) -> None:
    for name in cli.pqr_mailbot.commands:
        done = say(name, "--help")
        assert (done.code, done.err) == (0, ""), name
        assert len(textwrap.dedent(done.out).splitlines()) > 3
