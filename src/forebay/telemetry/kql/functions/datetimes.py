"""Points in time and their parts: make_datetime, unix times, the year, the month, the hour of a date (now() and ago() are the binder's).

A datetime is a TIMESTAMP of microseconds, of the years 1 to 9999; whoever reads results takes what is outside for null. A timespan is a
BIGINT of 100 ns.
Source: https://learn.microsoft.com/kusto/query/scalar-functions (date and time).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import scalar
from forebay.telemetry.kql.types import TICKS_PER_DAY, TICKS_PER_MICROSECOND, YEAR_1_TO_1970_MICROSECONDS

MICROSECONDS_TO_YEAR_10000 = 253_402_300_800_000_000  # since 1970


def choice(argument: Argument, allowed: Collection[str], what: str) -> str:
    """The constant that names one of some things, in lower case. Raises `KqlError` for any other."""
    name = str(constant_value(argument, what))
    if name.lower() not in allowed:
        raise refusal(f"{name[:100]!r} is not {what}", f"expected one of {', '.join(allowed)}")
    return name.lower()


def constant_value(argument: Argument, what: str) -> Any:
    """A value that is known. Raises `KqlError` where it comes with a parameter of the query."""
    if not argument.is_constant:
        raise refusal(f"{what} has to be a constant", "write it out, or name it with `let`")
    return argument.value


def refusal(message: str, hint: str) -> KqlError:
    """What a constant that cannot be right is refused with; the binder knows where it stands."""
    return KqlError(Diagnostic("type", message, 0, 0, hint=hint))


def last_tick(moment: Argument) -> int:
    """The last digit, of 100 ns, which only constants have."""
    return moment.value % TICKS_PER_MICROSECOND if moment.is_constant and moment.value is not None else 0


_DATE_PARTS = {
    "year": "year({date})",
    "quarter": "quarter({date})",
    "month": "month({date})",
    "week_of_year": "week({date})",
    "day": "day({date})",
    "dayofyear": "dayofyear({date})",
    "hour": "hour({date})",
    "minute": "minute({date})",
    "second": "second({date})",
    "millisecond": "millisecond({date}) % 1000",
    "microsecond": "microsecond({date}) % 1000000",
    "nanosecond": "microsecond({date}) % 1000000 * 1000 + {nanoseconds}",
}


def _date_part(part: Argument, date: Argument) -> str:
    name = choice(part, _DATE_PARTS, "a part of a date")
    return _DATE_PARTS[name].format(date=date, nanoseconds=last_tick(date) * 100)


scalar(
    "datetime_part(const part: string, date: datetime) -> long",
    _date_part,
    "A part of a date: its year, quarter, ... nanosecond (within the second).",
    aliases=("datepart",),
    nulls="propagate",
)
scalar("getyear(date: datetime) -> long", "year({date})", "The year.", nulls="propagate")
scalar("monthofyear(date: datetime) -> long", "month({date})", "The month, from 1.", aliases=("getmonth",), nulls="propagate")
scalar("dayofyear(date: datetime) -> long", "dayofyear({date})", "The day of the year, from 1.", nulls="propagate")
scalar("dayofmonth(date: datetime) -> long", "day({date})", "The day of the month, from 1.", nulls="propagate")
scalar(
    "dayofweek(date: datetime) -> timespan",
    f"dayofweek({{date}}) * {TICKS_PER_DAY}",
    "The whole days since the last Sunday.",
    nulls="propagate",
)
scalar("hourofday(date: datetime) -> long", "hour({date})", "The hour of the day, from 0.", nulls="propagate")
scalar("week_of_year(date: datetime) -> long", "week({date})", "The week of the year as ISO 8601 counts them.", nulls="propagate")


def _make_datetime(year: Argument, month: Argument, day: Argument, hour: Argument, minute: Argument, second: Argument) -> str:
    if all(each.is_constant and each.value == 0 for each in (hour, minute, second)):
        return f"CASE WHEN {year.once} BETWEEN 1 AND 9999 THEN TRY(make_timestamp({year.once}, {month}, {day}, 0, 0, 0)) END"
    return (
        f"CASE WHEN {year.once} BETWEEN 1 AND 9999 AND {_is_clock(hour, minute, second)}"
        f" THEN TRY(make_timestamp({year.once}, {month}, {day}, {hour.once}, {minute.once}, 0))"
        f" + to_microseconds({_ticks(second)} // {TICKS_PER_MICROSECOND}) END"
    )


def _make_timespan(hour: Argument, minute: Argument, second: Argument) -> str:
    return f"CASE WHEN {_is_clock(hour, minute, second)} THEN ({hour.once} * 3600 + {minute.once} * 60) * 10000000 + {_ticks(second)} END"


def _make_timespan_of_days(day: Argument, hour: Argument, minute: Argument, second: Argument) -> str:
    return f"TRY({day} * {TICKS_PER_DAY} + {_make_timespan(hour, minute, second)})"


def _is_clock(hour: Argument, minute: Argument, second: Argument) -> str:
    return f"{hour.once} BETWEEN 0 AND 23 AND {minute.once} BETWEEN 0 AND 59 AND {second.once} >= 0 AND {second.once} < 60"


def _ticks(second: Argument) -> str:
    return f"CAST({second.once} * 1e7 AS BIGINT)"


scalar(
    "make_datetime(year: long, month: long, day: long, hour: long = 0, minute: long = 0, second: real = 0) -> datetime",
    _make_datetime,
    "The datetime of a date and a time of day; null where there is none.",
)
scalar(
    "make_timespan(hour: long, minute: long, second: real = 0) -> timespan",
    _make_timespan,
    "The timespan of a time of day; null where there is none.",
)
scalar(
    "make_timespan(day: long, hour: long, minute: long, second: real) -> timespan",
    _make_timespan_of_days,
    "The timespan of days and a time of day; null where there is none.",
)


def _declare_unix_time(unit: str, per_second: int) -> None:
    # a BIGINT of nanoseconds holds no more than the years 1677 to 2262
    first = max(-YEAR_1_TO_1970_MICROSECONDS * per_second // 1_000_000, -(2**63) + 1000)
    last = min(MICROSECONDS_TO_YEAR_10000 * per_second // 1_000_000 - 1, 2**63 - 1)
    if per_second > 1_000_000:
        microseconds = "({number.once} - ({number.once} % 1000 + 1000) % 1000) // 1000"
    else:
        microseconds = f"{{number.once}} * {1_000_000 // per_second}"
    name, summary = f"unixtime_{unit}s_todatetime", f"The datetime of a number of {unit}s since 1970."
    scalar(
        f"{name}(number: long) -> datetime",
        f"CASE WHEN {{number.once}} BETWEEN {first} AND {last} THEN make_timestamp({microseconds}) END",
        summary,
    )
    for kind, real in (("real", "{number.once}"), ("decimal", "CAST({number.once} AS DOUBLE)")):
        rounded = f"round({real} * {1_000_000 / per_second!r})"
        scalar(
            f"{name}(number: {kind}) -> datetime",
            f"CASE WHEN {rounded} >= {-YEAR_1_TO_1970_MICROSECONDS} AND {rounded} < {MICROSECONDS_TO_YEAR_10000}"
            f" THEN make_timestamp(CAST({rounded} AS BIGINT)) END",
            summary,
        )


for _unit, _per_second in (("second", 1), ("millisecond", 1_000), ("microsecond", 1_000_000), ("nanosecond", 1_000_000_000)):
    _declare_unix_time(_unit, _per_second)
