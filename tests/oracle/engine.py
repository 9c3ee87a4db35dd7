"""The same instance on the whole engine, in virtual time and in the same world, over several lives of the program."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.oracle.lockstep import INSTANCE_ID, Ending, Event
from tests.oracle.world import BROKEN, START, START_US, World

from forebay.database import Migration
from forebay.durable import DurableClient, DurableEngine, OrchestrationContext, Registry
from forebay.durable.instances.run import expect, replay
from forebay.durable.journal.journal import History, InstanceRow, from_json, load_history, load_instance, schema
from forebay.effects import Effects, real_effects
from forebay.errors import ForebayError
from forebay.testing.inline import Hook, InlineWriter, SimulatedCrash, crash_database, open_inline_database
from forebay.testing.virtual_loop import SeededRandomness, VirtualClock, run_virtual
from forebay.values.times import to_microseconds

WAIT_SECONDS = 100_000.0  # longer than anything takes

# what has been sent and not yet told to the sender is not sent again
SENT_EVENTS = """
CREATE TABLE sent_events (payload TEXT);
CREATE TRIGGER event_sent AFTER INSERT ON messages WHEN new.kind = 'event' BEGIN INSERT INTO sent_events VALUES (new.payload); END;
"""
SCHEMAS: Mapping[str, Sequence[Migration]] = {"durable": schema(), "test": [SENT_EVENTS]}


@dataclass(frozen=True)
class Crash:
    """Where a life of the program ends: before or after one of its commits, or after the first that has left something."""

    commit: int | None = None  # from 1
    is_durable: bool = True


@dataclass(frozen=True)
class Told:
    """What the journal says of an instance."""

    status: str
    output: Any
    custom_status: Any

    @classmethod
    def of(cls, ending: Ending) -> Told:
        """What it must say after the model has ended so."""
        if ending.status == "failed":
            assert ending.recorded_failure is not None
            return cls("Failed", ending.recorded_failure.to_json(), ending.custom_status)
        return cls("Completed" if ending.status == "completed" else "Running", ending.output, ending.custom_status)


@dataclass
class EngineRun:
    """One instance, and the outside that outlives each life of the program."""

    path: Path
    orchestrator: Callable[[Any], Any]
    value: Any
    world: World
    events: Sequence[Event] = ()
    now: datetime = START
    commit_count: int = 0  # in the last life
    life_count: int = 0

    def live(self, crash: Crash | None = None) -> Told | None:
        """Let the program run until the instance has ended, or waits for ever; None when the program died before."""
        self.life_count += 1
        is_over = run_virtual(lambda: self._live(crash))
        return self._told() if is_over else None

    def check_prefixes(self) -> None:
        """However much of the history a restart finds, replaying it and then living through the rest leads to the same outcome."""
        row, history = self.recorded()
        told = self._told()
        for length in range(len(history) + 1):
            run = replay(row, self.orchestrator, history[:length])
            assert not run.driver.context.is_replaying
            for _, fact in history[length:]:
                expect(run, fact)
                run.apply(fact)
            run.driver.close()
            outcome = run.driver.outcome
            if told.status == "Running":
                assert outcome is None
            elif told.status == "Failed":
                assert outcome is not None and outcome.failure is not None
                assert outcome.failure.to_json() == told.output
            else:
                assert outcome is not None and outcome.failure is None
                assert json.loads(json.dumps(outcome.output)) == told.output

    def recorded(self) -> tuple[InstanceRow, History]:
        """What the journal has of the last incarnation."""
        connection = sqlite3.connect(self.path)
        row = load_instance(connection, INSTANCE_ID)
        assert row is not None
        history = load_history(connection, row.key)
        connection.close()
        return row, history

    async def _live(self, crash: Crash | None) -> bool:
        clock = VirtualClock(asyncio.get_running_loop(), start=self.now)
        real = real_effects(thread_count=1)
        effects = Effects(clock=clock, random=SeededRandomness(self.life_count), files=real.files, blocking=real.blocking)
        before, after = self._death(crash, is_durable=False), self._death(crash, is_durable=True)
        database, writer = open_inline_database(self.path, SCHEMAS, clock=clock, before_commit=before, after_commit=after)
        self._observer = sqlite3.connect(self.path)
        self._found = self._content()
        life = asyncio.create_task(self._work(DurableEngine(self._registry(clock), database, effects=effects), clock, writer))
        await asyncio.wait({life, writer.crashed}, return_when=asyncio.FIRST_COMPLETED)
        self._observer.close()
        self.now, self.commit_count = clock.now(), writer.commit_count
        if not writer.crashed.done():
            await database.close()
            await life
            return True
        crash_database(database)
        mine = asyncio.all_tasks() - {asyncio.current_task()}
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        return False

    def _death(self, crash: Crash | None, *, is_durable: bool) -> Hook:
        def hook(commit: int) -> None:
            if crash is None or crash.is_durable != is_durable:
                return
            if commit == crash.commit or (crash.commit is None and self._content() != self._found):
                raise SimulatedCrash

        return hook

    def _content(self) -> list[Any]:
        return [self._observer.execute(f"SELECT * FROM {table}").fetchall() for table in ("instances", "history", "messages")]

    async def _work(self, engine: DurableEngine, clock: VirtualClock, writer: InlineWriter) -> None:
        async with engine:
            if not self._rows("SELECT id FROM instances WHERE id = ?", INSTANCE_ID):
                await engine.client.start_new(self.orchestrator.__name__, INSTANCE_ID, self.value)
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send_events(engine.client, clock))
                try:
                    await engine.client.wait_for_completion(INSTANCE_ID, WAIT_SECONDS)
                except TimeoutError:
                    pass  # it waits for ever; the model says whether it should
                finally:
                    sender.cancel()

    async def _send_events(self, client: DurableClient, clock: VirtualClock) -> None:
        sent_count = len(self._rows("SELECT payload FROM sent_events"))
        for after_us, name, data in sorted(self.events, key=lambda event: event[0])[sent_count:]:
            await asyncio.sleep((START_US + after_us - to_microseconds(clock.now())) / 1e6)
            try:
                await client.raise_event(INSTANCE_ID, name, data)
            except ForebayError:
                return  # it has ended

    def _registry(self, clock: VirtualClock) -> Registry:
        registry = Registry()
        registry.orchestrator(self.orchestrator)

        @registry.activity
        async def work(call: dict[str, Any]) -> Any:
            now_us = to_microseconds(clock.now())
            attempt = self.world.attempt(call, now_us)
            await asyncio.sleep((attempt.ends_at_us - now_us) / 1e6)
            if attempt.failure is not None:
                raise ForebayError(BROKEN, attempt.failure, retryable=True)
            return self.world.result(call)

        @registry.orchestrator
        def leaf(context: OrchestrationContext) -> Any:
            return (yield context.call_activity("work", context.get_input()))

        return registry

    def _told(self) -> Told:
        [(status, output, custom_status)] = self._rows("SELECT status, output, custom_status FROM instances WHERE id = ?", INSTANCE_ID)
        return Told(status, output and from_json(output), custom_status and from_json(custom_status))

    def _rows(self, statement: str, *parameters: Any) -> list[Any]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(statement, parameters).fetchall()
        finally:
            connection.close()
