"""The tables of the telemetry store: names and columns as Application Insights has them, and the platform's own nouns.

Source: https://learn.microsoft.com/azure/azure-monitor/reference/tables-index (the classic Application Insights schema). `success` is a
string there ("True", "False"), durations are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KqlType = Literal["string", "int", "long", "real", "bool", "datetime", "dynamic"]

DUCKDB_TYPES: dict[KqlType, str] = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "real": "DOUBLE",
    "bool": "BOOLEAN",
    "datetime": "TIMESTAMP",  # without a zone: UTC by convention
    "dynamic": "JSON",
}

PLATFORM_SOURCE = "platform"  # of rows that this program writes about itself


@dataclass(frozen=True, slots=True)
class Column:
    """A column, as KQL sees it."""

    name: str
    type: KqlType
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table that senders, or the platform, write rows to."""

    name: str
    meaning: str
    columns: tuple[Column, ...]


# what every row has, and only the server sets; `_project` never shows in queries
SERVER_COLUMNS = (
    Column("source", "string", "Who wrote the row: `platform`, or the name of the API key."),
    Column("_project", "string", "The project that the row belongs to."),
    Column("_received", "datetime", "When the server took it in: what `ingestion_time()` answers and retention goes by."),
)

_CONTEXT = (
    Column("operation_Name", "string", "The name of the operation that this belongs to."),
    Column("operation_Id", "string", "The trace: one id from the first request to the last write."),
    Column("operation_ParentId", "string", "The span that caused this."),
    Column("session_Id", "string", "The user's session."),
    Column("user_Id", "string", "The user, anonymous."),
    Column("user_AuthenticatedId", "string", "The user, signed in."),
    Column("application_Version", "string", "The version of the application."),
    Column("client_Type", "string", "Browser, PC, and so on."),
    Column("client_IP", "string", "The client's address."),
    Column("cloud_RoleName", "string", "The service."),
    Column("cloud_RoleInstance", "string", "The host, or instance of the service."),
    Column("environment", "string", "The deployment: production, staging, ..."),
    Column("sdkVersion", "string", "What sent the row."),
    Column("itemType", "string", "The kind of telemetry."),
    Column("itemId", "string", "Unique to the row."),
    Column("itemCount", "int", "How many items a sampled row stands for."),
    Column("customDimensions", "dynamic", "Labels, attributes and properties."),
    Column("customMeasurements", "dynamic", "Named numbers."),
)
_TIME = Column("timestamp", "datetime", "When it happened, UTC.")
_DURATION = Column("duration", "real", "How long it took, in milliseconds.")
_SUCCESS = Column("success", "string", "`True` or `False`.")
_BUCKET = Column("performanceBucket", "string", "The range that the duration falls in, such as `<250ms`.")
_SEVERITY = Column("severityLevel", "int", "0 verbose, 1 information, 2 warning, 3 error, 4 critical.")


def _table(name: str, meaning: str, *columns: Column) -> Table:
    return Table(name, meaning, (_TIME, *columns, *_CONTEXT))


