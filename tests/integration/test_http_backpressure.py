"""Uploads are slowed down or refused before anything suffers: the backlog, the disk, slow clients."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.integration.http_api import http_api

from forebay.intake import admission
from forebay.intake.dispatch import Dispatcher
from forebay.server import bounds


@pytest.fixture
def nothing_is_dispatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever arrives stays in flight."""

    async def run(self: Dispatcher) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Dispatcher, "run", run)


class Body:
    """A body that knows whether somebody has asked for it."""

    def __init__(self) -> None:
        self.is_read = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.is_read = True
        yield b"text"


@pytest.mark.usefixtures("nothing_is_dispatched")
async def test_a_full_backlog_refuses_files_before_they_are_read(tmp_path: Path) -> None:
    async with http_api(tmp_path, backlog_limit=3) as api:
        for number in range(3):
            accepted = await api.client.post("/documents", params={"name": f"{number}.md"}, content=b"text")
            assert accepted.status_code == 202
        for method, path in (("POST", "/documents?name=d.md"), ("PUT", "/containers/incoming/blobs/d.md")):
            if method == "PUT":  # another source, which has its own share
                assert (await api.client.put("/containers/incoming/blobs/c.md", content=b"text")).status_code == 201
                await asyncio.sleep(admission.LOOK_SECONDS)
                assert (await api.client.put("/containers/incoming/blobs/e.md", content=b"text")).status_code == 201
            body = Body()
            refused = await api.client.request(method, path, content=body)
            assert (refused.status_code, refused.json()["code"]) == (503, "backlog_full")
            assert 1 <= int(refused.headers["Retry-After"]) <= 60
            assert not body.is_read
        assert (await api.client.get("/documents/summary")).json()["arrivals"] == 5


@pytest.mark.usefixtures("nothing_is_dispatched")
async def test_a_full_backlog_stops_nobody_else_and_nothing_else(tmp_path: Path) -> None:
    async with http_api(tmp_path, backlog_limit=2) as api:
        for number in range(2):
            accepted = await api.client.post("/documents", params={"name": f"{number}.md"}, content=b"text")
        assert (await api.client.post("/documents", params={"name": "c.md"}, content=b"text")).status_code == 503
        other = {"name": "c.md", "project": "other"}
        assert (await api.client.post("/documents", params=other, content=b"text")).status_code == 202
        while (refused := await api.client.post("/documents", params=other, content=b"text")).status_code == 202:
            pass
        its_own = r"expected fewer than 2 files .*, got more, of which \d are of project 'other' and source 'upload'"
        assert re.fullmatch(its_own, refused.json()["detail"]), "how many others wait is nobody's business"
        assert (await api.client.put("/containers/archive/blobs/c.md", content=b"text")).status_code == 201
        assert (await api.client.get("/documents")).status_code == 200
        assert (await api.client.delete(f"/documents/{accepted.json()['id']}")).status_code == 202


async def test_a_full_disk_refuses_files_before_they_are_read_and_resumes_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_bytes = 10 << 20
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free_bytes))
    async with http_api(tmp_path, min_free_disk_mb=8) as api:
        assert (await api.client.post("/documents", params={"name": "a.md"}, content=b"x" * (1 << 20))).status_code == 202
        free_bytes = 8 << 20
        for method, path in (("POST", "/documents?name=b.md"), ("PUT", "/containers/archive/blobs/b.md")):
            refused = await api.client.request(method, path, content=b"text")
            assert (refused.status_code, refused.json()["code"]) == (503, "disk_full")
            assert int(refused.headers["Retry-After"]) > 0
        free_bytes = 10 << 20
        assert (await api.client.post("/documents", params={"name": "b.md"}, content=b"text")).status_code == 202


@pytest.mark.parametrize("is_stalled", [True, False])
async def test_a_client_that_is_too_slow_frees_what_it_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_stalled: bool) -> None:
    monkeypatch.setattr(bounds, "RECEIVE_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(admission, "RECEIVING_LIMIT", 1)

    begun = asyncio.Event()

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            begun.set()
            await asyncio.sleep(0.02 if not is_stalled else 60)

    async with http_api(tmp_path) as api:
        slow = asyncio.create_task(api.client.post("/documents", params={"name": "a.md"}, content=trickle()))
        await begun.wait()
        deadline = asyncio.get_running_loop().time() + 10
        codes = []
        while 202 not in codes and asyncio.get_running_loop().time() < deadline:
            answer = await api.client.post("/documents", params={"name": "b.md"}, content=b"text")
            codes.append(answer.status_code)
        assert codes[-1] == 202
        assert ((await slow).status_code, (await slow).json()["code"]) == (408, "request_timeout")
        assert list((tmp_path / "containers" / ".uploads").iterdir()) == []


async def test_a_slow_but_steady_client_is_not_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "RECEIVE_TIMEOUT_SECONDS", 0.3)

    async def steady() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield b"a word " * 10  # 1,400 bytes a second
            await asyncio.sleep(0.05)

    async with http_api(tmp_path) as api:
        answer = await api.client.post("/documents", params={"name": "a.md"}, content=steady())
        assert answer.status_code == 202
