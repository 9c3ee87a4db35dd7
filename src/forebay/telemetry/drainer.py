"""Moves what is durable in the log into the tables, in large batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.telemetry.log.port import Positions, StoredEntry
from forebay.telemetry.store.insert import Inserted
from forebay.telemetry.store.store import TelemetryStore

log = logging.getLogger(__name__)


class Feed(Protocol):
    """What the drainer reads from: a `TelemetryLog`, or something of its shape. No two feeds share a partition."""

    async def read(self, after: Positions, *, limit_bytes: int) -> list[StoredEntry]:
        """Durable entries after these positions, each partition in order; at least one if there is one."""
        ...

    async def wait(self, after: Positions) -> None:
        """Return once there is an entry after these positions."""
        ...

    def ends(self) -> Positions:
        """The newest durable entry of each partition."""
        ...

    async def release(self, up_to: Positions) -> None:
        """Entries up to here are not needed any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainLimits:
    """How much goes into the tables at once."""

    batch_bytes: int = 32 << 20  # read at once
    batch_rows: int = 50_000  # in one transaction
    linger_seconds: float = 0.25  # how long more may come before a batch that is not full is inserted
    patience_seconds: float = 5.0  # the same where nobody has asked for haste: an insert costs as much as that of 1,000 rows more
    first_backoff_seconds: float = 0.5
    longest_backoff_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainState:
    """How the drain goes."""

    lag_seconds: float
    row_count: int  # since the start, as the next two
    duplicate_count: int
    rejected_count: int
    error: ForebayError | None  # why it stands still


