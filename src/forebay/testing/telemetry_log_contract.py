"""What every telemetry log must do, as tests.

Subclass `TelemetryLogContract` in a test module and give it a `storage` fixture: a `LogStorage` that is empty. Several partitions
are allowed, and so are gaps between offsets. It needs pytest with pytest-asyncio in auto mode.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import pytest

from forebay.errors import ForebayError
from forebay.telemetry.log.port import Entry, Positions, StoredEntry, TelemetryLog

DEADLINE_SECONDS = 20.0
WAITING_LIMIT_BYTES = 1 << 20
STORED_LIMIT_BYTES = 8 << 20
REFUSALS = {"telemetry_log_full", "telemetry_log_busy", "telemetry_log_unavailable", "disk_full"}


class LogStorage(Protocol):
    """Where a log keeps its entries, and what a test can do to it."""

    async def open(self) -> TelemetryLog:
        """A log that finds what earlier ones have left here.

        It takes at most about `WAITING_LIMIT_BYTES` before they are stored, and keeps about `STORED_LIMIT_BYTES`, or more if
        `has_bounded_storage` is false.
        """
        ...

    has_bounded_storage: bool

    def stalled(self) -> AbstractContextManager[None]:
        """As long as it is entered, the storage takes what it gets and confirms nothing."""
        ...

    def failing(self) -> AbstractContextManager[None]:
        """As long as it is entered, the storage refuses what it gets."""
        ...


def numbered(number: int, size_bytes: int = 0) -> Entry:
    """An entry that tells its number."""
    return Entry(topic="logs.raw", payload=b"%d " % number + bytes(size_bytes), record_count=1, headers={"number": str(number)})


def number_of(stored: StoredEntry) -> int:
    """Which of the `numbered` it is."""
    return int(stored.entry.headers["number"])


def positions_of(entries: list[StoredEntry], after: Positions | None = None) -> dict[str, int]:
    """The position of who has read these entries, in the order in which `read` gave them."""
    return dict(after or {}) | {each.partition: each.offset for each in entries}


async def read_all(log: TelemetryLog, after: Positions | None = None, *, limit_bytes: int = 1 << 20) -> list[StoredEntry]:
    """Everything after these positions, in as many reads as it takes."""
    found: list[StoredEntry] = []
    while some := await log.read(positions_of(found, after), limit_bytes=limit_bytes):
        found += some
    return found


async def append_each(log: TelemetryLog, count: int, *, first: int = 0, size_bytes: int = 0) -> list[StoredEntry]:
    """Append entries one after another."""
    return [await log.append(numbered(number, size_bytes)) for number in range(first, first + count)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that no event tells of."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


def by_partition(entries: list[StoredEntry]) -> Mapping[str, list[StoredEntry]]:
    """The entries of each partition, in the order given."""
    found: dict[str, list[StoredEntry]] = defaultdict(list)
    for each in entries:
        found[each.partition].append(each)
    return found


def is_not_after(entry: StoredEntry, positions: Positions) -> bool:
    """Whether who has read up to these positions has read the entry."""
    return entry.offset <= positions.get(entry.partition, 0)


class TelemetryLogContract:
    """The behaviour that callers rely on, whichever adapter they got."""

    @pytest.fixture
    async def log(self, storage: LogStorage) -> AsyncIterator[TelemetryLog]:
        """A log that is closed afterwards."""
        log = await storage.open()
        yield log
        await log.close()

    async def test_a_new_log_is_empty_and_at_its_beginning(self, log: TelemetryLog) -> None:
        assert await log.read({}, limit_bytes=1) == []
        assert all(offset == 0 for offset in log.ends().values())

    @pytest.mark.parametrize(
        "entry",
        [
            Entry(topic="logs.raw", payload=b"", record_count=0),
            Entry(topic="", payload=b"\0", record_count=1, headers={"": ""}),
            Entry(
                topic="metrics.raw", payload=bytes(range(256)) * 7, record_count=1 << 31, headers={"project": "ü 日本 🌊", "line": "a\nb"}
            ),
            Entry(topic="traces.raw", payload=b"x" * (WAITING_LIMIT_BYTES - 4096), record_count=1000),
        ],
        ids=["empty", "nothing but a zero byte", "every byte", "large"],
    )
    async def test_an_entry_is_read_back_as_it_was_also_by_a_log_opened_later(self, storage: LogStorage, entry: Entry) -> None:
        log = await storage.open()
        stored = await log.append(entry)
        assert stored.entry == entry
        assert await log.read({}, limit_bytes=1) == [stored]
        await log.close()
        again = await storage.open()
        assert await again.read({}, limit_bytes=1) == [stored]
        await again.close()

    async def test_offsets_grow_within_a_partition_and_over_restarts(self, storage: LogStorage) -> None:
        appended: list[StoredEntry] = []
        for _ in range(3):
            log = await storage.open()
            appended += await append_each(log, 5, first=len(appended))
            await log.close()
        for entries in by_partition(appended).values():
            offsets = [each.offset for each in entries]
            assert offsets == sorted(set(offsets))
            assert offsets[0] > 0

    async def test_entries_are_read_in_the_order_of_their_partition(self, log: TelemetryLog) -> None:
        appended = by_partition(await append_each(log, 50))
        assert by_partition(await read_all(log, limit_bytes=1)) == appended
        assert by_partition(await read_all(log)) == appended

    async def test_reading_begins_after_any_position(self, log: TelemetryLog) -> None:
        appended = await append_each(log, 20)
        for count in range(len(appended) + 1):
            after = positions_of(appended[:count])
            assert sorted(map(number_of, await read_all(log, after, limit_bytes=1))) == list(range(count, 20))

    async def test_reading_goes_back_as_well(self, log: TelemetryLog) -> None:
        appended = await append_each(log, 10)
        for count in (10, 0, 5, 3, 9, 1):
            assert len(await read_all(log, positions_of(appended[:count]))) == 10 - count

    async def test_a_read_is_about_as_large_as_asked_for(self, log: TelemetryLog) -> None:
        await append_each(log, 40, size_bytes=1000)
        some = await log.read({}, limit_bytes=10_000)
        assert 5 <= len(some) <= 20
        assert len(await log.read({}, limit_bytes=0)) >= 1
        assert len(await log.read({}, limit_bytes=1 << 40)) == 40

    async def test_entries_larger_than_the_limit_are_read_one_after_another(self, log: TelemetryLog) -> None:
        appended = await append_each(log, 5, size_bytes=300_000)
        assert by_partition(await read_all(log, limit_bytes=10)) == by_partition(appended)

    async def test_many_senders_at_once_are_each_acknowledged_with_a_place_of_their_own(self, log: TelemetryLog) -> None:
        appended = await asyncio.gather(*(log.append(numbered(number, 100)) for number in range(500)))
        assert len({(each.partition, each.offset) for each in appended}) == 500
        assert [number_of(each) for each in appended] == list(range(500))
        found = {(each.partition, each.offset): each for each in await read_all(log, limit_bytes=5000)}
        assert found == {(each.partition, each.offset): each for each in appended}

    async def test_appending_and_reading_go_on_at_the_same_time(self, log: TelemetryLog) -> None:
        async def send(first: int) -> None:
            await append_each(log, 50, first=first, size_bytes=500)

        async def follow() -> list[StoredEntry]:
            found: list[StoredEntry] = []
            while len(found) < 400:
                await log.wait(positions_of(found))
                found += await log.read(positions_of(found), limit_bytes=5000)
            return found

        async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
            reader = group.create_task(follow())
            for first in range(0, 400, 50):
                group.create_task(send(first))
        assert sorted(map(number_of, reader.result())) == list(range(400))
        for entries in by_partition(reader.result()).values():
            assert [each.offset for each in entries] == sorted(each.offset for each in entries)

    async def test_the_ends_are_never_before_what_was_acknowledged(self, log: TelemetryLog) -> None:
        async def send(number: int) -> None:
            stored = await log.append(numbered(number))
            assert is_not_after(stored, log.ends())

        await asyncio.gather(*(send(number) for number in range(200)))
        found = await read_all(log)
        assert positions_of(found) == {partition: offset for partition, offset in log.ends().items() if offset}

    async def test_the_ends_are_known_again_after_a_restart(self, storage: LogStorage) -> None:
        log = await storage.open()
        await append_each(log, 10)
        ends = log.ends()
        await log.close()
        again = await storage.open()
        assert again.ends() == ends
        await again.close()

    async def test_waiting_ends_with_an_entry_after_the_positions_for_everybody_who_waits(self, log: TelemetryLog) -> None:
        first = await log.append(numbered(0))
        await asyncio.wait_for(log.wait({}), DEADLINE_SECONDS)
        waiters = [asyncio.create_task(log.wait(log.ends())) for _ in range(5)]
        _, pending = await asyncio.wait(waiters, timeout=0.05)
        assert len(pending) == 5
        await log.append(numbered(1))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.gather(*waiters)
            await log.wait(positions_of([first]))

    async def test_waiting_can_be_cancelled(self, log: TelemetryLog) -> None:
        waiter = asyncio.create_task(log.wait({}))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await log.append(numbered(0))
        await asyncio.wait_for(log.wait({}), DEADLINE_SECONDS)

    async def test_release_keeps_what_is_after_and_the_order_of_offsets(self, storage: LogStorage) -> None:
        log = await storage.open()
        appended = await append_each(log, 60, size_bytes=50_000)
        for count in (0, 1, 17, 30, 59):
            after = positions_of(appended[:count])
            await log.release(after)
            assert [number_of(each) for each in await read_all(log, after)] == list(range(count, 60))
        await log.release(log.ends())
        await log.release(log.ends())
        ends = log.ends()
        await log.close()
        again = await storage.open()
        assert await read_all(again, positions_of(appended)) == []
        later = await again.append(numbered(60))
        assert not is_not_after(later, ends)
        assert await read_all(again, positions_of(appended)) == [later]
        await again.close()

    async def test_nothing_is_acknowledged_or_read_before_it_is_durable(self, storage: LogStorage, log: TelemetryLog) -> None:
        before = await log.append(numbered(0))
        ends = dict(log.ends())
        with storage.stalled():
            sender = asyncio.create_task(log.append(numbered(1)))
            waiter = asyncio.create_task(log.wait(positions_of([before])))
            done, _ = await asyncio.wait([sender, waiter], timeout=0.1)
            assert not done
            assert await log.read(positions_of([before]), limit_bytes=1 << 20) == []
            assert log.ends() == ends
        stored = await asyncio.wait_for(sender, DEADLINE_SECONDS)
        await asyncio.wait_for(waiter, DEADLINE_SECONDS)
        assert await log.read(positions_of([before]), limit_bytes=1 << 20) == [stored]

    async def test_what_waits_for_the_storage_is_bounded_and_more_is_refused_for_now(self, storage: LogStorage, log: TelemetryLog) -> None:
        size_bytes = WAITING_LIMIT_BYTES // 16
        with storage.stalled():
            senders = [asyncio.create_task(log.append(numbered(number, size_bytes))) for number in range(40)]
            await until(lambda: sum(each.done() for each in senders) >= 24)
            refused = [each for each in senders if each.done()]
            for each in refused:
                error = each.exception()
                assert isinstance(error, ForebayError)
                assert (error.code, error.retryable, error.status) == ("telemetry_log_busy", True, 503)
        results = await asyncio.wait_for(asyncio.gather(*senders, return_exceptions=True), DEADLINE_SECONDS)
        acknowledged = [each for each in results if isinstance(each, StoredEntry)]
        assert 8 <= len(acknowledged) <= 16
        assert sorted(map(number_of, await read_all(log))) == sorted(map(number_of, acknowledged))
        await log.append(numbered(40, size_bytes))

    async def test_what_is_stored_is_bounded_and_more_is_refused_until_some_is_released(
        self, storage: LogStorage, log: TelemetryLog
    ) -> None:
        if not storage.has_bounded_storage:
            return
        appended: list[StoredEntry] = []

        async def append_until_refused() -> None:
            while len(appended) < 1000:
                appended.append(await log.append(numbered(len(appended), 100_000)))

        with pytest.raises(ForebayError) as caught:
            await append_until_refused()
        assert (caught.value.code, caught.value.retryable, caught.value.status) == ("telemetry_log_full", True, 503)
        with pytest.raises(ForebayError) as looked:
            log.check_room(100_000)
        assert looked.value.code == "telemetry_log_full"
        assert 0.5 * STORED_LIMIT_BYTES <= 100_000 * len(appended) <= 1.1 * STORED_LIMIT_BYTES
        assert len(await read_all(log)) == len(appended)
        await log.release(positions_of(appended))
        log.check_room(100_000)
        await log.append(numbered(1000, 100_000))

    async def test_an_entry_that_can_never_be_taken_is_refused_for_good(self, log: TelemetryLog) -> None:
        with pytest.raises(ForebayError) as caught:
            await log.append(numbered(0, 65 << 20))
        assert (caught.value.code, caught.value.retryable, caught.value.status) == ("entry_too_large", False, 413)
        await log.append(numbered(1))
        assert [number_of(each) for each in await read_all(log)] == [1]

    async def test_failing_storage_is_told_and_loses_nothing_and_it_goes_on_by_itself(self, storage: LogStorage, log: TelemetryLog) -> None:
        appended = await append_each(log, 3)
        with storage.failing():
            for number in range(100, 120):
                with pytest.raises(ForebayError) as caught:
                    await log.append(numbered(number))
                assert caught.value.code in REFUSALS
                assert (caught.value.retryable, caught.value.status) == (True, 503)
        appended += await append_each(log, 3, first=3)
        found = await read_all(log)
        assert [number_of(each) for each in found if number_of(each) < 100] == [number_of(each) for each in appended]
        assert {each.offset for each in appended if each in found} == {each.offset for each in appended}

    async def test_a_sender_that_gives_up_disturbs_nobody(self, storage: LogStorage, log: TelemetryLog) -> None:
        with storage.stalled():
            senders = [asyncio.create_task(log.append(numbered(number))) for number in range(10)]
            await asyncio.sleep(0)
            for each in senders[::2]:
                each.cancel()
            await asyncio.sleep(0)
        results = await asyncio.wait_for(asyncio.gather(*senders, return_exceptions=True), DEADLINE_SECONDS)
        acknowledged = {number_of(each) for each in results if isinstance(each, StoredEntry)}
        assert acknowledged == {1, 3, 5, 7, 9}
        assert acknowledged <= {number_of(each) for each in await read_all(log)}
        await log.append(numbered(10))

    async def test_closing_during_appends_leaves_none_without_an_answer(self, storage: LogStorage) -> None:
        log = await storage.open()
        first = await log.append(numbered(0))
        with storage.stalled():
            senders = [asyncio.create_task(log.append(numbered(1)))]
            await asyncio.wait(senders, timeout=0.05)  # it is on its way to the storage, and the next ones wait for it
            senders += [asyncio.create_task(log.append(numbered(number, 1000))) for number in range(2, 300)]
            await asyncio.sleep(0)
            closing = asyncio.create_task(log.close())
            senders += [asyncio.create_task(log.append(numbered(number, 1000))) for number in range(300, 600)]
            await asyncio.sleep(0)
        results = await asyncio.wait_for(asyncio.gather(*senders, return_exceptions=True), DEADLINE_SECONDS)
        await closing
        acknowledged = {number_of(each) for each in [first, *results] if isinstance(each, StoredEntry)}
        for error in [each for each in results if not isinstance(each, StoredEntry)]:
            assert isinstance(error, ForebayError)
            assert error.retryable
        again = await storage.open()
        assert acknowledged <= {number_of(each) for each in await read_all(again)}
        await again.close()

    async def test_a_closed_log_refuses_and_may_be_closed_again(self, storage: LogStorage) -> None:
        log = await storage.open()
        await log.append(numbered(0))
        await asyncio.gather(log.close(), log.close())
        await log.close()
        with pytest.raises(ForebayError) as caught:
            await log.append(numbered(1))
        assert (caught.value.code, caught.value.retryable) == ("telemetry_log_unavailable", True)
