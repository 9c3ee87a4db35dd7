"""The database file, opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forebay.database.group import database_unavailable
from forebay.database.migrations import Migration, migrate
from forebay.database.readers import Readers, ThreadReaders
from forebay.database.writer import ThreadWriter, Writer
from forebay.effects import Clock
from forebay.errors import ForebayError

Synchronous = Literal["FULL", "OFF"]


@dataclass(frozen=True, slots=True)
class Database:
    """One SQLite file: all writes through `writer`, all reads through `readers`."""

    writer: Writer
    readers: Readers

    async def close(self) -> None:
        """Commit what is queued and close every connection."""
        await self.readers.close()
        await self.writer.close()


async def open_database(
    path: Path,
    schemas: Mapping[str, Sequence[Migration]],
    *,
    clock: Clock,
    queue_limit: int = 1024,
    reader_count: int = 3,
    synchronous: Synchronous = "FULL",
) -> Database:
    """Open or create the file and migrate each component of `schemas` (component name -> migrations).

    Raises `ForebayError`: `database_damaged` when the file is not a database, `schema_too_new`, and
    `database_unavailable` when another program has locked it, the disk is full or the directory cannot be written.
    """
    connection = open_writer_connection(path, schemas, synchronous=synchronous)
    return Database(ThreadWriter(connection, clock, queue_limit=queue_limit), ThreadReaders(path, count=reader_count))


def open_writer_connection(path: Path, schemas: Mapping[str, Sequence[Migration]], *, synchronous: Synchronous) -> sqlite3.Connection:
    """The connection of the writer, migrated."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    except sqlite3.OperationalError as error:
        raise database_unavailable(error) from error
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA cache_size=-65536")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute("PRAGMA journal_size_limit=67108864")
        for component, migrations in schemas.items():
            migrate(connection, component, migrations)
    except sqlite3.OperationalError as error:
        connection.close()
        raise database_unavailable(error) from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ForebayError(
            "database_damaged",
            f"{path} could not be opened as a database: {error}",
            hint="restore it from a backup, or start with an empty data directory",
            status=503,
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection
