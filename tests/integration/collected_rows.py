"""A telemetry log that keeps in memory what programs say of themselves, and whole programs that write to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forebay.app import Adapters, Core, run_core
from forebay.app.adapters import real_adapters
from forebay.errors import ForebayError
from forebay.settings import load_settings
from forebay.telemetry.log.port import Entry, StoredEntry
from forebay.telemetry.observe.observation import Observation
from forebay.telemetry.observe.observing import observing


class CollectingLog:
    """Takes everything, or, with `refuses` or `hangs`, nothing."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.refuses = self.hangs = False

    async def append(self, entry: Entry) -> StoredEntry:
        if self.hangs:
            await asyncio.Event().wait()
        if self.refuses:
            raise ForebayError("telemetry_log_full", "there is no room", retryable=True, status=503)
        self.entries.append(entry)
        return StoredEntry(partition="test", offset=len(self.entries), entry=entry)

    def rows(self, table: str | None = None, **columns: Any) -> list[dict[str, Any]]:
        """Rows in the order of their times, each with `table` and `project`; those of a table, with these columns."""
        found = [
            {**row, "table": name, "project": entry.headers["project"]}
            for entry in self.entries
            for name, rows in json.loads(entry.payload).items()
            for row in rows
            if table in (None, name) and all(row.get(column) == value for column, value in columns.items())
        ]
        return sorted(found, key=lambda row: row["timestamp"])

    async def until(self, is_there: Callable[[], Any], timeout_seconds: float = 20.0) -> None:
        """Wait until what is asked for has come."""
        deadline = time.monotonic() + timeout_seconds
        while not is_there():
            assert time.monotonic() < deadline, "it did not come"
            await asyncio.sleep(0.02)


def collect_from_programs(monkeypatch: pytest.MonkeyPatch, *logs: CollectingLog) -> None:
    """Let the programs that are opened from now on write what they say of themselves to these logs, one each in turn."""
    turns = iter(logs)
    monkeypatch.setattr(
        "forebay.app.program.observing", lambda log, settings, effects, version: observing(next(turns), settings, effects, version=version)
    )


@asynccontextmanager
async def observed_core(
    data_dir: Path, log: CollectingLog, *, change: Callable[[Adapters], Adapters] = lambda adapters: adapters, **overrides: object
) -> AsyncIterator[tuple[Core, Observation]]:
    """Everything but the server, with adapters that `change` may exchange."""
    settings = load_settings({}, {"data_dir": data_dir, "embedder": "mock", "stop_deadline_seconds": 1, **overrides}, env_file=None)
    async with (
        real_adapters(settings) as adapters,
        observing(log, settings, adapters.effects, version="1.2.3") as observation,
        run_core(settings, change(adapters), observation) as core,
    ):
        yield core, observation


def with_embedder(wrap: Callable[[Any], Any]) -> Callable[[Adapters], Adapters]:
    """Exchange the embedder."""
    return lambda adapters: replace(adapters, embedder=wrap(adapters.embedder))
