"""What a unit of writing sees of the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ClauseElement

_DIALECT = sqlite.dialect(paramstyle="named")
_compiled: dict[int, tuple[ClauseElement, str]] = {}

_ROWS = (64, 16, 4, 1)  # rows in one statement: few enough statements to be kept prepared

Parameters = Mapping[str, Any] | Sequence[Any]


class Transaction:
    """The open transaction of the writer; valid only while the unit that received it runs.

    `now_us` is the transaction time: microseconds since the epoch, the same for every unit of one commit and
    greater than that of every earlier commit, even when the wall clock steps back.
    """

    def __init__(self, connection: sqlite3.Connection, now_us: int) -> None:
        self.connection = connection
        self.now_us = now_us

    def execute(self, statement: Executable | str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """Run one statement: SQL text, or a SQLAlchemy statement that lives as long as the program."""
        return self.connection.execute(sql_of(statement), parameters)

    def insert_rows(self, into: str, width: int, values: Sequence[Any], otherwise: str = "") -> tuple[int, int]:
        """`INSERT INTO {into} VALUES` rows of `width` values, given one after the other, `{otherwise}`.

        How many rows went in, and the row id of the last one if any did. Many rows are one statement, on which SQLite works without the
        interpreter's lock; `execute_many` takes and returns it for each row. Raises `ValueError` for values that make no whole rows.
        """
        if len(values) % width:
            raise ValueError(f"expected rows of {width} values, got {len(values)} values")
        inserted_count, last_id, begin = 0, 0, 0
        for row_count in _ROWS:
            size = row_count * width
            while len(values) - begin >= size:
                done = self.connection.execute(_insert(into, width, row_count, otherwise), values[begin : begin + size])
                inserted_count += done.rowcount
                last_id = done.lastrowid or 0
                begin += size
        return inserted_count, last_id

    def execute_many(self, statement: Executable | str, rows: Iterable[Parameters]) -> sqlite3.Cursor:
        """Run one statement for each row."""
        return self.connection.executemany(sql_of(statement), rows)


@lru_cache(128)
def _insert(into: str, width: int, row_count: int, otherwise: str) -> str:
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * row_count)} {otherwise}"


def sql_of(statement: Executable | str) -> str:
    """The SQL text of a module-level statement with bound parameters, compiled once.

    SQLAlchemy's own execution costs 60 us a statement, ten times what SQLite takes for a row; the compiled text
    keeps its schema and dialects and costs a dictionary lookup.
    """
    if isinstance(statement, str):
        return statement
    if not isinstance(statement, ClauseElement):
        raise TypeError(f"expected SQL text or a SQLAlchemy statement, got {type(statement).__name__}")
    known = _compiled.get(id(statement))
    if known is None:
        compiled = statement.compile(dialect=_DIALECT)
        constants = [name for name, value in compiled.params.items() if value is not None]
        if constants:
            raise TypeError(f"a statement that is compiled once cannot carry the values {constants}: use literal_column or bindparam")
        known = (statement, str(compiled))
        _compiled[id(statement)] = known
    return known[1]


def compile_query(statement: ClauseElement) -> tuple[str, dict[str, Any]]:
    """The SQL text and parameters of a statement that was built for one call."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled), dict(compiled.params)
