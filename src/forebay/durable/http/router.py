"""The routes, with the statuses and headers that Azure documents ("HTTP API reference" of Durable Functions)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Depends, Response

from forebay.durable.client import DurableClient
from forebay.durable.http.endpoints import Endpoints
from forebay.durable.http.guard import Guard
from forebay.durable.http.parameters import CONTINUATION
from forebay.durable.http.problems import ProblemRoute
from forebay.durable.http.shapes import InstanceStatus, ManagementPayload, PurgeResult
from forebay.durable.management_urls import WEBHOOKS

BODY_LIMIT_BYTES = 1 << 20

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


def durable_router(
    client: DurableClient,
    guard: Guard | None = None,
    *,
    body_limit_bytes: int = BODY_LIMIT_BYTES,
    input_schema: Mapping[str, Any] | None = None,
) -> APIRouter:
    """The management API of an engine: `app.include_router(durable_router(engine.client))`; the engine may be opened later.

    `client.urls` must be set, since answers name URLs. Requests that carry the code of an instance's URLs may do anything with that
    instance; all others what `guard` admits, by default everything. `input_schema` is the JSON schema of inputs that the description shows.

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
    reads, writes, opens, changes = (
        [Depends(each)] for each in (api.admit_reader, api.admit_writer, api.open_to_reader, api.open_to_writer)
    )
    for path, start in starts.items():
        schema = input_schema if path.startswith("/api") else None
        routes.post(path, dependencies=writes, openapi_extra=_json_body(schema or {}), **urls)(start)
    instances = f"{WEBHOOKS}/instances"
    for path in (f"{instances}/", instances):  # Azure's Python client asks for the first
        shown: dict[str, Any] = {"include_in_schema": path == instances, "responses": {200: {"headers": _PAGE_HEADERS}}}
        routes.get(path, dependencies=reads, response_model=list[InstanceStatus], **shown)(api.list)
        routes.delete(path, dependencies=writes, response_model=PurgeResult, include_in_schema=path == instances)(api.purge_by)
    instance = f"{instances}/{{instance_id}}"
    routes.get(instance, dependencies=opens, response_model=None, responses=_STATES)(api.show)
    routes.delete(instance, dependencies=changes, response_model=PurgeResult)(api.purge)
    routes.post(f"{instance}/restart", dependencies=changes, **urls)(api.restart)
    accepted: dict[str, Any] = {"dependencies": changes, "status_code": 202, "response_class": Response}
    routes.post(f"{instance}/raiseEvent/{{event_name}}", openapi_extra=_json_body({}), **accepted)(api.raise_event)
    routes.post(f"{instance}/terminate", **accepted)(api.terminate)
    routes.post(f"{instance}/suspend", **accepted)(api.suspend)
    routes.post(f"{instance}/resume", **accepted)(api.resume)
    routes.post(f"{instance}/rewind", **accepted)(api.rewind)
    return routes


def _json_body(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}
