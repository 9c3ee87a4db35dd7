"""Local times of time zones (IANA's names), and UTC.

A local time that clocks skip in spring is taken with the offset that follows, as Kusto does.
Source: https://learn.microsoft.com/kusto/query/datetime-local-to-utc-function
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.datetimes import refusal
from forebay.telemetry.kql.functions.registry import scalar

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_NOT_ZONES = frozenset({"Factory", "localtime", "posixrules"})  # of time-zone databases, of which no place is


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    from zoneinfo import ZoneInfo

    try:
        return None if name in _NOT_ZONES else ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


def _check(zone: Argument) -> None:
    if _zone(zone.value) is None:
        raise refusal(
            f"{zone.value[:100]!r} is not a time zone", "expected one such as 'Europe/Paris'; datetime_list_timezones() lists them"
        )


def _to_local(moment: Argument, zone: Argument) -> str:
    if not zone.is_constant:  # a parameter of the query
        return f"{_LOCAL_BY_ROW.python_name}({moment}, {zone})"
    _check(zone)
    return f"timezone({zone}, make_timestamptz(epoch_us({moment})))"


def _to_utc(local: Argument, zone: Argument) -> str:
    if not zone.is_constant:
        return f"{_UTC_BY_ROW.python_name}({local}, {zone})"
    _check(zone)
    utc = f"timezone({zone}, {local.once})"
    # of a time that clocks skip, DuckDB answers one that is another local time: later by what clocks skip
    return f"make_timestamp(epoch_us({utc}) - epoch_us(timezone({zone}, {utc})) + epoch_us({local.once}))"


def _to_local_by_row(moment: datetime | None, zone: str) -> datetime | None:
    found = _zone(zone)
    if moment is None or found is None:
        return None
    try:
        return moment.replace(tzinfo=UTC).astimezone(found).replace(tzinfo=None)
    except (OverflowError, ValueError):
        return None


def _to_utc_by_row(local: datetime | None, zone: str) -> datetime | None:
    found = _zone(zone)
    if local is None or found is None:
        return None
    try:
        return local.replace(tzinfo=found, fold=1).astimezone(UTC).replace(tzinfo=None)
    except (OverflowError, ValueError):
        return None


@lru_cache(maxsize=1)
def _zone_names() -> list[str]:
    from zoneinfo import available_timezones

    return sorted(available_timezones() - _NOT_ZONES)


_AMBIGUOUS = "a local time that occurs twice, because clocks are set back, is taken as the second one"

scalar("datetime_utc_to_local(from: datetime, const timezone: string) -> datetime", _to_local, "The local time of a place.")
_LOCAL_BY_ROW = scalar(
    "datetime_utc_to_local(from: datetime, timezone: string) -> datetime", None, "The local time of a place.", python=_to_local_by_row
)
scalar(
    "datetime_local_to_utc(from: datetime, const timezone: string) -> datetime",
    _to_utc,
    "The time in UTC of a local time of a place.",
    approximate=_AMBIGUOUS,
)
_UTC_BY_ROW = scalar(
    "datetime_local_to_utc(from: datetime, timezone: string) -> datetime",
    None,
    "The time in UTC of a local time of a place.",
    approximate=_AMBIGUOUS,
    python=_to_utc_by_row,
)
scalar("datetime_list_timezones() -> dynamic", None, "The names of all time zones.", python=_zone_names)
