"""Answers queries: waits for what was acknowledged, translates, runs within limits on what one project may see."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.telemetry.drainer import Drainer
from forebay.telemetry.kql.binding.binder import Explore
from forebay.telemetry.kql.types import Schema
from forebay.telemetry.log.port import Positions
from forebay.telemetry.query.completion import Completion, complete_query
from forebay.telemetry.query.execution import Execution, Plan, Stop, Timespan, failure, translated
from forebay.telemetry.query.explanation import Explanation, explain
from forebay.telemetry.query.result import QueryResult
from forebay.telemetry.query.translation import Translation, TranslationCache, schema_of_project, translate, values_of
from forebay.telemetry.store.store import TelemetryStore

INTERRUPT_SECONDS = 0.1

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """What one query may take; a query may ask for less."""

    execution_seconds: float = 30.0
    wait_seconds: float = 5.0  # for what was acknowledged before the query
    rows: int = 10_000
    most_rows: int = 500_000  # that a query may ask for
    result_bytes: int = 64 << 20
    running_count: int = 4  # queries at the same time
    waiting_count: int = 64  # that wait for those; more are refused


class QueryEngine:
    """KQL over one store. Inserts go on while queries run."""

    def __init__(self, store: TelemetryStore, drainer: Drainer, *, clock: Clock, limits: QueryLimits | None = None) -> None:
        self._store = store
        self._drainer = drainer
        self._clock = clock
        self._limits = limits or QueryLimits()
        self._schemas = {is_bounded: schema_of_project(is_bounded=is_bounded) for is_bounded in (False, True)}
        self._cache = TranslationCache(lambda text, is_bounded: translate(text, self._schemas[is_bounded], is_bounded=is_bounded))
        # one at a time: it holds the interpreter's lock
        self._translator = ThreadPoolExecutor(1, thread_name_prefix="forebay-kql")
        self._threads = ThreadPoolExecutor(self._limits.running_count, thread_name_prefix="forebay-query")
        self._turns = asyncio.Semaphore(self._limits.running_count)
        self._admitted_count = 0
        self._running: dict[asyncio.Future[None], Execution] = {}

    async def query(
        self,
        text: str,
        *,
        project: str,
        timespan: Timespan | None = None,
        parameters: Mapping[str, Any] | None = None,
        row_limit: int | None = None,
        execution_seconds: float | None = None,
    ) -> QueryResult:
        """Answer one KQL query over the rows of one project.

        `parameters` are values for what the text declares with `declare query_parameters`. What is over the row limit [10,000] or the
        limit of bytes is cut, and `truncated` says so.

        Raises `ForebayError`: as `translation.translate` and `values_of` do, `query_failed`, `query_timeout`, `query_memory`, `query_busy`,
        and as `TelemetryStore.open` does.

        Guarantees: it sees what was acknowledged before it began, or `lag_seconds` is above 0; it sees one state of the tables.
        """
        began = time.perf_counter()
        with self._admitted():
            ends = self._drainer.ends()
            is_bounded = timespan is not None
            translation = self._cache.find(text, is_bounded=is_bounded)
            # a query that need not wait is translated in the thread that runs it; what is wrong with another is told before it waits
            if translation is None and self._has_to_wait(ends):
                made = partial(translated, partial(self._translate, text, is_bounded))
                translation = await asyncio.get_running_loop().run_in_executor(self._translator, made)
            plan = Plan(
                translate=partial(self._translate, text, is_bounded),
                translation=translation,
                values=partial(values_of, now=self._clock.now(), given=parameters or {}),
                project=project,
                timespan=timespan,
                row_limit=min(self._limits.rows if row_limit is None else max(0, row_limit), self._limits.most_rows),
                limit_bytes=self._limits.result_bytes,
            )
            is_complete = await self._drainer.until_drained(ends, self._limits.wait_seconds)
            lag_seconds = 0.0 if is_complete else max(self._drainer.lag_seconds(), 0.001)
            seconds = min(self._limits.execution_seconds, execution_seconds or self._limits.execution_seconds)
            async with self._turns:
                execution = await self._execute(plan, seconds)
        return QueryResult(
            columns=execution.converter.columns,
            rows=execution.rows,
            took_ms=(time.perf_counter() - began) * 1000,
            lag_seconds=lag_seconds,
            truncated=execution.truncated,
            chart=execution.chart,
        )

    async def close(self) -> None:
        """Stop the queries that run, and free everything. May be called twice."""
        await asyncio.gather(*(_stop(execution, work, "closed") for work, execution in self._running.items()))
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._translator.shutdown)

    def schema(self) -> Schema:
        """The tables that queries see, with their columns."""
        return self._schemas[False]

    async def explain(self, text: str, *, is_bounded: bool = False) -> Explanation:
        """How a query is understood, and its SQL, of rows between `$start` and `$end` where `is_bounded`.

        Nothing is run. Raises `ForebayError` as `explanation.explain` does, and `query_busy`.
        """
        return await self._read(explain, text, self._schemas[is_bounded])

    async def complete(self, text: str, cursor: int) -> Completion:
        """What may be written at a place of a query, and what is wrong with it.

        Raises `ForebayError` as `completion.complete_query` does, and `query_busy`.
        """
        return await self._read(complete_query, text, cursor, self._schemas[False])

    async def _read(self, read: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Do something with a text, in the thread that translates."""
        with self._admitted():
            return await asyncio.get_running_loop().run_in_executor(self._translator, partial(read, *arguments, **named))

    def _has_to_wait(self, ends: Positions) -> bool:
        """Whether a query waits: for its turn, for the translation of another, or until everything up to `ends` is in the tables."""
        if self._turns.locked() or self._cache.is_busy:
            return True
        positions = self._store.positions
        return any(positions.get(partition, 0) < offset for partition, offset in ends.items())

    def _translate(self, text: str, is_bounded: bool, explore: Explore | None = None) -> Translation:
        if explore is not None:
            return translate(text, self._schemas[is_bounded], is_bounded=is_bounded, explore=explore)
        return self._cache.translate(text, is_bounded=is_bounded)

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        limit = self._limits.running_count + self._limits.waiting_count
        if self._admitted_count >= limit:
            raise ForebayError(
                "query_busy",
                f"{self._admitted_count} queries run or wait, which is the limit",
                hint="try again later",
                retryable=True,
                status=429,
                retry_after_seconds=1.0,
            )
        self._admitted_count += 1
        try:
            yield
        finally:
            self._admitted_count -= 1

    async def _execute(self, plan: Plan, seconds: float) -> Execution:
        execution = Execution(await self._store.cursor(), plan)
        work = asyncio.get_running_loop().run_in_executor(self._threads, execution.run)
        self._running[work] = execution
        try:
            finished, _ = await asyncio.wait([work], timeout=seconds)
            if not finished:
                await _stop(execution, work, "timeout")
        except asyncio.CancelledError:
            await _stop(execution, work, "cancelled")  # its thread and connection are free afterwards
            work.exception()  # nobody else asks how it ended
            raise
        finally:
            del self._running[work]
        error = work.exception()
        if execution.stopped or error is not None:
            raise failure(error, execution.stopped, seconds) from error
        return execution


async def _stop(execution: Execution, work: asyncio.Future[None], why: Stop) -> None:
    """Interrupt a query until it ends: an interrupt that comes between two statements is lost."""
    execution.stopped = why
    while not work.done():
        with contextlib.suppress(Exception):  # the connection may close at this moment
            execution.interrupt()
        await asyncio.wait([work], timeout=INTERRUPT_SECONDS)
