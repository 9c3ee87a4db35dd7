"""Schema versions: each component of the file has its own, and moves forward only."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence

from forebay.errors import ForebayError

Migration = str | Callable[[sqlite3.Connection], None]


def migrate(connection: sqlite3.Connection, component: str, migrations: Sequence[Migration]) -> int:
    """Bring `component` to version `len(migrations)`, each step in a transaction of its own; return that version.

    Raises `ForebayError` (`schema_too_new`) when a newer program has written the file.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID")
    found = connection.execute("SELECT version FROM schema_versions WHERE component = ?", (component,)).fetchone()
    version = int(found[0]) if found else 0
    if version > len(migrations):
        raise ForebayError(
            "schema_too_new",
            f"the data directory has version {version} of its {component} tables; this program knows versions up to {len(migrations)}",
            hint="start the newer version of Forebay that wrote it",
            status=503,
        )
    for step, migration in enumerate(migrations[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if isinstance(migration, str):
                for statement in _statements(migration):
                    connection.execute(statement)
            else:
                migration(connection)
            connection.execute("INSERT OR REPLACE INTO schema_versions VALUES (?, ?)", (component, step))
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    return len(migrations)


def _statements(script: str) -> list[str]:
    """The statements of a script (`executescript` would commit the transaction that is open)."""
    found: list[str] = []
    pending = ""
    for part in re.split("(?<=;)", script):  # a semicolon in a string, comment or trigger does not complete a statement
        pending += part
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    if pending.strip():
        found.append(pending)
    return found
