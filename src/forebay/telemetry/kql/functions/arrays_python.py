"""What SQL cannot say of arrays: functions of decoded JSON, each linear in the size of its arguments (sorting: n log n)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

_TIMESPAN = re.compile(r"(-?)(?:(\d{1,8})\.)?(\d\d):(\d\d):(\d\d)(?:\.(\d{7}))?", re.ASCII)


def zip_arrays(first: Any, second: Any, others: list[Any]) -> list[Any] | None:
    """An array of arrays of the elements at the same place; null where an array has ended."""
    arrays = [first, second, *others]
    if not all(isinstance(array, list) for array in arrays):
        return None
    length = max(map(len, arrays))
    return [[array[place] if place < len(array) else None for array in arrays] for place in range(length)]


def array_split(array: Any, indices: Any) -> list[Any] | None:
    """The elements up to each place, and those after the last one."""
    places = indices if isinstance(indices, list) else [indices]
    if not isinstance(array, list) or not all(type(place) is int for place in places):
        return None
    count = len(array)
    edges = [0, *(max(place + count, 0) if place < 0 else place for place in places), count]
    return [array[start:end] for start, end in pairwise(edges)]


def array_sum(array: Any) -> float | None:
    """The sum of numbers; null where an element is none."""
    if not isinstance(array, list) or not all(_is_number(element) for element in array):
        return None
    try:
        return float(sum(array))
    except OverflowError:
        return None


def array_rotate_left(array: Any, count: int | None) -> list[Any] | None:
    """The elements moved to the left; those that fall out come back at the end."""
    if not isinstance(array, list) or count is None:
        return None
    start = count % len(array) if array else 0
    return array[start:] + array[:start]


def array_rotate_right(array: Any, count: int | None) -> list[Any] | None:
    """The elements moved to the right; those that fall out come back at the beginning."""
    return None if count is None else array_rotate_left(array, -count)


def array_shift_left(array: Any, count: int | None, default: Any) -> list[Any] | None:
    """The elements moved to the left; the places that become free have the default, which for texts is ''."""
    if not isinstance(array, list) or count is None:
        return None
    if default is None and array and all(isinstance(element, str) for element in array):
        default = ""
    free = [default] * min(abs(count), len(array))
    return array[count:] + free if count >= 0 else free + array[: len(array) - len(free)]


def array_shift_right(array: Any, count: int | None, default: Any) -> list[Any] | None:
    """The elements moved to the right."""
    return None if count is None else array_shift_left(array, -count, default)


def array_iff(condition: Any, when_true: Any, when_false: Any) -> list[Any] | None:
    """One of two values for each condition, from the same place of arrays; null for what is no condition."""
    if not isinstance(condition, list):
        return None
    return [_at(when_true if each else when_false, place) if _is_condition(each) else None for place, each in enumerate(condition)]


def _is_condition(value: Any) -> bool:
    return isinstance(value, bool) or _is_number(value)


def _at(value: Any, place: int) -> Any:
    if not isinstance(value, list):
        return value
    return value[place] if place < len(value) else None


def array_index_of(array: Any, value: Any, start: int | None, length: int | None, occurrence: int | None) -> int | None:
    """The place of a value, from 0, looked for in `length` elements from `start`; -1 if it is not there so often."""
    if not isinstance(array, list) or start is None or length is None or occurrence is None or length < -1 or occurrence < 0:
        return None
    first = max(start + len(array), 0) if start < 0 else start
    end = len(array) if length == -1 else min(first + length, len(array))
    wanted = _identity(value)
    for place in range(first, end):
        if _identity(array[place]) == wanted:
            occurrence -= 1
            if occurrence <= 0:
                return place
    return -1


def set_union(first: Any, second: Any, others: list[Any]) -> list[Any] | None:
    """The distinct elements of all arrays, in the order in which they are met."""
    if not all(isinstance(each, list) for each in (first, second, *others)):
        return None
    return list(_distinct(element for each in (first, second, *others) for element in each).values())


def set_intersect(first: Any, second: Any, others: list[Any]) -> list[Any] | None:
    """The distinct elements that are in all arrays."""
    if not all(isinstance(each, list) for each in (first, second, *others)):
        return None
    known = [_distinct(each) for each in (second, *others)]
    return [element for identity, element in _distinct(first).items() if all(identity in other for other in known)]


def set_difference(first: Any, second: Any, others: list[Any]) -> list[Any] | None:
    """The distinct elements of the first array that are in no other."""
    if not all(isinstance(each, list) for each in (first, second, *others)):
        return None
    known = [_distinct(each) for each in (second, *others)]
    return [element for identity, element in _distinct(first).items() if not any(identity in other for other in known)]


def set_equals(set1: Any, set2: Any) -> bool | None:
    """Whether both have the same elements, in any order and any number of times."""
    if not isinstance(set1, list) or not isinstance(set2, list):
        return None
    return _distinct(set1).keys() == _distinct(set2).keys()


def jaccard_index(set1: Any, set2: Any) -> float | None:
    """How many elements both have, of those that at least one has."""
    if not isinstance(set1, list) or not isinstance(set2, list):
        return None
    one, other = _distinct(set1).keys(), _distinct(set2).keys()
    return len(one & other) / len(one | other) if one or other else float("nan")


def _distinct(elements: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for element in elements:
        found.setdefault(_identity(element), element)
    return found


def _identity(value: Any) -> Any:
    """What is equal for equal values, and for no others: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(value, bool):
        return (value,)
    if isinstance(value, (list, dict)):
        import msgspec

        return msgspec.json.encode(value, order="sorted")
    return value


