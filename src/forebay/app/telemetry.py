"""The telemetry path, wired together: the log, the tables that it is drained into, and the queries over them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from forebay.app.adapters import Adapters
from forebay.app.running import keep_running
from forebay.errors import ForebayError
from forebay.settings import Settings
from forebay.telemetry.drainer import Drainer
from forebay.telemetry.ingest import TelemetryIngest
from forebay.telemetry.log.segment_log import SegmentLimits, SegmentLog
from forebay.telemetry.query.engine import QueryEngine
from forebay.telemetry.store.catalog_feed import CatalogFeed
from forebay.telemetry.store.instance_stream import INSTANCE_PARTITION
from forebay.telemetry.store.retention import Pruner, Retention
from forebay.telemetry.store.store import TelemetryStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """What is open while the program runs."""

    log: SegmentLog
    store: TelemetryStore
    drainer: Drainer
    ingest: TelemetryIngest
    queries: QueryEngine

    @property
    def drained_instance_event(self) -> int:
        """Up to which sequence the journal's `instance_events` are in the tables; 0 while that is unknown. Later ones are still needed."""
        return self.store.positions.get(INSTANCE_PARTITION, 0)


@asynccontextmanager
async def open_telemetry(settings: Settings, adapters: Adapters) -> AsyncIterator[Telemetry]:
    """Open the log and the tables, and keep the one flowing into the other until the block ends.

    Tables that cannot be opened do not keep the program from starting. Raises `ForebayError`: `telemetry_log_damaged`, `schema_too_new`.
    """
    data_dir, effects, limits = settings.data_dir.absolute(), adapters.effects, settings.telemetry
    clock = effects.clock
    async with AsyncExitStack() as stack:
        store = TelemetryStore(data_dir / "telemetry.duckdb", clock=clock)
        stack.push_async_callback(store.close)
        try:
            await store.open()
        except ForebayError as error:
            if error.code == "schema_too_new":
                raise
            # files are taken in and searched without it, telemetry waits in the log, and the drainer tries again
            log.error("telemetry cannot be stored or asked: %s %s", error, error.hint)
        segments = SegmentLog(
            data_dir / "telemetry-log", effects.blocking, limits=SegmentLimits(log_bytes=limits.log_bytes), random=effects.random
        )
        await segments.open(after=store.positions)
        stack.push_async_callback(segments.close)
        feed = CatalogFeed(data_dir / "catalog.db", adapters.database.readers, clock, default_project=settings.default_project)
        stack.push_async_callback(feed.close)
        drainer = Drainer(store, [segments, feed], clock=clock)
        queries = QueryEngine(store, drainer, clock=clock)
        stack.push_async_callback(queries.close)
        retention = Retention(age=timedelta(days=limits.telemetry_retention_days), total_bytes=limits.telemetry_max_bytes)
        pruner = Pruner(store, data_dir / "telemetry.duckdb", clock, retention)
        background = [
            asyncio.create_task(keep_running("drainer", drainer.run, clock)),
            asyncio.create_task(keep_running("pruner", pruner.run, clock)),
        ]
        ingest = TelemetryIngest(segments, clock, hasten=drainer.hasten)
        try:
            yield Telemetry(log=segments, store=store, drainer=drainer, ingest=ingest, queries=queries)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
