"""What happens to an instance at the very moment at which something else is done to it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace
from tests.integration.durable_bench import Bench, open_engine, rows
from tests.integration.waiting_stage import Steps, until, until_waiting

from forebay.durable import (
    DeadLetters,
    DurableEngine,
    EngineLimits,
    OrchestrationContext,
    OutgoingEvent,
    Registry,
    ResultWithEvents,
    RetryOptions,
)
from forebay.errors import ForebayError
from forebay.testing.virtual_loop import SeededRandomness, run_virtual
from forebay.values.correlation import Correlation

Result = TypeVar("Result")

COMMIT_SECONDS = 0.01  # of each write; each read waits as long before it looks and before it answers
MOMENTS = [milliseconds / 1000 for milliseconds in range(0, 60, 2)]


class Works:
    """Activities that end when the test wants it."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.calls: list[Any] = []
        self.gates: dict[Any, asyncio.Event] = {}
        self.rest_seconds = 1e6

        @self.registry.activity
        async def work(value: Any) -> Any:
            self.calls.append(value)
            await self.gates.setdefault(value, asyncio.Event()).wait()
            return value

        @self.registry.activity
        async def echo(value: Any) -> Any:
            self.calls.append(value)
            return value

        @self.registry.activity
        async def rest(value: Any) -> None:
            self.calls.append(value)
            await asyncio.sleep(self.rest_seconds)

    def open(self, value: Any) -> None:
        self.gates.setdefault(value, asyncio.Event()).set()

    async def until_called(self, *values: Any) -> None:
        async def are() -> bool:
            return set(values) <= set(self.calls)

        await until(are)

    def live(self, story: Callable[[Bench], Awaitable[Result]], path: Path, **options: Any) -> Result:
        async def main() -> Result:
            async with open_engine(self.registry, path, **({"delay_seconds": lambda: COMMIT_SECONDS} | options)) as bench:
                return await story(bench)

        return run_virtual(main)


@pytest.fixture
def works() -> Works:
    return Works()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


# -- suspend and resume -------------------------------------------------------------------------------------------------


def test_a_resume_that_meets_the_end_of_an_activity_goes_on(works: Works, path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("work", "a"))

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("one", "i")
        await works.until_called("a")
        await bench.client.suspend("i")
        resume = asyncio.create_task(bench.client.resume("i"))
        await asyncio.sleep(COMMIT_SECONDS / 4)
        works.open("a")
        await resume
        return (await bench.client.wait_for_completion("i", 100)).output

    assert works.live(story, path) == "a"


def test_an_activity_that_ends_while_the_end_of_another_one_is_kept_for_later_is_not_run_again(works: Works, path: Path) -> None:
    @works.registry.orchestrator
    def both(context: OrchestrationContext) -> Steps:
        return (yield context.task_all([context.call_activity("work", "a"), context.call_activity("work", "b")]))

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("both", "i")
        await works.until_called("a", "b")
        await bench.client.suspend("i")
        works.open("a")
        await asyncio.sleep(COMMIT_SECONDS / 2)
        works.open("b")
        await asyncio.sleep(1)
        await bench.client.resume("i")
        return (await bench.client.wait_for_completion("i", 100)).output

    assert works.live(story, path) == ["a", "b"]
    assert sorted(works.calls) == ["a", "b"]


def test_an_activity_that_ends_in_the_moment_of_a_suspension_is_not_run_again(works: Works, path: Path) -> None:
    engines: list[DurableEngine] = []

    def suspend() -> None:
        """What the engine does once a suspension is durable."""
        (engine,) = engines
        (run,) = engine.mover.runs.values()
        run.row = replace(run.row, status="Suspended")
        engine.admission.settled(run)

    @works.registry.activity
    async def end_with_a_suspension(value: str) -> str:
        works.calls.append(value)
        asyncio.get_running_loop().call_soon(suspend)
        return value

    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("end_with_a_suspension", "a"))

    async def story(bench: Bench) -> Any:
        engines.append(bench.engine)
        await bench.client.start_new("one", "i")
        await asyncio.sleep(1)
        await bench.client.resume("i")
        return (await bench.client.wait_for_completion("i", 100)).output

    assert works.live(story, path) == "a"
    assert works.calls == ["a"]


