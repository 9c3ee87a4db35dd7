from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.search.fusion import reciprocal_rank_fusion

rankings = st.lists(st.lists(st.integers(0, 30), unique=True), max_size=4)


def test_a_score_is_the_sum_of_the_reciprocal_ranks() -> None:
    fused = dict(reciprocal_rank_fusion([[7, 8], [8]]))
    assert fused == {7: pytest.approx(1 / 61), 8: pytest.approx(1 / 62 + 1 / 61)}


def test_an_item_of_both_rankings_beats_the_first_of_one() -> None:
    assert reciprocal_rank_fusion([[1, 2, 3], [4, 2, 5]])[0][0] == 2


def test_equal_scores_are_ordered_by_item() -> None:
    assert [item for item, _ in reciprocal_rank_fusion([[9, 1], [3, 5]])] == [3, 9, 1, 5]


def test_no_rankings_give_nothing() -> None:
    assert reciprocal_rank_fusion([]) == []
    assert reciprocal_rank_fusion([[], []]) == []


@given(rankings)
def test_every_item_appears_once_and_scores_descend(found: list[list[int]]) -> None:
    fused = reciprocal_rank_fusion(found)
    assert sorted(item for item, _ in fused) == sorted({item for ranking in found for item in ranking})
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


@given(rankings)
def test_the_order_of_the_rankings_does_not_matter(found: list[list[int]]) -> None:
    assert all(reciprocal_rank_fusion(order) == reciprocal_rank_fusion(found) for order in permutations(found))


@given(st.lists(st.integers(), unique=True))
def test_one_ranking_stays_as_it_is(ranking: list[int]) -> None:
    assert [item for item, _ in reciprocal_rank_fusion([ranking])] == ranking
