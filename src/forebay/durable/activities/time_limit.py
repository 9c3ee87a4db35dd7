"""How long a try may take, or stay silent."""

from __future__ import annotations

import asyncio
from types import TracebackType


class TimeLimit:
    """An async context manager: cancels its block, and raises `TimeoutError` in its place, `seconds` after the newest sign of life."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> TimeLimit:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    @property
    def is_over(self) -> bool:
        """Whether it was this limit that cancelled the block."""
        return self._timeout.expired()

    def begin(self) -> None:
        """The time begins."""
        self._heard_at = self._loop.time()
        self._check()

    def beat(self) -> None:
        """It begins anew; may be called from any thread, and as often as one likes."""
        self._heard_at = self._loop.time()

    def _check(self) -> None:
        # looked at only when the time is over: a beat costs no timer
        due = self._heard_at + self._seconds
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._check)
        else:
            self._timeout.reschedule(due)
