"""Aggregates of numbers and of any values: how many, how much, the least and the greatest, which row.

Rows in which the value is null do not count. What an aggregate of no rows answers is said at
https://learn.microsoft.com/kusto/query/summarize-operator#default-values-of-aggregations.
"""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import aggregate
from forebay.telemetry.kql.types import KqlType

# in this order a value of type dynamic, which Kusto refuses here, counts as a number
_ORDERED = ("number|datetime|timespan|bool", "string|guid")


def _same(kind: KqlType, *_: KqlType | None) -> KqlType:
    return kind


def _with_if(name: str, parameters: str, answer: str, sql: str, summary: str, *, if_name: str = "", **more: Any) -> None:
    """Declare an aggregate, and its form that takes a predicate and sees the rows for which that is true."""
    returns = f" -> {answer}" if answer else ""
    aggregate(f"{name}({parameters}){returns}", sql.replace("{filter}", ""), summary, **more)
    first_if = f"{parameters}, predicate: bool" if parameters else "predicate: bool"
    filtered = sql.replace("{filter}", " FILTER (WHERE {predicate.condition})")
    aggregate(
        f"{if_name or name + 'if'}({first_if}){returns}", filtered, f"{summary[:-1]}, of the rows for which the predicate is true.", **more
    )


# how many

aggregate("count() -> long", "count(*)", "The number of rows.", nulls="never", aliases=("cnt",))
# Kusto counts the rows whatever the value is; what it does with a predicate (a form of `countif` of old) is not documented: refused
aggregate(
    "count(value: number|datetime|timespan|string|guid|dynamic) -> long", "count(*)", "The number of rows, null or not.", nulls="never"
)
aggregate(
    "countif(predicate: bool) -> long",
    "count(*) FILTER (WHERE {predicate.condition})",
    "The number of rows for which it is true.",
    nulls="never",
)

_DISTINCT = "count(DISTINCT {value}){filter}"
aggregate(
    "dcount(value: any, const accuracy: integer?) -> long",
    _DISTINCT.replace("{filter}", ""),
    "The number of distinct values.",
    nulls="never",
)
aggregate(
    "dcountif(value: any, predicate: bool, const accuracy: integer?) -> long",
    _DISTINCT.replace("{filter}", " FILTER (WHERE {predicate.condition})"),
    "The number of distinct values, of the rows for which the predicate is true.",
    nulls="never",
)
_with_if("count_distinct", "value: any", "long", _DISTINCT, "The number of distinct values.", nulls="never")

# how much: the real forms come first, for a value whose type only shows when the query runs

_with_if("sum", "value: real", "real", "coalesce(sum({value}){filter}, 0)", "The sum.", nulls="never")
# a sum beyond 64 bits is null: Kusto's is meaningless then
_with_if("sum", "value: integer", "long", "TRY_CAST(coalesce(sum({value}){filter}, 0) AS BIGINT)", "The sum.")
_with_if("sum", "value: decimal", "decimal", "TRY_CAST(coalesce(sum({value}){filter}, 0) AS DECIMAL(38, 17))", "The sum.")
_with_if("sum", "value: timespan", "timespan", "TRY_CAST(coalesce(sum({value}){filter}, 0) AS BIGINT)", "The sum.")

_with_if("avg", "value: real", "real", "coalesce(avg({value}){filter}, 'NaN'::DOUBLE)", "The mean; NaN of no values.", nulls="never")
_with_if("avg", "value: integer", "real", "coalesce(avg({value}){filter}, 'NaN'::DOUBLE)", "The mean; NaN of no values.", nulls="never")
_with_if("avg", "value: decimal", "decimal", "TRY_CAST(avg({value}){filter} AS DECIMAL(38, 17))", "The mean.")
_with_if("avg", "value: timespan", "timespan", "TRY_CAST(trunc(avg({value}){filter}) AS BIGINT)", "The mean.")
_with_if("avg", "value: datetime", "datetime", "make_timestamp(CAST(floor(avg(epoch_us({value})){filter}) AS BIGINT))", "The mean.")

_SAMPLE = "The standard deviation, of a sample."
_with_if("stdev", "value: real", "real", "coalesce(stddev_samp({value}){filter}, 0)", _SAMPLE, nulls="never")
aggregate("stdevp(value: real) -> real", "coalesce(stddev_pop({value}), 0)", "The standard deviation, of all there are.", nulls="never")
# Kusto answers ten decimals of a variance, but all of its root
_ROUNDED_VARIANCE = "round(coalesce({function}({value}){filter}, 0), 10)"
_ROUNDED_COVARIANCE = "round({function}({first}, {second}){filter}, 10)"
for _name, _function in (("variance", "var_samp"), ("variancep", "var_pop")):
    _sql = _ROUNDED_VARIANCE.replace("{function}", _function)
    _with_if(_name, "value: real", "real", _sql, "The variance, of a sample or (p) of all there are.", nulls="never")
for _name, _function in (("covariance", "covar_samp"), ("covariancep", "covar_pop")):
    _sql = _ROUNDED_COVARIANCE.replace("{function}", _function)
    _with_if(_name, "first: real, second: real", "real", _sql, "The covariance, of a sample or (p) of all there are.")
for _name in ("and", "or", "xor"):
    aggregate(f"binary_all_{_name}(value: integer)", f"bit_{_name}({{value}})", "All values, bit by bit.", returns=_same)

# the least, the greatest, and the rows that have them

for _name in ("min", "max"):
    for _types in _ORDERED:
        _summary = f"The {'least' if _name == 'min' else 'greatest'} value."
        _with_if(_name, f"value: {_types}", "", f"{_name}({{value}}){{filter}}", _summary, returns=_same)


def _value_of_row(extreme: str, by: Argument, value: Argument) -> str:
    """The value in the row of the extreme; where all of them are null, in the first row.

    DuckDB updates and merges all aggregates of a group in the same order, so that several of these answer from one row even where several
    rows have the extreme.
    """
    if value.raw == by.raw:
        return f"{extreme}({by})"
    found = f"arg_{extreme}_null({value}, {by})"
    if not by.is_nullable or by.type == "string":
        return found
    return f"CASE WHEN count({by}) > 0 THEN {found} ELSE first({value}) END"


def _value_of_least(by: Argument, value: Argument) -> str:
    return _value_of_row("min", by, value)


def _value_of_greatest(by: Argument, value: Argument) -> str:
    return _value_of_row("max", by, value)


for _types in _ORDERED:
    aggregate(f"arg_min(by: {_types}, value: T) -> T", _value_of_least, "The value in the row where `by` is least.", aliases=("argmin",))
    aggregate(
        f"arg_max(by: {_types}, value: T) -> T", _value_of_greatest, "The value in the row where `by` is greatest.", aliases=("argmax",)
    )


def _any_value(value: Argument, predicate: Argument | None = None) -> str:
    """Of a single column Kusto prefers values that are not null and not empty."""
    filled = f"nullif({value.raw}, '')" if value.type == "string" else value.sql
    return f"any_value({filled})" if predicate is None else f"any_value({filled}) FILTER (WHERE {predicate.condition})"


aggregate("take_any(value: T) -> T", _any_value, "A value that is not null, if there is one.", aliases=("any",))
aggregate("take_anyif(value: T, predicate: bool) -> T", _any_value, "A value of a row for which the predicate is true.", aliases=("anyif",))
aggregate("take_any_of_row(value: T) -> T", "first({value})", "The value of one row, the same row for all columns.")
