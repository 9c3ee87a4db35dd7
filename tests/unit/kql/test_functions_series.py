"""Functions of series."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from expressions import values
from running import run

from forebay.telemetry.kql.functions import registry, series_periods
from forebay.telemetry.kql.functions.series_values import numbers

EXPECTED: dict[str, Any] = {
    # element by element
    "series_add(dynamic([1, 2, 3]), dynamic([10, 20]))": [11, 22, None],
    "series_add(dynamic([1, 2]), 0.5)": [1.5, 2.5],
    "series_subtract(10, dynamic([1, null, 'x', true]))": [9, None, None, None],
    "series_multiply(dynamic([2, 3.5]), 2)": [4.0, 7.0],
    "series_multiply(dynamic([9223372036854775807]), 2)": [1.8446744073709552e19],
    "series_divide(dynamic([1, 0, -1, 6]), dynamic([0, 0, 0, 4]))": ["Infinity", "NaN", "-Infinity", 1.5],
    "series_pow(dynamic([2, -8, 0, 1e300]), dynamic([0.5, 0.5, 2, 2]))": [math.sqrt(2), "NaN", 0.0, "Infinity"],
    "series_equals(dynamic([1, 2.0, 'a']), dynamic([1.0, 3, 4]))": [True, False, None],
    "series_not_equals(dynamic([1, 2]), 2)": [True, False],
    "series_greater(2, dynamic([1, 2, 3]))": [True, False, False],
    "series_greater_equals(dynamic([1, 2, 3]), 2)": [False, True, True],
    "series_less(dynamic([1, 2]), dynamic([2]))": [True, None],
    "series_less_equals(dynamic([1, 2, 3]), 2.0)": [True, True, False],
    "series_abs(dynamic([-1, 2, null]))": [1, 2, None],
    "series_abs(dynamic([-1, 2.5]))": [1.0, 2.5],
    "series_sign(dynamic([-3.5, 0, 7]))": [-1, 0, 1],
    "series_floor(dynamic([-1.5, 2, 'x']))": [-2.0, 2.0, None],
    "series_ceiling(dynamic([-1.5, 1.2]))": [-1.0, 2.0],
    "series_exp(dynamic([0, 1000]))": [1.0, "Infinity"],
    "series_log(dynamic([1, 0, -1]))": [0.0, "-Infinity", "NaN"],
    "series_asin(dynamic([0, 2]))": [0.0, "NaN"],
    "series_cos(dynamic([0]))": [1.0],
    "series_add(dynamic(null), dynamic([1]))": None,
    "series_add(dynamic({'a': 1}), 1)": None,
    "series_add(series_divide(dynamic([1]), 0), 1)": ["Infinity"],
    # filling
    "series_fill_const(dynamic([null, 1, null]), 7)": [7, 1, 7],
    "series_fill_const(dynamic([null, 1, 'x']), 7, 1)": [None, 7, "x"],
    "series_fill_forward(dynamic([null, 1, null, null, 2]))": [None, 1, 1, 1, 2],
    "series_fill_forward(dynamic([3, 0, 0]), 0)": [3, 3, 3],
    "series_fill_backward(dynamic([null, 1, null]))": [1, 1, None],
    "series_fill_linear(dynamic([null, 0, null, 5, null]))": [0, 0, 2, 5, 5],
    "series_fill_linear(dynamic([0, null, -5]))": [0, -2, -5],
    "series_fill_linear(dynamic([null, 0.0, null, 5, null]), double(null), false)": [None, 0.0, 2.5, 5.0, None],
    "series_fill_linear(dynamic([-1, 2, -1, 4]), -1)": [2, 2, 3, 4],
    "series_fill_linear(dynamic([null, null]), double(null), true, 2)": [2.0, 2.0],
    "series_fill_linear(dynamic([]))": [],
    # adding up
    "series_sum(dynamic([1, 2.5]))": 3.5,
    "series_sum(dynamic([]))": 0.0,
    "series_sum(dynamic([1, null]))": None,
    "series_product(dynamic([2, 3, 4]))": 24.0,
    "series_magnitude(dynamic([3, 4]))": 5.0,
    "series_dot_product(dynamic([1, 2, 3]), dynamic([4, 5]))": 14.0,
    "series_dot_product(dynamic([1, 2]), 3)": 9.0,
    "series_dot_product(dynamic([]), 3)": None,
    "series_cosine_similarity(dynamic([1, 0]), dynamic([1, 1]))": math.sqrt(0.5),
    "series_cosine_similarity(dynamic([1, 2]), dynamic([2, 4]), 2, 5)": 1.0,
    "series_pearson_correlation(dynamic([1, 2, 4]), dynamic([3, 2, 0]))": -1.0,
    "series_pearson_correlation(dynamic([1, 2]), dynamic([1]))": None,
    # filters
    "series_fir(dynamic([1, 2, 3, 4]), dynamic([1, 1]))": [0.5, 1.5, 2.5, 3.5],
    "series_fir(dynamic([1, 4, 9, 16]), dynamic([1, -1]))": [1.0, 3.0, 5.0, 7.0],
    "series_fir(dynamic([0, 0, 3, 0, 0]), dynamic([1, 1, 1]), true, true)": [0.0, 1.0, 1.0, 1.0, 0.0],
    "series_fir(dynamic([1]), dynamic([1, -1]), true)": None,
    "series_iir(dynamic([1, 1, 1]), dynamic([1]), dynamic([2, -1]))": [0.5, 0.75, 0.875],
    "series_iir(dynamic([1]), dynamic([1]), dynamic([0, 1]))": None,
    # fits and statistics
    "series_stats_dynamic(dynamic([4, 1, 4, 3])).max_idx": 0,
    "series_stats_dynamic(dynamic([4, null, 2])).avg": None,
    "series_stats_dynamic(dynamic([4, null, 2]), true).min_idx": 2,
    "series_fit_line_dynamic(dynamic([1, 3, 5])).slope": 2.0,
    "series_fit_line_dynamic(dynamic([1, 3, 5])).interception": -1.0,
    "series_fit_line_dynamic(dynamic([2, 2])).rsquare": 1.0,
    "series_fit_2lines_dynamic(dynamic([0, 1, 2, 3, 3, 2, 1, 0])).split_idx": 4,
    "series_fit_2lines_dynamic(dynamic([0, 1])).split_idx": None,
    "series_outliers(dynamic([1, 2, 3]), 'no such')": None,
    "series_seasonal(dynamic([1, 5, 3, 7, 5]), 2)": [3.0, 6.0, 3.0, 6.0, 3.0],
    "series_periods_detect(dynamic([1]), 0.0, 5.0, 2)[0]": [0.0],
}


def close(expected: Any) -> Any:
    if isinstance(expected, list):
        return [close(each) for each in expected]
    return pytest.approx(expected) if isinstance(expected, float) else expected


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    return values(list(EXPECTED))


@pytest.mark.parametrize("expression", EXPECTED)
def test_a_series_function_answers(answers: dict[str, Any], expression: str) -> None:
    assert answers[expression] == close(EXPECTED[expression])


def test_functions_of_several_answers_make_columns_of_their_types() -> None:
    answer = run("print y = dynamic([1, 2, 4]) | extend series_stats(y), (r, s) = series_fit_line(y) | project-away y")
    stats = [f"series_stats_y_{each}" for each in ("min", "min_idx", "max", "max_idx", "avg", "stdev", "variance")]
    assert answer.columns[:8] == [*stats, "r"]
    assert answer.types[:8] == ["real", "long", "real", "long", "real", "real", "real", "real"]
    assert answer.rows[0][:7] == close((1.0, 0, 4.0, 2, 7 / 3, math.sqrt(7 / 3), 7 / 3))


def test_a_polynomial_is_found_with_its_highest_power_first() -> None:
    ((coefficients, fit),) = run(
        "range i from 0 to 9 step 1 | extend v = 3.0 * i * i - i + 2 | summarize x = make_list(i), y = make_list(v)"
        " | extend (q, c, v, w, fit) = series_fit_poly(y, x, 2) | project c, fit"
    ).rows[0:1]
    assert coefficients == close([3.0, -1.0, 2.0])
    assert fit == close([3.0 * i * i - i + 2 for i in range(10)])


def test_a_fourier_transform_goes_back() -> None:
    ((real, imaginary, again),) = run(
        "print x = dynamic([1, 2, 0, -1]) | extend (r, i) = series_fft(x) | extend (b, z) = series_ifft(r, i) | project r, i, b"
    ).rows
    assert (real, imaginary) == (close([2.0, 1.0, 0.0, 1.0]), close([0.0, -3.0, 0.0, 3.0]))
    assert again == close([1.0, 2.0, 0.0, -1.0])


WEEK = [20.0, 10.0, 12.0, 9.0, 11.0, 30.0, 40.0]


def noisy(length: int, *, slope: float = 0.0, seed: int = 7) -> list[float]:
    source = random.Random(seed)
    return [WEEK[day % 7] + slope * day + source.uniform(-1, 1) for day in range(length)]


def test_a_period_is_found_with_its_score() -> None:
    periods, scores = series_periods.series_periods_detect(noisy(70), 0.0, 30.0, 2)
    assert periods == [7.0, 0.0]
    assert 0.95 < scores[0] <= 1
    assert series_periods.series_periods_validate(noisy(70), [7.0, 10.0, 3.0, 60.0])[1] == [scores[0], 0.0, 0.0, 0.0]


def test_a_series_is_its_season_its_trend_and_what_is_left() -> None:
    series = noisy(70, slope=0.5)
    baseline, seasonal, trend, residual = series_periods.series_decompose(series, 7, "linefit", 0, 0.6)
    assert seasonal[:7] == seasonal[7:14]
    assert trend[1] - trend[0] == pytest.approx(0.5, abs=0.05)
    assert baseline == close([a + b for a, b in zip(seasonal, trend, strict=True)])
    assert series == close([a + b for a, b in zip(baseline, residual, strict=True)])
    assert max(map(abs, residual)) < 4


def test_without_a_period_there_is_no_season() -> None:
    source = random.Random(3)
    assert set(series_periods.series_seasonal([source.random() for _ in range(50)], -1, 0)) == {0.0}
    assert series_periods.series_decompose([1, 2, 3], 0, "none", 0, 0.6)[0] == [0.0, 0.0, 0.0]


def test_a_forecast_goes_on_behind_the_points_that_are_known() -> None:
    forecast = series_periods.series_decompose_forecast([*noisy(63, slope=1.0), *[None] * 7], 7, -1, "linefit", 0.6)
    assert forecast[63:] == pytest.approx([WEEK[day % 7] + day for day in range(63, 70)], abs=4)


def test_what_stands_out_is_an_anomaly() -> None:
    series = noisy(70)
    series[33] += 25
    series[50] -= 25
    flags, scores, _ = series_periods.series_decompose_anomalies(series, 1.5, -1, "avg", 0, "ctukey", 0.6)
    assert [place for place, flag in enumerate(flags) if flag] == [33, 50]
    assert (flags[33], flags[50]) == (1, -1)
    assert scores[33] > 1.5 > -1.5 > scores[50]


def test_an_outlier_is_measured_in_ranges_beyond_the_quartiles() -> None:
    ((tukey, nulls),) = run(
        "print series_outliers(dynamic([1, 2, 3, 4, 9]), 'tukey'), series_outliers(dynamic([1, 2, 3, null, 4, 9, -1]), 'tukey', -1)"
    ).rows
    assert tukey == [-0.5, 0.0, 0.0, 0.0, 2.5]
    assert nulls == [-0.5, 0.0, 0.0, 0.0, 0.0, 2.5, 0.0]


def test_no_series_makes_a_function_fail() -> None:
    series: list[Any] = [None, 1, "x", {}, [], [None], ["NaN", "Infinity", 1e308, -1e308], [1], [1, 2], [2**64, 0.5], [[1]], [True]]
    others: dict[str, list[Any]] = {
        "dynamic": series,
        "real": [None, 0.0, -1.0, 50.0, math.nan, math.inf],
        "long": [None, 0, -1, 3, 2**63 - 1],
        "bool": [None, True],
        "string": ["avg", "linefit", "tukey", ""],
    }
    source = random.Random(1)
    for name, functions in registry.names().items():
        if not name.startswith("series_"):
            continue
        for function in functions:
            if function.python is None:  # written in SQL, with another that is not
                continue
            for _ in range(60):
                given = [source.choice(others[next(iter(each.types))]) for each in function.parameters]
                given = [[each] if parameter.is_repeated else each for parameter, each in zip(function.parameters, given, strict=True)]
                function.python(*given)


def test_numbers_of_other_forms_are_read() -> None:
    assert numbers([1, 2.5, True, None, "NaN", "-Infinity", "x", []])[:4] == [1, 2.5, None, None]  # type: ignore[index]
    assert numbers(["-Infinity", "x", []]) == [-math.inf, None, None]
    assert numbers({"a": 1}) is None
