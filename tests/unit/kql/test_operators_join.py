"""`join` of every kind, and `lookup`."""

from __future__ import annotations

from functools import cache
from typing import Any

import duckdb
import pytest
from running import Answer, Tables, answer, database

from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.types import Schema

TABLES = {
    "L": Tables(
        [("k", "long"), ("s", "string"), ("d", "dynamic")],
        [[1, "a", '"a"'], [1, "b", "5"], [2, "", None], [None, "c", '{"x": 1}'], [3, None, '"b"']],
    ),
    "R": Tables([("k", "int"), ("s", "string"), ("n", "long")], [[1, "a", 10], [1, "x", 20], [None, "c", 30], [4, "", 40]]),
}


@cache
def tables() -> tuple[duckdb.DuckDBPyConnection, Schema]:
    return database(TABLES)


def ask(query: str) -> Answer:
    return answer(*tables(), query)


def rows(query: str) -> list[tuple[Any, ...]]:
    """In any order: a join has none."""
    return sorted(ask(query).rows, key=str)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("kind=inner", [(1, "a", 1, 10), (1, "a", 1, 20), (1, "b", 1, 10), (1, "b", 1, 20)]),
        (
            "kind=leftouter",
            [
                (1, "a", 1, 10),
                (1, "a", 1, 20),
                (1, "b", 1, 10),
                (1, "b", 1, 20),
                (2, "", None, None),
                (3, "", None, None),
                (None, "c", None, None),
            ],
        ),
        (
            "kind=rightouter",
            [(1, "a", 1, 10), (1, "a", 1, 20), (1, "b", 1, 10), (1, "b", 1, 20), (None, "", 4, 40), (None, "", None, 30)],
        ),
        (
            "kind=fullouter",
            [
                (1, "a", 1, 10),
                (1, "a", 1, 20),
                (1, "b", 1, 10),
                (1, "b", 1, 20),
                (2, "", None, None),
                (3, "", None, None),
                (None, "", 4, 40),
                (None, "", None, 30),
                (None, "c", None, None),
            ],
        ),
    ],
)
def test_rows_with_equal_keys_meet_and_null_equals_nothing(kind: str, expected: list[tuple[Any, ...]]) -> None:
    assert rows(f"L | join {kind} R on k | project k, s, k1, n") == expected


@pytest.mark.parametrize("kind", ["", "kind=innerunique"])
def test_one_row_of_each_key_of_the_left_side_is_joined_by_default(kind: str) -> None:
    found = rows(f"L | join {kind} R on k | project k, s, n")
    assert found in ([(1, "a", 10), (1, "a", 20)], [(1, "b", 10), (1, "b", 20)])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("leftsemi", [(1, "a"), (1, "b")]),
        ("leftanti", [(2, ""), (3, ""), (None, "c")]),
        ("anti", [(2, ""), (3, ""), (None, "c")]),
        ("leftantisemi", [(2, ""), (3, ""), (None, "c")]),
        ("rightsemi", [(1, "a"), (1, "x")]),
        ("rightanti", [(4, ""), (None, "c")]),
        ("rightantisemi", [(4, ""), (None, "c")]),
    ],
)
def test_semi_and_anti_joins_answer_one_side(kind: str, expected: list[tuple[Any, ...]]) -> None:
    found = ask(f"L | join kind={kind} R on k")
    assert found.columns == (["k", "s", "n"] if kind.startswith("right") else ["k", "s", "d"])
    assert sorted((row[:2] for row in found.rows), key=str) == expected


def test_empty_texts_are_equal_and_null_in_a_table_is_one() -> None:
    assert rows("L | join kind=inner R on s | project s, k, k1") == [("", 2, 4), ("", 3, 4), ("a", 1, 1), ("c", None, None)]
    assert rows("L | join kind=leftanti R on s | project s") == [("b",)]


@pytest.mark.parametrize(
    "on",
    [
        "k, s",
        "$left.k == $right.k, $left.s == $right.s",
        "$right.k == $left.k and $right.s == $left.s",
        "k, $left.s == $right.s",
    ],
)
def test_keys_may_be_several_and_be_named_either_way_round(on: str) -> None:
    assert rows(f"L | join kind=inner (R) on {on} | project k, s, n") == [(1, "a", 10)]


def test_numbers_of_different_types_are_compared_as_numbers() -> None:
    assert rows("L | join kind=inner R on $left.k == $right.k | project k, n | distinct *") == [(1, 10), (1, 20)]
    assert rows("L | extend k = toreal(k) | join kind=inner R on k | distinct k, n") == [(1.0, 10), (1.0, 20)]
    assert rows("L | extend k = todecimal(k) | join kind=leftsemi R on k | project s") == [("a",), ("b",)]


