"""The OpenAPI description: what FastAPI knows of the routes, and what all of them share."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from forebay.durable.management_urls import WEBHOOKS

_INTRODUCTION = (
    "Event-driven ingestion that loses nothing and can explain itself. Errors are problem details (RFC 9457) with a stable `code`; "
    "every answer carries `X-Correlation-ID`, and a request may bring its own."
)
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "hint"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string", "description": "The phrase of the HTTP status."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was expected and what came."},
        "code": {"type": "string", "description": "Stable; explained in docs/troubleshooting.md."},
        "hint": {"type": "string", "description": "What to do; may be empty."},
        "errors": {
            "type": "array",
            "description": "With status 422, where single fields are to blame.",
            "items": {
                "type": "object",
                "required": ["index", "field", "reason"],
                "properties": {
                    "index": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                    "field": {"type": "string"},
                    "reason": {"type": "string"},
                },
            },
        },
    },
}
_MEANINGS = {
    400: "The request cannot be read",
    401: "No key, or none that opens this",
    403: "The key may not do this, or belongs to another project",
    404: "There is no such thing in this project or container",
    408: "The body did not come in time",
    409: "It is not in a state that allows this",
    410: "The instance has ended",
    412: "The ETag, or the state of the instance, is not the expected one",
    413: "More bytes than are allowed",
    415: "A form or encoding that is not taken",
    416: "The range lies outside of the blob",
    421: "The server is not known by this name",
    422: "A parameter or field is not what it may be",
    429: "More requests than the key may send; `Retry-After` says when to try again",
    431: "More bytes of path, query and headers than are allowed",
    500: "An unexpected error, which the log of the server describes",
    503: "Not now; `Retry-After` says when to try again",
    504: "It took longer than it may",
}
_ANY = (408, 413, 415, 421, 422, 431, 500, 503)  # what may keep a request from its route, see bounds.py
_KEYED = (401, 403, 429)
_RETRIED = (429, 503)
_JSON_BODY = (400, 422)
_MORE = {
    ("/documents/{document_id}", "get"): (404,),
    ("/documents/{document_id}", "delete"): (404,),
    ("/documents/{document_id}/chunks", "get"): (404,),
    ("/containers/{container}/blobs", "get"): (404,),
    ("/containers/{container}/blobs/{name}", "put"): (404, 409, 412),
    ("/containers/{container}/blobs/{name}", "get"): (404, 409, 412, 416),
    ("/containers/{container}/blobs/{name}", "head"): (404, 412),
    ("/containers/{container}/blobs/{name}", "delete"): (404, 412),
    ("/search", "post"): _JSON_BODY,
    ("/logs", "post"): _JSON_BODY,
    ("/metrics", "post"): _JSON_BODY,
    ("/events", "post"): _JSON_BODY,
    ("/query", "post"): (*_JSON_BODY, 504),
    ("/query/explain", "post"): _JSON_BODY,
    ("/query/complete", "post"): _JSON_BODY,
    ("/reindex", "post"): (409,),
    ("/deadletters/{letter_id}", "get"): (404,),
    ("/deadletters/replay", "post"): _JSON_BODY,
    ("/deadletters/purge", "post"): _JSON_BODY,
    ("/keys", "post"): (*_JSON_BODY, 409),
    ("/keys/{key_id}/rotate", "post"): (*_JSON_BODY, 404),
    ("/keys/{key_id}", "delete"): (404,),
}
_STARTS = ("/api/orchestrators/{name}", f"{WEBHOOKS}/orchestrators/{{name}}")
_INSTANCES = f"{WEBHOOKS}/instances"
_INSTANCE = f"{_INSTANCES}/{{instance_id}}"
_MORE |= {(path, "post"): (400,) for path in _STARTS}
_MORE |= {(f"{path}/{{instance_id}}", "post"): (400, 409) for path in _STARTS}
_MORE |= {(f"{_INSTANCE}/{each}", "post"): (404, 410) for each in ("terminate", "suspend", "resume")}
_MORE |= {
    (_INSTANCES, "get"): (400,),
    (_INSTANCES, "delete"): (404,),
    (_INSTANCE, "get"): (404,),
    (_INSTANCE, "delete"): (404, 412),
    (f"{_INSTANCE}/raiseEvent/{{event_name}}", "post"): (400, 404, 410),
    (f"{_INSTANCE}/rewind", "post"): (404, 409, 410, 412),
    (f"{_INSTANCE}/restart", "post"): (400, 404, 409),
}
_SCHEMES = {
    "HTTPBasic": {"type": "http", "scheme": "basic", "description": "The same key as the password, with any name."},
    "InstanceCode": {"type": "apiKey", "in": "query", "name": "code", "description": "What the URLs of an instance carry."},
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}}}
_CORRELATION = {
    "X-Correlation-ID": {"description": "What the request brought, or a new one.", "required": True, "schema": {"type": "string"}}
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of every route, with the errors that it answers."""
    document = get_openapi(title=app.title, version=app.version, description=_INTRODUCTION, routes=app.routes)
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    document["components"]["securitySchemes"] |= _SCHEMES
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith((*_STARTS, _INSTANCES)):
                operation["security"] = _security("read" if method == "get" else "write", has_code=path.startswith(_INSTANCE))
            operation["responses"] = _responses(path, method, operation)
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
    return document


def _security(scope: str, *, has_code: bool) -> list[dict[str, list[str]]]:
    """What opens the routes that look for keys by themselves."""
    keys: list[dict[str, list[str]]] = [{"APIKeyHeader": [scope]}, {"HTTPBearer": [scope]}, {"HTTPBasic": [scope]}]
    return [*keys, {"InstanceCode": []}] if has_code else keys


def _responses(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    responses = operation["responses"]
    responses.pop("422", None)  # FastAPI's own form
    statuses = {*_ANY, *_MORE.get((path, method), ())}
    if "security" in operation and path != "/health":  # which only says more to who has a key
        statuses.update(_KEYED)
    for status in statuses:
        described = responses.get(str(status), {})
        responses[str(status)] = _with_problem(described, status)
    for response in responses.values():
        response["headers"] = response.get("headers", {}) | _CORRELATION
        if method == "head":
            response.pop("content", None)
    return dict(sorted(responses.items()))


def _with_problem(described: dict[str, Any], status: int) -> dict[str, Any]:
    """An answer that is a problem, beside what the route says of this status."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answer = {"description": described.get("description", _MEANINGS[status]), "content": described.get("content", {}) | problem}
    return answer | ({"headers": _RETRY_AFTER} if status in _RETRIED and "content" not in described else {})


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A URL or a header has no null: what may be left out is not required."""
    kinds: list[dict[str, Any]] = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | kinds[0]
