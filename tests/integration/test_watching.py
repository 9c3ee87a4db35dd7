"""What the watcher compares when changes are told, told in part, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from forebay.effects import SystemClock
from forebay.errors import ForebayError
from forebay.intake import watch
from forebay.intake.excludes import Excludes
from forebay.intake.places import Place
from forebay.intake.reconcile import Reconciled, Reconciler
from forebay.intake.watch import ChangeFeed, FileSystemFeed, Watcher

NOTHING = Reconciled(recorded_count=0, excluded_count=0, unsettled=frozenset(), root_inode=1)


class Comparisons:
    """A reconciler that notes what it is asked."""

    def __init__(self, missing: set[Path] | None = None) -> None:
        self.asked: list[tuple[str, frozenset[str] | None]] = []
        self.missing = missing or set()

    async def reconcile(self, place: Place, *, actor: str, only: frozenset[str] | None = None) -> Reconciled:
        self.asked.append((place.root.name, only))
        if place.root in self.missing:
            raise ForebayError("source_unavailable", "it is not there", retryable=True)
        return NOTHING

    def count_of(self, name: str, only: frozenset[str] | None = None) -> int:
        return self.asked.count((name, only))


class ToldFeed:
    """Tells what a test puts in; a text is an error."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[set[Path] | str] = asyncio.Queue()

    async def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        yield set()
        while True:
            told = await self.waiting.get()
            if isinstance(told, str):
                raise OSError(told)
            yield told


def place(root: Path) -> Place:
    excludes = Excludes(exclude=(), include=(), respect_gitignore=False)
    return Place(project="p", source=str(root), root=root, container=None, prefix="", excludes=excludes)


@contextlib.asynccontextmanager
async def watching(comparisons: Comparisons, feed: ChangeFeed, *roots: Path) -> AsyncIterator[Watcher]:
    watcher = Watcher(
        [place(root) for root in roots],
        cast(Reconciler, comparisons),
        feed,
        SystemClock(),
        settle_seconds=0.01,
        interval_seconds=3600,
    )
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(look: Callable[[], Any], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not look():
            await asyncio.sleep(0.005)


async def test_a_change_is_compared_by_name_and_rules_with_all_that_is_below_them(tmp_path: Path) -> None:
    comparisons, feed = Comparisons(), ToldFeed()
    async with watching(comparisons, feed, tmp_path) as watcher:
        await watcher.until_reconciled()
        assert comparisons.asked == [(tmp_path.name, None)]
        feed.waiting.put_nowait({tmp_path / "a" / "b.txt", tmp_path / "c" / ".gitignore", tmp_path.parent / "elsewhere"})
        await until(lambda: len(comparisons.asked) == 2)
        assert comparisons.asked[1] == (tmp_path.name, frozenset(["a/b.txt", "c"]))
        feed.waiting.put_nowait({tmp_path / ".gitignore"})
        await until(lambda: comparisons.count_of(tmp_path.name) == 2)


async def test_very_many_changes_at_once_are_compared_with_everything_because_some_may_be_lost(tmp_path: Path) -> None:
    comparisons, feed = Comparisons(), ToldFeed()
    async with watching(comparisons, feed, tmp_path) as watcher:
        await watcher.until_reconciled()
        feed.waiting.put_nowait({tmp_path / str(number) for number in range(watch.MANY_CHANGES_COUNT + 1)})
        await until(lambda: len(comparisons.asked) == 2)
        assert comparisons.asked[1] == (tmp_path.name, None)


async def test_a_folder_that_is_missing_does_not_make_the_others_be_compared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RETRY_SECONDS", 0.01)
    comparisons = Comparisons({tmp_path / "missing"})
    async with watching(comparisons, ToldFeed(), tmp_path / "there", tmp_path / "missing"):
        await until(lambda: comparisons.count_of("missing") > 5)
        assert comparisons.count_of("there") == 1


async def test_while_changes_are_not_told_everything_is_compared_again_and_again_and_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "UNWATCHED_LOOK_SECONDS", 0.01)

    class BrokenFeed:
        async def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
            raise OSError("too many open files")
            yield set()

    comparisons = Comparisons()
    async with watching(comparisons, BrokenFeed(), tmp_path):
        await until(lambda: comparisons.count_of(tmp_path.name) > 5)
    assert len([record for record in caplog.records if "too many open files" in record.message]) == 1


async def test_when_changes_are_told_again_everything_is_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "UNWATCHED_LOOK_SECONDS", 0.01)
    comparisons, feed = Comparisons(), ToldFeed()
    async with watching(comparisons, feed, tmp_path) as watcher:
        await watcher.until_reconciled()
        feed.waiting.put_nowait("lost")
        await until(lambda: comparisons.count_of(tmp_path.name) > 1)
        feed.waiting.put_nowait({tmp_path / "a"})
        await until(lambda: comparisons.asked[-1] == (tmp_path.name, frozenset(["a"])))


async def test_where_inotify_has_no_watch_left_the_roots_count_as_changed_and_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "UNWATCHED_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watch, "has_watch_left", lambda path: False)
    caplog.set_level(logging.WARNING)
    told: list[set[Path]] = []
    async with contextlib.aclosing(cast(Any, FileSystemFeed().changes([tmp_path]))) as changes:
        async for paths in changes:
            told.append(paths)
            if len(told) == 3:
                break
    assert told == [set(), {tmp_path}, {tmp_path}]
    assert len([record for record in caplog.records if "max_user_watches" in record.message]) == 1


async def test_a_folder_that_is_not_there_does_not_keep_the_others_from_being_watched_and_ends_the_feed_when_it_comes(
    tmp_path: Path,
) -> None:
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.mkdir()
    told: list[Path] = []

    async def listen() -> None:
        async for paths in FileSystemFeed().changes([there, missing]):
            told.extend(paths)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (there / "a.txt").write_text("a")
    await until(lambda: there / "a.txt" in told)
    missing.mkdir()
    async with asyncio.timeout(20):
        await listening


def test_a_watch_is_left_on_a_machine_that_can_run_these_tests(tmp_path: Path) -> None:
    assert watch.has_watch_left(tmp_path)
