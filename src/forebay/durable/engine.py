"""The embedded engine: keeps instances moving, and their journal ahead of every effect."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from opentelemetry.trace import NoOpTracer, Tracer

from forebay.database import Database, Transaction, open_database
from forebay.durable.activities.executor import Executor
from forebay.durable.activities.rooms import RoomState
from forebay.durable.activities.spans import AttemptSpans
from forebay.durable.checks.shadow import Divergence
from forebay.durable.checks.shadow_replays import ShadowReplays
from forebay.durable.client import DurableClient
from forebay.durable.failures import engine_stopped
from forebay.durable.instances.admission import Admission
from forebay.durable.instances.mover import Hooks, Mover
from forebay.durable.instances.operations import InstanceFilter
from forebay.durable.instances.run import Run
from forebay.durable.instances.starts import Starts
from forebay.durable.instances.status import OrchestrationStatus, azure_history, status_of
from forebay.durable.instances.waits import live_waits
from forebay.durable.journal import journal
from forebay.durable.journal.journal import History, InstanceRow, NewInstance
from forebay.durable.journal.removal import family
from forebay.durable.journal.transitions import Transitions
from forebay.durable.registry import Registry
from forebay.effects import Effects, real_effects
from forebay.errors import ForebayError
from forebay.file_lock import own
from forebay.values.correlation import Correlation
from forebay.values.times import from_microseconds, rfc3339

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Bounds of one engine; what is over them waits, or is refused with the limit's name."""

    inflight_instances: int = 64  # live at once with something under way; the others wait in the journal
    waiting_instances: int = 1024  # kept in memory while they wait for a time, an event or a sub-orchestration
    payload_bytes: int = 64 * 1024  # JSON of one input or result
    message_lifetime_seconds: float = 14 * 86_400.0  # a call that was first scheduled longer ago is not tried again: it fails as `expired`
    blocking_threads: int = 16  # for activities that are a `def`
    blocking_processes: int = os.cpu_count() or 1  # for those with `process=True`
    shadow_replay_ratio: float = 0.01  # which share of the instances is replayed once it has ended, to see whether it is deterministic
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
        records_transitions: bool = False,
        diverged: Callable[[Divergence], None] | None = None,
    ) -> None:
        """`path` is a file of the engine's own, or a database that it shares; opening a file that another engine has raises `locked`.

        `tracer` gets a span for each try of an activity; see `durable.spans`. `records_transitions`: see `durable.transitions`.

        `diverged` is told when an instance that has ended, replayed for comparison, did something else than its journal says.
        """
        self.registry = registry
        self._tracer = tracer or NoOpTracer()
        self._where = path
        self.effects = effects or real_effects(thread_count=1)
        self.limits = limits or EngineLimits()
        self.transitions = Transitions(is_on=records_transitions)
        self.divergence_count = 0  # since the start, of instances that have ended
        self._told_divergence = diverged
        self._reloads: dict[int, int] = {}  # in a row, of live instances
        self._reloading: set[asyncio.Task[None]] = set()
        self._waiters: dict[str, set[asyncio.Future[InstanceRow | None]]] = {}
        self._owned = ExitStack()
        self.client = DurableClient(self)

    async def __aenter__(self) -> DurableEngine:
        if isinstance(self._where, Database):
            self.database = self._where
        else:
            self.database = await self._open_own(Path(self._where))
        spans = AttemptSpans(self._tracer)
        self._executor = Executor(
            self.registry,
            self.database.writer,
            self.effects.clock,
            spans,
            payload_bytes=self.limits.payload_bytes,
            message_lifetime_seconds=self.limits.message_lifetime_seconds,
            thread_count=self.limits.blocking_threads,
            process_count=self.limits.blocking_processes,
        )
        self._shadows = ShadowReplays(
            self.registry,
            self.database.readers,
            self.effects.random,
            ratio=self.limits.shadow_replay_ratio,
            diverged=self._diverged,
        )
        hooks = Hooks(
            started=lambda row, is_new: self.admission.add(row, is_new=is_new),
            settled=self._settled,
            message_sent=lambda key: self.admission.wake(key, has_mail=True),
            ended=self.ended,
            left=lambda run: self.admission.left(run),  # noqa: PLW0108 - it does not exist yet
            reload=self._reload,
        )
        self.mover = Mover(self.registry, self.database, self._executor, self.effects, self.transitions, hooks)
        self.admission = Admission(
            self.database,
            self.mover,
            self.effects.clock,
            moving_limit=self.limits.inflight_instances,
            waiting_limit=self.limits.waiting_instances,
        )
        self._starts = Starts(
            self.database.writer,
            self.transitions,
            spawn=self.mover.spawn,
            # one that is not new: its first start may have been reported as failed and yet be durable
            admit=lambda row, is_new: self.admission.add(row, is_new=is_new),
        )
        await self.admission.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()
        if not isinstance(self._where, Database):
            await self.database.close()
        self._owned.close()

    async def _open_own(self, path: Path) -> Database:
        database = await open_database(path, {"durable": journal.schema()}, clock=self.effects.clock, reader_count=1)
        hint = "stop that engine, or open another file: two engines would both run what one file has"
        try:
            self._owned.enter_context(own(path.with_name(f"{path.name}-lock"), f"the journal {path}", hint))
        except BaseException:
            await database.close()
            raise
        return database

    async def stop(self) -> None:
        """Start nothing more, let activities under way end within the deadline, cancel the rest: the journal has it all."""
        self.mover.is_stopping = True
        self.admission.close()
        for task in self._reloading:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.stop_deadline_seconds):
                while under_way := self.mover.under_way:
                    await asyncio.wait(under_way)
        self.mover.workers.close()
        while leftover := self.mover.under_way | self._reloading:
            for task in leftover:
                task.cancel()
            await asyncio.gather(*leftover, return_exceptions=True)
        await self._executor.close()
        for run in self.mover.runs.values():
            run.driver.close()
        self.mover.runs.clear()
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(_stopped())
        self._waiters.clear()
        self._starts.close()

    # -- starting and waiting -------------------------------------------------------------------------------------

    async def start_instance(self, new: NewInstance) -> InstanceRow:
        """Record an instance and run it; starting the same one again changes nothing.

        Raises `ForebayError`: `instance_exists` when the id belongs to another start.
        """

        row, is_new = await self._starts.record(new)
        if not is_new and not _is_same_start(row, new):
            raise ForebayError(
                "instance_exists",
                f"instance {new.id!r} exists already, with another orchestrator or input",
                hint="choose another instance id",
                status=409,
            )
        return row

    def new_instance(
        self,
        name: str,
        instance_id: str | None,
        value: object,
        version: str | None = None,
        lane: str = "",
        correlation: Correlation | None = None,
    ) -> NewInstance:
        """What an instance begins with; without a `version` that of the newest.

        Raises `ForebayError`: `orchestrator_not_found`, `payload_too_large`, `payload_not_json`.
        """
        versions = self._versions(name)
        if version is not None and version not in versions:
            known = ", ".join(repr(each) for each in versions if each is not None) or "none"
            raise ForebayError(
                "orchestrator_not_found",
                f"orchestrator {name!r} has no version {version!r}",
                hint=f"registered versions: {known}",
                status=404,
            )
        instance_id = instance_id or self.effects.random.hex(16)
        input_json = self.encode(value, f"the input of instance {instance_id}")
        return NewInstance(
            id=instance_id, name=name, input_json=input_json, version=version or versions[-1], lane=lane, correlation=correlation
        )

    def instance_like(self, row: InstanceRow, instance_id: str | None) -> NewInstance:
        """What an instance begins with that does the same as another. Raises `ForebayError` (`orchestrator_not_found`)."""
        return NewInstance(
            id=instance_id or self.effects.random.hex(16),
            name=row.name,
            input_json=row.input_json,
            version=self._versions(row.name)[-1],
            lane=row.lane,
            correlation=row.correlation,
        )

    def _versions(self, name: str) -> list[str | None]:
        versions = self.registry.versions(name)
        if not versions:
            known = ", ".join(self.registry.orchestrator_names) or "none"
            raise ForebayError(
                "orchestrator_not_found", f"there is no orchestrator {name!r}", hint=f"registered orchestrators: {known}", status=404
            )
        return versions

    def encode(self, value: object, what: str) -> str:
        """A value as JSON; raises `ForebayError`: `payload_too_large`, `payload_not_json`."""
        return self._executor.encode(value, what).decode()

    async def wait_until_over(self, instance_id: str) -> InstanceRow | None:
        """The instance once it has ended; None if there is none, or none any more.

        Raises `ForebayError` (`engine_stopped`) when the engine stops first.
        """
        waiter: asyncio.Future[InstanceRow | None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(instance_id, set())
        waiters.add(waiter)
        try:
            if not self.mover.is_live(instance_id):
                row = await self.load(instance_id)
                if row is None or row.is_over:
                    return row
            if self.mover.is_stopping:
                raise _stopped()
            return await waiter
        finally:
            waiters.discard(waiter)
            if not waiters and self._waiters.get(instance_id) is waiters:
                del self._waiters[instance_id]

    @property
    def live_count(self) -> int:
        """How many instances have something under way, or wait in memory."""
        return len(self.mover.runs)

    async def load(self, instance_id: str) -> InstanceRow | None:
        """What the journal says of an instance."""
        return await self.database.readers.run(lambda connection: journal.load_instance(connection, instance_id))

    def rooms(self) -> list[RoomState]:
        """The activities whose calls are limited: the limit in force, and which instances wait for a place since when."""
        return self._executor.rooms()

    # -- looking --------------------------------------------------------------------------------------------------

    async def status(
        self, instance_id: str, *, shows_history: bool = False, shows_output: bool = False, shows_input: bool = True
    ) -> OrchestrationStatus | None:
        """The state of an instance, None if there is none."""

        def read(connection: sqlite3.Connection) -> tuple[InstanceRow | None, History]:
            row = journal.load_instance(connection, instance_id)
            return row, journal.load_history(connection, row.key) if row is not None and shows_history else []

        row, history = await self.database.readers.run(read)
        if row is None:
            return None
        events = azure_history(row, history, shows_output=shows_output, shows_input=shows_input) if shows_history else None
        return self.status_of_row(row, events)

    def status_of_row(self, row: InstanceRow, history: list[dict[str, Any]] | None = None) -> OrchestrationStatus:
        """What is shown of a row that has just been read."""
        is_pending = row.status == "Running" and self.admission.is_new(row.key)
        return status_of(row, is_pending=is_pending, held=self.mover.held.get(row.id), waits=self._waits(row), history=history)

    async def list_statuses(self, which: InstanceFilter, *, limit: int, before: int | None) -> tuple[list[OrchestrationStatus], int | None]:
        """A page of instances, newest first, and what to give as `before` for the next one."""
        where, parameters = which.where()
        query = f"SELECT {journal.INSTANCE_COLUMNS} FROM instances i WHERE i.key < ? AND {where} ORDER BY i.key DESC LIMIT ?"
        values = [before if before is not None else 1 << 62, *parameters, limit + 1]
        rows = await self.database.readers.run(lambda connection: connection.execute(query, values).fetchall())
        found = [journal.instance_row(row) for row in rows]
        next_before = found[limit - 1].key if len(found) > limit else None
        return [self.status_of_row(row) for row in found[:limit]], next_before

    def _waits(self, row: InstanceRow) -> dict[str, Any] | None:
        """Since when an instance waits for what; None when it has ended."""
        if row.is_over:
            return None
        since = rfc3339(from_microseconds(row.updated_at))
        if row.status == "Suspended":
            return {"since": since, "waits": [{"kind": "resume"}]}
        held = self.mover.held.get(row.id)
        if held is not None:
            return {"since": since, "waits": [{"kind": "code", "reason": held}]}
        run = self.mover.runs.get(row.key)
        if run is not None:
            return live_waits(run, self.rooms(), self.effects.clock)
        if row.waits_for_json is not None:
            waits: dict[str, Any] = journal.from_json(row.waits_for_json)
            return waits
        return {"since": since, "waits": [{"kind": "queue", "limit": self.limits.inflight_instances}]}

    def ended(self, row: InstanceRow) -> None:
        """Tell whoever waits for the instance."""
        self._reloads.pop(row.key, None)
        self.mover.held.pop(row.id, None)
        self._answer_waiters(row.id, row)
        if not self.mover.is_stopping and self._shadows.takes(row):
            self.mover.spawn(self._shadows.run())

    def _answer_waiters(self, instance_id: str, row: InstanceRow | None) -> None:
        for waiter in self._waiters.pop(instance_id, ()):
            if not waiter.done():
                waiter.set_result(row)

    # -- trouble --------------------------------------------------------------------------------------------------

    def _diverged(self, found: Divergence) -> None:
        self.divergence_count += 1
        log.error("instance %s is not deterministic: %s", found.instance_id, found.message)
        if self._told_divergence is not None:
            self._told_divergence(found)

    def _settled(self, run: Run) -> None:
        if self._reloads:
            self._reloads.pop(run.row.key, None)
        self.admission.settled(run)

    def _reload(self, run: Run) -> None:
        self.admission.look_for_mail()  # what was reported as failed may be durable all the same
        self._later(self._replay_later(run.row))

    def look_again(self, ids: Sequence[str]) -> None:
        """Follow what has become of instances and their sub-orchestrations, which may not be what the engine knows."""
        self._later(self._look_again(ids))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what waits for the database; a stop does not wait for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _look_again(self, ids: Sequence[str]) -> None:
        def read(tx: Transaction) -> list[InstanceRow]:
            firsts = [journal.load_instance(tx.connection, each) for each in ids]
            return [row for first in firsts if first is not None for row in family(tx.connection, first.key)]

        for tries in itertools.count():
            await self._wait_for_database(tries)
            try:
                found = await self.database.writer.submit(read)
                break
            except ForebayError as error:
                log.warning("what has become of %s waits for the database: %s", ", ".join(ids), error)
        for row in found:
            run = self.mover.runs.get(row.key)
            if run is not None and (run.row.status, run.row.incarnation) != (row.status, row.incarnation):
                self.admission.forget(row.key)
            if not row.is_over:
                self.admission.wake(row.key, has_mail=True)
            else:
                self._answer_waiters(row.id, row)
                if row.parent is not None:
                    self.admission.wake(row.parent.key, has_mail=True)

    async def _wait_for_database(self, tries: int) -> None:
        delay_seconds = self.limits.reload_delay_seconds * 2 ** min(tries, 16)
        await self.effects.clock.sleep(min(delay_seconds, self.limits.longest_reload_delay_seconds))

    async def _replay_later(self, row: InstanceRow) -> None:
        def read(tx: Transaction) -> tuple[InstanceRow | None, History]:
            found = journal.load_instance(tx.connection, row.id)
            return found, journal.load_history(tx.connection, found.key) if found else []

        while True:
            reloads = self._reloads[row.key] = self._reloads.get(row.key, 0) + 1
            await self._wait_for_database(reloads - 1)
            try:
                # read by the writer, behind every unit that the given-up instance has left in its queue
                found, history = await self.database.writer.submit(read)
                break
            except ForebayError as error:
                log.warning("instance %s still waits for the database: %s", row.id, error)
        if self.mover.is_stopping:
            return
        if found is None:  # it had ended, and has been purged since then
            self._reloads.pop(row.key, None)
            self._answer_waiters(row.id, None)
        elif found.is_over:
            self.ended(found)
            if found.parent is not None:  # the message to it is as durable as the end
                self.admission.wake(found.parent.key, has_mail=True)
        elif found.status == "Running" and found.key not in self.mover.runs:
            self.mover.bring_to_life(found, history, is_new=False)


def _stopped() -> ForebayError:
    return engine_stopped("the instance had ended", "the instance goes on when the engine runs again; wait for it then")


def _is_same_start(row: InstanceRow, new: NewInstance) -> bool:
    """Whether an instance was started in the same way, as far as it can be told: one that has begun anew has forgotten its first input."""
    return row.name == new.name and (row.incarnation > 0 or journal.from_json(row.input_json) == journal.from_json(new.input_json))
