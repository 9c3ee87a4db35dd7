"""The OpenAPI description: what FastAPI knows of the routes, and what all of them share."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

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
    404: "There is no such thing in this project or container",
    409: "It is not in a state that allows this",
    412: "The ETag is not the expected one",
    413: "More bytes than are allowed",
    415: "A form or encoding that is not taken",
    416: "The range lies outside of the blob",
    422: "A parameter or field is not what it may be",
    503: "Not now; `Retry-After` says when to try again",
}
_KEYED = (401, 503)
_MORE = {
    ("/documents", "post"): (413, 415, 422),
    ("/documents", "get"): (422,),
    ("/documents/summary", "get"): (422,),
    ("/documents/{document_id}", "get"): (404, 422),
    ("/documents/{document_id}", "delete"): (404, 422),
    ("/documents/{document_id}/chunks", "get"): (404, 422),
    ("/containers/{container}/blobs", "get"): (404, 422),
    ("/containers/{container}/blobs/{name}", "put"): (404, 409, 412, 413, 422),
    ("/containers/{container}/blobs/{name}", "get"): (404, 409, 412, 416, 422),
    ("/containers/{container}/blobs/{name}", "head"): (404, 412, 422),
    ("/containers/{container}/blobs/{name}", "delete"): (404, 412, 422),
    ("/search", "post"): (400, 413, 422),
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of every route, with the errors that it answers."""
    document = get_openapi(title=app.title, version=app.version, description=_INTRODUCTION, routes=app.routes)
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            responses.pop("422", None)
            if "security" in operation and path != "/health":
                for status in (*_KEYED, *_MORE.get((path, method), ())):
                    responses[str(status)] = _answer(status)
            operation["responses"] = dict(sorted(responses.items()))
    return document


def _answer(status: int) -> dict[str, Any]:
    return {"description": _MEANINGS[status], "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
