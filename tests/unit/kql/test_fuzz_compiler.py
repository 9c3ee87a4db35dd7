"""Whatever the text of a query: it compiles to SQL that DuckDB takes, or is refused with a `KqlError`, soon and in little memory."""

from __future__ import annotations

import random
import re
import resource
import time
from typing import Any

import duckdb
import pytest
from running import NOW

from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.connection import define_python, parameter_values
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.types import DUCKDB_TYPES, KqlType, schema_of

LONGEST_SECONDS = 2.0
MOST_BYTES = 300 * 1024 * 1024
COLUMNS: list[tuple[str, KqlType]] = [
    ("id", "long"),
    ("b", "bool"),
    ("i", "int"),
    ("r", "real"),
    ("m", "decimal"),
    ("t", "datetime"),
    ("n", "timespan"),
    ("s", "string"),
    ("g", "guid"),
    ("d", "dynamic"),
]
SCHEMA = schema_of({"T": COLUMNS, "U": COLUMNS})

QUERIES = [
    "T | where s has 'a' and t > ago(1h) or not(b) | extend x = bin(r, 2), y = d.a[0]['b'] | project-away g | sort by x desc | take 5",
    "T | summarize n = count(), percentiles(r, 50, 95), arg_max(t, *), make_set_if(s, b, 3) by bin(t, 5m), k = tolower(s) | where n > 1",
    "let f = (x: long, y: string = 'a') { T | where id == x and s == y }; let k = toscalar(U | count); f(1) | extend z = id / k",
    "T | join kind=leftouter hint.strategy=shuffle (U | where b) on id, $left.s == $right.s | union withsource=w U | distinct *",
    "T | make-series n = count() default=0, avg(r) on t from ago(30d) to now() step 1d by s | extend series_stats(n)",
    "T | mv-expand x = d to typeof(long), d limit 3 | mv-apply y = d on (where y > 1 | summarize sum(tolong(y)))",
    "T | sort by t asc | extend p = prev(s, 1, 'x'), c = row_cumsum(r, s != prev(s)), q = row_number() | where q % 2 == 0",
    "T | parse s with * 'user=' user: long ' ' rest | parse-where kind=regex rest with 'a' y 'b' | top 3 by user",
    "T | evaluate bag_unpack(d) : (a: long, b2: string) | project a, b2",
    "search in (T, U) s: 'x' and id > 3 | top-nested 2 of s by count(), top-nested of i by max(r)",
    "datatable(a: string, c: dynamic) ['x', dynamic({'k': [1, null]}), @'y', dynamic(null)] | extend z = c.k[-1], w = a in~ ('X', 'y')",
    "range x from 1 to 10 step 2 | extend y = case(x > 3, 'a', x between (1 .. 2), strcat('b', x), '') | summarize make_list(y) by x % 2",
    "T | sort by t asc | scan declare (c: long = 0) with (step s1: b => c = s1.c + 1; step s2: not(b) => c = 0;) | count as n",
    "declare query_parameters(a: long = 1); T | where id in (U | where s matches regex '^a+' | project id) and r !between (1.0 .. 2.5)",
    "T | partition by s (top 1 by r | extend z = dcount_hll(hll_merge(dynamic(null), dynamic(null))))",
    "T | project-rename q = s | project-reorder q, * asc | lookup (U | project id, v = s) on id | serialize | as A | getschema",
]
_TOKEN = re.compile(r"\s+|[A-Za-z_$][\w-]*|\d[\w.]*|'[^']*'|[=!<>]=|=~|!~|\.\.|.", re.DOTALL)
_MORE = [
    "'",
    '"',
    "{",
    "}",
    "[",
    "dynamic(",
    "datetime(null)",
    "real(nan)",
    "int(null)",
    "-",
    "\\",
    "\0",
    "😀",
    "*",
    "1e400",
    "let",
    ";",
    "9223372036854775808",
]


@pytest.fixture(scope="module")
def connection() -> Any:
    opened = duckdb.connect(":memory:", config={"threads": "1"})
    for table in SCHEMA:
        opened.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {DUCKDB_TYPES[kind]}' for name, kind in COLUMNS)})")
    yield opened
    opened.close()


def compiles_or_is_refused(connection: duckdb.DuckDBPyConnection, query: str) -> bool:
    """Whether it compiles; DuckDB then takes the SQL."""
    begin = time.process_time()
    try:
        statement = compile_query(query, SCHEMA).statement
    except KqlError:
        statement = None
    except Exception as error:
        raise AssertionError(f"{error!r} instead of KqlError: {query[:2000]}") from error
    assert time.process_time() - begin < LONGEST_SECONDS, query[:2000]
    if statement is None:
        return False
    define_python(connection, statement.python)
    try:
        connection.execute(f"EXPLAIN {statement.sql}", parameter_values(statement, NOW, {}) or None)
    except duckdb.Error as error:
        raise AssertionError(f"{error}\n{query}\n{statement.sql}") from None
    assert time.process_time() - begin < 2 * LONGEST_SECONDS, query[:2000]
    return True


