"""The dispatcher, with a stand-in for the engine, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from forebay.app import schemas
from forebay.catalog.arrivals import outcome_of, record_arrival, settle_arrival
from forebay.database import Database, Transaction
from forebay.durable import DurableClient
from forebay.errors import ForebayError
from forebay.intake.dispatch import Dispatcher
from forebay.testing.inline import open_inline_database
from forebay.testing.virtual_loop import VirtualClock, run_virtual
from forebay.values.arrival import Arrival, Location, NewArrival

Result = TypeVar("Result")


@dataclass
class Status:
    runtime_status: str
    output: Any


class Engine:
    """Ends every instance after a second, with its arrival settled."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.starts: list[tuple[float, int, str]] = []  # when, sequence, lane
        self.running: set[int] = set()
        self.most_running = 0
        self.seconds: dict[int, float] = {}
        self.unsettled: set[int] = set()
        self.refusals_left = 0

    async def start_new(self, name: str, instance_id: str, value: dict[str, int], *, lane: str, correlation: object) -> None:
        assert name == "ingest"
        if self.refusals_left:
            self.refusals_left -= 1
            raise ForebayError("database_unavailable", "not now", retryable=True)
        self.starts.append((asyncio.get_running_loop().time(), value["arrival"], lane))

    async def wait_for_completion(self, instance_id: str) -> Status:
        sequence = int(instance_id.rpartition("-")[2])
        self.running.add(sequence)
        self.most_running = max(self.most_running, len(self.running))
        try:
            await asyncio.sleep(self.seconds.get(sequence, 1.0))
        finally:
            self.running.discard(sequence)
        if sequence in self.unsettled:
            return Status("Completed", None)
        await self.database.writer.submit(lambda tx: settle_arrival(tx, sequence, "indexed"))
        return Status("Completed", {"outcome": "indexed"})


@dataclass
class Bench:
    database: Database
    engine: Engine
    dispatcher: Dispatcher
    count: int = 0

    async def arrive(self, lane: str, name: str | None = None, *, count: int = 1) -> list[Arrival]:
        project, _, source = lane.partition("/")

        def unit(tx: Transaction) -> list[Arrival]:
            found = []
            for _ in range(count):
                self.count += 1
                own = name or f"{self.count}.txt"
                new = NewArrival(
                    kind="created",
                    project=project,
                    source=source,
                    name=own,
                    location=Location(container=source, name=f"{self.count} {own}", etag=str(self.count)),
                    actor="test",
                    correlation_id="c",
                    event_id=str(self.count),
                )
                arrival = record_arrival(tx, new)
                assert arrival is not None
                found.append(arrival)
            return found

        recorded = await self.database.writer.submit(unit)
        self.dispatcher.notify()
        return recorded

    def started(self, arrival: Arrival) -> float:
        """When an arrival's instance was started, for the first time."""
        return next(at for at, sequence, _ in self.engine.starts if sequence == arrival.sequence)


def play(tmp_path: Path, story: Callable[[Bench], Awaitable[Result]], *, limit: int = 4) -> Result:
    async def main() -> Result:
        clock = VirtualClock(asyncio.get_running_loop())
        database, _ = open_inline_database(tmp_path / "catalog.db", schemas(), clock=clock)
        engine = Engine(database)
        dispatcher = Dispatcher(
            database.readers, database.writer, cast("DurableClient", engine), clock, orchestration="ingest", limit=limit
        )
        bench = Bench(database, engine, dispatcher)
        async with running(dispatcher):
            result = await story(bench)
        await database.close()
        return result

    return run_virtual(main)


