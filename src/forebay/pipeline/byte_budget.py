"""How many bytes of content may be in memory at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteBudget:
    """Lets callers take bytes until `limit_bytes` are taken; the next ones wait until what they want fits."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def taken(self, size_bytes: int) -> AsyncIterator[None]:
        """Hold `size_bytes` until the block ends; more than the limit counts as the limit."""
        wanted = min(size_bytes, self._limit_bytes)
        async with self._changed:
            await self._changed.wait_for(lambda: self._taken_bytes + wanted <= self._limit_bytes)
            self._taken_bytes += wanted
        try:
            yield
        finally:
            async with self._changed:
                self._taken_bytes -= wanted
                self._changed.notify_all()
