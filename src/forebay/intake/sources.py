"""Reads what has arrived, wherever it is, and moves blobs on when they are done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from forebay.blobs.port import BlobStore
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.intake.places import Place
from forebay.intake.reconcile import Reconciler
from forebay.intake.scan import read_source_file
from forebay.values.arrival import Arrival, Location
from forebay.values.blob import BlobAddress


class ArrivalSources:
    """Blobs and watched folders behind the pipeline's port."""

    def __init__(self, blobs: BlobStore, effects: Effects, places: Mapping[str, Place], reconciler: Reconciler) -> None:
        self._blobs = blobs
        self._effects = effects
        self._places = places  # by key
        self._reconciler = reconciler

    async def read(self, arrival: Arrival, *, limit_bytes: int) -> bytes:
        """The bytes that arrived, from a blob or a file."""
        return await self.read_at(arrival, arrival.location, limit_bytes=limit_bytes)

    async def read_at(self, arrival: Arrival, location: Location, *, limit_bytes: int) -> bytes:
        """The same, from where the blob has been moved to."""
        try:
            if location.container is not None:
                address = BlobAddress(container=location.container, name=location.name)
                blob, data = await self._blobs.read(address, limit_bytes=limit_bytes)
                etag = blob.etag
            else:
                data, stat = await self._effects.blocking.run(
                    lambda: read_source_file(self._effects.files, Path(arrival.source), location.name, limit_bytes=limit_bytes)
                )
                etag = stat.etag
        except ForebayError as error:
            if error.code in ("blob_not_found", "vanished"):
                raise _changed(arrival, "it is gone") from error
            raise
        if etag != location.etag:
            raise _changed(arrival, "it has been changed")
        return data

    async def look_again(self, arrival: Arrival) -> None:
        """Compare the arrival's place with the catalog, at its name only."""
        place = self._places.get(arrival.location.container or arrival.source)
        if place is not None:
            await self._reconciler.reconcile(place, actor="pipeline", only=frozenset([arrival.location.name]))

    async def move(self, arrival: Arrival, container: str) -> str | None:
        """Move a blob out of the intake container."""
        if arrival.target_name is None:
            return None
        target = BlobAddress(container=container, name=arrival.target_name)
        try:
            await self._blobs.move(_address(arrival), target, etag=arrival.location.etag or "")
        except ForebayError as error:
            if error.code in ("precondition_failed", "blob_not_found"):
                return None
            raise
        return target.name

    async def delete(self, arrival: Arrival) -> None:
        """Remove the blob of a deleted document."""
        try:
            await self._blobs.delete(_address(arrival), if_match=arrival.location.etag)
        except ForebayError as error:
            if error.code not in ("precondition_failed", "blob_not_found"):
                raise


def _address(arrival: Arrival) -> BlobAddress:
    assert arrival.location.container is not None
    return BlobAddress(container=arrival.location.container, name=arrival.location.name)


def _changed(arrival: Arrival, how: str) -> ForebayError:
    return ForebayError("source_changed", f"{arrival.name!r} is not what arrived any more: {how}")
