"""A coroutine whose first step has been made by hand goes on as if it had been awaited from its beginning."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from forebay.durable.activities.awaiting import go_on


async def begin_and_go_on(work: Callable[[], Awaitable[Any]]) -> Any:
    steps = work().__await__()
    try:
        awaited = next(steps)
    except StopIteration as ended:
        return ended.value
    return await go_on(awaited, steps.send, steps.throw)


async def test_it_returns_what_the_coroutine_returns() -> None:
    async def work() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        return "done"

    assert await begin_and_go_on(work) == "done"


async def test_it_raises_what_the_coroutine_raises() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise OSError("broken")

    with pytest.raises(OSError, match="broken") as raised:
        await begin_and_go_on(work)
    assert raised.value.__context__ is None


@pytest.mark.parametrize("waits", [lambda: asyncio.sleep(0), lambda: asyncio.sleep(3600)])
async def test_a_cancellation_reaches_the_coroutine_which_may_wait_again(waits: Callable[[], Awaitable[None]]) -> None:
    seen = []

    async def work() -> str:
        try:
            for _ in range(1000):
                await waits()
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise
        return "not cancelled"

    task = asyncio.create_task(begin_and_go_on(work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "cleaned up"]


async def test_what_is_raised_after_a_cancellation_that_was_dealt_with_has_nothing_to_do_with_it() -> None:
    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        raise OSError("broken")

    task = asyncio.create_task(begin_and_go_on(work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(OSError, match="broken") as raised:
        await task
    assert raised.value.__context__ is None
