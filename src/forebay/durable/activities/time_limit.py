"""How long a try may take, or stay silent."""

from __future__ import annotations

import asyncio
from types import TracebackType


class TimeLimit:
    """An async context manager: cancels its block, and raises `TimeoutError` in its place, `seconds` after the newest sign of life.

    The error names the activity, and says `what_now`.
    """

    # made for every try, and entered by those that wait
    __slots__ = ("_heard_at", "_loop", "_name", "_seconds", "_timeout", "_timer", "_what_now")

    def __init__(self, seconds: float, name: str, what_now: str = "") -> None:
        self._seconds = seconds
        self._name = name
        self._what_now = what_now
        self._timeout: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> TimeLimit:
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._timeout is not None
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as over:
            raise TimeoutError(f"activity {self._name!r} ran longer than {self._seconds:g} s{self._what_now}") from over

    @property
    def is_over(self) -> bool:
        """Whether it was this limit that cancelled the block."""
        return self._timeout is not None and self._timeout.expired()

    def begin(self) -> None:
        """The time begins; to be called in the block."""
        self._heard_at = self._loop.time()
        self._check()

    def beat(self) -> None:
        """It begins anew; may be called from any thread, and as often as one likes."""
        if self._timeout is not None:
            self._heard_at = self._loop.time()

    def _check(self) -> None:
        # looked at only when the time is over: a beat costs no timer
        assert self._timeout is not None
        due = self._heard_at + self._seconds
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._check)
        else:
            self._timeout.reschedule(due)
