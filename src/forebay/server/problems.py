"""Errors as RFC 9457 problem details."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from forebay.errors import ForebayError

log = logging.getLogger(__name__)

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = {"disk_full": 30, "stopping": 5}
_DEFAULT_RETRY_AFTER_SECONDS = 1
# answers under load: one line in the log for each would add to it
_EXPECTED = ("backlog_full", "disk_full", "too_many_requests", "rate_limit_exceeded")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProblem:
    """What is wrong with one field of a request."""

    index: int | None  # of the entry in a batch, from 0
    field: str
    reason: str


def problem(error: ForebayError, errors: Sequence[FieldProblem] | None = None) -> Response:
    """The answer that describes `error`. `Retry-After` says in seconds when to try again, where that helps."""
    status = error.status
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "hint": error.hint,
    }
    if errors is not None:
        body["errors"] = errors
    headers = {}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        asked_seconds = error.retry_after_seconds
        if asked_seconds is None:
            asked_seconds = _RETRY_AFTER_SECONDS.get(error.code, _DEFAULT_RETRY_AFTER_SECONDS)
        headers["Retry-After"] = str(max(1, math.ceil(asked_seconds)))
    if error.code == "rate_limit_exceeded":
        headers["X-RateLimit-Remaining"] = "0"
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="forebay"'
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def internal_error() -> ForebayError:
    """500: a bug. What happened is in the log, under the correlation id of the answer, and not in the answer."""
    return ForebayError(
        "internal",
        "an unexpected error happened while the request was handled",
        hint="See the server's log for the correlation id of this answer, and report it.",
        status=500,
    )


def answer_errors_as_problems(app: FastAPI) -> None:
    """Make every error that a route or the router raises a problem."""
    app.add_exception_handler(ForebayError, _forebay_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)


async def _forebay_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ForebayError)
    if error.status >= 500 and error.code not in _EXPECTED:
        log.warning("%s %s failed: %s [%s]", request.method, request.url.path, error, request.state.correlation_id)
    return problem(error)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == HTTPStatus.NOT_FOUND:
        known = ForebayError("route_not_found", f"there is nothing at {path!r}", hint="GET /docs lists every route.", status=404)
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        known = ForebayError(
            "method_not_allowed", f"{path!r} does not know the method {request.method}", hint="GET /docs lists every route.", status=405
        )
    else:
        known = ForebayError("http_error", str(error.detail), status=error.status_code)
    answer = problem(known)
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_allowed_methods(request))
    return answer


def _allowed_methods(request: Request) -> list[str]:
    """The methods of every route at this path; the router itself names those of the first one only."""
    routes = request.app.router.routes
    return [method for method in _METHODS if any(_matches(route, {**request.scope, "method": method}) for route in routes)]


def _matches(route: BaseRoute, scope: Scope) -> bool:
    return route.matches(scope)[0] is Match.FULL


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [_field_problem(each) for each in error.errors()]
    first = f"{errors[0].field}: {errors[0].reason}" if errors else "expected a valid request"
    return problem(ForebayError("invalid_request", first, hint="GET /docs describes every parameter.", status=422), errors)


def _field_problem(found: Any) -> FieldProblem:
    # ("query", "limit"), or ("body", "entries", 3, "message")
    _, *place = found["loc"]
    index = next((part for part in place if isinstance(part, int)), None)
    return FieldProblem(index=index, field=".".join(str(part) for part in place), reason=found["msg"])
