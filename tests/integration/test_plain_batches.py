"""Log lines and measurements that DuckDB maps become the rows that Python would have made of them."""

from __future__ import annotations

import gc
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.effects import SystemClock
from forebay.telemetry.decoders import batches
from forebay.telemetry.decoders.batches import BatchDecoder, LogEntry, MetricEntry, log_decoder, metric_decoder
from forebay.telemetry.log.port import StoredEntry
from forebay.telemetry.rows import entry_of
from forebay.telemetry.store.schema import SCHEMA
from forebay.telemetry.store.store import TelemetryStore

RECEIVED = datetime(2026, 5, 1, 12, tzinfo=UTC)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
# as senders write them: without a zone, with one, with an offset
times = st.sampled_from(
    [
        "2026-01-02T03:04:05",
        "1970-01-01T00:00:00.000001",
        "2026-01-02T03:04:05.5+02:00",
        "2026-01-02T03:04:05Z",
        "2026-01-02T23:59:59.999999-11:30",
    ]
)
sent = {
    "timestamp": times | st.none(),
    "host": words | st.none(),
    "environment": words | st.none(),
    "labels": st.dictionaries(
        words, words | st.integers(-(2**53), 2**53) | st.booleans() | st.none() | st.lists(words, max_size=2), max_size=3
    )
    | st.none(),
    "trace_id": words | st.none(),
    "span_id": words | st.none(),
    "service": words.filter(bool),
}
levels = st.sampled_from([*batches.SEVERITIES, "WARN", "Error", 0, 4, "3"]) | st.none()
logs = st.fixed_dictionaries({**sent, "message": words, "level": levels})
metrics = st.fixed_dictionaries(
    {**sent, "name": words.filter(bool), "value": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9)}
)


def in_python(decoder: BatchDecoder[Any]) -> BatchDecoder[Any]:
    """The same decoder with nothing left to SQL."""
    return BatchDecoder(decoder.kind, decoder.strict, decoder.entry, decoder.to_row, lambda entry: False)


async def stored(path: Path, decoder: BatchDecoder[Any], entries: list[dict[str, Any]], table: str) -> list[tuple[Any, ...]]:
    batch = decoder.decode(json.dumps({"entries": entries, "agent_version": "agent 1"}).encode(), RECEIVED)
    entry = entry_of("t", batch.rows, project="p", source="s", received=RECEIVED, agent=batch.agent_version)
    store = TelemetryStore(path, clock=SystemClock())
    try:
        done = await store.insert([StoredEntry(partition="local", offset=1, entry=entry)])
        assert (done.row_count, done.rejected_count) == (len(entries), 0)
        rows = await store.write(lambda connection: connection.execute(f"SELECT * FROM {SCHEMA}.{table}").fetchall())
    finally:
        await store.close()
    return sorted((tuple(_comparable(value) for value in row) for row in rows), key=repr)


def _comparable(value: Any) -> Any:
    """JSON is the same however it is spelt."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.dumps(json.loads(value), sort_keys=True)
        except ValueError:
            return value
    return value


@pytest.mark.parametrize(
    ("decoder", "kind", "table"), [(log_decoder(), logs, "traces"), (metric_decoder(), metrics, "customMetrics")], ids=["logs", "metrics"]
)
def test_sql_and_python_make_the_same_rows(
    decoder: BatchDecoder[Any], kind: st.SearchStrategy[dict[str, Any]], table: str, tmp_path: Path
) -> None:
    runs = 0

    @settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(kind, min_size=1, max_size=40))
    def compare(entries: list[dict[str, Any]]) -> None:
        nonlocal runs
        runs += 1
        import asyncio

        async def both() -> tuple[list[Any], list[Any]]:
            fast = await stored(tmp_path / f"fast-{runs}.duckdb", decoder, entries, table)
            return fast, await stored(tmp_path / f"slow-{runs}.duckdb", in_python(decoder), entries, table)

        fast, slow = asyncio.run(both())
        assert fast == slow

    compare()


def test_entries_are_no_business_of_the_garbage_collector() -> None:
    """Each thousand of them would have it look through the memory of the whole program: a third of the CPU time of a busy server."""
    log = log_decoder().decode(b'{"entries": [{"message": "m", "service": "s", "labels": {"a": 1}}]}', RECEIVED)
    metric = metric_decoder().decode(b'{"entries": [{"name": "m", "service": "s", "value": 1, "labels": {"a": 1}}]}', RECEIVED)
    assert not gc.is_tracked(log.rows["logs"][0]) and not gc.is_tracked(metric.rows["metrics"][0])


def test_a_plain_line_is_not_taken_apart_in_python() -> None:
    """Guards the comparison above: otherwise it would compare Python with itself."""
    log = log_decoder().decode(b'{"entries": [{"message": "m", "service": "s", "level": "warn"}]}', RECEIVED)
    metric = metric_decoder().decode(b'{"entries": [{"name": "m", "service": "s", "value": 1}]}', RECEIVED)
    assert (list(log.rows), list(metric.rows)) == (["logs"], ["metrics"])
    assert isinstance(log.rows["logs"][0], LogEntry) and isinstance(metric.rows["metrics"][0], MetricEntry)
    assert msgspec.json.decode(msgspec.json.encode(log.rows)) == {"logs": [{"message": "m", "service": "s", "level": "warn"}]}
