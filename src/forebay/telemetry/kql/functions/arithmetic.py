"""The operators that compute: `+`, `-`, `*`, `/`, `%`, and the sign.

Integers give a long, which wraps around as in Kusto's engine; a division cuts towards zero and is null by zero, a remainder is never
negative. Reals follow IEEE 754. A timespan is a number of ticks of 100 ns.
Source: https://learn.microsoft.com/kusto/query/numerical-operators and datetime-timespan-arithmetic
"""

from __future__ import annotations

import operator as python_operator
from collections.abc import Callable

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.interval import interval
from forebay.telemetry.kql.functions.registry import operator
from forebay.telemetry.kql.types import TICKS_PER_MICROSECOND, YEAR_1_TO_1970_MICROSECONDS, KqlType

_Compute = Callable[[int, int], int]


def wrapped(value: int) -> int:
    """The long that 64 bits hold of a number."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def wrapped_sql(huge: str) -> str:
    """The same in SQL, of a HUGEINT."""
    return f"((({huge} + 9223372036854775808) & 18446744073709551615) - 9223372036854775808)::BIGINT"


def as_long(argument: Argument) -> str:
    """An int or a long as BIGINT."""
    return f"{argument}::BIGINT" if argument.type == "int" and not argument.is_constant else argument.sql


def _is_small(argument: Argument) -> bool:
    """Whether two such values can be added and multiplied without leaving 64 bits."""
    if argument.is_constant:
        return argument.value is None or abs(argument.value) < 1 << 31
    return argument.type == "int"


def _integers(symbol: str, compute: _Compute) -> Callable[[Argument, Argument], str]:
    def sql(left: Argument, right: Argument) -> str:
        if left.is_constant and right.is_constant and left.value is not None and right.value is not None:
            return f"({wrapped(compute(left.value, right.value))})::BIGINT"
        if _is_small(left) and _is_small(right):
            return f"{as_long(left)} {symbol} {as_long(right)}"
        return f"coalesce(TRY({left.once} {symbol} {right.once}), {wrapped_sql(f'{left.once}::HUGEINT {symbol} {right.once}')})"

    return sql


def _spans(symbol: str, compute: _Compute) -> Callable[[Argument, Argument], str]:
    """Of timespans; null where there is no such timespan."""

    def sql(left: Argument, right: Argument) -> str:
        if left.is_constant and right.is_constant and left.value is not None and right.value is not None:
            answer = compute(left.value, right.value)
            return f"({answer})::BIGINT" if answer == wrapped(answer) else "NULL::BIGINT"
        return f"TRY({as_long(left)} {symbol} {as_long(right)})"

    return sql


def _divided(left: Argument, right: Argument) -> str:
    """By a constant without a check; the smallest long by -1 is the one quotient that is too large, and wraps around to itself."""
    if right.is_constant and right.value is not None and right.value not in (0, -1):
        return f"{as_long(left)} // {right}"
    if right.is_constant:
        return "NULL::BIGINT" if right.value in (0, None) else wrapped_sql(f"-({left}::HUGEINT)")
    if left.type == "int" or (left.is_constant and left.value != -(1 << 63)):
        return f"{as_long(left)} // nullif({right}, 0)"
    return f"TRY({left} // nullif({right}, 0))"


def remainder(left: Argument, right: Argument) -> str:
    """0 <= remainder < abs(right)."""
    if right.is_constant and right.value:
        size = abs(right.value)
        if size & (size - 1) == 0 and size < 1 << 62:
            return f"{as_long(left)} & {size - 1}"
        number = f"{left.once}::BIGINT" if left.type == "int" else left.once
        return f"CASE WHEN {number} < 0 THEN ({number} % {size} + {size}) % {size} ELSE {number} % {size} END"
    if right.is_constant:
        return "NULL::BIGINT"
    by = f"nullif({right}, 0)"
    return f"(({left}::HUGEINT % {by} + abs({by}::HUGEINT)) % abs({by}::HUGEINT))::BIGINT"


def ticks(time: Argument) -> str:
    """The ticks of a datetime since the beginning of year 1, as HUGEINT."""
    return f"(epoch_us({time})::HUGEINT * {TICKS_PER_MICROSECOND} + {YEAR_1_TO_1970_MICROSECONDS * TICKS_PER_MICROSECOND})"


def _shifted(sign: int) -> Callable[[Argument, Argument], str]:
    """A datetime and a timespan: with a constant such that filters prune, else in microseconds, which is faster than with intervals."""

    def sql(time: Argument, span: Argument) -> str:
        if span.is_constant and span.value is not None:
            distance = sign * span.value // TICKS_PER_MICROSECOND * TICKS_PER_MICROSECOND  # cut towards the past
            return f"{time} {'+' if distance >= 0 else '-'} {interval(abs(distance))}"
        return f"make_timestamp(epoch_us({time}) {'+' if sign > 0 else '-'} {span} // 10)"

    return sql


def _negative(value: Argument) -> str:
    if value.is_constant and value.value is not None:
        return f"({wrapped(-value.value)})::BIGINT"
    return f"-{as_long(value)}" if value.type == "int" else f"coalesce(TRY(-{value.once}), {value.once})"


later = _shifted(1)


def _refused(*_: KqlType) -> KqlType:
    message = "arithmetic on dynamic values alone: their type is not known"
    raise KqlError(Diagnostic("type", message, 0, 0, hint="convert one of them with tolong(), toreal(), ..."))


for _symbol in "+-*/%":
    operator(f"{_symbol}(left: dynamic, right: dynamic)", "", "Refused.", returns=_refused)
operator("-(value: dynamic)", "", "Refused.", returns=_refused)

operator("+(left: integer, right: integer) -> long", _integers("+", python_operator.add), "The sum.", nulls="propagate")
operator("-(left: integer, right: integer) -> long", _integers("-", python_operator.sub), "The difference.", nulls="propagate")
operator("*(left: integer, right: integer) -> long", _integers("*", python_operator.mul), "The product.", nulls="propagate")
operator("/(left: integer, right: integer) -> long", _divided, "The quotient, cut towards zero.")
operator("%(left: integer, right: integer) -> long", remainder, "The remainder, never negative.")

for _symbol, _summary in (("+", "The sum."), ("-", "The difference."), ("*", "The product."), ("/", "The quotient.")):
    operator(f"{_symbol}(left: real, right: real) -> real", f"{{left}} {_symbol} {{right}}", _summary, nulls="propagate")
operator(
    "%(left: real, right: real) -> real",
    lambda left, right: (
        f"CASE WHEN {left.once} % {right.once} < 0 THEN {left.once} % {right.once} + abs({right}) ELSE {left.once} % {right.once} END"
    ),
    "The remainder, never negative.",
    nulls="propagate",
)

operator("+(left: timespan, right: timespan) -> timespan", _spans("+", python_operator.add), "The sum.")
operator("-(left: timespan, right: timespan) -> timespan", _spans("-", python_operator.sub), "The difference.")
# with a real first: that is what a dynamic value becomes
operator("*(left: timespan, right: real) -> timespan", "TRY_CAST({left} * {right} AS BIGINT)", "So many times the timespan.")
operator("*(left: real, right: timespan) -> timespan", "TRY_CAST({left} * {right} AS BIGINT)", "So many times the timespan.")
operator("*(left: timespan, right: integer) -> timespan", _spans("*", python_operator.mul), "So many times the timespan.")
operator("*(left: integer, right: timespan) -> timespan", _spans("*", python_operator.mul), "So many times the timespan.")
operator(
    "/(left: timespan, right: timespan) -> real",
    "{left}::DOUBLE / {right}",
    "How many times one timespan is in another.",
    nulls="propagate",
)
operator("/(left: timespan, right: integer) -> timespan", _divided, "A part of a timespan.")
operator("/(left: timespan, right: real) -> timespan", "TRY_CAST({left} / {right} AS BIGINT)", "A part of a timespan.")
operator("%(left: timespan, right: timespan) -> timespan", remainder, "The remainder, never negative.")

operator("-(left: datetime, right: datetime) -> timespan", "TRY((epoch_us({left}) - epoch_us({right})) * 10)", "The time between.")
operator("+(left: datetime, right: timespan) -> datetime", later, "The time so much later.")
operator("+(left: timespan, right: datetime) -> datetime", lambda left, right: later(right, left), "The time so much later.")
operator("-(left: datetime, right: timespan) -> datetime", _shifted(-1), "The time so much earlier.")
operator(
    "/(left: datetime, right: timespan) -> real",
    lambda left, right: f"{ticks(left)}::DOUBLE / {right}",
    "The time since year 1, in timespans.",
    nulls="propagate",
)
operator(
    "%(left: datetime, right: timespan) -> timespan",
    lambda left, right: f"({ticks(left)} % nullif({right}, 0))::BIGINT",
    "The rest of the time since year 1.",
)

operator(
    "-(value: integer) -> long",
    _negative,
    "The opposite.",
    nulls="propagate",
)
operator("-(value: real) -> real", "-{value}", "The opposite.", nulls="propagate")
operator("-(value: timespan) -> timespan", "TRY(-{value})", "The opposite.")
