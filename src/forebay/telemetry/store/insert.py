"""Puts entries of the log into the tables: one transaction for rows, positions and keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from forebay.effects import Clock
from forebay.telemetry.log.port import StoredEntry
from forebay.telemetry.store.schema import SCHEMA
from forebay.telemetry.store.shapes import SHAPES
from forebay.values.times import from_microseconds

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEY_LIFETIME = timedelta(hours=24)  # how long an entry with the same key is taken for the same entry

_PAYLOAD = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(slots=True, kw_only=True)
class Inserted:
    """What became of entries."""

    row_count: int = 0
    entry_count: int = 0
    duplicate_count: int = 0  # entries whose key, or place in the log, had been seen
    rejected_count: int = 0  # entries that went to `rejected_entries`

    def add(self, other: Inserted) -> None:
        """Count what became of other entries, too."""
        self.row_count += other.row_count
        self.entry_count += other.entry_count
        self.duplicate_count += other.duplicate_count
        self.rejected_count += other.rejected_count


class _Bad(Exception):
    """Why an entry cannot go into the tables."""


@dataclass(slots=True)
class _Rows:
    """What has one shape: arrays as the entries have them, with what the server knows of each."""

    arrays: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    received: list[datetime] = field(default_factory=list)
    agents: list[str | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Decoded:
    stored: StoredEntry
    arrays: dict[str, str]
    project: str
    source: str
    received: datetime
    key: str | None
    agent: str | None


_INSERT = {name: shape.insert_statement() for name, shape in SHAPES.items()}


class Inserter:
    """Inserts on one connection, from one thread."""

    def __init__(self, connection: DuckDBPyConnection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self.positions: dict[str, int] = dict(
            connection.execute(f'SELECT "partition", "offset" FROM {SCHEMA}.positions').fetchall()
        )  # committed

    def insert(self, entries: Sequence[StoredEntry]) -> Inserted:
        """Insert entries, each partition in order.

        An entry that the tables refuse is found by halving, and put aside with the reason. Raises DuckDB's errors when the file cannot
        be written; then some leading entries may have been inserted, and `positions` says which.
        """
        import duckdb

        fresh = [stored for stored in entries if stored.offset > self.positions.get(stored.partition, 0)]
        done = Inserted(duplicate_count=len(entries) - len(fresh))
        pending = [fresh] if fresh else []
        while pending:
            batch = pending.pop()
            try:
                done.add(self._insert_batch(batch))
            except (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError, duckdb.OutOfMemoryException) as error:
                if len(batch) > 1:
                    middle = len(batch) // 2
                    pending += [batch[middle:], batch[:middle]]
                elif isinstance(error, duckdb.OutOfMemoryException):
                    raise
                else:
                    done.add(self._insert_batch(batch, refused=str(error).split("\n", 1)[0]))
        return done

    def _insert_batch(self, batch: Sequence[StoredEntry], *, refused: str | None = None) -> Inserted:
        decoded: list[_Decoded] = []
        rejected: list[tuple[StoredEntry, str]] = []
        for stored in batch:
            try:
                if refused is not None:
                    raise _Bad(refused)
                decoded.append(_decode(stored))
            except _Bad as bad:
                rejected.append((stored, str(bad)))
        execute = self._connection.execute
        execute("BEGIN")
        try:
            kept = self._without_known_keys(decoded)
            row_count = sum(self._insert_rows(name, rows) for name, rows in _by_shape(kept).items())
            self._put_aside(rejected)
            positions = {stored.partition: stored.offset for stored in batch}
            for partition, offset in positions.items():
                execute(f"INSERT OR REPLACE INTO {SCHEMA}.positions VALUES (?, ?)", [partition, offset])
            execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self.positions |= positions
        return Inserted(
            row_count=row_count,
            entry_count=len(kept),
            duplicate_count=len(decoded) - len(kept),
            rejected_count=len(rejected),
        )

    def _insert_rows(self, shape: str, rows: _Rows) -> int:
        values = [rows.arrays, rows.sources, rows.projects, rows.received, rows.agents]
        found = self._connection.execute(_INSERT[shape], values).fetchone()
        return int(found[0]) if found else 0

    def _without_known_keys(self, decoded: list[_Decoded]) -> list[_Decoded]:
        keyed = [each for each in decoded if each.key is not None]
        if not keyed:
            return decoded
        found = self._connection.execute(
            f"SELECT key, max(received) FROM {SCHEMA}.keys_seen WHERE key IN (SELECT unnest(?::VARCHAR[])) GROUP BY key",
            [[each.key for each in keyed]],
        ).fetchall()
        seen: dict[str | None, datetime] = dict(found)
        kept: list[_Decoded] = []
        new: list[_Decoded] = []
        for each in decoded:
            if each.key is not None:
                if each.key in seen and each.received - seen[each.key] < KEY_LIFETIME:
                    continue
                seen[each.key] = each.received
                new.append(each)
            kept.append(each)
        if new:
            self._connection.execute(
                f"INSERT INTO {SCHEMA}.keys_seen SELECT unnest(?::VARCHAR[]), unnest(?::TIMESTAMP[])",
                [[each.key for each in new], [each.received for each in new]],
            )
        return kept

    def _put_aside(self, rejected: Sequence[tuple[StoredEntry, str]]) -> None:
        now = self._clock.now().astimezone(UTC).replace(tzinfo=None)
        for stored, reason in rejected:
            entry = stored.entry
            self._connection.execute(
                f"INSERT INTO {SCHEMA}.rejected_entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    stored.partition,
                    stored.offset,
                    entry.topic,
                    entry.record_count,
                    json.dumps(dict(entry.headers)),
                    entry.payload,
                    reason[:2000],
                    now,
                ],
            )

    def _roll_back(self) -> None:
        import duckdb

        try:
            self._connection.execute("ROLLBACK")
        except duckdb.Error:  # it was rolled back already, or the file is gone: the first error tells more
            return


def _decode(stored: StoredEntry) -> _Decoded:
    entry = stored.entry
    try:
        project, source = entry.headers["project"], entry.headers["source"]
        received = from_microseconds(int(entry.headers["received"])).replace(tzinfo=None)
    except (KeyError, ValueError, OverflowError) as error:
        raise _Bad(f"expected the headers project, source and received, got {dict(entry.headers)!r}") from error
    try:
        arrays = {name: str(raw, "utf-8") for name, raw in _PAYLOAD.decode(entry.payload).items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Bad(f"expected a JSON object of arrays, got something else: {error}") from error
    for name, array in arrays.items():
        if name not in SHAPES:
            raise _Bad(f"expected the name of a table, got {name[:100]!r}")
        if not array.startswith("["):
            raise _Bad(f"expected an array of rows for {name}, got {array[:40]!r}")
    return _Decoded(stored, arrays, project, source, received, entry.headers.get("key"), entry.headers.get("agent"))


def _by_shape(decoded: Sequence[_Decoded]) -> dict[str, _Rows]:
    shapes: dict[str, _Rows] = {}
    for each in decoded:
        for name, array in each.arrays.items():
            rows = shapes.setdefault(name, _Rows())
            rows.arrays.append(array)
            rows.sources.append(each.source)
            rows.projects.append(each.project)
            rows.received.append(each.received)
            rows.agents.append(each.agent)
    return shapes
