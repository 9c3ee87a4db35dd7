"""`make-series`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest
from running import Answer, Tables, run

from forebay.telemetry.kql.errors import KqlError

START = datetime(2024, 1, 1)  # noqa: DTZ001 - DuckDB's are naive
ROWS = Tables(
    [("t", "datetime"), ("key", "string"), ("v", "real"), ("n", "int")],
    [
        [START, "a", 1.0, 1],
        [START + timedelta(hours=20), "a", 3.0, 2],
        [START + timedelta(days=2, hours=5), "a", 5.0, 3],
        [START + timedelta(days=1), "b", 7.0, 4],
        [START + timedelta(days=5), "b", None, 5],
        [None, "a", 100.0, 6],
    ],
)


def series(text: str, table: Tables = ROWS) -> Answer:
    return run(f"T | make-series {text}", {"T": table})


def days(*numbers: int) -> list[str]:
    return [f"2024-01-{number:02d}T00:00:00.0000000Z" for number in numbers]


BOUNDS = "on t from datetime(2024-01-01) to datetime(2024-01-04) step 1d"


def test_a_series_has_a_value_for_each_step_before_the_end() -> None:
    answer = series(f"avg(v), c = count() {BOUNDS}")
    assert answer.columns == ["avg_v", "c", "t"]
    assert answer.types == ["dynamic"] * 3
    assert answer.rows == [([2.0, 7.0, 5.0], [2, 1, 1], days(1, 2, 3))]


def test_each_group_has_a_series_of_the_same_length() -> None:
    answer = series(f"sum(v) {BOUNDS} by key")
    assert answer.columns == ["key", "sum_v", "t"]
    assert sorted(answer.rows) == [("a", [4.0, 0.0, 5.0], days(1, 2, 3)), ("b", [0.0, 7.0, 0.0], days(1, 2, 3))]


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("c = count()", [0, 1, 0]),
        ("c = count() default = -1", [-1, 1, -1]),
        ("c = avg(v) default = 2", [2.0, 7.0, 2.0]),
        ("c = avg(v) default = real(null)", [None, 7.0, None]),
        ("c = count() default = double(null)", [None, 1, None]),
        ("c = count() default = 0.5", [0.5, 1, 0.5]),
        ("c = max(n) default = -2", [-2, 4, -2]),
        ("c = max(n)", [0, 4, 0]),
        ("c = round(sum(v) / count(), 0) + 1", [0.0, 8.0, 0.0]),
        ("c = -1 default = 3", [3, -1, 3]),
        ("c = percentile(v, 50)", [0.0, 7.0, 0.0]),
        ("c = max(t) default = datetime(null)", [None, "2024-01-02T00:00:00.0000000Z", None]),
        ("c = any(t - t) default = 1h", ["01:00:00", "00:00:00", "01:00:00"]),
    ],
)
def test_a_default_stands_in_the_gaps(aggregate: str, expected: list[Any]) -> None:
    rows = run(f"T | where key == 'b' | make-series {aggregate} {BOUNDS}", {"T": ROWS}).rows
    assert [row[0] for row in rows] == [expected]


def test_a_mean_of_nothing_within_a_step_is_no_number() -> None:
    assert series("avg(v) on t from datetime(2024-01-05) to datetime(2024-01-07) step 1d").rows[0][0] == [0.0, "NaN"]


def test_the_last_step_may_be_cut() -> None:
    answer = series("count() on t from datetime(2024-01-01) to datetime(2024-01-03 03:00) step 1d")
    assert answer.rows == [([2, 1, 0], days(1, 2, 3))]


def test_without_bounds_a_series_goes_from_its_first_value_to_its_last() -> None:
    assert sorted(series("sum(v) on t step 1d by key").rows) == [
        ("a", [4.0, 0.0, 5.0], days(1, 2, 3)),
        ("b", [7.0, 0.0, 0.0, 0.0, 0.0], days(2, 3, 4, 5, 6)),
    ]


def test_one_bound_may_be_missing() -> None:
    assert min(series("n = count() on t from datetime(2023-12-31) step 1d by key").rows) == (
        "a",
        [0, 2, 0, 1],
        ["2023-12-31T00:00:00.0000000Z", *days(1, 2, 3)],
    )
    assert max(series("n = count() on t to datetime(2024-01-04) step 1d by key").rows) == ("b", [1, 0], days(2, 3))


def test_in_range_takes_the_bins_of_both_bounds() -> None:
    answer = series("count() on t in range(datetime(2024-01-01 12:00), datetime(2024-01-03), 1d)")
    assert answer.rows == [([2, 1, 1], days(1, 2, 3))]


def test_no_rows_make_no_series_unless_one_is_wanted() -> None:
    empty = Tables(ROWS.columns)
    assert series(f"count() {BOUNDS}", empty).rows == []
    assert series(f"count() {BOUNDS} by key", empty).rows == []
    assert series(f"kind=nonempty c = avg(v) default = 1.5 {BOUNDS}", empty).rows == [([1.5, 1.5, 1.5], days(1, 2, 3))]
    assert series("kind=nonempty count() on t step 1d", empty).rows == [([], [])]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ("x step 5", ([1, 2, 1, 2], [-10, -5, 0, 5])),
        ("x from -7 to 9 step 4", ([2, 1, 1, 2], [-7, -3, 1, 5])),
        ("x from -3 to 9 step 2.5", ([1, 0, 1, 1, 1], [-3.0, -0.5, 2.0, 4.5, 7.0])),
        ("y = x * 1h from -1h to 6h step 3h", ([1, 1, 1], ["-01:00:00", "02:00:00", "05:00:00"])),
        ("toint(x) from int(0) to int(4) step 2", ([0, 1], [0, 2])),
        ("x * 0.5 from 0.0 to 3.0 step 1.5", ([1, 1], [0.0, 1.5])),
        (
            "x + 9223372036854775000 step 9",
            ([2, 3, 1], [9223372036854774990, 9223372036854774999, 9223372036854775008]),
        ),
        ("x from 8 to 2 step 1", None),
    ],
)
def test_the_axis_may_be_of_numbers_or_timespans(axis: str, expected: Any) -> None:
    rows = run(f"range x from -7 to 10 step 3 | make-series c = count() on {axis}").rows
    assert rows == ([] if expected is None else [expected])


def test_bounds_may_be_found_in_the_data() -> None:
    rows = run(
        "let a = toscalar(T | summarize min(t)); let b = toscalar(T | summarize max(t)); T | make-series count() on t from a to b step 2d",
        {"T": ROWS},
    ).rows
    assert rows == [([3, 1, 0], days(1, 3, 5))]


def test_a_series_goes_on_to_other_operators() -> None:
    assert run(
        f"T | make-series v = sum(v) {BOUNDS} by key | extend s = series_sum(v) | sort by key asc | project key, s", {"T": ROWS}
    ).rows == [
        ("a", 9.0),
        ("b", 7.0),
    ]
    both = run(f"let s = T | make-series c = count() {BOUNDS} by key; s | join kind=inner (s) on key | count", {"T": ROWS})
    assert both.rows == [(2,)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count() on t from datetime(2024-01-01) to datetime(2024-01-04)", "step"),
        ("count() on t step 0h", "above 0"),
        ("count() on t step 5", "timespan"),
        ("count() on key step 1", "axis"),
        ("count() on t from 1 to 2 step 1d", "datetime"),
        ("take_any(key) on t step 1d", "numbers"),
        ("make_list(v) default = 0 on t step 1d", "numbers"),
        ("count() default = 'x' on t step 1d", "default"),
        ("n on t step 1d", "aggregate"),
    ],
)
def test_what_makes_no_series_is_refused(text: str, message: str) -> None:
    with pytest.raises(KqlError, match=message):
        series(text)


@pytest.mark.parametrize("text", ["count() on t from datetime(1900-01-01) to datetime(2024-01-04) step 1s", "count() on t step 1ms"])
def test_a_series_that_is_too_long_is_refused_when_it_is_known(text: str) -> None:
    with pytest.raises(duckdb.Error, match="expected at most 1048576 steps"):
        series(text)


def test_a_step_that_comes_with_the_query_is_checked_when_it_runs() -> None:
    text = f"declare query_parameters(grain: timespan = 1d); T | make-series c = count() {BOUNDS.replace('1d', 'grain')} | project c"
    assert run(text, {"T": ROWS}).rows == [([2, 1, 1],)]
    for ticks in (0, -1):
        with pytest.raises(duckdb.Error, match="expected a step above 0"):
            run(text, {"T": ROWS}, parameters={"grain": ticks})


def test_decimals_become_reals() -> None:
    rows = run(
        "range x from 1 to 2 step 1 | extend v = decimal(1.5) | make-series sum(v) default = 2 on x from 1 to 4 step 1 | project sum_v"
    ).rows
    assert rows == [([1.5, 1.5, 2.0],)]
