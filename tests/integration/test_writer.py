from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forebay.database import Transaction, open_database
from forebay.database.database import open_writer_connection
from forebay.database.readers import open_reader
from forebay.database.writer import BULK_BUDGET_SECONDS, GROUP_LIMIT_UNITS, ThreadWriter
from forebay.effects import SystemClock
from forebay.errors import ForebayError
from forebay.values.times import to_microseconds

SCHEMA = {"test": ["CREATE TABLE items (name TEXT PRIMARY KEY)"]}


class HandClock:
    """A clock whose monotonic time is set by hand."""

    seconds = 0.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)

    def now_us(self) -> int:
        return to_microseconds(self.now())

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class Bench:
    """A writer whose statements are seen, and which can be made to stand still."""

    def __init__(self, path: Path, *, queue_limit: int) -> None:
        self.clock = HandClock()
        self.ran: list[str] = []
        self.statements: list[str] = []
        self._gate = threading.Event()
        self.path = path
        connection = open_writer_connection(path, SCHEMA, synchronous="OFF")
        connection.set_trace_callback(self.statements.append)
        self.writer = ThreadWriter(connection, self.clock, queue_limit=queue_limit)

    async def stand_still(self) -> asyncio.Task[None]:
        """Occupy the writer with a unit that ends with `go_on`."""
        entered = asyncio.Event()
        loop = asyncio.get_running_loop()

        def unit(tx: Transaction) -> None:
            loop.call_soon_threadsafe(entered.set)
            assert self._gate.wait(10)

        task = asyncio.create_task(self.writer.submit(unit))
        await entered.wait()
        return task

    def go_on(self) -> None:
        self._gate.set()

    def note(self, name: str, *, takes_seconds: float = 0.0) -> Callable[[Transaction], int]:
        def unit(tx: Transaction) -> int:
            self.ran.append(name)
            self.clock.seconds += takes_seconds
            tx.execute("INSERT INTO items VALUES (?)", (name,))
            return tx.now_us

        return unit

    def submit(self, *units: Callable[[Transaction], Any], bulk: bool = False) -> list[asyncio.Task[Any]]:
        return [asyncio.create_task(self.writer.submit(unit, bulk=bulk)) for unit in units]

    @property
    def commit_count(self) -> int:
        return self.statements.count("COMMIT")

    def stored(self) -> set[str]:
        connection = sqlite3.connect(self.path)
        try:
            return {row[0] for row in connection.execute("SELECT name FROM items")}
        finally:
            connection.close()


@asynccontextmanager
async def open_bench(path: Path, *, queue_limit: int = 1024) -> AsyncIterator[Bench]:
    bench = Bench(path / "test.db", queue_limit=queue_limit)
    try:
        yield bench
    finally:
        bench.go_on()
        await bench.writer.close()


