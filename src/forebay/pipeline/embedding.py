"""The activities that turn texts into vectors: of every model in use, and of each text once."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
from opentelemetry.trace import Span

from forebay.catalog import models, versions
from forebay.durable import Registry
from forebay.errors import ForebayError
from forebay.pipeline.calls import calling
from forebay.pipeline.embedders.costs import costs_being_counted, counting_costs
from forebay.pipeline.embedders.port import Embedder
from forebay.pipeline.pipeline import Pipeline

log = logging.getLogger(__name__)

Missing = list[tuple[int, str]]  # (text id, text)


def register_embedding(registry: Registry, pipeline: Pipeline) -> None:
    """Register embed and embed_texts under their names."""
    readers, limits = pipeline.database.readers, pipeline.limits
    activity = registry.activity(concurrency=limits.embed_concurrency, timeout_seconds=limits.activity_timeout_seconds)

    @activity
    async def embed(data: dict[str, int]) -> int | dict[str, Any]:
        """Embed what is missing of a slice of a version's chunks; return how many vectors that were, and what they cost if anything."""

        def look(connection: sqlite3.Connection) -> list[tuple[str, Missing]]:
            place = data["version"], data["first"], data["last"]
            return [
                (model, versions.texts_without_vector(connection, place[0], model, *place[1:]))
                for model in models.models_in_use(connection)
            ]

        with counting_costs() as costs:
            (searched, missing), *built = await readers.run(look)
            count = await _embed(pipeline, searched, missing)
            for model, missing in built:
                count += await _embed_ahead(pipeline, model, missing)
        return {"embedded": count, "costs": costs.to_json()} if costs.requests else count

    @activity
    async def embed_texts(data: dict[str, Any]) -> int:
        """Embed texts for a model, unless that has happened; return how many vectors that were."""
        model = data["model"]
        missing = await readers.run(lambda connection: models.texts_by_id(connection, data["texts"], model))
        return await _embed(pipeline, model, missing)


async def _embed_ahead(pipeline: Pipeline, model: str, missing: Missing) -> int:
    """For a model that is being built: what fails is left to the re-index, which looks again before searches go by it."""
    try:
        return await _embed(pipeline, model, missing)
    except ForebayError as error:
        if error.code == "database_unavailable":
            raise
        log.warning("new texts have no vectors of %s yet: %s", model, error)
        return 0


async def _embed(pipeline: Pipeline, model: str, missing: Missing) -> int:
    if not missing:
        return 0
    embedder = pipeline.embedder(model)
    attributes: dict[str, str | int] = {"type": "model", "target": model, "texts": len(missing)}
    with calling(pipeline.tracer, "embed", attributes) as span, pipeline.times.measure("embed"), _costs_recorded(pipeline, span):
        vectors = await embedder.embed([text for _, text in missing])
    rows = _checked_rows(missing, vectors, embedder)
    with pipeline.times.measure("write"):
        await pipeline.database.writer.submit(lambda tx: versions.put_vectors(tx, model, rows), bulk=True)
    return len(rows)


@contextmanager
def _costs_recorded(pipeline: Pipeline, span: Span) -> Iterator[None]:
    """Add what the block costs to the sums since the start, also when it fails, to what is counted around it, and to the call's span."""
    around = costs_being_counted()
    with counting_costs() as costs:
        try:
            yield
        finally:
            pipeline.times.add_costs(costs.to_json())
            if costs.requests:
                span.set_attribute("tokens", costs.tokens)
            if costs.usd is not None:
                span.set_attribute("usd", costs.usd)
            if around is not None:
                around.add(**asdict(costs))


def _checked_rows(missing: Missing, vectors: Any, embedder: Embedder) -> list[tuple[int, bytes]]:
    """The vectors as stored, or an error: an empty or fake vector is never stored."""
    matrix = np.asarray(vectors, dtype="<f4")
    expected = (len(missing), embedder.dimensions)
    if matrix.shape != expected:
        raise ForebayError(
            "embedding_failed", f"{embedder.model_id} answered with shape {matrix.shape}, expected {expected}", retryable=True
        )
    lengths = np.linalg.norm(matrix, axis=1)
    if not np.all(np.abs(lengths - 1) < 1e-2):
        raise ForebayError("embedding_failed", f"{embedder.model_id} answered with a vector that is not of unit length", retryable=True)
    return [(text_id, matrix[position].tobytes()) for position, (text_id, _) in enumerate(missing)]
