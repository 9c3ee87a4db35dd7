"""What an orchestrator yields."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from forebay.durable.orchestration.actions import Action, ActivityAction, ChildAction, EventAction, TimerAction, input_hash
from forebay.durable.retries import RetryOptions

Result = TypeVar("Result")


class Task(Generic[Result]):
    """Something an orchestrator waits for. It starts when it is yielded, not when it is created.

    `value = yield task` gives its result, or raises its failure; `value = yield from task` does the same and tells a type checker the type.
    """

    # what a task begins with is the class's: an orchestrator may make ten thousand
    is_completed = False  # also when it has failed
    result: Any = None  # its failure when it has failed, as in Azure's library
    error: Exception | None = None
    _waiting: dict[_Group[Any], None] | None = None  # in the order in which they began to wait

    def __iter__(self) -> Generator[Task[Any], Any, Result]:
        result: Result = yield self
        return result

    @property
    def is_faulted(self) -> bool:
        """Whether it has failed."""
        return self.error is not None

    def leaves(self) -> Sequence[Leaf[Any]]:
        """What must run or arrive for this task, in the order in which it is scheduled."""
        raise TypeError(f"a {type(self).__name__} cannot be yielded")

    def complete(self, result: Any = None, error: Exception | None = None) -> None:
        """Settle the task, and whatever waits for it; a settled task stays as it is."""
        if self.is_completed:
            return
        self.is_completed = True
        self.result = result if error is None else error
        self.error = error
        waiting, self._waiting = self._waiting, None
        for group in waiting or ():
            group.child_completed(self)


class Leaf(Task[Result]):
    """A task that consists of no others."""

    id: int | None = None  # given when it is scheduled: from 0; that of an event is -1

    def leaves(self) -> Sequence[Leaf[Any]]:
        return (self,)

    def action(self, task_id: int) -> Action:
        """What has to be done for it."""
        raise TypeError(f"a {type(self).__name__} cannot be scheduled")


class CallTask(Leaf[Result]):
    """One call of an activity or of another orchestrator."""

    def __init__(self, name: str, value: Any, retry: RetryOptions) -> None:
        """The value is taken as it is now, as JSON. Raises `TypeError` when it is none, `ValueError` without a name."""
        if not name:
            raise ValueError("expected the name of a function, got an empty one")
        self.name = name
        self.input_json = msgspec.json.encode(value)
        self.retry = retry


class ActivityTask(CallTask[Result]):
    """One call of an activity."""

    def action(self, task_id: int) -> Action:
        return ActivityAction(task_id, self.name, self.input_json, input_hash(self.input_json), self.retry)


class ChildTask(CallTask[Result]):
    """One run of another orchestrator."""

    def __init__(self, name: str, value: Any, retry: RetryOptions, instance_id: str | None, version: str | None) -> None:
        super().__init__(name, value, retry)
        self.instance_id = instance_id
        self.version = version

    def action(self, task_id: int) -> Action:
        hash_ = input_hash(self.input_json)
        return ChildAction(task_id, self.name, self.input_json, hash_, self.retry, self.instance_id, self.version)


class TimerTask(Leaf[None]):
    """A moment that comes."""

    def __init__(self, fire_at: datetime) -> None:
        """Raises `ValueError` unless it is a datetime, as Azure's library does."""
        if not isinstance(fire_at, datetime):
            raise ValueError(f"expected the datetime at which the timer fires, got {fire_at!r}")
        self.fire_at = fire_at if fire_at.tzinfo is not None else fire_at.replace(tzinfo=UTC)
        self.is_cancelled = False

    def action(self, task_id: int) -> Action:
        return TimerAction(task_id, self.fire_at)

    def cancel(self) -> None:
        """Let the timer never fire. Raises `ValueError` when it has fired already."""
        if self.is_completed:
            raise ValueError("cannot cancel a timer that has fired")
        self.is_cancelled = True


class EventTask(Leaf[Result]):
    """The next external event of a name."""

    def __init__(self, name: str) -> None:
        """Raises `ValueError` without a name."""
        if not name:
            raise ValueError("expected the name of an event, got an empty one")
        self.name = name

    def action(self, task_id: int) -> Action:
        return EventAction(task_id, self.name)


class _Group(Task[Result]):
    """A task made of others."""

    def __init__(self, children: Sequence[Task[Any]]) -> None:
        self._children = list(children)
        for child in self._children:
            if not isinstance(child, Task):
                raise TypeError(f"expected tasks, as of context.call_activity(...), got {child!r}")

    def leaves(self) -> Sequence[Leaf[Any]]:
        return [leaf for child in self._children for leaf in child.leaves()]

    def child_completed(self, child: Task[Any]) -> None:
        """One of the children has settled."""
        raise NotImplementedError

    def _wait(self) -> None:
        for child in self._children:
            if not child.is_completed:
                child._waiting = child._waiting or {}
                child._waiting[self] = None

    def complete(self, result: Any = None, error: Exception | None = None) -> None:
        # a race in a loop leaves its losers behind: they must not remember every round
        for child in self._children:
            if child._waiting:
                child._waiting.pop(self, None)
        super().complete(result, error)


class AllTask(_Group[list[Result]]):
    """Completes with every child's result in order, or fails as soon as one child has failed.

    Without children it completes at once with `[]` (Azure's library resumes with None there).
    """

    def __init__(self, children: Sequence[Task[Result]]) -> None:
        super().__init__(children)
        failed = next((child.error for child in self._children if child.error is not None), None)
        self._open_count = len({id(child) for child in self._children if not child.is_completed})
        if failed is not None:
            self.complete(error=failed)
        elif self._open_count == 0:
            self._complete_all()
        else:
            self._wait()

    def child_completed(self, child: Task[Any]) -> None:
        self._open_count -= 1
        if child.error is not None:
            self.complete(error=child.error)
        elif self._open_count == 0:
            self._complete_all()

    def _complete_all(self) -> None:
        self.complete([child.result for child in self._children])


class AnyTask(_Group[Task[Any]]):
    """Completes with the child that settles first, whether it has succeeded or failed."""

    def __init__(self, children: Sequence[Task[Any]]) -> None:
        """Raises `ValueError` without children: nothing could ever complete it."""
        super().__init__(children)
        if not self._children:
            raise ValueError("task_any needs at least one task")
        first = next((child for child in self._children if child.is_completed), None)
        if first is not None:
            self.complete(first)
        else:
            self._wait()

    def child_completed(self, child: Task[Any]) -> None:
        self.complete(child)
