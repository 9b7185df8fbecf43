"""The desk as its own process between a real Dovecot and a real SMTP server, over TLS: what each person holds."""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from bench import eml
from desk_process import DeskProcess
from servers import DROP, OFFICE, Authority, Dovecot, SmtpServer, wait_until

SISTEMAS = "sistemas@lohas.test"
CLARA, DIEGO, ANA = "clara@correo.test", "diego@otro.test", "ana@lohas.test"
BOTH = ("Clara Gómez <clara@correo.test>", "Diego Paz <diego@otro.test>")


@pytest.fixture
def desk(tmp_path: Path, dovecot: Dovecot, smtp: SmtpServer) -> Iterator[DeskProcess]:
    """Configured, not started. Empty mailboxes; what the desk sends arrives in them."""
    dovecot.reset()
    smtp.route = dovecot.route
    desk = DeskProcess(tmp_path, dovecot, smtp)
    yield desk
    if desk.process:
        desk.process.kill()
        desk.process.wait(10)


def write(desk: DeskProcess, raw: bytes) -> None:
    """A mail arrives at the office."""
    desk.dovecot.deliver(raw, OFFICE, sender="somebody@correo.test")


def opened(desk: DeskProcess) -> None:
    """The first round: what is in the mailbox before it is not ours to answer."""
    assert desk.say("run", "--once").returncode == 0


def fetched(desk: DeskProcess) -> None:
    """The same for a desk that runs already."""
    wait_until(lambda: desk.json("status", status=None)["last_fetch_at"] is not None, what="the first fetch")


def got(desk: DeskProcess, address: str) -> list[EmailMessage]:
    mails = [message_from_bytes(raw, policy=default) for raw in desk.dovecot.mails(address)]
    return [mail for mail in mails if isinstance(mail, EmailMessage)]


def await_mail(desk: DeskProcess, address: str, count: int = 1) -> list[EmailMessage]:
    what = f"{count} mails for {address}:\n{desk.log[-3000:]}"
    wait_until(lambda: len(desk.dovecot.mails(address)) >= count, what=what)
    return got(desk, address)


def sequel(reference: str) -> str:
    """The part of a reference that does not depend on the day of the test."""
    return re.sub(r"PQR-\d{4}-", "", reference)


# -- the main job --------------------------------------------------------------------------------------------------


def test_a_customer_holds_an_acknowledgement_and_an_agent_was_told(desk: DeskProcess) -> None:
    """No poll comes in time here: the server's word (IDLE) brings the mail."""
    desk.configure(imap={"poll_seconds": 3600})
    with desk.running():
        fetched(desk)
        write(desk, eml())
        (letter,) = await_mail(desk, CLARA)
        (told,) = await_mail(desk, ANA)
    (ticket,) = desk.json("tickets")
    assert letter["Subject"] == f"[{ticket['reference']}] Café vencido"
    assert (letter["In-Reply-To"], letter["Auto-Submitted"]) == ("<m1@correo.test>", "auto-replied")
    assert (told["Subject"], told["Auto-Submitted"]) == (letter["Subject"], "auto-generated")
    assert (ticket["customer"]["address"], ticket["type"], ticket["state"]) == (CLARA, "reclamo", "new")
    assert ticket["acknowledged_at"] is not None
    assert [row["state"] for row in desk.json("outbox")] == ["sent", "sent"]
    assert all(re.match("2[0-9]{2} ", row["smtp_reply"]) for row in desk.json("outbox"))


