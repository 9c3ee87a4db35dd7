from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from forebay.search.matrix import VectorMatrix

DIMENSIONS = 3

coordinates = st.lists(st.integers(-2, 2), min_size=DIMENSIONS, max_size=DIMENSIONS).filter(any)
additions = st.tuples(st.just("add"), st.integers(1, 5), st.lists(coordinates, max_size=7))
removals = st.tuples(st.just("remove"), st.lists(st.integers(1, 6), max_size=3), st.none())


def unit(values: list[int]) -> NDArray[np.float32]:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def ids(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


Rows = dict[int, tuple[int, NDArray[np.float32]]]  # chunk id -> version id, vector


def brute_force(rows: Rows, query: NDArray[np.float32], k: int, versions: list[int] | None) -> list[tuple[int, float]]:
    scores = [
        (chunk_id, float((vector * query.astype(np.float64)).sum()))
        for chunk_id, (version_id, vector) in rows.items()
        if versions is None or version_id in versions
    ]
    return sorted(scores, key=lambda scored: (-scored[1], scored[0]))[:k]


def found(matrix: VectorMatrix, query: NDArray[np.float32], k: int, versions: list[int] | None = None) -> list[tuple[int, float]]:
    chunk_ids, scores = matrix.search(query, k, None if versions is None else np.array(versions, np.int64))
    return list(zip(chunk_ids.tolist(), scores.tolist(), strict=True))


@given(
    operations=st.lists(additions | removals, max_size=12),
    query=coordinates,
    k=st.integers(1, 40),
    versions=st.none() | st.lists(st.integers(1, 6), max_size=4),
    block_row_count=st.integers(1, 9),
    descending=st.booleans(),
)
def test_it_finds_what_comparing_every_vector_finds(
    *,
    operations: list[tuple[str, int | list[int], list[list[int]] | None]],
    query: list[int],
    k: int,
    versions: list[int] | None,
    block_row_count: int,
    descending: bool,
) -> None:
    matrix = VectorMatrix(DIMENSIONS, block_row_count=block_row_count)
    rows: Rows = {}
    next_id = 1000
    for kind, version, vectors in operations:
        if kind == "add":
            assert isinstance(version, int)
            assert vectors is not None
            added = []
            for vector in vectors:
                next_id += -1 if descending else 1
                rows[next_id] = (version, unit(vector))
                added.append(next_id)
            stacked = np.array([rows[chunk_id][1] for chunk_id in added], np.float32).reshape(len(added), DIMENSIONS)
            matrix.add(ids(*added), np.full(len(added), version), stacked)
        else:
            assert isinstance(version, list)
            matrix.remove_versions(version)
            rows = {chunk_id: row for chunk_id, row in rows.items() if row[0] not in version}
        assert len(matrix) == len(rows)
        assert found(matrix, unit(query), k, versions) == brute_force(rows, unit(query), k, versions)


def test_equal_vectors_come_in_the_order_of_their_ids_wherever_they_lie() -> None:
    generator = np.random.default_rng(0)
    vector = generator.standard_normal(384).astype(np.float32)
    vector /= np.linalg.norm(vector)
    matrix = VectorMatrix(384, block_row_count=64)
    shuffled = generator.permutation(1001).astype(np.int64)
    matrix.add(shuffled, np.ones(1001, np.int64), np.tile(vector, (1001, 1)))
    assert [chunk_id for chunk_id, _ in found(matrix, vector, 10)] == list(range(10))


def test_near_ties_are_decided_by_the_exact_products() -> None:
    generator = np.random.default_rng(1)
    query = generator.standard_normal(384).astype(np.float32)
    query /= np.linalg.norm(query)
    # apart by far less than what a sum of 384 float32 products loses
    vectors = np.tile(query, (2000, 1)) * (1 + generator.standard_normal((2000, 384)) * 1e-7).astype(np.float32)
    rows: Rows = {number: (1, vector) for number, vector in enumerate(vectors)}
    matrix = VectorMatrix(384, block_row_count=300)
    matrix.add(np.arange(2000), np.ones(2000, np.int64), vectors)
    assert found(matrix, query, 20) == brute_force(rows, query, 20, None)


def test_an_empty_matrix_finds_nothing() -> None:
    assert found(VectorMatrix(DIMENSIONS), unit([1, 0, 0]), 5) == []


def test_blocks_are_given_back_when_rows_go() -> None:
    matrix = VectorMatrix(DIMENSIONS, block_row_count=2)
    for version in range(10):
        matrix.add(ids(version), ids(version), unit([1, 0, 0])[np.newaxis])
    matrix.remove_versions(range(1, 10))
    assert found(matrix, unit([1, 0, 0]), 5) == [(0, 1.0)]
    assert len(matrix._blocks) == 1


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 dimensions"):
        VectorMatrix(DIMENSIONS).add(ids(1), ids(1), np.ones((1, 4), np.float32))


def test_threads_may_add_remove_and_search_at_once() -> None:
    matrix = VectorMatrix(DIMENSIONS, block_row_count=16)
    matrix.add(ids(0), ids(-1), unit([1, 0, 0])[np.newaxis])

    def churn(thread: int) -> None:
        for turn in range(100):
            version = thread * 1000 + turn
            matrix.add(ids(*range(version * 10 + 1, version * 10 + 6)), np.full(5, version), np.tile(unit([0, 1, 1]), (5, 1)))
            assert found(matrix, unit([1, 0, 0]), 1) == [(0, 1.0)]
            assert len(found(matrix, unit([0, 1, 1]), 5, [version])) == 5
            matrix.remove_versions([version])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(churn, range(1, 5)))
    assert len(matrix) == 1
