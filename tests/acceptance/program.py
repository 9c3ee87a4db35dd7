"""The program as a user runs it: its own process, a data directory, and the HTTP API."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

Result = TypeVar("Result")

FOREBAY = Path(sys.executable).with_name("forebay")
ANSWER_SECONDS = 60.0


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without settings of Forebay, so that a developer's own do not decide a test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FOREBAY_", "INGESTION_"))}
    return kept | {"FOREBAY_EMBEDDER": "mock", "PYTHONUNBUFFERED": "1"} | more


def forebay(*arguments: str, data_dir: Path, status: int = 0, **environment: str) -> str:
    """Run one command and return its standard output; it must end with `status`."""
    done = subprocess.run(
        [FOREBAY, *arguments],
        env=clean_environment(FOREBAY_DATA_DIR=str(data_dir), **environment),
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, f"exit status {done.returncode}: {done.stdout}\n{done.stderr}"
    return done.stdout


def eventually(look: Callable[[], Result | None], what: str, seconds: float = ANSWER_SECONDS) -> Result:
    """What `look` returns as soon as that is something; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


@dataclass(slots=True)
class Program:
    """A server process that a test starts, kills and starts again."""

    data_dir: Path
    watch: Sequence[Path] = ()
    command: Sequence[str] = (str(FOREBAY),)
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        arguments = [*self.command, "up", "--data-dir", str(self.data_dir), "--port", "0"]
        for folder in self.watch:
            arguments += ["--watch", str(folder)]
        log = (self.data_dir.parent / "server.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                arguments, env=clean_environment(**self.environment), stdout=log, stderr=log, cwd=self.data_dir.parent
            )
        eventually(self._record, "server.json of this process")

    def _record(self) -> dict[str, Any] | None:
        assert self.process is not None
        assert self.process.poll() is None, (self.data_dir.parent / "server.log").read_text()[-3000:]
        with contextlib.suppress(OSError, ValueError):
            record: dict[str, Any] = json.loads((self.data_dir / "server.json").read_text())
            # strace, where it runs, is the process that was started; the server is its child
            if record["pid"] == self.process.pid or record["pid"] in _children(self.process.pid):
                return record
        return None

    @property
    def pid(self) -> int:
        """The server's process id."""
        record = self._record()
        assert record is not None
        return int(record["pid"])

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as an operator would; the exit status."""
        assert self.process is not None
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(timeout=60)

    def client(self) -> httpx.Client:
        """A client with the admin key."""
        record = self._record()
        assert record is not None
        key = (self.data_dir / "admin.key").read_text().strip()
        return httpx.Client(base_url=record["url"], headers={"X-API-Key": key}, timeout=60, trust_env=False)

    def settled(self, documents: int = 0) -> dict[str, Any]:
        """Wait until every source has been compared and nothing is in flight; the summary."""

        def look() -> dict[str, Any] | None:
            with self.client() as client:
                found: dict[str, Any] = client.get("/documents/summary").json()
            is_settled = found["reconciled"] and not found["in_flight"] and found["arrivals"] >= documents
            return found if is_settled else None

        return eventually(look, "all arrivals settled", 240)


def _children(pid: int) -> set[int]:
    with contextlib.suppress(OSError):
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return set()


@contextlib.contextmanager
def running(
    data_dir: Path, *, watch: Sequence[Path] = (), command: Sequence[str] = (str(FOREBAY),), **environment: str
) -> Iterator[Program]:
    """A started program, ended with the block whatever happens."""
    program = Program(data_dir=data_dir, watch=watch, command=command, environment=environment)
    program.start()
    try:
        yield program
    finally:
        if program.process is not None and program.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, AssertionError):
                os.kill(program.pid, signal.SIGKILL)
            program.process.kill()
            program.process.wait()


def assert_sound(data_dir: Path) -> None:
    """Index against sources, history against tables, and SQLite's own check; the server must not run."""
    for check in ("index", "history"):
        answer = json.loads(forebay("check", check, "--json", data_dir=data_dir))
        assert answer["ok"], answer["problems"][:5]
    import sqlite3

    with contextlib.closing(sqlite3.connect(data_dir / "catalog.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        # raises where the full text is not exactly that of the chunks
        connection.execute("INSERT INTO chunk_search (chunk_search, rank) VALUES ('integrity-check', 1)")
        assert connection.execute("SELECT count(*) FROM versions WHERE valid_from IS NULL").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM instances WHERE status != 'Completed'").fetchone() == (0,)