async def let_others_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_units_that_wait_together_share_one_commit(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.stand_still()
        tasks = bench.submit(*(bench.note(f"u{number}") for number in range(200)))
        await let_others_run()
        bench.go_on()
        times = await asyncio.gather(*tasks)

        assert bench.commit_count == 1, "even the unit that occupied the writer is in it"
        assert len(set(times)) == 1
        assert len(bench.stored()) == 200


async def test_units_of_one_queue_run_in_the_order_of_their_submission(tmp_path: Path) -> None:
    async with open_bench(tmp_path, queue_limit=7) as bench:
        await asyncio.gather(*bench.submit(*(bench.note(f"u{number}") for number in range(100))))

        assert bench.ran == [f"u{number}" for number in range(100)]


async def test_journal_units_go_before_bulk_units(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.stand_still()
        bulk = bench.submit(bench.note("bulk 1"), bench.note("bulk 2"), bulk=True)
        await let_others_run()
        journal = bench.submit(bench.note("journal 1"), bench.note("journal 2"))
        await let_others_run()
        bench.go_on()
        await asyncio.gather(*bulk, *journal)

        assert bench.ran == ["journal 1", "journal 2", "bulk 1", "bulk 2"]


async def test_a_flood_of_bulk_units_lets_a_journal_unit_through_after_one_budget(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        loop = asyncio.get_running_loop()
        reached, go_on = asyncio.Event(), threading.Event()

        def pause(tx: Transaction) -> None:
            loop.call_soon_threadsafe(reached.set)
            assert go_on.wait(10)

        await bench.stand_still()
        share = BULK_BUDGET_SECONDS / 2
        before = [bench.note(f"b{number}", takes_seconds=share) for number in range(10)]
        after = [bench.note(f"b{number}", takes_seconds=share) for number in range(10, 200)]
        bulk = bench.submit(*before, pause, *after, bulk=True)
        await let_others_run()
        bench.go_on()
        await reached.wait()
        journal = bench.submit(bench.note("journal"))
        await let_others_run()
        go_on.set()
        await asyncio.gather(*bulk, *journal)

        assert bench.ran.index("journal") <= 10 + 3, "at most the rest of the budget of the commit under way"
        assert len(bench.ran) == 201


async def test_a_flood_of_journal_units_takes_a_bulk_unit_along_in_every_commit(tmp_path: Path) -> None:
    async with open_bench(tmp_path, queue_limit=4 * GROUP_LIMIT_UNITS) as bench:
        await bench.stand_still()
        journal = bench.submit(*(bench.note(f"j{number}") for number in range(3 * GROUP_LIMIT_UNITS)))
        bulk = bench.submit(bench.note("bulk 1"), bench.note("bulk 2"), bulk=True)
        await let_others_run()
        bench.go_on()
        await asyncio.gather(*journal, *bulk)

        # the unit that occupied the writer is the first of the first commit
        assert bench.ran.index("bulk 1") == GROUP_LIMIT_UNITS - 1
        assert bench.ran.index("bulk 2") == 2 * GROUP_LIMIT_UNITS


@pytest.mark.parametrize("bulk", [False, True])
async def test_a_full_queue_makes_callers_wait(tmp_path: Path, bulk: bool) -> None:
    async with open_bench(tmp_path, queue_limit=3) as bench:
        times = await asyncio.gather(*bench.submit(*(bench.note(f"u{number}") for number in range(30)), bulk=bulk))

        assert max(times.count(time) for time in times) <= 3
        assert len(bench.stored()) == 30


async def test_a_full_bulk_queue_does_not_hold_up_the_journal(tmp_path: Path) -> None:
    async with open_bench(tmp_path, queue_limit=2) as bench:
        await bench.stand_still()
        bulk = bench.submit(*(bench.note(f"b{number}") for number in range(20)), bulk=True)
        journal = bench.submit(bench.note("journal"))
        await let_others_run()
        bench.go_on()
        await asyncio.gather(*bulk, *journal)

        assert bench.ran[0] == "journal"


async def test_a_caller_that_is_cancelled_does_not_undo_its_unit(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.stand_still()
        (task,) = bench.submit(bench.note("a"))
        await let_others_run()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bench.go_on()
        await asyncio.gather(*bench.submit(bench.note("b")))

        assert task.cancelled()
        assert bench.stored() == {"a", "b"}


async def test_callers_that_are_cancelled_do_not_make_room_in_the_queue(tmp_path: Path) -> None:
    async with open_bench(tmp_path, queue_limit=4) as bench:
        await bench.stand_still()
        for number in range(20):
            (task,) = bench.submit(bench.note(f"u{number}"))
            await let_others_run()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        bench.go_on()
        await asyncio.gather(*bench.submit(bench.note("last")))

        assert bench.stored() == {"u0", "u1", "u2", "last"}, "the unit that occupied the writer and three others filled the queue"


async def test_a_unit_that_raises_reaches_its_caller_alone(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:

        def raise_error(tx: Transaction) -> None:
            raise LookupError("mine")

        def exhaust(tx: Transaction) -> None:
            next(iter(tx.execute("SELECT 1 WHERE 0")))

        await bench.stand_still()
        tasks = bench.submit(bench.note("a"), raise_error, exhaust, bench.note("b"))
        await let_others_run()
        bench.go_on()
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)

        assert isinstance(outcomes[1], LookupError)
        assert isinstance(outcomes[2], RuntimeError)
        assert bench.stored() == {"a", "b"}


async def test_closing_commits_what_is_queued_and_refuses_more(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.stand_still()
        tasks = bench.submit(*(bench.note(f"u{number}") for number in range(50)), bulk=True)
        tasks += bench.submit(bench.note("journal"))
        await let_others_run()
        closing = asyncio.create_task(bench.writer.close())
        await let_others_run()
        with pytest.raises(ForebayError, match="stopping"):
            await bench.writer.submit(bench.note("late"))
        bench.go_on()
        await asyncio.gather(closing, *tasks)

        assert len(bench.stored()) == 51


async def test_transaction_times_grow_from_commit_to_commit_under_a_clock_that_stands_still(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        bench.writer.not_before(7_000_000_000_000_000)
        times = [await bench.writer.submit(bench.note(f"u{number}")) for number in range(5)]

        assert times == sorted(set(times))
        assert times[0] > 7_000_000_000_000_000


async def test_the_log_is_started_anew_when_readers_have_kept_it_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forebay.database.writer.LOG_LIMIT_BYTES", 100_000)
    monkeypatch.setattr("forebay.database.writer.COMMITS_BETWEEN_LOOKS", 1)
    database = await open_database(tmp_path / "log.db", {"test": ["CREATE TABLE t (x)"]}, clock=SystemClock())
    reader = open_reader(tmp_path / "log.db")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM t").fetchall()  # pins the log
    for _ in range(50):
        await database.writer.submit(lambda tx: tx.execute("INSERT INTO t VALUES (zeroblob(20000))"))
    log = tmp_path / "log.db-wal"
    assert log.stat().st_size > 1_000_000
    reader.execute("ROLLBACK")
    for _ in range(3):
        await database.writer.submit(lambda tx: tx.execute("INSERT INTO t VALUES (1)"))
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (53,)
    reader.close()
    other = sqlite3.connect(tmp_path / "log.db")
    _, pages, _ = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    other.close()
    assert pages < 20, "the log was started anew"
    await database.close()
