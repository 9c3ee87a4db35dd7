"""Ten dashboard queries in KQL, and seven that cost more, against the fastest SQL known by hand, on the same rows (target 14).

    python -m benchmarks.kql [--rows 1000000] [--rounds 5]

*Cold* translates anew each time, *cached* does not. Both go the way of the server: one project, read-only, rows converted. *Compile* is
the translation alone, a part of cold. The hand-written SQL has the project in its filter. The rounds are interleaved; ratios are of
medians. Before, the compiler is imported in fresh interpreters, all functions declared.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forebay.effects import SystemClock
from forebay.telemetry.drainer import Drainer
from forebay.telemetry.query.engine import QueryEngine
from forebay.telemetry.query.translation import schema_of_project, translate
from forebay.telemetry.store.connection import StoreLimits
from forebay.telemetry.store.store import TelemetryStore
from forebay.values.times import to_microseconds

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
AGO = "timestamp > TIMESTAMP '2026-11-22 06:00' - INTERVAL 6 HOUR"
WITH_PROJECT = "_project = 'p'"

# name -> KQL, SQL
QUERIES: dict[str, tuple[str, str]] = {
    "count by 5 minutes": (
        "requests | where timestamp > ago(6h) | summarize count() by bin(timestamp, 5m)",
        (
            "SELECT make_timestamp(epoch_us(timestamp) // 300000000 * 300000000), count(*) FROM store.requests"
            f" WHERE {WITH_PROJECT} AND {AGO} GROUP BY epoch_us(timestamp) // 300000000"
        ),
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
            'SELECT date_trunc(\'hour\', timestamp), "cloud_RoleName", count(DISTINCT "user_Id") FROM store.requests'
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
        (
            'SELECT "cloud_RoleInstance", timestamp, message FROM store.traces WHERE rowid IN'
            f' (SELECT arg_max(rowid, timestamp) FROM store.traces WHERE {WITH_PROJECT} GROUP BY "cloud_RoleInstance")'
        ),
    ),
}

MORE: dict[str, tuple[str, str]] = {
    "newest row of each role": (
        "requests | summarize arg_max(timestamp, *) by cloud_RoleInstance",
        (
            "SELECT * EXCLUDE (_project, _received) FROM store.requests WHERE rowid IN"
            f' (SELECT arg_max(rowid, timestamp) FROM store.requests WHERE {WITH_PROJECT} GROUP BY "cloud_RoleInstance")'
        ),
    ),
    "slowest 200, all columns": (
        "requests | top 200 by duration desc",
        (
            "SELECT * EXCLUDE (_project, _received) FROM store.requests WHERE rowid IN"
            f" (SELECT rowid FROM store.requests WHERE {WITH_PROJECT} ORDER BY duration DESC LIMIT 200) ORDER BY duration DESC"
        ),
    ),
    "one of three terms": (
        "traces | where message has_any ('failed', 'error', 'timeout') | summarize count() by cloud_RoleName",
        (
            f'SELECT "cloud_RoleName", count(*) FROM store.traces WHERE {WITH_PROJECT}'
            " AND (message ILIKE '%failed%' OR message ILIKE '%error%' OR message ILIKE '%timeout%')"
            " AND regexp_matches(message, '(?i)\\b(failed|error|timeout)\\b') GROUP BY 1"
        ),
    ),
    "failed operations' logs": (
        "let slow = requests | where duration > 990 | distinct operation_Id; traces | where operation_Id in (slow) | count",
        (
            f"SELECT count(*) FROM store.traces WHERE {WITH_PROJECT}"
            f' AND "operation_Id" IN (SELECT "operation_Id" FROM store.requests WHERE {WITH_PROJECT} AND duration > 990)'
        ),
    ),
    "two tables": (
        "union requests, traces | where timestamp > ago(6h) | summarize count() by cloud_RoleName",
        (
            'SELECT "cloud_RoleName", count(*) FROM ('
            f'SELECT "cloud_RoleName" FROM store.requests WHERE {WITH_PROJECT} AND {AGO}'
            f' UNION ALL SELECT "cloud_RoleName" FROM store.traces WHERE {WITH_PROJECT} AND {AGO}) GROUP BY 1'
        ),
    ),
    "parsed numbers": (
        "traces | parse message with 'step ' step:long ' took ' spent:long ' ms' | summarize avg(spent) by cloud_RoleName",
        (
            "SELECT \"cloud_RoleName\", avg(TRY_CAST(split_part(split_part(message, ' took ', 2), ' ms', 1) AS BIGINT))"
            f" FILTER (message LIKE 'step % took % ms') FROM store.traces WHERE {WITH_PROJECT} GROUP BY 1"
        ),
    ),
    "a number in a dimension": (
        "requests | summarize sum(toint(customDimensions.attempt)) by name",
        f"SELECT name, sum(TRY_CAST(customDimensions->>'$.attempt' AS INTEGER)) FROM store.requests WHERE {WITH_PROJECT} GROUP BY 1",
    ),
}


class FixedClock(SystemClock):
    """`ago()` means the same in both languages."""

    def now(self) -> datetime:
        return NOW

    def now_us(self) -> int:
        return to_microseconds(NOW)


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


def imported_ms() -> float:
    """The least of ten imports of the compiler, each in an interpreter of its own."""
    script = (
        "import time; began = time.perf_counter(); from forebay.telemetry.kql import compiler, functions, sql;"
        " from forebay.telemetry.kql.binding import operators, spread; functions.load(), operators.load(), spread.load(), sql.load();"
        " print(time.perf_counter() - began)"
    )
    took = [subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout for _ in range(11)]
    return min(map(float, took)) * 1000


class Benchmark:
    """Runs queries over one filled store, and remembers how long each took."""

    def __init__(self, store: TelemetryStore, cursor: Any, rounds: int) -> None:
        self._engine = QueryEngine(store, Drainer(store, [], clock=FixedClock()), clock=FixedClock())
        self._cursor = cursor
        self._rounds = rounds
        self._schema = schema_of_project(is_bounded=False)
        self._number = 0

    async def compare(self, label: str, queries: dict[str, tuple[str, str]]) -> None:
        """Print a line for each query, and what they come to."""
        print(f"{label:26} {'SQL':>8} {'cached':>8} {'cold':>8} {'compile':>8} {'cached/SQL':>11} {'cold/SQL':>9}")
        ratios: dict[str, list[float]] = {"cached": [], "cold": []}
        for name, (kql, sql) in queries.items():
            times: dict[str, list[float]] = {"sql": [], "cached": [], "cold": [], "compile": []}
            for _ in range(self._rounds + 1):
                times["sql"].append(await timed(lambda sql=sql: asyncio.to_thread(self._by_hand, sql)))  # type: ignore[misc]
                times["cached"].append(await timed(lambda kql=kql: self._engine.query(kql, project="p")))  # type: ignore[misc]
                self._number += 1
                fresh = f"{kql} // {self._number}"
                times["cold"].append(await timed(lambda fresh=fresh: self._engine.query(fresh, project="p")))  # type: ignore[misc]
                began = time.perf_counter()
                translate(kql, self._schema)
                times["compile"].append(time.perf_counter() - began)
            by_hand, cached, cold, compiled = (statistics.median(each[1:]) * 1000 for each in times.values())  # the first one warms up
            ratios["cached"].append(cached / by_hand)
            ratios["cold"].append(cold / by_hand)
            print(
                f"{name:26} {by_hand:8.1f} {cached:8.1f} {cold:8.1f} {compiled:8.2f} {cached / by_hand:11.2f} {cold / by_hand:9.2f}",
                flush=True,
            )
        for kind, found in ratios.items():
            mean = math.exp(statistics.fmean(map(math.log, found)))
            print(f"{kind}: geometric mean {mean:.2f}, worst {max(found):.2f} (target 14: floor 1.3 and 3, aim 1.1 and 1.5)")

    def _by_hand(self, sql: str) -> list[Any]:
        rows: list[Any] = self._cursor.execute(sql).fetchall()
        return rows

    async def close(self) -> None:
        await self._engine.close()


async def measure(folder: Path, rows: int, rounds: int) -> None:
    print(f"import of the compiler: {imported_ms():.0f} ms")
    store = TelemetryStore(folder / "telemetry.duckdb", clock=FixedClock(), limits=StoreLimits())
    await store.write(lambda connection: fill(connection, rows))
    print(f"{rows} rows in two tables, three quarters of them of the project; {rounds} rounds; milliseconds, medians")
    cursor = await store.cursor()
    benchmark = Benchmark(store, cursor, rounds)
    await benchmark.compare("", QUERIES)
    await benchmark.compare("more", MORE)
    cursor.close()
    await benchmark.close()
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
