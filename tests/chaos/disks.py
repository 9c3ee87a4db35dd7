"""File systems that fail: too small, read no more, or taken away; with and without the right to mount."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from program import Program

DISK_BYTES = 48 << 20


class Disk(Protocol):
    """Where the data directory is."""

    def fill(self, program: Program, *, left_bytes: int) -> None:
        """Leave only so much room."""
        ...

    def free(self, program: Program) -> None:
        """Make room again."""
        ...


class SmallDisk:
    """A file system of its own, which a file of ours fills."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ballast = root / "ballast"

    def fill(self, program: Program, *, left_bytes: int) -> None:
        room = os.statvfs(self._root)
        with self._ballast.open("ab") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), file.tell(), max(1, room.f_bavail * room.f_frsize - left_bytes))
        if left_bytes == 0:
            with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * 4096)

    def free(self, program: Program) -> None:
        self._ballast.unlink(missing_ok=True)


class LimitedFiles:
    """Where nothing may be mounted: the kernel lets the server's files grow no further, which fails its writes as well."""

    def fill(self, program: Program, *, left_bytes: int) -> None:
        largest = max(path.stat().st_size for path in program.data_dir.iterdir() if path.name.startswith("catalog.db"))
        _limit_files(program, largest + left_bytes if left_bytes else 0)

    def free(self, program: Program) -> None:
        if program.process is not None and program.process.poll() is None:  # the next process has no such limit
            _limit_files(program, resource.RLIM_INFINITY)


def _limit_files(program: Program, size_bytes: int) -> None:
    resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


@contextlib.contextmanager
def small_disk(root: Path) -> Iterator[Disk]:
    """A disk of a few MiB at `root`, or what comes closest where this machine refuses to mount one."""
    root.mkdir()
    is_mounted = _mount("-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "forebay-test", str(root))
    try:
        yield SmallDisk(root) if is_mounted else LimitedFiles()
    finally:
        if is_mounted:
            _unmount(root)


class RemovableFolder:
    """A folder whose content is elsewhere, and comes and goes: as a mount where that is allowed, else by renaming."""

    def __init__(self, folder: Path, content: Path) -> None:
        folder.mkdir()
        content.mkdir()
        self._folder = folder
        self._content = content
        self._is_mounted = False

    def attach(self) -> None:
        """Put the content in its place."""
        self._is_mounted = _mount("--bind", str(self._content), str(self._folder))
        if not self._is_mounted:
            if self._folder.exists():
                self._folder.rmdir()
            self._content.rename(self._folder)

    def detach(self) -> None:
        """Take it away; an empty mount point stays, or nothing."""
        if self._is_mounted:
            self.unmount()
        else:
            self._folder.rename(self._content)

    def unmount(self) -> None:
        """Leave no mount behind."""
        if self._is_mounted:
            self._is_mounted = False
            _unmount(self._folder)


def _mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _unmount(root: Path) -> None:
    # lazily: somebody may be reading there just now
    subprocess.run(["umount", "--lazy", str(root)], check=True)
