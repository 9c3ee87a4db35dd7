"""Compares what is in a place with what has arrived from it: nothing that a watcher missed is lost."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from typing import TypeAlias

from forebay.blobs.names import check_name
from forebay.catalog.known import Known, known_arrivals, newest_at
from forebay.database import Readers
from forebay.durable.journal.journal import load_instance
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.intake.intake import Intake
from forebay.intake.places import Place
from forebay.intake.scan import Scan, ScanEntry, printable, read_source_file, scan_source
from forebay.values.arrival import UPLOAD_SOURCE, Location, NewArrival, document_id, instance_id

log = logging.getLogger(__name__)

RECORD_BATCH = 256  # differences that are looked at and recorded together, so that memory does not grow with their number
LEFTOVER_SECONDS = 60.0  # a blob that is still, or again, in the intake container so long after its arrival ended is news

_MAY_HEAL = ("unreadable", "vanished", "storage_failed")  # reasons that can go away without any change of the file's ETag
PROOF_BYTES = 16 << 20  # read of a file that may have healed: a bad block can lie anywhere in it


_Batch: TypeAlias = dict[str, ScanEntry | None]  # by the name as the catalog has it; None where nothing is there any more


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
            listed = await self._list(place, {}, None)
            only = frozenset(entry.name for entry in listed.entries)
            if not only:
                return _reconciled(listed)
        wanted = None if only is None else frozenset(map(printable, only))
        newest = await self._readers.run(
            lambda connection: newest_at(connection, place.key, project=place.project, passing=_MAY_HEAL, only=wanted)
        )
        # between the look at the catalog and the look at the files: what is listed of these may be older than what is recorded
        appearing = self._intake.appearing if place.container is not None else frozenset()
        # what lies in the intake container is looked at whether it is known or not
        scan = await self._list(place, newest.etags if place.container is None else {}, only)
        recorded_count = 0
        unsettled: set[str] = set()
        for batch in _batches(place, scan):
            unsettled |= batch.keys() & appearing
            comparable = {name: entry for name, entry in batch.items() if name not in appearing}
            found = await self._differences(place, actor, newest.sequences, comparable)
            unsettled |= found.unsettled
            recorded = await self._intake.record(found.arrivals) if found.arrivals else []
            for new, arrival in zip(found.arrivals, recorded, strict=True):
                if arrival is None:
                    unsettled.add(new.location.name)
                else:
                    recorded_count += 1
        return _reconciled(scan, recorded_count, unsettled)

    async def _list(self, place: Place, known: Mapping[str, str | None], only: frozenset[str] | None) -> Scan:
        return await self._effects.blocking.run(
            lambda: scan_source(
                self._effects.files,
                place.root,
                place.excludes,
                known=known,
                only=only,
                # a blob is a file of its own: the blob store follows no symlink either
                follows_symlinks=place.container is None,
                should_stop=lambda: self._is_stopping,
            )
        )

    async def _differences(self, place: Place, actor: str, sequences: Mapping[str, int], batch: _Batch) -> _Differences:
        wanted = {name: sequences[name] for name in batch if name in sequences}
        known: Mapping[str, Known] = {}
        in_work: Set[str] = frozenset()

        def look(connection: sqlite3.Connection) -> tuple[dict[str, Known], Set[str]]:
            arrivals = known_arrivals(connection, wanted.values())
            found = {name: arrivals[sequence] for name, sequence in wanted.items()}
            blobs = found if place.container is not None else {}
            return found, frozenset(name for name, before in blobs.items() if _is_in_work(connection, name, before))

        if wanted:
            known, in_work = await self._readers.run(look)
        return await self._effects.blocking.run(self._compare, place, actor, batch, known, in_work)

    def _compare(self, place: Place, actor: str, batch: _Batch, known: Mapping[str, Known], in_work: Set[str]) -> _Differences:
        """Blocks: it may look at files."""
        found = _Differences()
        for name, entry in batch.items():
            before = known.get(name)
            if entry is None:
                if before is not None and before.kind == "created":
                    found.arrivals.append(self._deleted(place, name, actor, before))
                continue
            newest_before: int | None = before.sequence if before is not None else 0
            if place.container is None and before is not None and before.project != place.project:
                # the place belongs to another project now: gone there, new here
                if before.kind == "created":
                    found.arrivals.append(self._deleted(place, name, actor, before))
                    newest_before = None  # it follows the deletion, in the same commit
            elif before is not None and before.etag == _etag(entry) and (name in in_work or not self._is_news(place, entry, before)):
                continue
            if self._is_unsettled(place, entry):
                found.unsettled.add(name)
            else:
                found.arrivals.append(self._created(place, entry, actor, newest_before))
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
        # handled blobs leave the container: this one was put back, or its move failed, unless it has left since it was listed
        since_seconds = self._effects.clock.now().timestamp() - before.settled_at_us / 1e6
        return since_seconds > LEFTOVER_SECONDS and self._is_still_there(place, entry)

    def _is_still_there(self, place: Place, entry: ScanEntry) -> bool:
        try:
            return self._effects.files.stat(place.root / entry.name).etag == entry.stat.etag
        except OSError:
            return False

    def _can_be_read(self, place: Place, entry: ScanEntry) -> bool:
        try:
            read_source_file(self._effects.files, place.root, entry.name, limit_bytes=PROOF_BYTES)
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


def _is_in_work(connection: sqlite3.Connection, name: str, before: Known) -> bool:
    """Whether the orchestration of an arrival whose outcome is known is still tidying up, as after a crash."""
    row = load_instance(connection, instance_id(document_id(before.project, before.source, name), before.sequence))
    return row is not None and row.status == "Running"


def _etag(entry: ScanEntry) -> str:
    return entry.stat.etag if entry.problem is None else f"{entry.problem}:{entry.stat.etag}"


def _batches(place: Place, scan: Scan) -> Iterator[_Batch]:
    """What is there and not as it is known, then what is known and not there."""
    entries = ((printable(entry.name), entry) for entry in scan.entries)
    differing: Iterator[tuple[str, ScanEntry | None]] = ((name, entry) for name, entry in entries if name.startswith(place.prefix))
    if place.absence_deletes:
        # what lies below a folder that cannot be listed is unknown, not gone
        gone = sorted(name for name in scan.absent if not name.startswith(tuple(scan.unknown_prefixes)))
        differing = chain(differing, zip(gone, repeat(None)))
    while batch := dict(islice(differing, RECORD_BATCH)):
        yield batch


def _reconciled(scan: Scan, recorded_count: int = 0, unsettled: Set[str] = frozenset()) -> Reconciled:
    return Reconciled(
        recorded_count=recorded_count,
        excluded_count=scan.excluded_count,
        unsettled=frozenset(unsettled),
        root_inode=scan.root_inode,
    )
