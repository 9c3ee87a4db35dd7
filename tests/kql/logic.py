"""What comparisons and logic answer, with null and without."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tests.kql import conversions
from tests.kql.conversions import in_json, text_of_dynamic
from tests.kql.declarations import INTEGERS, Kinds, Values, scalar, typed
from tests.kql.numerics import later
from tests.kql.values import Undefined, is_nan

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
    left, right = _alike(kinds, (left, right))
    return left is not None and right is not None and bool(left == right)


def _alike(kinds: Kinds, values: Values) -> Values:
    """An integer beside a real is a real."""
    return [float(each) for each in values] if "real" in kinds and None not in values else values


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


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Kinds, Values], Any]:
    def answer(kinds: Kinds, values: Values) -> bool | None:
        if None in values and any(map(is_nan, values)):
            raise Undefined("the order of NaN and null")
        return None if None in values else compare(*_alike(kinds, values))

    return answer


for _name, _compare in (("<", operator.lt), ("<=", operator.le), (">", operator.gt), (">=", operator.ge)):
    typed(_name)(_ordered(_compare))


@typed("between")
def _between(kinds: Kinds, values: Values) -> bool | None:
    value, low, high = values
    if kinds[0] == "datetime" and kinds[2] == "timespan":
        high = None if low is None or high is None else later(low, high)
    if None in (value, low, high) and any(is_nan(each) for each in (value, low, high)):
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
    if isinstance(element, (str, bool)):
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
        if kind == "dynamic" and value == "":
            raise Undefined("whether a dynamic empty text is passed over")
        if value is not None and value != "":
            return _widened(kinds, kind, value)
    return _widened(kinds, kinds[-1], values[-1])


def _extreme(choose: Callable[[list[Any]], Any]) -> Callable[[Kinds, Values], Any]:
    def extreme(kinds: Kinds, values: Values) -> Any:
        known = [_widened(kinds, kind, value) for kind, value in zip(kinds, values, strict=True) if value is not None]
        if any(is_nan(each) for each in known):
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
