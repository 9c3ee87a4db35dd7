"""The catalog as a feed of the drainer: the history of documents and what happened to orchestrations, in KQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from forebay.database.readers import Readers, open_reader
from forebay.effects import Clock
from forebay.telemetry.log.port import Positions, StoredEntry
from forebay.telemetry.store.document_stream import DOCUMENT_STREAM
from forebay.telemetry.store.instance_stream import instance_stream
from forebay.telemetry.store.streams import entries

POLL_SECONDS = 0.1
ROWS_AT_ONCE = 2000  # of each stream


class CatalogFeed:
    """Reads streams of the catalog as partitions of one log. Nothing is removed from the catalog by it."""

    def __init__(self, path: Path, readers: Readers, clock: Clock, *, default_project: str) -> None:
        """`path` is the catalog's file, which exists; `default_project`: of orchestrations that belong to none."""
        self._path = path
        self._readers = readers
        self._clock = clock
        self._streams = (DOCUMENT_STREAM, instance_stream(default_project))
        self._newest = "SELECT " + ", ".join(f"(SELECT max(sequence) FROM {stream.table})" for stream in self._streams)
        self._connection: sqlite3.Connection | None = None

    async def read(self, after: Positions, *, limit_bytes: int) -> list[StoredEntry]:
        """Rows after the positions, of each stream in its order, with about `limit_bytes` of each."""

        def read(connection: sqlite3.Connection) -> list[StoredEntry]:
            read: list[StoredEntry] = []
            for stream in self._streams:
                found = connection.execute(stream.query, (after.get(stream.partition, 0), ROWS_AT_ONCE))
                read += entries(stream, found, limit_bytes)
            return read

        return await self._readers.run(read)

    async def wait(self, after: Positions) -> None:
        """Return once there is a row after the positions."""
        while all(end <= after.get(partition, 0) for partition, end in self.ends().items()):
            await self._clock.sleep(POLL_SECONDS)

    def ends(self) -> Positions:
        """The newest committed row of each stream."""
        if self._connection is None:
            self._connection = open_reader(self._path)
        # the newest entries of B-trees in memory: 10 microseconds, so it is not worth a thread
        newest = self._connection.execute(self._newest).fetchone()
        return {stream.partition: int(end or 0) for stream, end in zip(self._streams, newest, strict=True)}

    async def release(self, up_to: Positions) -> None:
        """Nothing: who deletes from the catalog looks at the positions of the store."""

    async def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
