"""Who is let in, under which names, and what every answer carries."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.http_api import http_api

from forebay.server import bounds

KEYED = [
    ("GET", "/documents"),
    ("POST", "/documents?name=a"),
    ("GET", "/documents/summary"),
    ("GET", "/documents/x"),
    ("GET", "/documents/x/chunks"),
    ("DELETE", "/documents/x"),
    ("GET", "/containers/incoming/blobs"),
    ("GET", "/containers/incoming/blobs/x"),
    ("HEAD", "/containers/incoming/blobs/x"),
    ("PUT", "/containers/incoming/blobs/x"),
    ("DELETE", "/containers/incoming/blobs/x"),
    ("POST", "/search"),
    ("GET", "/check/index"),
    ("GET", "/check/history"),
    ("POST", "/check/index/repair"),
    ("POST", "/check/history/repair"),
    ("POST", "/logs"),
    ("POST", "/metrics"),
    ("POST", "/events"),
    ("GET", "/stats"),
    ("POST", "/query"),
    ("POST", "/query/explain"),
    ("POST", "/query/complete"),
    ("GET", "/reindex"),
    ("POST", "/reindex"),
    ("GET", "/keys"),
    ("POST", "/keys"),
    ("POST", "/keys/x/rotate"),
    ("DELETE", "/keys/x"),
    ("GET", "/deadletters"),
    ("GET", "/deadletters/x"),
    ("POST", "/deadletters/replay"),
    ("POST", "/deadletters/purge"),
    *(("POST", f"{path}/orchestrators/x{more}") for path in ("/api", "/runtime/webhooks/durabletask") for more in ("", "/x")),
    *((method, f"/runtime/webhooks/durabletask/instances{more}") for method in ("GET", "DELETE") for more in ("", "/x")),
    *(
        ("POST", f"/runtime/webhooks/durabletask/instances/x/{operation}")
        for operation in ("raiseEvent/x", "terminate", "suspend", "resume", "rewind", "restart")
    ),
]


async def test_every_route_with_data_needs_a_key(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        description = (await api.client.get("/openapi.json")).json()
        known = {
            (method.upper(), re.sub(r"\{\w+\}", "x", path.replace("{container}", "incoming")))
            for path, operations in description["paths"].items()
            for method in operations
        }
        assert {(method, path.partition("?")[0]) for method, path in KEYED} == {
            each for each in known if not each[1].startswith(("/health", "/docs")) and each[1] != "/"
        }
        for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": ""}, {"Authorization": f"Basic {api.admin_key}"}):
            async with api.stranger(**headers) as stranger:
                for method, path in KEYED:
                    answer = await stranger.request(method, path)
                    assert answer.status_code == 401, (method, path)
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                    if method != "HEAD":
                        assert (answer.json()["detail"], answer.json()["code"]) == ("Invalid API key", "invalid_key")


async def test_keys_come_in_either_header(tmp_path: Path) -> None:
    async with http_api(tmp_path, api_key="a-key-of-my-own") as api:
        for headers in (
            {"X-API-Key": api.admin_key},
            {"Authorization": f"Bearer {api.admin_key}"},
            {"Authorization": f"bearer {api.admin_key}"},
            {"X-API-Key": "a-key-of-my-own"},
            {"Authorization": "Bearer a-key-of-my-own"},
        ):
            async with api.stranger(**headers) as stranger:
                assert (await stranger.get("/documents")).status_code == 200


async def test_the_history_names_the_key(tmp_path: Path) -> None:
    async with http_api(tmp_path, api_key="a-key-of-my-own") as api, api.stranger(**{"X-API-Key": "a-key-of-my-own"}) as owner:
        accepted = (await owner.post("/documents", params={"name": "a.md"}, content="text")).json()
        events = (await owner.get(f"/documents/{accepted['id']}")).json()["events"]
        assert events[0]["actor"] == "configured"


async def test_every_answer_carries_a_correlation_id(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for path in ("/health", "/documents", "/nothing", "/documents/x", "/documents?limit=x"):
            answers = [await api.client.get(path) for _ in range(2)]
            first, second = (answer.headers["X-Correlation-ID"] for answer in answers)
            assert first != second
            assert (await api.client.get(path, headers={"X-Correlation-ID": "mine-1"})).headers["X-Correlation-ID"] == "mine-1"


@pytest.mark.parametrize("brought", ["x" * 129, "", " ", "tab\there", b"\xe9"])
async def test_a_correlation_id_that_cannot_be_kept_is_replaced(tmp_path: Path, brought: str | bytes) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.get(
            "/health", headers=[(b"X-Correlation-ID", brought if isinstance(brought, bytes) else brought.encode())]
        )
        assert len(answer.headers["X-Correlation-ID"]) == 32


async def test_the_brought_correlation_id_goes_into_the_history(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        accepted = await api.client.post("/documents", params={"name": "a.md"}, content="x", headers={"X-Correlation-ID": "my id"})
        document = (await api.client.get(f"/documents/{accepted.json()['id']}", params={"wait_seconds": 30})).json()
        assert {event["correlation_id"] for event in document["events"]} == {"my id"}


async def test_unknown_routes_and_methods_are_problems(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        missing = await api.client.get("/nothing")
        assert (missing.status_code, missing.json()["code"]) == (404, "route_not_found")
        method = await api.client.put("/documents", content="x")
        assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
        assert set(method.headers["Allow"].split(", ")) == {"GET", "POST"}
        for answer in (missing, method):
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert set(answer.json()) == {"type", "title", "status", "detail", "code", "hint"}
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_an_unexpected_error_is_logged_and_tells_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def index(self, repair: bool) -> dict[str, object]:
            raise RuntimeError("the password is swordfish")

    async with http_api(tmp_path) as api:
        api.replace("checks", Broken())
        with caplog.at_level(logging.ERROR):
            answer = await api.client.get("/check/index", headers={"X-Correlation-ID": "find-me"})
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "swordfish" not in answer.text
        assert answer.headers["X-Correlation-ID"] == "find-me"
        assert "find-me" in caplog.text
        assert "swordfish" in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9", "LOCALHOST.", "[::1]:8000"])
async def test_this_machines_own_names_are_known(tmp_path: Path, host: str) -> None:
    async with http_api(tmp_path) as api:
        assert (await api.client.get("/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "192.168.0.7", "localhost@evil.example"]
)
async def test_a_rebound_name_is_refused(tmp_path: Path, host: str) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.get("/documents", headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")
        assert answer.headers["X-Correlation-ID"]


async def test_the_public_url_is_a_name_too(tmp_path: Path) -> None:
    async with http_api(tmp_path, public_url="https://forebay.example.org/api") as api:
        assert (await api.client.get("/health", headers={"Host": "forebay.example.org"})).status_code == 200
        assert (await api.client.get("/health", headers={"Host": "other.example.org"})).status_code == 421


async def test_headers_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.get("/health", headers={"X-Long": "x" * bounds.HEADER_LIMIT_BYTES})
        assert (answer.status_code, answer.json()["code"]) == (431, "headers_too_large")


async def test_a_compressed_body_is_refused(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/documents", params={"name": "a.md"}, content=b"x", headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")


async def test_more_requests_than_can_be_handled_are_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "REQUEST_LIMIT", 2)

    entered: asyncio.Queue[None] = asyncio.Queue()
    release = asyncio.Event()

    class Slow:
        async def index(self, repair: bool) -> dict[str, object]:
            entered.put_nowait(None)
            await release.wait()
            return {"ok": True, "checked": {}, "problems": []}

    async with http_api(tmp_path) as api:
        api.replace("checks", Slow())
        slow = [asyncio.create_task(api.client.get("/check/index")) for _ in range(2)]
        for _ in slow:
            await entered.get()
        refused = await api.client.get("/health")
        release.set()
        assert [(await each).status_code for each in slow] == [200, 200]
        assert (await api.client.get("/health")).status_code == 200
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_requests")
        assert refused.headers["Retry-After"]


async def test_a_body_that_stops_coming_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "RECEIVE_TIMEOUT_SECONDS", 0.05)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.Event().wait()

    async with http_api(tmp_path) as api:
        answer = await api.client.post("/documents", params={"name": "a.md"}, content=stalled())
        assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
        assert (await api.client.get("/documents/summary")).json()["arrivals"] == 0
