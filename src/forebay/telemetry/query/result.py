"""What a query answers, in KQL's types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec

from forebay.telemetry.kql.binding.bound import Column
from forebay.telemetry.kql.types import TICKS_PER_MICROSECOND, KqlType
from forebay.telemetry.query.translation import ChartHint


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """The rows of a query.

    Values by type: str, int, float (which may be infinite or no number), bool, timezone-aware datetime, timedelta (of whole microseconds),
    for guid and decimal their text, for dynamic what its JSON decodes to; None for null, which a string never is.
    """

    columns: tuple[tuple[str, KqlType], ...]
    rows: list[tuple[Any, ...]]
    took_ms: float
    lag_seconds: float  # 0 when everything acknowledged before the query is in the answer; else how old what is missing may be
    truncated: Literal["rows", "bytes"] | None  # which limit cut the answer short
    chart: ChartHint | None  # what `render` asks for


class RowConverter:
    """Turns rows of DuckDB into rows of KQL."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._conversions = [
            (index, conversion) for index, column in enumerate(columns) if (conversion := _CONVERSIONS.get(column.type)) is not None
        ]
        self._texts = [index for index, column in enumerate(columns) if column.type == "string"]

    def convert(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Rows with the values that `QueryResult` promises."""
        if not self._conversions and not self._texts:
            return list(rows)
        converted = []
        for row in rows:
            values = list(row)
            for index in self._texts:
                if values[index] is None:
                    values[index] = ""
            for index, conversion in self._conversions:
                if values[index] is not None:
                    values[index] = conversion(values[index])
            converted.append(tuple(values))
        return converted

    @property
    def columns(self) -> tuple[tuple[str, KqlType], ...]:
        """Names and types."""
        return tuple((column.name, column.type) for column in self._columns)


def size_bytes(rows: Sequence[tuple[Any, ...]]) -> int:
    """About how much these rows are on the wire."""
    return sum(len(value) + 8 if isinstance(value, str) else 24 for row in rows for value in row)


def _decoded(text: Any) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, TypeError):
        return text


def _aware(at: datetime | str) -> datetime | None:
    # a text is a year that neither Python nor Kusto has
    return at.replace(tzinfo=UTC) if isinstance(at, datetime) else None


def _span(ticks: int) -> timedelta:
    return timedelta(microseconds=ticks // TICKS_PER_MICROSECOND)


def _number(value: Decimal) -> str:
    return f"{value.normalize():f}"


_CONVERSIONS: dict[KqlType, Callable[[Any], Any]] = {
    "dynamic": _decoded,
    "datetime": _aware,
    "timespan": _span,
    "guid": str,
    "decimal": _number,
}
