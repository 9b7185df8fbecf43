"""The service: what its unit promises, and what the real daemon tells the service manager over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import missing
from servers import free_ports, wait_until

from pqr_mailbot import config
from pqr_mailbot.adapters.systemd import notify, watchdog_seconds
from pqr_mailbot.daemon import Daemon
from pqr_mailbot.wiring import Secrets

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "pqr-mailbot.service"
README = (ROOT / "README.md").read_text("utf-8")
SECRETS = {"imap-password": "sólo-imap-lo-sabe", "smtp-password": "sólo-smtp-lo-sabe"}


def directives(text: str) -> dict[str, list[str]]:
    """`Section.Key` -> its values in order; systemd allows a key many times."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


PROMISED = directives(UNIT.read_text("utf-8"))


# -- the unit ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("Unit.StartLimitIntervalSec", ["0"]),
        ("Unit.Wants", ["network-online.target"]),
        ("Service.Type", ["notify"]),
        ("Service.NotifyAccess", ["main"]),
        ("Service.Restart", ["always"]),
        ("Service.KillSignal", ["SIGTERM"]),
        ("Service.StateDirectory", ["pqr-mailbot"]),
        ("Service.StateDirectoryMode", ["0700"]),
        ("Service.UMask", ["0077"]),
        ("Service.LimitCORE", ["0"]),
        ("Service.CapabilityBoundingSet", [""]),
        ("Service.NoNewPrivileges", ["yes"]),
        ("Service.ProtectSystem", ["strict"]),
        ("Service.ProtectHome", ["yes"]),
        ("Service.MemoryDenyWriteExecute", ["yes"]),
        ("Service.SystemCallFilter", ["@system-service", "~@privileged @resources"]),
        ("Install.WantedBy", ["multi-user.target"]),
    ],
)
def test_the_unit_promises(key: str, values: list[str]) -> None:
    assert PROMISED.get(key) == values


def test_nothing_but_the_state_directory_can_be_written() -> None:
    assert not {"Service.ReadWritePaths", "Service.BindPaths", "Service.ConfigurationDirectory"} & set(PROMISED)
    store = config.load(ROOT / "config.example.toml").store.path
    assert store.parent == Path("/var/lib") / PROMISED["Service.StateDirectory"][0]


def test_the_readme_puts_in_place_what_the_unit_runs() -> None:
    program, command = PROMISED["Service.ExecStart"][0].split()
    assert command == "run"
    assert f"python3 -m venv {Path(program).parent.parent} " in README
    assert re.search(rf"useradd --system [^`]* {PROMISED['Service.User'][0]}`", README)


def test_the_passwords_of_the_example_are_the_credentials_of_the_unit() -> None:
    example = config.load(ROOT / "config.example.toml")
    wanted = [table.password.removeprefix("credential:") for table in (example.imap, example.smtp)]
    wanted += re.findall(r'"credential:(oauth-[a-z-]+)"', (ROOT / "config.example.toml").read_text("utf-8"))
    assert len(wanted) == 4
    assert PROMISED["Service.LoadCredential"] == [f"{name}:{config.SYSTEM_CREDENTIALS / name}" for name in wanted]
    assert PROMISED["Service.SetCredential"] == [f"{name}:\\n" for name in wanted], "so that a file may be absent"


@pytest.fixture
def analyze() -> str:
    return shutil.which("systemd-analyze") or missing("systemd-analyze is not installed (apt install systemd)")


def test_systemd_understands_every_line(analyze: str, tmp_path: Path) -> None:
    """Under its own name, with a program that exists here in the place of the installed one."""
    unit = tmp_path / UNIT.name
    program = PROMISED["Service.ExecStart"][0].split()[0]
    unit.write_text(UNIT.read_text("utf-8").replace(program, sys.executable), "utf-8")
    found = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", unit], capture_output=True, text=True
    )
    ours = [line for line in found.stderr.splitlines() if UNIT.name in line]
    assert (found.returncode, ours) == (0, []), found.stderr