def test_two_mails_and_three_mangled_replies(desk: DeskProcess) -> None:
    opened(desk)
    write(desk, eml())
    write(desk, eml(BOTH[1], "Molienda", "¿Qué molienda sirve para greca?", "<d1@otro.test>"))
    desk.say("run", "--once")
    first = next(mail["Subject"] for mail in got(desk, CLARA))
    reference = re.search(r"PQR-\d{4}-000001", first)[0]  # type: ignore[index]
    year = reference[4:8]
    for number, subject in enumerate((f"RE: RV: pqr {year} 1", f"Fwd: [PQR–{year}–000001]", f"re: (pqr‑{year}‑1)")):
        write(desk, eml(subject=subject, text=f"Respuesta {number}", message_id=f"<r{number}@correo.test>"))
    desk.say("run", "--once")
    desk.say("run", "--once")  # a round that does nothing
    assert [sequel(ticket["reference"]) for ticket in desk.json("tickets")] == ["000001", "000002"]
    assert (len(got(desk, CLARA)), len(got(desk, DIEGO)), len(got(desk, ANA))) == (1, 1, 5)
    shown = desk.json("show", reference)
    assert [message["direction"] for message in shown["messages"]] == ["in", "out", "in", "in", "in"]
    assert [message["text"].strip() for message in shown["messages"][2:]] == [f"Respuesta {n}" for n in range(3)]


def test_what_lay_in_the_mailbox_before_is_left_alone(desk: DeskProcess) -> None:
    write(desk, eml(message_id="<antes@correo.test>"))
    opened(desk)
    write(desk, eml(text="nuevo"))
    desk.say("run", "--once")
    assert [row["message_id"] for row in desk.json("inbox")] == ["<m1@correo.test>"]


def test_from_a_named_day_on_everything_is_read(desk: DeskProcess) -> None:
    desk.configure(imap={"start_from": "2026-01-01"})
    write(desk, eml())
    desk.say("run", "--once")
    assert len(got(desk, CLARA)) == 1


def test_mail_that_a_person_has_read_is_taken_and_no_flag_is_touched(desk: DeskProcess) -> None:
    opened(desk)
    write(desk, eml())
    write(desk, eml(text="sin leer", message_id="<m2@correo.test>"))
    with desk.dovecot.client(OFFICE) as client:
        first, second = client.search()
        client.add_flags([first], ["\\Seen"])
    desk.say("run", "--once")
    assert len(desk.json("tickets")) == 2
    with desk.dovecot.client(OFFICE) as client:
        seen = {number: b"\\Seen" in flags for number, flags in client.get_flags(client.search()).items()}
    assert seen == {first: True, second: False}


def test_mail_is_moved_once_it_is_stored(desk: DeskProcess) -> None:
    with desk.dovecot.client(OFFICE) as client:
        if not client.folder_exists("Reclamación"):
            client.create_folder("Reclamación")
    desk.configure(imap={"move_to": "Reclamación"})
    opened(desk)
    write(desk, eml())
    desk.say("run", "--once")
    assert (len(desk.dovecot.mails(OFFICE)), len(desk.dovecot.mails(OFFICE, "Reclamación"))) == (0, 1)
    assert len(desk.json("tickets")) == 1


def test_only_its_owner_reads_the_store(desk: DeskProcess) -> None:
    opened(desk)
    assert {stat.S_IMODE(path.stat().st_mode) for path in desk.directory.glob("desk.db*")} == {0o600}


def test_the_log_names_nobody(desk: DeskProcess) -> None:
    opened(desk)
    with desk.running():
        write(desk, eml())
        await_mail(desk, ANA)
    for personal in ("clara", "Clara", "Café", "vencido", "ana@", "info@"):
        assert personal not in desk.log


# -- bad mail ------------------------------------------------------------------------------------------------------

BAD: list[tuple[str, Callable[[], bytes], str]] = [
    ("zero bytes", lambda: b"", "unreadable"),
    ("no From", lambda: eml("", message_id="<b@x.test>"), "unreadable"),
    ("a From that cannot be read", lambda: eml("").replace(b"To:", b"From: <<a@b@c>>,\r\nTo:", 1), "unreadable"),
    ("thirty megabytes", lambda: eml() + b"\r\n" + (b"A" * 76 + b"\r\n") * 400_000, "person"),
    ("above the limit", lambda: eml() + b"\r\n" + (b"A" * 76 + b"\r\n") * 500_000, "person"),
    ("a thousand nested parts", lambda: _nested(1000), "person"),
]


