"""Puts the API together."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from forebay.server.bounds import BoundsMiddleware
from forebay.server.correlation import CorrelationMiddleware
from forebay.server.description import describe
from forebay.server.hosts import allowed_hosts
from forebay.server.observed import ObservationMiddleware
from forebay.server.parts import Parts
from forebay.server.problems import answer_errors_as_problems
from forebay.server.routes import (
    blobs,
    checks,
    deadletters,
    docs,
    documents,
    health,
    keys,
    orchestrations,
    query,
    reindex,
    search,
    telemetry,
)


def create_server(parts: Parts) -> FastAPI:
    """The HTTP API on `parts`, as an ASGI application without a lifespan: whoever made the parts ends them."""
    app = FastAPI(
        title="Forebay",
        version=parts.version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would send clients to whatever their Host header says
    )
    app.state.parts = parts
    for noun in (telemetry, health, documents, blobs, search, query, checks, reindex, deadletters, keys, docs):  # the busiest first
        app.include_router(noun.router())
    app.include_router(orchestrations.router(parts))
    answer_errors_as_problems(app)
    # the last one added is the outermost
    app.add_middleware(BoundsMiddleware, hosts=allowed_hosts(parts.settings), max_body_bytes=parts.settings.server.max_body_bytes)
    app.add_middleware(ObservationMiddleware, observation=parts.observation, clock=parts.effects.clock)
    app.add_middleware(CorrelationMiddleware, random=parts.effects.random)
    description: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not description:
            description.update(describe(app))
        return description

    app.openapi = openapi  # type: ignore[method-assign]
    return app
