"""The types of KQL, and how DuckDB holds their values.

Source: https://learn.microsoft.com/kusto/query/scalar-data-types/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

KqlType = Literal["bool", "int", "long", "real", "decimal", "datetime", "timespan", "string", "guid", "dynamic"]

# how a value of each type is held in a result and in every intermediate column
DUCKDB_TYPES: dict[KqlType, str] = {
    "bool": "BOOLEAN",
    "int": "INTEGER",
    "long": "BIGINT",
    "real": "DOUBLE",
    "decimal": "DECIMAL(38, 17)",  # Kusto's has 34 digits and a floating point: an approximation
    "datetime": "TIMESTAMP",  # UTC, microseconds: Kusto's last digit, of 100 ns, is cut
    "timespan": "BIGINT",  # ticks of 100 ns: exact, and its arithmetic is that of integers
    "string": "VARCHAR",  # NULL means '', for strings of Kusto are never null
    "guid": "UUID",
    "dynamic": "JSON",  # NULL and JSON's null are both null
}

# other names by which queries call the types
TYPE_NAMES: dict[str, KqlType] = {
    **{name: name for name in DUCKDB_TYPES},
    "boolean": "bool",
    "int32": "int",
    "int64": "long",
    "double": "real",
    "float": "real",
    "date": "datetime",
    "time": "timespan",
    "uuid": "guid",
    "uniqueid": "guid",
    "object": "dynamic",
}

NUMBERS: frozenset[KqlType] = frozenset({"int", "long", "real", "decimal"})
INTEGERS: frozenset[KqlType] = frozenset({"int", "long"})

TICKS_PER_MICROSECOND = 10
TICKS_PER_SECOND = 10_000_000
TICKS_PER_DAY = 864_000_000_000
YEAR_1_TO_1970_MICROSECONDS = 719_162 * 86_400 * 1_000_000


class TableColumn(Struct, frozen=True):
    """A column of a table that queries may read."""

    name: str
    type: KqlType
    is_nullable: bool = True  # for a string: whether NULL may stand for ''
    has_nan: bool = True  # for a real: whether NaN may be among the numbers


class TableSchema(Struct, frozen=True):
    """A table that queries may read: its columns, in order, and the SQL name that stands for it.

    `sql` is written as it is after FROM; `condition`, where it is not '', says which of its rows there are at all. `has_rowid` says that it
    is a base table, in which DuckDB finds a row again by its `rowid`.
    """

    name: str
    columns: tuple[TableColumn, ...]
    sql: str
    condition: str = ""
    has_rowid: bool = False


Schema = Mapping[str, TableSchema]


def schema_of(tables: Mapping[str, Sequence[tuple[str, KqlType]]]) -> Schema:
    """A schema of tables that SQL knows by the same names."""
    return {
        name: TableSchema(name, tuple(TableColumn(column, kind) for column, kind in columns), '"' + name.replace('"', '""') + '"')
        for name, columns in tables.items()
    }
