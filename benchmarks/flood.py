"""A flood of files by all three ways at once, and a person who uploads single files meanwhile.

A third of the files is written into a watched folder, a third is dropped into `incoming`, and a third comes over HTTP from many
clients at a time. Measured are the rate, the memory of the whole process tree, what was refused, and how long single uploads of
another project take until a search finds them, against the same on the idle program. In the end every acknowledged upload must be
indexed and the ledger must balance.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.program import percentile, pss_megabytes, server

PERSON = "person"  # her project
WORDS = "pool turbine river gate valve pump meter flood ledger chunk vector index journal replay lane turn quota drain".split()
LOOK_SECONDS = 0.02  # between searches for a single upload
SAMPLE_SECONDS = 0.25  # between looks at the memory
DEADLINE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A running program."""

    url: str
    key: str
    pid: int
    data_dir: Path
    folder: Path  # that it watches

    def client(self) -> httpx.Client:
        """A client with the admin key."""
        return httpx.Client(base_url=self.url, headers={"X-API-Key": self.key}, timeout=120, trust_env=False)


@dataclass(slots=True, kw_only=True)
class Uploads:
    """What became of uploads over HTTP."""

    accepted: list[str] = field(default_factory=list)  # ids of the documents
    refusals: dict[str, int] = field(default_factory=dict)  # by code
    pauses: list[int] = field(default_factory=list)  # that refusals asked for, in seconds


@dataclass(slots=True, kw_only=True)
class Flood:
    """What a flood has shown."""

    seconds: float
    uploads: Uploads
    single_seconds: list[float]
    single_refused_count: int
    memory_megabytes: list[float]  # one sample after the other
    most_waiting: int
    summary: dict[str, Any]  # of the flooded project
    problems: list[str]


def text(number: int, size_bytes: int = 4000) -> str:
    """A file of its own."""
    chance = random.Random(number)
    lines = [f"# Note {number}"]
    while sum(map(len, lines)) < size_bytes:
        lines.append(f"{number} " + " ".join(chance.choices(WORDS, k=12)))
    return "\n".join(lines)


def single_upload(client: httpx.Client, number: int) -> tuple[float, int]:
    """Seconds from the first try to send one small file until a search finds it, and how often it was refused."""
    began, refused = time.perf_counter(), 0
    needle = f"needle{number}x"
    while True:
        answer = client.post("/documents", params={"name": f"{needle}.md", "project": PERSON}, content=f"The {needle} is here.")
        if answer.status_code == 202:
            break
        assert answer.status_code == 503, answer.text
        refused += 1
        time.sleep(int(answer.headers["Retry-After"]))
    body = {"query": needle, "k": 1, "mode": "text", "project": PERSON}
    while not any(hit["document_id"] == answer.json()["id"] for hit in client.post("/search", json=body).json()["hits"]):
        assert time.perf_counter() - began < DEADLINE_SECONDS
        time.sleep(LOOK_SECONDS)
    return time.perf_counter() - began, refused


async def upload_all(url: str, key: str, count: int, client_count: int) -> Uploads:
    """Send `count` files from so many clients at once; who is refused comes back when the server has asked it to."""
    found, refusals = Uploads(), Counter[str]()
    numbers = iter(range(count))
    limits = httpx.Limits(max_connections=client_count, max_keepalive_connections=client_count)

    async def client_loop(client: httpx.AsyncClient) -> None:
        for number in numbers:
            content = text(number).encode()
            while True:
                try:
                    answer = await client.post("/documents", params={"name": f"upload-{number}.md"}, content=content)
                except httpx.TransportError:
                    refusals["connection lost"] += 1
                    continue
                if answer.status_code == 202:
                    found.accepted.append(answer.json()["id"])
                    break
                assert answer.status_code in (429, 503), answer.text
                refusals[answer.json()["code"]] += 1
                found.pauses.append(int(answer.headers["Retry-After"]))
                await asyncio.sleep(found.pauses[-1])

    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, timeout=300, trust_env=False, limits=limits) as client:
        await asyncio.gather(*(client_loop(client) for _ in range(client_count)))
    found.refusals = dict(refusals)
    return found


def write_into_folder(folder: Path, count: int) -> None:
    for number in range(count):
        part = folder / f"part-{number // 500}"
        part.mkdir(exist_ok=True)
        (part / f"watched-{number}.md").write_text(text(1_000_000 + number))


def drop_into_incoming(data_dir: Path, count: int) -> None:
    with tempfile.TemporaryDirectory(dir=data_dir.parent) as aside:
        for number in range(count):
            path = Path(aside) / f"dropped-{number}.md"
            path.write_text(text(2_000_000 + number))
            path.rename(data_dir / "containers" / "incoming" / path.name)


