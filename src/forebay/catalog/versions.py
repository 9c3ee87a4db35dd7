"""Versions of documents: written invisibly in slices, made current in one commit, retired in slices."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, insert, literal_column
from sqlalchemy.dialects.sqlite import insert as upsert

from forebay.catalog.tables import chunks, texts, vectors, versions
from forebay.database import Transaction
from forebay.values.arrival import Arrival
from forebay.values.chunk import Chunk
from forebay.values.field import Field

WRITE_SLICE_CHUNKS = 256  # rows written in one unit, about 10 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """What is known of a version before its chunks are written."""

    recipe: str  # what the chunks depend on besides the bytes
    sha256: str
    size_bytes: int
    format: str
    content_type: str | None  # bare media type: as declared, else that of the format
    language: str | None
    encoding: str | None
    is_encoding_guessed: bool
    replaced_count: int
    chunk_count: int
    finding_count: int = 0  # of the content scan


_VERSION_COLUMNS = (
    "document_id project number arrival_sequence recipe sha256 size_bytes format content_type language encoding is_encoding_guessed "
    "replaced_count chunk_count finding_count"
).split()
_INSERT_VERSION = insert(versions).values({name: bindparam(name) for name in _VERSION_COLUMNS})
_INSERT_TEXT = (
    upsert(texts)
    .values(project=bindparam("project"), sha256=bindparam("sha256"), text=bindparam("text"))
    .on_conflict_do_nothing(index_elements=[texts.c.project, texts.c.sha256])
)
_CHUNK_COLUMNS = "version_id ordinal start stop first_line last_line symbol location".split()
_INSERT_CHUNK = insert(chunks).values(
    {name: bindparam(name) for name in _CHUNK_COLUMNS}
    | {"id": bindparam("id"), "text_id": bindparam("text_id"), "in_search": literal_column("1")}
)
_INSERT_SEARCH = "INSERT INTO chunk_search (rowid, text, context) VALUES (:id, :text, :context)"
_INSERT_VECTOR = (
    upsert(vectors)
    .values(text_id=bindparam("text_id"), model=bindparam("model"), vector=bindparam("vector"))
    .on_conflict_do_nothing(index_elements=[vectors.c.text_id, vectors.c.model])
)


def stage_version(tx: Transaction, arrival: Arrival, facts: VersionFacts) -> int:
    """Begin an invisible version for an arrival and return its id; one from an earlier try must have been discarded."""
    cursor = tx.execute(
        _INSERT_VERSION,
        {
            "document_id": arrival.document_id,
            "project": arrival.project,
            "number": 0,
            "arrival_sequence": arrival.sequence,
            "recipe": facts.recipe,
            "sha256": facts.sha256,
            "size_bytes": facts.size_bytes,
            "format": facts.format,
            "content_type": facts.content_type,
            "language": facts.language,
            "encoding": facts.encoding,
            "is_encoding_guessed": facts.is_encoding_guessed,
            "replaced_count": facts.replaced_count,
            "chunk_count": facts.chunk_count,
            "finding_count": facts.finding_count,
        },
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def stage_chunks(tx: Transaction, version_id: int, project: str, document_name: str, pieces: Sequence[Chunk]) -> None:
    """Write chunks of an invisible version, with their texts and full text."""
    next_id = (tx.execute("SELECT max(id) FROM chunks").fetchone()[0] or 0) + 1
    text_ids = _text_ids(tx, project, pieces)
    rows = [
        {
            "id": next_id + position,
            "version_id": version_id,
            "ordinal": chunk.ordinal,
            "text_id": text_ids[position],
            "start": chunk.start,
            "stop": chunk.end,
            "first_line": chunk.first_line,
            "last_line": chunk.last_line,
            "symbol": chunk.symbol,
            "location": None if chunk.location is None else json.dumps(chunk.location.to_json(), ensure_ascii=False),
        }
        for position, chunk in enumerate(pieces)
    ]
    tx.execute_many(_INSERT_CHUNK, rows)
    tx.execute_many(
        _INSERT_SEARCH,
        [
            {"id": next_id + position, "text": chunk.text, "context": f"{document_name} {chunk.symbol or ''}"}
            for position, chunk in enumerate(pieces)
        ],
    )


def stage_fields(tx: Transaction, version_id: int, found: Sequence[Field]) -> None:
    """Write the fields of an invisible version."""
    tx.execute_many(
        "INSERT INTO fields (version_id, ordinal, name, value, start, stop, confidence) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(version_id, ordinal, each.name, each.value, each.start, each.end, each.confidence) for ordinal, each in enumerate(found)],
    )


def _text_ids(tx: Transaction, project: str, pieces: Sequence[Chunk]) -> list[int]:
    hashes = [chunk.text_sha256 for chunk in pieces]
    tx.execute_many(
        _INSERT_TEXT,
        [{"project": project, "sha256": sha256, "text": chunk.text} for sha256, chunk in zip(hashes, pieces, strict=True)],
    )
    find = "SELECT id FROM texts WHERE project = ? AND sha256 = ?"
    return [tx.execute(find, (project, sha256)).fetchone()[0] for sha256 in hashes]


def texts_without_vector(
    connection: sqlite3.Connection, version_id: int, model: str, first_ordinal: int, last_ordinal: int
) -> list[tuple[int, str]]:
    """(text id, text) of a slice of a version's chunks (ordinals inclusive) that `model` has not embedded yet."""
    return connection.execute(
        "SELECT DISTINCT t.id, t.text FROM chunks c JOIN texts t ON t.id = c.text_id WHERE c.version_id = ? AND c.ordinal BETWEEN ? AND ?"
        " AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.text_id = c.text_id AND v.model = ?) ORDER BY c.ordinal",
        (version_id, first_ordinal, last_ordinal, model),
    ).fetchall()


