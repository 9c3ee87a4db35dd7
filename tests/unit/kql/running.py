"""Runs KQL over tables in memory: parse, bind, write SQL, execute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import duckdb
import msgspec

from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.connection import define_python, parameter_values
from forebay.telemetry.kql.types import DUCKDB_TYPES, KqlType, Schema, schema_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Answer(NamedTuple):
    columns: list[str]
    types: list[KqlType]
    rows: list[tuple[Any, ...]]


class Tables(NamedTuple):
    """Columns and rows of a table."""

    columns: Sequence[tuple[str, KqlType]]
    rows: Sequence[Sequence[Any]] = ()


def database(tables: Mapping[str, Tables]) -> tuple[duckdb.DuckDBPyConnection, Schema]:
    """A database with these tables. Dynamic values are given as JSON text, timespans as ticks."""
    connection = duckdb.connect(":memory:")
    for name, table in tables.items():
        columns = ", ".join(f'"{column}" {DUCKDB_TYPES[kind]}' for column, kind in table.columns)
        connection.execute(f'CREATE TABLE "{name}" ({columns})')
        if table.rows:
            connection.executemany(
                f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(table.columns))})', [list(row) for row in table.rows]
            )
    return connection, schema_of({name: table.columns for name, table in tables.items()})


def run(text: str, tables: Mapping[str, Tables] | None = None, *, parameters: Mapping[str, Any] | None = None) -> Answer:
    """The answer to a query."""
    connection, schema = database(tables or {})
    try:
        return answer(connection, schema, text, parameters=parameters)
    finally:
        connection.close()


def answer(connection: duckdb.DuckDBPyConnection, schema: Schema, text: str, *, parameters: Mapping[str, Any] | None = None) -> Answer:
    """The answer to a query over a database that is there already."""

    def explore(relation: Any) -> list[tuple[Any, ...]]:
        from forebay.telemetry.kql.compiler import generate_relation

        found = generate_relation(relation)
        define_python(connection, found.python)
        return connection.execute(found.sql, parameter_values(found, NOW, parameters or {}) or None).fetchall()

    compiled = compile_query(text, schema, explore=explore)
    define_python(connection, compiled.statement.python)
    values = parameter_values(compiled.statement, NOW, parameters or {})
    rows = connection.execute(compiled.statement.sql, values or None).fetchall()
    kinds = [column.type for column in compiled.statement.columns]
    return Answer(
        [column.name for column in compiled.statement.columns],
        kinds,
        [tuple(_value(kind, value) for kind, value in zip(kinds, row, strict=True)) for row in rows],
    )


def _value(kind: KqlType, value: Any) -> Any:
    if value is None:
        return "" if kind == "string" else None
    if kind == "dynamic":
        return msgspec.json.decode(value) if isinstance(value, str) else value
    if kind == "timespan":
        return timedelta(microseconds=value // 10)
    if kind == "datetime" and isinstance(value, str):  # a year that neither Python nor Kusto has
        return None
    if kind in ("guid", "decimal"):
        return str(value)
    return value
