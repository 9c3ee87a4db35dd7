"""The measurements of `forebay bench`: each figure beside a yardstick of the same run, in a data directory of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay.cli.bench_corpus import note, question
from forebay.cli.connection import Connection
from forebay.errors import ForebayError

if TYPE_CHECKING:
    from forebay.app import Forebay

SLICE_TEXTS = 64  # as the pipeline embeds
SYNC_BYTES = 4096
POLL_SECONDS = 0.02
PAUSE_SECONDS = 0.25  # between two looks at the memory
WALKS = 11
LATE_SECONDS = 60.0  # for an upload to be found


@dataclass(slots=True, kw_only=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str
    ratio: float | None = None  # to the yardstick
    yardstick: str = ""  # what that is, and its value


@dataclass(slots=True)
class Memory:
    """The most memory that the process and its children had, looked at now and then."""

    peak_bytes: int = 0
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look until the block ends."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._stopping.set()
            await task

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            self.peak_bytes = max(self.peak_bytes, await asyncio.to_thread(memory_bytes, os.getpid()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), PAUSE_SECONDS)


def memory_bytes(pid: int) -> int:
    """Proportional set size of a process and all below it; where the system has none, the peak of this process alone."""
    total, waiting = 0, [pid]
    while waiting:
        each = waiting.pop()
        with contextlib.suppress(OSError, StopIteration):
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii")
            total += next(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:"))
            for task in Path(f"/proc/{each}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
    unit_bytes = 1 if sys.platform == "darwin" else 1024  # of getrusage
    return total or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes


def sync_rate(folder: Path, seconds: float) -> float:
    """Writes of 4 KB a second, each of which the disk confirms."""
    path = folder / "sync"
    began, count = time.perf_counter(), 0
    with path.open("wb") as file:
        while (elapsed := time.perf_counter() - began) < seconds:
            file.write(bytes(SYNC_BYTES))
            file.flush()
            getattr(os, "fdatasync", os.fsync)(file.fileno())
            count += 1
    path.unlink()
    return count / elapsed


async def embedding_rate(program: Forebay, texts: Sequence[str]) -> float:
    """Texts a second through the embedder alone."""
    embedder = program.core.adapters.embedder
    began = time.perf_counter()
    await asyncio.gather(*(embedder.embed(texts[first : first + SLICE_TEXTS]) for first in range(0, len(texts), SLICE_TEXTS)))
    return len(texts) / (time.perf_counter() - began)


async def until_searchable(program: Forebay, connection: Connection, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Wait until every file has its outcome; the summary, with the `seconds` since the call."""
    began = time.perf_counter()
    while True:
        summary: dict[str, Any] = await connection.body("GET", "/documents/summary")
        show(summary)
        if program.core.watcher.is_reconciled and not summary["in_flight"]:
            return summary | {"seconds": time.perf_counter() - began}
        await asyncio.sleep(POLL_SECONDS)


async def unchanged_comparison(program: Forebay, folder: Path) -> tuple[float, float]:
    """Seconds of a complete comparison of the watched folder with the catalog, and of a bare walk with stat; interleaved medians."""
    from forebay.app import places

    watched = places(program.settings, program.settings.data_dir / "containers")[1]
    compared, walked = [], []
    for _ in range(WALKS):
        compared.append(await _seconds(lambda: program.core.reconciler.reconcile(watched, actor="bench")))
        began = time.perf_counter()
        for directory, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(OSError):
                    os.stat(os.path.join(directory, name))  # noqa: PTH116 - the barest form
        walked.append(time.perf_counter() - began)
    return statistics.median(compared), statistics.median(walked)


async def upload_to_hit(program: Forebay, connection: Connection, folder: Path, count: int) -> tuple[float, float]:
    """Seconds from sending 4 KB until a search finds them, and of embedding the same text and one confirmed write; medians."""
    uploaded, bare = [], []
    for number in range(count):
        content = f"needle{number}x\n" + note(1_000_000 + number)
        uploaded.append(await _seconds(lambda number=number, content=content: _found(connection, number, content)))  # type: ignore[misc]
        other = note(2_000_000 + number)
        began = time.perf_counter()
        await program.core.adapters.embedder.embed([other[first : first + 800] for first in range(0, len(other), 800)])
        with (folder / "bare").open("wb") as file:
            file.write(other.encode())
            file.flush()
            os.fsync(file.fileno())
        bare.append(time.perf_counter() - began)
    return statistics.median(uploaded), statistics.median(bare)


async def search_seconds(program: Forebay, connection: Connection, count: int) -> tuple[float, float, float]:
    """Median and 95th percentile of hybrid searches over HTTP, and the median of embedding the same questions."""
    searched, embedded = [], []
    for number in range(count + 1):
        asked = question(number)
        embedded.append(await _seconds(lambda asked=asked: program.core.adapters.embedder.embed([asked])))  # type: ignore[misc]
        searched.append(await _seconds(lambda asked=asked: connection.body("POST", "/search", json={"query": asked})))  # type: ignore[misc]
    searched = sorted(searched[1:])  # the first one loads the vectors
    return statistics.median(searched), searched[int(len(searched) * 0.95)], statistics.median(embedded[1:])


async def sample_of_chunks(connection: Connection, count: int) -> list[str]:
    """Texts of chunks from all over the index."""
    listed = (await connection.body("GET", "/documents", params={"status": "indexed", "limit": 1000}))["documents"]
    texts: dict[str, None] = {}
    for document in listed[:: max(1, len(listed) // count)]:
        limit = max(1, 2 * count // len(listed))
        chunks = await connection.body("GET", f"/documents/{document['id']}/chunks", params={"limit": limit})
        texts |= dict.fromkeys(chunk["text"] for chunk in chunks["chunks"])
        if len(texts) >= count:
            break
    return list(texts)[:count]


async def _found(connection: Connection, number: int, content: str) -> None:
    accepted = await connection.body("POST", "/documents", params={"name": f"bench-{number}.txt"}, content=content.encode())
    deadline = time.perf_counter() + LATE_SECONDS
    while time.perf_counter() < deadline:
        hits = (await connection.body("POST", "/search", json={"query": f"needle{number}x", "k": 3}))["hits"]
        if any(hit["document_id"] == accepted["id"] for hit in hits):
            return
        await asyncio.sleep(POLL_SECONDS / 2)
    raise ForebayError("bench_failed", f"expected to find an upload within {LATE_SECONDS:.0f} s, but it was not", hint="`forebay doctor`.")


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
