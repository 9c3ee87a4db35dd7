"""Target 8: files of 4 KB that arrive at 10,000 an hour, at random times, with the real embedder.

They come by turns into a watched folder, into the intake container and over HTTP. A file counts as searchable when a full-text search for a
word that only it has finds it; the time begins when the file has been written, or the request begins. `--minutes 1` is a shorter run.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.pipeline import fdatasync_rate
from benchmarks.processes import cpu_seconds, pss_megabytes
from benchmarks.program import percentile, server

SEED = 20261122
FILE_BYTES = 4096
WAYS = ("folder", "incoming", "http")
GRACE_SECONDS = 60.0  # for what is not searchable when the last file has come
LOOK_SECONDS = 0.01
LOOKS_AT_ONCE = 8  # of what has waited longest, so that asking stays a small part of the load
SUBJECTS = "the gate|the turbine|a valve|the upper canal|this pump|the intake screen|every sluice|the pressure gauge".split("|")
ACTS = "was opened|failed its inspection|holds back|measures|is repaired|lost pressure|feeds the basin|was replaced".split("|")
PLACES = "near the weir|at the northern bank|below the dam|in shaft two|before the flood|after the winter|by the night shift".split("|")


@dataclass(slots=True)
class Arrivals:
    """What has come, what waits to be found, and how long each took."""

    waiting: deque[tuple[str, str, float]] = field(default_factory=deque)  # word, way, when
    seconds: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    sent_count: int = 0
    latest_seconds: float = 0.0  # by which the generator was ever late
    is_over: bool = False


def text_of(source: random.Random, word: str) -> bytes:
    """FILE_BYTES of text; no two are the same."""
    text = f"Report {word}.\n\n"
    while len(text) < FILE_BYTES:
        text += f"On day {source.randrange(10_000)} {source.choice(SUBJECTS)} {source.choice(ACTS)} {source.choice(PLACES)}. "
        text += "\n\n" if source.random() < 0.1 else ""
    return text[:FILE_BYTES].encode()


def send(arrivals: Arrivals, url: str, key: str, folder: Path, incoming: Path, *, per_hour: float, seconds: float) -> None:
    """Let files arrive as a Poisson process."""
    source = random.Random(SEED)
    began = due = time.perf_counter()
    with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=60, trust_env=False) as client:
        while True:
            due += source.expovariate(per_hour / 3600)
            if due - began > seconds:
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            arrivals.latest_seconds = max(arrivals.latest_seconds, time.perf_counter() - due)
            way, word = WAYS[arrivals.sent_count % len(WAYS)], f"report{arrivals.sent_count}x"
            content = text_of(source, word)
            when = time.perf_counter()
            if way == "http":
                client.post("/documents", params={"name": f"{word}.txt"}, content=content).raise_for_status()
            else:
                ((folder if way == "folder" else incoming) / f"{word}.txt").write_bytes(content)
                when = time.perf_counter()
            arrivals.waiting.append((word, way, when))
            arrivals.sent_count += 1
    arrivals.is_over = True


def find(arrivals: Arrivals, client: httpx.Client, pid: int) -> float:
    """Ask until all is found or the grace is over; the largest PSS of the process tree meanwhile, in MB."""
    pending: list[tuple[str, str, float]] = []
    highest, next_memory, ended = 0.0, 0.0, None
    while True:
        now = time.perf_counter()
        while arrivals.waiting:
            pending.append(arrivals.waiting.popleft())
        for each in pending[:LOOKS_AT_ONCE]:
            word, way, when = each
            if client.post("/search", json={"query": word, "mode": "text", "k": 1}).json()["hits"]:
                arrivals.seconds[way].append(time.perf_counter() - when)
                pending.remove(each)
        if now > next_memory:
            highest, next_memory = max(highest, pss_megabytes(pid)), now + 1
        if arrivals.is_over and not arrivals.waiting:
            ended = ended or now
            if not pending or now - ended > GRACE_SECONDS:
                return highest
        if len(pending) > LOOKS_AT_ONCE:  # one that cannot be found must not hide those behind it
            pending.append(pending.pop(0))
        time.sleep(LOOK_SECONDS)


def measure(root: Path, *, minutes: float, per_hour: float, embedder: str) -> dict[str, Any]:
    """Every figure by name."""
    folder, data, arrivals = root / "folder", root / "data", Arrivals()
    folder.mkdir()
    with server(data, folder, embedder=embedder) as (client, pid, _):
        # the first document loads the model
        first = client.post("/documents", params={"name": "first.txt"}, content=b"The first document.").json()["id"]
        client.get(f"/documents/{first}", params={"wait_seconds": 60})
        before, began = cpu_seconds(pid), time.perf_counter()
        key = (data / "admin.key").read_text().strip()
        sender = threading.Thread(
            target=send,
            args=(arrivals, str(client.base_url), key, folder, data / "containers" / "incoming"),
            kwargs={"per_hour": per_hour, "seconds": minutes * 60},
        )
        sender.start()
        highest = find(arrivals, client, pid)
        sender.join()
        seconds = time.perf_counter() - began
        used = cpu_seconds(pid) - before
        summary = client.get("/documents/summary").json()
    found = {way: sorted(times) for way, times in arrivals.seconds.items()}
    every = sorted(each for times in found.values() for each in times)
    return {
        "sent": arrivals.sent_count,
        "searchable": len(every),
        "seconds": {
            name: {"p50": statistics.median(times), "p95": percentile(times, 0.95), "p99": percentile(times, 0.99), "max": times[-1]}
            for name, times in {"all": every, **found}.items()
            if times
        },
        "outcomes": summary["outcomes"],
        "is_balanced": summary["arrivals"] == arrivals.sent_count + 1 == sum(summary["outcomes"].values()) + summary["in_flight"],
        "pss_mb": highest,
        "cpu_cores": used / seconds,
        "late_seconds": arrivals.latest_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--per-hour", type=float, default=10_000)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        syncs = fdatasync_rate(Path(name))
        found = measure(Path(name), minutes=chosen.minutes, per_hour=chosen.per_hour, embedder=chosen.embedder)
    if chosen.json:
        print(json.dumps(found))
        return
    print(f"{found['sent']:,} files of 4 KB in {chosen.minutes:g} minutes ({chosen.per_hour:,.0f} an hour); fdatasync {syncs:,.0f}/s")
    print(f"{'seconds to searchable':24} {'p50':>7} {'p95':>7} {'p99':>7} {'max':>7}")
    for name, each in found["seconds"].items():
        print(f"{name:24} {each['p50']:7.2f} {each['p95']:7.2f} {each['p99']:7.2f} {each['max']:7.2f}")
    share = found["searchable"] / max(1, found["sent"])
    print(f"target 8: p95 {found['seconds']['all']['p95']:.2f} s (floor 30, aim 3), {share:.2%} indexed (floor 99.9 %)")
    print(f"ledger {'balanced' if found['is_balanced'] else 'NOT BALANCED'}: {found['outcomes']}")
    print(f"at most {found['pss_mb']:.0f} MB PSS, {found['cpu_cores']:.2f} cores; files came at most {found['late_seconds']:.2f} s late")


if __name__ == "__main__":
    main()
