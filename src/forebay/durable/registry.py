"""Which functions an engine may run, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

from forebay.database.transaction import Transaction
from forebay.durable.activities.limits import Concurrency, limit_of
from forebay.durable.orchestration.context import OrchestrationContext
from forebay.durable.orchestration.driver import OrchestratorFunction
from forebay.durable.orchestration.tasks import Task

ActivityFunction = Callable[[Any], Any]
TransactionalFunction = Callable[[Transaction, Any], Any]
Orchestrator = TypeVar("Orchestrator", bound=Callable[[OrchestrationContext], Generator[Task[Any], Any, Any]])
AnyActivity = TypeVar("AnyActivity", bound=Callable[[Any], Any])
AnyTransactional = TypeVar("AnyTransactional", bound=TransactionalFunction)
RunsIn = Literal["loop", "thread", "process"]

DEFAULT_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Takes and returns a JSON value; runs at least once, its result is recorded exactly once."""

    name: str
    function: ActivityFunction  # `async def` if it runs in the loop, else `def`
    runs_in: RunsIn
    concurrency: Concurrency | None  # how many run at once in this engine; None: no limit of its own
    timeout_seconds: float
    expected: frozenset[str] = frozenset()  # codes of errors that make no dead letter


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionalActivity:
    """A sync function `(tx, value)` without I/O that the writer runs: its writes happen exactly once, with its completion."""

    name: str
    function: TransactionalFunction
    expected: frozenset[str] = frozenset()  # codes of errors that make no dead letter


class Registry:
    """Orchestrators and activities under the names of their functions."""

    def __init__(self) -> None:
        self._orchestrators: dict[str, dict[str | None, OrchestratorFunction]] = {}  # by name and version, newest last
        self.activities: dict[str, Activity | TransactionalActivity] = {}

    @overload
    def orchestrator(self, function: Orchestrator) -> Orchestrator: ...
    @overload
    def orchestrator(self, *, version: str | None = None) -> Callable[[Orchestrator], Orchestrator]: ...
    def orchestrator(
        self, function: Orchestrator | None = None, *, version: str | None = None
    ) -> Orchestrator | Callable[[Orchestrator], Orchestrator]:
        """Register a generator function that yields tasks; works bare or called.

        Several functions of one name may be registered with different versions: an instance keeps the version that it began with, and
        begins with the one that was registered last. Raises `ValueError` when this one is registered already.
        """

        def register(function: Orchestrator) -> Orchestrator:
            versions = self._orchestrators.setdefault(function.__name__, {})
            if version in versions:
                which = "" if version is None else f" version {version!r}"
                raise ValueError(f"{function.__name__!r}{which} is registered already; names and versions must be unique in a registry")
            versions[version] = function
            return function

        return register if function is None else register(function)

    @property
    def orchestrator_names(self) -> list[str]:
        """The names of all orchestrators, sorted."""
        return sorted(self._orchestrators)

    def find_orchestrator(self, name: str, version: str | None) -> OrchestratorFunction | None:
        """The function that runs instances of this name and version; None if it is not registered."""
        return self._orchestrators.get(name, {}).get(version)

    def versions(self, name: str) -> list[str | None]:
        """The registered versions of an orchestrator, newest last."""
        return list(self._orchestrators.get(name, {}))

    @overload
    def activity(self, function: AnyActivity) -> AnyActivity: ...
    @overload
    def activity(
        self,
        *,
        concurrency: Concurrency | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        process: bool = False,
        expected: Collection[str] = (),
    ) -> Callable[[AnyActivity], AnyActivity]: ...
    def activity(
        self,
        function: AnyActivity | None = None,
        *,
        concurrency: Concurrency | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        process: bool = False,
        expected: Collection[str] = (),
    ) -> AnyActivity | Callable[[AnyActivity], AnyActivity]:
        """Register an activity; works bare or called. An `async def` runs in the event loop, a `def` in a thread of the engine's.

        `concurrency` is how many run at once: a number, or `(lowest, highest)` for a limit that adapts to load between the two.
        `timeout_seconds` is how long one try may take, or go without a heartbeat (see `current_activity`). Waiting for a place does not
        count. A thread cannot be stopped: one that is over its time goes on, keeps its place among `EngineLimits.blocking_threads`
        until it ends, and what it returns is ignored.
        `process` runs a `def` in another process, which imports it by the names of its module and its own: one that crashes or is over
        its time costs that try alone. What such a function prints is not kept; what it logs is logged by the engine's process.
        `expected` has codes of errors that are answers, for which the orchestrator is prepared: they fail the call and make no dead
        letter.
        Raises `ValueError` when no call could ever run, the bounds are the wrong way round, or a process cannot run it.
        """
        if concurrency is not None:
            limit_of(concurrency)  # refused here, and not at the first call
        if not timeout_seconds > 0:
            raise ValueError(f"expected timeout_seconds above 0, got {timeout_seconds}")

        def register(function: AnyActivity) -> AnyActivity:
            name = function.__name__
            self._refuse_second(name)
            runs_in = _runs_in(function, process)
            self.activities[name] = Activity(
                name=name,
                function=function,
                runs_in=runs_in,
                concurrency=concurrency,
                timeout_seconds=timeout_seconds,
                expected=frozenset(expected),
            )
            return function

        return register if function is None else register(function)

    @overload
    def transactional(self, function: AnyTransactional) -> AnyTransactional: ...
    @overload
    def transactional(self, *, expected: Collection[str] = ()) -> Callable[[AnyTransactional], AnyTransactional]: ...
    def transactional(
        self, function: AnyTransactional | None = None, *, expected: Collection[str] = ()
    ) -> AnyTransactional | Callable[[AnyTransactional], AnyTransactional]:
        """Register a transactional activity: sync, `(tx, value)`, no I/O, under 50 ms; works bare or called, `expected` as above."""

        def register(function: AnyTransactional) -> AnyTransactional:
            name = function.__name__
            self._refuse_second(name)
            self.activities[name] = TransactionalActivity(name=name, function=function, expected=frozenset(expected))
            return function

        return register if function is None else register(function)

    def _refuse_second(self, name: str) -> None:
        if name in self.activities:
            raise ValueError(f"{name!r} is registered already; names must be unique in a registry")


def _runs_in(function: Callable[[Any], Any], process: bool) -> RunsIn:
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
    if process:
        obstacle = "is an `async def`; a process runs a `def`" if is_async else _import_obstacle(function)
        if obstacle is not None:
            raise ValueError(f"{function.__name__!r} {obstacle}")
    return "loop" if is_async else "process" if process else "thread"


def _import_obstacle(function: Callable[[Any], Any]) -> str | None:
    """Why another process cannot import this function, and what to do."""
    qualified_name = getattr(function, "__qualname__", None)
    if inspect.ismethod(function) or qualified_name is None:
        return "is bound to an object, which another process does not have; register a function of a module's top level"
    if "<" in qualified_name:
        return f"is {qualified_name}; another process can only import what a module defines at its top level: move it there and name it"
    if function.__module__ == "__main__":
        return "is defined in the script that is run, which another process cannot import; move it to a module that the script imports"
    return None
