"""Bags (JSON objects): what makes them, and what changes them. What is not a bag answers null.

Keys keep the order in which they come. Source: https://learn.microsoft.com/kusto/query/scalar-functions#dynamicarray-functions
"""

from __future__ import annotations

import msgspec

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions import bags_python as python
from forebay.telemetry.kql.functions.access import step_of
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.json_values import in_json, json_of
from forebay.telemetry.kql.functions.registry import scalar
from forebay.telemetry.kql.functions.text_values import text_or_null
from forebay.telemetry.kql.types import KqlType


def _pair_types(*types: KqlType | None) -> KqlType:
    """The type of a bag of these keys and values. Raises `KqlError` for a key without a value, or one that is no string."""
    if len(types) % 2 or any(key not in ("string", "dynamic") for key in types[::2]):
        came = ", ".join(map(str, types))
        raise KqlError(Diagnostic("type", f"bag_pack() takes pairs of a key (string) and a value, got ({came})", 0, 0))
    return "dynamic"


def _pairs(arguments: tuple[Argument, ...]) -> list[tuple[Argument, Argument]]:
    return list(zip(arguments[::2], arguments[1::2], strict=True))


def _key(key: Argument) -> str:
    return f"coalesce({key.raw} ->> '$', '')" if key.type == "dynamic" else key.sql


def _bag_pack(*arguments: Argument) -> str:
    pairs = _pairs(arguments)
    packed = f"json_object({', '.join(f'{_key(key)}, {in_json(value)}' for key, value in pairs)})"
    constants = [key.value for key, _ in pairs if key.is_constant and key.type == "string"]
    are_distinct = len(pairs) <= 1 or (len(constants) == len(pairs) and len(set(constants)) == len(pairs))
    return packed if are_distinct else f"{_once.python_name}({packed})::JSON"


def _bag_pack_without_empty(*arguments: Argument) -> str:
    """The same without null values and empty texts; the keys are constants."""
    members = [f"CASE WHEN {_is_present(each)} THEN {_literal(name)} || {json_of(each)} END" for name, each in _pairs(arguments)]
    return f"CAST('{{' || concat_ws(',', {', '.join(members)}) || '}}' AS JSON)"


def _is_present(value: Argument) -> str:
    if value.type == "string":
        return f"{value.raw} <> ''"
    if value.type == "dynamic":
        return f"({value.raw} ->> '$') <> ''"
    return f"{value.raw} IS NOT NULL"


def _literal(key: Argument) -> str:
    """`"key":` as SQL text."""
    return "'" + msgspec.json.encode(key.value).decode().replace("'", "''") + ":'"


def _bag_keys(bag: Argument) -> str:
    return f"CASE WHEN json_type({bag.once}) = 'OBJECT' THEN to_json(json_keys({bag.once})) END"


def _bag_has_key(bag: Argument, key: Argument) -> str:
    step = step_of(key.value) if key.is_constant and not key.value.startswith("$") else None
    if step is None:
        return f"{_has_key.python_name}({bag}, {key})"
    path = step.replace("'", "''")
    return f"CASE WHEN json_type({bag.once}) = 'OBJECT' THEN json_exists({bag.once}, '${path}') END"


_once = scalar("_bag_of_last(bag: dynamic) -> dynamic", None, "A bag with each key once, and its last value.", python=python.bag_of_last)
scalar(
    "bag_pack(key: string|dynamic, value: any, more: any...)",
    _bag_pack,
    "A bag of keys and values in turn.",
    returns=_pair_types,
    aliases=("pack", "pack_dictionary"),
    nulls="never",
)
scalar(
    "bag_pack_without_empty(key: string|dynamic, value: any, more: any...)",
    _bag_pack_without_empty,
    "What `pack_all(true)` makes.",
    returns=_pair_types,
    nulls="never",
)
scalar("bag_zip(keys: dynamic, values: dynamic) -> dynamic", None, "A bag of an array of keys and one of values.", python=python.bag_zip)
scalar("bag_keys(bag: dynamic) -> dynamic", _bag_keys, "The keys of a bag, as an array.")
_has_key = scalar("_bag_has_key(bag: dynamic, key: string) -> bool", None, "What `bag_has_key` answers.", python=python.bag_has_key)
scalar("bag_has_key(bag: dynamic, key: string) -> bool", _bag_has_key, "Whether a bag has a key, or a path `$.a.b`.")
scalar(
    "bag_merge(first: dynamic, second: dynamic, others: dynamic...) -> dynamic",
    None,
    "A bag of the keys of all; the first one's value counts.",
    python=python.bag_merge,
)
scalar("bag_remove_keys(bag: dynamic, keys: dynamic) -> dynamic", None, "A bag without some keys or paths.", python=python.bag_remove_keys)

_set_key = scalar(
    "bag_set_key(bag: dynamic, key: string, value: dynamic) -> dynamic",
    None,
    "A bag with a value at a key, or a path `$.a.b`.",
    python=python.bag_set_key,
)
scalar(
    "bag_set_key(bag: dynamic, key: string, value: any) -> dynamic",
    lambda bag, key, value: f"{_set_key.python_name}({bag}, {key}, {json_of(value)})::JSON",
    "A bag with a value at a key, or a path `$.a.b`.",
)
scalar("treepath(object: dynamic) -> dynamic", None, "The paths of all values within.", python=python.treepath)
scalar("dynamic_to_json(value: dynamic) -> string", None, "The JSON, with the keys of bags in order.", python=python.dynamic_to_json)
scalar("dynamic_to_json(value: string) -> string", "{value}", "A text as it is.", nulls="never")
scalar(
    "dynamic_to_json(value: bool|int|long|real|decimal|datetime|timespan|guid) -> string",
    text_or_null,
    "A value as tostring() writes it.",
)

scalar("to_dynamic(value: any) -> dynamic", json_of, "A value of any type as a dynamic one.", nulls="propagate")
