"""Backups of a live store, their way back, and what `verify` finds: whole or nothing, and every damage by its name."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bench import Bench, eml
from office import CLARA, NOW

from pqr_mailbot import cli
from pqr_mailbot.adapters import migrations
from pqr_mailbot.adapters.sqlite_files import back_up, restore
from pqr_mailbot.adapters.sqlite_ledger import Ledger
from pqr_mailbot.adapters.sqlite_store import Store, StoreProblem, only_daemon
from pqr_mailbot.adapters.sqlite_verify import MOST_DAMAGES, damages

ONE, TWO = "PQR-2026-000001", "PQR-2026-000002"
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
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two cases, a machine's mail and an answer from the Sent folder; nobody has it open."""
    bench = Bench(tmp_path_factory.mktemp("model") / "desk.db")
    bench.take(eml(attachments=["bolsa.jpg"]))
    bench.take(eml("Diego <diego@otro.test>", "Molienda", "¿Qué molienda?", "<d1@otro.test>"))
    bench.take(eml("robot@correo.test", "Fuera", "No estoy", "<auto@correo.test>", Auto_Submitted="auto-replied"))
    bench.sent(eml("Ana <info@lohas.test>", "Re: x", "Sí.", "<a1@lohas.test>", To=CLARA.address,
                   In_Reply_To="<m1@correo.test>"))  # fmt: skip
    bench.close()
    return bench.path


