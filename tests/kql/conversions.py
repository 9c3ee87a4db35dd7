"""Conversions between the types of KQL: https://learn.microsoft.com/kusto/query/scalar-functions#conversion-functions."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

from tests.kql.values import LAST_TICK, TICKS_PER_DAY, TICKS_PER_SECOND, Undefined, compact, moment_of, parse_json, ticks_of

_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,7}))?Z?)?", re.ASCII)
_SPAN = re.compile(r"(-?)(?:(\d{1,6})\.)?(\d\d):(\d\d):(\d\d)(?:\.(\d{1,7}))?", re.ASCII)
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def to_string(kind: str, value: Any) -> str:
    """https://learn.microsoft.com/kusto/query/tostring-function: null is ''; a bool is True or False."""
    if value is None:
        return ""
    match kind:
        case "string":
            return str(value)
        case "bool":
            return "True" if value else "False"
        case "real":
            return _text_of_real(value)
        case "datetime":
            return text_of_datetime(value)
        case "timespan":
            return text_of_timespan(value)
        case "dynamic":
            return text_of_dynamic(value)
        case _:
            return str(value)


def _text_of_real(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value != 0 and not 1e-4 <= abs(value) < 1e15:
        raise Undefined("how an exponent is written")
    if value == 0 and math.copysign(1, value) < 0:
        raise Undefined("the sign of zero")
    return repr(value)


def text_of_dynamic(value: Any) -> str:
    """A text is itself, anything else JSON: https://learn.microsoft.com/kusto/query/scalar-data-types/dynamic."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _text_of_real(value)
    if _has_odd_number(value):
        raise Undefined("how JSON writes it")
    return compact(value)


def _has_odd_number(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_has_odd_number, value))
    if isinstance(value, dict):
        return any(map(_has_odd_number, value.values()))
    return isinstance(value, float) and value != 0 and not 1e-4 <= abs(value) < 1e15


def text_of_datetime(ticks: int) -> str:
    return moment_of(ticks).isoformat(timespec="seconds") + f".{ticks % TICKS_PER_SECOND:07}Z"


def text_of_timespan(ticks: int) -> str:
    size = abs(ticks)
    days, rest = divmod(size, TICKS_PER_DAY)
    seconds, fraction = divmod(rest, TICKS_PER_SECOND)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    text = f"{days}.{text}" if days else text
    return ("-" if ticks < 0 else "") + (f"{text}.{fraction:07}" if fraction else text)


def wrapped(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return (value + half) % (1 << bits) - half


def _to_integer(kind: str, value: Any, bits: int) -> int | None:
    match kind:
        case "int" | "long" | "timespan" | "datetime":
            return wrapped(value, bits)
        case "bool":
            return int(value)
        case "real":
            if not math.isfinite(value):
                return None
            return min(max(math.trunc(value), -(1 << (bits - 1))), (1 << (bits - 1)) - 1)
        case "string":
            return _integer_of_text(value, bits)
        case "dynamic":
            return _to_integer(kind_of(value), value, bits)
        case _:
            return None


def _integer_of_text(text: str, bits: int) -> int | None:
    if re.fullmatch(r"[+-]?\d{1,40}", text, re.ASCII):
        number = int(text)
        return number if wrapped(number, bits) == number else None
    if re.search(r"\d", text) and re.fullmatch(r"[\s+\-\d.xXeEa-fA-F_]+", text):
        raise Undefined("blanks, fractions and other forms of an integer")
    return None


def kind_of(value: Any) -> str:
    """The type of what a dynamic value holds."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise Undefined("an integer beyond 64 bits")
        return "long"
    if isinstance(value, float):
        return "real"
    return "string" if isinstance(value, str) else "other"


def to_int(kind: str, value: Any) -> int | None:
    return _to_integer(kind, value, 32)


def to_long(kind: str, value: Any) -> int | None:
    return _to_integer(kind, value, 64)


def to_real(kind: str, value: Any) -> float | None:
    match kind:
        case "int" | "long" | "bool" | "timespan" | "datetime" | "real":
            return float(value)
        case "string":
            if re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", value, re.ASCII):
                found = float(value)
                return found if math.isfinite(found) else _undefined("a text of a real that is too large")
            if re.search(r"\d|nan|inf", value, re.IGNORECASE):
                raise Undefined("other forms of a real")
            return None
        case "dynamic":
            return to_real(kind_of(value), value)
        case _:
            return None


def _undefined(why: str) -> Any:
    raise Undefined(why)


def to_bool(kind: str, value: Any) -> bool | None:
    match kind:
        case "bool":
            return bool(value)
        case "int" | "long" | "real":
            return bool(value != 0)
        case "string":
            word = value.strip().lower()
            if word in ("true", "false"):
                return bool(word == "true")
            if re.search(r"\d", word):
                raise Undefined("a number in a text as a bool")
            return None
        case "dynamic":
            return to_bool(kind_of(value), value)
        case _:
            return None


def to_datetime(kind: str, value: Any) -> int | None:
    match kind:
        case "datetime":
            return int(value)
        case "int" | "long":
            return value if 0 <= value <= LAST_TICK else None
        case "string":
            return datetime_of_text(value)
        case "dynamic":
            if isinstance(value, str):
                return datetime_of_text(value)
            return None if value is None or isinstance(value, (list, dict)) else _undefined("a number as a datetime")
        case _:
            return None


def datetime_of_text(text: str) -> int | None:
    """ISO 8601: https://learn.microsoft.com/kusto/query/scalar-data-types/datetime."""
    found = _DATE.fullmatch(text)
    if found is None:
        if re.search(r"\d", text):
            raise Undefined("other forms of a datetime")
        return None
    year, month, day, hour, minute, second = (int(each or 0) for each in found.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None
    return ticks_of(moment) + int((found[7] or "0").ljust(7, "0")) // 10 * 10


def to_timespan(kind: str, value: Any) -> int | None:
    match kind:
        case "timespan" | "datetime" | "int" | "long":
            return int(value)
        case "bool":
            return int(value)
        case "string":
            found = _SPAN.fullmatch(value)
            if found is None:
                if re.search(r"\d", value):
                    raise Undefined("other forms of a timespan")
                return None
            days, hours, minutes, seconds = (int(each or 0) for each in found.groups()[1:5])
            if hours > 23 or minutes > 59 or seconds > 59:
                raise Undefined("a clock that does not exist")
            total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
            return (-1 if found[1] else 1) * (total * TICKS_PER_SECOND + int((found[6] or "0").ljust(7, "0")))
        case "dynamic":
            if isinstance(value, str):
                return to_timespan("string", value)
            return _undefined("a number as a timespan") if isinstance(value, (int, float)) else None
        case _:
            return _undefined("a real as a timespan")


def to_guid(kind: str, value: Any) -> str | None:
    if kind == "guid":
        return str(value)
    text = value if isinstance(value, str) else text_of_dynamic(value)
    if _GUID.fullmatch(text):
        return text.lower()
    return _undefined("other forms of a guid") if re.search("(-?[0-9a-f]){32}", text, re.IGNORECASE) else None


def to_dynamic(kind: str, value: Any) -> Any:
    """What JSON has no type for is written as text, as tostring() does."""
    match kind:
        case "string":
            return None if value == "" else _json(value)
        case "datetime" | "timespan" | "guid":
            return to_string(kind, value)
        case _:
            return in_json(kind, value)


def _json(text: str) -> Any:
    found = parse_json(text)
    if isinstance(found, str) and re.match(r"\s*(nan|-?inf|[\[{\d+.-])", text, re.IGNORECASE) and not text.startswith('"'):
        raise Undefined("what is nearly JSON")
    return found


def in_json(kind: str, value: Any) -> Any:
    """A value as an element of a dynamic one; a text stays a text."""
    if value is None or kind in ("string", "dynamic", "bool", "int", "long"):
        return value
    if kind == "real" and math.isfinite(value):
        return value
    return to_string(kind, value)


CONVERSIONS = {
    "toint": to_int,
    "tolong": to_long,
    "toreal": to_real,
    "tobool": to_bool,
    "todatetime": to_datetime,
    "totimespan": to_timespan,
    "toguid": to_guid,
}
