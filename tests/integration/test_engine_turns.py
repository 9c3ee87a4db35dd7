"""Who goes first where activities have a limit, and limits that adapt, through the whole engine in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.integration.durable_bench import Bench, open_engine

from forebay.durable import Concurrency, OrchestrationContext, Registry, RetryOptions, Task
from forebay.errors import ForebayError
from forebay.testing.virtual_loop import run_virtual

Result = TypeVar("Result")
Steps = Generator[Task[Any], Any, Any]
AGAIN = RetryOptions(1000, 6, 2.0)


class Embedding:
    """An orchestration that fans out over an activity with a limit."""

    def __init__(self, concurrency: Concurrency, *, capacity: int = 1000) -> None:
        self.registry = Registry()
        self.order: list[str] = []
        self.running = self.most_running = self.refused = 0

        @self.registry.orchestrator
        def document(context: OrchestrationContext) -> Steps:
            name, count = context.get_input()
            yield context.task_all([context.call_activity_with_retry("embed", AGAIN, name) for _ in range(count)])

        @self.registry.activity(concurrency=concurrency)
        async def embed(name: str) -> None:
            if self.running >= capacity:
                self.refused += 1
                raise ForebayError("embedding_failed", "limits its rate", retryable=True)
            self.order.append(name)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                await asyncio.sleep(1)
            finally:
                self.running -= 1


def play(embedding: Embedding, tmp_path: Path, story: Callable[[Bench], Awaitable[Result]]) -> Result:
    async def main() -> Result:
        async with open_engine(embedding.registry, tmp_path / "test.db") as bench:
            return await story(bench)

    return run_virtual(main)


def test_a_document_with_many_slices_does_not_hold_up_a_small_one(tmp_path: Path) -> None:
    embedding = Embedding(2)

    async def story(bench: Bench) -> None:
        large = await bench.client.start_new("document", "large", ["large", 400])
        await asyncio.sleep(10)
        await bench.run("document", ["small", 1], timeout_seconds=3)
        await bench.client.wait_for_completion(large)

    play(embedding, tmp_path, story)
    assert embedding.order.count("large") == 400


def test_many_documents_of_one_lane_do_not_hold_up_another_lane(tmp_path: Path) -> None:
    embedding = Embedding(1)

    async def story(bench: Bench) -> list[str]:
        for number in range(50):
            await bench.client.start_new("document", f"bulk-{number}", ["bulk", 4], lane="mine/folder")
        await asyncio.sleep(5.5)
        before = len(embedding.order)
        mine = await bench.client.start_new("document", "mine", ["mine", 2], lane="mine/upload")
        await bench.client.wait_for_completion(mine)
        return embedding.order[before:]

    assert play(embedding, tmp_path, story)[:3] in (["mine", "bulk", "mine"], ["bulk", "mine", "bulk"])


def test_an_instance_keeps_its_lane_over_a_restart(tmp_path: Path) -> None:
    embedding = Embedding(1)

    async def begin(bench: Bench) -> None:
        bench.engine.limits = bench.engine.limits.__class__(stop_deadline_seconds=0)
        await bench.client.start_new("document", "a", ["a", 3], lane="mine/upload")

    async def look(bench: Bench) -> set[str]:
        await asyncio.sleep(0.5)
        (room,) = bench.engine.rooms()
        return {each.lane for each in room.waiting}

    play(embedding, tmp_path, begin)
    assert play(embedding, tmp_path, look) == {"mine/upload"}


def test_the_limit_in_force_and_what_waits_for_it_can_be_read(tmp_path: Path) -> None:
    embedding = Embedding((1, 8))

    async def story(bench: Bench) -> None:
        (idle,) = bench.engine.rooms()
        assert (idle.activity, idle.limit, idle.lowest_limit, idle.highest_limit, idle.running_count, idle.waiting) == (
            "embed",
            1,
            1,
            8,
            0,
            (),
        )
        started = await bench.client.start_new("document", "a", ["a", 3])
        await asyncio.sleep(0.5)
        (busy,) = bench.engine.rooms()
        assert busy.running_count == 1
        assert [(each.instance_id, each.call_count) for each in busy.waiting] == [("a", 2)]
        assert busy.waiting[0].since < bench.clock.now()
        await bench.client.wait_for_completion(started)

    play(embedding, tmp_path, story)


@pytest.mark.parametrize("capacity", [4, 12])
def test_a_limit_with_bounds_finds_what_a_server_takes(tmp_path: Path, capacity: int) -> None:
    embedding = Embedding((1, 40), capacity=capacity)

    async def story(bench: Bench) -> float:
        began = bench.clock.monotonic()
        names = [await bench.client.start_new("document", f"d{number}", [f"d{number}", 200]) for number in range(10)]
        for name in names:
            assert (await bench.client.wait_for_completion(name)).runtime_status == "Completed"
        return bench.clock.monotonic() - began

    seconds = play(embedding, tmp_path, story)
    assert embedding.most_running == capacity
    # a saw between half of what it takes and all of it, and the way up from 1
    assert seconds < 2000 / capacity * 2
    assert embedding.refused < 200