def test_a_wait_between_two_tries_that_ends_while_an_instance_is_suspended_waits_in_peace(works: Works, path: Path) -> None:
    @works.registry.activity
    async def fail_once(value: Any) -> Any:
        works.calls.append("try")
        if works.calls.count("try") == 1:
            raise OSError("not yet")
        return value

    @works.registry.orchestrator
    def mixed(context: OrchestrationContext) -> Steps:
        again = context.call_activity_with_retry("fail_once", RetryOptions(10_000, 2), "tried")
        return (yield context.task_all([again, context.call_activity("work", "a")]))

    async def story(bench: Bench) -> tuple[Any, int]:
        moves, move = 0, bench.engine.mover.move

        def counted(run: Any) -> None:
            nonlocal moves
            moves += 1
            assert moves < 1000, "it never rests"
            move(run)

        bench.engine.mover.move = counted  # type: ignore[method-assign]
        await bench.client.start_new("mixed", "i")
        await works.until_called("a", "try")
        await bench.client.suspend("i")
        await asyncio.sleep(100)
        assert works.calls.count("try") == 1
        await bench.client.resume("i")
        await asyncio.sleep(1)
        assert works.calls.count("try") == 2
        works.open("a")
        return (await bench.client.wait_for_completion("i", 100)).output, moves

    output, moves = works.live(story, path)
    assert output == ["tried", "a"]
    assert moves < 20


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_instance_that_is_suspended_at_the_moment_of_its_admission_rests(works: Works, path: Path, moment: float) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("work", context.get_input()))

    async def story(bench: Bench) -> None:
        await bench.client.start_new("one", "first", "first")
        await bench.client.start_new("one", "second", "second")
        await works.until_called("first")
        works.open("first")
        await asyncio.sleep(moment)
        await bench.client.suspend("second")
        works.open("second")
        await asyncio.sleep(10)
        assert (await bench.client.get_status("second")).runtime_status == "Suspended"  # type: ignore[union-attr]
        await bench.client.resume("second")
        assert (await bench.client.wait_for_completion("second", 100)).output == "second"
        assert works.calls == ["first", "second"]

    works.live(story, path, limits=EngineLimits(inflight_instances=1))


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_instance_that_is_resumed_while_an_event_wakes_it_goes_on(works: Works, path: Path, moment: float) -> None:
    @works.registry.orchestrator
    def listener(context: OrchestrationContext) -> Steps:
        return (yield context.wait_for_external_event("go"))

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("listener", "i")
        await until_waiting(bench, "i", "event")
        await bench.client.suspend("i")
        event = asyncio.create_task(bench.client.raise_event("i", "go", 5))
        await asyncio.sleep(moment)
        await bench.client.resume("i")
        await event
        return (await bench.client.wait_for_completion("i", 100)).output

    assert works.live(story, path) == 5


# -- termination and purge ----------------------------------------------------------------------------------------------


def test_a_step_that_meets_a_termination_leaves_nothing_behind(works: Works, path: Path) -> None:
    @works.registry.orchestrator
    def parent(context: OrchestrationContext) -> Steps:
        yield context.call_activity("work", "a")
        yield context.call_sub_orchestrator("child")

    @works.registry.orchestrator
    def child(context: OrchestrationContext) -> Steps:
        yield context.call_activity("work", "child")

    async def story(bench: Bench) -> None:
        await bench.client.start_new("parent", "i")
        await works.until_called("a")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bench.client.terminate("i"))
            await asyncio.sleep(COMMIT_SECONDS / 4)
            tasks.create_task(bench.client.purge_instance_history("i"))
            await asyncio.sleep(COMMIT_SECONDS / 4)
            works.open("a")
        await asyncio.sleep(1)

    works.live(story, path)
    assert works.calls == ["a"]
    assert rows(path, "SELECT id FROM instances") == []
    assert rows(path, "SELECT * FROM history") == []


