"""Percentiles, and what `hll` and `tdigest` keep of values so that counts and percentiles can be merged.

Percentiles are nearest ranks, exact: https://learn.microsoft.com/kusto/query/percentiles-aggregation-function#nearest-rank-percentile

A state of `hll` is `[[1024, 14], [hashes], []]` with the least hashes of the values, at most `_HASHES`. When it is not full they are
all there are, else their density tells the number (K minimum values, https://doi.org/10.1007/3-540-45726-7_1). A state of `tdigest` is
`[[7], [values], [weights]]`, sorted. Kusto's own states look alike, and its documentation says not to rely on them.
"""

from __future__ import annotations

import math

from forebay.telemetry.kql.functions import sketches_python
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.json_values import jsonable
from forebay.telemetry.kql.functions.registry import aggregate, scalar
from forebay.telemetry.kql.types import DUCKDB_TYPES, KqlType

_MEASURED = "real|long|datetime|timespan|decimal"


def _measured(value: Argument) -> tuple[str, KqlType]:
    """The values and their type in the answer: a decimal becomes real, as in Kusto."""
    return (f"{value}::DOUBLE", "real") if value.type == "decimal" else (str(value), value.type)


def _answer(kind: KqlType, *_: KqlType | None) -> KqlType:
    return "real" if kind == "decimal" else kind


def _fraction(percentile: Argument) -> str:
    if percentile.is_constant:
        return _part(percentile.value)
    return f"coalesce(greatest(0, least(1, TRY_CAST({percentile} AS DECIMAL(18, 6)) * 0.01)), 0)"


def _part(percentile: float | None) -> str:
    """As a decimal, of which DuckDB finds the exact rank; of what is not in 0..100 the nearer end."""
    if percentile is None or math.isnan(percentile):
        return "0"
    from decimal import Decimal

    return f"{Decimal(repr(min(max(float(percentile), 0.0), 100.0))) / 100:f}"


def _fractions(percentiles: tuple[Argument, ...]) -> str:
    if percentiles[0].type == "dynamic":
        values = percentiles[0].value if isinstance(percentiles[0].value, list) else []
        return f"[{', '.join(_part(each) for each in values if isinstance(each, (int, float)))}]"
    return f"[{', '.join(map(_fraction, percentiles))}]"


def _percentile(value: Argument, percentile: Argument) -> str:
    values, _ = _measured(value)
    return f"quantile_disc({values}, {_fraction(percentile)})"


def _percentiles_array(value: Argument, *percentiles: Argument) -> str:
    values, kind = _measured(value)
    return f"to_json(list_transform(quantile_disc({values}, {_fractions(percentiles)}), lambda each: {jsonable('each', kind)}))"


_rank = scalar(
    "_weighted_rank(weights: dynamic, fraction: real) -> long",
    None,
    "Internal: the place of a percentile.",
    python=sketches_python.weighted_rank,
)


def _weighted(value: Argument, weight: Argument) -> tuple[str, str]:
    """The values in their order, and as JSON the weights in that order."""
    some = f"FILTER (WHERE {value} IS NOT NULL AND {weight} > 0)"
    order = f"CAST({value} AS {DUCKDB_TYPES[value.type]})"  # a literal alone orders nothing, which DuckDB refuses
    return f"list({_measured(value)[0]} ORDER BY {order}) {some}", f"to_json(list({weight} ORDER BY {order}) {some})"


def _percentilew(value: Argument, weight: Argument, percentile: Argument) -> str:
    values, weights = _weighted(value, weight)
    return f"({values})[{_rank.python_name}({weights}, {_fraction(percentile)})]"


def _percentilesw_array(value: Argument, weight: Argument, *percentiles: Argument) -> str:
    values, weights = _weighted(value, weight)
    found = f"list_transform({_fractions(percentiles)}, lambda fraction: ({values})[{_rank.python_name}({weights}, fraction)])"
    each = jsonable("each", _answer(value.type))
    return f"CASE WHEN count({value}) > 0 THEN to_json(list_transform({found}, lambda each: {each})) END"


aggregate(f"percentile(value: {_MEASURED}, const percentile: real)", _percentile, "The value of the nearest rank.", returns=_answer)
aggregate(
    f"percentiles_array(value: {_MEASURED}, const first: real, const more: real...) -> dynamic",
    _percentiles_array,
    "Percentiles, as an array.",
)
aggregate(f"percentiles_array(value: {_MEASURED}, const percentiles: dynamic) -> dynamic", _percentiles_array, "Percentiles, as an array.")
aggregate(
    f"percentilew(value: {_MEASURED}, weight: long, const percentile: real)",
    _percentilew,
    "A percentile of values that stand for many.",
    returns=_answer,
)
aggregate(
    f"percentilesw_array(value: {_MEASURED}, weight: long, const first: real, const more: real...) -> dynamic",
    _percentilesw_array,
    "Those, as an array.",
)
aggregate(
    f"percentilesw_array(value: {_MEASURED}, weight: long, const percentiles: dynamic) -> dynamic",
    _percentilesw_array,
    "Those, as an array.",
)

# tdigest

_RANKS = "within 0.1 % of the rank beyond 1,024 distinct values (Kusto's own: within 1 %); exact below"

_ranked = scalar(
    "_digest_of_ranks(values: dynamic, count: long) -> dynamic", None, "Internal: a state.", python=sketches_python.digest_of_ranks
)
_weighed = scalar(
    "_digest_of_weights(values: dynamic, weights: dynamic) -> dynamic", None, "Internal: a state.", python=sketches_python.digest_of_weights
)


