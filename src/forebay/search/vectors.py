"""The vectors of the current versions, kept in memory and brought up to date from the catalog."""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forebay.errors import ForebayError
from forebay.search.matrix import VectorMatrix

_LOAD_ROW_COUNT = 2048  # so many vectors are in flight when loading
_FLOAT = np.dtype("<f4")  # as vectors are stored

# two look-ups in indexes, where one aggregate over both columns would read the table
_NEWEST = "SELECT max(coalesce((SELECT max(valid_from) FROM versions), 0), coalesce((SELECT max(valid_to) FROM versions), 0))"
# (a unary plus keeps SQLite from choosing that column's index, under which nearly all versions lie)
_CLOSED = "SELECT project, id FROM versions WHERE valid_to > ? AND +valid_from <= ?"
_OPENED = """
    SELECT v.project, c.id, c.version_id, x.vector
    FROM versions v CROSS JOIN chunks c ON c.version_id = v.id CROSS JOIN vectors x ON x.text_id = c.text_id AND x.model = ?
    WHERE v.valid_from > ? AND +v.valid_to IS NULL"""


class SnapshotTooOld(Exception):
    """A signal: the transaction began before the newest commit that the index shows; begin another one."""


class VectorIndex:
    """One matrix a project, with the chunks of current versions that have vectors of one model.

    The index pulls: every search first applies what was committed since the last one, inside the search's own read
    transaction. So nothing has to notify it, and what a commit made current is found by the next search.

    It relies on rows of `versions` being kept: a closed version whose row is gone before any refresh would stay in memory.
    Safe to use from several threads.
    """

    def __init__(self, model_id: str, dimensions: int) -> None:
        self._model_id = model_id
        self._dimensions = dimensions
        self._lock = threading.Lock()
        self._matrices: dict[str, VectorMatrix] = {}
        self._shown_until = 0  # the transaction time up to which the matrices are complete

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Apply the commits that the connection's transaction sees and the index does not show yet.

        Call it within one read transaction. Raises `SnapshotTooOld` when the index is already newer than that
        transaction, `ForebayError` `index_damaged` when stored vectors do not fit the model.
        """
        with self._lock:
            self._refresh(connection)

    def search(
        self,
        connection: sqlite3.Connection,
        project: str,
        query: NDArray[np.float32],
        k: int,
        version_ids: NDArray[np.int64] | None = None,
        allowed_chunk_ids: NDArray[np.int64] | None = None,
    ) -> tuple[list[int], list[float]]:
        """The ids and cosines of the `k` chunks of a project nearest to `query`, best first, after a refresh.

        With `version_ids`, only chunks of these versions count, with `allowed_chunk_ids` only these chunks. Raises as `refresh` does.

        *Guarantees*: the answer is that of the connection's transaction, whatever other searches do meanwhile.
        """
        with self._lock:  # until the end, lest another search moves the index past this transaction
            self._refresh(connection)
            matrix = self._matrices.get(project)
            if matrix is None:
                return [], []
            chunk_ids, scores = matrix.search(query, k, version_ids, allowed_chunk_ids)
        return chunk_ids.tolist(), scores.tolist()

    def reset(self) -> None:
        """Forget everything; the next refresh loads it again."""
        with self._lock:
            self._forget()

    def _refresh(self, connection: sqlite3.Connection) -> None:
        newest = int(connection.execute(_NEWEST).fetchone()[0])
        if newest == self._shown_until:
            return
        if newest < self._shown_until:
            raise SnapshotTooOld(f"the index shows commits up to {self._shown_until}, the transaction up to {newest}")
        try:
            self._remove_closed(connection)
            self._add_opened(connection)
        except BaseException:
            self._forget()  # half of the changes would be neither the old state nor the new one
            raise
        self._shown_until = newest

    def _remove_closed(self, connection: sqlite3.Connection) -> None:
        closed: defaultdict[str, list[int]] = defaultdict(list)
        for project, version_id in connection.execute(_CLOSED, (self._shown_until, self._shown_until)):
            closed[project].append(version_id)
        for project, version_ids in closed.items():
            matrix = self._matrices.get(project)
            if matrix is not None:
                matrix.remove_versions(version_ids)
                if not len(matrix):
                    del self._matrices[project]

    def _add_opened(self, connection: sqlite3.Connection) -> None:
        cursor = connection.execute(_OPENED, (self._model_id, self._shown_until))
        while rows := cursor.fetchmany(_LOAD_ROW_COUNT):
            by_project: defaultdict[str, list[tuple[int, int, bytes]]] = defaultdict(list)
            for project, chunk_id, version_id, vector in rows:
                by_project[project].append((chunk_id, version_id, vector))
            for project, added in by_project.items():
                self._add(project, added)

    def _add(self, project: str, rows: Sequence[tuple[int, int, bytes]]) -> None:
        chunk_ids, version_ids, blobs = zip(*rows, strict=True)
        if any(len(blob) != self._dimensions * _FLOAT.itemsize for blob in blobs):
            raise ForebayError(
                "index_damaged",
                f"expected vectors of {self._dimensions} dimensions from the model {self._model_id}, found others in project {project}",
                hint="Run `forebay check index --repair`.",
                status=500,
            )
        vectors = np.frombuffer(b"".join(blobs), _FLOAT).reshape(len(rows), self._dimensions)
        matrix = self._matrices.setdefault(project, VectorMatrix(self._dimensions))
        matrix.add(np.array(chunk_ids, np.int64), np.array(version_ids, np.int64), vectors)

    def _forget(self) -> None:
        self._matrices.clear()
        self._shown_until = 0
