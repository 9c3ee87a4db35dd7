"""What scalar functions and operators of KQL answer, after their pages below https://learn.microsoft.com/kusto/query/.

`SCALARS[name]` takes the types of the arguments and their values. `@scalar` declares one that sees only values, and answers null where
one of them is null; `@typed` one that sees all.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from tests.kql import conversions, times
from tests.kql.conversions import in_json, kind_of, text_of_dynamic, to_string, wrapped
from tests.kql.values import LAST_TICK, AnyOrder, Undefined, are_same

Kinds = Sequence[str]
Values = Sequence[Any]
SCALARS: dict[str, Callable[[Kinds, Values], Any]] = {}
INTEGERS = ("int", "long")


def typed(*names: str) -> Callable[[Callable[[Kinds, Values], Any]], Callable[[Kinds, Values], Any]]:
    def declare(function: Callable[[Kinds, Values], Any]) -> Callable[[Kinds, Values], Any]:
        for name in names:
            SCALARS[name] = function
        return function

    return declare


def scalar(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        def strict(kinds: Kinds, values: Values) -> Any:
            return None if any(each is None for each in values) else function(*values)

        for name in names:
            SCALARS[name] = strict
        return function

    return declare


# comparison: https://learn.microsoft.com/kusto/query/scalar-data-types/null-values


@typed("==")
def _equal(kinds: Kinds, values: Values) -> bool | None:
    left, right = values
    if set(kinds) == {"string", "bool"}:
        # a text column that holds a bool is compared with the word, however it is written
        text, truth = (left, right) if kinds[0] == "string" else (right, left)
        if text.lower() == str(truth).lower() and text not in (str(truth), str(truth).lower(), str(truth).upper()):
            raise Undefined("an odd spelling of a bool")
        return bool(text.lower() == str(truth).lower())
    if "string" in kinds and len(set(kinds)) == 2:
        left, right = _as_other(kinds, values)
    if "bool" in kinds and len(set(kinds)) == 2:
        left, right = (None if each is None else bool(each) for each in (left, right))
    if left is None and right is None:
        return None
    return left is not None and right is not None and bool(left == right)


def _as_other(kinds: Kinds, values: Values) -> tuple[Any, ...]:
    """A constant text is read as the other one's type."""
    other = next(kind for kind in kinds if kind != "string")
    return tuple(
        conversions.CONVERSIONS["to" + other](kind, value) if kind == "string" else value for kind, value in zip(kinds, values, strict=True)
    )


@typed("!=")
def _unequal(kinds: Kinds, values: Values) -> bool | None:
    found = _equal(kinds, values)
    return None if found is None else not found


for _name, _compare in (("<", operator.lt), ("<=", operator.le), (">", operator.gt), (">=", operator.ge)):
    scalar(_name)(lambda left, right, compare=_compare: compare(left, right))


@typed("between")
def _between(kinds: Kinds, values: Values) -> bool | None:
    value, low, high = values
    if kinds[0] == "datetime" and kinds[2] == "timespan" and low is not None and high is not None:
        high = _later(low, high)
    if None in (value, low, high) and any(each != each for each in (value, low, high)):
        raise Undefined("between NaN and null")
    parts = [None if value is None or low is None else value >= low, None if value is None or high is None else value <= high]
    return False if False in parts else None if None in parts else True


@typed("!between")
def _not_between(kinds: Kinds, values: Values) -> bool | None:
    found = _between(kinds, values)
    return None if found is None else not found


