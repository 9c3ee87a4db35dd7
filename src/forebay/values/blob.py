"""Blobs: bytes with a name in a container."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

INCOMING, PROCESSED, FAILED, ARCHIVE = "incoming", "processed", "failed", "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobAddress:
    """Where a blob is: a flat name, which may contain `/`, in a container."""

    container: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """What is known of a blob without reading it."""

    address: BlobAddress
    etag: str  # changes whenever the content is written again; survives a move
    size_bytes: int
    last_modified: datetime
    content_type: str | None = None  # as declared by whoever put it; None when nobody did
    metadata: dict[str, str] = field(default_factory=dict)
