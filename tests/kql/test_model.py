"""Generated queries over generated tables answer what the model of KQL answers, and no SQL of ours ever fails.

`make test` tries the same few each time, `make chaos` many and always others (FOREBAY_TEST_KQL_CASES).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.kql.interpreter import Interpreter
from tests.kql.queries import queries
from tests.kql.tables import COLUMNS, Table, described, modelled, tables
from tests.kql.values import Undefined, are_same_in_any_order, to_python
from tests.unit.kql.running import NOW

from forebay.telemetry.kql.binding.program import Query
from forebay.telemetry.kql.compiler import Compiled, compile_query
from forebay.telemetry.kql.connection import define_python, parameter_values
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.types import DUCKDB_TYPES, schema_of

CASE_COUNT = int(os.environ.get("FOREBAY_TEST_KQL_CASES", "500"))
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]  # to explain a difference takes minutes
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


def test_generated_queries_answer_what_the_model_answers(connection: duckdb.DuckDBPyConnection) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=CASE_COUNT,
        deadline=None,
        database=None,
        derandomize="FOREBAY_TEST_KQL_CASES" not in os.environ,
        suppress_health_check=list(HealthCheck),
        phases=PHASES,
    )
    @given(query=queries(), given_tables=tables())
    def check(query: str, given_tables: dict[str, Table]) -> None:
        seen["all"] += 1
        try:
            compiled = compile_query(query, SCHEMA)
        except KqlError:
            seen["refused"] += 1
            return
        fill(connection, given_tables)
        try:
            found = answers(connection, compiled)
        except duckdb.Error as error:
            raise AssertionError(f"{error}\n{query}\n{compiled.statement.sql}\n{described(given_tables)}") from None
        try:
            wrong = difference(compiled.query, given_tables, found)
        except Undefined:
            seen["undefined"] += 1
            return
        assert not wrong, f"{wrong}\n{query}\n{compiled.statement.sql}\n{described(given_tables)}"

    check()
    assert seen["refused"] < 0.3 * seen["all"], seen
    assert seen["undefined"] < 0.5 * seen["all"], seen
