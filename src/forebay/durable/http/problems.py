"""Errors as answers: problem details (RFC 9457), with what Azure's clients look for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute

from forebay.errors import ForebayError

RETRY_AFTER_SECONDS = 1


class ProblemRoute(APIRoute):
    """A route whose `ForebayError` becomes an answer; an application that answers such errors itself goes on doing so, but for 400."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except ForebayError as error:
                # the body of a 400 is read by Azure's Python client
                if error.status != HTTPStatus.BAD_REQUEST and ForebayError in request.app.exception_handlers:
                    raise
                return _problem(error)

        return answer


@contextmanager
def azure_statuses(**by_code: int) -> Iterator[None]:
    """Let the errors with these codes have the status that Azure gives them here."""
    try:
        yield
    except ForebayError as error:
        error.status = by_code.get(error.code, error.status)
        raise


def _problem(error: ForebayError) -> Response:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "hint": error.hint,
    }
    if error.status == HTTPStatus.BAD_REQUEST:
        body["ExceptionMessage"] = error.message
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if error.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return Response(msgspec.json.encode(body), status_code=error.status, headers=headers, media_type="application/problem+json")
