"""Instances that are started, and steps that are written, in the same turn of the event loop: together, and none at another's cost."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from tests.integration.durable_bench import Bench, open_engine, rows

from forebay.durable import OrchestrationContext, Registry, Task
from forebay.durable.journal import journal
from forebay.errors import ForebayError
from forebay.testing.virtual_loop import run_virtual

Steps = Generator[Task[Any], Any, Any]

caller: ContextVar[str] = ContextVar("caller", default="nobody")


@pytest.fixture
def registry() -> Registry:
    registry = Registry()

    @registry.activity
    async def rest(value: Any) -> Any:
        await asyncio.sleep(1)
        return value

    @registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("rest", context.get_input()))

    @registry.orchestrator
    def two(context: OrchestrationContext) -> Steps:
        yield context.call_activity("rest", context.get_input())
        return (yield context.call_activity("rest", context.get_input()))

    return registry


async def ends_of(bench: Bench, *ids: str) -> list[Any]:
    return [(await bench.client.wait_for_completion(each, 100)).output for each in ids]


def test_starts_of_one_turn_are_one_unit(registry: Registry, tmp_path: Path) -> None:
    async def story() -> tuple[int, list[Any]]:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            submit, units = bench.writer.submit, []

            async def count(unit: Any, *, bulk: bool = False) -> Any:
                units.append(unit)
                return await submit(unit, bulk=bulk)

            bench.writer.submit = count  # type: ignore[method-assign]
            ids = await asyncio.gather(*(bench.client.start_new("one", f"i{number}", number) for number in range(150)))
            return len(units), await ends_of(bench, *ids)

    assert run_virtual(story) == (1, list(range(150)))
    keys = rows(tmp_path / "test.db", "SELECT key, id FROM instances ORDER BY key")
    assert keys == [(number + 1, f"i{number}") for number in range(150)]


def test_one_id_in_several_starts_of_one_turn_is_one_instance(registry: Registry, tmp_path: Path) -> None:
    async def story() -> tuple[list[Any], list[Any]]:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            await bench.client.start_new("one", "old", "old")
            starts = [("old", "old"), ("a", 1), ("b", 2), ("a", 1), ("b", 3), ("old", "other"), ("c", 4)]
            started = await asyncio.gather(*(bench.client.start_new("one", *each) for each in starts), return_exceptions=True)
            seen = [each.code if isinstance(each, ForebayError) else each for each in started]
            return seen, await ends_of(bench, "old", "a", "b", "c")

    assert run_virtual(story) == (["old", "a", "b", "a", "instance_exists", "instance_exists", "c"], ["old", 1, 2, 4])
    found = rows(tmp_path / "test.db", "SELECT i.id, count(*) FROM history h JOIN instances i ON i.key = h.instance GROUP BY i.key")
    assert found == [("old", 1), ("a", 1), ("b", 1), ("c", 1)]


def test_instances_that_start_together_have_the_contexts_of_their_callers(tmp_path: Path) -> None:
    registry = Registry()

    @registry.activity
    async def look(value: Any) -> str:
        return caller.get()

    @registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("look"))

    async def story() -> list[Any]:
        async with open_engine(registry, tmp_path / "test.db") as bench:

            async def start(name: str) -> str:
                caller.set(name)
                return await bench.client.start_new("one", name)

            return await ends_of(bench, *await asyncio.gather(start("a"), start("b"), start("c")))

    assert run_virtual(story) == ["a", "b", "c"]


def test_a_start_that_cannot_be_recorded_disturbs_no_other(registry: Registry, tmp_path: Path) -> None:
    async def story() -> tuple[list[Any], list[Any]]:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            ids = ["a", "\ud800", "b"]  # the second is no text
            started = await asyncio.gather(*(bench.client.start_new("one", each, 1) for each in ids), return_exceptions=True)
            return [type(each) for each in started], await ends_of(bench, "a", "b")

    assert run_virtual(story) == ([str, UnicodeEncodeError, str], [1, 1])


def test_a_start_that_a_stop_leaves_behind_says_so_and_its_instance_runs_later(registry: Registry, tmp_path: Path) -> None:
    async def cut_short() -> Any:
        async with open_engine(registry, tmp_path / "test.db", delay_seconds=lambda: 1000.0) as bench:
            start = asyncio.create_task(bench.client.start_new("one", "i", 1))
            await asyncio.sleep(1)
            await bench.engine.stop()
            with pytest.raises(ForebayError) as stopped:
                await start
            return stopped.value.code

    async def later() -> list[Any]:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            await bench.client.start_new("one", "i", 1)
            return await ends_of(bench, "i")

    assert run_virtual(cut_short) == "engine_stopped"
    assert run_virtual(later) == [1]


def test_a_step_that_is_refused_disturbs_no_other_of_its_turn(registry: Registry, tmp_path: Path) -> None:
    async def story() -> list[Any]:
        async with open_engine(registry, tmp_path / "test.db", delay_seconds=lambda: 0.5) as bench:
            await asyncio.gather(*(bench.client.start_new("two", str(number), number) for number in range(5)))
            await asyncio.sleep(0.9)  # before the activities have ended; their steps are in the same commit, behind
            await asyncio.gather(bench.client.terminate("1", "enough"), bench.client.terminate("3", "enough"))
            return await ends_of(bench, *map(str, range(5)))

    assert run_virtual(story) == [0, "enough", 2, "enough", 4]
    assert rows(tmp_path / "test.db", "SELECT instance, count(*) FROM history GROUP BY instance") == [(1, 2), (3, 2), (5, 2)]


def test_steps_are_written_when_every_instance_has_to_be_looked_at(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "going_on_count", lambda tx, instances: (0, -1))

    async def story() -> list[Any]:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            await asyncio.gather(*(bench.client.start_new("two", str(number), number) for number in range(5)))
            return await ends_of(bench, *map(str, range(5)))

    assert run_virtual(story) == [0, 1, 2, 3, 4]


def test_an_activity_that_meets_a_full_disk_waits_for_it_also_when_it_does_nothing_else(tmp_path: Path) -> None:
    registry, tries = Registry(), []

    @registry.activity
    async def write(value: Any) -> Any:
        tries.append(value)
        if len(tries) < 3:
            raise ForebayError("database_unavailable", "the disk is full", retryable=True)
        return value

    @registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("write", 7))

    async def story() -> Any:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            return (await bench.run("one", timeout_seconds=100)).output

    assert run_virtual(story) == 7
    assert rows(tmp_path / "test.db", "SELECT kind, attempt FROM history") == [("completed", 1)]
