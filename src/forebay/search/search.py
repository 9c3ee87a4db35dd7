"""Hybrid search: what matches in words, what is near in meaning, and where it stands."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from forebay.catalog.models import SearchedModel, searched_model
from forebay.database.readers import Readers
from forebay.errors import ForebayError
from forebay.search.filters import SearchFilters, is_unicode
from forebay.search.fusion import fuse_scores
from forebay.search.query import TextQuery, text_query
from forebay.search.snippet import CLOSING, OPENING, Snippet, best_snippet, marked_spans
from forebay.search.vectors import SnapshotTooOld, VectorIndex
from forebay.values.chunk import ChunkLocation

SearchMode = Literal["hybrid", "text", "vector"]

HIT_COUNT_LIMIT = 1000
QUERY_LENGTH_LIMIT = 8000  # characters
EMBEDDING_TIMEOUT_SECONDS = 10.0  # a first use of the local model takes about one
_CANDIDATE_COUNT = 100  # of each side, or k if that is more
_SNAPSHOT_TRIES = 6

# Names and symbols count like the text: with half the weight, documents were found worse by their names and no better otherwise.
_WEIGHTS = "bm25(1.0, 1.0)"

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

_CHUNK_COUNT = "SELECT coalesce(max(id), 0) FROM chunks"  # about: a count would read the whole table

# One rowid at a time: FTS5 would walk through all matches for a list of them.
_MARKED = """
    SELECT j.value, highlight(chunk_search, 0, ?, ?) FROM json_each(?) j CROSS JOIN chunk_search
    WHERE chunk_search MATCH ? AND chunk_search.rowid = j.value"""

_REQUIRED = "SELECT rowid FROM chunk_search WHERE chunk_search MATCH ?"

_HITS = """
    SELECT c.id, d.id, d.name, d.project, v.number, c.ordinal, t.text, c.first_line, c.last_line, c.start, c.stop, c.symbol, c.location
    FROM json_each(?) j
        CROSS JOIN chunks c ON c.id = j.value
        CROSS JOIN versions v ON v.id = c.version_id
        CROSS JOIN documents d ON d.id = v.document_id
        CROSS JOIN texts t ON t.id = c.text_id
    WHERE d.current_version = c.version_id AND d.project = ?"""


class QueryEmbedder(Protocol):
    """What search needs of an embedder."""

    @property
    def dimensions(self) -> int:
        """The length of every vector."""
        ...

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
class HitScores:
    """What the two rankings go by; None where the chunk is not among the candidates."""

    text: float | None  # BM25
    vector: float | None  # the cosine


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
    location: ChunkLocation | None = None
    scores: HitScores
    snippet: Snippet


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """The hits, best first."""

    hits: tuple[SearchHit, ...]
    took_ms: float
    warning: str | None = None  # why this is less than was asked for


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Chunk ids, best first, with their scores."""

    chunk_ids: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def ranks(self) -> dict[int, int]:
        return {chunk_id: rank for rank, chunk_id in enumerate(self.chunk_ids, 1)}

    def by_chunk(self) -> dict[int, float]:
        return dict(zip(self.chunk_ids, self.scores, strict=True))


@dataclass(frozen=True, slots=True)
class _Model:
    """What searches go by at present."""

    searched: SearchedModel
    embedder: QueryEmbedder
    index: VectorIndex


@dataclass(frozen=True, slots=True)
class _Meaning:
    """The query as a vector of a model."""

    model: _Model
    vector: NDArray[np.float32]


class _ModelChanged(Exception):
    """A signal: the index has gone over to another model; embed the query again."""


