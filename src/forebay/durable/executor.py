"""Runs activities: concurrency limits, timeouts, tries, and the size of what they return."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from forebay.database import Transaction, Writer
from forebay.durable.driver import Scheduled
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
        self._refuse_too_large(encoded, what)
        return encoded

    async def run(self, run: Run, scheduled: Scheduled, attempts: Attempts) -> Fact:
        """Try an activity until it succeeds or its policy gives up; each failed try that has a successor is in the journal.

        Raises `ForebayError` (`database_unavailable`) when the journal could not take a failed try.
        """
        activity = self._activities[scheduled.name]
        assert isinstance(activity, Activity)
        scheduled_at = self.now_us() if attempts.first_scheduled_at is None else attempts.first_scheduled_at
        failed_count = attempts.failed_count
        if attempts.last_failed_at is not None:
            await self._rest(scheduled, attempts)
        while True:
            try:
                payload = await self._call(activity, run, scheduled, failed_count + 1)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # also a panic of an extension, which is no `Exception`
                if _is_cancelled():  # whatever the activity made of it: being stopped is no failure
                    raise asyncio.CancelledError from error
                failure = Failure.of(error)
                if failure.code == "database_unavailable" and isinstance(error, ForebayError):
                    # a full disk is no failure of the activity: the instance waits until the database writes again
                    raise
            else:
                return self._fact("completed", run, scheduled, failed_count + 1, scheduled_at, payload)
            failed_count += 1
            fact = await self._failed_try(run, scheduled, failure, failed_count, scheduled_at)
            if fact is not None:
                return fact

    async def run_transactional(self, run: Run, scheduled: Scheduled, attempts: Attempts) -> tuple[Fact, bool]:
        """Run a transactional activity in the writer; the second value says whether its completion is in the journal already.

        A failed one left no trace, so its failure still has to be recorded.
        """
        activity = self._activities[scheduled.name]
        assert isinstance(activity, TransactionalActivity)
        scheduled_at = self.now_us() if attempts.first_scheduled_at is None else attempts.first_scheduled_at
        failed_count = attempts.failed_count
        if attempts.last_failed_at is not None:
            await self._rest(scheduled, attempts)

        def unit(tx: Transaction) -> Fact:
            # decoded for each try: a function may change what it was given
            result = activity.function(tx, self._input(scheduled))
            payload = self.encode(result, f"the result of {scheduled.name}").decode()
            fact = self._fact("completed", run, scheduled, failed_count + 1, scheduled_at, payload)
            record(tx, run, [fact])
            return fact

        while True:
            try:
                with self._spans.attempt(activity.name, run.row.id, scheduled.task_id, failed_count + 1):
                    return await self._writer.submit(unit), True
            except Exception as error:
                failure = Failure.of(error)
                if failure.code in ("database_unavailable", "instance_reloaded"):
                    raise
            failed_count += 1
            failed = await self._failed_try(run, scheduled, failure, failed_count, scheduled_at)
            if failed is not None:
                return failed, False

    async def _failed_try(self, run: Run, scheduled: Scheduled, failure: Failure, failed_count: int, scheduled_at: int) -> Fact | None:
        """The failure that ends the activity; or None, once the try is in the journal and the wait for the next is over."""
        delay_seconds = scheduled.retry.delay_seconds(failed_count, (self.now_us() - scheduled_at) / 1e6) if failure.retryable else None
        kind: FactKind = "failed" if delay_seconds is None else "attempt_failed"
        fact = self._fact(kind, run, scheduled, failed_count, scheduled_at, to_json(failure.to_json()))
        if delay_seconds is None:
            return fact
        await self._writer.submit(lambda tx: record(tx, run, [fact]))
        await self._clock.sleep(delay_seconds)
        return None

    async def _call(self, activity: Activity, run: Run, scheduled: Scheduled, attempt: int) -> str:
        room = self._room(activity)
        if room is None:
            return await self._attempt(activity, run, scheduled, attempt)
        async with room.place(run.row.lane, run.row.id):
            return await self._attempt(activity, run, scheduled, attempt)

    async def _attempt(self, activity: Activity, run: Run, scheduled: Scheduled, attempt: int) -> str:
        with self._spans.attempt(activity.name, run.row.id, scheduled.task_id, attempt):
            result = await self._within_timeout(activity, self._input(scheduled))
            return self.encode(result, f"the result of {activity.name}").decode()

    def _room(self, activity: Activity) -> Room | None:
        if activity.concurrency is None:
            return None
        room = self._rooms.get(activity.name)
        if room is None:
            room = self._rooms[activity.name] = Room(activity.name, limit_of(activity.concurrency), self._clock)
        return room

    async def _within_timeout(self, activity: Activity, value: Any) -> Any:
        timeout = asyncio.timeout(activity.timeout_seconds)
        try:
            async with timeout:
                return await activity.function(value)
        except TimeoutError as error:
            if timeout.expired():
                raise TimeoutError(f"activity {activity.name!r} ran longer than {activity.timeout_seconds:g} s") from error
            raise

    def _input(self, scheduled: Scheduled) -> Any:
        self._refuse_too_large(scheduled.input_json, f"the input of {scheduled.name}")
        return msgspec.json.decode(scheduled.input_json)

    def _refuse_too_large(self, encoded: bytes, what: str) -> None:
        if len(encoded) > self._payload_bytes:
            raise ForebayError(
                "payload_too_large",
                f"{what} has {len(encoded):,} bytes; payload_bytes allows {self._payload_bytes:,}",
                hint="store the data and pass its key, or raise FOREBAY_PAYLOAD_LIMIT_KB",
                status=413,
            )

    async def _rest(self, scheduled: Scheduled, attempts: Attempts) -> None:
        """The rest of a wait that a restart has cut short."""
        assert attempts.last_failed_at is not None
        assert attempts.first_scheduled_at is not None
        elapsed_seconds = (attempts.last_failed_at - attempts.first_scheduled_at) / 1e6
        delay_seconds = scheduled.retry.delay_seconds(attempts.failed_count, elapsed_seconds) or 0.0
        since_seconds = (self.now_us() - attempts.last_failed_at) / 1e6
        # a wall clock that was set back must not make the wait longer than the policy says
        await self._clock.sleep(min(delay_seconds, max(0.0, delay_seconds - since_seconds)))

    def _fact(self, kind: FactKind, run: Run, scheduled: Scheduled, attempt: int, scheduled_at: int, payload: str) -> Fact:
        at = max(run.last_at, self.now_us())
        return Fact(kind, scheduled.task_id, scheduled.name, scheduled.input_hash, attempt, scheduled_at, at, payload)


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
