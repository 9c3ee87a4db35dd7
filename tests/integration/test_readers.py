from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forebay.database import Database, open_database
from forebay.effects import SystemClock

SCHEMA = {"test": ["CREATE TABLE items (name TEXT)"]}


@asynccontextmanager
async def opened(path: Path, *, reader_count: int = 2) -> AsyncIterator[Database]:
    database = await open_database(path, SCHEMA, clock=SystemClock(), reader_count=reader_count, synchronous="OFF")
    try:
        yield database
    finally:
        await database.close()


async def add(database: Database, name: str) -> None:
    await database.writer.submit(lambda tx: tx.execute("INSERT INTO items VALUES (?)", (name,)).rowcount)


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM items")]


async def test_a_read_sees_what_was_written_before_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "test.db") as database:
        for number in range(20):
            await add(database, str(number))
            assert len(await database.readers.run(names)) == number + 1


async def test_a_read_sees_one_snapshot_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    async with opened(tmp_path / "test.db") as database:
        await add(database, "a")
        loop = asyncio.get_running_loop()
        has_read, has_written = asyncio.Event(), threading.Event()

        def read_twice(connection: sqlite3.Connection) -> tuple[list[str], list[str]]:
            first = names(connection)
            loop.call_soon_threadsafe(has_read.set)
            assert has_written.wait(10)
            return first, names(connection)

        reading = asyncio.create_task(database.readers.run(read_twice))
        await has_read.wait()
        await add(database, "b")
        has_written.set()

        assert await reading == (["a"], ["a"])
        assert await database.readers.run(names) == ["a", "b"]


WRITES = ["INSERT INTO items VALUES ('x')", "DELETE FROM items", "CREATE TABLE other (x)", "PRAGMA user_version=5"]


@pytest.mark.parametrize("statement", WRITES)
async def test_a_reader_cannot_write(tmp_path: Path, statement: str) -> None:
    async with opened(tmp_path / "test.db", reader_count=1) as database:

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA query_only=OFF")
            connection.execute(statement)

        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await database.readers.run(write)
        assert await database.readers.run(names) == []


async def test_a_read_that_fails_leaves_its_connection_usable(tmp_path: Path) -> None:
    async with opened(tmp_path / "test.db", reader_count=1) as database:
        with pytest.raises(sqlite3.OperationalError):
            await database.readers.run(lambda connection: connection.execute("SELECT * FROM nowhere"))
        await add(database, "a")
        assert await database.readers.run(names) == ["a"]


async def test_a_read_that_finds_nothing_with_next_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with opened(tmp_path / "test.db") as database:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(database.readers.run(lambda connection: next(connection.execute("SELECT * FROM items"))), 10)


async def test_a_data_directory_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "50% of? my #files &c"
    folder.mkdir()
    async with opened(folder / "test.db") as database:
        await add(database, "a")
        assert await database.readers.run(names) == ["a"]


async def test_closing_waits_for_reads_under_way(tmp_path: Path) -> None:
    async with opened(tmp_path / "test.db") as database:
        await add(database, "a")
        loop = asyncio.get_running_loop()
        has_begun, go_on = asyncio.Event(), threading.Event()

        def slow(connection: sqlite3.Connection) -> list[str]:
            loop.call_soon_threadsafe(has_begun.set)
            assert go_on.wait(10)
            return names(connection)

        reading = asyncio.create_task(database.readers.run(slow))
        await has_begun.wait()
        closing = asyncio.create_task(database.readers.close())
        await asyncio.sleep(0)
        go_on.set()
        await closing

        assert await reading == ["a"]
