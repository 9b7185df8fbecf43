"""Silence is a fault: every trouble is told once and its end once, whatever flaps, restarts or cannot be written."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, eml
from desk_process import OFFICE_TABLES
from hypothesis import given
from hypothesis import strategies as st
from office import BOGOTA, DESK, NOW, POLICY

from pqr_mailbot import config, plain
from pqr_mailbot.adapters.alarm_command import AlarmCommand
from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.sqlite_health import look
from pqr_mailbot.adapters.sqlite_store import Store, StoreProblem, only_daemon
from pqr_mailbot.adapters.sqlite_views import Views
from pqr_mailbot.daemon import Daemon
from pqr_mailbot.domain.alarms import AGAIN, Alarm, Sighting, turn
from pqr_mailbot.domain.health import Expected, Problem, Seen, Server, problems
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.clock import ClockRound
from pqr_mailbot.flows.heartbeat import Heartbeat
from pqr_mailbot.flows.providers import Standing
from pqr_mailbot.flows.watch_health import HealthWatch
from pqr_mailbot.flows.weather import weather_in
from pqr_mailbot.wiring import Secrets

MINUTE = timedelta(minutes=1)
HOURLY = Expected(heartbeat=60 * MINUTE)
FETCHED = Seen(last_fetch_at=NOW - MINUTE)
DOWN = Server("smtp", "smtp.test:587: connection refused", NOW - 2 * MINUTE, refused=False)
REFUSED = replace(DOWN, refused=True, problem="smtp.test:587: the login was refused")
NO_TOKEN = replace(REFUSED, name="oauth2", problem="login.test:443: access refused")
DEAF = replace(DOWN, name="imap", problem="imap.test:993: no answer in time")


def ago(minutes: float) -> datetime:
    return NOW - minutes * MINUTE


# -- what is wrong -------------------------------------------------------------------------------------------------

WRONG: list[tuple[str, Seen, Expected, list[tuple[str, float | None]]]] = [
    # what; what is seen; what is expected; the problems with the minutes after which they are an alarm
    ("all is well", FETCHED, HOURLY, []),
    ("a server is out of reach", replace(FETCHED, servers=(DOWN,)), HOURLY, [("smtp", 5)]),
    ("a login is refused", replace(FETCHED, servers=(REFUSED,)), HOURLY, [("smtp", 0)]),
    ("both servers", Seen(servers=(DEAF, DOWN)), HOURLY, [("imap", 5), ("smtp", 5)]),
    ("a dead token", Seen(servers=(NO_TOKEN, DEAF)), HOURLY, [("oauth2", 0), ("imap", 5)]),
    ("a dead token, told once", Seen(servers=(replace(NO_TOKEN, name="imap"), NO_TOKEN)), HOURLY, [("oauth2", 0)]),
    (
        "a dead token, then another answer",
        Seen(servers=(replace(NO_TOKEN, name="imap", problem="login.test:443: no answer in time"), NO_TOKEN)),
        HOURLY,
        [("oauth2", 0)],
    ),
    ("never fetched", Seen(), HOURLY, [("fetch", 5)]),
    ("silence", Seen(last_fetch_at=ago(5.1)), HOURLY, [("fetch", 1)]),
    ("no silence yet", Seen(last_fetch_at=ago(4.9)), HOURLY, []),
    ("polled seldom", Seen(last_fetch_at=ago(29)), Expected(10 * MINUTE), []),
    ("polled seldom, silent", Seen(last_fetch_at=ago(31)), Expected(10 * MINUTE), [("fetch", 1)]),
    ("a mail that failed", replace(FETCHED, failed_mails=1), HOURLY, [("failed_mails", 0)]),
    ("uncertain", replace(FETCHED, uncertain=2), HOURLY, [("uncertain_letters", 5)]),
    ("dead, its owner heard of it", replace(FETCHED, dead=1), HOURLY, [("dead_letters", None)]),
    ("dead, nobody heard of it", replace(FETCHED, dead=2, untold=1), HOURLY, [("dead_letters", 0)]),
    ("alarms get nowhere", replace(FETCHED, alarm_letters=1), HOURLY, [("alarm_letters", 0)]),
    ("old mail shown again", replace(FETCHED, rescans=3), HOURLY, [("rescans", 0)]),
    ("a letter nobody tried", replace(FETCHED, late=1, untried=1), HOURLY, [("queue", 5)]),
    ("a full mailbox somewhere", replace(FETCHED, late=1), HOURLY, []),
    ("a full mailbox for hours", replace(FETCHED, late=1, put_off=1), HOURLY, [("put_off", 0)]),
    ("our own server says later", replace(FETCHED, late=3, moving=False), HOURLY, [("queue", 5)]),
    ("three slow ones, others go", replace(FETCHED, late=3), HOURLY, []),
    ("the queue waits for the server", replace(FETCHED, servers=(DOWN,), late=9, untried=9), HOURLY, [("smtp", 5)]),
    ("the probe is lost", replace(FETCHED, probe_missing_since=ago(11)), HOURLY, [("heartbeat", 1)]),
    ("no probes wanted", replace(FETCHED, probe_missing_since=ago(11)), Expected(), []),
    ("no probe without a mailbox", Seen((DEAF,), probe_missing_since=ago(11)), HOURLY, [("imap", 5)]),
    ("folders", replace(FETCHED, move_problem="a", sent_problem="b"), HOURLY, [("move_to", 5), ("sent_folder", 5)]),
    ("restored", replace(FETCHED, held="restored from a backup"), HOURLY, [("restored", 0)]),
    (
        "held, so letters and probes wait",
        replace(FETCHED, held="x", late=1, untried=1, put_off=1, probe_missing_since=ago(11)),
        HOURLY,
        [("restored", 0)],
    ),
    ("mail without a row", replace(FETCHED, missing="1 mail on the server"), HOURLY, [("missing_mail", 0)]),
    ("no patience", Seen(servers=(DOWN,)), Expected(patience=timedelta()), [("smtp", 0), ("fetch", 0)]),
]


@pytest.mark.parametrize(("seen", "expected", "named"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong(seen: Seen, expected: Expected, named: list[tuple[str, float | None]]) -> None:
    found = problems(seen, expected, BOGOTA, NOW)
    minutes = {one.name: one.patience if one.patience is None else one.patience / MINUTE for one in found}
    assert list(minutes.items()) == named
    assert all(one.text and one.said and "\n" not in one.text + one.said for one in found)


def test_it_is_said_with_the_hour() -> None:
    (problem,) = problems(replace(FETCHED, servers=(DOWN,)), HOURLY, BOGOTA, NOW)
    assert problem.text == "smtp: smtp.test:587: connection refused (since 2026-06-01T10:40:00-05:00)"
    assert "(desde las 10:40 del 1 de junio)" in problem.said


# -- which alarms begin and end ------------------------------------------------------------------------------------


class Told:
    """A watch that looks at given moments and keeps what it told; `restart` forgets all but what is in the store."""

    def __init__(self, well_for: timedelta = 5 * MINUTE) -> None:
        self.open: tuple[Alarm, ...] = ()
        self.sightings: Mapping[str, Sighting] = {}
        self.well_for = well_for
        self.said: list[str] = []

    def look(self, now: datetime, *wrong: Problem) -> list[str]:
        this = turn(wrong, self.open, self.sightings, self.well_for, now)
        self.open, self.sightings = this.open, this.sightings
        said = [f"+{one.name}" for one in this.begun] + [f"-{one.name}" for one in this.ended]
        self.said += said
        return said

    def restart(self) -> None:
        self.sightings = {}


def problem(name: str, minutes: float | None = 5, count: int = 0) -> Problem:
    return Problem(name, name, name, None if minutes is None else minutes * MINUTE, count)


IMAP, SMTP, LOGIN = problem("imap"), problem("smtp"), problem("login", 0)
STORIES: list[tuple[str, list[tuple[float, list[Problem], list[str]]]]] = [
    # what; at which minute what is wrong and what is told then
    ("a blip", [(0, [SMTP], []), (4, [SMTP], []), (5, [], [])]),
    ("an outage", [(0, [SMTP], []), (5, [SMTP], ["+smtp"]), (90, [SMTP], []), (91, [], []), (96, [], ["-smtp"])]),
    ("at once", [(0, [LOGIN], ["+login"]), (1, [LOGIN], []), (2, [], []), (7, [], ["-login"]), (8, [], [])]),
    ("two troubles, one letter", [(0, [IMAP], []), (2, [IMAP, SMTP], []), (5, [IMAP, SMTP], ["+imap", "+smtp"]),
                                  (6, [SMTP], []), (8, [], []), (12, [], []), (13, [], ["-imap", "-smtp"])]),
    ("one mends, one does not", [(0, [LOGIN, SMTP], ["+login"]), (5, [LOGIN, SMTP], ["+smtp"]), (6, [SMTP], []),
                                 (11, [SMTP], ["-login"]), (30, [SMTP], [])]),
    ("flaps after the alarm", [(0, [LOGIN], ["+login"]), *((n, [LOGIN] * (n % 4 == 0), []) for n in range(1, 40)),
                               (42, [], ["-login"])]),
    ("flaps before it", [(0, [SMTP], []), (1, [], []), (3, [SMTP], []), (4, [], []), (6, [SMTP], ["+smtp"])]),
    ("seldom enough", [(0, [SMTP], []), (1, [], []), (7, [SMTP], []), (8, [], []), (14, [SMTP], [])]),
    ("somebody was told otherwise", [(0, [problem("dead", None)], []), (99, [problem("dead", None)], [])]),
    ("another failed mail", [(0, [problem("f", 0, 1)], ["+f"]), (1, [problem("f", 0, 2)], []),
                             (60, [problem("f", 0, 2)], ["+f"]), (200, [problem("f", 0, 2)], [])]),
    ("one retried, another failed", [(0, [problem("f", 0, 2)], ["+f"]), (1, [problem("f", 0, 1)], []),
                                     (61, [problem("f", 0, 2)], ["+f"])]),
    ("the clock went back", [(0, [LOGIN], ["+login"]), (-500, [LOGIN], []), (-499, [], []), (-494, [], ["-login"])]),
]  # fmt: skip


@pytest.mark.parametrize("story", [row[1] for row in STORIES], ids=[row[0] for row in STORIES])
def test_each_is_told_once(story: list[tuple[float, list[Problem], list[str]]]) -> None:
    told = Told()
    for minute, wrong, said in story:
        assert told.look(NOW + minute * MINUTE, *wrong) == said, minute


NAMES = {"imap": 5.0, "smtp": 5.0, "login": 0.0, "store": 1.0}
LOOKS = st.lists(
    st.tuples(st.integers(1, 400), st.sets(st.sampled_from(sorted(NAMES))), st.sampled_from([False, False, True])),
    max_size=60,
)


@given(LOOKS)
def test_an_episode_is_one_alarm_and_at_most_one_all_clear(looks: list[tuple[int, set[str], bool]]) -> None:
    """Whatever is observed, flaps, or is started anew: alarm and all-clear take turns, an alarm speaks of what is wrong
    then, an all-clear of what was well at every look for long; nothing stays untold, and nothing stays open."""
    told, now, seen_at = Told(), NOW, dict[str, datetime]()
    for seconds, names, restart in looks:
        now += timedelta(seconds=seconds)
        if restart:
            told.restart()
        said = told.look(now, *(problem(name, NAMES[name]) for name in names))
        seen_at |= dict.fromkeys(names, now)
        assert {one[1:] for one in said if one[0] == "+"} <= names
        assert all(now - seen_at[one[1:]] >= told.well_for for one in said if one[0] == "-")
        assert "login" not in names or "login" in {one.name for one in told.open}
    for name in NAMES:
        mine = [one[0] for one in told.said if one[1:] == name]
        assert mine == (["+", "-"] * len(mine))[: len(mine)]
    for _ in range(7):
        now += MINUTE
        told.look(now, *(problem(name, NAMES[name]) for name in NAMES))
    assert {one.name for one in told.open} == set(NAMES)
    told.look(now + MINUTE)
    told.look(now + 6 * MINUTE)
    assert not told.open


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 5)), max_size=40))
def test_more_of_the_same_is_told_at_most_once_an_hour(looks: list[tuple[int, int]]) -> None:
    told, now, told_at = Told(), NOW, list[datetime]()
    for seconds, count in looks:
        now += timedelta(seconds=seconds)
        said = told.look(now, *([problem("f", 0, count)] if count else []))
        if said == ["-f"]:
            told_at.clear()
        elif said:
            assert not told_at or now - told_at[-1] >= AGAIN
            told_at.append(now)


# -- the watch on a real store -------------------------------------------------------------------------------------


class Watched:
    """The health of a bench's store, watched by a program that may be started anew."""

    def __init__(self, path: Path, patience: timedelta = 5 * MINUTE, heartbeat: timedelta | None = None) -> None:
        self.path, self.expected, self.now = path, Expected(patience=patience, heartbeat=heartbeat), NOW
        self.desk = replace(DESK, policy=replace(POLICY, expected=self.expected))
        self.script, self.calls = path.with_name("told.py"), path.with_name("calls")
        self.script.write_text(
            "import json, os, sys\n"
            f"with open({str(self.calls)!r}, 'a') as f:\n"
            "    said = [os.environ['PQR_ALARM'], os.environ['PQR_ALARM_NAMES'], sys.stdin.read()]\n"
            "    f.write(json.dumps(said) + '\\n')"
        )
        self.start()

    def start(self) -> None:
        self.locked = ExitStack()
        lock = self.locked.enter_context(only_daemon(self.path))
        self.books = Books(lambda: Store.open(self.path, self.now), lock.write)
        lock.write("")
        self.bench = self.books.do_now(self._bench)
        command = AlarmCommand((sys.executable, "-I", "-S", str(self.script)))
        self.watch = HealthWatch(
            self.books, lambda _: self.bench.handler, command, self.expected, lambda: self.now, lock
        )

    def _bench(self, store: Store) -> Bench:
        """On the books' own connection."""
        bench = Bench(self.path, self.desk)
        bench.close()
        bench.store = store
        bench.handler = replace(bench.handler, store=store)
        return bench

    def look(self, minutes: float = 0) -> None:
        self.now += minutes * MINUTE
        asyncio.run(self.watch.look())

    def do(self, work: Callable[[Bench], Any]) -> Any:
        def within(store: Store) -> Any:
            with store.transaction():
                return work(self.bench)

        return self.books.do_now(within)

    def read(self, work: Callable[[Bench], Any]) -> Any:
        return self.books.do_now(lambda _: work(self.bench))

    @property
    def commands(self) -> list[tuple[str, str]]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [tuple(json.loads(line)[:2]) for line in lines]

    @property
    def letters(self) -> list[str]:
        return self.read(lambda bench: [f"{one.name}>{one.to}" for one in bench.letters()])

    @property
    def states(self) -> list[tuple[str, str, str | None]]:
        sql = "SELECT letter, state, error FROM outbox WHERE about = 'health' ORDER BY id"
        return self.read(lambda bench: [tuple(row.values()) for row in bench.rows(sql)])

    def status(self) -> dict[str, Any]:
        views = Views(self.path, BOGOTA, DESK.calendar)
        try:
            return views.status(self.now, self.expected)
        finally:
            views.close()

    def fetched(self) -> None:
        """A fetch that succeeded just now, if it can be noted."""
        try:
            self.do(lambda bench: bench.store.store_mail("INBOX", bench.store.cursor("INBOX"), [], 0, self.now))
        except sqlite3.OperationalError as error:
            self.books.weather.bad("mailbox", weather_in(error) or "")
        else:
            self.books.weather.good("mailbox")

    def fails(self, name: str, kind: str = "unreachable") -> None:
        trouble = Trouble(kind, f"{name}.test:1: connection refused")  # type: ignore[arg-type]
        self.do(lambda bench: Standing(name, "mark").failed(bench.store, trouble, self.now))  # type: ignore[arg-type]

    def mends(self, name: str) -> None:
        self.do(lambda bench: Standing(name, "mark").well(bench.store, self.now))  # type: ignore[arg-type]

    def close(self) -> None:
        self.books.close()
        self.locked.close()

    def restart(self) -> None:
        self.close()
        self.start()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    one = Watched(tmp_path / "desk.db")
    one.fetched()
    yield one
    one.close()


