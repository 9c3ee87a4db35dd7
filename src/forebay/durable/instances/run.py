"""One instance in memory: its driver, its inbox, what is under way, and what it waits for."""

from __future__ import annotations

import asyncio
import heapq
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any

import msgspec

from forebay.durable.activities.outgoing import Message
from forebay.durable.failures import Failure
from forebay.durable.journal.journal import ATTEMPTING, FAILING, READY, SETTLING, Fact, History, InstanceRow, from_json, history_row
from forebay.durable.orchestration.actions import CallAction, ChildAction, EventAction, TimerAction
from forebay.durable.orchestration.context import OrchestrationContext
from forebay.durable.orchestration.driver import Driver, OrchestratorFunction


class Attempts(msgspec.Struct, gc=False):
    """What the journal says of a call that has not ended yet."""

    failed_count: int = 0
    first_scheduled_at: int | None = None
    first_failed_at: int | None = None
    last_failed_at: int | None = None

    def add(self, fact: Fact) -> None:
        """One more try has failed."""
        self.failed_count = fact.attempt
        if self.first_scheduled_at is None:
            self.first_scheduled_at = fact.scheduled_at
        if self.first_failed_at is None:
            self.first_failed_at = fact.at
        self.last_failed_at = fact.at


NO_ATTEMPTS = Attempts()


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """A fact that is not in the journal yet."""

    fact: Fact
    message: int | None = None  # which message it was
    is_stale: bool = False  # nobody waits for it any more: only the message has to go
    call: CallAction | None = None  # what has failed for good
    first_failed_at: int | None = None
    events: tuple[Message, ...] = ()  # to be raised with it


@dataclass(frozen=True, slots=True)
class Rest:
    """A call between two tries."""

    action: CallAction
    attempts: Attempts
    due: float  # monotonic seconds


Pending = tuple[CallAction, Attempts]


class Run(msgspec.Struct, eq=False):
    """A live instance. Only the event loop touches it; `next_sequence` is the writer's while a transactional activity is under way."""

    row: InstanceRow
    driver: Driver
    next_sequence: int = 0
    last_at: int = 0  # the newest time handed to the orchestrator: they never run backwards, live or replayed
    inbox: list[Incoming] = []
    has_mail: bool = False  # messages may wait in the journal
    last_message: int = 0
    is_advancing: bool = False
    is_due: bool = False  # a call has ended of which no step knows yet
    context: Context = msgspec.field(default_factory=copy_context)  # of its orchestrator; each activity has a copy
    transactional_count: int = 0  # under way; while there are any, no other fact may be ordered before theirs
    busy: dict[int, Attempts] = {}  # calls that are being tried now, by task
    tasks: set[asyncio.Task[None]] = msgspec.field(default_factory=set)  # of calls that wait for something
    pending: list[Pending] = []  # to be started
    rests: dict[int, Rest] = {}  # by task
    rests_by_time: list[tuple[float, int]] = []  # heap: monotonic seconds, task
    attempts: dict[int, Attempts] = {}  # of calls with failed tries
    timers: list[tuple[int, int]] = []  # heap: microseconds since the epoch, task
    persisted_wait: tuple[int | None, str | None] = (READY, None)  # `wake_at` and `waits_for` as the journal has them
    has_alarm: bool = False
    waits_since: int | None = None
    is_over: bool = False

    @property
    def is_suspended(self) -> bool:
        return self.row.status == "Suspended"

    def apply(self, fact: Fact) -> None:
        """Hand what has ended or come to the orchestrator."""
        if fact.kind in ATTEMPTING:
            self.attempts.setdefault(fact.task_id, Attempts()).add(fact)
            return
        self.last_at = max(self.last_at, fact.at)
        if fact.kind == "event":
            self.driver.raise_event(fact.name, from_json(fact.payload), now_us=self.last_at)
        elif self.driver.outcome is not None:
            return  # the orchestrator ended without waiting for this one
        elif fact.kind in FAILING:
            self.driver.settle(fact.task_id, now_us=self.last_at, failure=Failure.from_json(from_json(fact.payload)))
        else:
            self.driver.settle(fact.task_id, now_us=self.last_at, result=msgspec.json.decode(fact.payload))
        if self.attempts:
            self.attempts.pop(fact.task_id, None)

    def next_row(self, fact: Fact) -> tuple[Any, ...]:
        """The next row of its history."""
        sequence = self.next_sequence
        self.next_sequence = sequence + 1
        return history_row(self.row.key, sequence, fact)

    def take_actions(self) -> None:
        """Let what the orchestrator has scheduled wait to be started."""
        for action in self.driver.take_actions():
            if isinstance(action, TimerAction):
                heapq.heappush(self.timers, (action.fire_at_us, action.task_id))
            elif not isinstance(action, EventAction):
                self.pending.append((action, self.attempts.get(action.task_id, NO_ATTEMPTS)))

    def next_timer(self) -> int | None:
        """When the next timer fires."""
        while self.timers and not self.driver.is_open(self.timers[0][1]):
            heapq.heappop(self.timers)
        return self.timers[0][0] if self.timers else None

    def due_timers(self, now_us: int) -> list[TimerAction]:
        """Timers whose time has come; they are not told again."""
        due: list[TimerAction] = []
        while (fire_at := self.next_timer()) is not None and fire_at <= now_us:
            action = self.driver.action(heapq.heappop(self.timers)[1])
            assert isinstance(action, TimerAction)
            due.append(action)
        return due

    def let_rest(self, action: CallAction, attempts: Attempts, due: float) -> None:
        """Let a call wait for its next try until `due`, in monotonic seconds."""
        self.rests[action.task_id] = Rest(action, attempts, due)
        heapq.heappush(self.rests_by_time, (due, action.task_id))

    def next_rest(self) -> float | None:
        """When the next wait between two tries is over."""
        while (first := self.rests_by_time[:1]) and ((rest := self.rests.get(first[0][1])) is None or rest.due != first[0][0]):
            heapq.heappop(self.rests_by_time)
        return first[0][0] if first else None

    def end_rests(self, now: float) -> None:
        """Let the calls be tried again whose time has come."""
        while (due := self.next_rest()) is not None and due <= now:
            rest = self.rests.pop(heapq.heappop(self.rests_by_time)[1])
            self.pending.append((rest.action, rest.attempts))


