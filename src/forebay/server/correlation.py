"""The outermost layer: a correlation id in and out, safe headers, and no error that escapes."""

from __future__ import annotations

import logging
import re
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forebay.effects import Randomness
from forebay.server.problems import internal_error, problem
from forebay.values.correlation import Correlation, correlate, current_correlation

log = logging.getLogger(__name__)

HEADER = b"x-correlation-id"
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")  # W3C Trace Context
_VALID = re.compile(rb"[!-~](?:[ -~]{0,126}[!-~])?")  # at most 128 printable ASCII characters

_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class CorrelationMiddleware:
    """Gives every request the id that it brought, else that of the trace it belongs to, or a new one, as `request.state.correlation_id`.

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
        trace_id, parent_span_id = _traced(scope)
        correlation_id = _brought(scope) or trace_id or self._random.hex(16)
        scope.setdefault("state", {}).update(correlation_id=correlation_id, parent_span_id=parent_span_id)
        around = current_correlation()  # a caller in this process may have one of its own
        correlate(Correlation(id=correlation_id))
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
        finally:
            correlate(around)


def _brought(scope: Scope) -> str | None:
    values: list[Any] = [value for name, value in scope["headers"] if name == HEADER]
    return values[0].decode("ascii") if len(values) == 1 and _VALID.fullmatch(values[0]) else None


def _traced(scope: Scope) -> tuple[str | None, str | None]:
    """The trace and the span that the sender says it is in."""
    values = [value for name, value in scope["headers"] if name == b"traceparent"]
    found = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    return (None, None) if found is None else (found[1].decode(), found[2].decode())