def test_an_outage_is_told_once_and_its_end_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.fails("imap", "login")
    watched.look()
    watched.restart()
    watched.look(1)
    assert watched.commands == [("alarm", "imap")]
    assert watched.letters == ["alarm>sistemas@lohas.test"]
    assert watched.status()["alarms"] == ["imap"]
    assert "  told of     imap" in plain.status(watched.status()).splitlines()
    assert [row.levelname for row in caplog.records if row.message.startswith("alarm: imap: imap.test:1")] == ["ERROR"]
    watched.mends("imap")
    watched.fetched()
    watched.look(1)
    watched.restart()
    watched.fetched()
    watched.look(4)
    assert watched.commands == [("alarm", "imap")]
    watched.fetched()
    watched.look(1)
    watched.look()
    assert watched.commands == [("alarm", "imap"), ("all_clear", "imap")]
    assert watched.letters[-1:] == ["all_clear>sistemas@lohas.test"]
    assert (watched.status()["alarms"], watched.status()["healthy"]) == ([], True)
    assert [row.message for row in caplog.records if row.message.startswith("all clear: imap")]


def test_a_token_that_is_there_again_is_the_end_of_all_its_trouble(watched: Watched) -> None:
    """SMTP was tried in vain for the alarm's letter, which has no reason to go any more: nothing is tried now."""
    dead = Trouble("login", "login.test:443: access refused")

    def mends(bench: Bench) -> None:
        bench.store.providers_freed("oauth2")
        Standing("oauth2", "mark").well(bench.store, watched.now)

    for name in ("oauth2", "smtp"):
        watched.do(lambda bench, name=name: Standing(name, "mark").failed(bench.store, dead, watched.now))
    watched.look()
    watched.do(mends)
    for _ in range(12):
        watched.now += MINUTE
        watched.fetched()
        watched.look()
    assert watched.commands == [("alarm", "oauth2"), ("all_clear", "oauth2")]
    assert watched.status()["healthy"]


