"""The accidents of a simulated machine: what fails, stalls, gets lost or jumps, when, and how often it did."""

from __future__ import annotations

import asyncio
import errno
import os
import random  # noqa: TID251 - one seed decides a whole run
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from forebay.errors import ForebayError
from forebay.pipeline.embedders.mock import MockEmbedder
from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.pipeline.refused import ParserFailed
from forebay.testing.inline import SimulatedCrash
from forebay.testing.virtual_files import VirtualFiles
from forebay.testing.virtual_loop import VirtualClock

Result = TypeVar("Result")
EpisodeKind = Literal["disk_full", "folder_gone", "folder_unreadable"]

UNREADABLE = "read of an unreadable file"
WRITES = frozenset({"create", "write", "sync", "rename"})  # what needs room on a disk
EPISODE_SECONDS = (2.0, 30.0, 900.0)  # shorter and longer than all retries of an activity together
SLOW_SECONDS = (1.0, 15.0, 350.0)  # the longest is over the timeout of an activity
CLOCK_JUMP_SECONDS = (-43_200.0, -3600.0, -1.0, 1.0, 3600.0, 43_200.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Which accidents happen, and how often. Counts of jumps and episodes are for each life of the program."""

    crash_count: int = 0
    commit_failure_ratio: float = 0.0
    file_failure_ratio: float = 0.0
    slow_file_ratio: float = 0.0
    embedder_failure_ratio: float = 0.0
    parser_failure_ratio: float = 0.0
    lost_change_ratio: float = 0.0
    stall_seconds: float = 0.0
    clock_jump_count: int = 0
    disk_full_count: int = 0  # times in which neither database nor files can be written
    folder_gone_count: int = 0  # times in which the watched folder is not there
    folder_unreadable_count: int = 0  # times in which its files can be listed and not read


NO_FAULTS = Faults()
ALL_FAULTS = Faults(
    crash_count=4,
    commit_failure_ratio=0.03,
    file_failure_ratio=0.03,
    slow_file_ratio=0.01,
    embedder_failure_ratio=0.15,
    parser_failure_ratio=0.1,
    lost_change_ratio=0.3,
    stall_seconds=400.0,
    clock_jump_count=2,
    disk_full_count=1,
    folder_gone_count=1,
    folder_unreadable_count=1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A time in which something fails without exception; seconds of the process's life."""

    kind: EpisodeKind
    begin_seconds: float
    end_seconds: float
    error: int  # errno


class Accidents:
    """What goes wrong in one life of the program.

    `counts` says by kind what did, `in_a_row` how often without a success between; both outlive the process, since an
    activity's tries do.
    """

    def __init__(
        self, faults: Faults, chance: random.Random, clock: VirtualClock, *, folder: Path, counts: Counter[str], in_a_row: Counter[str]
    ) -> None:
        self.faults = faults
        self.is_over = False  # nothing goes wrong any more
        self._chance = chance
        self._clock = clock
        self._folder = folder
        self._counts = counts
        self._in_a_row = in_a_row
        self._episodes = [
            *self._draw("disk_full", faults.disk_full_count, (errno.ENOSPC, errno.EDQUOT)),
            *self._draw("folder_gone", faults.folder_gone_count, (errno.ENOENT, errno.EIO)),
            *self._draw("folder_unreadable", faults.folder_unreadable_count, (errno.EIO, errno.EACCES)),
        ]

    def _draw(self, kind: EpisodeKind, count: int, errors: tuple[int, ...]) -> list[Episode]:
        found = []
        for _ in range(count):
            begin_seconds = self._chance.uniform(0, 60)
            end_seconds = begin_seconds + self._chance.choice(EPISODE_SECONDS)
            found.append(Episode(kind=kind, begin_seconds=begin_seconds, end_seconds=end_seconds, error=self._chance.choice(errors)))
        return found

    def spares_reading(self) -> bool:
        """Whether files that could not be read may have used up the tries of whatever reads and parses them, in this life or before.

        Nothing else may take the last one then: what it fails with would be no reason to look at the file again.
        """
        return self._counts[UNREADABLE] > 0

    def delay_seconds(self) -> float:
        """How long one thing takes: this is what orders concurrent work."""
        return self._chance.choice([0.0, 0.0, 0.001, 0.01, 0.1])

    def happens(self, kind: str, ratio: float, of: str = "") -> bool:
        """Whether an accident happens now; never more than twice in a row to the same thing, so that retries win."""
        key = f"{kind} {of}"
        if self.is_over or self._in_a_row[key] >= 2 or self._chance.random() >= ratio:
            self._in_a_row[key] = 0
            return False
        self._in_a_row[key] += 1
        self._counts[kind] += 1
        return True

    async def maybe_stall(self) -> None:
        """Now and then something takes very long."""
        if self.faults.stall_seconds and not self.is_over and not self.spares_reading() and self._chance.random() < 0.02:
            self._counts["stall"] += 1
            await asyncio.sleep(self._chance.uniform(0, self.faults.stall_seconds))

    async def maybe_slow(self) -> None:
        """Now and then a disk takes its time, before or after it has done what it was told."""
        if not self.is_over and self._chance.random() < self.faults.slow_file_ratio:
            self._counts["slow file"] += 1
            await asyncio.sleep(self._chance.choice(SLOW_SECONDS[:-1] if self.spares_reading() else SLOW_SECONDS))

    def fail_commit(self) -> str | None:
        """What the database says when this commit fails."""
        if self._episode("disk_full") is not None:
            self._counts["commit on a full disk"] += 1
            return "database or disk is full (simulated)"
        return "disk I/O error (simulated)" if self.happens("commit", self.faults.commit_failure_ratio) else None

    def fail_file(self, operation: str, path: Path) -> None:
        """Raise `OSError` when this operation on a file fails."""
        if path.is_relative_to(self._folder):
            self._fail_in("folder_gone", f"{operation} in a folder that is gone", path)
            if operation == "read":
                self._fail_in("folder_unreadable", UNREADABLE, path)
        elif operation in WRITES:
            self._fail_in("disk_full", f"{operation} on a full disk", path)
        if self.happens(f"file {operation}", self.faults.file_failure_ratio, str(path)):
            raise OSError(errno.EIO, "input/output error (simulated)", str(path))

    def _fail_in(self, kind: EpisodeKind, what: str, path: Path) -> None:
        episode = self._episode(kind)
        if episode is not None:
            self._counts[what] += 1
            raise OSError(episode.error, f"{os.strerror(episode.error)} (simulated)", str(path))

    def _episode(self, kind: EpisodeKind) -> Episode | None:
        now = self._clock.monotonic()
        within = (each for each in self._episodes if each.kind == kind and each.begin_seconds <= now < each.end_seconds)
        return None if self.is_over else next(within, None)

    async def jump_the_clock(self) -> None:
        """Set the wall clock forward and back at random moments."""
        for _ in range(self.faults.clock_jump_count):
            await asyncio.sleep(self._chance.uniform(0, 60))
            self._jump("clock jump")

    def jump_in_a_retry(self) -> None:
        """Now and then the wall clock jumps while something that has just failed waits for its next try."""
        if self.faults.clock_jump_count and not self.is_over and self._chance.random() < 0.4:
            asyncio.get_running_loop().call_later(self._chance.uniform(0, 1), self._jump, "clock jump during a retry")

    def _jump(self, kind: str) -> None:
        seconds = self._chance.choice(CLOCK_JUMP_SECONDS)
        self._counts[f"{kind} {'forward' if seconds > 0 else 'back'}"] += 1
        self._clock.jump(seconds)

    def seconds_until_restart(self) -> float:
        """By how much the wall clock differs at the next start; it may have been set back meanwhile."""
        seconds = self._chance.choice([0.1, 5.0, 500.0])
        if self.faults.clock_jump_count and self._chance.random() < 0.3:
            jump_seconds = self._chance.choice(CLOCK_JUMP_SECONDS)
            self._counts[f"clock jump across a restart {'forward' if jump_seconds > 0 else 'back'}"] += 1
            seconds += jump_seconds
        return seconds


class InlineBlocking:
    """Blocking calls on the loop, each with a delay before and after it.

    As with a thread, what has begun goes on when its caller is cancelled, so that its effect may come late.
    """

    def __init__(self, accidents: Accidents) -> None:
        self._accidents = accidents
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        task = asyncio.create_task(self._run(function, *arguments))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def _run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        await asyncio.sleep(self._accidents.delay_seconds())
        await self._accidents.maybe_slow()
        try:
            result = function(*arguments)
        except SimulatedCrash:
            await asyncio.get_running_loop().create_future()  # nobody is there any more to go on
            raise
        await self._accidents.maybe_slow()
        await asyncio.sleep(self._accidents.delay_seconds())
        return result

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone; then nobody else looks at it

    def close(self) -> None:
        pass


class FaultyParser:
    """Parses in this process, unless it dies or stalls."""

    def __init__(self, accidents: Accidents) -> None:
        self._accidents = accidents

    async def parse(self, request: ParseRequest) -> Parsed:
        await asyncio.sleep(self._accidents.delay_seconds())
        await self._accidents.maybe_stall()
        ratio = 0.0 if self._accidents.spares_reading() else self._accidents.faults.parser_failure_ratio
        if self._accidents.happens("parser death", ratio, request.name):
            self._accidents.jump_in_a_retry()
            raise ParserFailed("parser_crashed", "the parser process died (simulated)")
        return parse(request)

    async def close(self) -> None:
        pass


class FaultyEmbedder(MockEmbedder):
    """The mock embedder, unless it fails, stalls, or gives an answer that must not be stored."""

    def __init__(self, accidents: Accidents) -> None:
        super().__init__()
        self._accidents = accidents

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        accidents = self._accidents
        await asyncio.sleep(accidents.delay_seconds())
        await accidents.maybe_stall()
        if accidents.happens("embedder failure", accidents.faults.embedder_failure_ratio):
            accidents.jump_in_a_retry()
            raise ForebayError("embedding_failed", "the embedder failed (simulated)", retryable=True)
        vectors = await super().embed(texts)
        return vectors * 0 if accidents.happens("vector of zeros", accidents.faults.embedder_failure_ratio / 2) else vectors


class LossyFeed:
    """Change notifications that come late, together, or never."""

    def __init__(self, accidents: Accidents, files: VirtualFiles) -> None:
        self._accidents = accidents
        self._files = files

    async def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        await asyncio.sleep(self._accidents.delay_seconds())
        self._files.take_changed()  # nobody listened
        yield set()
        while True:
            await self._files.news.wait()
            await asyncio.sleep(0.1 + self._accidents.delay_seconds())
            changed = self._files.take_changed()
            lost_ratio = self._accidents.faults.lost_change_ratio
            told = {path for path in sorted(changed) if not self._accidents.happens("lost change", lost_ratio)}
            if told:
                yield told
