"""What aggregates answer of the values of a group: https://learn.microsoft.com/kusto/query/aggregation-functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tests.kql.conversions import in_json, wrapped
from tests.kql.values import AnyOrder, Undefined, are_same, is_nan, key_of

Rows = Sequence[tuple[Any, ...]]  # the arguments of each row
AGGREGATES: dict[str, Callable[[Sequence[str], Rows, bool], Any]] = {}  # types, arguments, whether the rows come in an order


def _aggregate(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            AGGREGATES[name] = function
        return function

    return declare


def _known(rows: Rows) -> list[Any]:
    return [row[0] for row in rows if row[0] is not None]


@_aggregate("count")
def _count(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> int:
    return len(rows)


@_aggregate("countif")
def _countif(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> int:
    return sum(1 for (condition,) in rows if condition)


@_aggregate("sum")
def _sum(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> Any:
    values = _known(rows)
    if kinds[0] == "real":
        return _real_sum(values)
    total = sum(values)
    if wrapped(total, 64) != total:
        raise Undefined("a sum beyond 64 bits")
    return total


def _real_sum(values: Sequence[float]) -> float:
    if any(not math.isfinite(each) for each in values):
        return sum(values, 0.0)
    try:
        total = math.fsum(values)
    except OverflowError:
        raise Undefined("a sum that is too large") from None
    if values and abs(total) < 1e-3 * max(map(abs, values)) and total:
        raise Undefined("a sum that depends on the order")
    if sum(map(abs, values)) == math.inf or (not total and any(values)):
        raise Undefined("a sum that depends on the order")
    return total


@_aggregate("avg")
def _avg(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> Any:
    values = _known(rows)
    if kinds[0] in ("datetime", "timespan"):
        if not values:
            return None
        mean = sum(values) // len(values)
        if sum(values) % len(values):
            raise Undefined("a part of a tick")
        return mean // 10 * 10 if kinds[0] == "datetime" else mean
    if not values:
        return math.nan
    if kinds[0] in ("int", "long"):
        total = sum(values)
        if abs(total) > 1 << 53:
            raise Undefined("the mean of a sum beyond the whole reals")
        return total / len(values)
    return _real_sum(values) / len(values)


def _extremes(choose: Callable[[list[Any]], Any]) -> Callable[[Sequence[str], Rows, bool], Any]:
    def extreme(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> Any:
        values = _known(rows)
        if any(is_nan(each) for each in values):
            raise Undefined("the order of NaN")
        if kinds[0] in ("string", "guid", "bool") and not values:
            return "" if kinds[0] == "string" else None
        return choose(values) if values else None

    return extreme


AGGREGATES["min"] = _extremes(min)
AGGREGATES["max"] = _extremes(max)


@_aggregate("dcount", "count_distinct")
def _dcount(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> int:
    if kinds[0] == "dynamic":
        raise Undefined("when dynamic values are the same")
    if any(row[0] is None or row[0] != row[0] for row in rows):
        raise Undefined("whether null counts")
    return len({key_of(row[0]) for row in rows})


def _array(values: list[Any], is_ordered: bool) -> list[Any]:
    return values if is_ordered else AnyOrder(values)


@_aggregate("make_list")
def _make_list(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> list[Any]:
    values = [in_json(kinds[0], each) for each in _known(rows)]
    if kinds[0] == "dynamic":  # an array counts by its elements
        values = [element for each in values for element in (each if isinstance(each, list) else [each])]
    if len(rows[0] if rows else ()) > 1 and rows[0][1] is not None and len(values) > rows[0][1]:
        if not is_ordered:
            raise Undefined("some of the values")
        values = values[: rows[0][1]]
    return _array(values, is_ordered)


@_aggregate("make_list_with_nulls")
def _make_list_with_nulls(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> list[Any]:
    return _array([in_json(kinds[0], row[0]) for row in rows], is_ordered)


@_aggregate("make_set")
def _make_set(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> list[Any]:
    values = [in_json(kinds[0], each) for each in _known(rows)]
    if kinds[0] == "dynamic" and any(isinstance(each, (list, dict, float)) for each in values):
        raise Undefined("when dynamic values are the same")
    found: dict[Any, Any] = {(type(each), key_of(each)): each for each in values}
    if len(rows[0] if rows else ()) > 1 and rows[0][1] is not None and len(found) > rows[0][1]:
        raise Undefined("some of the values")
    return AnyOrder(found.values())


@_aggregate("make_bag")
def _make_bag(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for bag in _known(rows):
        for key, value in bag.items() if isinstance(bag, dict) else ():
            if key in made and not are_same(made[key], value):
                raise Undefined("any of the values of a key")
            made[key] = value
    return made


@_aggregate("binary_all_or")
def _binary_all_or(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> int | None:
    found = None
    for value in _known(rows):
        found = value if found is None else found | value
    return found


def _of_row(choose: Callable[[list[Any]], Any]) -> Callable[[Sequence[str], Rows, bool], Any]:
    def of_row(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> Any:
        by = [row[0] for row in rows if row[0] is not None]
        if any(is_nan(each) for each in by):
            raise Undefined("the order of NaN")
        if not by:
            return _only([row[1] for row in rows], kinds[1])
        best = choose(by)
        return _only([row[1] for row in rows if row[0] == best], kinds[1])

    return of_row


AGGREGATES["arg_max"] = _of_row(max)
AGGREGATES["arg_min"] = _of_row(min)


def _only(values: list[Any], kind: str) -> Any:
    """The value that all are; where they are not, any of them may be the answer."""
    if not values:
        return "" if kind == "string" else None
    if not all(are_same(values[0], each) for each in values):
        raise Undefined("any of several values")
    return values[0]


@_aggregate("take_any")
def _take_any(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> Any:
    """Of one column, a value that is neither null nor empty, if there is one."""
    return _only([row[0] for row in rows if row[0] is not None and row[0] != ""] or [row[0] for row in rows], kinds[0])


@_aggregate("take_any_of_row")
def _take_any_of_row(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> Any:
    return _only([row[0] for row in rows], kinds[0])


@_aggregate("percentile")
def _percentile(kinds: Sequence[str], rows: Rows, is_ordered: bool) -> Any:
    """The nearest rank: https://learn.microsoft.com/kusto/query/percentiles-aggregation-function."""
    values = sorted(_known(rows), key=lambda value: (is_nan(value), value))
    if not values:
        return None
    if any(is_nan(each) for each in values):
        raise Undefined("the order of NaN")
    return values[max(math.ceil(len(values) * rows[0][1] / 100), 1) - 1]


