"""Installs self-observation around a program: what flushes, sums up and reads counters while it runs."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from forebay.effects import Clock, Effects
from forebay.settings import Settings
from forebay.telemetry.observe.log_lines import LogLines, write_lines_for
from forebay.telemetry.observe.machine import Machine
from forebay.telemetry.observe.observation import Observation
from forebay.telemetry.observe.recorder import AppendLog, Identity, Recorder

logger = logging.getLogger(__name__)

REPORT_SECONDS = 60.0  # of the figures that are summed up


@asynccontextmanager
async def observing(log: AppendLog, settings: Settings, effects: Effects, *, version: str) -> AsyncIterator[Observation]:
    """Observe the program that runs in the block, and write what it says of itself to `log`.

    With FOREBAY_TELEMETRY=0 nothing is observed. Enter it before anything that is to be observed is made, and leave it
    when all of that has ended and the log still takes entries.

    *Guarantees*: nothing waits for the log, nothing fails with it; several programs in one process each tell of themselves alone.
    """
    telemetry = settings.telemetry
    if not telemetry.telemetry:
        yield Observation()
        return
    recorder = Recorder(
        log,
        identity=Identity(
            role_name=telemetry.role_name, role_instance=socket.gethostname(), environment=settings.environment, version=version
        ),
        default_project=settings.default_project,
        clock=effects.clock,
        random=effects.random,
        sampling_ratio=telemetry.telemetry_sampling,
    )
    observation = Observation(recorder, effects.clock)
    lines = LogLines(recorder)
    lines.install()
    written_for = write_lines_for(recorder)
    work = [
        asyncio.create_task(_flush(recorder, observation)),
        asyncio.create_task(_every(REPORT_SECONDS, _reporting(observation), effects.clock)),
        asyncio.create_task(_read_counters(observation, recorder, settings, effects)),
    ]
    reason = "closed"
    try:
        yield observation
    except BaseException as error:
        reason = type(error).__name__
        raise
    finally:
        lines.uninstall()
        write_lines_for(written_for)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        observation.report_repeated()
        observation.stopped(reason)
        observation.report()
        await recorder.close()


async def _flush(recorder: Recorder, observation: Observation) -> None:
    while True:
        await recorder.until_due()
        observation.report_repeated()
        try:
            await recorder.flush()
        except Exception:
            logger.exception("rows about the program could not be written")


async def _read_counters(observation: Observation, recorder: Recorder, settings: Settings, effects: Effects) -> None:
    machine = await effects.blocking.run(Machine, settings.data_dir.absolute(), effects.clock.monotonic)

    async def read() -> None:
        for reading in await effects.blocking.run(machine.read):
            row = {
                "name": reading.counter,
                "category": reading.category,
                "counter": reading.counter,
                "instance": reading.instance,
                "value": reading.value,
            }
            recorder.add("performanceCounters", row)
        await observation.read_watches()

    await _every(settings.telemetry.telemetry_counters_seconds, read, effects.clock)


def _reporting(observation: Observation) -> Callable[[], Awaitable[None]]:
    async def report() -> None:
        observation.report()

    return report


async def _every(seconds: float, work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Do something again and again; one failure is not the end of it."""
    while True:
        await clock.sleep(seconds)
        try:
            await work()
        except Exception:
            logger.exception("figures about the program could not be read")
