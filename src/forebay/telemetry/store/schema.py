"""The tables of the file: made from `telemetry.tables`, versioned, migrated forward only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from forebay.errors import ForebayError
from forebay.telemetry.store.views import VIEWS
from forebay.telemetry.tables import DUCKDB_TYPES, SERVER_COLUMNS, STORED, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Not on the search path: a name in a query that is not one of its own views finds nothing.
SCHEMA = "store"

# Statements of each version. Tables and columns that `telemetry.tables` gains need none: they are added at every open.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f'CREATE TABLE {SCHEMA}.positions ("partition" VARCHAR PRIMARY KEY, "offset" BIGINT NOT NULL)',
        f"CREATE TABLE {SCHEMA}.keys_seen (key VARCHAR NOT NULL, received TIMESTAMP NOT NULL)",
        f"""CREATE TABLE {SCHEMA}.rejected_entries (
            "partition" VARCHAR NOT NULL, "offset" BIGINT NOT NULL, topic VARCHAR NOT NULL, record_count BIGINT NOT NULL,
            headers JSON NOT NULL, payload BLOB NOT NULL, reason VARCHAR NOT NULL, rejected TIMESTAMP NOT NULL)""",
    ),
)


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def migrate(connection: DuckDBPyConnection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring the file to what this program expects, in one transaction.

    Raises `ForebayError` (`schema_too_new`) when a newer program has written it.
    """
    connection.execute("BEGIN")
    try:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.schema_version (version INTEGER NOT NULL)")
        found = connection.execute(f"SELECT max(version) FROM {SCHEMA}.schema_version").fetchone()
        version = int(found[0]) if found and found[0] is not None else 0
        if version > len(migrations):
            raise ForebayError(
                "schema_too_new",
                f"the data directory has version {version} of its telemetry tables; this program knows versions up to {len(migrations)}",
                hint="start the newer version of Forebay that wrote it",
                status=503,
            )
        for step in migrations[version:]:
            for statement in step:
                connection.execute(statement)
        if version < len(migrations):
            connection.execute(f"DELETE FROM {SCHEMA}.schema_version")
            connection.execute(f"INSERT INTO {SCHEMA}.schema_version VALUES (?)", [len(migrations)])
        _complete(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def stored_columns(table: Table) -> dict[str, str]:
    """The columns that a table has in the file, with their DuckDB types."""
    return {column.name: DUCKDB_TYPES[column.type] for column in (*table.columns, *SERVER_COLUMNS)}


def _complete(connection: DuckDBPyConnection) -> None:
    """Add the tables and columns that are missing, and make the views anew."""
    present: dict[str, set[str]] = {}
    for table_name, column_name in connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = current_database() AND schema_name = ?", [SCHEMA]
    ).fetchall():
        present.setdefault(table_name, set()).add(column_name)
    for table in STORED:
        columns = stored_columns(table)
        if table.name not in present:
            declared = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
            connection.execute(f"CREATE TABLE {SCHEMA}.{quoted(table.name)} ({declared})")
            continue
        for name, kind in columns.items():
            if name not in present[table.name]:
                connection.execute(f"ALTER TABLE {SCHEMA}.{quoted(table.name)} ADD COLUMN {quoted(name)} {kind}")
    for name, query in VIEWS.items():
        connection.execute(f"CREATE OR REPLACE VIEW {SCHEMA}.{quoted(name)} AS {query}")
