"""What an orchestrator sees of its instance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from datetime import datetime
from typing import Any, TypeVar, overload
from uuid import NAMESPACE_OID, NAMESPACE_URL, UUID, uuid5

import msgspec

from forebay.database.transaction import Transaction
from forebay.durable.orchestration.tasks import ActivityTask, AllTask, AnyTask, ChildTask, EventTask, Task, TimerTask
from forebay.durable.retries import TRY_ONCE, RetryOptions
from forebay.values.times import from_microseconds

Input = TypeVar("Input")
Output = TypeVar("Output")
AsyncActivity = Callable[[Input], Awaitable[Output]]
TransactionalActivity = Callable[[Transaction, Input], Output]
BlockingActivity = Callable[[Input], Output]
SubOrchestrator = Callable[["OrchestrationContext"], Generator[Task[Any], Any, Output]]

# as in azure-functions-durable 1.7 (`DurableOrchestrationContext.new_uuid`), so that both libraries give the same ids
UUID_NAMESPACE = uuid5(NAMESPACE_OID, "9e952958-5e33-4daf-827f-2fa12937b875")
UUID_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class OrchestrationContext:
    """The names of `azure.durable_functions.DurableOrchestrationContext`.

    An orchestrator is a generator: it yields tasks and is resumed with their results. It must be deterministic:
    no clock, randomness, I/O or global state of its own. Activities and orchestrators are named by their functions, or by their names.
    """

    def __init__(
        self, *, instance_id: str, input_json: str, now_us: int, parent_instance_id: str | None = None, version: str | None = None
    ) -> None:
        """`now_us`: the time at its beginning, in microseconds since the epoch."""
        self.instance_id = instance_id
        self.parent_instance_id = parent_instance_id
        self.version = version  # of the orchestrator, as registered
        self.is_replaying = False
        self.now_us = now_us
        self.continued_with: str | None = None  # JSON: what `continue_as_new` was first called with
        self.custom_status: Any = None
        self._input_json = input_json
        self._uuid_count = 0

    @property
    def current_utc_datetime(self) -> datetime:
        """The time of what the orchestrator has learned last: the same at every replay."""
        return from_microseconds(self.now_us)

    def get_input(self) -> Any:
        """The JSON value that the instance was started with; every call decodes it anew."""
        return msgspec.json.decode(self._input_json)

    # The order of these overloads matters: an `async def` also is a function that returns something.

    @overload
    def call_activity(self, name: str, input_: Any = None) -> Task[Any]: ...
    @overload
    def call_activity(self, name: AsyncActivity[Input, Output], input_: Input) -> Task[Output]: ...
    @overload
    def call_activity(self, name: TransactionalActivity[Input, Output], input_: Input) -> Task[Output]: ...
    @overload
    def call_activity(self, name: BlockingActivity[Input, Output], input_: Input) -> Task[Output]: ...
    def call_activity(self, name: Any, input_: Any = None) -> Task[Any]:
        """One call of an activity, tried once."""
        return ActivityTask(name if isinstance(name, str) else _name_of(name), input_, TRY_ONCE)

    @overload
    def call_activity_with_retry(self, name: str, retry_options: RetryOptions, input_: Any = None) -> Task[Any]: ...
    @overload
    def call_activity_with_retry(self, name: AsyncActivity[Input, Output], retry_options: RetryOptions, input_: Input) -> Task[Output]: ...
    @overload
    def call_activity_with_retry(
        self, name: TransactionalActivity[Input, Output], retry_options: RetryOptions, input_: Input
    ) -> Task[Output]: ...
    @overload
    def call_activity_with_retry(
        self, name: BlockingActivity[Input, Output], retry_options: RetryOptions, input_: Input
    ) -> Task[Output]: ...
    def call_activity_with_retry(self, name: Any, retry_options: RetryOptions, input_: Any = None) -> Task[Any]:
        """One call of an activity, tried again as `retry_options` say."""
        return ActivityTask(_name_of(name), input_, retry_options)

    @overload
    def call_sub_orchestrator(
        self, name: str, input_: Any = None, instance_id: str | None = None, version: str | None = None
    ) -> Task[Any]: ...
    @overload
    def call_sub_orchestrator(
        self, name: SubOrchestrator[Output], input_: Any = None, instance_id: str | None = None, version: str | None = None
    ) -> Task[Output]: ...
    def call_sub_orchestrator(self, name: Any, input_: Any = None, instance_id: str | None = None, version: str | None = None) -> Task[Any]:
        """One run of another orchestrator, as an instance of its own; without an id it gets one derived from this instance's."""
        return ChildTask(_name_of(name), input_, TRY_ONCE, instance_id, version)

    @overload
    def call_sub_orchestrator_with_retry(
        self, name: str, retry_options: RetryOptions, input_: Any = None, instance_id: str | None = None, version: str | None = None
    ) -> Task[Any]: ...
    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: SubOrchestrator[Output],
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> Task[Output]: ...
    def call_sub_orchestrator_with_retry(
        self, name: Any, retry_options: RetryOptions, input_: Any = None, instance_id: str | None = None, version: str | None = None
    ) -> Task[Any]:
        """The same, run again as `retry_options` say; each further try is a new instance, whose id ends in `:<try>`."""
        return ChildTask(_name_of(name), input_, retry_options, instance_id, version)

    def create_timer(self, fire_at: datetime) -> TimerTask:
        """A task that completes once the time has come; a naive datetime is UTC. Raises `ValueError` for what is no datetime."""
        return TimerTask(fire_at)

    def wait_for_external_event(self, name: str) -> Task[Any]:
        """The next event of this name, whose data is the result. Events that came early are kept, in their order."""
        return EventTask(name)

    def task_all(self, activities: Sequence[Task[Output]]) -> Task[list[Output]]:
        """All of the tasks: their results in order, or the first failure."""
        return AllTask(activities)

    def task_any(self, activities: Sequence[Task[Any]]) -> Task[Task[Any]]:
        """The task that settles first, with its `result` or `error`."""
        return AnyTask(activities)

    def set_custom_status(self, status: Any) -> None:
        """Show a JSON value with the instance's state. Raises `TypeError` for what is not JSON."""
        msgspec.json.encode(status)
        self.custom_status = status

    def continue_as_new(self, input_: Any) -> None:
        """Begin anew with another input, an empty history and the unread events, once the orchestrator returns or has to wait.

        The first call counts. What is yielded after it is not started; an exception after it fails the instance.
        Raises `TypeError` for what is not JSON.
        """
        input_json = msgspec.json.encode(input_).decode()
        if self.continued_with is None:
            self.continued_with = input_json

    def new_uuid(self) -> str:
        """A UUID that is the same at every replay, and the one that Azure's library would give."""
        return str(uuid5(UUID_NAMESPACE, self._uuid_name(self.current_utc_datetime.strftime(UUID_TIME_FORMAT))))

    def new_guid(self) -> UUID:
        """The same as an object; another one, as in Azure's library."""
        return uuid5(NAMESPACE_URL, self._uuid_name(str(self.current_utc_datetime)))

    def _uuid_name(self, time: str) -> str:
        name = f"{self.instance_id}_{time}_{self._uuid_count}"
        self._uuid_count += 1
        return name


def _name_of(function: Any) -> str:
    if isinstance(function, str):
        return function
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise TypeError(f"expected the name of a function, or the function, got {function!r}")
    return name
