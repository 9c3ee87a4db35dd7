"""Constants in SQL."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from forebay.telemetry.kql.syntax.nodes import DynamicValue
from forebay.telemetry.kql.types import DUCKDB_TYPES, TICKS_PER_DAY, TICKS_PER_MICROSECOND, TICKS_PER_SECOND, KqlType

_YEAR_1 = datetime(1, 1, 1)  # noqa: DTZ001 - DuckDB's have no zone
_LAST_TICK = 3_155_378_975_999_999_999  # of the year 9999


def literal(kind: KqlType, value: Any, *, is_typed: bool = False) -> str:
    """A constant, which stands wherever an operand may. `is_typed`: DuckDB knows its type whatever stands beside it."""
    if value is None:
        return "''" if kind == "string" else f"NULL::{DUCKDB_TYPES[kind]}"
    if kind == "string":
        return quoted_text(value)
    if kind == "bool":
        return "true" if value else "false"
    if kind in ("int", "long", "timespan"):
        plain = str(value) if value >= 0 else f"({value})"
        return f"{plain}::{DUCKDB_TYPES[kind]}" if is_typed else plain
    if kind == "real":
        return _real(value)
    if kind == "datetime":
        return f"TIMESTAMP '{_YEAR_1 + timedelta(microseconds=min(max(value, 0), _LAST_TICK) // TICKS_PER_MICROSECOND)}'"
    if kind == "dynamic":
        return f"{quoted_text(json_text(value))}::JSON"
    return f"{quoted_text(str(value))}::{DUCKDB_TYPES[kind]}"


def quoted_text(value: str) -> str:
    """A text in quotes. SQL has no way to write the character 0, so it is put in."""
    text = "'" + value.replace("'", "''") + "'"
    return text if "\0" not in text else "(" + text.replace("\0", "' || chr(0) || '") + ")"


def quoted_name(name: str) -> str:
    """An identifier in quotes."""
    return '"' + name.replace('"', '""') + '"'


def _real(value: float) -> str:
    if math.isnan(value):
        return "'nan'::DOUBLE"
    if math.isinf(value):
        return "'inf'::DOUBLE" if value > 0 else "'-inf'::DOUBLE"
    text = repr(float(value))
    if "e" not in text:
        text += "e0"
    return text if value >= 0 and not text.startswith("-") else f"({text})"


def json_text(value: Any) -> str:
    """A dynamic value as compact JSON, typed values in it as Kusto writes them."""
    import msgspec

    return msgspec.json.encode(_plain(value)).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, DynamicValue):
        if value.value is None:
            return None
        if value.type == "datetime":
            return datetime_text(value.value)
        if value.type == "timespan":
            return timespan_text(value.value)
        if value.type == "decimal":
            return str(value.value)
        return _plain(value.value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def datetime_text(ticks: int) -> str:
    """As Kusto writes a datetime: `2024-01-01T00:00:00.0000000Z`."""
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    return f"{(_YEAR_1 + timedelta(seconds=seconds)).isoformat()}.{fraction:07d}Z"


def timespan_text(ticks: int) -> str:
    """As Kusto writes a timespan: `1.02:03:04.5000000`."""
    sign, ticks = ("-", -ticks) if ticks < 0 else ("", ticks)
    days, rest = divmod(ticks, TICKS_PER_DAY)
    seconds, fraction = divmod(rest, TICKS_PER_SECOND)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return sign + (f"{days}." if days else "") + clock + (f".{fraction:07d}" if fraction else "")
