"""Which part of a failed instance's history stays when it is made to go on."""

from __future__ import annotations

from dataclasses import dataclass

from forebay.durable.instances.run import Run, begin_replay, expect
from forebay.durable.journal.journal import FAILING, Fact, History, InstanceRow
from forebay.durable.orchestration.driver import OrchestratorFunction


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a history."""

    facts: list[Fact]
    first_undone_task: int  # what the orchestrator has scheduled from here on did not happen
    failed_children: list[int]  # tasks whose sub-orchestrations have to be made to go on as well


def cut(row: InstanceRow, orchestrator: OrchestratorFunction, history: History) -> Cut:
    """Go back to before the failure that the instance ended with; what succeeded without knowing of it stays.

    That is the failure of the task that the orchestrator did not catch. One that raised something of its own, perhaps because of
    failures that it had caught, goes back to before the first of those; one in which nothing failed keeps everything.
    Raises `NonDeterministicError`.
    """
    run = begin_replay(row, orchestrator)
    try:
        facts = [fact for _, fact in history]
        task_counts = _replay(run, facts)
        outcome = run.driver.outcome
    finally:
        run.driver.close()
    cause = None if outcome is None else outcome.cause
    failures = [position for position, fact in enumerate(facts) if fact.kind in FAILING]
    caused = [position for position in failures if facts[position].task_id == cause]
    if not failures:
        return Cut(facts, run.driver.task_count, [])
    position = (caused or failures)[0]
    boundary = task_counts[position]
    undone = {facts[each].task_id for each in failures if each >= position}
    kept = [fact for fact in facts if fact.kind == "event" or _stays(fact, boundary, undone)]
    children = [facts[each].task_id for each in failures if each >= position and facts[each].kind == "child_failed"]
    return Cut(kept, boundary, [task for task in children if task < boundary])


def _stays(fact: Fact, boundary: int, undone: set[int]) -> bool:
    # the tries of a sub-orchestration are instances, of which the last one goes on; an activity begins to count anew
    return fact.task_id < boundary and (fact.task_id not in undone or fact.kind == "child_attempt_failed")


def _replay(run: Run, facts: list[Fact]) -> list[int]:
    """How many tasks had been scheduled when each of the facts came."""
    counts = []
    run.driver.start()
    for fact in facts:
        expect(run, fact)
        counts.append(run.driver.task_count)
        run.apply(fact)
    return counts
