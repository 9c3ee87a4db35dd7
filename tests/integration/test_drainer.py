from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.integration.telemetry_rows import ListFeed, entry, open_store, select

from forebay.effects import SystemClock, real_effects
from forebay.errors import ForebayError
from forebay.telemetry.drainer import Drainer, DrainLimits
from forebay.telemetry.log.segment_log import SegmentLog
from forebay.telemetry.store.store import TelemetryStore

QUICK = DrainLimits(linger_seconds=0.01, first_backoff_seconds=0.01, longest_backoff_seconds=0.05)


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def running(drainer: Drainer) -> AsyncIterator[None]:
    task = asyncio.create_task(drainer.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def trace(number: int, rows: int = 1, **options):
    return entry({"traces": [{"message": f"{number}-{row}"} for row in range(rows)]}, **options)


class FailingStore(TelemetryStore):
    """Refuses the first inserts."""

    failures = 0

    async def insert(self, entries):
        if self.failures:
            self.failures -= 1
            raise ForebayError("telemetry_store_unavailable", "the disk is full", retryable=True, status=503)
        return await super().insert(entries)


async def test_what_is_appended_is_drained_and_then_released(tmp_path: Path):
    feed = ListFeed()
    async with open_store(tmp_path / "t.duckdb") as store:
        drainer = Drainer(store, [feed], clock=SystemClock(), limits=QUICK)
        async with running(drainer):
            feed.append(*(trace(number) for number in range(50)))
            assert await drainer.until_drained(drainer.ends(), 20)
            await until(lambda: feed.released == 50)
            assert (drainer.lag_seconds(), drainer.state().row_count) == (0.0, 50)
            feed.append(trace(50))
            assert await drainer.until_drained(drainer.ends(), 20)
        assert await select(store, "SELECT count(DISTINCT message) FROM store.traces") == [(51,)]


async def test_nothing_is_released_before_it_is_committed(tmp_path: Path):
    feed = ListFeed()
    store = FailingStore(tmp_path / "t.duckdb", clock=SystemClock())
    store.failures = 3
    drainer = Drainer(store, [feed], clock=SystemClock(), limits=QUICK)
    feed.append(trace(1))
    async with running(drainer):
        await until(lambda: drainer.state().error is not None)
        assert feed.released == 0 or store.failures == 0
        await until(lambda: feed.released == 1)
        assert drainer.state().error is None
    assert (await store.statistics()).row_counts["traces"] == 1
    await store.close()


async def test_a_restart_goes_on_where_the_tables_end_even_if_nothing_was_released(tmp_path: Path):
    feed = ListFeed()
    feed.append(*(trace(number) for number in range(10)))
    for _ in range(3):
        async with open_store(tmp_path / "t.duckdb") as store:
            drainer = Drainer(store, [feed], clock=SystemClock(), limits=QUICK)
            async with running(drainer):
                feed.append(trace(len(feed.entries)))
                assert await drainer.until_drained(drainer.ends(), 20)
            expected = len(feed.entries)
            assert await select(store, "SELECT count(*), count(DISTINCT message) FROM store.traces") == [(expected, expected)]


async def test_batches_are_cut_by_rows_and_never_within_an_entry(tmp_path: Path):
    feed = ListFeed()
    feed.append(*(trace(number, rows=40) for number in range(10)))
    async with open_store(tmp_path / "t.duckdb") as store:
        sizes: list[int] = []
        original = store.insert

        async def insert(entries):
            sizes.append(sum(each.entry.record_count for each in entries))
            return await original(entries)

        store.insert = insert  # type: ignore[method-assign]
        drainer = Drainer(store, [feed], clock=SystemClock(), limits=DrainLimits(batch_rows=100, linger_seconds=0.01))
        async with running(drainer):
            assert await drainer.until_drained(drainer.ends(), 20)
    assert sizes == [80] * 5


async def test_two_feeds_are_drained_independently(tmp_path: Path):
    class BrokenFeed(ListFeed):
        async def read(self, after, *, limit_bytes):
            raise OSError("unreadable")

    good, broken = ListFeed("good"), BrokenFeed("broken")
    good.append(trace(1))
    broken.append(trace(2))
    async with open_store(tmp_path / "t.duckdb") as store:
        drainer = Drainer(store, [broken, good], clock=SystemClock(), limits=QUICK)
        async with running(drainer):
            assert await drainer.until_drained({"good": 1}, 20)
            assert not await drainer.until_drained(drainer.ends(), 0.05)
            assert drainer.lag_seconds() > 0
            await until(lambda: drainer.state().error is not None)


async def test_waiting_for_the_drain_does_not_wait_for_the_linger(tmp_path: Path):
    feed = ListFeed()
    async with open_store(tmp_path / "t.duckdb") as store:
        await store.open()
        drainer = Drainer(store, [feed], clock=SystemClock(), limits=DrainLimits(linger_seconds=60, patience_seconds=60))
        async with running(drainer):
            feed.append(trace(1))
            assert await drainer.until_drained(drainer.ends(), 20)


PATIENT = DrainLimits(linger_seconds=0.01, patience_seconds=60)


async def test_what_nobody_has_asked_for_waits_for_more(tmp_path: Path):
    feed = ListFeed()
    async with open_store(tmp_path / "t.duckdb") as store:
        drainer = Drainer(store, [feed], clock=SystemClock(), limits=PATIENT)
        async with running(drainer):
            feed.append(trace(1))
            assert await drainer.until_drained(drainer.ends(), 20)
            feed.append(trace(2))
            await until(lambda: drainer.lag_seconds() > 0.1)
            assert store.positions == {"local": 1}
            feed.append(trace(3))
            drainer.hasten(drainer.ends())
            await until(lambda: store.positions == {"local": 3})


async def test_what_a_feed_does_not_give_at_once_follows_without_patience(tmp_path: Path):
    class SlowFeed(ListFeed):
        async def read(self, after, *, limit_bytes):
            return await super().read(after, limit_bytes=1)

    feed = SlowFeed()
    async with open_store(tmp_path / "t.duckdb") as store:
        drainer = Drainer(store, [feed], clock=SystemClock(), limits=PATIENT)
        async with running(drainer):
            feed.append(trace(0))
            assert await drainer.until_drained(drainer.ends(), 20)
            feed.append(*(trace(number) for number in range(1, 20)))
            assert await drainer.until_drained({"local": 2}, 20)
            await until(lambda: store.positions == {"local": 20})


async def test_asking_for_one_feed_makes_no_haste_with_another(tmp_path: Path):
    quick, slow = ListFeed("quick"), ListFeed("slow")
    async with open_store(tmp_path / "t.duckdb") as store:
        drainer = Drainer(store, [quick, slow], clock=SystemClock(), limits=PATIENT)
        async with running(drainer):
            quick.append(trace(1))
            slow.append(trace(2))
            assert await drainer.until_drained(drainer.ends(), 20)
            slow.append(trace(3))
            await until(lambda: drainer.lag_seconds() > 0)
            quick.append(trace(4))
            drainer.hasten(quick.ends())
            await until(lambda: store.positions == {"quick": 2, "slow": 1})
            assert await drainer.until_drained(slow.ends(), 20)


async def test_what_an_earlier_process_left_is_drained_without_patience(tmp_path: Path):
    feed = ListFeed()
    feed.append(trace(1))
    async with open_store(tmp_path / "t.duckdb") as store:
        drainer = Drainer(store, [feed], clock=SystemClock(), limits=PATIENT)
        async with running(drainer):
            await until(lambda: store.positions == {"local": 1})


@pytest.mark.alone
async def test_a_single_record_that_is_asked_for_is_in_the_tables_within_a_second(tmp_path: Path):
    feed = ListFeed()
    async with open_store(tmp_path / "t.duckdb") as store:
        drainer = Drainer(store, [feed], clock=SystemClock())
        async with running(drainer):
            took = []
            for number in range(5):
                began = time.monotonic()
                offset = feed.append(trace(number))
                drainer.hasten(drainer.ends())
                await until(lambda offset=offset: store.positions.get("local", 0) >= offset)  # type: ignore[misc]
                took.append(time.monotonic() - began)
            assert min(took) < 1.0  # the least of five: the machine may be busy


async def test_the_segment_log_is_drained_exactly_once_over_restarts(tmp_path: Path):
    effects = real_effects()
    for round_number in range(3):
        log = SegmentLog(tmp_path / "log", effects.blocking)
        await log.open()
        async with open_store(tmp_path / "t.duckdb") as store:
            drainer = Drainer(store, [log], clock=SystemClock(), limits=QUICK)
            async with running(drainer):
                await asyncio.gather(*(log.append(trace(round_number * 100 + number, rows=3)) for number in range(100)))
                assert await drainer.until_drained(drainer.ends(), 20)
            expected = (round_number + 1) * 300
            assert await select(store, "SELECT count(*), count(DISTINCT message) FROM store.traces") == [(expected, expected)]
        await log.close()
    effects.blocking.close()


@pytest.mark.parametrize("seconds", [0.0, 0.05])
async def test_waiting_gives_up_at_its_bound(tmp_path: Path, seconds: float):
    feed = ListFeed()
    feed.append(trace(1))
    async with open_store(tmp_path / "t.duckdb") as store:
        drainer = Drainer(store, [feed], clock=SystemClock())
        assert not await drainer.until_drained(drainer.ends(), seconds)
        assert await drainer.until_drained({"local": 0}, seconds)
