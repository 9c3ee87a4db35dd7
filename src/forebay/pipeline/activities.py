"""The activities of the pipeline that read, parse, embed and move: they run at least once, and may run again."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from forebay.catalog import versions
from forebay.catalog.arrivals import arrival_of, earlier_arrivals
from forebay.database import Database
from forebay.durable import Registry
from forebay.errors import ForebayError
from forebay.pipeline.byte_budget import ByteBudget
from forebay.pipeline.content_scan import ScanAction, count_by_kind
from forebay.pipeline.embedders.port import Embedder
from forebay.pipeline.parse import Parser, ParseRequest
from forebay.pipeline.refused import Refused
from forebay.pipeline.sources import Sources
from forebay.pipeline.stage_times import StageTimes
from forebay.pipeline.staging import Staging
from forebay.pipeline.validate import accept
from forebay.values.arrival import Arrival
from forebay.values.finding import Finding

CONTENT_IN_MEMORY_BYTES = 64 << 20  # of files that are being read and parsed, all together
PARSER_VERSION = 1  # a change of readers or chunkers that changes their output must increase it


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineLimits:
    """What the pipeline accepts, and how it cuts it."""

    max_blob_bytes: int
    max_text_characters: int
    accept_unknown_text: bool
    chunk_size: int  # code points
    chunker: Literal["auto", "fixed"]
    embed_concurrency: int  # slices embedded at once
    activity_timeout_seconds: float
    scan_action: ScanAction = "warn"

    @property
    def recipe(self) -> str:
        """What the chunks of a document depend on besides its bytes."""
        return f"{PARSER_VERSION}:{self.chunker}:{self.chunk_size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What the activities work with."""

    database: Database
    sources: Sources
    parser: Parser
    embedder: Embedder
    limits: PipelineLimits
    times: StageTimes


def register_activities(registry: Registry, pipeline: Pipeline) -> None:
    """Register the activities under their names."""
    _register_indexing(registry, pipeline)
    _register_tidying(registry, pipeline)


def _register_indexing(registry: Registry, pipeline: Pipeline) -> None:
    """What turns a file into a version: read, cut, embed."""
    writer, readers = pipeline.database.writer, pipeline.database.readers
    limits, times, model = pipeline.limits, pipeline.times, pipeline.embedder.model_id
    staging = Staging(writer, model, limits.recipe)
    budget = ByteBudget(max(CONTENT_IN_MEMORY_BYTES, 2 * limits.max_blob_bytes))
    activity = registry.activity(timeout_seconds=limits.activity_timeout_seconds)

    @activity
    async def read_and_chunk(sequence: int) -> dict[str, Any]:
        """Validate, read and cut a file, and write it as an invisible version."""

        def look(connection: sqlite3.Connection) -> tuple[Arrival, tuple[str, str, str, int] | None, int | None]:
            arrival = arrival_of(connection, sequence)
            return arrival, current_facts(connection, arrival.document_id), versions.staged_version(connection, sequence)

        arrival, current, stale = await readers.run(look)
        if stale is not None:
            await staging.discard(stale)
        accept(
            arrival.name,
            arrival.content_type,
            arrival.size_bytes,
            max_blob_bytes=limits.max_blob_bytes,
            accept_unknown_text=limits.accept_unknown_text,
        )
        async with budget.taken(arrival.size_bytes):
            return await _read(arrival, current)

    async def _read(arrival: Arrival, current: tuple[str, str, str, int] | None) -> dict[str, Any]:
        with times.measure("read"):
            content = await pipeline.sources.read(arrival, limit_bytes=limits.max_blob_bytes + 1)
            sha256 = hashlib.sha256(content).hexdigest()
        if current is not None and current[:3] == (sha256, model, limits.recipe) and (limits.scan_action == "warn" or not current[3]):
            return {"unchanged": True}
        with times.measure("parse"):
            parsed = await pipeline.parser.parse(parse_request(arrival, content, limits))
        if parsed.findings and limits.scan_action != "warn":
            await staging.record_scan(arrival, parsed.findings, limits.scan_action)
            raise _forbidden(parsed.findings, limits.scan_action)
        with times.measure("write"):
            version, missing_count = await staging.write(arrival, parsed, sha256, len(content))
        return {"unchanged": False, "version": version, "chunk_count": len(parsed.chunks), "missing_count": missing_count}

    @registry.activity(concurrency=limits.embed_concurrency, timeout_seconds=limits.activity_timeout_seconds)
    async def embed(data: dict[str, int]) -> int:
        """Embed what is missing of a slice of a version's chunks; return how many texts that were."""
        missing = await readers.run(
            lambda connection: versions.texts_without_vector(connection, data["version"], model, data["first"], data["last"])
        )
        if not missing:
            return 0
        with times.measure("embed"):
            vectors = await pipeline.embedder.embed([text for _, text in missing])
        rows = _checked_rows(missing, vectors, pipeline.embedder)
        with times.measure("write"):
            await writer.submit(lambda tx: versions.put_vectors(tx, model, rows), bulk=True)
        return len(rows)


