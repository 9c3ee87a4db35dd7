"""What an instance leaves open when it ends, and what is done to instances from outside: exactly what docs/durable.md says."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.durable_bench import Bench, rows
from tests.integration.waiting_stage import SETTINGS, Setting, Stage, Steps, until_waiting

from forebay.durable import ActivityFailed, DeadLetters, OrchestrationContext, RetryOptions
from forebay.durable.instances.operations import InstanceFilter
from forebay.errors import ForebayError

TWICE = RetryOptions(1000, 2)


@pytest.fixture(params=SETTINGS, ids=str)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    setting: Setting = request.param
    return Stage(tmp_path / "test.db", setting)


def listener(context: OrchestrationContext) -> Steps:
    return (yield context.wait_for_external_event("go"))


def family(context: OrchestrationContext) -> Steps:
    """Waits for a sub-orchestration, and leaves another one behind that belongs to an earlier round."""
    if context.get_input() == 0:
        yield context.task_any([context.call_sub_orchestrator("listener", None, "left"), context.call_activity("echo", 0)])
        context.continue_as_new(1)
        return None
    return (yield context.call_sub_orchestrator("listener", None, "child"))


async def statuses(bench: Bench) -> dict[str, str]:
    return {status.instance_id: status.runtime_status for status in await bench.client.get_status_all()}


# -- the end of an instance ---------------------------------------------------------------------------------------------


def test_an_end_cancels_activities_under_way_and_leaves_sub_orchestrations_alone(stage: Stage) -> None:
    cancelled = []

    @stage.registry.activity
    async def hang(value: Any) -> None:
        try:
            await asyncio.sleep(1e6)
        except asyncio.CancelledError:
            cancelled.append(value)
            raise

    def racer(context: OrchestrationContext) -> Steps:
        timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
        late = context.create_timer(context.current_utc_datetime + timedelta(days=400))
        return (
            yield context.task_any([timer, late, context.call_activity("hang", 1), context.call_sub_orchestrator("listener", None, "c")])
        )

    async def story(bench: Bench) -> list[Any]:
        before = asyncio.get_running_loop().time()
        await bench.run("racer", None, instance_id="i")
        assert asyncio.get_running_loop().time() - before < 60
        await until_waiting(bench, "c", "event")
        await bench.client.raise_event("c", "go", 5)
        return [(await bench.client.wait_for_completion("c")).output, list(cancelled)]

    assert stage.live(story, racer, listener) == [5, [1]]


def test_what_was_yielded_in_the_last_step_and_is_not_transactional_never_begins(stage: Stage) -> None:
    @stage.registry.transactional
    def write(tx: Any, value: Any) -> Any:
        stage.calls.append(value)

    def last_step(context: OrchestrationContext) -> Steps:
        first = context.call_activity("echo", "first")
        yield first
        late = [context.call_activity("echo", "late"), context.call_activity("write", "written"), context.call_sub_orchestrator("listener")]
        yield context.task_any([first, *late])
        return "ended"

    assert stage.output_of(last_step, None, listener) == "ended"
    assert stage.calls == ["first", "written"]
    assert rows(stage.path, "SELECT id FROM instances") == [("i",)]


# -- suspend, terminate, restart, purge ---------------------------------------------------------------------------------


def test_a_timer_that_comes_while_an_instance_is_suspended_fires_when_it_goes_on(stage: Stage) -> None:
    def sleeper(context: OrchestrationContext) -> Steps:
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=10))
        return "woken"

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("sleeper", "i")
        await until_waiting(bench, "i", "timer")
        await bench.client.suspend("i")
        await asyncio.sleep(100)
        status = await bench.client.get_status("i")
        assert status is not None
        assert status.runtime_status == "Suspended"
        await bench.client.resume("i")
        return (await bench.client.wait_for_completion("i", 5)).output

    assert stage.live(story, sleeper) == "woken"


def test_a_termination_takes_sub_orchestrations_of_every_round_along(stage: Stage) -> None:
    async def story(bench: Bench) -> dict[str, str]:
        await bench.client.start_new("family", "i", 0)
        await until_waiting(bench, "child", "event")
        await until_waiting(bench, "left", "event")
        await bench.client.terminate("i", "enough")
        return await statuses(bench)

    assert stage.live(story, family, listener) == dict.fromkeys(["i", "left", "child"], "Terminated")


def test_a_restart_begins_with_the_input_of_the_last_round(stage: Stage) -> None:
    def rounds(context: OrchestrationContext) -> Steps:
        yield context.call_activity("echo", context.get_input())
        if context.get_input() < 2:
            context.continue_as_new(context.get_input() + 1)

    async def story(bench: Bench) -> None:
        await bench.run("rounds", 0, instance_id="i")
        await bench.client.wait_for_completion(await bench.client.restart("i"))

    stage.live(story, rounds)
    assert stage.calls == [0, 1, 2, 2]


def test_a_purge_takes_ended_sub_orchestrations_along_and_a_filter_starts_from_outermost_ones(stage: Stage) -> None:
    async def story(bench: Bench) -> list[Any]:
        await bench.client.start_new("family", "i", 0)
        await until_waiting(bench, "child", "event")
        await bench.client.raise_event("child", "go")
        await bench.client.wait_for_completion("i")
        part_of_another = await bench.client.purge_by(InstanceFilter(id_prefix="child"))
        ended_and_theirs = await bench.client.purge_instance_history("i")
        return [part_of_another, ended_and_theirs, await statuses(bench)]

    assert stage.live(story, family, listener) == [0, 2, {"left": "Running"}]


def test_a_purge_leaves_dead_letters(stage: Stage) -> None:
    def failing(context: OrchestrationContext) -> Steps:
        yield context.call_activity("refuse", 3)

    async def story(bench: Bench) -> list[str]:
        await bench.run("failing", None, instance_id="i")
        await bench.client.purge_instance_history("i")
        found, _ = await DeadLetters(bench.engine).list_letters()
        return [letter.code for letter in found]

    assert stage.live(story, failing) == ["too_odd"]


# -- rewind -------------------------------------------------------------------------------------------------------------


def test_a_rewind_keeps_what_did_not_know_of_the_failure_and_undoes_what_did(stage: Stage) -> None:
    def flow(context: OrchestrationContext) -> Steps:
        told = yield context.wait_for_external_event("go")
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=10))
        good, bad = context.call_activity("echo", "beside"), context.call_activity_with_retry("fail_some", TWICE, "bad")
        try:
            yield context.task_all([good, bad])
        except ActivityFailed:
            yield context.call_activity("echo", "after")
            yield context.call_sub_orchestrator("mourner", None, "mourner")
            raise
        return told

    def mourner(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("echo", "mourned"))

    async def story(bench: Bench) -> list[Any]:
        stage.failures_left = 2
        await bench.client.start_new("flow", "i")
        await bench.client.raise_event("i", "go", "heard")
        failed = await bench.client.wait_for_completion("i")
        before = [each for each in stage.calls if isinstance(each, str)]
        stage.calls.clear()
        stage.failures_left = 1  # its tries begin anew
        await bench.client.rewind("i")
        ended = await bench.client.wait_for_completion("i", 5)  # the timer of ten seconds is not waited for again
        again = [each for each in stage.calls if isinstance(each, str)]
        letters, _ = await DeadLetters(bench.engine).list_letters()
        return [failed.output, before, ended.output, again, await statuses(bench), letters]

    failed, before, output, again, left, letters = stage.live(story, flow, mourner)
    assert (failed, before) == ("not yet", ["beside", "after", "mourned"])
    assert (output, again, letters) == ("heard", [], [])
    assert left == {"i": "Completed"}


def test_a_rewind_of_an_instance_that_raised_something_of_its_own_goes_back_to_its_first_failure(stage: Stage) -> None:
    def sceptic(context: OrchestrationContext) -> Steps:
        yield context.call_activity("echo", "before")
        refusal_count = 0
        for number in range(2):
            try:
                yield context.call_activity("fail_some", number)
            except ActivityFailed:
                refusal_count += 1
                yield context.call_activity("echo", f"after {number}")
        if refusal_count:
            raise ValueError("I give up")
        return "went well"

    async def story(bench: Bench) -> list[Any]:
        stage.failures_left = 2
        await bench.run("sceptic", None, instance_id="i")
        await bench.client.rewind("i")
        ended = await bench.client.wait_for_completion("i")
        return [ended.output, [each for each in stage.calls if isinstance(each, str)]]

    assert stage.live(story, sceptic) == ["went well", ["before", "after 0", "after 1"]]


def test_a_parent_is_not_told_of_a_sub_orchestration_that_is_rewound_alone(stage: Stage) -> None:
    def child(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("fail_some", "mended"))

    def parent(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator("child", None, "c"))

    async def story(bench: Bench) -> list[Any]:
        stage.failures_left = 1
        await bench.run("parent", None, instance_id="p")
        await bench.client.rewind("c")
        await bench.client.wait_for_completion("c")
        alone = await statuses(bench)
        await bench.client.rewind("p")  # what failed in it has been mended since
        return [alone, (await bench.client.wait_for_completion("p")).output]

    alone, output = stage.live(story, parent, child)
    assert alone == {"p": "Failed", "c": "Completed"}
    assert output == "mended"


@pytest.mark.parametrize("operation", ["rewind", "purge_instance_history", "suspend", "resume", "terminate", "restart"])
def test_an_operation_on_an_instance_that_is_not_there_is_refused(stage: Stage, operation: str) -> None:
    async def story(bench: Bench) -> str:
        with pytest.raises(ForebayError) as raised:
            await getattr(bench.client, operation)("nobody")
        return raised.value.code

    assert stage.live(story) == "instance_not_found"
