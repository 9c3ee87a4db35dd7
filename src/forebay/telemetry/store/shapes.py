"""What the arrays of a payload look like, and the SQL that makes rows of them.

Most decoders leave rows of the tables. Log lines and measurements, of which there are most, are left as their senders wrote them once
they have been validated: DuckDB maps them at a fraction of what it costs in Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from forebay.telemetry.decoders.batches import SEVERITIES
from forebay.telemetry.store.schema import SCHEMA, quoted
from forebay.telemetry.tables import CUSTOM_METRICS, DUCKDB_TYPES, STORED, TRACES, Table

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
    fields: Mapping[str, str]  # name -> DuckDB type
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

SHAPES: Mapping[str, Shape] = {shape.name: shape for shape in (*map(_as_stored, STORED), LOGS, METRICS)}