def _nested(depth: int) -> bytes:
    parts = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(depth))
    return b"From: clara@correo.test\r\nSubject: hondo\r\n" + parts + b"Content-Type: text/plain\r\n\r\nhola\r\n"


def test_bad_mail_is_kept_and_seen_and_never_in_the_way(desk: DeskProcess) -> None:
    with desk.running():
        fetched(desk)
        for _, raw, _ in BAD:
            write(desk, raw())
        write(desk, eml(BOTH[1], "Molienda", "¿Qué molienda sirve?", "<d1@otro.test>"))
        await_mail(desk, DIEGO)
        inbox = desk.json("inbox")
    assert [row["verdict"] for row in inbox] == [*(verdict for _, _, verdict in BAD), "person"]
    assert {row["state"] for row in inbox} == {"done", "set_aside"}
    for row in inbox:
        assert desk.json("explain", str(row["id"]))["verdict"] == row["verdict"]


# -- ends and beginnings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_with_nothing_half_done(desk: DeskProcess, smtp: SmtpServer, number: int) -> None:
    smtp.answers = {"DOT": 1.0}  # a letter is under way when the signal comes
    desk.start()
    fetched(desk)
    write(desk, eml())
    wait_until(lambda: "DATA" in smtp.heard, what="a letter under way")
    assert desk.stop(number) == 0
    assert {row["state"] for row in desk.json("outbox")} <= {"sent", "queued"}
    smtp.answers = {}
    desk.say("run", "--once")
    assert (len(got(desk, CLARA)), len(got(desk, ANA))) == (1, 1)


def test_killed_between_the_ticket_and_the_letter(desk: DeskProcess, smtp: SmtpServer) -> None:
    """The letter was not taken by the server: after the start it goes once, with the Message-ID it had."""
    opened(desk)
    smtp.answers = {"RCPT": 30.0}
    desk.start()
    write(desk, eml())
    wait_until(lambda: any(line.startswith("RCPT") for line in smtp.heard), what="a letter under way")
    ids = {row["message_id"] for row in desk.json("outbox")}
    desk.stop(signal.SIGKILL)
    smtp.drop_all()
    smtp.answers = {}
    desk.say("run", "--once")
    assert {mail["Message-ID"] for mail in (*got(desk, CLARA), *got(desk, ANA))} == ids
    assert (len(got(desk, CLARA)), len(got(desk, ANA)), len(desk.json("tickets"))) == (1, 1, 1)


def test_lost_after_the_final_dot_is_not_sent_again(desk: DeskProcess, smtp: SmtpServer) -> None:
    """FreeScout #5457 sent 13 to 25 copies."""
    opened(desk)
    smtp.answers = {"DOT": [DROP, DROP]}
    write(desk, eml())
    desk.say("run", "--once", status=None)
    smtp.answers = {}
    for _ in range(2):
        desk.say("run", "--once", status=None)
    assert {row["state"] for row in desk.json("outbox")} == {"uncertain"}
    assert (len(got(desk, CLARA)), len(got(desk, ANA))) == (1, 1)
    assert any("uncertain" in problem for problem in desk.json("status", status=1)["problems"])


def test_one_desk_a_store(desk: DeskProcess) -> None:
    with desk.running():
        second = desk.say("run", status=1)
        once = desk.say("run", "--once", status=1)
    for told in (second.stderr, once.stderr):
        assert len(told.strip().splitlines()) == 1
        assert "desk.db" in told


def test_an_admins_retry_beside_the_daemon(desk: DeskProcess) -> None:
    with desk.running():
        fetched(desk)
        write(desk, eml(Precedence="bulk"))
        wait_until(lambda: bool(desk.json("inbox", "--state", "set_aside")), what="the machine's mail")
        desk.say("retry", "1", "--as-person")
        await_mail(desk, CLARA)


