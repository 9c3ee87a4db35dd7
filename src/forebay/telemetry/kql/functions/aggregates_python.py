"""What SQL cannot say of aggregates: bags, schemas, and the states of `hll` and `tdigest`. The whole group comes as one array."""

from __future__ import annotations

from typing import Any

_DEPTH = 64  # of the objects whose schema is told


def merged_bags(bags: Any, maximum: int | None) -> dict[str, Any]:
    """All keys of the bags, each with its first value."""
    merged: dict[str, Any] = {}
    for bag in bags or ():
        for key, value in bag.items():
            if key not in merged:
                if maximum is not None and len(merged) >= maximum:
                    return merged
                merged[key] = value
    return merged


def schema_of(values: Any) -> Any:
    """The least schema that admits all values, as `buildschema` writes it.

    That is a type's name, `{key: schema}` of objects, `{"`indexer`": schema}` of arrays, or an array of several of these.
    """
    return _written(_merged(values or [], 0))


def _merged(values: list[Any], depth: int) -> dict[str, Any]:
    """By the name of a primitive type None; under "" the types of the members of objects, of the elements of arrays under "`indexer`"."""
    types: dict[str, Any] = {}
    members: dict[str, list[Any]] = {}
    for value in values:
        if isinstance(value, dict):
            for key, each in value.items():
                members.setdefault(key, []).append(each)
            types.setdefault("", {})
        elif isinstance(value, list):
            members.setdefault("`indexer`", []).extend(value)
            types.setdefault("", {})
        elif value is not None:
            types[_primitive(value)] = None
    if "" in types and depth < _DEPTH:
        types[""] = {key: _merged(each, depth + 1) for key, each in members.items()}
    return types


def _primitive(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "long" if isinstance(value, int) else "double"


def _written(types: dict[str, Any]) -> Any:
    written = [name if members is None else {key: _written(each) for key, each in members.items()} for name, members in types.items()]
    if not written:
        return "null"
    return written[0] if len(written) == 1 else written
