"""The edge between the synchronous command line and the asynchronous program."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from forebay.errors import ForebayError

Result = TypeVar("Result")

FAILED, WRONG_USAGE, NOT_AVAILABLE = 1, 2, 3
_USAGE_CODES = ("invalid_setting", "wrong_usage")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to its end; SIGTERM stops it as gracefully as Ctrl-C does."""
    try:
        return asyncio.run(_until_terminated(work))
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None


def exit_status(error: ForebayError) -> int:
    """1 the operation failed, 2 wrong usage, 3 not available."""
    if error.code in _USAGE_CODES:
        return WRONG_USAGE
    return NOT_AVAILABLE if error.status == 503 else FAILED


async def _until_terminated(work: Coroutine[Any, Any, Result]) -> Result:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work
