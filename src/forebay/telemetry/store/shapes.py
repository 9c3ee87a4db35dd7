"""What the arrays of a payload look like, and the SQL that makes rows of them.

Most decoders leave rows of the tables. Log lines and measurements, of which there are most, are left as their senders wrote them once
they have been validated, and so is what the engine tells of orchestrations: DuckDB maps them at a fraction of what it costs in Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forebay.telemetry.decoders.batches import SEVERITIES
from forebay.telemetry.store.schema import SCHEMA, quoted
from forebay.telemetry.tables import CUSTOM_METRICS, DEAD_LETTER_EVENTS, DUCKDB_TYPES, INSTANCE_EVENTS, STORED, TRACES, Table

_NOW = "coalesce(r.timestamp AT TIME ZONE 'UTC', received)"
_SENT = {
    "operation_Id": "r.trace_id",
    "operation_ParentId": "r.span_id",
    "cloud_RoleName": "r.service",
    "cloud_RoleInstance": "r.host",
    "environment": "r.environment",
    "sdkVersion": "agent",
    "itemCount": "1",
}
_SENT_FIELDS = {
    "timestamp": "TIMESTAMPTZ",
    **dict.fromkeys(("host", "environment", "trace_id", "span_id", "service"), "VARCHAR"),
    "labels": "JSON",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """Objects with these fields, and what becomes of them."""

    name: str
    table: Table
    fields: Mapping[str, Any]  # name -> DuckDB type, or the fields of an object
    values: Mapping[str, str]  # column -> expression over `r`, source, project, received, agent

    def insert_statement(self) -> str:
        """INSERT from lists: arrays ($1), sources ($2), projects ($3), times of receipt ($4), agents ($5)."""
        structure = json.dumps([dict(self.fields)]).replace("'", "''")
        columns = ", ".join(quoted(column) for column in self.values)
        return (
            f"INSERT INTO {SCHEMA}.{quoted(self.table.name)} ({columns}, source, _project, _received)"
            f" SELECT {', '.join(self.values.values())}, source, project, received"
            f" FROM (SELECT unnest(from_json(rows, '{structure}')) AS r, source, project, received, agent"
            " FROM (SELECT unnest($1::VARCHAR[]) AS rows, unnest($2::VARCHAR[]) AS source, unnest($3::VARCHAR[]) AS project,"
            " unnest($4::TIMESTAMP[]) AS received, unnest($5::VARCHAR[]) AS agent))"
        )


def _as_stored(table: Table) -> Shape:
    names = [column.name for column in table.columns]
    values = {name: f"r.{quoted(name)}" for name in names}
    if "sdkVersion" in values:
        values["sdkVersion"] = 'coalesce(r."sdkVersion", agent)'
    return Shape(table.name, table, {column.name: DUCKDB_TYPES[column.type] for column in table.columns}, values)


def _severity() -> str:
    known = SEVERITIES | {str(severity): severity for severity in SEVERITIES.values()}
    # a map is looked up once; a CASE compares with every name, which took as long as reading the JSON
    return f"MAP {{{', '.join(f'{name!r}: {severity}' for name, severity in known.items())}}}[lower(r.level)]"


LOGS = Shape(
    "logs",
    TRACES,
    {**_SENT_FIELDS, "message": "VARCHAR", "level": "VARCHAR"},
    {
        "timestamp": _NOW,
        "message": "r.message",
        "severityLevel": _severity(),
        "customDimensions": "r.labels",
        "itemType": "'trace'",
        **_SENT,
    },
)
METRICS = Shape(
    "metrics",
    CUSTOM_METRICS,
    {**_SENT_FIELDS, "name": "VARCHAR", "value": "DOUBLE"},
    {
        "timestamp": _NOW,
        "name": "r.name",
        "valueCount": "1",
        **dict.fromkeys(("value", "valueSum", "valueMin", "valueMax"), "r.value"),
        "customDimensions": "r.labels",
        "itemType": "'customMetric'",
        **_SENT,
    },
)

_TOLD_FIELDS = {
    "sequence": "BIGINT",
    "at": "BIGINT",  # as every time of the journal: microseconds since the epoch
    **dict.fromkeys(("instance_id", "orchestrator", "type", "operation_Id"), "VARCHAR"),
}
_TOLD = {"timestamp": "make_timestamp(r.at)", "sequence": "r.sequence", "type": "r.type", "operation_Id": 'r."operation_Id"'}


def _of_data(*names: str) -> dict[str, str]:
    return {name: f"r.data.{quoted(name)}" for name in names}


TRANSITIONS = Shape(
    "transitions",
    INSTANCE_EVENTS,
    _TOLD_FIELDS
    | {
        "data": dict.fromkeys(("version", "status", "failure_code", "reason"), "VARCHAR")
        | dict.fromkeys(("created_at", "input_bytes", "output_bytes", "failed_attempts"), "BIGINT")
    },
    {
        **_TOLD,
        "id": "r.instance_id",
        "name": "r.orchestrator",
        "created_at": "make_timestamp(r.data.created_at)",
        "duration": "(r.at - r.data.created_at) / 1000.0",
        **_of_data("version", "status", "input_bytes", "output_bytes", "failure_code", "failed_attempts", "reason"),
    },
)
LETTERS = Shape(
    "letters",
    DEAD_LETTER_EVENTS,
    _TOLD_FIELDS
    | {
        "data": dict.fromkeys(("status", "kind", "name", "code", "reason"), "VARCHAR")
        | dict.fromkeys(("letter", "attempts", "first_failed_at", "last_failed_at"), "BIGINT")
        | {"settlement": "JSON"}
    },
    {
        **_TOLD,
        "id": "r.data.letter",
        "instance_id": "r.instance_id",
        "orchestrator": "r.orchestrator",
        "first_failed_at": "make_timestamp(r.data.first_failed_at)",
        "last_failed_at": "make_timestamp(r.data.last_failed_at)",
        **_of_data("status", "kind", "name", "code", "reason", "attempts", "settlement"),
    },
)

SHAPES: Mapping[str, Shape] = {shape.name: shape for shape in (*map(_as_stored, STORED), LOGS, METRICS, TRANSITIONS, LETTERS)}
