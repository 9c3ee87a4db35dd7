"""The whole engine ends every instance as Microsoft's library does, with a crash at any write of its journal, or after each."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st
from tests.oracle.engine import Crash, EngineRun, Told
from tests.oracle.library import LibraryBroke, LibraryHost
from tests.oracle.lockstep import Event, Lockstep
from tests.oracle.orchestrators import CASES, Case, Context, Steps, call
from tests.oracle.programs import events, inputs, interpret
from tests.oracle.world import START, World

from forebay.durable.instances.run import replay

SEED = 1
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
PROGRAM_COUNT = int(os.environ.get("FOREBAY_TEST_ORACLE_PROGRAMS", "200")) // 4


def new_run(folder: Path, name: str, case: Case, seed: int) -> EngineRun:
    return EngineRun(folder / f"{name}.db", case.orchestrator, case.value, World(seed), case.events)


def run_calmly(folder: Path, case: Case, seed: int, told: Told) -> EngineRun:
    run = new_run(folder, "calm", case, seed)
    assert run.live() == told
    run.check_prefixes()
    return run


def check_a_crash_after_each_write(folder: Path, case: Case, seed: int, told: Told) -> None:
    """Every life of the program makes one write, and dies."""
    run = new_run(folder, "one write a life", case, seed)
    while (seen := run.live(Crash())) is None:
        assert run.life_count < 1000
    assert seen == told
    run.check_prefixes()


def check_a_crash_at(folder: Path, case: Case, seed: int, told: Told, crash: Crash) -> None:
    run = new_run(folder, str(crash), case, seed)
    assert run.live(crash) is None
    assert run.live() == told, f"with a {crash}"
    run.check_prefixes()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_crashes_change_nothing_in_hand_written_orchestrators(case: Case, tmp_path: Path) -> None:
    ending = Lockstep(case.orchestrator, case.value, World(SEED), case.events).run()
    assert ending.had_tie == case.has_ties, "two things happen at one moment: choose another seed"
    told = Told.of(ending)

    calm = run_calmly(tmp_path, case, SEED, told)
    check_a_crash_after_each_write(tmp_path, case, SEED, told)
    for number in range(1, calm.commit_count + 1):
        check_a_crash_at(tmp_path, case, SEED, told, Crash(number, is_durable=False))
        check_a_crash_at(tmp_path, case, SEED, told, Crash(number, is_durable=True))


@settings(max_examples=PROGRAM_COUNT, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(
    value=inputs(),
    sent=events(),
    seed=st.integers(0, 1000),
    crashes=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=4),
)
def test_crashes_change_nothing_in_generated_programs(
    value: dict[str, Any], sent: list[Event], seed: int, crashes: list[tuple[int, bool]]
) -> None:
    note(f"{value} {sent} {seed}")
    case = Case(interpret, value, tuple(sent))
    try:
        ending = Lockstep(interpret, value, World(seed), sent).run()
    except LibraryBroke as error:
        assume(not error.is_failed_group)
        raise
    assume(not ending.had_tie)
    told = Told.of(ending)

    with TemporaryDirectory() as name:
        calm = run_calmly(Path(name), case, seed, told)
        check_a_crash_after_each_write(Path(name), case, seed, told)
        for number, is_durable in {(1 + number % calm.commit_count, is_durable) for number, is_durable in crashes}:
            check_a_crash_at(Path(name), case, seed, told, Crash(number, is_durable))


def test_is_replaying_tells_the_same_at_every_step(tmp_path: Path) -> None:
    seen: list[bool] = []

    def orchestrator(context: Context) -> Steps:
        seen.append(context.is_replaying)
        for number in range(4):
            yield call(context, f"step {number}")
            seen.append(context.is_replaying)

    host = LibraryHost(orchestrator, instance_id="mine", value=None, now=START)
    run = new_run(tmp_path, "calm", Case(orchestrator), SEED)
    run.live()
    row, history = run.recorded()
    for length in range(1, len(history) + 1):
        seen.clear()
        host.completed(length - 1, None, START)
        on_library = list(seen)
        seen.clear()
        replay(row, orchestrator, history[:length]).driver.close()
        assert seen == on_library == [True] * length + [False]
