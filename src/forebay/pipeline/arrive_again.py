"""Lets a file whose ingestion left a dead letter arrive once more."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from forebay.catalog.arrivals import arrival_of, is_container, record_arrival
from forebay.database import Transaction
from forebay.durable import DeadLetter, Replay, Replayer
from forebay.effects import Randomness
from forebay.errors import ForebayError
from forebay.pipeline.pipeline import Pipeline
from forebay.values.arrival import Arrival, Location, NewArrival


def arrive_again(pipeline: Pipeline, random: Randomness, notify: Callable[[], None]) -> Replayer:
    """The replayer of `ingest_document`: a new arrival of what is at the document's place, under the correlation id of the first.

    It raises `ForebayError`: `source_changed` when the file is gone or another one, `dead_letter_overtaken` when the document has a newer
    arrival. `notify` tells the dispatcher that something arrived.
    """

    async def replayer(letter: DeadLetter, by: str) -> Replay:
        sequence = _arrival_sequence(letter.instance_id)
        before, location = await pipeline.database.readers.run(lambda connection: _newest(connection, sequence))
        if before.kind == "created":
            await _must_be_there(pipeline, before, location)

        def write(tx: Transaction) -> str:
            _newest(tx.connection, sequence)
            again = NewArrival(
                kind=before.kind,
                project=before.project,
                source=before.source,
                name=before.name,
                location=location,
                size_bytes=before.size_bytes,
                content_type=before.content_type,
                actor=by,
                correlation_id=before.correlation_id,
                target_name=before.target_name,
                event_id=random.hex(16),
            )
            arrival = record_arrival(tx, again, is_repair=True)
            assert arrival is not None, "a repair is never known already"
            return arrival.instance_id

        return Replay(instance_ids=[letter.instance_id], write=write, then=notify)

    return replayer


def _arrival_sequence(instance_id: str) -> int:
    """The inverse of `values.arrival.instance_id`, as far as it goes."""
    return int(instance_id.rpartition("-")[2])


def _newest(connection: sqlite3.Connection, sequence: int) -> tuple[Arrival, Location]:
    """An arrival that is the newest of its document and has ended, and where its bytes are by now."""
    arrival = arrival_of(connection, sequence)
    row: tuple[Any, ...] = connection.execute(
        "SELECT d.newest_arrival, d.place, d.blob_name, d.etag, a.outcome"
        " FROM documents d JOIN arrivals a ON a.sequence = ? WHERE d.id = ?",
        (sequence, arrival.document_id),
    ).fetchone()
    newest, place, blob_name, etag, outcome = row
    if newest != sequence:
        raise ForebayError(
            "dead_letter_overtaken",
            f"{arrival.name!r} has arrived again since: what failed here would not be indexed any more",
            hint="Purge the dead letter; the newer arrival has its own outcome.",
            status=409,
        )
    if outcome is None:
        raise ForebayError(
            "instance_not_over", f"{arrival.name!r} is still being ingested", hint="Wait for its outcome.", retryable=True, status=409
        )
    return arrival, Location(container=place if is_container(arrival.source) else None, name=blob_name, etag=etag)


async def _must_be_there(pipeline: Pipeline, arrival: Arrival, location: Location) -> None:
    try:
        await pipeline.sources.read_at(arrival, location, limit_bytes=1)
    except ForebayError as error:
        if error.code != "source_changed":
            raise
        raise ForebayError(
            "source_changed",
            error.message,
            hint="Put the file back, or send it again: it is then a new arrival. Purge the dead letter.",
            status=409,
        ) from None
