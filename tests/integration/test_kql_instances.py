"""Orchestrations and dead letters in KQL: what the engine writes with each change of state, through the feed and the drainer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.integration.catalog_in_kql import DEFAULT_PROJECT, World, world

from forebay.durable import ActivityFailed, DurableEngine, OrchestrationContext, Registry, RetryOptions, Task
from forebay.durable.letters import DeadLetters
from forebay.errors import ForebayError
from forebay.telemetry.store.instance_stream import INSTANCE_PARTITION
from forebay.values.correlation import Correlation

Steps = Generator[Task[Any], Any, Any]
TRIES = RetryOptions(1, 3)


def works() -> Registry:
    """An activity that fails as often as its input says, and orchestrators that call it."""
    registry = Registry()
    failures: dict[str, int] = {}

    @registry.activity
    async def brittle(value: dict[str, Any]) -> str:
        failures[value["id"]] = failures.get(value["id"], 0) + 1
        if failures[value["id"]] <= value["failures"]:
            raise ForebayError("too_brittle", f"{value['id']} broke", retryable=True)
        return "whole"

    @registry.orchestrator
    def gentle(context: OrchestrationContext) -> Steps:
        try:
            return (yield context.call_activity_with_retry("brittle", TRIES, context.get_input()))
        except ActivityFailed:
            return "grüße"

    @registry.orchestrator
    def strict(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity_with_retry("brittle", TRIES, context.get_input()))

    @registry.orchestrator
    def rash(context: OrchestrationContext) -> Steps:
        yield context.create_timer(context.current_utc_datetime)
        raise ForebayError("rash_enough", "it fails of itself")

    @registry.orchestrator
    def round_again(context: OrchestrationContext) -> Steps:
        left: int = context.get_input()
        yield context.create_timer(context.current_utc_datetime)
        if left:
            context.continue_as_new(left - 1)

    @registry.orchestrator
    def patient(context: OrchestrationContext) -> Steps:
        return (yield context.wait_for_external_event("go"))

    return registry


@asynccontextmanager
async def engine_of(here: World) -> AsyncIterator[DurableEngine]:
    async with DurableEngine(works(), here.database, records_transitions=True) as engine:
        yield engine


async def run(engine: DurableEngine, name: str, instance_id: str, value: Any = None, project: str | None = "p") -> None:
    correlation = Correlation(id=f"c-{instance_id}", project=project)
    await engine.client.start_new(name, instance_id, value, correlation=correlation)
    await engine.client.wait_for_completion(instance_id)


async def test_an_instance_shows_how_it_ended_after_how_many_failures_and_how_large_it_was(tmp_path: Path) -> None:
    async with world(tmp_path) as here, engine_of(here) as engine:
        for failures, name in ((0, "gentle"), (2, "gentle"), (3, "gentle"), (3, "strict")):
            await run(engine, name, f"{name}-{failures}", {"id": f"{name}-{failures}", "failures": failures})
        columns = "id, name, type, status, failed_attempts, failure_code, input_bytes, output_bytes, operation_Id"
        assert await here.ask(f"instances | order by sequence asc | project {columns}") == [
            ("gentle-0", "gentle", "Completed", "Completed", 0, "", 30, 7, "c-gentle-0"),
            ("gentle-2", "gentle", "Completed", "Completed", 2, "", 30, 7, "c-gentle-2"),
            ("gentle-3", "gentle", "Completed", "Completed", 3, "", 30, 9, "c-gentle-3"),  # as UTF-8
            ("strict-3", "strict", "Failed", "Failed", 3, "too_brittle", 30, 66, "c-strict-3"),
        ]
        events = "instanceEvents | where id == 'strict-3' | order by sequence asc"
        assert await here.ask(f"{events} | project type, status, source, duration == 0.0, created_at <= timestamp") == [
            ("Started", "Running", "platform", True, True),
            ("Failed", "Failed", "platform", False, True),
        ]
        assert await here.ask(
            f"{events} | summarize dcount(created_at), max(duration) == 1.0 * (max(timestamp) - min(timestamp)) / 1ms"
        ) == [(1, True)]


async def test_a_dead_letter_tells_what_failed_why_and_how_often_and_who_is_to_blame(tmp_path: Path) -> None:
    async with world(tmp_path) as here, engine_of(here) as engine:
        await run(engine, "strict", "s", {"id": "s", "failures": 3})  # fails of its activity: one letter, not two
        await run(engine, "rash", "r")
        columns = "id, ['kind'], name, orchestrator, instance_id, code, reason, attempts, status, operation_Id"
        assert await here.ask(f"deadLetters | order by id asc | project {columns}") == [
            (1, "activity", "brittle", "strict", "s", "too_brittle", "s broke", 3, "open", "c-s"),
            (2, "orchestrator", "rash", "rash", "r", "rash_enough", "it fails of itself", 1, "open", "c-r"),
        ]
        assert await here.ask("deadLetters | order by id asc | project first_failed_at < last_failed_at, last_failed_at == timestamp") == [
            (True, True),
            (False, True),
        ]


async def test_a_dead_letter_shows_its_newest_state_and_its_events_how_it_came_to_it(tmp_path: Path) -> None:
    async with world(tmp_path) as here, engine_of(here) as engine:
        await run(engine, "rash", "a")
        await run(engine, "rash", "b")
        assert await here.ask("deadLetters | where status == 'open' | count") == [(2,)]
        await DeadLetters(engine).purge([1], by="me", reason="nobody needs it")
        await DeadLetters(engine).replay([2], by="you")  # fails again, as a letter of its own
        await engine.client.wait_for_completion("b")
        columns = "id, status, code, instance_id, settlement, timestamp > last_failed_at"
        assert await here.ask(f"deadLetters | order by id asc | project {columns}") == [
            (1, "purged", "rash_enough", "a", {"by": "me", "reason": "nobody needs it"}, True),
            (2, "replayed", "rash_enough", "b", {"by": "you", "instance_id": "b"}, True),
            (3, "open", "rash_enough", "b", None, False),
        ]
        assert await here.ask("deadLetterEvents | order by sequence asc | project id, type, status") == [
            (1, "DeadLettered", "open"),
            (2, "DeadLettered", "open"),
            (1, "DeadLetterPurged", "purged"),
            (2, "DeadLetterReplayed", "replayed"),
            (3, "DeadLettered", "open"),
        ]
        assert await here.ask("instanceEvents | where id == 'b' | order by sequence asc | project type, status") == [
            ("Started", "Running"),
            ("Failed", "Failed"),
            ("Rewound", "Running"),
            ("Failed", "Failed"),
        ]


async def test_what_is_done_to_an_instance_is_told_with_its_reason(tmp_path: Path) -> None:
    async with world(tmp_path) as here, engine_of(here) as engine:
        await engine.client.start_new("patient", "i", correlation=Correlation(id="c", project="p"))
        await engine.client.suspend("i", "for the night")
        assert await here.ask("instances | project type, status, reason") == [("Suspended", "Suspended", "for the night")]
        await engine.client.resume("i", "good morning")
        await engine.client.terminate("i", "not wanted any more")
        assert await here.ask("instanceEvents | order by sequence asc | project type, status, reason") == [
            ("Started", "Running", ""),
            ("Suspended", "Suspended", "for the night"),
            ("Resumed", "Running", "good morning"),
            ("Terminated", "Terminated", "not wanted any more"),
        ]


async def test_an_instance_that_begins_anew_is_as_old_as_its_newest_beginning(tmp_path: Path) -> None:
    async with world(tmp_path) as here, engine_of(here) as engine:
        await run(engine, "round_again", "i", 10)
        rows = await here.ask("instanceEvents | order by sequence asc | project type, input_bytes, created_at, timestamp, duration")
        assert [row[:2] for row in rows[:3]] == [("Started", 2), ("ContinuedAsNew", 1), ("ContinuedAsNew", 1)] and len(rows) == 12
        assert all(created_at == timestamp and duration == 0.0 for _, _, created_at, timestamp, duration in rows[:-1])
        assert rows[-1][2] == rows[-2][2]


async def test_instances_and_dead_letters_are_seen_in_their_own_project_and_without_one_in_the_default(tmp_path: Path) -> None:
    async with world(tmp_path) as here, engine_of(here) as engine:
        for project in ("p", "q", None, "q"):
            await run(engine, "rash", f"i{await _count(here)}", project=project)
        for table in ("instances", "deadLetters"):
            counts = [(await here.ask(f"{table} | count", project=project))[0][0] for project in ("p", "q", DEFAULT_PROJECT, "other")]
            assert counts == [1, 2, 1, 0], table


async def _count(here: World) -> int:
    return int((await here.database.readers.run(lambda connection: connection.execute("SELECT count(*) FROM instances").fetchone()))[0])


async def test_the_store_says_up_to_where_events_have_been_taken_and_takes_each_once(tmp_path: Path) -> None:
    for round_number in range(3):
        async with world(tmp_path) as here, engine_of(here) as engine:
            await run(engine, "rash", f"i{round_number}")
            assert await here.ask("instanceEvents | summarize count(), dcount(sequence)") == [(2 * (round_number + 1),) * 2]
            assert await here.ask("deadLetterEvents | count") == [(round_number + 1,)]
            assert here.store.positions[INSTANCE_PARTITION] == here.feed.ends()[INSTANCE_PARTITION] == 3 * (round_number + 1)


async def test_events_that_the_journal_has_deleted_stay_in_the_tables_and_new_ones_follow(tmp_path: Path) -> None:
    async with world(tmp_path) as here, engine_of(here) as engine:
        await run(engine, "rash", "old")
        assert await here.ask("instances | count") == [(1,)]
        await here.database.writer.submit(lambda tx: tx.execute("DELETE FROM instance_events").rowcount)
        await run(engine, "rash", "new")
        assert await here.ask("instances | order by sequence asc | project id") == [("old",), ("new",)]
