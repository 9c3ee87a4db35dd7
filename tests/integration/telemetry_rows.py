"""What the tests of the telemetry store put into it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from forebay.effects import Clock, SystemClock
from forebay.telemetry.drainer import Drainer, DrainLimits
from forebay.telemetry.log.port import Entry, Positions, StoredEntry
from forebay.telemetry.query.engine import QueryEngine, QueryLimits
from forebay.telemetry.store.connection import StoreLimits
from forebay.telemetry.store.store import TelemetryStore
from forebay.values.times import to_microseconds

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
PARTITION = "local"


class FixedClock(SystemClock):
    """The wall time stands still, the rest is real."""

    def now(self) -> datetime:
        return NOW

    def now_us(self) -> int:
        return to_microseconds(NOW)


def iso(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def ago(**parts: float) -> str:
    return iso(NOW - timedelta(**parts))


def entry(
    tables: dict[str, list[dict[str, Any]]] | bytes,
    *,
    project: str = "p",
    received: datetime = NOW,
    key: str | None = None,
    source: str = "k",
) -> Entry:
    payload = tables if isinstance(tables, bytes) else json.dumps(tables).encode()
    count = 1 if isinstance(tables, bytes) else sum(map(len, tables.values()))
    headers = {"project": project, "source": source, "received": str(to_microseconds(received))} | ({"key": key} if key else {})
    return Entry(topic="logs.raw", payload=payload, record_count=count, headers=headers)


def stored(first_offset: int, *entries: Entry, partition: str = PARTITION) -> list[StoredEntry]:
    return [StoredEntry(partition=partition, offset=first_offset + index, entry=each) for index, each in enumerate(entries)]


class ListFeed:
    """A log in memory that tells what was released."""

    def __init__(self, partition: str = PARTITION) -> None:
        self.partition = partition
        self.entries: list[StoredEntry] = []
        self.released = 0
        self.read_count = 0
        self._news = asyncio.Event()

    def append(self, *entries: Entry) -> int:
        self.entries += stored(len(self.entries) + 1, *entries, partition=self.partition)
        self._news.set()
        return len(self.entries)

    async def read(self, after: Positions, *, limit_bytes: int) -> list[StoredEntry]:
        self.read_count += 1
        found: list[StoredEntry] = []
        size = 0
        for each in self.entries[after.get(self.partition, 0) :]:
            found.append(each)
            size += len(each.entry.payload)
            if size >= limit_bytes:
                break
        return found

    async def wait(self, after: Positions) -> None:
        while len(self.entries) <= after.get(self.partition, 0):
            self._news.clear()
            await self._news.wait()

    def ends(self) -> Positions:
        return {self.partition: len(self.entries)}

    async def release(self, up_to: Positions) -> None:
        self.released = up_to.get(self.partition, 0)


@asynccontextmanager
async def open_store(path: Path, *, clock: Clock | None = None, limits: StoreLimits | None = None) -> AsyncIterator[TelemetryStore]:
    store = TelemetryStore(path, clock=clock or FixedClock(), limits=limits)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_engine(
    path: Path, *entries: Entry, limits: QueryLimits | None = None, store_limits: StoreLimits | None = None
) -> AsyncIterator[QueryEngine]:
    """A query engine over a store that holds `entries`."""
    async with open_store(path, limits=store_limits) as store:
        await store.insert(stored(1, *entries))
        engine = QueryEngine(store, Drainer(store, [], clock=FixedClock(), limits=DrainLimits()), clock=FixedClock(), limits=limits)
        try:
            yield engine
        finally:
            await engine.close()


async def select(store: TelemetryStore, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return await store.write(lambda connection: connection.execute(query, list(values)).fetchall())
