"""Arrivals: a file came, or went."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

ArrivalKind = Literal["created", "deleted"]
ArrivalOutcome = Literal["indexed", "unchanged", "superseded", "skipped", "failed", "deleted"]

UPLOAD_SOURCE = "upload"  # documents posted over HTTP
INCOMING_SOURCE = "incoming"  # files that any program dropped into the intake container


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where the bytes of an arrival are: a blob in a container, or a file below a watched folder."""

    container: str | None  # None for a watched folder
    name: str  # the blob's name, or the path below the folder with `/`
    etag: str | None  # None for a deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArrival:
    """A change of a source that has been noticed and not recorded yet."""

    kind: ArrivalKind
    project: str
    source: str  # `upload`, `incoming`, or the absolute path of a watched folder
    name: str  # what users see and search: the original name
    location: Location
    size_bytes: int = 0
    content_type: str | None = None  # as declared by the sender
    actor: str  # who: a key's name, `watcher`, `reconciler`
    correlation_id: str
    target_name: str | None = None  # the collision-free name of its blob after it leaves the intake container
    refusal: str | None = None  # a reason code when the intake itself already knows that it cannot be read
    event_id: str  # unique: recording the same event twice records it once
    # for what was found by looking: the sequence of the newest arrival at its place when the look began, 0 when there was
    # none; a newer one by now makes this one stale. None for what somebody sends.
    newest_before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival(NewArrival):
    """A row of the append-only arrivals table."""

    sequence: int
    document_id: str
    at: datetime

    @property
    def instance_id(self) -> str:
        """The orchestration that handles this arrival; never derived from content, so A, B, A indexes the second A."""
        return instance_id(self.document_id, self.sequence)


def instance_id(document_id: str, sequence: int) -> str:
    """The orchestration that handles the arrival of a document with this sequence."""
    return f"ingest-{document_id}-{sequence}"


def document_id(project: str, source: str, name: str) -> str:
    """The identity of a document: the same (project, source, name) again is a new version of it."""
    identity = "\0".join((project, source, name)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(identity).hexdigest()[:24]
