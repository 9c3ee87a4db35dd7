"""Conversions from one type to another: `tostring`, `tolong`, `todatetime`, ...; what cannot be converted becomes null.

A dynamic value converts as what it holds. Numbers of timespan and datetime are ticks of 100 ns, a datetime's since year 1.
The form of each for `dynamic` comes first, for the binder would else convert by another one.
Source: https://learn.microsoft.com/kusto/query/scalar-functions#conversion-functions
"""

from __future__ import annotations

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.json_values import json_of
from forebay.telemetry.kql.functions.moments_python import datetime_of_text, timespan_of_text
from forebay.telemetry.kql.functions.registry import operator, scalar
from forebay.telemetry.kql.functions.text_values import dynamic_kind, dynamic_text, short_dynamic_text, short_text, text_or_null
from forebay.telemetry.kql.sql.literals import quoted_text
from forebay.telemetry.kql.syntax.nodes import DynamicValue
from forebay.telemetry.kql.types import TICKS_PER_DAY, TICKS_PER_MICROSECOND, YEAR_1_TO_1970_MICROSECONDS

_INTEGER_TEXT = r"'\s*[+-]?(?:[0-9]+|0[xX][0-9a-fA-F]+)\s*'"
_GUID_TEXT = r"'^\s*\{?([0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12})'"
# what DuckDB reads as Kusto does, fast; python reads all other forms
_PLAIN_DATETIME = r"'[1-9]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,7})?)?Z?)?'"
_EPOCH_TICKS = YEAR_1_TO_1970_MICROSECONDS * TICKS_PER_MICROSECOND
_LAST_TICK = 3_652_059 * TICKS_PER_DAY - 1  # of year 9999
_LONG, _INT = (-(2**63), 2**63 - 1, "BIGINT"), (-(2**31), 2**31 - 1, "INTEGER")

# numbers


def _integer_of_text(text: str, kind: str) -> str:
    number = f"TRY_CAST({text} AS {kind})"
    # DuckDB reads more than Kusto does; to write the number again costs half of what the expression does
    return f"CASE WHEN {number}::VARCHAR = {text} THEN {number} WHEN regexp_full_match({text}, {_INTEGER_TEXT}) THEN {number} END"


def _integer_of_real(real: str, bounds: tuple[int, int, str]) -> str:
    least, greatest, kind = bounds
    saturated = f"CASE WHEN isfinite({real}) THEN CASE WHEN {real} > 0 THEN {greatest} ELSE {kind} '{least}' END END"
    return f"coalesce(TRY_CAST(trunc({real}) AS {kind}), {saturated})"


def _ticks_of_datetime(moment: str) -> str:
    return f"(epoch_us({moment}) * {TICKS_PER_MICROSECOND} + {_EPOCH_TICKS})"


def _low_32_bits(number: str) -> str:
    return f"CAST(xor({number} & 4294967295, 2147483648) - 2147483648 AS INTEGER)"


def _integer_of_dynamic(value: Argument, bounds: tuple[int, int, str]) -> str:
    text, kind = short_dynamic_text(value), bounds[2]
    real = _integer_of_real(f"TRY_CAST({text} AS DOUBLE)", bounds)
    wrapped = f" WHEN 'BIGINT' THEN {_low_32_bits(f'TRY_CAST({text} AS BIGINT)')}" if kind == "INTEGER" else ""
    wrapped += f" WHEN 'UBIGINT' THEN {_low_32_bits(f'TRY_CAST({text} AS BIGINT)')}" if kind == "INTEGER" else ""
    rest = f"CASE {dynamic_kind(value)} WHEN 'DOUBLE' THEN {real} WHEN 'BOOLEAN' THEN CAST({text} = 'true' AS {kind}){wrapped} END"
    return f"coalesce({_integer_of_text(text, kind)}, {rest})"


def _real_of_text(text: str) -> str:
    return f"CASE WHEN NOT contains({text}, '_') THEN TRY_CAST({text} AS DOUBLE) END"


def _real_of_dynamic(value: Argument) -> str:
    text = short_dynamic_text(value)
    truth = f"CASE WHEN {dynamic_kind(value)} = 'BOOLEAN' THEN CAST({text} = 'true' AS DOUBLE) END"
    return f"coalesce({_real_of_text(text)}, {truth})"


