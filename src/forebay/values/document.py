"""Documents as users see them, and the events of their lives."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from forebay.values.arrival import Location

DocumentStatus = Literal["received", "processing", "indexed", "skipped", "failed", "deleted"]
EventType = Literal[
    "DocumentUploaded",
    "ProcessingStarted",
    "TextExtracted",
    "ContentScanned",
    "ExtractionCompleted",
    "ChunksEmbedded",
    "DocumentIndexed",
    "DocumentMoved",
    "DocumentUnchanged",
    "DocumentSuperseded",
    "DocumentSkipped",
    "DocumentFailed",
    "DeletionRequested",
    "DocumentDeleted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The state of a document: `status` is that of its newest arrival, `version` the one that answers searches."""

    id: str
    project: str
    name: str
    status: DocumentStatus
    reason: str | None  # a code of `values.reasons`, when skipped or failed
    version: int | None  # None while nothing of it is searchable
    source: str
    content_type: str | None
    size_bytes: int
    sha256: str | None
    language: str | None
    chunk_count: int
    blob: Location
    instance_id: str
    correlation_id: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEvent:
    """One fact about a document; the events are append-only and never pruned."""

    sequence: int
    document_id: str
    type: EventType
    at: datetime
    actor: str
    correlation_id: str
    data: dict[str, Any] = field(default_factory=dict)
