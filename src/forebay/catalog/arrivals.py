"""The append-only table of arrivals: what came, in which order, and how each ended."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import ColumnClause, bindparam, insert, literal_column, null, update
from sqlalchemy.dialects.sqlite import insert as upsert

from forebay.catalog.events import append_event
from forebay.catalog.tables import arrivals, documents
from forebay.database import Transaction
from forebay.errors import ForebayError
from forebay.values.arrival import INCOMING_SOURCE, UPLOAD_SOURCE, Arrival, ArrivalOutcome, Location, NewArrival, document_id
from forebay.values.times import from_microseconds

_COLUMNS = (
    "event_id kind document_id project source name place blob_name etag size_bytes content_type target_name refusal actor correlation_id at"
).split()
_SELECT = f"SELECT sequence, {', '.join(_COLUMNS)} FROM arrivals"
_INSERT = insert(arrivals).values({name: bindparam(name) for name in _COLUMNS})

_DOCUMENT_COLUMNS = "id project source name newest_arrival size_bytes content_type place blob_name etag instance_id correlation_id".split()
_RECEIVED: ColumnClause[str] = literal_column("'received'")
_inserted = upsert(documents).values(
    {name: bindparam(name) for name in _DOCUMENT_COLUMNS}
    | {
        "status": _RECEIVED,
        "version_count": literal_column("0"),
        "chunk_count": literal_column("0"),
        "created_at": bindparam("now"),
        "updated_at": bindparam("now"),
    }
)
_RECEIVE_DOCUMENT = _inserted.on_conflict_do_update(
    index_elements=[documents.c.id],
    set_={
        "status": _RECEIVED,
        "reason": null(),
        "newest_arrival": _inserted.excluded.newest_arrival,
        "place": _inserted.excluded.place,
        "blob_name": _inserted.excluded.blob_name,
        "etag": _inserted.excluded.etag,
        "instance_id": _inserted.excluded.instance_id,
        "correlation_id": _inserted.excluded.correlation_id,
        "updated_at": _inserted.excluded.updated_at,
    },
)
_SETTLE = (
    update(arrivals)
    .where(arrivals.c.sequence == bindparam("the_sequence"), arrivals.c.outcome.is_(None))
    .values(outcome=bindparam("the_outcome"), reason=bindparam("the_reason"), settled_at=bindparam("now"))
)


def place_of(arrival: NewArrival) -> str:
    """The container of its blob, or the folder of its file."""
    return arrival.location.container or arrival.source


def record_arrival(tx: Transaction, new: NewArrival, *, is_repair: bool = False) -> Arrival | None:
    """Append an arrival and mark its document as received; None when it is known already (a repair is never).

    It is known when its event id is, when something newer has been recorded at its place since it was looked at, or, for what
    somebody sends, when the newest arrival at its place has the same ETag.
    """
    if not is_repair and _is_known(tx, new):
        return None
    identity = document_id(new.project, new.source, new.name)
    row = {
        "event_id": new.event_id,
        "kind": new.kind,
        "document_id": identity,
        "project": new.project,
        "source": new.source,
        "name": new.name,
        "place": place_of(new),
        "blob_name": new.location.name,
        "etag": new.location.etag,
        "size_bytes": new.size_bytes,
        "content_type": new.content_type,
        "target_name": new.target_name,
        "refusal": new.refusal,
        "actor": new.actor,
        "correlation_id": new.correlation_id,
        "at": tx.now_us,
    }
    sequence = tx.execute(_INSERT, row).lastrowid
    arrival = _arrival((sequence, *(row[name] for name in _COLUMNS)))
    receive = {name: row[name] for name in _DOCUMENT_COLUMNS if name in row}
    tx.execute(
        _RECEIVE_DOCUMENT,
        receive | {"id": identity, "newest_arrival": sequence, "instance_id": arrival.instance_id, "now": tx.now_us},
    )
    data = {
        "url": f"{row['place']}/{new.location.name}",
        "source": new.source,
        "name": new.name,
        "etag": new.location.etag,
        "size_bytes": new.size_bytes,
        "content_type": new.content_type,
    }
    append_event(tx, arrival, "DocumentUploaded" if new.kind == "created" else "DeletionRequested", data, actor=new.actor)
    return arrival


def _is_known(tx: Transaction, new: NewArrival) -> bool:
    if tx.execute("SELECT 1 FROM arrivals WHERE event_id = ?", (new.event_id,)).fetchone():
        return True
    newest = tx.execute(
        "SELECT sequence, kind, etag FROM arrivals WHERE place = ? AND blob_name = ? ORDER BY sequence DESC LIMIT 1",
        (place_of(new), new.location.name),
    ).fetchone()
    sequence, kind, etag = newest or (0, None, None)
    if new.newest_before is not None:
        return bool(sequence != new.newest_before)
    if new.kind == "deleted":
        return bool(kind == "deleted")
    # a document that a user has deleted keeps the ETag of its file, so that only an edit brings it back
    return bool(etag is not None and etag == new.location.etag)


def arrival_of(connection: sqlite3.Connection, sequence: int) -> Arrival:
    """One arrival. Raises `ForebayError` (`arrival_not_found`)."""
    row = connection.execute(f"{_SELECT} WHERE sequence = ?", (sequence,)).fetchone()
    if row is None:
        raise ForebayError("arrival_not_found", f"there is no arrival {sequence}", status=404)
    return _arrival(row)


def earlier_arrivals(connection: sqlite3.Connection, arrival: Arrival) -> list[Arrival]:
    """The arrivals of the same document before this one, newest first."""
    rows = connection.execute(
        f"{_SELECT} WHERE document_id = ? AND sequence < ? ORDER BY sequence DESC", (arrival.document_id, arrival.sequence)
    )
    return [_arrival(row) for row in rows]


def has_open_arrivals(connection: sqlite3.Connection, actor: str) -> bool:
    """Whether something that `actor` let arrive is in flight."""
    return connection.execute("SELECT 1 FROM arrivals WHERE outcome IS NULL AND actor = ? LIMIT 1", (actor,)).fetchone() is not None


def outcome_of(tx: Transaction, sequence: int) -> ArrivalOutcome | None:
    """How an arrival ended; None while it is in flight."""
    row = tx.execute("SELECT outcome FROM arrivals WHERE sequence = ?", (sequence,)).fetchone()
    outcome: ArrivalOutcome | None = row[0] if row else None
    return outcome


def ending_of(connection: sqlite3.Connection, sequence: int) -> tuple[ArrivalOutcome | None, str | None]:
    """How an arrival ended, and for which reason; both None while it is in flight."""
    outcome, reason = connection.execute("SELECT outcome, reason FROM arrivals WHERE sequence = ?", (sequence,)).fetchone()
    return outcome, reason


def settle_arrival(tx: Transaction, sequence: int, outcome: ArrivalOutcome, reason: str | None = None) -> None:
    """Record how an arrival ended; the first outcome stays."""
    tx.execute(_SETTLE, {"the_sequence": sequence, "the_outcome": outcome, "the_reason": reason, "now": tx.now_us})


def _arrival(row: tuple[Any, ...]) -> Arrival:
    sequence, event_id, kind, identity, project, source, name, place, blob_name, etag = row[:10]
    size_bytes, content_type, target_name, refusal, actor, correlation_id, at = row[10:]
    return Arrival(
        sequence=sequence,
        event_id=event_id,
        kind=kind,
        document_id=identity,
        project=project,
        source=source,
        name=name,
        location=Location(container=place if is_container(source) else None, name=blob_name, etag=etag),
        size_bytes=size_bytes,
        content_type=content_type,
        target_name=target_name,
        refusal=refusal,
        actor=actor,
        correlation_id=correlation_id,
        at=from_microseconds(at),
    )


def is_container(source: str) -> bool:
    """Whether the bytes of this source's documents are blobs of ours, not files in a folder that only the user changes."""
    return source in (UPLOAD_SOURCE, INCOMING_SOURCE)
