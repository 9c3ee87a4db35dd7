"""Notices changes as they happen, and compares everything at start and from time to time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.intake.places import Place
from forebay.intake.reconcile import Reconciled, Reconciler

log = logging.getLogger(__name__)

SETTLE_LOOKS = 25  # how often what is being written is looked at before a place counts as compared without it
RETRY_SECONDS = 2.0  # before a folder that was not there is looked for again


class ChangeFeed(Protocol):
    """Tells which paths may have changed; it may tell too much, and miss things."""

    def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        """Batches of changed paths below the roots."""
        ...


class FileSystemFeed:
    """Change notifications of the operating system (inotify, FSEvents), through watchfiles."""

    async def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        from watchfiles import awatch

        async for batch in awatch(*roots, watch_filter=None, debounce=100, step=20, rust_timeout=1000, ignore_permission_denied=True):
            yield {Path(path) for _, path in batch}


class Watcher:
    """Keeps the arrivals of some places up to date."""

    def __init__(
        self,
        places: Sequence[Place],
        reconciler: Reconciler,
        feed: ChangeFeed,
        clock: Clock,
        *,
        settle_seconds: float,
        interval_seconds: float,
    ) -> None:
        self._places = places
        self._reconciler = reconciler
        self._feed = feed
        self._clock = clock
        self._settle_seconds = settle_seconds
        self._interval_seconds = interval_seconds
        self._changed: dict[str, set[str]] = {place.key: set() for place in places}
        self._news = asyncio.Event()
        self._excluded: dict[str, int] = {}
        self._reconciled: set[str] = set()
        self._all_reconciled = asyncio.Event()
        self._unavailable: set[str] = set()
        self._inodes: dict[str, int] = {}
        self._looks: dict[str, int] = {}  # since the first complete comparison
        self._relisten = asyncio.Event()

    @property
    def is_reconciled(self) -> bool:
        """Whether every place has been compared completely since the start."""
        return self._all_reconciled.is_set()

    async def until_reconciled(self) -> None:
        """Return once every place has been compared completely since the start."""
        await self._all_reconciled.wait()

    @property
    def excluded_count(self) -> int:
        """Files that were left out at the last complete comparison."""
        return sum(self._excluded.values())

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._follow())

    async def _listen(self) -> None:
        while True:
            roots = [place.root for place in self._places]
            self._relisten.clear()
            telling = asyncio.create_task(self._hear(roots))
            moved = asyncio.create_task(self._relisten.wait())
            try:
                # the system watches a folder itself, not its name: one in its place is watched anew
                await asyncio.wait([telling, moved], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (telling, moved):
                    task.cancel()
                await asyncio.gather(telling, moved, return_exceptions=True)

    async def _hear(self, roots: Sequence[Path]) -> None:
        try:
            async for paths in self._feed.changes(roots):
                for path in paths:
                    self._note(path)
        except (OSError, RuntimeError) as error:
            # no more inotify watches, or a folder that is not there: comparing goes on, only later
            log.warning("changes are not noticed at once: %s", error)
        await self._clock.sleep(RETRY_SECONDS)

    def _note(self, path: Path) -> None:
        for place in self._places:
            if path.is_relative_to(place.root):
                name = path.relative_to(place.root).as_posix()
                # rules that changed concern everything below them
                self._changed[place.key].add(name.rpartition("/")[0] if path.name == ".gitignore" else name)
                self._news.set()

    async def _follow(self) -> None:
        next_complete = self._clock.monotonic()
        while True:
            if self._clock.monotonic() >= next_complete:
                compared = [await self._compare(place, None) for place in self._places]
                next_complete = self._clock.monotonic() + (self._interval_seconds if all(compared) else RETRY_SECONDS)
            else:
                for place in self._places:
                    # taken only now: what is noted while another place is compared must not get lost
                    names, self._changed[place.key] = frozenset(self._changed[place.key]), set()
                    if names and not await self._compare(place, None if names & {"", "."} else names):
                        next_complete = min(next_complete, self._clock.monotonic() + RETRY_SECONDS)
            if any(self._changed.values()):
                await self._clock.sleep(self._settle_seconds)
                continue
            self._news.clear()
            try:
                async with asyncio.timeout(max(0.0, next_complete - self._clock.monotonic())):
                    await self._news.wait()
            except TimeoutError:
                continue
            # what is being written or replaced gets the time to settle, and changes are compared in batches
            await self._clock.sleep(self._settle_seconds)

    async def _compare(self, place: Place, only: frozenset[str] | None) -> bool:
        """False when the place could not be compared: soon everything in it is compared instead."""
        try:
            found = await self._reconciler.reconcile(place, actor="reconciler" if only is None else "watcher", only=only)
        except ForebayError as error:
            if place.key not in self._unavailable:
                log.warning("%s is not compared with the catalog until this is over: %s", place.root, error)
            self._unavailable.add(place.key)
            return False
        if self._inodes.setdefault(place.key, found.root_inode) != found.root_inode or place.key in self._unavailable:
            self._relisten.set()
        self._unavailable.discard(place.key)
        self._inodes[place.key] = found.root_inode
        self._changed[place.key] |= found.unsettled
        if only is None:
            self._excluded[place.key] = found.excluded_count
            self._looks.setdefault(place.key, 0)
        self._count_as_reconciled(place, found)
        return True

    def _count_as_reconciled(self, place: Place, found: Reconciled) -> None:
        """A place has been compared once what was still being written has settled too, or does not want to."""
        if place.key not in self._looks:
            return
        self._looks[place.key] += 1
        if not found.unsettled or self._looks[place.key] > SETTLE_LOOKS:
            self._reconciled.add(place.key)
            if len(self._reconciled) == len(self._places):
                self._all_reconciled.set()