def count_without_vector(connection: sqlite3.Connection, version_id: int, model: str) -> int:
    """How many of a version's chunks `model` has not embedded yet."""
    found = connection.execute(
        "SELECT count(*) FROM chunks c WHERE c.version_id = ?"
        " AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.text_id = c.text_id AND v.model = ?)",
        (version_id, model),
    ).fetchone()[0]
    return int(found)


def put_vectors(tx: Transaction, model: str, rows: Sequence[tuple[int, bytes]]) -> None:
    """Store vectors by text id; one that is there already stays."""
    tx.execute_many(_INSERT_VECTOR, [{"text_id": text_id, "model": model, "vector": vector} for text_id, vector in rows])


def retire_chunks(tx: Transaction, version_id: int, limit: int = WRITE_SLICE_CHUNKS) -> int:
    """Take up to `limit` chunks of a version out of the full text; return how many are left in it.

    The flag changes in the same savepoint: taking a row out twice would damage an external-content FTS5 index.
    """
    rows = tx.execute(
        "SELECT cc.id, cc.text, cc.context FROM chunks c JOIN chunk_contents cc ON cc.id = c.id"
        " WHERE c.version_id = ? AND c.in_search = 1 ORDER BY c.ordinal LIMIT ?",
        (version_id, limit),
    ).fetchall()
    tx.execute_many("INSERT INTO chunk_search (chunk_search, rowid, text, context) VALUES ('delete', ?, ?, ?)", rows)
    tx.execute_many("UPDATE chunks SET in_search = 0 WHERE id = ?", [(row[0],) for row in rows])
    if len(rows) < limit:
        return 0
    return int(tx.execute("SELECT count(*) FROM chunks WHERE version_id = ? AND in_search = 1", (version_id,)).fetchone()[0])


def staged_version(connection: sqlite3.Connection, arrival_sequence: int) -> int | None:
    """The id of the invisible version of an arrival, if an earlier try left one."""
    row = connection.execute("SELECT id FROM versions WHERE arrival_sequence = ? AND valid_from IS NULL", (arrival_sequence,)).fetchone()
    return None if row is None else int(row[0])


def discard_staged(tx: Transaction, version_id: int) -> bool:
    """Remove a slice of an invisible version; True once nothing of it is left."""
    if retire_chunks(tx, version_id):
        return False
    tx.execute("DELETE FROM chunks WHERE version_id = ?", (version_id,))
    tx.execute("DELETE FROM fields WHERE version_id = ?", (version_id,))
    tx.execute("DELETE FROM versions WHERE id = ? AND valid_from IS NULL", (version_id,))
    return True
