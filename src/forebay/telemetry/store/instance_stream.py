"""What happens to orchestrations and dead letters on its way to the tables; `durable.transitions` writes it."""

from __future__ import annotations

from typing import Any

import msgspec

from forebay.telemetry.store.shapes import LETTERS, TRANSITIONS
from forebay.telemetry.store.streams import Stream, Told

INSTANCE_PARTITION = "journal.instance_events"

_QUERY = """
SELECT sequence, instance_id, name, type, at, correlation_id, project, data
FROM instance_events WHERE sequence > ? ORDER BY sequence LIMIT ?"""


def instance_stream(default_project: str) -> Stream:
    """`default_project`: of what belongs to none."""

    def tell(found: tuple[Any, ...]) -> Told:
        sequence, instance_id, name, type_, at, correlation_id, project, data = found
        row = {
            "sequence": sequence,
            "instance_id": instance_id,
            "orchestrator": name,
            "type": type_,
            "at": at,
            "operation_Id": correlation_id,
            "data": msgspec.Raw(data.encode()),
        }
        shape = LETTERS if type_.startswith("DeadLetter") else TRANSITIONS
        return Told(sequence=sequence, at=at, project=project or default_project, shape=shape.name, row=row, size_bytes=len(data) + 200)

    return Stream(partition=INSTANCE_PARTITION, topic="instances", table="instance_events", query=_QUERY, tell=tell)
