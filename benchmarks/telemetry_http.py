"""Target 12: log lines over HTTP, acknowledged and drained into the tables, with the load generator beside the server.

    python -m benchmarks.telemetry_http [--seconds 300] [--batches 100 1000] [--connections 32]

wrk sends prepared batches with every field that a log line can have, as fast as the real server acknowledges them. The rate counts from
the first request until everything is in the tables, so that none of the drain is put off. Then what wrk saw acknowledged, what the
server counted and what is in the tables is held against each other; a difference ends the measurement. Requests that were refused,
because the log may hold no more before it is drained, are no part of that. The yardstick appends 50,000 such rows at a time, from a table
that holds them, one commit each, before and after the load and without it: what DuckDB needs to write them with the machine to itself.
Every acknowledged batch was synced, and the appends wait for the disk too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from benchmarks.processes import cpu_seconds, pss_megabytes
from benchmarks.program import server
from benchmarks.telemetry_store import RECEIVED, YARDSTICK_ROWS
from forebay.effects import SystemClock
from forebay.telemetry.log.port import Entry, StoredEntry
from forebay.telemetry.store.store import TelemetryStore

BODIES = 20  # different ones
YARDSTICK_SECONDS = 5.0
DRAIN_SECONDS = 600.0
LARGEST_TABLES_GB = 100  # retention is not what is measured
FLOORS = {100: (60_000, 120_000), 1000: (100_000, 180_000)}  # records/s by batch: floor, aim

# wrk's hooks (https://github.com/wg/wrk/blob/master/SCRIPTING): bodies are read once, requests are made before the clock starts
SCRIPT = """
local requests, at = {}, 0
function init(arguments)
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["X-API-Key"] = arguments[1]
  for number = 2, #arguments do
    local file = assert(io.open(arguments[number], "rb"))
    requests[#requests + 1] = wrk.format("POST", "/logs", nil, file:read("*a"))
    file:close()
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\\nRESULT {"requests": %d, "refused": %d, "broken": %d, "p50": %d, "p99": %d}\\n', summary.requests,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(slots=True)
class Load:
    """What came of sending for a while; times in seconds, rates in records a second."""

    acknowledged: int
    accepted: int  # by the server's count: what it was answering when wrk stopped is in it, too
    seconds: float  # until everything was in the tables
    behind_seconds: float  # of these, after wrk had ended
    refused: int  # requests
    cpu: float  # of the server
    generator_cpu: float
    p50: float
    p99: float
    megabytes: list[float] = field(default_factory=list)  # PSS of the server, once a second
    waiting_megabytes: list[float] = field(default_factory=list)  # of the telemetry log


def entries(first: int, count: int) -> list[dict[str, object]]:
    """Log lines with every field that is not about an error."""
    began = datetime.fromisoformat("2026-11-22T05:00:00+00:00")
    return [
        {
            "timestamp": (began + timedelta(milliseconds=number)).isoformat(timespec="milliseconds"),
            "message": f"user {number} has logged in from 10.0.{number % 256}.7 after {number % 900} ms",
            "level": ("debug", "info", "warning", "error")[number % 4],
            "service": f"service-{number % 7}",
            "host": f"host-{number % 20}",
            "environment": "production",
            "labels": {"region": "eu", "tenant": f"t{number % 50}", "attempt": number % 3},
            "trace_id": f"{number:032x}",
            "span_id": f"{number:016x}",
        }
        for number in range(first, first + count)
    ]


async def append_rate(folder: Path) -> float:
    """Rows a second of DuckDB appends."""
    store = TelemetryStore(folder / "yardstick.duckdb", clock=SystemClock())
    headers = {"project": "p", "source": "bench", "received": RECEIVED, "agent": "bench/1"}
    entry = Entry(
        topic="logs.raw", payload=json.dumps({"logs": entries(0, YARDSTICK_ROWS)}).encode(), record_count=YARDSTICK_ROWS, headers=headers
    )
    await store.insert([StoredEntry(partition="bench", offset=1, entry=entry)])
    await store.write(lambda connection: connection.execute("CREATE TABLE source AS FROM store.traces"))
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < YARDSTICK_SECONDS:
        await store.write(lambda connection: connection.execute("INSERT INTO store.traces FROM source"))
        count += 1
    rate = count * YARDSTICK_ROWS / (time.perf_counter() - began)
    await store.close()
    return rate


def appended(root: Path) -> float:
    with tempfile.TemporaryDirectory(dir=root) as folder:
        return asyncio.run(append_rate(Path(folder)))


def in_tables(client: httpx.Client) -> int:
    """How many lines of senders the tables hold, with everything that was acknowledged."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        answer = client.post("/query", json={"query": "traces | where source != 'platform' | count"}).json()
        if not answer["lag_seconds"]:
            return int(answer["tables"][0]["rows"][0][0])
    raise SystemExit(f"the tables stayed behind for {DRAIN_SECONDS:g} s")


def size_megabytes(folder: Path) -> float:
    total = 0
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # drained meanwhile
            total += file.stat().st_size
    return total / (1 << 20)


def send(root: Path, batch: int, seconds: int, connections: int) -> Load:
    """Start the server, load it, and count."""
    script, data = root / "send.lua", root / f"data-{batch}"
    script.write_text(SCRIPT)
    bodies = []
    for number in range(BODIES):
        body = root / f"body-{batch}-{number}.json"
        body.write_text(json.dumps({"entries": entries(number * batch, batch), "agent_version": "bench/1"}, separators=(",", ":")))
        bodies.append(str(body))
    with server(data, embedder="mock", FOREBAY_TELEMETRY_MAX_GB=str(LARGEST_TABLES_GB)) as (client, pid, _):
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "30s"]
        command += ["--script", str(script), f"{client.base_url}", "--", client.headers["X-API-Key"], *bodies]
        cpu, began = cpu_seconds(pid), time.perf_counter()
        megabytes, waiting = [pss_megabytes(pid)], [0.0]
        generator_cpu = 0.0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as generator:
            while generator.poll() is None:
                time.sleep(1)
                megabytes.append(pss_megabytes(pid))
                waiting.append(size_megabytes(data / "telemetry-log"))
                generator_cpu = cpu_seconds(generator.pid) or generator_cpu
            assert generator.stdout is not None
            told = re.search(r"^RESULT (.*)$", generator.stdout.read(), re.MULTILINE)
        ended = time.perf_counter()
        found = in_tables(client)
        drained = time.perf_counter()
        cpu = cpu_seconds(pid) - cpu
        accepted = client.get("/stats").json()["logs_sent"]
    if generator.returncode or told is None:
        raise SystemExit(f"wrk ended with status {generator.returncode}")
    result = json.loads(told[1])
    acknowledged = (result["requests"] - result["refused"]) * batch
    if result["broken"]:
        raise SystemExit(f"{result['broken']} requests broke off")
    if found != accepted or not 0 <= accepted - acknowledged <= connections * batch:
        raise SystemExit(f"{acknowledged} records were acknowledged, {accepted} accepted, {found} are in the tables")
    return Load(
        acknowledged=acknowledged,
        accepted=accepted,
        seconds=drained - began,
        behind_seconds=drained - ended,
        refused=result["refused"],
        cpu=cpu,
        generator_cpu=generator_cpu,
        p50=result["p50"] / 1e6,
        p99=result["p99"] / 1e6,
        megabytes=megabytes,
        waiting_megabytes=waiting,
    )


def compare(root: Path, batch: int, seconds: int, connections: int) -> None:
    """One load between two yardsticks."""
    before = appended(root)
    load = send(root, batch, seconds, connections)
    yardsticks = [before, appended(root)]
    rate, yardstick = load.accepted / load.seconds, statistics.fmean(yardsticks)
    half = len(load.megabytes) // 2
    floor, aim = FLOORS.get(batch, (0, 0))
    print(f"batches of {batch}, {seconds} s, {connections} connections")
    print(f"  acknowledged       {load.acknowledged:>12,}  ({load.accepted:,} with those that were being answered at the end)")
    print(f"  refused            {load.refused:>12,}  requests")
    print(f"  in the tables      {load.accepted:>12,}  {load.behind_seconds:.1f} s after the last request")
    print(f"  rate               {rate:>12,.0f}  records/s (floor {floor:,}, aim {aim:,})")
    print(f"  DuckDB appends     {yardstick:>12,.0f}  rows/s ({', '.join(f'{each:,.0f}' for each in yardsticks)})")
    print(f"  ratio              {rate / yardstick:>12.2f}  (floor 0.4, aim 0.7)")
    print(f"  answers            {load.p50 * 1000:>12.1f}  ms median, p99 {load.p99 * 1000:.1f} ms")
    million, cores = 1e6 / load.accepted, 1 / load.seconds
    print(f"  CPU, server        {load.cpu * million:>12.2f}  s a million records; {load.cpu * cores:.2f} cores")
    print(f"  CPU, wrk           {load.generator_cpu * million:>12.2f}  s a million records; {load.generator_cpu * cores:.2f} cores")
    print(f"  memory             {max(load.megabytes):>12,.0f}  MB PSS at most, {max(load.megabytes[: half + 1]):,.0f} in the first half")
    print(f"  telemetry log      {max(load.waiting_megabytes):>12,.0f}  MB at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300, help="how long each load lasts")
    parser.add_argument("--batches", type=int, nargs="+", default=[100, 1000], help="log lines in a request")
    parser.add_argument("--connections", type=int, default=32)
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this measurement needs the load generator wrk: apt-get install -y wrk, or see https://github.com/wg/wrk")
    for batch in chosen.batches:
        with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
            compare(Path(folder), batch, chosen.seconds, chosen.connections)


if __name__ == "__main__":
    main()