@pytest.mark.parametrize("query", QUERIES)
def test_the_queries_that_others_are_made_of_compile_or_are_refused(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    compiles_or_is_refused(connection, query)


def test_queries_of_which_parts_are_changed_compile_or_are_refused(connection: duckdb.DuckDBPyConnection) -> None:
    tokens = [_TOKEN.findall(query) for query in QUERIES]
    parts = sorted({token for query in tokens for token in query}) + _MORE + [name for name, _ in COLUMNS]
    chance = random.Random(1)
    compiled = 0
    for _ in range(1_500):
        made = list(chance.choice(tokens))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            place = chance.randrange(len(made))
            match chance.randrange(5):
                case 0:
                    del made[place]
                case 1:
                    made.insert(place, chance.choice(parts))
                case 2:
                    made[place] = chance.choice(parts)
                case 3:
                    other = chance.randrange(len(made))
                    made[place], made[other] = made[other], made[place]
                case _:
                    source = chance.choice(tokens)
                    begin = chance.randrange(len(source))
                    made[place:place] = source[begin : begin + chance.randrange(12)]
            made = made or ["T"]
        compiled += compiles_or_is_refused(connection, "".join(made))
    assert compiled > 100


def test_tokens_in_any_order_compile_or_are_refused(connection: duckdb.DuckDBPyConnection) -> None:
    parts = sorted({token for query in QUERIES for token in _TOKEN.findall(query)}) + _MORE
    chance = random.Random(2)
    for _ in range(1_000):
        soup = chance.choices(parts, k=chance.randrange(1, 25))
        compiles_or_is_refused(connection, chance.choice(("T | ", "print ", "", "T | extend x = ")) + " ".join(soup))


def test_any_function_of_any_arguments_compiles_or_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    compile_query("print 1", {})  # so that all functions are there
    chance = random.Random(3)
    constants = [
        "'a'",
        "''",
        "1",
        "-1",
        "0",
        "2.5",
        "real(nan)",
        "dynamic([1])",
        "dynamic(null)",
        "true",
        "1h",
        "datetime(2024-01-31)",
        "long(null)",
    ]
    values = [*(name for name, _ in COLUMNS), *constants, "toscalar(U | count)", "strcat(s, d)", "d.a", "(id + 1)"]
    names = [name for name in registry.names() if name.isidentifier()]
    for name in sorted(names):
        for count in (0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 6):
            call = f"{name}({', '.join(chance.choices(values, k=count))})"
            place = chance.choice(
                ("T | extend x = {}", "T | where isnotnull({})", "T | summarize x = {} by b", "T | sort by id asc | extend x = {}")
            )
            compiles_or_is_refused(connection, place.format(call))


def _doubling(first: str, step: str, last: str) -> str:
    return first + "".join(step.format(i, i + 1) for i in range(60)) + last


BLOW_UPS = {
    "values that double": _doubling("let a0 = 1;", "let a{1} = a{0} + a{0};", "print a60"),
    "functions that double": _doubling("let a0 = (x: long) { x };", "let a{1} = (x: long) {{ a{0}(x) + a{0}(x) }};", "print a60(1)"),
    "unions that double": _doubling("let a0 = T;", "let a{1} = union a{0}, a{0};", "a60"),
    "joins that double": _doubling("let a0 = T | project id;", "let a{1} = a{0} | join kind=inner a{0} on id | project id;", "a60"),
    "columns that double": "T" + " | extend s = strcat(s, s)" * 60,
    "arguments used several times": "T | extend x = " + "substring(" * 90 + "s" + ", -2, 1)" * 90,
    "times used several times": "T | extend x = " + "bin(" * 60 + "t" + ", n)" * 60,
    "conversions there and back": "T | extend x = " + "toint(todynamic(tostring(" * 30 + "d" + ")))" * 30,
    "brackets": "print " + "(" * 30_000 + "1" + ")" * 30_000,
    "brackets of JSON": "print dynamic(" + "[" * 30_000 + "]" * 30_000 + ")",
    "JSON in a text": "print parse_json('" + "[" * 30_000 + "]" * 30_000 + "')",
    "members of members": "T | extend x = d" + ".a" * 5_000,
    "a long list": "T | where id in (" + ", ".join(map(str, range(9_000))) + ")",
    "a long list of terms": "T | where s has_any (" + ", ".join(f"'v{i}'" for i in range(5_000)) + ")",
    "a long or": "T | where " + " or ".join(f"id == {i}" for i in range(4_000)),
    "a long sum": "T | extend x = " + " + ".join(["id"] * 5_000),
    "a long pipeline of filters": "T" + " | where id > 0" * 4_000,
    "a long pipeline of columns": "T | extend x0 = id" + "".join(f" | extend x{i + 1} = x{i} + 1" for i in range(300)),
    "a long pipeline of groups": "T" + " | summarize id = sum(id) by s" * 500,
    "a long pipeline of elements": "T" + " | mv-expand d" * 500,
    "a long chain of names": "let a0 = T;" + "".join(f"let a{i + 1} = a{i} | summarize id = sum(id) by b;" for i in range(700)) + "a700",
    "a function that calls itself": "let f = (x: long) { f(x) }; print f(1)",
    "queries in queries": "T | where " + "id in (T | where " * 60 + "true" + " | project id)" * 60,
    "joins in joins": "T | join (" * 80 + "T" + ") on id" * 80,
    "a long regex": "T | where s matches regex '" + "(a+)+" * 1_900 + "'",
    "a regex that repeats repetitions": "T | where s matches regex '(((a{1000}){1000}){1000})'",
    "many patterns": "T | parse s with " + " ".join(f"'a' c{i}" for i in range(2_000)),
    "many points of a series": "T | make-series " + ", ".join(f"c{i} = count()" for i in range(300)) + " on t step 1m",
    "many percentiles": "T | summarize percentiles(r, " + ", ".join(str(i % 101) for i in range(2_000)) + ")",
    "all columns many times": "T | project " + ", ".join(f"c{i} = pack_all()" for i in range(500)),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOW_UPS)
def test_what_grows_is_compiled_or_refused_soon(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    compiles_or_is_refused(connection, BLOW_UPS[name])
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_BYTES
