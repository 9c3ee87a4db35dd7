"""Hybrid search: what matches in words, what is near in meaning, and where it stands."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from forebay.database.readers import Readers
from forebay.errors import ForebayError
from forebay.search.filters import SearchFilters, is_unicode
from forebay.search.fusion import reciprocal_rank_fusion
from forebay.search.query import match_expression
from forebay.search.vectors import SnapshotTooOld, VectorIndex

SearchMode = Literal["hybrid", "text", "vector"]

HIT_COUNT_LIMIT = 1000
QUERY_LENGTH_LIMIT = 8000  # characters
_CANDIDATE_COUNT = 100  # of each side, or k if that is more
_SNAPSHOT_TRIES = 6

# Names and symbols count half: in 600 searches of functions by their docstrings every weight up to 2 beat 0, the more so the
# greater it was, but there the words of the question often are those of the name.
_WEIGHTS = "bm25(1.0, 0.5)"

# CROSS JOIN fixes the order: FTS5 yields rows by rank, and the joins stop as soon as LIMIT rows are visible. Thus neither every
# match is joined, nor has a bound to be guessed and widened when other projects fill it.
_TEXT_CANDIDATES = f"""
    SELECT c.id, f.rank
    FROM chunk_search f
        CROSS JOIN chunks c ON c.id = f.rowid
        CROSS JOIN versions v ON v.id = c.version_id
        CROSS JOIN documents d ON d.id = v.document_id
    WHERE f.chunk_search MATCH ? AND f.rank MATCH '{_WEIGHTS}' AND d.current_version = c.version_id AND {{conditions}}
    ORDER BY f.rank LIMIT ?"""

_ALLOWED_VERSIONS = "SELECT d.current_version FROM documents d WHERE d.current_version IS NOT NULL AND {conditions}"

_HITS = """
    SELECT c.id, d.id, d.name, d.project, v.number, c.ordinal, t.text, c.first_line, c.last_line, c.start, c.stop, c.symbol
    FROM json_each(?) j
        CROSS JOIN chunks c ON c.id = j.value
        CROSS JOIN versions v ON v.id = c.version_id
        CROSS JOIN documents d ON d.id = v.document_id
        CROSS JOIN texts t ON t.id = c.text_id
    WHERE d.current_version = c.version_id AND d.project = ?"""


class QueryEmbedder(Protocol):
    """What search needs of an embedder."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of `texts`, as rows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A question to one project. Construction raises `ForebayError` with status 422 for what cannot be answered."""

    query: str
    project: str
    k: int = 10  # how many hits, at most
    mode: SearchMode = "hybrid"
    filters: SearchFilters = field(default_factory=SearchFilters)

    def __post_init__(self) -> None:
        """Refuse what is out of bounds."""
        if not 1 <= self.k <= HIT_COUNT_LIMIT:
            raise ForebayError("invalid_k", f"expected k between 1 and {HIT_COUNT_LIMIT}, got {self.k}", status=422)
        if self.mode not in get_args(SearchMode):
            raise ForebayError("invalid_mode", f"expected the mode to be hybrid, text or vector, got {self.mode!r}", status=422)
        if not self.query.strip():
            raise ForebayError("empty_query", "expected a query with some text in it, got an empty one", status=422)
        if len(self.query) > QUERY_LENGTH_LIMIT:
            raise ForebayError(
                "query_too_long",
                f"expected a query of at most {QUERY_LENGTH_LIMIT} characters, got {len(self.query)}",
                hint="Search for the sentence that matters most.",
                status=422,
            )
        if not (is_unicode(self.query) and is_unicode(self.project)):
            raise ForebayError("invalid_query", "expected valid Unicode in query and project, got a lone surrogate", status=422)


@dataclass(frozen=True, slots=True, kw_only=True)
class HitRanks:
    """Places in the two rankings, from 1; None where the chunk is not among the candidates."""

    text: int | None
    vector: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A chunk that answers the query, with what is needed to cite it."""

    document_id: str
    name: str
    project: str
    version: int
    chunk_id: str
    score: float  # hybrid: fused; vector: the cosine; text: BM25; greater is better, and only comparable within one answer
    ranks: HitRanks
    text: str
    lines: tuple[int, int]  # from 1, inclusive
    characters: tuple[int, int]  # code points of the decoded document, half open
    symbol: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """The hits, best first."""

    hits: tuple[SearchHit, ...]
    took_ms: float


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Chunk ids, best first, with their scores."""

    chunk_ids: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def ranks(self) -> dict[int, int]:
        return {chunk_id: rank for rank, chunk_id in enumerate(self.chunk_ids, 1)}


