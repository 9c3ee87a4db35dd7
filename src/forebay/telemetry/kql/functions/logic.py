"""Logic, and what chooses between values: `and`, `or`, `not`, `iff`, `case`, `coalesce`, `isnull`, `max_of`, `min_of`, `assert`.

A condition that is null chooses as a false one does. Values to choose from are of one type: numbers become the widest of theirs, and what
stands beside a dynamic value becomes dynamic.
Source: https://learn.microsoft.com/kusto/query/iff-function and the pages of the others
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.json_values import json_of
from forebay.telemetry.kql.functions.registry import operator, scalar
from forebay.telemetry.kql.types import DUCKDB_TYPES, NUMBERS, KqlType

_WIDTH: tuple[KqlType, ...] = ("int", "long", "real", "decimal")
_MAXIMUM_ARGUMENTS = 64  # of max_of, min_of and coalesce


def _common(types: Sequence[KqlType]) -> KqlType:
    """The type that values of these become."""
    kinds = set(types)
    if len(kinds) == 1:
        return types[0]
    if kinds <= NUMBERS:
        return max(types, key=_WIDTH.index)
    if "dynamic" in kinds:
        return "dynamic"
    raise _error(f"expected values of one type, got {', '.join(sorted(kinds))}", "convert them: tostring(), toreal(), ...")


def _error(message: str, hint: str = "") -> KqlError:
    return KqlError(Diagnostic("type", message, 0, 0, hint=hint))


def _written(values: Sequence[Argument]) -> list[str]:
    """The values as ones of their common type; a string may be NULL for ''."""
    kind = _common([value.type for value in values])
    if kind == "dynamic":
        return [json_of(value) for value in values]
    if kind == "decimal":
        return [value.raw if value.type == kind else f"TRY_CAST({value} AS {DUCKDB_TYPES[kind]})" for value in values]
    texts = [value.raw for value in values]
    if kind in ("int", "long", "timespan") and all(value.is_constant for value in values):
        texts[0] = f"{texts[0]}::{DUCKDB_TYPES[kind]}"  # else DuckDB takes the narrowest type for them
    return texts


def _case_type(*types: KqlType) -> KqlType:
    if len(types) < 3 or len(types) % 2 == 0:
        raise _error("case() takes pairs of a condition and a value, then one more value for when no condition is true")
    for kind in types[:-1:2]:
        if kind not in ("bool", "dynamic"):
            raise _error(f"case(): expected a condition (bool), got {kind}", "compare with something: x == 1, isnotempty(s)")
    return _common((*types[1::2], types[-1]))


def _case(*branches: Argument) -> str:
    *values, otherwise = _written([*branches[1::2], branches[-1]])
    conditions = [each if each.type == "bool" else f"TRY_CAST({each} ->> '$' AS BOOLEAN)" for each in branches[:-1:2]]
    pairs = " ".join(f"WHEN {condition} THEN {value}" for condition, value in zip(conditions, values, strict=True))
    return f"CASE {pairs} ELSE {otherwise} END"


def _iff_type(_: KqlType, then: KqlType, otherwise: KqlType) -> KqlType:
    return _common((then, otherwise))


def _iff(condition: Argument, then: Argument, otherwise: Argument) -> str:
    first, second = _written((then, otherwise))
    return f"CASE WHEN {condition} THEN {first} ELSE {second} END"


def _chosen_type(*types: KqlType) -> KqlType:
    if not 2 <= len(types) <= _MAXIMUM_ARGUMENTS:
        raise _error(f"expected 2 to {_MAXIMUM_ARGUMENTS} values, got {len(types)}")
    return _common(types)


def _ordered_type(*types: KqlType) -> KqlType:
    kind = _chosen_type(*types)
    if kind in ("dynamic", "guid"):
        raise _error(f"expected values that have an order, got {kind}", "convert them: toreal(), todatetime(), tostring()")
    return kind


def _coalesce(*values: Argument) -> str:
    kind = _common([value.type for value in values])
    texts = _written(values)
    if kind == "string":  # '' is passed over as null is
        texts = [f"nullif({text}, '')" for text in texts[:-1]] + texts[-1:]
    elif kind == "dynamic":
        texts = [f"nullif({text}::VARCHAR, 'null')::JSON" for text in texts]
    return f"coalesce({', '.join(texts)})"


def _of_all(function: str) -> Callable[..., str]:
    """The greatest or least; nulls are passed over, as DuckDB does."""

    def sql(*values: Argument) -> str:
        texts = [str(value) for value in values] if values[0].type == "string" else _written(values)
        return f"{function}({', '.join(texts)})"

    return sql


operator("and(left: bool, right: bool) -> bool", "{left} AND {right}", "Whether both are true.", nulls="propagate")
operator("or(left: bool, right: bool) -> bool", "{left} OR {right}", "Whether one of the two is true.", nulls="propagate")
scalar("not(value: bool) -> bool", "NOT {value}", "The opposite; of null, null.", nulls="propagate")
scalar("not(value: number) -> bool", "{value} = 0", "Whether a number is zero.", nulls="propagate")

scalar("iff(condition: bool, then: any, otherwise: any)", _iff, "One of two values.", aliases=("iif",), returns=_iff_type)
scalar("case(branches: any...)", _case, "The value after the first condition that is true, else the last one.", returns=_case_type)
scalar("coalesce(values: any...)", _coalesce, "The first value that is not null, nor an empty text.", returns=_chosen_type)
scalar("max_of(values: any...)", _of_all("greatest"), "The greatest of the values that are not null.", returns=_ordered_type)
scalar("min_of(values: any...)", _of_all("least"), "The least of the values that are not null.", returns=_ordered_type)

_VALUES = "bool|int|long|real|decimal|datetime|timespan|guid"
scalar("isnull(value: dynamic) -> bool", "coalesce({value}::VARCHAR, 'null') = 'null'", "Whether a value is null.", nulls="never")
scalar("isnull(value: string) -> bool", "false", "Whether a value is null; a text never is.", nulls="never")
scalar(f"isnull(value: {_VALUES}) -> bool", "{value} IS NULL", "Whether a value is null.", nulls="never")
scalar("isnotnull(value: string) -> bool", "true", "Whether a value is not null; a text never is.", aliases=("notnull",), nulls="never")
scalar(
    "isnotnull(value: dynamic) -> bool",
    "coalesce({value}::VARCHAR, 'null') <> 'null'",
    "Whether a value is not null.",
    aliases=("notnull",),
    nulls="never",
)
scalar(f"isnotnull(value: {_VALUES}) -> bool", "{value} IS NOT NULL", "Whether a value is not null.", aliases=("notnull",), nulls="never")

scalar(
    "assert(condition: bool, const message: string) -> bool",
    "CASE WHEN {condition} THEN true ELSE error({message}) END",
    "True, or else the query fails with the message.",
    nulls="never",
)
