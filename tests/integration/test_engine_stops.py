"""What an engine leaves behind when it stops, and what else must not get lost when somebody is cancelled or the disk lies."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.integration.durable_bench import Bench, open_engine, rows

from forebay.database import Transaction
from forebay.durable import EngineLimits, OrchestrationContext, OutgoingEvent, Registry, ResultWithEvents, Task
from forebay.errors import ForebayError
from forebay.testing.virtual_loop import run_virtual

Steps = Generator[Task[Any], Any, Any]
STOPS_SOON = EngineLimits(stop_deadline_seconds=10)


@pytest.fixture
def registry() -> Registry:
    registry = Registry()

    @registry.activity
    async def rest(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    @registry.activity
    async def stubborn(seconds: float) -> float:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
        return seconds

    @registry.activity
    async def cancels_its_task(value: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return value

    @registry.transactional
    def effect(tx: Transaction, name: str) -> str:
        tx.execute("INSERT INTO effects VALUES (?)", (name,))
        return name

    @registry.transactional
    def shout(tx: Transaction, value: Any) -> ResultWithEvents:
        return ResultWithEvents(1, [OutgoingEvent(instance_id="\udc00", name="nobody")])  # an id that is no text

    @registry.orchestrator
    def overlapping(context: OrchestrationContext) -> Steps:
        short, long = context.call_activity("rest", 2), context.call_activity("rest", 3)
        yield context.task_any([short, long])
        return (yield context.task_all([long, context.call_activity("rest", 4)]))

    @registry.orchestrator
    def both(context: OrchestrationContext) -> Steps:
        return (yield context.task_all([context.call_activity("rest", 100), context.call_activity("stubborn", 100)]))

    @registry.orchestrator
    def hasty(context: OrchestrationContext) -> Steps:
        short, long = context.call_activity("rest", 2), context.call_activity("rest", 3)
        yield context.task_any([short, long])
        yield context.task_any([long, context.call_activity("effect", "e")])
        return "done"

    @registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity(*context.get_input()))

    @registry.orchestrator
    def shouting(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_activity("shout")
        except Exception:
            yield context.call_activity("rest", 1)

    @registry.orchestrator
    def waits(context: OrchestrationContext) -> Steps:
        return (yield context.wait_for_external_event("go"))

    return registry


def stopped_after(registry: Registry, path: Path, name: str, value: Any = None) -> None:
    """Start an instance `i`, and stop its engine a second later."""

    async def story() -> None:
        async with open_engine(registry, path, limits=STOPS_SOON) as bench:
            await bench.client.start_new(name, "i", value)
            await asyncio.sleep(1)

    run_virtual(story)


def output_after(registry: Registry, path: Path) -> Any:
    """What `i` returns under the next engine."""

    async def story() -> Any:
        async with open_engine(registry, path) as bench:
            return (await bench.client.wait_for_completion("i", 1000)).output

    return run_virtual(story)


@pytest.mark.parametrize(("name", "output"), [("overlapping", [3, 4]), ("both", [100, 100])])
def test_an_instance_that_a_stop_leaves_behind_goes_on_under_the_next_engine(
    registry: Registry, tmp_path: Path, name: str, output: Any
) -> None:
    stopped_after(registry, tmp_path / "test.db", name)
    assert output_after(registry, tmp_path / "test.db") == output


def test_a_transactional_activity_that_a_stop_kept_from_beginning_happens_before_its_instance_ends(
    registry: Registry, tmp_path: Path
) -> None:
    stopped_after(registry, tmp_path / "test.db", "hasty")
    assert output_after(registry, tmp_path / "test.db") == "done"
    assert rows(tmp_path / "test.db", "SELECT name FROM effects") == [("e",)]


def test_a_start_after_a_stop_that_has_left_one_behind_does_not_hang(registry: Registry, tmp_path: Path) -> None:
    async def story() -> None:
        async with open_engine(registry, tmp_path / "test.db", limits=STOPS_SOON) as bench:
            await bench.client.start_new("one", "long", ["rest", 10_000])
            await asyncio.sleep(1)

            async def late() -> None:
                await asyncio.sleep(10)  # begins in the turn in which the deadline is over
                await bench.client.start_new("one", "late", ["rest", 1])

            starting = asyncio.create_task(late())
            await asyncio.sleep(0)
            await bench.engine.stop()
            await asyncio.wait({starting}, timeout=1000)
            assert starting.done()
            async with asyncio.timeout(1000):
                await asyncio.gather(bench.client.start_new("one", "after", ["rest", 1]), return_exceptions=True)

    run_virtual(story)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("timeout_seconds", [None, 100])
def test_a_wait_that_is_cancelled_as_its_instance_ends_is_cancelled(
    registry: Registry, tmp_path: Path, turns: int, timeout_seconds: float | None
) -> None:
    async def story() -> bool:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            await bench.client.start_new("one", "i", ["rest", 1])
            watcher = asyncio.create_task(bench.client.wait_for_completion("i"))
            waiter = asyncio.create_task(bench.client.wait_for_completion("i", timeout_seconds))
            await watcher
            for _ in range(turns):
                await asyncio.sleep(0)
            if waiter.cancel():
                await asyncio.wait({waiter})
                return waiter.cancelled()
            return True  # it had ended already

    assert run_virtual(story)


def test_an_activity_that_cancels_its_task_disturbs_no_other(registry: Registry, tmp_path: Path) -> None:
    async def story() -> list[Any]:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            calls = [["cancels_its_task", 1], ["rest", 1], ["rest", 1]]
            ids = await asyncio.gather(*(bench.client.start_new("one", f"i{number}", call) for number, call in enumerate(calls)))
            return [(await bench.client.wait_for_completion(each, 100)).output for each in ids[1:]]

    assert run_virtual(story) == [1, 1]


def test_an_instance_whose_input_is_damaged_is_held(registry: Registry, tmp_path: Path) -> None:
    stopped_after(registry, tmp_path / "test.db", "one", ["rest", 100])
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        connection.execute("""UPDATE instances SET input = '["rest",'""")
        connection.commit()

    async def story() -> str | None:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            await asyncio.sleep(1)
            return bench.engine.mover.held.get("i")

    assert "cannot be replayed" in str(run_virtual(story))


def test_history_has_no_gap_after_a_transactional_activity_whose_events_cannot_be_sent(registry: Registry, tmp_path: Path) -> None:
    async def story() -> None:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            await bench.run("shouting", timeout_seconds=100)

    run_virtual(story)
    assert [number for (number,) in rows(tmp_path / "test.db", "SELECT sequence FROM history ORDER BY 1")] == [0, 1]


class Disk:
    """Loses the answer of the next commit, which is durable."""

    def __init__(self) -> None:
        self.lies = False

    def after_commit(self, number: int) -> None:
        if self.lies:
            self.lies = False
            raise sqlite3.OperationalError("disk I/O error")


def test_a_rewind_that_is_durable_but_was_reported_as_failed_is_followed(tmp_path: Path) -> None:
    registry, disk, mended = Registry(), Disk(), []

    @registry.activity
    async def work(value: Any) -> str:
        if not mended:
            raise ForebayError("broken", "it is broken", retryable=False)
        return "mended"

    @registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("work"))

    async def story() -> Any:
        async with open_engine(registry, tmp_path / "test.db", after_commit=disk.after_commit) as bench:
            await bench.run("one", instance_id="i")
            mended.append(True)
            disk.lies = True
            with pytest.raises(ForebayError, match="commit"):
                await bench.client.rewind("i")
            return (await bench.client.wait_for_completion("i", 1000)).output

    assert run_virtual(story) == "mended"


@pytest.mark.parametrize("operation", ["terminate", "raise_event", "suspend"])
def test_what_is_done_to_an_instance_and_durable_but_was_reported_as_failed_is_followed(
    registry: Registry, tmp_path: Path, operation: str
) -> None:
    disk = Disk()

    async def do(bench: Bench) -> None:
        match operation:
            case "terminate":
                await bench.client.terminate("i", "enough")
            case "raise_event":
                await bench.client.raise_event("i", "go", "gone")
            case _:
                await bench.client.suspend("i")

    async def story() -> Any:
        async with open_engine(registry, tmp_path / "test.db", after_commit=disk.after_commit) as bench:
            await bench.client.start_new("waits", "i")
            await asyncio.sleep(1)
            disk.lies = True
            with pytest.raises(ForebayError, match="commit"):
                await do(bench)
            if operation == "suspend":
                await asyncio.sleep(10)
                await bench.client.raise_event("i", "go", "gone")
                await asyncio.sleep(10)
                assert bench.engine.live_count == 0
                await bench.client.resume("i")
            return (await bench.client.wait_for_completion("i", 1000)).output

    assert run_virtual(story) == ("enough" if operation == "terminate" else "gone")
