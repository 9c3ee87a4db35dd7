"""What generated queries have found wrong, once each."""

from __future__ import annotations

import math
from typing import Any

import pytest
from expressions import values
from running import Tables, run

from forebay.telemetry.kql.errors import KqlError

ROWS = Tables(
    [("id", "long"), ("s", "string"), ("r", "real"), ("d", "dynamic")],
    [(1, "a", math.nan, "[1]"), (2, None, -math.inf, None), (3, "b", None, "{}")],
)
NUMBERS = Tables([("id", "long"), ("r", "real")], [(1, math.nan), (2, -math.inf), (3, None), (4, 5.0), (5, math.inf)])


def rows(query: str, table: Tables = ROWS) -> list[tuple[Any, ...]]:
    return run(query, {"T": table}).rows


def test_a_summarize_of_which_nothing_is_read_is_one_row() -> None:
    assert rows("T | summarize x = take_any(s) | count") == [(1,)]
    assert rows("T | where false | summarize x = max(id) | count") == [(1,)]
    assert rows("T | summarize x = max(id) by s | count") == [(3,)]


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        ("asc", [3, 1, 2, 4, 5]),
        ("asc nulls last", [2, 4, 5, 1, 3]),
        ("desc", [5, 4, 2, 1, 3]),
        ("desc nulls first", [3, 1, 5, 4, 2]),
    ],
)
def test_nan_is_sorted_between_null_and_the_numbers(order: str, ids: list[int]) -> None:
    assert rows(f"T | sort by r {order} | project id", NUMBERS) == [(each,) for each in ids]
    assert rows(f"T | sort by r {order} | extend n = row_number() | sort by n asc | project id", NUMBERS) == [(each,) for each in ids]


def test_nothing_lies_between_nan_and_anything() -> None:
    nan = "real(nan)"
    found = values([f"5.0 between (1.0 .. {nan})", f"{nan} between ({nan} .. {nan})", f"toreal('5') !between (1.0 .. {nan})"])
    assert list(found.values()) == [False, False, True]
    assert rows("T | where 5.0 between (0.0 .. r) | project id", NUMBERS) == [(4,), (5,)]


@pytest.mark.parametrize("key", ["gettype(id)", "isnull(s)", "'x'", "bool(null)"])
def test_a_key_that_is_the_same_in_all_rows_orders_nothing(key: str) -> None:
    assert len(rows(f"T | sort by {key} asc, id desc")) == 3
    assert rows(f"T | summarize n = array_length(make_set({key})) | where n >= 0 | count") == [(1,)]


def test_a_value_of_a_query_may_be_divided_by() -> None:
    assert rows("T | project id / toscalar(T | count)") == [(0,), (0,), (1,)]
    assert rows("T | where id / toscalar(T | count) == 1 | project id") == [(3,)]
    assert rows("T | summarize n = sum(id) / toscalar(T | count)") == [(2,)]
    assert rows("range x from 1 to 9 / toscalar(T | count) step 1 | count") == [(3,)]
    assert rows("T | take 4 / toscalar(T | count) | count") == [(1,)]


def test_the_text_of_a_query_may_be_used_several_times() -> None:
    assert rows("T | where id == 1 | project substring(toscalar(T | where id == 1 | project s), -2, 1) endswith_cs ','") == [(False,)]
    last = "substring(strcat('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', tostring(now())), -9, 8)"
    assert rows(f"range x from 1 to strlen({last}) step 1 | count") == [(8,)]


def test_an_int_times_a_timespan_is_not_an_int() -> None:
    assert values(["toint(1000) * 1h / 1s", "1h * toint(1000) / 1s"]) == {"toint(1000) * 1h / 1s": 3.6e6, "1h * toint(1000) / 1s": 3.6e6}


def test_a_comparison_with_a_constant_time_may_be_compared() -> None:
    assert values(["true > (datetime(2024-01-01) > now())"]) == {"true > (datetime(2024-01-01) > now())": True}


def test_a_text_in_a_query_is_no_template() -> None:
    assert rows("T | where s == 'a' | summarize make_list(strcat(s, '{order}'))") == [(["a{order}"],)]
    assert values(["strcat('{order}', 'a')"]) == {"strcat('{order}', 'a')": "{order}a"}


def test_keys_of_a_join_may_be_computed() -> None:
    long_name = "aNameThatIsLongerThanMostNamesAre"
    query = f"T | extend {long_name} = d[0] | join kind=inner (T) on $left.{long_name} == $right.id | project id, id1"
    assert rows(query) == [(1, 1)]


@pytest.mark.parametrize("condition", ["'a' == false", "true != 'b'"])
def test_a_constant_that_cannot_be_compared_is_refused(condition: str) -> None:
    for query in (f"T | where {condition}", f"T | extend x = {condition}"):
        with pytest.raises(KqlError, match="expected a text that says a bool"):
            rows(query)


def test_a_range_without_an_end_is_null() -> None:
    expressions = [
        "range(1, long(null))",
        "range(datetime(2024-01-01), datetime(null))",
        "range(1h, timespan(null))",
        "range(1.0, real(null))",
    ]
    assert list(values(expressions).values()) == [None] * 4


def test_a_bag_may_have_no_key_that_is_no_text() -> None:
    assert values(["bag_pack(tostring(dynamic([1])), 1)"]) == {"bag_pack(tostring(dynamic([1])), 1)": {"[1]": 1}}
    run("print bag_pack(dynamic([1]), 1, dynamic([2]), 2)")


@pytest.mark.parametrize("call", ["element(dynamic([1]), 0)", "_part_long(dynamic([1]), 0)", "member(dynamic({}), 'a')"])
def test_what_only_the_compiler_calls_is_unknown_to_queries(call: str) -> None:
    with pytest.raises(KqlError, match="there is no function"):
        run(f"print {call}")


def test_what_is_used_several_times_is_computed_once() -> None:
    nested = "substring(" * 40 + "s" + ", -1, 1)" * 40
    assert rows(f"T | where id == 1 | project x = {nested}") == [("a",)]


def test_a_pipeline_that_is_too_deep_is_refused() -> None:
    with pytest.raises(KqlError, match="too complex"):
        rows("T" + " | summarize id = sum(id) by s" * 600)


def test_the_least_numbers_have_no_opposite_of_their_type() -> None:
    least = {"-(long(-9223372036854775808))": -(2**63), "-(int(-2147483648))": 2**31, "-(-9223372036854775808)": -(2**63)}
    assert values(least) == least


def test_a_replacement_of_nothing_is_one_in_a_null_too() -> None:
    assert rows("T | sort by id asc | project x = replace_regex(s, '^$', 'x')") == [("a",), ("x",), ("b",)]
    assert rows("T | sort by id asc | project x = replace_regex(tostring(toint(s)), 'a*', '-')") == [("-",)] * 3
