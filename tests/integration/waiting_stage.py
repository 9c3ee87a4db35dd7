"""An engine in virtual time whose orchestrators wait, with everything that may happen to them while they do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.integration.durable_bench import Bench, open_engine

from forebay.durable import EngineLimits, OrchestrationContext, Registry, Task
from forebay.errors import ForebayError
from forebay.testing.virtual_loop import SeededRandomness, run_virtual

Steps = Generator[Task[Any], Any, Any]
Orchestrator = Callable[[OrchestrationContext], Any]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Setting:
    """What must make no difference."""

    waiting_instances: int
    seed: int | None = None  # of the delays of reads and writes; None: none

    def __str__(self) -> str:
        return f"{self.waiting_instances} kept" + ("" if self.seed is None else f", delays {self.seed}")


SETTINGS = [Setting(1024), Setting(0, 3), Setting(1, 7)]
if int(os.environ.get("FOREBAY_TEST_ROUNDS", "1")) > 1:
    SETTINGS += [Setting(0), Setting(1), Setting(1024, 5)]


class Stage:
    """A registry, a database file, and lives of an engine on both."""

    def __init__(self, path: Path, setting: Setting) -> None:
        self.path = path
        self.registry = Registry()
        self.calls: list[Any] = []
        self.failures_left = 0
        self._setting = setting

        @self.registry.activity
        async def echo(value: Any) -> Any:
            self.calls.append(value)
            return value

        @self.registry.activity
        async def rest(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return seconds

        @self.registry.activity
        async def fail_some(value: Any) -> Any:
            self.calls.append(asyncio.get_running_loop().time())
            if self.failures_left:
                self.failures_left -= 1
                raise OSError("not yet")
            return value

        @self.registry.activity
        async def refuse(value: Any) -> None:
            raise ForebayError("too_odd", f"{value} is too odd", retryable=False)

    def live(
        self,
        story: Callable[[Bench], Awaitable[Result]],
        *orchestrators: Orchestrator,
        inflight_instances: int = 64,
        payload_bytes: int = 64 * 1024,
        clock_ahead_seconds: float = 0.0,
    ) -> Result:
        """One life of the engine; the next one finds what this one has left."""
        for orchestrator in orchestrators:
            self.registry.orchestrator(orchestrator)
        random = None if self._setting.seed is None else SeededRandomness(self._setting.seed)
        limits = EngineLimits(
            inflight_instances=inflight_instances,
            waiting_instances=self._setting.waiting_instances,
            payload_bytes=payload_bytes,
            stop_deadline_seconds=1,
        )

        async def main() -> Result:
            async with open_engine(
                self.registry,
                self.path,
                limits=limits,
                delay_seconds=None if random is None else lambda: random.ratio() / 50,
                clock_ahead_seconds=clock_ahead_seconds,
            ) as bench:
                return await story(bench)

        return run_virtual(main)

    def output_of(self, orchestrator: Orchestrator, value: Any = None, *others: Orchestrator, **options: Any) -> Any:
        """What an instance returns that nobody disturbs."""
        status = self.live(lambda bench: bench.run(orchestrator.__name__, value, instance_id="i"), orchestrator, *others, **options)
        assert status.runtime_status == "Completed", status.output
        return status.output


async def until(condition: Callable[[], Awaitable[bool]], *, deadline_seconds: float = 1000) -> None:
    """Look again every virtual tenth of a second."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_seconds
    while not await condition():
        assert loop.time() < end, "it never comes"
        await asyncio.sleep(0.1)


async def until_waiting(bench: Bench, instance_id: str, kind: str, count: int = 1) -> None:
    """Until an instance waits for so many things of a kind, and nothing of it moves."""

    async def waits() -> bool:
        status = await bench.client.get_status(instance_id)
        found = [] if status is None or status.waits is None else status.waits["waits"]
        return [wait["kind"] for wait in found].count(kind) >= count

    await until(waits)
