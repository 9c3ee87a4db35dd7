"""Writes a parsed document as an invisible version: small ones in one unit, large ones in slices."""

from __future__ import annotations

from forebay.catalog import versions
from forebay.catalog.events import append_event
from forebay.catalog.versions import WRITE_SLICE_CHUNKS, VersionFacts
from forebay.database import Transaction, Writer
from forebay.pipeline.parse import Parsed
from forebay.values.arrival import Arrival


class Staging:
    """Invisible versions, until `persist` makes one current or it is discarded."""

    def __init__(self, writer: Writer, model: str, recipe: str) -> None:
        self._writer = writer
        self._model = model
        self._recipe = recipe

    async def write(self, arrival: Arrival, parsed: Parsed, sha256: str, size_bytes: int) -> tuple[int, int]:
        """The id of the written version, and how many of its chunks have no vector yet.

        One that an earlier try left must have been discarded.
        """
        facts = VersionFacts(
            model=self._model,
            recipe=self._recipe,
            sha256=sha256,
            size_bytes=size_bytes,
            format=parsed.format,
            language=parsed.language,
            encoding=parsed.encoding,
            is_encoding_guessed=parsed.encoding_guessed,
            replaced_count=parsed.replaced_count,
            chunk_count=len(parsed.chunks),
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
        return versions.count_without_vector(tx.connection, version, self._model)
