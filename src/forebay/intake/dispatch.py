"""Starts one orchestration for every arrival, in order, one active per document."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Coroutine
from typing import Any

from forebay.catalog.arrivals import open_arrivals, outcome_of, settle_arrival
from forebay.catalog.documents import fail, overtaken_by
from forebay.database import Readers, Transaction, Writer
from forebay.durable import DurableClient
from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.values.arrival import Arrival

log = logging.getLogger(__name__)

IDLE_POLL_SECONDS = 0.05
RETRY_SECONDS = 0.5  # before an instance that could not be started is tried again


class Dispatcher:
    """Takes arrivals from their table and starts `orchestration` for each, at most `limit` at a time.

    Guarantees: every arrival in the table gets its instance, after any crash; of a document's arrivals one is active at
    a time, and those that came meanwhile wait for it.
    """

    def __init__(self, readers: Readers, writer: Writer, client: DurableClient, clock: Clock, *, orchestration: str, limit: int) -> None:
        self._readers = readers
        self._writer = writer
        self._client = client
        self._clock = clock
        self._orchestration = orchestration
        self._limit = limit
        self._cursor = 0  # every open arrival up to this sequence is active, waiting or parked
        self._active: set[str] = set()
        self._waiting: dict[str, deque[Arrival]] = defaultdict(deque)
        self._waiting_count = 0
        self._parked: dict[str, Arrival | None] = {}
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def notify(self) -> None:
        """There may be new arrivals in the table."""
        self._news.set()

    def hold(self, event_id: str) -> None:
        """Do not start the arrival with this event id yet: its blob is about to become visible."""
        self._parked[event_id] = None

    def release(self, event_id: str) -> None:
        """The blob is visible now, or never will be."""
        parked = self._parked.pop(event_id, None)
        if parked is not None:
            self._offer(parked)
        self._news.set()

    async def until_idle(self) -> None:
        """Return once every arrival that is in the table now has its outcome."""
        while True:
            self._news.set()
            if not await self._readers.run(lambda connection: open_arrivals(connection, after_sequence=0, limit=1)):
                return
            await self._clock.sleep(IDLE_POLL_SECONDS)

    async def run(self) -> None:
        """Dispatch until cancelled; after an error it may be run again."""
        self._cursor = self._waiting_count = 0
        self._active.clear()
        self._waiting.clear()
        self._parked = dict.fromkeys(self._parked)
        try:
            while True:
                self._news.clear()
                room = self._limit - len(self._tasks) - self._waiting_count
                if room > 0:
                    arrivals = await self._readers.run(
                        lambda connection, count=room: open_arrivals(connection, after_sequence=self._cursor, limit=count)  # type: ignore[misc]
                    )
                    for arrival in arrivals:
                        self._cursor = arrival.sequence
                        self._offer(arrival)
                    if len(arrivals) == room:
                        continue
                await self._news.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _offer(self, arrival: Arrival) -> None:
        if arrival.event_id in self._parked:
            self._parked[arrival.event_id] = arrival
        elif arrival.document_id in self._active:
            self._waiting[arrival.document_id].append(arrival)
            self._waiting_count += 1
        else:
            self._active.add(arrival.document_id)
            self._spawn(self._process(arrival))

    async def _process(self, arrival: Arrival) -> None:
        """Run an arrival to its end, then whatever came for the same document meanwhile."""
        current: Arrival | None = arrival
        while current is not None:
            await self._run_one(current)
            waiting = self._waiting.get(current.document_id)
            if waiting:
                current = waiting.popleft()
                self._waiting_count -= 1
                self._news.set()
            else:
                self._waiting.pop(current.document_id, None)
                self._active.discard(current.document_id)
                current = None

    async def _run_one(self, arrival: Arrival) -> None:
        while True:
            try:
                await self._client.start_new(self._orchestration, arrival.instance_id, {"arrival": arrival.sequence})
                status = await self._client.wait_for_completion(arrival.instance_id)
                if status.runtime_status == "Failed":
                    # the orchestration settles its arrival, whatever its activities do; if it could not, this does
                    message = str(status.output)
                    await self._writer.submit(lambda tx, why=message: _settle_as_failed(tx, arrival, why))  # type: ignore[misc]
                return
            except Exception as error:
                is_passing = isinstance(error, ForebayError) and error.retryable
                log.warning("arrival %s is started again: %s", arrival.sequence, error, exc_info=None if is_passing else error)
                await self._clock.sleep(RETRY_SECONDS)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # only now is there room: waking up any earlier would find none, and sleep on
        self._news.set()


def _settle_as_failed(tx: Transaction, arrival: Arrival, message: str) -> None:
    if outcome_of(tx, arrival.sequence) is not None:
        return
    if overtaken_by(tx, arrival) is None:
        fail(tx, arrival, "internal", message)
    else:
        settle_arrival(tx, arrival.sequence, "superseded")
