"""An event loop without waiting: time passes only when nothing else can happen.

Hours of retries and timers run in milliseconds, in an order that depends on the program alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import selectors
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from forebay.values.times import to_microseconds

Result = TypeVar("Result")


class VirtualDeadlock(RuntimeError):
    """Every task waits and no timer is set: in reality the program would hang for ever."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` starts at 0 and jumps to the next timer when nothing is ready.

    Raises `VirtualDeadlock`, naming the waiting tasks, when there is no timer either. Threads and sockets are looked
    at but never waited for: use inline or virtual doubles for whatever blocks.
    """

    def __init__(self) -> None:
        self._virtual_seconds = 0.0
        super().__init__(_JumpingSelector(self._jump))
        # how much early a timer may be: beyond 97 days a float cannot tell a nanosecond, asyncio's value, and the timer would never be due
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_seconds

    def _jump(self, seconds: float | None) -> None:
        if seconds is None:
            waiting = sorted(f"{task.get_name()}: {_where(task)}" for task in asyncio.all_tasks(self))
            raise VirtualDeadlock(
                f"nothing is ready and no timer is set at {self._virtual_seconds:.6f} s; waiting: " + ("; ".join(waiting) or "no task")
            )
        self._virtual_seconds += seconds


class _JumpingSelector(selectors.BaseSelector):
    """Looks at real files without waiting; where another selector would wait it lets virtual time jump."""

    def __init__(self, jump: Callable[[float | None], None]) -> None:
        self._real = selectors.DefaultSelector()
        self._jump = jump

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if not ready and (timeout is None or timeout > 0):
            self._jump(timeout)
        return ready

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


class VirtualClock:
    """The clock of a virtual loop; its wall time can be made to jump, its monotonic time cannot."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError("start must be timezone-aware")
        self._loop = loop
        self._wall = start - timedelta(seconds=loop.time())

    def now(self) -> datetime:
        return self._wall + timedelta(seconds=self._loop.time())

    def now_us(self) -> int:
        return to_microseconds(self.now())

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back when negative, as an operator or a time server would."""
        self._wall += timedelta(seconds=seconds)


class SeededRandomness:
    """`Randomness` that is the same for the same seed, on every machine and version of Python."""

    def __init__(self, seed: int | str) -> None:
        self._key = hashlib.blake2b(str(seed).encode(), digest_size=32).digest()
        self._drawn_count = 0

    def hex(self, byte_count: int) -> str:
        drawn = b""
        while len(drawn) < byte_count:
            drawn += self._draw()
        return drawn[:byte_count].hex()

    def ratio(self) -> float:
        return (int.from_bytes(self._draw()[:8], "big") >> 11) / (1 << 53)

    def _draw(self) -> bytes:
        self._drawn_count += 1
        return hashlib.blake2b(self._drawn_count.to_bytes(8, "big"), key=self._key, digest_size=32).digest()


def run_virtual(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine function to its end on a new `VirtualTimeLoop` and return its result."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


def _where(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack()
    if not frames:
        return repr(task.get_coro())
    return f"{frames[-1].f_code.co_qualname} line {frames[-1].f_lineno}"