class Search:
    """Searches the current versions of the catalog.

    *Guarantees*: an answer shows one state of the catalog, and everything committed before the search began; only chunks of
    the request's project are looked at; vector and hybrid search return k hits when k chunks match the filters; equal
    states give equal answers.
    """

    def __init__(
        self,
        readers: Readers,
        embedders: Mapping[str, QueryEmbedder],
        open_index: Callable[[str, int], VectorIndex] = VectorIndex,
    ) -> None:
        """Search by whichever of `embedders`, by model id, the catalog says that the index goes by."""
        self._readers = readers
        self._embedders = embedders
        self._open_index = open_index
        self._model: _Model | None = None

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """The chunks that answer `request`.

        A hybrid search whose query has no word in it (`???`) goes by vectors alone, one whose query cannot be embedded by
        words alone, with a warning. Raises `ForebayError` `embedding_failed` when the query cannot be embedded and there is
        nothing else to go by, `search_busy` when commits outran it again and again.
        """
        started = time.perf_counter()
        words = text_query(request.query)
        meaning, warning = await self._meaning(request, words)
        for attempt in range(_SNAPSHOT_TRIES):
            if attempt == _SNAPSHOT_TRIES // 2 and meaning is not None:
                meaning.model.index.reset()  # not outrun by commits, then: the catalog went back, as a restore makes it do
            try:
                hits = await self._readers.run(partial(_hits, request=request, words=words, meaning=meaning))
                return SearchAnswer(hits=hits, took_ms=(time.perf_counter() - started) * 1000, warning=warning)
            except SnapshotTooOld:
                continue
            except _ModelChanged:
                if meaning is not None and self._model is meaning.model:  # else another search has loaded the new one by now
                    self._model = None
                meaning, warning = await self._meaning(request, words)
        raise ForebayError(
            "search_busy", "expected a snapshot of the catalog that stays current, but commits outran it", retryable=True, status=503
        )

    async def _current_model(self) -> _Model:
        """The model that the catalog names; it changes when a re-index is complete."""
        found = await self._readers.run(searched_model)
        if found is None or found.id not in self._embedders:
            raise ForebayError("embedding_failed", f"the embedder of {found.id if found else 'the index'} is not configured", status=503)
        if self._model is None or self._model.searched != found:
            embedder = self._embedders[found.id]
            self._model = _Model(found, embedder, self._open_index(found.id, embedder.dimensions))
        return self._model

    async def _meaning(self, request: SearchRequest, words: TextQuery | None) -> tuple[_Meaning | None, str | None]:
        """The query's vector, if it is needed; or, where words can do without it, why there is none."""
        if request.mode == "text":
            return None, None
        try:
            async with asyncio.timeout(EMBEDDING_TIMEOUT_SECONDS):
                model = self._model or await self._current_model()
                return _Meaning(model, (await model.embedder.embed([request.query]))[0]), None
        except TimeoutError:
            error = ForebayError(
                "embedding_failed",
                f"expected a vector of the query within {EMBEDDING_TIMEOUT_SECONDS:g} s, got none",
                hint="Ask again, or search with mode text.",
                retryable=True,
                status=503,
            )
        except ForebayError as refused:
            error = refused
        if request.mode == "vector" or words is None:
            raise error
        return None, f"the query could not be embedded, so these hits go by words alone: {error.message}"


def _hits(
    connection: sqlite3.Connection, request: SearchRequest, words: TextQuery | None, meaning: _Meaning | None
) -> tuple[SearchHit, ...]:
    limit = max(_CANDIDATE_COUNT, request.k)
    near = _Candidates() if meaning is None else _vector_candidates(connection, request, words, meaning, limit)
    matching, expression = _Candidates(), words.expression if words else None
    if words is not None and request.mode != "vector":
        matching = _text_candidates(connection, request, words.expression, limit)
        if not matching.chunk_ids and words.fallback:
            matching, expression = _text_candidates(connection, request, words.fallback, limit), words.fallback
    if request.mode == "hybrid":
        (chunk_count,) = connection.execute(_CHUNK_COUNT).fetchone()
        term_count = words.term_count if words else 0
        ranked = fuse_scores(matching.by_chunk(), near.by_chunk(), term_count=term_count, chunk_count=chunk_count)
    else:
        chosen = near if request.mode == "vector" else matching
        ranked = list(zip(chosen.chunk_ids, chosen.scores, strict=True))
    return _cited(connection, request, ranked, matching, near, expression)


