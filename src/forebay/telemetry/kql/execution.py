"""Runs a translated query in a thread, on what one project may see of the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from forebay.errors import ForebayError
from forebay.telemetry.kql.result import RowConverter, size_bytes
from forebay.telemetry.kql.translation import Schema, Translation
from forebay.telemetry.store.schema import SCHEMA, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FETCH_ROWS = 2000
RANGE_LIMIT = 1_000_000  # steps of a `range`, which DuckDB makes in memory at once

Stop = Literal["timeout", "cancelled", "closed"]  # why a query was stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Timespan:
    """Rows whose `timestamp` is in [start, end) are all that a query sees."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("expected timezone-aware datetimes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A translated query with everything that it runs with."""

    translation: Translation
    schema: Schema
    project: str
    timespan: Timespan | None
    parameters: Mapping[str, Any]
    row_limit: int
    limit_bytes: int


class Execution:
    """A query on its way through a thread, and afterwards its rows."""

    def __init__(self, cursor: DuckDBPyConnection, plan: Plan) -> None:
        """`cursor` is for this query alone, and closed after it."""
        self._cursor = cursor
        self._plan = plan
        self.stopped: Stop | None = None
        self.converter = RowConverter([])
        self.rows: list[tuple[Any, ...]] = []
        self.truncated: Literal["rows", "bytes"] | None = None

    def run(self) -> None:
        """Fill `rows`. Raises DuckDB's errors, and `ForebayError` (`query_too_complex`)."""
        try:
            for table in sorted(self._plan.translation.tables):
                self._cursor.execute(_view(table, self._plan.schema[table], self._plan.project, self._plan.timespan))
            self._cursor.execute("BEGIN TRANSACTION READ ONLY")
            for query in self._plan.translation.ranges:
                _check_range(self._cursor, query, self._plan.parameters)
            self._select()
            self._fetch()
        finally:
            self._cursor.close()

    def interrupt(self) -> None:
        """End the statement that runs at this moment, if one does. From any thread."""
        self._cursor.interrupt()

    def _select(self) -> None:
        # the answer is on lines of its own, so that no comment can swallow what follows
        limited = f"SELECT * FROM (\n{self._plan.translation.sql}\n) AS answer LIMIT {self._plan.row_limit + 1}"
        described = self._execute(limited)
        if any(kind == "TIMESTAMP WITH TIME ZONE" for _, kind in described):
            described = self._execute(_without_zones(limited, described))
        self.converter = RowConverter(described)

    def _execute(self, query: str) -> list[tuple[str, str]]:
        self._cursor.execute(query, dict(self._plan.parameters) or None)
        return [(name, str(kind)) for name, kind, *_ in self._cursor.description]

    def _fetch(self) -> None:
        size = 0
        while not self.stopped:
            fetched = self._cursor.fetchmany(FETCH_ROWS)
            if not fetched:
                break
            size += size_bytes(fetched)
            if size > self._plan.limit_bytes:
                self.truncated = "bytes"
                break
            self.rows += self.converter.convert(fetched)
            if len(self.rows) > self._plan.row_limit:
                del self.rows[self._plan.row_limit :]
                self.truncated = "rows"
                break
        self.rows = self.converter.finish(self.rows)


def _view(table: str, columns: tuple[str, ...], project: str, timespan: Timespan | None) -> str:
    """What a query sees under the name of a table: the rows of one project."""
    shown = ", ".join(quoted(column) for column in columns)
    conditions = f"_project = {_text(project)}"
    if timespan is not None:
        conditions += f" AND timestamp >= {_timestamp(timespan.start)} AND timestamp < {_timestamp(timespan.end)}"
    return f"CREATE TEMP VIEW {quoted(table)} AS SELECT {shown} FROM {SCHEMA}.{quoted(table)} WHERE {conditions}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _timestamp(at: datetime) -> str:
    return f"TIMESTAMP '{at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ', timespec='microseconds')}'"


def _without_zones(query: str, described: list[tuple[str, str]]) -> str:
    """The same with times as KQL has them: DuckDB's driver needs a library to convert zones."""
    names = ", ".join(quoted(f"c{index}") for index in range(len(described)))
    values = ", ".join(
        f"{quoted(f'c{index}')}{' AT TIME ZONE ' + _text('UTC') if kind == 'TIMESTAMP WITH TIME ZONE' else ''} AS {quoted(name)}"
        for index, (name, kind) in enumerate(described)
    )
    return f"SELECT {values} FROM ({query}) AS zoned({names})"


def _check_range(cursor: DuckDBPyConnection, query: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a `range` of too many steps before DuckDB makes it."""
    needed = {name: value for name, value in parameters.items() if f"${name}" in query}
    found = cursor.execute(query, needed or None).fetchone()
    if found is None or None in found:
        return
    start, stop, step = found
    zero = timedelta() if isinstance(step, timedelta) else 0
    if step != zero and (stop - start) / step > RANGE_LIMIT:
        raise ForebayError("query_too_complex", f"expected a range of at most {RANGE_LIMIT} steps, got more", hint="take larger steps")


def failure(error: BaseException | None, stopped: Stop | None, seconds: float) -> BaseException:
    """What went wrong, for who asked."""
    import duckdb

    if stopped == "timeout":
        return ForebayError(
            "query_timeout",
            f"the query took longer than {seconds:g} seconds and was stopped",
            hint="narrow its time range, filter before joining, or aggregate",
            status=504,
        )
    if stopped is not None:
        return ForebayError("telemetry_store_unavailable", "the program stops", retryable=True, status=503)
    if isinstance(error, duckdb.OutOfMemoryException):
        return ForebayError(
            "query_memory", "the query needs more memory than queries may use", hint="narrow its time range, or aggregate", status=413
        )
    if isinstance(error, (duckdb.IOException, duckdb.FatalException, duckdb.InternalException)):
        return ForebayError(
            "telemetry_store_unavailable", f"the telemetry store could not be read: {type(error).__name__}", retryable=True, status=503
        )
    if isinstance(error, duckdb.Error):
        # the first line says what is wrong; the others quote SQL that the user has not written
        return ForebayError("query_failed", str(error).split("\n", 1)[0][:500], hint="check the names and types of columns with getschema")
    if isinstance(error, (TypeError, ValueError, OverflowError)):
        return ForebayError("query_failed", f"a value of the answer cannot be shown: {str(error)[:300]}")
    assert error is not None, "it failed or it was stopped"
    return error
