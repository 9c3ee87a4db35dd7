"""A program of its own that measures what instances cost that have ended or wait; see test_engine_memory.

Usage: waiting_memory_process DATABASE WAITING_COUNT FINISHED_COUNT. It writes one line of JSON: bytes, seconds, and seconds of CPU.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import sys
import time
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

from forebay.durable import DurableEngine, OrchestrationContext, Registry, Task

Steps = Generator[Task[Any], Any, Any]

IDLE_SECONDS = 2.0
BATCH = 500
registry = Registry()


@registry.orchestrator
def timed(context: OrchestrationContext) -> Steps:
    yield context.create_timer(context.current_utc_datetime + timedelta(days=1))


@registry.orchestrator
def listening(context: OrchestrationContext) -> Steps:
    first = yield context.call_activity("echo", context.get_input())
    return [first, (yield context.wait_for_external_event("go"))]


@registry.orchestrator
def racing(context: OrchestrationContext) -> Steps:
    timer = context.create_timer(context.current_utc_datetime + timedelta(days=1))
    event = context.wait_for_external_event("go")
    yield context.task_any([timer, event])
    timer.cancel()
    return event.result


@registry.orchestrator
def short(context: OrchestrationContext) -> Steps:
    return (yield context.call_activity("echo", context.get_input()))


@registry.activity
async def echo(value: int) -> int:
    return value


KINDS = ("timed", "listening", "racing")


def resident_bytes() -> int:
    """What the process occupies now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def multiply(path: Path, count: int) -> None:
    """Copies of the instances that have ended, until there are so many."""
    connection = sqlite3.connect(path)
    (have,) = connection.execute("SELECT count(*) FROM instances WHERE status = 'Completed'").fetchone()
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(instances)") if name not in ("key", "id")]
    names = ", ".join(columns)
    connection.execute(
        f"WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < ?)"
        f" INSERT INTO instances (id, {names}) SELECT 'copy ' || n, {names} FROM copies,"
        " (SELECT * FROM instances WHERE status = 'Completed' LIMIT 1)",
        (count - have,),
    )
    connection.execute(
        "INSERT INTO history SELECT i.key, h.sequence, h.kind, h.task_id, h.name, h.input_hash, h.attempt, h.scheduled_at, h.at, h.payload"
        " FROM instances i, (SELECT * FROM history WHERE name = 'echo' LIMIT 1) h WHERE i.id LIKE 'copy %'"
    )
    connection.commit()
    connection.close()


async def start(engine: DurableEngine, names: list[tuple[str, str]]) -> None:
    for first in range(0, len(names), BATCH):
        await asyncio.gather(*(engine.client.start_new(name, instance_id, 1) for name, instance_id in names[first : first + BATCH]))


async def settled(engine: DurableEngine) -> None:
    while engine.admission.moving_count or await engine.database.readers.run(_ready_count):
        await asyncio.sleep(0.01)


def _ready_count(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM instances WHERE status = 'Running' AND wake_at = 0").fetchone()
    return int(count)


async def measure(path: Path, waiting_count: int, finished_count: int) -> dict[str, float]:
    found: dict[str, float] = {}
    async with DurableEngine(registry, path) as engine:
        await start(engine, [("short", f"warm {number}") for number in range(1000)])
        await settled(engine)
        before = resident_bytes()
        began = time.perf_counter()
        await start(engine, [(KINDS[number % 3], f"i{number}") for number in range(waiting_count)])
        await settled(engine)
        found["start_seconds"] = time.perf_counter() - began
        found["waiting_bytes"] = resident_bytes() - before
        found["live_count"] = engine.live_count
        began_cpu = time.process_time()
        await asyncio.sleep(IDLE_SECONDS)  # the span that is measured
        found["idle_cpu_seconds"] = time.process_time() - began_cpu
    multiply(path, finished_count)
    gc.collect()

    before = resident_bytes()
    began = time.perf_counter()
    async with DurableEngine(registry, path) as engine:
        found["open_seconds"] = time.perf_counter() - began
        began = time.perf_counter()
        await engine.client.raise_event("i1", "go", 5)
        assert (await engine.client.wait_for_completion("i1", 30)).output == [1, 5]
        found["first_answer_seconds"] = time.perf_counter() - began
        found["reopened_bytes"] = resident_bytes() - before
        began_cpu = time.process_time()
        await asyncio.sleep(IDLE_SECONDS)
        found["reopened_idle_cpu_seconds"] = time.process_time() - began_cpu
        began = time.perf_counter()
        others = [f"i{number}" for number in range(2, waiting_count) if number % 3]
        for first in range(0, len(others), BATCH):
            await asyncio.gather(*(engine.client.raise_event(name, "go", 5) for name in others[first : first + BATCH]))
        for name in others:
            await engine.client.wait_for_completion(name, 60)
        found["wake_seconds"] = time.perf_counter() - began
        found["woken_count"] = len(others)
        found["final_bytes"] = resident_bytes() - before
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))
