"""Notices changes as they happen, and compares everything at start and from time to time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import sys
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
LISTEN_SECONDS = 1.0  # for which the first comparison waits for a feed, so that nothing changes between the two unnoticed
UNWATCHED_LOOK_SECONDS = 10.0  # between comparisons of everything while changes are not told, or not all
MANY_CHANGES_COUNT = 2000  # with more at once the system may have lost some, and comparing everything costs less than each

_IN_DELETE_SELF = 0x400  # linux/inotify.h


class ChangeFeed(Protocol):
    """Tells which paths may have changed; it may tell too much, and miss things."""

    def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        """Batches of changed paths below the roots; the first, which may be empty, comes as soon as it listens."""
        ...


class FileSystemFeed:
    """Change notifications of the operating system (inotify, FSEvents), through watchfiles.

    Where inotify has no watch left, some folders are not watched, and nothing else tells: then every root counts as changed
    every few seconds. Roots that are not there are left out, and `changes` ends when one of them has come.
    """

    async def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        from watchfiles import awatch

        present = [root for root in roots if _is_there(root)]
        absent = [root for root in roots if root not in present]
        batches = awatch(
            *present, watch_filter=None, debounce=100, step=20, rust_timeout=1000, yield_on_timeout=True, ignore_permission_denied=True
        )
        batch = asyncio.ensure_future(anext(batches))
        limit = _WatchLimit(present)
        try:
            await asyncio.sleep(0)  # its first step sets the watches, before it waits for anything
            if not batch.done():
                yield set()
            while not any(map(_is_there, absent)):
                paths = {Path(path) for _, path in await batch} | limit.unwatched()
                batch = asyncio.ensure_future(anext(batches))
                if paths:
                    yield paths
        finally:
            batch.cancel()


class _WatchLimit:
    """Looks from time to time whether inotify had enough watches."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots
        self._loop = asyncio.get_running_loop()
        self._next_look = self._loop.time()
        self._is_reached = False

    def unwatched(self) -> set[Path]:
        """The roots, every few seconds while something in them may not be watched."""
        if not self._roots or self._loop.time() < self._next_look:
            return set()
        self._next_look = self._loop.time() + UNWATCHED_LOOK_SECONDS
        was_reached, self._is_reached = self._is_reached, not has_watch_left(self._roots[0])
        if self._is_reached and not was_reached:
            log.warning(
                "folders may be unwatched, because all of fs.inotify.max_user_watches is used: raise it; until then everything is"
                " compared with the catalog every %g s",
                UNWATCHED_LOOK_SECONDS,
            )
        return set(self._roots) if self._is_reached else set()


def has_watch_left(path: Path) -> bool:
    """Whether inotify would watch one more file or folder for this user; True where there is no inotify."""
    if not sys.platform.startswith("linux"):
        return True
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        return ctypes.get_errno() not in (errno.EMFILE, errno.ENFILE)
    try:
        return bool(library.inotify_add_watch(descriptor, os.fsencode(path), _IN_DELETE_SELF) >= 0 or ctypes.get_errno() != errno.ENOSPC)
    finally:
        os.close(descriptor)


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:
        return False


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
        self._is_due = asyncio.Event()  # everything is to be compared, because only what changes from now on will be told
        self._excluded: dict[str, int] = {}
        self._reconciled: set[str] = set()
        self._all_reconciled = asyncio.Event()
        self._unavailable: set[str] = set()
        self._inodes: dict[str, int] = {}
        self._looks: dict[str, int] = {}  # since the first complete comparison
        self._relisten = asyncio.Event()
        self._deaf_because = ""

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
        is_listening = False
        try:
            async for paths in self._feed.changes(roots):
                if not is_listening:
                    is_listening = True
                    self._deaf_because = ""
                    self._make_due()
                for path in paths:
                    self._note(os.fspath(path))
        except (OSError, RuntimeError) as error:
            # no inotify instance left, for one: comparing goes on, only later
            if str(error) != self._deaf_because:
                log.warning("changes are not noticed at once, but every %g s: %s", UNWATCHED_LOOK_SECONDS, error)
            self._deaf_because = str(error)
            await self._clock.sleep(UNWATCHED_LOOK_SECONDS)
            self._make_due()
        else:
            await self._clock.sleep(RETRY_SECONDS)

    def _make_due(self) -> None:
        self._is_due.set()
        self._news.set()

    def _note(self, path: str) -> None:
        for place in self._places:
            root = os.fspath(place.root)
            if path == root:
                name = ""
            elif path.startswith(root.removesuffix("/") + "/"):
                name = path[len(root.removesuffix("/")) + 1 :]
            else:
                continue
            # rules that changed concern everything below them
            folder, _, last = name.rpartition("/")
            self._changed[place.key].add(folder if last == ".gitignore" else name)
            self._news.set()

    async def _follow(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_SECONDS):
                await self._is_due.wait()
        due = {place.key: self._clock.monotonic() for place in self._places}  # when all of it is compared
        while True:
            if self._is_due.is_set():
                self._is_due.clear()
                due = dict.fromkeys(due, self._clock.monotonic())
            for place in self._places:
                key = place.key
                # taken only now: what is noted while another place is compared must not get lost
                names: frozenset[str] | None = None
                if self._clock.monotonic() < due[key]:
                    names, self._changed[key] = frozenset(self._changed[key]), set()
                    if not names:
                        continue
                    if "" in names or len(names) > MANY_CHANGES_COUNT:
                        names = None
                is_compared = await self._compare(place, names)
                if not is_compared:
                    due[key] = self._clock.monotonic() + RETRY_SECONDS
                elif names is None:
                    due[key] = self._clock.monotonic() + self._interval_seconds
            if any(self._changed.values()) or self._is_due.is_set():
                await self._clock.sleep(self._settle_seconds)
                continue
            self._news.clear()
            try:
                async with asyncio.timeout(max(0.0, min(due.values()) - self._clock.monotonic())):
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
