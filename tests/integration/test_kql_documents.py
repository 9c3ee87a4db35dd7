"""The history of documents in KQL: the catalog's events through the feed and the drainer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from forebay.app import schemas
from forebay.catalog import documents
from forebay.catalog.arrivals import record_arrival
from forebay.database import Database, open_database
from forebay.database.transaction import Transaction
from forebay.effects import SystemClock
from forebay.telemetry.drainer import Drainer, DrainLimits
from forebay.telemetry.kql.engine import QueryEngine
from forebay.telemetry.store.catalog_feed import PARTITION, CatalogFeed
from forebay.telemetry.store.store import TelemetryStore
from forebay.values.arrival import Location, NewArrival


def new(name: str, *, project: str = "p", etag: str = "1", kind: Any = "created") -> NewArrival:
    return NewArrival(
        kind=kind,
        project=project,
        source="upload",
        name=name,
        location=Location(container="incoming", name=name, etag=etag),
        actor="me",
        correlation_id=f"c-{name}",
        event_id=f"{project} {name} {etag} {kind}",
        size_bytes=5,
    )


@dataclass(frozen=True)
class World:
    database: Database
    feed: CatalogFeed
    drainer: Drainer
    engine: QueryEngine

    async def arrive(self, *arrivals: NewArrival) -> None:
        def record(tx: Transaction) -> None:
            for each in arrivals:
                arrival = record_arrival(tx, each)
                assert arrival is not None
                documents.start_processing(tx, arrival)
                documents.fail(tx, arrival, "corrupt", "broken")

        await self.database.writer.submit(record)

    async def ask(self, text: str, project: str = "p") -> list[tuple[Any, ...]]:
        result = await self.engine.query(text, project=project)
        assert result.lag_seconds == 0.0
        return result.rows


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    clock = SystemClock()
    database = await open_database(folder / "catalog.db", schemas(), clock=clock)
    feed = CatalogFeed(folder / "catalog.db", database.readers, clock)
    store = TelemetryStore(folder / "t.duckdb", clock=clock)
    drainer = Drainer(store, [feed], clock=clock, limits=DrainLimits(linger_seconds=0.01))
    engine = QueryEngine(store, drainer, clock=clock)
    task = asyncio.create_task(drainer.run())
    try:
        yield World(database, feed, drainer, engine)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await engine.close()
        await store.close()
        await feed.close()
        await database.close()


async def test_what_the_catalog_has_committed_is_what_the_next_query_sees(tmp_path: Path):
    async with world(tmp_path) as here:
        for number in range(5):
            await here.arrive(new(f"{number}.txt"))
            assert await here.ask("documentEvents | summarize dcount(document_id), count()") == [(number + 1, 3 * (number + 1))]


async def test_documents_and_arrivals_tell_what_the_catalog_tells(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.arrive(new("a.txt"), new("a.txt", etag="2"), new("b.txt"))
        await here.arrive(new("b.txt", kind="deleted", etag=""))
        rows = await here.ask(
            "documents | order by name asc | project id, name, source, status, reason, message, instance_id, operation_Id"
        )
        stored = await here.database.readers.run(
            lambda connection: connection.execute(
                "SELECT id, name, source, status, reason, 'broken', instance_id, correlation_id FROM documents ORDER BY name"
            ).fetchall()
        )
        assert rows == stored
        arrivals = await here.ask("arrivals | order by sequence asc | project sequence, document_id, outcome, reason, latency >= 0.0")
        told = await here.database.readers.run(
            lambda connection: connection.execute(
                "SELECT sequence, document_id, outcome, reason, 1 FROM arrivals ORDER BY sequence"
            ).fetchall()
        )
        assert [tuple(row) for row in arrivals] == told


async def test_each_project_sees_its_own_documents(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.arrive(*(new(f"{number}.txt", project="pq"[number % 2]) for number in range(7)))
        assert await here.ask("documents | count") == [(4,)]
        assert await here.ask("documents | count", project="q") == [(3,)]


async def test_a_store_that_is_lost_is_filled_from_the_catalog_again(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.arrive(*(new(f"{number}.txt") for number in range(20)))
        before = await here.ask("documents | order by id asc")
    for path in tmp_path.glob("t.duckdb*"):
        path.unlink()
    async with world(tmp_path) as here:
        assert await here.ask("documents | order by id asc") == before


async def test_entries_hold_runs_of_one_project_in_the_order_of_events(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.arrive(new("a"), new("b"), new("c", project="q"), new("d"))
        entries = await here.feed.read({}, limit_bytes=1 << 20)
        assert [(each.entry.headers["project"], each.entry.record_count, each.offset) for each in entries] == [
            ("p", 6, 6),
            ("q", 3, 9),
            ("p", 3, 12),
        ]
        assert here.feed.ends() == {PARTITION: 12}
        rest = await here.feed.read({PARTITION: 7}, limit_bytes=1)
        assert [each.offset for each in rest] == [8]  # a small limit still gives one
        row = msgspec.json.decode(rest[0].entry.payload)["documentEvents"][0]
        assert (row["type"], row["document_source"], row["operation_Id"]) == ("ProcessingStarted", "upload", "c-c")
        await here.feed.release({PARTITION: 12})
        assert len(await here.feed.read({}, limit_bytes=1 << 20)) == 3
