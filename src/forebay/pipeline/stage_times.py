"""Where the time goes: seconds spent in each stage since the start, over all documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from forebay.effects import Clock


class StageTimes:
    """Sums of wall time by stage; stages of several documents overlap, so the sums may exceed the time that passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the duration of a block to a stage."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self._seconds[stage] += self._clock.monotonic() - began

    def snapshot(self) -> dict[str, float]:
        """Seconds by stage."""
        return {f"{stage}_seconds": round(seconds, 3) for stage, seconds in sorted(self._seconds.items())}
