"""What an orchestrator yields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from forebay.durable.retries import RetryOptions


class Task:
    """Something an orchestrator waits for. It starts when it is yielded, not when it is created."""

    def __init__(self) -> None:
        self.is_completed = False
        self.result: Any = None
        self.error: Exception | None = None
        self._waiting: list[AllTask] = []

    def activities(self) -> Iterator[ActivityTask]:
        """The activities that must run for this task, in the order in which they are scheduled."""
        raise TypeError(f"a {type(self).__name__} cannot be yielded")

    def complete(self, result: Any = None, error: Exception | None = None) -> None:
        """Settle the task, and whatever waits for it; a settled task stays as it is."""
        if self.is_completed:
            return
        self.is_completed = True
        self.result = result
        self.error = error
        for parent in self._waiting:
            parent.child_completed(self)
        self._waiting.clear()


class ActivityTask(Task):
    """One activity call."""

    def __init__(self, name: str, value: Any, retry: RetryOptions) -> None:
        super().__init__()
        self.name = name
        self.value = value
        self.retry = retry
        self.id: int | None = None  # assigned when it is scheduled

    def activities(self) -> Iterator[ActivityTask]:
        yield self


class AllTask(Task):
    """Completes with every child's result in order, or fails as soon as one child has failed.

    Without children it completes at once with `[]` (Azure's library resumes with None there).
    """

    def __init__(self, children: Sequence[Task]) -> None:
        super().__init__()
        self._children = list(children)
        self._open_count = sum(1 for child in self._children if not child.is_completed)
        for child in self._children:
            if not child.is_completed:
                child._waiting.append(self)
        failed = next((child.error for child in self._children if child.error is not None), None)
        if failed is not None:
            self.complete(error=failed)
        elif self._open_count == 0:
            self.complete([child.result for child in self._children])

    def activities(self) -> Iterator[ActivityTask]:
        for child in self._children:
            yield from child.activities()

    def child_completed(self, child: Task) -> None:
        """One of the children has settled."""
        self._open_count -= 1
        if child.error is not None:
            self.complete(error=child.error)
        elif self._open_count == 0:
            self.complete([each.result for each in self._children])
