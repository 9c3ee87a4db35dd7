"""The few file operations that the segments need, each by itself, so that a test can fail it, or lose what was not synced."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

WRITEV_LIMIT_COUNT = 1024  # IOV_MAX of Linux and macOS


class AppendFile(Protocol):
    """A file that grows at its end. All operations raise `OSError`."""

    def write(self, parts: Sequence[bytes]) -> None:
        """Add these, one behind the other; they are durable only after `sync`. When this fails, a part of it may have been added."""
        ...

    def sync(self) -> None:
        """Make everything written durable. When this fails, nobody knows what is."""
        ...

    def truncate(self, size_bytes: int) -> None:
        """Cut off what is behind `size_bytes`."""
        ...

    def close(self) -> None:
        """Close without making anything durable."""
        ...


class LogFiles(Protocol):
    """The directory of a log. All operations raise `OSError`."""

    def make_directory(self, path: Path) -> None:
        """Make a directory, mode 0700; one that exists is left alone."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable."""
        ...

    def names(self, directory: Path) -> list[str]:
        """The names in it, in any order."""
        ...

    def create(self, path: Path) -> AppendFile:
        """A new file, mode 0600; its name is durable only after `sync_directory`. `FileExistsError` when there is one."""
        ...

    def read(self, path: Path, start: int, limit_bytes: int) -> bytes:
        """`limit_bytes` from `start`, less only at the end of the file."""
        ...

    def size_bytes(self, path: Path) -> int:
        """How long the file is."""
        ...

    def sync(self, path: Path) -> None:
        """Make durable what an earlier process wrote to the file."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file."""
        ...


class _DiskAppendFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, parts: Sequence[bytes]) -> None:
        for start in range(0, len(parts), WRITEV_LIMIT_COUNT):
            some = parts[start : start + WRITEV_LIMIT_COUNT]
            written_bytes = os.writev(self._descriptor, some)
            if written_bytes < sum(map(len, some)):
                rest = memoryview(b"".join(some))[written_bytes:]
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        _sync_data(self._descriptor)

    def truncate(self, size_bytes: int) -> None:
        os.ftruncate(self._descriptor, size_bytes)

    def close(self) -> None:
        os.close(self._descriptor)


class DiskLogFiles:
    """The real file system."""

    def make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)

    def sync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def names(self, directory: Path) -> list[str]:
        return [path.name for path in directory.iterdir()]

    def create(self, path: Path) -> AppendFile:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return _DiskAppendFile(os.open(path, flags, 0o600))

    def read(self, path: Path, start: int, limit_bytes: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(limit_bytes)

    def size_bytes(self, path: Path) -> int:
        return path.stat().st_size

    def sync(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            _sync_data(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        path.unlink()


def _sync_data(descriptor: int) -> None:
    # macOS has no fdatasync; there fsync does not reach the platter either, which SQLite accepts as well
    getattr(os, "fdatasync", os.fsync)(descriptor)