def test_transactional_work_that_meets_a_termination_does_not_happen(works: Works, path: Path) -> None:
    tries = []

    @works.registry.transactional
    def write(tx: Any, name: Any) -> None:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) == 1:
            raise OSError("not yet")
        tx.execute("INSERT INTO effects VALUES (?)", (name,))

    @works.registry.orchestrator
    def writer(context: OrchestrationContext) -> Steps:
        yield context.call_activity_with_retry("write", RetryOptions(10_000, 2), "done")

    async def story(bench: Bench) -> None:
        await bench.client.start_new("writer", "i")
        await asyncio.sleep(5)
        await asyncio.sleep(tries[0] + 10 - COMMIT_SECONDS / 2 - asyncio.get_running_loop().time())
        await bench.client.terminate("i")  # in one commit with the second try, and before it
        await asyncio.sleep(1)

    works.live(story, path)
    assert rows(path, "SELECT * FROM effects") == []
    assert rows(path, "SELECT kind FROM history") == [("attempt_failed",)]


@pytest.mark.parametrize("second_interval", range(1000, 1040, 5))
@pytest.mark.parametrize("moment", [0.98, 0.99, 1.0])
def test_transactional_work_that_ends_while_a_step_is_written_is_followed_up(path: Path, second_interval: int, moment: float) -> None:
    registry, tries = Registry(), []

    @registry.transactional
    def write(tx: Any, name: str) -> str:
        tries.append(name)
        if tries.count(name) == 1:
            raise OSError("not yet")
        return name

    @registry.activity
    async def say(value: str) -> str:
        return value

    @registry.orchestrator
    def child(context: OrchestrationContext) -> Steps:
        yield context.wait_for_external_event("never")

    @registry.orchestrator
    def main(context: OrchestrationContext) -> Steps:
        first = context.call_activity_with_retry("write", RetryOptions(1000, 2), "first")
        second = context.call_activity_with_retry("write", RetryOptions(second_interval, 2), "second")
        yield context.task_any([first, second])
        yield context.task_any([second, context.call_sub_orchestrator("child")])
        return (yield context.call_activity("say", "end"))

    async def story() -> Any:
        async with open_engine(registry, path, delay_seconds=lambda: COMMIT_SECONDS) as bench:
            await bench.client.start_new("main", "i")
            await asyncio.sleep(moment)
            await bench.client.raise_event("i", "anything")  # reading it takes as long as writing
            return (await bench.client.wait_for_completion("i", 100)).output

    assert run_virtual(story) == "end"


def test_an_instance_that_was_held_waits_for_nothing_once_it_is_terminated(works: Works, path: Path) -> None:
    @works.registry.orchestrator
    def lost(context: OrchestrationContext) -> Steps:
        yield context.call_activity("missing")

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("lost", "i")
        await asyncio.sleep(1)
        await bench.client.terminate("i")
        return (await bench.client.get_status("i")).waits_for  # type: ignore[union-attr]

    assert works.live(story, path) is None


def test_the_alarm_of_an_instance_goes_with_it(works: Works, path: Path) -> None:
    @works.registry.orchestrator
    def sleeper(context: OrchestrationContext) -> Steps:
        yield context.create_timer(context.current_utc_datetime + timedelta(days=400))

    async def story(bench: Bench) -> int:
        await bench.client.start_new("sleeper", "i")
        await until_waiting(bench, "i", "timer")
        await bench.client.terminate("i")
        return len(bench.engine.admission._timers._due)

    assert works.live(story, path, limits=EngineLimits(waiting_instances=0)) == 0