def _vector_candidates(
    connection: sqlite3.Connection, request: SearchRequest, words: TextQuery | None, meaning: _Meaning, limit: int
) -> _Candidates:
    if searched_model(connection) != meaning.model.searched:
        raise _ModelChanged
    versions = _allowed_versions(connection, request) if request.filters.conditions() else None
    chunks = _quoting_chunks(connection, words.required) if words and words.required else None
    return _Candidates(*meaning.model.index.search(connection, request.project, meaning.vector, limit, versions, chunks))


def _conditions(request: SearchRequest) -> tuple[str, list[str | int]]:
    """An SQL condition over `documents d` and its parameters."""
    conditions = [("d.project = ?", request.project), *request.filters.conditions()]
    return " AND ".join(condition for condition, _ in conditions), [value for _, value in conditions]


def _allowed_versions(connection: sqlite3.Connection, request: SearchRequest) -> NDArray[np.int64]:
    condition, values = _conditions(request)
    rows = connection.execute(_ALLOWED_VERSIONS.format(conditions=condition), values)
    return np.fromiter((version_id for (version_id,) in rows), np.int64)


def _quoting_chunks(connection: sqlite3.Connection, required: str) -> NDArray[np.int64]:
    return np.fromiter((chunk_id for (chunk_id,) in connection.execute(_REQUIRED, (required,))), np.int64)


def _text_candidates(connection: sqlite3.Connection, request: SearchRequest, expression: str, limit: int) -> _Candidates:
    condition, values = _conditions(request)
    found = connection.execute(_TEXT_CANDIDATES.format(conditions=condition), (expression, *values, limit)).fetchall()
    found.sort(key=lambda row: (row[1], row[0]))  # equal ranks by chunk id
    return _Candidates([chunk_id for chunk_id, _ in found], [-rank for _, rank in found])  # FTS5 negates BM25


def _cited(
    connection: sqlite3.Connection,
    request: SearchRequest,
    ranked: Sequence[tuple[int, float]],
    matching: _Candidates,
    near: _Candidates,
    expression: str | None,
) -> tuple[SearchHit, ...]:
    """The first k of `ranked` that are visible, with their texts, places and snippets."""
    found: list[tuple[Sequence[Any], float]] = []
    for start in range(0, len(ranked), request.k):
        page = ranked[start : start + request.k]
        wanted = json.dumps([chunk_id for chunk_id, _ in page])
        rows = {row[0]: row for row in connection.execute(_HITS, (wanted, request.project))}
        found += [(rows[chunk_id], score) for chunk_id, score in page if chunk_id in rows]
        if len(found) >= request.k:
            break
    found = found[: request.k]
    marked = _marked_texts(connection, expression, [row[0] for row, _ in found])
    text_ranks, vector_ranks, text_scores, cosines = matching.ranks(), near.ranks(), matching.by_chunk(), near.by_chunk()
    return tuple(
        _hit(
            row,
            score,
            HitRanks(text=text_ranks.get(row[0]), vector=vector_ranks.get(row[0])),
            HitScores(text=text_scores.get(row[0]), vector=cosines.get(row[0])),
            marked.get(row[0]),
        )
        for row, score in found
    )


def _marked_texts(connection: sqlite3.Connection, expression: str | None, chunk_ids: Sequence[int]) -> dict[int, str]:
    """The texts in which words of the expression occur, with marks around them, as the full text itself sees them."""
    if expression is None:
        return {}
    return dict(connection.execute(_MARKED, (OPENING, CLOSING, json.dumps(chunk_ids), expression)))


def _hit(row: Sequence[Any], score: float, ranks: HitRanks, scores: HitScores, marked: str | None) -> SearchHit:
    _, document_id, name, project, version, ordinal, text, first_line, last_line, start, stop, symbol, location = row
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
        location=None if location is None else ChunkLocation.from_json(json.loads(location)),
        scores=scores,
        snippet=best_snippet(text, marked_spans(text, marked) if marked is not None else ()),
    )
