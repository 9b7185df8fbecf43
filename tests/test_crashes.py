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


SAMPLE = (0.02, 0.3, 0.6, 0.9)  # of the story's steps: each death is at another moment or round


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
    tally = Calm(site, variant, tmp_path).killed_by_chance(seed=1, at_most=6)
    assert (tally.broken, tally.good, tally.tried) == ([], True, 6)


def test_killed_after_the_mailbox_has_moved(site: Site, tmp_path: Path) -> None:
    """All mail has other UIDs and dates: none is answered again, though the desk dies while it reads it anew."""
    moved = Calm(site, next(one for one in VARIANTS if one.moved), tmp_path)
    at = next(number for number, chapter in enumerate(moved.chapters) if chapter.moment == 2)
    before = sum(len(chapter.steps) for chapter in moved.chapters[:at])
    tally = moved.killed_at(before + len(moved.chapters[at].steps) // 3)
    assert (tally.broken, tally.good) == ([], True)


# -- after a restore -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def restored(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    variant = next(one for one in VARIANTS if one.restored and not one.saves)
    return Calm(site, variant, tmp_path_factory.mktemp("restored"))


def test_killed_while_a_backup_is_restored_and_while_it_is_reconciled(restored: Calm) -> None:
    put, *_ = [n for n in restored.worth_it if restored.steps[n - 1] == "file renamed"]
    opened = [n for n in restored.worth_it if restored.steps[n - 1].startswith("sqlite INSERT INTO ticket (")]
    tally = restored.killed_at(put, again_after=opened[1] - put)
    assert (tally.broken, tally.good) == ([], True)


def test_what_a_restore_leaves_in_doubt(restored: Calm) -> None:
    """Fabio and Gloria answered letters of the lost day; nothing proves Hugo's number, or that he has a letter."""
    place = next(chapter for chapter in restored.chapters if chapter.moment == len(restored.books) - 1).place
    with closing(sqlite3.connect(place / "desk.db")) as db:
        opened = dict(db.execute("SELECT customer, number FROM ticket WHERE number > 4"))
    assert opened == {"fabio@correo.test": 5, "gloria@otro.test": 6, "hugo@correo.test": 13, "ines@otro.test": 14}
    letters = restored.books[-1].pages["letters"]
    assert sorted(row[:2] for row in letters if row[3] == "uncertain") == [
        ("acknowledgement", "fabio@correo.test"),
        ("acknowledgement", "gloria@otro.test"),
        ("acknowledgement", "hugo@correo.test"),
        ("reopened", "clara@correo.test"),
        ("survey", "clara@correo.test"),
    ]


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


def send_what_is_uncertain(store: Path, got: list[Received]) -> None:
    with closing(sqlite3.connect(store)) as db:
        sql = "SELECT recipient, raw FROM outbox WHERE state = 'uncertain' AND recipient LIKE 'hugo%'"
        got += [Received("", (recipient,), raw, got[0].at) for recipient, raw in db.execute(sql)]


SPOILT_BY_RESTORE: list[tuple[str, Spoil, str]] = [
    ("a letter sent again", send_what_is_uncertain, "a customer got it 2 times"),
    (
        "a letter forgotten",
        lambda store, _: change(store, "DELETE FROM outbox WHERE recipient LIKE 'hugo%'"),
        "the store does not know",
    ),
    (
        "a mail without a case",
        lambda store, _: change(store, "UPDATE inbound SET reference = NULL WHERE sender LIKE 'hugo%'"),
        "had a case before",
    ),
    (
        "a number given to two",
        lambda store, _: change(store, "UPDATE message SET message_id = 'x' WHERE message_id = '<f1@correo.test>'"),
        "PQR-2026-000005 is of x, and was of <f1@correo.test>",
    ),
    ("a hole", lambda store, _: change(store, "UPDATE reference_counter SET last = last + 1"), "check='counter'"),
]


def test_the_audit_sees_what_a_restore_has_spoilt(restored: Calm, tmp_path: Path) -> None:
    place = next(chapter for chapter in restored.chapters if chapter.moment == len(restored.books) - 1).place
    for number, (what, spoil, words) in enumerate([("nothing", lambda *_: None, ""), *SPOILT_BY_RESTORE]):
        copy = tmp_path / f"{number}.db"
        shutil.copy(place / "desk.db", copy)
        received = list(pickle.loads((place / "story").read_bytes())[-1])
        spoil(copy, received)
        found = audit(copy, received, restored.books[-2], 0, WIDTH, place / "desk.db-lost")
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
