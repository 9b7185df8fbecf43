"""A few seeded offices over some months: nothing that must always hold is broken, and a seed replays to the byte."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from simulated_rules import holidays, last_day
from simulation import replayed_by, simulate

DAYS = 100
SEEDS = (0, 1, 3, 8)  # whole letters and no fault; a clock that errs; crashes; outages
BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "simulation.py"


@pytest.mark.parametrize("seed", SEEDS)
def test_what_must_always_hold(seed: int) -> None:
    year = simulate(seed, DAYS)
    said = "\n".join(map(str, year.violations))
    assert not year.violations, f"replay: {replayed_by(seed)} --days {DAYS}\n{said}"
    assert year.letters > year.mails > year.cases > 5


def test_a_seed_replays() -> None:
    """In another process, where Python hashes words in another order, down to the last byte in the store."""
    here = simulate(4, 60)
    command = [sys.executable, str(BENCHMARK), "--seed", "4", "--days", "60"]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(BENCHMARK.parent.parent)}
    there = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
    assert here.digest in there.stdout


# The table of colombia.md: what the oracle itself is held against.
COUNTED = [
    (date(2026, 6, 1), 15, date(2026, 6, 24)),
    (date(2026, 6, 5), 30, date(2026, 7, 24)),
    (date(2026, 7, 1), 15, date(2026, 7, 24)),
    (date(2026, 3, 31), 10, date(2026, 4, 16)),
    (date(2025, 6, 27), 15, date(2025, 7, 21)),
    (date(2026, 12, 24), 15, date(2027, 1, 19)),
]


@pytest.mark.parametrize(("received", "days", "due"), COUNTED)
def test_the_oracle(received: date, days: int, due: date) -> None:
    assert last_day(received, days, (), ()) == due


def test_the_oracle_knows_a_pause() -> None:
    assert last_day(date(2026, 9, 1), 15, [(date(2026, 9, 7), date(2026, 9, 21))], ()) == date(2026, 10, 6)


def test_the_oracle_knows_the_holidays() -> None:
    assert (len(holidays(2026)), len(holidays(2025))) == (19, 17)
