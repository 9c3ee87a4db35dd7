"""Sub-orchestrations: what a user of Durable Functions expects, whatever is kept in memory."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.durable_bench import Bench, rows
from tests.integration.waiting_stage import SETTINGS, Setting, Stage, Steps, until_waiting

from forebay.durable import OrchestrationContext, RetryOptions
from forebay.durable.failures import SubOrchestrationFailed
from forebay.errors import ForebayError


@pytest.fixture(params=SETTINGS, ids=str)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    setting: Setting = request.param
    return Stage(tmp_path / "test.db", setting)


def echoing(context: OrchestrationContext) -> Steps:
    return (yield context.call_activity("echo", context.get_input()))


def failing(context: OrchestrationContext) -> Steps:
    yield context.call_activity("refuse", context.get_input())


def flaky(context: OrchestrationContext) -> Steps:
    return (yield context.call_activity("fail_some", context.get_input()))


def listener(context: OrchestrationContext) -> Steps:
    return (yield context.wait_for_external_event("x"))


def no_messages_left(stage: Stage) -> bool:
    return bool(rows(stage.path, "SELECT count(*) FROM messages") == [(0,)])


# -- results and failures -------------------------------------------------------------------------------------------


def test_the_result_of_a_child_comes_back_and_the_child_knows_its_parent(stage: Stage) -> None:
    def child(context: OrchestrationContext) -> Steps:
        told = yield context.call_activity("echo", context.get_input())
        return [told, context.parent_instance_id]

    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator("child", {"in": 1}))

    assert stage.output_of(parent, None, child) == [{"in": 1}, "i"]
    assert no_messages_left(stage)


def test_a_child_without_a_single_wait_and_one_that_is_no_generator(stage: Stage) -> None:
    def plain(context: OrchestrationContext) -> Any:
        return context.get_input()

    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.task_all([context.call_sub_orchestrator("plain", number) for number in range(3)]))

    assert stage.output_of(parent, None, plain) == [0, 1, 2]


def test_the_failure_of_a_child_can_be_caught(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_sub_orchestrator("failing", 3)
        except SubOrchestrationFailed as error:
            return [error.code, str(error), (yield context.call_activity("echo", "went on"))]

    assert stage.output_of(parent, None, failing) == ["too_odd", "Orchestrator function 'failing' failed: 3 is too odd", "went on"]


def test_the_failure_of_a_child_that_is_not_caught_goes_up(stage: Stage) -> None:
    def middle(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator("failing", 3))

    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator("middle"))

    status = stage.live(lambda bench: bench.run("parent", timeout_seconds=100), parent, middle, failing)
    assert (status.runtime_status, status.failure_code) == ("Failed", "too_odd")
    assert rows(stage.path, "SELECT name, status FROM instances ORDER BY key") == [
        (name, "Failed") for name in ("parent", "middle", "failing")
    ]
    # one thing has failed, and one dead letter says so
    assert rows(stage.path, "SELECT kind, name FROM dead_letters") == [("activity", "refuse")]


def test_a_child_is_tried_again_until_it_succeeds_each_time_as_a_new_instance(stage: Stage) -> None:
    stage.failures_left = 2

    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator_with_retry("flaky", RetryOptions(10_000, 5), "done", "mine"))

    assert stage.output_of(parent, None, flaky) == "done"
    assert rows(stage.path, "SELECT id, status FROM instances WHERE parent IS NOT NULL ORDER BY key") == [
        ("mine", "Failed"),
        ("mine:2", "Failed"),
        ("mine:3", "Completed"),
    ]
    waits = [later - earlier for earlier, later in zip(stage.calls, stage.calls[1:], strict=False)]
    assert all(10 < wait + 0.001 < 11 for wait in waits), waits


def test_the_tries_of_a_child_end_with_the_last(stage: Stage) -> None:
    stage.failures_left = 10

    def parent(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_sub_orchestrator_with_retry("flaky", RetryOptions(1000, 3), 1)
        except SubOrchestrationFailed as error:
            return str(error)

    assert stage.output_of(parent, None, flaky) == "Orchestrator function 'flaky' failed: not yet"
    assert len(stage.calls) == 3


def test_a_child_whose_failure_says_that_trying_again_is_useless_is_not_tried_again(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_sub_orchestrator_with_retry("failing", RetryOptions(1000, 5), 1)
        except SubOrchestrationFailed as error:
            return error.code

    assert stage.output_of(parent, None, failing) == "too_odd"
    assert rows(stage.path, "SELECT count(*) FROM instances") == [(2,)]


@pytest.mark.parametrize("stops_after_seconds", [10, 150])
def test_a_try_of_a_child_rests_over_a_restart_as_long_as_the_policy_says(stage: Stage, stops_after_seconds: float) -> None:
    stage.failures_left = 2

    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator_with_retry("flaky", RetryOptions(100_000, 5), "done"))

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("parent", "i")
        await asyncio.sleep(stops_after_seconds)

    async def end(bench: Bench) -> float:
        assert (await bench.client.wait_for_completion("i", 1000)).output == "done"
        return bench.clock.monotonic()

    stage.live(begin, parent, flaky)
    rest = stage.live(end, clock_ahead_seconds=stops_after_seconds)
    assert 199 < rest + stops_after_seconds < 203
    assert len(stage.calls) == 3


# -- ids ------------------------------------------------------------------------------------------------------------


def test_an_explicit_id_names_the_child_and_can_be_addressed(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator("listener", None, "the child"))

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("parent", "i")
        await until_waiting(bench, "i", "instance")
        status = await bench.client.get_status("i")
        assert status is not None
        assert status.waits is not None
        assert status.waits["waits"] == [{"kind": "instance", "name": "listener", "instance_id": "the child"}]
        await bench.client.raise_event("the child", "x", 5)
        return (await bench.client.wait_for_completion("i", 100)).output

    assert stage.live(story, parent, listener) == 5


@pytest.mark.parametrize("taken", ["other", "i", "twin"], ids=["another's", "its parent's", "its sibling's"])
def test_an_id_that_is_taken_fails_the_child_and_leaves_the_other_alone(stage: Stage, taken: str) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        twin = context.call_sub_orchestrator("echoing", "twin", "twin")
        intruder = context.call_sub_orchestrator_with_retry("echoing", RetryOptions(1000, 3), "intruder", taken)
        try:
            yield context.task_all([twin, intruder])
        except SubOrchestrationFailed as error:
            return [error.code, (yield twin)]

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("listener", "other")
        found = (await bench.run("parent", instance_id="i", timeout_seconds=100)).output
        await bench.client.raise_event("other", "x", "undisturbed")
        assert (await bench.client.wait_for_completion("other", 100)).output == "undisturbed"
        return found

    assert stage.live(story, parent, echoing, listener) == ["instance_exists", "twin"]
    assert stage.calls == ["twin"]
    assert no_messages_left(stage)


def test_an_id_whose_instance_has_ended_may_be_used_again(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        number = context.get_input()
        told = yield context.call_sub_orchestrator("echoing", number, "the worker")
        if number < 5:
            context.continue_as_new(number + 1)
        return told

    async def story(bench: Bench) -> Any:
        await bench.run("echoing", "before", instance_id="the worker")
        found = [(await bench.run("parent", 0, timeout_seconds=100)).output for _ in range(2)]
        status = await bench.client.get_status("the worker")
        assert status is not None
        return [*found, status.output]

    assert stage.live(story, parent, echoing) == [5, 5, 5]
    assert stage.calls == ["before", *range(6), *range(6)]
    assert rows(stage.path, "SELECT count(*) FROM instances") == [(3,)]
    assert rows(stage.path, "SELECT count(*) FROM history WHERE instance NOT IN (SELECT key FROM instances)") == [(0,)]


def test_an_instance_is_never_taken_for_one_that_has_been_purged(stage: Stage) -> None:
    """What an earlier instance has left behind, an alarm or a child on its way, finds nobody."""

    def slow(context: OrchestrationContext) -> Steps:
        yield context.call_activity("rest", 5)

    def parent(context: OrchestrationContext) -> Steps:
        yield context.task_any([context.call_sub_orchestrator("slow", None, "child"), context.wait_for_external_event("end")])

    async def story(bench: Bench) -> Any:
        await bench.run("echoing", 1, instance_id="first")
        await bench.client.start_new("parent", "i")
        await until_waiting(bench, "child", "activity")
        await bench.client.raise_event("i", "end")
        await bench.client.wait_for_completion("i", 100)
        await bench.client.wait_for_completion("child", 100)
        await bench.client.purge_instance_history("i")  # and its child with it
        await bench.client.start_new("listener", "next")
        await until_waiting(bench, "next", "event")
        await bench.client.raise_event("next", "x", "mine")
        return (await bench.client.wait_for_completion("next", 100)).output

    assert stage.live(story, echoing, slow, parent, listener) == "mine"
    assert rows(stage.path, "SELECT id, key FROM instances ORDER BY key") == [("first", 1), ("next", 4)]


def test_children_of_every_round_have_ids_of_their_own(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        number = context.get_input()
        told = yield context.call_sub_orchestrator("echoing", number)
        if number < 5:
            context.continue_as_new(number + 1)
        return told

    assert stage.output_of(parent, 0, echoing) == 5
    assert stage.calls == list(range(6))


def test_a_child_with_an_input_over_the_limit_fails_with_the_limits_name(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_sub_orchestrator("echoing", "x" * 2000)
        except SubOrchestrationFailed as error:
            return error.code

    assert stage.output_of(parent, None, echoing, payload_bytes=1000) == "payload_too_large"
    assert rows(stage.path, "SELECT count(*) FROM instances") == [(1,)]


# -- shapes ---------------------------------------------------------------------------------------------------------


def test_children_of_children_twenty_deep(stage: Stage) -> None:
    def deep(context: OrchestrationContext) -> Steps:
        level = context.get_input()
        if level == 20:
            return [(yield context.call_activity("echo", "bottom"))]
        return [level, *(yield context.call_sub_orchestrator("deep", level + 1))]

    assert stage.output_of(deep, 0, inflight_instances=2) == [*range(20), "bottom"]


def test_five_hundred_children_come_back_in_order(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.task_all([context.call_sub_orchestrator("echoing", number) for number in range(500)]))

    assert stage.output_of(parent, None, echoing, inflight_instances=8) == list(range(500))
    assert sorted(stage.calls) == list(range(500))
    assert no_messages_left(stage)


def test_a_tree_of_children_in_which_some_fail(stage: Stage) -> None:
    def tree(context: OrchestrationContext) -> Steps:
        level = context.get_input()
        if level == 0:
            return 1
        found = 0
        for task in [context.call_sub_orchestrator("tree", level - 1) for _ in range(3)]:
            found += yield task
        try:
            yield context.call_sub_orchestrator("failing", level)
        except SubOrchestrationFailed:
            return found

    assert stage.output_of(tree, 3, failing, inflight_instances=1) == 27


def test_the_first_of_several_children_wins_and_the_others_run_to_their_ends(stage: Stage) -> None:
    def slow(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("rest", context.get_input()))

    def parent(context: OrchestrationContext) -> Steps:
        winner = yield context.task_any([context.call_sub_orchestrator("slow", seconds, f"s{seconds}") for seconds in (9, 3, 6)])
        return winner.result

    async def story(bench: Bench) -> Any:
        status = await bench.run("parent", instance_id="i", timeout_seconds=100)
        for seconds in (9, 6):
            assert (await bench.client.wait_for_completion(f"s{seconds}", 100)).output == seconds
        return status.output

    assert stage.live(story, parent, slow) == 3
    assert no_messages_left(stage)  # nobody would ever read them


def test_children_timers_and_events_race_each_other(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        found = []
        for _ in range(3):
            timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=20))
            event = context.wait_for_external_event("go")
            child = context.call_sub_orchestrator("listener", None, f"child {len(found)}")
            winner = yield context.task_any([timer, event, child])
            found.append("timer" if winner is timer else winner.result)
            if winner is not timer:
                timer.cancel()
        return found

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("parent", "i")
        await until_waiting(bench, "i", "instance")
        await bench.client.raise_event("child 0", "x", "child")
        await until_waiting(bench, "i", "event", 2)
        await bench.client.raise_event("i", "go", "event")
        return (await bench.client.wait_for_completion("i", 100)).output

    assert stage.live(story, parent, listener) == ["child", "event", "timer"]


def test_a_child_may_begin_anew_as_often_as_it_likes(stage: Stage) -> None:
    def child(context: OrchestrationContext) -> Steps:
        number = context.get_input()
        yield context.call_activity("echo", number)
        if number < 20:
            context.continue_as_new(number + 1)
        return [number, context.parent_instance_id]

    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator("child", 0))

    assert stage.output_of(parent, None, child) == [20, "i"]
    assert stage.calls == list(range(21))


def test_children_of_an_earlier_round_run_to_their_ends_and_are_not_heard_by_a_later_one(stage: Stage) -> None:
    def slow(context: OrchestrationContext) -> Steps:
        yield context.call_activity("rest", 5)
        return (yield context.call_activity("echo", context.get_input()))

    def parent(context: OrchestrationContext) -> Steps:
        number = context.get_input()
        child = context.call_sub_orchestrator("slow", number)
        timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
        yield context.task_any([child, timer])
        if number < 10:
            context.continue_as_new(number + 1)
            return
        return (yield child)

    assert stage.output_of(parent, 0, slow) == 10
    assert stage.calls == list(range(11))
    assert no_messages_left(stage)


# -- trouble --------------------------------------------------------------------------------------------------------


def test_a_child_whose_orchestrator_is_missing_is_held_and_goes_on_once_it_is_there(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator("echoing", "late", "child"))

    async def begin(bench: Bench) -> str:
        await bench.client.start_new("parent", "i")
        await until_waiting(bench, "child", "code")
        status = await bench.client.get_status("child")
        assert status is not None
        return status.waits_for or ""

    async def end(bench: Bench) -> Any:
        return (await bench.client.wait_for_completion("i", 100)).output

    assert stage.live(begin, parent) == "orchestrator 'echoing' is not registered"
    assert stage.live(end, echoing) == "late"


def test_a_terminated_child_fails_its_task(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_sub_orchestrator("listener", None, "child")
        except SubOrchestrationFailed as error:
            return [error.code, str(error)]

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("parent", "i")
        await until_waiting(bench, "child", "event")
        await bench.client.terminate("child", "no longer needed")
        return (await bench.client.wait_for_completion("i", 100)).output

    message = "Orchestrator function 'listener' failed: the instance was terminated: no longer needed"
    assert stage.live(story, parent, listener) == ["terminated", message]


def test_a_terminated_parent_takes_its_children_along(stage: Stage) -> None:
    def parent(context: OrchestrationContext) -> Steps:
        level = context.get_input()
        if level == 3:
            yield context.wait_for_external_event("never")
        yield context.task_all([context.call_sub_orchestrator("parent", level + 1, f"{context.instance_id}{number}") for number in "12"])

    async def story(bench: Bench) -> None:
        await bench.client.start_new("parent", "i", 0)
        for leaf in ("i111", "i112", "i121", "i122", "i211", "i212", "i221", "i222"):
            await until_waiting(bench, leaf, "event")
        await bench.client.terminate("i", "enough")
        with pytest.raises(ForebayError) as refused:
            await bench.client.raise_event("i222", "never")
        assert refused.value.code == "instance_over"

    stage.live(story, parent)
    assert rows(stage.path, "SELECT status, count(*) FROM instances GROUP BY status") == [("Terminated", 15)]
    assert no_messages_left(stage)


def test_a_stop_at_any_moment_changes_nothing(stage: Stage) -> None:
    def leaf(context: OrchestrationContext) -> Steps:
        yield context.call_activity("rest", 3)
        return (yield context.call_activity("echo", context.get_input()))

    def parent(context: OrchestrationContext) -> Steps:
        first = yield context.call_sub_orchestrator("leaf", "a")
        rest = yield context.task_all([context.call_sub_orchestrator("leaf", each) for each in "bc"])
        return [first, *rest]

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("parent", "i")
        await asyncio.sleep(0.5)

    async def go_on(bench: Bench) -> None:
        await asyncio.sleep(2.5)

    async def end(bench: Bench) -> Any:
        return (await bench.client.wait_for_completion("i", 1000)).output

    stage.live(begin, parent, leaf)
    stage.live(go_on)
    stage.live(go_on)
    assert stage.live(end) == ["a", "b", "c"]
