from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.search.fusion import TEXT_WEIGHT, fuse_scores

scores = st.dictionaries(st.integers(1, 30), st.floats(1e-6, 100), max_size=20)
cosines = st.dictionaries(st.integers(1, 30), st.floats(-1, 1), max_size=20)


def test_without_words_the_score_is_the_cosine() -> None:
    assert fuse_scores({}, {1: 0.2, 2: 0.7}, term_count=0, chunk_count=9) == [(2, 0.7), (1, 0.2)]


def test_without_vectors_the_words_decide() -> None:
    assert [chunk for chunk, _ in fuse_scores({1: 0.5, 2: 3.0}, {}, term_count=1, chunk_count=100)] == [2, 1]


def test_a_chunk_that_says_all_of_a_query_gains_half_a_cosine() -> None:
    ((_, score), _) = fuse_scores({1: 1000.0}, {1: 0.25, 2: 0.25}, term_count=3, chunk_count=100)
    assert score == pytest.approx(0.25 + TEXT_WEIGHT)


def test_a_chunk_that_shares_one_word_of_many_gains_little() -> None:
    one_word = math.log(1001)
    assert fuse_scores({1: one_word}, {1: 0.4, 2: 0.5}, term_count=5, chunk_count=1000)[0][0] == 2
    assert fuse_scores({1: one_word}, {1: 0.4, 2: 0.5}, term_count=1, chunk_count=1000)[0][0] == 1


def test_a_chunk_that_only_the_words_found_is_as_near_as_the_last_candidate() -> None:
    fused = dict(fuse_scores({3: 1e-9}, {1: 0.6, 2: 0.3}, term_count=1, chunk_count=10))
    assert fused[3] == pytest.approx(0.3)


def test_equal_scores_are_ordered_by_chunk() -> None:
    assert [chunk for chunk, _ in fuse_scores({}, {5: 0.5, 3: 0.5, 4: 0.5}, term_count=0, chunk_count=5)] == [3, 4, 5]


@given(scores, cosines, st.integers(0, 64), st.integers(0, 10**6))
def test_every_candidate_is_ranked_once_and_more_words_never_hurt(
    text: dict[int, float], near: dict[int, float], term_count: int, chunk_count: int
) -> None:
    ranked = fuse_scores(text, near, term_count=term_count, chunk_count=chunk_count)
    assert sorted(chunk for chunk, _ in ranked) == sorted(text.keys() | near.keys())
    assert [score for _, score in ranked] == sorted((score for _, score in ranked), reverse=True)
    farthest = min(near.values(), default=0.0)
    for chunk, score in ranked:
        assert 0 <= score - near.get(chunk, farthest) <= TEXT_WEIGHT + 1e-9