def test_status_and_the_alarms_name_the_same(watched: Watched) -> None:
    failed = watched.read(lambda bench: bench.post(eml()))
    watched.do(lambda bench: bench.store.fail_inbound(failed, "boom"))
    watched.look()
    (said,) = (json.loads(line)[2] for line in watched.calls.read_text().splitlines())
    assert said.splitlines() == watched.status()["problems"] == ["1 mail could not be handled (`inbox --state failed`)"]


def decided(watched: Watched) -> list[str]:
    """The letters that would go now."""

    def claim(bench: Bench) -> list[str]:
        claimed = bench.store.claim_letters(watched.now, 10)
        return [one.letter for one in ClockRound(bench.handler).decided_again(claimed, watched.now)]

    return watched.do(claim)


def test_a_stale_alarm_never_goes(watched: Watched) -> None:
    """The server that failed takes letters again: what it could not be told then, the all-clear tells."""
    watched.fails("smtp", "login")
    watched.look()
    watched.mends("smtp")
    assert decided(watched) == []
    watched.look()
    watched.fetched()
    watched.look(5)
    assert watched.states == [("alarm", "dead", "superseded"), ("all_clear", "queued", None)]
    assert decided(watched) == ["all_clear"]
    assert watched.status()["problems"] == []


def test_an_alarm_goes_while_it_is_true_at_any_hour(watched: Watched) -> None:
    watched.now = NOW.replace(hour=7)  # two at night in Bogotá
    watched.fails("imap", "login")
    watched.look()
    assert decided(watched) == ["alarm"]