def test_a_broken_template_stops_the_start_before_any_mail_is_touched(desk: DeskProcess) -> None:
    templates = desk.directory / "templates"
    templates.mkdir()
    (templates / "acknowledgement.j2").write_text("{% if %}")
    desk.more = f'\n[templates]\ndirectory = "{templates}"\n'
    desk.configure()
    told = desk.say("run", status=2).stderr.strip()
    assert len(told.splitlines()) == 1
    assert re.search(r"templates\.directory: .*acknowledgement\.j2, line 1: ", told)


def test_a_directory_of_templates_that_is_none_stops_the_start(desk: DeskProcess) -> None:
    desk.more = f'\n[templates]\ndirectory = "{desk.directory}/nowhere"\n'
    desk.configure()
    told = desk.say("run", status=2).stderr.strip()
    assert told == f"templates.directory: {desk.directory}/nowhere: no such directory"
    assert [row["detail"] for row in desk.json("check", "--offline", status=1) if row["what"] == "letters"] == [told]


def test_a_store_that_is_removed_under_the_desk_ends_it(desk: DeskProcess) -> None:
    """Going on would acknowledge into a file that nobody finds again."""
    desk.start()
    assert desk.process
    desk.store.unlink()
    assert desk.process.wait(20) == 1
    desk.process = None
    assert "desk.db: the store is gone" in desk.log.splitlines()[-1]
    assert "Traceback" not in desk.log


# -- servers that fail ---------------------------------------------------------------------------------------------


def test_a_provider_that_goes_and_comes_back(desk: DeskProcess) -> None:
    """Both servers go away under a running desk. It waits, loses nothing, and says so once and when it is over."""
    desk.more = alarmed(desk)
    desk.configure()
    with desk.running():
        fetched(desk)
        wait_until(lambda: desk.json("status", status=None)["heartbeat_at"], what="the probe to come back")
        desk.smtp_server.stop()
        write(desk, eml())
        wait_until(lambda: len(desk.json("tickets")) == 1, what="the case")
        desk.dovecot.stop()
        try:
            wait_until(lambda: not desk.json("status", status=None)["healthy"], what="status to say so")
        finally:
            desk.dovecot.start()
        desk.smtp_server.start()
        await_mail(desk, CLARA)
        write(desk, eml(BOTH[1], message_id="<d1@otro.test>"))
        await_mail(desk, DIEGO)
        await_mail(desk, SISTEMAS)
        wait_until(lambda: told(desk)["all_clear"] == ["imap", "smtp"], what=f"both all-clears:\n{desk.log}")
        assert desk.json("status")["alarms"] == []
    assert (len(got(desk, CLARA)), len(got(desk, DIEGO)), len(got(desk, ANA))) == (1, 1, 2)
    assert told(desk) == {"alarm": ["imap", "smtp"], "all_clear": ["imap", "smtp"]}
    assert desk.log.count("alarm: smtp: localhost:") == desk.log.count("all clear: smtp: ") == 1
    assert "ERROR   alarm: smtp: localhost:" in desk.log
    words = " ".join(" ".join(str(mail.get_body(("plain",))).split()) for mail in got(desk, SISTEMAS))
    assert len(re.findall(r"hasta las? [\d:]+ del [\w ]+: No se puede enviar", words)) == 1
    assert desk.log.count("the desk is open") == 1


def alarmed(desk: DeskProcess) -> str:
    """A configuration without patience, with a command that writes down what it is told, and with a heartbeat."""
    command = f"sh -c 'echo $PQR_ALARM $PQR_ALARM_NAMES >> {desk.directory}/told'"
    keys = {"alarms_to": [SISTEMAS], "alarm_command": command, "patience_minutes": 0, "heartbeat": True}
    return "\n[admin]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def told(desk: DeskProcess) -> dict[str, list[str]]:
    """What the alarm command was told: the names by kind, as often as they came."""
    path = desk.directory / "told"
    heard: dict[str, list[str]] = {"alarm": [], "all_clear": []}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        kind, *names = line.split()
        heard[kind] = sorted([*heard[kind], *names])
    return heard


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


