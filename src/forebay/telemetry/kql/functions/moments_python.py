"""Dates and durations in texts, in all forms that Kusto reads: for the rows that DuckDB's own casts do not read."""

from __future__ import annotations

from datetime import datetime, timedelta

_LONGEST = 64  # characters; no form is longer
_YEAR_1 = datetime(1, 1, 1)  # noqa: DTZ001 - UTC, which DuckDB's TIMESTAMP does not say


def datetime_of_text(text: str | None) -> datetime | None:
    """The datetime that a text says, cut to microseconds."""
    if not text or len(text) > _LONGEST:
        return None
    from forebay.telemetry.kql.syntax.moments import datetime_ticks

    ticks = datetime_ticks(text)
    return None if ticks is None else _YEAR_1 + timedelta(microseconds=ticks // 10)


def timespan_of_text(text: str | None) -> int | None:
    """The ticks that a text says, `1.02:03:04.5` or `90m`."""
    if not text or len(text) > _LONGEST:
        return None
    from forebay.telemetry.kql.syntax.literals import LiteralError, unit_timespan_value
    from forebay.telemetry.kql.syntax.moments import timespan_ticks

    ticks = timespan_ticks(text)
    if ticks is None:
        try:
            ticks = unit_timespan_value(text.strip())
        except LiteralError:
            return None
    return ticks if -(2**63) <= ticks < 2**63 else None