def _tdigest(value: Argument, weight: Argument | None = None) -> str:
    element = jsonable("each", value.type)
    if weight is None:
        values = f"to_json(list_transform(quantile_disc({value}, {sketches_python.FRACTIONS}), lambda each: {element}))"
        return f"CASE WHEN count({value}) > 0 THEN {_ranked.python_name}({values}, count({value}))::JSON END"
    some = f"FILTER (WHERE {value} IS NOT NULL AND {weight} > 0)"
    values = f"to_json(list_transform(list({value}) {some}, lambda each: {element}))"
    return f"CASE WHEN count({value}) > 0 THEN {_weighed.python_name}({values}, to_json(list({weight}) {some}))::JSON END"


_merged = scalar(
    "_merged_digests(digests: dynamic) -> dynamic", None, "Internal: one state of several.", python=sketches_python.merged_digests
)

aggregate(
    "tdigest(value: real|long|datetime, weight: long?) -> dynamic",
    _tdigest,
    "What is needed for percentiles, mergeable.",
    approximate=_RANKS,
)
aggregate(
    "merge_tdigest(digest: dynamic) -> dynamic",
    f"{_merged.python_name}(to_json(list({{digest}})))::JSON",
    "One state of several.",
    aliases=("tdigest_merge",),
)
scalar(
    "merge_tdigest(first: dynamic, second: dynamic, more: dynamic...) -> dynamic",
    lambda *digests: f"{_merged.python_name}(json_array({', '.join(map(str, digests))}))::JSON",
    "One state of several.",
    aliases=("tdigest_merge",),
)
scalar("percentile_tdigest(digest: dynamic, percentile: real) -> dynamic", None, "A percentile.", python=sketches_python.percentile_tdigest)
scalar(
    "percentiles_array_tdigest(digest: dynamic, percentiles: real...) -> dynamic",
    None,
    "Percentiles, as an array.",
    python=sketches_python.percentiles_array_tdigest,
)
scalar(
    "percentiles_array_tdigest(digest: dynamic, percentiles: dynamic) -> dynamic",
    None,
    "Percentiles, as an array.",
    python=sketches_python.percentiles_array_tdigest,
)
scalar("rank_tdigest(digest: dynamic, value: real) -> real", None, "How many values are not greater.", python=sketches_python.rank_tdigest)
scalar("percentrank_tdigest(digest: dynamic, value: real) -> real", None, "That, in percent.", python=sketches_python.percentrank_tdigest)
scalar("tdigest_isvalid(digest: dynamic) -> bool", None, "Whether it is a state of tdigest.", python=sketches_python.tdigest_isvalid)

# hll

_HASHES = 16_384  # an error of 0.8 %, as that of dcount()
_HASH_RANGE = 2.0**63
_APPROXIMATE = "within 0.8 % (one standard deviation) beyond 16,384 distinct values, as Kusto's own; exact below"


def _state(hashes: str) -> str:
    """NULL of no hashes."""
    return f"CAST('[[1024,14],' || to_json({hashes}) || ',[]]' AS JSON)"


def _hashes(state: str) -> str:
    return f"TRY_CAST(json_extract({state}, '$[1]') AS BIGINT[])"


def _hll(value: Argument, accuracy: Argument | None = None, predicate: Argument | None = None) -> str:
    conditions = [] if value.type == "string" else [f"{value} IS NOT NULL"]
    if predicate is not None:
        conditions.append(predicate.condition)
    some = f" FILTER (WHERE {' AND '.join(conditions)})" if conditions else ""
    return _state(f"min(DISTINCT CAST(hash({value}) >> 1 AS BIGINT), {_HASHES}){some}")


def _hll_if(value: Argument, predicate: Argument, accuracy: Argument | None = None) -> str:
    return _hll(value, accuracy, predicate)


def _merged_hll(*states: Argument) -> str:
    hashes = ", ".join(_hashes(str(each)) for each in states)
    return _state(f"list_sort(list_distinct(flatten([{hashes}])))[:{_HASHES}]")


def _merged_hll_group(state: Argument) -> str:
    return _state(f"list_sort(list_distinct(flatten(list({_hashes(str(state))}))))[:{_HASHES}]")


def _dcount_hll(state: Argument) -> str:
    hashes = _hashes(state.once)
    estimate = f"TRY_CAST(round({_HASHES - 1} * {_HASH_RANGE!r} / nullif({hashes}[-1], 0)) AS BIGINT)"
    return f"CASE WHEN len({hashes}) < {_HASHES} THEN len({hashes}) ELSE {estimate} END"


# numbers of one value hash alike whatever their type
_HASHED = "long|real|decimal|datetime|timespan|string|guid|bool|dynamic"
aggregate(
    f"hll(value: {_HASHED}, const accuracy: integer?) -> dynamic",
    _hll,
    "What is needed to count distinct values.",
    approximate=_APPROXIMATE,
)
aggregate(
    f"hll_if(value: {_HASHED}, predicate: bool, const accuracy: integer?) -> dynamic",
    _hll_if,
    "hll, where it is true.",
    approximate=_APPROXIMATE,
)
aggregate("hll_merge(state: dynamic) -> dynamic", _merged_hll_group, "One state of several.", approximate=_APPROXIMATE)
scalar(
    "hll_merge(first: dynamic, second: dynamic, more: dynamic...) -> dynamic",
    _merged_hll,
    "One state of several.",
    approximate=_APPROXIMATE,
)
scalar("dcount_hll(state: dynamic) -> long", _dcount_hll, "The number of distinct values.", approximate=_APPROXIMATE)
scalar(
    "hll_isvalid(state: dynamic) -> bool",
    lambda state: f"({_hashes(str(state))} IS NOT NULL)",
    "Whether it is a state of hll.",
    nulls="never",
)
