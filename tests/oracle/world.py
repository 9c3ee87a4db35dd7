"""What is outside of an orchestrator: how long its calls take, which of their tries fail, and what time it is.

The model and the engine share one world, so the same calls end at the same moments, in the same order, whoever makes them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from forebay.testing.virtual_loop import SeededRandomness

START = datetime(2030, 1, 1, tzinfo=UTC)  # when every instance begins
START_US = int(START.timestamp()) * 1_000_000
TICK_US = 15_625  # 1/64 s: a whole number of microseconds, and exact as a binary float, so that no clock rounds it
LONGEST_TICKS = 64 * 60

BROKEN = "broken"  # the code of every failure that the world makes


@dataclass(frozen=True)
class Attempt:
    """One try of a call."""

    ends_at_us: int
    failure: str | None  # its text; None: the try succeeds


@dataclass
class World:
    """Decides by a seed how long each try of a call takes: whole ticks, up to a minute.

    The input of a call names it and says what happens: `{"key": unique in its instance, "fails": tries that fail, "gives": its result,
    "seconds": how long each try takes, if it matters}`.
    """

    seed: int
    _ends: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def attempt(self, call: dict[str, Any], now_us: int) -> Attempt:
        """The try that begins now, or that begins again after a crash: it ends when it would have ended without."""
        ends = self._ends[call["key"]]
        number = sum(1 for end in ends if end < now_us)
        if number == len(ends):
            seconds = call.get("seconds")
            ends.append(now_us + (self._duration_us(call["key"], number) if seconds is None else round(seconds * 1e6)))
        return Attempt(ends[number], f"{call['key']} broke" if number < call.get("fails", 0) else None)

    def result(self, call: dict[str, Any]) -> Any:
        """What the call returns."""
        return call.get("gives", call["key"])

    def _duration_us(self, key: str, number: int) -> int:
        return (1 + int(SeededRandomness(f"{self.seed} {key} {number}").ratio() * LONGEST_TICKS)) * TICK_US
