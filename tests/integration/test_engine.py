from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import tracemalloc
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.integration.durable_bench import Bench, open_engine, rows

from forebay.database import Transaction
from forebay.durable import ActivityFailed, Divergence, DurableEngine, EngineLimits, OrchestrationContext, Registry, RetryOptions, Task
from forebay.durable.activities.executor import record
from forebay.durable.instances.run import replay
from forebay.durable.journal.journal import Fact
from forebay.errors import ForebayError
from forebay.testing.virtual_loop import run_virtual

Steps = Generator[Task[Any], Any, Any]
Result = TypeVar("Result")


class Works:
    """A registry with a few activities that note their calls."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.calls: list[Any] = []
        self.failures_left = 0
        self.running = 0
        self.most_running = 0
        registry = self.registry

        @registry.activity
        async def echo(value: Any) -> Any:
            self.calls.append(value)
            return value

        @registry.activity
        async def rest(seconds: float) -> float:
            self.calls.append(seconds)
            await asyncio.sleep(seconds)
            return seconds

        @registry.activity
        async def fail_some(value: Any) -> Any:
            self.calls.append(asyncio.get_running_loop().time())
            if self.failures_left:
                self.failures_left -= 1
                raise OSError("not yet")
            return value

        @registry.activity
        async def refuse(value: Any) -> None:
            self.calls.append(value)
            raise ForebayError("too_odd", f"{value} is too odd", retryable=False)

        @registry.activity(concurrency=3)
        async def narrow(value: Any) -> Any:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            await asyncio.sleep(1)
            self.running -= 1
            return value

        @registry.activity(timeout_seconds=30)
        async def bounded(seconds: float) -> str:
            await asyncio.sleep(seconds)
            return "in time"

        @registry.transactional
        def store(tx: Transaction, name: str) -> int:
            tx.execute("INSERT INTO effects VALUES (?)", (name,))
            stored: int = tx.execute("SELECT count(*) FROM effects").fetchone()[0]
            return stored

        @registry.transactional
        def store_and_fail(tx: Transaction, name: str) -> None:
            self.calls.append(name)
            tx.execute("INSERT INTO effects VALUES (?)", (name,))
            raise ForebayError("unwanted", f"{name} is not wanted", retryable=False)


@pytest.fixture
def works() -> Works:
    return Works()


def play(works: Works, tmp_path: Path, story: Callable[[Bench], Awaitable[Result]], **options: Any) -> Result:
    """Run a story with an engine in virtual time."""

    async def main() -> Result:
        async with open_engine(works.registry, tmp_path / "test.db", **options) as bench:
            return await story(bench)

    return run_virtual(main)


def put_in_place(registry: Registry, orchestrator: Callable[[OrchestrationContext], Any] | None, name: str) -> None:
    """Let the name stand for another function, or for none, as after a deploy."""
    registry._orchestrators.pop(name, None)
    if orchestrator is not None:
        registry._orchestrators[name] = {None: orchestrator}


def output_of(works: Works, tmp_path: Path, orchestrator: Callable[[OrchestrationContext], Any], value: Any = None, **options: Any) -> Any:
    """What an orchestrator returns."""
    works.registry.orchestrator(orchestrator)
    status = play(works, tmp_path, lambda bench: bench.run(orchestrator.__name__, value), **options)
    assert status.runtime_status == "Completed", status.output
    return status.output


def failure_of(works: Works, tmp_path: Path, orchestrator: Callable[[OrchestrationContext], Any]) -> tuple[str | None, str]:
    """Code and message of an orchestrator's failure."""
    works.registry.orchestrator(orchestrator)
    status = play(works, tmp_path, lambda bench: bench.run(orchestrator.__name__))
    assert status.runtime_status == "Failed"
    return status.failure_code, status.output


# -- sequences and groups -------------------------------------------------------------------------------------------


