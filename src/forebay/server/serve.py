"""Listens on the network until a signal says stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h11
import msgspec
from fastapi import FastAPI
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.server.bounds import HEADER_LIMIT_BYTES
from forebay.server.correlation import HEADER
from forebay.server.keys.admin_key import check_binding
from forebay.server.parts import Parts
from forebay.server.problems import MEDIA_TYPE, problem
from forebay.settings import Settings
from forebay.values.times import rfc3339

log = logging.getLogger(__name__)

RECORD_NAME = "server.json"
IDLE_TIMEOUT_SECONDS = 30.0  # for a connection on which no request is complete, however slowly bytes come
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 1024


async def serve(app: FastAPI, parts: Parts, *, ready: Callable[[str], None]) -> None:
    """Answer requests to `app` until SIGINT or SIGTERM, then let the ones under way end within half of the stop deadline.

    The other half is left for the work behind the API. `ready` is called with the URL once the socket listens and
    `server.json` tells where; that file goes away when the stop begins. A second signal ends the process at once, which
    loses nothing that was acknowledged.

    Raises `ForebayError`: `key_required`, `port_in_use`, `address_unavailable`. Call it from the main thread.
    """
    settings = parts.settings
    check_binding(settings)
    listener = _listen(settings.server.host, settings.server.port)
    server = Server(_config(app, parts))
    # startup, main_loop and shutdown are what uvicorn's `serve` does between taking over the signals of the process
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    with contextlib.closing(listener), _stopping_by_signal(parts, server):
        await server.startup(sockets=[listener])
        url = _url(settings, listener)
        if settings.server.public_url is None and parts.client.urls is not None:
            parts.client.urls = replace(parts.client.urls, base_url=url)
        record = _Record(parts.effects, settings.data_dir)
        record.write({"url": url, "pid": os.getpid(), "version": parts.version, "started_at": rfc3339(parts.effects.clock.now())})
        gc.freeze()  # what is there by now stays, and under load the collector would look through it again and again
        try:
            ready(url)
            await server.main_loop()
        finally:
            parts.state.stopping.set()
            record.remove()
            await server.shutdown(sockets=[listener])


class _Record:
    """`server.json`: how commands find the server."""

    def __init__(self, effects: Effects, data_dir: Path) -> None:
        self._files = effects.files
        self._path = effects.files.resolve(data_dir) / RECORD_NAME

    def write(self, content: dict[str, Any]) -> None:
        unfinished = self._path.with_name(f"{RECORD_NAME}.new")
        with contextlib.suppress(FileNotFoundError):
            self._files.remove(unfinished)  # of a process that was killed here
        writer = self._files.create(unfinished)
        writer.write(msgspec.json.encode(content))
        writer.close()
        self._files.rename(unfinished, self._path, replace=True)

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._files.remove(self._path)


@contextlib.contextmanager
def _stopping_by_signal(parts: Parts, server: Server) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    before = {each: signal.getsignal(each) for each in _SIGNALS}
    is_asked = False

    def stop(number: signal.Signals) -> None:
        nonlocal is_asked
        is_asked = True
        log.info("%s: stopping", number.name)
        parts.observation.stop_reason = number.name
        parts.state.stopping.set()
        server.should_exit = True
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)  # from now on a signal kills

    for each in _SIGNALS:
        loop.add_signal_handler(each, stop, each)
    try:
        yield
    finally:
        if not is_asked:
            for each in _SIGNALS:
                loop.remove_signal_handler(each)
                signal.signal(each, before[each])


def _config(app: FastAPI, parts: Parts) -> Config:
    return Config(
        app,
        loop="asyncio",
        http=_protocol(parts),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # nobody's word is taken for where a request comes from
        server_header=False,
        h11_max_incomplete_event_size=HEADER_LIMIT_BYTES,
        timeout_keep_alive=math.ceil(IDLE_TIMEOUT_SECONDS),  # longer than clients keep theirs, which would meet a closing one
        timeout_graceful_shutdown=math.ceil(parts.settings.server.stop_deadline_seconds / 2),
    )


def _protocol(parts: Parts) -> type[H11Protocol]:
    """Connections that end when no request comes, and that refuse in our shape what is no HTTP."""

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._idle_since = self.loop.time()
            self._watch = self.loop.call_later(IDLE_TIMEOUT_SECONDS, self._look)

        def connection_lost(self, exc: Exception | None) -> None:
            self._watch.cancel()
            super().connection_lost(exc)

        def _look(self) -> None:
            now = self.loop.time()
            cycle: Any = self.cycle  # None before the first request, whatever its annotation says
            if cycle is not None and not cycle.response_complete:
                self._idle_since = now
            elif now - self._idle_since >= IDLE_TIMEOUT_SECONDS:
                self.transport.close()
                return
            self._watch = self.loop.call_later(IDLE_TIMEOUT_SECONDS / 4, self._look)

        def on_response_complete(self) -> None:
            self._idle_since = self.loop.time()
            super().on_response_complete()

        def send_400_response(self, msg: str) -> None:
            answer = problem(
                ForebayError(
                    "invalid_http",
                    f"expected an HTTP/1.1 request with at most {HEADER_LIMIT_BYTES} bytes of headers, got something else",
                    hint="Check the client, and whether it speaks TLS to a server that does not.",
                )
            )
            headers = [
                (b"content-type", MEDIA_TYPE.encode()),
                (b"content-length", str(len(answer.body)).encode()),
                (HEADER, parts.effects.random.hex(16).encode()),
                (b"connection", b"close"),
            ]
            events = (h11.Response(status_code=400, headers=headers), h11.Data(data=bytes(answer.body)), h11.EndOfMessage())
            with contextlib.suppress(h11.LocalProtocolError):  # an answer has begun already; closing is all that is left
                for event in events:
                    self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

    return Connection


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unavailable(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # listening here already, not later in the loop: two servers can bind one port, but only one can listen
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _unavailable(host, port, error) from error
    return listener


def _unavailable(host: str, port: int, error: OSError) -> ForebayError:
    if error.errno == errno.EADDRINUSE:
        return ForebayError(
            "port_in_use",
            f"Forebay cannot listen on {host} port {port}: another program does.",
            hint="Give another --port (0 takes a free one), or stop that program.",
            status=503,
        )
    return ForebayError(
        "address_unavailable",
        f"Forebay cannot listen on {host} port {port}: {error.strerror}.",
        hint="Give an address of this machine with --host, and a port above 1023.",
        status=503,
    )


def _url(settings: Settings, listener: socket.socket) -> str:
    """Where commands on this machine reach the server: the address that it really has."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- every address includes the loopback
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
