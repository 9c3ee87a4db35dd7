from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from forebay.effects import Blocking, ThreadBlocking
from forebay.telemetry.log.files import AppendFile, DiskLogFiles, LogFiles
from forebay.telemetry.log.segment_log import SegmentLimits, SegmentLog
from forebay.testing.telemetry_log_contract import STORED_LIMIT_BYTES, WAITING_LIMIT_BYTES, LogStorage, TelemetryLogContract
from forebay.testing.virtual_log_files import VirtualLogFiles

WRITES = ("create", "write", "sync", "sync_directory", "truncate", "remove")


class Gate:
    """What stands before a disk: it can be shut, and it can fail."""

    def __init__(self) -> None:
        self._is_open = threading.Event()
        self._is_open.set()
        self.error_number: int | None = None

    def pass_through(self, operation: str, path: Path) -> None:
        if operation in WRITES:
            if operation == "sync":
                assert self._is_open.wait(20)
            if self.error_number is not None:
                raise OSError(self.error_number, "as the test wants it")

    @contextmanager
    def stalled(self) -> Iterator[None]:
        self._is_open.clear()
        try:
            yield
        finally:
            self._is_open.set()

    @contextmanager
    def failing(self, error_number: int = errno.ENOSPC) -> Iterator[None]:
        self.error_number = error_number
        try:
            yield
        finally:
            self.error_number = None


class GatedFiles:
    """Every operation of real files, behind a gate."""

    def __init__(self, files: LogFiles, gate: Gate) -> None:
        self._files = files
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        def call(path: Path, *arguments: int) -> Any:
            self._gate.pass_through(name, path)
            return getattr(self._files, name)(path, *arguments)

        return call

    def create(self, path: Path) -> AppendFile:
        self._gate.pass_through("create", path)
        return GatedFile(self._files.create(path), path, self._gate)


class GatedFile:
    def __init__(self, file: AppendFile, path: Path, gate: Gate) -> None:
        self._file = file
        self._path = path
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self._gate.pass_through(name, self._path)
            return getattr(self._file, name)(*arguments)

        return call


class SegmentStorage(Gate):
    has_bounded_storage = True

    def __init__(self, directory: Path, files: LogFiles, blocking: Blocking, segment_bytes: int) -> None:
        super().__init__()
        self.directory = directory
        self.files = files
        self.blocking = blocking
        self.limits = SegmentLimits(segment_bytes=segment_bytes, log_bytes=STORED_LIMIT_BYTES, waiting_bytes=WAITING_LIMIT_BYTES)

    async def open(self) -> SegmentLog:
        log = SegmentLog(self.directory, self.blocking, files=self.files, limits=self.limits)
        await log.open()
        return log


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    blocking = ThreadBlocking(4)
    yield blocking
    blocking.close()


class TestSegmentLogOnDisk(TelemetryLogContract):
    @pytest.fixture
    async def storage(self, tmp_path: Path, blocking: Blocking) -> LogStorage:
        storage = SegmentStorage(tmp_path / "telemetry-log", DiskLogFiles(), blocking, segment_bytes=1 << 20)
        storage.files = GatedFiles(storage.files, storage)
        return storage


class TestSegmentLogOfManySegments(TelemetryLogContract):
    @pytest.fixture
    async def storage(self, blocking: Blocking) -> LogStorage:
        files = VirtualLogFiles()
        storage = SegmentStorage(Path("/data/telemetry-log"), files, blocking, segment_bytes=1)
        files.before = storage.pass_through
        return storage