def test_the_sandbox_is_tight(analyze: str) -> None:
    """Exposure at most 1.5 of 10: what is left is the network and one user's own files."""
    found = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=15", UNIT], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr


# -- what systemd hands over and hears ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "120000000"}, 60.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}, None),  # another process's, inherited
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_a_sign_of_life_is_due_at_half_the_time(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(environ) == seconds


def test_a_manager_that_does_not_listen_does_no_harm(tmp_path: Path) -> None:
    notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        for _ in range(100):  # more than a socket holds
            notify("WATCHDOG=1", {"NOTIFY_SOCKET": str(tmp_path / "deaf")})
    notify("READY=1", {})


class Manager:
    """The other end of NOTIFY_SOCKET. `name`: a path, or `@…` for the abstract namespace."""

    def __init__(self, name: str) -> None:
        self.name, self.heard = name, list[str]()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            self.heard.append(message.decode())

    def wait_for(self, message: str, times: int = 1) -> None:
        wait_until(lambda: self.heard.count(message) >= times, 30, message)

    def close(self) -> None:
        """Hears what is still on its way."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"", self._socket.getsockname())
        self._listening.join()
        self._socket.close()


@contextmanager
def service(directory: Path, manager: Manager, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """The real daemon as systemd starts it: credentials in a directory, the journal at stderr, servers unreachable."""
    credentials = directory / "credentials"
    credentials.mkdir()
    for name, secret in SECRETS.items():
        (credentials / name).write_text(secret + "\n", "utf-8")
    (directory / "config.toml").write_text(configuration(directory), "utf-8")
    journal = (directory / "journal").open("wb")
    given = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PQR_MAILBOT_CONFIG": str(directory / "config.toml"),
        "CREDENTIALS_DIRECTORY": str(credentials),
        "JOURNAL_STREAM": "{0.st_dev}:{0.st_ino}".format(os.fstat(journal.fileno())),
        "NOTIFY_SOCKET": manager.name,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pqr_mailbot", "run"],
        cwd=directory, env=given | environ, stdin=subprocess.DEVNULL, stderr=journal,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        journal.close()


def configuration(directory: Path) -> str:
    imap_port, smtp_port = free_ports(2)  # nobody listens there
    return f"""
        [office]
        name = "Lohas Beans"
        address = "info@lohas.test"
        [imap]
        host = "127.0.0.1"
        port = {imap_port}
        tls = "none"
        username = "info@lohas.test"
        password = "credential:imap-password"
        [smtp]
        host = "127.0.0.1"
        port = {smtp_port}
        tls = "none"
        username = "info@lohas.test"
        password = "credential:smtp-password"
        [store]
        path = "{directory / "desk.db"}"
        [[agents]]
        address = "ana@lohas.test"
        name = "Ana Ruiz"
    """


@dataclass(frozen=True)
class Life:
    """One life of the service while no mail server can be reached, from its start to SIGTERM."""

    heard: list[str]
    journal: list[str]
    exit_code: int
    healthy: bool


@pytest.fixture(scope="module", params=["path", "abstract"])
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Life:
    directory = tmp_path_factory.mktemp("service")
    manager = Manager(str(directory / "notify") if request.param == "path" else f"@pqr-mailbot-test-{os.getpid()}")
    with service(directory, manager, WATCHDOG_USEC="200000") as process:
        manager.wait_for("READY=1")
        manager.wait_for("WATCHDOG=1", times=3)
        status = subprocess.run(
            [sys.executable, "-m", "pqr_mailbot", "--config", directory / "config.toml", "status", "--json"],
            cwd=directory, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    manager.close()
    journal = (directory / "journal").read_text("utf-8")
    return Life(manager.heard, journal.splitlines(), process.returncode, json.loads(status.stdout)["healthy"])


def test_it_is_ready_and_alive_while_no_server_can_be_reached(life: Life) -> None:
    assert not life.healthy, "the servers of this test must be unreachable"
    assert life.heard[0] == "READY=1"
    assert life.heard.count("READY=1") == 1


def test_it_ends_in_order(life: Life) -> None:
    assert life.heard.count("STOPPING=1") == 1
    assert life.exit_code == 0


def test_systemd_hears_nothing_about_anybody(life: Life) -> None:
    assert set(life.heard) == {"READY=1", "WATCHDOG=1", "STOPPING=1"}


def test_the_journal_gets_levels_and_no_secret(life: Life) -> None:
    assert all(re.match(r"<[3467]>", line) for line in life.journal), life.journal
    assert "<6>pqr_mailbot.daemon: the desk is open" in life.journal
    assert any(line.startswith("<4>") and "imap" in line for line in life.journal), "unreachable: a warning"
    assert not any(word in line for line in life.journal for word in [*SECRETS.values(), "ana@lohas.test", "Ana Ruiz"])


def test_without_a_watchdog_there_are_no_signs_of_life(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    with service(tmp_path, manager, WATCHDOG_USEC="1000", WATCHDOG_PID="1") as process:
        manager.wait_for("READY=1")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    manager.close()
    assert set(manager.heard) == {"READY=1", "STOPPING=1"}


@pytest.mark.parametrize("stuck", ["the store's thread", "the event loop"])
def test_what_is_stuck_gives_no_sign_of_life(stuck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog then ends it and systemd starts it anew."""
    manager = Manager(str(tmp_path / "notify"))
    (tmp_path / "config.toml").write_text(configuration(tmp_path), "utf-8")
    for name, value in {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "100000"}.items():
        monkeypatch.setenv(name, value)
    daemon = Daemon(config.load(tmp_path / "config.toml"), Secrets("", ""))

    counted: list[int] = []

    def alive() -> int:
        return manager.heard.count("WATCHDOG=1")

    async def life() -> None:
        running, gate = asyncio.create_task(daemon.run()), threading.Event()
        await asyncio.to_thread(manager.wait_for, "WATCHDOG=1", 2)
        opening = threading.Timer(0.5, lambda: (counted.append(alive()), gate.set()))
        held = asyncio.create_task(daemon.books.do(lambda _: gate.wait()))
        await asyncio.sleep(0.1)  # a sign under way arrives
        counted.append(alive())
        opening.start()
        if stuck == "the event loop":
            gate.wait()
        while not gate.is_set():
            await asyncio.sleep(0.01)
        assert counted[0] == counted[1]
        await held
        await asyncio.to_thread(manager.wait_for, "WATCHDOG=1", counted[1] + 2)
        daemon.stop()
        await running

    try:
        asyncio.run(life())
    finally:
        daemon.close()
        manager.close()


@pytest.mark.parametrize("mistake", ["a key that is none", "an absent password"])
def test_a_mistake_that_only_a_person_can_mend_is_not_tried_again(mistake: str, tmp_path: Path) -> None:
    """Exit 2 before READY, one line a mistake; the unit restarts everything else."""
    manager = Manager(str(tmp_path / "notify"))
    empty = tmp_path / "empty"  # what SetCredential= gives the program when there is no file
    empty.mkdir()
    for name in SECRETS:
        (empty / name).write_text("\n")
    (tmp_path / "wrong.toml").write_text("[ofice]\n")
    wrong, said = {
        "a key that is none": ({"PQR_MAILBOT_CONFIG": str(tmp_path / "wrong.toml")}, "ofice"),
        "an absent password": ({"CREDENTIALS_DIRECTORY": str(empty)}, "smtp.password: credential:smtp-password: "),
    }[mistake]
    with service(tmp_path, manager, **wrong) as process:
        process.wait(30)
    manager.close()
    journal = (tmp_path / "journal").read_text("utf-8")
    assert [str(process.returncode)] == PROMISED["Service.RestartPreventExitStatus"]
    assert said in journal
    assert "Traceback" not in journal
    assert manager.heard == []