def child_id(run: Run, action: ChildAction, attempt: int) -> str:
    """The instance id of one try of a sub-orchestration."""
    base = action.instance_id or f"{run.row.id}:{run.row.incarnation:x}:{action.task_id:x}"
    return base if attempt == 1 else f"{base}:{attempt}"


def replay(row: InstanceRow, orchestrator: OrchestratorFunction, history: History) -> Run:
    """Rebuild a live instance from its journal; its `pending` calls and `timers` must be started (again).

    Raises `NonDeterministicError` when the orchestrator does not do what the journal says.
    """
    run = begin_replay(row, orchestrator)
    context = run.driver.context
    context.is_replaying = bool(history)
    try:
        run.driver.start()
        for position, (sequence, fact) in enumerate(history):
            context.is_replaying = position + 1 < len(history)
            expect(run, fact)
            run.apply(fact)
            run.next_sequence = sequence + 1
    except BaseException:
        run.driver.close()
        raise
    context.is_replaying = False
    run.take_actions()
    if not history:
        return run
    settled = {fact.task_id for _, fact in history if fact.kind in SETTLING}
    run.pending = [(action, attempts) for action, attempts in run.pending if action.task_id not in settled]
    return run


def begin_replay(row: InstanceRow, orchestrator: OrchestratorFunction) -> Run:
    """A live instance that has not been started. Raises `msgspec.DecodeError` when its input is damaged."""
    from_json(row.input_json)
    context = OrchestrationContext(
        instance_id=row.id,
        input_json=row.input_json,
        now_us=row.created_at,
        parent_instance_id=row.parent_id,
        version=row.version,
    )
    run = Run(row=row, driver=Driver(orchestrator, context), last_at=row.created_at)
    run.persisted_wait = (row.wake_at, row.waits_for_json)
    return run


def expect(run: Run, fact: Fact) -> None:
    """Check a recorded fact against what the replay has scheduled; raises `NonDeterministicError`."""
    if fact.kind != "event":
        run.driver.expect(fact.task_id, fact.action_kind, fact.name, fact.input_hash)
