"""Starts one orchestration for every arrival: sources take turns, one active per document."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import Any

from forebay.catalog.arrivals import outcome_of, settle_arrival
from forebay.catalog.backlog import Lane, is_anything_open, open_arrivals
from forebay.catalog.documents import fail, overtaken_by
from forebay.database import Readers, Transaction, Writer
from forebay.durable import DurableClient, OrchestrationStatus
from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.telemetry.observe.observation import Observation
from forebay.values.arrival import Arrival
from forebay.values.correlation import Correlation, correlate

log = logging.getLogger(__name__)

IDLE_POLL_SECONDS = 0.05
RETRY_SECONDS = 0.5  # before an instance that could not be started is tried again


class Dispatcher:
    """Takes arrivals from their table and starts `orchestration` for each, at most `limit` at a time; the others wait in the table.

    Guarantees: every arrival in the table gets its instance, after any crash; of a document's arrivals one is active at
    a time, and those that came meanwhile wait for it, oldest first. Lanes (a source of a project) take turns: whatever
    waits in others, the oldest arrival of a lane starts after at most one of each other lane.
    """

    def __init__(
        self,
        readers: Readers,
        writer: Writer,
        client: DurableClient,
        clock: Clock,
        *,
        orchestration: str,
        limit: int,
        observation: Observation | None = None,
    ) -> None:
        self._readers = readers
        self._writer = writer
        self._client = client
        self._clock = clock
        self._orchestration = orchestration
        self._limit = limit
        self._observation = observation or Observation()
        self._served: Lane | None = None  # had its turn last
        self._work: dict[str, asyncio.Task[None]] = {}  # by document
        self._held: set[str] = set()
        self._news = asyncio.Event()

    def notify(self) -> None:
        """There may be new arrivals in the table."""
        self._news.set()

    def hold(self, event_id: str) -> None:
        """Do not start the arrival with this event id yet: its blob is about to become visible."""
        self._held.add(event_id)

    def release(self, event_id: str) -> None:
        """The blob is visible now, or never will be."""
        self._held.discard(event_id)
        self._news.set()

    async def until_idle(self) -> None:
        """Return once every arrival that is in the table now has its outcome."""
        while True:
            self._news.set()
            if not await self._readers.run(is_anything_open):
                return
            await self._clock.sleep(IDLE_POLL_SECONDS)

    async def run(self) -> None:
        """Dispatch until cancelled; after an error it may be run again."""
        self._work.clear()
        try:
            while True:
                self._news.clear()
                if len(self._work) < self._limit:
                    for arrival in await self._next():
                        # held only now: a look may see an arrival that was recorded after it had begun
                        if arrival.event_id not in self._held:
                            self._served = (arrival.project, arrival.source)
                            self._start(arrival)
                await self._news.wait()
        finally:
            under_way = list(self._work.values())
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _next(self) -> list[Arrival]:
        """What there is room for. Documents whose work ends meanwhile count as busy: the news of that leads to the next look."""
        busy, held, served = set(self._work), set(self._held), self._served

        def look(connection: sqlite3.Connection) -> list[Arrival]:
            return open_arrivals(connection, after=served, busy_documents=busy, held_events=held, limit=self._limit - len(busy))

        return await self._readers.run(look)

    def _start(self, arrival: Arrival) -> None:
        task = asyncio.get_running_loop().create_task(self._process(arrival))
        self._work[arrival.document_id] = task

        def end(task: asyncio.Task[None]) -> None:
            if self._work.get(arrival.document_id) is task:
                del self._work[arrival.document_id]
            # only now is there room: waking up any earlier would find none, and sleep on
            self._news.set()

        task.add_done_callback(end)

    async def _process(self, arrival: Arrival) -> None:
        """Run an arrival to its end."""
        correlation = Correlation(id=arrival.correlation_id, project=arrival.project)
        correlate(correlation)
        self._tell_start(arrival)
        while True:
            try:
                lane = f"{arrival.project}/{arrival.source}"
                value = {"arrival": arrival.sequence}
                await self._client.start_new(self._orchestration, arrival.instance_id, value, lane=lane, correlation=correlation)
                status = await self._client.wait_for_completion(arrival.instance_id)
                if status.runtime_status == "Failed" or not _names_outcome(status.output):
                    # the orchestration settles its arrival, whatever its activities do; if it could not, this does
                    message = str(status.output)
                    await self._writer.submit(lambda tx, why=message: _settle_as_failed(tx, arrival, why))  # type: ignore[misc]
                self._tell_end(arrival, status)
                return
            except Exception as error:
                is_passing = isinstance(error, ForebayError) and error.retryable
                log.warning("arrival %s is started again: %s", arrival.sequence, error, exc_info=None if is_passing else error)
                await self._clock.sleep(RETRY_SECONDS)

    def _tell_start(self, arrival: Arrival) -> None:
        if arrival.kind == "created" and self._observation.is_on:
            self._observation.line(
                f"Ingestion started orchestration id={arrival.instance_id} for {arrival.name}",
                {"orchestration_id": arrival.instance_id, "document_id": arrival.document_id, "name": arrival.name},
            )

    def _tell_end(self, arrival: Arrival, status: OrchestrationStatus) -> None:
        if not self._observation.is_on:
            return
        outcome = str(status.output["outcome"]) if _names_outcome(status.output) else "failed"
        took = (status.last_updated_time - status.created_time).total_seconds() * 1000
        since_arrival = (status.last_updated_time - arrival.at).total_seconds() * 1000
        names = {"document_id": arrival.document_id, "orchestration_id": arrival.instance_id, "outcome": outcome}
        self._observation.measurement("ProcessingDuration", took, names)
        self._observation.summarize("end_to_end_latency", since_arrival, (("outcome", outcome),), project=arrival.project)


def _names_outcome(output: Any) -> bool:
    return isinstance(output, dict) and output.get("outcome") is not None


def _settle_as_failed(tx: Transaction, arrival: Arrival, message: str) -> None:
    if outcome_of(tx, arrival.sequence) is not None:
        return
    if overtaken_by(tx, arrival) is None:
        fail(tx, arrival, "internal", message)
    else:
        settle_arrival(tx, arrival.sequence, "superseded")
