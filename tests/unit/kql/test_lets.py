"""`let`, functions, `materialize`, `toscalar`, `in (query)`, `declare query_parameters`, `set` and `invoke`."""

from __future__ import annotations

import time
from datetime import datetime
from functools import cache
from typing import Any

import duckdb
import pytest
from running import NOW, Answer, Tables, answer, database, run

from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.types import Schema, schema_of

TABLES = {
    "T": Tables([("a", "long"), ("s", "string")], [[1, "x"], [2, "y"], [2, ""], [None, "z"]]),
    "Wide": Tables([(f"c{index}", "long") for index in range(2000)]),
}


@cache
def tables() -> tuple[duckdb.DuckDBPyConnection, Schema]:
    return database(TABLES)


def ask(query: str, **parameters: Any) -> Answer:
    return answer(*tables(), query, parameters=parameters)


def value(query: str, **parameters: Any) -> Any:
    return ask(query, **parameters).rows[0][0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("let x = 5; print x", 5),
        ("let x = 5; let y = x * 2; print y + 1", 11),
        ("let x = 1; let x = 2; print x", 2),
        ("let x = 1; let f = () { x }; let x = 2; print f() * 10 + x", 12),  # a body sees what was there when it was named
        ("let T = print n = 3; T", 3),
        ("let a = 100; T | where a == 1 | count", 1),  # a column comes before a name
        ("let a = 100; let f = () { a }; T | where a == 1 | project f()", 100),
        ("let A = T | where a == 2; A | count", 2),
        ("let A = T; A | count", 4),
        ("let A = T | where a == 2; A | union A | count", 4),
        ("let A = T | where a == 2; A | join kind=inner A on a | count", 4),
        ("let A = materialize(T | take 2); union A, A | count", 4),
        ("let A = materialize(T | extend r = rand()); A | join kind=inner A on r | count", 4),
        ("let d = dynamic({'x': [7]}); print d.x[0]", 7),
        ("let l = dynamic(['x', 'z']); T | where s in (l) | count", 2),
        ("let n = 2; T | top n by a | count", 2),
        ("let t = now(); print t == now()", True),
        ("let f = (x: long) { x + 1 }; print f(f(1))", 3),
        ("let f = (x: long, y: long = 10) { x + y }; print f(1)", 11),
        ("let f = (x: long, y: long = 10) { x - y }; print f(y = 1, x = 5)", 4),
        ("let f = (x: real) { x / 2 }; print f(1)", 0.5),
        ("let f = (x: int) { gettype(x) }; print f(1)", "int"),
        ("let f = (x: dynamic) { x.k }; print f(dynamic({'k': 'v'}))", "v"),
        ("let f = (x: long) { let y = x * 2; let g = (z: long) { y + z }; g(1) }; print f(5)", 11),
        ("let f = (x: long) { iff(x > 1, 'big', 'small') }; T | where s == 'y' | summarize count() by size = f(a) | project size", "big"),
        ("let f = () { T | count }; f()", 4),
        ("let f = () { T | count }; f", 4),
        ("let f = view () { T }; f | count", 4),
        ("let f = (t: (a: long)) { t | where a == 1 }; f(T) | count", 1),
        ("let f = (t: (a: long, s: string), n: long) { t | where a < n | count }; f(T, 2)", 1),
        ("let f = (t: (*)) { t | count }; f((T | take 3))", 3),
        ("let f = (t: (*), n: long) { t | take n | count }; T | invoke f(2)", 2),
        ("let f = (c: string) { T | where column_ifexists(c, '') == 'x' | count }; f('s')", 1),
        ("print toscalar(T | summarize max(a))", 2),
        ("print toscalar(T | where false | project a)", None),
        ("let m = toscalar(T | summarize max(a)); T | where a == m | count", 2),
        ("print toscalar(T | count) + toscalar(T | where a == 2 | count)", 6),
        ("T | where a in (T | where s == 'x' | project a) | count", 1),
        ("T | where a !in (T | where s == 'x' | project a) | count", 3),  # null is in no list
        ("T | where a in (T | where isnull(a) | project a) | count", 0),
        ("T | where s in~ (print 'X') | count", 1),
        ("T | where s in (T | where s == '' | project s) | count", 1),
        ("T | where a in (T) | count", 3),
        ("T | where toreal(a) in (T | project a) | count", 3),
        ("let L = T | project a; T | where a in (L) | count", 3),
        ("set query_bin_auto_size = 10; print bin_auto(25)", 20),
        ("set notruncation; T | count", 4),
        ("let a_2 = materialize(T | take 1); let a = materialize(T); let A = a | take 2; union a, a_2, A, a, A | count", 13),
    ],
)
def test_names_stand_for_values_tables_and_functions(query: str, expected: Any) -> None:
    assert value(query) == expected


def test_the_time_of_the_query_is_the_same_wherever_it_is_read() -> None:
    assert value("let t = now(); T | extend u = now() | where t == u | count") == 4
    assert value("print now()") == NOW.replace(tzinfo=None)
    assert compile_query("set query_now = datetime(2020-01-31); print now()", {}).query.fixed_now is not None


def test_a_table_that_is_read_twice_is_written_once() -> None:
    sql = compile_query("let A = T | where s has 'x'; union A, A, A", tables()[1]).statement.sql
    assert sql.count("WHERE") == 1
    assert "MATERIALIZED" not in sql
    assert "MATERIALIZED" in compile_query("let A = materialize(T | where a > 1); A | union A", tables()[1]).statement.sql


