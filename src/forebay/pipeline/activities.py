"""The activities of the pipeline that read, parse, embed and move: they run at least once, and may run again."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any

from opentelemetry.trace import get_current_span

from forebay.catalog import versions
from forebay.catalog.arrivals import arrival_of, earlier_arrivals
from forebay.catalog.versions import WRITE_SLICE_CHUNKS
from forebay.durable import Registry
from forebay.pipeline.byte_budget import ByteBudget
from forebay.pipeline.calls import calling
from forebay.pipeline.content_scan import ScanAction, count_by_kind
from forebay.pipeline.parse import ParseRequest
from forebay.pipeline.pipeline import Pipeline, PipelineLimits
from forebay.pipeline.refused import Refused
from forebay.pipeline.staging import Staging
from forebay.pipeline.validate import accept
from forebay.values.arrival import Arrival
from forebay.values.finding import Finding
from forebay.values.reasons import REASONS

CONTENT_IN_MEMORY_BYTES = 64 << 20  # of files that are being read and parsed, all together
# what a file is skipped for is its outcome, and one that changed meanwhile arrives again: nothing that could be done again
REFUSALS = frozenset({reason.code for reason in REASONS.values() if reason.outcome == "skipped"} | {"source_changed"})


def register_activities(registry: Registry, pipeline: Pipeline) -> None:
    """Register the activities under their names."""
    _register_indexing(registry, pipeline)
    _register_tidying(registry, pipeline)


def _register_indexing(registry: Registry, pipeline: Pipeline) -> None:
    """What turns a file into a version."""
    writer, readers = pipeline.database.writer, pipeline.database.readers
    limits, times = pipeline.limits, pipeline.times
    staging = Staging(writer, limits.recipe)
    budget = ByteBudget(max(CONTENT_IN_MEMORY_BYTES, 2 * limits.max_blob_bytes))

    # few at once: the others wait where sources take turns, and not in the queue of the parsers, where they do not
    @registry.activity(concurrency=limits.read_concurrency, timeout_seconds=limits.activity_timeout_seconds, expected=REFUSALS)
    async def read_and_chunk(sequence: int) -> dict[str, Any]:
        """Validate, read and cut a file, and write it as an invisible version."""

        def look(connection: sqlite3.Connection) -> tuple[Arrival, tuple[str, str, int] | None, int | None]:
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

    async def _read(arrival: Arrival, current: tuple[str, str, int] | None) -> dict[str, Any]:
        with times.measure("read"):
            with calling(pipeline.tracer, "read", _storage(arrival)) as span:
                content = await pipeline.sources.read(arrival, limit_bytes=limits.max_blob_bytes + 1)
                span.set_attribute("bytes", len(content))
            sha256 = hashlib.sha256(content).hexdigest()
        if current is not None and current[:2] == (sha256, limits.recipe) and (limits.scan_action == "warn" or not current[2]):
            return {"unchanged": True}
        with times.measure("parse"):
            parsed = await pipeline.parser.parse(parse_request(arrival, content, limits))
        if len(parsed.chunks) > WRITE_SLICE_CHUNKS:  # of small ones the end says it soon enough
            get_current_span().add_event("activity progress", {"step": "parsed", "chunks": len(parsed.chunks)})
        if parsed.findings and limits.scan_action != "warn":
            await staging.record_scan(arrival, parsed.findings, limits.scan_action)
            raise _forbidden(parsed.findings, limits.scan_action)
        with times.measure("write"):
            version, missing_count = await staging.write(arrival, parsed, sha256, len(content))
        return {"unchanged": False, "version": version, "chunk_count": len(parsed.chunks), "missing_count": missing_count}


def _register_tidying(registry: Registry, pipeline: Pipeline) -> None:
    """What follows an outcome, or an error."""
    writer, readers = pipeline.database.writer, pipeline.database.readers
    staging = Staging(writer, pipeline.limits.recipe)
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
        arrival = await _arrival(move["arrival"])
        with calling(pipeline.tracer, "move", _storage(arrival)):
            return await pipeline.sources.move(arrival, move["container"])

    @activity
    async def delete_blobs(sequence: int) -> None:
        """Remove every blob of a deleted document."""

        def look(connection: sqlite3.Connection) -> list[Arrival]:
            deletion = arrival_of(connection, sequence)
            return [deletion, *(each for each in earlier_arrivals(connection, deletion) if each.kind == "created")]

        arrivals = await readers.run(look)
        with calling(pipeline.tracer, "delete", _storage(arrivals[0])):
            await pipeline.sources.delete(arrivals)

    async def _arrival(sequence: int) -> Arrival:
        return await readers.run(lambda connection: arrival_of(connection, sequence))


def _storage(arrival: Arrival) -> dict[str, str]:
    """What a call to the storage of an arrival's bytes says of itself."""
    return {"type": "storage", "target": arrival.location.container or arrival.source, "name": arrival.location.name}


def current_facts(connection: sqlite3.Connection, document_id: str) -> tuple[str, str, int] | None:
    """(sha256, recipe, findings) of the version that answers searches."""
    row: tuple[str, str, int] | None = connection.execute(
        "SELECT v.sha256, v.recipe, v.finding_count FROM documents d JOIN versions v ON v.id = d.current_version WHERE d.id = ?",
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
