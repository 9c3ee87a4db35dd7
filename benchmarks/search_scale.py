"""Search at 100,000 chunks (target 7) against query embedding, a NumPy scan and one full-text query, on the real tables.

    .venv/bin/python -m benchmarks.search_scale [--chunks 100000] [--rounds 5] [--directory DIR]

Chunks are halves of different pieces of the standard library put together, so words are as frequent as in real text; vectors are
random unit vectors, since their values cost nothing. Every question is asked of both in turn, in every round; medians are printed. With
a directory, the tables that are there are used again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import sqlite3
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval import questions_of
from forebay.app import make_embedder, schemas
from forebay.catalog import documents, models, versions
from forebay.catalog.arrivals import record_arrival
from forebay.catalog.versions import VersionFacts
from forebay.database.database import open_writer_connection
from forebay.database.readers import ThreadReaders
from forebay.database.transaction import Transaction
from forebay.search.query import text_query
from forebay.search.search import Search, SearchRequest
from forebay.settings import load_settings
from forebay.values.arrival import Location, NewArrival
from forebay.values.chunk import Chunk

PROJECT = "default-project"
CHUNK_CHARACTERS = 800
CHUNKS_A_DOCUMENT = 100
QUESTION_COUNT = 60
CANDIDATE_COUNT = 100


def texts(count: int) -> list[str]:
    """So many different texts of about 800 characters."""
    halves: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        content = path.read_text(encoding="utf-8", errors="replace")
        halves += [content[start : start + CHUNK_CHARACTERS // 2] for start in range(0, len(content), CHUNK_CHARACTERS // 2)]
    pairs = ((first, (first * 7919 + turn * 104_729) % len(halves)) for turn in range(1, 100) for first in range(len(halves)))
    return [f"{halves[first]}\n{halves[second]}" for first, second in islice(pairs, count)]


def fill(path: Path, chunk_count: int, model_id: str, dimensions: int) -> None:
    """Write documents as the pipeline does."""
    connection = open_writer_connection(path, schemas(), synchronous="OFF")
    models.search_by(Transaction(connection, 1), model_id, {}, is_complete=True)
    generator = np.random.default_rng(1)
    remaining = texts(chunk_count)
    for number, first in enumerate(range(0, chunk_count, CHUNKS_A_DOCUMENT)):
        connection.execute("BEGIN IMMEDIATE")
        tx = Transaction(connection, time.time_ns() // 1000)
        name = f"part/{number}.py"
        arrival = record_arrival(
            tx,
            NewArrival(
                kind="created",
                project=PROJECT,
                source="synthetic",
                name=name,
                location=Location(container=None, name=name, etag=name),
                actor="benchmark",
                correlation_id=name,
                event_id=name,
            ),
        )
        assert arrival is not None
        chunks = [
            Chunk(ordinal=ordinal, text=text, start=0, end=len(text), first_line=1, last_line=1)
            for ordinal, text in enumerate(remaining[first : first + CHUNKS_A_DOCUMENT])
        ]
        facts = VersionFacts(
            recipe="r",
            sha256=hashlib.sha256(name.encode()).hexdigest(),
            size_bytes=1,
            format="python",
            content_type="text/x-python",
            language="python",
            encoding="utf-8",
            is_encoding_guessed=False,
            replaced_count=0,
            chunk_count=len(chunks),
        )
        version = versions.stage_version(tx, arrival, facts)
        versions.stage_chunks(tx, version, PROJECT, name, chunks)
        missing = versions.texts_without_vector(connection, version, model_id, 0, len(chunks))
        vectors = generator.standard_normal((len(missing), dimensions)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        versions.put_vectors(tx, model_id, [(text_id, vector.tobytes()) for (text_id, _), vector in zip(missing, vectors, strict=True)])
        documents.start_processing(tx, arrival)
        documents.make_current(tx, arrival, version)
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


class Yardstick:
    """The three things that a hybrid search cannot do without, and nothing else."""

    def __init__(self, path: Path, embedder: Any, questions: list[str]) -> None:
        self._embedder = embedder
        self._connection = sqlite3.connect(path)
        rows = self._connection.execute("SELECT c.id, x.vector FROM chunks c JOIN vectors x ON x.text_id = c.text_id").fetchall()
        self.matrix: NDArray[np.float32] = np.frombuffer(b"".join(vector for _, vector in rows), "<f4").reshape(len(rows), -1)
        # the single words that Forebay asks for, too: without stop words
        self._words = {question: _terms(question) for question in questions}
        self.seconds: dict[str, list[float]] = {"embed": [], "scan": [], "full_text": []}

    async def search(self, question: str) -> None:
        began = time.perf_counter()
        vector = (await self._embedder.embed([question]))[0]
        embedded = time.perf_counter()
        scores = self.matrix @ vector
        best = np.argpartition(-scores, CANDIDATE_COUNT)[:CANDIDATE_COUNT]
        best[np.argsort(-scores[best])]
        scanned = time.perf_counter()
        expression = " OR ".join(f'"{word}"' for word in self._words[question])
        statement = "SELECT rowid, rank FROM chunk_search WHERE chunk_search MATCH ? ORDER BY rank LIMIT ?"
        self._connection.execute(statement, (expression, CANDIDATE_COUNT)).fetchall()
        ended = time.perf_counter()
        for name, seconds in (("embed", embedded - began), ("scan", scanned - embedded), ("full_text", ended - scanned)):
            self.seconds[name].append(seconds)


def _terms(question: str) -> list[str]:
    query = text_query(question)
    return [] if query is None else re.findall('"([^"]+)"', query.expression)[: query.term_count]


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def run(path: Path, chunk_count: int, round_count: int) -> None:
    embedder = make_embedder(load_settings({}, {}, env_file=None))
    if not path.is_file():
        fill(path, chunk_count, embedder.model_id, embedder.dimensions)
    readers = ThreadReaders(path, count=2)
    search = Search(readers, {embedder.model_id: embedder})
    questions = [question.query for question in questions_of("standard_library")[:QUESTION_COUNT]]
    yardstick = Yardstick(path, embedder, questions)
    load_seconds = await timed(lambda: search.search(SearchRequest(query=questions[0], project=PROJECT)))
    await yardstick.search(questions[0])
    ours: dict[str, list[float]] = {"hybrid": [], "text": [], "vector": []}
    bare: list[float] = []
    for _ in range(round_count):
        for question in questions:
            bare.append(await timed(lambda question=question: yardstick.search(question)))  # type: ignore[misc]
            for mode, seconds in ours.items():
                request = SearchRequest(query=question, project=PROJECT, mode=mode)  # type: ignore[arg-type]
                seconds.append(await timed(lambda request=request: search.search(request)))  # type: ignore[misc]
    await readers.close()
    await embedder.close()
    print(
        json.dumps(
            {
                "chunks": len(yardstick.matrix),
                "questions": len(questions),
                "rounds": round_count,
                "first_search_seconds": round(load_seconds, 2),
                "yardstick_ms": round(statistics.median(bare) * 1000, 1),
                "yardstick_parts_ms": {name: round(statistics.median(each) * 1000, 1) for name, each in yardstick.seconds.items()},
                "search_ms": {mode: round(statistics.median(each) * 1000, 1) for mode, each in ours.items()},
                "search_p95_ms": {mode: round(float(np.quantile(each, 0.95)) * 1000, 1) for mode, each in ours.items()},
                "ratio": round(statistics.median(ours["hybrid"]) / statistics.median(bare), 2),
                "ratio_of_pairs": round(statistics.median(a / b for a, b in zip(ours["hybrid"], bare, strict=True)), 2),
            },
            indent=2,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        asyncio.run(run(directory / "catalog.db", options.chunks, options.rounds))


if __name__ == "__main__":
    main()
