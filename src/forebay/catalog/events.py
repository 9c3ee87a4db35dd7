"""The append-only history: the truth about documents."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
from sqlalchemy import bindparam, insert

from forebay.catalog.tables import events
from forebay.database import Transaction
from forebay.values.arrival import Arrival
from forebay.values.document import DocumentEvent, EventType
from forebay.values.times import from_microseconds

_ALL = "document_id project type at actor correlation_id arrival_sequence data".split()
_INSERT = insert(events).values({name: bindparam(name) for name in _ALL})


def append_event(tx: Transaction, arrival: Arrival, kind: EventType, data: dict[str, Any], *, actor: str = "forebay") -> None:
    """Add one fact to the history of the document that `arrival` belongs to."""
    tx.execute(
        _INSERT,
        {
            "document_id": arrival.document_id,
            "project": arrival.project,
            "type": kind,
            "at": tx.now_us,
            "actor": actor,
            "correlation_id": arrival.correlation_id,
            "arrival_sequence": arrival.sequence,
            "data": msgspec.json.encode(data).decode(),
        },
    )


def events_of(connection: sqlite3.Connection, document_id: str) -> list[DocumentEvent]:
    """The history of one document, oldest first."""
    rows = connection.execute(
        "SELECT sequence, document_id, type, at, actor, correlation_id, data FROM events WHERE document_id = ? ORDER BY sequence",
        (document_id,),
    )
    return [
        DocumentEvent(
            sequence=sequence,
            document_id=document,
            type=kind,
            at=from_microseconds(at),
            actor=actor,
            correlation_id=correlation_id,
            data=msgspec.json.decode(data),
        )
        for sequence, document, kind, at, actor, correlation_id, data in rows
    ]
