"""What arithmetic on numbers, times and timespans answers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from tests.kql.conversions import wrapped
from tests.kql.declarations import INTEGERS, SCALARS, Kinds, Values, scalar, typed
from tests.kql.values import LAST_TICK, Undefined, is_nan

# arithmetic: https://learn.microsoft.com/kusto/query/numerical-operators, datetime-timespan-arithmetic


def _in_range(ticks: float) -> int:
    """A timespan."""
    if not -(1 << 63) <= ticks < 1 << 63:
        raise Undefined("a timespan of more than 64 bits")
    return math.trunc(ticks)


def _moment(ticks: int) -> int:
    """A datetime: to microseconds, as far as our columns go."""
    if not 0 <= ticks <= LAST_TICK:
        raise Undefined("a datetime beyond the years 1 to 9999")
    return ticks // 10 * 10


def later(moment: int, span: int) -> int:
    if span % 10:
        raise Undefined("less than a microsecond")
    return _moment(moment // 10 * 10 + span)


def _arithmetic(
    name: str, whole: Callable[[int, int], int | None], real: Callable[[float, float], float | None]
) -> Callable[[Kinds, Values], Any]:
    def compute(kinds: Kinds, values: Values) -> Any:
        if any(each is None for each in values):
            return None
        left, right = values
        first, second = kinds
        if first in INTEGERS and second in INTEGERS:
            found = whole(left, right)
            return None if found is None else wrapped(found, 64)
        if "datetime" in kinds:
            return _of_moments(name, kinds, left, right)
        if "timespan" in kinds:
            return _of_spans(name, kinds, left, right)
        return real(float(left), float(right))

    return compute


def _of_moments(name: str, kinds: Kinds, left: int, right: int) -> Any:
    match name, tuple(kinds):
        case "-", ("datetime", "datetime"):
            return left // 10 * 10 - right // 10 * 10
        case "+", ("datetime", "timespan"):
            return later(left, right)
        case "+", ("timespan", "datetime"):
            return later(right, left)
        case "-", ("datetime", "timespan"):
            return later(left, -right)
    raise Undefined(f"{kinds[0]} {name} {kinds[1]}")


def _of_spans(name: str, kinds: Kinds, left: Any, right: Any) -> Any:
    if any(isinstance(each, float) and not math.isfinite(each) for each in (left, right)):
        raise Undefined("so many times a timespan")
    both = kinds[0] == kinds[1]
    match name:
        case "+":
            return _in_range(left + right)
        case "-":
            return _in_range(left - right)
        case "*":
            if "real" in kinds and abs(left * right % 1) != 0:
                raise Undefined("a part of a tick")
            return _in_range(left * right)
        case "/":
            if both:
                return _divided(float(left), float(right))
            if right == 0:
                return None if kinds[1] in INTEGERS else _fail("a timespan by zero")
            if kinds[1] in INTEGERS:
                return _in_range(_quotient(left, right) or 0)
            if left / right % 1 != 0:
                raise Undefined("a part of a tick")
            return _in_range(left / right)
    return _remainder(left, right)


def _fail(why: str) -> Any:
    raise Undefined(why)


def _quotient(left: int, right: int) -> int | None:
    """Cut towards zero; null by zero."""
    if right == 0:
        return None
    size = abs(left) // abs(right)
    return size if (left < 0) == (right < 0) else -size


def _remainder(left: int, right: int) -> int | None:
    """Never negative."""
    return None if right == 0 else left % abs(right)


def _divided(left: float, right: float) -> float:
    if right != 0:
        try:
            return left / right
        except OverflowError:
            return math.copysign(math.inf, left) * math.copysign(1, right)
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _real_remainder(left: float, right: float) -> float:
    if not math.isfinite(left) or not math.isfinite(right) or right == 0:
        raise Undefined("the remainder of what is not finite")
    if abs(left) > 1e15 * abs(right) or right != int(right) or left != int(left):
        raise Undefined("the last digits of a remainder")
    if left <= 0 and left % abs(right) == 0:
        raise Undefined("the sign of zero")
    return left % abs(right)


for _name, _whole, _real in (
    ("+", operator.add, operator.add),
    ("-", operator.sub, operator.sub),
    ("*", operator.mul, operator.mul),
    ("/", _quotient, _divided),
    ("%", _remainder, _real_remainder),
):
    _binary = _arithmetic(_name, _whole, _real)  # type: ignore[arg-type]
    SCALARS[_name] = _binary


def _minus(kinds: Kinds, values: Values) -> Any:
    if len(values) == 2:
        return _subtract(kinds, values)
    (kind,), (value,) = kinds, values
    if value is None:
        return None
    return wrapped(-value, 64) if kind in INTEGERS else _in_range(-value) if kind == "timespan" else -value


_subtract = SCALARS["-"]
SCALARS["-"] = _minus


@typed("bin")
def _bin(kinds: Kinds, values: Values) -> Any:
    """https://learn.microsoft.com/kusto/query/bin-function: the greatest multiple of the size that is not greater."""
    value, size = values
    if value is None or size is None:
        return None
    if "real" in kinds and "timespan" not in kinds:
        if size == 0 or not math.isfinite(value / size):
            raise Undefined("the multiple of nothing")
        whole = float(math.floor(value / size))
        if whole == 0 and math.copysign(1, value / size) < 0:
            raise Undefined("the sign of zero")
        return whole * size
    if size == 0:
        return None
    if size < 0:
        raise Undefined("multiples of a negative size")
    found = value // size * size
    if kinds[0] == "datetime":
        return _moment(value // 10 * 10 // size * size)
    if not -(1 << 63) <= found < 1 << 63:
        raise Undefined("a multiple of more than 64 bits")
    return found


@typed("bin_at")
def _bin_at(kinds: Kinds, values: Values) -> Any:
    value, size, point = values
    if any(each is None for each in values):
        return None
    if "real" in kinds:
        raise Undefined("the last digits")
    if size <= 0:
        raise Undefined("multiples of a negative size")
    found = point + (value - point) // size * size
    return _moment(found) if kinds[0] == "datetime" else _in_range(found)


@typed("abs")
def _abs(kinds: Kinds, values: Values) -> Any:
    (value,) = values
    if value == -(1 << 63):
        raise Undefined("the distance of the least long")
    return None if value is None else abs(value)


@typed("sign")
def _sign(kinds: Kinds, values: Values) -> float:
    value = values[0]
    if value is None or is_nan(value):
        raise Undefined("the sign of nothing")
    return float((value > 0) - (value < 0))


@scalar("ceiling")
def _ceiling(value: float) -> float:
    # as IEEE 754 has it, -0.5 becomes -0.0
    return float(value) if not math.isfinite(value) else math.copysign(math.ceil(value), value)


@typed("round")
def _round(kinds: Kinds, values: Values) -> Any:
    if any(each is None for each in values):
        return None
    value = float(values[0])
    if len(values) > 1 and values[1] != 0:
        raise Undefined("the last digits")
    return value if not math.isfinite(value) or abs(value) >= 2**52 else math.copysign(math.floor(abs(value) + 0.5), value)


def _domain(function: Callable[[float], float], least: float) -> Callable[[Kinds, Values], Any]:
    def compute(kinds: Kinds, values: Values) -> float | None:
        value = values[0]
        if value is None or value < least:
            return None
        if is_nan(value) or value == 0:
            raise Undefined("a root or logarithm of NaN or zero")
        return math.inf if value == math.inf else function(value)

    return compute


for _name, _function in (("sqrt", math.sqrt), ("log", math.log), ("log10", math.log10), ("log2", math.log2)):
    typed(_name)(_domain(_function, 0))


@typed("isnan")
def _isnan(kinds: Kinds, values: Values) -> bool:
    return values[0] is not None and math.isnan(values[0])


@typed("isinf")
def _isinf(kinds: Kinds, values: Values) -> bool:
    return values[0] is not None and math.isinf(values[0])


@typed("isfinite")
def _isfinite(kinds: Kinds, values: Values) -> bool:
    return values[0] is not None and math.isfinite(values[0])


@scalar("binary_and")
def _binary_and(left: int, right: int) -> int:
    return left & right


@scalar("binary_or")
def _binary_or(left: int, right: int) -> int:
    return left | right


@scalar("binary_xor")
def _binary_xor(left: int, right: int) -> int:
    return left ^ right
