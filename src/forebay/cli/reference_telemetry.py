"""docs/telemetry.md: what senders send, which tables it goes to, and what the platform says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from forebay.cli.reference_store import WRITTEN_AT, temporary_tables
from forebay.telemetry.decoders.batches import (
    BATCH_LIMIT,
    SEVERITIES,
    BatchDecoder,
    EventEntry,
    LogEntry,
    MetricEntry,
    event_decoder,
    log_decoder,
    metric_decoder,
)
from forebay.telemetry.log.port import StoredEntry
from forebay.telemetry.observe.names import COUNTERS, DEPENDENCIES, EVENTS, LINES, METRICS, Name
from forebay.telemetry.query.engine import QueryEngine
from forebay.telemetry.rows import entry_of
from forebay.telemetry.store.retention import PRUNABLE
from forebay.telemetry.store.store import TelemetryStore
from forebay.telemetry.tables import DERIVED, STORED, TABLES, Column, Table, queryable

INTRODUCTION = f"""
Logs, metrics and events are sent over HTTP, at most {BATCH_LIMIT:,} in a request, and are durable when the answer is 202; a batch with a
mistake is refused as a whole, with the index, field and reason of each mistake. Sent again with the same `Idempotency-Key` within a day, a
batch is taken once. The body may be gzip (`Content-Encoding: gzip`). The key needs the scope `ingest`.

```
curl -H "X-API-Key: $KEY" -H "Content-Type: application/json" http://127.0.0.1:8000/logs \\
     -d '{{"entries": [{{"message": "the gate is open", "service": "gate", "level": "warning", "labels": {{"gate": 7}}}}]}}'
forebay query "traces | where cloud_RoleName == 'gate' | project timestamp, message, customDimensions.gate"
```

A question sees what was acknowledged before it. What can be asked is in [kql.md](kql.md); what is kept for how long, in
[operations.md](operations.md).
"""

STORY = """
## A file's whole story, by one query

What belongs to one upload, or to one change of a watched folder, has the same `operation_Id`: the request, the spans of every try of every
activity, the warnings and errors on its way, the events of the document, of its orchestration, and of what failed for good. Give the name
of your file in the second line; the answer begins with the request and ends with the last write.

```kusto
arrivals
| where name == "report.md"
| project operation_Id
| join kind=inner (
    union
        (requests
        | project timestamp, origin = "requests", what = name, result = resultCode, attempt = "", detail = url, operation_Id),
        (dependencies
        | project timestamp, origin = "dependencies", what = strcat(type, " ", name), result = resultCode,
            attempt = tostring(customDimensions.attempt), detail = tostring(customDimensions.message), operation_Id),
        (traces
        | where severityLevel >= 2
        | project timestamp, origin = "traces", what = message, result = tostring(customDimensions.code),
            attempt = tostring(customDimensions.attempt), detail = tostring(customDimensions.activity), operation_Id),
        (exceptions
        | project timestamp, origin = "exceptions", what = type, result = "", attempt = "", detail = message, operation_Id),
        (documentEvents
        | project timestamp, origin = "documentEvents", what = type, result = tostring(data.reason), attempt = "",
            detail = tostring(data.message), operation_Id),
        (instanceEvents
        | project timestamp, origin = "instanceEvents", what = type, result = failure_code, attempt = "", detail = id, operation_Id),
        (deadLetterEvents
        | project timestamp, origin = "deadLetterEvents", what = type, result = code, attempt = tostring(attempts), detail = reason,
            operation_Id)
    ) on operation_Id
| project timestamp, origin, what, attempt, result, detail
| order by timestamp asc
```
"""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an entry: what it means, and a value that shows where it goes."""

    meaning: str
    sample: Any