def test_parameters_take_values_or_their_defaults() -> None:
    query = "declare query_parameters(n: long = 2, who: string = 'x'); T | where a == n or s == who | count"
    assert value(query) == 3
    assert value(query, n=7, who="z") == 1
    at = datetime(2024, 1, 31)  # noqa: DTZ001 - DuckDB's are naive
    assert value("declare query_parameters(at: datetime); print at", at=at) == at
    assert value("declare query_parameters(small: int = 3); print gettype(small), '$p1'") == "int"  # its value is nowhere in the SQL


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("let f = (x: long) { f(x) }; print f(1)", [("unknown_function", "f(x)")]),  # no function sees itself
        ("let f = () { later }; let later = 1; print f()", [("unknown_column", "later")]),
        ("let f = (x: long) { x + nope }; print f(1)", [("unknown_column", "nope")]),
        ("let x = nope; let y = x + 1; T | where a == y", [("unknown_column", "nope")]),  # told once, not wherever it is read
        ("let x = nope; T | where none == 1", [("unknown_column", "nope"), ("unknown_column", "none")]),
        ("declare query_parameters(p: long = 'x', q: long = 1); print p, q", [("type", "'x'")]),
        ("let f = (x: long) { x }; print f()", [("type", "f()")]),
        ("let f = (x: long) { x }; print f(1, 2)", [("type", "f(1, 2)")]),
        ("let f = (x: long) { x }; print f(y = 1)", [("type", "f(y = 1)")]),
        ("let f = (x: long) { x }; print f('x')", [("type", "'x'")]),
        ("let f = (x: long) { x }; print f(1.5)", [("type", "1.5")]),
        ("let f = (t: (b: long)) { t }; f(T)", [("type", "f(T)")]),
        ("let f = (t: (a: string)) { t }; f(T)", [("type", "f(T)")]),
        ("let f = (x: long) { x }; f(1)", [("type", "f(1)")]),
        ("let x = 1; x | take 1", [("type", "x")]),
        ("let A = T; print A", [("type", "A")]),
        ("T | where a in ((T | project-away *))", [("type", "T | project-away *")]),
        ("T | where s in (T)", [("type", "s in (T)")]),
        ("print toscalar(T | project-away *)", [("type", "T | project-away *")]),
        ("T | invoke nope()", [("unknown_function", "invoke nope()")]),
        ("set query_now = 5; print now()", [("type", "set query_now = 5")]),
        ("let x = 5;", [("syntax", "")]),
    ],
)
def test_what_is_wrong_is_named_with_its_place(query: str, expected: list[tuple[str, str]]) -> None:
    with pytest.raises(KqlError) as wrong:
        ask(query)
    assert [(each.code, query[each.start : each.end]) for each in wrong.value.diagnostics] == expected


DOUBLING = {
    "joins": "let a0 = T;" + "".join(f"let a{index + 1} = a{index} | join kind=inner a{index} on a;" for index in range(30)) + "a30",
    "values": "let a0 = 1;" + "".join(f"let a{index + 1} = a{index} + a{index};" for index in range(30)) + "print a30",
    "functions": "let f0 = (x: long) { x };"
    + "".join(f"let f{i + 1} = (x: long) {{ f{i}(f{i}(x)) }};" for i in range(15))
    + "print f15(1)",
    "bodies": "let f0 = () { T };"
    + "".join(f"let f{i + 1} = () {{ let a = f{i}(); let b = f{i}(); union a, b }};" for i in range(15))
    + "f15()",
    "columns": "Wide" + " | join Wide on c0" * 30,
    "steps": "Wide" + " | extend c0 = c0 + 1" * 1000,
    "wildcards": "Wide | project-away " + ",".join(f"*a*{index}" for index in range(1000)),
    "top-nested": "T | " + ", ".join(["top-nested 2 of a by count()"] * 1000),
}


@pytest.mark.parametrize("text", DOUBLING.values(), ids=DOUBLING)
def test_what_grows_without_end_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(KqlError) as wrong:
        compile_query(text, schema_of({name: table.columns for name, table in TABLES.items()}))
    assert [each.code for each in wrong.value.diagnostics] == ["too_complex"]
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "Wide | project " + ", ".join(f"x{index}" for index in range(5000)),
        "Wide" + " | where nope > 1" * 1000,
        "".join(f"let a{index} = toscalar(Wide | where nope > {index});" for index in range(500)) + "print 1",
    ],
)
def test_only_the_first_errors_are_told_of_very_many(text: str) -> None:
    with pytest.raises(KqlError) as wrong:
        compile_query(text, tables()[1])
    assert len(wrong.value.diagnostics) == 20


def test_a_table_of_let_is_written_once_however_often_it_is_read():
    text = "".join(f"let a{index + 1} = union a{index}, a{index};" for index in range(30)).replace("a0", "T") + "a30 | count"
    sql = compile_query(text, schema_of({"T": [("a", "long")]})).statement.sql
    assert sql.count('"T"') == 2


def test_what_a_function_takes_as_a_text_may_be_of_any_type():
    text = "let f = (x: string) { strcat(x, '!') }; print f(1), f(datetime(2024-01-01)), f(time(1h))"
    assert run(text).rows == [("1!", "2024-01-01T00:00:00.0000000Z!", "01:00:00!")]
