"""Whole-program simulations: whatever crashes, fails, stalls or gets lost, the index ends up as the sources say.

`make chaos` runs more of them (FOREBAY_TEST_SIMULATED_RUNS, from FOREBAY_TEST_SEED on). A failing seed is replayed with
`simulate(seed, directory)`.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from forebay.testing.accidents import ALL_FAULTS, NO_FAULTS, Faults
from forebay.testing.simulation import Outcome, random_steps, simulate

RUN_COUNT = int(os.environ.get("FOREBAY_TEST_SIMULATED_RUNS", "100"))
FIRST_SEED = int(os.environ.get("FOREBAY_TEST_SEED", "0"))
BATCH = 100

# each of these happens in every batch of runs, most of them hundreds of times
ACCIDENTS = {
    "clock jump back",
    "clock jump forward",
    "clock jump during a retry back",
    "clock jump during a retry forward",
    "clock jump across a restart back",
    "clock jump across a restart forward",
    "commit",
    "commit on a full disk",
    "create on a full disk",
    "embedder failure",
    "file read",
    "file scan",
    "file stat",
    "file write",
    "lost change",
    "parser death",
    "read of an unreadable file",
    "slow file",
    "stall",
    "stat in a folder that is gone",
    "vector of zeros",
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every fault is logged, thousands of times."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first_seed", range(FIRST_SEED, FIRST_SEED + RUN_COUNT, BATCH))
def test_runs_with_faults_end_with_the_index_of_the_run_without(first_seed: int, tmp_path: Path) -> None:
    crash_count, accidents = 0, Counter[str]()
    for seed in range(first_seed, min(first_seed + BATCH, FIRST_SEED + RUN_COUNT)):
        calm = simulate(seed, tmp_path, NO_FAULTS)
        assert (calm.problems, calm.index) == ([], calm.expected), f"seed {seed} without faults"
        stormy = simulate(seed, tmp_path, ALL_FAULTS)
        assert stormy.problems == [], f"seed {seed}"
        assert stormy.index == calm.index, f"seed {seed}"
        crash_count += stormy.crash_count
        accidents += stormy.accidents
    assert crash_count > BATCH, "the faults did not happen"
    assert ACCIDENTS - accidents.keys() == set(), "these faults did not happen"


@pytest.mark.parametrize("seed", [0, 4, 7])
def test_a_change_noted_while_another_place_is_compared_is_not_lost(seed: int, tmp_path: Path) -> None:
    """Found by these seeds: the watcher cleared names that had come in during a comparison."""
    calm = simulate(seed, tmp_path, NO_FAULTS)
    assert calm.index == calm.expected


def test_a_seed_decides_everything(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first, second = (simulate(11, tmp_path / name, ALL_FAULTS) for name in ("first", "second"))
    assert (first.index, first.crash_count, first.trace) == (second.index, second.crash_count, second.trace)
    assert first.accidents == second.accidents
    assert len(first.trace) > 50


def test_the_simulation_notices_a_program_that_files_a_document_under_a_wrong_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the check."""
    monkeypatch.setattr("forebay.intake.reconcile.Reconciler._created", _misfiling("b.txt"))
    outcomes = [simulate(seed, tmp_path, Faults()) for seed in range(8) if any(step.name == "b.txt" for step in random_steps(seed))]
    assert any(outcome.index != outcome.expected for outcome in outcomes)


def _misfiling(name: str) -> object:
    from forebay.intake.reconcile import Reconciler

    original = Reconciler._created

    def created(self: Reconciler, place: object, entry: object, actor: str, *rest: object) -> object:
        arrival = original(self, place, entry, actor, *rest)  # type: ignore[arg-type]
        return dataclasses.replace(arrival, name="elsewhere.txt") if arrival.name == name else arrival

    return created


# -- each kind of accident alone, and what it has shown ----------------------------------------------------------------


def some(tmp_path: Path, faults: Faults, seeds: Iterable[int] = range(8)) -> list[Outcome]:
    outcomes = []
    for seed in seeds:
        outcome = simulate(seed, tmp_path, faults)
        assert (outcome.problems, outcome.index) == ([], outcome.expected), f"seed {seed}"
        outcomes.append(outcome)
    return outcomes


def happened(outcomes: list[Outcome]) -> Counter[str]:
    return sum((outcome.accidents for outcome in outcomes), Counter())


def test_a_file_that_cannot_be_read_for_longer_than_all_tries_is_read_when_it_can_be(tmp_path: Path) -> None:
    """It stayed failed until it was edited: `storage_failed` was not among the reasons that may go by."""
    assert happened(some(tmp_path, Faults(folder_unreadable_count=2), (10, 13, 15, 22, 23, 28)))["read of an unreadable file"] > 20


def test_a_folder_that_is_gone_for_a_while_takes_nothing_with_it(tmp_path: Path) -> None:
    assert happened(some(tmp_path, Faults(folder_gone_count=3)))["stat in a folder that is gone"] > 20


def test_a_full_disk_delays_and_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """An upload that found no room answered with the error of its own tidying up."""
    counts = happened(some(tmp_path, Faults(disk_full_count=3, file_failure_ratio=0.2)))
    assert counts["create on a full disk"] > 20
    for operation in ("create", "read", "remove", "rename", "scan", "stat", "sync", "write"):
        assert counts[f"file {operation}"] > 0, operation


def test_a_wall_clock_that_jumps_by_hours_with_retries_and_restarts_loses_nothing(tmp_path: Path) -> None:
    faults = Faults(clock_jump_count=6, crash_count=4, embedder_failure_ratio=0.3, parser_failure_ratio=0.3)
    counts = happened(some(tmp_path, faults))
    for moment in ("", " during a retry", " across a restart"):
        for direction in ("forward", "back"):
            assert counts[f"clock jump{moment} {direction}"] > 0
