"""Target 16: what self-observation costs the pipeline, in CPU-seconds of the whole process tree.

Pairs of runs of the whole program on the same files with the trivial embedder, one with FOREBAY_TELEMETRY=0, in an order that changes
from pair to pair. Each run ends when every file has settled and everything that was said of it is in the tables, so that the cost of
draining counts. The bound is the 95th percentile of the mean overhead over bootstrap samples of the pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.pipeline import measured, standard_library

PACKAGES = ["asyncio", "concurrent", "email", "http", "importlib", "json", "logging", "multiprocessing", "unittest", "urllib", "xml"]
RESAMPLES = 10_000
DRAIN_SECONDS = 60.0


def run(folder: Path, data: Path, *, is_observed: bool) -> dict[str, float]:
    """The program on an empty data directory, until everything is searchable and drained."""
    from forebay.app import open_forebay
    from forebay.catalog.queries import summary
    from forebay.settings import load_settings
    from forebay.telemetry.observe.recorder import FLUSH_SECONDS

    overrides = {"data_dir": data, "watch": (folder,), "embedder": "mock", "telemetry": is_observed}
    settings = load_settings({}, overrides, env_file=None)

    async def go() -> dict[str, float]:
        async with open_forebay(settings) as program:
            await program.until_idle()
            found = await program.core.adapters.database.readers.run(lambda connection: summary(connection, settings.default_project))
            await asyncio.sleep(2 * FLUSH_SECONDS)
            drainer = program.parts.telemetry.drainer
            if not await drainer.until_drained(drainer.ends(), DRAIN_SECONDS):
                raise SystemExit("the tables stayed behind")
            dropped = program.parts.observation.dropped_count
            if dropped:
                raise SystemExit(f"{dropped} rows were dropped")
            return {"files": found["arrivals"], "chunks": found["chunks"], "rows": drainer.state().row_count}

    return measured(lambda: asyncio.run(go()))


def upper_bound(overheads: list[float], share: float = 0.95) -> float:
    """The upper bound of the mean overhead, by bootstrap."""
    source = random.Random(16)
    means = sorted(statistics.fmean(source.choices(overheads, k=len(overheads))) for _ in range(RESAMPLES))
    return means[int(share * RESAMPLES)]


def _child(folder: Path, data: Path, mode: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.observation", "--run", mode, str(folder), str(data)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    shutil.rmtree(data)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(pairs: int, *, is_whole: bool) -> None:
    overheads, rows = [], 0.0
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        root = Path(name)
        standard_library(root / "library", None if is_whole else PACKAGES)
        for number in range(pairs):
            order = ["on", "off"] if number % 2 else ["off", "on"]
            found = {mode: _child(root / "library", root / f"data-{number}-{mode}", mode) for mode in order}
            overheads.append(found["on"]["cpu"] / found["off"]["cpu"] - 1)
            rows = (found["on"]["rows"] - found["off"]["rows"]) / found["on"]["files"]
            print(
                f"pair {number + 1} of {pairs}: {found['off']['cpu']:.2f} s without, {found['on']['cpu']:.2f} s with:"
                f" {overheads[-1]:+.1%} ({found['on']['files']:.0f} files, {found['on']['chunks']:.0f} chunks)",
                flush=True,
            )
    print(f"{rows:.1f} rows a file")
    print(
        f"target 16: self-observation costs {statistics.fmean(overheads):+.1%} CPU time (median {statistics.median(overheads):+.1%}),"
        f" upper 95 % bound {upper_bound(overheads):+.1%} (floor 8 %, aim 4 %)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--part", action="store_true", help="some packages of the standard library instead of all of it")
    parser.add_argument("--run", nargs=3, metavar=("on|off", "FOLDER", "DATA"))
    chosen = parser.parse_args()
    if chosen.run:
        mode, folder, data = chosen.run
        print(json.dumps(run(Path(folder), Path(data), is_observed=mode == "on")))
    else:
        compare(chosen.pairs, is_whole=not chosen.part)


if __name__ == "__main__":
    main()
