"""Tables of the catalog whose rows are only ever added, as partitions of a log whose offsets are their sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from forebay.telemetry.log.port import Entry, StoredEntry
from forebay.telemetry.tables import PLATFORM_SOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One row for the tables."""

    sequence: int
    at: int  # microseconds since the epoch
    project: str
    shape: str  # see `store.shapes`
    row: dict[str, Any]
    size_bytes: int  # about


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """How such a table is read."""

    partition: str
    topic: str
    table: str
    query: str  # its rows after a sequence, in order, at most so many
    tell: Callable[[tuple[Any, ...]], Told]  # of a row of the query


@dataclass(slots=True)
class _Run:
    """Successive rows of one project: what one entry holds."""

    project: str
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by shape
    count: int = 0
    newest: Told | None = None


def entries(stream: Stream, found: Iterable[tuple[Any, ...]], limit_bytes: int) -> list[StoredEntry]:
    """Rows as entries, each project's together as far as their order allows: about `limit_bytes`, at least one row if there is one."""
    runs: list[_Run] = []
    total = 0
    for told in map(stream.tell, found):
        if not runs or runs[-1].project != told.project:
            runs.append(_Run(told.project))
        run = runs[-1]
        run.rows.setdefault(told.shape, []).append(told.row)
        run.count += 1
        run.newest = told
        total += told.size_bytes
        if total >= limit_bytes:
            break
    return [_entry(stream, run) for run in runs]


def _entry(stream: Stream, run: _Run) -> StoredEntry:
    assert run.newest is not None, "a run begins with a row"
    entry = Entry(
        topic=stream.topic,
        payload=msgspec.json.encode(run.rows),
        record_count=run.count,
        headers={"project": run.project, "source": PLATFORM_SOURCE, "received": str(run.newest.at)},
    )
    return StoredEntry(partition=stream.partition, offset=run.newest.sequence, entry=entry)
