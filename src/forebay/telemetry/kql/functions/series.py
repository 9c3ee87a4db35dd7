"""Functions of series: arrays of numbers, such as `make-series` makes. Their calculations are in series_*.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forebay.telemetry.kql.functions import series_fits, series_periods, series_python
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import REFUSED, SPREAD, scalar
from forebay.telemetry.kql.types import DUCKDB_TYPES, KqlType


def _paired(name: str, summary: str, answer: str = "dynamic") -> None:
    """Of two series, or of a series and a number."""
    python = getattr(series_python, name)
    for first, second in (("dynamic", "dynamic"), ("dynamic", "long"), ("dynamic", "real"), ("long", "dynamic"), ("real", "dynamic")):
        scalar(f"{name}(first: {first}, second: {second}) -> {answer}", None, summary, python=python)


def _spread(signature: str, python: Callable[..., Any], summary: str, columns: tuple[tuple[str, KqlType], ...]) -> None:
    """What answers several columns, and as `..._dynamic` one bag."""
    scalar(f"{signature} -> dynamic", None, summary, python=python)
    SPREAD[signature.partition("(")[0]] = columns


def _bag(signature: str, python: Callable[..., Any], summary: str) -> None:
    scalar(f"{signature} -> dynamic", None, summary, python=python)


# the columns of what answers several (`registry.SPREAD`)
_KINDS: tuple[KqlType, ...] = ("real", "long")
for _kind in _KINDS:
    scalar(
        f"_part_{_kind}(parts: dynamic, const place: long) -> {_kind}",
        f"TRY_CAST({{parts.once}} ->> '$[{{place}}]' AS {DUCKDB_TYPES[_kind]})",
        "Internal: one of several answers.",
    )
scalar("_part_dynamic(parts: dynamic, const place: long) -> dynamic", "({parts.once} -> '$[{place}]')", "Internal: one of several answers.")

for _name, _summary in (
    ("series_add", "The sums."),
    ("series_subtract", "The differences."),
    ("series_multiply", "The products."),
    ("series_divide", "The quotients, as reals."),
    ("series_pow", "The powers."),
    ("series_equals", "Where elements are equal."),
    ("series_not_equals", "Where elements are not equal."),
    ("series_greater", "Where the first is greater."),
    ("series_greater_equals", "Where the first is not less."),
    ("series_less", "Where the first is less."),
    ("series_less_equals", "Where the first is not greater."),
):
    _paired(_name, _summary)
_paired("series_dot_product", "The sum of the products.", "real")

for _name in ("abs", "sign", "floor", "ceiling", "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan"):
    scalar(
        f"series_{_name}(series: dynamic) -> dynamic", None, f"{_name} of each element.", python=getattr(series_python, f"series_{_name}")
    )

for _kind in _KINDS:
    scalar(
        f"series_fill_const(series: dynamic, constant: {_kind}, missing: real?) -> dynamic",
        None,
        "The constant where an element is missing.",
        python=series_python.series_fill_const,
    )
scalar(
    "series_fill_forward(series: dynamic, missing: real?) -> dynamic",
    None,
    "The element before, where one is missing.",
    python=series_python.series_fill_forward,
)
scalar(
    "series_fill_backward(series: dynamic, missing: real?) -> dynamic",
    None,
    "The element behind, where one is missing.",
    python=series_python.series_fill_backward,
)
scalar(
    "series_fill_linear(series: dynamic, missing: real?, fills_edges: bool = true, constant: real = 0.0) -> dynamic",
    None,
    "A straight line where elements are missing.",
    python=series_python.series_fill_linear,
)

scalar("series_sum(series: dynamic) -> real", None, "The sum.", python=series_python.series_sum)
scalar("series_product(series: dynamic) -> real", None, "The product.", python=series_python.series_product)
scalar("series_magnitude(series: dynamic) -> real", None, "The Euclidean length.", python=series_python.series_magnitude)
scalar(
    "series_cosine_similarity(first: dynamic, second: dynamic, first_magnitude: real?, second_magnitude: real?) -> real",
    None,
    "The cosine of the angle between vectors.",
    python=series_python.series_cosine_similarity,
)
scalar(
    "series_pearson_correlation(first: dynamic, second: dynamic) -> real",
    None,
    "The correlation coefficient.",
    python=series_python.series_pearson_correlation,
)

_spread(
    "series_stats(series: dynamic, ignores_others: bool = false)",
    series_python.series_stats,
    "The least, the greatest, where they are, mean, deviation and variance.",
    (("min", "real"), ("min_idx", "long"), ("max", "real"), ("max_idx", "long"), ("avg", "real"), ("stdev", "real"), ("variance", "real")),
)
_bag("series_stats_dynamic(series: dynamic, ignores_others: bool = false)", series_python.series_stats_dynamic, "series_stats as a bag.")

scalar(
    "series_fir(series: dynamic, filter: dynamic, is_normal: bool?, is_centered: bool = false) -> dynamic",
    None,
    "A finite impulse response filter.",
    python=series_python.series_fir,
)
scalar(
    "series_iir(series: dynamic, numerators: dynamic, denominators: dynamic) -> dynamic",
    None,
    "An infinite impulse response filter.",
    python=series_python.series_iir,
)

_LINE: tuple[tuple[str, KqlType], ...] = (
    ("rsquare", "real"),
    ("slope", "real"),
    ("variance", "real"),
    ("rvariance", "real"),
    ("interception", "real"),
    ("line_fit", "dynamic"),
)
_SIDE = ("rsquare", "slope", "interception", "variance", "rvariance")
_TWO_LINES: tuple[tuple[str, KqlType], ...] = (
    ("rsquare", "real"),
    ("split_idx", "long"),
    ("variance", "real"),
    ("rvariance", "real"),
    ("line_fit", "dynamic"),
    *((f"right_{each}", "real") for each in _SIDE),
    *((f"left_{each}", "real") for each in _SIDE),
)
_POLYNOMIAL: tuple[tuple[str, KqlType], ...] = (
    ("rsquare", "real"),
    ("coefficients", "dynamic"),
    ("variance", "real"),
    ("rvariance", "real"),
    ("poly_fit", "dynamic"),
)
_spread("series_fit_line(series: dynamic)", series_fits.series_fit_line, "The straight line that fits best.", _LINE)
_bag("series_fit_line_dynamic(series: dynamic)", series_fits.series_fit_line_dynamic, "series_fit_line as a bag.")
_spread("series_fit_2lines(series: dynamic)", series_fits.series_fit_2lines, "The two straight lines that fit best.", _TWO_LINES)
_bag("series_fit_2lines_dynamic(series: dynamic)", series_fits.series_fit_2lines_dynamic, "series_fit_2lines as a bag.")
_spread(
    "series_fit_poly(y: dynamic, x: dynamic?, degree: long = 1)", series_fits.series_fit_poly, "The polynomial that fits best.", _POLYNOMIAL
)

_COMPLEX: tuple[tuple[str, KqlType], ...] = (("real", "dynamic"), ("imag", "dynamic"))
_spread("series_fft(series: dynamic, imaginary: dynamic?)", series_periods.series_fft, "The Fourier transform.", _COMPLEX)
_spread("series_ifft(series: dynamic, imaginary: dynamic?)", series_periods.series_ifft, "The inverse Fourier transform.", _COMPLEX)

_PERIODS: tuple[tuple[str, KqlType], ...] = (("periods", "dynamic"), ("scores", "dynamic"))
_FOUND = "scores are Kusto's; which of several periods that are near equally strong is found may differ"
scalar(
    "series_periods_detect(series: dynamic, least: real, greatest: real, count: long) -> dynamic",
    None,
    "The periods of a series, and how sure they are.",
    python=series_periods.series_periods_detect,
    approximate=_FOUND,
)
SPREAD["series_periods_detect"] = _PERIODS
_spread(
    "series_periods_validate(series: dynamic, periods: real...)",
    series_periods.series_periods_validate,
    "How sure periods are.",
    _PERIODS,
)
scalar(
    "series_seasonal(series: dynamic, period: long = -1, test_points: long = 0) -> dynamic",
    None,
    "The seasonal component.",
    python=series_periods.series_seasonal,
    approximate=_FOUND,
)
scalar(
    'series_decompose(series: dynamic, period: long = -1, trend: string = "avg", test_points: long = 0, threshold: real = 0.6) -> dynamic',
    None,
    "Baseline, season, trend and residual.",
    python=series_periods.series_decompose,
    approximate=_FOUND,
)
SPREAD["series_decompose"] = (("baseline", "dynamic"), ("seasonal", "dynamic"), ("trend", "dynamic"), ("residual", "dynamic"))
scalar(
    'series_decompose_anomalies(series: dynamic, limit: real = 1.5, period: long = -1, trend: string = "avg", test_points: long = 0,'
    ' method: string = "ctukey", threshold: real = 0.6) -> dynamic',
    None,
    "Which elements are anomalies, how much so, and the baseline.",
    python=series_periods.series_decompose_anomalies,
    approximate=_FOUND,
)
SPREAD["series_decompose_anomalies"] = (("ad_flag", "dynamic"), ("ad_score", "dynamic"), ("baseline", "dynamic"))
scalar(
    'series_decompose_forecast(series: dynamic, test_points: long, period: long = -1, trend: string = "avg", threshold: real = 0.6)'
    " -> dynamic",
    None,
    "The series with its last points forecast.",
    python=series_periods.series_decompose_forecast,
    approximate=_FOUND,
)
_outliers = scalar(
    'series_outliers(series: dynamic, const method: string = "ctukey", ignored: real?) -> dynamic',
    None,
    "How far elements are out of the range of most.",
    python=series_periods.series_outliers,
)


def _outliers_of_range(series: Argument, method: Argument, ignored: Argument, least: Argument, greatest: Argument) -> str:
    """How Kusto scales the scores of another range is not published; "tukey" has a range of its own."""
    if method.value == "ctukey" and (least.value, greatest.value) != (10, 90):
        raise ValueError("of the ranges of percentiles, series_outliers() supports 10 to 90 alone")
    return f"{_outliers.python_name}({series}::VARCHAR, {method}, {ignored}::DOUBLE)::JSON"


scalar(
    "series_outliers(series: dynamic, const method: string, ignored: real, const least: real, const greatest: real = 90) -> dynamic",
    _outliers_of_range,
    "The same, of this range of percentiles.",
)
REFUSED["series_shapes_fl"] = "functions of the library ..._fl() are stored functions of a database: define it with let"
