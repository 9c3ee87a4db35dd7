"""Logs, metrics and events come in."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Request, Response
from fastapi.routing import APIRoute

from forebay.errors import ForebayError
from forebay.server.access import (
    Accepting,
    Ingester,
    NamedProject,
    PartsOf,
    SomeCaller,
    concern,
    ingester_of,
    parts_of,
    project_of,
    require_accepting,
)
from forebay.server.answers import json_answer
from forebay.server.bodies import inflated_body
from forebay.server.parts import Parts
from forebay.server.problems import FieldProblem, problem
from forebay.server.routes.health import SERVICE
from forebay.server.shapes import Stats
from forebay.telemetry.decoders.batches import BATCH_LIMIT, BatchRefused, EventEntry, Kind, LogEntry, MetricEntry
from forebay.telemetry.ingest import Origin

_KEY = re.compile(r"[!-~]{1,255}")

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Sent again with the same key within a day, a batch is taken once.",
        json_schema_extra={"pattern": f"^{_KEY.pattern}$"},
    ),
]


class _DirectRoute(APIRoute):
    """Resolves by itself what its endpoint takes: for a batch of 100, FastAPI's resolution would cost more than all the rest.

    The endpoint's signature describes the route as any other does.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def handle(request: Request) -> Response:
            parts = parts_of(request)
            await require_accepting(parts)
            caller = await ingester_of(request)
            project, key = request.query_params.get("project"), request.headers.get("Idempotency-Key")
            answer: Response = await self.endpoint(request, parts, caller, project, key)
            return answer

        return handle


def router() -> APIRouter:
    """`POST /logs`, `/metrics`, `/events`, `GET /stats`."""
    routes = APIRouter(tags=["telemetry"], route_class=_DirectRoute)
    for path, handler, entry in (("/logs", logs, LogEntry), ("/metrics", metrics, MetricEntry), ("/events", events, EventEntry)):
        described: dict[str, Any] = {"openapi_extra": _documented(entry), "responses": _accepted(path[1:])}
        routes.post(path, status_code=202, dependencies=[Accepting], **described)(handler)
    counts = APIRouter(tags=["telemetry"])
    counts.get("/stats", response_model=Stats)(stats)
    routes.include_router(counts)
    return routes


async def logs(request: Request, parts: PartsOf, caller: Ingester, project: NamedProject = None, key: IdempotencyKey = None) -> Response:
    """Send log lines: rows of `traces`, and of `exceptions` for those that are about an error.

    202 when all of them are durable; a batch with a mistake is refused as a whole, with the index, field and reason of each.
    """
    return await _accept("logs", request, parts, caller, project, key)


async def metrics(request: Request, parts: PartsOf, caller: Ingester, project: NamedProject = None, key: IdempotencyKey = None) -> Response:
    """Send measurements: rows of `customMetrics`. 202 when all of them are durable."""
    return await _accept("metrics", request, parts, caller, project, key)


async def events(request: Request, parts: PartsOf, caller: Ingester, project: NamedProject = None, key: IdempotencyKey = None) -> Response:
    """Send events: rows of `customEvents`. 202 when all of them are durable."""
    return await _accept("events", request, parts, caller, project, key)


async def stats(request: Request, parts: PartsOf, caller: SomeCaller, project: NamedProject = None) -> Response:
    """Count what telemetry has come in since the start, for the project of the key; with one of all projects, for the one named or all."""
    if not (caller.may("ingest") or caller.may("read")):
        raise ForebayError("out_of_scope", "this needs a key with scope ingest or read", status=403)
    counted = caller.project if project is None else project_of(parts, caller, project)
    concern(request, counted)
    counts = parts.telemetry.ingest.counts(counted)
    return json_answer(
        Stats(
            status="healthy",
            producer_type="segments",
            logs_sent=counts.records["logs"],
            metrics_sent=counts.records["metrics"],
            events_sent=counts.records["events"],
            batches_sent=counts.batches,
            batches_refused=counts.refused,
        )
    )


async def _accept(kind: Kind, request: Request, parts: Parts, caller: Ingester, project: str | None, key: str | None) -> Response:
    if key is not None and not _KEY.fullmatch(key):
        raise ForebayError("invalid_idempotency_key", "expected an Idempotency-Key of 1 to 255 printable ASCII characters", status=422)
    named = project_of(parts, caller, project)
    concern(request, named)
    origin = Origin(project=named, source=caller.actor, key=None if key is None else f"{caller.actor}:{named}:{kind}:{key}")
    body = await inflated_body(request, limit_bytes=parts.settings.telemetry.batch_bytes)
    try:
        count = await parts.telemetry.ingest.accept_batch(kind, body, origin)
    except BatchRefused as refused:
        return problem(refused, [FieldProblem(index=each.index, field=each.field, reason=each.reason) for each in refused.problems])
    answer = {"status": "accepted", f"{kind}_received": count, "service": SERVICE, "message": f"{count} {kind} are durable"}
    return json_answer(answer, status=202)


def _documented(entry: Any) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([entry], ref_template="#/{name}")
    item = dict(components[schema["$ref"].removeprefix("#/")])
    if "RaisedError" in components:
        item["properties"] = item["properties"] | {"exception": {"anyOf": [components["RaisedError"], {"type": "string"}]}}
    body = {
        "type": "object",
        "required": ["entries"],
        "additionalProperties": False,
        "properties": {"entries": {"type": "array", "maxItems": BATCH_LIMIT, "items": item}, "agent_version": {"type": ["string", "null"]}},
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}}


def _accepted(kind: str) -> dict[int | str, dict[str, Any]]:
    text: dict[str, Any] = {"type": "string"}
    schema = {
        "type": "object",
        "required": ["status", f"{kind}_received", "service", "message"],
        "properties": {
            "status": {"const": "accepted"},
            f"{kind}_received": {"type": "integer", "minimum": 0},
            "service": text,
            "message": text,
        },
    }
    example = {"status": "accepted", f"{kind}_received": 2, "service": SERVICE, "message": f"2 {kind} are durable"}
    return {202: {"description": "Durable", "content": {"application/json": {"schema": schema, "example": example}}}}
