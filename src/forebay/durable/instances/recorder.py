"""Writes what an instance has done: one unit a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from forebay.database import Transaction, Writer
from forebay.durable.activities.executor import Executor
from forebay.durable.activities.outgoing import send_all
from forebay.durable.failures import Failure
from forebay.durable.instances.records import fence
from forebay.durable.instances.run import Incoming, Run
from forebay.durable.instances.steps import Step
from forebay.durable.instances.together import write_together
from forebay.durable.journal import journal
from forebay.durable.journal.dead_letters import put_away
from forebay.durable.journal.journal import End, Fact, InstanceRow, NewInstance
from forebay.durable.journal.removal import remove
from forebay.durable.journal.transitions import Transitions
from forebay.durable.orchestration.actions import ChildAction
from forebay.errors import ForebayError


class Recorded(msgspec.Struct):
    """Whom a step concerns beside the instance itself."""

    readers: list[int] = []  # keys of instances that have been sent something
    children: list[tuple[InstanceRow, bool]] = []  # sub-orchestrations, and whether they are new


NOTHING_MORE = Recorded()


class Recorder:
    """Makes steps of instances durable."""

    def __init__(self, executor: Executor, transitions: Transitions) -> None:
        self._executor = executor
        self._transitions = transitions

    async def write(self, writer: Writer, steps: list[tuple[Run, Step]]) -> list[Recorded | BaseException]:
        """Make steps of several instances durable: what each has brought about, or why it has not been recorded."""
        return await write_together(writer, steps, self._unit)

    def _unit(self, steps: list[tuple[Run, Step]]) -> Callable[[Transaction], list[Recorded | BaseException]]:
        # prepared here: what the writer's thread touches of what the loop goes on with, two processors pass to and fro
        refusals = fence([run for run, _ in steps])
        rows: list[Any] = []
        for _, step in steps:
            rows += step.rows
        further = [(position, run, step) for position, (run, step) in enumerate(steps) if step.has_more]
        ends = {run.row.key: (run, step.end) for _, run, step in further if step.end is not None}

        def unit(tx: Transaction) -> list[Recorded | BaseException]:
            refused = refusals(tx)
            if refused:
                others = iter(self._unit([each for position, each in enumerate(steps) if position not in refused])(tx))
                return [refused.get(position) or next(others) for position in range(len(steps))]
            journal.append_history(tx, rows)
            recorded: list[Recorded | BaseException] = [NOTHING_MORE] * len(steps)
            for position, run, step in further:
                recorded[position] = self._record_rest(tx, run, step)
            if ends:  # last, so that what the others have sent to them goes too
                journal.end_instances(tx, {key: end for key, (_, end) in ends.items()})
                for run, end in ends.values():
                    self._tell_of_end(tx, run, end)
            return recorded

        return unit

    def _record_rest(self, tx: Transaction, run: Run, step: Step) -> Recorded:
        """What a step has beside the facts that have come in."""
        recorded = Recorded()
        for each in step.incoming:
            if each.message is not None:
                journal.delete_message(tx, each.message)
            if each.events:
                recorded.readers += send_all(tx, each.events)
            if each.call is not None:
                self._put_away(tx, run, each)
        for action, new in step.children:
            child = self._record_child(tx, run, action, new)
            if child is None:
                recorded.readers.append(run.row.key)
            else:
                recorded.children.append(child)
        if step.custom_status_json != run.row.custom_status_json:
            journal.set_custom_status(tx, run.row.key, step.custom_status_json)
        if step.end is None:
            self._record_way_on(tx, run, step)
        return recorded

    def _record_way_on(self, tx: Transaction, run: Run, step: Step) -> None:
        """How an instance that has not ended goes on."""
        if step.input_json is not None:
            journal.begin_anew(tx, run.row, step.input_json, step.unread, step.begun_at)
            begun = replace(run.row, input_json=step.input_json, created_at=step.begun_at)
            self._transitions.record(tx, begun, "ContinuedAsNew", step.begun_at)
        elif step.wait != run.persisted_wait:
            journal.set_wait(tx, run.row.key, *step.wait)

    def _put_away(self, tx: Transaction, run: Run, incoming: Incoming) -> None:
        """Keep an activity that has failed for good; a failed sub-orchestration has kept what failed in it."""
        fact, call = incoming.fact, incoming.call
        assert call is not None
        failure = Failure.from_json(journal.from_json(fact.payload))
        if self._executor.is_expected(call.name, failure.code):
            return
        activity = (fact.task_id, fact.name, call.input_json.decode())
        letter = put_away(tx, run.row, failure, fact.at, activity=activity, attempts=fact.attempt, first_failed_at=incoming.first_failed_at)
        self._transitions.record_letter(tx, letter, "DeadLettered")

    def _record_child(self, tx: Transaction, run: Run, action: ChildAction, new: NewInstance) -> tuple[InstanceRow, bool] | None:
        """The sub-orchestration, and whether it is new; None when it has ended or cannot be started: then a message tells of that."""
        assert new.parent is not None
        try:
            self._executor.refuse_too_large(action.input_json, f"the input of {action.name}")
            row, is_new = journal.insert_instance(tx, new)
            # an id that has been chosen may be used again, as in Azure, but not that of another project's instance
            if row.parent != new.parent and row.is_over and row.project == run.row.project:
                remove(tx, row, self._transitions)
                row, is_new = journal.insert_instance(tx, new)
            if row.parent != new.parent:
                raise ForebayError("instance_exists", f"instance {row.id!r} exists already", hint="choose another instance id", status=409)
        except ForebayError as error:
            at, failure = max(run.last_at, tx.now_us), journal.to_json(Failure.of(error).to_json())
            fact = Fact("child_failed", action.task_id, action.name, action.input_hash, new.parent.attempt, at, at, failure)
            journal.send_message(tx, run.row.key, fact, run.row.incarnation)
            return None
        if is_new:
            self._transitions.record(tx, row, "Started", row.created_at)
        if row.is_over:
            # it was rewound on its own, and ended while nobody waited for it
            if not journal.has_told_parent(tx, new.parent):
                journal.tell_parent(tx, row)
            return None
        return row, is_new

    def _tell_of_end(self, tx: Transaction, run: Run, end: End) -> None:
        """What follows from the end of an instance: the message of it to the one that waits for it, and its dead letter."""
        ended = journal.ended(run.row, end)
        failure = Failure.from_json(journal.from_json(end[1])) if end[0] == "Failed" else None
        outcome = run.driver.outcome
        if failure is not None and (outcome is None or outcome.cause is None):
            self._transitions.record_letter(tx, put_away(tx, ended, failure, end[2], activity=None), "DeadLettered")
        journal.tell_parent(tx, ended)
        if self._transitions.is_on:
            data = {"output_bytes": len(end[1].encode()), "failed_attempts": journal.count_failures(tx.connection, run.row.key)}
            self._transitions.record(tx, ended, end[0], end[2], data | ({"failure_code": failure.code} if failure else {}))  # type: ignore[arg-type]
