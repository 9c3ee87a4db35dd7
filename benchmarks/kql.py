"""Ten dashboard queries in KQL against the fastest SQL known by hand, on the same rows (target 14).

    python -m benchmarks.kql [--rows 1000000] [--rounds 5]

*Cold* translates anew each time, *cached* does not. Both go the way of the server: views of one project, read-only, rows converted.
The hand-written SQL reads the tables directly, with the project in its filter. The rounds are interleaved; ratios are of medians.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forebay.effects import SystemClock
from forebay.telemetry.drainer import Drainer
from forebay.telemetry.query.engine import QueryEngine
from forebay.telemetry.store.connection import StoreLimits
from forebay.telemetry.store.store import TelemetryStore

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
AGO = "timestamp > TIMESTAMP '2026-11-22 06:00' - INTERVAL 6 HOUR"
WITH_PROJECT = "_project = 'p'"

# name -> KQL, SQL
QUERIES: dict[str, tuple[str, str]] = {
    "count by 5 minutes": (
        "requests | where timestamp > ago(6h) | summarize count() by bin(timestamp, 5m)",
        f"SELECT time_bucket(INTERVAL 5 MINUTE, timestamp), count(*) FROM store.requests WHERE {WITH_PROJECT} AND {AGO} GROUP BY 1",
    ),
    "failure rate by name": (
        "requests | summarize total = count(), failed = countif(success == 'False') by name | extend rate = 100.0 * failed / total",
        (
            f"SELECT name, count(*), count(*) FILTER (success = 'False'), 100.0 * count(*) FILTER (success = 'False') / count(*)"
            f" FROM store.requests WHERE {WITH_PROJECT} GROUP BY 1"
        ),
    ),
    "three percentiles": (
        "requests | summarize percentile(duration, 50), percentile(duration, 95), percentile(duration, 99) by name",
        f"SELECT name, quantile_disc(duration, [0.5, 0.95, 0.99]) FROM store.requests WHERE {WITH_PROJECT} GROUP BY 1",
    ),
    "slowest 20": (
        "requests | top 20 by duration desc | project timestamp, name, duration, operation_Id",
        f'SELECT timestamp, name, duration, "operation_Id" FROM store.requests WHERE {WITH_PROJECT} ORDER BY duration DESC LIMIT 20',
    ),
    "text search": (
        "traces | where message has 'failed' | summarize count() by severityLevel",
        (
            "SELECT severityLevel, count(*) FROM store.traces WHERE "
            f"{WITH_PROJECT} AND message ILIKE '%failed%' AND regexp_matches(message, '(?i)\\bfailed\\b') GROUP BY 1"
        ),
    ),
    "newest errors": (
        "traces | where severityLevel >= 3 | order by timestamp desc | take 50 | project timestamp, message, cloud_RoleName",
        f"""SELECT timestamp, message, "cloud_RoleName" FROM store.traces WHERE {WITH_PROJECT} AND severityLevel >= 3
        ORDER BY timestamp DESC LIMIT 50""",
    ),
    "label of a dimension": (
        "requests | extend tenant = tostring(customDimensions.tenant) | summarize avg(duration) by tenant",
        f"SELECT coalesce(customDimensions->>'$.tenant', ''), avg(duration) FROM store.requests WHERE {WITH_PROJECT} GROUP BY 1",
    ),
    "users by hour": (
        "requests | summarize dcount(user_Id) by bin(timestamp, 1h), cloud_RoleName",
        (
            'SELECT time_bucket(INTERVAL 1 HOUR, timestamp), "cloud_RoleName", count(DISTINCT "user_Id") FROM store.requests'
            f" WHERE {WITH_PROJECT} GROUP BY ALL"
        ),
    ),
    "requests with their logs": (
        (
            "requests | where success == 'False' and timestamp > ago(6h) | join kind=inner (traces | where severityLevel >= 3)"
            " on operation_Id | summarize count() by name"
        ),
        (
            f'SELECT r.name, count(*) FROM store.requests r JOIN store.traces t ON r."operation_Id" = t."operation_Id"'
            f" WHERE r.{WITH_PROJECT} AND t.{WITH_PROJECT} AND r.success = 'False' AND r.{AGO} AND t.severityLevel >= 3 GROUP BY 1"
        ),
    ),
    "last of each role": (
        "traces | summarize arg_max(timestamp, message) by cloud_RoleInstance",
        f'SELECT "cloud_RoleInstance", max(timestamp), arg_max(message, timestamp) FROM store.traces WHERE {WITH_PROJECT} GROUP BY 1',
    ),
}


class FixedClock(SystemClock):
    """`ago()` means the same in both languages."""

    def now(self) -> datetime:
        return NOW


def fill(connection: Any, rows: int) -> None:
    common = f"""CASE WHEN i % 4 = 3 THEN 'q' ELSE 'p' END AS _project, TIMESTAMP '2026-11-22 06:00' AS _received,
        TIMESTAMP '2026-11-21 06:00' + to_microseconds((86400000000.0 * i / {rows // 2})::BIGINT) AS timestamp,
        md5((i // 3)::VARCHAR) AS "operation_Id", 'service-' || i % 7 AS "cloud_RoleName", 'host-' || i % 40 AS "cloud_RoleInstance",
        'u' || hash(i) % 5000 AS "user_Id", json_object('tenant', 't' || i % 50, 'region', 'eu', 'attempt', i % 3) AS "customDimensions" """
    connection.execute(
        f"""INSERT INTO store.requests BY NAME SELECT {common}, 'GET /route/' || i % 25 AS name, (hash(i) % 100000) / 100.0 AS duration,
        CASE WHEN hash(i) % 20 = 0 THEN 'False' ELSE 'True' END AS success, '200' AS "resultCode" FROM range({rows // 2}) AS x(i)"""
    )
    connection.execute(
        f"""INSERT INTO store.traces BY NAME SELECT {common}, (hash(i) % 5)::INTEGER AS "severityLevel",
        'step ' || i || CASE WHEN hash(i) % 50 = 0 THEN ' has failed after ' ELSE ' took ' END || i % 900 || ' ms' AS message
        FROM range({rows // 2}) AS x(i)"""
    )
    connection.execute("CHECKPOINT")


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def measure(folder: Path, rows: int, rounds: int) -> None:
    store = TelemetryStore(folder / "telemetry.duckdb", clock=FixedClock(), limits=StoreLimits())
    await store.write(lambda connection: fill(connection, rows))
    drainer = Drainer(store, [], clock=FixedClock())
    warm = QueryEngine(store, drainer, clock=FixedClock())
    cursor = await store.cursor()
    print(f"{rows} rows in two tables, three quarters of them of the project; {rounds} rounds; milliseconds, medians")
    print(f"{'':26} {'SQL':>8} {'cached':>8} {'cold':>8} {'cached/SQL':>11} {'cold/SQL':>9}")
    cached_ratios: list[float] = []
    cold_ratios: list[float] = []
    for name, (kql, sql) in QUERIES.items():

        async def by_hand(sql: str = sql) -> None:
            await asyncio.to_thread(lambda: cursor.execute(sql).fetchall())

        async def cached(kql: str = kql) -> None:
            await warm.query(kql, project="p")

        number = 0

        async def cold(kql: str = kql) -> None:
            nonlocal number
            number += 1
            await warm.query(f"{kql} // {number}", project="p")

        await cold()
        await cached()
        await by_hand()
        times: dict[str, list[float]] = {"sql": [], "cached": [], "cold": []}
        for _ in range(rounds):
            times["sql"].append(await timed(by_hand))
            times["cached"].append(await timed(cached))
            times["cold"].append(await timed(cold))
        one, two, three = (statistics.median(each) * 1000 for each in times.values())
        cached_ratios.append(two / one)
        cold_ratios.append(three / one)
        print(f"{name:26} {one:8.1f} {two:8.1f} {three:8.1f} {two / one:11.2f} {three / one:9.2f}", flush=True)
    for label, ratios in (("cached", cached_ratios), ("cold", cold_ratios)):
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        print(f"{label}: geometric mean {mean:.2f}, worst {max(ratios):.2f} (target 14: floor 1.3 and 3, aim 1.1 and 1.5)")
    cursor.close()
    await warm.close()
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), chosen.rows, chosen.rounds))


if __name__ == "__main__":
    main()
