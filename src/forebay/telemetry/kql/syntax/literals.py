"""The values of tokens that are constants."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from forebay.telemetry.kql.syntax.lexer import NANOSECOND_NAMES, TIMESPAN_TICKS
from forebay.telemetry.kql.syntax.moments import datetime_ticks, timespan_ticks
from forebay.telemetry.kql.types import TYPE_NAMES, KqlType

# `re` compiles them when they are first used
_NUMBER_AND_UNIT = r"([-+]?[0-9]++(?:\.[0-9]++)?)[ ]*+([a-z]++)"
_LONG = r"[-+]?(?:0[xX][0-9a-fA-F]++|[0-9]++)"
_REAL = r"[-+]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?"
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}"
_ESCAPE = r"\\(?:([\\'\"abfnrtv])|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|([0-3][0-7]{2}|[0-7]{1,2})|((?s:.?)))"
_SIMPLE_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_REAL_NAMES = {"nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf}
_DECIMAL_DIGITS, _DECIMAL_EXPONENT = 34, 6_144  # of IEEE 754's decimal128
_BITS: dict[str, int] = {"int": 32, "long": 64}


class LiteralError(ValueError):
    """A constant that says no value of its type; the message is for people."""


def string_value(token: str) -> str:
    """What a string token says, in any of its forms."""
    body = token[1:] if token[0] in "hH" else token
    if body[0] == "@":
        return body[2:-1].replace(body[1] * 2, body[1])
    if body[:3] in ("```", "~~~"):
        return body[3:-3]
    body = body[1:-1]
    if "\\" not in body:
        return body
    # UTF-16 pairs of escapes are one character
    value = re.sub(_ESCAPE, _escaped, body).encode("utf-16-le", "surrogatepass")
    try:
        return value.decode("utf-16-le")
    except UnicodeDecodeError:
        raise LiteralError("half of a surrogate pair is no character") from None


def _escaped(match: re.Match[str]) -> str:
    simple, *codes, octal, other = match.groups()
    if simple:
        return _SIMPLE_ESCAPES.get(simple, simple)
    if octal:
        return chr(int(octal, 8))
    for code in codes:
        if code and int(code, 16) <= 0x10FFFF:
            return chr(int(code, 16))
    raise LiteralError(f"'\\{other or match[0][1:2]}' is no escape sequence; write '\\\\' for a backslash, or @ before the text")


def long_value(text: str) -> int:
    """`42`, `-1` or `0x1F`, of 64 bits."""
    return _integer("long", text)


def real_value(text: str) -> float:
    """`1.5`, `1e3`, `nan`, `+inf`."""
    named = _REAL_NAMES.get(text.lower())
    if named is not None:
        return named
    if not re.fullmatch(_REAL, text):
        raise LiteralError(f"expected a number, nan, +inf, -inf or null, found '{text}'")
    value = float(text)
    if math.isinf(value):
        raise LiteralError(f"{text[:100]} is no real: it is too large")
    return value


def unit_timespan_value(text: str) -> int:
    """`1.5h`, `100ms`, `2ticks`: ticks of 100 ns; what is less than one is refused."""
    match = re.fullmatch(_NUMBER_AND_UNIT, text)
    if match is None or len(text) > 100:
        raise LiteralError(f"expected a duration such as 1.5h, found '{text}'")
    number, unit = match.groups()
    if unit in NANOSECOND_NAMES:
        ticks = Decimal(number) / 100
    elif unit in TIMESPAN_TICKS:
        ticks = Decimal(number) * TIMESPAN_TICKS[unit]
    else:
        raise LiteralError(f"'{unit}' is no unit of time; there are d, h, m, s, ms, microsecond and tick")
    if ticks != int(ticks):
        raise LiteralError(f"{text} is no whole number of ticks of 100 ns")
    return _bounded("timespan", int(ticks), 64)


def typed_value(name: str, text: str) -> tuple[KqlType, Any]:
    """What `name(text)` says: the type, and the value in the form of `nodes.Literal`.

    Raises:
        LiteralError: Where the text says no value of the type.
    """
    kind = TYPE_NAMES[name]
    content = _unquoted(text.strip(), kind)
    if content == "null":
        return kind, None
    return kind, _READERS[kind](content)


def text_value(kind: KqlType, text: str) -> Any:
    """What a text says as a value of another type, in the form of `nodes.Literal`; None if it says none."""
    try:
        return typed_value(kind, text)[1]
    except LiteralError:
        return None


def _unquoted(content: str, kind: KqlType) -> str:
    """Dates, durations and guids may be in quotes."""
    if kind in ("datetime", "timespan", "guid") and len(content) > 1 and content[0] in "'\"" and content[-1] == content[0]:
        return content[1:-1].strip()
    return content


def _boolean(text: str) -> bool:
    value = {"true": True, "false": False}.get(text.lower())
    if value is None:
        raise LiteralError(f"expected true, false or null, found '{text}'")
    return value


def _integer(kind: str, text: str) -> int:
    if not re.fullmatch(_LONG, text) or len(text) > 100:
        raise LiteralError(f"expected a whole number, found '{text[:100]}'")
    digits = text.lstrip("+-")
    value = int(digits, 16) if digits[:2] in ("0x", "0X") else int(digits)
    return _bounded(kind, -value if text[0] == "-" else value, _BITS[kind])


def _bounded(kind: str, value: int, bits: int) -> int:
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise LiteralError(f"{value} is no {kind}: it has more than {bits} bits")
    return value


def _decimal(text: str) -> Decimal:
    if not re.fullmatch(_REAL, text):
        raise LiteralError(f"expected a decimal number or null, found '{text}'")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise LiteralError(f"{text} is no decimal: its exponent is too large") from None
    if len(value.as_tuple().digits) > _DECIMAL_DIGITS or abs(value.adjusted()) > _DECIMAL_EXPONENT:
        raise LiteralError(f"{text} is no decimal: it has more than {_DECIMAL_DIGITS} digits")
    return value


def _guid(text: str) -> str:
    digits = text.lower().strip("{}")
    if not re.fullmatch(_GUID, digits):
        raise LiteralError(f"expected a guid such as 74be27de-1e4e-49d9-b579-fe0b331d3642, found '{text}'")
    digits = digits.replace("-", "")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _datetime(text: str) -> int:
    ticks = datetime_ticks(text)
    if ticks is None:
        raise LiteralError(f"expected a date such as 2024-01-31 or 2024-01-31T10:00:00Z, or null, found '{text}'")
    return ticks


def _timespan(text: str) -> int:
    ticks = timespan_ticks(text)
    return unit_timespan_value(text) if ticks is None else ticks


_READERS = {
    "bool": _boolean,
    "int": lambda text: _integer("int", text),
    "long": long_value,
    "real": real_value,
    "decimal": _decimal,
    "guid": _guid,
    "datetime": _datetime,
    "timespan": _timespan,
}
