"""Compares what is in a place with what has arrived from it: nothing that a watcher missed is lost."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from forebay.catalog.arrivals import Known, known_at
from forebay.database import Readers
from forebay.effects import Effects
from forebay.intake.intake import Intake
from forebay.intake.places import Place
from forebay.intake.scan import ScanEntry, scan_source
from forebay.values.arrival import Location, NewArrival

log = logging.getLogger(__name__)

RECORD_BATCH = 256  # arrivals recorded in one commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What one comparison has found."""

    recorded_count: int
    excluded_count: int
    unsettled: frozenset[str]  # files that are still being written, to be looked at again


class Reconciler:
    """Records an arrival for every difference between a place and the catalog."""

    def __init__(self, intake: Intake, readers: Readers, effects: Effects, *, settle_seconds: float) -> None:
        self._intake = intake
        self._readers = readers
        self._effects = effects
        self._settle_seconds = settle_seconds

    async def reconcile(self, place: Place, *, actor: str, only: frozenset[str] | None = None) -> Reconciled:
        """Compare a whole place, or only the given names and what is below them.

        Raises `ForebayError` (`source_unavailable`) when the place cannot be listed; no file counts as gone then.
        """
        known = await self._readers.run(lambda connection: known_at(connection, place.key, only))
        # a blob is a file of its own: the blob store follows no symlink either
        follows_symlinks = place.container is None
        scan = await self._effects.blocking.run(
            lambda: scan_source(self._effects.files, place.root, place.excludes, only=only, follows_symlinks=follows_symlinks)
        )
        arrivals: list[NewArrival] = []
        unsettled: set[str] = set()
        present: set[str] = set()
        unreadable_folders: list[str] = []
        for entry in scan.entries:
            name = printable(entry.name)
            if not name.startswith(place.prefix):
                continue
            present.add(name)
            if entry.problem == "unreadable" and entry.stat.kind == "directory":
                unreadable_folders.append(name + "/")
            before = known.get(name)
            if before is not None and before.etag == _etag(entry):
                continue
            if self._is_unsettled(entry):
                unsettled.add(name)
            else:
                arrivals.append(self._created(place, entry, actor))
        if place.absence_deletes:
            # what lies below a folder that cannot be listed is unknown, not gone
            arrivals.extend(
                self._deleted(place, name, actor)
                for name in _gone(known, present)
                if not any(name.startswith(folder) for folder in unreadable_folders)
            )
        await self._record(arrivals)
        return Reconciled(recorded_count=len(arrivals), excluded_count=scan.excluded_count, unsettled=frozenset(unsettled))

    async def _record(self, arrivals: Sequence[NewArrival]) -> None:
        for first in range(0, len(arrivals), RECORD_BATCH):
            await self._intake.record(arrivals[first : first + RECORD_BATCH])

    def _is_unsettled(self, entry: ScanEntry) -> bool:
        """Whether the file may still be growing. What is read later than this after its last change can be told from
        any later change by its modification time (git's "racy" rule).
        """
        age_seconds = self._effects.clock.now().timestamp() - entry.stat.mtime_ns / 1e9
        return entry.problem is None and abs(age_seconds) < self._settle_seconds

    def _created(self, place: Place, entry: ScanEntry, actor: str) -> NewArrival:
        name = printable(entry.name)
        return NewArrival(
            kind="created",
            project=place.project,
            source=place.source,
            name=name,
            location=Location(container=place.container, name=name, etag=_etag(entry)),
            size_bytes=entry.stat.size_bytes,
            target_name=self._intake.target_name(place.source, name) if place.container and entry.problem is None else None,
            refusal=entry.problem,
            actor=actor,
            correlation_id=self._effects.random.hex(16),
            event_id=self._effects.random.hex(16),
        )

    def _deleted(self, place: Place, name: str, actor: str) -> NewArrival:
        return NewArrival(
            kind="deleted",
            project=place.project,
            source=place.source,
            name=name,
            location=Location(container=place.container, name=name, etag=None),
            actor=actor,
            correlation_id=self._effects.random.hex(16),
            event_id=self._effects.random.hex(16),
        )


def printable(name: str) -> str:
    r"""A file name as text that can be stored: bytes that are not UTF-8 show as `\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _etag(entry: ScanEntry) -> str:
    return entry.stat.etag if entry.problem is None else f"{entry.problem}:{entry.stat.etag}"


def _gone(known: dict[str, Known], present: set[str]) -> list[str]:
    return [name for name, before in known.items() if before.kind == "created" and name not in present]