REQUESTS = _table(
    "requests",
    "Requests that a service has answered.",
    Column("id", "string", "The span of the request."),
    Column("name", "string", "Method and route."),
    Column("url", "string", "What was asked for."),
    _SUCCESS,
    Column("resultCode", "string", "The status."),
    _DURATION,
    _BUCKET,
)
DEPENDENCIES = _table(
    "dependencies",
    "Calls that a service has made: databases, models, storage, other services.",
    Column("id", "string", "The span of the call."),
    Column("target", "string", "What was called."),
    Column("type", "string", "The kind of dependency: `HTTP`, `SQL`, `InProc`, ..."),
    Column("name", "string", "The operation."),
    Column("data", "string", "The statement, or URL."),
    _SUCCESS,
    Column("resultCode", "string", "The status."),
    _DURATION,
    _BUCKET,
)
TRACES = _table("traces", "Log lines.", Column("message", "string", "The line."), _SEVERITY)
EXCEPTIONS = _table(
    "exceptions",
    "Errors.",
    Column("problemId", "string", "Groups occurrences of the same problem."),
    Column("type", "string", "The class of the error."),
    Column("message", "string", "What it says."),
    Column("method", "string", "Where it was raised."),
    Column("assembly", "string", "The module or library."),
    Column("outerType", "string", "The class of the error that was caught."),
    Column("outerMessage", "string", "What that says."),
    Column("outerMethod", "string", "Where that was raised."),
    Column("innermostType", "string", "The class of the error that began it."),
    Column("innermostMessage", "string", "What that says."),
    Column("innermostMethod", "string", "Where that was raised."),
    Column("handledAt", "string", "Where it was caught."),
    _SEVERITY,
    Column("details", "dynamic", "The chain of errors with their stacks."),
)
CUSTOM_EVENTS = _table("customEvents", "Events with names.", Column("name", "string", "What happened."))
CUSTOM_METRICS = _table(
    "customMetrics",
    "Measurements, each a value or the summary of several.",
    Column("name", "string", "What was measured."),
    Column("value", "real", "The value; of a summary, the sum."),
    Column("valueCount", "int", "How many measurements."),
    Column("valueSum", "real", "Their sum."),
    Column("valueMin", "real", "The least."),
    Column("valueMax", "real", "The greatest."),
    Column("valueStdDev", "real", "Their standard deviation."),
)
AVAILABILITY_RESULTS = _table(
    "availabilityResults",
    "Whether something could be reached.",
    Column("id", "string", "The probe."),
    Column("name", "string", "The test."),
    Column("location", "string", "From where."),
    _SUCCESS,
    Column("message", "string", "What came back."),
    Column("size", "real", "Of the answer, in bytes."),
    _DURATION,
    _BUCKET,
)
PERFORMANCE_COUNTERS = _table(
    "performanceCounters",
    "Counters of the machine and the process.",
    Column("name", "string", "The counter, with its category."),
    Column("category", "string", "What it is about."),
    Column("counter", "string", "What is counted."),
    Column("instance", "string", "Of which process, disk or network."),
    Column("value", "real", "How much."),
)

TABLES: tuple[Table, ...] = (
    REQUESTS,
    DEPENDENCIES,
    TRACES,
    EXCEPTIONS,
    CUSTOM_EVENTS,
    CUSTOM_METRICS,
    AVAILABILITY_RESULTS,
    PERFORMANCE_COUNTERS,
)

DOCUMENT_EVENTS = Table(
    "documentEvents",
    "The history of documents, as the catalog keeps it.",
    (
        _TIME,
        Column("sequence", "long", "The order of events."),
        Column("document_id", "string", "The document."),
        Column("name", "string", "Its name."),
        Column("document_source", "string", "Where it came from: `upload`, `incoming`, or a watched folder."),
        Column("type", "string", "What happened: DocumentUploaded, DocumentIndexed, ..."),
        Column("actor", "string", "Who or what caused it."),
        Column("operation_Id", "string", "The correlation id of the arrival."),
        Column("arrival", "long", "The arrival's sequence."),
        Column("instance_id", "string", "The orchestration."),
        Column("data", "dynamic", "What belongs to the type."),
    ),
)

INSTANCE_EVENTS = Table(
    "instanceEvents",
    "What happened to orchestrations, as the engine tells it: each row has the state from then on.",
    (
        _TIME,
        Column("sequence", "long", "The order of events, those of dead letters included."),
        Column("id", "string", "The instance."),
        Column("name", "string", "The orchestration."),
        Column("version", "string", "The version of the orchestration, if it has one."),
        Column(
            "type",
            "string",
            "What happened: Started, Completed, Failed, Terminated, Suspended, Resumed, ContinuedAsNew, Rewound, Restarted, or Purged.",
        ),
        Column("status", "string", "`Running`, `Suspended`, `Completed`, `Failed` or `Terminated`; of a purged one what it was."),
        Column("created_at", "datetime", "When it was started."),
        Column("duration", "real", "From its start until this row, in milliseconds."),
        Column("input_bytes", "long", "The size of its input."),
        Column("output_bytes", "long", "The size of its output, or of its failure, when it ends."),
        Column("failure_code", "string", "The code of the error that it ended with."),
        Column("failed_attempts", "int", "Tries of activities and sub-orchestrations that failed, when it ends."),
        Column("reason", "string", "Why it was terminated, suspended, resumed or rewound, as whoever did it says."),
        Column("operation_Id", "string", "The correlation id of what started it."),
    ),
)