def test_dynamic_keys_are_compared_as_the_other_side_is() -> None:
    assert rows("L | join kind=inner R on $left.d == $right.s | project s1, n") == [("", 40), ("a", 10)]
    assert rows("L | extend id = d.x | join kind=inner R on $left.id == $right.k | project s, n") == [("c", 10), ("c", 20)]
    assert rows("L | extend m = d | join kind=inner (L | project m = d, o = s) on m | where s != '' | project s, o") == [
        ("a", "a"),
        ("b", "b"),
        ("c", "c"),
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("L | join R on k", ["k", "s", "d", "k1", "s1", "n"]),
        ("L | join kind=inner (R | project k, K = s) on k", ["k", "s", "d", "k1", "K"]),
        ("L | project k, k1 = s | join kind=inner R on k", ["k", "k1", "k2", "s", "n"]),
        ("L | join kind=inner L on k | join kind=inner L on k", ["k", "s", "d", "k1", "s1", "d1", "k2", "s2", "d2"]),
        ("L | lookup R on k", ["k", "s", "d", "s1", "n"]),
        ("L | lookup kind=inner R on k, s", ["k", "s", "d", "n"]),
        ("L | lookup (R | project key = k, n) on $left.k == $right.key", ["k", "s", "d", "n"]),
    ],
)
def test_columns_of_both_sides_have_names_of_their_own(query: str, expected: list[str]) -> None:
    assert ask(query).columns == expected


def test_lookup_keeps_the_rows_of_the_left_side_unless_it_is_inner() -> None:
    assert rows("L | lookup R on k | project k, s, n") == [
        (1, "a", 10),
        (1, "a", 20),
        (1, "b", 10),
        (1, "b", 20),
        (2, "", None),
        (3, "", None),
        (None, "c", None),
    ]
    assert rows("L | lookup kind=inner R on k | summarize count(), sum(n)") == [(4, 60)]


def test_a_side_may_be_a_pipeline_with_an_order_or_a_limit() -> None:
    assert rows("L | where s == 'a' | join kind=inner (R | sort by n asc | take 2 | where n > 10) on k | project s, n") == [("a", 20)]
    assert rows("L | top 1 by k | join kind=leftouter (R | top 1 by n) on k | project k, n") == [(3, None)]


def test_a_table_is_joined_with_itself() -> None:
    assert rows("let A = L | where k == 1; A | join kind=inner A on k, s | project s, s1") == [("a", "a"), ("b", "b")]
    assert rows("L | where k == 1 | as A | join kind=inner A on k | count") == [(4,)]


def test_what_is_missing_is_null_and_empty_to_later_operators() -> None:
    joined = "L | join kind=leftouter (R | extend found = 'yes', n = n + 1) on k"
    assert rows(f"{joined} | where found == '' | project k") == [(2,), (3,), (None,)]
    assert rows(f"{joined} | summarize count() by found") == [("", 3), ("yes", 4)]
    assert rows(f"{joined} | where isnull(n) | count") == [(3,)]
    assert rows(f"{joined} | extend x = strcat('<', found, '>') | distinct x") == [("<>",), ("<yes>",)]


def test_columns_named_as_sql_names_the_sides_are_kept_apart() -> None:
    assert rows("L | extend l = 1, r = s | join kind=inner (R | extend l = 1, r = n) on l, k | where s == s1 | project l, r, l1, r1") == [
        (1, "a", 1, 10)
    ]


@pytest.mark.parametrize(
    ("query", "code", "place"),
    [
        ("L | join kind=fuzzy R on k", "type", "kind=fuzzy"),
        ("L | join R", "syntax", "join R"),
        ("L | join R on nope", "unknown_column", "nope"),
        ("L | join R on $left.k == $right.nope", "unknown_column", "$right.nope"),
        ("L | join R on $left.k == $right.s", "type", "$left.k == $right.s"),
        ("L | join R on $left.k == $left.s", "type", "$left.k == $left.s"),
        ("L | join R on $left.k > $right.k", "unsupported", "$left.k > $right.k"),
        ("L | join R on k + 1", "unsupported", "k + 1"),
        ("L | join Nope on k", "unknown_table", "Nope"),
        ("L | join (R | where nope) on k", "unknown_column", "nope"),
        ("L | lookup kind=fullouter R on k", "type", "kind=fullouter"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(query: str, code: str, place: str) -> None:
    with pytest.raises(KqlError) as wrong:
        ask(query)
    found = wrong.value.diagnostics[0]
    assert (found.code, query[found.start : found.end]) == (code, place)
