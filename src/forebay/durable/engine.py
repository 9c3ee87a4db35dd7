"""The embedded engine: keeps live instances moving, and their journal ahead of every effect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from opentelemetry.trace import NoOpTracer, Tracer

from forebay.database import Database, Transaction, open_database
from forebay.durable import journal
from forebay.durable.client import DurableClient
from forebay.durable.driver import Scheduled
from forebay.durable.executor import Executor, record
from forebay.durable.failures import Failure, NonDeterministicError
from forebay.durable.journal import End, Fact, History, InstanceRow
from forebay.durable.registry import Registry
from forebay.durable.rooms import RoomState
from forebay.durable.run import Attempts, Run, replay
from forebay.durable.spans import AttemptSpans
from forebay.effects import Effects, real_effects
from forebay.errors import ForebayError
from forebay.values.correlation import Correlation, correlate

log = logging.getLogger(__name__)

ADMISSION_BATCH = 64  # instances loaded in one read


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Bounds of one engine; what is over them waits, or is refused with the limit's name."""

    inflight_instances: int = 64  # live at once; the others wait in the journal
    payload_bytes: int = 64 * 1024  # JSON of one input or result
    stop_deadline_seconds: float = 20.0  # how long a stop waits for activities under way
    reload_delay_seconds: float = 0.5  # before an instance is replayed whose journal could not be written; doubled each time
    longest_reload_delay_seconds: float = 30.0


