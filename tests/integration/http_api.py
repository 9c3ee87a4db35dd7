"""The HTTP API on the real program, with a trivial embedder and without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from forebay.app import Forebay, open_forebay
from forebay.server.parts import Parts
from forebay.settings import load_settings

BASE_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, kw_only=True)
class Api:
    """The program and a client of it that has the admin key."""

    client: httpx.AsyncClient
    asgi: FastAPI
    parts: Parts
    admin_key: str
    program: Forebay

    @asynccontextmanager
    async def stranger(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client that has only what it brings."""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self.asgi), base_url=BASE_URL, headers=headers) as client:
            yield client

    async def upload(self, name: str, content: str | bytes, **parameters: str) -> dict[str, Any]:
        """Upload and wait for the outcome; the document as the API describes it."""
        accepted = await self.client.post("/documents", params={"name": name, **parameters}, content=content)
        assert accepted.status_code == 202, accepted.text
        return await self.settled(accepted.json()["id"], **parameters)

    async def settled(self, document_id: str, **parameters: str) -> dict[str, Any]:
        """The document when its ingestion has ended: its blob has moved as well, which follows the outcome."""
        document = await self._document(document_id, wait_seconds=30, **parameters)
        await self.program.core.engine.client.wait_for_completion(document["instance_id"], timeout_seconds=30)
        return await self._document(document_id, **parameters)

    async def _document(self, document_id: str, **parameters: str | int) -> dict[str, Any]:
        answer = await self.client.get(f"/documents/{document_id}", params=parameters)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def replace(self, part: str, value: object) -> None:
        """Exchange one of the parts that the routes see."""
        object.__setattr__(self.parts, part, value)


@asynccontextmanager
async def http_api(data_dir: Path, **overrides: object) -> AsyncIterator[Api]:
    settings = load_settings({}, {"data_dir": data_dir, "embedder": "mock", "stop_deadline_seconds": 1, **overrides}, env_file=None)
    async with open_forebay(settings) as program:
        transport = httpx.ASGITransport(app=program.asgi)
        headers = {"X-API-Key": program.admin_key}
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers, timeout=60) as client:
            yield Api(client=client, asgi=program.asgi, parts=program.parts, admin_key=program.admin_key, program=program)
