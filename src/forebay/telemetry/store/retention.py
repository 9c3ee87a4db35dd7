"""Keeps the tables within their age and size: the oldest rows go first, in slices between which inserts go on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.telemetry.store.insert import KEY_LIFETIME
from forebay.telemetry.store.schema import SCHEMA, quoted
from forebay.telemetry.store.store import TelemetryStore, used_bytes
from forebay.telemetry.tables import DEAD_LETTER_EVENTS, DOCUMENT_EVENTS, STORED

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

SLICE_ROWS = 200_000  # deleted in one transaction: about 50 ms
SHRINK_RATIO = 0.95  # of the limit is left, so that not every batch deletes again
# the history of documents is kept, and so is that of dead letters: an open one is an open one however old it is
PRUNABLE = tuple(table.name for table in STORED if table not in (DOCUMENT_EVENTS, DEAD_LETTER_EVENTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long rows stay."""

    age: timedelta = timedelta(days=30)  # since they were received
    total_bytes: int = 4 << 30
    interval_seconds: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was deleted."""

    by_age_count: int
    by_size_count: int


class Pruner:
    """Deletes what is too old or too much."""

    def __init__(self, store: TelemetryStore, path: Path, clock: Clock, retention: Retention) -> None:
        self._store = store
        self._path = path
        self._clock = clock
        self._retention = retention

    async def run(self) -> None:
        """Prune every interval, until cancelled; what fails is tried again at the next."""
        while True:
            try:
                await self.prune()
            except ForebayError as error:
                log.warning("telemetry could not be pruned: %s", error)
            await self._clock.sleep(self._retention.interval_seconds)

    async def prune(self) -> Pruned:
        """Delete what is over the limits now. Raises `ForebayError` as `TelemetryStore.write` does."""
        now = self._clock.now().astimezone(UTC).replace(tzinfo=None)
        cutoff = now - self._retention.age
        by_age = 0
        for table in PRUNABLE:
            by_age += await self._delete_until(cutoff, (table,))
        await self._store.write(lambda connection: _forget(connection, keys_before=now - KEY_LIFETIME, rejected_before=cutoff))
        if by_age:
            await self._store.write(_checkpoint)
        return Pruned(by_age_count=by_age, by_size_count=await self._shrink())

    async def _delete_until(self, cutoff: datetime, tables: Sequence[str]) -> int:
        deleted = 0
        while count := await self._store.write(lambda connection: _delete_slice(connection, tables, SLICE_ROWS, cutoff)):
            deleted += count
        return deleted

    async def _shrink(self) -> int:
        deleted = 0
        before = await self._used_bytes()
        if before <= self._retention.total_bytes:
            return 0
        target = self._retention.total_bytes * SHRINK_RATIO
        while before > target:
            rows = await self._store.write(_count_rows)
            # at most a tenth at a time: rows differ in size, and only a checkpoint tells what they freed
            limit = int(rows * min(0.1, (before - target) / before)) + 1
            count = await self._store.write(lambda connection, limit=limit: _delete_slice(connection, PRUNABLE, limit, None))  # type: ignore[misc]
            deleted += count
            is_checkpointed = await self._store.write(_checkpoint)
            after = await self._used_bytes()
            if not count or not is_checkpointed or after >= before:
                break  # blocks that queries still read come free later
            before = after
        return deleted

    async def _used_bytes(self) -> int:
        return await self._store.write(lambda connection: used_bytes(connection, self._path))


def _delete_slice(connection: DuckDBPyConnection, tables: Sequence[str], limit: int, cutoff: datetime | None) -> int:
    """Delete about the `limit` oldest rows of these tables, those received before `cutoff` only."""
    # the filter in each branch is pushed into the scan, where the least and greatest values of row groups answer most of it
    before = "" if cutoff is None else " WHERE _received < $1"
    values = [] if cutoff is None else [cutoff]
    every = " UNION ALL ".join(f"SELECT _received FROM {SCHEMA}.{quoted(table)}{before}" for table in tables)
    found = connection.execute(f"SELECT max(_received) FROM (SELECT _received FROM ({every}) ORDER BY _received LIMIT {limit})", values)
    newest = found.fetchone()
    if newest is None or newest[0] is None:
        return 0
    deleted = 0
    connection.execute("BEGIN")
    try:
        for table in tables:
            done = connection.execute(f"DELETE FROM {SCHEMA}.{quoted(table)} WHERE _received <= ?", [newest[0]]).fetchone()
            deleted += int(done[0]) if done else 0
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return deleted


def _forget(connection: DuckDBPyConnection, *, keys_before: datetime, rejected_before: datetime) -> None:
    connection.execute(f"DELETE FROM {SCHEMA}.keys_seen WHERE received < ?", [keys_before])
    connection.execute(f"DELETE FROM {SCHEMA}.rejected_entries WHERE rejected < ?", [rejected_before])


def _count_rows(connection: DuckDBPyConnection) -> int:
    total = 0
    for table in PRUNABLE:
        found = connection.execute(f"SELECT count(*) FROM {SCHEMA}.{quoted(table)}").fetchone()
        total += int(found[0]) if found else 0
    return total


def _checkpoint(connection: DuckDBPyConnection) -> bool:
    """Give the blocks of deleted rows back; False when a query is in the way."""
    import duckdb

    try:
        connection.execute("CHECKPOINT")
    except duckdb.TransactionException:
        return False
    return True
