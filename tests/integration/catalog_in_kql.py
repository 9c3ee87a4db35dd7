"""A catalog that flows into the tables, and queries over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forebay.app import schemas
from forebay.database import Database, open_database
from forebay.effects import SystemClock
from forebay.telemetry.drainer import Drainer, DrainLimits
from forebay.telemetry.query.engine import QueryEngine
from forebay.telemetry.store.catalog_feed import CatalogFeed
from forebay.telemetry.store.store import TelemetryStore

DEFAULT_PROJECT = "the default one"


@dataclass(frozen=True)
class World:
    database: Database
    feed: CatalogFeed
    store: TelemetryStore
    queries: QueryEngine

    async def ask(self, text: str, project: str = "p") -> list[tuple[Any, ...]]:
        result = await self.queries.query(text, project=project)
        assert result.lag_seconds == 0.0
        return result.rows


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    clock = SystemClock()
    database = await open_database(folder / "catalog.db", schemas(), clock=clock)
    feed = CatalogFeed(folder / "catalog.db", database.readers, clock, default_project=DEFAULT_PROJECT)
    store = TelemetryStore(folder / "t.duckdb", clock=clock)
    drainer = Drainer(store, [feed], clock=clock, limits=DrainLimits(linger_seconds=0.01))
    queries = QueryEngine(store, drainer, clock=clock)
    task = asyncio.create_task(drainer.run())
    try:
        yield World(database, feed, store, queries)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await queries.close()
        await store.close()
        await feed.close()
        await database.close()
