"""Calls of an instance that wait between two tries."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from forebay.durable.instances.run import NO_ATTEMPTS, Run, begin_replay
from forebay.durable.journal.journal import InstanceRow
from forebay.durable.orchestration.actions import ActivityAction
from forebay.durable.orchestration.context import OrchestrationContext
from forebay.durable.orchestration.tasks import Task
from forebay.durable.retries import TRY_ONCE


def orchestrator(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
    yield context.wait_for_external_event("never")


def run() -> Run:
    row = InstanceRow(
        key=1, id="i", name="orchestrator", status="Running", input_json="1", output_json=None, created_at=0, updated_at=0, lane=""
    )
    return begin_replay(row, orchestrator)


def call(task_id: int) -> ActivityAction:
    return ActivityAction(task_id, "say", b"1", "", TRY_ONCE)


def test_each_is_tried_again_when_its_time_has_come_and_no_sooner() -> None:
    mine = run()
    for task_id, due in enumerate([30.0, 10.0, 20.0, 10.0]):
        mine.let_rest(call(task_id), NO_ATTEMPTS, due)
    assert mine.next_rest() == 10
    mine.end_rests(9.9)
    assert mine.pending == []
    mine.end_rests(20.0)
    assert [action.task_id for action, _ in mine.pending] == [1, 3, 2]
    assert (list(mine.rests), mine.next_rest()) == ([0], 30)


def test_a_rest_that_is_given_another_time_has_only_that_one() -> None:
    mine = run()
    mine.let_rest(call(0), NO_ATTEMPTS, 10.0)
    mine.let_rest(call(0), NO_ATTEMPTS, 20.0)
    mine.end_rests(10.0)
    assert (mine.pending, mine.next_rest()) == ([], 20)
    mine.end_rests(20.0)
    assert (len(mine.pending), mine.rests, mine.next_rest()) == (1, {}, None)
