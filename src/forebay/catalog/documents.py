"""The state of documents, and the transitions that an arrival goes through. Each transition is one savepoint."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, update

from forebay.catalog.arrivals import settle_arrival
from forebay.catalog.events import append_event
from forebay.catalog.models import searched_model
from forebay.catalog.tables import documents
from forebay.catalog.versions import WRITE_SLICE_CHUNKS, count_without_vector, retire_chunks
from forebay.database import Transaction
from forebay.errors import ForebayError
from forebay.values.arrival import Arrival, ArrivalOutcome
from forebay.values.document import DocumentStatus, EventType

_SET_STATUS = (
    update(documents)
    .where(documents.c.id == bindparam("the_id"), documents.c.newest_arrival == bindparam("the_arrival"))
    .values(status=bindparam("the_status"), reason=bindparam("the_reason"), updated_at=bindparam("now"))
)
_SET_CURRENT = (
    update(documents)
    .where(documents.c.id == bindparam("the_id"))
    .values(
        {
            name: bindparam(f"the_{name}")
            for name in ("current_version", "version_count", "content_type", "size_bytes", "sha256", "language", "chunk_count")
        }
        | {"updated_at": bindparam("now")}
    )
)


def newest_arrival(tx: Transaction, document_id: str) -> int:
    """The sequence of the newest arrival of a document."""
    row = tx.execute("SELECT newest_arrival FROM documents WHERE id = ?", (document_id,)).fetchone()
    return int(row[0])


def start_processing(tx: Transaction, arrival: Arrival) -> None:
    """Work on an arrival begins."""
    _set_status(tx, arrival, "processing")
    append_event(tx, arrival, "ProcessingStarted", {"instance": arrival.instance_id})


def overtaken_by(tx: Transaction, arrival: Arrival) -> int | None:
    """The newer arrival of the same document that has already decided what the index holds, if there is one."""
    row = tx.execute(
        "SELECT max(sequence) FROM arrivals WHERE document_id = ? AND sequence > ?"
        " AND outcome IN ('indexed', 'unchanged', 'skipped', 'deleted')",
        (arrival.document_id, arrival.sequence),
    ).fetchone()
    return None if row[0] is None else int(row[0])


def supersede(tx: Transaction, arrival: Arrival, by_sequence: int) -> None:
    """A newer arrival makes this one pointless."""
    settle_arrival(tx, arrival.sequence, "superseded")
    append_event(tx, arrival, "DocumentSuperseded", {"arrival": arrival.sequence, "by": by_sequence})


def keep_unchanged(tx: Transaction, arrival: Arrival) -> None:
    """The arrival has the very bytes that the current version was made of."""
    settle_arrival(tx, arrival.sequence, "unchanged")
    _set_status(tx, arrival, "indexed")
    append_event(tx, arrival, "DocumentUnchanged", {"arrival": arrival.sequence})


def make_current(tx: Transaction, arrival: Arrival, version_id: int) -> int | None:
    """Let a fully written version answer searches from this commit on.

    Returns the id of the version that it replaces while that still has rows in the full text, else None. Raises
    `ForebayError` (`embedding_incomplete`) when a chunk has no vector of the model that searches go by: it may have
    changed since the chunks were embedded.
    """
    current, version_count = tx.execute(
        "SELECT current_version, version_count FROM documents WHERE id = ?", (arrival.document_id,)
    ).fetchone()
    facts = tx.execute(
        "SELECT sha256, size_bytes, format, content_type, language, chunk_count FROM versions WHERE id = ?", (version_id,)
    ).fetchone()
    sha256, size_bytes, format_name, content_type, language, chunk_count = facts
    searched = searched_model(tx.connection)
    assert searched is not None, "a start has chosen one"
    missing = count_without_vector(tx.connection, version_id, searched.id)
    if missing:
        raise ForebayError("embedding_incomplete", f"{missing} of {chunk_count} chunks have no vector of {searched.id}")
    number = version_count + 1
    tx.execute("UPDATE versions SET valid_from = ?, number = ? WHERE id = ?", (tx.now_us, number, version_id))
    tx.execute(
        _SET_CURRENT,
        {
            "the_id": arrival.document_id,
            "the_current_version": version_id,
            "the_version_count": number,
            "the_content_type": content_type,
            "the_size_bytes": size_bytes,
            "the_sha256": sha256,
            "the_language": language,
            "the_chunk_count": chunk_count,
            "now": tx.now_us,
        },
    )
    settle_arrival(tx, arrival.sequence, "indexed")
    _set_status(tx, arrival, "indexed")
    append_event(
        tx,
        arrival,
        "DocumentIndexed",
        {
            "version": number,
            "sha256": sha256,
            "size_bytes": size_bytes,
            "format": format_name,
            "language": language,
            "chunks": chunk_count,
            "model": searched.id,
        },
    )
    return _close_version(tx, current)


def take_out(
    tx: Transaction, arrival: Arrival, outcome: ArrivalOutcome, kind: EventType, reason: str | None, data: dict[str, Any]
) -> int | None:
    """Remove a document from the index in one commit, because it was skipped or deleted.

    Returns the id of its last version while that still has rows in the full text, else None.
    """
    row = tx.execute("SELECT current_version, version_count FROM documents WHERE id = ?", (arrival.document_id,)).fetchone()
    current, version_count = row
    tx.execute(
        _SET_CURRENT,
        {
            "the_id": arrival.document_id,
            "the_current_version": None,
            "the_version_count": version_count,
            "the_content_type": arrival.content_type,
            "the_size_bytes": arrival.size_bytes,
            "the_sha256": None,
            "the_language": None,
            "the_chunk_count": 0,
            "now": tx.now_us,
        },
    )
    settle_arrival(tx, arrival.sequence, outcome, reason)
    status: DocumentStatus = "deleted" if outcome == "deleted" else "skipped"
    _set_status(tx, arrival, status, reason)
    append_event(tx, arrival, kind, data)
    return _close_version(tx, current)


def fail(tx: Transaction, arrival: Arrival, reason: str, message: str) -> None:
    """The arrival could not be processed; an older version goes on answering."""
    settle_arrival(tx, arrival.sequence, "failed", reason)
    _set_status(tx, arrival, "failed", reason)
    append_event(tx, arrival, "DocumentFailed", {"reason": reason, "message": message})


def moved(tx: Transaction, arrival: Arrival, container: str, name: str, etag: str) -> None:
    """The document's blob has another address now."""
    tx.execute(
        "UPDATE documents SET place = ?, blob_name = ?, etag = ?, updated_at = ? WHERE id = ? AND newest_arrival = ?",
        (container, name, etag, tx.now_us, arrival.document_id, arrival.sequence),
    )
    append_event(tx, arrival, "DocumentMoved", {"container": container, "name": name, "etag": etag})


def _set_status(tx: Transaction, arrival: Arrival, status: DocumentStatus, reason: str | None = None) -> None:
    """A document shows the status of its newest arrival only."""
    tx.execute(
        _SET_STATUS,
        {
            "the_id": arrival.document_id,
            "the_arrival": arrival.sequence,
            "the_status": status,
            "the_reason": reason,
            "now": tx.now_us,
        },
    )


def _close_version(tx: Transaction, version_id: int | None) -> int | None:
    if version_id is None:
        return None
    tx.execute("UPDATE versions SET valid_to = ? WHERE id = ?", (tx.now_us, version_id))
    return version_id if retire_chunks(tx, version_id, WRITE_SLICE_CHUNKS) else None
