"""How values of each type are written as text, which `tostring`, `strcat` and all functions of texts go by.

A bool is `True` or `False`, a real that is not finite `NaN`, `Infinity` or `-Infinity`, a datetime `2024-01-01T00:00:00.0000000Z`, a
timespan `1.02:03:04.5000000`, a dynamic text itself, other dynamic values compact JSON; null is ''.
Source: https://learn.microsoft.com/kusto/query/tostring-function
"""

from __future__ import annotations

import re

from forebay.telemetry.kql.functions.access import split_path
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.json_values import jsonable

_SPLIT = "to_json(string_split("
_PLACE = re.compile(r"'\$\[(#-)?(\d+)\]'")
_SHORT = 40  # characters of SQL that may stand in another one several times


def text_or_null(argument: Argument) -> str:
    """The SQL of a value of any type as text; NULL stands for ''."""
    match argument.type:
        case "string":
            return argument.raw
        case "bool":
            return f"CASE {argument} WHEN true THEN 'True' WHEN false THEN 'False' END"
        case "real":
            value = argument.once
            return (
                f"CASE WHEN isfinite({value}) THEN CAST({value} AS VARCHAR) WHEN isnan({value}) THEN 'NaN'"
                f" WHEN {value} > 0 THEN 'Infinity' WHEN {value} < 0 THEN '-Infinity' END"
            )
        case "dynamic":
            return dynamic_text(argument)
        case "int" | "long":
            return f"CAST({argument} AS VARCHAR)"
        case _:
            return jsonable(argument.once, argument.type)


def text_of(argument: Argument) -> str:
    """The same, never NULL."""
    if argument.type == "string":
        return argument.sql
    return f"coalesce({text_or_null(argument)}, '')"


def short_text(argument: Argument) -> str:
    """A string, short enough to stand in the SQL several times, where NULL does as '' does."""
    return argument.raw if len(argument.raw) <= _SHORT else argument.once


def dynamic_text(argument: Argument) -> str:
    """The text that a dynamic value holds, or else its JSON; NULL for null."""
    value, path = split_path(argument.raw) or (argument.raw, "'$'")
    return _part_of_split(value, path) or f"({value} ->> {path})"


def _part_of_split(value: str, path: str) -> str | None:
    """`split(text, '/')[2]` as text, without JSON in between."""
    place = _PLACE.fullmatch(path)
    if place is None or not value.startswith(_SPLIT) or not _is_one_call(value):
        return None
    index = int(place[2])
    return f"{value[len('to_json(') : -1]}[{-index if place[1] else index + 1}]"


def _is_one_call(sql: str) -> bool:
    """Whether the bracket that closes the first one is the last character."""
    depth, is_quoted = 0, False
    for at, character in enumerate(sql):
        if character == "'":
            is_quoted = not is_quoted
        elif not is_quoted and character in "()":
            depth += 1 if character == "(" else -1
            if depth == 0:
                return at == len(sql) - 1
    return False


def short_dynamic_text(argument: Argument) -> str:
    """The same, short enough to stand in the SQL several times."""
    value, path = split_path(argument.raw) or (argument.raw, "'$'")
    return f"({value} ->> {path})" if len(value) <= _SHORT else f"({argument.once} ->> '$')"


def dynamic_kind(argument: Argument) -> str:
    """The SQL of the name that DuckDB has for what a dynamic value holds: ARRAY, OBJECT, VARCHAR, UBIGINT, ...; NULL for NULL."""
    value, path = split_path(argument.raw) or (argument.raw, "'$'")
    return f"json_type({value}, {path})"
