"""How many values sets have in common, of the states that `hll` keeps (`aggregates_sketches.py`): the least hashes of each."""

from __future__ import annotations

from forebay.telemetry.kql.functions.aggregates_sketches import _HASH_RANGE, _HASHES, _hashes
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import operator


def _dcount_of_intersection(*states: Argument) -> str:
    """Of the least hashes of all sets together, so many are in each of them: the same part of all values."""
    sets = [_hashes(state.once) for state in states]
    union = f"list_sort(list_distinct(flatten([{', '.join(sets)}])))[:{_HASHES}]"
    common = union
    for each in sets:
        common = f"list_intersect({common}, {each})"
    total = f"CASE WHEN len({union}) < {_HASHES} THEN 1 ELSE {_HASHES - 1} * {_HASH_RANGE!r} / ({union})[-1] / {_HASHES} END"
    return f"coalesce(CAST(round(len({common}) * {total}) AS BIGINT), 0)"


operator(
    "dcount_of_intersection(states: dynamic...) -> long",
    _dcount_of_intersection,
    "Internal: the number of values that are in all sets.",
    approximate="within 3 % of the values of all sets together (2.5 standard errors) beyond 16,384 of them, as Kusto's own; exact below",
    nulls="never",
)
