"""The history of documents in KQL: the catalog's events through the feed and the drainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from tests.integration.catalog_in_kql import World, world

from forebay.catalog import documents
from forebay.catalog.arrivals import record_arrival
from forebay.database.transaction import Transaction
from forebay.telemetry.store.document_stream import DOCUMENT_STREAM
from forebay.telemetry.store.instance_stream import INSTANCE_PARTITION
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


async def arrive(here: World, *arrivals: NewArrival) -> None:
    def record(tx: Transaction) -> None:
        for each in arrivals:
            arrival = record_arrival(tx, each)
            assert arrival is not None
            documents.start_processing(tx, arrival)
            documents.fail(tx, arrival, "corrupt", "broken")

    await here.database.writer.submit(record)


async def test_what_the_catalog_has_committed_is_what_the_next_query_sees(tmp_path: Path):
    async with world(tmp_path) as here:
        for number in range(5):
            await arrive(here, new(f"{number}.txt"))
            assert await here.ask("documentEvents | summarize dcount(document_id), count()") == [(number + 1, 3 * (number + 1))]


async def test_documents_and_arrivals_tell_what_the_catalog_tells(tmp_path: Path):
    async with world(tmp_path) as here:
        await arrive(here, new("a.txt"), new("a.txt", etag="2"), new("b.txt"))
        await arrive(here, new("b.txt", kind="deleted", etag=""))
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
        await arrive(here, *(new(f"{number}.txt", project="pq"[number % 2]) for number in range(7)))
        assert await here.ask("documents | count") == [(4,)]
        assert await here.ask("documents | count", project="q") == [(3,)]


async def test_a_store_that_is_lost_is_filled_from_the_catalog_again(tmp_path: Path):
    async with world(tmp_path) as here:
        await arrive(here, *(new(f"{number}.txt") for number in range(20)))
        before = await here.ask("documents | order by id asc")
    for path in tmp_path.glob("t.duckdb*"):
        path.unlink()
    async with world(tmp_path) as here:
        assert await here.ask("documents | order by id asc") == before


async def test_entries_hold_runs_of_one_project_in_the_order_of_events(tmp_path: Path):
    async with world(tmp_path) as here:
        await arrive(here, new("a"), new("b"), new("c", project="q"), new("d"))
        entries = await here.feed.read({}, limit_bytes=1 << 20)
        assert [(each.entry.headers["project"], each.entry.record_count, each.offset) for each in entries] == [
            ("p", 6, 6),
            ("q", 3, 9),
            ("p", 3, 12),
        ]
        assert here.feed.ends() == {DOCUMENT_STREAM.partition: 12, INSTANCE_PARTITION: 0}
        rest = await here.feed.read({DOCUMENT_STREAM.partition: 7}, limit_bytes=1)
        assert [each.offset for each in rest] == [8]  # a small limit still gives one
        row = msgspec.json.decode(rest[0].entry.payload)["documentEvents"][0]
        assert (row["type"], row["document_source"], row["operation_Id"]) == ("ProcessingStarted", "upload", "c-c")
        await here.feed.release({DOCUMENT_STREAM.partition: 12})
        assert len(await here.feed.read({}, limit_bytes=1 << 20)) == 3
