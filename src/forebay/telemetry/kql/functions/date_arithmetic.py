"""Dates from dates: the start and the end of a day, week, month, year; so many months later; how many weeks between.

Weeks start on Sunday. The end of a period is its last microsecond (Kusto's is its last 100 ns).
Source: https://learn.microsoft.com/kusto/query/scalar-functions (date and time).
"""

from __future__ import annotations

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.datetimes import choice, last_tick
from forebay.telemetry.kql.functions.registry import scalar

_NOWHERE = "NULL::TIMESTAMP"
_NEAR_YEARS = 100  # so far a TIMESTAMP may move without a look at whether it can, for it ends in the year 294247
_FAR_YEARS = 10_000  # nothing that is further away is a date
_UNITS = {  # of a period: DuckDB's function that makes an INTERVAL, how many, and how many are in a year
    "day": ("to_days", 1, 365),
    "week": ("to_days", 7, 365),
    "month": ("to_months", 1, 12),
    "quarter": ("to_months", 3, 12),
    "year": ("to_years", 1, 1),
}
_MICROSECONDS = {
    "hour": 3_600_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1_000,
    "microsecond": 1,
}
_MICROSECONDS_PER_YEAR = 365 * 24 * _MICROSECONDS["hour"]
_PERIODS = ("year", "quarter", "month", "week", "day", *_MICROSECONDS, "nanosecond")


def _moved(start: str, function: str, count: int, a_year: int) -> str:
    """`start` moved by a number of what `function` makes an INTERVAL of, so many in a year."""
    if not count:
        return start
    if abs(count) > _FAR_YEARS * a_year:
        return _NOWHERE
    later = f"{start} + {function}({count})"
    return later if abs(count) <= _NEAR_YEARS * a_year else f"TRY({later})"


def _shifted(start: str, period: str, offset: Argument, extra: int = 0) -> str:
    """`start` so many (and `extra`) periods later."""
    function, each, a_year = _UNITS[period]
    if offset.is_constant:
        return _NOWHERE if offset.value is None else _moved(start, function, each * (offset.value + extra), a_year)
    count = f"({offset} + {extra})" if extra else str(offset)
    return f"TRY({start} + {function}(CAST({count}{f' * {each}' if each > 1 else ''} AS INTEGER)))"


def _start(period: str, date: Argument) -> str:
    if period == "week":
        return f"time_bucket(INTERVAL 7 DAY, {date}, TIMESTAMP '2000-01-02')"  # a Sunday
    return f"date_trunc('{period}', {date})"


def _declare_period(period: str) -> None:
    def start_of(date: Argument, offset: Argument) -> str:
        return _shifted(_start(period, date), period, offset)

    def end_of(date: Argument, offset: Argument) -> str:
        return f"{_shifted(_start(period, date), period, offset, 1)} - INTERVAL 1 MICROSECOND"

    scalar(
        f"startof{period}(date: datetime, offset: long = 0) -> datetime",
        start_of,
        f"The start of the {period} of a date, or of one so many {period}s later.",
    )
    scalar(
        f"endof{period}(date: datetime, offset: long = 0) -> datetime",
        end_of,
        f"The last microsecond of the {period} of a date, or of one so many {period}s later.",
    )


for _period in ("day", "week", "month", "year"):
    _declare_period(_period)


def _add(period: Argument, amount: Argument, date: Argument) -> str:
    name = choice(period, _PERIODS, "a period")
    if name in _UNITS:
        return _shifted(str(date), name, amount)
    if not amount.is_constant:
        each = _MICROSECONDS.get(name)
        count = f"CAST(floor({amount} / 1000) AS BIGINT)" if each is None else f"{amount} * {each}"
        return f"TRY({date} + to_microseconds({count}))"
    if amount.value is None:
        return _NOWHERE
    count = amount.value // 1000 if name == "nanosecond" else amount.value * _MICROSECONDS[name]
    return _moved(str(date), "to_microseconds", count, _MICROSECONDS_PER_YEAR)


def _difference(period: Argument, left: Argument, right: Argument) -> str:
    name = choice(period, _PERIODS, "a period")
    if name == "week":  # DuckDB counts whole weeks
        return f"date_diff('day', {_start('week', right)}, {_start('week', left)}) // 7"
    if name == "nanosecond":
        ticks = last_tick(left) - last_tick(right)
        return f"TRY(date_diff('microsecond', {right}, {left}) * 1000{f' + {ticks * 100}' if ticks else ''})"
    return f"date_diff('{name}', {right}, {left})"


scalar(
    "datetime_add(const period: string, amount: long, datetime: datetime) -> datetime",
    _add,
    "A datetime so many years, quarters, months, weeks, days, hours, ... later.",
)
scalar(
    "datetime_diff(const period: string, datetime1: datetime, datetime2: datetime) -> long",
    _difference,
    "How many years, quarters, months, weeks, ... begin between two datetimes; negative where the first is earlier.",
)