def _register_tidying(registry: Registry, pipeline: Pipeline) -> None:
    """What follows an outcome, or an error."""
    writer, readers = pipeline.database.writer, pipeline.database.readers
    staging = Staging(writer, pipeline.embedder.model_id, pipeline.limits.recipe)
    activity = registry.activity(timeout_seconds=pipeline.limits.activity_timeout_seconds)

    @activity
    async def look_again(sequence: int) -> None:
        """The file was not as its arrival said: record what is there now."""
        await pipeline.sources.look_again(await _arrival(sequence))

    @activity
    async def discard_staged_version(sequence: int) -> None:
        """Remove what a given-up try has written invisibly."""
        stale = await readers.run(lambda connection: versions.staged_version(connection, sequence))
        if stale is not None:
            await staging.discard(stale)

    @activity
    async def retire_version(version: int) -> None:
        """Take the rest of a replaced version out of the full text."""
        while await writer.submit(lambda tx: versions.retire_chunks(tx, version), bulk=True):
            pass

    @activity
    async def move_blob(move: dict[str, Any]) -> str | None:
        """Move the blob of a handled arrival out of the intake container."""
        return await pipeline.sources.move(await _arrival(move["arrival"]), move["container"])

    @activity
    async def delete_blobs(sequence: int) -> None:
        """Remove every blob of a deleted document."""

        def look(connection: sqlite3.Connection) -> list[Arrival]:
            deletion = arrival_of(connection, sequence)
            return [deletion, *(each for each in earlier_arrivals(connection, deletion) if each.kind == "created")]

        await pipeline.sources.delete(await readers.run(look))

    async def _arrival(sequence: int) -> Arrival:
        return await readers.run(lambda connection: arrival_of(connection, sequence))


def current_facts(connection: sqlite3.Connection, document_id: str) -> tuple[str, str, str, int] | None:
    """(sha256, model, recipe, findings) of the version that answers searches."""
    row: tuple[str, str, str, int] | None = connection.execute(
        "SELECT v.sha256, v.model, v.recipe, v.finding_count FROM documents d JOIN versions v ON v.id = d.current_version WHERE d.id = ?",
        (document_id,),
    ).fetchone()
    return row


def parse_request(arrival: Arrival, content: bytes, limits: PipelineLimits) -> ParseRequest:
    """What the parser is asked about an arrival's bytes."""
    return ParseRequest(
        name=arrival.name,
        content_type=arrival.content_type,
        data=content,
        max_blob_bytes=limits.max_blob_bytes,
        accept_unknown_text=limits.accept_unknown_text,
        chunk_size=limits.chunk_size,
        chunker=limits.chunker,
        max_text_characters=limits.max_text_characters,
    )


def _forbidden(findings: list[Finding], action: ScanAction) -> Refused:
    kinds = ", ".join(f"{count} {kind}" for kind, count in count_by_kind(findings).items())
    first = min(finding.line for finding in findings)
    return Refused(
        "secret_found" if action == "skip" else "secret_forbidden", f"expected no secrets, got {kinds}, the first in line {first}"
    )


def _checked_rows(missing: list[tuple[int, str]], vectors: Any, embedder: Embedder) -> list[tuple[int, bytes]]:
    """The vectors as stored, or an error: an empty or fake vector is never stored."""
    matrix = np.asarray(vectors, dtype="<f4")
    expected = (len(missing), embedder.dimensions)
    if matrix.shape != expected:
        raise ForebayError(
            "embedding_failed", f"{embedder.model_id} answered with shape {matrix.shape}, expected {expected}", retryable=True
        )
    lengths = np.linalg.norm(matrix, axis=1)
    if not np.all(np.abs(lengths - 1) < 1e-2):
        raise ForebayError("embedding_failed", f"{embedder.model_id} answered with a vector that is not of unit length", retryable=True)
    return [(text_id, matrix[position].tobytes()) for position, (text_id, _) in enumerate(missing)]
