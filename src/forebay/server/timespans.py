"""The `timespan` of a query: an ISO 8601 duration back from now, or an interval, as Log Analytics takes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from forebay.errors import ForebayError
from forebay.telemetry.query.execution import Timespan

_DURATION = re.compile(
    r"P(?:(?P<weeks>\d+(?:\.\d+)?)W)?(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


def parse_timespan(text: str, now: datetime) -> Timespan:
    """`PT1H`, `P7D`, `START/END`, `START/DURATION` or `DURATION/END`. Raises `ForebayError` (`invalid_timespan`)."""
    first, separator, second = text.strip().partition("/")
    try:
        if not separator:
            return Timespan(start=now - _duration(first), end=now)
        if first.startswith("P"):
            end = _instant(second)
            return Timespan(start=end - _duration(first), end=end)
        start = _instant(first)
        return Timespan(start=start, end=start + _duration(second) if second.startswith("P") else _instant(second))
    except (ValueError, OverflowError):
        raise ForebayError(
            "invalid_timespan",
            f"expected an ISO 8601 duration or interval, got {text!r:.100}",
            hint="For example PT1H, P7D, or 2026-11-22T00:00:00Z/2026-11-23T00:00:00Z.",
            status=422,
        ) from None


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    parts = {name: float(value) for name, value in found.groupdict().items() if value is not None} if found else {}
    if not parts:
        raise ValueError(text)
    return timedelta(**parts)


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