def test_a_sequence_hands_each_result_to_the_next(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        value = context.get_input()
        for step in range(3):
            value = yield context.call_activity("echo", [value, step])
        return value

    assert output_of(works, tmp_path, orchestrator, "in") == [[["in", 0], 1], 2]
    assert len(works.calls) == 3


def test_a_group_runs_at_once_and_comes_back_in_order(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        began = context.current_utc_datetime
        results = yield context.task_all([context.call_activity("rest", seconds) for seconds in (30, 10, 20)])
        return [results, (context.current_utc_datetime - began).total_seconds()]

    results, took_seconds = output_of(works, tmp_path, orchestrator)
    assert results == [30, 10, 20]
    assert took_seconds == pytest.approx(30, abs=0.1)


def test_nested_groups_and_empty_ones(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        def call(value: int) -> Task:
            return context.call_activity("echo", value)

        return (yield context.task_all([call(1), context.task_all([]), context.task_all([call(2), context.task_all([call(3)])])]))

    assert output_of(works, tmp_path, orchestrator) == [1, [], [2, [3]]]


def test_all_of_nothing_ends_without_any_activity(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        return (yield context.task_all([]))

    assert output_of(works, tmp_path, orchestrator) == []


def test_the_same_task_twice_runs_once(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        task = context.call_activity("echo", 5)
        return [(yield context.task_all([task, task])), (yield task)]

    assert output_of(works, tmp_path, orchestrator) == [[5, 5], 5]
    assert works.calls == [5]


def test_an_orchestrator_without_activities_returns_its_value(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Any:
        return {"id": context.instance_id, "got": context.get_input()}

    works.registry.orchestrator(orchestrator)
    status = play(works, tmp_path, lambda bench: bench.run("orchestrator", [1], instance_id="mine"))
    assert (status.output, status.instance_id, status.input_, status.name) == ({"id": "mine", "got": [1]}, "mine", [1], "orchestrator")
    assert status.waits_for is None
    assert status.failure_code is None


def test_a_wide_group_is_written_in_few_commits(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        return len((yield context.task_all([context.call_activity("rest", 1) for _ in range(1000)])))

    works.registry.orchestrator(orchestrator)

    async def story(bench: Bench) -> tuple[Any, int]:
        return (await bench.run("orchestrator")).output, bench.writer.commit_count

    output, commit_count = play(works, tmp_path, story)
    assert output == 1000
    assert commit_count < 10


# -- failures -------------------------------------------------------------------------------------------------------


def test_a_failure_can_be_caught_and_the_orchestration_goes_on(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_activity("refuse", 7)
        except ActivityFailed as error:
            return [error.code, str(error), (yield context.call_activity("echo", "after"))]

    assert output_of(works, tmp_path, orchestrator) == ["too_odd", "Activity function 'refuse' failed: 7 is too odd", "after"]


def test_a_failure_that_is_not_caught_fails_the_instance(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity("refuse", 7)

    assert failure_of(works, tmp_path, orchestrator) == ("too_odd", "7 is too odd")


def test_an_orchestrators_own_exception_fails_the_instance(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity("echo")
        raise LookupError("nothing there")

    assert failure_of(works, tmp_path, orchestrator) == ("LookupError", "nothing there")


def test_a_group_fails_at_once_and_its_slow_task_does_not_hold_up_the_end(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.task_all([context.call_activity("rest", 250), context.call_activity("refuse", 1)])

    works.registry.orchestrator(orchestrator)

    async def story(bench: Bench) -> tuple[str | None, float]:
        status = await bench.run("orchestrator")
        return status.failure_code, asyncio.get_running_loop().time()

    code, took_seconds = play(works, tmp_path, story)
    assert code == "too_odd"
    assert took_seconds < 1


class Panic(BaseException):
    """What an extension written in Rust raises when it panics."""


@pytest.mark.parametrize(
    "error", [Panic("index out of bounds"), SystemExit(3), asyncio.CancelledError("not by the engine"), GeneratorExit()]
)
def test_an_activity_that_raises_what_is_no_exception_fails_and_does_not_hang(works: Works, tmp_path: Path, error: BaseException) -> None:
    @works.registry.activity
    async def explode(value: Any) -> None:
        raise error

    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity("explode")

    assert failure_of(works, tmp_path, orchestrator)[0] == type(error).__name__


@pytest.mark.parametrize("error", [Panic("index out of bounds"), StopIteration(), SystemExit(3)])
def test_a_transactional_activity_that_raises_what_is_no_exception_fails_alone(works: Works, tmp_path: Path, error: BaseException) -> None:
    @works.registry.transactional
    def explode(tx: Transaction, value: Any) -> None:
        raise error

    def orchestrator(context: OrchestrationContext) -> Steps:
        stored = context.call_activity("store", "neighbour")
        try:
            yield context.task_all([stored, context.call_activity("explode")])
        except ActivityFailed as failed:
            yield stored
            return str(failed)

    assert type(error).__name__ in output_of(works, tmp_path, orchestrator)
    assert rows(tmp_path / "test.db", "SELECT name FROM effects") == [("neighbour",)]


def test_a_failure_whose_text_is_no_text_can_be_recorded(works: Works, tmp_path: Path) -> None:
    @works.registry.activity
    async def open_file(value: Any) -> None:
        raise FileNotFoundError(2, "No such file", b"caf\xe9.txt".decode(errors="surrogateescape"))

    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity("open_file")

    code, message = failure_of(works, tmp_path, orchestrator)
    assert code == "FileNotFoundError"
    assert "caf" in message


# -- retries, timeouts, limits --------------------------------------------------------------------------------------


def test_a_failing_activity_is_tried_again_after_growing_waits(works: Works, tmp_path: Path) -> None:
    works.failures_left = 5

    def orchestrator(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity_with_retry("fail_some", RetryOptions(1000, 6, 2.0), "at last"))

    assert output_of(works, tmp_path, orchestrator) == "at last"
    waits = [later - earlier for earlier, later in zip(works.calls, works.calls[1:], strict=False)]
    assert waits == pytest.approx([1, 2, 4, 8, 16])
    kinds = [row[0] for row in rows(tmp_path / "test.db", "SELECT kind FROM history ORDER BY sequence")]
    assert kinds == ["attempt_failed"] * 5 + ["completed"]


def test_retries_end_with_the_last_attempt(works: Works, tmp_path: Path) -> None:
    works.failures_left = 100

    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity_with_retry("fail_some", RetryOptions(1000, 3))

    assert failure_of(works, tmp_path, orchestrator) == ("OSError", "not yet")
    assert len(works.calls) == 3


def test_no_try_begins_after_the_deadline_even_when_each_try_is_slow(works: Works, tmp_path: Path) -> None:
    began: list[float] = []

    @works.registry.activity
    async def slow_failure(value: Any) -> None:
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(10)
        raise OSError("no")

    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity_with_retry("slow_failure", RetryOptions(1000, 100, retry_timeout_in_milliseconds=15_000))

    failure_of(works, tmp_path, orchestrator)
    assert began == pytest.approx([0, 11])


def test_an_error_that_is_not_retryable_is_tried_once(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity_with_retry("refuse", RetryOptions(1000, 6), 3)

    assert failure_of(works, tmp_path, orchestrator)[0] == "too_odd"
    assert works.calls == [3]


def test_a_call_without_retry_options_is_tried_once(works: Works, tmp_path: Path) -> None:
    works.failures_left = 1

    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity("fail_some")

    assert failure_of(works, tmp_path, orchestrator)[0] == "OSError"
    assert len(works.calls) == 1


def test_an_activity_over_its_time_limit_fails_and_names_it(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        in_time = yield context.call_activity("bounded", 29)
        try:
            yield context.call_activity("bounded", 31)
        except ActivityFailed as error:
            return [in_time, error.code, str(error)]

    expected = "Activity function 'bounded' failed: activity 'bounded' ran longer than 30 s"
    assert output_of(works, tmp_path, orchestrator) == ["in time", "timeout", expected]


def test_time_spent_waiting_for_a_place_does_not_count_against_the_time_limit(works: Works, tmp_path: Path) -> None:
    @works.registry.activity(concurrency=1, timeout_seconds=30)
    async def alone(value: Any) -> Any:
        await asyncio.sleep(20)
        return value

    def orchestrator(context: OrchestrationContext) -> Steps:
        return (yield context.task_all([context.call_activity("alone", n) for n in range(5)]))

    assert output_of(works, tmp_path, orchestrator) == [0, 1, 2, 3, 4]


def test_an_activity_runs_no_more_often_at_once_than_it_says(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        return len((yield context.task_all([context.call_activity("narrow", n) for n in range(20)])))

    assert output_of(works, tmp_path, orchestrator) == 20
    assert works.most_running == 3


def test_no_more_instances_are_live_than_the_limit_and_all_of_them_finish(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        yield context.call_activity("busy")

    @works.registry.activity
    async def busy(value: Any) -> None:
        works.running += 1
        works.most_running = max(works.most_running, works.running)
        await asyncio.sleep(1)
        works.running -= 1

    async def story(bench: Bench) -> list[str]:
        statuses = await asyncio.gather(*(bench.run("one") for _ in range(40)))
        return [status.runtime_status for status in statuses]

    assert play(works, tmp_path, story, limits=EngineLimits(inflight_instances=4)) == ["Completed"] * 40
    assert works.most_running == 4


BIG = "x" * 1000
SMALL_LIMITS = EngineLimits(payload_bytes=500)


def test_an_instances_input_over_the_limit_is_refused_with_the_limits_name(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Any:
        return None

    with pytest.raises(ForebayError, match="the input of instance i has 1,002 bytes; payload_bytes allows 500") as refused:
        play(works, tmp_path, lambda bench: bench.run("one", BIG, instance_id="i"), limits=SMALL_LIMITS)
    assert (refused.value.code, refused.value.status) == ("payload_too_large", 413)
    assert rows(tmp_path / "test.db", "SELECT * FROM instances") == []


def test_activity_inputs_results_and_outputs_over_the_limit_are_refused_with_the_limits_name(works: Works, tmp_path: Path) -> None:
    @works.registry.activity
    async def produce(value: Any) -> str:
        return BIG

    @works.registry.transactional
    def produce_transactional(tx: Transaction, value: Any) -> str:
        tx.execute("INSERT INTO effects VALUES ('produced')")
        return BIG

    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        seen = []
        calls = [("echo", BIG), ("store", BIG), ("produce", None), ("produce_transactional", None)]
        for name, value in calls:
            try:
                yield context.call_activity_with_retry(name, RetryOptions(1000, 5), value)
            except ActivityFailed as error:
                seen.append([error.code, "payload_bytes allows 500" in str(error)])
        assert seen == [["payload_too_large", True]] * 4
        return BIG

    status = play(works, tmp_path, lambda bench: bench.run("one"), limits=SMALL_LIMITS)
    assert (status.runtime_status, status.failure_code) == ("Failed", "payload_too_large")
    assert "the output of instance" in status.output
    assert rows(tmp_path / "test.db", "SELECT * FROM effects") == []


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize("value", [object(), CYCLE, "\ud800", {None: 1}], ids=["object", "cycle", "surrogate", "key"])
def test_what_is_not_json_is_refused_wherever_it_turns_up(works: Works, tmp_path: Path, value: Any) -> None:
    @works.registry.activity
    async def produce(argument: Any) -> Any:
        return value

    @works.registry.transactional
    def produce_transactional(tx: Transaction, argument: Any) -> Any:
        return value

    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        seen = []
        for name in ("produce", "produce_transactional"):
            try:
                yield context.call_activity(name)
            except ActivityFailed as error:
                seen.append(error.code)
        assert seen == ["payload_not_json"] * 2
        return value

    async def story(bench: Bench) -> Any:
        with pytest.raises(ForebayError) as refused:
            await bench.client.start_new("one", None, value)
        assert refused.value.code == "payload_not_json"
        return await bench.run("one")

    status = play(works, tmp_path, story)
    assert (status.runtime_status, status.failure_code) == ("Failed", "payload_not_json")


# -- starting -------------------------------------------------------------------------------------------------------


def test_starting_the_same_instance_again_changes_nothing(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("echo", context.get_input()))

    async def story(bench: Bench) -> None:
        value = {"a": 1, "b": [2]}
        ids = await asyncio.gather(*(bench.client.start_new("one", "mine", value) for _ in range(10)))
        assert set(ids) == {"mine"}
        first = await bench.client.wait_for_completion("mine")
        assert await bench.client.start_new("one", "mine", {"b": [2], "a": 1}) == "mine"
        assert await bench.client.get_status("mine") == first

    play(works, tmp_path, story)
    assert works.calls == [{"a": 1, "b": [2]}]


def test_starting_an_instance_again_with_another_input_or_orchestrator_is_refused(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Any:
        return context.get_input()

    @works.registry.orchestrator
    def two(context: OrchestrationContext) -> Any:
        return context.get_input()

    async def story(bench: Bench) -> None:
        await bench.run("one", 1, instance_id="mine")
        for name, value in (("one", 2), ("two", 1)):
            with pytest.raises(ForebayError) as refused:
                await bench.client.start_new(name, "mine", value)
            assert (refused.value.code, refused.value.status) == ("instance_exists", 409)
        status = await bench.client.get_status("mine")
        assert status is not None
        assert status.output == 1

    play(works, tmp_path, story)


def test_an_unknown_orchestrator_is_refused_with_those_that_are_known(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def known(context: OrchestrationContext) -> Any:
        return None

    async def story(bench: Bench) -> None:
        with pytest.raises(ForebayError) as refused:
            await bench.client.start_new("unknown")
        assert refused.value.code == "orchestrator_not_found"
        assert "known" in refused.value.hint

    play(works, tmp_path, story)


def test_an_instance_whose_start_was_cancelled_half_way_still_runs(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("echo", context.get_input()))

    async def story(bench: Bench) -> list[Any]:
        lost = asyncio.create_task(bench.client.start_new("one", "lost", 1))
        await asyncio.sleep(0)
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)
        assert lost.cancelled()
        first = await bench.client.wait_for_completion("lost", 60)
        lost = asyncio.create_task(bench.client.start_new("one", "lost 2", 2))
        await asyncio.sleep(0)
        lost.cancel()
        other = await bench.run("one", 3, timeout_seconds=60)
        again = await bench.run("one", 2, instance_id="lost 2", timeout_seconds=60)
        return [first.output, other.output, again.output]

    assert play(works, tmp_path, story) == [1, 3, 2]
    assert sorted(works.calls) == [1, 2, 3]


# -- waiting --------------------------------------------------------------------------------------------------------


def test_waiting_ends_after_its_timeout_and_disturbs_nobody(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("rest", 100))

    async def story(bench: Bench) -> None:
        await bench.client.start_new("one", "mine")
        patient = asyncio.create_task(bench.client.wait_for_completion("mine"))
        with pytest.raises(TimeoutError):
            await bench.client.wait_for_completion("mine", 5)
        running = await bench.client.get_status("mine")
        assert running is not None
        assert (running.runtime_status, running.output) == ("Running", None)
        assert (await patient).output == 100
        assert (await bench.client.wait_for_completion("mine", 0.001)).output == 100
        assert await bench.client.get_status("mine") == await patient

    play(works, tmp_path, story)


def test_there_is_no_waiting_for_an_instance_that_does_not_exist(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        assert await bench.client.get_status("nobody") is None
        with pytest.raises(ForebayError) as refused:
            await bench.client.wait_for_completion("nobody", 5)
        assert refused.value.code == "instance_not_found"

    play(works, tmp_path, story)


def test_waiting_for_an_instance_ends_with_an_error_when_the_engine_stops_first(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("rest", 100))

    async def story(bench: Bench) -> None:
        await bench.client.start_new("one", "mine")
        waiting = asyncio.create_task(bench.client.wait_for_completion("mine"))
        await asyncio.sleep(1)
        await bench.engine.stop()
        with pytest.raises(ForebayError) as stopped:
            await waiting
        assert (stopped.value.code, stopped.value.retryable) == ("engine_stopped", True)
        with pytest.raises(ForebayError, match="stopped"):
            await bench.client.wait_for_completion("mine", 5)

    play(works, tmp_path, story)


# -- transactional activities ---------------------------------------------------------------------------------------


def test_transactional_activities_mix_with_others_in_one_group(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        calls = [context.call_activity("store", f"n{n}") if n % 2 else context.call_activity("rest", n) for n in range(10)]
        results = yield context.task_all(calls)
        return [results[0::2], sorted(results[1::2]), (yield context.call_activity("store", "last"))]

    assert output_of(works, tmp_path, orchestrator) == [[0, 2, 4, 6, 8], [1, 2, 3, 4, 5], 6]
    assert len(rows(tmp_path / "test.db", "SELECT * FROM effects")) == 6


def test_a_transactional_activity_that_fails_leaves_no_trace(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        stored = context.call_activity("store", "kept")
        try:
            yield context.task_all([stored, context.call_activity_with_retry("store_and_fail", RetryOptions(1000, 5), "dropped")])
        except ActivityFailed as error:
            return error.code

    assert output_of(works, tmp_path, orchestrator) == "unwanted"
    assert rows(tmp_path / "test.db", "SELECT name FROM effects") == [("kept",)]
    assert works.calls == ["dropped"]


def test_a_transactional_activity_is_tried_again_within_its_policy(works: Works, tmp_path: Path) -> None:
    times: list[float] = []

    @works.registry.transactional
    def store_later(tx: Transaction, value: dict[str, int]) -> int:
        tx.execute("INSERT INTO effects VALUES ('x')")
        times.append(tx.now_us / 1e6)
        value["n"] += 1
        if len(times) < 4:
            raise OSError("not yet")
        return value["n"]

    def orchestrator(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity_with_retry("store_later", RetryOptions(1000, 10, 2.0), {"n": 1}))

    assert output_of(works, tmp_path, orchestrator) == 2, "each try is given the input as it was"
    assert [round(later - times[0]) for later in times] == [0, 1, 3, 7]
    assert rows(tmp_path / "test.db", "SELECT count(*) FROM effects") == [(1,)]
    assert rows(tmp_path / "test.db", "SELECT kind, attempt FROM history ORDER BY sequence")[-1] == ("completed", 4)


def test_a_transactional_activity_that_nobody_waits_for_still_happens_once(works: Works, tmp_path: Path) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        bad = context.call_activity("refuse", 1)
        try:
            yield bad
        except ActivityFailed:
            yield context.task_all([bad, context.call_activity("store", "unwatched")])

    assert failure_of(works, tmp_path, orchestrator)[0] == "too_odd"
    assert rows(tmp_path / "test.db", "SELECT name FROM effects") == [("unwatched",)]


# -- held instances -------------------------------------------------------------------------------------------------


def test_an_instance_without_its_orchestrator_is_held_and_goes_on_when_it_is_registered(
    works: Works, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def one(context: OrchestrationContext) -> Steps:
        return [(yield context.call_activity("rest", 1)), (yield context.call_activity("rest", 250))]

    works.registry.orchestrator(one)
    limits = EngineLimits(stop_deadline_seconds=10)

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("one", "mine")
        await asyncio.sleep(10)

    async def look(bench: Bench) -> None:
        status = await bench.client.get_status("mine")
        assert status is not None
        assert (status.runtime_status, status.waits_for) == ("Running", "orchestrator 'one' is not registered")
        with pytest.raises(TimeoutError):
            await bench.client.wait_for_completion("mine", 1000)

    play(works, tmp_path, begin, limits=limits)
    put_in_place(works.registry, None, "one")
    with caplog.at_level(logging.ERROR):
        play(works, tmp_path, look)
    assert "instance mine is held: orchestrator 'one' is not registered" in caplog.text
    works.registry.orchestrator(one)
    status = play(works, tmp_path, lambda bench: bench.client.wait_for_completion("mine"))
    assert (status.output, status.waits_for) == ([1, 250], None)
    assert works.calls == [1, 250, 250], "the first result was in the journal; the second call was cut short"


def test_an_instance_without_an_activity_is_held_and_goes_on_when_it_is_registered(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.task_all([context.call_activity("rest", 5), context.call_activity("missing", 1)]))

    async def look(bench: Bench) -> None:
        await bench.client.start_new("one", "mine")
        await asyncio.sleep(100)
        status = await bench.client.get_status("mine")
        assert status is not None
        assert (status.runtime_status, status.waits_for) == ("Running", "activity 'missing' is not registered")

    play(works, tmp_path, look)

    @works.registry.activity
    async def missing(value: Any) -> Any:
        return value

    status = play(works, tmp_path, lambda bench: bench.client.wait_for_completion("mine"))
    assert (status.output, status.waits_for) == ([5, 1], None)
    assert works.calls == [5], "what was done while it was held is kept"


def test_held_instances_take_no_places_from_others(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def stuck(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("missing"))

    @works.registry.orchestrator
    def fine(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("echo", "fine"))

    async def story(bench: Bench) -> Any:
        for number in range(10):
            await bench.client.start_new("stuck", f"s{number}")
        output = (await bench.run("fine", timeout_seconds=60)).output
        held = [await bench.client.get_status(f"s{number}") for number in range(10)]
        assert all(status is not None and status.waits_for == "activity 'missing' is not registered" for status in held)
        return output

    limits = EngineLimits(inflight_instances=3)
    assert play(works, tmp_path, story, limits=limits) == "fine"
    assert play(works, tmp_path, lambda bench: bench.run("fine", timeout_seconds=60), limits=limits).output == "fine"


def test_an_instance_that_can_end_without_the_missing_activity_does(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        yield context.task_all([context.call_activity("missing"), context.call_activity("refuse", 1)])

    status = play(works, tmp_path, lambda bench: bench.run("one", timeout_seconds=60))
    assert (status.failure_code, status.waits_for) == ("too_odd", None)


def test_code_that_does_something_else_holds_the_instance_and_names_both_until_it_fits_again(works: Works, tmp_path: Path) -> None:
    def version_1(context: OrchestrationContext) -> Steps:
        first = yield context.call_activity("echo", 1)
        return [first, (yield context.call_activity("rest", 250))]

    def version_2(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("store", 1))

    limits = EngineLimits(stop_deadline_seconds=1)

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("one", "mine")
        await asyncio.sleep(10)

    async def look(bench: Bench) -> None:
        status = await bench.client.get_status("mine")
        assert status is not None
        assert status.runtime_status == "Running", "an instance never fails of a deploy"
        assert status.waits_for is not None
        assert "'echo' as task 0" in status.waits_for
        assert "scheduled activity 'store'" in status.waits_for

    put_in_place(works.registry, version_1, "one")
    play(works, tmp_path, begin, limits=limits)
    put_in_place(works.registry, version_2, "one")
    play(works, tmp_path, look)
    assert rows(tmp_path / "test.db", "SELECT * FROM effects") == []
    put_in_place(works.registry, version_1, "one")
    assert play(works, tmp_path, lambda bench: bench.client.wait_for_completion("mine")).output == [1, 250]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [("fewer", [], "did not schedule"), ("other input", [2], "another input"), ("none", None, "did not schedule")],
)
def test_every_difference_to_the_journal_holds_the_instance(
    works: Works, tmp_path: Path, name: str, arguments: list[int] | None, message: str
) -> None:
    def version_1(context: OrchestrationContext) -> Steps:
        yield context.call_activity("echo", 1)
        yield context.call_activity("rest", 250)

    def version_2(context: OrchestrationContext) -> Steps:
        if arguments is None:
            return
        yield context.task_all([context.call_activity("echo", argument) for argument in arguments])

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("one", "mine")
        await asyncio.sleep(10)

    async def look(bench: Bench) -> str | None:
        status = await bench.client.get_status("mine")
        assert status is not None
        assert status.runtime_status == "Running"
        return status.waits_for

    put_in_place(works.registry, version_1, "one")
    play(works, tmp_path, begin, limits=EngineLimits(stop_deadline_seconds=1))
    put_in_place(works.registry, version_2, "one")
    waits_for = play(works, tmp_path, look)
    assert waits_for is not None
    assert message in waits_for


# -- stopping and going on ------------------------------------------------------------------------------------------


def test_a_stop_lets_activities_end_and_the_next_engine_goes_on_from_there(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        replayed = [context.is_replaying]
        results = []
        for seconds in (5, 10, 15):
            results.append((yield context.call_activity("rest", seconds)))
            replayed.append(context.is_replaying)
        return [results, replayed]

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("one", "mine")
        await asyncio.sleep(7)

    play(works, tmp_path, begin)
    assert rows(tmp_path / "test.db", "SELECT payload FROM history") == [("5",), ("10",)], "the second ended within the deadline"
    told: list[Divergence] = []
    status = play(works, tmp_path, lambda bench: bench.client.wait_for_completion("mine"), diverged=told.append)
    assert status.output == [[5, 10, 15], [True, True, False, False]]
    assert [each.instance_id for each in told] == ["mine"], "what it returns depends on where it was cut short"
    assert works.calls == [5, 10, 15]


def test_an_activity_that_is_cut_short_by_a_stop_is_no_failure_whatever_it_raises_then(works: Works, tmp_path: Path) -> None:
    @works.registry.activity
    async def touchy(value: Any) -> str:
        works.calls.append(value)
        try:
            await asyncio.sleep(100 if len(works.calls) == 1 else 1)
        except asyncio.CancelledError:
            raise RuntimeError("connection lost") from None
        return "done"

    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("touchy"))

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("one", "mine")
        await asyncio.sleep(1)

    play(works, tmp_path, begin, limits=EngineLimits(stop_deadline_seconds=5))
    assert play(works, tmp_path, lambda bench: bench.client.wait_for_completion("mine")).output == "done"


def test_stopping_an_orchestrator_that_cleans_up_with_a_yield_is_no_trouble(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_activity("rest", 100)
        finally:
            yield context.call_activity("echo", "clean up")

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("one", "mine")
        await asyncio.sleep(1)

    play(works, tmp_path, begin, limits=EngineLimits(stop_deadline_seconds=5))
    assert play(works, tmp_path, lambda bench: bench.client.wait_for_completion("mine")).runtime_status == "Completed"
    assert works.calls == [100, 100, "clean up"]


@pytest.mark.parametrize(("meanwhile_seconds", "rest_seconds"), [(35, 65), (10_000, 0), (-1000, 100)])
def test_a_wait_between_tries_goes_on_where_a_stop_cut_it_short(
    works: Works, tmp_path: Path, meanwhile_seconds: float, rest_seconds: float
) -> None:
    works.failures_left = 2

    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity_with_retry("fail_some", RetryOptions(100_000, 3), "done"))

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("one", "mine")
        await asyncio.sleep(30)

    async def go_on(bench: Bench) -> tuple[Any, float]:
        began = bench.clock.monotonic()
        status = await bench.client.wait_for_completion("mine")
        return status.output, works.calls[1] - began

    play(works, tmp_path, begin, limits=EngineLimits(stop_deadline_seconds=5))
    # a new clock starts where the first one did
    output, waited_seconds = play(works, tmp_path, go_on, clock_ahead_seconds=meanwhile_seconds)
    assert output == "done"
    assert waited_seconds == pytest.approx(rest_seconds, abs=0.01)
    assert len(works.calls) == 3, "tries are counted over restarts"


def test_times_never_run_backwards_whatever_the_clock_does(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        times = [context.current_utc_datetime.timestamp()]
        for _ in range(4):
            yield context.task_all([context.call_activity("rest", 10), context.call_activity("store", "x")])
            times.append(context.current_utc_datetime.timestamp())
        return times

    async def story(bench: Bench) -> list[float]:
        await bench.client.start_new("one", "mine")
        for jump in (-3600, 86400, -7200):
            await asyncio.sleep(10)
            bench.clock.jump(jump)
        times: list[float] = (await bench.client.wait_for_completion("mine")).output
        return times

    times = play(works, tmp_path, story)
    assert times == sorted(times)


def test_times_never_run_backwards_when_the_clock_steps_back_between_two_outcomes_of_one_write(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        tasks = [context.call_activity("rest", seconds) for seconds in (10, 11, 12)]
        with contextlib.suppress(ActivityFailed):
            yield context.task_all([*tasks, context.call_activity("refuse", 1)])
        times = []
        for task in tasks:
            yield task
            times.append(context.current_utc_datetime.timestamp())
        return times

    async def story(bench: Bench) -> list[float]:
        await bench.client.start_new("one", "mine")
        await asyncio.sleep(11.5)
        bench.clock.jump(-100)
        times: list[float] = (await bench.client.wait_for_completion("mine")).output
        return times

    times = play(works, tmp_path, story, delay_seconds=lambda: 3.0)
    assert times == sorted(times)
    assert times[1] > times[0]


# -- a database that fails ------------------------------------------------------------------------------------------


def test_a_full_disk_stops_nothing_for_good(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        values = yield context.task_all([context.call_activity("echo", "x" * 4000) for _ in range(10)])
        return [len(values), (yield context.call_activity("store", "once"))]

    async def story(bench: Bench) -> Any:
        async def set_pages(limit: int) -> None:
            with contextlib.suppress(ForebayError):  # it may share a commit that fails
                await bench.writer.submit(lambda tx: tx.execute(f"PRAGMA max_page_count={limit}").close())

        await bench.client.start_new("one", "mine")
        await set_pages(1)
        await asyncio.sleep(60)
        running = await bench.client.get_status("mine")
        assert running is not None
        assert running.runtime_status == "Running"
        await set_pages(1_000_000)
        return (await bench.client.wait_for_completion("mine", 60)).output

    assert play(works, tmp_path, story) == [10, 1]
    assert rows(tmp_path / "test.db", "SELECT name FROM effects") == [("once",)]


def test_an_instance_that_was_given_up_writes_nothing_behind_its_successors_back(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("echo"))

    async def story(bench: Bench) -> None:
        await bench.run("one", instance_id="mine")
        row = await bench.engine.load("mine")
        assert row is not None
        run = replay(row, one, [])
        run.is_over = True
        fact = Fact("completed", 0, "echo", "", 1, 0, 0, "null")
        with pytest.raises(ForebayError) as refused:
            await bench.writer.submit(lambda tx: record(tx, run, [fact]))
        assert refused.value.code == "instance_reloaded"

    play(works, tmp_path, story)
    assert rows(tmp_path / "test.db", "SELECT count(*) FROM history") == [(1,)]


# -- many instances, on real threads and a real clock ---------------------------------------------------------------


@pytest.fixture
def short(works: Works) -> Registry:
    @works.registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("echo", context.get_input()))

    return works.registry


async def test_memory_does_not_grow_with_the_number_of_short_instances(works: Works, short: Registry, tmp_path: Path) -> None:
    async with DurableEngine(short, tmp_path / "test.db") as engine:

        async def run(first: int, count: int) -> None:
            ids = await asyncio.gather(*(engine.client.start_new("one", f"i{number}", number) for number in range(first, first + count)))
            for instance_id in ids:
                await engine.client.wait_for_completion(instance_id)
            works.calls.clear()

        await run(0, 500)
        gc.collect()
        tracemalloc.start()
        before_bytes, _ = tracemalloc.get_traced_memory()
        for first in range(500, 10_500, 500):
            await run(first, 500)
        gc.collect()
        after_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert after_bytes - before_bytes < 1_000_000
    assert rows(tmp_path / "test.db", "SELECT count(*) FROM instances WHERE status = 'Completed'") == [(10_500,)]


async def test_ten_thousand_waiting_instances_take_little_memory_and_all_finish(works: Works, short: Registry, tmp_path: Path) -> None:
    go_on = asyncio.Event()

    @works.registry.orchestrator
    def waiting(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("wait_for_start", context.get_input()))

    @works.registry.activity
    async def wait_for_start(value: Any) -> Any:
        await go_on.wait()
        return value

    async with DurableEngine(short, tmp_path / "test.db", limits=EngineLimits(stop_deadline_seconds=0)) as engine:
        await engine.client.start_new("waiting", "i0", 0)
        tracemalloc.start()
        before_bytes, _ = tracemalloc.get_traced_memory()
        for first in range(0, 10_000, 1000):
            await asyncio.gather(*(engine.client.start_new("waiting", f"i{number}", number) for number in range(first, first + 1000)))
        gc.collect()
        after_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert after_bytes - before_bytes < 2_000_000
    go_on.set()
    async with DurableEngine(short, tmp_path / "test.db") as engine:
        for number in range(10_000):
            assert (await engine.client.wait_for_completion(f"i{number}", 60)).output == number
