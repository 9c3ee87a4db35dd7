"""The port through which the pipeline reads what has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from forebay.values.arrival import Arrival, Location


class Sources(Protocol):
    """Blobs and watched folders, as the pipeline sees them."""

    async def read(self, arrival: Arrival, *, limit_bytes: int) -> bytes:
        """The bytes that arrived.

        Raises `ForebayError`: `source_changed` when the file has another ETag by now or is gone, a code of
        `values.reasons` when it may not or cannot be read.
        """
        ...

    async def read_at(self, arrival: Arrival, location: Location, *, limit_bytes: int) -> bytes:
        """The bytes of a handled arrival, whose blob may have moved to `location` since; raises as `read` does."""
        ...

    async def look_again(self, arrival: Arrival) -> None:
        """Record what is at the arrival's place now, if that is news."""
        ...

    async def move(self, arrival: Arrival, container: str) -> str | None:
        """Move the arrival's blob to a container under its target name, idempotently; return that name.

        None when a newer arrival is at its place, which stays.
        """
        ...

    async def delete(self, arrivals: Sequence[Arrival]) -> None:
        """Remove the blobs that these arrivals brought, wherever they are now; what is gone or changed is left alone."""
        ...
