"""How commands find a running server, and whom they never send a key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from forebay.cli.connection import connect, live_server
from forebay.errors import ForebayError
from forebay.settings import Settings, load_settings


class Peer:
    """A program on a port that answers every GET, and remembers the keys it was sent."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                peer.keys.append(self.headers["X-API-Key"])
                body = json.dumps({"status": "healthy", "version": "1.2.3"}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    thread = threading.Thread(target=peer.server.serve_forever, args=(0.01,))
    thread.start()
    yield peer
    peer.server.shutdown()
    peer.server.server_close()
    thread.join()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "admin.key").write_text("the-stored-key\n", encoding="utf-8")
    return load_settings({}, {"data_dir": tmp_path}, env_file=None)


def record(settings: Settings, *, url: str, pid: int, version: str = "1.2.3") -> None:
    (settings.data_dir / "server.json").write_text(json.dumps({"url": url, "pid": pid, "version": version}), encoding="utf-8")


async def test_a_live_server_is_used_with_the_stored_key(peer: Peer, settings: Settings):
    record(settings, url=peer.url, pid=os.getpid())
    async with connect(settings) as connection:
        assert connection.place == "server"
        assert (await connection.body("GET", "/documents"))["version"] == "1.2.3"
    assert peer.keys == [None, "the-stored-key"]


async def test_proxies_of_the_environment_are_not_asked(peer: Peer, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    record(settings, url=peer.url, pid=os.getpid())
    assert await live_server(settings) == peer.url


async def test_the_record_of_a_dead_process_is_not_believed(peer: Peer, settings: Settings):
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    record(settings, url=peer.url, pid=dead.pid)
    assert await live_server(settings) is None
    assert peer.keys == []


async def test_a_stranger_on_the_port_is_never_sent_the_key(peer: Peer, settings: Settings):
    record(settings, url=peer.url, pid=os.getpid(), version="another")
    assert await live_server(settings) is None
    assert peer.keys == [None]


async def test_a_server_that_goes_away_is_unreachable(peer: Peer, settings: Settings):
    record(settings, url=peer.url, pid=os.getpid())
    async with connect(settings) as connection:
        peer.server.shutdown()
        peer.server.server_close()
        with pytest.raises(ForebayError) as caught:
            await connection.body("GET", "/documents")
    assert (caught.value.code, caught.value.status) == ("unreachable", 503)


async def test_without_a_readable_key_the_error_says_what_to_set(peer: Peer, settings: Settings):
    record(settings, url=peer.url, pid=os.getpid())
    (settings.data_dir / "admin.key").unlink()
    with pytest.raises(ForebayError) as caught:
        async with connect(settings):
            pass
    assert caught.value.code == "no_key"
    assert "FOREBAY_API_KEY" in caught.value.hint