scalar("tolong(value: dynamic) -> long", lambda value: _integer_of_dynamic(value, _LONG), "The integer in a dynamic value.")
scalar("tolong(value: int|long) -> long", "CAST({value} AS BIGINT)", "An integer.", nulls="propagate")
scalar("tolong(value: bool) -> long", "CAST({value} AS BIGINT)", "1 for true, 0 for false.", nulls="propagate")
scalar("tolong(value: timespan) -> long", "{value}", "The ticks of 100 ns.", nulls="propagate")
scalar(
    "tolong(value: datetime) -> long", lambda value: _ticks_of_datetime(value.sql), "The ticks of 100 ns since year 1.", nulls="propagate"
)
scalar(
    "tolong(value: real) -> long",
    lambda value: _integer_of_real(value.once, _LONG),
    "Without the part after the point, and the nearest long where it is beyond; null for NaN and infinity.",
)
scalar("tolong(value: decimal) -> long", "TRY_CAST(trunc({value}) AS BIGINT)", "Without the part after the point.")
scalar(
    "tolong(value: string) -> long",
    lambda value: _integer_of_text(short_text(value), "BIGINT"),
    "The integer that a text says, decimal or 0x.",
)

scalar("toint(value: dynamic) -> int", lambda value: _integer_of_dynamic(value, _INT), "The integer in a dynamic value.")
scalar("toint(value: int) -> int", "{value}", "An integer.", nulls="propagate")
scalar("toint(value: long) -> int", lambda value: _low_32_bits(value.sql), "The lowest 32 bits.", nulls="propagate")
scalar("toint(value: bool) -> int", "CAST({value} AS INTEGER)", "1 for true, 0 for false.", nulls="propagate")
scalar("toint(value: timespan) -> int", lambda value: _low_32_bits(value.sql), "The lowest 32 bits of the ticks.", nulls="propagate")
scalar(
    "toint(value: datetime) -> int",
    lambda value: _low_32_bits(_ticks_of_datetime(value.sql)),
    "The lowest 32 bits of the ticks since year 1.",
    nulls="propagate",
)
scalar(
    "toint(value: real) -> int",
    lambda value: _integer_of_real(value.once, _INT),
    "Without the part after the point, and the nearest int where it is beyond; null for NaN and infinity.",
)
scalar("toint(value: decimal) -> int", "TRY_CAST(trunc({value}) AS INTEGER)", "Without the part after the point.")
scalar(
    "toint(value: string) -> int",
    lambda value: _integer_of_text(short_text(value), "INTEGER"),
    "The integer that a text says, decimal or 0x.",
)

_REAL = ("todouble",)
scalar("toreal(value: dynamic) -> real", _real_of_dynamic, "The number in a dynamic value.", aliases=_REAL)
scalar("toreal(value: int|long|real|decimal) -> real", "CAST({value} AS DOUBLE)", "A number.", nulls="propagate", aliases=_REAL)
scalar("toreal(value: bool) -> real", "CAST({value} AS DOUBLE)", "1 for true, 0 for false.", nulls="propagate", aliases=_REAL)
scalar("toreal(value: timespan) -> real", "CAST({value} AS DOUBLE)", "The ticks of 100 ns.", nulls="propagate", aliases=_REAL)
scalar(
    "toreal(value: datetime) -> real",
    lambda value: f"CAST({_ticks_of_datetime(value.sql)} AS DOUBLE)",
    "The ticks of 100 ns since year 1.",
    nulls="propagate",
    aliases=_REAL,
)
scalar("toreal(value: string) -> real", lambda value: _real_of_text(short_text(value)), "The number that a text says.", aliases=_REAL)

# a real becomes the decimal that it is written as: 0.1, not the binary fraction next to it
_DECIMAL = "TRY_CAST({0} AS DECIMAL(38, 17))"


def _decimal_of_text(text: str) -> str:
    return f"CASE WHEN NOT contains({text}, '_') THEN {_DECIMAL.format(text)} END"


