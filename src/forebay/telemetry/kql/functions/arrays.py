"""Arrays and sets: what makes them, and what takes them apart. What is not an array answers null.

Source: https://learn.microsoft.com/kusto/query/scalar-functions#dynamicarray-functions
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forebay.telemetry.kql.functions import arrays_python as python
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.json_values import MAXIMUM_ELEMENTS, in_json, json_of, jsonable
from forebay.telemetry.kql.functions.registry import scalar
from forebay.telemetry.kql.types import TICKS_PER_MICROSECOND

_EACH = '"$each"'  # an element in a lambda: no column is called so
_ELEMENTS = "from_json({array}, '[\"JSON\"]')"  # NULL of what is not an array


def elements_of(array: Argument) -> str:
    """The SQL of the elements as a list of JSON; NULL of what is not an array."""
    return _ELEMENTS.format(array=array.raw)


# making


def _pack_array(*values: Argument) -> str:
    return f"json_array({', '.join(in_json(value) for value in values)})"


def _repeat(value: Argument, count: Argument) -> str:
    times = f"least({count}, {MAXIMUM_ELEMENTS})"
    element = in_json(value)
    return f"CASE WHEN {count} >= 0 THEN to_json(list_resize([{element}], {times}, {element})) END"


def _series(first: str, last: str, step: str, constant_step: object) -> str:
    """A list of integers, cut after the most that an array may have. What is added may be beyond 64 bits; what is kept is not."""
    end = f"CAST({first} AS HUGEINT) + CAST({step} AS HUGEINT) * {MAXIMUM_ELEMENTS - 1}"
    # not least() and greatest(), which pass over NULL
    up, down = (f"CASE WHEN {last} {sign} {end} THEN {end} ELSE {last} END" for sign in "><")
    if isinstance(constant_step, int) and constant_step != 0:
        bound = up if constant_step > 0 else down
    else:
        bound = f"CASE WHEN {step} > 0 THEN {up} ELSE {down} END"
    return f"generate_series(CAST({first} AS BIGINT), CAST({bound} AS BIGINT), CAST({step} AS BIGINT))"


def _range_of_long(start: Argument, stop: Argument, step: Argument) -> str:
    return f"CASE WHEN {step.once} <> 0 THEN to_json({_series(start.once, stop.once, step.once, step.value)}) END"


def _range_of_real(start: Argument, stop: Argument, step: Argument) -> str:
    count = f"({stop} - {start.once}) / {step.once}"
    places = f"generate_series(0, CAST(greatest(least(floor({count}), {MAXIMUM_ELEMENTS - 1}), -1) AS BIGINT))"
    values = f"list_transform({places}, lambda {_EACH}: {start.once} + {_EACH} * {step.once})"
    return f"CASE WHEN {step.once} <> 0 AND isfinite({count}) THEN to_json({values}) END"


def _range_of_datetime(start: Argument, stop: Argument, step: Argument) -> str:
    micros = f"({step} // {TICKS_PER_MICROSECOND})"
    constant_step = step.value // TICKS_PER_MICROSECOND if isinstance(step.value, int) else None
    moments = _series(f"epoch_us({start.once})", f"epoch_us({stop.once})", micros, constant_step)
    texts = f"list_transform({moments}, lambda {_EACH}: {jsonable(f'make_timestamp({_EACH})', 'datetime')})"
    return f"CASE WHEN {micros} <> 0 THEN to_json({texts}) END"


def _range_of_timespan(start: Argument, stop: Argument, step: Argument) -> str:
    spans = _series(start.once, stop.once, step.once, step.value)
    texts = f"list_transform({spans}, lambda {_EACH}: {jsonable(_EACH, 'timespan')})"
    return f"CASE WHEN {step.once} <> 0 THEN to_json({texts}) END"


scalar("pack_array(first: any, others: any...) -> dynamic", _pack_array, "An array of the values.", nulls="never")
scalar("repeat(value: any, count: long) -> dynamic", _repeat, "An array of a value, so many times.")
scalar("range(start: long, stop: long, step: long = 1) -> dynamic", _range_of_long, "An array of numbers from start to stop.")
scalar("range(start: real, stop: real, step: real = 1.0) -> dynamic", _range_of_real, "An array of numbers from start to stop.")
scalar("range(start: datetime, stop: datetime, step: timespan = 1h) -> dynamic", _range_of_datetime, "An array of moments.")
scalar("range(start: timespan, stop: timespan, step: timespan = 1h) -> dynamic", _range_of_timespan, "An array of timespans.")
scalar(
    "zip(first: dynamic, second: dynamic, others: dynamic...) -> dynamic",
    None,
    "An array of arrays of the elements at the same place.",
    python=python.zip_arrays,
)


# parts


def _array_concat(*arrays: Argument) -> str:
    return f"to_json({' || '.join(elements_of(array) for array in arrays)})"


def _array_length(array: Argument) -> str:
    value = array.once
    return f"CASE WHEN json_type({value}) = 'ARRAY' THEN CAST(json_array_length({value}) AS BIGINT) END"


def _array_reverse(array: Argument) -> str:
    return f"to_json(list_reverse({elements_of(array)}))"


def _array_slice(array: Argument, start: Argument, end: Argument) -> str:
    return f"to_json({elements_of(array)}[{_place(start)}:{_place(end)}])"


def _place(index: Argument) -> str:
    """A place from 0, or from the end where negative, as DuckDB counts it: from 1."""
    most = MAXIMUM_ELEMENTS
    if isinstance(index.value, int):
        return str(index.value if index.value < 0 else min(index.value, most) + 1)
    value = index.once
    return f"(CASE WHEN {value} < 0 THEN {value} ELSE least({value}, {most}) + 1 END)"


scalar("array_concat(first: dynamic, others: dynamic...) -> dynamic", _array_concat, "An array of the elements of all arrays.")
scalar("array_length(array: dynamic) -> long", _array_length, "The number of elements.", aliases=("arraylength",))
scalar("array_reverse(array: dynamic) -> dynamic", _array_reverse, "The elements from the last to the first.")
scalar("array_slice(array: dynamic, start: long, end: long) -> dynamic", _array_slice, "The elements from start to end, both included.")
scalar(
    "array_split(array: dynamic, index: long) -> dynamic", None, "The elements before a place, and the others.", python=python.array_split
)
scalar("array_split(array: dynamic, indices: dynamic) -> dynamic", None, "The elements between places.", python=python.array_split)
scalar("array_sum(array: dynamic) -> real", None, "The sum of numbers; null where an element is none.", python=python.array_sum)
scalar("array_rotate_left(array: dynamic, count: long) -> dynamic", None, "The elements moved around.", python=python.array_rotate_left)
scalar("array_rotate_right(array: dynamic, count: long) -> dynamic", None, "The elements moved around.", python=python.array_rotate_right)


for _name, _shift in (("array_shift_left", python.array_shift_left), ("array_shift_right", python.array_shift_right)):
    _signature = f"{_name}(array: dynamic, count: long, default: "
    _summary = "The elements moved; the places that become free have the default."
    _of_json = scalar(f"{_signature}dynamic?) -> dynamic", None, _summary, python=_shift)

    def _shifted(array: Argument, count: Argument, default: Argument, function: str = _of_json.python_name) -> str:
        return f"{function}({array}, {count}, {json_of(default)})::JSON"

    scalar(f"{_signature}any) -> dynamic", _shifted, _summary)

_iff = scalar(
    "array_iff(condition: dynamic, when_true: dynamic, when_false: dynamic) -> dynamic",
    None,
    "One of two values for each condition.",
    aliases=("array_iif",),
    python=python.array_iff,
)
scalar(
    "array_iff(condition: dynamic, when_true: any, when_false: any) -> dynamic",
    lambda condition, yes, no: f"{_iff.python_name}({condition}, {json_of(yes)}, {json_of(no)})::JSON",
    "One of two values for each condition.",
    aliases=("array_iif",),
)


# searching


def _needle(value: Argument) -> str:
    return f"to_json(CAST({value} AS DOUBLE))" if value.type == "decimal" else json_of(value)


_index_of_json = scalar(
    "_array_index_of(array: dynamic, value: dynamic, start: long, length: long, occurrence: long) -> long",
    None,
    "Where `array_index_of` finds a value.",
    python=python.array_index_of,
)
_TEXTS = "string|guid|datetime|timespan"  # whose JSON has one form only, so that texts can be compared


def _index_of_text(array: Argument, value: Argument) -> str:
    return f"CASE WHEN json_type({array.once}) = 'ARRAY' THEN coalesce(list_position({elements_of(array)}, {json_of(value)}), 0) - 1 END"


def _index_of(array: Argument, value: Argument, *more: Argument) -> str:
    return f"{_index_of_json.python_name}({array}, {_needle(value)}, {', '.join(str(each) for each in more)})"


def _has_text(array: Argument, value: Argument) -> str:
    return f"list_contains({elements_of(array)}, {json_of(value)})"


def _has(array: Argument, value: Argument) -> str:
    return f"({_index_of_json.python_name}({array}, {_needle(value)}, 0, -1, 1) >= 0)"


scalar(f"array_index_of(array: dynamic, value: {_TEXTS}) -> long", _index_of_text, "The place of a value, from 0; -1 if it is not there.")
scalar(
    "array_index_of(array: dynamic, value: any, start: long = 0, length: long = -1, occurrence: long = 1) -> long",
    _index_of,
    "The place of a value, from 0, in a part of the array; -1 if it is not there.",
)
scalar(f"set_has_element(array: dynamic, value: {_TEXTS}) -> bool", _has_text, "Whether a value is in the array.")
scalar("set_has_element(array: dynamic, value: any) -> bool", _has, "Whether a value is in the array.")


# sets

_SETS = "(first: dynamic, second: dynamic, others: dynamic...) -> dynamic"
scalar(f"set_union{_SETS}", None, "The distinct elements of all arrays.", python=python.set_union)
scalar(f"set_intersect{_SETS}", None, "The distinct elements that are in all arrays.", python=python.set_intersect)
scalar(f"set_difference{_SETS}", None, "The distinct elements of the first array alone.", python=python.set_difference)
scalar("set_equals(set1: dynamic, set2: dynamic) -> bool", None, "Whether both have the same elements.", python=python.set_equals)
scalar("jaccard_index(set1: dynamic, set2: dynamic) -> real", None, "The share of elements that both have.", python=python.jaccard_index)


# sorting


def _declare_sort(name: str, one: Callable[..., Any], together: Callable[..., Any]) -> None:
    summary = "The first array in order, and the others as it was reordered: an array of all of them."
    scalar(f"{name}(array: dynamic, nulls_last: bool = true) -> dynamic", None, "The elements in order.", python=one)
    of_all = scalar(f"_{name}_together(arrays: dynamic, nulls_last: bool) -> dynamic", None, summary, python=together)

    def sql(arrays: tuple[Argument, ...], nulls_last: object) -> str:
        return f"{of_all.python_name}(json_array({', '.join(map(str, arrays))}), {nulls_last})::JSON"

    scalar(
        f"{name}(first: dynamic, others: dynamic..., nulls_last: bool) -> dynamic",
        lambda *arguments: sql(arguments[:-1], arguments[-1]),
        summary,
    )
    scalar(f"{name}(first: dynamic, second: dynamic, others: dynamic...) -> dynamic", lambda *arrays: sql(arrays, "true"), summary)


_declare_sort("array_sort_asc", python.sorted_ascending, python.all_sorted_ascending)
_declare_sort("array_sort_desc", python.sorted_descending, python.all_sorted_descending)
