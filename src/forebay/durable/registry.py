"""Which functions an engine may run, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from forebay.database.transaction import Transaction
from forebay.durable.context import OrchestrationContext
from forebay.durable.limits import Concurrency, limit_of
from forebay.durable.tasks import Task

OrchestratorFunction = Callable[[OrchestrationContext], Generator[Task, Any, Any]]
ActivityFunction = Callable[[Any], Awaitable[Any]]
TransactionalFunction = Callable[[Transaction, Any], Any]
Orchestrator = TypeVar("Orchestrator", bound=OrchestratorFunction)
AnyActivity = TypeVar("AnyActivity", bound=ActivityFunction)
AnyTransactional = TypeVar("AnyTransactional", bound=TransactionalFunction)

DEFAULT_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """An `async def` that takes and returns a JSON value; runs at least once, its result is recorded exactly once."""

    name: str
    function: ActivityFunction
    concurrency: Concurrency | None  # how many run at once in this engine; None: no limit of its own
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionalActivity:
    """A sync function `(tx, value)` without I/O that the writer runs: its writes happen exactly once, with its completion."""

    name: str
    function: TransactionalFunction


class Registry:
    """Orchestrators and activities under the names of their functions."""

    def __init__(self) -> None:
        self.orchestrators: dict[str, OrchestratorFunction] = {}
        self.activities: dict[str, Activity | TransactionalActivity] = {}

    def orchestrator(self, function: Orchestrator) -> Orchestrator:
        """Register a generator function that yields tasks."""
        self._refuse_second(self.orchestrators, function.__name__)
        self.orchestrators[function.__name__] = function
        return function

    @overload
    def activity(self, function: AnyActivity) -> AnyActivity: ...

    @overload
    def activity(
        self, *, concurrency: Concurrency | None = None, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> Callable[[AnyActivity], AnyActivity]: ...

    def activity(
        self,
        function: AnyActivity | None = None,
        *,
        concurrency: Concurrency | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> AnyActivity | Callable[[AnyActivity], AnyActivity]:
        """Register an `async def` activity; works bare or called.

        `concurrency` is how many run at once: a number, or `(lowest, highest)` for a limit that adapts to load between the two.
        Raises `ValueError` when no call could ever run, or the bounds are the wrong way round.
        """
        if concurrency is not None:
            limit_of(concurrency)  # refused here, and not at the first call

        def register(function: AnyActivity) -> AnyActivity:
            name = function.__name__
            self._refuse_second(self.activities, name)
            self.activities[name] = Activity(name=name, function=function, concurrency=concurrency, timeout_seconds=timeout_seconds)
            return function

        return register if function is None else register(function)

    def transactional(self, function: AnyTransactional) -> AnyTransactional:
        """Register a transactional activity: sync, `(tx, value)`, no I/O, under 50 ms."""
        name = function.__name__
        self._refuse_second(self.activities, name)
        self.activities[name] = TransactionalActivity(name=name, function=function)
        return function

    @staticmethod
    def _refuse_second(known: dict[str, Any], name: str) -> None:
        if name in known:
            raise ValueError(f"{name!r} is registered already; names must be unique in a registry")
