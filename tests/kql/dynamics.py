"""What functions of arrays and bags answer."""

from __future__ import annotations

from typing import Any

from tests.kql.conversions import in_json, kind_of, text_of_dynamic, to_string
from tests.kql.declarations import Kinds, Values, scalar, typed
from tests.kql.values import AnyOrder, Undefined, are_same, is_nan

# dynamic values: https://learn.microsoft.com/kusto/query/scalar-data-types/dynamic


@typed("member")
def _member(kinds: Kinds, values: Values) -> Any:
    return values[0].get(values[1]) if isinstance(values[0], dict) else None


@typed("element")
def _element(kinds: Kinds, values: Values) -> Any:
    container, key = values
    if isinstance(container, AnyOrder) and len(container) > 1:
        raise Undefined("an element of an array in no order")
    if isinstance(container, dict) and isinstance(key, str):
        return container.get(key)
    if isinstance(container, list) and isinstance(key, int) and not isinstance(key, bool):
        return container[key] if -len(container) <= key < len(container) else None
    return None


@typed("array_length")
def _array_length(kinds: Kinds, values: Values) -> int | None:
    return len(values[0]) if isinstance(values[0], list) else None


@typed("array_reverse")
def _array_reverse(kinds: Kinds, values: Values) -> Any:
    value = values[0]
    return value if isinstance(value, AnyOrder) else value[::-1] if isinstance(value, list) else None


@typed("array_concat")
def _array_concat(kinds: Kinds, values: Values) -> Any:
    if not all(isinstance(each, list) for each in values):
        raise Undefined("to join what is no array")
    made = [element for each in values for element in each]
    return AnyOrder(made) if any(isinstance(each, AnyOrder) for each in values) else made


@typed("array_slice")
def _array_slice(kinds: Kinds, values: Values) -> Any:
    array, start, end = values
    if not isinstance(array, list) or start is None or end is None:
        return None
    if isinstance(array, AnyOrder) and len(array) > 1:
        raise Undefined("a part of an array in no order")
    first = max(start + len(array), 0) if start < 0 else start
    last = end + len(array) if end < 0 else end
    return array[first : last + 1] if last >= 0 else []


def _sorted(kinds: Kinds, values: Values, *, is_descending: bool) -> Any:
    array = values[0]
    if not isinstance(array, list):
        return None
    if len(values) > 1 and values[1] is not True:
        raise Undefined("nulls first")
    known = [each for each in array if each is not None]
    if len({kind_of(each) for each in known}) > 1 or any(isinstance(each, (list, dict)) or is_nan(each) for each in known):
        raise Undefined("the order of values of several types")
    return sorted(known, reverse=is_descending) + [None] * (len(array) - len(known))


typed("array_sort_asc")(lambda kinds, values: _sorted(kinds, values, is_descending=False))
typed("array_sort_desc")(lambda kinds, values: _sorted(kinds, values, is_descending=True))


@typed("pack_array")
def _pack_array(kinds: Kinds, values: Values) -> list[Any]:
    return [in_json(kind, value) for kind, value in zip(kinds, values, strict=True)]


@typed("bag_pack")
def _bag_pack(kinds: Kinds, values: Values) -> dict[str, Any]:
    pairs = zip(values[::2], kinds[1::2], values[1::2], strict=True)
    return {key: in_json(kind, value) for key, kind, value in pairs}


@typed("bag_keys")
def _bag_keys(kinds: Kinds, values: Values) -> Any:
    return AnyOrder(values[0]) if isinstance(values[0], dict) else None


@typed("bag_has_key")
def _bag_has_key(kinds: Kinds, values: Values) -> bool | None:
    bag, key = values
    if not isinstance(bag, dict):
        return None
    if key.startswith("$"):
        raise Undefined("a path")
    return key in bag


@typed("array_index_of")
def _array_index_of(kinds: Kinds, values: Values) -> int | None:
    array, value = values[:2]
    if not isinstance(array, list):
        return None
    if value is None or value == "" or isinstance(value, (list, dict, float)) or (isinstance(array, AnyOrder) and len(array) > 1):
        raise Undefined("to look for nothing")
    wanted = in_json(kinds[1], value)
    if any(type(each) is not type(wanted) for each in array):
        raise Undefined("to look among other types")
    return next((place for place, each in enumerate(array) if are_same(each, wanted)), -1)


@typed("strcat_array")
def _strcat_array(kinds: Kinds, values: Values) -> str:
    array, delimiter = values
    if not isinstance(array, list) or (isinstance(array, AnyOrder) and len(array) > 1):
        raise Undefined("the text of no array")
    return to_string(kinds[1], delimiter).join(map(text_of_dynamic, array))


def _set_of(*arrays: Any) -> list[list[Any]]:
    if not all(isinstance(each, list) for each in arrays):
        raise Undefined("a set of what is no array")
    if any(isinstance(each, (list, dict, float, bool)) for array in arrays for each in array):
        raise Undefined("when dynamic values are the same")
    return [list(dict.fromkeys(array)) for array in arrays]


@typed("set_union")
def _set_union(kinds: Kinds, values: Values) -> list[Any]:
    return AnyOrder(dict.fromkeys(each for array in _set_of(*values) for each in array))


@typed("set_intersect")
def _set_intersect(kinds: Kinds, values: Values) -> list[Any]:
    first, second = _set_of(*values)
    return AnyOrder(each for each in first if each in second)


@typed("set_difference")
def _set_difference(kinds: Kinds, values: Values) -> list[Any]:
    first, second = _set_of(*values)
    return AnyOrder(each for each in first if each not in second)


@typed("set_has_element")
def _set_has_element(kinds: Kinds, values: Values) -> bool | None:
    found = _array_index_of(kinds, values)
    if found is None:
        raise Undefined("an element of no array")
    return found >= 0


@typed("bag_merge")
def _bag_merge(kinds: Kinds, values: Values) -> dict[str, Any]:
    """The first one's value counts."""
    if not all(isinstance(each, dict) for each in values):
        raise Undefined("to merge what is no bag")
    return {key: each for bag in reversed(values) for key, each in bag.items()}


@typed("bag_remove_keys")
def _bag_remove_keys(kinds: Kinds, values: Values) -> Any:
    bag, keys = values
    return {key: each for key, each in bag.items() if key not in keys} if isinstance(bag, dict) else None


@typed("array_iff")
def _array_iff(kinds: Kinds, values: Values) -> Any:
    conditions, first, second = values
    if any(isinstance(each, AnyOrder) and len(each) > 1 for each in values):
        raise Undefined("an element of an array in no order")
    if not all(isinstance(each, list) for each in values) or not all(isinstance(each, bool) for each in conditions):
        raise Undefined("to choose between what is no array")
    chosen = [first if each else second for each in conditions]
    return [array[place] if place < len(array) else None for place, array in enumerate(chosen)]


@scalar("range")
def _range(first: int, last: int, step: int) -> list[int]:
    return list(range(first, last + 1, step))


@typed("repeat")
def _repeat(kinds: Kinds, values: Values) -> list[Any]:
    return [in_json(kinds[0], values[0])] * values[1]
