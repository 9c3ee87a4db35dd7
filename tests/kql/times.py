"""What functions of a point in time answer: https://learn.microsoft.com/kusto/query/scalar-functions (date and time)."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.kql.values import LAST_TICK, TICKS_PER_DAY, TICKS_PER_SECOND, Undefined, moment_of, ticks_of

FUNCTIONS: dict[str, Callable[..., Any]] = {}


def _function(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            FUNCTIONS[name] = function
        return function

    return declare


def _day(year: int, month: int, day: int) -> int:
    try:
        return ticks_of(datetime(year, month, day))  # noqa: DTZ001
    except (ValueError, OverflowError):
        raise Undefined("a date beyond the years 1 to 9999") from None


def _shifted_month(moment: datetime, months: int) -> tuple[int, int]:
    place = moment.year * 12 + moment.month - 1 + months
    return place // 12, place % 12 + 1


def _checked(ticks: int) -> int:
    if not 0 <= ticks <= LAST_TICK:
        raise Undefined("a date beyond the years 1 to 9999")
    return ticks


def _start(period: str, ticks: int, offset: int) -> int:
    moment = moment_of(ticks)
    match period:
        case "day":
            return _checked((ticks // TICKS_PER_DAY + offset) * TICKS_PER_DAY)
        case "week":  # which begins on Sunday; the first day of year 1 was a Monday
            return _checked(((ticks // TICKS_PER_DAY + 1) // 7 * 7 - 1 + 7 * offset) * TICKS_PER_DAY)
        case "month":
            return _day(*_shifted_month(moment, offset), 1)
        case _:
            return _day(moment.year + offset, 1, 1)


for _period in ("day", "week", "month", "year"):
    _function(f"startof{_period}")(lambda ticks, offset=0, period=_period: _start(period, ticks, offset))
    _function(f"endof{_period}")(lambda ticks, offset=0, period=_period: (_start(period, ticks, offset + 1) - 1) // 10 * 10)


@_function("dayofweek")
def _dayofweek(ticks: int) -> int:
    """The days since Sunday, as a timespan."""
    return (ticks // TICKS_PER_DAY + 1) % 7 * TICKS_PER_DAY


_function("getyear")(lambda ticks: moment_of(ticks).year)
_function("monthofyear")(lambda ticks: moment_of(ticks).month)
_function("dayofmonth")(lambda ticks: moment_of(ticks).day)
_function("dayofyear")(lambda ticks: moment_of(ticks).timetuple().tm_yday)
_function("hourofday")(lambda ticks: moment_of(ticks).hour)
_function("week_of_year")(lambda ticks: moment_of(ticks).isocalendar().week)
_function("unixtime_seconds_todatetime")(lambda seconds: _checked(_EPOCH + seconds * TICKS_PER_SECOND))
_EPOCH = ticks_of(datetime(1970, 1, 1))  # noqa: DTZ001


@_function("datetime_part")
def _datetime_part(part: str, ticks: int) -> int:
    moment = moment_of(ticks)
    match part:
        case "quarter":
            return (moment.month + 2) // 3
        case "week_of_year":
            return moment.isocalendar().week
        case "dayofyear":
            return moment.timetuple().tm_yday
        case "millisecond":
            return moment.microsecond // 1000
        case _:
            return int(getattr(moment, part))


@_function("datetime_add")
def _datetime_add(period: str, amount: int, ticks: int) -> int:
    moment = moment_of(ticks)
    months = {"year": 12, "quarter": 3, "month": 1}.get(period)
    if months is None:
        size = {"week": 7 * 86_400, "day": 86_400, "hour": 3600, "minute": 60, "second": 1}[period]
        return _checked(ticks + amount * size * TICKS_PER_SECOND)
    year, month = _shifted_month(moment, months * amount)
    if not 1 <= year <= 9999:
        raise Undefined("a date beyond the years 1 to 9999")
    return _day(year, month, min(moment.day, monthrange(year, month)[1])) + ticks % TICKS_PER_DAY


@_function("datetime_diff")
def _datetime_diff(period: str, first: int, second: int) -> int:
    """How many borders of the period are between: https://learn.microsoft.com/kusto/query/datetime-diff-function."""
    left, right = moment_of(first), moment_of(second)
    match period:
        case "year":
            return left.year - right.year
        case "month":
            return (left.year - right.year) * 12 + left.month - right.month
        case "week":
            return (_start("week", first, 0) - _start("week", second, 0)) // (7 * TICKS_PER_DAY)
        case _:
            size = {"day": 86_400, "hour": 3600, "minute": 60, "second": 1}[period] * TICKS_PER_SECOND
            return first // size - second // size


@_function("make_datetime")
def _make_datetime(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: float = 0) -> int | None:
    try:
        moment = datetime(year, month, day, hour, minute, int(second))  # noqa: DTZ001
    except (ValueError, OverflowError):
        return None
    if second % 1:
        raise Undefined("parts of a second")
    return ticks_of(moment)
