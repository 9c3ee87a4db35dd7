"""Exact nearest neighbours among unit vectors in memory."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_ROW_COUNT = 8192


@dataclass(frozen=True, slots=True)
class _Block:
    """Some rows of the matrix; memory that was never written to costs nothing."""

    vectors: NDArray[np.float32]
    chunk_ids: NDArray[np.int64]
    version_ids: NDArray[np.int64]


class VectorMatrix:
    """The vectors of chunks, compared with a query by one product a block (25 ms at 100,000 x 384).

    Memory grows block by block and never doubles: rows are stored once, and removed ones are overwritten by the last.

    *Guarantees*: results are exact and depend on the stored rows only, not on the order in which they came; equal scores
    are ordered by chunk id. Safe to use from several threads.
    """

    def __init__(self, dimensions: int, *, block_row_count: int = BLOCK_ROW_COUNT) -> None:
        self._dimensions = dimensions
        self._block_row_count = block_row_count
        self._blocks: list[_Block] = []
        self._row_count = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._row_count

    def add(self, chunk_ids: NDArray[np.int64], version_ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add rows: ids of shape (n,), unit vectors of shape (n, dimensions). The chunk ids must be new."""
        if vectors.shape != (len(chunk_ids), self._dimensions) or version_ids.shape != chunk_ids.shape:
            raise ValueError(f"expected {len(chunk_ids)} vectors of {self._dimensions} dimensions and as many ids, got {vectors.shape}")
        with self._lock:
            added = 0
            while added < len(chunk_ids):
                start = self._row_count % self._block_row_count
                if start == 0:
                    self._blocks.append(self._new_block())
                block = self._blocks[-1]
                count = min(self._block_row_count - start, len(chunk_ids) - added)
                block.vectors[start : start + count] = vectors[added : added + count]
                block.chunk_ids[start : start + count] = chunk_ids[added : added + count]
                block.version_ids[start : start + count] = version_ids[added : added + count]
                self._row_count += count
                added += count

    def remove_versions(self, version_ids: Collection[int]) -> None:
        """Remove all rows of these versions; unknown ones are ignored."""
        doomed = np.fromiter(version_ids, np.int64, len(version_ids))
        with self._lock:
            if not self._row_count or not len(doomed):
                return
            is_doomed = np.concatenate([np.isin(block.version_ids[:count], doomed) for block, count in self._filled()])
            kept_count = int(np.count_nonzero(~is_doomed))
            holes = np.flatnonzero(is_doomed[:kept_count])
            movers = np.flatnonzero(~is_doomed[kept_count:]) + kept_count
            for hole, mover in zip(holes.tolist(), movers.tolist(), strict=True):
                self._move(mover, hole)
            self._row_count = kept_count
            del self._blocks[-(-kept_count // self._block_row_count) :]

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        version_ids: NDArray[np.int64] | None = None,
        allowed_chunk_ids: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The ids and cosines of the `k` chunks nearest to the unit vector `query` of shape (dimensions,), best first.

        With `version_ids`, only chunks of these versions count, with `allowed_chunk_ids` only these chunks. There are fewer than
        `k` only if no more are allowed.
        """
        with self._lock:
            rows, scores = self._scores(query, version_ids, allowed_chunk_ids)
            if k < 1 or not len(scores):
                return np.empty(0, np.int64), np.empty(0, np.float64)
            if k < len(scores):
                # a product over a block rounds equal rows differently, by where they lie; so take all rows that may belong
                # to the k best and score those again, each by itself
                rounding = 2 * self._dimensions * float(np.finfo(np.float32).eps)
                threshold = np.partition(scores, len(scores) - k)[len(scores) - k] - rounding
                rows = rows[scores >= threshold]
            chunk_ids, exact = self._rescored(query, rows)
        order = np.lexsort((chunk_ids, -exact))[:k]
        return chunk_ids[order], exact[order]

    def _scores(
        self, query: NDArray[np.float32], version_ids: NDArray[np.int64] | None, allowed_chunk_ids: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The allowed rows, and their scores up to rounding."""
        rows: list[NDArray[np.intp]] = [np.empty(0, np.intp)]
        scores: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
        for number, (block, count) in enumerate(self._filled()):
            first_row = number * self._block_row_count
            block_scores = block.vectors[:count] @ query
            if version_ids is None and allowed_chunk_ids is None:
                rows.append(np.arange(first_row, first_row + count))
                scores.append(block_scores)
            else:
                is_allowed = np.ones(count, np.bool_)
                if version_ids is not None:
                    is_allowed &= np.isin(block.version_ids[:count], version_ids)
                if allowed_chunk_ids is not None:
                    is_allowed &= np.isin(block.chunk_ids[:count], allowed_chunk_ids)
                allowed = np.flatnonzero(is_allowed)
                rows.append(allowed + first_row)
                scores.append(block_scores[allowed])
        return np.concatenate(rows), np.concatenate(scores)

    def _rescored(self, query: NDArray[np.float32], rows: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Chunk ids and scores of ascending `rows`; a score depends on the row's values only."""
        wide_query = query.astype(np.float64)
        chunk_ids: list[NDArray[np.int64]] = []
        scores: list[NDArray[np.float64]] = []
        for number, block in enumerate(self._blocks):
            first_row = number * self._block_row_count
            start, stop = np.searchsorted(rows, (first_row, first_row + self._block_row_count))
            inside = rows[start:stop] - first_row
            chunk_ids.append(block.chunk_ids[inside])
            scores.append((block.vectors[inside] * wide_query).sum(axis=1))
        return np.concatenate(chunk_ids), np.concatenate(scores)

    def _filled(self) -> list[tuple[_Block, int]]:
        """Each block with the number of its rows in use."""
        return [(block, min(self._block_row_count, self._row_count - n * self._block_row_count)) for n, block in enumerate(self._blocks)]

    def _move(self, source_row: int, target_row: int) -> None:
        source_block, source = divmod(source_row, self._block_row_count)
        target_block, target = divmod(target_row, self._block_row_count)
        source_arrays, target_arrays = self._blocks[source_block], self._blocks[target_block]
        target_arrays.vectors[target] = source_arrays.vectors[source]
        target_arrays.chunk_ids[target] = source_arrays.chunk_ids[source]
        target_arrays.version_ids[target] = source_arrays.version_ids[source]

    def _new_block(self) -> _Block:
        def empty(*shape: int, dtype: Any) -> NDArray[Any]:
            return np.empty(shape, dtype)

        return _Block(
            empty(self._block_row_count, self._dimensions, dtype=np.float32),
            empty(self._block_row_count, dtype=np.int64),
            empty(self._block_row_count, dtype=np.int64),
        )
