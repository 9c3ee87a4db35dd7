"""The HTTP API on the real program, with a trivial embedder and without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from forebay.app import Adapters, run_core, schemas
from forebay.blobs.directory import DirectoryBlobStore
from forebay.database import open_database
from forebay.effects import real_effects
from forebay.pipeline.embedders.mock import MockEmbedder
from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.server.create import create_server
from forebay.server.keys import keys_of, load_or_create_admin_key
from forebay.server.parts import Parts, ServerState
from forebay.settings import load_settings


class InlineParser:
    """Parses in this process, which is quick for a few small files."""

    async def parse(self, request: ParseRequest) -> Parsed:
        return parse(request)

    async def close(self) -> None:
        pass


class QuietFeed:
    """Never tells of a change."""

    async def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        await asyncio.Event().wait()
        yield set()


class FoundNothing:
    """Checks that remember how they were called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool]] = []

    async def index(self, repair: bool) -> dict[str, Any]:
        self.calls.append(("index", repair))
        return {"ok": True, "checked": {"chunks": 3}, "problems": []}

    async def history(self, repair: bool) -> dict[str, Any]:
        self.calls.append(("history", repair))
        problem = {"code": "version_differs", "document_id": "d", "message": "it differs"}
        return {"ok": False, "checked": {"events": 5}, "problems": [problem]}


@dataclass(frozen=True, kw_only=True)
class Api:
    """The program and a client of it that has a key."""

    client: httpx.AsyncClient
    parts: Parts
    admin_key: str

    @asynccontextmanager
    async def stranger(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client without a key."""
        transport = httpx.ASGITransport(app=self.client._transport.app)  # type: ignore[attr-defined]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers) as client:
            yield client

    async def upload(self, name: str, content: str | bytes, **parameters: str) -> dict[str, Any]:
        """Upload and wait for the outcome; the document as the API describes it."""
        accepted = await self.client.post("/documents", params={"name": name, **parameters}, content=content)
        assert accepted.status_code == 202, accepted.text
        document = await self.client.get(f"/documents/{accepted.json()['id']}", params={"wait_seconds": 30, **parameters})
        assert document.status_code == 200, document.text
        body: dict[str, Any] = document.json()
        return body


@asynccontextmanager
async def http_api(data_dir: Path, **overrides: object) -> AsyncIterator[Api]:
    settings = load_settings({}, {"data_dir": data_dir, "embedder": "mock", **overrides}, env_file=None)
    effects = real_effects()
    blobs = DirectoryBlobStore(data_dir / "containers", effects)
    await blobs.open()
    database = await open_database(data_dir / "catalog.db", schemas(), clock=effects.clock, synchronous="OFF")
    embedder = MockEmbedder()
    adapters = Adapters(effects=effects, database=database, blobs=blobs, parser=InlineParser(), embedder=embedder, feed=QuietFeed())
    try:
        async with run_core(settings, adapters) as core:
            admin_key = load_or_create_admin_key(effects, data_dir)
            parts = Parts(
                settings=settings,
                effects=effects,
                readers=database.readers,
                intake=core.intake,
                blobs=blobs,
                search=core.search,
                embedder=embedder,
                client=core.client,
                keys=keys_of(settings, admin_key),
                version="1.2.3",
                times=core.pipeline.times,
                state=ServerState(is_ready=True),
                sources=core.watcher,
                checks=FoundNothing(),
            )
            transport = httpx.ASGITransport(app=create_server(parts))
            headers = {"X-API-Key": admin_key}
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers, timeout=60) as client:
                yield Api(client=client, parts=parts, admin_key=admin_key)
    finally:
        await embedder.close()
        await blobs.close()
        await database.close()
        effects.blocking.close()
