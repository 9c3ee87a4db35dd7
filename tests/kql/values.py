"""Values of KQL in Python, as the model of it has them, and when two of them are the same.

bool, int, float, str, None for null (a string is never null); datetime as ticks of 100 ns since the beginning of year 1, timespan as ticks,
guid as text in lower case, dynamic as what JSON says.
"""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import Any

TICKS_PER_SECOND = 10_000_000
TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND
LAST_TICK = 3_652_059 * TICKS_PER_DAY - 1  # of the year 9999
YEAR_1 = datetime(1, 1, 1)  # noqa: DTZ001 - UTC, as everywhere in KQL


class Undefined(Exception):
    """Kusto's documentation does not say what the answer is: any is right."""


class AnyOrder(list[Any]):
    """An array whose elements may come in any order."""


def ticks_of(moment: datetime) -> int:
    return (moment - YEAR_1) // timedelta(microseconds=1) * 10


def moment_of(ticks: int) -> datetime:
    return YEAR_1 + timedelta(microseconds=ticks // 10)


def to_python(kind: str, cell: Any) -> Any:
    """A cell of a result of DuckDB."""
    if kind == "string":
        return "" if cell is None else cell
    if cell is None:
        return None
    if kind == "dynamic":
        return parse_json(cell)
    if kind == "datetime":  # DuckDB says a year that Python does not have as text
        return ticks_of(cell) if isinstance(cell, datetime) else None
    return str(cell) if kind == "guid" else cell


def parse_json(text: str) -> Any:
    """What JSON says, or else the text itself."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(name: str) -> None:
    raise ValueError(name)


def compact(value: Any) -> str:
    """JSON without blanks."""
    if isinstance(value, AnyOrder) and len(value) > 1:
        raise Undefined("the text of an array in no order")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def are_same(left: Any, right: Any) -> bool:
    """Whether a result is what was expected: reals to 9 digits, NaN as itself, and no bool for a number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        if isinstance(left, int) and isinstance(right, int):
            return left == right
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right or math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(left, AnyOrder) or isinstance(right, AnyOrder):
        return isinstance(left, list) and isinstance(right, list) and are_same_in_any_order(left, right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(are_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(are_same(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(left == right)


def are_same_in_any_order(left: list[Any], right: list[Any]) -> bool:
    """Whether each one has its own counterpart."""
    rest = list(right)
    for each in left:
        found = next((place for place, other in enumerate(rest) if are_same(each, other)), None)
        if found is None:
            return False
        del rest[found]
    return not rest


def key_of(value: Any) -> Any:
    """What values are grouped and joined by: NaN is one value, as is 0 with either sign."""
    if isinstance(value, float):
        return ("nan",) if math.isnan(value) else value + 0.0
    return compact(value) if isinstance(value, (list, dict)) else value