# -- callers that go ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["raise_event", "terminate", "resume", "rewind", "restart", "replay"])
def test_what_is_done_to_an_instance_is_done_also_when_its_caller_goes_meanwhile(works: Works, path: Path, operation: str) -> None:
    @works.registry.orchestrator
    def listener(context: OrchestrationContext) -> Steps:
        yield context.wait_for_external_event("go")
        works.calls.append("went on")
        if works.calls.count("went on") == 1 and operation in ("rewind", "restart", "replay"):
            raise OSError("not yet")

    async def act(bench: Bench) -> Any:
        if operation == "raise_event":
            return await bench.client.raise_event("i", "go")
        if operation == "restart":
            return await bench.client.restart("i", restart_with_new_instance_id=False)
        if operation == "replay":
            return await DeadLetters(bench.engine).replay([1], by="somebody")
        return await getattr(bench.client, operation)("i")

    async def story(bench: Bench) -> str:
        await bench.client.start_new("listener", "i")
        await until_waiting(bench, "i", "event")
        if operation in ("rewind", "restart", "replay"):
            await bench.client.raise_event("i", "go")
            await bench.client.wait_for_completion("i", 100)
        elif operation == "resume":
            await bench.client.suspend("i")
            await bench.client.raise_event("i", "go")
        waiter = asyncio.create_task(bench.client.wait_for_completion("i", 100)) if operation == "terminate" else None
        await asyncio.sleep(1)
        commits = bench.writer.commit_count
        caller = asyncio.create_task(act(bench))
        while not bench.writer.load().journal_waiting_count:
            await asyncio.sleep(COMMIT_SECONDS / 10)
        caller.cancel()
        await asyncio.sleep(1)
        assert bench.writer.commit_count > commits
        if waiter is not None:
            return (await waiter).runtime_status
        if operation == "restart":
            await until_waiting(bench, "i", "event")
            await bench.client.raise_event("i", "go")
        return (await bench.client.wait_for_completion("i", 100)).runtime_status

    assert works.live(story, path, diverged=print) == ("Terminated" if operation == "terminate" else "Completed")


# -- trouble with the database ------------------------------------------------------------------------------------------


