"""Whatever is sent as telemetry: what is accepted is in the tables as it was sent, what is refused is named, and nothing falls over."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from telemetry_oracle import expected_rows, stored_rows
from tests.integration.http_api import Api, http_api

from forebay.app.telemetry import Telemetry
from forebay.telemetry.decoders.batches import SEVERITIES

KINDS = ("logs", "metrics", "events")
EXAMPLE_COUNT = int(os.environ.get("FOREBAY_TEST_FUZZ_EXAMPLES", "60"))  # of each test and kind
fuzzed = settings(max_examples=EXAMPLE_COUNT, deadline=None, suppress_health_check=list(HealthCheck))

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["\0", "a\0b", "\u2028", "\ufeff", "😀", "'; --", '"', "\\", "null"]
)
names = text.filter(bool)
numbers = (
    st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**300])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
labels = st.dictionaries(text | st.sampled_from(["level", "level_", "message", "unit", "metric_type", "name"]), values, max_size=4)
zones = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(timezones=zones).filter(lambda moment: 1 < moment.year < 9999).map(datetime.isoformat)


def optional(**fields: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    """Fields that may be null, too."""
    return {name: st.none() | strategy for name, strategy in fields.items()}


SHARED = optional(timestamp=times, host=text, environment=text, labels=labels, trace_id=text, span_id=text)
RAISED = st.fixed_dictionaries({}, optional=optional(type=text, message=text, stacktrace=text))
STACKS = st.sampled_from(['Traceback\n  File "a.py"\nValueError: too short', "KeyError", "it broke: badly", "a.b.C: \n", "", "x\0: y"])
LEVELS = st.sampled_from([*SEVERITIES, "WARN", "Error", *"01234", 0, 1, 2, 3, 4, 5, -1, 2**70]) | text
ENTRIES = {
    "logs": st.fixed_dictionaries(
        {"message": text, "service": names},
        optional=SHARED | optional(level=LEVELS, exception=RAISED | STACKS),
    ),
    "metrics": st.fixed_dictionaries(
        {"name": names, "service": names, "value": numbers},
        optional=SHARED | optional(metric_type=st.sampled_from(["counter", "Gauge", "HISTOGRAM"]), unit=text),
    ),
    "events": st.fixed_dictionaries(
        {"name": names},
        optional=SHARED | optional(service=text, measurements=st.dictionaries(text, numbers, max_size=3), user_id=text, session_id=text),
    ),
}
REQUIRED = {"logs": ("message", "service"), "metrics": ("name", "service", "value"), "events": ("name",)}
anything = st.recursive(values, lambda inner: st.lists(inner, max_size=4) | st.fixed_dictionaries({"entries": inner}), max_leaves=12)


@dataclass(frozen=True)
class Door:
    """A running program that tests without a loop send to, each time under a project of its own."""

    runner: asyncio.Runner
    api: Api
    telemetry: Telemetry
    numbers: Iterator[int]

    def send(self, kind: str, content: bytes, **headers: str) -> tuple[httpx.Response, Counter[tuple[str, ...]]]:
        """The answer to a body, and what is in the tables afterwards."""
        project = f"fuzz-{next(self.numbers)}"
        return self.runner.run(self._send(kind, content, headers, project))

    async def _send(
        self, kind: str, content: bytes, headers: dict[str, str], project: str
    ) -> tuple[httpx.Response, Counter[tuple[str, ...]]]:
        answer = await self.api.client.post(f"/{kind}", params={"project": project}, content=content, headers=headers)
        drainer = self.telemetry.drainer
        assert await drainer.until_drained(drainer.ends(), 30)
        state = drainer.state()
        assert (state.rejected_count, state.error) == (0, None), "what was accepted fits the tables"
        return answer, await self.telemetry.store.write(lambda connection: stored_rows(connection, project))

    def check(self, kind: str, content: bytes, **headers: str) -> httpx.Response:
        """Send anything: it is taken as it is, or refused with a reason and without a trace; whatever JSON it is decides."""
        answer, rows = self.send(kind, content, **headers)
        if answer.status_code == 202:
            entries = json.loads(gzip.decompress(content) if headers else content)["entries"]
            assert answer.json()[f"{kind}_received"] == len(entries)
            assert rows == expected_rows(kind, entries)
        else:
            assert answer.status_code in (400, 413, 422), answer.text
            problem = answer.json()
            assert answer.headers["content-type"] == "application/problem+json"
            assert problem["code"] and problem["detail"] and problem["hint"]
            assert rows == Counter()
        return answer


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    async def opened(stack: AsyncExitStack) -> Api:
        return await stack.enter_async_context(
            http_api(tmp_path_factory.mktemp("fuzz"), telemetry=False, rate_limit=0, telemetry_batch_mb=1)
        )

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        api = runner.run(opened(stack))
        try:
            telemetry = api.parts.telemetry
            assert isinstance(telemetry, Telemetry)
            yield Door(runner, api, telemetry, itertools.count())
        finally:
            runner.run(stack.aclose())


def body_of(entries: list[Any]) -> bytes:
    return json.dumps({"entries": entries, "agent_version": "1"}).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_valid_entries_are_in_the_tables_as_they_were_sent(kind: str, door: Door) -> None:
    @fuzzed
    @given(st.lists(ENTRIES[kind], min_size=1, max_size=12), st.booleans())
    def check(entries: list[dict[str, Any]], is_compressed: bool) -> None:
        content = body_of(entries)
        answer = door.check(kind, gzip.compress(content), **{"Content-Encoding": "gzip"}) if is_compressed else door.check(kind, content)
        assert answer.status_code == 202, answer.text

    check()


def spoilt(kind: str, entry: dict[str, Any], draw: st.DrawFn) -> Any:
    """An entry with one mistake."""
    match draw(st.sampled_from(["missing", "unknown", "no object", "time", "labels", "value"])):
        case "missing":
            left_out = draw(st.sampled_from(REQUIRED[kind]))
            return {name: value for name, value in entry.items() if name != left_out}
        case "unknown":
            return {**entry, "lebels": {}}
        case "no object":
            return draw(st.none() | st.integers() | text | st.lists(st.none(), max_size=2))
        case "time":
            return {**entry, "timestamp": draw(st.sampled_from(["yesterday", "", 1, "2026-02-29T00:00:00Z", "0001-01-01T00:00:00+01:00"]))}
        case "labels":
            return {**entry, "labels": draw(st.sampled_from([[], "a", 1, [{"a": 1}]]))}
        case _:
            wrong = {"logs": {"level": [1]}, "metrics": {"value": "1"}, "events": {"measurements": {"a": "x"}}}
            return entry | wrong[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_bad_entry_among_good_ones_is_named_with_its_reason_and_nothing_is_taken(kind: str, door: Door) -> None:
    @st.composite
    def mixed(draw: st.DrawFn) -> tuple[list[Any], list[int]]:
        entries: list[Any] = draw(st.lists(ENTRIES[kind], min_size=1, max_size=10))
        bad = sorted(draw(st.sets(st.integers(0, len(entries) - 1), min_size=1)))
        for index in bad:
            entries[index] = spoilt(kind, entries[index], draw)
        return entries, bad

    @fuzzed
    @given(mixed())
    def check(case: tuple[list[Any], list[int]]) -> None:
        entries, bad = case
        answer = door.check(kind, body_of(entries))
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_entries")
        assert [each["index"] for each in answer.json()["errors"]] == bad
        assert all(each["reason"] for each in answer.json()["errors"])

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_any_json_is_taken_as_it_is_or_refused_with_a_reason(kind: str, door: Door) -> None:
    @fuzzed
    @given(anything | st.fixed_dictionaries({"entries": st.lists(values | ENTRIES[kind], max_size=4)}, optional={"agent_version": values}))
    def check(document: Any) -> None:
        door.check(kind, json.dumps(document).encode())

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_with_damaged_bytes_is_taken_as_it_is_or_refused_with_a_reason(kind: str, door: Door) -> None:
    @fuzzed
    @given(st.lists(ENTRIES[kind], min_size=1, max_size=3), st.data())
    def check(entries: list[dict[str, Any]], data: st.DataObject) -> None:
        content = bytearray(json.dumps({"entries": entries}, ensure_ascii=data.draw(st.booleans())).encode())
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, max(0, len(content) - 1)))
            end = data.draw(st.integers(start, min(len(content), start + 10)))
            match data.draw(st.sampled_from(["flip", "cut", "insert", "remove", "copy"])):
                case "flip" if content:
                    content[start] ^= 1 << data.draw(st.integers(0, 7))
                case "cut":
                    del content[start:]
                case "insert":
                    content[start:start] = data.draw(
                        st.binary(max_size=6) | st.sampled_from([b"\\ud800", b"1e999", b"{", b"[", b"\xff", b'","'])
                    )
                case "remove":
                    del content[start:end]
                case "copy":
                    content[start:start] = content[start:end]
        door.check(kind, bytes(content))

    check()


@fuzzed
@given(data=st.data())
def test_damaged_gzip_is_never_taken_for_anything_else(door: Door, data: st.DataObject) -> None:
    entries = data.draw(st.lists(ENTRIES["events"], min_size=1, max_size=3))
    whole = gzip.compress(body_of(entries), data.draw(st.integers(0, 9)))
    content = bytearray(whole)
    match data.draw(st.sampled_from(["flip", "cut", "append", "double", "wrap", "none", "bytes"])):
        case "flip":
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        case "append":
            content += data.draw(st.binary(min_size=1, max_size=30))
        case "double":
            content += gzip.compress(data.draw(st.sampled_from([b"", b" ", b"]}", whole])))
        case "wrap":
            content = bytearray(gzip.compress(bytes(content)))
        case "bytes":
            content = bytearray(data.draw(st.binary(max_size=60)))
    answer = door.check("events", bytes(content), **{"Content-Encoding": "gzip"})
    if bytes(content) == whole:
        assert answer.status_code == 202
    elif answer.status_code == 202:  # a bit of the header that means nothing, such as the time
        assert gzip.decompress(bytes(content)) == body_of(entries)
    else:
        assert answer.json()["code"] in ("invalid_gzip", "invalid_json")