def test_an_alarm_that_was_put_off_is_overtaken_by_its_end(watched: Watched) -> None:
    watched.fails("imap", "login")
    watched.look()
    watched.do(lambda bench: bench.store.letter_back(*bench.store.claim_letters(watched.now, 1), watched.now, "451"))
    watched.mends("imap")
    watched.look()
    watched.fetched()
    watched.look(5)
    assert watched.states == [("alarm", "dead", "superseded"), ("all_clear", "queued", None)]


@pytest.mark.parametrize("restart", ["no restart", "in the middle of it", "when it is over"])
def test_a_store_that_cannot_be_written_is_told_from_memory(
    watched: Watched, restart: str, caplog: pytest.LogCaptureFixture
) -> None:
    def writable(yes: bool) -> None:
        watched.read(lambda bench: bench.store.db.conn.execute(f"PRAGMA query_only = {'OFF' if yes else 'ON'}"))

    writable(False)
    for minutes in (0, 0.5, 0.5, 1, 30):
        watched.fetched()
        watched.look(minutes)
        assert sum("read-only" in problem for problem in watched.status()["problems"]) == 1
    assert watched.commands == [("alarm", "store")]
    assert len(caplog.records) == 1
    if restart == "in the middle of it":
        watched.restart()
        writable(False)
        watched.look(1)
        assert watched.commands == [("alarm", "store")]
    writable(True)
    watched.fetched()
    watched.look(0.1)
    assert watched.status()["alarms"] == ["store"]
    assert not watched.status()["healthy"]
    if restart == "when it is over":
        watched.restart()
    watched.look(4)
    watched.fetched()
    watched.look(1)
    assert watched.commands == [("alarm", "store"), ("all_clear", "store")]
    assert watched.letters == ["all_clear>sistemas@lohas.test"]
    assert watched.status()["healthy"]


