"""How values of each type are written as JSON, as which DuckDB holds `dynamic`.

Kusto's `dynamic` holds typed values; where JSON has no such type it writes text: datetime `2024-01-01T00:00:00.0000000Z`, timespan
`1.02:03:04.5000000`, guid and decimal as they are read, and the reals `NaN`, `Infinity` and `-Infinity`.
Source: https://learn.microsoft.com/kusto/query/scalar-data-types/dynamic
"""

from __future__ import annotations

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.types import TICKS_PER_DAY, TICKS_PER_SECOND, KqlType

MAXIMUM_ELEMENTS = 1_048_576  # of an array that a function makes


def json_of(argument: Argument) -> str:
    """The SQL of a value of any type as JSON. NULL stays NULL, but for a string, where it is ''."""
    if argument.type == "dynamic":
        return argument.sql
    if argument.type == "real":
        return _real(argument.once, argument.value)
    return f"to_json({in_json(argument)})"


def in_json(argument: Argument) -> str:
    """The SQL of a value that `to_json`, `json_array` and `json_object` write as Kusto writes it."""
    if argument.type == "real":
        return _real(argument.once, argument.value)
    if argument.type in ("datetime", "decimal", "timespan"):
        return jsonable(argument.once, argument.type)
    return argument.sql


def jsonable(sql: str, kind: KqlType) -> str:
    """The same, of the SQL of a value of this type; `sql` should be short, for it may stand there several times."""
    match kind:
        case "string":
            return f"coalesce({sql}, '')"
        case "real":
            return _real(sql)
        case "datetime":
            return f"strftime({sql}, '%Y-%m-%dT%H:%M:%S.%f0Z')"
        case "decimal":
            return f"rtrim(rtrim(CAST({sql} AS VARCHAR), '0'), '.')"
        case "timespan":
            return _timespan(sql)
        case "guid":
            return f"CAST({sql} AS VARCHAR)"
        case _:
            return sql


def _real(sql: str, value: object = None) -> str:
    if isinstance(value, float) and value - value == 0:  # neither NaN nor infinite
        return f"to_json({sql})"
    return (
        f"CASE WHEN isfinite({sql}) THEN to_json({sql}) WHEN isnan({sql}) THEN '\"NaN\"'::JSON "
        f"WHEN {sql} > 0 THEN '\"Infinity\"'::JSON WHEN {sql} < 0 THEN '\"-Infinity\"'::JSON END"
    )


def _timespan(sql: str) -> str:
    ticks = f"abs(CAST({sql} AS HUGEINT))"  # the smallest one has no positive counterpart of 64 bits

    def part(size: int, count: int) -> str:
        return f"lpad(CAST({ticks} // {size * TICKS_PER_SECOND} % {count} AS VARCHAR), 2, '0')"

    return (
        f"(CASE WHEN {sql} < 0 THEN '-' ELSE '' END"
        f" || CASE WHEN {ticks} >= {TICKS_PER_DAY} THEN CAST({ticks} // {TICKS_PER_DAY} AS VARCHAR) || '.' ELSE '' END"
        f" || {part(3600, 24)} || ':' || {part(60, 60)} || ':' || {part(1, 60)} || CASE WHEN {sql} % {TICKS_PER_SECOND} <> 0"
        f" THEN '.' || lpad(CAST({ticks} % {TICKS_PER_SECOND} AS VARCHAR), 7, '0') ELSE '' END)"
    )
