"""What a live instance does next: pure planning, nothing is written or started here."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from forebay.durable.activities.executor import Executor
from forebay.durable.failures import Failure
from forebay.durable.instances.alarms import EARLY_SECONDS
from forebay.durable.instances.run import Attempts, Incoming, Pending, Run, child_id, expect
from forebay.durable.instances.waits import NO_WAIT, persistent_wait
from forebay.durable.journal import journal
from forebay.durable.journal.journal import ATTEMPTING, End, Fact, NewInstance, Parent
from forebay.durable.orchestration.actions import ActivityAction, CallAction, ChildAction
from forebay.durable.registry import Registry
from forebay.effects import Clock
from forebay.errors import ForebayError


class Step(msgspec.Struct, kw_only=True):
    """What one write makes durable, and what follows from it."""

    incoming: list[Incoming] = []
    rows: list[Any] = []  # of the history, one after the other
    children: list[tuple[ChildAction, NewInstance]] = []
    calls: list[Pending] = []
    end: End | None = None
    begun_at: int = 0  # when the instance begins anew, if it does
    input_json: str | None = None  # and with what
    unread: list[Fact] = []  # and the events that it begins with
    custom_status_json: str | None = None
    wait: tuple[int | None, str | None] = NO_WAIT
    has_more: bool = False  # to be written than facts that have come in
    is_worth_writing: bool = True


class Planner:
    """Hands what comes in to orchestrators, and finds what is to be recorded and started then."""

    def __init__(self, registry: Registry, executor: Executor, clock: Clock) -> None:
        self._registry = registry
        self._executor = executor
        self._clock = clock

    def rest_where_due(self, run: Run) -> None:
        """Go on with the waits between two tries that a restart has cut short."""
        pending, run.pending = run.pending, []
        for action, attempts in pending:
            if attempts.last_failed_at is None:
                run.pending.append((action, attempts))
            else:
                self._rest(run, action, attempts)

    def read_message(self, run: Run, sequence: int, fact: Fact) -> Incoming:
        """A failed sub-orchestration may be run again; one that has begun anew has forgotten what it was called with."""
        action = run.driver.action(fact.task_id)
        if not isinstance(action, ChildAction):
            return Incoming(fact, sequence)
        if not fact.input_hash:
            fact = replace(fact, input_hash=action.input_hash)
        if fact.kind == "child_failed":
            before = run.attempts.get(fact.task_id)
            if before is not None and before.first_scheduled_at is not None:
                fact = replace(fact, scheduled_at=before.first_scheduled_at)
            failure = Failure.from_json(journal.from_json(fact.payload))
            elapsed_seconds = (fact.at - fact.scheduled_at) / 1e6
            delay_seconds = action.retry.delay_seconds(fact.attempt, elapsed_seconds)
            if failure.retryable and delay_seconds is not None and not self._executor.is_expired(fact.scheduled_at):
                fact = replace(fact, kind="child_attempt_failed")
        return Incoming(fact, sequence)

    def _wake_up(self, run: Run) -> None:
        """Timers that have fired come in; calls whose wait between two tries is over are to be started."""
        now_us, now = self._executor.now_us(), self._clock.monotonic() + EARLY_SECONDS
        for timer in run.due_timers(now_us + int(EARLY_SECONDS * 1e6)):
            at = max(run.last_at, now_us, timer.fire_at_us)
            fact = Fact("timer_fired", timer.task_id, timer.name, timer.input_hash, 1, timer.fire_at_us, at, "null")
            run.inbox.append(Incoming(fact))
        run.end_rests(now)

    def next_step(self, run: Run, *, is_held: bool) -> Step:
        """Hand what has come in to the orchestrator, and see what follows from it."""
        if run.timers or run.rests:
            self._wake_up(run)
        step = Step()
        if run.transactional_count == 0:
            self._apply_inbox(run, step)
        run.take_actions()
        step.custom_status_json = self._custom_status(run)
        if run.driver.outcome is not None:
            # whether or not the orchestrator waited for them, their effects happen before the instance ends
            step.calls = [(call, tries) for call, tries in run.pending if self._executor.is_transactional(call.name)]
            rests = [each for each in run.rests.values() if self._executor.is_transactional(each.action.name)]
            if not step.calls and not rests and run.transactional_count == 0:
                self._end(run, step)
        else:
            for call, tries in run.pending:
                if isinstance(call, ActivityAction):
                    step.calls.append((call, tries))
                else:
                    step.children.append((call, self._child(run, call, tries)))
        step.wait = self._wait(run, step, is_held)
        step.has_more = bool(
            step.has_more
            or step.children
            or step.end
            or step.input_json is not None
            or step.custom_status_json != run.row.custom_status_json
            or step.wait != run.persisted_wait
        )
        step.is_worth_writing = step.has_more or bool(step.incoming)
        return step

    def _apply_inbox(self, run: Run, step: Step) -> None:
        """Hand what has come in to the orchestrator; events after a new beginning stay messages, for the next incarnation to read."""
        taken, run.inbox = run.inbox, []
        for each in taken:
            fact = each.fact
            if fact.kind == "event" and run.driver.begins_anew:
                continue
            applied = each
            if fact.kind == "completed" and each.message is None:  # most are: there is nothing else to see to
                run.apply(fact)
            else:
                applied = self._apply(run, each)
            step.incoming.append(applied)
            if not applied.is_stale:
                step.rows += run.next_row(applied.fact)
            if applied.message is not None or applied.events or applied.call is not None:
                step.has_more = True
        if run.pending:
            # after a restart a try that has ended meanwhile may be about to be made again
            ended = {each.fact.task_id for each in step.incoming}
            run.pending = [each for each in run.pending if each[0].task_id not in ended]

    def _apply(self, run: Run, incoming: Incoming) -> Incoming:
        fact = incoming.fact
        action = run.driver.action(fact.task_id)
        if incoming.message is not None and fact.kind != "event":
            if action is None:
                return replace(incoming, is_stale=True)
            expect(run, fact)
        before = run.attempts.get(fact.task_id)
        run.apply(fact)
        if fact.kind in ATTEMPTING and isinstance(action, ActivityAction | ChildAction):
            self._rest(run, action, run.attempts[fact.task_id])
        if fact.kind == "failed" and isinstance(action, ActivityAction):
            return replace(incoming, call=action, first_failed_at=before.first_failed_at if before else fact.at)
        return incoming

    def _rest(self, run: Run, action: CallAction, attempts: Attempts) -> None:
        due = self._clock.monotonic() + self._executor.rest_seconds(action, attempts)
        run.let_rest(action, attempts, due)

    def _end(self, run: Run, step: Step) -> None:
        outcome = run.driver.outcome
        assert outcome is not None
        at = max(run.last_at, self._executor.now_us())
        failure = outcome.failure
        try:
            if outcome.continued is not None:
                self._executor.refuse_too_large(outcome.continued.input_json.encode(), f"the next input of instance {run.row.id}")
                step.input_json, step.begun_at = outcome.continued.input_json, at
                step.unread = [
                    Fact("event", -1, name, "", 1, at, at, journal.to_json(value)) for name, value in outcome.continued.unread_events
                ]
                return
            if failure is None:
                output = self._executor.encode(outcome.output, f"the output of instance {run.row.id}").decode()
                step.end = ("Completed", output, at)
                return
        except ForebayError as error:
            failure = Failure.of(error)
        step.end = ("Failed", journal.to_json(failure.to_json()), at)

    def _custom_status(self, run: Run) -> str | None:
        """What the orchestrator shows of itself, or showed before it began anew; it fails of what cannot be shown."""
        status = run.driver.context.custom_status
        if status is None:
            return run.row.custom_status_json
        try:
            return self._executor.encode(status, f"the custom status of instance {run.row.id}").decode()
        except ForebayError as error:
            run.driver.fail(error)
            return run.row.custom_status_json

    def _wait(self, run: Run, step: Step, is_held: bool) -> tuple[int | None, str | None]:
        is_moving = (
            step.calls
            or step.end
            or step.input_json
            or run.busy
            or run.rests
            or run.inbox
            or run.has_mail
            or run.transactional_count
            or run.driver.outcome
        )
        if is_moving or is_held:
            run.waits_since = None
            return NO_WAIT
        if run.waits_since is None or step.incoming:
            run.waits_since = max(run.last_at, self._executor.now_us())
        return persistent_wait(run, run.waits_since)

    def _child(self, run: Run, action: ChildAction, attempts: Attempts) -> NewInstance:
        attempt = attempts.failed_count + 1
        versions = self._registry.versions(action.name)
        return NewInstance(
            id=child_id(run, action, attempt),
            name=action.name,
            input_json=action.input_json.decode(),
            version=action.version if action.version is not None or not versions else versions[-1],
            lane=run.row.lane,
            correlation=run.row.correlation,
            parent=Parent(run.row.key, run.row.incarnation, action.task_id, attempt),
        )
