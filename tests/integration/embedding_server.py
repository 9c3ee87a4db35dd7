"""A server with the OpenAI embeddings API on loopback, which misbehaves on demand."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from forebay.pipeline.embedders.mock import MockEmbedder

DIMENSIONS = 64


class Drop(Exception):
    """The connection ends without an answer."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What came."""

    target: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def texts(self) -> list[str]:
        return list(self.body["input"])


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What goes back."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Mood = Callable[[Request], Awaitable[Reply]]


def refusal(status: int, message: str = "", code: str | None = None, **headers: str) -> Mood:
    """A mood that answers an error in OpenAI's form."""

    async def mood(request: Request) -> Reply:
        body = json.dumps({"error": {"message": message, "type": "some_error", "code": code}}).encode()
        return Reply(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body)

    return mood


async def dropped_connection(request: Request) -> Reply:
    raise Drop


async def stall(request: Request) -> Reply:
    return await asyncio.Event().wait()  # type: ignore[return-value]


@dataclass(kw_only=True)
class EmbeddingServer:
    """Answers requests well, unless a mood is next."""

    port: int = 0
    moods: list[Mood] = field(default_factory=list)  # one a request, in order
    lasting_mood: Mood | None = None  # after those
    longest_text: int = 1 << 30  # characters
    requests: list[Request] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None
    active_count: int = 0
    most_active_count: int = 0
    _model: MockEmbedder = field(default_factory=lambda: MockEmbedder(dimensions=DIMENSIONS))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def items(self, request: Request) -> list[dict[str, Any]]:
        """The right vectors, three times as long as unit length."""
        vectors = 3 * await self._model.embed(request.texts)
        if request.body["encoding_format"] == "base64":
            rows: list[Any] = [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]
        else:
            rows = [vector.tolist() for vector in vectors]
        return [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]

    async def well(self, request: Request) -> Reply:
        return self.answer(await self.items(request), request)

    @staticmethod
    def answer(items: list[dict[str, Any]], request: Request) -> Reply:
        count = sum(len(text.split()) for text in request.texts)
        usage = {"prompt_tokens": count, "total_tokens": count}
        return Reply(body=json.dumps({"object": "list", "data": items, "model": request.body["model"], "usage": usage}).encode())

    def changed(self, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Mood:
        """A mood that answers with changed items."""

        async def mood(request: Request) -> Reply:
            return self.answer(change(await self.items(request)), request)

        return mood

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(Drop, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                reply = await self._reply(await _read(reader))
                head = f"HTTP/1.1 {reply.status} Status\r\nContent-Length: {len(reply.body)}\r\n"
                head += "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
                writer.write(head.encode() + b"\r\n" + reply.body)
                await writer.drain()
        writer.close()

    async def _reply(self, request: Request) -> Reply:
        self.requests.append(request)
        self.on_request()
        self.active_count += 1
        self.most_active_count = max(self.most_active_count, self.active_count)
        try:
            mood = self.moods.pop(0) if self.moods else self.lasting_mood or self._usual
            return await mood(request)
        finally:
            self.active_count -= 1

    async def _usual(self, request: Request) -> Reply:
        if any(not text for text in request.texts):
            return await refusal(400, "input cannot be an empty string")(request)
        if max(map(len, request.texts)) > self.longest_text:
            return await refusal(400, "This model's maximum context length is 8192 tokens, however you requested more.")(request)
        return await self.well(request)


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = json.loads(await reader.readexactly(int(headers["content-length"])))
    return Request(target=first.split(" ")[1], headers=headers, body=body)


@asynccontextmanager
async def embedding_server() -> AsyncIterator[EmbeddingServer]:
    """A server that runs until the block ends."""
    server = EmbeddingServer()
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(server.connect(reader, writer)))

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections)
        await listener.wait_closed()


def shortened(item: dict[str, Any]) -> dict[str, Any]:
    """The item with one number less."""
    return item | {"embedding": item["embedding"][:-1]}


def filled_with(number: float) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """Items whose first vector has nothing but `number`, as base64, since JSON has no NaN."""
    row = base64.b64encode(np.full(DIMENSIONS, number, "<f4").tobytes()).decode()
    return lambda items: [items[0] | {"embedding": row}, *items[1:]]
