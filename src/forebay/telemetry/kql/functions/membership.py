"""`in`, `between` and their opposites; `around`.

What is null is in no list; a null in a list is passed over. The list may be one dynamic array, whose elements are then the values.
Source: https://learn.microsoft.com/kusto/query/in-operator and between-operator
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.arithmetic import later
from forebay.telemetry.kql.functions.interval import interval
from forebay.telemetry.kql.functions.registry import operator, scalar
from forebay.telemetry.kql.sql.literals import json_text, literal
from forebay.telemetry.kql.syntax.literals import LiteralError, typed_value
from forebay.telemetry.kql.syntax.nodes import DynamicValue
from forebay.telemetry.kql.types import TICKS_PER_MICROSECOND, KqlType

_Sql = Callable[..., str]


def _in(*, is_negated: bool, is_condition: bool) -> _Sql:
    """In a list of values of the operand's own type."""

    def sql(operand: Argument, *values: Argument) -> str:
        listed = [each for each in values if not (each.is_constant and each.value is None)]
        if operand.type == "dynamic":
            return _among_texts(operand, listed, is_negated)
        may_be_null = operand.type != "string" and any(each.is_nullable for each in listed)
        has_empty = any(not each.is_constant or each.value == "" for each in listed)
        found = _among(operand, [str(each) for each in listed], is_negated, operand.type == "string" and is_condition and not has_empty)
        return _without_null(found, may_be_null or _may_be_null(operand), is_negated, is_condition)

    return sql


def _in_array(*, is_negated: bool, is_condition: bool) -> _Sql:
    """In one dynamic array, or equal to one dynamic value that is none."""

    def sql(operand: Argument, array: Argument) -> str:
        if operand.type == "dynamic" and not isinstance(array.value, list):
            return _among_texts(operand, [array], is_negated)
        if not array.is_constant:
            return _without_null(_in_elements(operand, array, is_negated), True, is_negated, is_condition)
        elements = array.value if isinstance(array.value, list) else [array.value]
        if operand.type == "dynamic":
            texts = ", ".join(literal("string", _value_of(each, "string")) for each in elements)
            return f"coalesce({operand} ->> '$', '') {_symbol(is_negated)} ({texts})" if texts else _never(is_negated)
        values = [value for value in (_value_of(each, operand.type) for each in elements) if value is not None]
        is_raw = operand.type == "string" and is_condition and "" not in values
        found = _among(operand, [literal(operand.type, value) for value in values], is_negated, is_raw)
        return _without_null(found, _may_be_null(operand), is_negated, is_condition)

    return sql


def _symbol(is_negated: bool) -> str:
    return "NOT IN" if is_negated else "IN"


def _never(is_negated: bool) -> str:
    return "true" if is_negated else "false"


def _may_be_null(operand: Argument) -> bool:
    return operand.is_nullable and operand.type != "string"


def _among(operand: Argument, values: Sequence[str], is_negated: bool, is_raw: bool) -> str:
    """`is_raw`: a text is in the list only if it is not NULL, and where NULL counts as false."""
    if not values:
        return _never(is_negated)
    return f"{operand.raw if is_raw and not is_negated else operand} {_symbol(is_negated)} ({', '.join(values)})"


def _without_null(found: str, may_be_null: bool, is_negated: bool, is_condition: bool) -> str:
    if not may_be_null or found in ("true", "false") or (is_condition and not is_negated):
        return found
    return f"coalesce({found}, {_never(is_negated)})"


def _among_texts(operand: Argument, values: Sequence[Argument], is_negated: bool) -> str:
    """A dynamic value among dynamic values: equal are those with the same text. One that is an array stands for its elements."""
    if not values:
        return _never(is_negated)
    lists = ", ".join(_elements(each) for each in values)
    return f"{'NOT ' if is_negated else ''}coalesce(list_contains(flatten([{lists}]), {operand} ->> '$'), false)"


def _elements(array: Argument) -> str:
    """A list of texts."""
    one = array.once
    return f"CASE json_type({one}) WHEN 'ARRAY' THEN {one} ->> '$[*]' ELSE [{one} ->> '$'] END"


_ELEMENT_TYPES: dict[KqlType, str] = {"int": "DOUBLE", "long": "DOUBLE", "real": "DOUBLE", "guid": "UUID", "datetime": "TIMESTAMP"}


