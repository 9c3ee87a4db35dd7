"""Writes a parsed document as an invisible version: small ones in one unit, large ones in slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from forebay.catalog import versions
from forebay.catalog.events import append_event
from forebay.catalog.models import models_in_use
from forebay.catalog.versions import WRITE_SLICE_CHUNKS, VersionFacts
from forebay.database import Transaction, Writer
from forebay.pipeline.content_scan import ScanAction, count_by_kind
from forebay.pipeline.formats import FORMATS
from forebay.pipeline.parse import Parsed
from forebay.pipeline.validate import media_type
from forebay.values.arrival import Arrival
from forebay.values.field import Field
from forebay.values.finding import Finding

_SHOWN_FINDINGS = 10  # in the history; the counts are of all


class Staging:
    """Invisible versions, until `persist` makes one current or it is discarded."""

    def __init__(self, writer: Writer, recipe: str) -> None:
        self._writer = writer
        self._recipe = recipe

    async def write(self, arrival: Arrival, parsed: Parsed, sha256: str, size_bytes: int) -> tuple[int, int]:
        """The id of the written version, and how many vectors its chunks lack.

        One that an earlier try left must have been discarded.
        """
        facts = VersionFacts(
            recipe=self._recipe,
            sha256=sha256,
            size_bytes=size_bytes,
            format=parsed.format,
            content_type=_content_type(arrival, parsed),
            language=parsed.language,
            encoding=parsed.encoding,
            is_encoding_guessed=parsed.encoding_guessed,
            replaced_count=parsed.replaced_count,
            chunk_count=len(parsed.chunks),
            finding_count=len(parsed.findings),
        )
        slices = [parsed.chunks[first : first + WRITE_SLICE_CHUNKS] for first in range(0, len(parsed.chunks), WRITE_SLICE_CHUNKS)]

        def begin(tx: Transaction) -> int:
            version = versions.stage_version(tx, arrival, facts)
            versions.stage_chunks(tx, version, arrival.project, arrival.name, slices[0])
            return version

        def whole(tx: Transaction) -> tuple[int, int]:
            version = begin(tx)
            return version, self._end(tx, arrival, parsed, version)

        if len(slices) == 1:
            return await self._writer.submit(whole, bulk=True)
        version = await self._writer.submit(begin, bulk=True)
        for each in slices[1:]:
            await self._writer.submit(
                lambda tx, part=each: versions.stage_chunks(tx, version, arrival.project, arrival.name, part),  # type: ignore[misc]
                bulk=True,
            )
        return version, await self._writer.submit(lambda tx: self._end(tx, arrival, parsed, version), bulk=True)

    async def record_scan(self, arrival: Arrival, findings: Sequence[Finding], action: ScanAction) -> None:
        """Record what the content scan has found in a file that is not written; a second try records nothing."""

        def unit(tx: Transaction) -> None:
            known = tx.execute(
                "SELECT 1 FROM events WHERE document_id = ? AND arrival_sequence = ? AND type = 'ContentScanned'",
                (arrival.document_id, arrival.sequence),
            )
            if known.fetchone() is None:
                append_event(tx, arrival, "ContentScanned", _scan_data(findings, action))

        await self._writer.submit(unit, bulk=True)

    async def discard(self, version: int) -> None:
        """Remove an invisible version, slice by slice."""
        while not await self._writer.submit(lambda tx: versions.discard_staged(tx, version), bulk=True):
            pass

    def _end(self, tx: Transaction, arrival: Arrival, parsed: Parsed, version: int) -> int:
        data = {
            "format": parsed.format,
            "encoding": parsed.encoding,
            "encoding_guessed": parsed.encoding_guessed,
            "replaced_characters": parsed.replaced_count,
            "chunks": len(parsed.chunks),
        }
        append_event(tx, arrival, "TextExtracted", data)
        if parsed.findings:
            append_event(tx, arrival, "ContentScanned", _scan_data(parsed.findings, "warn"))
        versions.stage_fields(tx, version, parsed.fields)
        append_event(tx, arrival, "ExtractionCompleted", _extraction_data(parsed.fields))
        return sum(versions.count_without_vector(tx.connection, version, model) for model in models_in_use(tx.connection))


def _scan_data(findings: Sequence[Finding], action: ScanAction) -> dict[str, Any]:
    places = [{"kind": each.kind, "line": each.line, "excerpt": each.excerpt} for each in findings[:_SHOWN_FINDINGS]]
    return {"count": len(findings), "kinds": count_by_kind(findings), "action": action, "findings": places}


def _extraction_data(found: Sequence[Field]) -> dict[str, Any]:
    """How many fields there are of each name, and how sure they are on average."""
    confidence = round(sum(each.confidence for each in found) / len(found), 2) if found else None
    return {"confidence": confidence, "fields": dict(Counter(each.name for each in found))}


def _content_type(arrival: Arrival, parsed: Parsed) -> str | None:
    """What was declared, else what the format is called, so that a filter by type finds files that nobody declared."""
    declared = media_type(arrival.content_type)
    format = next((each for each in FORMATS if each.name == parsed.format), None)
    return declared or (format.content_types[0] if format is not None and format.content_types else "text/plain")
