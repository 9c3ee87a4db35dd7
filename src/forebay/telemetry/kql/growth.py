"""Bounds how much longer than what it reads a query can make a value.

DuckDB counts rows and hash tables against its memory limit, but not the texts within one step: doubling a text thirty times would take
gigabytes before it could be interrupted. So the number of times that values are put together is bounded beforehand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from duckdb_kql import ir

from forebay.errors import ForebayError

GROWTH_LIMIT = 4096  # how many times a value of the tables may be in a computed one
REPEAT_LIMIT = 1024  # what Kusto allows: https://learn.microsoft.com/kusto/query/strrep-function

_JOINING = frozenset("strcat array_concat bag_merge set_union zip array_iff".split())
# what they encode may be twice as long: escapes of JSON, base64, or percent signs
_ENCODING = frozenset(
    "pack_array pack bag_pack pack_dictionary pack_all make_list make_list_if make_list_with_nulls make_set make_set_if"
    " make_bag make_bag_if base64_encode_tostring base64_encode_fromarray url_encode url_encode_component tojson dynamic_to_json".split()
)
_REWRITE_ARGUMENT = {"replace": 1, "replace_string": 2, "replace_strings": 2, "replace_regex": 2}  # what each match becomes
_DELIMITER_ARGUMENT = {"strcat_array": 1, "strcat_delim": 0}  # what is put between values


def check_growth(query: ir.Query) -> None:
    """Refuse a query that may make values too long. Raises `ForebayError` (`query_too_complex`)."""
    if _Growth().of_query(query) > GROWTH_LIMIT:
        raise ForebayError(
            "query_too_complex",
            f"the query may make a value more than {GROWTH_LIMIT} times as long as those that it reads",
            hint="join texts in fewer steps",
        )


class _Growth:
    """How many times as long as the values of its input the longest value of a node may be; literals count by length."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], int] = {}  # a bound name is one node in many places
        self._kept: list[object] = []  # so that no identity is used twice

    def of_query(self, query: ir.Query) -> int:
        return self._remember(query, 1)

    def _remember(self, node: object, of_columns: int) -> int:
        key = (id(node), of_columns)
        if key not in self._known:
            self._known[key] = 1  # of a name within its own definition
            self._kept.append(node)
            self._known[key] = min(self._of(node, of_columns), GROWTH_LIMIT + 1)
        return self._known[key]

    def _of(self, node: object, of_columns: int) -> int:
        if isinstance(node, ir.Query):
            bound = max([self._remember(value, 1) for _, value in node.lets], default=1)
            growth = max(bound, self._remember(node.source, bound))
            for operator in node.operators:
                growth = max(growth, self._remember(operator, growth))
                if growth > GROWTH_LIMIT:
                    break
            return growth
        if isinstance(node, ir.Literal):
            return 1 + len(str(node.value)) // 1000
        if isinstance(node, ir.ColumnRef):
            return of_columns
        if isinstance(node, ir.FunctionCall):
            return self._of_call(node, of_columns)
        return max([self._remember(child, of_columns) for child in _children(node)], default=1)

    def _of_call(self, call: ir.FunctionCall, of_columns: int) -> int:
        of_arguments = [self._remember(argument, of_columns) for argument in call.args]
        if call.name in _JOINING:
            return sum(of_arguments)
        if call.name in _ENCODING:
            return 2 * max(1, sum(of_arguments))
        if call.name in _DELIMITER_ARGUMENT:
            by = _literal_length(call.args[_DELIMITER_ARGUMENT[call.name] :][:1], of_others=10 * GROWTH_LIMIT)
            return sum(of_arguments) + by // 10 * len(of_arguments) if call.name == "strcat_delim" else max(of_arguments) * (1 + by // 10)
        if call.name in _REWRITE_ARGUMENT:
            by = _literal_length(call.args[_REWRITE_ARGUMENT[call.name] :][:1], of_others=GROWTH_LIMIT + 1)
            return max(of_arguments, default=1) * max(1, by)
        if call.name == "strrep":
            times = call.args[1] if len(call.args) > 1 else None
            if not isinstance(times, ir.Literal) or not isinstance(times.value, int) or times.value > REPEAT_LIMIT:
                raise ForebayError("query_unsupported", f"strrep() is supported with a number of times up to {REPEAT_LIMIT} only")
            return max(of_arguments) * max(1, times.value)
        return max(of_arguments, default=1)


def _literal_length(found: Sequence[ir.Expr], *, of_others: int) -> int:
    return len(str(found[0].value)) if found and isinstance(found[0], ir.Literal) else of_others


def _children(node: object) -> list[object]:
    if isinstance(node, (list, tuple)):
        return list(node)
    if dataclasses.is_dataclass(node):
        return [getattr(node, field.name) for field in dataclasses.fields(node)]
    return []
