"""Series functions that work element by element, or add elements up.

Elements that are no numbers, or that one of two series does not have, answer null.
Source: https://learn.microsoft.com/kusto/query/scalar-functions#series-processing-functions
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise, zip_longest
from typing import Any

from forebay.telemetry.kql.functions.series_values import (
    MAXIMUM_LENGTH,
    Number,
    array,
    mean,
    number,
    numbers,
    real_array,
    reals,
    sum_of_squares,
    total,
    written,
)

_Binary = Callable[[Number, Number], Number | bool]


def _pairs(first: Any, second: Any) -> Iterator[tuple[Number | None, Number | None]] | None:
    """Elements side by side; a single number stands beside each. None where one is neither a series nor a number."""
    if isinstance(first, list) and isinstance(second, list):
        one, other = numbers(first), numbers(second)
        return None if one is None or other is None else iter(zip_longest(one, other))
    if isinstance(first, list):
        one, single = numbers(first), number(second)
        return None if one is None or single is None else ((each, single) for each in one)
    other, single = numbers(second), number(first)
    return None if other is None or single is None else ((single, each) for each in other)


def _paired(calculate: _Binary, answer: Callable[..., list[Any]]) -> Callable[[Any, Any], Any]:
    def apply(first: Any, second: Any) -> Any:
        pairs = _pairs(first, second)
        if pairs is None:
            return None
        return answer([None if one is None or other is None else calculate(one, other) for one, other in pairs])

    return apply


def _divided(one: Number, other: Number) -> float:
    if other == 0:
        return math.nan if one == 0 or math.isnan(one) else math.copysign(math.inf, one) * math.copysign(1.0, other)
    return _guarded(lambda: float(one) / float(other))


def _power(one: Number, other: Number) -> float:
    return _guarded(lambda: math.pow(one, other), overflow=-math.inf if one < 0 and other % 2 == 1 else math.inf)


def _guarded(calculate: Callable[[], float], overflow: float = math.inf) -> float:
    """What IEEE 754 answers where Python raises."""
    try:
        return calculate()
    except OverflowError:
        return overflow
    except (ValueError, ZeroDivisionError):
        return math.nan


series_add = _paired(lambda one, other: one + other, array)
series_subtract = _paired(lambda one, other: one - other, array)
series_multiply = _paired(lambda one, other: one * other, array)
series_divide = _paired(_divided, real_array)
series_pow = _paired(_power, real_array)
series_equals = _paired(lambda one, other: one == other, list)
series_not_equals = _paired(lambda one, other: one != other, list)
series_greater = _paired(lambda one, other: one > other, list)
series_greater_equals = _paired(lambda one, other: one >= other, list)
series_less = _paired(lambda one, other: one < other, list)
series_less_equals = _paired(lambda one, other: one <= other, list)


def _each(calculate: Callable[[Number], Number], answer: Callable[..., list[Any]]) -> Callable[[Any], Any]:
    def apply(series: Any) -> Any:
        found = numbers(series)
        return None if found is None else answer([None if each is None else calculate(each) for each in found])

    return apply


def _of_real(function: Callable[[float], float]) -> Callable[[Number], float]:
    return lambda value: _guarded(lambda: function(value))


def _log(value: float) -> float:
    return -math.inf if value == 0 else math.log(value)


def _rounded(function: Callable[[float], int]) -> Callable[[Number], Number]:
    return lambda value: float(function(value)) if isinstance(value, float) and math.isfinite(value) else value


series_abs = _each(abs, array)
series_sign = _each(lambda value: (value > 0) - (value < 0), array)
series_floor = _each(_rounded(math.floor), real_array)
series_ceiling = _each(_rounded(math.ceil), array)
series_exp = _each(_of_real(math.exp), real_array)
series_log = _each(_of_real(_log), real_array)
series_sin = _each(_of_real(math.sin), real_array)
series_cos = _each(_of_real(math.cos), real_array)
series_tan = _each(_of_real(math.tan), real_array)
series_asin = _each(_of_real(math.asin), real_array)
series_acos = _each(_of_real(math.acos), real_array)
series_atan = _each(_of_real(math.atan), real_array)


# filling


def _is_missing(placeholder: Any) -> Callable[[Any], bool]:
    """What counts as missing: nulls, or the elements that equal the placeholder, if there is one."""
    missing = number(placeholder)
    if missing is None:
        return lambda value: value is None
    return lambda value: not isinstance(value, (bool, str, list, dict)) and value == missing


def series_fill_const(series: Any, constant: Any, placeholder: Any) -> Any:
    """The constant where an element is missing."""
    if not isinstance(series, list):
        return None
    is_missing, filling = _is_missing(placeholder), number(constant)
    return [filling if is_missing(each) else each for each in series]


def series_fill_forward(series: Any, placeholder: Any) -> Any:
    """The element before, where one is missing."""
    if not isinstance(series, list):
        return None
    is_missing = _is_missing(placeholder)
    answer: list[Any] = []
    for each in series:
        answer.append(answer[-1] if answer and is_missing(each) else each)
    return answer


def series_fill_backward(series: Any, placeholder: Any) -> Any:
    """The element behind, where one is missing."""
    if not isinstance(series, list):
        return None
    return series_fill_forward(series[::-1], placeholder)[::-1]


def series_fill_linear(series: Any, placeholder: Any, fills_edges: bool | None, constant: Any) -> Any:
    """A straight line between the neighbours of missing elements; integers stay integers."""
    if not isinstance(series, list):
        return None
    is_missing = _is_missing(placeholder)
    values = [None if is_missing(each) else number(each) for each in series]
    known = [index for index, each in enumerate(values) if each is not None]
    if not known:
        filling = number(constant)
        return [None if filling is None else written(float(filling))] * len(series)
    is_whole = all(isinstance(values[index], int) for index in known)
    answer: list[Any] = list(values)
    for left, right in pairwise(known):
        first, last = values[left], values[right]
        assert first is not None and last is not None, "known elements are numbers"
        for index in range(left + 1, right):
            value = first + (last - first) * (index - left) / (right - left)
            answer[index] = int(value) if is_whole else value
    if fills_edges is not False:
        answer[: known[0]] = [answer[known[0]]] * known[0]
        answer[known[-1] + 1 :] = [answer[known[-1]]] * (len(answer) - known[-1] - 1)
    elif number(placeholder) is not None:
        answer = [number(series[index]) if each is None else each for index, each in enumerate(answer)]
    return array(answer)


# adding up


def series_sum(series: Any) -> float | None:
    """The sum, as real; null where an element is no number."""
    found = reals(series) if series != [] else []
    return None if found is None else total(found)


def series_product(series: Any) -> float | None:
    """The product, as real; null where an element is no number."""
    found = reals(series) if series != [] else []
    return None if found is None else math.prod(found, start=1.0)


def series_magnitude(series: Any) -> float | None:
    """The Euclidean length."""
    found = reals(series)
    return None if found is None else math.hypot(*found)


def _common(first: Any, second: Any) -> list[tuple[float, float]] | None:
    """Elements side by side, those that are numbers in both; of the length of the shorter one."""
    if isinstance(first, list) and number(second) is not None:
        second = [second] * len(first)
    elif isinstance(second, list) and number(first) is not None:
        first = [first] * len(second)
    one, other = numbers(first), numbers(second)
    if not one or not other:
        return None
    return [(float(a), float(b)) for a, b in zip(one, other, strict=False) if a is not None and b is not None]


def series_dot_product(first: Any, second: Any) -> float | None:
    """The sum of the products; a number stands beside each element."""
    pairs = _common(first, second)
    return None if pairs is None else total(one * other for one, other in pairs)


def series_cosine_similarity(first: Any, second: Any, first_magnitude: float | None, second_magnitude: float | None) -> float | None:
    """The cosine of the angle between two vectors, whose lengths may be given."""
    pairs = _common(first, second)
    if not pairs or not isinstance(first, list) or not isinstance(second, list):
        return None
    one = math.sqrt(sum(a * a for a, _ in pairs)) if first_magnitude is None else first_magnitude
    other = math.sqrt(sum(b * b for _, b in pairs)) if second_magnitude is None else second_magnitude
    return _divided(sum(a * b for a, b in pairs), one * other)


def series_pearson_correlation(first: Any, second: Any) -> float | None:
    """The correlation coefficient; null for series of different lengths or with something else than numbers in them."""
    one, other = reals(first), reals(second)
    if one is None or other is None or len(one) != len(other):
        return None
    middle, other_middle = mean(one), mean(other)
    products = sum((a - middle) * (b - other_middle) for a, b in zip(one, other, strict=True))
    squares = sum_of_squares(a - middle for a in one)
    other_squares = sum_of_squares(b - other_middle for b in other)
    return _divided(products, math.sqrt(squares) * math.sqrt(other_squares))


def series_stats(series: Any, ignores_others: bool | None) -> list[Any]:
    """min, min_idx, max, max_idx, avg, stdev and variance of a sample; all null where an element is not finite, unless that is ignored."""
    found = numbers(series) or []
    finite = [(float(each), index) for index, each in enumerate(found) if each is not None and math.isfinite(each)]
    if not finite or (len(finite) < len(found) and not ignores_others):
        return [None] * 7
    values = [value for value, _ in finite]
    least, greatest = min(values), max(values)
    middle = mean(values)
    variance = sum_of_squares(value - middle for value in values) / (len(values) - 1) if len(values) > 1 else 0.0
    places = dict(reversed(finite))
    return [least, places[least], greatest, places[greatest], middle, math.sqrt(variance), variance]


STATISTICS = ("min", "min_idx", "max", "max_idx", "avg", "stdev", "variance")


def series_stats_dynamic(series: Any, ignores_others: bool | None) -> dict[str, Any]:
    """The same as a bag, and the sum and the number of elements."""
    found = series_stats(series, ignores_others)
    values = [each for each in numbers(series) or [] if each is not None and math.isfinite(each)]
    more = {"sum": None if found[0] is None else total(map(float, values)), "len": len(series) if isinstance(series, list) else None}
    return {**dict(zip(STATISTICS, found, strict=True)), **more}


# filters


def series_fir(series: Any, filter: Any, is_normal: bool | None, is_centered: bool | None) -> Any:
    """The weighted sums of each element and those before it (or around it); what is not there counts as 0."""
    values, weights = numbers(series), reals(filter)
    if not values or weights is None or len(values) * len(weights) > 100 * MAXIMUM_LENGTH:
        return None
    has_negative = min(weights) < 0
    if is_normal is None:
        is_normal = not has_negative
    if is_normal:
        whole = total(weights)
        if has_negative or whole == 0:
            return None
        weights = [each / whole for each in weights]
    shift = (len(weights) - 1) // 2 if is_centered else 0
    import numpy as np

    known = [0.0 if each is None else float(each) for each in values]
    with np.errstate(all="ignore"):
        sums = np.convolve(np.array(known + [0.0] * shift), np.array(weights))
    return real_array(sums[shift : shift + len(known)].tolist())


def series_iir(series: Any, numerators: Any, denominators: Any) -> Any:
    """The recursive filter."""
    values, forward, back = numbers(series), reals(numerators), reals(denominators)
    if values is None or forward is None or back is None or back[0] == 0:
        return None
    if len(values) * (len(forward) + len(back)) > 10 * MAXIMUM_LENGTH:
        return None
    known = [0.0 if each is None else float(each) for each in values]
    answer: list[float] = []
    for index in range(len(known)):
        value = sum(weight * known[index - lag] for lag, weight in enumerate(forward) if lag <= index)
        value -= sum(weight * answer[index - lag] for lag, weight in enumerate(back) if 0 < lag <= index)
        answer.append(_divided(value, back[0]))
    return real_array(answer)
