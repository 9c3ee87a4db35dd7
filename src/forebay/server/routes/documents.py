"""Documents: send one, list them, look at one, delete one."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from forebay.catalog import queries
from forebay.catalog.events import events_of
from forebay.errors import ForebayError
from forebay.intake.intake import Sender
from forebay.server.access import Accepting, PartsOf, Reader, ReadProject, SenderOf
from forebay.server.answers import json_answer, not_available_yet
from forebay.server.bodies import declared_bytes, declared_type, refuse_multipart
from forebay.server.pages import Cursor, Limit, decode_cursor, encode_cursor, invalid_cursor
from forebay.server.parts import Parts
from forebay.server.shapes import (
    BlobReference,
    ChunkPage,
    DeletionAccepted,
    DocumentDetail,
    DocumentPage,
    Summary,
    UploadAccepted,
    chunk_json,
    document_detail,
    document_json,
)
from forebay.values.arrival import UPLOAD_SOURCE
from forebay.values.chunk import Chunk
from forebay.values.document import Document, DocumentEvent, DocumentStatus
from forebay.values.field import Field

LONGEST_WAIT_SECONDS = 60
_LOOK_AGAIN_SECONDS = 0.05  # at an instance that has its turn later, or whose journal is not written yet
_UNSETTLED = ("received", "processing")

DocumentId = Annotated[str, Path(description="The document's id.")]


def router() -> APIRouter:
    """The routes below `/documents`."""
    routes = APIRouter(tags=["documents"])
    routes.post("/documents", status_code=202, response_model=UploadAccepted, dependencies=[Accepting], openapi_extra=_RAW_BODY)(
        upload_document
    )
    routes.get("/documents", response_model=DocumentPage)(list_documents)
    routes.get("/documents/summary", response_model=Summary)(summarize_documents)
    routes.get("/documents/{document_id}", response_model=DocumentDetail)(get_document)
    routes.get("/documents/{document_id}/chunks", response_model=ChunkPage)(get_chunks)
    routes.delete("/documents/{document_id}", status_code=202, response_model=DeletionAccepted, dependencies=[Accepting])(delete_document)
    return routes


_RAW_BODY = {
    "requestBody": {
        "description": "The file's bytes as they are. `text/...` is believed; the defaults of HTTP clients count as no declaration.",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


async def upload_document(
    request: Request,
    parts: PartsOf,
    sender: SenderOf,
    name: Annotated[
        str, Query(description="What users see and search; the same name again is a new version.", json_schema_extra={"minLength": 1})
    ],
) -> Response:
    """Send a file.

    The answer comes when the bytes and the arrival are durable; `GET /documents/{id}?wait_seconds=20` then waits for the
    outcome. A client that goes away before the end of the body leaves nothing behind. 503 with `Retry-After`, before the body is read,
    while too much waits for its turn or the disk is full.
    """
    refuse_multipart(request)
    async with parts.admission.room((sender.project, UPLOAD_SOURCE), declared_bytes(request)):
        arrival, blob = await parts.intake.upload(sender, name, request.stream(), declared_type(request))
    accepted = UploadAccepted(
        id=arrival.document_id,
        instance_id=arrival.instance_id,
        blob=BlobReference(container=blob.address.container, name=blob.address.name, etag=blob.etag),
        correlation_id=sender.correlation_id,
    )
    return json_answer(accepted, status=202)


async def list_documents(
    *,
    parts: PartsOf,
    project: ReadProject,
    status: Annotated[DocumentStatus | None, Query(description="Only these; deleted documents are listed only when asked for.")] = None,
    name_prefix: Annotated[str, Query(description="Only names that begin with this.")] = "",
    as_of: Annotated[str | None, Query(include_in_schema=False)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List documents in order of name."""
    if as_of is not None:
        raise not_available_yet("as_of")
    which = queries.DocumentFilter(project=project, status=status, name_prefix=name_prefix)
    found, next_cursor = await parts.readers.run(lambda connection: queries.list_documents(connection, which, limit=limit, cursor=cursor))
    return json_answer(DocumentPage(documents=[document_json(each) for each in found], next_cursor=next_cursor))


