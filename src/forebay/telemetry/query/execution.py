"""Runs a translated query in a thread, on what one project may see of the tables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from forebay.errors import ForebayError
from forebay.telemetry.kql.binding.binder import Explore
from forebay.telemetry.kql.binding.bound import Relation
from forebay.telemetry.kql.compiler import generate_relation
from forebay.telemetry.kql.connection import define_python
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.query.result import RowConverter, size_bytes
from forebay.telemetry.query.translation import ChartHint, NeedsData, Translation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FETCH_ROWS = 2000
EXPLORED_ROWS = 100_000  # that may be read to learn which columns a query has

Stop = Literal["timeout", "cancelled", "closed"]  # why a query was stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Timespan:
    """Rows whose `timestamp` is in [start, end) are all that a query sees."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("expected timezone-aware datetimes")


class Translate(Protocol):
    """Translates the query. Raises `NeedsData` where it needs `explore` and has none."""

    def __call__(self, *, explore: Explore | None = None) -> Translation: ...


def translated(translate: Translate) -> Translation | None:
    """The translation; None where it needs data."""
    try:
        return translate()
    except NeedsData:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A query with everything that it runs with."""

    translation: Translation | None  # None: it is made with `translate`
    translate: Translate
    values: Callable[[Translation], dict[str, Any]]  # for the parameters of its SQL
    project: str
    timespan: Timespan | None
    row_limit: int
    limit_bytes: int


class Execution:
    """A query on its way through a thread, and afterwards its rows."""

    def __init__(self, cursor: DuckDBPyConnection, plan: Plan) -> None:
        """`cursor` is for this query alone, and closed after it."""
        self._cursor = cursor
        self._plan = plan
        self.stopped: Stop | None = None
        self.converter = RowConverter(())
        self.chart: ChartHint | None = None
        self.rows: list[tuple[Any, ...]] = []
        self.truncated: Literal["rows", "bytes"] | None = None

    def run(self) -> None:
        """Fill `rows`. Raises DuckDB's errors, and `ForebayError` as `translate` and `values_of` do."""
        try:
            known = self._plan.translation or translated(self._plan.translate)
            # what is read to find out about columns, and what then follows from it, may need any of the functions
            define_python(self._cursor, registry.python_names() if known is None else known.statement.python)
            self._cursor.execute("BEGIN TRANSACTION READ ONLY")
            translation = known or self._plan.translate(explore=self._explore)
            self.chart = translation.chart
            self.converter = RowConverter(translation.statement.columns)
            # the answer is on lines of its own, so that no comment can swallow what follows
            limited = f"SELECT * FROM (\n{translation.statement.sql}\n) AS answer LIMIT {self._plan.row_limit + 1}"
            with _converting():
                self._execute(limited, self._plan.values(translation))
                self._fetch()
        except StopIteration as error:  # no future can hold it: whoever waits would wait for ever
            raise RuntimeError("a translation has ended in the midst of an iteration") from error
        finally:
            self._cursor.close()

    def _explore(self, relation: Relation) -> list[tuple[Any, ...]]:
        """The rows of a part of the query, which say what columns it has."""
        statement = generate_relation(relation)
        sql = f"SELECT * FROM (\n{statement.sql}\n) AS explored LIMIT {EXPLORED_ROWS + 1}"
        with _converting():
            self._execute(sql, {})
            rows = self._cursor.fetchall()
        if len(rows) > EXPLORED_ROWS:
            raise ForebayError(
                "query_too_complex", f"expected columns that at most {EXPLORED_ROWS} rows say, got more", hint="filter before"
            )
        return rows

    def _execute(self, sql: str, values: Mapping[str, Any]) -> None:
        span = self._plan.timespan
        bounds = {} if span is None else {"start": _naive(span.start), "end": _naive(span.end)}
        given = {"project": self._plan.project, **bounds, **values}
        used = {name: value for name, value in given.items() if f"${name}" in sql}
        self._cursor.execute(sql, used or None)

    def interrupt(self) -> None:
        """End the statement that runs at this moment, if one does. From any thread."""
        self._cursor.interrupt()

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


@contextlib.contextmanager
def _converting() -> Iterator[None]:
    """Tell of values that Python or DuckDB does not have; such errors anywhere else are defects."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise ForebayError("query_failed", f"a value of the query, or of its answer, cannot be converted: {str(error)[:300]}") from error


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


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
    if isinstance(error, duckdb.InvalidInputException):
        # what the SQL itself refuses: a range or series that is too long, an `assert` that does not hold
        told = str(error).removeprefix("Invalid Input Error: ").split("\n", 1)[0][:500]
        if told.startswith("expected a range"):
            return ForebayError("query_too_complex", told, hint="take larger steps")
        return ForebayError("query_failed", told)
    if isinstance(error, duckdb.Error):
        # the first line says what is wrong; the others quote SQL that the user has not written
        return ForebayError("query_failed", str(error).split("\n", 1)[0][:500], hint="check the names and types of columns with getschema")
    assert error is not None, "it failed or it was stopped"
    return error