def test_a_read_that_fails_while_instances_are_admitted_delays_them(works: Works, path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        yield context.call_activity("echo", 1)
        return (yield context.wait_for_external_event("go"))

    async def story(bench: Bench) -> list[Any]:
        for each in "abc":
            await bench.client.start_new("one", each)
            await until_waiting(bench, each, "event")
        readers = bench.engine.database.readers
        read, failures = readers.run, 2

        async def failing(function: Any) -> Any:
            nonlocal failures
            if failures:
                failures -= 1
                raise sqlite3.OperationalError("disk I/O error")
            return await read(function)

        readers.run = failing  # type: ignore[method-assign]
        for each in "abc":
            await bench.client.raise_event(each, "go", each)
        await asyncio.sleep(10)
        return [(await bench.client.wait_for_completion(each, 100)).output for each in "abc"]

    assert works.live(story, path, limits=EngineLimits(waiting_instances=0)) == ["a", "b", "c"]


def test_whoever_waits_is_told_of_a_purge_when_the_end_was_durable_but_reported_as_failed(works: Works, path: Path) -> None:
    is_broken = False

    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        yield context.call_activity("work", "a")

    def after_commit(number: int) -> None:
        nonlocal is_broken
        if is_broken:
            is_broken = False
            raise sqlite3.OperationalError("disk I/O error")

    async def story(bench: Bench) -> None:
        nonlocal is_broken
        await bench.client.start_new("one", "i")
        await works.until_called("a")
        waiter = asyncio.create_task(bench.client.wait_for_completion("i", 100))
        await asyncio.sleep(1)
        is_broken = True
        works.open("a")
        await asyncio.sleep(2 * COMMIT_SECONDS)
        await bench.client.purge_instance_history("i")
        with pytest.raises(ForebayError, match="no instance 'i'"):
            await waiter

    works.live(story, path, after_commit=after_commit)


@pytest.mark.parametrize("broken", range(1, 16))
def test_an_event_that_came_with_a_result_is_heard_whichever_commit_was_durable_but_reported_as_failed(
    works: Works, path: Path, broken: int
) -> None:
    @works.registry.activity
    async def tell(value: Any) -> ResultWithEvents:
        return ResultWithEvents(value, [OutgoingEvent(instance_id="listener", name="go", data=value)])

    @works.registry.orchestrator
    def teller(context: OrchestrationContext) -> Steps:
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
        return (yield context.call_activity("tell", 5))

    @works.registry.orchestrator
    def listener(context: OrchestrationContext) -> Steps:
        return (yield context.wait_for_external_event("go"))

    def after_commit(number: int) -> None:
        if number == broken:
            raise sqlite3.OperationalError("disk I/O error")

    async def start(bench: Bench, name: str) -> None:
        try:
            await bench.client.start_new(name, name)
        except ForebayError:
            await bench.client.start_new(name, name)

    async def story(bench: Bench) -> list[Any]:
        await start(bench, "listener")
        await start(bench, "teller")
        return [(await bench.client.wait_for_completion(each, 1000)).output for each in ("teller", "listener")]

    assert works.live(story, path, after_commit=after_commit) == [5, 5]


@pytest.mark.parametrize("seed", range(30))
def test_an_instance_that_ends_while_others_are_admitted_does_not_run_again(works: Works, path: Path, seed: int) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        yield context.call_activity("rest", context.instance_id)

    async def first(bench: Bench) -> None:
        await bench.client.start_new("one", "i")
        await works.until_called("i")
        await bench.client.raise_event("i", "unheard")

    async def second(bench: Bench) -> None:
        await bench.client.wait_for_completion("i", 100)
        await asyncio.sleep(10)

    works.live(first, path, limits=EngineLimits(stop_deadline_seconds=0))
    works.calls.clear()
    works.rest_seconds = 0
    random = SeededRandomness(seed)
    works.live(second, path, delay_seconds=lambda: random.ratio() ** 4)
    assert works.calls == ["i"]


def test_an_instance_with_a_damaged_journal_is_held_and_the_others_go_on(works: Works, path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        yield context.call_activity("echo", 1)
        return (yield context.call_activity("work", context.instance_id))

    async def first(bench: Bench) -> None:
        for each in "abc":
            await bench.client.start_new("one", each)
        await works.until_called(*"abc")

    async def second(bench: Bench) -> Any:
        for each in "abc":
            works.open(each)
        for each in "ac":
            await bench.client.wait_for_completion(each, 100)
        await bench.client.start_new("one", "d")
        works.open("d")
        await bench.client.wait_for_completion("d", 100)
        return (await bench.client.get_status("b")).waits_for  # type: ignore[union-attr]

    works.live(first, path, limits=EngineLimits(stop_deadline_seconds=0))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE history SET payload = '{' WHERE instance = (SELECT key FROM instances WHERE id = 'b')")
    assert "cannot be replayed" in works.live(second, path)


def test_a_stop_does_not_wait_for_instances_that_wait_for_the_database(works: Works, path: Path) -> None:
    is_broken = False

    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        yield context.call_activity("work", "a")

    def before_commit(number: int) -> None:
        if is_broken:
            raise sqlite3.OperationalError("database or disk is full")

    async def story(bench: Bench) -> float:
        nonlocal is_broken
        await bench.client.start_new("one", "i")
        await works.until_called("a")
        is_broken = True
        works.open("a")
        await asyncio.sleep(100)
        before = asyncio.get_running_loop().time()
        await bench.engine.stop()
        return asyncio.get_running_loop().time() - before

    assert works.live(story, path, before_commit=before_commit) < 2


class Panic(BaseException):
    """What extensions raise."""


def test_an_orchestrator_without_steps_that_raises_what_is_no_exception_fails(works: Works, path: Path) -> None:
    @works.registry.orchestrator
    def panics(context: OrchestrationContext) -> Any:
        raise Panic("oh")

    async def story(bench: Bench) -> Any:
        return (await bench.run("panics", timeout_seconds=100)).failure_code

    assert works.live(story, path) == "Panic"


@pytest.mark.parametrize("project", ["mine", "theirs"])
def test_a_sub_orchestration_replaces_an_ended_instance_of_its_own_project_only(works: Works, path: Path, project: str) -> None:
    @works.registry.orchestrator
    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator("child", None, "chosen"))

    @works.registry.orchestrator
    def child(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("echo", "child"))

    async def story(bench: Bench) -> str:
        for name, instance_id, owner in [("child", "chosen", project), ("parent", "i", "mine")]:
            await bench.client.start_new(name, instance_id, correlation=Correlation(id=instance_id, project=owner))
            ended = await bench.client.wait_for_completion(instance_id, 100)
        return ended.failure_code or ended.output

    assert works.live(story, path) == ("child" if project == "mine" else "instance_exists")
