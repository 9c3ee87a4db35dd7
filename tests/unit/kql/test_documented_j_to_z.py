"""What the documentation of Kusto says of the scalar functions from j to z and of the aggregates, beyond the tests of each family."""

from __future__ import annotations

import pytest
from expressions import values
from running import Tables, run

from forebay.telemetry.kql.errors import KqlError

LONGS = Tables([("n", "long")], [[1], [2], [3], [4]])
SERIES = "dynamic([3, 4, 3, 5, 4, 90, null, 4, 3, 4])"


def test_a_value_of_toscalar_is_computed_once() -> None:
    query = "let id = toscalar(new_guid()); T | extend one = id, other = id | summarize dcount(one), countif(one == other)"
    assert run(query, {"T": LONGS}).rows == [(1, 4)]


def test_the_first_value_of_random_rows_is_one_value() -> None:
    least = "let least = toscalar(T | extend r = rand() | summarize min(r)); "
    query = "T | project one = least, other = least | summarize dcount(one), countif(one == other)"
    assert run(least + query, {"T": LONGS}).rows == [(1, 4)]


def test_a_name_without_toscalar_is_computed_for_each_row() -> None:
    assert run("let id = new_guid(); T | extend own = id | summarize dcount(own)", {"T": LONGS}).rows == [(4,)]


@pytest.mark.parametrize("body", ["toscalar(T | where n == x | project n)", "1 in ((T | where n == x))"])
def test_a_table_in_a_function_cannot_read_the_row_that_calls_it(body: str) -> None:
    with pytest.raises(KqlError, match="cannot read 'n', a column of the row that calls it") as raised:
        run(f"let f = (x: long) {{ {body} }}; T | extend y = f(n)", {"T": LONGS})
    assert raised.value.diagnostics[0].end > 0


def test_a_table_in_a_function_reads_a_constant_argument() -> None:
    assert run("let f = (x: long) { toscalar(T | where n > x | count) }; print f(2)", {"T": LONGS}).rows == [(2,)]


@pytest.mark.parametrize("call", ["percentiles(n, dynamic([5, 50]))", "percentile(n, dynamic([5]))", "percentilesw(n, n, dynamic([5]))"])
def test_percentages_in_an_array_are_for_the_forms_that_answer_an_array(call: str) -> None:
    with pytest.raises(KqlError, match="takes numbers as percentages") as raised:
        run(f"T | summarize {call}", {"T": LONGS})
    assert raised.value.diagnostics[0].hint.startswith("percentiles")


def test_series_outliers_takes_the_range_that_it_has_anyway() -> None:
    expressions = {
        f"series_outliers({SERIES}, 'ctukey', double(null), 10, 90)": f"series_outliers({SERIES})",
        f"series_outliers({SERIES}, 'ctukey', 3, 10)": f"series_outliers({SERIES}, 'ctukey', 3)",
        f"series_outliers({SERIES}, 'tukey', 3, 5, 95)": f"series_outliers({SERIES}, 'tukey', 3)",
    }
    answers = values([*expressions, *expressions.values()])
    assert [answers[each] for each in expressions] == [answers[each] for each in expressions.values()]


def test_another_range_of_series_outliers_is_refused() -> None:
    with pytest.raises(KqlError, match="10 to 90 alone"):
        run(f"print series_outliers({SERIES}, 'ctukey', 0, 20, 80)")


def test_series_stats_dynamic_tells_the_sum_and_the_number_of_elements() -> None:
    (stats, ignoring, undecided) = run(
        "print series_stats_dynamic(dynamic([4, 1, 1])), series_stats_dynamic(dynamic([2, null, 3]), true),"
        " series_stats_dynamic(dynamic([2, null, 3]))"
    ).rows[0]
    assert list(stats) == ["min", "min_idx", "max", "max_idx", "avg", "stdev", "variance", "sum", "len"]
    assert (stats["sum"], stats["len"]) == (6.0, 3)
    assert (ignoring["sum"], ignoring["len"]) == (5.0, 3)
    assert undecided["sum"] is None


def test_series_fit_2lines_dynamic_has_a_bag_of_each_side() -> None:
    fit = "series_fit_2lines_dynamic(dynamic([0, 1, 2, 3, 9, 7, 5, 3]))"
    answers = values([f"{fit}.right.slope", f"{fit}.left.slope", f"{fit}.left.rsquare", f"{fit}.split_idx"])
    assert list(answers.values()) == pytest.approx([-2.0, 1.0, 1.0, 4])
