"""The transactional activities of the pipeline: each changes the catalog exactly once, with its completion."""

from __future__ import annotations

from typing import Any

from forebay.catalog import documents
from forebay.catalog.arrivals import arrival_of, is_container
from forebay.catalog.events import append_event
from forebay.database import Transaction
from forebay.durable import Registry
from forebay.values.arrival import Arrival
from forebay.values.reasons import REASONS


def register_transitions(registry: Registry) -> None:
    """Register begin, keep, persist, refuse and record_move."""

    @registry.transactional
    def begin(tx: Transaction, sequence: int) -> dict[str, Any]:
        """Decide whether there is anything to do for an arrival."""
        arrival = arrival_of(tx.connection, sequence)
        newest = documents.newest_arrival(tx, arrival.document_id)
        if newest > sequence:
            documents.supersede(tx, arrival, newest)
            return _ended(arrival, "superseded")
        if arrival.kind == "deleted":
            retire = documents.take_out(tx, arrival, "deleted", "DocumentDeleted", None, {"actor": arrival.actor})
            return _ended(arrival, "deleted", retire=retire)
        if arrival.refusal is not None:
            return _refused(tx, arrival, arrival.refusal, REASONS[arrival.refusal].meaning)
        documents.start_processing(tx, arrival)
        return {"outcome": None}

    @registry.transactional
    def keep(tx: Transaction, sequence: int) -> dict[str, Any]:
        """The bytes are those that are indexed already."""
        arrival = arrival_of(tx.connection, sequence)
        overtaken = documents.overtaken_by(tx, arrival)
        if overtaken is not None:
            documents.supersede(tx, arrival, overtaken)
            return _ended(arrival, "superseded")
        documents.keep_unchanged(tx, arrival)
        return _ended(arrival, "unchanged")

    @registry.transactional(expected=["embedding_incomplete"])
    def persist(tx: Transaction, data: dict[str, Any]) -> dict[str, Any]:
        """Make a written version current, unless a newer arrival has been faster."""
        arrival = arrival_of(tx.connection, data["arrival"])
        overtaken = documents.overtaken_by(tx, arrival)
        if overtaken is not None:
            documents.supersede(tx, arrival, overtaken)
            return _ended(arrival, "superseded", discard=True)
        append_event(tx, arrival, "ChunksEmbedded", {name: data[name] for name in ("embedded", "costs") if name in data})
        retire = documents.make_current(tx, arrival, data["version"])
        return _ended(arrival, "indexed", retire=retire)

    @registry.transactional
    def refuse(tx: Transaction, failure: dict[str, Any]) -> dict[str, Any]:
        """Record why an arrival was skipped or failed."""
        arrival = arrival_of(tx.connection, failure["arrival"])
        newest = documents.newest_arrival(tx, arrival.document_id)
        overtaken = documents.overtaken_by(tx, arrival)
        if overtaken is not None or (failure["code"] == "source_changed" and newest > arrival.sequence):
            documents.supersede(tx, arrival, max(newest, overtaken or 0))
            return _ended(arrival, "superseded")
        return _refused(tx, arrival, _reason_code(failure), failure["message"])

    @registry.transactional
    def record_move(tx: Transaction, move: dict[str, Any]) -> None:
        """The document's blob is elsewhere now."""
        arrival = arrival_of(tx.connection, move["arrival"])
        documents.moved(tx, arrival, move["container"], move["name"], arrival.location.etag or "")


def _refused(tx: Transaction, arrival: Arrival, reason: str, message: str) -> dict[str, Any]:
    data = {"reason": reason, "message": message}
    if REASONS[reason].outcome == "skipped":
        retire = documents.take_out(tx, arrival, "skipped", "DocumentSkipped", reason, data)
        return _ended(arrival, "skipped", retire=retire)
    documents.fail(tx, arrival, reason, message)
    return _ended(arrival, "failed")


def _ended(arrival: Arrival, outcome: str, *, retire: int | None = None, discard: bool = False) -> dict[str, Any]:
    return {"outcome": outcome, "retire": retire, "discard": discard, "is_blob": is_container(arrival.source)}


def _reason_code(failure: dict[str, Any]) -> str:
    """The reason that users see for an error that an activity ended with."""
    code = failure["code"]
    if code in REASONS:
        return str(code)
    if code == "source_changed":
        return "vanished"
    if failure["activity"] == "embed":
        return "embedding_failed"
    if code.endswith("Error") and failure["activity"] == "read_and_chunk":
        return "storage_failed"
    return "internal"
