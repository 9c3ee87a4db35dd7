"""Logs, metrics and events come in."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response

from forebay.errors import ForebayError
from forebay.server.access import Accepting, Ingester, PartsOf, SomeCaller, project_of
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
    str | None, Header(alias="Idempotency-Key", description="Sent again with the same key within a day, a batch is taken once.")
]
Project = Annotated[str | None, Query(description="The project; without it that of the key, or the default one.")]


def router() -> APIRouter:
    """`POST /logs`, `/metrics`, `/events`, `GET /stats`."""
    routes = APIRouter(tags=["telemetry"])
    for path, handler, entry in (("/logs", logs, LogEntry), ("/metrics", metrics, MetricEntry), ("/events", events, EventEntry)):
        routes.post(path, status_code=202, dependencies=[Accepting], openapi_extra=_documented(entry), responses=_ACCEPTED)(handler)
    routes.get("/stats", response_model=Stats)(stats)
    return routes


async def logs(request: Request, parts: PartsOf, caller: Ingester, project: Project = None, key: IdempotencyKey = None) -> Response:
    """Send log lines: rows of `traces`, and of `exceptions` for those that are about an error.

    202 when all of them are durable; a batch with a mistake is refused as a whole, with the index, field and reason of each.
    """
    return await _accept("logs", request, parts, caller, project, key)


async def metrics(request: Request, parts: PartsOf, caller: Ingester, project: Project = None, key: IdempotencyKey = None) -> Response:
    """Send measurements: rows of `customMetrics`. 202 when all of them are durable."""
    return await _accept("metrics", request, parts, caller, project, key)


async def events(request: Request, parts: PartsOf, caller: Ingester, project: Project = None, key: IdempotencyKey = None) -> Response:
    """Send events: rows of `customEvents`. 202 when all of them are durable."""
    return await _accept("events", request, parts, caller, project, key)


async def stats(parts: PartsOf, caller: SomeCaller) -> Response:
    """Count what telemetry has come in since the start, and what waits for the tables."""
    if not (caller.may("ingest") or caller.may("read")):
        raise ForebayError("out_of_scope", "this needs a key with scope ingest or read", status=403)
    counts = parts.telemetry.ingest.counts
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


_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Durable",
        "content": {
            "application/json": {"example": {"status": "accepted", "logs_received": 2, "service": SERVICE, "message": "2 logs are durable"}}
        },
    }
}
