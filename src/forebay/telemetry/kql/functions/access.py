"""Members of bags and elements of arrays: `d.name`, `d['a name']`, `d[0]`, `d[-1]`, `d[expression]`.

A chain of constant keys becomes one JSON path: `d.a[0].b` is `(d -> '$.a[0].b')`.
"""

from __future__ import annotations

import re

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import scalar

_CHAIN = re.compile(r"\((.*) -> ('\$(?:[^']|'')*')\)", re.DOTALL)
_PLAIN_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_QUOTED_KEY = re.compile(r'(?!\*$)[^"\\\x00]+')  # "*" is a wildcard of DuckDB, even in quotes
_INDEX_LIMIT = 2**31


def split_path(sql: str) -> tuple[str, str] | None:
    """The value and the path (quoted) of what `member` and `element` have rendered; None for any other SQL.

    A conversion makes `(value ->> path)` of it, which needs no JSON in between.
    """
    found = _CHAIN.fullmatch(sql)
    return (found[1], found[2]) if found else None


def step_of(key: str) -> str | None:
    """A key as a step of a path: `.name`, `."a name"`; None for one that paths cannot say."""
    if _PLAIN_KEY.fullmatch(key):
        return f".{key}"
    return f'."{key}"' if _QUOTED_KEY.fullmatch(key) else None


def _extended(object: Argument, step: str) -> str:
    chain = split_path(object.raw)
    value, path = chain or (object.raw, "'$'")
    return f"({value} -> {path[:-1]}{step.replace(chr(39), chr(39) * 2)}')"


def _member(object: Argument, key: Argument) -> str:
    step = step_of(key.value)
    return _computed_member(object, key) if step is None else _extended(object, step)


def _computed_member(object: Argument, key: Argument) -> str:
    # a JSON pointer, for there any character may be written, and nothing is a wildcard; in arrays a pointer counts elements
    bag = object.once
    return f"CASE WHEN json_type({bag}) = 'OBJECT' THEN {bag} -> ('/' || replace(replace({key}, '~', '~0'), '/', '~1')) END"


def _element(object: Argument, index: Argument) -> str:
    if not index.is_constant:
        return f"({object.raw} -> CAST({index} AS BIGINT))"
    place = index.value
    if place is None or abs(place) >= _INDEX_LIMIT:
        return "NULL::JSON"
    return _extended(object, f"[{place}]" if place >= 0 else f"[#{place}]")


def _dynamic_element(object: Argument, index: Argument) -> str:
    value, place = object.once, index.once
    member = f"{value} -> ('/' || replace(replace({place} ->> '$', '~', '~0'), '/', '~1'))"
    return (
        f"CASE WHEN json_type({place}) IN ('BIGINT', 'UBIGINT') THEN {value} -> TRY_CAST({place} AS BIGINT)"
        f" WHEN json_type({place}) = 'VARCHAR' AND json_type({value}) = 'OBJECT' THEN {member} END"
    )


scalar("member(object: dynamic, const key: string) -> dynamic", _member, "The value of a key of a bag.")
scalar("element(object: dynamic, index: int|long) -> dynamic", _element, "An element of an array, from 0, or from the end where negative.")
scalar("element(object: dynamic, key: string) -> dynamic", _computed_member, "The value of a key of a bag.")
scalar("element(object: dynamic, index: dynamic) -> dynamic", _dynamic_element, "An element of an array, or the value of a key of a bag.")

# an element as `to typeof()` of mv-expand makes it: one of another kind is null, it is not read as one. JSON itself is the text of a number

_TEXT = "{value.once}::VARCHAR"
_HAS_FRACTION = f"contains({_TEXT}, '.') OR contains({_TEXT}, 'e')"


def _whole(kind: str) -> str:
    return f"CASE WHEN {_HAS_FRACTION} THEN TRY_CAST(trunc(TRY_CAST({_TEXT} AS DOUBLE)) AS {kind}) ELSE TRY_CAST({_TEXT} AS {kind}) END"


_NOT_FINITE = """CASE WHEN {value.once} IN ('"NaN"', '"Infinity"', '"-Infinity"') THEN TRY_CAST({value.once} ->> '$' AS DOUBLE) END"""
_AS = {
    "bool": f"CASE {_TEXT} WHEN 'true' THEN true WHEN 'false' THEN false END",
    "int": _whole("INTEGER"),
    "long": _whole("BIGINT"),
    "real": f"coalesce(TRY_CAST({_TEXT} AS DOUBLE), {_NOT_FINITE})",
    "decimal": f"TRY_CAST({_TEXT} AS DECIMAL(38, 17))",
}
for _kind, _sql in _AS.items():
    scalar(f"_element_as_{_kind}(value: dynamic) -> {_kind}", _sql, "An element of an array of this type; null if it is of another.")
_IF_TEXT = f"CASE WHEN starts_with({_TEXT}, '\"') THEN {{value}} END"
scalar("_element_of_text(value: dynamic) -> dynamic", _IF_TEXT, "An element of an array that is a text; null if it is something else.")
