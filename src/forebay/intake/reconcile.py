"""Compares what is in a place with what has arrived from it: nothing that a watcher missed is lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from forebay.blobs.names import check_name
from forebay.catalog.arrivals import Known, known_at
from forebay.database import Readers
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.intake.intake import Intake
from forebay.intake.places import Place
from forebay.intake.scan import Scan, ScanEntry, read_source_file, scan_source
from forebay.values.arrival import UPLOAD_SOURCE, Location, NewArrival

log = logging.getLogger(__name__)

RECORD_BATCH = 256  # arrivals recorded in one commit
LEFTOVER_SECONDS = 60.0  # a blob that is still, or again, in the intake container so long after its arrival ended is news

_MAY_HEAL = ("unreadable", "vanished")  # reasons that can go away without any change of the file's ETag


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What one comparison has found."""

    recorded_count: int
    excluded_count: int
    unsettled: frozenset[str]  # what is still being written, or changed meanwhile: to be looked at again
    root_inode: int


@dataclass(slots=True)
class _Differences:
    """What a place has that the catalog has not, and the other way round."""

    arrivals: list[NewArrival] = field(default_factory=list)
    unsettled: set[str] = field(default_factory=set)


class Reconciler:
    """Records an arrival for every difference between a place and the catalog."""

    def __init__(self, intake: Intake, readers: Readers, effects: Effects, *, settle_seconds: float) -> None:
        self._intake = intake
        self._readers = readers
        self._effects = effects
        self._settle_seconds = settle_seconds
        self._is_stopping = False

    def stop(self) -> None:
        """End the comparisons under way as soon as possible."""
        self._is_stopping = True

    async def reconcile(self, place: Place, *, actor: str, only: frozenset[str] | None = None) -> Reconciled:
        """Compare a whole place, or only the given names and what is below them.

        Raises `ForebayError` (`source_unavailable`) when the place cannot be listed; no file counts as gone then.

        Guarantees: what is recorded was still the newest truth about its name when it was recorded. The catalog is read
        before the place is listed, and an arrival counts only if none has been recorded for its name since.
        """
        if place.container is not None and only is None:
            # most of what ever arrived in the intake container has left it: ask only for what is there
            listed = await self._list(place, None)
            only = frozenset(entry.name for entry in listed.entries)
            if not only:
                return _nothing(listed)
        wanted = None if only is None else frozenset(map(printable, only))
        known = await self._readers.run(lambda connection: known_at(connection, place.key, wanted))
        scan = await self._list(place, only)
        found = await self._effects.blocking.run(self._compare, place, actor, known, scan)
        recorded_count = 0
        for first in range(0, len(found.arrivals), RECORD_BATCH):
            batch = found.arrivals[first : first + RECORD_BATCH]
            for new, arrival in zip(batch, await self._intake.record(batch), strict=True):
                if arrival is None:
                    found.unsettled.add(new.location.name)
                else:
                    recorded_count += 1
        return Reconciled(
            recorded_count=recorded_count,
            excluded_count=scan.excluded_count,
            unsettled=frozenset(found.unsettled),
            root_inode=scan.root_inode,
        )

    async def _list(self, place: Place, only: frozenset[str] | None) -> Scan:
        return await self._effects.blocking.run(
            lambda: scan_source(
                self._effects.files,
                place.root,
                place.excludes,
                only=only,
                # a blob is a file of its own: the blob store follows no symlink either
                follows_symlinks=place.container is None,
                should_stop=lambda: self._is_stopping,
            )
        )

    def _compare(self, place: Place, actor: str, known: Mapping[str, Known], scan: Scan) -> _Differences:
        """Blocks: it may look at files."""
        found = _Differences()
        present: set[str] = set()
        for entry in scan.entries:
            name = printable(entry.name)
            if not name.startswith(place.prefix):
                continue
            present.add(name)
            before = known.get(name)
            newest_before: int | None = before.sequence if before is not None else 0
            if before is not None and before.project != place.project:
                # the place belongs to another project now: gone there, new here
                if before.kind == "created":
                    found.arrivals.append(self._deleted(place, name, actor, before))
                    newest_before = None  # it follows the deletion, in the same commit
            elif before is not None and before.etag == _etag(entry) and not self._is_news(place, entry, before):
                continue
            if self._is_unsettled(place, entry):
                found.unsettled.add(name)
            else:
                found.arrivals.append(self._created(place, entry, actor, newest_before))
        if place.absence_deletes:
            found.arrivals += [
                self._deleted(place, name, actor, before)
                for name, before in known.items()
                # what lies below a folder that cannot be listed is unknown, not gone
                if before.kind == "created" and name not in present and not name.startswith(tuple(scan.unknown_prefixes))
            ]
        return found

    def _is_news(self, place: Place, entry: ScanEntry, before: Known) -> bool:
        """Whether a file whose ETag is known should arrive again."""
        if entry.problem is not None or before.outcome is None or before.kind == "deleted":
            return False
        if before.source == UPLOAD_SOURCE:
            return False  # a newer upload of the same document may have come since: only its sender may send it again
        if before.reason in _MAY_HEAL:
            return self._can_be_read(place, entry)
        if place.container is None or before.outcome == "skipped":
            return False
        # handled blobs leave the container: this one was put back, or its move failed
        return self._effects.clock.now().timestamp() - before.settled_at_us / 1e6 > LEFTOVER_SECONDS

    def _can_be_read(self, place: Place, entry: ScanEntry) -> bool:
        try:
            read_source_file(self._effects.files, place.root, entry.name, limit_bytes=1)
        except ForebayError:
            return False
        return True

    def _is_unsettled(self, place: Place, entry: ScanEntry) -> bool:
        """Whether the file may still be growing.

        What is read later than this after its last change can be told from any later change by its modification time
        (git's "racy" rule).
        """
        if entry.problem is not None:
            return False
        age_seconds = self._effects.clock.now().timestamp() - entry.stat.mtime_ns / 1e9
        if abs(age_seconds) < self._settle_seconds:
            return True
        # a blob moves on once it is read, so nobody may have it open for writing any more
        return place.container is not None and self._effects.files.is_being_written(place.root / entry.name)

    def _created(self, place: Place, entry: ScanEntry, actor: str, newest_before: int | None) -> NewArrival:
        name = printable(entry.name)
        refusal: str | None = entry.problem
        if place.container is not None and refusal is None:
            try:
                check_name(name)
            except ForebayError:
                refusal = "name_too_long"
        return NewArrival(
            kind="created",
            project=place.project,
            source=place.source,
            name=name,
            location=Location(container=place.container, name=name, etag=_etag(entry)),
            size_bytes=entry.stat.size_bytes,
            target_name=self._intake.target_name(place.source, name) if place.container and refusal is None else None,
            refusal=refusal,
            actor=actor,
            correlation_id=self._effects.random.hex(16),
            event_id=self._effects.random.hex(16),
            newest_before=newest_before,
        )

    def _deleted(self, place: Place, name: str, actor: str, before: Known) -> NewArrival:
        return NewArrival(
            kind="deleted",
            project=before.project,
            source=place.source,
            name=name,
            location=Location(container=place.container, name=name, etag=None),
            actor=actor,
            correlation_id=self._effects.random.hex(16),
            event_id=self._effects.random.hex(16),
            newest_before=before.sequence,
        )


def printable(name: str) -> str:
    r"""A file name as text that can be stored: bytes that are not UTF-8 show as `\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _etag(entry: ScanEntry) -> str:
    return entry.stat.etag if entry.problem is None else f"{entry.problem}:{entry.stat.etag}"


def _nothing(scan: Scan) -> Reconciled:
    return Reconciled(recorded_count=0, excluded_count=scan.excluded_count, unsettled=frozenset(), root_inode=scan.root_inode)
