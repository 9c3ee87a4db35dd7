"""One instance in memory: its driver, its inbox, the activities under way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from forebay.durable.context import OrchestrationContext
from forebay.durable.driver import Driver, Scheduled
from forebay.durable.failures import Failure, NonDeterministicError
from forebay.durable.journal import Fact, History, InstanceRow, from_json
from forebay.durable.registry import OrchestratorFunction
from forebay.values.times import from_microseconds


@dataclass(slots=True)
class Attempts:
    """What the journal says of an activity that has not ended yet."""

    failed_count: int = 0
    first_scheduled_at: int | None = None
    last_failed_at: int | None = None


@dataclass(slots=True)
class Run:
    """A live instance. Only the event loop touches it, but for `next_sequence`, which only the writer does."""

    row: InstanceRow
    driver: Driver
    next_sequence: int = 0
    last_at: int = 0  # the newest time handed to the orchestrator: they never run backwards, live or replayed
    inbox: list[Fact] = field(default_factory=list)  # facts that are not in the journal yet
    is_recording: bool = False
    transactional_count: int = 0  # under way; while there are any, no other fact may be ordered before theirs
    activities: set[asyncio.Task[None]] = field(default_factory=set)
    is_over: bool = False

    def apply(self, fact: Fact) -> None:
        """Hand a completed or failed activity to the orchestrator."""
        self.last_at = max(self.last_at, fact.at)
        if self.driver.outcome is not None:
            return  # the orchestrator ended without waiting for this one
        now = from_microseconds(self.last_at)
        if fact.kind == "completed":
            self.driver.settle(fact.task_id, now=now, result=from_json(fact.payload))
        else:
            self.driver.settle(fact.task_id, now=now, failure=Failure.from_json(from_json(fact.payload)))


def replay(row: InstanceRow, orchestrator: OrchestratorFunction, history: History) -> tuple[Run, list[tuple[Scheduled, Attempts]]]:
    """Rebuild a live instance from its journal; the second value holds the activities that must run (again).

    Raises `NonDeterministicError` when the orchestrator does not do what the journal says.
    """
    context = OrchestrationContext(instance_id=row.id, value=from_json(row.input_json), now=from_microseconds(row.created_at))
    run = Run(row=row, driver=Driver(orchestrator, context), last_at=row.created_at)
    context.is_replaying = bool(history)
    pending: dict[int, Scheduled] = {}
    attempts: dict[int, Attempts] = {}
    try:
        _apply_history(run, context, history, pending, attempts)
    except NonDeterministicError:
        run.driver.close()
        raise
    return run, [(scheduled, attempts.get(task_id, Attempts())) for task_id, scheduled in pending.items()]


def _apply_history(
    run: Run, context: OrchestrationContext, history: History, pending: dict[int, Scheduled], attempts: dict[int, Attempts]
) -> None:
    def collect() -> None:
        pending.update((scheduled.task_id, scheduled) for scheduled in run.driver.take_scheduled())

    run.driver.start()
    collect()
    for position, (sequence, fact) in enumerate(history):
        run.driver.expect(fact.task_id, fact.name, fact.input_hash)
        if fact.kind == "attempt_failed":
            seen = attempts.setdefault(fact.task_id, Attempts())
            seen.failed_count = fact.attempt
            if seen.first_scheduled_at is None:
                seen.first_scheduled_at = fact.scheduled_at
            seen.last_failed_at = fact.at
        else:
            context.is_replaying = position + 1 < len(history)
            del pending[fact.task_id]
            run.apply(fact)
            collect()
        run.next_sequence = sequence + 1
    context.is_replaying = False
