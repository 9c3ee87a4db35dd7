"""Measure the durable engine against a bare group-commit journal that writes the same rows (targets 9 and 10),
and the time from a start to its first activity against one commit.

Run with `python benchmarks/engine.py [--rounds N] [--directory DIR] [--profile]`. Every round runs yardstick and engine
one after the other on fresh files, synchronous=FULL; the table has medians. CPU is user and system time of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import sqlite3
import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forebay.durable import DurableEngine, EngineLimits, OrchestrationContext, Registry, Task
from forebay.durable.journal.journal import schema

GROUP_LIMIT_WRITES = 500
registry = Registry()


@registry.activity
async def step(value: Any) -> Any:
    return value


@registry.orchestrator
def six_activities(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
    value = context.get_input()
    for _ in range(6):
        value = yield context.call_activity("step", value)
    return value


@registry.orchestrator
def fan_out(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
    results = yield context.task_all([context.call_activity("step", number) for number in range(context.get_input())])
    return len(results)


Write = tuple[str, tuple[Any, ...]]
INSERT_INSTANCE = (
    "INSERT INTO instances (key, id, name, status, input, lane, output, created_at, updated_at) VALUES (?, ?, ?, ?, ?, '', ?, ?, ?)"
)
INSERT_FACT = "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
END_INSTANCE = "UPDATE instances SET status = ?, output = ?, updated_at = ? WHERE key = ?"


class BareJournal:
    """The yardstick: one thread, one transaction for all that waits, no savepoints, no orchestrators."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA wal_autocheckpoint=4000")
        self._connection.executescript("".join(str(part) for part in schema()))
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[list[Write], asyncio.Future[None]]] = deque()
        self._wake = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def write(self, *writes: Write) -> asyncio.Future[None]:
        done: asyncio.Future[None] = self._loop.create_future()
        with self._wake:
            self._queue.append((list(writes), done))
            self._wake.notify()
        return done

    def close(self) -> None:
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._queue or self._is_closing):
                    self._wake.wait()
                if not self._queue:
                    return
            group: list[asyncio.Future[None]] = []
            try:
                self._commit(group)
            except sqlite3.Error as error:
                self._loop.call_soon_threadsafe(settle, group, error)
                return
            self._loop.call_soon_threadsafe(settle, group, None)

    def _commit(self, group: list[asyncio.Future[None]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        while self._queue and len(group) < GROUP_LIMIT_WRITES:
            writes, done = self._queue.popleft()
            group.append(done)
            for statement, parameters in writes:
                self._connection.execute(statement, parameters)
        self._connection.execute("COMMIT")


def settle(group: list[asyncio.Future[None]], error: Exception | None) -> None:
    for done in group:
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)


@dataclass(frozen=True)
class Load:
    """So many instances of one kind, so many at a time."""

    label: str
    instance_count: int
    concurrency: int
    width: int  # activities of the fan-out; 0: six activities in sequence

    @property
    def activity_count(self) -> int:
        return self.instance_count * (self.width or 6)


LOADS = [
    Load("6 activities, 64 at a time", 2000, 64, 0),
    Load("6 activities, 256 at a time", 4000, 256, 0),
    Load("fan-out of 20, 64 at a time", 800, 64, 20),
    Load("fan-out of 100, 16 at a time", 160, 16, 100),
    Load("fan-out of 1,000", 10, 1, 1000),
    Load("fan-out of 10,000", 1, 1, 10_000),
]


async def all_of(load: Load, run: Callable[[int], Awaitable[None]]) -> None:
    numbers = iter(range(load.instance_count))

    async def lane() -> None:
        for number in numbers:
            await run(number)

    await asyncio.gather(*(lane() for _ in range(load.concurrency)))


async def run_bare(load: Load, path: Path) -> tuple[float, float]:
    journal = BareJournal(path)
    now = time.time_ns() // 1000

    async def run(number: int) -> None:
        key = number + 1
        await journal.write((INSERT_INSTANCE, (key, f"i{number}", "six_activities", "Running", "1", None, now, now)))
        end = (END_INSTANCE, ("Completed", "1", now, key))
        facts = [
            (INSERT_FACT, (key, sequence, "completed", sequence, "step", "0123456789abcdef", 1, now, now, "1"))
            for sequence in range(load.width or 6)
        ]
        if load.width:
            for done in [journal.write(fact) for fact in facts[:-1]]:
                await done
        else:
            for fact in facts[:-1]:
                await journal.write(fact)
        await journal.write(facts[-1], end)

    began, began_cpu = time.perf_counter(), time.process_time()
    await all_of(load, run)
    took = time.perf_counter() - began, time.process_time() - began_cpu
    journal.close()
    return took


async def run_engine(load: Load, path: Path) -> tuple[float, float]:
    async with DurableEngine(registry, path, limits=EngineLimits(inflight_instances=load.concurrency)) as engine:
        name, value = ("fan_out", load.width) if load.width else ("six_activities", 1)

        async def run(number: int) -> None:
            await engine.client.start_new(name, f"i{number}", value)
            status = await engine.client.wait_for_completion(f"i{number}")
            assert status.runtime_status == "Completed", status

        began, began_cpu = time.perf_counter(), time.process_time()
        await all_of(load, run)
        return time.perf_counter() - began, time.process_time() - began_cpu


began_at: dict[int, float] = {}


@registry.activity
async def note_the_time(number: int) -> None:
    began_at[number] = time.perf_counter()


@registry.orchestrator
def one_activity(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
    yield context.call_activity("note_the_time", context.get_input())


async def start_latency(directory: Path, count: int = 200) -> tuple[float, float]:
    """Medians, in seconds: from a start to its first activity on an idle engine, and one commit of the yardstick in turn with it."""
    starts, commits = [], []
    journal = BareJournal(directory / "bare.db")
    async with DurableEngine(registry, directory / "engine.db") as engine:
        for number in range(count):
            now = time.time_ns() // 1000
            began = time.perf_counter()
            await journal.write((INSERT_INSTANCE, (number + 1, f"i{number}", "one_activity", "Running", "1", None, now, now)))
            commits.append(time.perf_counter() - began)
            began = time.perf_counter()
            await engine.client.start_new("one_activity", f"i{number}", number)
            await engine.client.wait_for_completion(f"i{number}")
            starts.append(began_at.pop(number) - began)
    journal.close()
    return statistics.median(starts), statistics.median(commits)


def fdatasync_per_second(directory: Path) -> float:
    """What the disk does now: appends of one page, each made durable."""
    descriptor = os.open(directory / "fdatasync", os.O_CREAT | os.O_WRONLY)
    page, count, began = bytes(4096), 0, time.perf_counter()
    while time.perf_counter() - began < 0.3:
        os.write(descriptor, page)
        os.fdatasync(descriptor)
        count += 1
    took = time.perf_counter() - began
    os.close(descriptor)
    (directory / "fdatasync").unlink()
    return count / took


def measure(load: Load, runner: Callable[[Load, Path], Any], directory: Path) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        took: tuple[float, float] = asyncio.run(runner(load, Path(folder) / "catalog.db"))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    if options.profile:
        profile = cProfile.Profile()
        profile.enable()
        measure(LOADS[0], run_engine, options.directory)
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        return
    syncs: list[float] = []
    bare: dict[Load, list[tuple[float, float]]] = {load: [] for load in LOADS}
    engine: dict[Load, list[tuple[float, float]]] = {load: [] for load in LOADS}
    for _ in range(options.rounds):
        for load in LOADS:
            syncs.append(fdatasync_per_second(options.directory))
            bare[load].append(measure(load, run_bare, options.directory))
            engine[load].append(measure(load, run_engine, options.directory))
    print(f"synchronous=FULL, telemetry off, {options.rounds} interleaved rounds, medians")
    print(f"fdatasync/s: median {statistics.median(syncs):,.0f}, from {min(syncs):,.0f} to {max(syncs):,.0f}")
    print(
        f"{'load':30} {'bare inst/s':>12} {'engine inst/s':>14} {'ratio':>6}"
        f" {'engine act/s':>13} {'CPU ms/inst':>12} {'bare':>7} {'CPU us/act':>11}"
    )
    for load in LOADS:
        ratio = statistics.median(b[0] / e[0] for b, e in zip(bare[load], engine[load], strict=True))
        bare_seconds, engine_seconds = (statistics.median(each[0] for each in found[load]) for found in (bare, engine))
        bare_cpu, engine_cpu = (statistics.median(each[1] for each in found[load]) for found in (bare, engine))
        print(
            f"{load.label:30} {load.instance_count / bare_seconds:12,.0f} {load.instance_count / engine_seconds:14,.0f} {ratio:6.2f}"
            f" {load.activity_count / engine_seconds:13,.0f} {engine_cpu / load.instance_count * 1000:12.3f}"
            f" {bare_cpu / load.instance_count * 1000:7.3f} {engine_cpu / load.activity_count * 1e6:11.1f}"
        )
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        start_seconds, commit_seconds = asyncio.run(start_latency(Path(folder)))
    print(
        f"start to first activity, idle: {start_seconds * 1000:.2f} ms, {start_seconds / commit_seconds:.2f} times one commit"
        f" ({commit_seconds * 1000:.2f} ms)"
    )


if __name__ == "__main__":
    main()