scalar("todecimal(value: dynamic) -> decimal", lambda value: _decimal_of_text(short_dynamic_text(value)), "The number in a dynamic value.")
scalar("todecimal(value: decimal) -> decimal", "{value}", "A number.", nulls="propagate")
scalar("todecimal(value: int|long|bool|timespan) -> decimal", lambda value: _DECIMAL.format(f"CAST({value} AS BIGINT)"), "A number.")
scalar("todecimal(value: real) -> decimal", lambda value: _DECIMAL.format(f"CAST({value} AS VARCHAR)"), "The number as it is written.")
scalar("todecimal(value: string) -> decimal", lambda value: _decimal_of_text(short_text(value)), "The number that a text says.")

# bool


def _bool_of_text(text: str) -> str:
    word = f"lower(trim({text}, E' \\t\\n\\r\\f\\v'))"
    return f"CASE {word} WHEN 'true' THEN true WHEN 'false' THEN false ELSE {_decimal_digits(text)} <> 0 END"


def _decimal_digits(text: str) -> str:
    return rf"CASE WHEN regexp_full_match({text}, '\s*[+-]?[0-9]+\s*') THEN TRY_CAST({text} AS BIGINT) END"


def _bool_of_dynamic(value: Argument) -> str:
    text = short_dynamic_text(value)
    number = f"CASE WHEN {dynamic_kind(value)} = 'DOUBLE' THEN TRY_CAST({text} AS DOUBLE) <> 0 END"
    return f"coalesce({_bool_of_text(text)}, {number})"


_BOOL = ("toboolean",)
scalar("tobool(value: dynamic) -> bool", _bool_of_dynamic, "The bool in a dynamic value.", aliases=_BOOL)
scalar("tobool(value: bool) -> bool", "{value}", "A bool.", nulls="propagate", aliases=_BOOL)
scalar("tobool(value: int|long|real|decimal) -> bool", "({value} <> 0)", "Whether a number is not 0.", nulls="propagate", aliases=_BOOL)
scalar(
    "tobool(value: string) -> bool", lambda value: _bool_of_text(short_text(value)), "true, false or an integer, as text.", aliases=_BOOL
)

# moments and durations

_TEXT_TO_DATETIME = operator("datetime_of_text(value: string) -> datetime", "", "The datetime that a text says.", python=datetime_of_text)
_TEXT_TO_TIMESPAN = operator("timespan_of_text(value: string) -> timespan", "", "The timespan that a text says.", python=timespan_of_text)


def _plain_datetime(text: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, {_PLAIN_DATETIME}) THEN TRY_CAST({text} AS TIMESTAMP) END"


def _datetime_of_text(text: str) -> str:
    return f"coalesce({_plain_datetime(text)}, {_TEXT_TO_DATETIME.python_name}({text}))"


def _datetime_of_ticks(ticks: str) -> str:
    microseconds = f"{ticks} // {TICKS_PER_MICROSECOND} - {YEAR_1_TO_1970_MICROSECONDS}"
    return f"CASE WHEN {ticks} BETWEEN 0 AND {_LAST_TICK} THEN make_timestamp({microseconds}) END"


def _datetime_of_dynamic(value: Argument) -> str:
    text = short_dynamic_text(value)
    number = _datetime_of_ticks(f"TRY_CAST({text} AS BIGINT)")
    other = f"CASE {dynamic_kind(value)} WHEN 'VARCHAR' THEN {_TEXT_TO_DATETIME.python_name}({text}) WHEN 'UBIGINT' THEN {number} END"
    return f"coalesce({_plain_datetime(text)}, {other})"


def _timespan_of_dynamic(value: Argument) -> str:
    text = short_dynamic_text(value)
    return (
        f"CASE WHEN {dynamic_kind(value)} = 'VARCHAR' THEN {_TEXT_TO_TIMESPAN.python_name}({text})"
        f" ELSE {_integer_of_dynamic(value, _LONG)} END"
    )


