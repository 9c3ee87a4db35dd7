"""Generated queries over generated tables answer what the model of KQL answers, and no SQL of ours ever fails.

`make test` tries some, `make chaos` many (FOREBAY_TEST_KQL_CASES, from FOREBAY_TEST_SEED on). A failing seed is replayed by setting both.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from tests.kql.interpreter import Interpreter
from tests.kql.queries import TEMPLATES, QueryWriter
from tests.kql.tables import COLUMNS, Table, described, modelled, rows_of_tables
from tests.kql.values import Undefined, are_same_in_any_order, to_python
from tests.unit.kql.running import NOW

from forebay.telemetry.kql.binding.program import Query
from forebay.telemetry.kql.compiler import Compiled, compile_query
from forebay.telemetry.kql.connection import define_python, parameter_values
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.types import DUCKDB_TYPES, schema_of

CASE_COUNT = int(os.environ.get("FOREBAY_TEST_KQL_CASES", "1500"))
FIRST_SEED = int(os.environ.get("FOREBAY_TEST_SEED", "0"))
SCHEMA = schema_of({name: list(columns.items()) for name, columns in COLUMNS.items()})


@pytest.fixture(scope="module")
def connection() -> Any:
    opened = duckdb.connect(":memory:", config={"threads": "1"})
    for name, columns in COLUMNS.items():
        opened.execute(f"CREATE TABLE {name} ({', '.join(f'{column} {DUCKDB_TYPES[kind]}' for column, kind in columns.items())})")
    yield opened
    opened.close()


def fill(connection: duckdb.DuckDBPyConnection, given_tables: dict[str, Table]) -> None:
    for name, rows in given_tables.items():
        connection.execute(f"DELETE FROM {name}")
        if rows:
            marks = f"({', '.join('?' * len(COLUMNS[name]))})"
            connection.execute(f"INSERT INTO {name} VALUES {', '.join([marks] * len(rows))}", [cell for row in rows for cell in row])


def answers(connection: duckdb.DuckDBPyConnection, compiled: Compiled) -> list[list[Any]]:
    define_python(connection, compiled.statement.python)
    rows = connection.execute(compiled.statement.sql, parameter_values(compiled.statement, NOW, {}) or None).fetchall()
    kinds = [column.type for column in compiled.statement.columns]
    return [[to_python(kind, cell) for kind, cell in zip(kinds, row, strict=True)] for row in rows]


def difference(query: Query, given_tables: dict[str, Table], found: list[list[Any]]) -> str:
    """'' where the model answers the same; raises `Undefined` where any answer is right."""
    model = Interpreter({name: modelled(name, rows) for name, rows in given_tables.items()}, NOW)
    wanted = model.relation(query.relation)
    rows = [[row[column.id] for column in query.relation.columns] for row in wanted.rows]
    ranks = wanted.ranks or [0] * len(rows)
    groups = [[row for row, rank in zip(rows, ranks, strict=True) if rank == each] for each in sorted(set(ranks))]
    rest = list(found)
    for group in groups:
        part, rest = rest[: len(group)], rest[len(group) :]
        if not are_same_in_any_order(group, part):
            return f"expected {group}\ngot      {part}"
    return f"not expected {rest}" if rest else ""


Case = tuple[str, dict[str, Table]]
Outcome = tuple[str, str]  # what has come of a case, and what is wrong


def outcome(connection: duckdb.DuckDBPyConnection, case: Case) -> Outcome:
    query, given = case
    try:
        compiled = compile_query(query, SCHEMA)
    except KqlError:
        return "refused", ""
    fill(connection, given)
    try:
        found = answers(connection, compiled)
    except duckdb.Error as error:
        return "failed", f"{error}\n{compiled.statement.sql}"
    try:
        wrong = difference(compiled.query, given, found)
    except Undefined:
        return "undefined", ""
    return ("different", f"{wrong}\n{compiled.statement.sql}") if wrong else ("same", "")


def generated(seed: int) -> Case:
    chance = random.Random(seed)
    return QueryWriter(chance.randrange).query(), rows_of_tables(chance.randrange)


def shorter(case: Case) -> Iterator[Case]:
    """The same without one operator, and without one row."""
    query, given = case
    lines = query.split("\n")
    for place in range(len(lines) - 1, 0, -1):
        yield "\n".join(lines[:place] + lines[place + 1 :]), given
    for name, rows in given.items():
        for place in range(len(rows)):
            yield query, {**given, name: rows[:place] + rows[place + 1 :]}


def shortest(connection: duckdb.DuckDBPyConnection, case: Case, what: str) -> Case:
    """What still has this outcome when any part is left out no more."""
    for each in shorter(case):
        if outcome(connection, each)[0] == what:
            return shortest(connection, each, what)
    return case


def test_generated_queries_answer_what_the_model_answers(connection: duckdb.DuckDBPyConnection) -> None:
    seen: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + CASE_COUNT):
        case = generated(seed)
        what, wrong = outcome(connection, case)
        seen[what] += 1
        if wrong:
            query, given = case = shortest(connection, case, what)
            pytest.fail(f"seed {seed}, {outcome(connection, case)[1]}\n{query}\n{described(given)}")
    assert seen["refused"] < 0.3 * CASE_COUNT, seen
    assert seen["undefined"] < 0.4 * CASE_COUNT, seen


@pytest.mark.parametrize("kind", TEMPLATES)
def test_each_expression_answers_what_the_model_answers(connection: duckdb.DuckDBPyConnection, kind: str) -> None:
    chance = random.Random(FIRST_SEED)
    for template in TEMPLATES[kind]:
        compared = 0
        for _ in range(12):  # of which some have values for which any answer is right
            writer = QueryWriter(chance.randrange)
            writer.columns = dict(COLUMNS["T"])
            case = f"T\n| project x = {writer.filled(template, 0)}", rows_of_tables(chance.randrange)
            what, wrong = outcome(connection, case)
            assert not wrong, f"{wrong}\n{case[0]}\n{described(case[1])}"
            compared += what == "same" and bool(case[1]["T"])
            if compared == 2:
                break
