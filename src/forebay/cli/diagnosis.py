"""The checks of `forebay doctor`; none needs the lock, and none leaves anything behind."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forebay.cli.connection import live_server
from forebay.cli.output import duration_text, size_text
from forebay.errors import ForebayError
from forebay.settings import Settings

OLDEST_PYTHON = (3, 11)
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
LOW_DISK_BYTES = 1 << 30
SLOW_SYNCS_PER_SECOND = 100
SYNC_TEST_SECONDS = 0.3
FEW_WATCHES = 8192
# SQLite's write-ahead log needs shared memory and locks that these do not give reliably (https://sqlite.org/wal.html)
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    advice: str = ""


Checks = Sequence[tuple[str, Callable[[Settings], Awaitable[Finding]]]]


async def diagnose(settings: Settings) -> list[Finding]:
    """Run every check; one that breaks is itself a failure, and the others go on."""
    return await _run(settings, _CHECKS)


async def diagnose_embedder(settings: Settings) -> list[Finding]:
    """Run the checks of the embedder, and measure its rate; takes a few seconds, and with a remote one some requests."""
    from forebay.cli import embedder_checks

    checks: Checks = (("embedder", _embedder), ("rate", embedder_checks.rate))
    if settings.embedding.embedder_in_force == "minilm":
        # the cache first: loading the model makes it
        processor = functools.partial(embedder_checks.processor, environment=dict(os.environ))
        local = (("model cache", embedder_checks.model_cache), checks[0], ("processor", processor))
        checks = (*local, checks[1])
    return await _run(settings, checks)


async def _run(settings: Settings, checks: Checks) -> list[Finding]:
    findings = []
    for name, check in checks:
        try:
            findings.append(await check(settings))
        except ForebayError as error:
            findings.append(Finding(name=name, state="fail", detail=error.message, advice=error.hint))
        except Exception as error:
            findings.append(Finding(name=name, state="fail", detail=f"{type(error).__name__}: {error}"))
    return findings


async def _python(settings: Settings) -> Finding:
    del settings
    detail = f"{platform.python_version()} ({platform.python_implementation()}, {platform.machine()})"
    if sys.version_info < OLDEST_PYTHON:
        return Finding(name="Python", state="fail", detail=detail, advice="Forebay needs Python 3.11 or newer.")
    return Finding(name="Python", state="ok", detail=detail)


async def _sqlite(settings: Settings) -> Finding:
    del settings
    with sqlite3.connect(":memory:") as connection:
        has_full_text = connection.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()[0]
    connection.close()
    detail = f"{sqlite3.sqlite_version}, {'with' if has_full_text else 'without'} FTS5"
    if sqlite3.sqlite_version_info < OLDEST_SQLITE or not has_full_text:
        needed = ".".join(str(part) for part in OLDEST_SQLITE)
        return Finding(name="SQLite", state="fail", detail=detail, advice=f"Use a Python whose SQLite is {needed} or newer and has FTS5.")
    return Finding(name="SQLite", state="ok", detail=detail)


async def _data_directory(settings: Settings) -> Finding:
    path = settings.data_dir.absolute()
    parent = _existing(path)
    if not parent.is_dir():
        return Finding(name="data directory", state="fail", detail=f"{parent} is not a directory", advice="Set FOREBAY_DATA_DIR.")
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        return Finding(
            name="data directory",
            state="fail",
            detail=f"{path} is not writable: {error.strerror}",
            advice="Grant write permission, or set FOREBAY_DATA_DIR.",
        )
    if parent != path:
        return Finding(name="data directory", state="ok", detail=f"{path} will be made at the first start")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return Finding(
            name="data directory", state="warn", detail=f"{path} has mode {mode:04o}", advice="The next start tightens it to 0700."
        )
    return Finding(name="data directory", state="ok", detail=f"{path}, mode {mode:04o}")


async def _file_system(settings: Settings) -> Finding:
    kind = _file_system_type(_existing(settings.data_dir.absolute()))
    if kind in NETWORK_FILE_SYSTEMS:
        return Finding(
            name="file system",
            state="fail",
            detail=f"{kind}, a network file system",
            advice="Put the data directory on a local disk: SQLite's write-ahead log is not safe there.",
        )
    if kind == "tmpfs":
        return Finding(
            name="file system", state="warn", detail="tmpfs, in memory", advice="A restart of the machine loses everything in it."
        )
    return Finding(name="file system", state="ok", detail=kind or "type unknown on this system")


async def _free_space(settings: Settings) -> Finding:
    free = shutil.disk_usage(_existing(settings.data_dir.absolute())).free
    if free < LOW_DISK_BYTES:
        return Finding(
            name="disk", state="warn", detail=f"{size_text(free)} free", advice="Free some space; uploads are refused when it is full."
        )
    return Finding(name="disk", state="ok", detail=f"{size_text(free)} free")


async def _sync_rate(settings: Settings) -> Finding:
    with tempfile.TemporaryFile(dir=_existing(settings.data_dir.absolute())) as scratch:
        started, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < SYNC_TEST_SECONDS:
            os.pwrite(scratch.fileno(), b"x" * 4096, 0)
            getattr(os, "fdatasync", os.fsync)(scratch.fileno())
            count += 1
    rate = count / elapsed
    if rate < SLOW_SYNCS_PER_SECOND:
        return Finding(
            name="fdatasync", state="warn", detail=f"{rate:,.0f}/s", advice="A slow disk: small uploads one by one will feel it."
        )
    return Finding(name="fdatasync", state="ok", detail=f"{rate:,.0f}/s")


async def _embedder(settings: Settings) -> Finding:
    from forebay.app import make_embedder

    if settings.embedding.embedder_in_force == "mock":
        return Finding(
            name="embedder", state="warn", detail="mock", advice="Only for tests: search by meaning needs FOREBAY_EMBEDDER=minilm."
        )
    started = time.perf_counter()
    embedder = make_embedder(settings)
    try:
        await embedder.embed(["The first text loads the model."])
        loaded = time.perf_counter()
        await embedder.embed(["The second text shows how long one takes."])
        embedded = time.perf_counter()
    finally:
        await embedder.close()
    detail = f"{embedder.model_id} loads in {duration_text(loaded - started)}, embeds a sentence in {(embedded - loaded) * 1000:.1f} ms"
    return Finding(name="embedder", state="ok", detail=detail)


async def _parser(settings: Settings) -> Finding:
    from forebay.pipeline.parse import ParseRequest
    from forebay.pipeline.workers.pool import WorkerPool

    reading = settings.reading
    page = ParseRequest(
        name="doctor.html",
        content_type="text/html",
        data=b"<!doctype html><html><body><h1>Doctor</h1><p>One page for the parser.</p></body></html>",
        max_blob_bytes=reading.max_blob_bytes,
        accept_unknown_text=False,
        chunk_size=settings.chunking.chunk_size,
        chunker=settings.chunking.chunker,
        max_text_characters=reading.max_text_characters,
    )
    started = time.perf_counter()
    pool = WorkerPool(worker_count=1, timeout_seconds=reading.parse_timeout_seconds, memory_bytes=reading.parse_memory_bytes)
    try:
        await pool.parse(page)
    finally:
        await pool.close()
    detail = f"a worker starts and reads a page in {duration_text(time.perf_counter() - started)}"
    return Finding(name="parser", state="ok", detail=f"{detail}; {reading.parse_workers} at most")


async def _port(settings: Settings) -> Finding:
    host, port = settings.server.host, settings.server.port
    server = await live_server(settings)
    if server is not None:
        return Finding(name="port", state="ok", detail=f"Forebay runs at {server}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Finding(
                name="port", state="fail", detail=f"{host}:{port}: {error.strerror}", advice="Set another FOREBAY_PORT, or free this one."
            )
    return Finding(name="port", state="ok", detail=f"{host}:{port} is free")


async def _watches(settings: Settings) -> Finding:
    try:
        limit = int(Path("/proc/sys/fs/inotify/max_user_watches").read_text(encoding="ascii"))
    except OSError:
        return Finding(name="watches", state="ok", detail="no inotify on this system; its own mechanism is used")
    folders = sum(1 for root in settings.intake.watch for _ in _folders(root))
    detail = f"inotify allows {limit:,} folders" + (f", the watched ones have {folders:,}" if folders else "")
    if limit < max(FEW_WATCHES, 2 * folders):
        return Finding(
            name="watches",
            state="warn",
            detail=detail,
            advice="Raise fs.inotify.max_user_watches; what the watcher misses is found by the next reconciliation.",
        )
    return Finding(name="watches", state="ok", detail=detail)


def _folders(root: Path) -> Iterator[str]:
    for folder, _, _ in os.walk(root):
        yield folder


def _existing(path: Path) -> Path:
    """The path, or the nearest parent that exists."""
    return path if path.exists() else _existing(path.parent)


def _file_system_type(path: Path) -> str:
    """The type of the mount that holds `path`; empty where the system does not tell."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()]
    except OSError:
        return ""
    resolved = path.resolve()
    holding = [mount for mount in mounts if resolved.is_relative_to(mount[1].encode().decode("unicode_escape"))]
    return max(holding, key=lambda mount: len(mount[1]), default=["", "", ""])[2]


_CHECKS: Checks = (
    ("Python", _python),
    ("SQLite", _sqlite),
    ("data directory", _data_directory),
    ("file system", _file_system),
    ("disk", _free_space),
    ("fdatasync", _sync_rate),
    ("embedder", _embedder),
    ("parser", _parser),
    ("port", _port),
    ("watches", _watches),
)
