"""The catalog's events as a feed of the drainer: what the history of documents says, in KQL."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from forebay.database.readers import Readers, open_reader
from forebay.effects import Clock
from forebay.telemetry.log.port import Entry, Positions, StoredEntry
from forebay.telemetry.tables import DOCUMENT_EVENTS, PLATFORM_SOURCE
from forebay.values.arrival import instance_id
from forebay.values.times import from_microseconds

PARTITION = "catalog.events"
TOPIC = "documents"
POLL_SECONDS = 0.1
EVENTS_AT_ONCE = 2000

_SELECT = """
SELECT e.sequence, e.document_id, e.project, e.type, e.at, e.actor, e.correlation_id, e.arrival_sequence, e.data, d.name, d.source
FROM events e LEFT JOIN documents d ON d.id = e.document_id WHERE e.sequence > ? ORDER BY e.sequence LIMIT ?"""


@dataclass(slots=True)
class _Run:
    """Successive events of one project: what one entry holds."""

    project: str
    rows: list[dict[str, Any]]
    newest_at: int = 0


class CatalogFeed:
    """Reads the catalog as a log of one partition, whose offsets are the sequences of events. The catalog keeps them all."""

    def __init__(self, path: Path, readers: Readers, clock: Clock) -> None:
        """`path` is the catalog's file, which exists."""
        self._path = path
        self._readers = readers
        self._clock = clock
        self._connection: sqlite3.Connection | None = None

    async def read(self, after: Positions, *, limit_bytes: int) -> list[StoredEntry]:
        """Events after the position, each project's together as far as their order allows."""
        position = after.get(PARTITION, 0)
        found = await self._readers.run(lambda connection: connection.execute(_SELECT, (position, EVENTS_AT_ONCE)).fetchall())
        return _entries(found, limit_bytes)

    async def wait(self, after: Positions) -> None:
        """Return once there is an event after the position."""
        while self.ends().get(PARTITION, 0) <= after.get(PARTITION, 0):
            await self._clock.sleep(POLL_SECONDS)

    def ends(self) -> Positions:
        """The newest committed event."""
        if self._connection is None:
            self._connection = open_reader(self._path)
        # the newest entry of a B-tree in memory: 10 microseconds, so it is not worth a thread
        (newest,) = self._connection.execute("SELECT max(sequence) FROM events").fetchone()
        return {PARTITION: int(newest or 0)}

    async def release(self, up_to: Positions) -> None:
        """Nothing: the history is kept."""

    async def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _entries(events: list[tuple[Any, ...]], limit_bytes: int) -> list[StoredEntry]:
    entries: list[StoredEntry] = []
    run: _Run | None = None
    total = 0
    for sequence, document_id, project, kind, at, actor, correlation_id, arrival, data, name, source in events:
        if run is None or run.project != project:
            if run is not None:
                entries.append(_entry(run))
            run = _Run(project, [])
        run.rows.append(
            {
                "timestamp": from_microseconds(at).replace(tzinfo=None).isoformat(timespec="microseconds"),
                "sequence": sequence,
                "document_id": document_id,
                "name": name,
                "document_source": source,
                "type": kind,
                "actor": actor,
                "operation_Id": correlation_id,
                "arrival": arrival,
                "instance_id": instance_id(document_id, arrival),
                "data": msgspec.Raw(data.encode()),
            }
        )
        run.newest_at = at
        total += len(data) + 400
        if total >= limit_bytes:
            break
    return [*entries, _entry(run)] if run is not None else entries


def _entry(run: _Run) -> StoredEntry:
    entry = Entry(
        topic=TOPIC,
        payload=msgspec.json.encode({DOCUMENT_EVENTS.name: run.rows}),
        record_count=len(run.rows),
        headers={"project": run.project, "source": PLATFORM_SOURCE, "received": str(run.newest_at)},
    )
    return StoredEntry(partition=PARTITION, offset=run.rows[-1]["sequence"], entry=entry)
