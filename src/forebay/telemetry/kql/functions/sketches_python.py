"""What SQL cannot say of percentiles: those of weighted values, and the states of `tdigest` (`[[7], [values], [weights]]`, sorted)."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import Any

_VALUES = 1024  # of one state; beyond, neighbours become one: ranks are then wrong by 0.1 % at most
# SQL of the percentiles from which a state is made; as parts of a power of two they are exact
FRACTIONS = f"list_transform(range(1, {_VALUES + 1}), lambda place: place / {_VALUES})"


def weighted_rank(weights: Any, fraction: float | None) -> int | None:
    """The place, from 1, of the value of the nearest rank among values whose weights these are, in the order of the values."""
    if not weights or fraction is None or math.isnan(fraction):
        return None
    sums = list(accumulate(weights))
    rank = max(1, math.ceil(fraction * sums[-1] - 1e-9))
    return min(bisect_right(sums, rank - 0.5), len(sums) - 1) + 1


def digest_of_ranks(values: Any, count: int | None) -> Any:
    """The state of so many values, of which these are the ones at `FRACTIONS`: of up to `_VALUES` values, all of them."""
    if not values or not count:
        return None
    ranks = [0, *(-(-place * count // _VALUES) for place in range(1, _VALUES + 1))]
    weights = [rank - before for before, rank in pairwise(ranks)]
    return _compressed(_summed(values, weights))


def digest_of_weights(values: Any, weights: Any) -> Any:
    """The state of values that stand for many each."""
    return _compressed(_summed(values or (), weights or ())) if values else None


def merged_digests(digests: Any) -> Any:
    """One state of several; what is no state counts as none."""
    values: list[Any] = []
    weights: list[int] = []
    for digest in digests or ():
        if tdigest_isvalid(digest):
            values += digest[1]
            weights += digest[2]
    return _compressed(_summed(values, weights)) if values else None


def percentile_tdigest(digest: Any, percentile: float | None) -> Any:
    """The value of the nearest rank."""
    if not tdigest_isvalid(digest) or percentile is None:
        return None
    place = weighted_rank(digest[2], min(max(percentile, 0.0), 100.0) / 100)
    return None if place is None else digest[1][place - 1]


def percentiles_array_tdigest(digest: Any, percentiles: Any) -> Any:
    """Those of several percentiles."""
    if not tdigest_isvalid(digest) or not isinstance(percentiles, list):
        return None
    return [percentile_tdigest(digest, float(each)) if isinstance(each, (int, float)) else None for each in percentiles]


def rank_tdigest(digest: Any, value: float | None) -> float | None:
    """How many values are not greater."""
    if not tdigest_isvalid(digest) or value is None:
        return None
    return float(sum(weight for each, weight in zip(digest[1], digest[2], strict=True) if isinstance(each, (int, float)) and each <= value))


def percentrank_tdigest(digest: Any, value: float | None) -> float | None:
    """What part of the values are not greater, in percent."""
    rank = rank_tdigest(digest, value)
    return None if rank is None else 100 * rank / sum(digest[2])


def tdigest_isvalid(digest: Any) -> bool:
    """Whether it is a state."""
    return (
        isinstance(digest, list)
        and len(digest) == 3
        and isinstance(digest[1], list)
        and isinstance(digest[2], list)
        and 0 < len(digest[1]) == len(digest[2])
        and all(isinstance(each, int) and each > 0 for each in digest[2])
        and (all(isinstance(each, (int, float)) for each in digest[1]) or all(isinstance(each, str) for each in digest[1]))
    )


def _summed(values: Any, weights: Any) -> list[tuple[Any, int]]:
    """Distinct values in their order; numbers come before texts (of dates), and NaN is none."""
    sums: dict[Any, int] = {}
    for value, weight in zip(values, weights, strict=True):
        if weight and isinstance(value, (int, float, str)):
            sums[value] = sums.get(value, 0) + weight
    return sorted(sums.items(), key=lambda each: (isinstance(each[0], str), each[0]))


def _compressed(pairs: list[tuple[Any, int]]) -> Any:
    """The state with at most `_VALUES` values: beyond, each stands for those below it, down to the one before."""
    if len(pairs) > _VALUES:
        step = sum(weight for _, weight in pairs) / _VALUES
        kept: list[tuple[Any, int]] = []
        seen = pending = 0
        for index, (value, weight) in enumerate(pairs):
            seen += weight
            pending += weight
            if index == 0 or index == len(pairs) - 1 or seen >= step * len(kept):
                kept.append((value, pending))
                pending = 0
        pairs = kept
    return [[7], [value for value, _ in pairs], [weight for _, weight in pairs]]
