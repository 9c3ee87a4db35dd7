"""Where time and money go since the start, by project."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from forebay.effects import Clock
from forebay.pipeline.embedders.costs import sum_of_costs
from forebay.values.correlation import current_correlation


@dataclass(slots=True)
class _Spent:
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    costs: dict[str, float] = field(default_factory=dict)


class StageTimes:
    """Sums of wall time by stage; stages of several documents overlap, so the sums may exceed the time that passed.

    What the calling task works for (`values.correlation`) says whose work it is; that of a re-index is nobody's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: defaultdict[str | None, _Spent] = defaultdict(_Spent)  # by project

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the duration of a block to a stage."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self._spent[_project()].seconds[stage] += self._clock.monotonic() - began

    def add_costs(self, costs: Mapping[str, float]) -> None:
        """Add what embedding has cost, as `EmbeddingCosts.to_json` has it."""
        spent = self._spent[_project()]
        spent.costs = sum_of_costs([spent.costs, costs])

    def costs(self, project: str | None = None) -> dict[str, float]:
        """What embedding has cost, failed tries included, for a project or for everybody; empty with a local embedder."""
        return sum_of_costs(each.costs for each in self._of(project))

    def snapshot(self, project: str | None = None) -> dict[str, float]:
        """Seconds by stage, of a project or of everybody."""
        total: defaultdict[str, float] = defaultdict(float)
        for each in self._of(project):
            for stage, seconds in each.seconds.items():
                total[stage] += seconds
        return {f"{stage}_seconds": round(seconds, 3) for stage, seconds in sorted(total.items())}

    def _of(self, project: str | None) -> list[_Spent]:
        if project is None:
            return list(self._spent.values())
        return [self._spent[project]] if project in self._spent else []


def _project() -> str | None:
    correlation = current_correlation()
    return None if correlation is None else correlation.project
