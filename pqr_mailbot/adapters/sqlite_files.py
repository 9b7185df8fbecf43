"""Copies of a store and their way back: whole or not at all, checked before they are called done, never over a file."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from glob import escape
from itertools import count
from pathlib import Path

from pqr_mailbot.adapters.migrations import migrations
from pqr_mailbot.adapters.sqlite_ledger import Ledger
from pqr_mailbot.adapters.sqlite_store import BUSY_SECONDS, Store, StoreProblem
from pqr_mailbot.adapters.sqlite_verify import file_damages
from pqr_mailbot.adapters.sqlite_views import opened

_STEPS = "SELECT name FROM _sqlite_migrations WHERE migration_set = 'pqr_mailbot'"
BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a store


def back_up(store: Path, target: Path) -> int:
    """An online copy with everything, the signing keys too, mode 0600. Returns its size in bytes.

    Raises StoreProblem: `target` is there already, the disk is full, or the store is damaged. Then there is no file.
    """
    with _named(target):
        for path in (target, *_beside(target)):  # a journal that lies there would be taken for the copy's
            if os.path.lexists(path):
                raise StoreProblem(f"{path}: exists already; nothing was overwritten")
        opened(store).close()  # says best what stands in the way
        # Not as `opened` does: a daemon that starts meanwhile must see that somebody reads.
        with closing(_writable(store)) as source, _copied(source, store, target.parent, target.name) as copy:
            _must_be_sound(copy, store)
            size = copy.stat().st_size
            _put(copy, target)
            return size


def restore(backup: Path, store: Path, now: datetime, force: bool) -> Path | None:
    """Puts a backup in the place of the store. Returns where the old store is kept, None when there was none.

    The caller holds `only_daemon`. Raises StoreProblem; then the store is as it was.
    """
    with _named(store):
        if not backup.exists() or (backup.is_file() and not backup.stat().st_size):
            raise StoreProblem(f"{backup}: no backup there")
        store = store.resolve()  # a link to a store on another disk stays one
        _may_be_replaced(backup, store, force)
        _clear_away(store)
        with closing(opened(backup)) as source, _copied(source, backup, store.parent, store.name) as copy:
            _must_be_sound(copy, backup)
            given = _numbers_given(store, copy)
            with closing(Store(_writable(copy), copy)) as restored:
                Ledger(restored).note_restored(now, given)
            _sync(copy)
            _as_its_neighbours(copy)
            kept = _set_aside(store, now)
            copy.replace(store)
            _sync(store.parent)
            return kept


def _may_be_replaced(backup: Path, store: Path, force: bool) -> None:
    if not os.path.lexists(store):
        return
    if backup.exists() and store.exists() and backup.samefile(store):
        raise StoreProblem(f"{backup}: is the store itself, expected a backup of it")
    if not force:
        raise StoreProblem(f"{store}: there is a store already; --force puts the backup in its place and keeps the old")
    if not stat.S_ISREG(store.stat().st_mode):
        raise StoreProblem(f"{store}: is no regular file, expected a store or nothing")


def _clear_away(store: Path) -> None:
    """Half a copy that an earlier restore left when it was killed: it holds the keys and all mail."""
    for path in store.parent.glob(f".{escape(store.name)}.????????.partial*"):
        path.unlink(missing_ok=True)


@contextmanager
def _copied(source: sqlite3.Connection, path: Path, directory: Path, name: str) -> Iterator[Path]:
    """A copy in one file, under a name of its own that is gone afterwards."""
    handle, made = tempfile.mkstemp(prefix=f".{name}.", suffix=".partial", dir=directory)
    os.close(handle)  # its mode is 0600
    copy = Path(made)
    try:
        with closing(sqlite3.connect(copy)) as target:
            try:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # one file, whatever the store keeps beside itself
            except sqlite3.DatabaseError as error:
                full = "full" in str(error)
                raise StoreProblem(f"{directory if full else path}: {error}; no copy was made") from error
        _sync(copy)
        yield copy
    finally:
        for one in (copy, *_beside(copy)):
            one.unlink(missing_ok=True)


def _must_be_sound(copy: Path, said: Path) -> None:
    """A store of this version or of an earlier one, whose every page can be read, with its signing keys."""
    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        try:
            found = file_damages(db)
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            if not {"_sqlite_migrations", "ticket", "outbox", "fact", "signing_key"} <= tables:
                raise StoreProblem(f"{said}: is no store of pqr-mailbot")
            known = {migration.name for migration in migrations._migrations}
            steps = {name for (name,) in db.execute(_STEPS)}
            keys = db.execute("SELECT count(*) FROM signing_key").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise StoreProblem(f"{said}: {error}") from error
    if newer := sorted(steps - known):
        raise StoreProblem(f"{said}: written by a newer version of pqr-mailbot (schema step {newer[-1]})")
    if found:
        raise StoreProblem(f"{said}: is damaged, `verify` says how: {found[0].what}: {found[0].detail}")
    if not keys:
        raise StoreProblem(f"{said}: has no signing key")


def _writable(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def _put(copy: Path, target: Path) -> None:
    """Under its name, but never in the place of another file: a link can only be made where there is none."""
    try:
        os.link(copy, target)
    except FileExistsError:
        raise StoreProblem(f"{target}: exists already; nothing was overwritten") from None
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise StoreProblem(f"{target}: exists already; nothing was overwritten") from None
        copy.replace(target)
    _sync(target.parent)


def _numbers_given(store: Path, copy: Path) -> dict[int, int]:
    """The last number of each year that the store about to be given up has: they are known to be given. Nothing of a
    store that cannot be read, or that is not the one whose backup it is."""
    found = []
    for path in (store, copy):
        try:
            with closing(opened(path)) as db:
                names = db.execute("SELECT value FROM fact WHERE name = 'store_id'").fetchall()
                found.append((names, dict(db.execute("SELECT year, last FROM reference_counter"))))
        except (StoreProblem, sqlite3.Error):
            return {}
    (ours, given), (theirs, _) = found
    return given if ours == theirs else {}


def _set_aside(store: Path, now: datetime) -> Path | None:
    """The old store under another name, None when there is none. What lies in its journal goes into it first; if that
    cannot be done, it goes along: a journal that stayed, even that of a store which is gone, would be taken for the new
    store's."""
    kept = _free_name(store, now)
    there = os.path.lexists(store)
    if there:
        with suppress(sqlite3.Error), closing(_writable(store)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    for beside, kept_beside in zip(_beside(store), _beside(kept), strict=True):
        if os.path.lexists(beside):
            beside.replace(kept_beside)
    if not there:
        return None
    try:
        os.link(store, kept)  # so that at no moment there is no store: starting would make an empty one
    except OSError:
        store.replace(kept)
    return kept


def _free_name(store: Path, now: datetime) -> Path:
    """For the store that is set aside: nothing that was kept before is written over."""
    name = f"{store.name}.before-restore-{now:%Y%m%d-%H%M%S}"
    names = (store.with_name(f"{name}-{number}" if number > 1 else name) for number in count(1))
    return next(path for path in names if not any(map(os.path.lexists, (path, *_beside(path)))))


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in BESIDE]


def _as_its_neighbours(copy: Path) -> None:
    """An admin may restore as root: the service has to be able to open what is put there."""
    if os.geteuid() == 0:
        owner = copy.parent.stat()
        for path in (copy, *copy.parent.glob("*.lock")):
            os.chown(path, owner.st_uid, owner.st_gid)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreProblem(f"{error.filename or path}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise StoreProblem(f"{path}: {error}") from error
