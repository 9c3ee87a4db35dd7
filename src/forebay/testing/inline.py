"""The database without threads: the same group commit and the same snapshots, run on the event loop, with faults on demand.

Together with `forebay.testing.virtual_loop` a whole program becomes deterministic: one seed decides every order.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from forebay.database import Database, Migration, Transaction
from forebay.database.database import Synchronous, open_writer_connection
from forebay.database.group import GroupCommitter, Unit, database_unavailable
from forebay.database.readers import open_reader, read_snapshot
from forebay.database.writer import GROUP_LIMIT_UNITS, WriterLoad, answer_all
from forebay.effects import Clock

Result = TypeVar("Result")
Hook = Callable[[int], None]
Delay = Callable[[], float]

BULK_LIMIT_UNITS = 16  # bulk units in one commit; the writer of production has a budget of time instead


class SimulatedCrash(BaseException):
    """The process died here. Not an `Exception`: no code under test may survive it."""


def ignore_commit(number: int) -> None:
    """The hook that does nothing."""


class InlineWriter:
    """A `Writer` that commits on the event loop.

    Units submitted in the same turn of the loop form one group (with `delay_seconds`, those submitted until that many
    virtual seconds have passed); units that arrive meanwhile form the next.

    `before_commit(n)` is called when the units of the n-th commit (from 1) have run and before the commit itself,
    `after_commit(n)` when it is durable and nobody has been told. Either may raise `SimulatedCrash`: the connection is
    closed, `crashed` is set, and every submit, earlier or later, stays without an answer. `before_commit` may also
    raise a `sqlite3.Error`: that commit fails, as on a full disk. `after_commit` may too: that commit is durable but
    was reported as failed, as after a lost fsync.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Clock,
        *,
        before_commit: Hook = ignore_commit,
        after_commit: Hook = ignore_commit,
        delay_seconds: Delay | None = None,
    ) -> None:
        self._connection = connection
        self._committer = GroupCommitter(connection, clock)
        self._before_commit = before_commit
        self._after_commit = after_commit
        self._delay_seconds = delay_seconds
        self._loop = asyncio.get_running_loop()
        self._journal: deque[tuple[Unit, asyncio.Future[Any]]] = deque()
        self._bulk: deque[tuple[Unit, asyncio.Future[Any]]] = deque()
        self._is_scheduled = False
        self._is_closed = False
        self.commit_count = 0  # begun, whether they succeeded or not
        self.crashed: asyncio.Future[None] = self._loop.create_future()

    def load(self) -> WriterLoad:
        return WriterLoad(
            journal_waiting_count=len(self._journal), bulk_waiting_count=len(self._bulk), commit_count=self.commit_count, commit_seconds=0.0
        )

    def not_before(self, time_us: int) -> None:
        self._committer.not_before(time_us)

    async def submit(self, unit: Callable[[Transaction], Result], *, bulk: bool = False) -> Result:
        if self._is_closed and not self.crashed.done():
            raise database_unavailable(RuntimeError("the program is stopping"))
        answer: asyncio.Future[Result] = self._loop.create_future()
        if not self.crashed.done():
            (self._bulk if bulk else self._journal).append((unit, answer))
            self._schedule()
        return await answer

    async def close(self) -> None:
        while not self._is_closed and (self._journal or self._bulk):
            self._flush()
        self._end()

    def crash(self) -> None:
        """Die here and now: nothing that is queued happens, nobody gets an answer."""
        self._journal.clear()
        self._bulk.clear()
        self._end()
        if not self.crashed.done():
            self.crashed.set_result(None)

    def _end(self) -> None:
        self._is_closed = True
        self._connection.close()

    def _schedule(self) -> None:
        if self._is_scheduled:
            return
        self._is_scheduled = True
        if self._delay_seconds is None:
            self._loop.call_soon(self._flush)
        else:
            self._loop.call_later(self._delay_seconds(), self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._is_closed or not (self._journal or self._bulk):
            return
        group = self._take_group()
        self.commit_count += 1
        try:
            outcomes = self._committer.commit(self._hooked(unit for unit, _ in group))
            try:
                self._after_commit(self.commit_count)
            except sqlite3.Error as error:
                outcomes = [database_unavailable(error)] * len(group)
        except SimulatedCrash:
            self.crash()
            return
        answer_all([future for _, future in group], outcomes)
        if self._journal or self._bulk:
            self._schedule()

    def _take_group(self) -> list[tuple[Unit, asyncio.Future[Any]]]:
        group = [self._journal.popleft() for _ in range(min(len(self._journal), GROUP_LIMIT_UNITS))]
        return group + [self._bulk.popleft() for _ in range(min(len(self._bulk), BULK_LIMIT_UNITS))]

    def _hooked(self, units: Iterator[Unit]) -> Iterator[Unit]:
        yield from units
        # raised by the iterator and not by a unit, so that it concerns the whole commit
        self._before_commit(self.commit_count)


class InlineReaders:
    """`Readers` that read on the event loop.

    Each read lets other work go on before it and after it, so an answer can be stale when it arrives, as with threads.
    """

    def __init__(self, path: Path, *, delay_seconds: Delay | None = None) -> None:
        self._connection = open_reader(path)
        self._delay_seconds = delay_seconds or (lambda: 0.0)

    async def run(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        await asyncio.sleep(self._delay_seconds())
        result = read_snapshot(self._connection, function)
        await asyncio.sleep(self._delay_seconds())
        return result

    async def close(self) -> None:
        self.crash()

    def crash(self) -> None:
        """Close without waiting."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


def open_inline_database(
    path: Path,
    schemas: Mapping[str, Sequence[Migration]],
    *,
    clock: Clock,
    before_commit: Hook = ignore_commit,
    after_commit: Hook = ignore_commit,
    delay_seconds: Delay | None = None,
    synchronous: Synchronous = "OFF",
) -> tuple[Database, InlineWriter]:
    """As `open_database`, without threads; the writer comes twice, the second time under its own type.

    `synchronous=OFF` survives a simulated crash, which never takes the operating system with it.
    """
    connection = open_writer_connection(path, schemas, synchronous=synchronous)
    writer = InlineWriter(connection, clock, before_commit=before_commit, after_commit=after_commit, delay_seconds=delay_seconds)
    return Database(writer, InlineReaders(path, delay_seconds=delay_seconds)), writer


def crash_database(database: Database) -> None:
    """What an abrupt end of the process does to an inline database."""
    for part in (database.readers, database.writer):
        if isinstance(part, InlineReaders | InlineWriter):
            part.crash()
