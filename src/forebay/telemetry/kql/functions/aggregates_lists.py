"""Aggregates that make arrays and bags of the values of a group.

In the SQL, `{order}` is the order of the rows, ` ORDER BY ...`, or nothing where they have none.
"""

from __future__ import annotations

from forebay.telemetry.kql.functions import aggregates_python
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.json_values import MAXIMUM_ELEMENTS, jsonable
from forebay.telemetry.kql.functions.registry import aggregate, scalar

_LEGACY_MAXIMUM = 128  # of the functions whose names are written in one word

_merged_bags = scalar(
    "_merged_bags(bags: dynamic, maximum: long) -> dynamic", None, "Internal: one bag of many.", python=aggregates_python.merged_bags
)
_schema_of = scalar(
    "_schema_of(values: dynamic) -> dynamic", None, "Internal: what buildschema answers.", python=aggregates_python.schema_of
)


def _maximum(maximum: Argument | None, default: int) -> int:
    if maximum is None or not isinstance(maximum.value, int):
        return default
    return min(max(maximum.value, 0), MAXIMUM_ELEMENTS)


def _filter(value: Argument, predicate: Argument | None) -> str:
    """The rows that count: where the value is not null (a string never is), and the predicate is true."""
    conditions = []
    if value.type == "dynamic":
        conditions.append(f"{value} <> 'null'")
    elif value.type != "string" and value.is_nullable:
        conditions.append(f"{value} IS NOT NULL")
    if predicate is not None:
        conditions.append(predicate.condition)
    return f" FILTER (WHERE {' AND '.join(conditions)})" if conditions else ""


def _list(value: Argument, maximum: int, predicate: Argument | None = None) -> str:
    if value.type == "dynamic":
        gathered = f"flatten(list({_elements(value)}{{order}}){_filter(value, predicate)})"
        return f"to_json(coalesce({gathered}, [])[:{maximum}])"
    values = f"coalesce(list({value}{{order}}){_filter(value, predicate)}, [])[:{maximum}]"
    return _as_json(values, value)


def _elements(value: Argument) -> str:
    """Of a dynamic value: an array counts by its elements, as the emulator has it."""
    return f"CASE WHEN json_type({value}) = 'ARRAY' THEN CAST({value} AS JSON[]) ELSE [{value}] END"


def _as_json(values: str, value: Argument) -> str:
    """A DuckDB list as a dynamic array."""
    element = jsonable("each", value.type)
    return (
        f"to_json({values})" if element in ("each", "coalesce(each, '')") else f"to_json(list_transform({values}, lambda each: {element}))"
    )


def _set(value: Argument, maximum: int, predicate: Argument | None = None) -> str:
    """In the order of the values, for Kusto promises none. Arrays count by their elements."""
    if value.type == "dynamic":
        gathered = f"flatten(list({_elements(value)}){_filter(value, predicate)})"
        return f"to_json(coalesce(list_filter(list_sort(list_distinct({gathered})), lambda each: each <> 'null'), [])[:{maximum}])"
    values = f"coalesce(list_sort(list(DISTINCT {value}){_filter(value, predicate)}), [])[:{maximum}]"
    return _as_json(values, value)


def _make_list(value: Argument, maximum: Argument | None) -> str:
    return _list(value, _maximum(maximum, MAXIMUM_ELEMENTS))


def _makelist(value: Argument, maximum: Argument | None) -> str:
    return _list(value, _maximum(maximum, _LEGACY_MAXIMUM))


def _make_list_if(value: Argument, predicate: Argument, maximum: Argument | None) -> str:
    return _list(value, _maximum(maximum, MAXIMUM_ELEMENTS), predicate)


def _make_list_with_nulls(value: Argument) -> str:
    return _as_json(f"coalesce(list({value}{{order}}), [])[:{MAXIMUM_ELEMENTS}]", value)


def _make_set(value: Argument, maximum: Argument | None) -> str:
    return _set(value, _maximum(maximum, MAXIMUM_ELEMENTS))


def _makeset(value: Argument, maximum: Argument | None) -> str:
    return _set(value, _maximum(maximum, _LEGACY_MAXIMUM))


def _make_set_if(value: Argument, predicate: Argument, maximum: Argument | None) -> str:
    return _set(value, _maximum(maximum, MAXIMUM_ELEMENTS), predicate)


def _bag(value: Argument, maximum: int, predicate: Argument | None = None) -> str:
    condition = f"json_type({value}) = 'OBJECT'" + (f" AND {predicate}" if predicate is not None else "")
    bags = f"to_json(coalesce(list({value}{{order}}) FILTER (WHERE {condition}), []))"
    return f"{_merged_bags.python_name}({bags}, {maximum})::JSON"


def _make_bag(value: Argument, maximum: Argument | None) -> str:
    return _bag(value, _maximum(maximum, MAXIMUM_ELEMENTS))


def _make_dictionary(value: Argument, maximum: Argument | None) -> str:
    return _bag(value, _maximum(maximum, _LEGACY_MAXIMUM))


def _make_bag_if(value: Argument, predicate: Argument, maximum: Argument | None) -> str:
    return _bag(value, _maximum(maximum, MAXIMUM_ELEMENTS), predicate)


aggregate("make_list(value: any, const maximum: integer?) -> dynamic", _make_list, "The values as an array.", nulls="never")
aggregate("makelist(value: any, const maximum: integer?) -> dynamic", _makelist, "The values as an array, at most 128.", nulls="never")
aggregate(
    "make_list_if(value: any, predicate: bool, const maximum: integer?) -> dynamic",
    _make_list_if,
    "As make_list, where it is true.",
    nulls="never",
)
aggregate("make_list_with_nulls(value: any) -> dynamic", _make_list_with_nulls, "The values as an array, nulls too.", nulls="never")
aggregate("make_set(value: any, const maximum: integer?) -> dynamic", _make_set, "The distinct values as an array.", nulls="never")
aggregate(
    "makeset(value: any, const maximum: integer?) -> dynamic", _makeset, "The distinct values as an array, at most 128.", nulls="never"
)
aggregate(
    "make_set_if(value: any, predicate: bool, const maximum: integer?) -> dynamic",
    _make_set_if,
    "As make_set, where it is true.",
    nulls="never",
)
aggregate("make_bag(value: dynamic, const maximum: integer?) -> dynamic", _make_bag, "All the keys of bags in one bag.", nulls="never")
aggregate(
    "make_dictionary(value: dynamic, const maximum: integer?) -> dynamic", _make_dictionary, "As make_bag, at most 128 keys.", nulls="never"
)
aggregate(
    "make_bag_if(value: dynamic, predicate: bool, const maximum: integer?) -> dynamic",
    _make_bag_if,
    "As make_bag, where it is true.",
    nulls="never",
)
aggregate(
    "buildschema(value: dynamic) -> dynamic",
    f"CASE WHEN count({{value}}) > 0 THEN {_schema_of.python_name}(to_json(list({{value}}{{order}})))::JSON END",
    "The types of all the values.",
)
