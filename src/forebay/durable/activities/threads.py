"""Threads for activities that block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context
from queue import SimpleQueue

from forebay.durable.activities.limits import FixedLimit
from forebay.durable.activities.rooms import Room
from forebay.effects import Clock

Work = Callable[[], str]


class ThreadPlace:
    """A place in the pool, for one function."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._result: asyncio.Future[tuple[str, BaseException | None]] = asyncio.get_running_loop().create_future()
        self.work: Work | None = None  # while it runs
        self.is_left = False  # nobody waits for it any more

    async def run(self, work: Work) -> str:
        """Run a function, in a copy of the caller's context. Cancelled, it goes on, and what becomes of it is ignored."""
        context = copy_context()
        self.work = lambda: context.run(work)
        self._pool.submit(self)
        result, error = await self._result
        if error is not None:
            try:
                raise error
            finally:
                del error  # it holds this frame, which must not hold it
        return result

    def end(self, result: str, error: BaseException | None) -> None:
        """The function has ended."""
        self.work = None
        if not self._result.done():
            self._result.set_result((result, error))


class ThreadPool:
    """Up to `thread_count` threads, each started when there is work for it.

    *Guarantees*: never more threads, also when functions are left behind that do not end: those keep their place. The threads keep
    no interpreter from exiting.
    """

    def __init__(self, thread_count: int, clock: Clock) -> None:
        """Raises `ValueError` unless 1 <= thread_count."""
        self.room = Room("blocking_threads", FixedLimit(thread_count), clock)
        self._queue: SimpleQueue[ThreadPlace | None] = SimpleQueue()
        self._thread_count = 0
        self._idle_count = 0

    @asynccontextmanager
    async def place(self, lane: str, instance_id: str) -> AsyncIterator[ThreadPlace]:
        """Wait for a thread, in turns; it is kept until the block and what runs in the thread have both ended."""
        await self.room.enter(lane, instance_id)
        place = ThreadPlace(self)
        try:
            yield place
        finally:
            place.is_left = True
            if place.work is None:
                self.room.leave()

    def submit(self, place: ThreadPlace) -> None:
        """Let the work of a place run."""
        if self._idle_count:
            self._idle_count -= 1
        else:
            self._thread_count += 1
            # daemons: the interpreter waits for any other kind, and for those of the standard library's pools
            name = f"forebay-activity-{self._thread_count}"
            threading.Thread(target=self._serve, args=(asyncio.get_running_loop(),), name=name, daemon=True).start()
        self._queue.put(place)

    def close(self) -> None:
        """End the threads, those at work when their work ends; nobody waits for them."""
        for _ in range(self._thread_count):
            self._queue.put(None)
        self._thread_count = self._idle_count = 0

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while (place := self._queue.get()) is not None:
            assert place.work is not None
            result, error = "", None
            try:
                result = place.work()
            except BaseException as raised:  # whatever it is, it is the activity's
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(self._ended, place, result, error)
            del place, error  # they hold on to what the function had in its hands

    def _ended(self, place: ThreadPlace, result: str, error: BaseException | None) -> None:
        self._idle_count += 1
        place.end(result, error)
        if place.is_left:
            self.room.leave()
