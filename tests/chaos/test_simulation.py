"""Whole-program simulations: whatever crashes, fails, stalls or gets lost, the index ends up as the sources say.

`make chaos` runs more of them (FOREBAY_TEST_SIMULATED_RUNS). A failing seed is replayed with `simulate(seed, directory)`.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from forebay.testing.simulation import ALL_FAULTS, NO_FAULTS, Faults, random_steps, simulate

RUN_COUNT = int(os.environ.get("FOREBAY_TEST_SIMULATED_RUNS", "300"))
BATCH = 25


@pytest.fixture(autouse=True)
def quiet() -> object:
    """Every fault is logged, thousands of times."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first_seed", range(0, RUN_COUNT, BATCH))
def test_runs_with_faults_end_with_the_index_of_the_run_without(first_seed: int, tmp_path: Path) -> None:
    crash_count = 0
    for seed in range(first_seed, min(first_seed + BATCH, RUN_COUNT)):
        calm = simulate(seed, tmp_path, NO_FAULTS)
        assert (calm.problems, calm.index) == ([], calm.expected), f"seed {seed} without faults"
        stormy = simulate(seed, tmp_path, ALL_FAULTS)
        assert stormy.problems == [], f"seed {seed}"
        assert stormy.index == calm.index, f"seed {seed}"
        crash_count += stormy.crash_count
    assert crash_count > BATCH, "the faults did not happen"


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
    assert len(first.trace) > 50


def test_the_simulation_notices_a_program_that_files_a_document_under_a_wrong_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the check."""
    monkeypatch.setattr("forebay.intake.reconcile.Reconciler._created", _misfiling("b.txt"))
    outcomes = [simulate(seed, tmp_path, Faults()) for seed in range(8) if any(step.name == "b.txt" for step in random_steps(seed))]
    assert any(outcome.index != outcome.expected for outcome in outcomes)


def _misfiling(name: str) -> object:
    from forebay.intake.reconcile import Reconciler

    original = Reconciler._created

    def created(self: Reconciler, place: object, entry: object, actor: str) -> object:
        arrival = original(self, place, entry, actor)  # type: ignore[arg-type]
        if arrival.name == name:
            import dataclasses

            return dataclasses.replace(arrival, name="elsewhere.txt")
        return arrival

    return created
