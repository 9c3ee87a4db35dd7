"""Reads the arrays that series functions take, and writes those that they answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

MAXIMUM_LENGTH = 1_048_576  # of a series; a longer one answers null
Number = int | float
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_LEAST_LONG, _GREATEST_LONG = -(2**63), 2**63 - 1


def number(value: Any) -> Number | None:
    """A number, or None for what is none. Reals that JSON cannot write come as text."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float) or (isinstance(value, int) and _LEAST_LONG <= value <= _GREATEST_LONG):
        return value
    if isinstance(value, int):
        return _real(value)
    if isinstance(value, str):
        return _NOT_FINITE.get(value)
    return float(value) if type(value).__name__ == "Decimal" else None


def numbers(series: Any) -> list[Number | None] | None:
    """The elements of a series, None for what is no number; None of what is no series."""
    if not isinstance(series, list) or len(series) > MAXIMUM_LENGTH:
        return None
    return [number(each) for each in series]


def reals(series: Any) -> list[float] | None:
    """The elements as finite reals; None where one is something else, or there are none."""
    found = numbers(series)
    if not found:
        return None
    answer = [math.nan if each is None else _real(each) for each in found]
    return answer if all(map(math.isfinite, answer)) else None


def _real(value: Number) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def array(values: Iterable[Number | bool | None]) -> list[Any]:
    """An answer: reals, if one of them is real or beyond 64 bits."""
    answer = list(values)
    is_real = any(isinstance(each, float) or (isinstance(each, int) and not _LEAST_LONG <= each <= _GREATEST_LONG) for each in answer)
    if not is_real:
        return answer
    return [each if each is None or isinstance(each, bool) else written(_real(each)) for each in answer]


def real_array(values: Iterable[Number | None]) -> list[Any]:
    """An answer of reals only."""
    return [None if each is None else written(_real(each)) for each in values]


def written(value: float) -> float | str:
    """A real as `dynamic` holds it."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def mean(values: Sequence[float]) -> float:
    """The mean."""
    return total(values) / len(values)


def total(values: Iterable[float]) -> float:
    """The sum, as exact as it can be; infinite where it is too large."""
    given = list(values)
    try:
        return math.fsum(given)
    except (OverflowError, ValueError):
        return sum(given)


def sum_of_squares(values: Iterable[float]) -> float:
    """The sum of the squares."""
    return total(value * value for value in values)


def percentile(values: Sequence[float], percent: float) -> float:
    """Between the two nearest values, in proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
