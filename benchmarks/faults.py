"""Breaks the desk in every way the tests know, counts what was lost, and prints the table of the README.

    python benchmarks/faults.py [--kills N] [--seconds S] [--seed 1] [--only WORDS] [--jobs 2]
    python benchmarks/faults.py --replay "NAME:N"     that one try again, as a failing one is reported

`--kills`: tries a row at most (else every step, and 300 random instants); `--seconds`: as long as a row may take.
Ends with 1 when anything was lost, or sent twice without a reason.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import multiprocessing.util
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import hostile
import large_mails
from crashes import Calm
from invariants import Tally
from servers import OFFICE, SMTP_PASSWORD, SmtpServer
from workdays import VARIANTS, Site, Variant

ROOT = Path(__file__).parent.parent
AGAIN = 1_000  # a try that kills twice: number of the step * AGAIN + steps until the second time
KILLS_A_STORY = 20
INSTANTS = 300
MOMENTS = 31  # a try spoils one of so many moments of a session; a prime number meets many faults


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks of a row; `steps`: those of a story worth dying before."""

    chance: random.Random
    most: int | None
    steps: Callable[[Variant], range]


@dataclass(frozen=True, slots=True)
class Campaign:
    """One row of the table. `tries`: their numbers; `run` does the one with a number, in another process."""

    name: str
    broken: str
    tries: Callable[[Asked], Sequence[int]]
    run: Callable[[int], Tally]


# -- in the processes that do the work ---------------------------------------------------------------------------------


@cache
def _calm(variant: Variant) -> Calm:
    """Its servers end with this process."""
    stack = ExitStack()
    multiprocessing.util.Finalize(None, stack.close, exitpriority=10)
    return Calm(_site(), variant, Path(stack.enter_context(tempfile.TemporaryDirectory())))


@cache
def _site() -> Site:
    stack = ExitStack()
    multiprocessing.util.Finalize(None, stack.close, exitpriority=1)
    return stack.enter_context(Site.open())


def _steps(variant: Variant) -> range:
    return _calm(variant).worth_it


def _killed(variant: Variant, number: int) -> Tally:
    calm = _calm(variant)
    return calm.killed_at(min(number, len(calm.steps)))  # two lives of one story differ by a step or two


def _killed_again(variant: Variant, number: int) -> Tally:
    step, again = divmod(number, AGAIN)
    calm = _calm(variant)
    return calm.killed_at(min(step, len(calm.steps)), again)


def _killed_by_chance(variant: Variant, number: int) -> Tally:
    return _calm(variant).killed_by_chance(number, KILLS_A_STORY)


def _tested(files: Sequence[str], words: str, _: int) -> Tally:
    """What was tried is tested by the suite; each test says for itself what must not be lost."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=-q", *files, "-k", words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    passed = re.search(r"(\d+) passed", done.stdout)
    tally = Tally(tried=int(passed[1]) if passed else 0)
    if done.returncode:
        tally.broken.append(done.stdout[-2_000:])
    return tally


Spoilt = Callable[[Path, int, int], hostile.Tally]  # a directory, one in how many, from which on


def _spoilt(campaign: Spoilt, first: int) -> Tally:
    """One in `MOMENTS` of all moments and faults of a session; all tries together do all of them."""
    with tempfile.TemporaryDirectory() as folder:
        seen = campaign(Path(folder), MOMENTS, first)
    return Tally(seen.tried, seen.owed, seen.lost, seen.twice, broken=seen.wrong)


def _large(_: int) -> Tally:
    """Memory too: more than is allowed is a finding."""
    site = _site()
    site.dovecot.reset(OFFICE)
    mails = [make(number, large_mails.SIZE) for number, make in enumerate(large_mails.KINDS.values())]
    server = SmtpServer(site.authority, "starttls", (OFFICE, SMTP_PASSWORD), size_limit=large_mails.SMTP_LIMIT)
    with tempfile.TemporaryDirectory() as folder, server:
        counted, most = large_mails.run(Path(folder), site.dovecot, server, mails)
    return Tally(*counted, broken=[f"{most:.0f} MB were in use"] if most > large_mails.ALLOWED else [])


def _try(name: str, number: int) -> Tally:
    try:
        return next(row for row in CAMPAIGNS if row.name == name).run(number)
    except Exception as error:  # noqa: BLE001  # a try that breaks off is a finding
        return Tally(tried=1, broken=[f"{type(error).__name__}: {error}"])


def _quiet() -> None:
    """The test server's library logs each client that is killed."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


# -- the rows ----------------------------------------------------------------------------------------------------------


def _each_step(variant: Variant, asked: Asked) -> Sequence[int]:
    every = asked.steps(variant)  # in any order: a row that is given little time sees something of all
    return asked.chance.sample(every, min(asked.most or len(every), len(every)))


def _pairs(variant: Variant, asked: Asked) -> Sequence[int]:
    chance, every = asked.chance, asked.steps(variant)
    return [chance.choice(every) * AGAIN + chance.randint(1, 300) for _ in range(asked.most or INSTANTS)]


