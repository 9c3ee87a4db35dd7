"""Targets 1 to 3: files to searchable against a bare loop that writes the same rows; a second, unchanged run; the real embedder.

Each round runs every contender once, in its own process, on the standard library's .py files. CPU counts user and system
time of the whole process tree. The bare loop reads, cuts, embeds and writes with the catalog's own functions, without
arrivals being noticed, journal, workers, retries or limits.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

FILES_A_COMMIT = 64


def measured(work: Any) -> dict[str, float]:
    """Seconds of wall and CPU time that `work()` takes, beside the figures that it returns."""
    began, before = time.perf_counter(), own_cpu_seconds()
    figures = work()
    return {"wall": time.perf_counter() - began, "cpu": own_cpu_seconds() - before, **figures}


def own_cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def run_forebay(folder: Path, data: Path, embedder: str) -> dict[str, float]:
    """The whole program on an empty (or existing) data directory, until everything has settled."""
    from forebay.app import open_forebay
    from forebay.catalog.queries import summary
    from forebay.settings import load_settings

    given = {"data_dir": data, "watch": (folder,), "embedder": embedder, "telemetry": False}
    settings = load_settings({}, given, env_file=None)

    async def run() -> dict[str, float]:
        async with open_forebay(settings) as program:
            readers = program.core.adapters.database.readers
            began = time.perf_counter()
            while True:
                found = await readers.run(lambda connection: summary(connection, "default-project"))
                if program.core.watcher.is_reconciled and not found["in_flight"]:
                    return {"seconds": time.perf_counter() - began, "files": found["arrivals"], "chunks": found["chunks"]}
                await asyncio.sleep(0.02)

    return measured(lambda: asyncio.run(run()))


def run_bare(folder: Path, data: Path, files_a_commit: int) -> dict[str, float]:
    """Read, cut, embed and write, in one loop."""
    from forebay.app import schemas
    from forebay.catalog import documents, models, versions
    from forebay.catalog.arrivals import record_arrival
    from forebay.catalog.versions import VersionFacts
    from forebay.database.database import open_writer_connection
    from forebay.database.transaction import Transaction
    from forebay.pipeline.chunk import chunk_text
    from forebay.pipeline.embedders.mock import MockEmbedder
    from forebay.pipeline.formats import format_of_name
    from forebay.values.arrival import Location, NewArrival

    data.mkdir(parents=True)
    connection = open_writer_connection(data / "catalog.db", schemas(), synchronous="FULL")
    mock = MockEmbedder()
    models.search_by(Transaction(connection, 1), mock.model_id, {}, is_complete=True)
    python = format_of_name("a.py")
    assert python is not None

    def write(tx: Transaction, path: Path) -> int:
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        new = NewArrival(
            kind="created",
            project="p",
            source=str(folder),
            name=name,
            location=Location(container=None, name=name, etag=name),
            actor="loop",
            correlation_id=name,
            event_id=name,
        )
        arrival = record_arrival(tx, new)
        assert arrival is not None
        chunks = chunk_text(content.decode("utf-8", "replace"), python, chunk_size=800, chunker="auto")
        if not chunks:
            return 0
        facts = VersionFacts(
            recipe="r",
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            format="python",
            content_type="text/x-python",
            language="python",
            encoding="utf-8",
            is_encoding_guessed=False,
            replaced_count=0,
            chunk_count=len(chunks),
        )
        version = versions.stage_version(tx, arrival, facts)
        versions.stage_chunks(tx, version, "p", name, chunks)
        missing = versions.texts_without_vector(connection, version, mock.model_id, 0, len(chunks))
        if missing:
            vectors = _embedded(mock, [text for _, text in missing])
            versions.put_vectors(tx, mock.model_id, [(missing[row][0], vectors[row].tobytes()) for row in range(len(missing))])
        documents.start_processing(tx, arrival)
        documents.make_current(tx, arrival, version)
        return len(chunks)

    def run() -> dict[str, float]:
        paths = sorted(folder.rglob("*.py"))
        chunk_count, began = 0, time.perf_counter()
        for first in range(0, len(paths), files_a_commit):
            connection.execute("BEGIN IMMEDIATE")
            tx = Transaction(connection, time.time_ns() // 1000)
            chunk_count += sum(write(tx, path) for path in paths[first : first + files_a_commit])
            connection.execute("COMMIT")
        return {"seconds": time.perf_counter() - began, "files": len(paths), "chunks": chunk_count}

    return measured(run)


def _embedded(embedder: Any, texts: list[str]) -> Any:
    work = embedder.embed(texts)
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the mock embedder waited")


def walk(folder: Path) -> int:
    """A bare walk with stat of every file; their number."""
    count = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            os.stat(os.path.join(directory, name))  # noqa: PTH116 - the barest form
            count += 1
    return count


def run_reconcile(folder: Path, data: Path) -> dict[str, float]:
    """Complete comparisons of an unchanged folder with the catalog, as at every start, and bare walks of it, in turn."""
    from forebay.app import open_forebay, places
    from forebay.settings import load_settings

    settings = load_settings({}, {"data_dir": data, "watch": (folder,), "embedder": "mock"}, env_file=None)

    async def run() -> dict[str, float]:
        async with open_forebay(settings) as program:
            await program.until_idle()
            watched = places(settings, data / "containers")[1]
            seconds, walks = [], []
            for _ in range(7):
                began = time.perf_counter()
                walk(folder)
                walks.append(time.perf_counter() - began)
                began = time.perf_counter()
                found = await program.core.reconciler.reconcile(watched, actor="benchmark")
                seconds.append(time.perf_counter() - began)
                assert found.recorded_count == 0
            return {"seconds": statistics.median(seconds), "walk_seconds": statistics.median(walks), "files": 0, "chunks": 0}

    return measured(lambda: asyncio.run(run()))


def run_embedder(folder: Path, limit_chunks: int) -> dict[str, float]:
    """The real embedder alone on the same texts."""
    from forebay.app import make_embedder
    from forebay.pipeline.chunk import chunk_text
    from forebay.pipeline.formats import format_of_name
    from forebay.settings import load_settings

    python = format_of_name("a.py")
    assert python is not None
    texts: dict[str, None] = {}
    for path in sorted(folder.rglob("*.py")):
        for chunk in chunk_text(path.read_text(encoding="utf-8", errors="replace"), python, chunk_size=800, chunker="auto"):
            texts[chunk.text] = None

    async def run() -> dict[str, float]:
        embedder = make_embedder(load_settings({}, {}, env_file=None))
        await embedder.embed(["warm"])
        unique, began = list(texts)[:limit_chunks], time.perf_counter()
        await asyncio.gather(*(embedder.embed(unique[first : first + 64]) for first in range(0, len(unique), 64)))
        return {"seconds": time.perf_counter() - began, "files": 0, "chunks": len(unique)}

    return measured(lambda: asyncio.run(run()))


def fdatasync_rate(directory: Path) -> float:
    """Fdatasync calls a second on a file that grows by 4 KB each time."""
    with (directory / "sync").open("wb") as file:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < 1:
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            count += 1
    return count / (time.perf_counter() - began)


def standard_library(target: Path, packages: list[str] | None = None) -> None:
    """Copy the standard library's own .py files."""
    source = Path(sysconfig.get_path("stdlib"))
    for path in source.rglob("*.py"):
        name = path.relative_to(source)
        if "site-packages" not in name.parts and (packages is None or name.parts[0] in packages):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)