@pytest.fixture
def store(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "desk.db"
    path.write_bytes(model.read_bytes())
    path.chmod(0o600)
    return path


@pytest.fixture
def say(store: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: exit code, what it printed, what it complained of."""
    (store.parent / "config.toml").write_text(CONFIG, "utf-8")

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["--config", str(store.parent / "config.toml"), *map(str, words)])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of a store."""
    db = sqlite3.connect(path)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    found = {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names if "_fts" not in name}
    db.close()
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- backup --------------------------------------------------------------------------------------------------------


def test_a_backup_is_everything_in_one_file_for_its_owner_only(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "desk.db"
    target.parent.mkdir()
    assert back_up(store, target) == target.stat().st_size
    assert list(target.parent.iterdir()) == [target]
    assert mode(target) == 0o600
    assert tables(target) == tables(store)
    assert tables(target)["signing_key"]


def test_a_backup_of_a_desk_at_work(store: Path, tmp_path: Path) -> None:
    """Somebody writes all the while: the copy is of one moment, and sound."""
    bench, ready, stop = Bench(store), threading.Event(), threading.Event()
    bench.close()

    def work() -> None:
        busy = Bench(store)
        number = 0
        while not stop.is_set():
            number += 1
            busy.take(eml(f"c{number}@correo.test", message_id=f"<n{number}@correo.test>", text=f"carta {number}"))
            ready.set()
        busy.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(20)
        for number in range(3):
            back_up(store, tmp_path / f"copy{number}")
    finally:
        stop.set()
        thread.join()
    for number in range(3):
        assert damages(tmp_path / f"copy{number}") == []
        assert len(tables(tmp_path / f"copy{number}")["ticket"]) > 2


def test_never_over_an_existing_file(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "diary"
    target.write_text("dear diary")
    link = tmp_path / "dangling"
    link.symlink_to(tmp_path / "nowhere")
    (tmp_path / "once.db-wal").write_text("of a copy that is gone")
    for path in (target, link, store, tmp_path / "once.db"):
        with pytest.raises(StoreProblem, match="exists already; nothing was overwritten"):
            back_up(store, path)
    assert target.read_text() == "dear diary"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("spoil", ["damaged", "missing", "no directory"])
def test_a_backup_that_cannot_be_made_leaves_nothing(store: Path, tmp_path: Path, spoil: str) -> None:
    target = tmp_path / "copies" / "desk.db"
    if spoil != "no directory":
        target.parent.mkdir()
    if spoil == "damaged":
        _overwritten(store)
    if spoil == "missing":
        store.unlink()
    with pytest.raises(StoreProblem):
        back_up(store, target)
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_a_full_disk(store: Path) -> None:
    """The system refuses to write on: one line, no file, no half of one."""
    (store.parent / "config.toml").write_text(CONFIG, "utf-8")
    target = store.parent / "copies" / "desk.db"
    target.parent.mkdir()

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-m", "pqr_mailbot", "--config", str(store.parent / "config.toml"), "backup"]
    done = subprocess.run([*command, str(target)], capture_output=True, text=True, preexec_fn=small_disk, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "no copy was made" in done.stderr and "Traceback" not in done.stderr
    assert not list(target.parent.iterdir())


def test_the_command(say: Callable[..., tuple[int, str, str]], store: Path) -> None:
    target = store.parent / "copy.db"
    code, out, _ = say("backup", target)
    assert code == 0 and str(target) in out and "checked" in out
    code, out, err = say("backup", target)
    assert (code, out) == (1, "") and "exists already" in err


# -- restore -------------------------------------------------------------------------------------------------------


def test_a_restore_clears_away_what_a_killed_one_left(store: Path, tmp_path: Path) -> None:
    back_up(store, tmp_path / "copy.db")
    left = [tmp_path / f".desk.db.a1b2_3d4.partial{suffix}" for suffix in ("", "-journal")]
    others = [tmp_path / name for name in (".desk.db.other.a1b2_3d4.partial", ".desk.db.swp")]
    for path in (*left, *others):
        path.touch()
    restore(tmp_path / "copy.db", store, NOW, force=True)
    assert store.name == "desk.db" and not any(path.exists() for path in left) and all(path.exists() for path in others)


def test_a_restore_where_there_is_no_store(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "desk.db"
    target.parent.mkdir()
    assert restore(store, target, NOW + timedelta(days=1), force=False) is None
    assert (list(target.parent.iterdir()), mode(target)) == ([target], 0o600)
    assert tables(target)["signing_key"] == tables(store)["signing_key"]
    assert damages(target) == []
    opened = Store.attach(target)
    assert Ledger(opened).held() and not Ledger(Store.attach(store)).held()
    opened.close()


def test_the_old_store_is_kept_beside_with_all_that_was_in_it(store: Path, tmp_path: Path) -> None:
    """What lay in its journal too: here a program that has not ended still holds it open."""
    copy = tmp_path / "copy.db"
    back_up(store, copy)
    late = Store.open(store, NOW)
    with late.transaction():
        late.set_fact("late", "yes")
    with pytest.raises(StoreProblem, match="--force"):
        restore(copy, store, NOW, force=False)
    kept = restore(copy, store, NOW, force=True)
    assert kept and kept.name == "desk.db.before-restore-20260601-154200"
    late.close()
    facts = {path: dict(tables(path)["fact"]) for path in (kept, store)}  # type: ignore[arg-type]
    assert "late" in facts[kept] and "late" not in facts[store]
    assert damages(store) == [] and damages(kept) == []


def test_a_link_to_a_store_stays_one(store: Path, tmp_path: Path) -> None:
    link, copy = tmp_path / "link.db", tmp_path / "copy.db"
    link.symlink_to(store)
    back_up(link, copy)
    assert restore(copy, link, NOW, force=True)
    assert link.is_symlink() and damages(link) == []


def test_what_was_kept_is_never_written_over(store: Path, tmp_path: Path) -> None:
    """Two restores in one second keep two stores."""
    copy, before = tmp_path / "copy.db", tables(store)
    back_up(store, copy)
    kept = [restore(copy, store, NOW, force=True) for _ in range(3)]
    assert [path.name.partition("154200")[2] for path in kept if path] == ["", "-2", "-3"]
    assert kept[0] and tables(kept[0]) == before


def test_the_journal_of_a_store_that_is_gone_is_not_taken_for_the_new_ones(store: Path, tmp_path: Path) -> None:
    """The program was killed, its store moved away by hand, and the journal left behind."""
    copy, journal = tmp_path / "copy.db", tmp_path / "desk.db-wal"
    back_up(store, copy)
    late = Store.open(store, NOW)
    with late.transaction():
        late.set_fact("late", "yes")
    left = journal.read_bytes()
    late.close()
    store.unlink()
    journal.write_bytes(left)
    assert restore(copy, store, NOW, force=False) is None
    assert "late" not in dict(tables(store)["fact"]) and damages(store) == []
    assert (tmp_path / "desk.db.before-restore-20260601-154200-wal").read_bytes() == left


def test_a_damaged_store_can_be_replaced(store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(store, copy)
    _overwritten(store)
    wreck = store.read_bytes()
    kept = restore(copy, store, NOW, force=True)
    assert kept and kept.read_bytes() == wreck
    assert damages(store) == []


def _overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


def _change(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


FUTURE = "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('pqr_mailbot', 'm999_x', '2030')"
NO_BACKUPS: list[tuple[str, Callable[[Path], object], str]] = [
    ("missing", lambda path: path.unlink(), "no backup there"),
    ("empty", lambda path: path.write_bytes(b""), "no backup there"),
    ("a diary", lambda path: path.write_text("dear diary" * 500), "file is not a database"),
    ("a directory", lambda path: (path.unlink(), path.mkdir()), "is a directory"),
    ("damaged", _overwritten, "copy.db: "),
    ("cut off", lambda path: os.truncate(path, 40_000), "copy.db: "),
    ("another program's", lambda path: (path.unlink(), _change(path, "CREATE TABLE x (y)")), "is no store"),
    ("newer", lambda path: _change(path, FUTURE), "written by a newer version"),
    ("without its keys", lambda path: _change(path, "DELETE FROM signing_key"), "has no signing key"),
    ("with rows that hang", lambda path: _change(path, "DELETE FROM person"), "is damaged"),
]


@pytest.mark.parametrize(("spoil", "words"), [row[1:] for row in NO_BACKUPS], ids=[row[0] for row in NO_BACKUPS])
def test_what_is_no_backup(store: Path, tmp_path: Path, spoil: Callable[[Path], object], words: str) -> None:
    copy, before = tmp_path / "copy.db", store.read_bytes()
    back_up(store, copy)
    spoil(copy)
    with pytest.raises(StoreProblem, match=words):
        restore(copy, store, NOW, force=True)
    assert store.read_bytes() == before
    assert not list(tmp_path.glob("*before-restore*")) and not list(tmp_path.glob("*partial*"))


def test_the_store_is_no_backup_of_itself(store: Path) -> None:
    with pytest.raises(StoreProblem, match="is the store itself"):
        restore(store, store, NOW, force=True)


def test_a_backup_of_an_earlier_version_is_brought_up_to_date(store: Path, tmp_path: Path) -> None:
    copy, last = tmp_path / "copy.db", migrations.migrations._migrations[-1].name
    back_up(store, copy)
    _change(
        copy, f"DELETE FROM _sqlite_migrations WHERE name = '{last}'", "ALTER TABLE inbound DROP COLUMN doubtful",
        "ALTER TABLE mailbox_cursor DROP COLUMN began_above",
    )  # fmt: skip
    restore(copy, store, NOW, force=True)
    opened = Store.open(store, NOW)
    assert Ledger(opened).held()
    assert opened.db.conn.execute("SELECT mailbox, began_above FROM mailbox_cursor ORDER BY mailbox").fetchall() == [
        ("Enviadas", 0),
        ("INBOX", 0),
    ]
    opened.close()


def test_not_while_a_daemon_runs(say: Callable[..., tuple[int, str, str]], store: Path) -> None:
    copy = store.parent / "copy.db"
    assert say("backup", copy)[0] == 0
    with only_daemon(store):
        code, _, err = say("restore", "--force", copy)
    assert code == 1 and "another pqr-mailbot is running on this store" in err
    code, _, err = say("restore", copy)
    assert code == 1 and "--force" in err
    code, out, _ = say("restore", "--force", copy)
    assert code == 0 and "Nothing is sent or acknowledged until `pqr-mailbot reconcile`" in out
    code, out, err = say("status")
    assert code == 1 and "nothing is sent until `reconcile`" in err
    code, _, err = say("order", ONE, "#resolver")
    assert code == 1 and "nothing is sent until `reconcile`" in err


# -- verify --------------------------------------------------------------------------------------------------------


FREE = "DROP TRIGGER ticket_event_unchanged", "DROP TRIGGER ticket_event_kept"  # what a forger would do first
BROKEN: dict[str, tuple[str, ...]] = {  # the damage, and how it was done
    "chain ticket_event 2: its detail was changed": (*FREE, "UPDATE ticket_event SET detail = 'x' WHERE id = 2"),
    "chain ticket_event 2: its actor was changed": (*FREE, "UPDATE ticket_event SET actor = 'x' WHERE id = 2"),
    "chain ticket_event 2: was changed": (*FREE, "UPDATE ticket_event SET at = '2020' WHERE id = 2"),
    "chain ticket_event 3: event 2 is missing": (*FREE, "DELETE FROM ticket_event WHERE id = 2"),
    f"tickets {TWO}: has no opening mail": (f"DELETE FROM message WHERE reference = '{TWO}'",),
    f"tickets {TWO}: has no history": (*FREE, f"DELETE FROM ticket_event WHERE reference = '{TWO}'"),
    f"tickets {ONE}: was merged into itself": (
        f"UPDATE ticket SET merged_into = '{TWO}' WHERE reference = '{ONE}'",
        f"UPDATE ticket SET merged_into = '{ONE}' WHERE reference = '{TWO}'",
    ),
    f"tickets {TWO}: has a reference that is not its number": ("UPDATE ticket SET number = 7 WHERE id = 2",),
    "counter 2026: 3 to 5: numbers that no ticket has": ("UPDATE reference_counter SET last = 5",),
    f"counter {TWO}: is above the counter": ("UPDATE reference_counter SET last = 1",),
    "outbox outbox 1: a letter to a customer about no ticket": (
        "UPDATE outbox SET reference = NULL WHERE customer_facing",
        "UPDATE message SET outbox_id = NULL",
    ),
    "keys outbox 1: names a row of ticket": ("UPDATE outbox SET reference = 'PQR-2026-000009' WHERE id = 1",),
    "outbox outbox 1: sent, and nobody knows when": ("UPDATE outbox SET state = 'sent' WHERE id = 1",),
    "outbox outbox 1: empty": ("UPDATE outbox SET raw = x'' WHERE id = 1",),
    "inbox inbound 1: its raw mail is not what was": ("UPDATE inbound SET sha256 = 'x' WHERE id = 1",),
    "inbox inbound 2: its raw mail is not what was": ("UPDATE inbound SET raw = x'00' WHERE id = 2",),
    "inbox inbound 1: became a message": ("UPDATE inbound SET reference = NULL WHERE id = 1",),
    "inbox INBOX: mail 3 is kept": ("UPDATE mailbox_cursor SET last_uid = 1 WHERE mailbox = 'INBOX'",),
    "search message 1: cannot be found": ("DELETE FROM message_fts_docsize WHERE id = 1",),
    "secrets signing_key: there is none": ("DELETE FROM signing_key",),
    "secrets fact: the store has lost its name": ("DELETE FROM fact WHERE name = 'store_id'",),
}


def test_a_sound_store(say: Callable[..., tuple[int, str, str]], store: Path) -> None:
    before = store.read_bytes()
    assert say("verify") == (0, "the store is sound\n", "")
    assert say("verify", "--json") == (0, "[]\n", "")
    assert store.read_bytes() == before
    assert {path.name for path in store.parent.iterdir()} == {"desk.db", "config.toml"}


@pytest.mark.parametrize(("said", "statements"), BROKEN.items(), ids=list(BROKEN))
def test_every_damage_has_its_name(store: Path, said: str, statements: tuple[str, ...]) -> None:
    _change(store, *statements)
    found = [f"{one.check} {one.what}: {one.detail}" for one in damages(store)]
    assert any(line.startswith(said) for line in found), found


def test_an_erased_value_leaves_the_chain_whole(store: Path) -> None:
    _change(store, "UPDATE ticket_event SET actor = NULL, detail = NULL, salt = NULL WHERE id = 2")
    assert damages(store) == []


def test_numbers_that_were_skipped_on_purpose_are_no_damage(store: Path) -> None:
    opened = Store.attach(store)
    with opened.transaction():
        Ledger(opened).raise_counters({2026: 9, 2027: 4}, NOW)
    opened.close()
    assert damages(store) == []
    _change(store, "UPDATE reference_counter SET last = 10 WHERE year = 2026")
    assert [one.what for one in damages(store)] == ["2026: 3 to 10"]


def test_much_damage_is_told_in_part(store: Path) -> None:
    _change(store, "DELETE FROM person", "UPDATE outbox SET raw = x''")
    assert 0 < len([one for one in damages(store) if one.check == "keys"]) <= MOST_DAMAGES


WRECKS: list[tuple[str, Callable[[Path], object], bool]] = [  # what, how, is it a damage or a file that is no store
    ("garbage", lambda path: path.write_bytes(b"\x93" * 9000), True),
    ("cut off", lambda path: os.truncate(path, 40_000), True),
    ("overwritten", _overwritten, True),
    ("holes in it", lambda path: _holes(path), True),
    ("missing", lambda path: path.unlink(), False),
    ("another program's", lambda path: (path.unlink(), _change(path, "CREATE TABLE x (y)")), False),
    ("newer", lambda path: _change(path, FUTURE), False),
]


def _holes(path: Path) -> None:
    """Every seventh page is nonsense."""
    content = bytearray(path.read_bytes())
    for start in range(4096 * 6, len(content), 4096 * 7):
        content[start : start + 4096] = b"\x5a" * len(content[start : start + 4096])
    path.write_bytes(content)


@pytest.mark.parametrize(("spoil", "damage"), [row[1:] for row in WRECKS], ids=[row[0] for row in WRECKS])
def test_a_wreck_is_told_in_words(
    say: Callable[..., tuple[int, str, str]], store: Path, spoil: Callable[[Path], object], damage: bool
) -> None:
    spoil(store)
    code, out, err = say("verify", "--json")
    assert code == 1 and err.count("\n") == 1 and "desk.db" in err
    assert (bool(json.loads(out)) if damage else out == "") is True
    assert "the program itself failed" not in err


def test_the_last_sign_of_life_is_noted(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    restore(store, target, datetime(2026, 6, 9, tzinfo=UTC), force=False)
    opened = Store.attach(target)
    lost = Ledger(opened).lost_time()
    assert lost and (lost.begin, lost.end) == (NOW, datetime(2026, 6, 9, tzinfo=UTC))
    opened.close()
