"""Moves live instances on: starts what they schedule, records what has come of it, and acts on it only then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec.structs import replace

from forebay.database import Database, Transaction
from forebay.durable.activities.executor import Executor, record
from forebay.durable.activities.outgoing import send_all
from forebay.durable.failures import NonDeterministicError
from forebay.durable.instances.recorder import Recorder
from forebay.durable.instances.run import Attempts, Incoming, Pending, Run, replay
from forebay.durable.instances.steps import Planner, Step
from forebay.durable.journal import journal
from forebay.durable.journal.journal import History, InstanceRow
from forebay.durable.journal.transitions import Transitions
from forebay.durable.orchestration.actions import ActivityAction
from forebay.durable.registry import Registry
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
        self.held: dict[str, str] = {}  # why an instance cannot move, by its id
        self.is_stopping = False
        self.background: set[asyncio.Task[Any]] = set()

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
        run.has_mail = not is_new
        self._planner.rest_where_due(run)
        self.runs[row.key] = run
        self.move(run)

    def move(self, run: Run) -> None:
        """See what there is to do for a live instance."""
        if run.is_advancing or run.is_over:
            return
        is_plain = not (run.has_mail or run.inbox or run.rests or run.is_suspended or run.next_timer() is not None)
        step = self._planner.next_step(run, is_held=run.row.id in self.held) if is_plain else None
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

    def spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Let something run until it ends or the engine stops."""
        task = asyncio.get_running_loop().create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        return task

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

    # -- steps ----------------------------------------------------------------------------------------------------

    async def _advance(self, run: Run) -> None:
        """Hand what has come in to the orchestrator, make it durable with what follows from it, then act on it."""
        if run.is_advancing:
            return
        run.is_advancing = True
        try:
            while not run.is_over:
                if run.is_suspended:
                    if not await self._keep_for_later(run):
                        break
                    continue  # meanwhile something else may have ended, or the instance may have been resumed
                if run.has_mail:
                    await self._fetch(run)
                if run.timers or run.rests:
                    self._planner.wake_up(run)
                step = self._planner.next_step(run, is_held=run.row.id in self.held)
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
            run.inbox.append(self._planner.read_message(run, sequence, fact))

    async def _keep_for_later(self, run: Run) -> bool:
        """What ends while the instance is suspended is durable, and is handed to it when it goes on; False: nothing has ended."""
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

    async def _write(self, run: Run, step: Step) -> None:
        """Make a step durable; afterwards the instances that it concerns are told."""
        recorded = await self._database.writer.submit(lambda tx: self._recorder.record(tx, run, step))
        run.persisted_wait = step.wait
        if step.custom_status_json != run.row.custom_status_json:
            run.row = replace(run.row, custom_status_json=step.custom_status_json)
        for reader in recorded.readers:
            self._hooks.message_sent(reader)
        for row, is_new in recorded.children:
            self._hooks.started(row, is_new)

    def _act_on(self, run: Run, step: Step) -> bool:
        """What follows from a step that is durable; False when the run is over."""
        if run.is_over:
            return False
        if step.end is not None:
            status, output_json, updated_at = step.end
            row = replace(run.row, status=status, output_json=output_json, updated_at=updated_at)
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
