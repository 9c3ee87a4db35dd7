"""Inserts numbered entries for ever, from where the tables end, and tells of every commit."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.integration.telemetry_rows import entry, stored

from forebay.effects import SystemClock
from forebay.telemetry.store.store import TelemetryStore


async def main() -> None:
    store = TelemetryStore(Path(sys.argv[1]), clock=SystemClock())
    await store.open()
    while True:
        first = store.positions.get("local", 0) + 1
        entries = [entry({"traces": [{"message": f"{number}-{row}"} for row in range(20)]}) for number in range(first, first + 25)]
        await store.insert(stored(first, *entries))
        print(first + 24, flush=True)


asyncio.run(main())
