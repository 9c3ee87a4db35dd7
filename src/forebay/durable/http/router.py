"""The routes, with the statuses and headers that Azure documents ("HTTP API reference" of Durable Functions)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response

from forebay.durable.client import DurableClient
from forebay.durable.http.endpoints import Endpoints
from forebay.durable.http.guard import Guard
from forebay.durable.http.parameters import CONTINUATION
from forebay.durable.http.problems import ProblemRoute
from forebay.durable.http.shapes import InstanceStatus, ManagementPayload, PurgeResult
from forebay.durable.management_urls import WEBHOOKS

BODY_LIMIT_BYTES = 1 << 20

_JSON_BODY = {"requestBody": {"description": "Any JSON.", "content": {"application/json": {"schema": {}}}}}
_INTEGER = {"required": True, "schema": {"type": "integer", "minimum": 1}}
_LOOK = {
    "Location": {"description": "Where to look how it gets on.", "required": True, "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds until a look is worth it."} | _INTEGER,
}
_URLS = {"description": "The instance is recorded and will run", "model": ManagementPayload, "headers": _LOOK}
_ENDED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "With `timeout`: it has ended; its output, or its state where it was terminated",
        "content": {"application/json": {}},
    },
    500: {"description": "With `timeout`: it has failed", "model": InstanceStatus},
}
_STATES: dict[int | str, dict[str, Any]] = {
    200: {"description": "It has ended", "model": InstanceStatus},
    202: {"description": "It has not ended", "model": InstanceStatus, "headers": _LOOK},
    500: {"description": "It has failed, and `returnInternalServerErrorOnFailure` asks for this", "model": InstanceStatus},
}
_PAGE_HEADERS = {CONTINUATION: {"description": "Where the next page begins; absent after the last.", "schema": {"type": "string"}}}


def durable_router(client: DurableClient, guard: Guard | None = None, *, body_limit_bytes: int = BODY_LIMIT_BYTES) -> APIRouter:
    """The management API of an engine: `app.include_router(durable_router(engine.client))`; the engine may be opened later.

    `client.urls` must be set, since answers name URLs. Requests that carry the code of an instance's URLs may do anything with that
    instance; all others what `guard` admits, by default everything.

    Errors are problem details. Azure's other parameters (`taskHub`, `connection`, `pollingInterval`) may be there and mean nothing.
    Below `/runtime/webhooks` a body that is a text of JSON counts as that JSON, since Azure's Python client sends it so; below `/api` a
    text is a text.
    """
    routes = APIRouter(tags=["orchestrations"], route_class=ProblemRoute)
    api = Endpoints(client, guard or Guard(), body_limit_bytes)
    urls: dict[str, Any] = {"status_code": 202, "response_model": None, "responses": {202: _URLS, **_ENDED}}
    starts: dict[str, Callable[..., Any]] = {
        "/api/orchestrators/{name}": api.start_unnamed,
        "/api/orchestrators/{name}/{instance_id}": api.start,
        f"{WEBHOOKS}/orchestrators/{{name}}": api.start_unnamed_from_azure,
        f"{WEBHOOKS}/orchestrators/{{name}}/{{instance_id}}": api.start_from_azure,
    }
    for path, start in starts.items():
        routes.post(path, openapi_extra=_JSON_BODY, **urls)(start)
    instances = f"{WEBHOOKS}/instances"
    listing: dict[str, Any] = {"response_model": list[InstanceStatus], "responses": {200: {"headers": _PAGE_HEADERS}}}
    routes.get(instances, **listing)(api.list)
    routes.get(f"{instances}/", include_in_schema=False)(api.list)  # as Azure's Python client asks for it
    routes.delete(instances, response_model=PurgeResult)(api.purge_by)
    routes.delete(f"{instances}/", include_in_schema=False)(api.purge_by)
    instance = f"{instances}/{{instance_id}}"
    routes.get(instance, response_model=None, responses=_STATES)(api.show)
    routes.delete(instance, response_model=PurgeResult)(api.purge)
    changing: dict[str, Any] = {"status_code": 202, "response_class": Response}
    routes.post(f"{instance}/raiseEvent/{{event_name}}", openapi_extra=_JSON_BODY, **changing)(api.raise_event)
    routes.post(f"{instance}/terminate", **changing)(api.terminate)
    routes.post(f"{instance}/suspend", **changing)(api.suspend)
    routes.post(f"{instance}/resume", **changing)(api.resume)
    routes.post(f"{instance}/rewind", **changing)(api.rewind)
    routes.post(f"{instance}/restart", **urls)(api.restart)
    return routes
