"""Reads what has arrived, wherever it is, and moves blobs on when they are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from forebay.blobs.port import BlobStore
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.intake.places import Place
from forebay.intake.reconcile import Reconciler
from forebay.intake.scan import read_source_file
from forebay.values.arrival import Arrival, Location
from forebay.values.blob import FAILED, PROCESSED, BlobAddress

SETTLE_LOOKS = 20  # how often a file is looked at again that is still being written


class ArrivalSources:
    """Blobs and watched folders behind the pipeline's port."""

    def __init__(
        self, blobs: BlobStore, effects: Effects, places: Mapping[str, Place], reconciler: Reconciler, *, settle_seconds: float
    ) -> None:
        self._blobs = blobs
        self._effects = effects
        self._places = places  # by key
        self._reconciler = reconciler
        self._settle_seconds = settle_seconds

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
        """Compare the arrival's place with the catalog, at its name only, once the file there has settled.

        Raises `ForebayError` (`source_unavailable`, `source_changing`), both retryable.
        """
        place = self._places.get(arrival.location.container or arrival.source)
        if place is None:
            return
        for _ in range(SETTLE_LOOKS):
            found = await self._reconciler.reconcile(place, actor="pipeline", only=frozenset([arrival.location.name]))
            if not found.unsettled:
                return
            await self._effects.clock.sleep(self._settle_seconds)
        raise ForebayError("source_changing", f"{arrival.name!r} is being written all the time", retryable=True)

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

    async def delete(self, arrivals: Sequence[Arrival]) -> None:
        """Remove the blobs that these arrivals brought, wherever they have been moved; what is gone or changed is left alone."""
        for arrival in arrivals:
            addresses = [_address(arrival)]
            if arrival.target_name is not None:
                addresses += [BlobAddress(container=container, name=arrival.target_name) for container in (PROCESSED, FAILED)]
            for address in addresses:
                try:
                    await self._blobs.delete(address, if_match=arrival.location.etag)
                except ForebayError as error:
                    if error.code not in ("precondition_failed", "blob_not_found", "invalid_name"):
                        raise


def _address(arrival: Arrival) -> BlobAddress:
    assert arrival.location.container is not None
    return BlobAddress(container=arrival.location.container, name=arrival.location.name)


def _changed(arrival: Arrival, how: str) -> ForebayError:
    return ForebayError("source_changed", f"{arrival.name!r} is not what arrived any more: {how}")
