"""Where time and money go since the start, over all documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from forebay.effects import Clock
from forebay.pipeline.embedders.costs import sum_of_costs


class StageTimes:
    """Sums of wall time by stage; stages of several documents overlap, so the sums may exceed the time that passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._costs: dict[str, float] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the duration of a block to a stage."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self._seconds[stage] += self._clock.monotonic() - began

    def add_costs(self, costs: Mapping[str, float]) -> None:
        """Add what embedding has cost, as `EmbeddingCosts.to_json` has it."""
        self._costs = sum_of_costs([self._costs, costs])

    def costs(self) -> dict[str, float]:
        """What embedding documents has cost, failed tries included; empty with a local embedder."""
        return dict(self._costs)

    def snapshot(self) -> dict[str, float]:
        """Seconds by stage."""
        return {f"{stage}_seconds": round(seconds, 3) for stage, seconds in sorted(self._seconds.items())}
