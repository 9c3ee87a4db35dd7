"""Writes what an instance has done: one unit a step."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from forebay.database import Transaction
from forebay.durable.activities.executor import Executor, record
from forebay.durable.activities.outgoing import send_all
from forebay.durable.failures import Failure
from forebay.durable.instances.run import Incoming, Run
from forebay.durable.instances.steps import Step
from forebay.durable.journal import journal
from forebay.durable.journal.dead_letters import put_away
from forebay.durable.journal.journal import End, Fact, InstanceRow, NewInstance
from forebay.durable.journal.removal import remove
from forebay.durable.journal.transitions import Transitions
from forebay.durable.orchestration.actions import ChildAction
from forebay.errors import ForebayError


@dataclass(slots=True)
class Recorded:
    """Whom a step concerns beside the instance itself."""

    readers: list[int] = field(default_factory=list)  # keys of instances that have been sent something
    children: list[tuple[InstanceRow, bool]] = field(default_factory=list)  # sub-orchestrations, and whether they are new


class Recorder:
    """Makes steps of instances durable."""

    def __init__(self, executor: Executor, transitions: Transitions) -> None:
        self._executor = executor
        self._transitions = transitions

    def record(self, tx: Transaction, run: Run, step: Step) -> Recorded:
        """The unit of one step. Raises `ForebayError` (`instance_reloaded`) when the instance is not what this run takes it for."""
        recorded = Recorded()
        record(tx, run, [each.fact for each in step.incoming if not each.is_stale])
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
        if step.end is not None:
            self._record_end(tx, run, step.end)
        elif step.input_json is not None:
            journal.begin_anew(tx, run.row, step.input_json, step.unread, step.begun_at)
            begun = replace(run.row, input_json=step.input_json, created_at=step.begun_at)
            self._transitions.record(tx, begun, "ContinuedAsNew", step.begun_at)
        elif step.wait != run.persisted_wait:
            journal.set_wait(tx, run.row.key, *step.wait)
        return recorded

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

    def _record_end(self, tx: Transaction, run: Run, end: End) -> None:
        """The end of an instance, and the message of it to the one that waits for it."""
        journal.end_instance(tx, run.row.key, end)
        ended = replace(run.row, status=end[0], output_json=end[1], updated_at=end[2])
        failure = Failure.from_json(journal.from_json(end[1])) if end[0] == "Failed" else None
        outcome = run.driver.outcome
        if failure is not None and (outcome is None or outcome.cause is None):
            self._transitions.record_letter(tx, put_away(tx, ended, failure, end[2], activity=None), "DeadLettered")
        journal.tell_parent(tx, ended)
        data = {"output_bytes": len(end[1].encode()), "failed_attempts": journal.count_failures(tx.connection, run.row.key)}
        self._transitions.record(tx, ended, end[0], end[2], data | ({"failure_code": failure.code} if failure else {}))  # type: ignore[arg-type]