@asynccontextmanager
async def running(dispatcher: Dispatcher) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(dispatcher.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_a_single_upload_waits_for_no_more_than_what_is_in_flight(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.arrive("mine/folder", count=300)
        await asyncio.sleep(5.5)
        (upload,) = await bench.arrive("mine/upload")
        (other,) = await bench.arrive("yours/upload")
        await bench.dispatcher.until_idle()
        assert bench.started(upload) < 6.1
        assert bench.started(other) < 6.1
        assert len(bench.engine.starts) == 302

    play(tmp_path, story)


def test_no_lane_starves_and_all_get_even_parts(tmp_path: Path) -> None:
    async def story(bench: Bench) -> dict[str, int]:
        for lane in ("a/folder", "b/upload", "c/upload"):
            await bench.arrive(lane, count=40)
        await asyncio.sleep(9.5)
        return {lane: sum(each == lane for _, _, each in bench.engine.starts) for lane in ("a/folder", "b/upload", "c/upload")}

    counts = play(tmp_path, story, limit=3)
    assert max(counts.values()) - min(counts.values()) <= 3  # the first lane was alone for a moment
    assert sum(counts.values()) == 30


def test_slow_work_of_one_lane_does_not_stop_another(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        slow = await bench.arrive("a/folder", count=20)
        bench.engine.seconds = {each.sequence: 100.0 for each in slow} | {slow[0].sequence: 3.0}
        await asyncio.sleep(1)
        quick = await bench.arrive("b/upload", count=3)
        await asyncio.sleep(5)
        assert [bench.started(quick[0])] == [3.0]

    play(tmp_path, story)


def test_of_a_document_one_arrival_is_active_at_a_time_and_in_order(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        same = await bench.arrive("a/upload", "same.txt", count=5)
        others = await bench.arrive("a/upload", count=8)
        await bench.dispatcher.until_idle()
        assert [bench.started(each) for each in same] == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0])
        assert max(bench.started(each) for each in others) < 4
        assert len(bench.engine.starts) == 13

    play(tmp_path, story)


def test_one_document_that_arrives_again_and_again_holds_nobody_up(tmp_path: Path) -> None:
    async def story(bench: Bench) -> float:
        await bench.arrive("a/upload", "same.txt", count=100)
        await asyncio.sleep(2.5)
        (mine,) = await bench.arrive("b/upload")
        (beside,) = await bench.arrive("a/upload")
        await asyncio.sleep(2)
        return max(bench.started(mine), bench.started(beside))

    assert play(tmp_path, story, limit=2) < 4


def test_at_most_the_limit_is_in_work_and_the_rest_is_not_in_memory(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.arrive("a/upload", count=200)
        await asyncio.sleep(3.5)
        assert len(bench.dispatcher._work) == 7
        await bench.dispatcher.until_idle()
        assert bench.engine.most_running == 7
        assert len(bench.engine.starts) == 200
        await asyncio.sleep(0)
        assert not bench.dispatcher._work

    play(tmp_path, story, limit=7)


def test_a_held_arrival_starts_when_it_is_released(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.dispatcher.hold("1")
        (held,) = await bench.arrive("a/upload")
        (other,) = await bench.arrive("a/upload")
        await asyncio.sleep(5)
        assert [sequence for _, sequence, _ in bench.engine.starts] == [other.sequence]
        bench.dispatcher.release("1")
        await bench.dispatcher.until_idle()
        assert bench.started(held) == 5.0

    play(tmp_path, story)


def test_an_arrival_that_is_held_while_a_look_is_under_way_is_not_started(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        read = bench.database.readers.run

        async def slow(function: Callable[[Any], Result]) -> Result:
            # held and recorded when the look has begun, and before it reads
            if not bench.count:
                bench.dispatcher.hold("1")
                await bench.arrive("a/upload")
            return await read(function)

        bench.database.readers.run = slow  # type: ignore[method-assign]
        bench.dispatcher.notify()
        await asyncio.sleep(3)
        assert bench.count == 1
        assert bench.engine.starts == []
        bench.dispatcher.release("1")
        await bench.dispatcher.until_idle()
        assert len(bench.engine.starts) == 1

    play(tmp_path, story)


def test_a_start_that_fails_is_tried_again(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.engine.refusals_left = 3
        await bench.arrive("a/upload")
        await bench.dispatcher.until_idle()
        assert [at for at, _, _ in bench.engine.starts] == [1.5]

    play(tmp_path, story)


def test_an_instance_that_ends_without_an_outcome_fails_its_arrival_instead_of_running_for_ever(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.engine.unsettled = {1}
        (arrival,) = await bench.arrive("a/upload")
        await bench.dispatcher.until_idle()
        assert len(bench.engine.starts) == 1
        assert await bench.database.writer.submit(lambda tx: outcome_of(tx, arrival.sequence)) == "failed"

    play(tmp_path, story)


def test_a_dispatcher_that_runs_again_goes_on_with_everything_that_is_open(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.arrive("a/upload", count=30)

    async def again(bench: Bench) -> int:
        await bench.dispatcher.until_idle()
        return len(bench.engine.starts)

    play(tmp_path, story)
    assert play(tmp_path, again) == 30