def flood(target: Target, file_count: int, client_count: int) -> Flood:
    """Send `file_count` files, and wait until all have been dealt with."""
    each = file_count // 3
    began = time.perf_counter()
    answers = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads yet would hold up the sender at its end
    # in a process of its own, so that what it costs is not taken for the server's
    sender = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.flood", "--send", str(each), "--clients", str(client_count), "--url", target.url],
        env=os.environ | {"FOREBAY_FLOOD_KEY": target.key},
        stdout=answers,
        cwd=Path(__file__).parents[1],
    )
    writers = [
        threading.Thread(target=write_into_folder, args=(target.folder, each), daemon=True),
        threading.Thread(target=drop_into_incoming, args=(target.data_dir, each), daemon=True),
    ]
    for writer in writers:
        writer.start()
    is_over = threading.Event()
    singles: list[tuple[float, int]] = []

    def person() -> None:
        with target.client() as client:
            while not is_over.is_set():
                singles.append(single_upload(client, 1000 + len(singles)))
                time.sleep(0.1)

    someone = threading.Thread(target=person, daemon=True)
    someone.start()
    memory, most_waiting, seconds = [], 0, 0.0
    try:
        with target.client() as client:
            while True:
                summary = client.get("/documents/summary").json()
                most_waiting = max(most_waiting, summary["in_flight"])
                memory.append(pss_megabytes(target.pid))
                assert sender.poll() in (None, 0), "the sender has failed"
                is_sent = sender.poll() is not None and not any(writer.is_alive() for writer in writers)
                if is_sent and summary["arrivals"] >= 3 * each and not summary["in_flight"]:
                    break
                assert time.perf_counter() - began < DEADLINE_SECONDS, summary
                time.sleep(SAMPLE_SECONDS)
            seconds = time.perf_counter() - began
            is_over.set()
            someone.join(60)
            answers.seek(0)
            uploads = Uploads(**json.loads(answers.read()))
            problems = check(client, summary, uploads, each)
    finally:
        is_over.set()
        sender.kill()
        sender.wait()
        answers.close()
    return Flood(
        seconds=seconds,
        uploads=uploads,
        single_seconds=[duration for duration, _ in singles],
        single_refused_count=sum(refused for _, refused in singles),
        memory_megabytes=memory,
        most_waiting=most_waiting,
        summary=summary,
        problems=problems,
    )


def check(client: httpx.Client, summary: dict[str, Any], uploads: Uploads, each: int) -> list[str]:
    """What is not as it was promised: acknowledged and not indexed, or a ledger that does not balance."""
    problems = []
    indexed: dict[str, set[str]] = {}
    cursor: str | None = None
    while True:
        page = client.get("/documents", params={"limit": 1000, "status": "indexed"} | ({"cursor": cursor} if cursor else {})).json()
        for document in page["documents"]:
            indexed.setdefault(document["source"], set()).add(document["id"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    lost = set(uploads.accepted) - indexed.get("upload", set())
    if lost:
        problems.append(f"{len(lost)} acknowledged uploads are not indexed")
    counts = {source: len(found) for source, found in indexed.items()}
    if len(uploads.accepted) != each or sorted(counts.values()) != [each] * 3:
        problems.append(f"expected {each} documents of each source, got {counts}")
    if summary["arrivals"] != sum(summary["outcomes"].values()) + summary["in_flight"]:
        problems.append(f"the ledger does not balance: {summary}")
    if set(summary["outcomes"]) - {"indexed", "unchanged", "superseded"}:
        problems.append(f"unexpected outcomes: {summary['outcomes']}")
    return problems


def report(found: Flood, idle_seconds: list[float], idle_megabytes: float) -> None:
    count = found.summary["documents"]
    half = len(found.memory_megabytes) // 2
    single = found.single_seconds
    print(
        f"{count:,} files, {found.summary['chunks']:,} chunks in {found.seconds:.1f} s: {count / found.seconds:.0f} files/s;"
        f" at most {found.most_waiting:,} waiting; fdatasync decides part of it"
    )
    print(
        f"memory (PSS of the process tree): {idle_megabytes:.0f} MB idle, at most {max(found.memory_megabytes[:half]):.0f} MB in the first"
        f" half, {max(found.memory_megabytes):.0f} MB in all"
    )
    for name, seconds in (("idle", idle_seconds), ("flooded", single)):
        print(
            f"single upload of another project to searchable, {name}: median {statistics.median(seconds) * 1000:.0f} ms,"
            f" p95 {percentile(seconds, 0.95) * 1000:.0f} ms ({len(seconds)} uploads)"
        )
    pauses = found.uploads.pauses or [0]
    print(
        f"refused and sent again: {found.uploads.refusals or 'none'} (asked to wait {min(pauses)} to {max(pauses)} s);"
        f" of the single uploads {found.single_refused_count}"
    )
    print(f"acknowledged: {len(found.uploads.accepted):,}; problems: {found.problems or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--embedder", default="mock")
    parser.add_argument("--idle", type=int, default=40, help="single uploads before the flood")
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.send is not None:
        sent = asyncio.run(upload_all(chosen.url, os.environ["FOREBAY_FLOOD_KEY"], chosen.send, chosen.clients))
        print(json.dumps(asdict(sent)))
        return
    root = Path(tempfile.mkdtemp(prefix="forebay-flood-"))
    try:
        folder = root / "watched"
        folder.mkdir()
        with server(root / "data", folder, embedder=chosen.embedder) as (client, pid, _):
            target = Target(url=str(client.base_url), key=client.headers["X-API-Key"], pid=pid, data_dir=root / "data", folder=folder)
            single_upload(client, 0)  # the first one loads the model
            idle = [single_upload(client, number)[0] for number in range(1, chosen.idle + 1)]
            idle_megabytes = pss_megabytes(pid)
            found = flood(target, chosen.files, chosen.clients)
            report(found, idle, idle_megabytes)
            if found.problems:
                sys.exit(1)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