class Drainer:
    """Inserts what its feeds have, and releases it there after the commit.

    Guarantees: every entry is in the tables exactly once, or in `rejected_entries`; entries of a partition in order.
    """

    def __init__(self, store: TelemetryStore, feeds: Sequence[Feed], *, clock: Clock, limits: DrainLimits | None = None) -> None:
        self._store = store
        self._feeds = tuple(feeds)
        self._clock = clock
        self._limits = limits or DrainLimits()
        self._total = Inserted()
        self._errors: dict[int, ForebayError] = {}  # by the feed's index
        self._behind_since: dict[int, float] = {}  # the same
        self._committed = asyncio.Event()  # a new one after each commit
        self._hastened: dict[str, int] = {}  # up to where not to be patient
        self._awaited: dict[str, int] = {}  # up to where not to linger: somebody waits
        self._asked = asyncio.Event()  # a new one after each change of these two

    async def run(self) -> None:
        """Drain until cancelled. Errors are tried again, with growing waits."""
        self.hasten(self.ends())  # what an earlier process has left
        async with asyncio.TaskGroup() as tasks:
            for index, feed in enumerate(self._feeds):
                tasks.create_task(self._drain(index, feed), name=f"drain feed {index}")

    def ends(self) -> Positions:
        """What is durable by now, over all feeds."""
        return {partition: offset for feed in self._feeds for partition, offset in feed.ends().items()}

    def hasten(self, ends: Positions) -> None:
        """Have everything up to `ends` in the tables soon: after `linger_seconds`, not `patience_seconds`."""
        if self._raise(self._hastened, ends):
            self._wake()

    async def until_drained(self, ends: Positions, timeout_seconds: float) -> bool:
        """Wait until everything up to `ends` is in the tables; False when it took longer."""
        deadline = self._clock.monotonic() + timeout_seconds
        self._raise(self._awaited, ends)
        self._wake()
        while not self._has(ends):
            committed = self._committed
            try:
                async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                    await committed.wait()
            except TimeoutError:
                return self._has(ends)
        return True

    def lag_seconds(self) -> float:
        """For how long there has been something that is durable and not in the tables; 0 when there is nothing."""
        now = self._clock.monotonic()
        lags = [now - self._behind_since.get(index, now) for index, feed in enumerate(self._feeds) if not self._has(feed.ends())]
        return max(lags, default=0.0)

    def state(self) -> DrainState:
        """How the drain goes."""
        return DrainState(
            lag_seconds=self.lag_seconds(),
            row_count=self._total.row_count,
            duplicate_count=self._total.duplicate_count,
            rejected_count=self._total.rejected_count,
            error=next(iter(self._errors.values()), None),
        )

    def _has(self, ends: Positions) -> bool:
        positions = self._store.positions
        return all(positions.get(partition, 0) >= offset for partition, offset in ends.items())

    async def _drain(self, index: int, feed: Feed) -> None:
        failures = 0
        is_full = False
        while True:
            try:
                if not failures:
                    await self._store.open()
                is_full = await self._drain_once(index, feed, is_full)
                failures = 0
                self._errors.pop(index, None)
            except Exception as error:
                failures += 1
                is_full = False
                self._note(index, error, failures)
                backoff = self._limits.first_backoff_seconds * 2 ** min(failures - 1, 16)
                await self._clock.sleep(min(backoff, self._limits.longest_backoff_seconds))

    async def _drain_once(self, index: int, feed: Feed, was_full: bool) -> bool:
        """Wait for a batch and insert it; whether there was more than the feed gives at once."""
        await feed.wait(self._store.positions)
        self._behind_since.setdefault(index, self._clock.monotonic())
        if not was_full:
            await self._linger(feed)
        ends = feed.ends()
        batch = await feed.read(self._store.positions, limit_bytes=self._limits.batch_bytes)
        for entries in _slices(batch, self._limits.batch_rows):
            done = await self._store.insert(entries)
            self._total.add(done)
            if done.rejected_count:
                log.error("%d entries of the telemetry log could not be read; they are in rejected_entries", done.rejected_count)
            self._committed.set()
            self._committed = asyncio.Event()
        await feed.release(self._store.positions)
        if self._has(feed.ends()):
            self._behind_since.pop(index, None)
        return not self._has(ends)

    async def _linger(self, feed: Feed) -> None:
        began = self._clock.monotonic()
        while not self._is_asked_for(feed, self._awaited):
            patience = self._limits.linger_seconds if self._is_asked_for(feed, self._hastened) else self._limits.patience_seconds
            left = began + patience - self._clock.monotonic()
            if left <= 0:
                return
            waits = [asyncio.ensure_future(self._clock.sleep(left)), asyncio.ensure_future(self._asked.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    def _is_asked_for(self, feed: Feed, asked: Positions) -> bool:
        positions = self._store.positions
        return any(asked.get(partition, 0) > positions.get(partition, 0) for partition in feed.ends())

    def _raise(self, asked: dict[str, int], ends: Positions) -> bool:
        """Ask for everything up to `ends`; whether nothing new of one of these partitions was asked for before."""
        positions = self._store.positions
        is_first = any(asked.get(partition, 0) <= positions.get(partition, 0) < offset for partition, offset in ends.items())
        for partition, offset in ends.items():
            asked[partition] = max(offset, asked.get(partition, 0))
        return is_first

    def _wake(self) -> None:
        self._asked.set()
        self._asked = asyncio.Event()

    def _note(self, index: int, error: Exception, failures: int) -> None:
        if not isinstance(error, ForebayError):
            log.error("a defect stopped the drain; it is tried again", exc_info=error)
            error = ForebayError("internal", f"the drain failed: {error!r}", retryable=True, status=500)
        elif failures == 1:
            log.warning("telemetry cannot be stored for now: %s", error)
        self._errors[index] = error


def _slices(batch: Sequence[StoredEntry], row_limit: int) -> list[list[StoredEntry]]:
    """Cut a batch into runs of about `row_limit` records; an entry is never cut."""
    slices: list[list[StoredEntry]] = []
    rows = 0
    for stored in batch:
        if not slices or rows + stored.entry.record_count > row_limit:
            slices.append([])
            rows = 0
        slices[-1].append(stored)
        rows += stored.entry.record_count
    return slices
