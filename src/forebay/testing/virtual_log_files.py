"""The `LogFiles` of a machine in memory: they fail when told to, and lose what was not synced when the power does."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from forebay.telemetry.log.files import AppendFile

CHANGES = ("make_directory", "sync_directory", "create", "write", "sync", "truncate", "remove")

Hook = Callable[[str, Path], None]  # operation, path; may raise `OSError`, or wait
Choose = Callable[[int], int]  # one of the numbers below an upper bound


@dataclass(slots=True, eq=False)
class _File:
    data: bytes = b""
    durable: bytes = b""
    may_sync: bool = True  # a kernel forgets, after it has reported a failed sync, what it could not write

    def sync(self) -> None:
        if self.may_sync:
            self.durable = self.data


class VirtualLogFiles:
    """Files that distinguish what processes see from what is on the disk.

    - `before` is called with every operation first. Where it raises `OSError`, a write adds half of its data, a sync makes nothing
      durable, now or later, and everything else has no effect.
    - `halt_after(n)` lets n changes happen and fails all that follow, until `resume`: the process was killed, and another uses the files.
    - `after_power_loss` is the machine after a crash.
    - `ignores_sync` and `ignores_sync_directory` are disks that lie.
    """

    def __init__(self) -> None:
        self.before: Hook = lambda operation, path: None
        self.ignores_sync = False
        self.ignores_sync_directory = False
        self.change_count = 0
        self._change_limit_count: int | None = None
        self._counting = threading.Lock()
        self._files: dict[Path, _File] = {}
        self._durable_files: dict[Path, _File] = {}
        self._directories: set[Path] = set()
        self._durable_directories: set[Path] = set()

    def halt_after(self, change_count: int) -> None:
        """Only so many changes have an effect; every later operation fails with EIO."""
        self._change_limit_count = change_count

    def resume(self) -> None:
        """Everything works again, and what was written is there, synced or not."""
        self._change_limit_count = None

    def after_power_loss(self, choose: Choose) -> VirtualLogFiles:
        """What a machine finds that starts with this disk.

        What was synced is there. Whether, and how much of, the rest is, `choose` decides: nothing, all, a part up to any byte, zeros
        in its place, or its end without its beginning.
        """
        after = VirtualLogFiles()
        lost = {each for each in self._directories - self._durable_directories if choose(2)}
        after._directories = self._directories - lost
        for path in sorted({*self._files, *self._durable_files}):
            if path.parent in lost:
                continue
            durable, current = self._durable_files.get(path), self._files.get(path)
            file = durable if durable is current or choose(2) == 0 else current
            if file is not None:
                content = _after_power_loss(file, choose)
                after._files[path] = _File(content, content)
        after._durable_files, after._durable_directories = dict(after._files), set(after._directories)
        return after

    def content(self, path: Path) -> bytes:
        """What processes see in a file."""
        return self._files[path].data

    def damage(self, path: Path, content: bytes) -> None:
        """The disk has something else in its place."""
        self._files[path].data = self._files[path].durable = content

    def paths(self) -> list[Path]:
        """Every file."""
        return sorted(self._files)

    # -- what a log uses ---------------------------------------------------------------------------------------------

    def make_directory(self, path: Path) -> None:
        self._begin("make_directory", path)
        self._directories.add(path)

    def sync_directory(self, path: Path) -> None:
        self._begin("sync_directory", path)
        if not self.ignores_sync_directory:
            self._durable_directories |= {each for each in self._directories if each.parent == path}
            for each in [each for each in {*self._files, *self._durable_files} if each.parent == path]:
                if each in self._files:
                    self._durable_files[each] = self._files[each]
                else:
                    del self._durable_files[each]

    def names(self, directory: Path) -> list[str]:
        self._begin("names", directory)
        if directory not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))
        return [path.name for path in reversed(self._files) if path.parent == directory]  # nobody may rely on their order

    def create(self, path: Path) -> AppendFile:
        self._begin("create", path)
        if path in self._files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if path.parent not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        file = self._files[path] = _File()
        return _VirtualAppendFile(self, path, file)

    def read(self, path: Path, start: int, limit_bytes: int) -> bytes:
        self._begin("read", path)
        return self._file(path).data[start : start + limit_bytes]

    def size_bytes(self, path: Path) -> int:
        self._begin("size_bytes", path)
        return len(self._file(path).data)

    def sync(self, path: Path) -> None:
        self._sync(path, self._file(path))

    def remove(self, path: Path) -> None:
        self._begin("remove", path)
        self._file(path)
        del self._files[path]

    def _file(self, path: Path) -> _File:
        if path not in self._files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self._files[path]

    def _sync(self, path: Path, file: _File) -> None:
        try:
            self._begin("sync", path)
        except OSError:
            file.may_sync &= self._is_halted
            raise
        if not self.ignores_sync:
            file.sync()

    @property
    def _is_halted(self) -> bool:
        return self._change_limit_count is not None and self.change_count >= self._change_limit_count

    def _begin(self, operation: str, path: Path) -> None:
        self.before(operation, path)
        with self._counting:
            if self._is_halted:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            self.change_count += operation in CHANGES


class _VirtualAppendFile:
    def __init__(self, files: VirtualLogFiles, path: Path, file: _File) -> None:
        self._files = files
        self._path = path
        self._file = file

    def write(self, parts: Sequence[bytes]) -> None:
        data = b"".join(parts)
        try:
            self._files._begin("write", self._path)
        except OSError:
            self._file.data += data[: len(data) // 2]
            raise
        self._file.data += data

    def sync(self) -> None:
        self._files._sync(self._path, self._file)

    def truncate(self, size_bytes: int) -> None:
        self._files._begin("truncate", self._path)
        self._file.data = self._file.data[:size_bytes]

    def close(self) -> None:
        self._files._begin("close", self._path)


def _after_power_loss(file: _File, choose: Choose) -> bytes:
    kept, rest = file.durable, file.data[len(file.durable) :]
    if not file.data.startswith(kept):  # cut back, and perhaps written to again
        return (kept, file.data)[choose(2)]
    if not rest:
        return kept
    match choose(5):
        case 0:
            return kept
        case 1:
            return file.data
        case 2:
            return kept + rest[: choose(len(rest))]
        case 3:
            return kept + bytes(len(rest))
        case _:
            begin = choose(len(rest))
            return kept + bytes(begin) + rest[begin:]
