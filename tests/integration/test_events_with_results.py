"""Events that an activity raises with its result: in the same commit, and so exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.integration.durable_bench import Bench, open_engine, run_until_crash

from forebay.database import Transaction
from forebay.durable import OrchestrationContext, OutgoingEvent, Registry, ResultWithEvents, Task
from forebay.testing.inline import SimulatedCrash
from forebay.testing.virtual_loop import run_virtual

Result = TypeVar("Result")
Steps = Generator[Task[Any], Any, Any]


class Works:
    """One orchestrator that hears, and two that have somebody tell it something."""

    def __init__(self) -> None:
        self.registry = registry = Registry()
        self.told_count = 0

        @registry.activity
        async def tell(listener: str) -> ResultWithEvents:
            self.told_count += 1
            return ResultWithEvents("told", [OutgoingEvent(instance_id=listener, name="news", data=number) for number in (1, 2)])

        @registry.transactional
        def tell_within(tx: Transaction, listener: str) -> ResultWithEvents:
            tx.execute("INSERT INTO effects VALUES (?)", (listener,))
            return ResultWithEvents("told", [OutgoingEvent(instance_id=listener, name="news", data=number) for number in (1, 2)])

        @registry.orchestrator
        def hear(context: OrchestrationContext) -> Steps:
            first = yield context.wait_for_external_event("news")
            second = yield context.wait_for_external_event("news")
            later = context.create_timer(context.current_utc_datetime + timedelta(minutes=1))
            more = context.wait_for_external_event("news")
            winner = yield context.task_any([more, later])
            return [first, second, winner is more]

        @registry.orchestrator
        def speak(context: OrchestrationContext) -> Steps:
            return (yield context.call_activity(context.get_input()["by"], context.get_input()["to"]))


@pytest.fixture
def works() -> Works:
    return Works()


def play(works: Works, tmp_path: Path, story: Callable[[Bench], Awaitable[Result]], **options: Any) -> Result:
    async def main() -> Result:
        async with open_engine(works.registry, tmp_path / "test.db", **options) as bench:
            return await story(bench)

    return run_virtual(main)


@pytest.mark.parametrize("by", ["tell", "tell_within"])
def test_another_instance_hears_each_event_once_and_the_result_is_the_value(works: Works, tmp_path: Path, by: str) -> None:
    async def story(bench: Bench) -> tuple[Any, Any]:
        await bench.client.start_new("hear", "listener")
        await asyncio.sleep(1)
        spoken = await bench.run("speak", {"by": by, "to": "listener"})
        return spoken.output, (await bench.client.wait_for_completion("listener")).output

    assert play(works, tmp_path, story) == ("told", [1, 2, False])


@pytest.mark.parametrize("by", ["tell", "tell_within"])
@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("commit", range(1, 9))
def test_a_crash_at_any_commit_loses_and_repeats_no_event(works: Works, tmp_path: Path, by: str, commit: int, is_after: bool) -> None:
    def crash(number: int) -> None:
        if number == commit:
            raise SimulatedCrash

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("hear", "listener")
        await bench.client.start_new("speak", "speaker", {"by": by, "to": "listener"})
        return (await bench.client.wait_for_completion("listener")).output

    hook = {"after_commit" if is_after else "before_commit": crash}
    run_virtual(lambda: run_until_crash(story, works.registry, tmp_path / "test.db", **hook))
    assert play(works, tmp_path, story) == [1, 2, False]


def test_a_suspended_instance_tells_what_its_activity_told(works: Works, tmp_path: Path) -> None:
    @works.registry.activity
    async def tell_late(listener: str) -> ResultWithEvents:
        await asyncio.sleep(10)
        return ResultWithEvents(None, [OutgoingEvent(instance_id=listener, name="news", data=number) for number in (1, 2)])

    async def story(bench: Bench) -> tuple[str, Any]:
        await bench.client.start_new("hear", "listener")
        await bench.client.start_new("speak", "speaker", {"by": "tell_late", "to": "listener"})
        await asyncio.sleep(1)
        await bench.client.suspend("speaker")
        heard = (await bench.client.wait_for_completion("listener")).output
        status = await bench.client.get_status("speaker")
        assert status is not None
        suspended = status.runtime_status
        await bench.client.resume("speaker")
        await bench.client.wait_for_completion("speaker")
        return suspended, heard

    assert play(works, tmp_path, story) == ("Suspended", [1, 2, False])


def test_an_event_for_nobody_is_logged_and_the_activity_succeeds(works: Works, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        status = play(works, tmp_path, lambda bench: bench.run("speak", {"by": "tell", "to": "nobody"}))
    assert status.output == "told"
    assert "event 'news' goes nowhere: instance 'nobody' does not exist" in caplog.text
