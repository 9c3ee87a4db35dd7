"""The port that every telemetry log stands behind: segments on this machine, a broker in a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Positions = Mapping[str, int]  # partition -> offset of an entry in it; a partition that is absent is at its beginning


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A batch of records of one kind, as one sender sent it."""

    topic: str  # logs.raw, metrics.raw, ...: says what the payload is
    payload: bytes
    record_count: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """An entry with its place."""

    partition: str
    offset: int  # greater than that of every earlier entry of the partition; there may be gaps
    entry: Entry


class TelemetryLog(Protocol):
    """An append-only log of entries in one or more partitions.

    `forebay.testing.telemetry_log_contract` holds what every adapter must do.
    """

    def check_room(self, size_bytes: int) -> None:
        """Raise what `append` of an entry of about this size would raise by now for want of room.

        Looked at before the work of making an entry: senders who do not wait would keep the reader from making room otherwise.
        """
        ...

    async def append(self, entry: Entry) -> StoredEntry:
        """Add an entry; it is durable when this returns, whatever happens to process or machine afterwards.

        Raises `ForebayError`: `telemetry_log_full`, `telemetry_log_busy`, `disk_full`, `telemetry_log_unavailable`, all of
        them retryable, and `entry_too_large`. An entry that was refused may yet be in the log, as after a lost
        confirmation: give entries a key of their own where that matters.
        """
        ...

    async def read(self, after: Positions, *, limit_bytes: int) -> list[StoredEntry]:
        """Durable entries after these positions, each partition in order: about `limit_bytes` of them, and at least one if there is one.

        Raises `ForebayError` `telemetry_log_unavailable`, retryable.
        """
        ...

    async def wait(self, after: Positions) -> None:
        """Return once there is an entry after these positions."""
        ...

    def ends(self) -> Positions:
        """The newest durable entry of each partition: what is acknowledged by now is not after it."""
        ...

    async def release(self, up_to: Positions) -> None:
        """Entries up to here are not needed any more; they may stay for a while."""
        ...

    async def close(self) -> None:
        """Finish what has been begun and free everything. May be called twice.

        An append that runs meanwhile is acknowledged or refused, never left without an answer.
        """
        ...
