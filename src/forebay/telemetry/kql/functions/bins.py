"""`bin` (also `floor`) and `bin_at`: the greatest multiple of a size that is not greater, from zero, year 1 or a given point on.

A negative size gives null, and so does zero, or NaN for reals. Week bins of datetimes therefore begin on Mondays, for 0001-01-01 was one.
Source: https://learn.microsoft.com/kusto/query/bin-function and bin-at-function
"""

from __future__ import annotations

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.arithmetic import as_long, remainder, ticks
from forebay.telemetry.kql.functions.interval import interval
from forebay.telemetry.kql.functions.registry import scalar
from forebay.telemetry.kql.types import TICKS_PER_DAY, TICKS_PER_MICROSECOND, YEAR_1_TO_1970_MICROSECONDS

_LONG_BEFORE = 1 << 60  # microseconds, some 36,000 years: more than a timespan can be taken from a datetime
_TRUNCATED = {TICKS_PER_DAY: "day", 36_000_000_000: "hour", 600_000_000: "minute", 10_000_000: "second"}


def _is_plain(size: Argument) -> bool:
    """Whether DuckDB has this size as an interval."""
    return size.is_constant and size.value is not None and size.value > 0 and size.value % TICKS_PER_MICROSECOND == 0


def _integer(value: Argument, size: Argument) -> str:
    """DuckDB's `//` cuts towards zero; of a negative number, `~` makes one that is not. TRY: the product may leave 64 bits."""
    if size.is_constant and size.value is not None and size.value > 0:
        number = value.once
        count = f"(CASE WHEN {number} < 0 THEN ~((~{number}) // {size}) ELSE {number} // {size} END)"
        return f"{count}::BIGINT * {size}" if value.type == "int" else f"TRY({count} * {size})"
    if size.is_constant:
        return "NULL::BIGINT"
    return f"CASE WHEN {size.once} > 0 THEN TRY({as_long(value)} - ({remainder(value, size)})) END"


def _real(value: Argument, size: Argument) -> str:
    found = f"floor({value} / {size.once}) * {size.once}"
    return found if size.is_constant and size.value is not None and size.value > 0 else f"CASE WHEN {size.once} >= 0 THEN {found} END"


def _datetime(value: Argument, size: Argument) -> str:
    if _is_plain(size):
        if size.value in _TRUNCATED:
            return f"date_trunc('{_TRUNCATED[size.value]}', {value})"
        width, first = _grid(size)
        return f"make_timestamp({_datetime_key(value, size)} * {width} - {first})"
    step = _positive(size)
    return f"make_timestamp((({ticks(value)} // {step} * {step}) // {TICKS_PER_MICROSECOND} - {YEAR_1_TO_1970_MICROSECONDS})::BIGINT)"


def _datetime_key(value: Argument, size: Argument) -> str:
    """The number of the bin; integers are what DuckDB is quickest with, `time_bucket` takes half as long again."""
    if not _is_plain(size) or size.value in _TRUNCATED:
        return ""
    width, first = _grid(size)
    return f"(epoch_us({value}) + {first}) // {width}"


def _grid(size: Argument) -> tuple[int, int]:
    """Microseconds of a bin, and from the beginning of one so long before year 1 that nothing is before it until 1970."""
    width = size.value // TICKS_PER_MICROSECOND
    return width, YEAR_1_TO_1970_MICROSECONDS + _LONG_BEFORE // width * width


def _integer_at(value: Argument, size: Argument, point: Argument) -> str:
    return f"TRY({as_long(value)} - {_rest(f'({value}::HUGEINT - {point})', size)}::BIGINT)"


def _datetime_at(value: Argument, size: Argument, point: Argument) -> str:
    if _is_plain(size):
        return f"time_bucket({interval(size.value)}, {value}, {point})"
    rest = _rest(f"({ticks(value)} - {ticks(point)})", size)
    return f"make_timestamp((({ticks(value)} - {rest}) // {TICKS_PER_MICROSECOND} - {YEAR_1_TO_1970_MICROSECONDS})::BIGINT)"


def _positive(size: Argument) -> str:
    return f"nullif(greatest({size}, 0), 0)"


def _rest(distance: str, size: Argument) -> str:
    """0 <= rest < size, of a HUGEINT."""
    step = _positive(size)
    return f"(({distance} % {step} + {step}) % {step})"


_SUMMARY = "The greatest multiple of the size that is not greater."
# of real numbers first, for that is what a dynamic value is taken for
scalar("bin(value: real, size: real) -> real", _real, _SUMMARY, aliases=("floor",))
scalar("bin(value: integer, size: integer) -> long", _integer, _SUMMARY, aliases=("floor",))
scalar("bin(value: timespan, size: timespan) -> timespan", _integer, _SUMMARY, aliases=("floor",))
scalar("bin(value: datetime, size: timespan) -> datetime", _datetime, _SUMMARY, aliases=("floor",), key=_datetime_key)

_SUMMARY_AT = "The greatest value at a multiple of the size from a given point that is not greater."
scalar("bin_at(value: integer, size: integer, point: integer) -> long", _integer_at, _SUMMARY_AT)
scalar(
    "bin_at(value: real, size: real, point: real) -> real",
    "floor(({value} - {point.once}) / {size.once}) * {size.once} + {point.once}",
    _SUMMARY_AT,
    nulls="propagate",
)
scalar("bin_at(value: timespan, size: timespan, point: timespan) -> timespan", _integer_at, _SUMMARY_AT)
scalar("bin_at(value: datetime, size: timespan, point: datetime) -> datetime", _datetime_at, _SUMMARY_AT)
