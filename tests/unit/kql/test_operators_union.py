"""`union`: which rows and columns come out."""

from __future__ import annotations

from functools import cache
from typing import Any

import duckdb
import pytest
from running import Answer, Tables, answer, database

from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.types import Schema

TABLES = {
    "Apples": Tables([("id", "long"), ("name", "string"), ("size", "real")], [[1, "red", 1.5], [2, None, None]]),
    "Apricots": Tables([("id", "long"), ("Name", "string")], [[3, "orange"]]),
    "Pears": Tables([("id", "string"), ("name", "string"), ("at", "datetime")], [["p1", "green", None]]),
}


@cache
def tables() -> tuple[duckdb.DuckDBPyConnection, Schema]:
    return database(TABLES)


def ask(query: str) -> Answer:
    return answer(*tables(), query)


def rows(query: str) -> list[tuple[Any, ...]]:
    return sorted(ask(query).rows, key=str)


@pytest.mark.parametrize(
    ("query", "columns", "expected"),
    [
        ("union Apples, Apples | project id", ["id"], [(1,), (1,), (2,), (2,)]),
        ("Apples | union Apricots", ["id", "name", "size", "Name"], [(1, "red", 1.5, ""), (2, "", None, ""), (3, "", None, "orange")]),
        (
            "union Apples, Pears | project-away size, at",
            ["id_long", "id_string", "name"],
            [(1, "", "red"), (2, "", ""), (None, "p1", "green")],
        ),
        ("union kind=inner Apples, (Pears | project name, at)", ["name"], [("",), ("green",), ("red",)]),
        ("union kind=outer (print a = 1), (print b = 'x')", ["a", "b"], [(1, ""), (None, "x")]),
        ("union (print a = 1, a_long = 2), (print a = 'x')", ["a_long1", "a_string", "a_long"], [(1, "", 2), (None, "x", None)]),
        ("union (Apples | top 1 by id), (Apricots | sort by id asc | take 1) | project id", ["id"], [(2,), (3,)]),
        ("union (union Apples, Apricots | where id > 1), (print id = 9) | project id", ["id"], [(2,), (3,), (9,)]),
        ("Apples | union (Apricots | project id, size = 2.0) | summarize sum(id), max(size)", ["sum_id", "max_size"], [(6, 2.0)]),
    ],
)
def test_rows_of_all_come_with_the_columns_of_all(query: str, columns: list[str], expected: list[tuple[Any, ...]]) -> None:
    assert (ask(query).columns, rows(query)) == (columns, expected)


def test_the_source_of_a_row_may_be_a_column() -> None:
    assert rows("union withsource=From Apples, Apricots | summarize count() by From") == [("Apples", 2), ("Apricots", 1)]
    assert ask("union withsource=From Apples, Apricots").columns[0] == "From"
    assert rows("union withsource=From (Apples | take 1), (Apricots) | distinct From") == [("Apricots",), ("union_arg0",)]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("union Ap*", 3),
        ("union *", 4),
        ("union A*, Pears", 4),
        ("union isfuzzy=true Apples, Nowhere, (AlsoNowhere | where x > 1)", 2),
        ("union isfuzzy=true Nowhere*, Apples", 2),
        ("let Apes = Apples; union Ap*", 3),  # only a view is found by a pattern
        ("let Apes = () { Apples }; union Ap*", 3),
        ("let Apes = view () { Apples }; union Ap*", 5),
        ("let Apes = view () { Apples }; union *", 6),
        ("let f = (n: long) { Apples | where id < n }; union (f(2)), f(3)", 3),
        ("let A = Apples | where id == 1; union A, A, (A | extend z = 1)", 3),
    ],
)
def test_tables_are_found_by_name_and_pattern(query: str, count: int) -> None:
    assert rows(f"{query} | count") == [(count,)]


@pytest.mark.parametrize(
    ("query", "code", "place"),
    [
        ("union Apples, Nowhere", "unknown_table", "Nowhere"),
        ("union Z*", "unknown_table", "Z*"),
        ("union isfuzzy=true Nowhere, Z*", "unknown_table", "union isfuzzy=true Nowhere, Z*"),
        ("union isfuzzy=true Apples, (Pears | where nope > 1)", "unknown_column", "nope"),
        ("union kind=middle Apples, Pears", "type", "union kind=middle Apples, Pears"),
        ("union kind=inner Apples, Pears", "type", "union kind=inner Apples, Pears"),  # id has two types
        ("union withsource=name Apples, Pears", "type", "union withsource=name Apples, Pears"),
        ("union Apples, 5", "syntax", "5"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(query: str, code: str, place: str) -> None:
    with pytest.raises(KqlError) as wrong:
        ask(query)
    found = wrong.value.diagnostics[0]
    assert (found.code, query[found.start : found.end]) == (code, place)


def test_columns_that_nobody_reads_are_not_read_from_any_table() -> None:
    sql = compile_query("union Apples, Pears | summarize count() by name", tables()[1]).statement.sql
    assert "size" not in sql
    assert "at" not in sql.lower().replace("coalesce", "")