class Search:
    """Searches the current versions of the catalog.

    *Guarantees*: an answer shows one state of the catalog, and everything committed before the search began; only chunks of
    the request's project are looked at; vector and hybrid search return k hits when k chunks match the filters; equal
    states give equal answers.
    """

    def __init__(self, readers: Readers, embedder: QueryEmbedder, vector_index: VectorIndex) -> None:
        self._readers = readers
        self._embedder = embedder
        self._vector_index = vector_index

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """The chunks that answer `request`.

        A hybrid search whose query has no word in it (`???`) goes by vectors alone. Raises `ForebayError`
        `embedding_failed` when the query cannot be embedded, `search_busy` when commits outran it again and again.
        """
        started = time.perf_counter()
        expression = match_expression(request.query) if request.mode != "vector" else None
        vector = (await self._embedder.embed([request.query]))[0] if request.mode != "text" else None
        hits = await self._in_a_snapshot(lambda connection: self._hits(connection, request, expression, vector))
        return SearchAnswer(hits=hits, took_ms=(time.perf_counter() - started) * 1000)

    async def _in_a_snapshot(self, function: Callable[[sqlite3.Connection], tuple[SearchHit, ...]]) -> tuple[SearchHit, ...]:
        """Run `function` in a read transaction that is not older than the vector index."""
        for attempt in range(_SNAPSHOT_TRIES):
            if attempt == _SNAPSHOT_TRIES // 2:
                self._vector_index.reset()  # not outrun by commits, then: the catalog went back, as a restore makes it do
            try:
                return await self._readers.run(function)
            except SnapshotTooOld:
                continue
        raise ForebayError(
            "search_busy", "expected a snapshot of the catalog that stays current, but commits outran it", retryable=True, status=503
        )

    def _hits(
        self, connection: sqlite3.Connection, request: SearchRequest, expression: str | None, vector: NDArray[np.float32] | None
    ) -> tuple[SearchHit, ...]:
        limit = max(_CANDIDATE_COUNT, request.k)
        near = self._vector_candidates(connection, request, vector, limit) if vector is not None else _Candidates()
        matching = _text_candidates(connection, request, expression, limit) if expression is not None else _Candidates()
        if request.mode == "hybrid":
            ranked = reciprocal_rank_fusion([matching.chunk_ids, near.chunk_ids])
        else:
            chosen = near if request.mode == "vector" else matching
            ranked = list(zip(chosen.chunk_ids, chosen.scores, strict=True))
        return _cited(connection, request, ranked, matching.ranks(), near.ranks())

    def _vector_candidates(
        self, connection: sqlite3.Connection, request: SearchRequest, vector: NDArray[np.float32], limit: int
    ) -> _Candidates:
        allowed = _allowed_versions(connection, request) if request.filters.conditions() else None
        return _Candidates(*self._vector_index.search(connection, request.project, vector, limit, allowed))


def _conditions(request: SearchRequest) -> tuple[str, list[str | int]]:
    """An SQL condition over `documents d` and its parameters."""
    conditions = [("d.project = ?", request.project), *request.filters.conditions()]
    return " AND ".join(condition for condition, _ in conditions), [value for _, value in conditions]


def _allowed_versions(connection: sqlite3.Connection, request: SearchRequest) -> NDArray[np.int64]:
    condition, values = _conditions(request)
    rows = connection.execute(_ALLOWED_VERSIONS.format(conditions=condition), values)
    return np.fromiter((version_id for (version_id,) in rows), np.int64)


def _text_candidates(connection: sqlite3.Connection, request: SearchRequest, expression: str, limit: int) -> _Candidates:
    condition, values = _conditions(request)
    found = connection.execute(_TEXT_CANDIDATES.format(conditions=condition), (expression, *values, limit)).fetchall()
    found.sort(key=lambda row: (row[1], row[0]))  # equal ranks by chunk id
    return _Candidates([chunk_id for chunk_id, _ in found], [-rank for _, rank in found])  # FTS5 negates BM25


def _cited(
    connection: sqlite3.Connection,
    request: SearchRequest,
    ranked: Sequence[tuple[int, float]],
    text_ranks: dict[int, int],
    vector_ranks: dict[int, int],
) -> tuple[SearchHit, ...]:
    """The first k of `ranked` that are visible, with their texts and places."""
    hits: list[SearchHit] = []
    for start in range(0, len(ranked), request.k):
        page = ranked[start : start + request.k]
        wanted = json.dumps([chunk_id for chunk_id, _ in page])
        rows = {row[0]: row for row in connection.execute(_HITS, (wanted, request.project))}
        for chunk_id, score in page:
            if chunk_id in rows:
                ranks = HitRanks(text=text_ranks.get(chunk_id), vector=vector_ranks.get(chunk_id))
                hits.append(_hit(rows[chunk_id], score, ranks))
        if len(hits) >= request.k:
            break
    return tuple(hits[: request.k])


def _hit(row: Sequence[Any], score: float, ranks: HitRanks) -> SearchHit:
    _, document_id, name, project, version, ordinal, text, first_line, last_line, start, stop, symbol = row
    return SearchHit(
        document_id=document_id,
        name=name,
        project=project,
        version=version,
        chunk_id=f"{document_id}-{version}-{ordinal}",
        score=score,
        ranks=ranks,
        text=text,
        lines=(first_line, last_line),
        characters=(start, stop),
        symbol=symbol,
    )
