"""A timespan that the query says, as SQL's INTERVAL."""

from __future__ import annotations

_UNITS = (
    (864_000_000_000, "day"),
    (36_000_000_000, "hour"),
    (600_000_000, "minute"),
    (10_000_000, "second"),
    (10_000, "millisecond"),
    (10, "microsecond"),
)


def interval(ticks: int) -> str:
    """SQL of so many ticks of 100 ns, in the largest unit that says it; a rest below a microsecond is cut, towards the past."""
    microseconds = ticks // 10
    for size, unit in _UNITS:
        if microseconds * 10 % size == 0:
            count = microseconds * 10 // size
            return f"INTERVAL '{count} {unit}{'' if abs(count) == 1 else 's'}'"
    raise AssertionError("whole microseconds are a number of microseconds")
