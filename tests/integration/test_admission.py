"""Whether a file may be sent now, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.integration.durable_bench import virtual_effects

from forebay.app import schemas
from forebay.catalog.backlog import Lane
from forebay.database import Database, Transaction
from forebay.errors import ForebayError
from forebay.intake.admission import LONGEST_PAUSE_SECONDS, LOOK_SECONDS, RECEIVING_LIMIT, UNMEASURED_PAUSE_SECONDS, Admission
from forebay.testing.inline import open_inline_database
from forebay.testing.virtual_loop import run_virtual

Result = TypeVar("Result")

MINE: Lane = ("mine", "upload")
YOURS: Lane = ("yours", "upload")
FOLDER: Lane = ("mine", "/folder")
MIB = 1 << 20


class Inline:
    """Blocking calls on the loop."""

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


@dataclass
class Door:
    database: Database
    admission: Admission
    disk: list[int]
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def arrive(self, lane: Lane, count: int) -> None:
        def unit(tx: Transaction) -> None:
            columns = "event_id, kind, document_id, project, source, name, place, blob_name, size_bytes, actor, correlation_id, at"
            rows = [(str(next(self.numbers)), *lane) for _ in range(count)]
            tx.execute_many(f"INSERT INTO arrivals ({columns}) VALUES (?, 'created', 'd', ?, ?, 'n', 'p', 'b', 1, 'a', 'c', 1)", rows)

        await self.database.writer.submit(unit)

    async def settle(self, lane: Lane, count: int) -> None:
        chosen = "SELECT sequence FROM arrivals WHERE outcome IS NULL AND project = ? AND source = ? ORDER BY sequence LIMIT ?"
        await self.database.writer.submit(
            lambda tx: tx.execute(f"UPDATE arrivals SET outcome = 'indexed' WHERE sequence IN ({chosen})", (*lane, count))
        )

    async def drain(self, lane: Lane, per_second: int) -> None:
        while True:
            await asyncio.sleep(1)
            await self.settle(lane, per_second)

    async def send(self, lane: Lane | None = MINE, size_bytes: int = 0) -> None:
        """What a route does."""
        async with self.admission.room(lane, size_bytes):
            if lane is not None:
                await self.arrive(lane, 1)

    async def refusal(self, lane: Lane | None = MINE, size_bytes: int = 0) -> ForebayError | None:
        try:
            await self.send(lane, size_bytes)
        except ForebayError as error:
            assert (error.status, error.retryable) == (503, True)
            return error
        return None


def play(tmp_path: Path, story: Callable[[Door], Awaitable[Result]], *, backlog_limit: int = 10, min_free_bytes: int = 100 * MIB) -> Result:
    async def main() -> Result:
        effects, clock = virtual_effects()
        object.__setattr__(effects, "blocking", Inline())
        database, _ = open_inline_database(tmp_path / "catalog.db", schemas(), clock=clock)
        disk = [1000 * MIB]
        admission = Admission(database.readers, effects, lambda: disk[0], backlog_limit=backlog_limit, min_free_bytes=min_free_bytes)
        try:
            return await story(Door(database, admission, disk))
        finally:
            await database.close()

    return run_virtual(main)


def test_files_are_taken_up_to_the_limit_and_again_when_others_have_ended(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        for _ in range(10):
            await door.send()
        refused = await door.refusal()
        assert refused is not None
        assert refused.code == "backlog_full"
        assert "'mine'" in refused.message
        assert "FOREBAY_BACKLOG_LIMIT" in refused.hint
        await door.settle(MINE, 3)
        await asyncio.sleep(LOOK_SECONDS)
        assert [await door.refusal() is None for _ in range(4)] == [True, True, True, False]

    play(tmp_path, story)


def test_many_at_once_are_counted_before_their_arrivals_can_be_seen(tmp_path: Path) -> None:
    async def story(door: Door) -> list[ForebayError | None]:
        return await asyncio.gather(*(door.refusal() for _ in range(64)))

    found = play(tmp_path, story)
    assert sum(each is None for each in found) == 10


def test_only_who_fills_the_backlog_is_refused(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        await door.arrive(FOLDER, 50_000)
        for _ in range(4):
            await door.send(YOURS)
        assert await door.refusal(FOLDER) is not None
        await door.send(MINE)
        await asyncio.sleep(LOOK_SECONDS)
        assert await door.refusal(YOURS) is not None  # it has more than a third of the limit
        await door.send(MINE)

    play(tmp_path, story)


@pytest.mark.parametrize(("per_second", "pause_seconds"), [(50, 1), (10, 5), (2, 25), (0, LONGEST_PAUSE_SECONDS)])
def test_the_pause_follows_the_rate_at_which_work_ends(tmp_path: Path, per_second: int, pause_seconds: float) -> None:
    async def story(door: Door) -> None:
        await door.arrive(MINE, 1000 + 29 * per_second)
        draining = asyncio.create_task(door.drain(MINE, per_second))
        for _ in range(15):
            await asyncio.sleep(2)
            refused = await door.refusal()
        draining.cancel()
        assert refused is not None
        assert refused.retry_after_seconds is not None
        assert refused.retry_after_seconds == pytest.approx(pause_seconds, rel=0.3)

    play(tmp_path, story, backlog_limit=960)


def test_who_is_refused_later_is_asked_to_come_back_later(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        await door.arrive(MINE, 2000)
        draining = asyncio.create_task(door.drain(MINE, 10))
        await door.refusal()
        await asyncio.sleep(5)
        pauses = [refused.retry_after_seconds for _ in range(200) if (refused := await door.refusal())]
        draining.cancel()
        assert pauses[0] is not None
        assert pauses[-1] is not None
        assert 15 < pauses[-1] - pauses[0] < 30

    play(tmp_path, story, backlog_limit=1940)


def test_without_a_measurement_the_pause_is_a_guess(tmp_path: Path) -> None:
    async def story(door: Door) -> list[float | None]:
        await door.arrive(MINE, 10)
        first = await door.refusal()
        await asyncio.sleep(3600)  # what happened in an hour says nothing of now
        later = await door.refusal()
        return [each.retry_after_seconds for each in (first, later) if each]

    assert play(tmp_path, story) == [UNMEASURED_PAUSE_SECONDS] * 2


def test_a_disk_that_would_become_too_full_refuses_files_and_resumes_by_itself(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        assert await door.refusal(size_bytes=900 * MIB) is None
        refused = await door.refusal(size_bytes=901 * MIB)
        assert refused is not None
        assert refused.code == "disk_full"
        assert "FOREBAY_MIN_FREE_DISK_MB" in refused.hint
        door.disk[0] = 99 * MIB
        await asyncio.sleep(LOOK_SECONDS)
        for lane in (MINE, None):
            refused = await door.refusal(lane)
            assert refused is not None
            assert refused.code == "disk_full"
        door.disk[0] = 200 * MIB
        await asyncio.sleep(LOOK_SECONDS)
        assert await door.refusal() is None

    play(tmp_path, story)


def test_files_under_way_count_against_the_disk_and_one_that_goes_away_no_more(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async def slow() -> None:
            async with door.admission.room(MINE, 500 * MIB):
                await asyncio.sleep(1000)

        client = asyncio.create_task(slow())
        await asyncio.sleep(5)
        assert (refused := await door.refusal(size_bytes=500 * MIB)) is not None
        assert refused.code == "disk_full"
        client.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await client
        assert await door.refusal(size_bytes=500 * MIB) is None

    play(tmp_path, story)


def test_a_file_that_fails_half_way_leaves_its_room_to_others(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        for _ in range(100):
            with contextlib.suppress(ConnectionError):
                async with door.admission.room(MINE, MIB):
                    raise ConnectionError
        for _ in range(10):
            await door.send()

    play(tmp_path, story)


def test_no_more_files_are_received_at_once_than_memory_is_meant_for(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async def slow() -> None:
            async with door.admission.room(None, 0):
                await asyncio.sleep(10)

        clients = [asyncio.create_task(slow()) for _ in range(RECEIVING_LIMIT)]
        await asyncio.sleep(1)
        refused = await door.refusal()
        assert refused is not None
        assert refused.code == "too_many_requests"
        await asyncio.gather(*clients)
        await door.send()

    play(tmp_path, story)


def test_a_blob_that_is_no_arrival_does_not_wait_for_the_backlog(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        await door.arrive(MINE, 1000)
        assert await door.refusal(MINE) is not None
        assert await door.refusal(None) is None

    play(tmp_path, story)