def test_a_letter_that_waits_for_its_hours_is_not_stuck(watched: Watched) -> None:
    inbound = watched.read(lambda bench: bench.take(eml()))
    assert inbound["state"] == "done"

    def put_off(bench: Bench) -> None:
        for letter in bench.store.claim_letters(watched.now, 10):
            bench.store.letter_back(letter, NOW + 600 * MINUTE, "waits for its hours", counts=False)

    watched.do(put_off)
    watched.now += 60 * MINUTE
    watched.fetched()
    assert watched.status()["problems"] == []
    watched.now += 660 * MINUTE
    watched.fetched()
    assert watched.status()["problems"] == ["2 letters in the queue for more than 10 minutes"]


def test_a_store_that_cannot_be_opened_is_told_once_however_often_it_is_tried(tmp_path: Path) -> None:
    told = tmp_path / "told"
    path = tmp_path / "config.toml"
    keys = f"patience_minutes = 0\nalarm_command = \"sh -c 'cat >> {told}'\"\n"
    words = f'[store]\npath = "desk.db"\n[admin]\n{keys}'
    servers = '[imap]\nhost = "127.0.0.1"\nusername = "x"\npassword = "env:X"\n[smtp]\nhost = "127.0.0.1"\n'
    path.write_text(OFFICE_TABLES + servers + words)
    settings = config.load(path)
    (tmp_path / "desk.db").write_bytes(b"no store at all")
    for _ in range(3):
        with pytest.raises(StoreProblem):
            Daemon(settings, Secrets("", ""), lambda: NOW)
    assert told.read_text() == f"store: {tmp_path}/desk.db: is no SQLite file, expected a store or nothing\n"
    (tmp_path / "desk.db").unlink()
    daemon = Daemon(settings, Secrets("", ""), lambda: NOW)
    try:
        asyncio.run(daemon.health.look())
    finally:
        daemon.close()
    assert told.read_text().splitlines()[1:] == [
        "no successful fetch yet",
        "store: it could not be used",
    ]
    assert (tmp_path / "desk.db.lock").read_bytes()[:1] == b"-"


