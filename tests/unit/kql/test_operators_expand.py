"""`mv-expand` and `mv-apply`: which rows and columns come out."""

from __future__ import annotations

from functools import cache
from typing import Any

import duckdb
import pytest
from running import Answer, Tables, answer, database

from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.types import Schema

TABLES = {
    "T": Tables(
        [("a", "long"), ("s", "string"), ("d", "dynamic"), ("e", "dynamic")],
        [
            [1, "one", "[30, 10, 20]", '["x", "y"]'],
            [2, "two", '{"k": 1, "l": [2]}', "[5, 6, 7]"],
            [3, "three", "[]", "[]"],
            [4, "four", None, "null"],
            [5, "five", '"text"', "[null]"],
        ],
    ),
    "N": Tables([("a", "long"), ("d", "dynamic")], [[1, "[30, 10, 20]"], [2, "[7]"], [3, "[]"], [4, "[10, 40, 10]"]]),
}


@cache
def tables() -> tuple[duckdb.DuckDBPyConnection, Schema]:
    return database(TABLES)


def ask(query: str) -> Answer:
    return answer(*tables(), query)


def rows(query: str) -> list[tuple[Any, ...]]:
    return ask(query).rows


def columns(query: str) -> list[tuple[str, str]]:
    found = ask(query)
    return [*zip(found.columns, found.types, strict=True)]


def test_each_element_makes_a_row_in_the_order_of_the_rows() -> None:
    assert rows("T | mv-expand d | project a, d") == [
        (1, 30),
        (1, 10),
        (1, 20),
        (2, {"k": 1}),
        (2, {"l": [2]}),
        (4, None),
        (5, "text"),
    ]


def test_kind_array_makes_pairs_of_keys_and_values() -> None:
    assert rows("T | where a == 2 | mv-expand kind=array d | project d") == [(["k", 1],), (["l", [2]],)]
    assert rows("T | where a == 2 | mv-expand bagexpansion=array d | project d[0]") == [("k",), ("l",)]


def test_several_columns_are_expanded_side_by_side_and_filled_up_with_null() -> None:
    assert rows("T | mv-expand d, e | project a, d, e") == [
        (1, 30, "x"),
        (1, 10, "y"),
        (1, 20, None),
        (2, {"k": 1}, 5),
        (2, {"l": [2]}, 6),
        (2, None, 7),
        (4, None, None),
        (5, "text", None),
    ]


def test_the_index_counts_elements_from_0() -> None:
    assert rows("T | mv-expand with_itemindex=i e | project a, i") == [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (4, 0), (5, 0)]


@pytest.mark.parametrize(("limit", "expected"), [("2", 4), ("0", 0), ("a", 3), ("-1", 0)])
def test_a_limit_is_one_of_the_elements_of_each_row(limit: str, expected: int) -> None:
    assert rows(f"T | where a <= 2 | mv-expand d limit {limit} | count") == [(expected,)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("long", [1, None, 3, None, None, None, 9007199254740993, None]),
        ("int", [1, None, 3, None, None, None, None, None]),
        ("real", [1.0, None, 3.9, None, None, None, 9007199254740992.0, None]),
        ("bool", [None, None, None, True, None, None, None, None]),
        ("string", ["1", "2", "3.9", "true", "", "[4]", "9007199254740993", "2024-01-02"]),
        ("datetime", [False, False, False, False, False, False, False, True]),
    ],
)
def test_elements_of_another_type_than_asked_for_are_null(kind: str, expected: list[Any]) -> None:
    array = """dynamic([1, "2", 3.9, true, null, [4], 9007199254740993, "2024-01-02"])"""
    found = [row[0] for row in rows(f"print d = {array} | mv-expand d to typeof({kind})")]
    if kind == "datetime":
        # a text is read as a datetime where it is one, for JSON has no other form
        found = [each is not None and each.isoformat() == "2024-01-02T00:00:00" for each in found]
    assert found == expected


def test_what_is_not_finite_stays_so() -> None:
    found = rows("print d = pack_array(real(nan), real(-inf)) | mv-expand d to typeof(real) | project isnan(d), isinf(d)")
    assert found == [(True, False), (False, True)]


@pytest.mark.parametrize(
    ("expansion", "expected"),
    [
        ("d", "a s d e"),
        ("d to typeof(long)", "a s d:long e"),
        ("z = d", "a s d e z"),
        ("s = d", "a s:dynamic d e"),
        ("d.k", "a s d e d_k"),
        ("z = d, y = e to typeof(real)", "a s d e z y:real"),
        ("split(s, 'e')", "a s:dynamic d e"),
        ("pack_array(a), pack_array(s)", "a s d e Column1 Column2"),
        ("with_itemindex=a d", "a s d e a1"),
        ("with_itemindex=i z = d", "a s d e z i"),
    ],
)
def test_an_expansion_replaces_the_column_of_its_name_or_is_a_new_one(expansion: str, expected: str) -> None:
    types = {"a": "long", "s": "string", "d": "dynamic", "e": "dynamic", "a1": "long", "i": "long"}
    found = columns(f"T | mv-expand {expansion}")
    assert found == [(name, kind or types.get(name, "dynamic")) for name, _, kind in (each.partition(":") for each in expected.split())]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("T | mv-expand a", "dynamic"),
        ("T | mv-expand d, d", "already declared"),
        ("T | mv-expand z = d, z = e", "already declared"),
        ("T | mv-expand kind=set d", "kind=bag or kind=array"),
        ("T | mv-expand pack_array(prev(a))", "order"),
        ("T | mv-apply d on (union N)", "union is not supported within mv-apply"),
        ("T | mv-apply d on (sample 1)", "sample is not supported within mv-apply"),
        ("T | mv-apply d on (getschema)", "getschema is not supported within mv-apply"),
        ("T | mv-apply d on (where nothing == 1)", "nothing"),
    ],
)
def test_what_cannot_be_expanded_is_refused(query: str, message: str) -> None:
    with pytest.raises(KqlError, match=message):
        ask(query)


