"""Rows that the platform writes about itself, on their way to the telemetry log."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from forebay.effects import Clock, Randomness
from forebay.errors import ForebayError
from forebay.telemetry.log.port import Entry, StoredEntry
from forebay.telemetry.observe.sampling import Sampler
from forebay.telemetry.observe.stacks import text
from forebay.telemetry.rows import entry_of
from forebay.telemetry.tables import PLATFORM_SOURCE

FLUSH_SECONDS = 1.0
FLUSH_ROWS = 5000  # that many do not wait for the second to end; fewer cost the tables more than they are worth
QUEUE_LIMIT_ROWS = 20_000  # in memory; what comes on top is counted and dropped
LAST_FLUSH_SECONDS = 5.0  # how long a stop waits for the log

_TOPICS = {
    "requests": "traces.raw",
    "dependencies": "traces.raw",
    "traces": "logs.raw",
    "exceptions": "logs.raw",
    "customEvents": "events.raw",
    "customMetrics": "metrics.raw",
    "performanceCounters": "metrics.raw",
}
_ITEM_TYPES = {
    "requests": "request",
    "dependencies": "dependency",
    "traces": "trace",
    "exceptions": "exception",
    "customEvents": "customEvent",
    "customMetrics": "customMetric",
    "performanceCounters": "performanceCounter",
}
# the ranges of Application Insights, by their upper bounds in milliseconds
_BUCKET_BOUNDS = (250.0, 500.0, 1000.0, 3000.0, 7000.0, 15_000.0, 30_000.0, 60_000.0, 120_000.0, 300_000.0)
_BUCKETS = (
    *("<250ms", "250ms-500ms", "500ms-1sec", "1sec-3sec", "3sec-7sec", "7sec-15sec", "15sec-30sec"),
    *("30sec-1min", "1min-2min", "2min-5min", ">=5min"),
)


def performance_bucket(duration_milliseconds: float) -> str:
    """The range that a duration falls in, in the words of Application Insights."""
    return _BUCKETS[bisect_right(_BUCKET_BOUNDS, duration_milliseconds)]


class AppendLog(Protocol):
    """The half of a `TelemetryLog` that is needed here."""

    async def append(self, entry: Entry) -> StoredEntry:
        """Add an entry; raises `ForebayError` when it is refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who writes the rows: on every one of them."""

    role_name: str
    role_instance: str
    environment: str
    version: str

    def columns(self) -> dict[str, Any]:
        """As columns that every table has."""
        return {
            "cloud_RoleName": self.role_name,
            "cloud_RoleInstance": self.role_instance,
            "environment": self.environment,
            "application_Version": self.version,
            "sdkVersion": f"forebay:{self.version}",
        }


class _Item(NamedTuple):
    table: str
    project: str | None
    row: bytes  # JSON


class Recorder:
    """Takes rows at any time from any thread, and appends them to the log, many at once.

    *Guarantees*: taking a row never waits and never fails; no more than `QUEUE_LIMIT_ROWS` are in memory; what the log refuses, and
    what does not fit, is counted in `dropped_count` and gone. How much that was becomes a row of `telemetry_dropped` as soon as the
    log takes one: no drop stays untold because the log was still full.
    """

    def __init__(
        self, log: AppendLog, *, identity: Identity, default_project: str, clock: Clock, random: Randomness, sampling_ratio: float = 1.0
    ) -> None:
        self._log = log
        self._encode = msgspec.json.Encoder().encode
        self._identity = identity.columns()
        self._default_project = default_project
        self._clock = clock
        self._sampler: Sampler[_Item] = Sampler(sampling_ratio)
        self._is_sampling = sampling_ratio < 1
        self._ends = {table: self._end_of(table, 1) for table in _TOPICS}
        self._ends_of_sampled = {table: self._end_of(table, self._sampler.item_count) for table in _TOPICS}
        self._prefix = random.hex(6)
        self._numbers = itertools.count(1)
        self._first_span = int(random.hex(8), 16)
        self._items: deque[_Item] = deque()
        self._loop = asyncio.get_running_loop()
        self._is_waking = False
        self._full = asyncio.Event()
        self.dropped_count = 0  # since the start
        self._told_count = 0  # of them, in rows that are durable

    def next_span_id(self) -> int:
        """64 bits that no other span of this program has."""
        return (self._first_span + next(self._numbers)) & 0xFFFFFFFFFFFFFFFF or 1

    def now(self) -> datetime:
        """The wall time as rows have it: UTC, without a zone."""
        return self._clock.now().replace(tzinfo=None)

    def add(self, table: str, row: dict[str, Any], *, project: str | None = None, is_failure: bool = False) -> None:
        """Take a row of a table, which gets what all rows of the platform have.

        Rows of the same `operation_Id` are kept or left out together; failures are always kept, with all of their operation.
        """
        start = self._started(row)
        operation_id = row.get("operation_Id")
        if not self._is_sampling or operation_id is None:
            self._queue(_Item(table, project, start + self._ends[table]))
        elif self._sampler.is_kept(operation_id):
            self._queue(_Item(table, project, start + self._ends_of_sampled[table]))
        else:
            item = _Item(table, project, start + self._ends[table])
            for each in self._sampler.rescued(operation_id, item, is_failure=is_failure):
                self._queue(each)

    def _started(self, row: dict[str, Any]) -> bytes:
        """A row as JSON, up to what all rows of its table have."""
        row["itemId"] = f"{self._prefix}{next(self._numbers):x}"
        if "timestamp" not in row:
            row["timestamp"] = self.now()
        try:
            # at once: rows as objects, kept for a second, cost the garbage collector more than writing them does
            return self._encode(row)[:-1]
        except UnicodeEncodeError:  # a name of a file with bytes that are no text; looked for only now, because it is rare
            return self._encode(_readable(row))[:-1]

    def _end_of(self, table: str, item_count: int) -> bytes:
        """What all rows of a table have, as the rest of their JSON."""
        return b"," + self._encode({"itemType": _ITEM_TYPES[table], "itemCount": item_count, **self._identity})[1:]

    def _queue(self, item: _Item) -> None:
        if len(self._items) >= QUEUE_LIMIT_ROWS:
            self.dropped_count += 1
            return
        self._items.append(item)
        if len(self._items) >= FLUSH_ROWS and not self._is_waking:
            self._is_waking = True
            with contextlib.suppress(RuntimeError):  # the loop has ended: what comes from threads now comes too late
                self._loop.call_soon_threadsafe(self._full.set)

    async def until_due(self) -> None:
        """Return after a second, or when there is enough for a flush."""
        waits = [asyncio.ensure_future(self._full.wait()), asyncio.ensure_future(self._clock.sleep(FLUSH_SECONDS))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def flush(self) -> None:
        """Append what has been taken; what is refused is dropped."""
        self._full.clear()
        self._is_waking = False
        batches: dict[tuple[str, str], dict[str, list[msgspec.Raw]]] = defaultdict(lambda: defaultdict(list))
        for _ in range(len(self._items)):  # other threads may go on adding
            item = self._items.popleft()
            batches[item.project or self._default_project, _TOPICS[item.table]][item.table].append(msgspec.Raw(item.row))
        taken = await asyncio.gather(*(self._append(topic, rows, project) for (project, topic), rows in batches.items()))
        if all(taken):
            await self._tell_drops()

    async def close(self) -> None:
        """Flush for the last time, as far as the log takes it in time."""
        waiting = len(self._items)
        try:
            async with asyncio.timeout(LAST_FLUSH_SECONDS):
                await self.flush()
        except TimeoutError:
            self.dropped_count += waiting

    async def _append(self, topic: str, rows: Mapping[str, list[msgspec.Raw]], project: str) -> bool:
        """Whether the log took the rows; they are counted otherwise."""
        entry = entry_of(topic, rows, project=project, source=PLATFORM_SOURCE, received=self._clock.now())
        try:
            await self._log.append(entry)
        except ForebayError:
            self.dropped_count += entry.record_count
            return False
        return True

    async def _tell_drops(self) -> None:
        dropped_count = self.dropped_count - self._told_count
        if not dropped_count:
            return
        table = "customMetrics"
        extremes = dict.fromkeys(("value", "valueSum", "valueMin", "valueMax"), dropped_count)
        row = self._started({"name": "telemetry_dropped", "valueCount": 1, **extremes}) + self._ends[table]
        if await self._append(_TOPICS[table], {table: [msgspec.Raw(row)]}, self._default_project):
            self._told_count += dropped_count


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(str(name)): _readable(each) for name, each in value.items()}
    return [_readable(each) for each in value] if isinstance(value, list) else value
