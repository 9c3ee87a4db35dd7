"""Tables that live as long as a page of the documentation is written."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from forebay.effects import SystemClock
from forebay.telemetry.drainer import Drainer
from forebay.telemetry.query.engine import QueryEngine
from forebay.telemetry.store.store import TelemetryStore
from forebay.values.times import to_microseconds

WRITTEN_AT = datetime(2026, 11, 22, 6, tzinfo=UTC)  # the time of every query, so that the same page is written again


class _StillClock(SystemClock):
    def now(self) -> datetime:
        return WRITTEN_AT

    def now_us(self) -> int:
        return to_microseconds(WRITTEN_AT)


@asynccontextmanager
async def temporary_tables() -> AsyncIterator[tuple[TelemetryStore, QueryEngine]]:
    """Empty tables, and what answers queries over them."""
    clock = _StillClock()
    with tempfile.TemporaryDirectory(prefix="forebay-docs-") as folder:
        store = TelemetryStore(Path(folder) / "telemetry.duckdb", clock=clock)
        engine = QueryEngine(store, Drainer(store, [], clock=clock), clock=clock)
        try:
            yield store, engine
        finally:
            await engine.close()
            await store.close()
