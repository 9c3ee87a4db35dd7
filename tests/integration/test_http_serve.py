"""The server on a real socket, as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

PROGRAM = """
import asyncio, gc, sys
from pathlib import Path
from forebay.app import open_forebay
from forebay.errors import ForebayError
from forebay.server import serve as module
from forebay.server.serve import serve
from forebay.settings import load_settings

async def main(data_dir, port, *more):
    given = {"data_dir": Path(data_dir), "embedder": "mock", "port": port, **dict(each.split("=", 1) for each in more)}
    module.IDLE_TIMEOUT_SECONDS = float(given.pop("idle_seconds", 30))
    async with open_forebay(load_settings({}, given, env_file=None)) as program:
        await serve(program.asgi, program.parts, ready=lambda url: print(url, gc.get_freeze_count(), flush=True))

try:
    asyncio.run(main(*sys.argv[1:]))
except ForebayError as error:
    sys.exit(error.code)
"""
DEADLINE_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server process."""

    process: subprocess.Popen[str]
    data_dir: Path
    url: str
    key: str
    frozen_count: int  # objects that the garbage collector leaves alone

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 80

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"X-API-Key": self.key}, trust_env=False, timeout=DEADLINE_SECONDS)

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)


def start(data_dir: Path, *more: str, port: int = 0) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    command = [sys.executable, "-c", PROGRAM, str(data_dir), str(port), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@contextmanager
def running(data_dir: Path, *more: str) -> Iterator[Running]:
    process = start(data_dir, *more)
    assert process.stdout is not None
    try:
        url, _, frozen = process.stdout.readline().strip().partition(" ")
        assert url, process.stderr.read() if process.stderr else ""
        key = (data_dir / "admin.key").read_text().strip()
        yield Running(process=process, data_dir=data_dir, url=url, key=key, frozen_count=int(frozen))
    finally:
        process.kill()
        process.communicate()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def begin_upload(server: Running, connection: socket.socket) -> None:
    """Send the first 5 of 9 bytes of a document; the server is reading it when this returns."""
    head = f"POST /documents?name=a.md HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {server.key}\r\nContent-Length: 9\r\n"
    connection.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
    connection.sendall(b"some ")


def answer_of(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    return received


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_there_at_the_start_is_no_work_for_the_garbage_collector_any_more(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        assert server.frozen_count > 10_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as server:
        record = json.loads((tmp_path / "server.json").read_bytes())
        assert (record["url"], record["pid"]) == (server.url, server.process.pid)
        assert set(record) == {"url", "pid", "version", "started_at"}
        assert (mode(tmp_path / "server.json"), mode(tmp_path / "admin.key")) == (0o600, 0o600)
        with server.client() as client:
            assert client.get("/health/ready").status_code == 200
            assert client.get("/documents").status_code == 200
        assert server.stop(number) == 0
        assert not (tmp_path / "server.json").exists()


def test_what_was_uploaded_is_there_after_a_restart_with_the_same_key(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.client() as client:
        accepted = client.post("/documents", params={"name": "a.md"}, content="The sluice gate closes.").json()
        assert server.stop() == 0
        key = server.key
    with running(tmp_path) as server, server.client() as client:
        assert server.key == key
        document = client.get(f"/documents/{accepted['id']}", params={"wait_seconds": 30}).json()
        assert document["status"] == "indexed"
        assert len(client.post("/search", json={"query": "sluice"}).json()["hits"]) == 1


def test_an_upload_under_way_is_finished_before_the_stop(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.raw() as connection:
        begin_upload(server, connection)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not (tmp_path / "server.json").exists())
        connection.sendall(b"text")
        answer = answer_of(connection)
        assert answer.startswith(b"HTTP/1.1 202 ")
        assert server.process.wait(DEADLINE_SECONDS) == 0


def test_a_request_that_does_not_end_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    with running(tmp_path, "stop_deadline_seconds=1") as server, server.raw() as connection:
        begin_upload(server, connection)
        assert server.stop() == 0
        assert not any((tmp_path / "containers" / "incoming").iterdir())


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.raw() as connection:
        begin_upload(server, connection)
        server.process.send_signal(signal.SIGINT)
        eventually(lambda: not (tmp_path / "server.json").exists())
        assert server.stop(signal.SIGINT) == -signal.SIGINT


def test_a_port_that_is_taken_is_said_to_be(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = start(tmp_path, port=other.getsockname()[1])
        _, error = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, error.strip().splitlines()[-1]) == (1, "port_in_use")
    assert not (tmp_path / "server.json").exists()


def test_other_machines_are_let_in_only_with_a_key_of_ones_own(tmp_path: Path) -> None:
    process = start(tmp_path / "without", "host=0.0.0.0")
    _, error = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, error.strip().splitlines()[-1]) == (1, "key_required")
    with running(tmp_path / "with", "host=0.0.0.0", f"api_key={'k' * 32}") as server:
        assert server.url.startswith("http://127.0.0.1:")
        with server.client() as client:
            assert client.get("/documents", headers={"X-API-Key": "k" * 32}).status_code == 200


def test_what_is_no_http_is_a_problem_too(tmp_path: Path) -> None:
    endless_head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 40_000
    with running(tmp_path) as server:
        for request in (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", endless_head):
            with server.raw() as connection:
                connection.sendall(request)
                head, _, body = answer_of(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ")
            assert b"x-correlation-id: " in head.lower()
            assert json.loads(body)["code"] == "invalid_http"


@pytest.mark.parametrize("has_length", [True, False])
def test_a_client_that_sends_too_much_reads_why(tmp_path: Path, has_length: bool) -> None:
    content = b"x" * (8 << 20)
    with running(tmp_path, "max_body_mb=1") as server, server.client() as client:
        answer = client.post("/documents", params={"name": "a.md"}, content=content if has_length else iter([content]))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert client.get("/documents/summary").json()["arrivals"] == 0


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_a_connection_without_a_request_is_closed(tmp_path: Path, begun: bytes) -> None:
    with running(tmp_path, "idle_seconds=0.2") as server, server.raw() as connection:
        connection.sendall(begun)
        assert answer_of(connection) == b""


def test_a_connection_with_a_slow_request_is_left_open(tmp_path: Path) -> None:
    with running(tmp_path, "idle_seconds=0.2") as server, server.raw() as connection, server.client() as client:
        begin_upload(server, connection)
        started = time.monotonic()
        while time.monotonic() - started < 0.8:
            client.get("/health").raise_for_status()
        connection.sendall(b"text")
        assert connection.recv(1000).startswith(b"HTTP/1.1 202 ")


def test_a_download_can_be_left_early(tmp_path: Path) -> None:
    content = os.urandom(8 << 20)
    with running(tmp_path) as server, server.client() as client:
        assert client.put("/containers/archive/blobs/big", content=content).status_code == 201
        with client.stream("GET", "/containers/archive/blobs/big") as answer:
            next(answer.iter_raw())
        assert client.get("/containers/archive/blobs/big").content == content
        assert server.stop() == 0


def test_urls_of_instances_lead_to_the_port_that_was_free(tmp_path: Path):
    with running(tmp_path) as server, server.client() as client:
        started = client.post("/api/orchestrators/embeddings", json={"name": "a.md", "text": "water"})
        assert started.headers["location"].startswith(f"{server.url}/runtime/webhooks/durabletask/instances/")
        assert httpx.get(started.headers["location"], trust_env=False).status_code in (200, 202)
