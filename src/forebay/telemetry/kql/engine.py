"""Answers queries: waits for what was acknowledged, translates, runs within limits on what one project may see."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.telemetry.drainer import Drainer
from forebay.telemetry.kql.execution import Execution, Plan, Stop, Timespan, failure
from forebay.telemetry.kql.result import QueryResult
from forebay.telemetry.kql.text import check_text
from forebay.telemetry.kql.translation import Schema, Translation, TranslationCache
from forebay.telemetry.store.store import TelemetryStore
from forebay.telemetry.tables import queryable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

INTERRUPT_SECONDS = 0.1


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
        self._schema: Schema = {table: tuple(column.name for column in columns) for table, columns in queryable().items()}
        self._cache = TranslationCache(self._translate)
        # one at a time: a translation holds the interpreter's lock
        self._translator = ThreadPoolExecutor(1, thread_name_prefix="forebay-kql")
        self._threads = ThreadPoolExecutor(self._limits.running_count, thread_name_prefix="forebay-query")
        self._parser: DuckDBPyConnection | None = None
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

        Raises `ForebayError`: `query_syntax`, `query_unsupported`, `query_table_unknown`, `query_forbidden`, `query_too_complex`,
        `query_parameter_invalid`, `query_failed`, `query_timeout`, `query_memory`, `query_busy`, and as `TelemetryStore.open` does.

        Guarantees: it sees what was acknowledged before it began, or `lag_seconds` is above 0; it sees one state of the tables.
        """
        began = time.perf_counter()
        check_text(text)
        with self._admitted():
            ends = self._drainer.ends()
            translation = self._cache.find(text)
            if translation is None:
                translation = await asyncio.get_running_loop().run_in_executor(self._translator, self._cache.translate, text)
            from forebay.telemetry.kql.library import bind  # loaded with the first translation, in its thread

            plan = Plan(
                translation=translation,
                schema=self._schema,
                project=project,
                timespan=timespan,
                parameters=bind(translation, self._clock.now(), parameters or {}),
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
            chart=translation.chart,
        )

    async def close(self) -> None:
        """Stop the queries that run, and free everything. May be called twice."""
        await asyncio.gather(*(_stop(execution, work, "closed") for work, execution in self._running.items()))
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._translator.shutdown)
        if self._parser is not None:
            self._parser.close()
            self._parser = None

    def _translate(self, text: str) -> Translation:
        import duckdb

        from forebay.telemetry.kql.library import translate

        if self._parser is None:
            self._parser = duckdb.connect(":memory:", config={"enable_external_access": "false", "threads": "1"})
        return translate(text, self._schema, self._parser)

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