def _variance(rows: Rows, less: int) -> float:
    values = [float(each) for each in _known(rows)]
    if any(not math.isfinite(each) or abs(each) > 1e6 for each in values):
        raise Undefined("the variance of what is too large")
    if len(values) <= less:
        return 0.0
    mean = math.fsum(values) / len(values)
    found = math.fsum((each - mean) ** 2 for each in values) / (len(values) - less)
    if 0 < found < 1e-6:
        raise Undefined("the last digits of a variance")
    return found


AGGREGATES["variance"] = lambda kinds, rows, is_ordered: round(_variance(rows, 1), 10)
AGGREGATES["variancep"] = lambda kinds, rows, is_ordered: round(_variance(rows, 0), 10)
AGGREGATES["stdev"] = lambda kinds, rows, is_ordered: math.sqrt(_variance(rows, 1))
AGGREGATES["stdevp"] = lambda kinds, rows, is_ordered: math.sqrt(_variance(rows, 0))


def _with_condition(plain: Callable[[Sequence[str], Rows, bool], Any]) -> Callable[[Sequence[str], Rows, bool], Any]:
    return lambda kinds, rows, is_ordered: plain((kinds[0], *kinds[2:]), [(row[0], *row[2:]) for row in rows if row[1]], is_ordered)


for _name, _if_name in (
    *((each, each + "if") for each in ("sum", "avg", "min", "max", "dcount", "count_distinct", "take_any", "stdev", "variance")),
    ("make_list", "make_list_if"),
    ("make_set", "make_set_if"),
):
    AGGREGATES[_if_name] = _with_condition(AGGREGATES[_name])
