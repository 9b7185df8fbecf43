"""The desk killed in the middle of its days, between a real Dovecot and a real SMTP server: nothing is lost, and
nothing goes twice without a reason. A sample; `benchmarks/faults.py` kills it everywhere."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from crashes import WIDTH, Calm
from invariants import Tally, audit
from servers import Authority, Dovecot, Received
from workdays import VARIANTS, Site


@pytest.fixture(scope="module")
def site(authority: Authority, dovecot: Dovecot) -> Site:
    return Site(authority, dovecot)


@pytest.fixture(scope="module")
def calm(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    return Calm(site, VARIANTS[0], tmp_path_factory.mktemp("calm"))


SAMPLE = (0.1, 0.5, 0.9)  # of the story's steps: each death is at another moment or round


def test_killed_before_a_step_it_loses_nothing(calm: Calm) -> None:
    total = Tally()
    for share in SAMPLE:
        total += calm.killed_at(int(share * len(calm.steps)))
    assert total.broken == []
    assert (total.tried, total.lost, total.unexplained) == (len(SAMPLE), 0, 0)


def test_killed_again_while_it_recovers(calm: Calm) -> None:
    tally = calm.killed_at(calm.steps.index("sqlite BEGIN IMMEDIATE") + 200, again_after=90)
    assert (tally.broken, tally.good) == ([], True)


def test_killed_when_the_server_has_a_letter_and_we_do_not_know_it(calm: Calm) -> None:
    """The one reason for which a letter may go twice: then with the same Message-ID, and counted."""
    told = next(n for n, step in enumerate(calm.steps, 1) if step.startswith("sqlite UPDATE outbox SET state = 'sent'"))
    tally = calm.killed_at(told)
    assert (tally.broken, tally.explained) == ([], 1)


def test_killed_at_random_instants_by_a_provider_that_rewrites_and_saves(site: Site, tmp_path: Path) -> None:
    variant = next(one for one in VARIANTS if one.rewrites and one.saves)
    tally = Calm(site, variant, tmp_path).killed_by_chance(seed=1, at_most=3)
    assert (tally.broken, tally.good, tally.tried) == ([], True, 3)


def test_killed_after_the_mailbox_has_moved(site: Site, tmp_path: Path) -> None:
    """All mail has other UIDs and dates: none is answered again, though the desk dies while it reads it anew."""
    moved = Calm(site, next(one for one in VARIANTS if one.moved), tmp_path)
    at = next(number for number, chapter in enumerate(moved.chapters) if chapter.moment == 2)
    before = sum(len(chapter.steps) for chapter in moved.chapters[:at])
    tally = moved.killed_at(before + len(moved.chapters[at].steps) // 3)
    assert (tally.broken, tally.good) == ([], True)


# -- the audit itself ----------------------------------------------------------------------------------------------


def change(store: Path, sql: str) -> None:
    with closing(sqlite3.connect(store, isolation_level=None)) as db:
        for (name,) in db.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'ticket_event_%' AND type = 'trigger'"
        ):
            db.execute(f"DROP TRIGGER {name}")
        db.execute(sql)


Spoil = Callable[[Path, list[Received]], None]
SPOILT: list[tuple[str, Spoil, str]] = [
    ("a letter lost", lambda _, got: got.pop() and None, "lost"),  # type: ignore[func-returns-value]
    ("a letter twice", lambda _, got: got.append(got[0]), "2 copies"),
    (
        "a letter of nobody's",
        lambda _, got: got.append(Received("", ("x@y.z",), b"Message-ID: <x>", got[0].at)),
        "nobody",
    ),
    ("a hole", lambda store, _: change(store, "UPDATE reference_counter SET last = last + 1"), "holes"),
    (
        "the history changed",
        lambda store, _: change(store, "UPDATE ticket_event SET event = 'x' WHERE id = 3"),
        "row 3",
    ),
    ("a line of it gone", lambda store, _: change(store, "DELETE FROM ticket_event WHERE id = 3"), "row 4"),
    ("a reminder forgotten", lambda store, _: change(store, "DELETE FROM fired"), "what fired"),
    ("an answer not recorded", lambda store, _: change(store, "DELETE FROM message WHERE id = 5"), "conversations"),
]


def test_the_audit_sees_what_is_wrong(calm: Calm, tmp_path: Path) -> None:
    last = next(chapter for chapter in calm.chapters if chapter.moment == len(calm.books) - 1)
    for number, (what, spoil, words) in enumerate([("nothing", lambda *_: None, ""), *SPOILT]):
        copy = tmp_path / f"{number}.db"
        shutil.copy(last.place / "desk.db", copy)
        received = list(pickle.loads((last.place / "story").read_bytes())[-1])
        spoil(copy, received)
        found = audit(copy, received, calm.books[-2], 1, WIDTH)
        assert found.good is (what == "nothing"), (what, found)
        assert any(words in one for one in found.broken) or found.good, (what, found.broken)


def test_what_went_twice_after_a_crash_is_no_secret(calm: Calm, tmp_path: Path) -> None:
    last = next(chapter for chapter in calm.chapters if chapter.moment == len(calm.books) - 1)
    received = list(pickle.loads((last.place / "story").read_bytes())[-1])
    shutil.copy(last.place / "desk.db", copy := tmp_path / "desk.db")
    change(copy, "UPDATE outbox SET interrupted = 1 WHERE id = 1")
    once = [one for one in received if one.rcpt_to == ("clara@correo.test",)][:1]
    assert audit(copy, received + once, calm.books[-2], 1, WIDTH).explained == 1
    assert not audit(copy, received + once, calm.books[-2], 0, WIDTH).good
