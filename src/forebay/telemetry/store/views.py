"""What KQL sees besides the stored tables: the platform's nouns, derived from their events."""

from __future__ import annotations

from forebay.telemetry.tables import ARRIVALS, DEAD_LETTER_EVENTS, DEAD_LETTERS, DOCUMENTS, INSTANCE_EVENTS, INSTANCES, Table

# the rules are those of `catalog.history`: a document shows the status of its newest arrival, and the version that was indexed last
# unless it was taken out since
_STATUS = """CASE type
    WHEN 'DocumentUploaded' THEN 'received' WHEN 'DeletionRequested' THEN 'received' WHEN 'ProcessingStarted' THEN 'processing'
    WHEN 'DocumentIndexed' THEN 'indexed' WHEN 'DocumentUnchanged' THEN 'indexed' WHEN 'DocumentSkipped' THEN 'skipped'
    WHEN 'DocumentFailed' THEN 'failed' WHEN 'DocumentDeleted' THEN 'deleted' END"""
_OUTCOME = """CASE type
    WHEN 'DocumentIndexed' THEN 'indexed' WHEN 'DocumentUnchanged' THEN 'unchanged' WHEN 'DocumentSuperseded' THEN 'superseded'
    WHEN 'DocumentSkipped' THEN 'skipped' WHEN 'DocumentFailed' THEN 'failed' WHEN 'DocumentDeleted' THEN 'deleted' END"""

_DOCUMENTS = f"""
WITH told AS (
    SELECT *, {_STATUS} AS status, max(arrival) OVER (PARTITION BY _project, document_id) AS newest_arrival
    FROM store."documentEvents"
), gathered AS (
    SELECT
        _project, max(_received) AS _received, document_id AS id,
        arg_max(name, sequence) AS name, arg_max(document_source, sequence) AS source,
        arg_max({{'status': status, 'reason': data->>'reason', 'message': data->>'message'}}, sequence)
            FILTER (arrival = newest_arrival AND status IS NOT NULL) AS state,
        arg_max(CASE WHEN type = 'DocumentIndexed' THEN data END, sequence)
            FILTER (type = 'DocumentIndexed') AS indexed,
        max(sequence) FILTER (type = 'DocumentIndexed') AS indexed_sequence,
        max(sequence) FILTER (type IN ('DocumentSkipped', 'DocumentDeleted')) AS removed_sequence,
        min(timestamp) AS created_at, max(timestamp) AS updated_at,
        arg_max(instance_id, sequence) FILTER (arrival = newest_arrival) AS instance_id,
        arg_max("operation_Id", sequence) FILTER (arrival = newest_arrival) AS "operation_Id"
    FROM told GROUP BY _project, document_id
), current AS (
    SELECT * REPLACE (CASE WHEN coalesce(removed_sequence, 0) < indexed_sequence THEN indexed END AS indexed) FROM gathered
)
SELECT
    updated_at AS timestamp, id, name, source, state.status AS status, state.reason AS reason, state.message AS message,
    TRY_CAST(indexed->>'version' AS BIGINT) AS version, coalesce(TRY_CAST(indexed->>'chunks' AS BIGINT), 0) AS chunk_count,
    TRY_CAST(indexed->>'size_bytes' AS BIGINT) AS size_bytes, indexed->>'sha256' AS sha256, indexed->>'language' AS language,
    created_at, updated_at, instance_id, "operation_Id", _project, _received
FROM current"""

_ARRIVALS = f"""
WITH told AS (
    SELECT *, type IN ('DocumentUploaded', 'DeletionRequested') AS is_arrival, {_OUTCOME} AS outcome FROM store."documentEvents"
), gathered AS (
    SELECT
        _project, max(_received) AS _received, arrival, document_id,
        any_value(name) AS name, any_value(document_source) AS source, any_value(instance_id) AS instance_id,
        any_value("operation_Id") AS "operation_Id",
        any_value(CASE type WHEN 'DocumentUploaded' THEN 'created' ELSE 'deleted' END) FILTER (is_arrival) AS kind,
        any_value(actor) FILTER (is_arrival) AS actor, any_value(data) FILTER (is_arrival) AS data, min(timestamp) AS received_at,
        arg_min({{'outcome': outcome, 'reason': data->>'reason', 'settled_at': timestamp}}, sequence) FILTER (outcome IS NOT NULL) AS ending
    FROM told GROUP BY _project, arrival, document_id
)
SELECT
    received_at AS timestamp, arrival AS sequence, document_id, name, kind, source, actor,
    TRY_CAST(data->>'size_bytes' AS BIGINT) AS size_bytes, received_at, ending.outcome AS outcome, ending.reason AS reason,
    ending.settled_at AS settled_at, date_diff('microsecond', received_at, ending.settled_at) / 1000.0 AS latency,
    instance_id, "operation_Id", _project, _received
FROM gathered"""


def _newest(events: Table) -> str:
    """The newest row of each thing that the events are about."""
    return f"""
SELECT * FROM store."{events.name}" QUALIFY row_number() OVER (PARTITION BY _project, id ORDER BY sequence DESC) = 1"""


def _view(table: Table, query: str) -> str:
    names = ", ".join(f'"{name}"' for name in (*(column.name for column in table.columns), "_project", "_received"))
    return f"SELECT {names} FROM ({query})"


VIEWS: dict[str, str] = {
    table.name: _view(table, query)
    for table, query in (
        (DOCUMENTS, _DOCUMENTS),
        (ARRIVALS, _ARRIVALS),
        (INSTANCES, _newest(INSTANCE_EVENTS)),
        (DEAD_LETTERS, _newest(DEAD_LETTER_EVENTS)),
    )
}