async def summarize_documents(request: Request, parts: PartsOf, caller: Reader, project: ReadProject) -> Response:
    """Count what arrived, how it ended, and what is searchable.

    `stages` and `costs` are those of the project too; with a key of all projects and no `project`, those of all of them.
    """
    counts = await parts.readers.run(lambda connection: queries.summary(connection, project))
    # watched folders belong to the default project, and so does what is counted of them
    excluded = parts.sources.excluded_count if project == parts.settings.default_project else 0
    spent_by = project if caller.project is not None or "project" in request.query_params else None
    summary = Summary(
        **counts,
        excluded=excluded,
        stages=parts.times.snapshot(spent_by),
        costs=parts.times.costs(spent_by),
        reconciled=parts.sources.is_reconciled,
    )
    return json_answer(summary)


async def get_document(
    parts: PartsOf,
    project: ReadProject,
    document_id: DocumentId,
    wait_seconds: Annotated[
        float,
        Query(ge=0, le=LONGEST_WAIT_SECONDS, description="Answer only when the newest arrival has its outcome, or after this time."),
    ] = 0,
) -> Response:
    """Show a document with its fields and its history."""
    document, fields, events = await _look(parts, document_id, project)
    deadline = parts.effects.clock.monotonic() + wait_seconds
    while document.status in _UNSETTLED:
        remaining_seconds = deadline - parts.effects.clock.monotonic()
        if remaining_seconds <= 0:
            break
        has_ended = await _wait(parts, document.instance_id, remaining_seconds)
        waited_for = document.instance_id
        document, fields, events = await _look(parts, document_id, project)
        if has_ended and document.instance_id == waited_for:
            break
    return json_answer(document_detail(document, fields, events))


async def get_chunks(parts: PartsOf, project: ReadProject, document_id: DocumentId, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List the chunks of the version that answers searches."""
    first = _ordinal(cursor)

    def read(connection: sqlite3.Connection) -> tuple[Document, list[Chunk]]:
        return queries.find_document(connection, document_id, project), queries.chunks_of(
            connection, document_id, first_ordinal=first, limit=limit + 1
        )

    document, chunks = await parts.readers.run(read)
    next_cursor = encode_cursor(str(first + limit)) if len(chunks) > limit else None
    return json_answer(ChunkPage(chunks=[chunk_json(document, each) for each in chunks[:limit]], next_cursor=next_cursor))


async def delete_document(parts: PartsOf, sender: SenderOf, document_id: DocumentId) -> Response:
    """Delete a document: it leaves the index in one commit, its history stays."""
    document = await parts.readers.run(lambda connection: queries.find_document(connection, document_id, sender.project))
    return json_answer(await _delete(parts, sender, document), status=202)


async def _delete(parts: Parts, sender: Sender, document: Document) -> DeletionAccepted:
    arrival = await parts.intake.delete(sender, document)
    if arrival is None:
        return DeletionAccepted(id=document.id, instance_id=document.instance_id, correlation_id=document.correlation_id)
    return DeletionAccepted(id=document.id, instance_id=arrival.instance_id, correlation_id=sender.correlation_id)


async def _look(parts: Parts, document_id: str, project: str) -> tuple[Document, list[Field], list[DocumentEvent]]:
    def read(connection: sqlite3.Connection) -> tuple[Document, list[Field], list[DocumentEvent]]:
        document = queries.find_document(connection, document_id, project)
        return document, queries.fields_of(connection, document_id), events_of(connection, document_id)

    return await parts.readers.run(read)


async def _wait(parts: Parts, instance_id: str, seconds: float) -> bool:
    """Wait for the end of an instance, of the time, or of the server; whether the instance or the server has ended."""
    over = asyncio.create_task(parts.client.wait_for_completion(instance_id, seconds))
    stopping = asyncio.create_task(parts.state.stopping.wait())
    try:
        await asyncio.wait((over, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not over.done():
            over.cancel()
    # a cancelled wait is that of an engine that stops
    if not over.done() or over.cancelled():
        return parts.state.is_stopping
    error = over.exception()
    if isinstance(error, ForebayError) and error.code == "instance_not_found":
        await parts.effects.clock.sleep(min(_LOOK_AGAIN_SECONDS, seconds))
        return parts.state.is_stopping
    if error is not None and not isinstance(error, TimeoutError):
        raise error
    return error is None


def _ordinal(cursor: str | None) -> int:
    text = decode_cursor(cursor) if cursor else "0"
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise invalid_cursor()
    return int(text)
