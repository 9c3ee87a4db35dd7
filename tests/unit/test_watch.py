"""What is compared when: nothing changes unnoticed between the moment of listening and the first comparison."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from forebay.errors import ForebayError
from forebay.intake.excludes import Excludes
from forebay.intake.places import Place
from forebay.intake.reconcile import Reconciled
from forebay.intake.watch import FileSystemFeed, Watcher
from forebay.testing.virtual_loop import VirtualClock, run_virtual

FOLDER = Path("/folder")


class SlowFeed:
    """Listens after a while, tells nothing, and ends when it is told to."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_listening = False
        self.failure: OSError | None = None

    async def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        if self.failure is not None:
            raise self.failure
        await asyncio.sleep(self.seconds)
        self.is_listening = True
        yield set()
        await asyncio.Event().wait()


class NotingReconciler:
    """Notes for each complete comparison whether changes were being told."""

    def __init__(self, feed: SlowFeed) -> None:
        self.feed = feed
        self.looks: list[bool] = []
        self.inode = 1
        self.is_gone = False

    async def reconcile(self, place: Place, *, actor: str, only: frozenset[str] | None = None) -> Reconciled:
        assert only is None
        self.looks.append(self.feed.is_listening)
        if self.is_gone:
            raise ForebayError("source_unavailable", "gone", retryable=True)
        return Reconciled(recorded_count=0, excluded_count=0, unsettled=frozenset(), root_inode=self.inode)


@contextlib.asynccontextmanager
async def watching(feed: SlowFeed) -> AsyncIterator[NotingReconciler]:
    excludes = Excludes(exclude=(), include=(), respect_gitignore=False)
    place = Place(project="p", source=str(FOLDER), root=FOLDER, container=None, prefix="", excludes=excludes)
    reconciler = NotingReconciler(feed)
    clock = VirtualClock(asyncio.get_running_loop())
    watcher = Watcher([place], reconciler, feed, clock, settle_seconds=0.2, interval_seconds=300)  # type: ignore[arg-type]
    task = asyncio.create_task(watcher.run())
    try:
        yield reconciler
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_the_first_comparison_waits_until_changes_are_told() -> None:
    """A file that came between the two was not noticed before the next comparison, minutes later."""

    async def main() -> list[bool]:
        async with watching(SlowFeed(0.5)) as reconciler:
            await asyncio.sleep(100)
            return reconciler.looks

    assert run_virtual(main) == [True]


def test_a_feed_that_takes_long_delays_the_first_comparison_a_little_and_is_caught_up_with() -> None:
    async def main() -> list[bool]:
        async with watching(SlowFeed(30)) as reconciler:
            await asyncio.sleep(10)
            assert reconciler.looks == [False]
            await asyncio.sleep(90)
            return reconciler.looks

    assert run_virtual(main) == [False, True]


def test_everything_is_compared_when_a_feed_that_failed_listens_at_last() -> None:
    async def main() -> list[bool]:
        feed = SlowFeed(0)
        feed.failure = OSError("no watches are left")
        async with watching(feed) as reconciler:
            await asyncio.sleep(60)
            assert reconciler.looks and not any(reconciler.looks)
            feed.failure = None
            await asyncio.sleep(60)
            return reconciler.looks

    assert run_virtual(main)[-1]


async def test_the_feed_of_the_system_tells_everything_from_its_first_batch_on(tmp_path: Path) -> None:
    feed = FileSystemFeed().changes([tmp_path])
    async with asyncio.timeout(20), contextlib.aclosing(feed):  # type: ignore[type-var]
        assert await anext(feed) == set()
        (tmp_path / "a.txt").write_text("a")
        told: set[Path] = set()
        while tmp_path / "a.txt" not in told:
            told |= await anext(feed)
