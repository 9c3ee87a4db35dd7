"""Drives one orchestrator: knows generators and tasks, and nothing of storage, clocks or event loops."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from forebay.durable.context import OrchestrationContext
from forebay.durable.failures import ActivityFailed, Failure, NonDeterministicError
from forebay.durable.registry import OrchestratorFunction
from forebay.durable.retries import RetryOptions
from forebay.durable.tasks import ActivityTask, Task

CLOSE_LIMIT = 10  # yields of an orchestrator that is told to go


@dataclass(frozen=True, slots=True)
class Scheduled:
    """An activity that the orchestrator waits for."""

    task_id: int  # from 0, in the order of the yields
    name: str
    input_json: bytes
    retry: RetryOptions

    @property
    def input_hash(self) -> str:
        """Tells a replay that the input has changed."""
        return hashlib.blake2b(self.input_json, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an orchestrator ended: with an output, or with a failure."""

    output: Any = None
    failure: Failure | None = None


class Driver:
    """One live generator and the tasks it waits for.

    After `start` and after each `settle`, `take_scheduled` has the activities to run next and `outcome` says whether it ended.
    """

    def __init__(self, orchestrator: OrchestratorFunction, context: OrchestrationContext) -> None:
        self._orchestrator = orchestrator
        self._context = context
        self._generator: Generator[Task, Any, Any] | None = None
        self._waits_for: Task | None = None
        self._running: dict[int, tuple[ActivityTask, Scheduled]] = {}
        self._scheduled: list[Scheduled] = []
        self._next_id = 0
        self.outcome: Outcome | None = None

    def start(self) -> None:
        """Run the orchestrator up to its first wait."""
        try:
            started = self._orchestrator(self._context)
        except Exception as error:
            self._fail(error)
            return
        if not isinstance(started, Generator):
            self.outcome = Outcome(output=started)
            return
        self._generator = started
        self._resume(None, None)

    def take_scheduled(self) -> list[Scheduled]:
        """The activities scheduled since the last call, in order."""
        taken, self._scheduled = self._scheduled, []
        return taken

    def settle(self, task_id: int, *, now: datetime, result: Any = None, failure: Failure | None = None) -> None:
        """Hand the outcome of an activity to the orchestrator and run it up to its next wait."""
        task, scheduled = self._running.pop(task_id)
        self._context.current_utc_datetime = now
        task.complete(result, ActivityFailed(scheduled.name, failure) if failure is not None else None)
        waits_for = self._waits_for
        if self.outcome is None and waits_for is not None and waits_for.is_completed:
            self._resume(waits_for.result, waits_for.error)

    def expect(self, task_id: int, name: str, input_hash: str) -> None:
        """Check a recorded activity against the one that this replay has scheduled.

        Raises `NonDeterministicError` naming both.
        """
        _, scheduled = self._running.get(task_id, (None, None))
        if scheduled is None:
            raise NonDeterministicError(
                f"the journal has activity {name!r} as task {task_id}; the replayed code did not schedule that task"
            )
        if scheduled.name != name:
            raise NonDeterministicError(
                f"the journal has activity {name!r} as task {task_id}; the replayed code scheduled {scheduled.name!r}"
            )
        if scheduled.input_hash != input_hash:
            raise NonDeterministicError(f"the replayed code gives activity {name!r} (task {task_id}) another input than the journal has")

    def close(self) -> None:
        """Let go of the generator, also of one that yields again while it is being closed, as in `finally: yield ...`."""
        for _ in range(CLOSE_LIMIT if self._generator is not None else 0):
            try:
                self._generator.close()  # type: ignore[union-attr]
            except RuntimeError:
                continue
            except Exception:
                return
            return

    def _resume(self, result: Any, error: Exception | None) -> None:
        assert self._generator is not None
        while True:
            try:
                yielded = self._generator.send(result) if error is None else self._generator.throw(error)
            except StopIteration as stop:
                self.outcome = Outcome(output=stop.value)
                return
            except KeyboardInterrupt:
                raise
            except BaseException as raised:
                self._fail(raised)
                return
            try:
                self._schedule(yielded)
            except Exception as refused:  # what was yielded is no task, or the input of one is not JSON
                result, error = None, refused
                continue
            self._waits_for = yielded
            if not yielded.is_completed:
                return
            result, error = yielded.result, yielded.error

    def _schedule(self, yielded: object) -> None:
        if not isinstance(yielded, Task):
            raise TypeError(f"an orchestrator must yield tasks (context.call_activity(...), context.task_all(...)), got {yielded!r}")
        new = [task for task in yielded.activities() if task.id is None]
        inputs = [msgspec.json.encode(task.value) for task in new]
        for task, input_json in zip(new, inputs, strict=True):
            if task.id is not None:
                continue  # the same task twice in one task_all
            task.id = self._next_id
            self._next_id += 1
            scheduled = Scheduled(task.id, task.name, input_json, task.retry)
            self._running[task.id] = (task, scheduled)
            self._scheduled.append(scheduled)

    def _fail(self, error: BaseException) -> None:
        failure = error.failure if isinstance(error, ActivityFailed) else Failure.of(error)
        self.outcome = Outcome(failure=failure)
