"""Proves that the index is what the sources say: chunks, full text and vectors against the bytes they were made of."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any

import numpy as np

from forebay.catalog.arrivals import arrival_of, is_container, record_arrival
from forebay.catalog.consistency import check_tables
from forebay.catalog.models import searched_model
from forebay.catalog.queries import chunks_of, fields_of
from forebay.database import Transaction
from forebay.effects import Randomness
from forebay.errors import ForebayError
from forebay.pipeline.activities import parse_request
from forebay.pipeline.pipeline import Pipeline
from forebay.values.arrival import Location, NewArrival
from forebay.values.chunk import Chunk

_CURRENT = (
    "SELECT d.id, d.place, d.blob_name, d.etag, v.arrival_sequence, v.sha256, v.recipe, v.chunk_count"
    " FROM documents d JOIN versions v ON v.id = d.current_version WHERE d.status = 'indexed' ORDER BY d.id"
)

# Not `blob_unreadable`: what cannot be read now cannot be read again either, and what is stored still answers.
_READ_AGAIN_CODES = {"blob_differs", "chunks_differ", "chunk_missing", "text_missing", "version_open", "vector_missing", "vector_damaged"}
_FULL_TEXT_CODES = {"full_text_missing", "full_text_stale", "full_text_differs"}


async def check_index(pipeline: Pipeline) -> dict[str, Any]:
    """Check every searchable document against its blob, and the tables against each other.

    Returns `{"ok", "checked": {...}, "problems": [{"code", "document_id", "message"}]}`. Changes nothing. Documents whose
    newest arrival is in flight or failed are not compared with their bytes, which may be gone; arrivals in flight may show
    as problems of the tables, so check when nothing is.
    """
    readers = pipeline.database.readers
    problems = await readers.run(check_tables)
    rows = await readers.run(lambda connection: connection.execute(_CURRENT).fetchall())
    for row in rows:
        problem = await _check_against_blob(pipeline, row)
        if problem is not None and await readers.run(lambda connection, now=row: _has_changed(connection, now)):  # type: ignore[misc]
            continue  # in work meanwhile; a later check sees what became of it
        if problem is not None:
            problems.append({"code": problem[0], "document_id": row[0], "message": problem[1]})
    problems += await readers.run(lambda connection: _check_vectors(connection, pipeline))
    checked = {"documents": len(rows), "chunks": sum(row[-1] for row in rows)}
    return {"ok": not problems, "checked": checked, "problems": problems}


async def _check_against_blob(pipeline: Pipeline, row: tuple[Any, ...]) -> tuple[str, str] | None:
    document_id, place, blob_name, etag, arrival_sequence, sha256, recipe, _ = row
    arrival = await pipeline.database.readers.run(lambda connection: arrival_of(connection, arrival_sequence))
    location = Location(container=place if is_container(arrival.source) else None, name=blob_name, etag=etag)
    try:
        content = await pipeline.sources.read_at(arrival, location, limit_bytes=pipeline.limits.max_blob_bytes + 1)
    except ForebayError as error:
        return "blob_unreadable", f"{place}/{blob_name}: {error}"
    if hashlib.sha256(content).hexdigest() != sha256:
        return "blob_differs", f"{place}/{blob_name} is not what the current version was made of"
    if recipe != pipeline.limits.recipe:
        return None  # made under other settings, which its bytes cannot confirm
    parsed = await pipeline.parser.parse(parse_request(arrival, content, pipeline.limits))
    stored = await pipeline.database.readers.run(lambda connection: chunks_of(connection, document_id))
    if [_facts(chunk) for chunk in stored] != [_facts(chunk) for chunk in parsed.chunks]:
        return "chunks_differ", f"{blob_name}: {len(stored)} chunks are stored, its bytes give {len(parsed.chunks)} (or other ones)"
    if await pipeline.database.readers.run(lambda connection: fields_of(connection, document_id)) != parsed.fields:
        return "fields_differ", f"{blob_name}: the stored fields are not those that its bytes give"
    return None


def _has_changed(connection: sqlite3.Connection, row: tuple[Any, ...]) -> bool:
    now = connection.execute(_CURRENT.replace("ORDER BY d.id", "AND d.id = ?"), (row[0],)).fetchone()
    return bool(now != row)


def _facts(chunk: Chunk) -> tuple[Any, ...]:
    return chunk.ordinal, chunk.text, chunk.start, chunk.end, chunk.first_line, chunk.last_line, chunk.symbol, chunk.location


def _check_vectors(connection: sqlite3.Connection, pipeline: Pipeline) -> list[dict[str, Any]]:
    problems: list[dict[str, Any]] = []
    searched = searched_model(connection)
    if searched is None:
        return problems
    dimensions = pipeline.embedder(searched.id).dimensions
    rows = connection.execute(
        "SELECT d.id, x.vector FROM documents d JOIN chunks c ON c.version_id = d.current_version"
        " LEFT JOIN vectors x ON x.text_id = c.text_id AND x.model = ?",
        (searched.id,),
    )
    for identity, vector in rows:
        if vector is None:
            problems.append({"code": "vector_missing", "document_id": identity, "message": "a chunk has no vector"})
            continue
        values = np.frombuffer(vector, dtype="<f4")
        if len(values) != dimensions or abs(float(np.linalg.norm(values)) - 1) > 1e-2:
            problems.append(
                {"code": "vector_damaged", "document_id": identity, "message": "a vector has another shape or length than its model gives"}
            )
    return problems


async def repair_index(pipeline: Pipeline, problems: list[dict[str, Any]], random: Randomness) -> int:
    """Mend what a check has found; returns how many documents arrive again for it.

    The full text is rebuilt from the chunks; a document whose chunks or vectors are wrong is read again from its blob.
    """
    codes = {problem["code"] for problem in problems}
    damaged = {problem["document_id"] for problem in problems if problem["code"] in _READ_AGAIN_CODES}
    without_vectors = {problem["document_id"] for problem in problems if problem["code"].startswith("vector_")}

    def unit(tx: Transaction) -> int:
        if codes & _FULL_TEXT_CODES:
            # what is being written keeps its rows: it needs them once it is current
            tx.execute(
                "UPDATE chunks SET in_search = version_id IN (SELECT current_version FROM documents WHERE current_version IS NOT NULL"
                " UNION SELECT id FROM versions WHERE valid_from IS NULL)"
            )
            tx.execute("INSERT INTO chunk_search (chunk_search) VALUES ('rebuild')")
        return sum(_repair(tx, each, random, drops_vectors=each in without_vectors) for each in sorted(damaged))

    return await pipeline.database.writer.submit(unit, bulk=True)


def _repair(tx: Transaction, document_id: str, random: Randomness, *, drops_vectors: bool) -> bool:
    row = tx.execute("SELECT current_version FROM documents WHERE id = ?", (document_id,)).fetchone()
    if row is None or row[0] is None:
        return False
    # the version must not count as unchanged, nor its vectors as good
    tx.execute("UPDATE versions SET recipe = 'damaged' WHERE id = ?", row)
    if drops_vectors:
        tx.execute("DELETE FROM vectors WHERE text_id IN (SELECT text_id FROM chunks WHERE version_id = ?)", row)
    return read_again(tx, document_id, "repair", random)


def read_again(tx: Transaction, document_id: str, actor: str, random: Randomness) -> bool:
    """Let a searchable document arrive once more from where its bytes are; False when it is not searchable (any more)."""
    row = tx.execute(
        "SELECT v.arrival_sequence, d.place, d.blob_name, d.etag FROM documents d JOIN versions v ON v.id = d.current_version"
        " WHERE d.id = ?",
        (document_id,),
    ).fetchone()
    if row is None:
        return False
    sequence, place, blob_name, etag = row
    before = arrival_of(tx.connection, sequence)
    again = NewArrival(
        kind="created",
        project=before.project,
        source=before.source,
        name=before.name,
        location=Location(container=place if is_container(before.source) else None, name=blob_name, etag=etag),
        size_bytes=before.size_bytes,
        content_type=before.content_type,
        actor=actor,
        correlation_id=random.hex(16),
        event_id=random.hex(16),
    )
    return record_arrival(tx, again, is_repair=True) is not None
