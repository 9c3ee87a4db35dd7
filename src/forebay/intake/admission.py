"""Whether a file may be sent now: uploads slow down with the work behind them, and stop before the disk is full."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from forebay.catalog.backlog import Backlog, Lane, backlog
from forebay.database import Readers
from forebay.effects import Effects
from forebay.errors import ForebayError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # how old a count of what waits may be; what has been received since is added to it
RECEIVING_LIMIT = 128  # files at a time; each has up to two pieces of 256 KiB in memory
RATE_MEMORY_SECONDS = 10.0  # by when two thirds of the measured rate are from since then
SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
UNMEASURED_PAUSE_SECONDS = 5.0


class Admission:
    """Lets files in as long as there is room for the work that they make, and for their bytes.

    A lane (a source of a project) is refused when `backlog_limit` arrivals are in flight and it has at least its even share
    of the limit, so that who fills the backlog is slowed down, and nobody else is.

    *Guarantees*: a lane that is alone never has more than `backlog_limit` arrivals in flight through this door, and with others no
    more than that or its share; whoever goes away leaves its room to others.
    """

    def __init__(
        self, readers: Readers, effects: Effects, free_bytes: Callable[[], int], *, backlog_limit: int, min_free_bytes: int
    ) -> None:
        """`free_bytes` tells (and may block meanwhile) what the data directory's disk can take."""
        self._readers = readers
        self._effects = effects
        self._measure_free_bytes = free_bytes
        self._backlog_limit = backlog_limit
        self._min_free_bytes = min_free_bytes
        self._looking = asyncio.Lock()
        self._looked_at = -math.inf
        self._backlog = Backlog(counts={}, settled_count=0)
        self._open_count = self._free_bytes = 0
        self._settled_per_second: float | None = None  # None: not measured yet
        self._receiving: Counter[Lane | None] = Counter()
        self._receiving_bytes = 0
        self._received: Counter[Lane] = Counter()  # since the last look
        self._refused_count = 0  # for the backlog, since the last look
        self._has_warned = False

    @asynccontextmanager
    async def room(self, lane: Lane | None, size_bytes: int) -> AsyncIterator[None]:
        """Room for one file while the block receives it; `lane` is None when it will be no arrival, the size 0 when not declared.

        Raises `ForebayError` (503, retryable, with the pause after which to try again): `backlog_full`, `disk_full`, `too_many_requests`.
        """
        await self._look()
        try:
            self._check(lane, size_bytes)
        except ForebayError as refusal:
            if not self._has_warned:
                self._has_warned = True
                log.warning("files are refused for now: %s", refusal)
            raise
        self._receiving[lane] += 1
        self._receiving_bytes += size_bytes
        try:
            yield
            if lane is not None:
                self._received[lane] += 1
        finally:
            self._receiving[lane] -= 1
            if not self._receiving[lane]:
                del self._receiving[lane]
            self._receiving_bytes -= size_bytes

    async def _look(self) -> None:
        clock = self._effects.clock
        async with self._looking:
            if clock.monotonic() - self._looked_at < LOOK_SECONDS:
                return
            counted, self._received = self._received, Counter()
            try:
                found = await self._readers.run(backlog)
                self._free_bytes = await self._effects.blocking.run(self._measure_free_bytes)
            except BaseException:
                self._received += counted
                raise
            if self._refused_count == 0:
                self._has_warned = False
            now = clock.monotonic()
            self._settled_per_second = self._rate(found.settled_count - self._backlog.settled_count, now - self._looked_at)
            self._backlog, self._open_count = found, found.total
            self._looked_at, self._refused_count = now, 0

    def _rate(self, settled_count: int, seconds: float) -> float | None:
        if seconds > RATE_MEMORY_SECONDS:
            return None  # nobody has asked for so long that this says nothing of now
        kept = math.exp(-seconds / RATE_MEMORY_SECONDS)
        known = settled_count / seconds if self._settled_per_second is None else self._settled_per_second
        return kept * known + (1 - kept) * settled_count / seconds

    def _check(self, lane: Lane | None, size_bytes: int) -> None:
        if self._receiving.total() >= RECEIVING_LIMIT:
            raise ForebayError(
                "too_many_requests", f"{RECEIVING_LIMIT} files are being received, and that is the limit", retryable=True, status=503
            )
        left_bytes = self._free_bytes - self._receiving_bytes - size_bytes
        if left_bytes < self._min_free_bytes:
            raise ForebayError(
                "disk_full",
                f"expected {self._min_free_bytes >> 20} MiB to stay free on the disk of the data directory,"
                f" got {max(left_bytes, 0) >> 20} MiB with this file",
                retryable=True,
                hint="Free space there; files are taken again by themselves. FOREBAY_MIN_FREE_DISK_MB is the limit.",
                status=503,
            )
        if lane is not None:
            self._check_backlog(lane)

    def _check_backlog(self, lane: Lane) -> None:
        known = self._backlog.counts
        total = self._open_count + self._received.total() + self._receiving.total()
        mine = known.get(lane, 0) + self._received[lane] + self._receiving[lane]
        lane_count = len(known) + (lane not in known)
        share = self._backlog_limit / lane_count
        if total < self._backlog_limit or mine < share:
            return
        self._refused_count += 1
        # turns are even, so a lane drains at its part of the rate
        excess = min(total - self._backlog_limit, (mine - share) * lane_count)
        raise ForebayError(
            "backlog_full",
            f"expected fewer than {self._backlog_limit:,} files to wait for their turn, got more, of which {mine:,} are of"
            f" project {lane[0]!r} and source {lane[1]!r}",
            retryable=True,
            hint="Send it again after the time in Retry-After. FOREBAY_BACKLOG_LIMIT is the limit.",
            status=503,
            retry_after_seconds=self._pause_seconds(excess + self._refused_count),
        )

    def _pause_seconds(self, ahead_count: float) -> float:
        """How long until so many have ended."""
        rate = self._settled_per_second
        if rate is None:
            return UNMEASURED_PAUSE_SECONDS
        return min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, ahead_count / max(rate, 1e-3)))
