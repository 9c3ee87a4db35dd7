"""Figures that come too often for a row each: sums of a while, a row of `customMetrics` for each series."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

SERIES_LIMIT = 2000  # more different ones in a while are counted together, under no dimensions

Dimensions = tuple[tuple[str, str], ...]  # (name, value), in the order in which rows show them
Series = tuple[str | None, str, Dimensions]  # project, metric, dimensions


@dataclass(slots=True)
class Summary:
    """Count, sum, extremes and sum of squares of some values."""

    count: int = 0
    sum: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf
    squares: float = 0.0

    def add(self, value: float, *, count: int = 1) -> None:
        """Take in a value that came so often."""
        self.count += count
        self.sum += value * count
        self.squares += value * value * count
        self.least = min(self.least, value)
        self.greatest = max(self.greatest, value)

    def columns(self) -> dict[str, Any]:
        """The columns of `customMetrics` that say it; the value of a summary is its sum."""
        variance = self.squares / self.count - (self.sum / self.count) ** 2
        return {
            "value": self.sum,
            "valueCount": self.count,
            "valueSum": self.sum,
            "valueMin": self.least,
            "valueMax": self.greatest,
            "valueStdDev": math.sqrt(max(0.0, variance)),
        }


class Summaries:
    """Summaries by project, metric and dimensions, since they were last taken. May be added to from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Series, Summary] = {}

    def add(self, name: str, value: float, dimensions: Dimensions = (), *, project: str | None = None) -> None:
        """Take one value into the summary of its series."""
        with self._lock:
            key = (project, name, dimensions)
            summary = self._found.get(key)
            if summary is None:
                if len(self._found) >= SERIES_LIMIT:
                    key = (project, name, ())
                summary = self._found.setdefault(key, Summary())
            summary.add(value)

    def take(self) -> dict[Series, Summary]:
        """What has been summed up; then begin anew."""
        with self._lock:
            taken, self._found = self._found, {}
        return taken
