"""What a request may not exceed, whichever route it is for: names, encodings, bytes, time, number."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forebay.errors import ForebayError
from forebay.server.hosts import AllowedHosts
from forebay.server.problems import problem

HEADER_LIMIT_BYTES = 32 * 1024  # path, query and headers together
REQUEST_LIMIT = 512  # at the same time; long polls and slow downloads included
RECEIVE_TIMEOUT_SECONDS = 30.0  # between two pieces of a body
SLOWEST_BYTES_PER_SECOND = 500  # of a body, after the first such while: what Apache's mod_reqtimeout asks for
COMPRESSIBLE_PATHS = frozenset({"/logs", "/metrics", "/events"})  # routes that inflate what they read
SEND_TIMEOUT_SECONDS = 60.0  # until a client takes the next piece of an answer


class BoundsMiddleware:
    """Refuses what is out of bounds before or while a route reads it."""

    def __init__(self, app: ASGIApp, *, hosts: AllowedHosts, max_body_bytes: int) -> None:
        self._app = app
        self._hosts = hosts
        self._max_body_bytes = max_body_bytes
        self._request_count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await problem(refusal)(scope, receive, send)
            return
        self._request_count += 1
        try:
            await self._app(scope, self._bounded(receive), _impatient(send))
        finally:
            self._request_count -= 1

    def _refusal(self, scope: Scope) -> ForebayError | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._hosts.allow(host):
            return ForebayError(
                "unknown_host",
                f"this server is not known as {host!r}",
                hint="Call it by its address, or set FOREBAY_PUBLIC_URL to the URL that clients use.",
                status=421,
            )
        if not (_is_utf8(scope.get("raw_path") or b"") and _is_utf8(scope["query_string"])):
            return ForebayError(
                "invalid_encoding",
                "expected path and query to be percent-encoded UTF-8, got other bytes",
                hint="Encode as UTF-8.",
                status=422,
            )
        if _head_bytes(scope) > HEADER_LIMIT_BYTES:
            return ForebayError(
                "headers_too_large", f"expected at most {HEADER_LIMIT_BYTES} bytes of path, query and headers, got more", status=431
            )
        encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
        if encoding not in ("", "identity") and not (encoding == "gzip" and scope["path"] in COMPRESSIBLE_PATHS):
            return ForebayError(
                "unsupported_encoding",
                f"expected a body as it is, got Content-Encoding {encoding!r}",
                hint="Send it uncompressed.",
                status=415,
            )
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return self._too_large()
        if self._request_count >= REQUEST_LIMIT:
            return ForebayError(
                "too_many_requests", f"{REQUEST_LIMIT} requests are being handled, and that is the limit", retryable=True, status=503
            )
        return None

    def _bounded(self, receive: Receive) -> Receive:
        received_bytes = 0
        waited_seconds = 0.0  # for the client; what the disk takes is not its fault
        is_complete = False
        loop = asyncio.get_running_loop()

        async def receive_bounded() -> Message:
            nonlocal received_bytes, waited_seconds, is_complete
            if is_complete:
                return await receive()  # waits for the client to go away
            patience_seconds = RECEIVE_TIMEOUT_SECONDS + received_bytes / SLOWEST_BYTES_PER_SECOND - waited_seconds
            began = loop.time()
            try:
                async with asyncio.timeout(min(RECEIVE_TIMEOUT_SECONDS, patience_seconds)):
                    message = await receive()
            except TimeoutError:
                raise ForebayError(
                    "request_timeout",
                    f"expected more of the body within {RECEIVE_TIMEOUT_SECONDS:g} s, and {SLOWEST_BYTES_PER_SECOND} bytes a second,"
                    f" got {received_bytes} bytes in all",
                    retryable=True,
                    status=408,
                ) from None
            waited_seconds += loop.time() - began
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._max_body_bytes:
                raise self._too_large()
            is_complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return receive_bounded

    def _too_large(self) -> ForebayError:
        return ForebayError(
            "body_too_large",
            f"expected a body of at most {self._max_body_bytes} bytes, got more",
            hint="Raise FOREBAY_MAX_BODY_MB, or send less at a time.",
            status=413,
        )


def _impatient(send: Send) -> Send:
    async def send_in_time(message: Message) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
            await send(message)

    return send_in_time


def _head_bytes(scope: Scope) -> int:
    # the parser has its own limit, which counts only while the head is incomplete
    size_bytes = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    return size_bytes + sum(len(name) + len(value) for name, value in scope["headers"])


def _is_utf8(encoded: bytes) -> bool:
    try:
        unquote_to_bytes(encoded).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