def test_a_dead_letter_that_nobody_heard_of_is_an_alarm_and_alarms_make_no_loop(watched: Watched) -> None:
    def refuse_all(bench: Bench) -> None:
        for one in bench.store.claim_letters(watched.now, 10):
            bench.store.letter_stopped(one, "dead", "550 no", "RCPT: 550 no")

    watched.do(lambda bench: bench.work())
    watched.fails("imap", "login")
    watched.look()
    for _ in range(5):
        watched.do(refuse_all)
        watched.look(61)
    assert watched.commands[0] == ("alarm", "imap")
    assert [names for _, names in watched.commands].count("alarm_letters") == 1
    assert len(watched.letters) == 2


def test_the_letter_reads_well(watched: Watched) -> None:
    watched.fails("imap", "login")
    watched.fails("smtp", "login")
    watched.look()
    (letter,) = watched.read(lambda bench: bench.letters("alarm"))
    assert letter.mail["Subject"] == "Alarma: No se puede leer el buzón (y 1 más)"
    assert letter.mail["Auto-Submitted"] == "auto-generated"
    words = " ".join(letter.text.split())
    assert "Hay 2 problemas:" in words
    assert "No se puede enviar correo: nadie recibe nuestras cartas, que esperan (desde las 10:42" in words


def test_a_look_reads_no_years_of_mail(watched: Watched) -> None:
    """Every query of a look goes by an index, or reads a table of a few rows."""

    def plans(bench: Bench) -> list[str]:
        def explained(sql: str, *values: object) -> list[dict[str, Any]]:
            found.extend(row["detail"] for row in bench.store._all(f"EXPLAIN QUERY PLAN {sql}", *values))
            return bench.store._all(sql, *values)

        found: list[str] = []
        look(explained, watched.now)
        return found

    narrow = ("outbox_amiss", "outbox_waiting", "outbox_sent", "inbound_rescan", "COVERING INDEX inbound_state")
    of_mail = [one for one in watched.read(plans) if " inbound " in one or " outbox " in one]
    assert len(of_mail) >= 5
    assert not [
        one for one in of_mail if "INTEGER PRIMARY KEY (rowid=?)" not in one and not any(n in one for n in narrow)
    ]


