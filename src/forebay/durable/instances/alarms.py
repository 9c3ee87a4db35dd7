"""Which instance is to be looked at when: one alarm each, on one clock."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from forebay.effects import Clock

LONGEST_SLEEP_SECONDS = 30.0  # a wall clock that jumps is noticed after so long
EARLY_SECONDS = 2e-6  # an alarm may ring so much early: clocks are floats, and a rest too short for them would be slept for ever


class Alarms:
    """Calls `ring` with the key of every alarm that is due. `read` is the clock, in seconds; setting an alarm again moves it."""

    def __init__(self, read: Callable[[], float], clock: Clock, ring: Callable[[int], None]) -> None:
        self._read = read
        self._clock = clock
        self._ring = ring
        self._due: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []  # with entries that `_due` no longer has
        self._sleeper: asyncio.Task[None] | None = None
        self._sleeps_until = float("inf")

    def set(self, key: int, due: float | None) -> None:
        """Move the alarm of a key; None: it has none."""
        if due is None:
            self._due.pop(key, None)
            return
        if self._due.get(key) == due:
            return
        self._due[key] = due
        if len(self._heap) > 64 + 2 * len(self._due):
            self._heap = [(at, each) for each, at in self._due.items()]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (due, key))
        if due < self._sleeps_until:
            self._sleep_again()

    def close(self) -> None:
        """Ring no more."""
        self._due.clear()
        self._heap.clear()
        if self._sleeper is not None:
            self._sleeper.cancel()
            self._sleeper = None

    def _sleep_again(self) -> None:
        if self._sleeper is not None:
            self._sleeper.cancel()
        self._sleeps_until = self._heap[0][0]
        self._sleeper = asyncio.get_running_loop().create_task(self._sleep())

    async def _sleep(self) -> None:
        while self._heap:
            self._sleeps_until = self._heap[0][0]
            rest_seconds = self._sleeps_until - self._read()
            if rest_seconds > EARLY_SECONDS:
                await self._clock.sleep(min(rest_seconds, LONGEST_SLEEP_SECONDS))
            self._ring_due()
        self._sleeps_until = float("inf")
        self._sleeper = None

    def _ring_due(self) -> None:
        now = self._read() + EARLY_SECONDS
        keys = []
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                keys.append(key)
        for key in keys:
            self._ring(key)
