"""How activities run beside each other, and how what comes of them is written together."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from tests.integration.durable_bench import Bench, open_engine, rows

from forebay.database import Transaction
from forebay.durable import EngineLimits, OrchestrationContext, Registry, Task, current_activity
from forebay.durable.instances.workers import TURN_LIMIT
from forebay.durable.journal import journal
from forebay.testing.virtual_loop import run_virtual

Steps = Generator[Task[Any], Any, Any]

mark: ContextVar[str] = ContextVar("mark", default="nobody's")


def all_of(names: list[tuple[str, Any]]) -> Registry:
    """A registry whose orchestrator `all` calls these activities at once."""
    registry = Registry()

    def call_all(context: OrchestrationContext) -> Steps:
        return (yield context.task_all([context.call_activity(name, value) for name, value in names]))

    call_all.__name__ = "all"
    registry.orchestrator(call_all)
    return registry


def outputs(registry: Registry, path: Path) -> Any:
    """What `all` returns, and the seconds until then."""

    async def story() -> Any:
        async with open_engine(registry, path) as bench:
            status = await bench.run("all")
            return status.output, asyncio.get_running_loop().time()

    return run_virtual(story)


@pytest.mark.parametrize("count", [3, TURN_LIMIT, 2 * TURN_LIMIT + 1])
def test_calls_that_wait_wait_at_the_same_time(tmp_path: Path, count: int) -> None:
    registry = all_of([("pause", number) for number in range(count)])

    @registry.activity
    async def pause(number: int) -> int:
        await asyncio.sleep(1)
        return number

    assert outputs(registry, tmp_path / "test.db") == (list(range(count)), 1)


@pytest.mark.parametrize("count", [3, TURN_LIMIT, 2 * TURN_LIMIT + 1])
def test_a_call_that_waits_does_not_hold_up_those_behind_it(tmp_path: Path, count: int) -> None:
    registry = all_of([("wait_for_it", None), *[("say", number) for number in range(count)], ("let_it_go", None)])
    gate = asyncio.Event()

    @registry.activity
    async def wait_for_it(_: None) -> None:
        await gate.wait()

    @registry.activity
    async def say(number: int) -> int:
        return number

    @registry.activity
    async def let_it_go(_: None) -> None:
        gate.set()

    assert outputs(registry, tmp_path / "test.db") == ([None, *range(count), None], 0)


def test_long_queues_of_calls_let_the_loop_do_other_things(tmp_path: Path) -> None:
    registry = all_of([("count", number) for number in range(4 * TURN_LIMIT)])
    called = 0
    seen: set[int] = set()

    @registry.activity
    async def count(_: int) -> None:
        nonlocal called
        called += 1

    async def look() -> None:
        while called < 4 * TURN_LIMIT:
            seen.add(called)
            await asyncio.sleep(0)

    async def story() -> None:
        async with open_engine(registry, tmp_path / "test.db") as bench, asyncio.TaskGroup() as tasks:
            tasks.create_task(look())
            await bench.run("all")

    run_virtual(story)
    assert seen == {0, TURN_LIMIT, 2 * TURN_LIMIT, 3 * TURN_LIMIT}


def test_what_a_call_leaves_in_its_context_is_seen_by_no_other(tmp_path: Path) -> None:
    registry = all_of([("leave", "a"), ("look", 0), ("leave", "b"), ("look", 1), ("look", 0)])

    @registry.activity
    async def leave(name: str) -> str:
        mark.set(name)
        await asyncio.sleep(1)
        return mark.get()

    @registry.activity
    async def look(seconds: float) -> str:
        before = mark.get()
        await asyncio.sleep(seconds)
        assert mark.get() == before
        return before

    async def story() -> list[Any]:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            mark.set("mine")
            first = await bench.run("all")
            mark.set("others")
            return [first.output, (await bench.run("all")).output]

    # each of them begins with what was there when the instance was started
    assert run_virtual(story) == [["a", "mine", "b", "mine", "mine"], ["a", "others", "b", "others", "others"]]


def test_a_call_is_one_task_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    registry = all_of([("say", "first"), ("hurry", 5), ("hurry", 10), ("say", "last")])
    tasks = []

    @registry.activity
    async def say(value: str) -> str:
        return value

    @registry.activity
    async def hurry(seconds: float) -> str:
        task = asyncio.current_task()
        tasks.append(task)
        try:
            async with asyncio.timeout(7):  # it would cancel the task in which it has begun
                await asyncio.sleep(seconds)
        except TimeoutError:
            assert asyncio.current_task() is task
            return "too long"
        return "in time"

    assert outputs(registry, tmp_path / "test.db") == (["first", "in time", "too long", "last"], 7)
    assert len(set(tasks)) == 2


def test_a_stop_cancels_the_calls_that_wait_and_they_begin_again(tmp_path: Path) -> None:
    registry = all_of([("say", "first"), ("hang", None), ("say", "last")])
    calls: list[str] = []

    @registry.activity
    async def say(value: str) -> str:
        calls.append(value)
        return value

    @registry.activity
    async def hang(_: None) -> str:
        calls.append("hang")
        if calls.count("hang") == 1:
            await asyncio.Event().wait()
        return "at last"

    async def story() -> Any:
        async with open_engine(registry, tmp_path / "test.db", limits=EngineLimits(stop_deadline_seconds=1)) as bench:
            await bench.client.start_new("all", "i")
            await asyncio.sleep(1)
        async with open_engine(registry, tmp_path / "test.db") as bench:
            return (await bench.client.wait_for_completion("i")).output

    assert run_virtual(story) == ["first", "at last", "last"]
    assert calls == ["first", "hang", "last", "hang"]


def test_a_termination_cancels_the_calls_that_wait_and_no_other(tmp_path: Path) -> None:
    registry = all_of([("hang", 1), ("hang", 2), ("say", 3)])
    cancelled = []

    @registry.activity
    async def say(value: int) -> int:
        return value

    @registry.activity
    async def hang(number: int) -> int:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.append((current_activity().instance_id, number))
            raise
        return number

    async def story() -> Any:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            await bench.client.start_new("all", "a")
            await bench.client.start_new("all", "b")
            await asyncio.sleep(1)
            await bench.client.terminate("a")
            return (await bench.client.wait_for_completion("b")).output

    assert run_virtual(story) == [1, 2, 3]
    assert sorted(cancelled) == [("a", 1), ("a", 2)]


def test_steps_of_one_turn_are_one_commit(tmp_path: Path) -> None:
    registry = all_of([("say", number) for number in range(TURN_LIMIT)])

    @registry.activity
    async def say(number: int) -> int:
        return number

    async def story() -> int:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            for number in range(3):
                await bench.client.start_new("all", f"{number}")
            await asyncio.gather(*(bench.client.wait_for_completion(f"{number}") for number in range(3)))
            return bench.writer.commit_count

    assert run_virtual(story) < 10
    assert rows(tmp_path / "test.db", "SELECT count(*) FROM history") == [(3 * TURN_LIMIT,)]


@pytest.mark.parametrize("broken", range(3))
def test_a_step_that_cannot_be_recorded_disturbs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
    registry = Registry()
    calls: list[Any] = []

    @registry.activity
    async def say(value: Any) -> Any:
        calls.append(value)
        await asyncio.sleep(1)
        return value

    @registry.orchestrator
    def twice(context: OrchestrationContext) -> Steps:
        first = yield context.call_activity("say", context.get_input())
        return (yield context.call_activity("say", [first]))

    end = journal.end_instances
    refused: list[int] = []

    def end_some(tx: Transaction, ends: dict[int, journal.End]) -> None:
        for instance, how in ends.items():
            if how[1] == f"[{broken}]" and len(refused) < 2:
                refused.append(instance)
                raise ValueError("it cannot be written")
        end(tx, ends)

    monkeypatch.setattr(journal, "end_instances", end_some)

    async def ended(bench: Bench, number: int) -> tuple[Any, float]:
        await bench.client.start_new("twice", str(number), number)
        output = (await bench.client.wait_for_completion(str(number))).output
        return output, asyncio.get_running_loop().time()

    async def story() -> list[Any]:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            return list(await asyncio.gather(*(ended(bench, number) for number in range(3))))

    found = run_virtual(story)
    assert [output for output, _ in found] == [[0], [1], [2]]
    assert [at == 2 for _, at in found] == [number != broken for number in range(3)]
    assert len(refused) == 2
    # its last result could not be written, and so its last call was made again
    assert sorted(calls, key=str) == sorted([0, 1, 2, [0], [1], [2], [broken]], key=str)
    assert rows(tmp_path / "test.db", "SELECT instance, count(*) FROM history GROUP BY instance") == [(1, 2), (2, 2), (3, 2)]
