"""What a query answers, in KQL's types."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec

from forebay.telemetry.kql.text import ChartHint

ResultType = Literal["string", "int", "long", "real", "bool", "datetime", "timespan", "dynamic", "guid"]

_LONG = range(-(2**63), 2**63)
_WIDE = frozenset({"HUGEINT", "UHUGEINT", "UBIGINT"})
_TYPES: dict[str, ResultType] = {
    "BOOLEAN": "bool",
    "TINYINT": "int",
    "UTINYINT": "int",
    "SMALLINT": "int",
    "USMALLINT": "int",
    "INTEGER": "int",
    "UINTEGER": "long",
    "BIGINT": "long",
    "FLOAT": "real",
    "DOUBLE": "real",
    "VARCHAR": "string",
    "UUID": "guid",
    "DATE": "datetime",
    "TIMESTAMP": "datetime",
    "TIMESTAMP_S": "datetime",
    "TIMESTAMP_MS": "datetime",
    "TIMESTAMP_NS": "datetime",
    "TIMESTAMP WITH TIME ZONE": "datetime",
    "TIME": "timespan",
    "INTERVAL": "timespan",
    "JSON": "dynamic",
}
_COMPOSITE = re.compile(r"\]$|^(STRUCT|MAP|UNION|LIST)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """The rows of a query.

    Values by type: str, int, float (which may be infinite or no number), bool, timezone-aware datetime, timedelta, for guid its text, for
    dynamic what its JSON decodes to; None for null.
    """

    columns: tuple[tuple[str, ResultType], ...]
    rows: list[tuple[Any, ...]]
    took_ms: float
    lag_seconds: float  # 0 when everything acknowledged before the query is in the answer; else how old what is missing may be
    truncated: Literal["rows", "bytes"] | None  # which limit cut the answer short
    chart: ChartHint | None  # what `render` asks for


def result_type(duckdb_type: str) -> ResultType:
    """The KQL type of a DuckDB type; of integers wider than 64 bits it depends on the values."""
    if duckdb_type in _WIDE:
        return "long"
    if duckdb_type.startswith("DECIMAL"):
        return "real"
    if _COMPOSITE.search(duckdb_type):
        return "dynamic"
    return _TYPES.get(duckdb_type, "string")


class RowConverter:
    """Turns rows of DuckDB into rows of KQL, and learns the columns' types meanwhile."""

    def __init__(self, described: Sequence[tuple[str, str]]) -> None:
        """`described` has each column's name and DuckDB type."""
        self._names = [name for name, _ in described]
        self._types = [result_type(kind) for _, kind in described]
        self._wide = [index for index, (_, kind) in enumerate(described) if kind in _WIDE]
        self._conversions = [
            (index, conversion) for index, (_, kind) in enumerate(described) if (conversion := _conversion(kind)) is not None
        ]

    def convert(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Rows with the values that `QueryResult` promises."""
        if not self._conversions and not self._wide:
            return list(rows)
        converted = []
        for row in rows:
            values = list(row)
            for index, conversion in self._conversions:
                if values[index] is not None:
                    values[index] = conversion(values[index])
            for index in self._wide:
                if values[index] is not None and values[index] not in _LONG:
                    self._types[index] = "real"
            converted.append(tuple(values))
        return converted

    def finish(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows once all are there: a column of integers that do not fit is one of reals."""
        reals = [index for index in self._wide if self._types[index] == "real"]
        if not reals:
            return rows
        return [tuple(float(value) if index in reals and value is not None else value for index, value in enumerate(row)) for row in rows]

    @property
    def columns(self) -> tuple[tuple[str, ResultType], ...]:
        """Names and types."""
        return tuple(zip(self._names, self._types, strict=True))


def size_bytes(rows: Sequence[tuple[Any, ...]]) -> int:
    """About how much these rows are on the wire."""
    return sum(len(value) + 8 if isinstance(value, str) else 24 for row in rows for value in row)


def _conversion(duckdb_type: str) -> Callable[[Any], Any] | None:
    if duckdb_type == "JSON":
        return _decoded
    kind = result_type(duckdb_type)
    if kind == "datetime":
        return _aware
    if duckdb_type.startswith("DECIMAL"):
        return float
    if duckdb_type == "TIME":
        return lambda at: timedelta(hours=at.hour, minutes=at.minute, seconds=at.second, microseconds=at.microsecond)
    if kind == "dynamic":
        return _plain
    if kind in ("guid", "string") and duckdb_type != "VARCHAR":
        return str
    return None


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _aware(at: date | str) -> datetime | None:
    if isinstance(at, datetime):
        return at.replace(tzinfo=UTC)
    if isinstance(at, str):  # a year that neither Python nor Kusto has
        return None
    return datetime.combine(at, time(), UTC)


def _plain(value: Any) -> Any:
    """A nested value as JSON would have it."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds") + "Z"
    return str(value)