def _stories(asked: Asked) -> Sequence[int]:
    return [asked.chance.randrange(10**6) for _ in range(-(-(asked.most or INSTANTS) // KILLS_A_STORY))]


def _moments(asked: Asked) -> Sequence[int]:
    return asked.chance.sample(range(MOMENTS), min(asked.most or MOMENTS, MOMENTS))


def _once(_: Asked) -> Sequence[int]:
    return [0]


def _of(variant: Variant) -> tuple[Campaign, Campaign]:
    steps, instants = partial(_each_step, variant), partial(_killed_by_chance, variant)
    return (
        Campaign(f"step, {variant.name}", f"SIGKILL before a step · {variant.name}", steps, partial(_killed, variant)),
        Campaign(f"instant, {variant.name}", f"SIGKILL at random instants · {variant.name}", _stories, instants),
    )


def _again(name: str, variant: Variant) -> Campaign:
    broken = "SIGKILL, and again while it recovers" + (f" · {variant.name}" if variant.restored else "")
    return Campaign(name, broken, partial(_pairs, variant), partial(_killed_again, variant))


# A new fault is a row: its name, what is broken, the numbers of its tries, and what a try with a number does.
CAMPAIGNS: list[Campaign] = [
    *(row for variant in VARIANTS for row in _of(variant)),
    _again("recovery", VARIANTS[0]),
    *(_again(f"recovery, {variant.name}", variant) for variant in VARIANTS if variant.restored),
    Campaign(
        "servers", "servers that go away, refuse, or hang up after the final dot (tests)", _once,
        partial(_tested, ["tests/test_daemon.py", "tests/test_deliver.py"], "provider or refused or lost or trouble"),
    ),
    Campaign(
        "imap", "an IMAP session spoilt at one of its moments", _moments,
        partial(_spoilt, lambda place, step, first: hostile.imap_campaign(_site().dovecot, place, step, first)),
    ),
    Campaign(
        "sent", "a look into Sent spoilt at one of its moments", _moments,
        partial(_spoilt, lambda place, step, first: hostile.sent_campaign(_site().dovecot, place, step, first)),
    ),
    Campaign(
        "smtp", "an SMTP session spoilt at one of its moments", _moments, partial(_spoilt, hostile.smtp_campaign)
    ),
    Campaign("large", "mails of 35 MB of every kind in a row", _once, _large),
    Campaign(
        "resources", "disk full, read-only, store locked or damaged, no file handles, wrong clock (tests)", _once,
        partial(_tested, ["tests/test_resources.py", "tests/test_damage.py", "tests/test_clock_jumps.py"], ""),
    ),
    Campaign(
        "upgrades", "an upgrade from each older store killed at any statement, or without room (tests)", _once,
        partial(_tested, ["tests/test_upgrades.py"], ""),
    ),
]  # fmt: skip

# -- the command -------------------------------------------------------------------------------------------------------


def _row(campaign: Campaign, pool: ProcessPoolExecutor, asked: Asked, jobs: int, seconds: float | None) -> Tally:
    """As many of the tries as time allows; findings are told as they come."""
    total, waiting = Tally(), iter(campaign.tries(asked))
    end = time.monotonic() + seconds if seconds else float("inf")
    flying = {pool.submit(_try, campaign.name, one): one for one in islice(waiting, jobs)}
    while flying:
        landed, _ = wait(flying, return_when=FIRST_COMPLETED)
        for future in landed:
            number, tally = flying.pop(future), future.result()
            total += tally
            for words in tally.broken:
                print(f'{words}\n    again: --replay "{campaign.name}:{number}"', file=sys.stderr, flush=True)
            if time.monotonic() < end and (following := next(waiting, None)) is not None:
                flying[pool.submit(_try, campaign.name, following)] = following
    return total


def _line(campaign: Campaign, tally: Tally) -> str:
    counted = (f"{tally.owed:,}", tally.lost, tally.unexplained, tally.explained) if tally.owed else ("by test",) * 4
    bad = f" **{len(tally.broken)} findings**" if tally.broken else ""
    cells = (f"{campaign.broken}{bad}", f"{tally.tried:,}", *counted)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="rows whose name has these words")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", metavar="NAME:N")
    asked = parser.parse_args()
    _quiet()
    if asked.replay:
        name, _, number = asked.replay.rpartition(":")
        tally = _try(name, int(number))
        print("\n".join(tally.broken) or "nothing was lost, nothing went twice without a reason")
        return not tally.good
    spawn = multiprocessing.get_context("spawn")
    good, since = True, time.monotonic()
    print("| fault | tried | letters owed | lost | twice without a reason | twice after a crash, same id, counted |")
    print("|---|--:|--:|--:|--:|--:|", flush=True)
    with ProcessPoolExecutor(asked.jobs, spawn, _quiet) as pool:
        for campaign in CAMPAIGNS:
            if asked.only in campaign.name:
                given = Asked(random.Random(asked.seed), asked.kills, lambda v: pool.submit(_steps, v).result())
                tally = _row(campaign, pool, given, asked.jobs, asked.seconds)
                good &= tally.good
                print(_line(campaign, tally), flush=True)
    print(f"\n{datetime.now(UTC):%Y-%m-%d}, {asked.jobs} at a time, {(time.monotonic() - since) / 60:.0f} minutes")
    return not good


if __name__ == "__main__":
    sys.exit(main())