def sorted_ascending(array: Any, nulls_last: bool | None) -> list[Any] | None:
    """The elements from the least to the greatest."""
    return _reordered(array, _order(array, nulls_last, is_descending=False))


def sorted_descending(array: Any, nulls_last: bool | None) -> list[Any] | None:
    """The elements from the greatest to the least."""
    return _reordered(array, _order(array, nulls_last, is_descending=True))


def all_sorted_ascending(arrays: Any, nulls_last: bool | None) -> list[Any] | None:
    """The first array in order, and the others as it was reordered; null for one of another length."""
    order = _order(arrays[0], nulls_last, is_descending=False)
    return [_reordered(array, order) for array in arrays]


def all_sorted_descending(arrays: Any, nulls_last: bool | None) -> list[Any] | None:
    """The same from the greatest to the least."""
    order = _order(arrays[0], nulls_last, is_descending=True)
    return [_reordered(array, order) for array in arrays]


def _reordered(array: Any, order: list[int] | None) -> list[Any] | None:
    if not isinstance(array, list) or order is None or len(array) != len(order):
        return None
    return [array[place] for place in order]


def _order(array: Any, nulls_last: bool | None, *, is_descending: bool) -> list[int] | None:
    """The places of the elements in order: numbers, then texts, then truth values and all else."""
    if not isinstance(array, list):
        return None
    numbers = [place for place, each in enumerate(array) if _is_number(each)]
    texts = [place for place, each in enumerate(array) if isinstance(each, str)]
    nulls = [place for place, each in enumerate(array) if each is None]
    known = {*numbers, *texts, *nulls}
    others = [place for place in range(len(array)) if place not in known]
    numbers.sort(key=array.__getitem__, reverse=is_descending)
    spans = [_ticks(array[place]) for place in texts]
    keys: dict[int, Any] = dict(zip(texts, spans, strict=True)) if None not in spans else {place: array[place] for place in texts}
    texts.sort(key=keys.__getitem__, reverse=is_descending)
    others.sort(key=lambda place: array[place] if isinstance(array[place], bool) else 2, reverse=is_descending)
    values = [*numbers, *texts, *others]
    return [*nulls, *values] if nulls_last is False else [*values, *nulls]


def _ticks(text: str) -> int | None:
    """The length of what Kusto writes as a timespan, whose texts do not sort as their lengths do."""
    found = _TIMESPAN.fullmatch(text)
    if found is None:
        return None
    sign, days, hours, minutes, seconds, fraction = found.groups()
    length = (((int(days or 0) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds)) * 10_000_000 + int(fraction or 0)
    return -length if sign else length


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
