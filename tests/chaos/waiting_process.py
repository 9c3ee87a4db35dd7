"""A program of its own that runs instances until it is killed, and takes events over a socket; see test_engine_chaos.

Usage: waiting_process DATABASE EXECUTIONS INSTANCE_COUNT. It writes the port for events when the engine runs, and `done` when all
instances have ended. Each line `INSTANCE NUMBER` that comes in is answered with the same line once the event is durable.
Every execution of an activity is a line in the file EXECUTIONS.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

from forebay.database import Transaction, open_database
from forebay.durable import DurableEngine, EngineLimits, OrchestrationContext, Registry, RetryOptions, Task
from forebay.durable.failures import SubOrchestrationFailed
from forebay.durable.journal.journal import schema
from forebay.effects import SystemClock
from forebay.errors import ForebayError

Steps = Generator[Task[Any], Any, Any]

EVENT_COUNT = 3  # for each instance that listens
LIMITS = EngineLimits(inflight_instances=16, waiting_instances=32)  # so few that most instances leave and come back
registry = Registry()


def after(context: OrchestrationContext, milliseconds: int) -> Any:
    return context.create_timer(context.current_utc_datetime + timedelta(milliseconds=milliseconds))


@registry.orchestrator
def fan_out(context: OrchestrationContext) -> Steps:
    name = context.instance_id
    parts = [context.call_activity("work", f"{name} {part}") for part in range(5)]
    stored = [context.call_activity("store", f"{name} {part}") for part in range(3)]
    found = yield context.task_all([*parts, *stored])
    return [len(found), (yield context.call_activity("store", f"{name} end"))]


@registry.orchestrator
def sleeping(context: OrchestrationContext) -> Steps:
    name = context.instance_id
    for number in range(4):
        late = context.create_timer(context.current_utc_datetime + timedelta(days=1))
        yield context.task_any([late, after(context, 20 * number)])
        late.cancel()
        yield context.call_activity("store", f"{name} {number}")
    return "rested"


@registry.orchestrator
def family(context: OrchestrationContext) -> Steps:
    name = context.instance_id
    children = [context.call_sub_orchestrator("child", part, f"{name} child {part}") for part in range(3)]
    found = yield context.task_all(children)
    again = yield context.call_sub_orchestrator_with_retry("child_that_fails_first", RetryOptions(5, 1000), name)
    try:
        yield context.call_sub_orchestrator("refused", name)
    except SubOrchestrationFailed as error:
        return [found, again, error.code]


@registry.orchestrator
def child(context: OrchestrationContext) -> Steps:
    yield after(context, 10)
    yield context.call_activity("work", context.instance_id)
    return [context.get_input(), (yield context.call_activity("store", context.instance_id))]


@registry.orchestrator
def child_that_fails_first(context: OrchestrationContext) -> Steps:
    attempt = context.instance_id.rpartition(":")[2]
    yield context.call_activity("store", f"{context.instance_id} tried")
    if attempt != "2":
        raise LookupError("not at once")
    return "at last"


@registry.orchestrator
def refused(context: OrchestrationContext) -> Steps:
    yield context.call_activity("store", f"{context.get_input()} refused")
    raise ForebayError("refused", "never", retryable=False)


@registry.orchestrator
def listening(context: OrchestrationContext) -> Steps:
    """Begins anew with every event. Whoever sends one twice, for want of an answer, says the same number."""
    heard = context.get_input()
    number = yield context.wait_for_external_event("number")
    if number not in heard:
        heard.append(number)
        context.set_custom_status(len(heard))
        yield context.call_activity("store", f"{context.instance_id} {number}")
    if len(heard) < EVENT_COUNT:
        context.continue_as_new(heard)
    return heard


KINDS = ("fan_out", "sleeping", "family", "listening")
OUTPUTS: dict[str, Any] = {
    "fan_out": [8, 1],
    "sleeping": "rested",
    "family": [[[part, 1] for part in range(3)], "at last", "refused"],
    "listening": list(range(EVENT_COUNT)),
}


def kind_of(number: int) -> str:
    return KINDS[number % len(KINDS)]


def effects_of(number: int) -> list[str]:
    """What instance `number` and its children store, each exactly once."""
    name = f"i{number}"
    if kind_of(number) == "fan_out":
        return [f"{name} {part}" for part in (0, 1, 2, "end")]
    if kind_of(number) == "sleeping":
        return [f"{name} {part}" for part in range(4)]
    if kind_of(number) == "listening":
        return [f"{name} {part}" for part in range(EVENT_COUNT)]
    tries = [f"{name}:0:3{attempt} tried" for attempt in ("", ":2")]
    return [*(f"{name} child {part}" for part in range(3)), *tries, f"{name} refused"]


@registry.transactional
def store(tx: Transaction, name: str) -> int:
    tx.execute("INSERT INTO effects VALUES (?)", (name,))
    found: int = tx.execute("SELECT count(*) FROM effects WHERE name = ?", (name,)).fetchone()[0]
    return found


def note_executions_in(file: int) -> None:
    @registry.activity
    async def work(name: str) -> str:
        os.write(file, f"{name}\n".encode())
        await asyncio.sleep(0.002)
        return name


async def take_events(engine: DurableEngine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := (await reader.readline()).decode():
        instance_id, number = line.split()
        try:
            await engine.client.raise_event(instance_id, "number", int(number))
        except ForebayError as error:
            if error.code == "instance_not_found":  # not yet; the sender tries again
                line = "later\n"
            elif error.code != "instance_over":  # what it had to hear it has heard
                raise
        writer.write(line.encode())
        await writer.drain()
    writer.close()


async def main(path: Path, count: int) -> None:
    schemas = {"durable": schema(), "test": ["CREATE TABLE effects (name TEXT NOT NULL)"]}
    database = await open_database(path, schemas, clock=SystemClock())
    async with DurableEngine(registry, database, limits=LIMITS) as engine:
        server = await asyncio.start_server(lambda reader, writer: take_events(engine, reader, writer), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        for number in range(count):
            name, instance_id = kind_of(number), f"i{number}"
            if await engine.client.get_status(instance_id) is None:
                await engine.client.start_new(name, instance_id, [] if name == "listening" else None)
        for number in range(count):
            await engine.client.wait_for_completion(f"i{number}")
        server.close()
    await database.close()
    print("done", flush=True)


if __name__ == "__main__":
    note_executions_in(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[3])))
