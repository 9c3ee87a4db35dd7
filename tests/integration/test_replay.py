"""A crash before or after any write, or a write that fails, changes nothing in what an instance does."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.durable_bench import Bench, rows, run_until_crash

from forebay.database import Transaction
from forebay.durable import ActivityFailed, EngineLimits, OrchestrationContext, OrchestrationStatus, Registry, RetryOptions, Task
from forebay.durable.instances.run import replay
from forebay.durable.journal.journal import from_json, load_history, load_instance
from forebay.errors import ForebayError
from forebay.testing.inline import Hook, SimulatedCrash, ignore_commit
from forebay.testing.virtual_loop import SeededRandomness, VirtualClock, run_virtual

Steps = Generator[Task[Any], Any, Any]
Crash = tuple[int, bool]  # at which commit of a life; whether that commit is durable
RETRY = RetryOptions(500, 4, 2.0)


@dataclass
class World:
    """The activities, and what they have done over all lives of the program."""

    executions: Counter[str] = field(default_factory=Counter)
    tries: dict[str, int] = field(default_factory=dict)  # how often each would run at most without faults
    clock: VirtualClock | None = None

    def registry(self) -> Registry:
        registry = Registry()
        for orchestrator in (*ORCHESTRATORS, interpret):
            registry.orchestrator(orchestrator)

        @registry.activity
        async def work(value: dict[str, Any]) -> Any:
            """Takes `seconds`, fails the first `failures` times, returns its key."""
            key = self.count(value, tries=value.get("failures", 0) + 1)
            await asyncio.sleep(value.get("seconds", 0))
            if self.executions[key] <= value.get("failures", 0):
                raise OSError("not yet")
            return key

        @registry.activity
        async def fail(value: dict[str, Any]) -> None:
            """Takes `seconds` and fails for good, always with the same text: which of several fails first does not show."""
            self.count(value, tries=RETRY.max_number_of_attempts if value.get("retryable") else 1)
            await asyncio.sleep(value.get("seconds", 0))
            raise ForebayError("broken", "this never works", retryable=value.get("retryable", False))

        @registry.activity
        async def set_clock(value: float) -> None:
            assert self.clock is not None
            self.clock.jump(value)

        @registry.transactional
        def store(tx: Transaction, value: dict[str, Any]) -> Any:
            """Leaves one row, and fails the first `failures` times."""
            key = self.count(value, tries=value.get("failures", 0) + 1)
            tx.execute("INSERT INTO effects VALUES (?)", (key,))
            if self.executions[key] <= value.get("failures", 0):
                raise OSError("not yet")
            return tx.execute("SELECT count(*) FROM effects WHERE name = ?", (key,)).fetchone()[0]

        @registry.transactional
        def store_and_fail(tx: Transaction, value: dict[str, Any]) -> None:
            self.count(value, tries=1)
            tx.execute("INSERT INTO effects VALUES (?)", (value["key"],))
            raise ForebayError("broken", "this never works", retryable=False)

        return registry

    def count(self, value: dict[str, Any], *, tries: int) -> str:
        key: str = value["key"]
        self.executions[key] += 1
        self.tries[key] = tries
        return key


# -- the orchestrators ----------------------------------------------------------------------------------------------


def call(context: OrchestrationContext, key: str, seconds: float = 0) -> Task:
    return context.call_activity("work", {"key": key, "seconds": seconds})


def flaky(context: OrchestrationContext, key: str, failures: int, seconds: float = 0) -> Task:
    return context.call_activity_with_retry("work", RETRY, {"key": key, "failures": failures, "seconds": seconds})


def store(context: OrchestrationContext, key: str, failures: int = 0) -> Task:
    return context.call_activity_with_retry("store", RETRY, {"key": key, "failures": failures})


def fail(context: OrchestrationContext, key: str, seconds: float = 0) -> Task:
    return context.call_activity("fail", {"key": key, "seconds": seconds})


def no_activity(context: OrchestrationContext) -> Any:
    return {"got": context.get_input()}


def one_activity(context: OrchestrationContext) -> Steps:
    return (yield call(context, "a"))


def sequence(context: OrchestrationContext) -> Steps:
    last = None
    for number in range(6):
        last = yield context.call_activity("work", {"key": f"s{number}", "seconds": number % 3, "last": last})
    return last


def fan_out_and_in(context: OrchestrationContext) -> Steps:
    parts = yield context.task_all([call(context, f"p{number}", (number * 7) % 5) for number in range(12)])
    return [parts, (yield call(context, "joined"))]


def nested_groups(context: OrchestrationContext) -> Steps:
    inner = context.task_all([call(context, "b", 2), context.task_all([]), context.task_all([call(context, "c", 1), store(context, "d")])])
    return (yield context.task_all([call(context, "a", 3), inner, store(context, "e")]))


def groups_in_sequence(context: OrchestrationContext) -> Steps:
    found: list[str] = []
    for size in (3, 1, 0, 4):
        found += yield context.task_all([call(context, f"g{size}-{number}", number) for number in range(size)])
    return found


def caught_failure(context: OrchestrationContext) -> Steps:
    yield store(context, "before")
    try:
        yield fail(context, "f", 1)
    except ActivityFailed as error:
        return [error.code, str(error), (yield store(context, "compensation"))]


def uncaught_failure(context: OrchestrationContext) -> Steps:
    yield store(context, "before")
    yield fail(context, "f")
    yield store(context, "never")


def failure_of_its_own(context: OrchestrationContext) -> Steps:
    yield store(context, "kept")
    raise LookupError("nothing there")


def output_that_is_not_json(context: OrchestrationContext) -> Steps:
    yield store(context, "kept")
    return object()


def retries_that_succeed(context: OrchestrationContext) -> Steps:
    return [(yield flaky(context, "a", 3)), (yield context.task_all([flaky(context, "b", 2, 1), flaky(context, "c", 1, 4)]))]


def retries_that_give_up(context: OrchestrationContext) -> Steps:
    try:
        yield context.call_activity_with_retry("fail", RETRY, {"key": "f", "retryable": True})
    except ActivityFailed as error:
        return [str(error), (yield call(context, "plan b"))]


def transactional_sequence(context: OrchestrationContext) -> Steps:
    last = 0
    for number in range(5):
        last += yield context.call_activity("store", {"key": f"t{number}", "last": last})
    return last


def transactional_group_mixed_with_others(context: OrchestrationContext) -> Steps:
    tasks = [store(context, f"t{number}") if number % 2 else call(context, f"w{number}", number % 4) for number in range(10)]
    yield context.task_all(tasks)
    return [task.result for task in tasks]


def transactional_retries(context: OrchestrationContext) -> Steps:
    return (yield context.task_all([store(context, "t", 3), call(context, "w", 1), store(context, "u", 1), flaky(context, "x", 2)]))


def transactional_failure(context: OrchestrationContext) -> Steps:
    kept = store(context, "kept")
    try:
        yield context.task_all([kept, context.call_activity("store_and_fail", {"key": "dropped"}), call(context, "slow", 9)])
    except ActivityFailed as error:
        return [error.code, (yield kept), (yield store(context, "after"))]


def unwatched_transactional_activity(context: OrchestrationContext) -> Steps:
    failed = fail(context, "f")
    try:
        yield failed
    except ActivityFailed:
        yield context.task_all([failed, store(context, "unwatched")])


def unwatched_in_a_group_that_fails(context: OrchestrationContext) -> Steps:
    yield context.task_all([store(context, f"t{number}") for number in range(4)] + [fail(context, "f"), store(context, "r", 2)])


def group_that_fails_and_is_awaited_again(context: OrchestrationContext) -> Steps:
    slow = [call(context, f"slow{number}", 3 + number) for number in range(3)]
    try:
        yield context.task_all([*slow, fail(context, "f", 1)])
    except ActivityFailed:
        first = yield slow[0]
        return [first, (yield context.task_all([*slow, store(context, "t")]))]


def same_task_twice(context: OrchestrationContext) -> Steps:
    task, later = call(context, "once", 1), store(context, "later")
    twice = yield context.task_all([task, task])
    return [twice, (yield task), (yield context.task_all([later, task, later])), (yield later)]


def clean_up_in_finally(context: OrchestrationContext) -> Steps:
    try:
        yield store(context, "begun")
        yield fail(context, "f", 2)
    finally:
        yield context.task_all([store(context, "undone"), call(context, "told", 1)])


def loop_that_depends_on_results(context: OrchestrationContext) -> Steps:
    total, round_number = 0, 0
    while total < 6:
        found = yield context.task_all([store(context, f"r{round_number}-{number}") for number in range(round_number + 1)])
        total += sum(found)
        round_number += 1
    return [total, round_number]


def helper(context: OrchestrationContext, name: str) -> Steps:
    first = yield call(context, f"{name}1", 1)
    return [first, (yield store(context, f"{name}2"))]


def helpers_of_its_own(context: OrchestrationContext) -> Steps:
    return [(yield from helper(context, "a")), (yield from helper(context, "b"))]


def wrong_yields(context: OrchestrationContext) -> Steps:
    seen = []
    for wrong in (3, Task(), context.call_activity("work", object())):
        try:
            yield wrong  # type: ignore[misc]
        except TypeError:
            seen.append((yield call(context, f"after {len(seen)}")))
    return seen


def times_as_inputs(context: OrchestrationContext) -> Steps:
    """A replay that saw other times would schedule other inputs, and be held."""
    for seconds in (-100, 7, -3600):
        stamp = context.current_utc_datetime.timestamp()
        yield context.task_all(
            [
                context.call_activity("work", {"key": f"w{seconds}", "at": stamp, "seconds": 1}),
                context.call_activity("set_clock", seconds),
                context.call_activity_with_retry("work", RETRY, {"key": f"x{seconds}", "at": stamp, "failures": 1}),
                context.call_activity("store", {"key": f"t{seconds}", "at": stamp}),
            ]
        )
        yield context.call_activity("work", {"key": f"y{seconds}", "at": context.current_utc_datetime.timestamp()})


ORCHESTRATORS: list[Callable[[OrchestrationContext], Any]] = [
    no_activity,
    one_activity,
    sequence,
    fan_out_and_in,
    nested_groups,
    groups_in_sequence,
    caught_failure,
    uncaught_failure,
    failure_of_its_own,
    output_that_is_not_json,
    retries_that_succeed,
    retries_that_give_up,
    transactional_sequence,
    transactional_group_mixed_with_others,
    transactional_retries,
    transactional_failure,
    unwatched_transactional_activity,
    unwatched_in_a_group_that_fails,
    group_that_fails_and_is_awaited_again,
    same_task_twice,
    clean_up_in_finally,
    loop_that_depends_on_results,
    helpers_of_its_own,
    wrong_yields,
    times_as_inputs,
]


def interpret(context: OrchestrationContext) -> Steps:
    """Does what its input says; see `programs`."""
    return (yield from steps_of(context, context.get_input()))


def steps_of(context: OrchestrationContext, program: list[Any]) -> Steps:
    kind, *rest = program
    if kind == "sequence":
        results: list[Any] = []
        for each in rest:
            results += [(yield from steps_of(context, each))]
        return results
    if kind == "try":
        try:
            return (yield from steps_of(context, rest[0]))
        except ActivityFailed as error:
            return [error.code, (yield from steps_of(context, rest[1]))]
    return (yield task_of(context, program))


def task_of(context: OrchestrationContext, program: list[Any]) -> Task:
    kind, *rest = program
    if kind == "all":
        return context.task_all([task_of(context, each) for each in rest])
    return context.call_activity_with_retry(kind, RETRY, rest[0])


# -- lives ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """Everything about an instance that a fault must not change."""

    status: str
    code: str | None
    output: Any
    custom_status: Any
    effects: dict[str, int]


@dataclass(frozen=True)
class Life:
    """What is injected into one life of the program."""

    before_commit: Hook = ignore_commit
    after_commit: Hook = ignore_commit


def crashing(crash: Crash) -> Life:
    number, is_durable = crash

    def hook(commit: int) -> None:
        if commit == number:
            raise SimulatedCrash

    return Life(after_commit=hook) if is_durable else Life(before_commit=hook)


@dataclass
class Case:
    """One instance over several lives of the program."""

    path: Path
    name: str
    value: Any
    seed: int | None = None  # of the delays of reads and writes; None: none
    world: World = field(default_factory=World)
    limits: EngineLimits | None = None
    commit_count: int = 0

    async def begin(self, bench: Bench) -> None:
        """What the world outside does in each life: it starts the instance, however often that takes."""
        await insist(lambda: bench.client.start_new(self.name, "mine", self.value))

    async def end(self, bench: Bench) -> OrchestrationStatus:
        """Wait until nothing happens any more. Raises `TimeoutError`."""
        return await bench.client.wait_for_completion("mine", 10_000)

    def anew(self, path: Path) -> Case:
        """The same instance in another database."""
        return type(self)(path, self.name, self.value, self.seed, limits=self.limits)

    def live(self, life: Life) -> Told | None:
        """One life; None when it ended with a crash."""
        random = SeededRandomness(self.seed) if self.seed is not None else None

        async def work(bench: Bench) -> Any:
            self.world.clock = bench.clock
            await self.begin(bench)
            try:
                status = await self.end(bench)
            except TimeoutError:
                stuck = await bench.client.get_status("mine")
                pytest.fail(f"the instance never ends: {stuck}")
            self.commit_count = bench.writer.commit_count
            return status

        async def main() -> Any:
            return await run_until_crash(
                work,
                self.world.registry(),
                self.path,
                limits=self.limits,
                before_commit=life.before_commit,
                after_commit=life.after_commit,
                delay_seconds=(lambda: random.ratio() * 2) if random is not None else None,
            )

        status = run_virtual(main)
        if status is None:
            return None
        effects = dict(rows(self.path, "SELECT name, count(*) FROM effects GROUP BY name"))
        return Told(status.runtime_status, status.failure_code, status.output, status.custom_status, effects)

    def check_journal(self) -> None:
        """The journal holds one outcome for each task, tries without gaps, and replays to what the instance returned."""
        twice = rows(
            self.path,
            "SELECT task_id, count(*) FROM history WHERE kind NOT IN ('attempt_failed', 'child_attempt_failed', 'event')"
            " GROUP BY instance, task_id HAVING count(*) > 1",
        )
        assert twice == []
        connection = sqlite3.connect(self.path)
        row = load_instance(connection, "mine")
        assert row is not None
        history = load_history(connection, row.key)
        connection.close()
        tries: Counter[int] = Counter()
        for _, fact in history:
            if fact.kind == "event":
                continue
            tries[fact.task_id] += 1
            assert fact.attempt == tries[fact.task_id], f"try {fact.attempt} of task {fact.task_id} is its {tries[fact.task_id]}. entry"
        orchestrator = self.world.registry().find_orchestrator(self.name, None)
        assert orchestrator is not None
        run = replay(row, orchestrator, history)
        outcome = run.driver.outcome
        assert outcome is not None
        assert row.output_json is not None
        if row.status == "Completed":
            assert outcome.output == from_json(row.output_json)
        elif outcome.failure is not None:
            assert outcome.failure.to_json() == from_json(row.output_json)


async def insist(request: Callable[[], Awaitable[Any]]) -> None:
    """Make a request until it succeeds."""
    while True:
        try:
            await request()
            return
        except ForebayError as error:
            if not error.retryable:
                raise


def run_without_faults(folder: Path, name: str, value: Any = None, seed: int | None = None) -> tuple[Case, Told]:
    return run_calmly(Case(folder / "calm.db", name, value, seed))


def run_calmly(case: Case) -> tuple[Case, Told]:
    told = case.live(Life())
    assert told is not None
    case.check_journal()
    return case, told


def check_crashes(folder: Path, calm: Case, told: Told, crashes: list[Crash]) -> None:
    """The instance lives through the crashes, one in each life, and tells the same."""
    folder.mkdir()
    case = calm.anew(folder / "crash.db")
    seen: Told | None = None
    crash_count = 0
    for crash in crashes:
        seen = case.live(crashing(crash))
        if seen is not None:
            break
        crash_count += 1
    if seen is None:
        seen = case.live(Life())
    assert seen == told, f"crashed at {crashes}"
    case.check_journal()
    check_executions(calm, case, crash_count)


def check_executions(calm: Case, case: Case, fault_count: int) -> None:
    assert case.world.executions.keys() == calm.world.executions.keys()
    for key, count in case.world.executions.items():
        assert count <= case.world.tries[key] + fault_count, key


def every_crash(commit_count: int) -> Iterator[Crash]:
    for number in range(1, commit_count + 1):
        yield number, False
        yield number, True


@pytest.mark.parametrize("seed", [None, 7], ids=["at once", "with delays"])
@pytest.mark.parametrize("orchestrator", ORCHESTRATORS, ids=lambda orchestrator: orchestrator.__name__)
def test_a_crash_before_or_after_any_write_changes_nothing(
    tmp_path: Path, orchestrator: Callable[[OrchestrationContext], Any], seed: int | None
) -> None:
    calm, told = run_without_faults(tmp_path, orchestrator.__name__, {"in": 1}, seed)

    for crash in every_crash(calm.commit_count):
        check_crashes(tmp_path / f"{crash}", calm, told, [crash])


@pytest.mark.parametrize(
    "name", ["transactional_group_mixed_with_others", "clean_up_in_finally", "transactional_retries", "times_as_inputs"]
)
def test_two_crashes_at_any_two_writes_change_nothing(tmp_path: Path, name: str) -> None:
    calm, told = run_without_faults(tmp_path, name)

    for first in every_crash(calm.commit_count):
        for second in every_crash(calm.commit_count - first[0] + 2):
            check_crashes(tmp_path / f"{first} {second}", calm, told, [first, second])


@pytest.mark.parametrize("is_durable", [False, True], ids=["undone", "done but reported as failed"])
@pytest.mark.parametrize("orchestrator", ORCHESTRATORS, ids=lambda orchestrator: orchestrator.__name__)
def test_writes_that_fail_change_nothing(tmp_path: Path, orchestrator: Callable[[OrchestrationContext], Any], is_durable: bool) -> None:
    calm, told = run_without_faults(tmp_path, orchestrator.__name__, {"in": 1})

    for first in range(1, 6):
        check_failing_writes(
            tmp_path / f"{first}", calm, told, fails=lambda commit, first=first: commit % 5 == first, is_durable=is_durable
        )
    for seed in range(10):
        random = SeededRandomness(seed)
        check_failing_writes(
            tmp_path / f"seed {seed}", calm, told, fails=lambda _, random=random: random.ratio() < 0.5, is_durable=is_durable
        )


def check_failing_writes(folder: Path, calm: Case, told: Told, *, fails: Callable[[int], bool], is_durable: bool) -> None:
    folder.mkdir()
    case = calm.anew(folder / "failing.db")
    failed: list[int] = []

    def hook(commit: int) -> None:
        if fails(commit):
            failed.append(commit)
            raise sqlite3.OperationalError("disk I/O error")

    assert case.live(Life(after_commit=hook) if is_durable else Life(before_commit=hook)) == told
    case.check_journal()
    check_executions(calm, case, len(failed))


def numbered(program: list[Any], counter: Iterator[int]) -> list[Any]:
    """A program whose calls have keys of their own."""
    kind, *rest = program
    if kind in ("sequence", "try", "all"):
        return [kind, *(numbered(each, counter) for each in rest)]
    return [kind, {**rest[0], "key": f"k{next(counter)}"}]


SECONDS = st.integers(0, 5)
CALLS = st.one_of(
    st.builds(lambda seconds, failures: ["work", {"seconds": seconds, "failures": failures}], SECONDS, st.integers(0, 3)),
    st.builds(lambda failures: ["store", {"failures": failures}], st.sampled_from([0, 0, 0, 1, 3])),
    st.builds(lambda seconds, retryable: ["fail", {"seconds": seconds, "retryable": retryable}], SECONDS, st.booleans()),
    st.just(["store_and_fail", {}]),
)
GROUPS = st.recursive(CALLS, lambda inner: st.lists(inner, max_size=4).map(lambda each: ["all", *each]), max_leaves=6)
programs = st.recursive(
    GROUPS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda each: ["sequence", *each])
        | st.tuples(inner, inner).map(lambda each: ["try", *each])
    ),
    max_leaves=6,
).map(lambda program: numbered(program, iter(range(10_000))))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs, seed=st.none() | st.integers(0, 1000))
def test_a_crash_at_any_write_of_any_program_changes_nothing(program: list[Any], seed: int | None) -> None:
    with TemporaryDirectory() as folder:
        calm, told = run_without_faults(Path(folder), "interpret", program, seed)
        for crash in every_crash(calm.commit_count):
            check_crashes(Path(folder) / f"{crash}", calm, told, [crash])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    program=programs,
    seed=st.none() | st.integers(0, 1000),
    crashes=st.lists(st.tuples(st.integers(1, 8), st.booleans()), min_size=2, max_size=6),
)
def test_several_crashes_in_any_program_change_nothing(program: list[Any], seed: int | None, crashes: list[Crash]) -> None:
    with TemporaryDirectory() as folder:
        calm, told = run_without_faults(Path(folder), "interpret", program, seed)
        check_crashes(Path(folder) / "crashed", calm, told, crashes)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs, seed=st.integers(0, 1000), is_durable=st.booleans())
def test_failing_writes_in_any_program_change_nothing(program: list[Any], seed: int, is_durable: bool) -> None:
    random = SeededRandomness(seed)
    with TemporaryDirectory() as folder:
        calm, told = run_without_faults(Path(folder), "interpret", program)
        check_failing_writes(Path(folder) / "failing", calm, told, fails=lambda _: random.ratio() < 0.4, is_durable=is_durable)
