"""Texts of dates and durations as Kusto reads them, in ticks of 100 ns.

Sources: https://learn.microsoft.com/kusto/query/scalar-data-types/datetime and .../timespan.
"""

from __future__ import annotations

import re
from datetime import date

from forebay.telemetry.kql.types import TICKS_PER_DAY, TICKS_PER_SECOND

_MONTHS = {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_DAY_NAME = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,?\ ++)?"
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,9}))?)?"
_ZONE = r"(?:\ *+(?P<zone>z|gmt|utc|[-+](?:0\d|1[0-4])(?::?[0-5]\d)?))?"
# `re` compiles them when they are first used
_DATES = (
    # 2014-05-25T08:20:03.123456Z, 2014-11-08 15:55, 2014-11-08, 2014-11, 2014
    rf"""(?P<year>\d{{4}})(?:(?P<separator>[-/.])(?P<month>\d{{1,2}})
            (?:(?P=separator)(?P<day>\d{{1,2}})(?:(?:T|\ ++){_CLOCK}{_ZONE})?)?)?""",
    # 2025, 6, 14
    r"(?P<year>\d{4}),\ *+(?P<month>\d{1,2}),\ *+(?P<day>\d{1,2})",
    # 12-31-2023, 12/31/2023 10:00: the month is first
    rf"(?P<month>\d{{1,2}})(?P<separator>[-/])(?P<day>\d{{1,2}})(?P=separator)(?P<year>\d{{4}})(?:\ ++{_CLOCK}{_ZONE})?",
    # Sat, 8 Nov 14 15:05:02 GMT; Saturday, 08-Nov-2014 15:05:02
    rf"""{_DAY_NAME}(?P<day>\d{{1,2}})(?P<separator>\ ++|-)(?P<month>[a-z]{{3}})[a-z]*+(?P=separator)(?P<year>\d{{4}}|\d{{2}})
            (?:\ ++{_CLOCK}{_ZONE})?""",
)
_FLAGS = re.VERBOSE | re.IGNORECASE | re.ASCII
_TIMESPAN = (
    r"(?P<sign>-)?(?:(?P<days>\d{1,8})\.)?(?P<hours>\d{1,2}):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2})(?:\.(?P<fraction>\d{1,7}))?)?"
)
_DAYS = r"-?\d{1,8}"
_LAST_TICK = 3_652_059 * TICKS_PER_DAY - 1  # the end of year 9999


def datetime_ticks(text: str) -> int | None:
    """The ticks since 0001-01-01 (UTC) that a text says; None if it says no date."""
    stripped = text.strip()
    match = next((match for pattern in _DATES if (match := re.fullmatch(pattern, stripped, _FLAGS))), None)
    if match is None:
        return None
    part = {"hour": None, "minute": None, "second": None, "fraction": None, "zone": None, "month": None, "day": None, **match.groupdict()}
    month = part["month"] or "1"
    try:
        day = date(_year(match["year"]), int(month) if month.isdigit() else _MONTHS[month.lower()], int(part["day"] or 1))
    except (ValueError, KeyError):
        return None
    hour, minute, second = int(part["hour"] or 0), int(part["minute"] or 0), int(part["second"] or 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    ticks = (day.toordinal() - 1) * TICKS_PER_DAY + (hour * 3600 + minute * 60 + second) * TICKS_PER_SECOND + _fraction(part["fraction"])
    ticks -= _zone_minutes(part["zone"]) * 60 * TICKS_PER_SECOND
    return ticks if 0 <= ticks <= _LAST_TICK else None


def timespan_ticks(text: str) -> int | None:
    """The ticks that `1.02:03:04.5` or a number of days says; None if the text is neither, or too long a time."""
    stripped = text.strip()
    if re.fullmatch(_DAYS, stripped, re.ASCII):
        return _bounded(int(stripped) * TICKS_PER_DAY)
    match = re.fullmatch(_TIMESPAN, stripped, re.ASCII)
    if match is None:
        return None
    hours, minutes, seconds = int(match["hours"]), int(match["minutes"]), int(match["seconds"] or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    ticks = (
        int(match["days"] or 0) * TICKS_PER_DAY + (hours * 3600 + minutes * 60 + seconds) * TICKS_PER_SECOND + _fraction(match["fraction"])
    )
    return _bounded(-ticks if match["sign"] else ticks)


def _bounded(ticks: int) -> int | None:
    """The ticks of a timespan, which has 64 bits."""
    return ticks if -(1 << 63) <= ticks < 1 << 63 else None


def _year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    if 30 <= year < 70:
        raise ValueError("calendars differ in the century that two digits mean")
    return year + (2000 if year < 30 else 1900)


def _fraction(digits: str | None) -> int:
    return int(f"{digits or '':0<7}"[:7])


def _zone_minutes(zone: str | None) -> int:
    if zone is None or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return -minutes if zone[0] == "-" else minutes
