"""The engine's driver does what Microsoft's replay library does: the same actions in the same order, the same output, the same failure."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, note, settings
from hypothesis import strategies as st
from tests.oracle.library import LibraryBroke
from tests.oracle.lockstep import Event, Lockstep
from tests.oracle.orchestrators import CASES, Case
from tests.oracle.programs import events, inputs, interpret
from tests.oracle.world import World

SEEDS = range(5)  # each with an order of its own in which calls end
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]  # to explain a difference takes minutes
PROGRAM_COUNT = int(os.environ.get("FOREBAY_TEST_ORACLE_PROGRAMS", "200"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hand_written_orchestrators_do_what_they_do_on_microsofts_library(case: Case) -> None:
    for seed in SEEDS:
        Lockstep(case.orchestrator, case.value, World(seed), case.events).run()


def test_one_early_event_is_read_alike_also_where_the_library_keeps_it() -> None:
    [case] = [case for case in CASES if case.name == "an_event_that_comes_early"]
    for seed in SEEDS:
        ending = Lockstep(case.orchestrator, case.value, World(seed), case.events, host_keeps_events=False).run()
        assert ending.output == "early"


@settings(max_examples=PROGRAM_COUNT, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(value=inputs(), events=events(), seed=st.integers(0, 1000))
def test_generated_programs_do_what_they_do_on_microsofts_library(value: dict[str, Any], events: list[Event], seed: int) -> None:
    note(f"{value} {events} {seed}")
    try:
        ending = Lockstep(interpret, value, World(seed), events).run()
    except LibraryBroke as error:
        assert error.is_failed_group
        event("the same until the library broke")
    else:
        event(f"{ending.status}, {ending.steps // 5 * 5} steps or a few more")
        event(f"{ending.rounds} incarnations")