@typed("in")
def _in(kinds: Kinds, values: Values) -> bool:
    """https://learn.microsoft.com/kusto/query/in-operator: one dynamic array stands for its elements; null is in no list."""
    operand, *listed = values
    if kinds[0] == "dynamic":
        texts = [text for each in listed for text in map(text_of_dynamic, each if isinstance(each, list) else [each])]
        if operand is None or "" in texts:
            raise Undefined("null among dynamic values")
        if isinstance(operand, (list, dict)):
            raise Undefined("an array or a bag among dynamic values")
        return text_of_dynamic(operand) in texts
    if len(kinds) == 2 and kinds[1] == "dynamic":
        elements = listed[0] if isinstance(listed[0], list) else [listed[0]]
        return any(_is_element(kinds[0], operand, each) for each in elements)
    return operand is not None and any(each is not None and operand == each for each in listed)


def _is_element(kind: str, operand: Any, element: Any) -> bool:
    if kind == "string":
        if not isinstance(element, str):
            raise Undefined("a text among other values")
        return bool(operand == element)
    if kind not in INTEGERS and kind != "real":
        raise Undefined("a value among texts")
    if isinstance(element, str) or isinstance(element, bool):
        raise Undefined("a number among other values")
    return operand is not None and isinstance(element, (int, float)) and bool(float(operand) == element)


@typed("!in")
def _not_in(kinds: Kinds, values: Values) -> bool:
    return not _in(kinds, values)


# logic


@typed("and")
def _and(kinds: Kinds, values: Values) -> bool | None:
    return False if False in values else None if None in values else True


@typed("or")
def _or(kinds: Kinds, values: Values) -> bool | None:
    return True if True in values else None if None in values else False


@scalar("not")
def _not(value: Any) -> bool:
    return not value


@typed("iff")
def _iff(kinds: Kinds, values: Values) -> Any:
    return _case(kinds, values)


@typed("case")
def _case(kinds: Kinds, values: Values) -> Any:
    for place in range(0, len(values) - 1, 2):
        if values[place]:
            return _widened(kinds[1::2] + kinds[-1:], kinds[place + 1], values[place + 1])
    return _widened(kinds[1::2] + kinds[-1:], kinds[-1], values[-1])


def _widened(kinds: Kinds, kind: str, value: Any) -> Any:
    """A value as one of the type that all of these have in common."""
    if value is None:
        return None
    if "dynamic" in kinds:
        return in_json(kind, value)
    return float(value) if "real" in kinds and kind in INTEGERS else value


@typed("coalesce")
def _coalesce(kinds: Kinds, values: Values) -> Any:
    """https://learn.microsoft.com/kusto/query/coalesce-function: an empty text is passed over."""
    for kind, value in zip(kinds, values, strict=True):
        if value is not None and value != "":
            return _widened(kinds, kind, value)
    return _widened(kinds, kinds[-1], values[-1])


def _extreme(choose: Callable[[list[Any]], Any]) -> Callable[[Kinds, Values], Any]:
    def extreme(kinds: Kinds, values: Values) -> Any:
        known = [_widened(kinds, kind, value) for kind, value in zip(kinds, values, strict=True) if value is not None]
        if any(each != each for each in known):
            raise Undefined("NaN in max_of")
        return choose(known) if known else None

    return extreme


typed("max_of")(_extreme(max))
typed("min_of")(_extreme(min))


@typed("isnull")
def _isnull(kinds: Kinds, values: Values) -> bool:
    return values[0] is None


@typed("isnotnull")
def _isnotnull(kinds: Kinds, values: Values) -> bool:
    return values[0] is not None


@typed("isempty")
def _isempty(kinds: Kinds, values: Values) -> bool:
    return values[0] is None or values[0] == ""


@typed("isnotempty")
def _isnotempty(kinds: Kinds, values: Values) -> bool:
    return not _isempty(kinds, values)


# arithmetic: https://learn.microsoft.com/kusto/query/numerical-operators, datetime-timespan-arithmetic


def _in_range(ticks: float) -> int:
    """A timespan."""
    if not -(1 << 63) <= ticks < 1 << 63:
        raise Undefined("a timespan of more than 64 bits")
    return math.trunc(ticks)


