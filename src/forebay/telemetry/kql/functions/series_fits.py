"""Lines and polynomials that fit a series best, by least squares.

Sources: https://learn.microsoft.com/kusto/query/series-fit-line-function and its neighbours; variances are those of a sample.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from forebay.telemetry.kql.functions.series_values import mean, real_array, reals, sum_of_squares, total

_POLYNOMIAL_WORK = 50_000_000  # elements times coefficients, squared
LINE = ("rsquare", "slope", "variance", "rvariance", "interception", "line_fit")
_LINE_BAG = ("slope", "interception", "rsquare", "variance", "rvariance", "line_fit")
_SIDE = ("rsquare", "slope", "interception", "variance", "rvariance")
TWO_LINES = (
    "rsquare",
    "split_idx",
    "variance",
    "rvariance",
    "line_fit",
    *(f"right_{each}" for each in _SIDE),
    *(f"left_{each}" for each in _SIDE),
)


def _variance(values: list[float]) -> float:
    middle = mean(values)
    return sum_of_squares(value - middle for value in values) / (len(values) - 1) if len(values) > 1 else 0.0


def _r_square(variance: float, residual: float) -> float:
    """How much of the variance the fit tells; all of it where there is none."""
    return 1 - residual / variance if variance > 0 else 1.0


class Line:
    """The straight line through values at 1, 2, 3, ..."""

    def __init__(self, values: list[float]) -> None:
        count = len(values)
        middle, center = mean(values), (count + 1) / 2
        squares = count * (count * count - 1) / 12  # of the distances from the centre
        self.slope = total((index - center) * (value - middle) for index, value in enumerate(values, 1)) / squares if count > 1 else 0.0
        self.interception = middle - self.slope * center
        self.fit = [self.interception + self.slope * index for index in range(1, count + 1)]
        self.variance = _variance(values)
        errors = sum_of_squares(value - fit for value, fit in zip(values, self.fit, strict=True))
        self.residual = errors / (count - 1) if count > 1 else 0.0
        self.r_square = _r_square(self.variance, self.residual)

    def side(self) -> list[float]:
        """What is told of one of two lines."""
        return [self.r_square, self.slope, self.interception, self.variance, self.residual]


def series_fit_line(series: Any) -> list[Any]:
    """`LINE`; nulls of a series that is not all numbers."""
    values = reals(series)
    if values is None:
        return [None] * len(LINE)
    line = Line(values)
    return [line.r_square, line.slope, line.variance, line.residual, line.interception, real_array(line.fit)]


def series_fit_line_dynamic(series: Any) -> dict[str, Any]:
    """The same as a bag."""
    found = dict(zip(LINE, series_fit_line(series), strict=True))
    return {name: found[name] for name in _LINE_BAG}


def _errors_of_beginnings(values: list[float]) -> list[float]:
    """How far the first 1, 2, 3, ... values are from their line: the sums of the squares."""
    sums = list(accumulate(values))
    weighted = list(accumulate(index * value for index, value in enumerate(values)))
    squares = list(accumulate(value * value for value in values))
    errors = []
    for last in range(len(values)):
        count = last + 1
        own = squares[last] - sums[last] * sums[last] / count
        together = weighted[last] - last / 2 * sums[last]
        widths = count * (count * count - 1) / 12
        errors.append(max(0.0, own - together * together / widths) if count > 1 else 0.0)
    return errors


def series_fit_2lines(series: Any) -> list[Any]:
    """`TWO_LINES`: the split that leaves the least error; nulls of a series that is not all numbers, or too short to be split."""
    values = reals(series)
    if values is None or len(values) < 4:
        return [None] * len(TWO_LINES)
    middle = mean(values)
    centered = [value - middle for value in values]
    left_errors = _errors_of_beginnings(centered)
    right_errors = _errors_of_beginnings(centered[::-1])[::-1]
    split = min(range(2, len(values) - 1), key=lambda index: left_errors[index - 1] + right_errors[index])
    left, right = Line(values[:split]), Line(values[split:])
    variance, count = _variance(values), len(values)
    residual = (left.residual * (split - 1) + right.residual * (count - split - 1)) / (count - 1)
    return [_r_square(variance, residual), split, variance, residual, real_array(left.fit + right.fit), *right.side(), *left.side()]


def series_fit_2lines_dynamic(series: Any) -> dict[str, Any]:
    """The same as a bag, with a bag of each side: `right.slope`."""
    bag: dict[str, Any] = {}
    for name, value in zip(TWO_LINES, series_fit_2lines(series), strict=True):
        side, _, of_side = name.partition("_")
        if side in ("right", "left"):
            bag.setdefault(side, {})[of_side] = value
        else:
            bag[name] = value
    return bag


def series_fit_poly(y: Any, x: Any, degree: int | None) -> list[Any]:
    """rsquare, coefficients (the highest power first), variance, rvariance, poly_fit; x is 1, 2, 3, ... if left out."""
    values = reals(y)
    places = [float(index + 1) for index in range(len(values or ()))] if x is None else reals(x)
    if values is None or places is None or len(places) != len(values) or degree is None or not 0 <= degree < len(values):
        return [None] * 5
    if len(values) * (degree + 1) ** 2 > _POLYNOMIAL_WORK:
        return [None] * 5
    import warnings

    import numpy as np

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of a fit that many polynomials are near to
        powers = np.vander(places, degree + 1)
        if not np.isfinite((powers * powers).sum()):
            return [None] * 5
        try:
            coefficients = np.polyfit(places, values, degree)
        except np.linalg.LinAlgError:
            return [None] * 5
        fit = np.polyval(coefficients, places)
        errors = float(((np.array(values) - fit) ** 2).sum())
    variance = _variance(values)
    residual = errors / (len(values) - 1) if len(values) > 1 else 0.0
    return [_r_square(variance, residual), real_array(coefficients.tolist()), variance, residual, real_array(fit.tolist())]
