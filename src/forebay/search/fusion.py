"""One ranking out of several."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

RANK_CONSTANT = 60  # as in the paper; it keeps the first places of one ranking from deciding everything


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]], *, rank_constant: int = RANK_CONSTANT) -> list[tuple[int, float]]:
    """The items of all `rankings` (each best first, without repetition) with their fused scores, best first.

    An item's score is the sum of 1 / (rank_constant + rank) over the rankings that have it, ranks counted from 1
    (Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
    SIGIR 2009). Equal scores are ordered by item.
    """
    shares: defaultdict[int, list[float]] = defaultdict(list)
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            shares[item].append(1 / (rank_constant + rank))
    # fsum: the order of the rankings must not show in the last digit
    scores = [(item, math.fsum(parts)) for item, parts in shares.items()]
    return sorted(scores, key=lambda scored: (-scored[1], scored[0]))