def _in_elements(operand: Argument, array: Argument, is_negated: bool) -> str:
    """In the elements of an array that each row has, or that a query within the query has made."""
    elements = _elements(array)
    if operand.type == "string":
        found = f"list_contains({elements}, {operand})"
    elif operand.type == "bool":
        found = f"list_contains({elements}, {operand}::VARCHAR)"
    elif operand.type in _ELEMENT_TYPES:
        kind = _ELEMENT_TYPES[operand.type]
        found = f"list_contains(list_transform({elements}, lambda each: TRY_CAST(each AS {kind})), {operand}::{kind})"
    else:
        raise ValueError(f"expected a list of values to look up a {operand.type} in, got a dynamic value")
    return f"NOT {found}" if is_negated else found


def _value_of(element: Any, kind: KqlType) -> Any:
    """An element of a constant array as a constant of the operand's type; None where it is none."""
    if isinstance(element, DynamicValue):
        if element.type == kind:
            return element.value
        element = element.value
    match kind:
        case "string":
            return "" if element is None else element if isinstance(element, str) else json_text(element)
        case "int" | "long" | "real" | "decimal":
            return element if isinstance(element, (int, float)) and not isinstance(element, bool) else None
        case "bool":
            return element if isinstance(element, bool) else None
        case "datetime" | "timespan" | "guid" if isinstance(element, str):
            try:
                return typed_value(kind, element)[1]
            except LiteralError:
                return None
        case _:
            return None


def _within(between: str) -> _Sql:
    return lambda operand, low, high: f"{operand} {between} {low} AND {later(low, high)}"


for _prefix, _summary in (("", "Whether the value is in the list."), ("!", "Whether the value is not in the list.")):
    _is_negated = _prefix == "!"
    # a list of one dynamic value comes first: it is not converted to the operand's type
    for _signature, _make in (("in(operand: any, array: dynamic)", _in_array), ("in(operand: T, values: T...)", _in)):
        operator(
            f"{_prefix}{_signature} -> bool",
            _make(is_negated=_is_negated, is_condition=False),
            _summary,
            nulls="never",
            condition=_make(is_negated=_is_negated, is_condition=True),
        )


def _between(between: str) -> _Sql:
    """DuckDB has NaN above all numbers, where nothing lies below it in Kusto."""

    def sql(operand: Argument, low: Argument, high: Argument) -> str:
        found = f"{operand} {between} {low} AND {high}"
        if operand.type != "real" or (high.is_constant and high.value == high.value):
            return found
        return f"({found}) OR isnan({high})" if between.startswith("NOT") else f"{found} AND NOT isnan({high})"

    return sql


for _name, _sql in (("between", "BETWEEN"), ("!between", "NOT BETWEEN")):
    for _kind in ("N", "datetime", "timespan", "bool"):
        operator(
            f"{_name}(operand: {_kind}, low: {_kind}, high: {_kind}) -> bool",
            _between(_sql),
            "Whether a value lies in a range, both ends included.",
        )
    operator(
        f"{_name}(operand: datetime, low: datetime, high: timespan) -> bool",
        _within(_sql),
        "Whether a time lies in a range that begins at `low` and is so long, both ends included.",
    )


def _around_real(value: Argument, center: Argument, delta: Argument) -> str:
    low, high = f"{center.once} - {delta.once}", f"{center.once} + {delta.once}"
    return f"{value.once} >= {low} AND {value.once} <= {high} AND NOT isnan({value.once})"


def _around_time(value: Argument, center: Argument, delta: Argument) -> str:
    """With a constant such that filters prune; a part of a microsecond changes nothing, for no time has one."""
    if delta.is_constant and delta.value is not None and delta.value >= 0:
        apart = interval(delta.value // TICKS_PER_MICROSECOND * TICKS_PER_MICROSECOND)
        return f"{value} BETWEEN {center.once} - {apart} AND {center.once} + {apart}"
    return f"abs(epoch_us({value}) - epoch_us({center})) * {TICKS_PER_MICROSECOND} <= {delta}"


for _types, _around in (
    ("integer, center: integer, delta: integer", "abs({value}::HUGEINT - {center}) <= {delta}"),
    ("real, center: real, delta: real", _around_real),
    ("decimal, center: decimal, delta: decimal", "TRY(abs({value} - {center})) <= {delta}"),
    ("timespan, center: timespan, delta: timespan", "abs({value}::HUGEINT - {center}) <= {delta}"),
    ("datetime, center: datetime, delta: timespan", _around_time),
):
    scalar(f"around(value: {_types}) -> bool", _around, "Whether a value is no further from another one than `delta`.")
