"""The drain: rows/s from payloads in the log's form to committed rows, against bulk appends of the same rows (target 12).

    python -m benchmarks.telemetry_store [--rows 400000] [--rounds 5]

The yardstick appends 50,000 rows of the same table at a time, from a table that holds them already, one commit each: what DuckDB needs to
write them, without any parsing. The rounds are interleaved and the medians are compared, since the machine is shared. Durability: both
wait for the disk at each commit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

from forebay.effects import SystemClock
from forebay.telemetry.drainer import Drainer, DrainLimits
from forebay.telemetry.log.port import Entry, Positions, StoredEntry
from forebay.telemetry.store.connection import StoreLimits
from forebay.telemetry.store.store import TelemetryStore

YARDSTICK_ROWS = 50_000
RECEIVED = "1795000000000000"


def payload(first: int, count: int) -> bytes:
    """Log lines with every column that a log batch can fill."""
    rows = [
        {
            "timestamp": f"2026-11-22T05:{number // 60 % 60:02}:{number % 60:02}.{number % 1_000_000:06}",
            "message": f"user {number} has logged in from 10.0.{number % 256}.7 after {number % 900} ms",
            "severityLevel": number % 5,
            "operation_Name": "POST /login",
            "operation_Id": f"{number:032x}",
            "operation_ParentId": f"{number:016x}",
            "session_Id": f"s{number % 1000}",
            "user_Id": f"u{number % 5000}",
            "application_Version": "1.2.3",
            "client_IP": "10.0.0.1",
            "cloud_RoleName": f"service-{number % 7}",
            "cloud_RoleInstance": f"host-{number % 20}",
            "environment": "production",
            "sdkVersion": "forebay:0.1",
            "itemType": "trace",
            "itemId": f"{number:020x}",
            "itemCount": 1,
            "customDimensions": {"region": "eu", "tenant": f"t{number % 50}", "attempt": number % 3},
        }
        for number in range(first, first + count)
    ]
    return json.dumps({"traces": rows}, separators=(",", ":")).encode()


class PreparedFeed:
    """A log in memory, so that the drain alone is measured."""

    def __init__(self) -> None:
        self.entries: list[StoredEntry] = []
        self._news = asyncio.Event()

    def add(self, payloads: list[bytes], batch: int) -> None:
        headers = {"project": "p", "source": "bench", "received": RECEIVED}
        for each in payloads:
            entry = Entry(topic="logs.raw", payload=each, record_count=batch, headers=headers)
            self.entries.append(StoredEntry(partition="bench", offset=len(self.entries) + 1, entry=entry))
        self._news.set()

    async def read(self, after: Positions, *, limit_bytes: int) -> list[StoredEntry]:
        first = after.get("bench", 0)
        found, size = first, 0
        while found < len(self.entries) and size < limit_bytes:
            size += len(self.entries[found].entry.payload)
            found += 1
        return self.entries[first:found]

    async def wait(self, after: Positions) -> None:
        while len(self.entries) <= after.get("bench", 0):
            self._news.clear()
            await self._news.wait()

    def ends(self) -> Positions:
        return {"bench": len(self.entries)}

    async def release(self, up_to: Positions) -> None:
        """Nothing to free."""


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(folder: Path, row_count: int, rounds: int, batch: int) -> None:
    store = TelemetryStore(folder / "telemetry.duckdb", clock=SystemClock(), limits=StoreLimits())
    yardstick = TelemetryStore(folder / "yardstick.duckdb", clock=SystemClock(), limits=StoreLimits())
    feed = PreparedFeed()
    drainer = Drainer(store, [feed], clock=SystemClock(), limits=DrainLimits())
    task = asyncio.create_task(drainer.run())
    prepared = PreparedFeed()
    prepared.add([payload(first, batch) for first in range(0, YARDSTICK_ROWS, batch)], batch)
    await yardstick.insert(prepared.entries)
    await yardstick.write(lambda connection: connection.execute("CREATE TABLE source AS FROM store.traces"))
    payloads = [payload(first, batch) for first in range(0, row_count, batch)]
    mebibytes = sum(map(len, payloads)) / (1 << 20)
    drained: list[float] = []
    appended: list[float] = []
    costs: list[float] = []
    for _ in range(rounds):
        began, cpu = time.perf_counter(), cpu_seconds()
        feed.add(payloads, batch)
        assert await drainer.until_drained(drainer.ends(), 600)
        drained.append(row_count / (time.perf_counter() - began))
        costs.append((cpu_seconds() - cpu) / row_count * 100_000)
        began = time.perf_counter()
        for _ in range(max(1, row_count // YARDSTICK_ROWS)):
            await yardstick.write(lambda connection: connection.execute("INSERT INTO store.traces FROM source"))
        appended.append(row_count / (time.perf_counter() - began))
    latencies: list[float] = []
    for number in range(10):
        began = time.perf_counter()
        feed.add([payload(number, 1)], 1)
        drainer.hasten(drainer.ends())
        while store.positions.get("bench", 0) < len(feed.entries):  # noqa: ASYNC110 - to wait for the drainer hurries it
            await asyncio.sleep(0.002)
        latencies.append(time.perf_counter() - began)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()
    await yardstick.close()
    drain, append = statistics.median(drained), statistics.median(appended)
    ratio = statistics.median(one / other for one, other in zip(drained, appended, strict=True))
    print(f"payloads of {batch} rows, {mebibytes * (1 << 20) / row_count:.0f} bytes a row, {row_count} rows a round, {rounds} rounds")
    print(f"drained            {drain:>12,.0f} rows/s   ({statistics.median(costs):.2f} CPU-seconds per 100,000 rows)")
    print(f"bulk appends       {append:>12,.0f} rows/s")
    print(f"ratio              {ratio:>12.2f}          (target 12: floor 0.4, aim 0.7)")
    print(f"one record, idle   {statistics.median(latencies) * 1000:>12.0f} ms to the tables")
    print(f"peak memory        {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:>12.0f} MiB, payloads included")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    for batch in (100, 1000):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(Path(folder), chosen.rows, chosen.rounds, batch))


if __name__ == "__main__":
    main()
