"""What the program cannot do without."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from forebay.effects import Clock

log = logging.getLogger(__name__)

RESTART_SECONDS = 5.0


async def keep_running(name: str, work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Begin again, for ever, when an unexpected error has ended the work."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("the %s ended; it begins again in %g s", name, RESTART_SECONDS)
        await clock.sleep(RESTART_SECONDS)
