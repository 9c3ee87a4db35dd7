# ruff: noqa: A005 - nothing here wants the module of the standard library
"""Where CPU time goes while files become searchable: the trivial embedder on the standard library's .py files, all threads and processes.

`--packages asyncio json` takes a part of them. The parts add up to the CPU time of the process tree but for what is named as unseen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from benchmarks.parts import part_of
from benchmarks.pipeline import own_cpu_seconds, standard_library
from benchmarks.sampling import MEASURING, Sampler


def run(folder: Path, data: Path) -> dict[str, float]:
    """CPU seconds by part, `cpu` of the process tree since it began, `chunks` and `files`; in a process that does nothing else."""
    sampler = Sampler(part_of)
    from forebay.app import open_forebay
    from forebay.catalog.queries import summary
    from forebay.pipeline.workers import pool
    from forebay.settings import load_settings

    pool.WorkerPool = partial(pool.WorkerPool, worker_module="benchmarks.profiled_worker")  # type: ignore[assignment, misc]
    settings = load_settings({}, {"data_dir": data, "watch": (folder,), "embedder": "mock"}, env_file=None)
    parts: Counter[str] = Counter()

    async def work() -> dict[str, float]:
        async with open_forebay(settings) as program:
            readers = program.core.adapters.database.readers
            while True:
                found = await readers.run(lambda connection: summary(connection, "default-project"))
                if program.core.watcher.is_reconciled and not found["in_flight"]:
                    break
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.3)  # the workers write their sums ten times a second, and do nothing any more
            for file in (data / "parser-scratch").glob("profile-*.json"):
                parts.update(json.loads(file.read_text()))
        return {"chunks": found["chunks"], "files": found["documents"]}

    began = time.perf_counter()
    counts = asyncio.run(work())
    parts.update(sampler.stop())
    return {**parts, **counts, "wall": time.perf_counter() - began, "cpu": own_cpu_seconds()}


def profile(packages: list[str] | None) -> dict[str, float]:
    """The same, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        library = Path(name) / "library"
        standard_library(library, packages)
        command = [sys.executable, "-m", "benchmarks.profile", "--run", str(library), str(Path(name) / "data")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(found: dict[str, float]) -> None:
    facts = ("cpu", "wall", "chunks", "files")
    parts = {part: seconds for part, seconds in found.items() if part not in facts}
    of_program = found["cpu"] - parts.pop(MEASURING, 0.0)
    facts_line = f"{found['files']:,.0f} files, {found['chunks']:,.0f} chunks in {found['wall']:.1f} s"
    print(f"{facts_line}; {of_program:.2f} CPU-seconds of all processes")
    print(f"{'part':56} {'CPU s':>8} {'share':>7} {'s/1,000 chunks':>15}")
    rows = sorted(parts.items(), key=lambda item: -item[1])
    for part, seconds in [*rows, ("not seen", of_program - sum(parts.values()))]:
        print(f"{part:56} {seconds:8.3f} {seconds / of_program:7.1%} {seconds / found['chunks'] * 1000:15.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", nargs="+", help="only these packages and modules of the standard library")
    parser.add_argument("--run", nargs=2, type=Path, metavar=("FOLDER", "DATA"), help="only index, and print one JSON object")
    chosen = parser.parse_args()
    if chosen.run:
        print(json.dumps(run(*chosen.run)))
    else:
        report(profile(chosen.packages))


if __name__ == "__main__":
    main()
