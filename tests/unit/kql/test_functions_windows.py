"""Functions of a row and its neighbours."""

from __future__ import annotations

from typing import Any

import pytest
from running import run

from forebay.telemetry.kql.errors import KqlError

NUMBERS = "range a from 1 to 5 step 1"


def column(query: str) -> list[Any]:
    return [row[-1] for row in run(query).rows]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("row_number()", [1, 2, 3, 4, 5]),
        ("row_number(0)", [0, 1, 2, 3, 4]),
        ("row_number(7, a % 2 == 0)", [7, 7, 8, 7, 8]),
        ("row_number() * 2", [2, 4, 6, 8, 10]),
        ("prev(a)", [None, 1, 2, 3, 4]),
        ("prev(a, 2)", [None, None, 1, 2, 3]),
        ("prev(a, 2, -1)", [-1, -1, 1, 2, 3]),
        ("prev(a, 0)", [1, 2, 3, 4, 5]),
        ("next(a)", [2, 3, 4, 5, None]),
        ("next(a, 2, a * 10)", [3, 4, 5, 40, 50]),
        ("prev(tostring(a))", ["", "1", "2", "3", "4"]),
        ("a - prev(a, 1, 0)", [1, 1, 1, 1, 1]),
        ("prev(prev(a))", [None, None, 1, 2, 3]),
        ("row_cumsum(a)", [1, 3, 6, 10, 15]),
        ("row_cumsum(a, a == 3)", [1, 3, 3, 7, 12]),
        ("row_cumsum(a * 1.5)", [1.5, 4.5, 9.0, 15.0, 22.5]),
        ("row_cumsum(iff(a == 1, long(null), a))", [0, 2, 5, 9, 14]),
        ("row_rank_dense(a / 2)", [1, 2, 2, 3, 3]),
        ("row_rank_dense(a / 2, a == 3)", [1, 2, 1, 2, 2]),
        ("row_rank_min(a / 2)", [1, 2, 2, 4, 4]),
        ("row_rank_min(a / 4, a == 3)", [1, 1, 1, 2, 2]),
    ],
)
def test_a_row_knows_its_neighbours(call: str, expected: list[Any]) -> None:
    assert column(f"{NUMBERS} | extend x = {call}") == expected


def test_rows_keep_their_order_whatever_a_sum_starts_anew_by() -> None:
    assert column(f"{NUMBERS} | sort by a desc | extend s = row_cumsum(1, a % 2 == 0) | project a") == [5, 4, 3, 2, 1]


def test_a_filter_looks_at_all_rows_before_it_leaves_some_out() -> None:
    assert column(f"{NUMBERS} | where prev(a) > 1 and row_number() < 5 | extend n = row_number()") == [1, 2]


@pytest.mark.parametrize(
    ("operators", "expected"),
    [
        ("summarize sum(a - prev(a, 1, 0)), max(row_number() * 2)", [(5, 10)]),
        ("summarize count() by x = row_cumsum(1, a == 4) > 1 | sort by x asc", [(False, 2), (True, 3)]),
        ("sort by row_number() * -1 asc | take 2", [(5,), (4,)]),
        ("top 2 by prev(a)", [(5,), (4,)]),
        ("parse strcat('n=', tostring(prev(a))) with 'n=' p: long | where a > 3", [(4, 3), (5, 4)]),
    ],
)
def test_neighbours_may_be_asked_of_anywhere(operators: str, expected: list[tuple[Any, ...]]) -> None:
    assert run(f"{NUMBERS} | {operators}").rows == expected


def test_the_order_is_that_of_the_sort() -> None:
    query = "datatable(s: string, n: long)['b', 2, 'a', 3, 'b', 1] | sort by s asc, n asc | extend x = row_number(1, s != prev(s))"
    assert run(query).rows == [("a", 3, 1), ("b", 1, 1), ("b", 2, 2)]


def test_a_session_begins_after_a_gap_after_its_greatest_length_and_where_it_is_restarted() -> None:
    query = """datatable(k: string, minute: long)['a', 0, 'a', 4, 'a', 8, 'a', 12, 'a', 30, 'b', 31]
    | serialize t = datetime(2024-01-01) + minute * 1m
    | extend s = row_window_session(t, 10m, 5m, k != prev(k))
    | project (s - datetime(2024-01-01)) / 1m"""
    assert column(query) == [0.0, 0.0, 0.0, 12.0, 30.0, 31.0]


@pytest.mark.parametrize(
    "query",
    [
        "datatable(a: long)[1] | summarize b = max(a) by a | extend row_number()",
        "datatable(a: long)[1] | union (datatable(a: long)[2]) | where prev(a) == 1",
        f"{NUMBERS} | extend prev(a, -1)",
        f"{NUMBERS} | extend prev(a, a)",
    ],
)
def test_rows_without_an_order_and_offsets_that_are_no_constants_are_refused(query: str) -> None:
    with pytest.raises(KqlError):
        run(query)