_SHARED = {
    "timestamp": Field("When it happened: RFC 3339, or seconds since the epoch; without it, when it was received.", "2026-11-22T05:00:00Z"),
    "service": Field("What sends it.", "sample"),
    "host": Field("Where that runs.", "sample"),
    "environment": Field("production, staging, ...", "sample"),
    "labels": Field("Anything else, by name.", {"<label>": "sample"}),
    "trace_id": Field("The trace that it belongs to.", "sample"),
    "span_id": Field("The span that it belongs to.", "sample"),
}
_LOG = _SHARED | {
    "message": Field("The line.", "sample"),
    "level": Field(
        f"One of {', '.join(SEVERITIES)}, in any case, or 0 to 4; another one becomes the label `level`, or `level_` where there is one.",
        "warning",
    ),
    "exception": Field(
        "The error that the line is about: `type`, `message` and `stacktrace`, or a stack trace as text. The labels `exception.type`,"
        " `exception.message` and `exception.stacktrace` say the same.",
        {"type": "sample", "message": "sample", "stacktrace": "sample"},
    ),
}
_METRIC = _SHARED | {
    "name": Field("What is measured.", "sample"),
    "value": Field("How much.", 7.0),
    "metric_type": Field("counter, gauge or histogram, in any case.", "gauge"),
    "unit": Field("Of the value.", "sample"),
}
_EVENT = _SHARED | {
    "name": Field("What happened.", "sample"),
    "measurements": Field("Numbers, by name.", {"<name>": 7.0}),
    "user_id": Field("Who, anonymous.", "sample"),
    "session_id": Field("In which session.", "sample"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route that takes telemetry."""

    table: str
    decoder: BatchDecoder[Any]
    entry: type[msgspec.Struct]
    fields: Mapping[str, Field]
    least: dict[str, Any]  # what an entry must have


ROUTES = (
    Route(table="traces", decoder=log_decoder(), entry=LogEntry, fields=_LOG, least={"message": "x", "service": "x"}),
    Route(
        table="customMetrics", decoder=metric_decoder(), entry=MetricEntry, fields=_METRIC, least={"name": "x", "value": 1, "service": "x"}
    ),
    Route(table="customEvents", decoder=event_decoder(), entry=EventEntry, fields=_EVENT, least={"name": "x"}),
)


def telemetry_page(generated: str) -> str:
    """The page, with the line `generated` below its title."""
    lines = [*asyncio.run(_routes()), STORY.rstrip(), *_tables(), *_ourselves()]
    return f"# Telemetry\n\n{generated}\n{INTRODUCTION}" + "\n".join(lines) + "\n"


async def _routes() -> list[str]:
    lines = [
        "\n## What is sent, and where it goes\n",
        "Fields that are not named here are refused, so that a misspelt one is noticed. `agent_version`, beside `entries`, goes to",
        "`sdkVersion`.",
    ]
    async with temporary_tables() as (store, engine):
        for route in ROUTES:
            lines += await _Senders(store, engine).route(route)
    return lines


class _Senders:
    """Sends each field by itself, in a project of its own, and looks where it is then."""

    def __init__(self, store: TelemetryStore, engine: QueryEngine) -> None:
        self._store = store
        self._engine = engine

    async def route(self, route: Route) -> list[str]:
        lines = [
            f"\n### POST /{route.decoder.kind}\n",
            f"Each entry becomes a row of `{route.table}`.\n",
            "| field | goes to | meaning |",
            "|---|---|---|",
        ]
        plain = await self._sent(route, "", None)
        for field in sorted(msgspec.structs.fields(route.entry), key=lambda each: (not each.required, list(route.fields).index(each.name))):
            described = route.fields[field.name]
            row = await self._sent(route, field.name, described.sample)
            places = "a row of `exceptions` instead" if row is None else ", ".join(f"`{place}`" for place in _changed(plain or {}, row))
            lines.append(f"| `{field.name}`{' (required)' if field.required else ''} | {places} | {described.meaning} |")
        return lines

    async def _sent(self, route: Route, field: str, sample: Any) -> Mapping[str, Any] | None:
        """The row of an entry with this field and the required ones; None when it is not in the route's table."""
        project = f"{route.decoder.kind}-{field}"
        body = msgspec.json.encode({"entries": [route.least | ({field: sample} if field else {})]})
        batch = route.decoder.decode(body, WRITTEN_AT)
        entry = entry_of(f"{route.decoder.kind}.raw", batch.rows, project=project, source=project, received=WRITTEN_AT)
        await self._store.insert([StoredEntry(partition=project, offset=1, entry=entry)])
        answer = await self._engine.query(f"{route.table} | project-away source", project=project)
        return dict(zip((name for name, _ in answer.columns), answer.rows[0], strict=True)) if answer.rows else None


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for column, value in after.items():
        if value != before.get(column):
            yield from (f"{column}.{key}" for key in value) if isinstance(value, dict) else (column,)


def _tables() -> Iterator[str]:
    shown = queryable()
    yield "\n## Tables\n"
    yield "Names and columns are those of Application Insights. `documents`, `arrivals`, `instances` and `deadLetters` are views: the"
    yield "newest state, as the events tell it.\n"
    yield "| table | | kept | what it has |"
    yield "|---|---|---|---|"
    for table in (*STORED, *DERIVED):
        yield f"| [`{table.name}`](#{table.name.lower()}) | {'view' if table in DERIVED else 'stored'} | {_kept(table)} | {table.meaning} |"
    common = [column for column in shown[TABLES[0].name] if all(column in shown[table.name] for table in TABLES)]
    yield "\n### Columns that all tables of Application Insights have\n"
    yield from _columns(common)
    for table in (*STORED, *DERIVED):
        yield f"\n### {table.name}\n"
        yield table.meaning + (" Besides the columns that all have:" if table in TABLES else "") + "\n"
        yield from _columns([column for column in shown[table.name] if table not in TABLES or column not in common])


def _kept(table: Table) -> str:
    if table in DERIVED:
        return "as what it is told by"
    return "by age and size" if table.name in PRUNABLE else "for ever"


def _columns(columns: Sequence[Column]) -> Iterator[str]:
    yield "| column | type | meaning |"
    yield "|---|---|---|"
    yield from (f"| `{column.name}` | {column.type} | {column.meaning} |" for column in columns)


def _ourselves() -> Iterator[str]:
    yield "\n## What Forebay says of itself\n"
    yield "These rows have the source `platform`, and belong to the project that they are about, or to the default one. Dimensions are in"
    yield "`customDimensions`, measurements in `customMeasurements`."
    yield from _names("Events, in customEvents", EVENTS)
    yield from _names("Measurements, in customMetrics", METRICS)
    yield from _names("Calls, in dependencies, by type", DEPENDENCIES)
    yield from _names("Lines, in traces", LINES)
    yield from _names("Counters, in performanceCounters", COUNTERS)


def _names(title: str, names: Sequence[Name]) -> Iterator[str]:
    yield f"\n### {title}\n"
    yield "| name | meaning | dimensions and measurements |"
    yield "|---|---|---|"
    for name in names:
        told = "; ".join(f"`{key}`: {meaning.rstrip('.')}" for key, meaning in (*name.dimensions.items(), *name.measurements.items()))
        yield f"| `{name.name}` | {name.meaning} | {told} |"
