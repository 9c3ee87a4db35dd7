"""The JSON shapes of answers. Their fields are what other programs hold on to: added to, never renamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from forebay.search.search import SearchHit
from forebay.values.arrival import Location
from forebay.values.blob import Blob
from forebay.values.chunk import Chunk, ChunkLocation
from forebay.values.document import Document, DocumentEvent, DocumentStatus
from forebay.values.field import Field
from forebay.values.times import rfc3339

Health = Literal["healthy", "degraded", "unhealthy"]
CompletionKind = Literal["operator", "function", "aggregate", "column", "table", "keyword", "plugin", "type"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobReference:
    """Where the bytes of a document are; `container` is null for a file below a watched folder."""

    container: str | None
    name: str
    etag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentJson:
    """A document: `status` is that of its newest arrival, `version` the one that answers searches."""

    id: str
    project: str
    name: str
    status: DocumentStatus
    reason: str | None
    version: int | None
    source: str
    content_type: str | None
    size_bytes: int
    sha256: str | None
    language: str | None
    chunk_count: int
    blob: BlobReference
    instance_id: str
    correlation_id: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPage:
    """Documents in order of name."""

    documents: list[DocumentJson]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventJson:
    """One fact of a document's history."""

    sequence: int
    type: str
    at: str
    actor: str
    correlation_id: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldJson:
    """A fact found in the document; `characters` is where it was read, empty for what comes from the file's name or format."""

    name: str
    value: str
    characters: tuple[int, int]
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentDetail(DocumentJson):
    """A document with its extracted fields and its history, oldest event first."""

    fields: list[FieldJson] = field(default_factory=list)
    events: list[EventJson] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkJson:
    """A piece of the decoded text: `text` is exactly the slice `characters`.

    `location` has what applies of `page`, `slide`, `sheet` with `rows` and `cell_range` (`A3:F17`), `cells` and `headings`.
    """

    id: str
    ordinal: int
    text: str
    lines: tuple[int, int]
    characters: tuple[int, int]
    symbol: str | None
    location: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPage:
    """Chunks of the version that answers searches, in order."""

    chunks: list[ChunkJson]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAccepted:
    """An upload that is stored durably and will be ingested."""

    id: str
    instance_id: str
    blob: BlobReference
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionAccepted:
    """A deletion that is recorded durably and will be carried out."""

    id: str
    instance_id: str
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How the arrivals of a project ended, and what is searchable.

    Arrivals are in flight or have exactly one outcome. `stages` has seconds of work since the start by stage.
    `costs` has what a remote embedder's requests for documents cost since the start: requests, retries, tokens, waited_seconds, usd.
    """

    arrivals: int
    in_flight: int
    outcomes: dict[str, int]
    skipped_reasons: dict[str, int]
    failed_reasons: dict[str, int]
    documents: int
    chunks: int
    excluded: int
    stages: dict[str, float]
    costs: dict[str, float]
    reconciled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobStored:
    """A blob that has been written durably."""

    container: str
    name: str
    etag: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobJson:
    """What is known of a blob without reading it."""

    name: str
    etag: str
    size_bytes: int
    content_type: str | None
    tier: Literal["hot"]
    metadata: dict[str, str]
    tags: dict[str, str]
    last_modified: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPage:
    """Blobs in byte order of their names."""

    blobs: list[BlobJson]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksJson:
    """Places in the two rankings, from 1; null where the chunk is not among the candidates."""

    text: int | None
    vector: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresJson:
    """What the rankings go by: BM25 and the cosine; null where the chunk is not among the candidates."""

    text: float | None
    vector: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HitJson:
    """A chunk that answers the query, with what is needed to cite it.

    `snippet` is the slice of `text` to show, `highlights` the matches in it: half-open pairs of characters, ascending.
    """

    document_id: str
    name: str
    project: str
    version: int
    chunk_id: str
    score: float
    ranks: RanksJson
    text: str
    lines: tuple[int, int]
    characters: tuple[int, int]
    symbol: str | None
    location: dict[str, Any] | None
    scores: ScoresJson
    snippet: str
    highlights: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Hits, best first; scores are comparable within one answer only."""

    hits: list[HitJson]
    took_ms: float
    warning: str | None  # why this is less than was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHealth:
    """One dependency."""

    state: Health
    latency_ms: float | None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthJson:
    """How the program is. `services` is there for callers with a key, `message` where there is something to do."""

    status: Health
    service: str
    version: str
    timestamp: str
    services: dict[str, ServiceHealth] | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InformationJson:
    """What this is, and where to go on."""

    service: str
    version: str
    docs: str
    openapi: str
    health: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusJson:
    """An answer that says no more than that all is well."""

    status: Health


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckProblem:
    """One contradiction."""

    code: str
    document_id: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a check looked at, and what it found wrong."""

    ok: bool
    checked: dict[str, int]
    problems: list[CheckProblem]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryColumn:
    """A column of an answer, with its KQL type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryTable:
    """A table of an answer."""

    name: str
    columns: list[QueryColumn]
    rows: list[list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """What a query answers, in the shape of Log Analytics."""

    tables: list[QueryTable]
    took_ms: float
    lag_seconds: float  # above 0: how old what is missing may be
    truncated: Literal["rows", "bytes"] | None  # which limit cut the answer short
    render: dict[str, str] | None  # the chart that the query asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryExplanation:
    """How a query is understood. Nothing has been run."""

    tree: str  # what each part reads, computes and answers, a line for each relation
    sql: str  # of DuckDB; `$project`, `$start`, `$end` and `$now` stand for values
    columns: list[QueryColumn]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionItem:
    """A word that may be written."""

    label: str
    kind: CompletionKind
    detail: str  # a type, a signature, or how the words after it go


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDiagnostic:
    """What is wrong with a query, from `start` to before `end`, in characters from 0."""

    code: str  # that of the error which running it would be
    message: str
    hint: str  # what may be meant, or what to do instead
    start: int
    end: int
    line: int  # of the start, from 1
    column: int  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCompletion:
    """What may be written in place of the characters from `start` to before `end`, the likely first, and what is wrong with the query."""

    items: list[CompletionItem]
    start: int
    end: int
    diagnostics: list[QueryDiagnostic]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What telemetry has come in since the start."""

    status: str
    producer_type: str  # what the telemetry log is: `segments`
    logs_sent: int
    metrics_sent: int
    events_sent: int
    batches_sent: int
    batches_refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyJson:
    """A key without its secret."""

    id: str
    name: str
    project: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    replaced_by: str | None
    last_used_at: str | None  # about: it is noted once a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKeyJson(KeyJson):
    """A key that was just made, with the secret that is shown this once."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage:
    """Keys, oldest first."""

    keys: list[KeyJson]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStateJson:
    """How far the index is from the settings."""

    status: Literal["current", "outdated", "running", "failed"]
    configured_model: str
    searched_model: str
    missing_texts: int
    outdated_documents: int
    instance_id: str | None
    message: str | None


def blob_reference(location: Location) -> BlobReference:
    """Where an arrival's bytes are."""
    return BlobReference(container=location.container, name=location.name, etag=location.etag)


def document_json(document: Document) -> DocumentJson:
    """A document in a list."""
    return DocumentJson(**_document_fields(document))


def document_detail(document: Document, fields: Sequence[Field], events: Sequence[DocumentEvent]) -> DocumentDetail:
    """A document by itself."""
    return DocumentDetail(
        **_document_fields(document), fields=[field_json(each) for each in fields], events=[event_json(event) for event in events]
    )


def field_json(found: Field) -> FieldJson:
    """A field of a document's current version."""
    return FieldJson(name=found.name, value=found.value, characters=(found.start, found.end), confidence=found.confidence)


def event_json(event: DocumentEvent) -> EventJson:
    """An event of a document's history."""
    return EventJson(
        sequence=event.sequence,
        type=event.type,
        at=rfc3339(event.at),
        actor=event.actor,
        correlation_id=event.correlation_id,
        data=event.data,
    )


def chunk_json(document: Document, chunk: Chunk) -> ChunkJson:
    """A chunk of a document's current version; its id is the one that search hits have."""
    return ChunkJson(
        id=f"{document.id}-{document.version}-{chunk.ordinal}",
        ordinal=chunk.ordinal,
        text=chunk.text,
        lines=(chunk.first_line, chunk.last_line),
        characters=(chunk.start, chunk.end),
        symbol=chunk.symbol,
        location=location_json(chunk.location),
    )


def location_json(location: ChunkLocation | None) -> dict[str, Any] | None:
    """Where a person finds a chunk, with only what applies to its format; null where lines say it all."""
    return None if location is None else location.to_json()


def blob_json(blob: Blob) -> BlobJson:
    """A blob in a list."""
    return BlobJson(
        name=blob.address.name,
        etag=blob.etag,
        size_bytes=blob.size_bytes,
        content_type=blob.content_type,
        tier="hot",
        metadata=blob.metadata,
        tags={},
        last_modified=rfc3339(blob.last_modified),
    )


def hit_json(hit: SearchHit) -> HitJson:
    """A search hit."""
    return HitJson(
        document_id=hit.document_id,
        name=hit.name,
        project=hit.project,
        version=hit.version,
        chunk_id=hit.chunk_id,
        score=hit.score,
        ranks=RanksJson(text=hit.ranks.text, vector=hit.ranks.vector),
        text=hit.text,
        lines=hit.lines,
        characters=hit.characters,
        symbol=hit.symbol,
        location=location_json(hit.location),
        scores=ScoresJson(text=hit.scores.text, vector=hit.scores.vector),
        snippet=hit.snippet.text,
        highlights=hit.snippet.highlights,
    )


def _document_fields(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "project": document.project,
        "name": document.name,
        "status": document.status,
        "reason": document.reason,
        "version": document.version,
        "source": document.source,
        "content_type": document.content_type,
        "size_bytes": document.size_bytes,
        "sha256": document.sha256,
        "language": document.language,
        "chunk_count": document.chunk_count,
        "blob": blob_reference(document.blob),
        "instance_id": document.instance_id,
        "correlation_id": document.correlation_id,
        "created_at": rfc3339(document.created_at),
        "updated_at": rfc3339(document.updated_at),
    }
