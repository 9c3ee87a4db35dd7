"""The outermost layer: a correlation id in and out, safe headers, and no error that escapes."""

from __future__ import annotations

import logging
import re
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forebay.effects import Randomness
from forebay.server.problems import internal_error, problem

log = logging.getLogger(__name__)

HEADER = b"x-correlation-id"
_VALID = re.compile(rb"[!-~](?:[ -~]{0,126}[!-~])?")  # at most 128 printable ASCII characters

_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class CorrelationMiddleware:
    """Gives every request the id that it brought, or a new one, as `request.state.correlation_id`.

    *Guarantees*: every answer carries `X-Correlation-ID`; an exception that nobody expected is logged with it and answered
    as a problem that tells nothing else.
    """

    def __init__(self, app: ASGIApp, *, random: Randomness) -> None:
        self._app = app
        self._random = random

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = _brought(scope) or self._random.hex(16)
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        is_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
                present = {name.lower() for name, _ in headers}
                headers.append((HEADER, correlation_id.encode("ascii")))
                headers += [header for header in _SECURITY_HEADERS if header[0] not in present]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            log.info("%s %s: the client went away [%s]", scope["method"], scope["path"], correlation_id)
        except Exception:
            log.exception("%s %s broke off [%s]", scope["method"], scope["path"], correlation_id)
            if not is_started:
                await problem(internal_error())(scope, receive, send_with_headers)
            # an answer that has begun stays unfinished: the server closes the connection, and the client notices


def _brought(scope: Scope) -> str | None:
    values: list[Any] = [value for name, value in scope["headers"] if name == HEADER]
    return values[0].decode("ascii") if len(values) == 1 and _VALID.fullmatch(values[0]) else None
