"""The outermost layer, around applications that misbehave."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from forebay.effects import SystemRandomness
from forebay.server.correlation import CorrelationMiddleware


async def call(app: ASGIApp, *headers: tuple[bytes, bytes]) -> tuple[Scope, list[dict[str, Any]]]:
    """Send one request; its scope and what came back."""
    scope: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": list(headers)}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await CorrelationMiddleware(app, random=SystemRandomness())(scope, receive, send)
    return scope, sent


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-security-policy", b"own")]})
    await send({"type": "http.response.body", "body": b"ok"})


def sent_headers(sent: list[dict[str, Any]]) -> dict[bytes, bytes]:
    headers: list[tuple[bytes, bytes]] = sent[0]["headers"]
    assert len(dict(headers)) == len(headers)
    return dict(headers)


async def test_the_application_sees_the_id_that_the_client_gets() -> None:
    scope, sent = await call(fine)
    assert sent_headers(sent)[b"x-correlation-id"] == scope["state"]["correlation_id"].encode()
    assert len(scope["state"]["correlation_id"]) == 32


async def test_safe_headers_are_added_where_the_application_has_none_of_its_own() -> None:
    _, sent = await call(fine)
    headers = sent_headers(sent)
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"content-security-policy"] == b"own"


@given(st.binary(max_size=140))
async def test_an_id_is_kept_only_if_it_is_printable_and_short(brought: bytes) -> None:
    _, sent = await call(fine, (b"x-correlation-id", brought))
    kept = sent_headers(sent)[b"x-correlation-id"]
    is_valid = 1 <= len(brought) <= 128 and all(32 <= byte <= 126 for byte in brought) and brought == brought.strip()
    assert (kept == brought) == is_valid
    assert kept.isascii()


async def test_two_ids_are_none() -> None:
    _, sent = await call(fine, (b"x-correlation-id", b"a"), (b"x-correlation-id", b"b"))
    assert sent_headers(sent)[b"x-correlation-id"] not in (b"a", b"b")


async def test_an_unexpected_error_is_answered_and_logged_with_the_id(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("secret")

    _, sent = await call(broken, (b"x-correlation-id", b"find-me"))
    assert sent[0]["status"] == 500
    assert b"secret" not in sent[1]["body"]
    assert sent_headers(sent)[b"x-correlation-id"] == b"find-me"
    assert "find-me" in caplog.text


async def test_an_answer_that_breaks_off_is_not_completed(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("secret")

    _, sent = await call(broken)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"] is True
    assert "secret" in caplog.text


async def test_a_client_that_went_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def left(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    with caplog.at_level(logging.WARNING):
        _, sent = await call(left)
    assert (sent, caplog.text) == ([], "")