def _child(contender: str, *arguments: str) -> dict[str, float]:
    """Run one contender in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pipeline", "--run", contender, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        root = Path(name)
        library, small = root / "library", root / "small"
        standard_library(library)
        standard_library(small, ["asyncio", "json", "http", "urllib", "logging"])
        print(f"fdatasync: {fdatasync_rate(root):,.0f}/s (FULL everywhere; no telemetry)")
        results: dict[str, list[dict[str, float]]] = {}

        def add(key: str, *arguments: str) -> None:
            results.setdefault(key, []).append(_child(*arguments))

        for number in range(rounds):
            data = root / f"data-{number}"
            add("forebay", "forebay", str(library), str(data / "f"), "mock")
            add("bare loop, 64 files a commit", "bare", str(library), str(data / "b"), "64")
            add("bare loop, 1 file a commit", "bare", str(library), str(data / "a"), "1")
            add("unchanged comparison", "reconcile", str(library), str(data / "f"))
            add("forebay, real embedder", "forebay", str(small), str(data / "r"), "minilm")
            add("embedder alone", "embedder", str(small), "100000")
            shutil.rmtree(data)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    print(f"{'':32} {'files/s':>9} {'chunks/s':>9} {'seconds':>9} {'CPU s/1,000 chunks':>19}")
    for key, found in results.items():
        seconds = statistics.median(each["seconds"] for each in found)
        files, chunks = found[0]["files"], found[0]["chunks"]
        cpu = statistics.median(each["cpu"] for each in found)
        per_chunk = f"{cpu / chunks * 1000:.3f}" if chunks else ""
        print(f"{key:32} {files / seconds if files else 0:9,.0f} {chunks / seconds if chunks else 0:9,.0f} {seconds:9.3f} {per_chunk:>19}")

    def ratio(one: str, other: str, figure: str = "seconds") -> float:
        return statistics.median(a[figure] / b[figure] for a, b in zip(results[one], results[other], strict=True))

    print(f"target 1: {1 / ratio('forebay', 'bare loop, 64 files a commit'):.2f} of the bare loop (floor 0.35, aim 0.6)")
    print(f"target 1: CPU {ratio('forebay', 'bare loop, 64 files a commit', 'cpu'):.2f}x the bare loop's (floor 2.5, aim 1.7)")
    walks = statistics.median(each["seconds"] / each["walk_seconds"] for each in results["unchanged comparison"])
    print(f"target 2: {walks:.2f}x a bare walk with stat (floor 5, aim 2)")
    rates = [
        (a["chunks"] / a["seconds"]) / (b["chunks"] / b["seconds"])
        for a, b in zip(results["forebay, real embedder"], results["embedder alone"], strict=True)
    ]
    print(f"target 3: {statistics.median(rates):.3f} of the embedder alone (floor 0.95, aim 0.98)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", nargs="+")
    chosen = parser.parse_args()
    if not chosen.run:
        compare(chosen.rounds)
        return
    name, *rest = chosen.run
    paths = [Path(each) for each in rest]
    if name == "forebay":
        figures = run_forebay(paths[0], paths[1], rest[2])
    elif name == "bare":
        figures = run_bare(paths[0], paths[1], int(rest[2]))
    elif name == "reconcile":
        figures = run_reconcile(paths[0], paths[1])
    else:
        figures = run_embedder(paths[0], int(rest[1]))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