def test_the_order_of_sorted_rows_is_that_of_their_elements() -> None:
    assert rows("N | sort by a desc | mv-expand d | summarize make_list(d)") == [([10, 40, 10, 7, 30, 10, 20],)]
    assert rows("N | sort by a desc | mv-expand d | take 4 | project a") == [(4,), (4,), (4,), (2,)]
    assert rows("N | sort by a desc | mv-expand d | project r = row_number(), tolong(d) | where r == 4") == [(4, 7)]


def test_values_of_other_rows_may_be_expanded() -> None:
    query = "N | sort by a asc | mv-expand p = pack_array(prev(a), a) to typeof(long) | where a < 3 | project a, p"
    assert rows(query) == [(1, None), (1, 1), (2, 1), (2, 2)]


def test_columns_that_nobody_reads_do_not_change_the_rows() -> None:
    assert rows("T | mv-expand d | summarize count()") == [(7,)]
    assert rows("T | mv-expand with_itemindex=i d, z = e | where a < 3 | project a | summarize count() by a | sort by a asc") == [
        (1, 3),
        (2, 3),
    ]


# mv-apply


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("where d > 10", [(1, 30), (1, 20), (4, 40)]),
        ("take 1", [(1, 30), (2, 7), (4, 10)]),
        ("top 2 by d", [(1, 30), (1, 20), (2, 7), (4, 40), (4, 10)]),
        ("order by d asc", [(1, 10), (1, 20), (1, 30), (2, 7), (4, 10), (4, 10), (4, 40)]),
        ("order by d asc | take 2 | order by d desc", [(1, 20), (1, 10), (2, 7), (4, 10), (4, 10)]),
        ("where d > 10 | take 1", [(1, 30), (4, 40)]),
        ("distinct d", [(1, 10), (1, 20), (1, 30), (2, 7), (4, 10), (4, 40)]),
        ("summarize s = sum(d)", [(1, 60), (2, 7), (4, 60)]),
        ("summarize l = make_list(d)", [(1, [30, 10, 20]), (2, [7]), (4, [10, 40, 10])]),
        ("order by d desc | summarize l = make_list(d)", [(1, [30, 20, 10]), (2, [7]), (4, [40, 10, 10])]),
        ("summarize n = count() by d | where n > 1", [(4, 10, 2)]),
        ("summarize n = count() by d | summarize k = count()", [(1, 3), (2, 1), (4, 2)]),
        ("where d > 25 | count", [(1, 1), (4, 1)]),
        ("project q = d + a", [(1, 31), (1, 11), (1, 21), (2, 9), (4, 14), (4, 44), (4, 14)]),
        ("project-away d", [(1,), (1,), (1,), (2,), (4,), (4,), (4,)]),
        ("extend a = d", [(30, 30), (10, 10), (20, 20), (7, 7), (10, 10), (40, 40), (10, 10)]),
        ("summarize a = max(d)", [(7,), (30,), (40,)]),
        ("serialize r = row_number() | where r == 2", [(1, 10, 2), (4, 40, 2)]),
        ("order by d asc | extend p = prev(d) | where isnull(p)", [(1, 10, None), (2, 7, None), (4, 10, None)]),
        ("parse tostring(d) with x: long '0' *", [(1, 30, 3), (1, 10, 1), (1, 20, 2), (2, 7, None), (4, 10, 1), (4, 40, 4), (4, 10, 1)]),
    ],
)
def test_the_body_sees_the_elements_of_one_row_only(body: str, expected: list[tuple[Any, ...]]) -> None:
    found = rows(f"N | mv-apply d to typeof(long) on ({body})")
    if "order by" in body.rpartition("|")[2] or body.startswith("order by d asc |"):
        assert found == expected
    else:
        assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_columns_around_stay_beside_a_new_name_and_make_way_for_their_own() -> None:
    assert columns("N | mv-apply z = d to typeof(long) on (top 1 by z)") == [("a", "long"), ("d", "dynamic"), ("z", "long")]
    assert columns("T | mv-apply d on (take 1)") == [("a", "long"), ("s", "string"), ("e", "dynamic"), ("d", "dynamic")]
    assert rows("N | mv-apply a = d to typeof(long) on (summarize n = count()) | sort by a asc") == [
        (1, [30, 10, 20], 3),
        (2, [7], 1),
        (4, [10, 40, 10], 3),
    ]


def test_the_index_and_the_limit_are_those_of_the_elements() -> None:
    assert rows("N | mv-apply with_itemindex=i d to typeof(long) on (where i == 1 | project d)") == [(1, 10), (4, 40)]
    assert rows("N | mv-apply d to typeof(long) limit 1 on (summarize m = max(d)) | sort by a asc") == [(1, 30), (2, 7), (4, 10)]


def test_bodies_may_expand_again() -> None:
    assert rows("T | where a == 2 | mv-apply d on (mv-expand e to typeof(long) | summarize s = sum(e)) | project a, s") == [(2, 36)]
    inner = "mv-apply y = x to typeof(long) on (top 1 by y)"
    nested = f"print id = 1, d = dynamic([[3, 1], [2]]) | mv-apply x = d on ({inner} | summarize s = sum(y))"
    assert rows(nested) == [(1, [[3, 1], [2]], 5)]


def test_names_of_let_are_seen_in_the_body() -> None:
    assert rows("let least = 20; N | mv-apply d to typeof(long) on (where d > least | project d)") == [(1, 30), (4, 40)]