# -- the command ---------------------------------------------------------------------------------------------------


def run(command: AlarmCommand, **environ: str) -> bool:
    return asyncio.run(command.run("alarm", ["imap", "smtp"], "imap: zu\n", {**os.environ, **environ}))


def program(directory: Path, words: str) -> tuple[str, ...]:
    path = directory / "program"
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o700)
    return (str(path), "a b", "$(touch no)")


def test_the_command_is_told_by_stdin_and_environment_without_a_shell(tmp_path: Path) -> None:
    words = f'(printf "%s|" "$PQR_ALARM" "$PQR_ALARM_NAMES" "$1" "$2"; cat; env) > {tmp_path}/said'
    assert run(AlarmCommand(program(tmp_path, words)), PQR_SECRET="x", NOTIFY_SOCKET="@x")
    said = (tmp_path / "said").read_text()
    assert said.startswith("alarm|imap smtp|a b|$(touch no)|imap: zu\n")
    assert "PQR_SECRET" not in said and "NOTIFY_SOCKET" not in said


FAILURES = [  # what the program does, what the log says
    ("echo secreto >&2; echo secreto; exit 3", "admin.alarm_command ended with exit status 3"),
    ("sleep 600 & echo $! > pid; wait", "admin.alarm_command did not end within 0 seconds and was killed"),
]


@pytest.mark.parametrize(("words", "logged"), FAILURES)
def test_a_command_that_fails_is_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, words: str, logged: str
) -> None:
    assert not run(AlarmCommand(program(tmp_path, f"cd {tmp_path}; {words}"), seconds=0.3))
    assert [row.message for row in caplog.records if row.name.startswith("pqr_mailbot")] == [logged]
    if "pid" in words:
        state = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
        assert not state.exists() or state.read_text().split()[2] == "Z", "its children too"


