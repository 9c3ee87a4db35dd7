"""`top-nested`, `top-hitters` and `sample-distinct`."""

from __future__ import annotations

from typing import Any

import pytest
from running import run

from forebay.telemetry.kql.errors import KqlError

SALES = """datatable(region: string, who: string, n: long)
['north', 'ann', 5, 'north', 'bob', 9, 'north', 'cyd', 1, 'south', 'ann', 7, 'south', 'dan', 2, 'west', 'eve', 3, '', 'ann', 1]"""


def rows(operators: str) -> list[tuple[Any, ...]]:
    return run(f"{SALES} | {operators}").rows


def test_each_level_has_the_best_within_those_above() -> None:
    answer = run(f"{SALES} | top-nested 2 of region by sum(n), top-nested 1 of who by most = max(n)")
    assert answer.columns == ["region", "aggregated_region", "who", "most"]
    assert answer.rows == [("north", 15, "bob", 9), ("south", 9, "ann", 7)]


def test_without_a_number_all_values_are_kept_and_asc_takes_the_least() -> None:
    assert rows("top-nested 1 of region by sum(n) asc, top-nested of who by count()") == [("", 1, "ann", 1)]


def test_others_are_one_row_for_each_of_those_above() -> None:
    found = rows("top-nested 1 of region with others = 'rest' by sum(n), top-nested 1 of who with others = '-' by sum(n)")
    assert found == [("north", 15, "bob", 9), ("rest", 13, "-", 13), ("north", 15, "-", 6)]


def test_others_of_a_level_below_have_what_falls_out_above_it() -> None:
    found = rows("top-nested 1 of region by sum(n), top-nested 1 of who with others = '-' by sum(n)")
    assert found == [("north", 15, "bob", 9), ("", None, "-", 13), ("north", 15, "-", 6)]


def test_there_are_no_others_where_all_are_among_the_best() -> None:
    assert rows("where region == 'west' | top-nested 2 of region with others = 'rest' by count()") == [("west", 1)]


def test_null_is_a_value_of_a_level() -> None:
    source = "datatable(a: long, b: long)[long(null), 1, long(null), 2, 1, 3]"
    found = run(f"{source} | top-nested 1 of a by count(), top-nested of b by max(b)").rows
    assert found == [(None, 2, 2, 2), (None, 2, 1, 1)]


def test_hitters_are_counted_or_weighed() -> None:
    assert rows("top-hitters 1 of who") == [("ann", 3)]
    answer = run(f"{SALES} | top-hitters 2 of who by n")
    assert (answer.columns, answer.rows) == (["who", "approximate_sum_n"], [("ann", 13), ("bob", 9)])


def test_a_sample_of_values_has_each_once() -> None:
    found = rows("sample-distinct 3 of who")
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    "operator", ["top-nested -1 of who by count()", "top-nested 1 of n with others = 'x' by count()", "top-nested of n by n = count()"]
)
def test_numbers_below_0_labels_of_another_type_and_names_that_come_twice_are_refused(operator: str) -> None:
    with pytest.raises(KqlError):
        rows(operator)