DEAD_LETTER_EVENTS = Table(
    "deadLetterEvents",
    "What happened to dead letters: what failed for good, and what became of it. Each row has the state from then on.",
    (
        _TIME,
        Column("sequence", "long", "The order of events, those of orchestrations included."),
        Column("type", "string", "What happened: DeadLettered, DeadLetterReplayed or DeadLetterPurged."),
        Column("id", "long", "The dead letter."),
        Column("status", "string", "`open`, `replayed` or `purged`."),
        Column("kind", "string", "What failed: `activity`, or `orchestrator`: it failed of itself."),
        Column("name", "string", "The activity, or orchestration, that failed."),
        Column("instance_id", "string", "The instance."),
        Column("orchestrator", "string", "The orchestration of the instance."),
        Column("code", "string", "The code of the error."),
        Column("reason", "string", "What the error says."),
        Column("attempts", "int", "The tries."),
        Column("first_failed_at", "datetime", "When the first of them failed."),
        Column("last_failed_at", "datetime", "When the last of them failed."),
        Column("settlement", "dynamic", "Who replayed or purged it (`by`), as which instance (`instance_id`), or why (`reason`)."),
        Column("operation_Id", "string", "The correlation id of what started the instance."),
    ),
)

STORED: tuple[Table, ...] = (*TABLES, DOCUMENT_EVENTS, INSTANCE_EVENTS, DEAD_LETTER_EVENTS)

# what KQL sees besides the stored tables; telemetry/store/views.py derives them
DOCUMENTS = Table(
    "documents",
    "The current state of every document.",
    (
        Column("timestamp", "datetime", "When something last happened to it."),
        Column("id", "string", "The document."),
        Column("name", "string", "Its name."),
        Column("source", "string", "Where it came from: `upload`, `incoming`, or a watched folder."),
        Column("status", "string", "That of its newest arrival: received, processing, indexed, skipped, failed, deleted."),
        Column("reason", "string", "Why it was skipped or failed."),
        Column("message", "string", "What the failure said."),
        Column("version", "long", "The version that answers searches; none when nothing of it is searchable."),
        Column("chunk_count", "long", "The chunks of that version."),
        Column("size_bytes", "long", "The size of that version."),
        Column("sha256", "string", "The hash of that version."),
        Column("language", "string", "The language of that version."),
        Column("created_at", "datetime", "When it first arrived."),
        Column("updated_at", "datetime", "When something last happened to it."),
        Column("instance_id", "string", "The orchestration of its newest arrival."),
        Column("operation_Id", "string", "The correlation id of its newest arrival."),
    ),
)
ARRIVALS = Table(
    "arrivals",
    "What came, in which order, and how each arrival ended.",
    (
        Column("timestamp", "datetime", "When it came."),
        Column("sequence", "long", "The order of arrivals."),
        Column("document_id", "string", "The document."),
        Column("name", "string", "Its name."),
        Column("kind", "string", "`created` or `deleted`."),
        Column("source", "string", "Where it came from: `upload`, `incoming`, or a watched folder."),
        Column("actor", "string", "Who or what brought it."),
        Column("size_bytes", "long", "The size of what came."),
        Column("received_at", "datetime", "When it came."),
        Column("outcome", "string", "indexed, unchanged, superseded, skipped, failed or deleted; none while it is in flight."),
        Column("reason", "string", "Why it was skipped or failed."),
        Column("settled_at", "datetime", "When it ended."),
        Column("latency", "real", "From its coming to its end, in milliseconds."),
        Column("instance_id", "string", "Its orchestration."),
        Column("operation_Id", "string", "Its correlation id."),
    ),
)
INSTANCES = Table("instances", "The newest state of every orchestration; `type` is what brought it there.", INSTANCE_EVENTS.columns)
DEAD_LETTERS = Table("deadLetters", "The newest state of every dead letter.", DEAD_LETTER_EVENTS.columns)
DERIVED: tuple[Table, ...] = (DOCUMENTS, ARRIVALS, INSTANCES, DEAD_LETTERS)


def queryable() -> dict[str, tuple[Column, ...]]:
    """Every table that KQL sees, by name, with the columns that it shows."""
    shown = tuple(column for column in SERVER_COLUMNS if not column.name.startswith("_"))
    return {table.name: (*table.columns, *shown) for table in STORED} | {table.name: table.columns for table in DERIVED}
