"""Any bytes as the body of a batch: entries, or a `ForebayError` that says what is wrong and leaves nothing in the log."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forebay.effects import SystemClock
from forebay.errors import ForebayError
from forebay.telemetry.decoders.batches import BatchRefused, Kind
from forebay.telemetry.ingest import Origin, TelemetryIngest
from forebay.telemetry.log.port import Entry, StoredEntry

KINDS: list[Kind] = ["logs", "metrics", "events"]
CODES = {"invalid_json", "invalid_request", "invalid_entries", "batch_too_large"}
ORIGIN = Origin(project="default", source="test")
WHOLE = (
    b'{"entries": [{"message": "m", "name": "n", "service": "s", "value": 1.5, "timestamp": "2026-05-01T12:00:00Z", "labels": {"a": [1]}}]}'
)
FIELDS = [
    "message",
    "name",
    "service",
    "value",
    "timestamp",
    "labels",
    "level",
    "exception",
    "measurements",
    "metric_type",
    "unit",
    "host",
    "entries",
]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
tokens = st.sampled_from(
    [
        *(f'"{name}":' for name in FIELDS),
        *'{}[],:"\\',
        "null",
        "true",
        "NaN",
        "-",
        "1e999",
        "9" * 400,
        "9" * 5000,
        "0.1",
        '"\\ud800"',
        '"\\u0000"',
        " ",
    ]
)


class ListLog:
    """Keeps what is appended."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def check_room(self, size_bytes: int) -> None:
        """There always is some."""

    async def append(self, entry: Entry) -> StoredEntry:
        self.entries.append(entry)
        return StoredEntry(partition="test", offset=len(self.entries), entry=entry)


def check(kind: Kind, body: bytes) -> str | None:
    """Take a body in; the code that it was refused with, or None."""
    log = ListLog()
    ingest = TelemetryIngest(log, SystemClock())  # type: ignore[arg-type]
    try:
        count = asyncio.run(ingest.accept_batch(kind, body, ORIGIN))
    except ForebayError as error:
        assert error.code in CODES
        assert error.message and error.hint and not error.retryable
        if isinstance(error, BatchRefused):
            indexes = [each.index for each in error.problems]
            assert indexes == sorted(set(indexes)) and all(each.reason for each in error.problems)
        assert log.entries == []
        return error.code
    assert sum(entry.record_count for entry in log.entries) == count == len(json.loads(body)["entries"])
    rows = [row for entry in log.entries for array in json.loads(entry.payload).values() for row in array]
    assert len(rows) == count
    return None


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(
    body=st.binary(max_size=80)
    | values.map(lambda value: json.dumps(value).encode())
    | st.lists(tokens, max_size=30).map("".join).map(str.encode)
)
def test_any_bytes_are_a_batch_or_are_refused_by_a_known_code(kind: Kind, body: bytes) -> None:
    check(kind, body)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(entries=st.lists(st.dictionaries(st.sampled_from(FIELDS), values, max_size=6) | values, max_size=4), agent=values)
def test_any_entries_are_a_batch_or_are_refused_by_a_known_code(kind: Kind, entries: list[Any], agent: Any) -> None:
    check(kind, json.dumps({"entries": entries, "agent_version": agent}).encode())


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_that_is_cut_anywhere_is_no_json(kind: Kind) -> None:
    assert {check(kind, WHOLE[:cut]) for cut in range(len(WHOLE))} == {"invalid_json"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("start", "inner", "end"), [("[", "true", "]"), ('{"a":', "1", "}"), ("[[", "1e1", "]]")])
@settings(max_examples=25, deadline=None)
@given(depth=st.integers(1, 3000))
@example(depth=100_000)
def test_nesting_of_any_depth_is_taken_or_refused(kind: Kind, start: str, inner: str, end: str, depth: int) -> None:
    nested = start * depth + inner + end * depth
    least = (
        '"message": "m", "service": "s"'
        if kind == "logs"
        else '"name": "n"' + (', "value": 1, "service": "s"' if kind == "metrics" else "")
    )
    for body in (nested, f'{{"entries": {nested}}}', f'{{"entries": [{{{least}, "labels": {{"a": {nested}}}}}]}}'):
        log = ListLog()
        ingest = TelemetryIngest(log, SystemClock())  # type: ignore[arg-type]
        try:
            asyncio.run(ingest.accept_batch(kind, body.encode(), ORIGIN))
        except ForebayError as error:
            assert error.code in CODES
            assert log.entries == []
        else:
            assert [entry.record_count for entry in log.entries] == [1]
            assert nested.replace("1e1", "10.0").encode() in log.entries[0].payload
