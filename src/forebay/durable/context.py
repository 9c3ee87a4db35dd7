"""What an orchestrator sees of its instance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from forebay.durable.retries import TRY_ONCE, RetryOptions
from forebay.durable.tasks import ActivityTask, AllTask, Task


class OrchestrationContext:
    """The names of `azure.durable_functions.DurableOrchestrationContext`, as far as they are built.

    An orchestrator is a generator: it yields tasks and is resumed with their results. It must be deterministic:
    no clock, randomness, I/O or global state of its own.
    """

    def __init__(self, *, instance_id: str, value: Any, now: datetime) -> None:
        self.instance_id = instance_id
        self.is_replaying = False
        self.current_utc_datetime = now
        self._value = value

    def get_input(self) -> Any:
        """The JSON value that the instance was started with."""
        return self._value

    def call_activity(self, name: str, input_: Any = None) -> Task:
        """One call of an activity, tried once."""
        return ActivityTask(name, input_, TRY_ONCE)

    def call_activity_with_retry(self, name: str, retry_options: RetryOptions, input_: Any = None) -> Task:
        """One call of an activity, tried again as `retry_options` say."""
        return ActivityTask(name, input_, retry_options)

    def task_all(self, activities: Sequence[Task]) -> Task:
        """All of the tasks: their results in order, or the first failure."""
        return AllTask(activities)
