"""Functions of the 64 bits of a long.

Source: https://learn.microsoft.com/kusto/query/binary-and-function and the pages of the others
"""

from __future__ import annotations

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.arithmetic import wrapped_sql
from forebay.telemetry.kql.functions.registry import scalar


def _shift_left(value: Argument, count: Argument) -> str:
    """As a product, for DuckDB does not shift negative numbers, nor bits out."""
    if count.is_constant and count.value is not None:
        return wrapped_sql(f"{value}::HUGEINT * {1 << count.value % 64}") if count.value >= 0 else "NULL::BIGINT"
    shifted = wrapped_sql(f"{value}::HUGEINT * (1::HUGEINT << ({count.once} & 63)::INTEGER)")
    return f"CASE WHEN {count.once} >= 0 THEN {shifted} END"


def _shift_right(value: Argument, count: Argument) -> str:
    if count.is_constant and count.value is not None:
        return f"{value} >> {count.value % 64}" if count.value >= 0 else "NULL::BIGINT"
    return f"CASE WHEN {count.once} >= 0 THEN {value} >> ({count.once} & 63) END"


scalar("binary_and(left: long, right: long) -> long", "{left} & {right}", "The bits that both have.", nulls="propagate")
scalar("binary_or(left: long, right: long) -> long", "{left} | {right}", "The bits that one of the two has.", nulls="propagate")
scalar("binary_xor(left: long, right: long) -> long", "xor({left}, {right})", "The bits that differ.", nulls="propagate")
scalar("binary_not(value: long) -> long", "(~{value})", "The opposite of each bit.", nulls="propagate")
scalar(
    "binary_shift_left(value: long, count: long) -> long",
    _shift_left,
    "The bits moved up, by the count modulo 64; null for a negative count.",
)
scalar(
    "binary_shift_right(value: long, count: long) -> long",
    _shift_right,
    "The bits moved down, by the count modulo 64; null for a negative count.",
)
scalar("bitset_count_ones(value: long) -> long", "bit_count({value})::BIGINT", "The number of bits that are set.", nulls="propagate")