@pytest.mark.parametrize("words", [("/nowhere/at/all",), ("/etc/passwd",), ("/",), ("a\0b",)])
def test_a_command_that_cannot_be_started(words: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    assert not run(AlarmCommand(words))
    assert "admin.alarm_command could not be started" in caplog.text


def test_a_command_that_reads_nothing(tmp_path: Path) -> None:
    command = AlarmCommand(program(tmp_path, "exec <&-; exit 0"))
    assert asyncio.run(command.run("alarm", ["imap"], "x" * 1_000_000))


# -- the heartbeat -------------------------------------------------------------------------------------------------


@pytest.fixture
def beating(tmp_path: Path) -> Iterator[Watched]:
    one = Watched(tmp_path / "desk.db", heartbeat=60 * MINUTE)
    one.fetched()
    yield one
    one.close()


def beat(one: Watched) -> bool:
    return bool(one.read(lambda bench: Heartbeat(bench.handler).beat(one.now)))


def probes(one: Watched) -> list[bytes]:
    return [letter.raw for letter in one.read(lambda bench: bench.letters("heartbeat"))]


def go(one: Watched) -> None:
    """The server takes what waits."""

    def sent(bench: Bench) -> None:
        for letter in bench.store.claim_letters(one.now, 10):
            bench.store.letter_sent(letter, "250 ok", one.now)

    one.do(sent)


def comes(one: Watched, raw: bytes) -> dict[str, Any]:
    return one.read(lambda bench: bench.take(raw, one.now))  # type: ignore[no-any-return]


def test_a_probe_goes_out_hourly_and_one_at_a_time(beating: Watched) -> None:
    assert (beat(beating), beat(beating)) == (True, False)
    beating.now += 200 * MINUTE
    assert not beat(beating), "the first still waits to leave"
    go(beating)
    assert (beat(beating), beat(beating)) == (True, False)
    beating.restart()
    assert not beat(beating)
    assert len(probes(beating)) == 2


def test_a_probe_that_comes_back_is_no_case_and_no_letter(beating: Watched) -> None:
    beat(beating)
    go(beating)
    (probe,) = probes(beating)
    beating.now += MINUTE
    closed = comes(beating, b"Received: by mx.test; Mon, 01 Jun 2026 10:43:00 -0500\r\n" + probe)
    assert (closed["state"], closed["verdict"], closed["reason"]) == (
        "set_aside", "own", "heartbeat: the probe came back",
    )  # fmt: skip
    assert beating.letters == ["heartbeat>info@lohas.test"]
    assert beating.read(lambda bench: bench.tickets()) == []
    assert beating.status()["heartbeat_at"] == "2026-06-01T10:43:00-05:00"
    beating.fetched()
    beating.now += 30 * MINUTE
    beating.fetched()
    assert beating.status()["healthy"]


def test_a_probe_that_does_not_come_back_is_an_alarm_until_one_does(beating: Watched) -> None:
    beat(beating)
    go(beating)
    for minutes in (9, 3, 1, 1):
        beating.fetched()
        beating.look(minutes)
    assert beating.commands == [("alarm", "heartbeat")]
    assert beating.status()["problems"] == ["heartbeat: the probe sent at 2026-06-01T10:42:00-05:00 is not back"]
    beating.now += 60 * MINUTE
    beat(beating)
    go(beating)
    comes(beating, probes(beating)[-1])
    for minutes in (0, 5):
        beating.now += minutes * MINUTE
        beating.fetched()
        beating.look()
    assert beating.commands == [("alarm", "heartbeat"), ("all_clear", "heartbeat")]


@pytest.mark.parametrize("case", ["forged", "shown again", "from the Sent folder", "an older desk's"])
def test_only_the_probe_that_is_awaited_proves_anything(beating: Watched, case: str) -> None:
    beat(beating)
    go(beating)
    (probe,) = probes(beating)
    token = probe.partition(b"X-PQR-Letter: ")[2].split()[0]
    if case == "forged":
        closed = comes(beating, probe.replace(token, token[:-1] + (b"a" if token[-1:] != b"a" else b"b")))
    elif case == "shown again":
        comes(beating, probe)
        beating.do(lambda bench: bench.store._run("UPDATE heartbeat SET back_at = NULL WHERE 0"))
        before = beating.status()["heartbeat_at"]
        beating.now += 5 * MINUTE
        closed = comes(beating, probe)
        assert beating.status()["heartbeat_at"] == before
    elif case == "from the Sent folder":
        closed = beating.read(lambda bench: bench.sent(probe))
    else:
        closed = comes(beating, eml("info@lohas.test", X_PQR_Letter="abcdefghijklm.abcdefghijklmnop"))
    assert closed["verdict"] == "own"
    assert "came back" not in closed["reason"]
    assert case == "shown again" or beating.status()["heartbeat_at"] is None
    assert beating.letters == ["heartbeat>info@lohas.test"]
