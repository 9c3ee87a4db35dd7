"""The history of documents on its way to the tables."""

from __future__ import annotations

from typing import Any

import msgspec

from forebay.telemetry.store.streams import Stream, Told
from forebay.telemetry.tables import DOCUMENT_EVENTS
from forebay.values.arrival import instance_id
from forebay.values.times import from_microseconds

_QUERY = """
SELECT e.sequence, e.document_id, e.project, e.type, e.at, e.actor, e.correlation_id, e.arrival_sequence, e.data, d.name, d.source
FROM events e LEFT JOIN documents d ON d.id = e.document_id WHERE e.sequence > ? ORDER BY e.sequence LIMIT ?"""


def _tell(found: tuple[Any, ...]) -> Told:
    sequence, document_id, project, type_, at, actor, correlation_id, arrival, data, name, source = found
    row = {
        "timestamp": from_microseconds(at).replace(tzinfo=None).isoformat(timespec="microseconds"),
        "sequence": sequence,
        "document_id": document_id,
        "name": name,
        "document_source": source,
        "type": type_,
        "actor": actor,
        "operation_Id": correlation_id,
        "arrival": arrival,
        "instance_id": instance_id(document_id, arrival),
        "data": msgspec.Raw(data.encode()),
    }
    return Told(sequence=sequence, at=at, project=project, shape=DOCUMENT_EVENTS.name, row=row, size_bytes=len(data) + 400)


DOCUMENT_STREAM = Stream(partition="catalog.events", topic="documents", table="events", query=_QUERY, tell=_tell)
