"""What ended long ago is forgotten, in pieces, and the file does not grow for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.integration.durable_bench import Bench, open_engine, rows

from forebay.database import Transaction
from forebay.durable import DeadLetters, OrchestrationContext, Registry, Retention, Task
from forebay.errors import ForebayError
from forebay.testing.virtual_loop import run_virtual

Steps = Generator[Task[Any], Any, Any]
AGE = timedelta(days=30)
DAY_SECONDS = 86_400.0


def registry() -> Registry:
    works = Registry()

    @works.activity
    async def echo(value: Any) -> Any:
        if value == "bad":
            raise ForebayError("broken", "it is bad")
        return value

    @works.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("echo", context.get_input()))

    @works.orchestrator
    def outer(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator("one", context.get_input()))

    @works.orchestrator
    def eternal(context: OrchestrationContext) -> Steps:
        yield context.call_sub_orchestrator("one", context.get_input())
        yield context.wait_for_external_event("go")
        context.continue_as_new(context.get_input() + 1)

    @works.orchestrator
    def waiting(context: OrchestrationContext) -> Steps:
        return (yield context.wait_for_external_event("go"))

    return works


def play(tmp_path: Path, story: Any) -> None:
    async def main() -> None:
        async with open_engine(registry(), tmp_path / "test.db", records_transitions=True) as bench:
            await story(bench)

    run_virtual(main)


def ids(tmp_path: Path) -> list[str]:
    return [each for (each,) in rows(tmp_path / "test.db", "SELECT id FROM instances WHERE parent IS NULL ORDER BY key")]


def test_only_what_ended_longer_ago_is_forgotten_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.run("outer", 1, instance_id="old")
        await bench.client.start_new("waiting", "running")
        await bench.clock.sleep(20 * DAY_SECONDS)
        await bench.run("one", 2, instance_id="young")
        await bench.clock.sleep(20 * DAY_SECONDS)
        found = await Retention(bench.engine, AGE).forget()
        assert (found.instances, found.letters) == (2, 0)
        await bench.client.raise_event("running", "go", 3)
        assert (await bench.client.wait_for_completion("running")).output == 3

    play(tmp_path, story)
    assert ids(tmp_path) == ["running", "young"]
    assert rows(tmp_path / "test.db", "SELECT count(*) FROM history") == [(2,)]


def test_what_has_an_open_dead_letter_stays_until_that_is_settled(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        letters, retention = DeadLetters(bench.engine), Retention(bench.engine, AGE)
        await bench.run("one", "bad", instance_id="mine")
        await bench.run("outer", "bad", instance_id="outer")
        await bench.run("one", "good", instance_id="good")
        await bench.clock.sleep(40 * DAY_SECONDS)
        assert (await retention.forget()).instances == 1
        assert ids(tmp_path) == ["mine", "outer"], "the second for its sub-orchestration's"
        await letters.purge([1, 2], by="me")
        assert (await retention.forget()).instances == 3
        assert (await retention.forget()).letters == 0
        await bench.clock.sleep(31 * DAY_SECONDS)
        assert (await retention.forget()).letters == 2

    play(tmp_path, story)
    assert rows(tmp_path / "test.db", "SELECT * FROM dead_letters") == []


def test_an_instance_that_begins_anew_for_ever_does_not_keep_the_sub_orchestrations_of_earlier_rounds(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.client.start_new("eternal", "i", 0)
        await bench.clock.sleep(DAY_SECONDS)
        for _ in range(3):
            await bench.client.raise_event("i", "go")
            await bench.clock.sleep(40 * DAY_SECONDS)
        assert len(await bench.client.get_status_all()) == 5
        assert (await Retention(bench.engine, AGE).forget()).instances == 3  # of the round under way it stays, also for a rewind
        assert len(await bench.client.get_status_all()) == 2

    play(tmp_path, story)


def test_transitions_stay_until_somebody_has_read_them(tmp_path: Path) -> None:
    drained = 0

    async def story(bench: Bench) -> None:
        nonlocal drained
        retention = Retention(bench.engine, AGE, drained=lambda: drained)
        await bench.run("one", 1)
        await bench.clock.sleep(40 * DAY_SECONDS)
        assert (await retention.forget()).events == 0
        drained = 1
        assert (await retention.forget()).events == 1
        drained = 10
        assert (await retention.forget()).events == 1

    play(tmp_path, story)
    assert rows(tmp_path / "test.db", "SELECT type FROM instance_events") == [("Purged",)]


def test_it_goes_on_by_itself(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.run("one", 1)
        running = asyncio.create_task(Retention(bench.engine, AGE).run())
        await bench.clock.sleep(29 * DAY_SECONDS)
        assert len(ids(tmp_path)) == 1
        await bench.clock.sleep(1 * DAY_SECONDS + 3700)
        assert len(ids(tmp_path)) == 0
        running.cancel()

    play(tmp_path, story)


def test_a_hundred_thousand_are_forgotten_in_pieces_and_their_room_is_used_again(tmp_path: Path) -> None:
    count, path = 100_000, tmp_path / "test.db"

    def fill(tx: Transaction, prefix: str) -> None:
        at = tx.now_us
        tx.execute_many(
            "INSERT INTO instances (id, name, status, input, lane, output, created_at, updated_at)"
            " VALUES (?, 'one', 'Completed', ?, '', '1', ?, ?)",
            ((f"{prefix}-{number}", f'"{number:0100}"', at, at) for number in range(count)),
        )
        tx.execute("INSERT INTO history SELECT key, 0, 'completed', 0, 'echo', 'hash', 1, ?, ?, '1' FROM instances", (at, at))

    sizes: list[int] = []
    longest_seconds = 0.0

    async def story(bench: Bench) -> None:
        nonlocal longest_seconds
        retention = Retention(bench.engine, AGE)
        submit = bench.writer.submit

        async def timed(unit: Any, *, bulk: bool = False) -> Any:
            nonlocal longest_seconds

            def run(tx: Transaction) -> Any:
                nonlocal longest_seconds
                began = time.perf_counter()
                try:
                    return unit(tx)
                finally:
                    longest_seconds = max(longest_seconds, time.perf_counter() - began)

            return await submit(run, bulk=bulk)

        for prefix in ("first", "second"):
            await bench.writer.submit(lambda tx, prefix=prefix: fill(tx, prefix))
            bench.clock.jump(40 * DAY_SECONDS)
            bench.writer.submit = timed  # type: ignore[method-assign]
            assert (await retention.forget()).instances == count
            bench.writer.submit = submit  # type: ignore[method-assign]
            bench.clock.jump(40 * DAY_SECONDS)
            await retention.forget()  # the transitions of the purge
            ((pages,),) = rows(path, "PRAGMA page_count")
            sizes.append(pages)

    play(tmp_path, story)
    assert rows(path, "SELECT count(*) FROM instances") == [(0,)]
    assert rows(path, "SELECT count(*) FROM history") == [(0,)]
    assert rows(path, "SELECT count(*) FROM instance_events") == [(0,)]
    assert max(sizes) <= sizes[0] * 1.02, sizes
    assert longest_seconds < 0.25, "everything else waits for it"
