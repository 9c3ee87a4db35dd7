"""The telemetry store: who writes to the DuckDB file, and where queries get their connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.telemetry.log.port import Positions, StoredEntry
from forebay.telemetry.store.connection import StoreLimits, connect, protect, store_error
from forebay.telemetry.store.insert import Inserted, Inserter
from forebay.telemetry.store.schema import SCHEMA, quoted
from forebay.telemetry.tables import STORED

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatistics:
    """What the store holds."""

    row_counts: dict[str, int]  # by table
    rejected_entry_count: int
    used_bytes: int  # of the file and its write-ahead log, without free blocks
    positions: Positions


class TelemetryStore:
    """The tables of the telemetry. One thread writes; queries have connections of their own, and neither waits for the other.

    Guarantees: an entry of a feed is in the tables exactly once, in one transaction with its position, however often it is inserted.
    """

    def __init__(self, path: Path, *, clock: Clock, limits: StoreLimits | None = None) -> None:
        self._path = path
        self._clock = clock
        self._limits = limits or StoreLimits()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="forebay-telemetry-store")
        self._connection: DuckDBPyConnection | None = None
        self._inserter: Inserter | None = None
        self._template: DuckDBPyConnection | None = None  # runs nothing itself, so that copies of it never wait
        self._is_closed = False

    async def open(self) -> None:
        """Open the file now rather than at the first use. Raises `ForebayError` as `connection.connect` does."""
        await self.write(lambda _: None)

    async def insert(self, entries: Sequence[StoredEntry]) -> Inserted:
        """Put entries into the tables, each exactly once; see `Inserter.insert`.

        Raises `ForebayError`: `telemetry_store_unavailable` and `telemetry_store_locked`, retryable; `telemetry_store_damaged`.
        """
        return await self.write(lambda _: self._insert(entries))

    @property
    def positions(self) -> Positions:
        """Up to where each partition is in the tables; empty before the store is open."""
        return dict(self._inserter.positions) if self._inserter is not None else {}

    async def statistics(self) -> StoreStatistics:
        """Count everything. Raises `ForebayError` as `open` does."""
        return await self.write(self._count)

    async def cursor(self) -> DuckDBPyConnection:
        """A connection of its own, for a query; the caller closes it. Raises `ForebayError` as `open` does."""
        if self._template is None:
            await self.open()
        assert self._template is not None, "it is open"
        return self._template.cursor()

    async def write(self, function: Callable[[DuckDBPyConnection], Result]) -> Result:
        """Call `function` with the writer's connection, in its thread. Raises `ForebayError` as `insert` does."""
        if self._is_closed:
            raise ForebayError("telemetry_store_unavailable", "expected an open telemetry store, it is closed", retryable=True, status=503)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, function)

    async def close(self) -> None:
        """Finish what is being written, and close the file. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._disconnect)
        await loop.run_in_executor(None, self._thread.shutdown)

    def _run(self, function: Callable[[DuckDBPyConnection], Result]) -> Result:
        import duckdb

        try:
            if self._connection is None:
                self._connection = connect(self._path, self._limits)
                self._inserter = Inserter(self._connection, self._clock)
                self._template = self._connection.cursor()
            return function(self._connection)
        except (duckdb.FatalException, duckdb.InternalException) as error:
            self._disconnect()  # DuckDB refuses everything from here on: the next use opens the file anew
            raise store_error(error, self._path) from error
        except duckdb.Error as error:
            raise store_error(error, self._path) from error

    def _insert(self, entries: Sequence[StoredEntry]) -> Inserted:
        assert self._inserter is not None, "opened with the connection"
        try:
            return self._inserter.insert(entries)
        finally:
            protect(self._path)

    def _disconnect(self) -> None:
        import duckdb

        for connection in (self._template, self._connection):
            if connection is not None:
                with contextlib.suppress(duckdb.Error):
                    connection.close()
        protect(self._path)
        self._connection = self._inserter = self._template = None

    def _count(self, connection: DuckDBPyConnection) -> StoreStatistics:
        counts = {table.name: _number(connection, f"SELECT count(*) FROM {SCHEMA}.{quoted(table.name)}") for table in STORED}
        return StoreStatistics(
            row_counts=counts,
            rejected_entry_count=_number(connection, f"SELECT count(*) FROM {SCHEMA}.rejected_entries"),
            used_bytes=used_bytes(connection, self._path),
            positions=self.positions,
        )


def used_bytes(connection: DuckDBPyConnection, path: Path) -> int:
    """What the file holds without its free blocks, and its write-ahead log."""
    in_file = _number(connection, "SELECT used_blocks * block_size FROM pragma_database_size()")
    wal = path.with_name(path.name + ".wal")
    return in_file + (wal.stat().st_size if wal.exists() else 0)


def _number(connection: DuckDBPyConnection, query: str) -> int:
    found = connection.execute(query).fetchone()
    return int(found[0]) if found else 0
