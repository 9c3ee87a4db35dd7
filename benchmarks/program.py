"""Targets 5, 6, 17 and 18: answers while embedding, upload to first hit, start-up, memory; on the running program."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from benchmarks.pipeline import fdatasync_rate, standard_library
from benchmarks.processes import pss_megabytes

FOREBAY = str(Path(sys.executable).with_name("forebay"))


@contextlib.contextmanager
def server(data: Path, *watch: Path, embedder: str = "minilm", **settings: str) -> Iterator[tuple[httpx.Client, int, float]]:
    """A running program with these variables set: a client, its process id, and the seconds that it took to be ready."""
    arguments = [FOREBAY, "up", "--data-dir", str(data), "--port", "0"]
    for folder in watch:
        arguments += ["--watch", str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    began = time.perf_counter()
    environment |= {"FOREBAY_EMBEDDER": embedder, "FOREBAY_RATE_LIMIT": "0", **settings}  # what is measured is not the limit of a key
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        record = data / "server.json"
        while not record.exists():
            if process.poll() is not None:
                raise SystemExit(f"the program did not start: exit status {process.returncode}")
            time.sleep(0.005)
        url = json.loads(record.read_text())["url"]
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            while client.get("/health/ready").status_code != 200:
                time.sleep(0.005)
            ready = time.perf_counter() - began
            client.headers["X-API-Key"] = (data / "admin.key").read_text().strip()
            yield client, process.pid, ready
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def start_up(root: Path, rounds: int) -> None:
    bare = [timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) for _ in range(rounds)]
    help_seconds = [timed(lambda: subprocess.run([FOREBAY, "--help"], check=True, stdout=subprocess.DEVNULL)) for _ in range(rounds)]
    ready = []
    for number in range(rounds):
        with server(root / f"start-{number}") as (_, _, seconds):
            ready.append(seconds)
    python = statistics.median(bare)
    print(f"bare Python start {python:.3f} s")
    print(
        f"target 17: ready after {statistics.median(ready):.2f} s (floor 3, aim 2), {statistics.median(ready) / python:.0f}x a bare start"
    )
    shown = statistics.median(help_seconds)
    print(f"target 17: --help {shown:.2f} s (floor 0.5, aim 0.3), {shown / python:.0f}x a bare start")


def upload_to_hit(root: Path, rounds: int) -> None:
    from forebay.app import make_embedder
    from forebay.settings import load_settings

    embedder = make_embedder(load_settings({}, {}, env_file=None))
    ledger = sqlite3.connect(root / "yardstick.db", isolation_level=None)
    ledger.execute("PRAGMA journal_mode=WAL")
    ledger.execute("PRAGMA synchronous=FULL")
    ledger.execute("CREATE TABLE t (text)")

    def text(number: int) -> str:
        return f"Needle{number}x is here. " + " ".join(f"The gate {number} of the forebay lets water {word} through." for word in range(75))

    def yardstick(number: int) -> None:
        content = text(number)
        asyncio.run(embedder.embed([content[first : first + 800] for first in range(0, len(content), 800)]))
        ledger.execute("INSERT INTO t VALUES (?)", (content,))

    yardstick(0)
    ours, bare = [], []
    with server(root / "upload") as (client, _, _):
        for number in range(rounds * 4):
            bare.append(timed(lambda number=number: yardstick(number)))  # type: ignore[misc]
            content = text(number).encode()
            assert len(content) < 5000

            def first_hit(number: int = number, content: bytes = content) -> None:
                accepted = client.post("/documents", params={"name": f"{number}.txt"}, content=content)
                identity = accepted.json()["id"]
                while True:
                    hits = client.post("/search", json={"query": f"Needle{number}x", "k": 3}).json()["hits"]
                    if any(hit["document_id"] == identity for hit in hits):
                        return

            ours.append(timed(first_hit))
    ours, bare = ours[2:], bare[2:]  # the first ones load the model
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    ours_ms, bare_ms = (statistics.median(each) * 1000 for each in (ours, bare))
    print(f"upload of 4 KB to first hit {ours_ms:.0f} ms, embedding and one commit {bare_ms:.0f} ms")
    print(f"target 6: {ratio:.1f}x (floor 5, aim 2 and below 300 ms)")


def while_ingesting(root: Path) -> None:
    library = root / "library"
    standard_library(library, ["asyncio", "json", "http", "urllib", "logging", "email", "xml"])
    seconds, memory = [], []
    with server(root / "busy", library) as (client, pid, _):
        while True:
            seconds += [timed(lambda: client.get("/documents?limit=1")) for _ in range(20)]
            memory.append(pss_megabytes(pid))
            found = client.get("/documents/summary").json()
            if found["reconciled"] and not found["in_flight"]:
                break
    print(
        f"target 5: answers while {found['chunks']:,} chunks are embedded on both cores: median {statistics.median(seconds) * 1000:.1f} ms,"
        f" p99 {percentile(seconds, 0.99) * 1000:.0f} ms (floor 250, aim 100); {len(seconds)} requests"
    )
    print(f"target 18: real embedder: at most {max(memory):.0f} MB PSS of the whole process tree (floor 700, aim 500)")


def memory_of_many_files(root: Path) -> None:
    folder = root / "many"
    standard_library(folder)
    for number in range(300):
        (folder / f"more-{number}.md").write_text(f"# Note {number}\n\n" + f"The valve {number} closes. " * 200)
    marks: list[tuple[int, float]] = []
    with server(root / "memory", folder, embedder="mock") as (client, pid, _):
        while True:
            found = client.get("/documents/summary").json()
            done = sum(found["outcomes"].values())
            marks.append((done, pss_megabytes(pid)))
            if found["reconciled"] and not found["in_flight"]:
                break
            time.sleep(0.1)
        client.post("/search", json={"query": "valve"})
        marks.append((done, pss_megabytes(pid)))
    half = [megabytes for done, megabytes in marks if done < marks[-1][0] / 2] or [0.0]
    print(
        f"target 18: trivial embedder, {marks[-1][0]:,} files, {found['chunks']:,} chunks: at most {max(half):.0f} MB in the first half,"
        f" {max(m for _, m in marks[:-1]):.0f} MB in all, {marks[-1][1]:.0f} MB with the search index loaded"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    root = Path(tempfile.mkdtemp(prefix="forebay-bench-"))
    try:
        print(f"fdatasync: {fdatasync_rate(root):,.0f}/s")
        start_up(root, rounds)
        upload_to_hit(root, rounds)
        while_ingesting(root)
        memory_of_many_files(root)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
