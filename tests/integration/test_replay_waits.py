"""Instances that wait for times, events and each other: no crash and no write that fails changes what they do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.durable_bench import Bench, rows
from tests.integration.test_replay import (
    RETRY,
    Case,
    Crash,
    Steps,
    Told,
    World,
    call,
    check_crashes,
    check_failing_writes,
    every_crash,
    fail,
    flaky,
    insist,
    run_calmly,
    store,
)

from forebay.durable import ActivityFailed, EngineLimits, OrchestrationContext, OrchestrationStatus, Registry, RetryOptions, Task
from forebay.durable.failures import SubOrchestrationFailed
from forebay.errors import ForebayError
from forebay.testing.virtual_loop import SeededRandomness

LONG_SECONDS = 5000  # longer than anything that it is raced against


def after(context: OrchestrationContext, seconds: float) -> Any:
    return context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))


# -- the orchestrators ----------------------------------------------------------------------------------------------


def hear(context: OrchestrationContext, name: str, count: int, heard: list[int]) -> Steps:
    """So many events of a name that have not been heard yet: whoever sends one twice, for want of an answer, says the same number."""
    while len(heard) < count:
        number = yield context.wait_for_external_event(name)
        if number not in heard:
            heard.append(number)
    return heard


def timers_in_sequence(context: OrchestrationContext) -> Steps:
    rested: list[int] = []
    for seconds in (-100, 0, 3, 3):
        yield after(context, seconds)
        yield store(context, f"{len(rested)} {seconds}")
        rested.append(seconds)
    return rested


def timers_at_once(context: OrchestrationContext) -> Steps:
    timers = [after(context, seconds) for seconds in (7, 2, 2, 5)]
    yield context.task_all([*timers, store(context, "beside"), call(context, "beside too", 4)])
    return [timer.is_completed for timer in timers]


def timer_that_wins(context: OrchestrationContext) -> Steps:
    timer = after(context, 5)
    winner = yield context.task_any([timer, context.wait_for_external_event("never"), context.wait_for_external_event("x")])
    return [winner is timer, (yield store(context, "timer won"))]


def event_that_wins(context: OrchestrationContext) -> Steps:
    timer, event = after(context, LONG_SECONDS), context.wait_for_external_event("a")
    winner = yield context.task_any([timer, event])
    timer.cancel()
    return [winner is event, event.result, (yield store(context, "event won"))]


def timer_that_is_cancelled_by_an_activity(context: OrchestrationContext) -> Steps:
    timer = after(context, LONG_SECONDS)
    yield context.task_any([timer, flaky(context, "w", 1, 2)])
    timer.cancel()
    yield after(context, 1)
    return timer.is_completed


def events_between_activities(context: OrchestrationContext) -> Steps:
    heard: list[int] = []
    for count in (1, 2, 3):
        yield from hear(context, "a", count, heard)
        yield store(context, f"heard {heard}")
    return heard


def events_that_come_early(context: OrchestrationContext) -> Steps:
    yield call(context, "slow", 20)
    late = yield from hear(context, "b", 3, [])
    return [late, (yield from hear(context, "a", 3, []))]


def events_of_two_names_at_once(context: OrchestrationContext) -> Steps:
    heard = yield context.task_all([context.wait_for_external_event("a"), context.wait_for_external_event("b")])
    yield store(context, "both")
    return len(heard)


def leaf(context: OrchestrationContext) -> Steps:
    key = context.get_input()
    first = yield call(context, f"{key} a", 1)
    return [first, (yield store(context, f"{key} b"))]


def failing_leaf(context: OrchestrationContext) -> Steps:
    yield store(context, f"{context.get_input()} kept")
    yield fail(context, f"{context.get_input()} failed", 1)


def flaky_leaf(context: OrchestrationContext) -> Steps:
    key, failures = context.get_input()
    return (yield context.call_activity("work", {"key": key, "failures": failures, "seconds": 1}))


def listening_leaf(context: OrchestrationContext) -> Steps:
    return (yield from hear(context, "c", 2, []))


def counting_leaf(context: OrchestrationContext) -> Steps:
    key, number = context.get_input()
    yield store(context, f"{key} {number}")
    if number < 3:
        context.continue_as_new([key, number + 1])
    return number


def one_child(context: OrchestrationContext) -> Steps:
    return [(yield context.call_sub_orchestrator("leaf", "one")), (yield store(context, "after"))]


def children_at_once(context: OrchestrationContext) -> Steps:
    found = yield context.task_all(
        [context.call_sub_orchestrator("leaf", f"c{number}") for number in range(4)] + [store(context, "beside"), call(context, "too", 3)]
    )
    return [found, (yield store(context, "joined"))]


def child_that_fails_and_is_caught(context: OrchestrationContext) -> Steps:
    try:
        yield context.call_sub_orchestrator("failing_leaf", "child")
    except SubOrchestrationFailed as error:
        return [error.code, str(error), (yield store(context, "compensation"))]


def child_that_fails(context: OrchestrationContext) -> Steps:
    yield context.task_all([context.call_sub_orchestrator("failing_leaf", "child"), context.call_sub_orchestrator("leaf", "other")])


def child_that_is_tried_again(context: OrchestrationContext) -> Steps:
    return (yield context.call_sub_orchestrator_with_retry("flaky_leaf", RetryOptions(2000, 5, 2.0), ["often", 2]))


def child_that_is_tried_in_vain(context: OrchestrationContext) -> Steps:
    try:
        yield context.call_sub_orchestrator_with_retry("flaky_leaf", RetryOptions(1000, 3), ["in vain", 10_000])
    except SubOrchestrationFailed as error:
        return error.code


def child_whose_id_is_taken(context: OrchestrationContext) -> Steps:
    try:
        yield context.call_sub_orchestrator("leaf", "never", context.instance_id)
    except SubOrchestrationFailed as error:
        return [error.code, (yield store(context, "went on"))]


def child_that_listens(context: OrchestrationContext) -> Steps:
    timer, child = after(context, LONG_SECONDS), context.call_sub_orchestrator("listening_leaf", None, "listener")
    yield context.task_any([timer, child])
    timer.cancel()
    return child.result


def child_that_begins_anew(context: OrchestrationContext) -> Steps:
    return (yield context.call_sub_orchestrator("counting_leaf", ["count", 0]))


def deep_children(context: OrchestrationContext) -> Steps:
    level = context.get_input() if isinstance(context.get_input(), int) else 0
    if level == 4:
        return (yield store(context, "bottom"))
    return [level, (yield context.call_sub_orchestrator("deep_children", level + 1))]


def rounds(context: OrchestrationContext) -> Steps:
    number = context.get_input() if isinstance(context.get_input(), int) else 0
    yield after(context, 2)
    yield context.task_all([store(context, f"round {number}"), call(context, f"work {number}")])
    if number < 3:
        context.continue_as_new(number + 1)
    return number


def rounds_with_an_event_each(context: OrchestrationContext) -> Steps:
    heard = context.get_input() if isinstance(context.get_input(), list) else []
    yield from hear(context, "a", len(heard) + 1, heard)
    yield store(context, f"heard {heard}")
    if len(heard) < 4:
        context.continue_as_new(heard)
    return heard


def rounds_that_leave_work_behind(context: OrchestrationContext) -> Steps:
    number = context.get_input() if isinstance(context.get_input(), int) else 0
    child = context.call_sub_orchestrator("leaf", f"left {number}")
    yield context.task_any([child, after(context, LONG_SECONDS), store(context, f"quick {number}")])
    if number < 3:
        context.continue_as_new(number + 1)
        return
    return (yield child)


def rounds_with_a_child_of_one_id(context: OrchestrationContext) -> Steps:
    number = context.get_input() if isinstance(context.get_input(), int) else 0
    told = yield context.call_sub_orchestrator("leaf", f"round {number}", "the worker")
    if number < 3:
        context.continue_as_new(number + 1)
    return told


def status_of_every_step(context: OrchestrationContext) -> Steps:
    for number in range(3):
        context.set_custom_status({"at": number})
        yield context.task_all([store(context, f"s{number}"), after(context, 1)])
    context.set_custom_status("done")
    return None


def everything(context: OrchestrationContext) -> Steps:
    context.set_custom_status("begun")
    timer = after(context, LONG_SECONDS)
    tasks = [
        context.wait_for_external_event("a"),
        context.call_sub_orchestrator("leaf", "leaf"),
        context.call_sub_orchestrator_with_retry("flaky_leaf", RetryOptions(1000, 5), ["flaky leaf", 2]),
        after(context, 3),
        flaky(context, "w", 2, 1),
        store(context, "t", 1),
    ]
    yield context.task_any([timer, context.task_all(tasks)])
    timer.cancel()
    context.set_custom_status("raced")
    try:
        yield context.call_sub_orchestrator("failing_leaf", "fail")
    except SubOrchestrationFailed:
        return [task.result for task in tasks[1:]]


ORCHESTRATORS: list[Callable[[OrchestrationContext], Any]] = [
    timers_in_sequence,
    timers_at_once,
    timer_that_wins,
    event_that_wins,
    timer_that_is_cancelled_by_an_activity,
    events_between_activities,
    events_that_come_early,
    events_of_two_names_at_once,
    one_child,
    children_at_once,
    child_that_fails_and_is_caught,
    child_that_fails,
    child_that_is_tried_again,
    child_that_is_tried_in_vain,
    child_whose_id_is_taken,
    child_that_listens,
    child_that_begins_anew,
    deep_children,
    rounds,
    rounds_with_an_event_each,
    rounds_that_leave_work_behind,
    rounds_with_a_child_of_one_id,
    status_of_every_step,
    everything,
]
HELPERS: list[Callable[[OrchestrationContext], Any]] = [leaf, failing_leaf, flaky_leaf, listening_leaf, counting_leaf]


def interpret_rounds(context: OrchestrationContext) -> Steps:
    """Does what the first program of its input says, and begins anew with the others; see `programs`."""
    (program, *others), found = context.get_input()
    try:
        found.append((yield from steps_of(context, program)))
    except (ActivityFailed, SubOrchestrationFailed) as error:
        if not others:
            raise
        found.append(error.code)
    if others:
        context.continue_as_new([others, found])
    return found


def steps_of(context: OrchestrationContext, program: list[Any]) -> Steps:
    kind, *rest = program
    if kind == "sequence":
        results: list[Any] = []
        for each in rest:
            results = [*results, (yield from steps_of(context, each))]
        return results
    if kind == "try":
        try:
            return (yield from steps_of(context, rest[0]))
        except (ActivityFailed, SubOrchestrationFailed) as error:
            return [error.code, (yield from steps_of(context, rest[1]))]
    if kind == "in time":
        timer, task = after(context, LONG_SECONDS), task_of(context, rest[0])
        yield context.task_any([timer, task])
        timer.cancel()
        return (yield task)
    if kind == "too late":
        timer = after(context, rest[0])
        winner = yield context.task_any([context.wait_for_external_event("never"), timer])
        return winner is timer
    if kind == "status":
        context.set_custom_status(rest[0])
        return None
    return (yield task_of(context, program))


def task_of(context: OrchestrationContext, program: list[Any]) -> Task[Any]:
    kind, *rest = program
    if kind == "all":
        return context.task_all([task_of(context, each) for each in rest])
    if kind == "timer":
        return after(context, rest[0])
    if kind == "event":
        return context.wait_for_external_event(rest[0])
    if kind == "child":
        return context.call_sub_orchestrator("interpret_rounds", [rest, []])
    return context.call_activity_with_retry(kind, RETRY, rest[0])


# -- lives ----------------------------------------------------------------------------------------------------------


@dataclass
class WaitingWorld(World):
    """The same with orchestrators that wait."""

    def registry(self) -> Registry:
        registry = super().registry()
        for orchestrator in (*ORCHESTRATORS, *HELPERS, interpret_rounds):
            registry.orchestrator(orchestrator)
        return registry


@dataclass
class WaitingCase(Case):
    """One instance, its children, and somebody who sends events until each has been answered."""

    world: World = field(default_factory=WaitingWorld)
    limits: EngineLimits | None = field(default_factory=lambda: EngineLimits(stop_deadline_seconds=1))
    answered: dict[str, int] = field(default_factory=dict)  # how many events of each instance, over all lives

    async def begin(self, bench: Bench) -> None:
        try:
            await super().begin(bench)
        except ForebayError as error:
            assert error.code == "instance_exists", error  # it has begun anew since
        self._senders = [
            asyncio.create_task(self._send(bench, "mine", [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("b", 2), ("a", 2), ("a", 3)])),
            asyncio.create_task(self._send(bench, "listener", [("c", 0), ("c", 1)])),
        ]

    async def end(self, bench: Bench) -> OrchestrationStatus:
        status = await super().end(bench)
        for instance in await bench.engine.database.readers.run(
            lambda connection: connection.execute("SELECT id FROM instances").fetchall()
        ):
            await bench.client.wait_for_completion(instance[0], 10_000)
        for sender in self._senders:
            sender.cancel()
        return status

    async def _send(self, bench: Bench, instance_id: str, events: list[tuple[str, int]]) -> None:
        for position, (name, number) in enumerate(events):
            if position < self.answered.get(instance_id, 0):
                continue
            await asyncio.sleep(1)
            await insist(lambda name=name, number=number: self._tell(bench, instance_id, name, number))  # type: ignore[misc]
            self.answered[instance_id] = position + 1

    async def _tell(self, bench: Bench, instance_id: str, name: str, number: int) -> None:
        while True:
            try:
                await bench.client.raise_event(instance_id, name, number)
            except ForebayError as error:
                if error.code == "instance_not_found":  # a child that has not been started yet, or never is
                    await asyncio.sleep(1)
                    continue
                if error.code != "instance_over":
                    raise
            return

    def check_journal(self) -> None:
        super().check_journal()
        assert rows(self.path, "SELECT * FROM messages") == []
        assert rows(self.path, "SELECT id FROM instances WHERE status = 'Running'") == []


@dataclass
class CaseWithoutEnd(WaitingCase):
    """Events of one kind, sent for as long as anybody listens."""

    async def _send(self, bench: Bench, instance_id: str, events: list[tuple[str, int]]) -> None:
        while True:
            for name in ("a", "b"):
                running = await bench.engine.database.readers.run(
                    lambda connection: connection.execute("SELECT id FROM instances WHERE status = 'Running'").fetchall()
                )
                for (each,) in running:
                    await insist(lambda each=each, name=name: self._tell(bench, each, name, 0))  # type: ignore[misc]
            await asyncio.sleep(7)


EVICTING = EngineLimits(waiting_instances=0, inflight_instances=2, stop_deadline_seconds=1)
LIMITS = {"kept": EngineLimits(stop_deadline_seconds=1), "evicted": EVICTING}


def calm_case(folder: Path, name: str, seed: int | None = None, limits: EngineLimits = LIMITS["kept"]) -> tuple[Case, Told]:
    return run_calmly(WaitingCase(folder / "calm.db", name, {"in": 1}, seed, limits=limits))


IS_LONG = int(os.environ.get("FOREBAY_TEST_ROUNDS", "1")) > 1
MEMORIES = [("kept", None), ("evicted", 7)] if IS_LONG else [("evicted", 7)]  # evicted, and with delays


@pytest.mark.parametrize(("memory", "seed"), MEMORIES, ids=str)
@pytest.mark.parametrize("orchestrator", ORCHESTRATORS, ids=lambda orchestrator: orchestrator.__name__)
def test_a_crash_before_or_after_any_write_changes_nothing(
    tmp_path: Path, orchestrator: Callable[[OrchestrationContext], Any], memory: str, seed: int | None
) -> None:
    calm, told = calm_case(tmp_path, orchestrator.__name__, seed, LIMITS[memory])
    assert told.status == ("Failed" if orchestrator is child_that_fails else "Completed"), told

    for crash in every_crash(calm.commit_count):
        check_crashes(tmp_path / f"{crash}", calm, told, [crash])


@pytest.mark.parametrize("name", ["child_whose_id_is_taken", "child_that_begins_anew"])
def test_two_crashes_at_any_two_writes_change_nothing(tmp_path: Path, name: str) -> None:
    calm, told = calm_case(tmp_path, name)

    for first in every_crash(calm.commit_count):
        for second in every_crash(calm.commit_count - first[0] + 2):
            check_crashes(tmp_path / f"{first} {second}", calm, told, [first, second])


@pytest.mark.parametrize("is_durable", [False, True], ids=["undone", "done but reported as failed"])
@pytest.mark.parametrize("orchestrator", ORCHESTRATORS, ids=lambda orchestrator: orchestrator.__name__)
def test_writes_that_fail_change_nothing(tmp_path: Path, orchestrator: Callable[[OrchestrationContext], Any], is_durable: bool) -> None:
    calm, told = calm_case(tmp_path, orchestrator.__name__)

    for first in range(1, 6):
        check_failing_writes(
            tmp_path / f"{first}", calm, told, fails=lambda commit, first=first: commit % 5 == first, is_durable=is_durable
        )
    for seed in range(5):
        random = SeededRandomness(seed)
        check_failing_writes(
            tmp_path / f"seed {seed}", calm, told, fails=lambda _, random=random: random.ratio() < 0.5, is_durable=is_durable
        )


# -- generated programs ---------------------------------------------------------------------------------------------


def numbered(program: Any, counter: Iterator[int]) -> Any:
    """A program whose calls have keys of their own."""
    if isinstance(program, dict):
        return {**program, "key": f"k{next(counter)}"}
    return [numbered(each, counter) for each in program] if isinstance(program, list) else program


SECONDS = st.integers(0, 5)
TASKS = st.one_of(
    st.builds(lambda seconds, failures: ["work", {"seconds": seconds, "failures": failures}], SECONDS, st.integers(0, 2)),
    st.builds(lambda failures: ["store", {"failures": failures}], st.sampled_from([0, 0, 1])),
    st.builds(lambda seconds: ["fail", {"seconds": seconds}], SECONDS),
    st.builds(lambda seconds: ["timer", seconds], st.integers(-3, 9)),
    st.builds(lambda name: ["event", name], st.sampled_from("ab")),
)


def groups(tasks: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return tasks | st.lists(tasks, max_size=4).map(lambda each: ["all", *each])


def programs_of(tasks: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    steps = st.one_of(
        groups(tasks),
        tasks.map(lambda each: ["in time", each]),
        SECONDS.map(lambda seconds: ["too late", seconds]),
        st.integers(1, 9).map(lambda status: ["status", status]),
    )
    return st.recursive(
        steps,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3).map(lambda each: ["sequence", *each])
            | st.tuples(inner, inner).map(lambda each: ["try", *each])
        ),
        max_leaves=4,
    )


CHILDREN = st.lists(programs_of(TASKS), min_size=1, max_size=2).map(lambda each: ["child", *each])
GRANDCHILDREN = st.lists(programs_of(TASKS | CHILDREN), min_size=1, max_size=2).map(lambda each: ["child", *each])
programs = st.lists(programs_of(TASKS | CHILDREN | GRANDCHILDREN), min_size=1, max_size=3).map(
    lambda rounds: [numbered(rounds, iter(range(10_000))), []]
)
memories = st.sampled_from(sorted(LIMITS))


def calm_program(folder: str, program: list[Any], seed: int | None, memory: str) -> tuple[Case, Told]:
    return run_calmly(CaseWithoutEnd(Path(folder) / "calm.db", "interpret_rounds", program, seed, limits=LIMITS[memory]))


@settings(max_examples=15 if IS_LONG else 8, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs, seed=st.none() | st.integers(0, 1000), memory=memories)
def test_a_crash_at_any_write_of_any_program_changes_nothing(program: list[Any], seed: int | None, memory: str) -> None:
    with TemporaryDirectory() as folder:
        calm, told = calm_program(folder, program, seed, memory)
        for crash in every_crash(min(calm.commit_count, 40)):
            check_crashes(Path(folder) / f"{crash}", calm, told, [crash])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    program=programs,
    seed=st.none() | st.integers(0, 1000),
    memory=memories,
    crashes=st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=2, max_size=6),
)
def test_several_crashes_in_any_program_change_nothing(program: list[Any], seed: int | None, memory: str, crashes: list[Crash]) -> None:
    with TemporaryDirectory() as folder:
        calm, told = calm_program(folder, program, seed, memory)
        check_crashes(Path(folder) / "crashed", calm, told, crashes)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs, seed=st.integers(0, 1000), memory=memories, is_durable=st.booleans())
def test_failing_writes_in_any_program_change_nothing(program: list[Any], seed: int, memory: str, is_durable: bool) -> None:
    random = SeededRandomness(seed)
    with TemporaryDirectory() as folder:
        calm, told = calm_program(folder, program, None, memory)
        check_failing_writes(Path(folder) / "failing", calm, told, fails=lambda _: random.ratio() < 0.4, is_durable=is_durable)
