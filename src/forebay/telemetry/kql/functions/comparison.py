"""The operators that compare: `==`, `!=`, `<`, `<=`, `>`, `>=`.

Null is Kusto's: equality of a null and a value is false (inequality true), of two nulls null; the order of a null and anything is null.
NaN is equal to nothing and in no order, as in IEEE 754; DuckDB has it equal to itself and greater than all numbers.
Source: https://learn.microsoft.com/kusto/query/scalar-data-types/null-values
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import operator
from forebay.telemetry.kql.sql.literals import literal
from forebay.telemetry.kql.syntax.literals import LiteralError, typed_value
from forebay.telemetry.kql.types import KqlType

_Compare = Callable[[Argument, Argument], str]


def _refused(*_: KqlType) -> KqlType:
    message = "dynamic values cannot be compared with each other"
    raise KqlError(Diagnostic("type", message, 0, 0, hint="convert them: tostring(a) == tostring(b)"))


def _may_be_null(argument: Argument) -> bool:
    return argument.is_nullable and not (argument.is_constant and argument.value is not None)


def _may_be_nan(argument: Argument) -> bool:
    return argument.type == "real" and not (argument.is_constant and argument.value == argument.value)


def _equal(left: Argument, right: Argument) -> str:
    if left.type == "string":
        return f"{left} = {right}"
    if _may_be_nan(left) and _may_be_nan(right):
        return f"coalesce({_equal_numbers(left, right)}, {_unless_both_null(left, right, 'false')})"
    if _may_be_null(left) and _may_be_null(right):
        return f"coalesce({left.once} = {right.once}, {_unless_both_null(left, right, 'false')})"
    if _may_be_null(left) or _may_be_null(right):
        return f"{left} IS NOT DISTINCT FROM {right}"
    return f"{left} = {right}"


def _equal_condition(left: Argument, right: Argument) -> str:
    if left.type == "string":
        return f"{left.raw} = {right.raw}" if _is_some_text(left) or _is_some_text(right) else f"{left} = {right}"
    if _may_be_nan(left) and _may_be_nan(right):
        return _equal_numbers(left, right)
    return f"{left} = {right}"


def _unequal(left: Argument, right: Argument) -> str:
    if left.type == "string":
        return f"{left} <> {right}"
    if _may_be_nan(left) and _may_be_nan(right):
        return f"coalesce(NOT ({_equal_numbers(left, right)}), {_unless_both_null(left, right, 'true')})"
    if _may_be_null(left) and _may_be_null(right):
        return f"coalesce({left.once} <> {right.once}, {_unless_both_null(left, right, 'true')})"
    return _unequal_condition(left, right)


def _unequal_condition(left: Argument, right: Argument) -> str:
    if left.type == "string":
        return f"{left} <> {right}"
    if _may_be_nan(left) and _may_be_nan(right):
        return _unequal(left, right)
    if _may_be_null(left) or _may_be_null(right):
        return f"{left} IS DISTINCT FROM {right}"
    return f"{left} <> {right}"


def _is_some_text(argument: Argument) -> bool:
    """Whether it is a constant that a NULL, which stands for '', is not equal to."""
    return argument.is_constant and bool(argument.value)


def _equal_numbers(left: Argument, right: Argument) -> str:
    return f"{left.once} = {right.once} AND NOT isnan({left.once})"


def _unless_both_null(left: Argument, right: Argument, answer: str) -> str:
    return f"CASE WHEN {left.once} IS NOT NULL OR {right.once} IS NOT NULL THEN {answer} END"


def _ordered(symbol: str) -> _Compare:
    def sql(left: Argument, right: Argument) -> str:
        greater = left if symbol.startswith(">") else right
        if _may_be_nan(greater):
            return f"{left.once} {symbol} {right.once} AND NOT isnan({greater.once})"
        return f"{left} {symbol} {right}"

    return sql


def _read(kind: KqlType, text: str) -> Argument:
    """The constant that a text says, as one of another type."""
    try:
        _, value = typed_value(kind, text)
    except LiteralError as error:
        raise ValueError(f"expected a text that says a {kind}, got {text[:100]!r}") from error
    return _constant(kind, value)


def _constant(kind: KqlType, value: Any) -> Argument:
    return Argument(literal(kind, value), kind, is_nullable=value is None, hoist=str, value=value)


def _with_text(compare: _Compare) -> _Compare:
    return lambda left, right: compare(left, _read(left.type, right.value))


def _swapped(compare: _Compare) -> _Compare:
    return lambda left, right: compare(right, left)


def _spelled(*, is_negated: bool, is_condition: bool) -> _Compare:
    """A text with a constant bool: in the ways in which programs write one."""

    def sql(left: Argument, right: Argument) -> str:
        text = left.raw if is_condition and not is_negated else left.sql
        word = "true" if right.value else "false"
        return f"{text} {'NOT IN' if is_negated else 'IN'} ('{word.title()}', '{word}', '{word.upper()}')"

    return sql


def _with_number(compare: _Compare) -> _Compare:
    def sql(left: Argument, right: Argument) -> str:
        if right.value not in (0, 1):
            raise ValueError(f"expected true, false, 0 or 1 to compare a bool with, got {right.value}")
        return compare(left, _constant("bool", bool(right.value)))

    return sql


for _name in ("==", "!=", "<", "<=", ">", ">="):
    operator(f"{_name}(left: dynamic, right: dynamic)", "", "Refused, as Kusto does.", returns=_refused)

for _name, _value, _condition, _summary in (
    ("==", _equal, _equal_condition, "Whether two values are equal."),
    ("!=", _unequal, _unequal_condition, "Whether two values differ."),
):
    # pairs with a real before `T`, so that a dynamic value beside an integer is compared as a real one: `d.x == 5` of 5.5 is false
    for _left, _right in (("real", "integer"), ("integer", "real"), ("integer", "integer"), ("T", "T")):
        operator(f"{_name}(left: {_left}, right: {_right}) -> bool", _value, _summary, nulls="propagate", condition=_condition)
    # constants of another type are read as one of the column's
    _spelling = partial(_spelled, is_negated=_name == "!=")
    for _left, _right, _sql, _filter in (
        ("datetime|timespan|guid|bool", "string", _with_text(_value), _with_text(_condition)),
        ("bool", "integer", _with_number(_value), _with_number(_condition)),
        ("string", "bool", _spelling(is_condition=False), _spelling(is_condition=True)),
    ):
        _signature = f"{_name}(left: {_left}, const right: {_right}) -> bool"
        operator(_signature, _sql, _summary, nulls="propagate", condition=_filter)
        _signature = f"{_name}(const left: {_right}, right: {_left}) -> bool"
        operator(_signature, _swapped(_sql), _summary, nulls="propagate", condition=_swapped(_filter))

_NUMBERS = (("real", "integer"), ("integer", "real"), ("integer", "integer"), ("N", "N"))
_ORDERED = (*_NUMBERS, ("datetime", "datetime"), ("timespan", "timespan"), ("bool", "bool"))
for _name in ("<", "<=", ">", ">="):
    for _left, _right in _ORDERED:
        operator(f"{_name}(left: {_left}, right: {_right}) -> bool", _ordered(_name), "The order of two values.", nulls="propagate")
