"""Seeded years of simulated offices: how many a minute, and whether anything that must always hold is ever broken.

    python benchmarks/simulation.py [--years 1000] [--jobs 2] [--from 0]
    python benchmarks/simulation.py --seed 1234 [--days 365]       replays one

Rules are named in tests/simulated_rules.py. Exit 1 when one was broken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from simulated_rules import RULES
from simulation import Result, simulate


def campaign(
    years: int, seed: int, jobs: int = 1, told: Callable[[int, list[str]], object] = lambda *_: None
) -> tuple[int, int, int, list[str]]:
    """Simulates so many years from a seed on. Returns how many years, mails in and letters out it were, and what was
    broken: one line each, its seed first. `told`: is called after each year with how many are done, and that list."""
    mails, letters, violations = 0, 0, []
    for number, year in enumerate(_simulated(range(seed, seed + years), jobs), start=1):
        mails, letters = mails + year.mails, letters + year.letters
        violations += [f"seed {year.seed}: {one}" for one in year.violations]
        told(number, violations)
    return years, mails, letters, violations


def _simulated(seeds: range, jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from map(simulate, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(simulate, seeds)


def replay(seed: int, days: int) -> bool:
    """True when all held."""
    year = simulate(seed, days)
    print(f"seed {seed}: {year.mails} mails, {year.letters} letters, {year.cases} cases, {year.crashes} crashes")
    print(f"store {year.digest}")
    for one in year.violations:
        print(f"{one}\n    {RULES[one.rule]}")
    return not year.violations


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=1_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--days", type=int, default=365)
    asked = parser.parse_args()
    if asked.seed is not None:
        return 0 if replay(asked.seed, asked.days) else 1
    since = perf_counter()
    shown = 0

    def told(number: int, violations: list[str]) -> None:
        nonlocal shown
        print(*violations[shown:], sep="\n", end="\n" * (len(violations) > shown), flush=True)
        shown = len(violations)
        if sys.stderr.isatty():
            print(f"\r{number} of {asked.years} years", end="", file=sys.stderr)

    years, mails, letters, violations = campaign(asked.years, asked.first, asked.jobs, told)
    seconds = perf_counter() - since
    print(
        f"{years} years, {mails} mails, {letters} letters in {seconds:.0f} s ({60 * years / seconds:.0f} a minute): ",
        end="",
    )
    print(f"{len(violations)} times something was broken")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
