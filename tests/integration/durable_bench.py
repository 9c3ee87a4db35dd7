"""Engines on inline databases under virtual time, as the tests of the durable engine use them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from forebay.database import Migration
from forebay.durable import DurableEngine, EngineLimits, OrchestrationStatus, Registry
from forebay.durable.journal.journal import schema
from forebay.effects import Effects, real_effects
from forebay.testing.inline import Delay, Hook, InlineWriter, crash_database, ignore_commit, open_inline_database
from forebay.testing.virtual_loop import SeededRandomness, VirtualClock

Result = TypeVar("Result")

SCHEMAS: Mapping[str, Sequence[Migration]] = {
    "durable": schema(),
    "test": ["CREATE TABLE effects (name TEXT NOT NULL)"],
}


class Bench:
    """One engine in virtual time."""

    def __init__(self, engine: DurableEngine, writer: InlineWriter, clock: VirtualClock) -> None:
        self.engine = engine
        self.client = engine.client
        self.writer = writer
        self.clock = clock

    async def run(
        self, name: str, value: Any = None, *, instance_id: str | None = None, timeout_seconds: float = 1e6
    ) -> OrchestrationStatus:
        """Start an instance and wait for its end."""
        started = await self.client.start_new(name, instance_id, value)
        return await self.client.wait_for_completion(started, timeout_seconds)


def virtual_effects(seed: int = 1) -> tuple[Effects, VirtualClock]:
    clock = VirtualClock(asyncio.get_running_loop())
    real = real_effects(thread_count=1)
    return Effects(clock=clock, random=SeededRandomness(seed), files=real.files, blocking=real.blocking), clock


@asynccontextmanager
async def open_engine(
    registry: Registry,
    path: Path,
    *,
    limits: EngineLimits | None = None,
    before_commit: Hook = ignore_commit,
    after_commit: Hook = ignore_commit,
    delay_seconds: Delay | None = None,
    clock_ahead_seconds: float = 0.0,
    **options: Any,
) -> AsyncIterator[Bench]:
    """An engine that is stopped gracefully at the end; what has ended in it is replayed, and must not have diverged."""
    effects, clock = virtual_effects()
    clock.jump(clock_ahead_seconds)
    database, writer = open_inline_database(
        path, SCHEMAS, clock=clock, before_commit=before_commit, after_commit=after_commit, delay_seconds=delay_seconds
    )
    try:
        async with DurableEngine(registry, database, effects=effects, limits=_replaying(limits), **options) as engine:
            yield Bench(engine, writer, clock)
        assert engine.divergence_count == 0 or "diverged" in options
    finally:
        await database.close()


async def run_until_crash(
    work: Callable[[Bench], Coroutine[Any, Any, Result]],
    registry: Registry,
    path: Path,
    *,
    limits: EngineLimits | None = None,
    before_commit: Hook = ignore_commit,
    after_commit: Hook = ignore_commit,
    delay_seconds: Delay | None = None,
) -> Result | None:
    """Do `work` with an engine and stop it; None when the process "died" in between: then nothing is stopped or closed."""
    others = asyncio.all_tasks()
    effects, clock = virtual_effects()
    database, writer = open_inline_database(
        path, SCHEMAS, clock=clock, before_commit=before_commit, after_commit=after_commit, delay_seconds=delay_seconds
    )

    async def live() -> Result:
        async with DurableEngine(registry, database, effects=effects, limits=_replaying(limits)) as engine:
            result = await work(Bench(engine, writer, clock))
        assert engine.divergence_count == 0
        return result

    life = asyncio.create_task(live())
    await asyncio.wait({life, writer.crashed}, return_when=asyncio.FIRST_COMPLETED)
    if not writer.crashed.done():
        await database.close()
        return life.result()
    crash_database(database)
    mine = asyncio.all_tasks() - others
    for task in mine:
        task.cancel()
    await asyncio.gather(*mine, return_exceptions=True)
    return None


def _replaying(limits: EngineLimits | None) -> EngineLimits:
    return replace(limits or EngineLimits(), shadow_replay_ratio=1.0)


def rows(path: Path, statement: str, *parameters: Any) -> list[Any]:
    """What a look into the file finds."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement, parameters).fetchall()
    finally:
        connection.close()
