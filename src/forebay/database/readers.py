"""Read-only connections: each call sees one consistent snapshot."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Readers(Protocol):
    """Where all reads go."""

    async def run(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        """Call `function` with a read-only connection, inside one read transaction."""
        ...

    async def close(self) -> None:
        """Wait for what runs, then close."""
        ...


class ThreadReaders:
    """A small pool of threads, each with a connection of its own."""

    def __init__(self, path: Path, *, count: int) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="forebay-reader")
        self._mine = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    async def run(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, function)

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._all:
            connection.close()

    def _read(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            connection = open_reader(self._path)
            self._mine.connection = connection
            with self._lock:
                self._all.append(connection)
        return read_snapshot(connection, function)


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only=ON")
    return connection


def read_snapshot(connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], Result]) -> Result:
    """Call `function` inside one read transaction."""
    connection.execute("BEGIN")
    try:
        return function(connection)
    except StopIteration as error:  # a future refuses it, and its caller would wait for ever
        raise RuntimeError(f"a read raised {error!r}") from error
    finally:
        connection.execute("ROLLBACK")
