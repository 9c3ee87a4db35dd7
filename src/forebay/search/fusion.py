"""One ranking out of two."""

from __future__ import annotations

import math
from collections.abc import Mapping

# A chunk that says all of a query in rare words counts like so much cosine; one that shares a word or two, by the exponent, like little.
# Chosen on benchmarks/queries; see docs/adr/0004-fusion-by-scores.md.
TEXT_WEIGHT = 0.5
TEXT_EXPONENT = 1.5


def fuse_scores(
    text_scores: Mapping[int, float], cosines: Mapping[int, float], *, term_count: int, chunk_count: int
) -> list[tuple[int, float]]:
    """The chunks of both sides with their fused scores, best first; equal scores are ordered by chunk.

    The score is the cosine, and what the words add: 0.5 s^1.5, where s in [0, 1] is BM25 as a share of what `term_count` words could
    reach that occur once among `chunk_count` chunks. A chunk that is not among the nearest counts as near as the last of them.
    """
    farthest = min(cosines.values(), default=0.0)
    reachable = max(1, term_count) * math.log(chunk_count + 1)
    scores = [
        (chunk_id, cosines.get(chunk_id, farthest) + _text_share(text_scores.get(chunk_id, 0.0), reachable=reachable))
        for chunk_id in text_scores.keys() | cosines.keys()
    ]
    return sorted(scores, key=lambda scored: (-scored[1], scored[0]))


def _text_share(score: float, *, reachable: float) -> float:
    """What a BM25 score adds to the cosine, from 0 to 0.5."""
    if score <= 0 or reachable <= 0:
        return 0.0
    strength: float = min(1.0, score / reachable) ** TEXT_EXPONENT
    return TEXT_WEIGHT * strength
