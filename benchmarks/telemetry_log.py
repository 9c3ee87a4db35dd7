"""How many log records a second the telemetry log acknowledges, against a bare append with a shared `fdatasync` of the same bytes.

python benchmarks/telemetry_log.py [folder]      on the disk of that folder; the temporary one unless named

The yardstick writes one payload of every sender with one `writev`, then syncs; it makes no frames, no checksums and no promises. Small
batches are bound by the sync alone, whose time swings more than the log adds to it (a ratio above 1 is that); the CPU-seconds hardly swing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from forebay.effects import ThreadBlocking
from forebay.telemetry.log.port import Entry
from forebay.telemetry.log.segment_log import SegmentLog

ROUNDS = 31
SENDER_COUNT = 32
SECONDS = 0.25  # short, because the time of a sync swings with what else the disk does
BATCHES = (100, 1000)


def payload_of(record_count: int) -> bytes:
    """Log records of about 200 bytes, as a decoder hands them on."""
    rows = [
        {
            "timestamp": f"2026-11-22T05:00:00.{number:06}",
            "message": f"request {number} was answered in {number % 97} ms by the pump of basin {number % 7}",
            "severityLevel": number % 4,
            "cloud_RoleName": "pump",
            "operation_Id": f"{number:032x}",
        }
        for number in range(record_count)
    ]
    return json.dumps({"traces": rows}, separators=(",", ":")).encode()


def bare(folder: Path, payload: bytes) -> tuple[int, float, float]:
    """Payloads written, seconds, CPU-seconds."""
    path, count = folder / "bare", 0
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
    started, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < SECONDS:
        os.writev(descriptor, [payload] * SENDER_COUNT)
        os.fdatasync(descriptor)
        count += SENDER_COUNT
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    os.close(descriptor)
    path.unlink()
    return count, seconds, cpu_seconds


async def acknowledged(folder: Path, payload: bytes, record_count: int) -> tuple[int, float, float]:
    """Payloads acknowledged, seconds, CPU-seconds."""
    blocking = ThreadBlocking(2)
    log = SegmentLog(folder / "log", blocking)
    await log.open()
    entry = Entry(topic="logs.raw", payload=payload, record_count=record_count, headers={"project": "default-project", "source": "agent"})
    counts = itertools.count()
    end = time.perf_counter() + SECONDS

    async def send() -> None:
        while time.perf_counter() < end:
            await log.append(entry)
            next(counts)

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(send() for _ in range(SENDER_COUNT)))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    await log.close()
    blocking.close()
    for path in (folder / "log").iterdir():
        path.unlink()
    return next(counts), seconds, cpu_seconds


def compare(folder: Path, record_count: int) -> None:
    payload = payload_of(record_count)
    rates: dict[str, list[float]] = {"bare": [], "log": []}
    cpu: dict[str, list[float]] = {"bare": [], "log": []}
    for round_number in range(ROUNDS + 1):
        for kind in ("bare", "log"):
            count, seconds, cpu_seconds = (
                bare(folder, payload) if kind == "bare" else asyncio.run(acknowledged(folder, payload, record_count))
            )
            if round_number:  # the first warms up
                rates[kind].append(count * record_count / seconds)
                cpu[kind].append(cpu_seconds / (count * record_count) * 1e6)
    ratio = statistics.median(log / bare for log, bare in zip(rates["log"], rates["bare"], strict=True))
    print(f"{SENDER_COUNT} senders, batches of {record_count:,} records, {len(payload) / record_count:.0f} bytes each")
    for kind, name in (("bare", "append + shared fdatasync"), ("log", "telemetry log, acknowledged")):
        rate, used = statistics.median(rates[kind]), statistics.median(cpu[kind])
        print(f"  {name:28} {rate:12,.0f} records/s   {used:5.2f} CPU-seconds per million")
    print(f"  ratio {ratio:.2f} (median of {ROUNDS} interleaved rounds; floor 0.3, aim 0.5)", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        for record_count in BATCHES:
            compare(Path(folder), record_count)


if __name__ == "__main__":
    main()
