"""What users read of the catalog."""

from __future__ import annotations

import base64
import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select

from forebay.catalog.arrivals import is_container
from forebay.catalog.tables import documents, versions
from forebay.database.transaction import compile_query
from forebay.errors import ForebayError
from forebay.values.arrival import Location
from forebay.values.chunk import Chunk, ChunkLocation
from forebay.values.document import Document
from forebay.values.field import Field
from forebay.values.times import from_microseconds

_DOCUMENT = select(
    documents.c.id,
    documents.c.project,
    documents.c.name,
    documents.c.status,
    documents.c.reason,
    versions.c.number,
    documents.c.source,
    documents.c.content_type,
    documents.c.size_bytes,
    documents.c.sha256,
    documents.c.language,
    documents.c.chunk_count,
    documents.c.place,
    documents.c.blob_name,
    documents.c.etag,
    documents.c.instance_id,
    documents.c.correlation_id,
    documents.c.created_at,
    documents.c.updated_at,
).select_from(documents.outerjoin(versions, versions.c.id == documents.c.current_version))


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFilter:
    """Which documents a list shows; deleted ones only when asked for by status."""

    project: str
    status: str | None = None
    name_prefix: str = ""
    name: str | None = None


def find_document(connection: sqlite3.Connection, document_id: str, project: str) -> Document:
    """One document of a project. Raises `ForebayError` (`document_not_found`)."""
    sql, parameters = compile_query(_DOCUMENT.where(documents.c.id == document_id, documents.c.project == project))
    row = connection.execute(sql, parameters).fetchone()
    if row is None:
        raise ForebayError(
            "document_not_found",
            f"project {project!r} has no document {document_id!r}",
            hint="`forebay documents list` shows the ids",
            status=404,
        )
    return _document(row)


def list_documents(
    connection: sqlite3.Connection, which: DocumentFilter, *, limit: int, cursor: str | None
) -> tuple[list[Document], str | None]:
    """A page of documents in order of name, and the cursor of the next page.

    Raises `ForebayError` (`invalid_cursor`).
    """
    conditions: list[ColumnElement[bool]] = [documents.c.project == which.project]
    if which.status is None:
        conditions.append(documents.c.status != "deleted")
    else:
        conditions.append(documents.c.status == which.status)
    if which.name is not None:
        conditions.append(documents.c.name == which.name)
    if which.name_prefix:
        conditions.append(documents.c.name >= which.name_prefix)
        # the largest code point follows every name that begins with the prefix
        conditions.append(documents.c.name < which.name_prefix + "\U0010ffff")
    if cursor is not None:
        name, identity = _decode_cursor(cursor)
        conditions.append(or_(documents.c.name > name, and_(documents.c.name == name, documents.c.id > identity)))
    sql, parameters = compile_query(_DOCUMENT.where(*conditions).order_by(documents.c.name, documents.c.id).limit(limit + 1))
    found = [_document(row) for row in connection.execute(sql, parameters)]
    next_cursor = _encode_cursor(found[limit - 1]) if len(found) > limit else None
    return found[:limit], next_cursor


def chunks_of(connection: sqlite3.Connection, document_id: str, *, first_ordinal: int = 0, limit: int = -1) -> list[Chunk]:
    """The chunks of a document's current version in order, at most `limit` of them unless that is negative."""
    rows = connection.execute(
        "SELECT c.ordinal, t.text, c.start, c.stop, c.first_line, c.last_line, c.symbol, c.location FROM documents d"
        " JOIN chunks c ON c.version_id = d.current_version JOIN texts t ON t.id = c.text_id WHERE d.id = ? AND c.ordinal >= ?"
        " ORDER BY c.ordinal LIMIT ?",
        (document_id, first_ordinal, limit),
    )
    return [
        Chunk(
            ordinal=ordinal,
            text=text,
            start=start,
            end=stop,
            first_line=first,
            last_line=last,
            symbol=symbol,
            location=None if location is None else ChunkLocation.from_json(json.loads(location)),
        )
        for ordinal, text, start, stop, first, last, symbol, location in rows
    ]


def fields_of(connection: sqlite3.Connection, document_id: str) -> list[Field]:
    """The fields of a document's current version, in the order of their extraction."""
    rows = connection.execute(
        "SELECT f.name, f.value, f.start, f.stop, f.confidence FROM documents d JOIN fields f ON f.version_id = d.current_version"
        " WHERE d.id = ? ORDER BY f.ordinal",
        (document_id,),
    )
    return [Field(name=name, value=value, start=start, end=stop, confidence=confidence) for name, value, start, stop, confidence in rows]


def summary(connection: sqlite3.Connection, project: str) -> dict[str, Any]:
    """How the arrivals of a project ended, and what is searchable."""
    outcomes: dict[str, int] = {}
    reasons: dict[str, dict[str, int]] = {"skipped": {}, "failed": {}}
    in_flight = 0
    for outcome, reason, count in connection.execute(
        "SELECT outcome, reason, count(*) FROM arrivals WHERE project = ? GROUP BY outcome, reason", (project,)
    ):
        if outcome is None:
            in_flight += count
            continue
        outcomes[outcome] = outcomes.get(outcome, 0) + count
        if reason is not None:
            reasons[outcome][reason] = count
    current, chunk_count = connection.execute(
        "SELECT count(*), coalesce(sum(chunk_count), 0) FROM documents WHERE project = ? AND current_version IS NOT NULL", (project,)
    ).fetchone()
    return {
        "arrivals": in_flight + sum(outcomes.values()),
        "in_flight": in_flight,
        "outcomes": outcomes,
        "skipped_reasons": reasons["skipped"],
        "failed_reasons": reasons["failed"],
        "documents": current,
        "chunks": chunk_count,
    }


def _document(row: tuple[Any, ...]) -> Document:
    identity, project, name, status, reason, number, source, content_type, size_bytes, sha256, language, chunk_count = row[:12]
    place, blob_name, etag, instance_id, correlation_id, created_at, updated_at = row[12:]
    return Document(
        id=identity,
        project=project,
        name=name,
        status=status,
        reason=reason,
        version=number,
        source=source,
        content_type=content_type,
        size_bytes=size_bytes,
        sha256=sha256,
        language=language,
        chunk_count=chunk_count,
        blob=Location(container=place if is_container(source) else None, name=blob_name, etag=etag),
        instance_id=instance_id,
        correlation_id=correlation_id,
        created_at=from_microseconds(created_at),
        updated_at=from_microseconds(updated_at),
    )


def _encode_cursor(last: Document) -> str:
    return base64.urlsafe_b64encode(f"{last.id}{last.name}".encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> tuple[str, str]:
    """(name, document id); ids have 24 characters."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        text = ""
    if len(text) < 24:
        raise ForebayError(
            "invalid_cursor", "the cursor is not one that a list has returned", hint="pass next_cursor unchanged", status=422
        )
    return text[24:], text[:24]