TROUBLES: list[tuple[str, str, dict[str, Any], str]] = [
    ("wrong password", "imap", {"password": "env:WRONG"}, "refused"),
    ("wrong password", "smtp", {"password": "env:WRONG"}, "refused"),
    ("unreachable", "imap", {"port": closed_port}, "connect"),
    ("unreachable", "smtp", {"port": closed_port}, "connect"),
    ("untrusted certificate", "imap", {"ca_file": ""}, "certificate"),
    ("untrusted certificate", "smtp", {"ca_file": ""}, "certificate"),
    ("unknown host", "imap", {"host": "nobody.invalid"}, "nobody.invalid"),
    ("unknown host", "smtp", {"host": "nobody.invalid"}, "nobody.invalid"),
    ("missing folder", "imap", {"folder": "Entrada"}, "Entrada"),
]


@pytest.mark.parametrize(("case", "server", "keys", "words"), TROUBLES, ids=[f"{c} {s}" for c, s, _, _ in TROUBLES])
def test_trouble_is_said_in_one_line_everywhere(
    desk: DeskProcess, monkeypatch: pytest.MonkeyPatch, case: str, server: str, keys: dict[str, Any], words: str
) -> None:
    monkeypatch.setenv("WRONG", "no-es-esta")
    opened(desk)
    desk.configure(**{server: {key: value() if callable(value) else value for key, value in keys.items()}})
    write(desk, eml())

    checked = [row for row in desk.json("check", status=1) if row["level"] == "FAIL"]
    assert len(checked) == 1
    assert server in checked[0]["what"]
    assert words in checked[0]["detail"]
    assert "\n" not in checked[0]["detail"]

    once = desk.say("run", "--once", status=1)
    (line,) = [line for line in once.stderr.splitlines() if line.startswith(f"{server}: ")]
    assert words in line

    with desk.running():  # it keeps trying, and says that it is not well
        wait_until(lambda: not desk.json("status", status=None)["healthy"], what="status to say so")
        status = desk.json("status", status=1)
    assert any(server in problem and words in problem for problem in status["problems"]), status
    assert "no-es-esta" not in desk.log + once.stderr + str(checked) + str(status)


def test_a_refused_login_is_not_tried_again_and_again(desk: DeskProcess, authority: Authority) -> None:
    """No lockout: the back-off is kept across restarts, and a changed password is tried at once."""
    right = (desk.directory / "smtp").read_text()
    (desk.directory / "smtp").write_text("wrong")
    opened_at = len(desk.smtp_server.heard)
    write_first = eml()
    desk.say("run", "--once", status=None)
    write(desk, write_first)
    for _ in range(4):
        desk.say("run", "--once", status=1)
    logins = [line for line in desk.smtp_server.heard[opened_at:] if line.startswith("AUTH")]
    assert len(logins) == 1
    (desk.directory / "smtp").write_text(right)
    desk.say("run", "--once")
    assert len(got(desk, CLARA)) == 1


def test_a_renumbered_mailbox_is_read_anew_and_nobody_is_answered_twice(desk: DeskProcess) -> None:
    """The folder is made anew with the same mail in it: another UIDVALIDITY."""
    desk.configure(imap={"folder": "Entrada"})
    with desk.dovecot.client(OFFICE) as client:
        client.create_folder("Entrada")
        opened(desk)
        client.append("Entrada", eml())
        desk.say("run", "--once")
        client.delete_folder("Entrada")
        client.create_folder("Entrada")
        client.append("Entrada", eml())
        desk.say("run", "--once")
        client.append("Entrada", eml(BOTH[1], message_id="<d1@otro.test>"))
        desk.say("run", "--once")
    assert [row["reason"] for row in desk.json("inbox")] == ["opened a case", "duplicate of inbound 1", "opened a case"]
    assert (len(got(desk, CLARA)), len(got(desk, DIEGO))) == (1, 1)
