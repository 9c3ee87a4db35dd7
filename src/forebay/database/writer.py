"""The one writer of the database: a thread with two bounded queues."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from forebay.database.group import GroupCommitter, Unit, database_unavailable
from forebay.database.transaction import Transaction
from forebay.effects import Clock

Result = TypeVar("Result")

GROUP_LIMIT_UNITS = 512  # units in one commit
COMMITS_BETWEEN_LOOKS = 128  # at the size of the write-ahead log
LOG_LIMIT_BYTES = 128 << 20
BULK_BUDGET_SECONDS = 0.02  # bulk work in one commit, so that a large document never stalls the journal


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterLoad:
    """How busy a writer is."""

    journal_waiting_count: int  # units
    bulk_waiting_count: int
    commit_count: int  # since the start
    commit_seconds: float  # spent in these commits, their units included


class Writer(Protocol):
    """Where all writes go."""

    async def submit(self, unit: Callable[[Transaction], Result], *, bulk: bool = False) -> Result:
        """Run `unit` in a savepoint and return what it returned once it is durable.

        `bulk` units wait behind all others. Raises what the unit raised, or `ForebayError` with code
        `database_unavailable` when the commit failed. Units of one queue run in the order of their submission.
        """
        ...

    def not_before(self, time_us: int) -> None:
        """Make every later transaction time greater than `time_us`."""
        ...

    def load(self) -> WriterLoad:
        """How busy it is."""
        ...

    async def close(self) -> None:
        """Commit what is queued, then close."""
        ...


_Entry = tuple[Unit, "asyncio.Future[Any]", asyncio.Semaphore]


class ThreadWriter:
    """A `Writer` whose units run on a thread of their own."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock, *, queue_limit: int) -> None:
        self._connection = connection
        self._clock = clock
        self._committer = GroupCommitter(connection, clock)
        self._loop = asyncio.get_running_loop()
        self._rooms = {False: asyncio.Semaphore(queue_limit), True: asyncio.Semaphore(queue_limit)}
        self._journal: deque[_Entry] = deque()
        self._bulk: deque[_Entry] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._commit_count = 0
        self._commit_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="forebay-writer", daemon=True)
        self._thread.start()

    def load(self) -> WriterLoad:
        return WriterLoad(
            journal_waiting_count=len(self._journal),
            bulk_waiting_count=len(self._bulk),
            commit_count=self._commit_count,
            commit_seconds=self._commit_seconds,
        )

    def not_before(self, time_us: int) -> None:
        self._committer.not_before(time_us)

    async def submit(self, unit: Callable[[Transaction], Result], *, bulk: bool = False) -> Result:
        room = self._rooms[bulk]
        await room.acquire()
        answer: asyncio.Future[Result] = self._loop.create_future()
        with self._wake:
            if self._closing:
                room.release()
                raise database_unavailable(RuntimeError("the program is stopping"))
            (self._bulk if bulk else self._journal).append((unit, answer, room))
            self._wake.notify()
        # a caller that is cancelled cancels its answer alone: the unit keeps its place, and runs
        return await answer

    async def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._journal or self._bulk or self._closing):
                    self._wake.wait()
                if not (self._journal or self._bulk):
                    return
            group: list[_Entry] = []
            began = self._clock.monotonic()
            outcomes = self._committer.commit(self._units(group))
            self._commit_seconds += self._clock.monotonic() - began
            self._loop.call_soon_threadsafe(self._settle, group, outcomes)
            self._bound_log()

    def _bound_log(self) -> None:
        """Start the write-ahead log anew when overlapping readers have kept it from being reused for long."""
        self._commit_count += 1
        if self._commit_count % COMMITS_BETWEEN_LOOKS:
            return
        path = Path(f"{self._connection.execute('PRAGMA database_list').fetchone()[2]}-wal")
        if not path.exists() or path.stat().st_size < LOG_LIMIT_BYTES:
            return
        # it waits for readers of the old part, but never long; the next look tries again
        self._connection.execute("PRAGMA busy_timeout=100")
        self._connection.execute("PRAGMA wal_checkpoint(RESTART)")
        self._connection.execute("PRAGMA busy_timeout=5000")

    @staticmethod
    def _settle(group: list[_Entry], outcomes: list[Any | BaseException]) -> None:
        for _, _, room in group:
            room.release()
        answer_all([answer for _, answer, _ in group], outcomes)

    def _units(self, group: list[_Entry]) -> Iterator[Unit]:
        """Every journal unit that is waiting, then bulk units within their budget, and at least one of them.

        At least one however many journal units there are, so that neither queue starves the other.
        """
        while self._journal and len(group) < GROUP_LIMIT_UNITS:
            group.append(self._journal.popleft())
            yield group[-1][0]
        bulk_began = self._clock.monotonic()
        while self._bulk:
            group.append(self._bulk.popleft())
            yield group[-1][0]
            if len(group) >= GROUP_LIMIT_UNITS or self._clock.monotonic() - bulk_began > BULK_BUDGET_SECONDS:
                return


def answer_all(futures: list[asyncio.Future[Any]], outcomes: list[Any | BaseException]) -> None:
    """Tell the callers of one group how their units ended."""
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():
            continue  # its caller was cancelled
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
