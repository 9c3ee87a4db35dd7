"""Texts of datetimes, timespans and sizes: format_datetime, format_timespan, format_bytes.

Source of the format elements: https://learn.microsoft.com/kusto/query/format-datetime-function and .../format-timespan-function.
"""

from __future__ import annotations

import re
from math import isfinite

from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.datetimes import constant_value, last_tick, refusal
from forebay.telemetry.kql.functions.registry import scalar
from forebay.telemetry.kql.types import TICKS_PER_DAY, TICKS_PER_SECOND

_ELEMENT = re.compile(r"([A-Za-z])\1*|.", re.DOTALL)
_DELIMITERS = frozenset(" /-:,._[]")
_FRACTION_DIGITS = 7
_STRFTIME = {
    "d": "%-d",
    "dd": "%d",
    "h": "%-I",
    "hh": "%I",
    "H": "%-H",
    "HH": "%H",
    "m": "%-M",
    "mm": "%M",
    "M": "%-m",
    "MM": "%m",
    "s": "%-S",
    "ss": "%S",
    "y": "%-y",
    "yy": "%y",
    "yyyy": "%Y",
    "tt": "%p",
    "fff": "%g",
    "ffffff": "%f",
}
_CLOCK = {"h": (3600 * TICKS_PER_SECOND, 24), "m": (60 * TICKS_PER_SECOND, 60), "s": (TICKS_PER_SECOND, 60)}


def _elements(format: Argument) -> list[str]:
    elements = [match.group() for match in _ELEMENT.finditer(constant_value(format, "a format"))]
    if not elements:
        raise refusal("a format must not be empty", "expected elements such as 'yyyy-MM-dd HH:mm:ss'")
    for before, element in zip(["", *elements], elements, strict=False):
        if before == "." and element[0] == "F":
            raise refusal(f"'.{element}' in a format is not supported: whether the point stays is not known", f"write '.{element.lower()}'")
    return elements


def _unknown(element: str) -> KqlError:
    return refusal(
        f"{element[:100]!r} cannot stand in a format", "expected elements such as yyyy MM dd HH mm ss fff, and ' ' / - : , . _ [ ]"
    )


def _format_datetime(date: Argument, format: Argument) -> str:
    parts: list[str] = []  # patterns of strftime, and elements of fractions that it does not know
    for element in _elements(format):
        written = _STRFTIME.get(element, element if element in _DELIMITERS else "")
        if written and parts and parts[-1][0] not in "fF":
            parts[-1] += written
        elif written or (element[0] in "fF" and len(element) <= _FRACTION_DIGITS):
            parts.append(written or element)
        else:
            raise _unknown(element)
    moment = str(date) if len(parts) == 1 else date.once
    return " || ".join(_fraction(date, moment, part) if part[0] in "fF" else f"strftime({moment}, '{part}')" for part in parts)


def _fraction(date: Argument, moment: str, element: str) -> str:
    digits = f"strftime({moment}, '%f')"
    if len(element) == _FRACTION_DIGITS:
        digits = f"({digits} || '{last_tick(date)}')"
    elif len(element) < _FRACTION_DIGITS - 1:
        digits = f"left({digits}, {len(element)})"
    return f"rtrim({digits}, '0')" if element[0] == "F" else digits


def _format_timespan(timespan: Argument, format: Argument) -> str:
    pattern = ""
    values = []
    ticks = f"TRY(abs({timespan.once}))"
    for element in _elements(format):
        if element in _DELIMITERS:
            pattern += element
            continue
        letter, width = element[0], len(element)
        if letter == "d" and width <= 8:
            values.append(f"{ticks} // {TICKS_PER_DAY}")
        elif letter.lower() in _CLOCK and letter not in {"M", "S"} and width <= 2:
            ticks_each, modulus = _CLOCK[letter.lower()]
            values.append(f"{ticks} // {ticks_each} % {modulus}")
        elif letter in "fF" and width <= _FRACTION_DIGITS:
            values.append(f"{ticks} % {TICKS_PER_SECOND} // {10 ** (_FRACTION_DIGITS - width)}")
        else:
            raise _unknown(element)
        if letter == "F":
            values[-1] = f"rtrim(printf('%0{width}d', {values[-1]}), '0')"
            pattern += "%s"
        else:
            pattern += f"%0{width}d"
    return f"printf('{pattern}', {', '.join(values)})" if values else f"'{pattern}'"


scalar(
    "format_datetime(date: datetime, const format: string) -> string",
    _format_datetime,
    "A datetime as a text: y M d H h m s f F tt, and delimiters.",
)
scalar(
    "format_timespan(timespan: timespan, const format: string) -> string",
    _format_timespan,
    "A timespan as a text: d H m s f F, and delimiters.",
    approximate="the sign of a negative timespan is not written",
)

_SIZES = ("Bytes", "KB", "MB", "GB", "TB", "PB", "EB")


def _format_bytes(size: float | None, precision: int | None, units: str | None) -> str:
    from decimal import ROUND_HALF_UP, Context, Decimal

    if size is None or not isfinite(size) or (units and units not in _SIZES):
        return ""
    power = _SIZES.index(units) if units else sum(abs(size) >= 1024**larger for larger in range(1, len(_SIZES)))
    digits = min(max(precision or 0, 0), 15)
    context = Context(prec=400, rounding=ROUND_HALF_UP)  # as many digits as the longest double has before its point
    text = f"{context.quantize(context.divide(Decimal(size), Decimal(1024**power)), Decimal(1).scaleb(-digits)):f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {_SIZES[power]}"


scalar(
    "format_bytes(size: real, precision: long = 0, units: string = '') -> string",
    None,
    "A size in bytes as a text, in Bytes, KB, MB, GB, TB, PB or EB (of 1024).",
    approximate="zeros at the end of a fraction are left out: '1 KB', not '1.00 KB'",
    python=_format_bytes,
)
