"""Moves live instances on: starts what they schedule, records what has come of it, and acts on it only then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from forebay.database import Database, Transaction
from forebay.durable import journal
from forebay.durable.actions import ActivityAction, CallAction, ChildAction
from forebay.durable.alarms import EARLY_SECONDS
from forebay.durable.dead_letters import put_away
from forebay.durable.executor import Executor, record
from forebay.durable.failures import Failure, NonDeterministicError
from forebay.durable.journal import ATTEMPTING, End, Fact, History, InstanceRow, NewInstance, Parent
from forebay.durable.outgoing import send_all
from forebay.durable.registry import Registry
from forebay.durable.removal import remove
from forebay.durable.run import Attempts, Incoming, Pending, Rest, Run, child_id, expect, replay
from forebay.durable.transitions import Transitions
from forebay.durable.waits import NO_WAIT, persistent_wait
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.values.correlation import correlate

MAIL_LIMIT = 64  # messages read at once: an instance that begins anew with each leaves the others unread

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Step:
    """What one write makes durable, and what follows from it."""

    incoming: list[Incoming]
    children: list[tuple[ChildAction, NewInstance]] = field(default_factory=list)
    calls: list[Pending] = field(default_factory=list)
    end: End | None = None
    begun_at: int = 0  # when the instance begins anew, if it does
    input_json: str | None = None  # and with what
    unread: list[Fact] = field(default_factory=list)  # and the events that it begins with
    custom_status_json: str | None = None
    wait: tuple[int | None, str | None] = NO_WAIT
    is_worth_writing: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a mover tells its engine."""

    started: Callable[[InstanceRow, bool], None]  # a sub-orchestration has been recorded; the second value: it is new
    settled: Callable[[Run], None]  # the instance waits, or has something under way
    message_sent: Callable[[int], None]  # to the instance of this key
    ended: Callable[[InstanceRow], None]
    left: Callable[[Run], None]  # it is in memory no more
    reload: Callable[[Run], None]


