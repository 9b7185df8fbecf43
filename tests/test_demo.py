"""What a newcomer sees: the story, in one command, with nothing installed beside the package."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from bench import eml
from imapclient import IMAPClient
from servers import wait_until

COMMAND = [sys.executable, "-m", "pqr_mailbot"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The demo's words, and the folder it kept."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    done = subprocess.run([*COMMAND, "demo", "--keep", str(folder)], capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stderr) == (0, "")
    yield done.stdout, folder


@pytest.mark.parametrize(
    "line",
    [
        "Clara gets, .* the acknowledgement: .PQR-2026-000001. Café vencido",
        "Bruno gets, .* the acknowledgement: .PQR-2026-000002. Precios al por mayor",
        "a más tardar el miércoles 24 de junio de 2026",
        "lunes 8 de junio de 2026: Corpus Christi",
        "The desk set it aside and answered nobody",
        "RETENIDO: no se envió nada y nada cambió",
        "Quiso decir #resolver",
        "Clara: hoy le devolvimos el dinero",
        "Clara's case is resolved",
        "PQR-2026-000001  reclamo     resolved",
        "PQR-2026-000001  reclamo     closed",
        "bruno@tienda.example gets: .PQR-2026-000002. Precios al por mayor",
        "luis@lohasbeans.example gets: Recordatorio de 2 casos",
        "PQR-2026-000002  .* due 2026-06-24  7 business days left",
        "PQR-2026-000002  .* due 2026-06-24  due today",
        "PQR-2026-000002  .* due 2026-06-24  OVERDUE by 1",
    ],
)
def test_the_story(told: tuple[str, Path], line: str) -> None:
    assert re.search(line, told[0])


def test_what_is_told_is_what_happened(told: tuple[str, Path]) -> None:
    _, folder = told
    mails = sorted((folder / "mail").iterdir())
    to = [mail.name[3:].partition("@")[0] for mail in mails]
    assert to.count("clara") == 4  # acknowledged, answered, asked, closed
    shown = subprocess.run(
        [*COMMAND, "--config", str(folder / "config.toml"), "tickets", "--json"], capture_output=True, text=True
    )
    tickets = json.loads(shown.stdout)
    assert [ticket["reference"] for ticket in tickets] == [f"PQR-2026-00000{n}" for n in (1, 2, 3)]
    assert {ticket["due_on"] for ticket in tickets} == {"2026-06-24"}
    assert all(ticket["acknowledged_at"] for ticket in tickets)


def test_no_colour_into_a_pipe(told: tuple[str, Path]) -> None:
    assert "\x1b" not in told[0]


def test_colour_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen([*COMMAND, "demo"], stdout=theirs, stderr=theirs, stdin=theirs)
        os.close(theirs)
        seen = b""
        while piece := _read(terminal.fileno()):
            seen += piece
        assert process.wait(30) == 0
    assert b"\x1b[" in seen
    assert b"That was the desk" in seen


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end of a terminal is closed
        return b""


def test_nothing_of_ours_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep me")
    done = subprocess.run([*COMMAND, "demo", "--keep", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_without_the_extra_it_says_what_to_install() -> None:
    without = "import sys; sys.modules['pymap'] = None; from pqr_mailbot.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", without, "demo"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "pqr-mailbot[demo]" in done.stderr


def test_a_real_mail_client_can_use_it(tmp_path: Path) -> None:
    """`--serve` stays up until Ctrl+C."""
    said = tmp_path / "said"
    with said.open("wb") as out:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen([*COMMAND, "demo", "--serve"], stdout=out, env=environment)
    try:
        wait_until(lambda: "Ctrl+C" in said.read_text("utf-8"), 60, "the demo to serve")
        ports = re.search(r"IMAP 127.0.0.1 port (\d+), SMTP 127.0.0.1 port (\d+)", said.read_text("utf-8"))
        assert ports
        client = IMAPClient("127.0.0.1", int(ports[1]), ssl=False)
        with closing(client.socket()):
            client.login("diego@otro.example", "demo")
            before = client.select_folder("INBOX")[b"EXISTS"]
            with smtplib.SMTP("127.0.0.1", int(ports[2])) as server:
                server.sendmail("diego@otro.example", ["info@lohasbeans.example"], eml("Diego <diego@otro.example>"))
            wait_until(lambda: client.select_folder("INBOX")[b"EXISTS"] > before, what="the acknowledgement")
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(20)
    assert status == 0
