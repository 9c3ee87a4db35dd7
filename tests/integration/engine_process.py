"""A program of its own that starts instances and runs them until it is killed; see test_engine_kill.

Usage: engine_process DATABASE INSTANCE_COUNT. It writes a line when the engine runs and one when all instances have ended.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from forebay.database import Transaction, open_database
from forebay.durable import ActivityFailed, DurableEngine, OrchestrationContext, Registry, RetryOptions, Task
from forebay.durable.journal.journal import schema
from forebay.effects import SystemClock
from forebay.errors import ForebayError

registry = Registry()


@registry.orchestrator
def mixed(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
    number = context.get_input()
    first = yield context.call_activity("double", number)
    stored = [context.call_activity("store", f"{context.instance_id}-{part}") for part in range(3)]
    parts = yield context.task_all([*stored, *(context.call_activity("double", part) for part in range(3))])
    try:
        yield context.call_activity_with_retry("refuse", RetryOptions(1, 3), number)
    except ActivityFailed as error:
        return [first, parts, error.code, (yield context.call_activity("store", f"{context.instance_id}-end"))]


@registry.activity
async def double(value: int) -> int:
    await asyncio.sleep(value % 3 / 1000)
    return 2 * value


@registry.activity
async def refuse(value: int) -> None:
    raise ForebayError("refused", f"{value} is refused", retryable=value % 2 == 0)


@registry.transactional
def store(tx: Transaction, name: str) -> int:
    tx.execute("INSERT INTO effects VALUES (?)", (name,))
    found: int = tx.execute("SELECT count(*) FROM effects WHERE name = ?", (name,)).fetchone()[0]
    return found


def expected_output(number: int) -> list[Any]:
    """What instance `number` returns."""
    return [2 * number, [1, 1, 1, 0, 2, 4], "refused", 1]


async def main(path: Path, count: int) -> None:
    schemas = {"durable": schema(), "test": ["CREATE TABLE effects (name TEXT NOT NULL)"]}
    database = await open_database(path, schemas, clock=SystemClock())
    async with DurableEngine(registry, database) as engine:
        sys.stdout.write("running\n")
        sys.stdout.flush()

        async def run(number: int) -> None:
            await engine.client.start_new("mixed", f"i{number}", number)
            await engine.client.wait_for_completion(f"i{number}")

        await asyncio.gather(*(run(number) for number in range(count)))
    await database.close()
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