class Mover:
    """Moves the instances that have been brought to life."""

    def __init__(
        self, registry: Registry, database: Database, executor: Executor, effects: Effects, transitions: Transitions, hooks: Hooks
    ) -> None:
        self._registry = registry
        self._database = database
        self._executor = executor
        self._effects = effects
        self._transitions = transitions
        self._hooks = hooks
        self.runs: dict[int, Run] = {}  # by the instance's key
        self.held: dict[str, str] = {}  # why an instance cannot move, by its id
        self.is_stopping = False
        self.background: set[asyncio.Task[None]] = set()

    def bring_to_life(self, row: InstanceRow, history: History, *, is_new: bool) -> None:
        """Replay an instance and start what it waits for; one that cannot be replayed is held."""
        self.held.pop(row.id, None)
        orchestrator = self._registry.find_orchestrator(row.name, row.version)
        if orchestrator is None:
            self._hold(row.id, self._missing(row))
            return
        try:
            run = replay(row, orchestrator, history)
        except NonDeterministicError as error:
            self._hold(row.id, str(error))
            return
        run.has_mail = not is_new
        self._rest_where_due(run)
        self.runs[row.key] = run
        self.move(run)

    def move(self, run: Run) -> None:
        """See what there is to do for a live instance."""
        if run.is_advancing or run.is_over:
            return
        is_plain = not (run.has_mail or run.inbox or run.rests or run.is_suspended or run.next_timer() is not None)
        step = self._next_step(run) if is_plain else None
        if step is not None and not step.is_worth_writing:
            run.pending = []
            self._start_calls(run, step.calls)  # nothing to record: no task is needed
            self._settle_down(run)
        else:
            self.spawn(self._advance(run))

    def drop(self, run: Run) -> None:
        """Forget a live instance; the journal has it all."""
        run.is_over = True
        run.driver.close()
        self.runs.pop(run.row.key, None)
        current = asyncio.current_task()
        for task in run.tasks:
            if task is not current:
                task.cancel()
        self._hooks.left(run)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something run until it ends or the engine stops."""
        task = asyncio.get_running_loop().create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    # -- calls ----------------------------------------------------------------------------------------------------

    def _start_calls(self, run: Run, calls: list[Pending]) -> None:
        for action, attempts in calls:
            if self.is_stopping:
                return
            assert isinstance(action, ActivityAction)
            if action.name not in self._registry.activities:
                self._hold(run.row.id, f"activity {action.name!r} is not registered")
                continue
            if self._executor.is_transactional(action.name):
                run.transactional_count += 1
            run.busy[action.task_id] = attempts
            task = asyncio.get_running_loop().create_task(self._call(run, action, attempts))
            run.tasks.add(task)
            task.add_done_callback(run.tasks.discard)

    async def _call(self, run: Run, action: ActivityAction, attempts: Attempts) -> None:
        correlate(run.row.correlation)  # whatever this task was started by
        try:
            try:
                tried = await self._executor.run(run, action, attempts)
            finally:
                run.busy.pop(action.task_id, None)
                if self._executor.is_transactional(action.name):
                    run.transactional_count -= 1
        except Exception as error:
            # the journal could not take a transactional unit; what activities raise never comes here
            self.give_up(run, error)
            return
        if run.is_over:
            return
        if tried.is_recorded:
            run.apply(tried.fact)
            for key in tried.readers:
                self._hooks.message_sent(key)
        else:
            run.inbox.append(Incoming(tried.fact, events=tried.events))
        if not run.is_advancing:
            await self._advance(run)

    def _rest_where_due(self, run: Run) -> None:
        """Go on with the waits between two tries that a restart has cut short."""
        pending, run.pending = run.pending, []
        for action, attempts in pending:
            if attempts.last_failed_at is None:
                run.pending.append((action, attempts))
            else:
                self._rest(run, action, attempts)

    def _rest(self, run: Run, action: CallAction, attempts: Attempts) -> None:
        due = self._effects.clock.monotonic() + self._executor.rest_seconds(action, attempts)
        run.rests[action.task_id] = Rest(action, attempts, due)

    # -- steps ----------------------------------------------------------------------------------------------------

    async def _advance(self, run: Run) -> None:
        """Hand what has come in to the orchestrator, make it durable with what follows from it, then act on it."""
        if run.is_advancing:
            return
        run.is_advancing = True
        try:
            while not run.is_over:
                if run.is_suspended:
                    await self._keep_for_later(run)
                    break
                if run.has_mail:
                    await self._fetch(run)
                if run.timers or run.rests:
                    self._wake_up(run)
                step = self._next_step(run)
                run.pending = []
                if step.is_worth_writing:
                    await self._write(run, step)
                if not self._act_on(run, step):
                    return
                if not run.has_mail and (not run.inbox or run.transactional_count):
                    break
        except (Exception, NonDeterministicError) as error:
            self.give_up(run, error)
            return
        finally:
            run.is_advancing = False
        self._settle_down(run)

    async def _fetch(self, run: Run) -> None:
        """Read the messages that have come."""
        run.has_mail = False
        key, after, incarnation = run.row.key, run.last_message, run.row.incarnation
        found = await self._database.readers.run(
            lambda connection: journal.load_messages(connection, key, after=after, incarnation=incarnation, limit=MAIL_LIMIT)
        )
        run.has_mail = run.has_mail or len(found) == MAIL_LIMIT
        for sequence, fact in found:
            run.last_message = sequence
            run.inbox.append(self._read_message(run, sequence, fact))

    def _read_message(self, run: Run, sequence: int, fact: Fact) -> Incoming:
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

    async def _keep_for_later(self, run: Run) -> None:
        """What ends while the instance is suspended is durable, and is handed to it when it goes on."""
        incoming = [each for each in run.inbox if each.message is None]
        run.inbox = [each for each in run.inbox if each.message is not None]
        if not incoming:
            return

        def unit(tx: Transaction) -> list[int]:
            for each in incoming:
                journal.send_message(tx, run.row.key, each.fact, run.row.incarnation)
            return [key for each in incoming for key in send_all(tx, each.events)]

        readers = await self._database.writer.submit(unit)
        run.has_mail = True
        for reader in readers:
            self._hooks.message_sent(reader)

    def _wake_up(self, run: Run) -> None:
        """Timers that have fired come in; calls whose wait between two tries is over are to be started."""
        now_us, now = self._executor.now_us(), self._effects.clock.monotonic() + EARLY_SECONDS
        for timer in run.due_timers(now_us + int(EARLY_SECONDS * 1e6)):
            at = max(run.last_at, now_us, timer.fire_at_us)
            fact = Fact("timer_fired", timer.task_id, timer.name, timer.input_hash, 1, timer.fire_at_us, at, "null")
            run.inbox.append(Incoming(fact))
        for rest in [each for each in run.rests.values() if each.due <= now]:
            del run.rests[rest.action.task_id]
            run.pending.append((rest.action, rest.attempts))

    def _next_step(self, run: Run) -> Step:
        incoming = self._apply_inbox(run) if run.transactional_count == 0 else []
        run.take_actions()
        step = Step(incoming=incoming, custom_status_json=self._custom_status(run))
        if run.driver.outcome is not None:
            # whether or not the orchestrator waited for them, their effects happen before the instance ends
            step.calls = [(call, tries) for call, tries in run.pending if self._executor.is_transactional(call.name)]
            rests = [each for each in run.rests.values() if self._executor.is_transactional(each.action.name)]
            if not step.calls and not rests and run.transactional_count == 0:
                self._end(run, step)
        elif run.pending:
            step.calls = [(call, attempts) for call, attempts in run.pending if isinstance(call, ActivityAction)]
            step.children = [(call, self._child(run, call, tries)) for call, tries in run.pending if isinstance(call, ChildAction)]
        step.wait = self._wait(run, step)
        step.is_worth_writing = bool(
            incoming
            or step.children
            or step.end
            or step.input_json is not None
            or step.custom_status_json != run.row.custom_status_json
            or step.wait != run.persisted_wait
        )
        return step

    def _apply_inbox(self, run: Run) -> list[Incoming]:
        """Hand what has come in to the orchestrator; events after a new beginning stay messages, for the next incarnation to read."""
        taken, run.inbox = run.inbox, []
        applied = [self._apply(run, each) for each in taken if not (each.fact.kind == "event" and run.driver.begins_anew)]
        if run.pending:
            # after a restart a try that has ended meanwhile may be about to be made again
            ended = {each.fact.task_id for each in applied}
            run.pending = [each for each in run.pending if each[0].task_id not in ended]
        return applied

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

    def _wait(self, run: Run, step: Step) -> tuple[int | None, str | None]:
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
        if is_moving or run.row.id in self.held:
            run.waits_since = None
            return NO_WAIT
        if run.waits_since is None or step.incoming:
            run.waits_since = max(run.last_at, self._executor.now_us())
        return persistent_wait(run, run.waits_since)

    async def _write(self, run: Run, step: Step) -> None:
        """One unit; afterwards the sub-orchestrations that it has recorded are told of."""
        key = run.row.key
        facts = [each.fact for each in step.incoming if not each.is_stale]
        readers: list[int] = []

        def unit(tx: Transaction) -> list[tuple[InstanceRow, bool] | None]:
            record(tx, run, facts)
            for each in step.incoming:
                if each.message is not None:
                    journal.delete_message(tx, each.message)
                if each.events:
                    readers.extend(send_all(tx, each.events))
                if each.call is not None:
                    self._put_away(tx, run, each)
            children = [self._record_child(tx, run, action, new) for action, new in step.children]
            if step.custom_status_json != run.row.custom_status_json:
                journal.set_custom_status(tx, key, step.custom_status_json)
            if step.end is not None:
                self._record_end(tx, run, step.end)
            elif step.input_json is not None:
                journal.begin_anew(tx, run.row, step.input_json, step.unread, step.begun_at)
                begun = replace(run.row, input_json=step.input_json, created_at=step.begun_at)
                self._transitions.record(tx, begun, "ContinuedAsNew", step.begun_at)
            elif step.wait != run.persisted_wait:
                journal.set_wait(tx, key, *step.wait)
            return children

        children = await self._database.writer.submit(unit)
        for reader in readers:
            self._hooks.message_sent(reader)
        run.persisted_wait = step.wait
        if step.custom_status_json != run.row.custom_status_json:
            run.row = replace(run.row, custom_status_json=step.custom_status_json)
        for child in children:
            if child is None:
                run.has_mail = True
            else:
                self._hooks.started(*child)

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

    def _record_child(self, tx: Transaction, run: Run, action: ChildAction, new: NewInstance) -> tuple[InstanceRow, bool] | None:
        """The sub-orchestration, and whether it is new; None when it has ended or cannot be started: then a message tells of that."""
        assert new.parent is not None
        try:
            self._executor.refuse_too_large(action.input_json, f"the input of {action.name}")
            row, is_new = journal.insert_instance(tx, new)
            if row.parent != new.parent and row.is_over:  # an id that has been chosen may be used again, as in Azure
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
        if not journal.end_instance(tx, run.row.key, end):
            raise ForebayError("instance_reloaded", f"instance {run.row.id} has ended already", retryable=True)
        ended = replace(run.row, status=end[0], output_json=end[1], updated_at=end[2])
        failure = Failure.from_json(journal.from_json(end[1])) if end[0] == "Failed" else None
        outcome = run.driver.outcome
        if failure is not None and (outcome is None or outcome.cause is None):
            self._transitions.record_letter(tx, put_away(tx, ended, failure, end[2], activity=None), "DeadLettered")
        journal.tell_parent(tx, ended)
        data = {"output_bytes": len(end[1].encode()), "failed_attempts": journal.count_failures(tx.connection, run.row.key)}
        self._transitions.record(tx, ended, end[0], end[2], data | ({"failure_code": failure.code} if failure else {}))  # type: ignore[arg-type]

    def _act_on(self, run: Run, step: Step) -> bool:
        """What follows from a step that is durable; False when the run is over."""
        if run.is_over:
            return False
        if step.end is not None:
            status, output_json, updated_at = step.end
            row = replace(run.row, status=status, output_json=output_json, updated_at=updated_at)
            self.held.pop(row.id, None)
            self.drop(run)
            self._hooks.ended(row)
            if row.parent is not None:
                self._hooks.message_sent(row.parent.key)
            return False
        if step.input_json is not None:
            row = replace(
                run.row,
                input_json=step.input_json,
                created_at=step.begun_at,
                updated_at=step.begun_at,
                incarnation=run.row.incarnation + 1,
                wake_at=journal.READY,
                waits_for_json=None,
            )
            self.drop(run)
            self.bring_to_life(row, list(enumerate(step.unread)), is_new=False)
            return False
        self._start_calls(run, step.calls)
        return True

    def _settle_down(self, run: Run) -> None:
        if not run.is_over:
            self._hooks.settled(run)

    # -- trouble --------------------------------------------------------------------------------------------------

    def give_up(self, run: Run, error: BaseException) -> None:
        """The journal is behind the live generator: forget the generator and replay, until writing works again."""
        if run.is_over:
            return
        if isinstance(error, NonDeterministicError):
            self._hold(run.row.id, str(error))
            self.drop(run)
            return
        is_expected = isinstance(error, ForebayError)
        log.warning("instance %s is replayed: %s", run.row.id, error, exc_info=None if is_expected else error)
        self.drop(run)
        if not self.is_stopping:
            self._hooks.reload(run)

    def _hold(self, instance_id: str, why: str) -> None:
        log.error("instance %s is held: %s", instance_id, why)
        self.held[instance_id] = why

    def _missing(self, row: InstanceRow) -> str:
        versions = self._registry.versions(row.name)
        if not versions:
            return f"orchestrator {row.name!r} is not registered"
        known = ", ".join("none" if each is None else repr(each) for each in versions)
        wanted = "without a version" if row.version is None else f"version {row.version!r}"
        return f"orchestrator {row.name!r} {wanted} is not registered; registered versions: {known}"
