"""How long the clock takes over a large desk: the first look at every case, and rounds with nothing due.

Usage: python benchmarks/clock_round.py [--tickets 100000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from bench import Bench, eml  # the office of the tests
from office import BOGOTA, DESK, POLICY

from pqr_mailbot.adapters.sqlite_store import stamp
from pqr_mailbot.config import SHIPPED_REMINDERS, rules_of
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.flows.clock import ClockRound

OPENED = datetime(2026, 6, 1, 10, 0, tzinfo=BOGOTA)


def filled(path: Path, tickets: int) -> Bench:
    """A store with one real case, copied: cases opened on June's days, answered, each with its messages."""
    bench = Bench(path, Desk(replace(POLICY, reminders=rules_of(SHIPPED_REMINDERS)), DESK.calendar))
    bench.take(eml(), OPENED)
    same = "type, subject, customer, owner, classification, business_days, due_on, opened_at"
    with bench.store.transaction():
        bench.store._run(
            f"""WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {tickets})
            INSERT INTO ticket (reference, year, number, state, acknowledged_at, first_answered_at, {same})
            SELECT printf('PQR-2026-%06d', i), 2026, i, 'open', ?1, ?1, {same} FROM n, ticket WHERE number = 1""",
            stamp(OPENED),
        )
        for direction, letter in (("in", None), ("out", "answer")):
            bench.store._run(
                """INSERT INTO message (reference, direction, letter, author, recipients, subject, message_id, at, text,
                full_text) SELECT reference, ?, ?, customer, '[]', subject, '<' || id || '@x>', opened_at, 'a', 'a'
                FROM ticket WHERE number > 1""",
                direction, letter,
            )  # fmt: skip
    return bench


def rounds(bench: Bench, clock: ClockRound, day: date) -> None:
    """All the rounds that a day's first looks take, then one with nothing due."""
    moment = datetime.combine(day, time(9), BOGOTA)
    waiting = "SELECT count(*) AS n FROM ticket WHERE look_on <= ? AND state <> 'closed'"
    while number := bench.rows(waiting, day.isoformat())[0]["n"]:
        start = perf_counter()
        clock.run(moment)
        print(f"{day} a round, {number:7} cases to look at: {perf_counter() - start:8.3f} s")
    start = perf_counter()
    clock.run(moment + timedelta(minutes=1))
    print(f"{day} a round with nothing due:           {perf_counter() - start:8.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tickets", type=int, default=100_000)
    with tempfile.TemporaryDirectory() as folder:
        bench = filled(Path(folder) / "desk.db", parser.parse_args().tickets)
        for day in (date(2026, 6, 2) + timedelta(n) for n in range(3)):
            rounds(bench, ClockRound(bench.handler), day)
        bench.close()


if __name__ == "__main__":
    main()
