"""What the tables shall say of entries, written down once more and independently of the decoders; for tests that send anything."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from forebay.telemetry.decoders.batches import SEVERITIES
from forebay.telemetry.store.schema import SCHEMA

COMMON = ("operation_Id", "operation_ParentId", "cloud_RoleName", "cloud_RoleInstance", "environment", "customDimensions")
# a time that the server has set counts as none
TIME = 'CASE WHEN abs(epoch_ms("timestamp") - epoch_ms(_received)) > 60000 THEN "timestamp" END'
SPECIAL = {
    "traces": ("message", "severityLevel"),
    "exceptions": ("message", "severityLevel", "type", "details->>'$[0].rawStack'"),
    "customMetrics": ("name", "value", "valueSum"),
    "customEvents": ("name", "customMeasurements", "user_Id", "session_Id"),
}
DOCUMENTS = ("customDimensions", "customMeasurements")  # JSON

Row = tuple[str, ...]


def expected_rows(kind: str, entries: list[dict[str, Any]]) -> Counter[Row]:
    """What is to be in the tables after entries of a route, in the shape of `stored_rows`."""
    return Counter(_canonical(_expected(kind, entry)) for entry in entries)


def stored_rows(connection: Any, project: str) -> Counter[Row]:
    """What is in the tables for a project, except for what the program says about itself."""
    found: Counter[Row] = Counter()
    for table, special in SPECIAL.items():
        columns = (TIME, *COMMON, *special)
        query = f"SELECT {', '.join(columns)} FROM {SCHEMA}.{table} WHERE _project = ? AND source <> 'platform'"
        for row in connection.execute(query, [project]).fetchall():
            values = [json.loads(value) if name in DOCUMENTS and value else value for name, value in zip(columns, row, strict=True)]
            found[_canonical([table, *values])] += 1
    return found


def _expected(kind: str, entry: dict[str, Any]) -> list[Any]:
    labels = entry.get("labels")
    common = [entry.get(name) for name in ("trace_id", "span_id", "service", "host", "environment")]
    time = _time(entry.get("timestamp"))
    if kind == "metrics":
        labels = _with(labels, "metric_type", entry["metric_type"].lower() if entry.get("metric_type") is not None else None)
        labels = _with(labels, "unit", entry.get("unit"))
        return ["customMetrics", time, *common, labels, entry["name"], float(entry["value"]), float(entry["value"])]
    if kind == "events":
        measured = entry.get("measurements")
        measured = measured and {name: float(value) for name, value in measured.items()}
        return ["customEvents", time, *common, labels, entry["name"], measured, entry.get("user_id"), entry.get("session_id")]
    level = entry.get("level")
    severity = _severity(level)
    labels = _with(labels, "level", level if severity is None else None)
    told = entry.get("exception")
    if told is None:
        return ["traces", time, *common, labels, entry["message"], severity]
    if isinstance(told, str):
        told = {**_last_line(told.strip().split("\n")[-1]), "stacktrace": told}
    message = told.get("message") or entry["message"]
    labels = _with(labels, "message", entry["message"] if message != entry["message"] else None)
    severity = 3 if severity is None else severity
    return ["exceptions", time, *common, labels, message, severity, told.get("type"), told.get("stacktrace")]


def _last_line(line: str) -> dict[str, str]:
    """Of a Python traceback: `ValueError: too short`, or the type alone."""
    name, colon, rest = line.partition(": ")
    if all(part.isidentifier() and part.isascii() for part in name.split(".")):
        return {"type": name} | ({"message": rest} if colon else {})
    return {"message": line}


def _with(labels: dict[str, Any] | None, name: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return labels
    while name in (labels or {}):
        name += "_"
    return {**(labels or {}), name: value}


def _severity(level: Any) -> int | None:
    if isinstance(level, str):
        return SEVERITIES.get(level.lower(), int(level) if level in {"0", "1", "2", "3", "4"} else None)
    return level if level in range(5) else None


def _time(sent: str | None) -> datetime | None:
    if sent is None:
        return None
    moment = datetime.fromisoformat(sent)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _canonical(row: list[Any]) -> Row:
    """`1`, `1.0` and `true` are different; the order of names is not."""
    return tuple(json.dumps(value, sort_keys=True, default=str) for value in row)