def _moment(ticks: int) -> int:
    """A datetime: to microseconds, as far as our columns go."""
    if not 0 <= ticks <= LAST_TICK:
        raise Undefined("a datetime beyond the years 1 to 9999")
    return ticks // 10 * 10


def _later(moment: int, span: int) -> int:
    if span % 10:
        raise Undefined("less than a microsecond")
    return _moment(moment // 10 * 10 + span)


def _arithmetic(
    name: str, whole: Callable[[int, int], int | None], real: Callable[[float, float], float | None]
) -> Callable[[Kinds, Values], Any]:
    def compute(kinds: Kinds, values: Values) -> Any:
        if any(each is None for each in values):
            return None
        left, right = values
        first, second = kinds
        if first in INTEGERS and second in INTEGERS:
            found = whole(left, right)
            return None if found is None else wrapped(found, 64)
        if "datetime" in kinds:
            return _of_moments(name, kinds, left, right)
        if "timespan" in kinds:
            return _of_spans(name, kinds, left, right)
        return real(float(left), float(right))

    return compute


def _of_moments(name: str, kinds: Kinds, left: int, right: int) -> Any:
    match name, tuple(kinds):
        case "-", ("datetime", "datetime"):
            return left // 10 * 10 - right // 10 * 10
        case "+", ("datetime", "timespan"):
            return _later(left, right)
        case "+", ("timespan", "datetime"):
            return _later(right, left)
        case "-", ("datetime", "timespan"):
            return _later(left, -right)
    raise Undefined(f"{kinds[0]} {name} {kinds[1]}")


def _of_spans(name: str, kinds: Kinds, left: Any, right: Any) -> Any:
    if any(isinstance(each, float) and not math.isfinite(each) for each in (left, right)):
        raise Undefined("so many times a timespan")
    both = kinds[0] == kinds[1]
    match name:
        case "+":
            return _in_range(left + right)
        case "-":
            return _in_range(left - right)
        case "*":
            if "real" in kinds and abs(left * right % 1) != 0:
                raise Undefined("a part of a tick")
            return _in_range(left * right)
        case "/":
            if both:
                return _divided(float(left), float(right))
            if right == 0:
                return None if kinds[1] in INTEGERS else _fail("a timespan by zero")
            if kinds[1] in INTEGERS:
                return _in_range(_quotient(left, right) or 0)
            if left / right % 1 != 0:
                raise Undefined("a part of a tick")
            return _in_range(left / right)
    return _remainder(left, right)


def _fail(why: str) -> Any:
    raise Undefined(why)


def _quotient(left: int, right: int) -> int | None:
    """Cut towards zero; null by zero."""
    if right == 0:
        return None
    size = abs(left) // abs(right)
    return size if (left < 0) == (right < 0) else -size


def _remainder(left: int, right: int) -> int | None:
    """Never negative."""
    return None if right == 0 else left % abs(right)


def _divided(left: float, right: float) -> float:
    if right != 0:
        try:
            return left / right
        except OverflowError:
            return math.copysign(math.inf, left) * math.copysign(1, right)
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _real_remainder(left: float, right: float) -> float:
    if not math.isfinite(left) or not math.isfinite(right) or right == 0:
        raise Undefined("the remainder of what is not finite")
    if abs(left) > 1e15 * abs(right) or right != int(right) or left != int(left):
        raise Undefined("the last digits of a remainder")
    if left <= 0 and left % abs(right) == 0:
        raise Undefined("the sign of zero")
    return left % abs(right)


for _name, _whole, _real in (
    ("+", operator.add, operator.add),
    ("-", operator.sub, operator.sub),
    ("*", operator.mul, operator.mul),
    ("/", _quotient, _divided),
    ("%", _remainder, _real_remainder),
):
    _binary = _arithmetic(_name, _whole, _real)  # type: ignore[arg-type]
    SCALARS[_name] = _binary


def _minus(kinds: Kinds, values: Values) -> Any:
    if len(values) == 2:
        return _subtract(kinds, values)
    (kind,), (value,) = kinds, values
    if value is None:
        return None
    return wrapped(-value, 64) if kind in INTEGERS else _in_range(-value) if kind == "timespan" else -value


_subtract = SCALARS["-"]
SCALARS["-"] = _minus


@typed("bin")
def _bin(kinds: Kinds, values: Values) -> Any:
    """https://learn.microsoft.com/kusto/query/bin-function: the greatest multiple of the size that is not greater."""
    value, size = values
    if value is None or size is None:
        return None
    if "real" in kinds and "timespan" not in kinds:
        if size == 0 or not math.isfinite(value / size):
            raise Undefined("the multiple of nothing")
        whole = float(math.floor(value / size))
        if whole == 0 and math.copysign(1, value / size) < 0:
            raise Undefined("the sign of zero")
        return whole * size
    if size == 0:
        return None
    if size < 0:
        raise Undefined("multiples of a negative size")
    found = value // size * size
    if kinds[0] == "datetime":
        return _moment(value // 10 * 10 // size * size)
    if not -(1 << 63) <= found < 1 << 63:
        raise Undefined("a multiple of more than 64 bits")
    return found


@typed("bin_at")
def _bin_at(kinds: Kinds, values: Values) -> Any:
    value, size, point = values
    if any(each is None for each in values):
        return None
    if "real" in kinds:
        raise Undefined("the last digits")
    if size <= 0:
        raise Undefined("multiples of a negative size")
    found = point + (value - point) // size * size
    return _moment(found) if kinds[0] == "datetime" else _in_range(found)


@typed("abs")
def _abs(kinds: Kinds, values: Values) -> Any:
    (value,) = values
    if value == -(1 << 63):
        raise Undefined("the distance of the least long")
    return None if value is None else abs(value)


@typed("sign")
def _sign(kinds: Kinds, values: Values) -> float:
    value = values[0]
    if value is None or value != value:
        raise Undefined("the sign of nothing")
    return float((value > 0) - (value < 0))


@scalar("ceiling")
def _ceiling(value: float) -> float:
    return float(value) if not math.isfinite(value) else float(math.ceil(value))


@typed("round")
def _round(kinds: Kinds, values: Values) -> Any:
    if any(each is None for each in values):
        return None
    value = float(values[0])
    if len(values) > 1 and values[1] != 0:
        raise Undefined("the last digits")
    return value if not math.isfinite(value) or abs(value) >= 2**52 else math.copysign(math.floor(abs(value) + 0.5), value)


def _domain(function: Callable[[float], float], least: float) -> Callable[[Kinds, Values], Any]:
    def compute(kinds: Kinds, values: Values) -> float | None:
        value = values[0]
        if value is None or value < least:
            return None
        if value != value or value == 0:
            raise Undefined("a root or logarithm of NaN or zero")
        return math.inf if value == math.inf else function(value)

    return compute


for _name, _function in (("sqrt", math.sqrt), ("log", math.log), ("log10", math.log10), ("log2", math.log2)):
    typed(_name)(_domain(_function, 0))


@typed("isnan")
def _isnan(kinds: Kinds, values: Values) -> bool:
    return values[0] is not None and math.isnan(values[0])


@typed("isinf")
def _isinf(kinds: Kinds, values: Values) -> bool:
    return values[0] is not None and math.isinf(values[0])


@typed("isfinite")
def _isfinite(kinds: Kinds, values: Values) -> bool:
    return values[0] is not None and math.isfinite(values[0])


@scalar("binary_and")
def _binary_and(left: int, right: int) -> int:
    return left & right


@scalar("binary_or")
def _binary_or(left: int, right: int) -> int:
    return left | right


@scalar("binary_xor")
def _binary_xor(left: int, right: int) -> int:
    return left ^ right


# conversions

for _name, _convert in conversions.CONVERSIONS.items():
    typed(_name)(lambda kinds, values, convert=_convert: None if values[0] is None else convert(kinds[0], values[0]))
typed("tostring")(lambda kinds, values: to_string(kinds[0], values[0]))
typed("todynamic")(lambda kinds, values: conversions.to_dynamic(kinds[0], values[0]))
typed("to_dynamic")(lambda kinds, values: in_json(kinds[0], values[0]))


def _element_as(kind: str) -> Callable[[Kinds, Values], Any]:
    """An element that `mv-expand to typeof()` makes one of a type: null if it is none."""

    def convert(kinds: Kinds, values: Values) -> Any:
        value = values[0]
        if isinstance(value, str) and kind == "real" and value in ("NaN", "Infinity", "-Infinity"):
            return float(value)
        if value is None or kind_of(value) not in ("long", "real"):
            return None
        return float(value) if kind == "real" else conversions.to_long(kind_of(value), value)

    return convert


typed("_element_as_long")(_element_as("long"))
typed("_element_as_real")(_element_as("real"))


@typed("gettype")
def _gettype(kinds: Kinds, values: Values) -> str:
    if kinds[0] != "dynamic":
        return kinds[0]
    value = values[0]
    if value is None:
        return "null"
    names = {"bool": "bool", "long": "long", "real": "double", "string": "string"}
    return names.get(kind_of(value)) or ("array" if isinstance(value, list) else "dictionary")


# times

for _name, _of_time in times.FUNCTIONS.items():
    scalar(_name)(_of_time)

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
    if len({kind_of(each) for each in known}) > 1 or any(isinstance(each, (list, dict)) or each != each for each in known):
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


# texts


@typed("strcat")
def _strcat(kinds: Kinds, values: Values) -> str:
    return "".join(map(to_string, kinds, values))


@typed("strcat_delim")
def _strcat_delim(kinds: Kinds, values: Values) -> str:
    first, *texts = map(to_string, kinds, values)
    return first.join(texts)


@typed("strlen")
def _strlen(kinds: Kinds, values: Values) -> int:
    return len(values[0])


@typed("tolower")
def _tolower(kinds: Kinds, values: Values) -> str:
    return "".join(_one(each, each.lower()) for each in to_string(kinds[0], values[0]))


@typed("toupper")
def _toupper(kinds: Kinds, values: Values) -> str:
    return "".join(_one(each, each.upper()) for each in to_string(kinds[0], values[0]))


def _one(character: str, changed: str) -> str:
    return changed if len(changed) == 1 else character


@typed("reverse")
def _reverse(kinds: Kinds, values: Values) -> str:
    return to_string(kinds[0], values[0])[::-1]


@typed("substring")
def _substring(kinds: Kinds, values: Values) -> str:
    text, start = to_string(kinds[0], values[0]), values[1]
    length = values[2] if len(values) > 2 and values[2] is not None else len(text)
    if start is None or (len(values) > 2 and kinds[2] is not None and values[2] is None):
        raise Undefined("a part from nowhere")
    if start < -len(text) or length < 0:
        raise Undefined("a part before the beginning")
    first = start + len(text) if start < 0 else start
    return text[first : first + length]


@typed("split")
def _split(kinds: Kinds, values: Values) -> list[str]:
    text, delimiter = to_string(kinds[0], values[0]), values[1]
    parts = text.split(delimiter) if delimiter else [text]
    if len(values) < 3 or kinds[2] is None:
        return parts
    place = values[2]
    if place is None or place < 0:
        raise Undefined("a part before the first")
    return parts[place : place + 1]


@typed("replace_string")
def _replace_string(kinds: Kinds, values: Values) -> str:
    text, search, rewrite = values
    if search == "":
        raise Undefined("to replace nothing")
    return str(text).replace(search, rewrite)


@typed("trim")
def _trim(kinds: Kinds, values: Values) -> str:
    pattern, text = values
    return re.sub(f"(?:{pattern})\\Z", "", re.sub(f"\\A(?:{pattern})", "", text))


@typed("indexof")
def _indexof(kinds: Kinds, values: Values) -> int:
    if any(kind is not None for kind in kinds[2:]):
        raise Undefined("from a place on")
    text, search = map(to_string, kinds[:2], values[:2])
    if search == "":
        raise Undefined("where nothing is")
    return text.find(search)


@typed("countof")
def _countof(kinds: Kinds, values: Values) -> int:
    if values[1] == "" or len(set(values[1])) < len(values[1]):
        raise Undefined("how often a text is in itself")
    return values[0].count(values[1])  # type: ignore[no-any-return]


@typed("strrep")
def _strrep(kinds: Kinds, values: Values) -> str:
    if values[1] is None or not 0 <= values[1] <= 1024:
        raise Undefined("so many times")
    delimiter = to_string(kinds[2], values[2]) if len(values) > 2 and kinds[2] is not None else ""
    return delimiter.join([to_string(kinds[0], values[0])] * values[1])


@typed("strcmp")
def _strcmp(kinds: Kinds, values: Values) -> int:
    return (values[0] > values[1]) - (values[0] < values[1])


@typed("matches regex")
def _matches(kinds: Kinds, values: Values) -> bool:
    return re.search(values[1], values[0], re.ASCII) is not None


# operators of texts: https://learn.microsoft.com/kusto/query/datatypes-string-operators


def _has(text: str, term: str, *, begins: bool = True, ends: bool = True) -> bool:
    """Whether a term is there: what is between characters that are neither letters nor digits."""
    if not term:
        raise Undefined("an empty term")
    if not term.isalnum():
        raise Undefined("a term with other characters")
    for found in re.finditer(f"(?={re.escape(term)})", text):
        before, after = text[: found.start()][-1:], text[found.start() + len(term) :][:1]
        if not (begins and before.isalnum()) and not (ends and after.isalnum()):
            return True
    return False


_SEARCHES: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, search: search in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "has": _has,
    "hasprefix": lambda text, term: _has(text, term, ends=False),
    "hassuffix": lambda text, term: _has(text, term, begins=False),
}


def _search(search: Callable[[str, str], bool], *, is_caseless: bool, is_negated: bool) -> Callable[[Kinds, Values], bool]:
    def answer(kinds: Kinds, values: Values) -> bool:
        text, wanted = (each.lower() for each in values) if is_caseless else values
        return search(text, wanted) is not is_negated

    return answer


for _name, _find in _SEARCHES.items():
    for _case_mark, _is_caseless in (("", True), ("_cs", False)):
        for _negation in ("", "!"):
            typed(f"{_negation}{_name}{_case_mark}")(_search(_find, is_caseless=_is_caseless, is_negated=_negation == "!"))
typed("=~")(_search(operator.eq, is_caseless=True, is_negated=False))
typed("!~")(_search(operator.eq, is_caseless=True, is_negated=True))


@typed("in~")
def _in_caseless(kinds: Kinds, values: Values) -> bool:
    if "dynamic" in kinds:
        raise Undefined("dynamic values without case")
    return values[0].lower() in [each.lower() for each in values[1:]]


@typed("!in~")
def _not_in_caseless(kinds: Kinds, values: Values) -> bool:
    return not _in_caseless(kinds, values)


@typed("has_any")
def _has_any(kinds: Kinds, values: Values) -> bool:
    if "dynamic" in kinds:
        raise Undefined("dynamic terms")
    return any(_has(values[0].lower(), each.lower()) for each in values[1:])


@typed("has_all")
def _has_all(kinds: Kinds, values: Values) -> bool:
    if "dynamic" in kinds:
        raise Undefined("dynamic terms")
    return all([_has(values[0].lower(), each.lower()) for each in values[1:]])
