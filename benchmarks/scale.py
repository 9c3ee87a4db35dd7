"""Fifty thousand files and a hundred thousand chunks: does anything grow with their number that should not?

Small text files of two chunks each in nested folders, the trivial embedder, the program in a process of its own. A second folder of 100
files is watched in the same run, so that one edit can be compared with one edit. `--files 2000` is a shorter run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.pipeline import fdatasync_rate, walk
from benchmarks.processes import cpu_seconds, pss_megabytes
from benchmarks.program import percentile, server

SEED = 20261122
TOP_FOLDERS = 10  # of which one is renamed and one deleted
FILES_A_FOLDER = 25
SMALL_FILES = 100
WORDS = "gate weir flow valve pressure head turbine basin sluice canal river level intake spill screen pump shaft penstock".split()
DEADLINE_SECONDS = 1800.0


def text_of(source: random.Random, title: str) -> str:
    """About 1,200 characters, which are two chunks; no two texts are the same."""
    lines = [f"# {title}\n"]
    while sum(map(len, lines)) < 1200:
        lines.append(" ".join(source.choices(WORDS, k=9)) + f" {source.randrange(10**6)}.\n")
    return "".join(lines)


def make_corpus(folder: Path, count: int, source: random.Random) -> None:
    """`count` files in TOP_FOLDERS folders of folders of folders."""
    share = count // TOP_FOLDERS
    for number in range(count):
        top, below = divmod(number, share)
        leaf = below // FILES_A_FOLDER
        path = folder / f"top-{min(top, TOP_FOLDERS - 1)}" / f"middle-{leaf % 10}" / f"leaf-{leaf}" / f"note-{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(source, f"Note {number}"))


def until(look: Callable[[], bool], what: str) -> float:
    """Seconds until `look` says so."""
    began = time.perf_counter()
    while not look():
        if time.perf_counter() - began > DEADLINE_SECONDS:
            raise SystemExit(f"not within {DEADLINE_SECONDS:.0f} s: {what}")
        time.sleep(0.05)
    return time.perf_counter() - began


def settled(client: httpx.Client, documents: int) -> Callable[[], bool]:
    def look() -> bool:
        found = client.get("/documents/summary").json()
        return bool(found["reconciled"] and not found["in_flight"] and found["documents"] == documents)

    return look


@contextlib.contextmanager
def memory_high_water(pid: int) -> Iterator[list[float]]:
    """The largest PSS of a process tree while the block runs, in MB, as the only element of what is given."""
    highest, is_over = [0.0], threading.Event()

    def look() -> None:
        while not is_over.wait(0.25):
            highest[0] = max(highest[0], pss_megabytes(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield highest
    finally:
        is_over.set()
        thread.join()


def edit_to_hit(client: httpx.Client, path: Path, source: random.Random, token: str) -> float:
    """Milliseconds from writing a file to finding it."""
    path.write_text(text_of(source, f"Edited {token}"))
    began = time.perf_counter()
    question = {"query": token, "mode": "text", "k": 1}
    while not client.post("/search", json=question).json()["hits"]:
        if time.perf_counter() - began > DEADLINE_SECONDS:
            raise SystemExit(f"{path} is not found")
        time.sleep(0.005)
    return (time.perf_counter() - began) * 1000


def edits(client: httpx.Client, large: list[Path], small: list[Path], count: int, source: random.Random) -> dict[str, float]:
    times: dict[str, list[float]] = {"large": [], "small": []}
    for number in range(count):
        for name, paths in (("large", large), ("small", small)):
            times[name].append(edit_to_hit(client, source.choice(paths), source, f"token{name}{number}"))
    return {
        f"edit_{name}_{what}_ms": value
        for name, each in times.items()
        for what, value in (("median", statistics.median(each)), ("p95", percentile(each, 0.95)))
    }


def idle_cpu(pid: int, seconds: float) -> float:
    """CPU-seconds a minute of a process tree that has nothing to do."""
    time.sleep(2)
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) * 60 / seconds


def comparisons(folder: Path, data: Path, rounds: int) -> dict[str, float]:
    """Complete comparisons of an unchanged folder and bare walks with stat, in turn; the program does not run."""
    from forebay.app import open_forebay, places
    from forebay.settings import load_settings

    settings = load_settings({}, {"data_dir": data, "watch": (folder,), "embedder": "mock"}, env_file=None)

    async def run() -> dict[str, float]:
        async with open_forebay(settings) as program:
            await program.until_idle()
            watched = places(settings, data / "containers")[1]
            walks, compared = [], []
            for _ in range(rounds):
                began = time.perf_counter()
                walk(folder)
                walks.append(time.perf_counter() - began)
                began = time.perf_counter()
                found = await program.core.reconciler.reconcile(watched, actor="benchmark")
                compared.append(time.perf_counter() - began)
                assert found.recorded_count == 0
            ratio = statistics.median(one / other for one, other in zip(compared, walks, strict=True))
            return {"walk_ms": statistics.median(walks) * 1000, "compare_ms": statistics.median(compared) * 1000, "compare_walks": ratio}

    return asyncio.run(run())


def _child(*arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-m", "benchmarks.scale", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(root: Path, *, files: int, edit_count: int, idle_seconds: float) -> dict[str, Any]:
    """Every figure by name; times in the unit that the name ends with."""
    source = random.Random(SEED)
    large, small, data = root / "large", root / "small", root / "data"
    make_corpus(large, files, source)
    for number in range(SMALL_FILES):
        small.mkdir(exist_ok=True)
        (small / f"small-{number}.txt").write_text(text_of(source, f"Small {number}"))
    share, total = files // TOP_FOLDERS, files + SMALL_FILES
    found: dict[str, Any] = {"files": files, "fdatasync_per_second": fdatasync_rate(root)}

    with server(data, large, small, embedder="mock") as (client, pid, _):
        with memory_high_water(pid) as highest:
            seconds = until(settled(client, total), "everything is indexed")
        summary = client.get("/documents/summary").json()
        found |= {"index_files_per_second": total / seconds, "index_cpu_ms_per_file": cpu_seconds(pid) * 1000 / total}
        found |= {"chunks": summary["chunks"], "index_pss_mb": highest[0]}
        found["idle_cpu_seconds_per_minute"] = idle_cpu(pid, idle_seconds)
        in_large = [path for path in large.rglob("*.txt") if path.parts[-4] not in ("top-0", "top-1")]
        found |= edits(client, in_large, sorted(small.iterdir()), edit_count, source)
        for name, change, left in (
            ("rename", lambda: (large / "top-0").rename(large / "renamed"), total),
            ("delete", lambda: shutil.rmtree(large / "top-1"), total - share),
        ):
            before = client.get("/documents/summary").json()["arrivals"]
            arrivals = before + (2 * share if name == "rename" else share)
            with memory_high_water(pid) as highest:
                change()
                is_settled = settled(client, left)
                found[f"{name}_seconds"] = until(
                    lambda: client.get("/documents/summary").json()["arrivals"] >= arrivals and is_settled(),  # noqa: B023
                    f"{name} of {share} files",
                )
            found[f"{name}_pss_mb"] = highest[0]

    with server(data, large, small, embedder="mock") as (client, pid, ready):
        found |= {"ready_seconds": ready, "reconciled_seconds": ready + until(settled(client, total - share), "everything is compared")}
        found["rest_pss_mb"] = pss_megabytes(pid)
        client.post("/search", json={"query": "pressure of the valve"}).raise_for_status()
        found["rest_with_matrix_pss_mb"] = pss_megabytes(pid)
    found |= _child("--compare", str(large), str(data))
    return found


def report(found: dict[str, Any]) -> None:
    share = found["files"] // TOP_FOLDERS
    print(
        f"{found['files']:,} files, {found['chunks']:,} chunks; fdatasync {found['fdatasync_per_second']:,.0f}/s\n"
        f"first index: {found['index_files_per_second']:,.0f} files/s, {found['index_cpu_ms_per_file']:.2f} CPU ms a file,"
        f" at most {found['index_pss_mb']:.0f} MB PSS of the process tree (target 18: floor 700, aim 500)\n"
        f"complete comparison when nothing changed: {found['compare_ms']:.0f} ms, {found['compare_walks']:.2f} bare walks with stat"
        f" (target 2: floor 5, aim 2)\n"
        f"at rest, everything watched: {found['idle_cpu_seconds_per_minute']:.2f} CPU-seconds a minute\n"
        f"one edit to searchable: median {found['edit_large_median_ms']:.0f} ms, p95 {found['edit_large_p95_ms']:.0f} ms;"
        f" in a folder of {SMALL_FILES} files {found['edit_small_median_ms']:.0f} and {found['edit_small_p95_ms']:.0f} ms\n"
        f"rename of a folder with {share:,} files: {found['rename_seconds']:.1f} s, at most {found['rename_pss_mb']:.0f} MB\n"
        f"deletion of {share:,} files: {found['delete_seconds']:.1f} s, at most {found['delete_pss_mb']:.0f} MB\n"
        f"restart: ready after {found['ready_seconds']:.2f} s, everything compared after {found['reconciled_seconds']:.2f} s\n"
        f"memory at rest: {found['rest_pss_mb']:.0f} MB, with the search index {found['rest_with_matrix_pss_mb']:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("FOLDER", "DATA"), help="only compare, on an existing data directory")
    chosen = parser.parse_args()
    if chosen.compare:
        print(json.dumps(comparisons(*chosen.compare, rounds=7)))
        return
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        found = measure(Path(name), files=chosen.files, edit_count=chosen.edits, idle_seconds=chosen.idle_seconds)
    if chosen.json:
        print(json.dumps(found))
    else:
        report(found)


if __name__ == "__main__":
    main()
