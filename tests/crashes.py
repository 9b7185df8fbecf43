"""Kills the desk with SIGKILL, in the middle of the days of `workdays`, and says what was lost."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from invariants import Books, Tally, audit, books_of
from servers import wait_until
from steps import DIES_AT
from workdays import AFTERWARDS, Site, Story, Variant

WIDTH = 4  # letters under way at once: smtp.max_connections as it comes
ROUNDS = 8  # of `run --once` at one moment, after which it must be done


@dataclass(frozen=True, slots=True)
class Chapter:
    """One round of a calm story: where it begins, what the desk did."""

    moment: int
    first: bool  # of its moment
    place: Path
    steps: tuple[str, ...]


class Calm:
    """The story of a desk that nobody kills: what the killed ones are compared with, and where they begin."""

    def __init__(self, site: Site, variant: Variant, directory: Path) -> None:
        self.site, self.variant, self._directory = site, variant, directory
        self.books: list[Books] = []  # at the end of each moment

    @cached_property
    def chapters(self) -> list[Chapter]:
        chapters: list[Chapter] = []
        self.books = []
        with self._begun(None) as story:
            for moment in range(len(self.variant.moments)):
                chapters += self._lived(story, moment, sum(len(chapter.steps) for chapter in chapters))
                self.books.append(books_of(story.desk.store, story.server.received))
        return chapters

    def _lived(self, story: Story, moment: int, done: int) -> Iterator[Chapter]:
        for number in range(ROUNDS):
            story.keep(place := self._directory / f"{moment}.{number}")
            if number == 0:
                story.next_moment()
            assert _one_round(story) == 0
            steps = _steps(story)
            yield Chapter(moment, number == 0, place, tuple(steps[done:]))
            if story.settled():
                return
            done = len(steps)
        raise AssertionError(f"not done after {ROUNDS} rounds: {story.left()}")

    @property
    def steps(self) -> list[str]:
        return [step for chapter in self.chapters for step in chapter.steps]

    # -- killed --------------------------------------------------------------------------------------------------------

    def killed_at(self, step: int, again_after: int = 0) -> Tally:
        """Before a step of the calm story (the first is 1), and perhaps again so many steps later. What follows is
        lived through to the end of that moment; from equal books the desk goes on equally."""
        for chapter in self.chapters:
            if step <= len(chapter.steps):
                break
            step -= len(chapter.steps)
        else:
            raise ValueError("the story has no such step")
        with self._begun(chapter.place) as story:
            story.desk.environ[DIES_AT] = f"{step},{step + again_after}"
            if chapter.first:
                story.next_moment()
            crashes = _lived_through(story)
            while self.variant.restored and story.next_moment():  # what is lost with the store shows only later
                crashes += _lived_through(story)
            return self._audited(story, crashes + story.crashes)

    def _audited(self, story: Story, crashes: int) -> Tally:
        lost = story.lost_store if self.variant.restored else None
        calm = self.books[min(story.moment, len(self.books) - 1)]
        tally = audit(story.desk.store, story.server.received, calm, crashes, WIDTH, lost)
        if lost:
            tally.broken += _left_behind(story)
        return tally

    def killed_by_chance(self, seed: int, at_most: int) -> Tally:
        """The whole story with the daemon, killed at so many random instants. `tried`: how often it was."""
        chance = random.Random(seed)
        with self._begun(None) as story:
            kills = 0
            while story.next_moment():
                kills += _killed_until_settled(story, chance, at_most - kills)
            assert self.chapters
            tally = self._audited(story, kills)
            tally.tried = kills
            return tally

    @property
    def worth_it(self) -> range:
        """The steps before which a death is worth trying: where a store is restored, only those from then on."""
        early = [chapter for chapter in self.chapters if self.variant.restored and chapter.moment < AFTERWARDS]
        return range(sum(len(chapter.steps) for chapter in early) + 1, len(self.steps) + 1)

    @contextmanager
    def _begun(self, place: Path | None) -> Iterator[Story]:
        with (
            TemporaryDirectory(dir=self._directory) as folder,
            Story(self.site, self.variant, Path(folder), place) as s,
        ):
            yield s


def _left_behind(story: Story) -> Iterator[str]:
    """By a restore: whatever waits for a person has to be named, and no half a copy may lie there."""
    said = {(one["letter"], one["reference"]) for one in story.desk.json("outbox", "--state", "uncertain")}
    yield from (f"uncertain, and not named: {one}" for one in story.uncertain() - said)
    yield from (f"left behind: {one.name}" for one in story.desk.directory.glob("*.partial*"))
    yield from (f"left behind: {one.name}" for one in story.desk.directory.glob(".*.partial*"))


def _lived_through(story: Story) -> int:
    """Rounds, until nobody has anything left to do. Returns how many ended by SIGKILL."""
    crashes = 0
    for _ in range(ROUNDS):
        crashes += _one_round(story) == -signal.SIGKILL
        if story.settled():
            return crashes
        story.act()
    raise AssertionError(f"not done after {ROUNDS} rounds: {story.left()}")


def _one_round(story: Story) -> int:
    done = story.desk.say("run", "--once", status=None)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    _is_gone(story)
    return done.returncode


def _is_gone(story: Story) -> None:
    wait_until(lambda: not story.server.open, what="the end of a connection whose client is gone")


def _killed_until_settled(story: Story, chance: random.Random, at_most: int) -> int:
    """One moment with the daemon, killed again and again until all is done. Returns how often."""
    kills, patience = 0, time.monotonic() + 60
    while True:
        story.desk.launch()
        wholly = kills == at_most  # it may live until it has done everything
        end = patience if wholly else time.monotonic() + chance.choice((0.2, 0.7, 2.0)) * chance.random()
        while time.monotonic() < end and not (wholly and story.settled()):
            story.act()
            time.sleep(0.01)
        story.desk.stop(signal.SIGTERM if wholly else signal.SIGKILL)
        kills += not wholly
        _is_gone(story)
        if story.settled():
            return kills
        assert time.monotonic() < patience, f"not done after {kills} kills: {story.left()}"


def _steps(story: Story) -> list[str]:
    return (story.desk.directory / "steps").read_text("utf-8").splitlines()
