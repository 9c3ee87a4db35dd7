from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.integration import blocking_functions
from tests.integration.durable_bench import Bench, open_engine, run_until_crash

from forebay.durable import ActivityInfo, OrchestrationContext, Registry, RetryOptions, Task, current_activity
from forebay.durable.activities.time_limit import TimeLimit
from forebay.errors import ForebayError
from forebay.testing.inline import SimulatedCrash
from forebay.testing.virtual_loop import run_virtual

Steps = Generator[Task[Any], Any, Any]


class Notes:
    """A registry whose activity notes who it is, and fails a few times."""

    def __init__(self, failure_count: int = 0) -> None:
        self.seen: list[ActivityInfo] = []
        self.registry = Registry()

        @self.registry.orchestrator
        def rounds(context: OrchestrationContext) -> Steps:
            left = context.get_input()
            yield context.task_all([context.call_activity_with_retry("note", RetryOptions(1000, 5), task) for task in range(2)])
            if left:
                context.continue_as_new(left - 1)

        @self.registry.activity
        async def note(task: int) -> None:
            self.seen.append(current_activity())
            await asyncio.sleep(task)  # each ends by itself, and is recorded by itself
            if current_activity().attempt <= failure_count:
                raise OSError("not yet")

    @property
    def ids(self) -> list[str]:
        return [each.activity_id for each in self.seen]


def test_the_id_is_the_same_at_every_try_of_a_call_and_another_for_any_other_call(tmp_path: Path) -> None:
    notes = Notes(failure_count=2)

    async def story() -> None:
        async with open_engine(notes.registry, tmp_path / "test.db") as bench:
            await bench.run("rounds", 1, instance_id="a")
            await bench.run("rounds", 0, instance_id="a:0")

    run_virtual(story)
    assert len(notes.ids) == 18
    by_id = {id_: [each.attempt for each in notes.seen if each.activity_id == id_] for id_ in notes.ids}
    assert list(by_id.values()) == [[1, 2, 3]] * 6  # two calls in each of two incarnations, and in another instance


def test_the_id_is_another_after_a_restart_of_the_instance(tmp_path: Path) -> None:
    notes = Notes()

    async def story() -> None:
        async with open_engine(notes.registry, tmp_path / "test.db") as bench:
            await bench.run("rounds", 0, instance_id="a")
            await bench.client.restart("a", restart_with_new_instance_id=False)
            await bench.client.wait_for_completion("a")
            await bench.client.purge_instance_history("a")
            await bench.run("rounds", 0, instance_id="a")

    run_virtual(story)
    assert len(notes.ids) == len(set(notes.ids)) == 6


@pytest.mark.parametrize("is_durable", [False, True])
def test_the_id_is_the_same_after_a_crash(tmp_path: Path, is_durable: bool) -> None:
    async def work(bench: Bench) -> None:
        with contextlib.suppress(ForebayError):  # it exists, and goes on
            await bench.client.start_new("rounds", "a", 1)
        await bench.client.wait_for_completion("a")

    repeated_count = 0
    for crash_at in range(1, 8):
        notes = Notes(failure_count=1)

        def crash(commit: int, crash_at: int = crash_at) -> None:
            if commit == crash_at:
                raise SimulatedCrash

        path, hook = tmp_path / f"{crash_at}.db", {"after_commit" if is_durable else "before_commit": crash}
        run_virtual(partial(run_until_crash, work, notes.registry, path, **hook))
        run_virtual(partial(run_until_crash, work, notes.registry, path))
        assert len(set(notes.ids)) == 4
        repeated_count += len(notes.ids) - 8
    assert repeated_count > 0


def test_outside_of_an_activity_there_is_none() -> None:
    with pytest.raises(RuntimeError, match="outside of an activity"):
        current_activity()


def test_a_heartbeat_lets_the_time_limit_begin_anew(tmp_path: Path) -> None:
    registry = Registry()

    @registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("work", context.get_input()))

    @registry.activity(timeout_seconds=30)
    async def work(pauses: list[float]) -> float:
        for seconds in pauses:
            await asyncio.sleep(seconds)
            current_activity().heartbeat()
        return sum(pauses)

    async def story() -> list[tuple[str, Any]]:
        async with open_engine(registry, tmp_path / "test.db") as bench:
            statuses = [await bench.run("one", pauses) for pauses in ([29.0] * 100, [29.0, 31.0], [31.0])]
            return [(each.runtime_status, each.output) for each in statuses]

    (first, output), *others = run_virtual(story)
    assert (first, output) == ("Completed", 2900)
    assert [status for status, _ in others] == ["Failed", "Failed"]
    assert all("ran longer than 30 s" in str(message) for _, message in others)


def test_a_time_limit_that_has_not_begun_cancels_nothing() -> None:
    async def story() -> bool:
        async with TimeLimit(1, "it") as limit:
            await asyncio.sleep(100)
            limit.begin()
            await asyncio.sleep(0.9)
        return limit.is_over

    assert run_virtual(story) is False


def test_a_time_limit_counts_from_the_last_beat() -> None:
    async def beat_and_hang(limit: TimeLimit) -> None:
        async with limit:
            limit.begin()
            for _ in range(5):
                await asyncio.sleep(3)
                limit.beat()
            await asyncio.sleep(math.inf)

    async def story() -> float:
        limit = TimeLimit(10, "it")
        with pytest.raises(TimeoutError):
            await beat_and_hang(limit)
        assert limit.is_over
        return asyncio.get_running_loop().time()

    assert run_virtual(story) == 25


def test_a_timeout_inside_of_the_block_is_not_the_limits() -> None:
    async def fail(limit: TimeLimit) -> None:
        async with limit:
            limit.begin()
            raise TimeoutError("of the block")

    async def story() -> bool:
        limit = TimeLimit(10, "it")
        with pytest.raises(TimeoutError, match="of the block"):
            await fail(limit)
        return limit.is_over

    assert run_virtual(story) is False


async def asynchronous(value: Any) -> Any:
    return value


def of_a_script(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda value: value, "move it there and name it"),
        (asynchronous, "a process runs a `def`"),
        (blocking_functions.Methods().method, "is bound to an object"),
    ],
)
def test_what_a_process_cannot_import_is_refused(function: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Registry().activity(process=True)(function)


def test_a_function_inside_of_another_is_refused_for_a_process() -> None:
    with pytest.raises(ValueError, match="at its top level"):

        @Registry().activity(process=True)
        def local(value: Any) -> Any:
            return value


def test_a_function_of_the_script_itself_is_refused_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_a_script, "__module__", "__main__")
    with pytest.raises(ValueError, match="move it to a module that the script imports"):
        Registry().activity(process=True)(of_a_script)


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_a_time_limit_that_no_try_can_keep_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="expected timeout_seconds above 0"):
        Registry().activity(timeout_seconds=seconds)
