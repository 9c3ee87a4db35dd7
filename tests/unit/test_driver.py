from __future__ import annotations

import gc
import json
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import pytest

from forebay.durable import ActivityFailed, Failure, OrchestrationContext, RetryOptions, Task
from forebay.durable.failures import MESSAGE_LIMIT_CHARACTERS, NonDeterministicError
from forebay.durable.orchestration.actions import Action, ActivityAction
from forebay.durable.orchestration.driver import Driver
from forebay.durable.registry import OrchestratorFunction
from forebay.errors import ForebayError
from forebay.values.times import to_microseconds

START = datetime(2030, 1, 1, tzinfo=UTC)
NO = Failure(code="no", message="it does not work", retryable=True)
Steps = Generator[Task[Any], Any, Any]


class Story:
    """Drives an orchestrator by hand."""

    def __init__(self, orchestrator: OrchestratorFunction, value: Any = None) -> None:
        self.context = OrchestrationContext(instance_id="story", input_json=json.dumps(value), now_us=to_microseconds(START))
        self.driver = Driver(orchestrator, self.context)
        self.driver.start()
        self.scheduled: list[Action] = self.driver.take_actions()

    def names(self) -> list[tuple[int, str, bytes]]:
        return [(each.task_id, each.name, each.input_json) for each in self.scheduled]

    def settle(self, task_id: int, result: Any = None, failure: Failure | None = None, *, after_seconds: float = 1) -> None:
        now_us = self.context.now_us + int(after_seconds * 1e6)
        self.driver.settle(task_id, now_us=now_us, result=result, failure=failure)
        self.scheduled = self.driver.take_actions()

    @property
    def output(self) -> Any:
        assert self.driver.outcome is not None, "the orchestrator still waits"
        assert self.driver.outcome.failure is None
        return self.driver.outcome.output

    @property
    def failure(self) -> Failure:
        assert self.driver.outcome is not None, "the orchestrator still waits"
        assert self.driver.outcome.failure is not None
        return self.driver.outcome.failure


def test_a_task_is_scheduled_when_it_is_yielded_and_not_when_it_is_created() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        later = context.call_activity("later", 1)
        first = yield context.call_activity("first")
        return [first, (yield later)]

    story = Story(orchestrator)
    assert story.names() == [(0, "first", b"null")]
    story.settle(0, "a")
    assert story.names() == [(1, "later", b"1")]
    story.settle(1, "b")
    assert story.output == ["a", "b"]


def test_all_of_several_tasks_come_back_in_the_order_of_the_list() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        return (yield context.task_all([context.call_activity("a", n) for n in range(3)]))

    story = Story(orchestrator)
    assert [each.task_id for each in story.scheduled] == [0, 1, 2]
    for task_id in (2, 0, 1):
        assert story.driver.outcome is None
        story.settle(task_id, task_id * 10)
    assert story.output == [0, 10, 20]


def test_all_of_nothing_is_an_empty_list_at_once() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        nothing = yield context.task_all([])
        nested = yield context.task_all([context.task_all([]), context.task_all([])])
        return [nothing, nested]

    assert Story(orchestrator).output == [[], [[], []]]


def test_nested_groups_are_scheduled_from_left_to_right_and_keep_their_shape() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        a, b, c, d = (context.call_activity(name) for name in "abcd")
        return (yield context.task_all([a, context.task_all([b, context.task_all([c])]), d]))

    story = Story(orchestrator)
    assert [each.name for each in story.scheduled] == ["a", "b", "c", "d"]
    for task_id in (3, 2, 1, 0):
        story.settle(task_id, story.driver.outcome or "abcd"[task_id])
    assert story.output == ["a", ["b", ["c"]], "d"]


def test_the_same_task_twice_runs_once() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        task = context.call_activity("once")
        both = yield context.task_all([task, task])
        again = yield task
        group = yield context.task_all([task, context.task_all([task])])
        return [both, again, group]

    story = Story(orchestrator)
    assert len(story.scheduled) == 1
    story.settle(0, 7)
    assert story.scheduled == []
    assert story.output == [[7, 7], 7, [7, [7]]]


def test_a_group_fails_with_its_first_failure_and_its_other_tasks_stay_usable() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        slow = context.call_activity("slow")
        try:
            yield context.task_all([slow, context.call_activity("bad"), context.call_activity("worse")])
        except ActivityFailed as error:
            return [error.name, error.code, str(error), (yield slow)]

    story = Story(orchestrator)
    story.settle(1, failure=NO)
    assert story.driver.outcome is None
    story.settle(2, failure=Failure(code="worse", message="too late", retryable=True))
    story.settle(0, "done")
    assert story.output == ["bad", "no", "Activity function 'bad' failed: it does not work", "done"]


def test_a_group_with_a_task_that_failed_before_fails_at_once_but_schedules_the_others() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        bad = context.call_activity("bad")
        try:
            yield bad
        except ActivityFailed:
            yield context.task_all([context.call_activity("other"), bad])

    story = Story(orchestrator)
    story.settle(0, failure=NO)
    assert [each.name for each in story.scheduled] == ["other"]
    assert story.failure == NO


def test_a_failure_that_is_not_caught_fails_the_instance_with_the_activitys_code() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity("bad")

    story = Story(orchestrator)
    story.settle(0, failure=NO)
    assert story.failure == NO


def test_an_exception_of_the_orchestrator_fails_the_instance() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity("a")
        raise ForebayError("mine", "this is not for me", retryable=False)

    story = Story(orchestrator)
    story.settle(0)
    assert story.failure == Failure(code="mine", message="this is not for me", retryable=False)


