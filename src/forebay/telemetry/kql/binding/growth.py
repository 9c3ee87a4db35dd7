"""Bounds how much longer than what it reads a query can make a value.

DuckDB counts rows and hash tables against its memory limit, but not the texts within one step: doubling a text thirty times would take
gigabytes before it could be interrupted. So the number of times that values are put together is bounded beforehand.
"""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.parts import children, parts
from forebay.telemetry.kql.errors import Diagnostic, KqlError

GROWTH_LIMIT = 4096  # how many times a value of the tables may be in a computed one
REPEAT_LIMIT = 1024  # what Kusto allows: https://learn.microsoft.com/kusto/query/strrep-function

_JOINING = frozenset("strcat strcat_delim array_concat bag_merge set_union zip array_iff array_iif bag_zip".split())
# what they encode may be twice as long: escapes of JSON, base64, or percent signs
_ENCODING = frozenset(
    "pack_array pack bag_pack bag_pack_without_empty pack_dictionary bag_set_key make_list make_list_if make_list_with_nulls make_set"
    " make_set_if make_bag make_bag_if makelist makeset base64_encode_tostring base64_encode_fromarray url_encode"
    " url_encode_component tojson dynamic_to_json to_dynamic todynamic translate".split()
)
_REWRITE_PLACE = {"replace": 1, "replace_string": 2, "replace_strings": 2, "replace_regex": 2}
_DELIMITER_ARGUMENT = {"strcat_array": 1, "strcat_delim": 0}  # what is put between values
_REPEATING = frozenset({"strrep", "repeat", "array_pad"})
_GROWING = _JOINING | _ENCODING | _REPEATING | _REWRITE_PLACE.keys() | _DELIMITER_ARGUMENT.keys()


def check_growth(relation: bound.Relation) -> None:
    """Refuse a query that may make values too long. Raises `KqlError` (`too_complex`)."""
    if _has_growth(relation) and _Growth().of_relation(relation) > GROWTH_LIMIT:
        message = f"the query may make a value more than {GROWTH_LIMIT} times as long as those that it reads"
        raise KqlError(Diagnostic("too_complex", message, 0, 0, hint="join texts in fewer steps"))


def _has_growth(relation: bound.Relation) -> bool:
    """Whether a function in it makes longer values, which few queries have; constants are no longer than the text of the query."""
    pending: list[Any] = [relation]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if type(each) is bound.ColumnRef:  # most are
            continue
        if isinstance(each, bound.Shared):
            if id(each.relation) in seen:
                continue
            seen.add(id(each.relation))
        elif isinstance(each, (bound.Call, bound.AggregateCall, bound.WindowCall)) and each.function.name in _GROWING:
            return True
        pending += parts(each)
    return False


class _Growth:
    """How many times as long as the values of its input the longest value of a node may be; constants count by length."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], int] = {}
        self._kept: list[object] = []  # so that no identity is used twice

    def of_relation(self, relation: bound.Relation) -> int:
        return self._remember(relation, 1)

    def _remember(self, node: Any, of_columns: int) -> int:
        key = (id(node), of_columns)
        if key not in self._known:
            self._known[key] = 1
            self._kept.append(node)
            found = self._of_rows(node) if isinstance(node, bound.Relation) else self._of_expression(node, of_columns)
            self._known[key] = min(found, GROWTH_LIMIT + 1)
        return self._known[key]

    def _of_rows(self, relation: bound.Relation) -> int:
        below = max((self._remember(each, 1) for each in children(relation)), default=1)
        if isinstance(relation, bound.Rows):
            return 1 + max((len(value) // 1000 for row in relation.rows for value in row if isinstance(value, str)), default=0)
        return max([below, *(self._remember(each, below) for each in _expressions(relation))])

    def _of_expression(self, node: bound.Expr, of_columns: int) -> int:
        if isinstance(node, bound.Constant):
            return 1 + len(node.value) // 1000 if isinstance(node.value, (str, list, dict)) else 1
        if isinstance(node, bound.ColumnRef):
            return of_columns
        if isinstance(node, (bound.Call, bound.AggregateCall, bound.WindowCall)):
            return self._of_call(node, of_columns)
        if isinstance(node, bound.Widen):
            return self._remember(node.operand, of_columns)
        if isinstance(node, bound.ScalarQuery):
            return self._remember(node.relation, 1)
        return 1

    def _of_call(self, call: bound.Call | bound.AggregateCall | bound.WindowCall, of_columns: int) -> int:
        name = call.function.name
        given = [argument for argument in call.arguments if argument is not None]
        of_arguments = [self._remember(argument, of_columns) for argument in given]
        most = max(of_arguments, default=1)
        if name in _DELIMITER_ARGUMENT:
            by = _constant_length(call.arguments, _DELIMITER_ARGUMENT[name], of_others=10 * GROWTH_LIMIT)
            return sum(of_arguments) + by // 10 * len(given) if name == "strcat_delim" else most * (1 + by // 10)
        if name in _JOINING:
            return sum(of_arguments)
        if name in _ENCODING:
            return 2 * max(1, sum(of_arguments))
        if name in _REWRITE_PLACE:
            return most * max(1, _constant_length(call.arguments, _REWRITE_PLACE[name], of_others=GROWTH_LIMIT + 1))
        if name in _REPEATING:
            times = given[1] if len(given) > 1 else None
            if not isinstance(times, bound.Constant) or not isinstance(times.value, int):
                return most * REPEAT_LIMIT
            return most * max(1, min(times.value, REPEAT_LIMIT))
        return most


def _constant_length(arguments: tuple[bound.Expr | None, ...], place: int, *, of_others: int) -> int:
    found = arguments[place] if place < len(arguments) else None
    if found is None:
        return 1
    return len(str(found.value)) if isinstance(found, bound.Constant) else of_others


def _expressions(relation: bound.Relation) -> list[bound.Expr]:
    found: list[bound.Expr] = []
    pending: list[Any] = [getattr(relation, name) for name in relation.__struct_fields__ if name not in ("columns", "rows", "table")]
    while pending:
        each = pending.pop()
        if isinstance(each, bound.Expr):
            found.append(each)
        elif isinstance(each, tuple):
            pending += each
        elif isinstance(each, bound.SortKey):
            pending.append(each.expression)
    return found
