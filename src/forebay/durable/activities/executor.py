"""Runs one try of an activity: concurrency limits, timeouts, and the size of what it takes and returns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import msgspec

from forebay.database import Transaction, Writer
from forebay.durable.activities.activity import ActivityInfo, ResultWithEvents, tell_of_activity
from forebay.durable.activities.awaiting import go_on
from forebay.durable.activities.limits import limit_of
from forebay.durable.activities.outgoing import Message, send_all
from forebay.durable.activities.payloads import encode_payload, refuse_too_large
from forebay.durable.activities.process_protocol import Call
from forebay.durable.activities.processes import ProcessPool
from forebay.durable.activities.rooms import Room, RoomState
from forebay.durable.activities.spans import AttemptSpans
from forebay.durable.activities.threads import ThreadPool
from forebay.durable.activities.time_limit import TimeLimit
from forebay.durable.failures import Failure
from forebay.durable.instances.records import record
from forebay.durable.instances.run import Attempts, Run
from forebay.durable.journal.journal import Fact, FactKind, to_json
from forebay.durable.orchestration.actions import ActivityAction, CallAction
from forebay.durable.registry import Activity, Registry, TransactionalActivity
from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.values.times import from_microseconds, rfc3339

_LEFT_BEHIND = {
    "loop": "",
    "thread": "; its thread goes on, keeps its place until it ends, and what it returns is ignored",
    "process": "; its process was ended",
}


class Try(msgspec.Struct):
    """One try of an activity that the writer does not run."""

    activity: Activity
    run: Run
    action: ActivityAction
    attempt: int  # from 1
    scheduled_at: int  # the first one, in microseconds since the epoch
    limit: TimeLimit | None = None
    events: list[Message] = []  # that its result wants raised

    def begin_limit(self) -> TimeLimit:
        """The time limit, which only what waits needs."""
        activity = self.activity
        self.limit = TimeLimit(activity.timeout_seconds, activity.name, _LEFT_BEHIND[activity.runs_in])
        return self.limit

    def beat(self) -> None:
        """The time limit begins anew."""
        if self.limit is not None:
            self.limit.beat()

    def info(self) -> ActivityInfo:
        """What the activity may know of it."""
        row = self.run.row
        return ActivityInfo(
            name=self.activity.name,
            instance_id=row.id,
            # the id may be used again after a restart or a purge, and both numbers begin anew then; the time of the beginning does not
            activity_id=f"{row.id}:{row.created_at:x}:{row.incarnation:x}:{self.action.task_id:x}",
            attempt=self.attempt,
            heartbeat=self.beat,
        )


class Tried(msgspec.Struct, frozen=True, gc=False):
    """How a try ended."""

    fact: Fact
    is_recorded: bool = False  # the fact is in the journal already
    events: tuple[Message, ...] = ()  # to be raised in the commit that records it
    readers: tuple[int, ...] = ()  # instances for which that commit has raised events


class Executor:
    """Runs the activities of one registry."""

    def __init__(
        self,
        registry: Registry,
        writer: Writer,
        clock: Clock,
        spans: AttemptSpans,
        *,
        payload_bytes: int,
        message_lifetime_seconds: float,
        thread_count: int,
        process_count: int,
    ) -> None:
        self._activities = registry.activities
        self._writer = writer
        self._clock = clock
        self._payload_bytes = payload_bytes
        self._message_lifetime_seconds = message_lifetime_seconds
        self._spans = spans
        self._rooms: dict[str, Room] = {}
        self._places = {"loop": self._in_loop, "thread": self._in_thread, "process": self._in_process}
        self._threads = ThreadPool(thread_count, clock)
        self._processes = ProcessPool(process_count, clock)

    def is_transactional(self, name: str) -> bool:
        """Whether the writer runs this activity."""
        return isinstance(self._activities.get(name), TransactionalActivity)

    def is_expected(self, name: str, code: str) -> bool:
        """Whether an error of this activity is an answer, and makes no dead letter."""
        return code in self._activities[name].expected

    def rooms(self) -> list[RoomState]:
        """The activities with a limit, and the threads and processes of all that block: the limit, and what waits."""
        limited = [each for each in self._activities.values() if isinstance(each, Activity) and each.concurrency is not None]
        rooms = [room for room in map(self._room, limited) if room is not None]
        used = {each.runs_in for each in self._activities.values() if isinstance(each, Activity)}
        rooms += [self._threads.room] * ("thread" in used) + [self._processes.room] * ("process" in used)
        return [room.snapshot() for room in rooms]

    def now_us(self) -> int:
        """The wall time in microseconds."""
        return self._clock.now_us()

    def encode(self, value: Any, what: str) -> bytes:
        """A value as JSON; raises `ForebayError` (`payload_too_large`, `payload_not_json`)."""
        return encode_payload(value, what, self._payload_bytes)

    def refuse_too_large(self, encoded: bytes, what: str) -> None:
        """Raises `ForebayError` (`payload_too_large`)."""
        refuse_too_large(encoded, what, self._payload_bytes)

    async def close(self) -> None:
        """End the threads and processes; nothing may be under way any more."""
        self._threads.close()
        await self._processes.close()

    def begin(self, run: Run, action: ActivityAction, attempts: Attempts, called_at: int) -> Tried | Coroutine[Any, Any, Tried]:
        """Begin one try, called for at `called_at` (microseconds since the epoch): how it has ended already, or what is left of it.

        It, and what is left, raises `ForebayError` (`database_unavailable`, `instance_reloaded`) for what is no matter of the activity.
        """
        activity = self._activities[action.name]
        scheduled_at = attempts.first_scheduled_at
        if scheduled_at is None:
            scheduled_at = called_at
        elif self.is_expired(scheduled_at):
            failure = self._expired(action, scheduled_at)
            return self._failed(run, action, failure, attempts.failed_count, scheduled_at)
        attempt = attempts.failed_count + 1
        if isinstance(activity, TransactionalActivity):
            return self._run_transactional(activity, run, action, attempt, scheduled_at)
        tried = Try(activity, run, action, attempt, scheduled_at)
        if activity.runs_in != "loop" or activity.concurrency is not None or not self._spans.is_off:
            return self._run(tried, self._in_its_place(tried))
        try:
            steps = self._steps(tried)
            try:
                awaited = next(steps)
            except StopIteration as ended:
                return self._completed(tried, self._payload(action, ended.value, tried.events))
        except BaseException as error:
            return self._ended_by(error, run, action, attempt, scheduled_at)
        return self._run(tried, self._go_on(tried, steps, awaited))

    async def _run(self, tried: Try, work: Awaitable[str]) -> Tried:
        try:
            payload = await work
        except BaseException as error:
            return self._ended_by(error, tried.run, tried.action, tried.attempt, tried.scheduled_at)
        return self._completed(tried, payload)

    def _completed(self, tried: Try, payload: str) -> Tried:
        fact = self._fact("completed", tried.run, tried.action, tried.attempt, tried.scheduled_at, payload)
        return Tried(fact, events=tuple(tried.events))

    def _ended_by(self, error: BaseException, run: Run, action: ActivityAction, attempt: int, scheduled_at: int) -> Tried:
        """The failure that an exception is, also a panic of an extension, which is no `Exception`; raises what is none."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        if _is_cancelled():  # whatever the activity made of it: being stopped is no failure
            raise asyncio.CancelledError from error
        failure = Failure.of(error)
        if isinstance(error, ForebayError) and failure.code in ("database_unavailable", "instance_reloaded"):
            # a full disk is no failure of the activity: the instance waits until the database writes again
            raise error
        return self._failed(run, action, failure, attempt, scheduled_at)

    def is_expired(self, scheduled_at: int) -> bool:
        """Whether a call was first scheduled too long ago to be tried again."""
        return self.now_us() - scheduled_at > self._message_lifetime_seconds * 1e6

    def _expired(self, action: ActivityAction, scheduled_at: int) -> Failure:
        since, lifetime = rfc3339(from_microseconds(scheduled_at)), timedelta(seconds=self._message_lifetime_seconds)
        message = f"{action.name} was first scheduled at {since} and may be tried for {lifetime} (message_lifetime_seconds)"
        return Failure(code="expired", message=message, retryable=False)

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

        def unit(tx: Transaction) -> Tried:
            # decoded for each try: a function may change what it was given
            result = activity.function(tx, self._input(action))
            events: list[Message] = []
            payload = self._payload(action, result, events)
            fact = self._fact("completed", run, action, attempt, scheduled_at, payload)
            readers = tuple(send_all(tx, events))
            record(tx, run, [fact])  # last: nothing may fail once its row has a number
            return Tried(fact, is_recorded=True, readers=readers)

        try:
            with self._spans.attempt(activity.name, run.row.id, action.task_id, attempt):
                return await self._writer.submit(unit)
        except BaseException as error:
            return self._ended_by(error, run, action, attempt, scheduled_at)

    def _payload(self, action: ActivityAction, result: Any, events: list[Message]) -> str:
        """A result as JSON; the events that come with it are added to `events`."""
        if isinstance(result, ResultWithEvents):
            for event in result.events:
                data = self.encode(event.data, f"the data of event {event.name!r} of {action.name}").decode()
                events.append(Message(event.instance_id, event.name, data))
            result = result.value
        return encode_payload(result, f"the result of {action.name}", self._payload_bytes).decode()

    def _failed(self, run: Run, action: ActivityAction, failure: Failure, attempt: int, scheduled_at: int) -> Tried:
        at = max(run.last_at, self.now_us())
        is_last = not failure.retryable or action.retry.delay_seconds(attempt, (at - scheduled_at) / 1e6) is None
        kind: FactKind = "failed" if is_last else "attempt_failed"
        payload = to_json(failure.to_json())
        return Tried(Fact(kind, action.task_id, action.name, action.input_hash, attempt, scheduled_at, at, payload))

    def _room(self, activity: Activity) -> Room | None:
        if activity.concurrency is None:
            return None
        room = self._rooms.get(activity.name)
        if room is None:
            room = self._rooms[activity.name] = Room(activity.name, limit_of(activity.concurrency), self._clock)
        return room

    async def _in_its_place(self, tried: Try) -> str:
        activity, row = tried.activity, tried.run.row
        work, room = self._places[activity.runs_in], self._room(activity)
        if room is None:
            return await work(tried)
        async with room.place(row.lane, row.id):
            return await work(tried)

    async def _in_loop(self, tried: Try) -> str:
        with self._span(tried):
            steps = self._steps(tried)
            try:
                awaited = next(steps)
            except StopIteration as ended:
                return self._payload(tried.action, ended.value, tried.events)
            return await self._go_on(tried, steps, awaited)

    def _steps(self, tried: Try) -> Generator[Any, None, Any]:
        tell_of_activity(tried.info)
        steps: Generator[Any, None, Any] = tried.activity.function(self._input(tried.action)).__await__()
        return steps

    async def _go_on(self, tried: Try, steps: Generator[Any, None, Any], awaited: Any) -> str:
        async with tried.begin_limit() as limit:  # only what waits can be stopped
            limit.begin()
            result = await go_on(awaited, steps.send, steps.throw)
        return self._payload(tried.action, result, tried.events)

    async def _in_thread(self, tried: Try) -> str:
        def work() -> str:
            tell_of_activity(tried.info)
            return self._payload(tried.action, tried.activity.function(value), tried.events)

        row = tried.run.row
        async with self._threads.place(row.lane, row.id) as thread:
            with self._span(tried):
                value = self._input(tried.action)
                async with tried.begin_limit() as limit:
                    limit.begin()
                    return await thread.run(work)

    async def _in_process(self, tried: Try) -> str:
        function, info, row = tried.activity.function, tried.info(), tried.run.row
        call = Call(
            module=function.__module__,
            qualified_name=function.__qualname__,
            input_json=tried.action.input_json,
            payload_limit_bytes=self._payload_bytes,
            name=info.name,
            instance_id=info.instance_id,
            activity_id=info.activity_id,
            attempt=info.attempt,
            correlation=None if row.correlation is None else (row.correlation.id, row.correlation.project),
        )
        async with self._processes.room.place(row.lane, row.id):
            with self._span(tried):
                self._refuse_input(tried.action)
                async with tried.begin_limit() as limit:
                    return await self._processes.run(call, on_begun=limit.begin, on_beat=limit.beat)

    def _span(self, tried: Try) -> AbstractContextManager[None]:
        return self._spans.attempt(tried.activity.name, tried.run.row.id, tried.action.task_id, tried.attempt)

    def _refuse_input(self, action: ActivityAction) -> None:
        refuse_too_large(action.input_json, f"the input of {action.name}", self._payload_bytes)

    def _input(self, action: ActivityAction) -> Any:
        if len(action.input_json) > self._payload_bytes:
            self._refuse_input(action)
        return msgspec.json.decode(action.input_json)

    def _fact(self, kind: FactKind, run: Run, action: ActivityAction, attempt: int, scheduled_at: int, payload: str) -> Fact:
        at = max(run.last_at, self._clock.now_us())
        return Fact(kind, action.task_id, action.name, action.input_hash, attempt, scheduled_at, at, payload)


def _is_cancelled() -> bool:
    """Whether the engine cancels this task, and not something inside the activity that was cancelled on its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