def test_an_orchestrator_that_leaves_the_interpreter_fails_and_does_not() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity("a")
        raise SystemExit(3)

    story = Story(orchestrator)
    story.settle(0)
    assert story.failure.code == "SystemExit"


def test_what_is_no_task_comes_back_as_an_error_at_the_yield() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        seen = []
        for wrong in (5, None, Task(), context):
            try:
                yield wrong  # type: ignore[misc]
            except TypeError as error:
                seen.append(str(error).partition(",")[0].partition(" (")[0])
        return seen

    expected = "an orchestrator must yield tasks"
    assert Story(orchestrator).output == [expected, expected, "a Task cannot be yielded", expected]


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize("value", [object(), CYCLE, "\ud800", float], ids=["object", "cycle", "surrogate", "class"])
def test_an_input_that_is_not_json_comes_back_as_an_error_at_the_yield_and_schedules_nothing(value: Any) -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        try:
            yield context.task_all([context.call_activity("a"), context.call_activity("b", value)])
        except Exception:
            return (yield context.call_activity("c"))

    story = Story(orchestrator)
    assert story.names() == [(0, "c", b"null")]


def test_an_input_is_what_it_was_when_the_task_was_created() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        value = {"n": 1}
        task = context.call_activity("a", value)
        value["n"] = 2
        yield task

    assert Story(orchestrator).names() == [(0, "a", b'{"n":1}')]


def test_an_orchestrator_without_a_yield_ends_at_once() -> None:
    def plain(context: OrchestrationContext) -> Any:
        return context.get_input()["x"]

    def broken(context: OrchestrationContext) -> Any:
        raise LookupError("x")

    assert Story(plain, {"x": 3}).output == 3
    assert Story(broken).failure.code == "LookupError"


def test_time_stands_still_between_outcomes() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        times = [context.current_utc_datetime]
        for _ in range(2):
            yield context.call_activity("a")
            times.append(context.current_utc_datetime)
        return [(time - START).total_seconds() for time in times]

    story = Story(orchestrator)
    story.settle(0, after_seconds=5)
    story.settle(1, after_seconds=7)
    assert story.output == [0, 5, 12]


def test_the_retry_policy_travels_with_the_call() -> None:
    policy = RetryOptions(1000, 3)

    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.task_all([context.call_activity("a"), context.call_activity_with_retry("b", policy, "in")])

    scheduled = Story(orchestrator).scheduled
    assert [(each.retry.max_number_of_attempts, each.input_json) for each in scheduled] == [(1, b"null"), (3, b'"in"')]


def test_an_outcome_that_nobody_waits_for_changes_nothing() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        try:
            yield context.task_all([context.call_activity("bad"), context.call_activity("slow")])
        except ActivityFailed:
            yield context.call_activity("cleanup")
        return "clean"

    story = Story(orchestrator)
    story.settle(0, failure=NO)
    story.settle(1, "too late")
    assert story.driver.outcome is None
    story.settle(2)
    assert story.output == "clean"


def test_a_replay_that_schedules_something_else_is_told_both() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        yield context.call_activity("a", 1)

    driver = Story(orchestrator).driver
    recorded = Story(orchestrator).scheduled[0]
    assert isinstance(recorded, ActivityAction)
    driver.expect(0, ActivityAction, "a", recorded.input_hash)
    with pytest.raises(NonDeterministicError, match=r"'b' as task 0.*scheduled activity 'a'"):
        driver.expect(0, ActivityAction, "b", recorded.input_hash)
    with pytest.raises(NonDeterministicError, match=r"'a' as task 1.*did not schedule"):
        driver.expect(1, ActivityAction, "a", recorded.input_hash)
    with pytest.raises(NonDeterministicError, match="another input"):
        driver.expect(0, ActivityAction, "a", "0000")


def test_letting_go_of_an_orchestrator_that_cleans_up_with_a_yield_is_quiet() -> None:
    ended = []

    def orchestrator(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_activity("a")
        finally:
            try:
                yield context.call_activity("undo a")
            finally:
                yield context.call_activity("undo more")
                ended.append("never")

    story = Story(orchestrator)
    story.driver.close()
    del story
    gc.collect()
    assert ended == []


def test_letting_go_of_an_orchestrator_whose_clean_up_fails_is_quiet() -> None:
    def orchestrator(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_activity("a")
        finally:
            raise LookupError("nothing to clean up")

    Story(orchestrator).driver.close()


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("bad"), "ValueError", "bad"),
        (ValueError(), "ValueError", "ValueError"),
        (TimeoutError(), "timeout", "timed out"),
        (FileNotFoundError(2, "gone", "a\udcff.txt"), "FileNotFoundError", r"[Errno 2] gone: 'a\udcff.txt'"),
        (ValueError("a\udcff.txt"), "ValueError", r"a\udcff.txt"),
        (Unprintable(), "Unprintable", "Unprintable"),
        (ForebayError("mine", "text"), "mine", "text"),
        (ValueError("x" * 10_000), "ValueError", "x" * (MESSAGE_LIMIT_CHARACTERS - 1) + "…"),
    ],
    ids=["text", "no text", "timeout", "file name", "surrogate", "unprintable", "ours", "long"],
)
def test_whatever_an_exception_says_the_journal_can_take_it(error: Exception, code: str, message: str) -> None:
    failure = Failure.of(error)

    assert (failure.code, failure.message) == (code, message)
    assert Failure.from_json(failure.to_json()) == failure
    failure.message.encode()