class DurableEngine:
    """Runs the orchestrators of a registry on a SQLite journal; an async context manager.

    Guarantees: an accepted instance finishes with the same result whatever crashes; the result of an activity is
    recorded exactly once; a transactional activity's writes happen exactly once; other activities run at least once.
    """

    def __init__(
        self,
        registry: Registry,
        path: Path | str | Database,
        *,
        effects: Effects | None = None,
        limits: EngineLimits | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """`tracer` gets a span for each try of an activity; see `durable.spans`."""
        self._registry = registry
        self._tracer = tracer or NoOpTracer()
        self._where = path
        self._effects = effects or real_effects(thread_count=1)
        self.limits = limits or EngineLimits()
        self._runs: dict[str, Run] = {}
        self._held: dict[str, str] = {}
        self._reloads: dict[str, int] = {}  # in a row, of live instances
        self._waiters: dict[str, set[asyncio.Future[InstanceRow]]] = {}
        self._admitted_key = 0  # every instance up to this key is live, held or over
        self._newest_key = 0
        self._is_admitting = False
        self._is_stopping = False
        self._background: set[asyncio.Task[None]] = set()
        self.client = DurableClient(self)

    async def __aenter__(self) -> DurableEngine:
        if isinstance(self._where, Database):
            self.database = self._where
        else:
            self.database = await open_database(Path(self._where), {"durable": journal.schema()}, clock=self._effects.clock, reader_count=1)
        self._executor = Executor(
            self._registry, self.database.writer, self._effects.clock, self.limits.payload_bytes, AttemptSpans(self._tracer)
        )
        newest = await self.database.readers.run(lambda connection: connection.execute("SELECT max(key) FROM instances").fetchone()[0])
        self._newest_key = newest or 0
        await self._admit()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()
        if not isinstance(self._where, Database):
            await self.database.close()

    async def stop(self) -> None:
        """Start nothing more, let activities under way end within the deadline, cancel the rest: the journal has it all."""
        self._is_stopping = True
        under_way = {task for run in self._runs.values() for task in run.activities} | self._background
        if under_way:
            await asyncio.wait(under_way, timeout=self.limits.stop_deadline_seconds)
        leftover = {task for run in self._runs.values() for task in run.activities} | self._background
        for task in leftover:
            task.cancel()
        await asyncio.gather(*leftover, return_exceptions=True)
        for run in self._runs.values():
            run.driver.close()
        self._runs.clear()
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(self._stopped())
        self._waiters.clear()

    # -- starting and waiting -------------------------------------------------------------------------------------

    async def start_instance(
        self, name: str, instance_id: str, value: Any, *, lane: str = "", correlation: Correlation | None = None
    ) -> InstanceRow:
        """Record an instance and run it; starting the same one again changes nothing.

        Raises `ForebayError`: `payload_too_large`, `instance_exists` when the id belongs to another start.
        """
        if name not in self._registry.orchestrators:
            known = ", ".join(sorted(self._registry.orchestrators)) or "none"
            raise ForebayError(
                "orchestrator_not_found", f"there is no orchestrator {name!r}", hint=f"registered orchestrators: {known}", status=404
            )
        input_json = self._executor.encode(value, f"the input of instance {instance_id}").decode()
        try:
            row, is_new = await self.database.writer.submit(
                lambda tx: journal.insert_instance(tx, instance_id, name, input_json, lane, correlation)
            )
        except asyncio.CancelledError:
            # the instance is recorded all the same, and nobody else would notice it
            self._spawn(self._catch_up())
            raise
        if not is_new:
            if row.name != name or journal.from_json(row.input_json) != journal.from_json(input_json):
                raise ForebayError(
                    "instance_exists",
                    f"instance {instance_id!r} exists already, with another orchestrator or input",
                    hint="choose another instance id",
                    status=409,
                )
            # its first start may have been reported as failed and yet be durable
            self._newest_key = max(self._newest_key, row.key)
            self._make_room()
            return row
        is_next = self._admitted_key == self._newest_key == row.key - 1 and not self._is_admitting
        self._newest_key = max(self._newest_key, row.key)
        if is_next and len(self._runs) < self.limits.inflight_instances and not self._is_stopping:
            self._admitted_key = row.key
            self._bring_to_life(row, [])
        elif not self._is_admitting:
            self._spawn(self._admit())
        return row

    def new_id(self) -> str:
        """An instance id that nobody has used."""
        return self._effects.random.hex(16)

    async def wait_until_over(self, instance_id: str) -> InstanceRow | None:
        """The instance once it has ended; None at once if there is none.

        Raises `ForebayError` (`engine_stopped`) when the engine stops first.
        """
        waiter: asyncio.Future[InstanceRow] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(instance_id, set())
        waiters.add(waiter)
        try:
            if instance_id not in self._runs:
                row = await self.load(instance_id)
                if row is None or row.status != "Running":
                    return row
                if self._is_stopping:
                    raise self._stopped()
            return await waiter
        finally:
            waiters.discard(waiter)
            if not waiters and self._waiters.get(instance_id) is waiters:
                del self._waiters[instance_id]

    @property
    def live_count(self) -> int:
        """How many instances are in memory, moving or waiting for an activity."""
        return len(self._runs)

    async def load(self, instance_id: str) -> InstanceRow | None:
        """What the journal says of an instance."""
        return await self.database.readers.run(lambda connection: journal.load_instance(connection, instance_id))

    def rooms(self) -> list[RoomState]:
        """The activities whose calls are limited: the limit in force, and which instances wait for a place since when."""
        return self._executor.rooms()

    def waits_for(self, instance_id: str) -> str | None:
        """Why a held instance does not move, in words."""
        return self._held.get(instance_id)

    # -- bringing to life -----------------------------------------------------------------------------------------

    async def _admit(self) -> None:
        """Load waiting instances, oldest first, while there is room."""
        if self._is_admitting:
            return
        self._is_admitting = True
        try:
            while self._admitted_key < self._newest_key and not self._is_stopping:
                room = min(self.limits.inflight_instances - len(self._runs), ADMISSION_BATCH)
                if room <= 0:
                    return
                after_key, newest_key = self._admitted_key, self._newest_key
                loaded = await self.database.readers.run(
                    lambda connection, after=after_key, count=room: journal.load_running(connection, after_key=after, limit=count)  # type: ignore[misc]
                )
                self._admitted_key = loaded[-1][0].key if len(loaded) == room else max(newest_key, loaded[-1][0].key if loaded else 0)
                for row, history in loaded:
                    if row.id not in self._runs:
                        self._bring_to_life(row, history)
        finally:
            self._is_admitting = False

    async def _catch_up(self) -> None:
        """Admit an instance that was recorded after the caller of its start had gone."""

        def read(tx: Transaction) -> int:
            newest: int | None = tx.execute("SELECT max(key) FROM instances").fetchone()[0]
            return newest or 0

        try:
            # read by the writer, behind the start in its queue
            newest_key = await self.database.writer.submit(read)
        except ForebayError as error:
            log.warning("an instance may wait for the next start or restart: %s", error)
            return
        self._newest_key = max(self._newest_key, newest_key)
        await self._admit()

    def _make_room(self) -> None:
        """Admit what waits, after an instance has left."""
        if self._admitted_key < self._newest_key and not self._is_admitting and not self._is_stopping:
            self._spawn(self._admit())

    def _bring_to_life(self, row: InstanceRow, history: History) -> None:
        self._held.pop(row.id, None)
        orchestrator = self._registry.orchestrators.get(row.name)
        if orchestrator is None:
            self._hold(row.id, f"orchestrator {row.name!r} is not registered")
            return
        try:
            run, pending = replay(row, orchestrator, history)
        except NonDeterministicError as error:
            self._hold(row.id, str(error))
            return
        self._runs[row.id] = run
        is_ended = run.driver.outcome is not None
        if is_ended:
            self._spawn(self._record(run))
        for scheduled, attempts in pending:
            if not is_ended or self._executor.is_transactional(scheduled.name):
                self._dispatch(run, scheduled, attempts)
        self._set_aside(run)

    def _hold(self, instance_id: str, why: str) -> None:
        log.error("instance %s is held: %s", instance_id, why)
        self._held[instance_id] = why

    def _set_aside(self, run: Run) -> None:
        """Let go of a held instance in which nothing moves any more, so that others find room."""
        if run.row.id in self._held and not (run.is_over or run.activities or run.inbox or run.is_recording or self._is_stopping):
            self._drop(run)
            self._make_room()

    # -- moving on ------------------------------------------------------------------------------------------------

    def _dispatch(self, run: Run, scheduled: Scheduled, attempts: Attempts) -> None:
        if self._is_stopping:
            return
        if scheduled.name not in self._registry.activities:
            self._hold(run.row.id, f"activity {scheduled.name!r} is not registered")
            return
        if self._executor.is_transactional(scheduled.name):
            run.transactional_count += 1
        task = asyncio.get_running_loop().create_task(self._execute(run, scheduled, attempts))
        run.activities.add(task)

        def leave(task: asyncio.Task[None]) -> None:
            run.activities.discard(task)
            self._set_aside(run)

        task.add_done_callback(leave)

    async def _execute(self, run: Run, scheduled: Scheduled, attempts: Attempts) -> None:
        correlate(run.row.correlation)  # whatever this task was started by
        is_recorded = False
        try:
            if self._executor.is_transactional(scheduled.name):
                try:
                    fact, is_recorded = await self._executor.run_transactional(run, scheduled, attempts)
                finally:
                    run.transactional_count -= 1
            else:
                fact = await self._executor.run(run, scheduled, attempts)
        except Exception as error:
            # the journal could not take a failed try or a transactional unit; what activities raise never comes here
            self._reload(run, error)
            return
        if run.is_over:
            return
        if is_recorded:
            run.apply(fact)
        else:
            run.inbox.append(fact)
        if not run.is_recording:
            await self._record(run)

    async def _record(self, run: Run) -> None:
        """Hand what has come in to the orchestrator, make it durable with what follows from it, then act on it."""
        run.is_recording = True
        try:
            while not run.is_over:
                facts: list[Fact] = []
                if run.transactional_count == 0:
                    facts, run.inbox = run.inbox, []
                    for fact in facts:
                        run.apply(fact)
                scheduled = run.driver.take_scheduled()
                if run.driver.outcome is not None:
                    # whether or not the orchestrator waited for them, their effects happen before the instance ends
                    scheduled = [each for each in scheduled if self._executor.is_transactional(each.name)]
                end = self._end_of(run) if run.driver.outcome is not None and not scheduled and run.transactional_count == 0 else None
                if facts or end is not None:
                    await self._write(run, facts, end)
                    self._reloads.pop(run.row.id, None)
                if end is not None:
                    self._finish(run, end)
                    return
                for each in scheduled:
                    self._dispatch(run, each, Attempts())
                if not run.inbox or run.transactional_count:
                    return
        except Exception as error:
            self._reload(run, error)
        finally:
            run.is_recording = False

    async def _write(self, run: Run, facts: list[Fact], end: End | None) -> None:
        def unit(tx: Transaction) -> None:
            record(tx, run, facts)
            if end is not None:
                journal.end_instance(tx, run.row.key, *end)

        await self.database.writer.submit(unit)

    def _end_of(self, run: Run) -> End:
        outcome = run.driver.outcome
        assert outcome is not None
        at = max(run.last_at, self._executor.now_us())
        failure = outcome.failure
        if failure is None:
            try:
                return "Completed", self._executor.encode(outcome.output, f"the output of instance {run.row.id}").decode(), at
            except ForebayError as error:
                failure = Failure.of(error)
        return "Failed", journal.to_json(failure.to_json()), at

    def _finish(self, run: Run, end: End) -> None:
        status, output_json, updated_at = end
        self._drop(run)
        self._held.pop(run.row.id, None)
        self._wake_waiters(replace(run.row, status=status, output_json=output_json, updated_at=updated_at))
        self._make_room()

    def _wake_waiters(self, row: InstanceRow) -> None:
        for waiter in self._waiters.pop(row.id, ()):
            if not waiter.done():
                waiter.set_result(row)

    def _stopped(self) -> ForebayError:
        return ForebayError(
            "engine_stopped",
            "the engine stopped before the instance had ended",
            retryable=True,
            hint="the instance goes on when the engine runs again; wait for it then",
            status=503,
        )

    def _drop(self, run: Run) -> None:
        run.is_over = True
        run.driver.close()
        self._runs.pop(run.row.id, None)
        current = asyncio.current_task()
        for task in run.activities:
            if task is not current:
                task.cancel()

    def _reload(self, run: Run, error: Exception) -> None:
        """The journal is behind the live generator: forget the generator and replay, until writing works again."""
        if run.is_over:
            return
        is_expected = isinstance(error, ForebayError)
        log.warning("instance %s is replayed: %s", run.row.id, error, exc_info=None if is_expected else error)
        self._drop(run)
        if not self._is_stopping:
            self._spawn(self._replay_later(run.row.id))

    async def _replay_later(self, instance_id: str) -> None:
        def read(tx: Transaction) -> tuple[InstanceRow | None, History]:
            row = journal.load_instance(tx.connection, instance_id)
            return row, journal.load_history(tx.connection, row.key) if row else []

        while True:
            reloads = self._reloads[instance_id] = self._reloads.get(instance_id, 0) + 1
            delay_seconds = self.limits.reload_delay_seconds * 2 ** min(reloads - 1, 16)
            await self._effects.clock.sleep(min(delay_seconds, self.limits.longest_reload_delay_seconds))
            try:
                # read by the writer, behind every unit that the given-up instance has left in its queue
                row, history = await self.database.writer.submit(read)
                break
            except ForebayError as error:
                log.warning("instance %s still waits for the database: %s", instance_id, error)
        if row is None or self._is_stopping:
            return
        if row.status == "Running":
            self._bring_to_life(row, history)
        else:
            self._wake_waiters(row)
        self._make_room()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
