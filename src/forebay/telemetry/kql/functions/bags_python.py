"""What SQL cannot say of bags: functions of decoded JSON, each linear in the size of its arguments.

Paths are those of https://learn.microsoft.com/kusto/query/jsonpath, without elements of arrays: `$.a.b`, `$['a key'].b`.
"""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(r"\.([A-Za-z_]\w*)|\.?\[(?:'([^']*)'|\"([^\"]*)\")\]")
_DEPTH_LIMIT = 100


def bag_of_last(bag: Any) -> Any:
    """The bag: decoding has kept the last value of each key."""
    return bag


def bag_zip(keys: Any, values: Any) -> dict[str, Any] | None:
    """A bag of the keys that are texts, each with the value at the same place."""
    if not isinstance(keys, list):
        return None
    if not isinstance(values, list):
        values = []
    return {key: values[place] if place < len(values) else None for place, key in enumerate(keys) if isinstance(key, str)}


def bag_has_key(bag: Any, key: str | None) -> bool | None:
    """Whether the bag has the key, or something at the path."""
    if not isinstance(bag, dict):
        return None
    *above, last = _steps(key or "")
    inner = _inner(bag, above)
    return isinstance(inner, dict) and last in inner


def bag_merge(first: Any, second: Any, others: list[Any]) -> dict[str, Any] | None:
    """All keys with the value of the first bag that has it; what is no bag has none."""
    bags = [bag for bag in (first, second, *others) if isinstance(bag, dict)]
    found: dict[str, Any] = {}
    for bag in bags:
        for key, value in bag.items():
            found.setdefault(key, value)
    return found if bags else None


def bag_remove_keys(bag: Any, keys: Any) -> dict[str, Any] | None:
    """The bag without the keys, and without what is at the paths."""
    if not isinstance(bag, dict):
        return None
    removed = [_steps(key) for key in (keys if isinstance(keys, list) else [keys]) if isinstance(key, str)]
    paths = [steps for steps in removed if len(steps) > 1]
    own = _copy(bag) if paths else bag
    for *above, last in paths:
        inner = _inner(own, above)
        if isinstance(inner, dict):
            inner.pop(last, None)
    keys_removed = {steps[0] for steps in removed if len(steps) == 1}
    return {key: value for key, value in own.items() if key not in keys_removed}


def _copy(bag: dict[str, Any]) -> dict[str, Any]:
    import msgspec

    copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(bag))
    return copy


def bag_set_key(bag: Any, key: str | None, value: Any) -> dict[str, Any] | None:
    """The bag with the value at the key or the path, along which bags are made where there are none."""
    return _with(bag, _steps(key or ""), value) if isinstance(bag, dict) else None


def _with(bag: Any, steps: list[str], value: Any) -> dict[str, Any]:
    first, *others = steps
    known = bag if isinstance(bag, dict) else {}
    return known | {first: _with(known.get(first), others, value) if others else value}


def _steps(key: str) -> list[str]:
    """The keys of a path, from the outermost; a text that is no path is a key itself."""
    if not key.startswith(("$.", "$[")):
        return [key]
    steps: list[str] = []
    place = 1
    while place < len(key) and len(steps) < _DEPTH_LIMIT:
        found = _STEP.match(key, place)
        if found is None:
            return [key]
        steps.append(next(each for each in found.groups() if each is not None))
        place = found.end()
    return steps


def _inner(bag: Any, steps: list[str]) -> Any:
    for step in steps:
        if not isinstance(bag, dict):
            return None
        bag = bag.get(step)
    return bag


def treepath(value: Any) -> list[str] | None:
    """The paths of all members; the elements of an array have one path together."""
    if not isinstance(value, (dict, list)):
        return None
    found: dict[str, None] = {}
    _walk(value, "", found, 0)
    return list(found)


def _walk(value: Any, path: str, found: dict[str, None], depth: int) -> None:
    if depth > _DEPTH_LIMIT:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            found.setdefault(f"{path}['{key}']")
            _walk(inner, f"{path}['{key}']", found, depth + 1)
    elif isinstance(value, list) and value:
        found.setdefault(f"{path}[0]")
        for inner in value:
            _walk(inner, f"{path}[0]", found, depth + 1)


def dynamic_to_json(value: Any) -> str:
    """The JSON without blanks, the keys of bags in order; '' of null."""
    import msgspec

    return "" if value is None else msgspec.json.encode(value, order="sorted").decode()