_DATETIME = ("todate",)
scalar("todatetime(value: dynamic) -> datetime", _datetime_of_dynamic, "The datetime in a dynamic value.", aliases=_DATETIME)
scalar("todatetime(value: datetime) -> datetime", "{value}", "A datetime.", nulls="propagate", aliases=_DATETIME)
scalar(
    "todatetime(value: string) -> datetime",
    lambda value: _datetime_of_text(short_text(value)),
    "The datetime that a text says, in UTC.",
    aliases=_DATETIME,
)
scalar(
    "todatetime(value: int|long) -> datetime",
    lambda value: _datetime_of_ticks(value.once),
    "The datetime of ticks of 100 ns since year 1.",
    aliases=_DATETIME,
)

_TIMESPAN = ("totime",)
scalar("totimespan(value: dynamic) -> timespan", _timespan_of_dynamic, "The timespan in a dynamic value.", aliases=_TIMESPAN)
scalar("totimespan(value: timespan) -> timespan", "{value}", "A timespan.", nulls="propagate", aliases=_TIMESPAN)
scalar(
    "totimespan(value: string) -> timespan",
    lambda value: f"{_TEXT_TO_TIMESPAN.python_name}({value.raw})",
    "The timespan that a text says: 1.02:03:04.5, 2h.",
    aliases=_TIMESPAN,
)
scalar("totimespan(value: int|long|bool) -> timespan", "CAST({value} AS BIGINT)", "So many ticks.", nulls="propagate", aliases=_TIMESPAN)
scalar("totimespan(value: real) -> timespan", lambda value: _integer_of_real(value.once, _LONG), "So many ticks.", aliases=_TIMESPAN)
scalar("totimespan(value: decimal) -> timespan", "TRY_CAST(trunc({value}) AS BIGINT)", "So many ticks.", aliases=_TIMESPAN)
scalar(
    "totimespan(value: datetime) -> timespan",
    lambda value: _ticks_of_datetime(value.sql),
    "The time since year 1.",
    nulls="propagate",
    aliases=_TIMESPAN,
)

# guid, text, dynamic


def _guid_of_text(text: str) -> str:
    return f"TRY_CAST(regexp_extract({text}, {_GUID_TEXT}, 1) AS UUID)"


def _dynamic_of_text(text: str) -> str:
    return f"coalesce(TRY_CAST({text} AS JSON), to_json(nullif({text}, '')))"


scalar("toguid(value: dynamic) -> guid", lambda value: _guid_of_text(dynamic_text(value)), "The guid in a dynamic value.")
scalar("toguid(value: guid) -> guid", "{value}", "A guid.", nulls="propagate")
scalar("toguid(value: string) -> guid", lambda value: _guid_of_text(value.raw), "The guid at the start of a text.")

scalar("tostring(value: any) -> string", text_or_null, "A value of any type as text; '' for null.")

_DYNAMIC = ("parse_json", "parsejson", "toobject")
scalar("todynamic(value: dynamic) -> dynamic", "{value.raw}", "A dynamic value, as it is.", nulls="propagate", aliases=_DYNAMIC)
scalar(
    "todynamic(value: string) -> dynamic",
    lambda value: _dynamic_of_text(short_text(value)),
    "What JSON says, or else the text.",
    aliases=_DYNAMIC,
)
scalar(
    "todynamic(value: bool|int|long|real|decimal|datetime|timespan|guid) -> dynamic",
    json_of,
    "A value of another type as a dynamic one.",
    nulls="propagate",
    aliases=_DYNAMIC,
)

_KINDS = {
    "ARRAY": "array",
    "OBJECT": "dictionary",
    "BIGINT": "long",
    "UBIGINT": "long",
    "DOUBLE": "double",
    "VARCHAR": "string",
    "BOOLEAN": "bool",
    "NULL": "null",
}


def _type_name(value: Argument) -> str:
    if value.type != "dynamic":
        return quoted_text(value.type)
    if value.is_constant and isinstance(value.value, DynamicValue):  # such as dynamic(datetime(2024-01-31))
        return quoted_text(value.value.type)
    names = " ".join(f"WHEN '{kind}' THEN '{name}'" for kind, name in _KINDS.items())
    return f"CASE {dynamic_kind(value)} {names} ELSE 'null' END"


scalar("gettype(value: any) -> string", _type_name, "The name of a value's type; of a dynamic value, of what it holds.", nulls="never")
