"""Runs one try of an activity: concurrency limits, timeouts, and the size of what it takes and returns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from forebay.database import Transaction, Writer
from forebay.durable.actions import ActivityAction, CallAction
from forebay.durable.activity import ActivityInfo, running
from forebay.durable.failures import Failure
from forebay.durable.journal import Fact, FactKind, append_fact, to_json
from forebay.durable.limits import limit_of
from forebay.durable.registry import Activity, Registry, TransactionalActivity
from forebay.durable.rooms import Room, RoomState
from forebay.durable.run import Attempts, Run
from forebay.durable.spans import AttemptSpans
from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.values.times import to_microseconds


@dataclass(frozen=True, slots=True)
class Tried:
    """How a try ended."""

    fact: Fact
    is_recorded: bool = False  # the fact is in the journal already


class Executor:
    """Runs the activities of one registry."""

    def __init__(self, registry: Registry, writer: Writer, clock: Clock, payload_bytes: int, spans: AttemptSpans) -> None:
        self._activities = registry.activities
        self._writer = writer
        self._clock = clock
        self._payload_bytes = payload_bytes
        self._spans = spans
        self._rooms: dict[str, Room] = {}

    def is_transactional(self, name: str) -> bool:
        """Whether the writer runs this activity."""
        return isinstance(self._activities.get(name), TransactionalActivity)

    def rooms(self) -> list[RoomState]:
        """The activities with a limit: which it is, and what waits."""
        limited = [each for each in self._activities.values() if isinstance(each, Activity) and each.concurrency is not None]
        return [room.snapshot() for room in map(self._room, limited) if room is not None]

    def now_us(self) -> int:
        """The wall time in microseconds."""
        return to_microseconds(self._clock.now())

    def encode(self, value: Any, what: str) -> bytes:
        """A value as JSON; raises `ForebayError` (`payload_too_large`, `payload_not_json`)."""
        try:
            encoded = msgspec.json.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ForebayError(
                "payload_not_json", f"{what} must be a JSON value: {error}", hint="return plain dicts, lists, strings"
            ) from error
        self.refuse_too_large(encoded, what)
        return encoded

    def refuse_too_large(self, encoded: bytes, what: str) -> None:
        """Raises `ForebayError` (`payload_too_large`)."""
        if len(encoded) > self._payload_bytes:
            raise ForebayError(
                "payload_too_large",
                f"{what} has {len(encoded):,} bytes; payload_bytes allows {self._payload_bytes:,}",
                hint="store the data and pass its key, or raise FOREBAY_PAYLOAD_LIMIT_KB",
                status=413,
            )

    async def run(self, run: Run, action: ActivityAction, attempts: Attempts) -> Tried:
        """One try. Raises `ForebayError` (`database_unavailable`, `instance_reloaded`) when it is no matter of the activity."""
        activity = self._activities[action.name]
        scheduled_at = self.now_us() if attempts.first_scheduled_at is None else attempts.first_scheduled_at
        attempt = attempts.failed_count + 1
        try:
            if isinstance(activity, TransactionalActivity):
                return await self._run_transactional(activity, run, action, attempt, scheduled_at)
            payload = await self._call(activity, run, action, attempt)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also a panic of an extension, which is no `Exception`
            if _is_cancelled():  # whatever the activity made of it: being stopped is no failure
                raise asyncio.CancelledError from error
            failure = Failure.of(error)
            if isinstance(error, ForebayError) and failure.code in ("database_unavailable", "instance_reloaded"):
                # a full disk is no failure of the activity: the instance waits until the database writes again
                raise
            return self._failed(run, action, failure, attempt, scheduled_at)
        return Tried(self._fact("completed", run, action, attempt, scheduled_at, payload))

    def rest_seconds(self, action: CallAction, attempts: Attempts) -> float:
        """What is left of the wait between two tries."""
        assert attempts.last_failed_at is not None
        assert attempts.first_scheduled_at is not None
        elapsed_seconds = (attempts.last_failed_at - attempts.first_scheduled_at) / 1e6
        delay_seconds = action.retry.delay_seconds(attempts.failed_count, elapsed_seconds) or 0.0
        since_seconds = (self.now_us() - attempts.last_failed_at) / 1e6
        # a wall clock that was set back must not make the wait longer than the policy says
        return min(delay_seconds, max(0.0, delay_seconds - since_seconds))

    async def _run_transactional(
        self, activity: TransactionalActivity, run: Run, action: ActivityAction, attempt: int, scheduled_at: int
    ) -> Tried:
        """Its completion is recorded with its writes. One that failed left no trace, so its failure still has to be recorded."""

        def unit(tx: Transaction) -> Fact:
            # decoded for each try: a function may change what it was given
            result = activity.function(tx, self._input(action))
            payload = self.encode(result, f"the result of {action.name}").decode()
            fact = self._fact("completed", run, action, attempt, scheduled_at, payload)
            record(tx, run, [fact])
            return fact

        with self._spans.attempt(activity.name, run.row.id, action.task_id, attempt):
            return Tried(await self._writer.submit(unit), is_recorded=True)

    def _failed(self, run: Run, action: ActivityAction, failure: Failure, attempt: int, scheduled_at: int) -> Tried:
        at = max(run.last_at, self.now_us())
        is_last = not failure.retryable or action.retry.delay_seconds(attempt, (at - scheduled_at) / 1e6) is None
        kind: FactKind = "failed" if is_last else "attempt_failed"
        payload = to_json(failure.to_json())
        return Tried(Fact(kind, action.task_id, action.name, action.input_hash, attempt, scheduled_at, at, payload))

    async def _call(self, activity: Activity, run: Run, action: ActivityAction, attempt: int) -> str:
        room = self._room(activity)
        if room is None:
            return await self._attempt(activity, run, action, attempt)
        async with room.place(run.row.lane, run.row.id):
            return await self._attempt(activity, run, action, attempt)

    async def _attempt(self, activity: Activity, run: Run, action: ActivityAction, attempt: int) -> str:
        with self._spans.attempt(activity.name, run.row.id, action.task_id, attempt):
            result = await self._within_timeout(activity, run, action, attempt)
            return self.encode(result, f"the result of {activity.name}").decode()

    def _room(self, activity: Activity) -> Room | None:
        if activity.concurrency is None:
            return None
        room = self._rooms.get(activity.name)
        if room is None:
            room = self._rooms[activity.name] = Room(activity.name, limit_of(activity.concurrency), self._clock)
        return room

    async def _within_timeout(self, activity: Activity, run: Run, action: ActivityAction, attempt: int) -> Any:
        loop = asyncio.get_running_loop()
        timeout = asyncio.timeout(activity.timeout_seconds)

        def begin_anew() -> None:
            if timeout.when() is not None and not timeout.expired():
                timeout.reschedule(loop.time() + activity.timeout_seconds)

        def heartbeat() -> None:
            loop.call_soon_threadsafe(begin_anew)

        info = ActivityInfo(
            name=activity.name,
            instance_id=run.row.id,
            activity_id=f"{run.row.id}:{run.row.incarnation:x}:{action.task_id:x}",
            attempt=attempt,
            heartbeat=heartbeat,
        )
        value = self._input(action)
        try:
            with running(info):
                async with timeout:
                    if activity.runs_in == "loop":
                        return await activity.function(value)
                    return await asyncio.to_thread(activity.function, value)
        except TimeoutError as error:
            if timeout.expired():
                raise TimeoutError(f"activity {activity.name!r} ran longer than {activity.timeout_seconds:g} s") from error
            raise

    def _input(self, action: ActivityAction) -> Any:
        self.refuse_too_large(action.input_json, f"the input of {action.name}")
        return msgspec.json.decode(action.input_json)

    def _fact(self, kind: FactKind, run: Run, action: ActivityAction, attempt: int, scheduled_at: int, payload: str) -> Fact:
        at = max(run.last_at, self.now_us())
        return Fact(kind, action.task_id, action.name, action.input_hash, attempt, scheduled_at, at, payload)


def _is_cancelled() -> bool:
    """Whether the engine cancels this task, and not something inside the activity that was cancelled on its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def record(tx: Transaction, run: Run, facts: list[Fact]) -> None:
    """Append facts to an instance's history, in the writer's order.

    Raises `ForebayError` (`instance_reloaded`) when the live instance has been given up meanwhile: its successor
    replays the journal as it is, so nothing may be added behind its back.
    """
    if run.is_over:
        raise ForebayError("instance_reloaded", f"instance {run.row.id} has been reloaded", retryable=True)
    for fact in facts:
        append_fact(tx, run.row.key, run.next_sequence, fact)
        run.next_sequence += 1
