"""`where`, `project` and its like, `extend`, `summarize`, `distinct`, `count`, `take`, `sort`, `top`, `as`, `getschema` and the sources."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from math import isnan
from typing import Any

import duckdb
import pytest
from running import Answer, Tables, answer, database

from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.types import Schema, schema_of

DAY_1, DAY_2, DAY_3 = (datetime(2024, 1, day) for day in (1, 2, 3))  # noqa: DTZ001 - DuckDB's are naive
TABLES = {
    "T": Tables(
        [("a", "long"), ("s", "string"), ("r", "real"), ("d", "dynamic"), ("t", "datetime")],
        [
            [1, "one", 1.5, '{"x": 1}', DAY_1],
            [2, "", None, "[1, 2]", None],
            [None, None, 2.5, None, DAY_3],
            [1, "ONE", -4.0, '"text"', DAY_2],
        ],
    ),
    "Empty": Tables([("a", "long"), ("s", "string"), ("r", "real")]),
    "from": Tables([("group", "long"), ("select", "string")], [[1, "x"], [2, "y"]]),
}


@cache
def tables() -> tuple[duckdb.DuckDBPyConnection, Schema]:
    return database(TABLES)


def ask(query: str) -> Answer:
    return answer(*tables(), query)


def names(query: str) -> list[str]:
    return ask(query).columns


def first_column(query: str) -> list[Any]:
    return [row[0] for row in ask(query).rows]


def refused(query: str) -> list[tuple[str, str]]:
    """The code and the text of each thing that is wrong."""
    with pytest.raises(KqlError) as wrong:
        ask(query)
    return [(each.code, query[each.start : each.end]) for each in wrong.value.diagnostics]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("r > 0", [1, None]),
        ("not(r > 0)", [1]),  # null stays null under not
        ("r > 0 or a == 2", [1, 2, None]),
        ("s == ''", [2, None]),  # NULL in a table is ''
        ("isempty(s)", [2, None]),
        ("s =~ 'one'", [1, 1]),
        ("isnull(r)", [2]),
        ("a in (2, 7)", [2]),
        ("a !in (2, 7)", [1, None, 1]),
        ("a != 2", [1, None, 1]),  # null differs from every value
        ("d.x == 1", [1]),
        ("t between (datetime(2024-01-01) .. 1d)", [1, 1]),
        ("false", []),
        ("bool(null)", []),
    ],
)
def test_where_keeps_rows_for_which_the_condition_is_true(condition: str, kept: list[int | None]) -> None:
    assert first_column(f"T | where {condition} | project a") == kept
    assert first_column(f"T | filter {condition} | project a") == kept


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("T | project a, s", ["a", "s"]),
        ("T | project a + 1, r * 2, s", ["Column1", "Column2", "s"]),
        ("T | project x = a, a", ["x", "a"]),
        ("T | project tostring(a), a", ["a1", "a"]),
        ("T | project d.x, d['y']", ["d_x", "d_y"]),
        ("T | project-away a, t", ["s", "r", "d"]),
        ("T | project-away *", []),
        ("T | project-away z*", ["a", "s", "r", "d", "t"]),
        ("T | project-keep s, a", ["a", "s"]),
        ("T | project-keep *", ["a", "s", "r", "d", "t"]),
        ("T | project-rename b = a, u = t", ["b", "s", "r", "d", "u"]),
        ("T | project-rename s = a, a = s", ["s", "a", "r", "d", "t"]),
        ("T | project-reorder t, s", ["t", "s", "a", "r", "d"]),
        ("T | project-reorder * desc", ["t", "s", "r", "d", "a"]),
        ("print x10 = 1, x9 = 2, y = 3 | project-reorder x* granny-asc", ["x9", "x10", "y"]),
        ("T | extend a = 5", ["a", "s", "r", "d", "t"]),
        ("T | extend b = 1, a + 1, A = 2", ["a", "s", "r", "d", "t", "b", "Column1", "A"]),
        ("T | extend tostring(a)", ["a", "s", "r", "d", "t"]),
        ("T | extend a + 1 | extend a + 2", ["a", "s", "r", "d", "t", "Column1", "Column2"]),
        ("T | count as rows", ["rows"]),
        ("T | summarize count(), count(), sum(a) by s", ["s", "count_", "count_1", "sum_a"]),
        ("T | summarize sum(a) / count()", ["Column1"]),
        ("T | summarize count() by count_ = a", ["count_", "count_1"]),
        ("T | summarize by bin(a, 10), s", ["a", "s"]),
        ("T | summarize arg_max(t, *) by s", ["s", "t", "a", "r", "d"]),
        ("T | summarize percentiles(a, 5, 99.9)", ["percentile_a_5", "percentile_a_99_9"]),
        ("T | distinct *", ["a", "s", "r", "d", "t"]),
        ("print 1, x = 2, 'y', pack('a', 1)", ["print_0", "x", "print_2", "print_3"]),
    ],
)
def test_columns_have_the_names_and_the_order_of_kusto(query: str, expected: list[str]) -> None:
    compiled = compile_query(f"{query} | getschema", schema_of({name: table.columns for name, table in TABLES.items()}))
    assert first_column(f"{query} | getschema | project ColumnName") == expected
    assert compiled.statement.columns[0].name == "ColumnName"


def test_extend_reads_the_columns_as_they_were_before() -> None:
    assert ask("T | where a == 2 | extend a = a + 1, b = a | project a, b").rows == [(3, 2)]
    assert refused("T | extend b = 1, c = b") == [("unknown_column", "b")]


def test_columns_that_differ_in_case_alone_are_two() -> None:
    assert ask("T | where a == 2 | extend A = a * 10 | project a, A, sum = a + A").rows == [(2, 20, 22)]
    assert ask("T | extend A = 7 | summarize n = count() by A, a | sort by a asc").rows == [(7, None, 1), (7, 1, 2), (7, 2, 1)]
    assert ask("T | extend A = a | where A == 2 and a == 2 | distinct A, a").rows == [(2, 2)]
    assert names("T | project Name = a, name = s, NAME = r | sort by NAME asc | take 1") == ["Name", "name", "NAME"]


def test_names_may_be_words_of_sql_or_hold_quotes() -> None:
    made = """['from'] | extend ['quo"ted name'] = ['group'] * 7"""
    assert ask(f"""{made} | where ['select'] == 'x' | project ['select'], ['quo"ted name'] + 1""").rows == [("x", 8)]
    assert names(f"""{made} | summarize max(['quo"ted name']) by ['order by'] = ['select']""") == ["order by", 'max_quo"ted name']


def test_columns_named_as_sql_names_its_own_are_kept_apart() -> None:
    assert ask("print ['$1'] = 3, s = 'ab' | extend y = (strlen(s) + 1) * (strlen(s) + 1) + ['$1']").rows == [(3, "ab", 12)]
    nested = "T | project k = a, l = dynamic({'k': 7}) | join kind=inner (T | project k = a, r = dynamic({'k': 8})) on k"
    assert ask(f"{nested} | where k == 2 | distinct k, k1").rows == [(2, 2)]
    assert ask("print ['$1'] = 3 | extend y = (['$1'] + 1) * (['$1'] + 1) | extend z = (y + 1) / (y + 1)").rows == [(3, 16, 1)]


EMPTY_ROW: list[tuple[str, Any]] = [
    ("count()", 0),
    ("countif(a > 1)", 0),
    ("sum(a)", 0),
    ("min(a)", None),
    ("max(s)", ""),
    ("dcount(a)", 0),
    ("make_list(a)", []),
    ("make_set(s)", []),
    ("percentile(r, 50)", None),
    ("take_any(s)", ""),
    ("take_any(a)", None),
    ("sum(a) + count()", 0),
]


@pytest.mark.parametrize(("aggregate", "expected"), EMPTY_ROW)
def test_aggregates_of_no_rows_are_one_row(aggregate: str, expected: Any) -> None:
    assert ask(f"Empty | summarize x = {aggregate}").rows == [(expected,)]
    assert ask(f"T | where false | summarize x = {aggregate}").rows == [(expected,)]


def test_an_average_of_nothing_is_not_a_number() -> None:
    assert isnan(first_column("Empty | summarize avg(r)")[0])


@pytest.mark.parametrize("aggregates", ["count()", "sum(a), make_list(s)", ""])
def test_groups_of_no_rows_are_none(aggregates: str) -> None:
    assert ask(f"Empty | summarize {aggregates} by s").rows == []


def test_null_is_a_group_and_empty_text_is_one_with_null_in_a_table() -> None:
    assert sorted(ask("T | summarize count() by a").rows, key=str) == [(1, 2), (2, 1), (None, 1)]
    assert sorted(ask("T | summarize count() by s").rows) == [("", 2), ("ONE", 1), ("one", 1)]
    assert sorted(first_column("T | distinct s")) == ["", "ONE", "one"]
    assert sorted(ask("T | summarize sum(r) by missing = isnull(a)").rows) == [(False, -2.5), (True, 2.5)]


def test_aggregates_are_computed_with_in_expressions() -> None:
    assert ask("T | summarize total = sum(a), share = 100.0 * countif(a == 1) / count(), spread = max(r) - min(r)").rows == [(4, 50.0, 6.5)]
    assert sorted(ask("T | summarize strcat('n', count()) by s").rows) == [("", "n2"), ("ONE", "n1"), ("one", "n1")]
    assert ask("T | summarize x = 5, y = 1 + 1").rows == [(5, 2)]


def test_a_whole_row_is_picked_by_the_greatest_value() -> None:
    assert ask("T | summarize arg_max(t, *)").rows == [(DAY_3, None, "", 2.5, None)]
    assert sorted(ask("T | where isnotnull(a) | summarize arg_max(r, s) by a").rows) == [(1, 1.5, "one"), (2, None, "")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("T | sort by r | project r", [2.5, 1.5, -4.0, None]),
        ("T | order by r asc | project r", [None, -4.0, 1.5, 2.5]),
        ("T | sort by r nulls first | project r", [None, 2.5, 1.5, -4.0]),
        ("T | sort by r asc nulls last | project r", [-4.0, 1.5, 2.5, None]),
        ("T | sort by s asc | project s", ["", "", "ONE", "one"]),
        ("T | sort by a + 1 asc, r | project r", [2.5, 1.5, -4.0, None]),
        ("T | sort by tostring(d) asc | project s", ["", "", "ONE", "one"]),
        ("T | top 2 by r | project r", [2.5, 1.5]),
        ("T | top 2 by r asc | project r", [None, -4.0]),
        ("T | top 1 by r nulls first | project r", [None]),
        ("T | top 1 + 1 by r | project r", [2.5, 1.5]),
        ("T | sort by r asc | where isnotnull(r) | extend x = r * 2 | project x", [-8.0, 3.0, 5.0]),
        ("T | sort by r asc | take 2 | project r", [None, -4.0]),
        ("T | sort by r asc | project r | take 3 | sort by r desc | take 1", [1.5]),
        ("T | top 3 by r | top 1 by r asc | project r", [-4.0]),
        # names of columns that are ordered by are given to others
        ("T | project s = a, a = s | sort by s asc | project s", [None, 1, 1, 2]),
        ("T | sort by r asc | extend r = strcat('r', s) | project r", ["r", "rONE", "rone", "r"]),
        ("T | sort by r asc | project R = a, r = s | project r", ["", "ONE", "one", ""]),
        ("T | top 2 by r asc | project r = a | where r != 7", [2, 1]),
        ("datatable(x: long, c0: long) [1, 9, 2, 8] | sort by x asc | project c0", [9, 8]),
        ("T | sort by r asc | summarize make_list(s)", [["", "ONE", "one", ""]]),
        ("T | sort by r asc | extend n = row_number() | where n > 2 | project n", [3, 4]),
    ],
)
def test_rows_come_in_the_order_that_was_asked_for(query: str, expected: list[Any]) -> None:
    assert first_column(query) == expected


def test_take_counts_what_comes_to_it() -> None:
    assert first_column("T | take 2 | count") == [2]
    assert first_column("T | limit 0 | count") == [0]
    assert first_column("let n = 3; T | take n | count") == [3]
    assert len(first_column("T | take 3 | where a == 1 or true | take 2")) == 2
    assert first_column("T | sample 2 | count") == [2]
    assert first_column("T | take toscalar(print 1 + 1) | count") == [2]
    assert first_column("T | take toscalar(print -1) | count") == [0]
    assert first_column("T | take toscalar(Empty | project a) | count") == [0]


def test_getschema_tells_names_and_types() -> None:
    assert ask("T | project t, d | getschema").rows == [
        ("t", 0, "System.DateTime", "datetime"),
        ("d", 1, "System.Object", "dynamic"),
    ]


def test_render_and_as_let_rows_pass() -> None:
    assert first_column("T | project a | as X | render timechart with (title='x')") == [1, 2, None, 1]
    assert first_column("T | where a == 1 | as X | union X | count") == [4]
    assert ask("T | project a | consume").rows == []


@pytest.mark.parametrize(
    ("kind", "cells", "expected"),
    [
        ("int", "1, int(null), '7', 'x'", [1, None, 7, None]),
        ("int", "3000000000", [None]),
        ("long", "1, -2, '5'", [1, -2, 5]),
        ("real", "1, 2.5, real(+inf)", [1.0, 2.5, float("inf")]),
        ("string", "'a', 5, ''", ["a", "5", ""]),
        ("bool", "true, 0, 1, bool(null)", [True, False, True, None]),
        ("datetime", "datetime(2024-01-01), '2024-01-02', 'x'", [DAY_1, DAY_2, None]),
        ("timespan", "1h, time(null)", [timedelta(hours=1), None]),
        ("dynamic", "1, 'x', dynamic([1]), dynamic(null)", [1, "x", [1], None]),
    ],
)
def test_cells_of_a_datatable_become_the_type_of_their_column(kind: str, cells: str, expected: list[Any]) -> None:
    found = ask(f"datatable(x: {kind}) [{cells}]")
    assert (found.types, [row[0] for row in found.rows]) == ([kind], expected)


def test_a_datatable_may_be_empty() -> None:
    assert ask("datatable(x: long, y: string) []").columns == ["x", "y"]
    assert first_column("datatable(x: long) [] | count") == [0]


@pytest.mark.parametrize(
    ("query", "kind", "expected"),
    [
        ("range x from 1 to 5 step 2", "long", [1, 3, 5]),
        ("range x from 5 to 1 step -2", "long", [5, 3, 1]),
        ("range x from 5 to 1 step 1", "long", []),
        ("range x from 2 to 2 step -1", "long", [2]),
        ("range x from int(1) to int(2) step int(1)", "int", [1, 2]),
        ("range x from 1 to 2 step 0.5", "real", [1.0, 1.5, 2.0]),
        ("range x from 1 to long(null) step 1", "long", []),
        ("range x from 1.0 to real(nan) step 1", "real", []),
        ("range x from 9223372036854775806 to 9223372036854775807 step 1", "long", [2**63 - 2, 2**63 - 1]),
        ("range x from 0s to 1m step 30s", "timespan", [timedelta(0), timedelta(seconds=30), timedelta(minutes=1)]),
        ("range x from datetime(2024-01-01) to datetime(2024-01-03) step 1d", "datetime", [DAY_1, DAY_2, DAY_3]),
        ("range x from datetime(2024-01-03) to datetime(2024-01-01) step -2d", "datetime", [DAY_3, DAY_1]),
        ("let n = toscalar(T | count); range x from 1 to n step 3", "long", [1, 4]),
    ],
)
def test_range_goes_by_its_step_to_its_last_value(query: str, kind: str, expected: list[Any]) -> None:
    found = ask(query)
    assert (found.types, [row[0] for row in found.rows]) == ([kind], expected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("T | where nope > 1", [("unknown_column", "nope")]),
        ("Tee | take 1", [("unknown_table", "Tee")]),
        ("T | where s > ", [("syntax", "")]),
        ("T | where s", [("type", "s")]),
        ("T | where s == 1 + 'x'", [("type", "1 + 'x'")]),
        ("T | project a, a", [("type", "a")]),
        ("T | project x = a, x = s", [("type", "x = s")]),
        ("T | extend x = 1, x = 2", [("type", "x = 2")]),
        ("T | project p = nope, q = none", [("unknown_column", "nope"), ("unknown_column", "none")]),
        ("T | where nope > 1 | where none > 1 | take 1", [("unknown_column", "nope"), ("unknown_column", "none")]),
        ("T | project nope | where nope > 1", [("unknown_column", "nope")]),  # what is missing for this alone is not told
        ("T | project-away nope", [("unknown_column", "nope")]),
        ("T | project-rename s = a", [("type", "s = a")]),
        ("T | project-rename b = a, b = s", [("type", "b = s")]),
        ("T | project-rename b = a, c = a", [("type", "c = a")]),
        ("T | project-away *", [("type", "T | project-away *")]),
        ("T | summarize", [("syntax", "summarize")]),
        ("T | summarize a", [("type", "a")]),
        ("T | summarize a + sum(a)", [("type", "a + sum(a)")]),
        ("T | summarize sum(max(a))", [("type", "max(a)")]),
        ("T | summarize x = count(), x = sum(a)", [("type", "x = sum(a)")]),
        ("T | summarize count() by d", [("type", "d")]),
        ("T | extend x = sum(a)", [("type", "sum(a)")]),
        ("T | sort by d", [("type", "d")]),
        ("T | take -1", [("type", "-1")]),
        ("T | take 'x'", [("type", "'x'")]),
        ("T | where strlen(a, 2) > 1", [("type", "strlen(a, 2)")]),
        ("T | extend x = strlenn(s)", [("unknown_function", "strlenn(s)")]),
        ("T | project a.b", [("type", "a.b")]),
        ("T | extend n = row_number()", [("type", "extend n = row_number()")]),  # no order
        ("print a = 1, a = 2", [("type", "a = 2")]),
        ("print T", [("type", "T")]),
        ("datatable(x: long, x: string) [1, 'a']", [("type", "datatable(x: long, x: string) [1, 'a']")]),
        ("datatable(x: timespan) [true]", [("type", "true")]),
        ("range x from 1 to 5 step 0", [("type", "0")]),
        ("range x from 'a' to 'b' step 1", [("type", "range x from 'a' to 'b' step 1")]),
        ("range x from 1 to 1000000000 step 1", [("too_complex", "range x from 1 to 1000000000 step 1")]),
        ("T; T", [("unsupported", "T")]),
        ("externaldata(x: long) ['https://example.com']", [("unsupported", "externaldata(x: long) ['https://example.com']")]),
        ("database('other').T", [("unsupported", "database('other').T")]),
    ],
)
def test_what_is_wrong_is_named_with_its_place(query: str, expected: list[tuple[str, str]]) -> None:
    assert refused(query) == expected


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("T | where aa > 1", "did you mean a?"),
        ("t | take 1", "did you mean T?"),
        ("T | extend x = strlenn(s)", "did you mean strlen()?"),
        ("T | summarize a", "take_any(a) takes one of its values"),
    ],
)
def test_the_nearest_alternative_is_told(query: str, hint: str) -> None:
    with pytest.raises(KqlError) as wrong:
        ask(query)
    assert wrong.value.diagnostics[0].hint == hint
