"""Moves live instances on: starts what they schedule, records what has come of it, and acts on it only then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec.structs import replace

from forebay.database import Database, Transaction
from forebay.durable.activities.executor import Executor, Tried
from forebay.durable.activities.outgoing import send_all
from forebay.durable.failures import NonDeterministicError
from forebay.durable.instances.recorder import NOTHING_MORE, Recorded, Recorder
from forebay.durable.instances.records import record
from forebay.durable.instances.run import Incoming, Pending, Run, replay
from forebay.durable.instances.steps import Planner, Step
from forebay.durable.instances.workers import Call, Workers
from forebay.durable.journal import journal
from forebay.durable.journal.journal import History, InstanceRow
from forebay.durable.journal.transitions import Transitions
from forebay.durable.orchestration.actions import ActivityAction
from forebay.durable.registry import Registry, TransactionalActivity
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.values.correlation import correlate

Result = TypeVar("Result")

MAIL_LIMIT = 64  # messages read at once: an instance that begins anew with each leaves the others unread

log = logging.getLogger(__name__)


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
        self._planner = Planner(registry, executor, effects.clock)
        self._recorder = Recorder(executor, transitions)
        self._hooks = hooks
        self.runs: dict[int, Run] = {}  # by the instance's key
        self._live_ids: set[str] = set()  # of those
        self.held: dict[str, str] = {}  # why an instance cannot move, by its id
        self.is_stopping = False
        self.background: set[asyncio.Task[Any]] = set()
        self.workers = Workers(self._begin)
        self._context = copy_context()  # of work for many instances
        self._due: list[Run] = []
        self._unwritten: list[tuple[Run, Step]] = []

    def is_live(self, instance_id: str) -> bool:
        """Whether an instance is in memory, and its end will be told."""
        return instance_id in self._live_ids

    @property
    def under_way(self) -> set[asyncio.Task[Any]]:
        """All that ends by itself, or when it is cancelled."""
        return self.background | self.workers.tasks

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
        except Exception as error:  # a journal that is damaged: the other instances go on
            log.exception("instance %s cannot be replayed", row.id)
            self._hold(row.id, f"what the journal has of it cannot be replayed: {error!r}")
            return
        if not is_new:
            run.has_mail = True
            self._planner.rest_where_due(run)
        self.runs[row.key] = run
        self._live_ids.add(row.id)
        run.context.run(correlate, row.correlation)
        self.move(run)

    def move(self, run: Run) -> None:
        """See what there is to do for a live instance."""
        if run.is_advancing or run.is_over:
            return
        if run.has_mail or run.is_suspended:
            run.is_advancing = True
            self.spawn(self._consult_journal(run))
        else:
            self._advance(run)

    def drop(self, run: Run) -> None:
        """Forget a live instance; the journal has it all."""
        run.is_over = True
        run.driver.close()
        if self.runs.pop(run.row.key, None) is not None:
            self._live_ids.discard(run.row.id)
        current = asyncio.current_task()
        for task in run.tasks:
            if task is not current:
                task.cancel()
        self._hooks.left(run)

    def spawn(self, work: Coroutine[Any, Any, Result], context: Context | None = None) -> asyncio.Task[Result]:
        """Let something run until it ends or the engine stops; without a `context` in a copy of the caller's."""
        task = asyncio.get_running_loop().create_task(work, context=context)
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        return task

    # -- calls ----------------------------------------------------------------------------------------------------

    def _start_calls(self, run: Run, calls: list[Pending]) -> None:
        if self.is_stopping:
            run.pending += calls  # still to be started: what else ends must not let the instance seem to wait for nothing
            return
        now_us = self._executor.now_us() if calls else 0
        for action, attempts in calls:
            assert isinstance(action, ActivityAction)
            activity = self._registry.activities.get(action.name)
            if activity is None:
                self._hold(run.row.id, f"activity {action.name!r} is not registered")
                continue
            is_transactional = isinstance(activity, TransactionalActivity)
            run.transactional_count += is_transactional
            run.busy[action.task_id] = attempts
            self.workers.start(Call(run, action, attempts, now_us, is_transactional))

    def _begin(self, call: Call) -> Coroutine[Any, None, None] | None:
        """Begin a call; what is left of it when it waits."""
        if call.run.is_over:
            return None
        try:
            begun = self._executor.begin(call.run, call.action, call.attempts, call.called_at)
        except BaseException as error:
            self._end_without_result(call, error)
            return None
        if not isinstance(begun, Tried):
            return self._end_later(call, begun)
        self._end(call, begun)
        return None

    async def _end_later(self, call: Call, rest: Coroutine[Any, Any, Tried]) -> None:
        try:
            tried = await rest
        except BaseException as error:
            self._end_without_result(call, error)
        else:
            self._end(call, tried)

    def _end_without_result(self, call: Call, error: BaseException) -> None:
        """The journal could not be written, or the call is cancelled; what activities raise never comes here."""
        if not isinstance(error, Exception):
            raise error  # it is still under way for all that the journal knows, and begins again when the instance is replayed
        self._leave(call)
        self.give_up(call.run, error)

    def _leave(self, call: Call) -> None:
        call.run.busy.pop(call.action.task_id, None)
        if call.is_transactional:
            call.run.transactional_count -= 1

    def _end(self, call: Call, tried: Tried) -> None:
        self._leave(call)
        run = call.run
        if run.is_over:
            return
        if tried.is_recorded:
            run.apply(tried.fact)
            for key in tried.readers:
                self._hooks.message_sent(key)
        else:
            run.inbox.append(Incoming(tried.fact, events=tried.events))
        if not (run.is_due or run.is_advancing):
            # other calls of the instance may end in the same turn of the loop: one step for all of them
            self._due.append(run)
            if len(self._due) == 1:
                asyncio.get_running_loop().call_soon(self._move_due, context=self._context)
        run.is_due = True

    def _move_due(self) -> None:
        due, self._due = self._due, []
        for run in due:
            self.move(run)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _advance(self, run: Run) -> None:
        """Hand what has come in to the orchestrator; act on what follows once it is durable, or at once when that is nothing new."""
        run.is_advancing, run.is_due = True, False
        try:
            step = run.context.run(self._planner.next_step, run, is_held=run.row.id in self.held)
            run.pending = []
            if step.is_worth_writing:
                self._unwritten.append((run, step))
                if len(self._unwritten) == 1:
                    self.spawn(self._write(), self._context)
            else:
                self._act_on(run, step)
        except (Exception, NonDeterministicError) as error:
            self.give_up(run, error)

    async def _write(self) -> None:
        """Make steps durable together, then act on them."""
        steps, self._unwritten = self._unwritten, []
        for (run, step), outcome in zip(steps, await self._recorder.write(self._database.writer, steps), strict=True):
            if isinstance(outcome, BaseException):
                self.give_up(run, outcome)
                continue
            try:
                if outcome is not NOTHING_MORE:
                    self._tell(run, step, outcome)
                self._act_on(run, step)
            except (Exception, NonDeterministicError) as error:
                self.give_up(run, error)

    async def _consult_journal(self, run: Run) -> None:
        """Read what has come for an instance; while it is suspended, leave there what has ended."""
        try:
            while run.is_suspended and not run.is_over:
                if not await self._keep_for_later(run):
                    run.is_advancing = False
                    self._settle_down(run)
                    return
            if run.has_mail and not run.is_over:
                await self._fetch(run)
        except (Exception, NonDeterministicError) as error:
            self.give_up(run, error)
            return
        if not run.is_over:
            self._advance(run)

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
            run.inbox.append(self._planner.read_message(run, sequence, fact))

    async def _keep_for_later(self, run: Run) -> bool:
        """What ends while the instance is suspended is durable, and is handed to it when it goes on; False: nothing has ended."""
        run.is_due = False
        incoming = [each for each in run.inbox if each.message is None]
        run.inbox = [each for each in run.inbox if each.message is not None]
        if not incoming:
            return False

        def unit(tx: Transaction) -> list[int]:
            record(tx, run, [])
            for each in incoming:
                journal.send_message(tx, run.row.key, each.fact, run.row.incarnation)
            return [key for each in incoming for key in send_all(tx, each.events)]

        readers = await self._database.writer.submit(unit)
        run.has_mail = True
        for reader in readers:
            self._hooks.message_sent(reader)
        return True

    def _tell(self, run: Run, step: Step, recorded: Recorded) -> None:
        """A step is durable: the instances that it concerns are told."""
        run.persisted_wait = step.wait
        if step.custom_status_json != run.row.custom_status_json:
            run.row = replace(run.row, custom_status_json=step.custom_status_json)
        for reader in recorded.readers:
            self._hooks.message_sent(reader)
        for row, is_new in recorded.children:
            run.context.run(self._hooks.started, row, is_new)  # a sub-orchestration's context is a copy of its parent's

    def _act_on(self, run: Run, step: Step) -> None:
        """What follows from a step that is durable."""
        if run.is_over:
            return
        if step.end is not None:
            status, output_json, updated_at = step.end
            row = replace(run.row, status=status, output_json=output_json, updated_at=updated_at)
            self.drop(run)
            self._hooks.ended(row)
            if row.parent is not None:
                self._hooks.message_sent(row.parent.key)
            return
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
            run.context.run(self.bring_to_life, row, list(enumerate(step.unread)), is_new=False)
            return
        self._start_calls(run, step.calls)
        run.is_advancing = False
        if run.has_mail or run.is_due:
            self.move(run)
        else:
            self._hooks.settled(run)

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
