"""A file system in memory: for simulations in which files are slow, fail, and lose what was not synced."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forebay.effects import Clock, FileKind, FileStat, FileWriter

SYMLINK_LIMIT_COUNT = 40  # of one path, as on Linux

Hook = Callable[[str, Path], None]  # operation, path; may raise `OSError`, or a `BaseException` that ends the process


@dataclass(slots=True)
class _Node:
    kind: FileKind
    inode: int
    mtime_ns: int
    data: bytes = b""
    is_synced: bool = True

    def stat(self) -> FileStat:
        return FileStat(kind=self.kind, size_bytes=len(self.data), mtime_ns=self.mtime_ns, inode=self.inode)


class VirtualFiles:
    """The `Files` of a simulated machine; it outlives the simulated processes that use it."""

    def __init__(self) -> None:
        self._nodes: dict[Path, _Node] = {Path("/"): _Node("directory", 1, 0)}
        self._next_inode = 2
        self._clock: Clock | None = None
        self.before: Hook = lambda operation, path: None
        self.changed: set[Path] = set()  # what a change feed has to tell
        self.news = asyncio.Event()  # set while there is something to tell

    def attach(self, clock: Clock, before: Hook) -> None:
        """Another process begins to use the files."""
        self._clock = clock
        self.before = before
        self.news = asyncio.Event()  # an event belongs to one loop

    def take_changed(self) -> set[Path]:
        """What has changed since the last call; forgotten here."""
        changed, self.changed = self.changed, set()
        self.news.clear()
        return changed

    def lose_unsynced(self) -> None:
        """What an abrupt end of the process does to files that were being written."""
        for node in self._nodes.values():
            if not node.is_synced:
                node.data = node.data[: len(node.data) // 2]
                node.is_synced = True

    # -- what Forebay uses -----------------------------------------------------------------------------------------

    def stat(self, path: Path) -> FileStat:
        self.before("stat", path)
        return self._node(path).stat()

    def scan(self, directory: Path) -> list[tuple[str, FileStat]]:
        self.before("scan", directory)
        if self._node(directory).kind != "directory":
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
        return sorted((path.name, node.stat()) for path, node in self._nodes.items() if path.parent == directory and path != directory)

    def resolve(self, path: Path) -> Path:
        waiting = list(reversed(path.parts[1:]))
        resolved, followed_count = Path("/"), 0
        while waiting:
            part = waiting.pop()
            node = self._nodes.get(resolved / part)
            if part == "..":
                resolved = resolved.parent
            elif node is None or node.kind != "symlink":
                resolved /= part
            else:
                followed_count += 1
                if followed_count > SYMLINK_LIMIT_COUNT:
                    raise RuntimeError(f"Symlink loop from {path}")  # as pathlib has it
                target = Path(node.data.decode())
                resolved = Path("/") if target.is_absolute() else resolved
                waiting += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        return resolved

    def read(self, path: Path, *, limit_bytes: int, offset: int = 0) -> tuple[bytes, FileStat]:
        self.before("read", path)
        node = self._node(path)
        if node.kind == "symlink":
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        if node.kind != "file":
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return node.data[offset : offset + limit_bytes], node.stat()

    def is_being_written(self, path: Path) -> bool:
        return False

    def create(self, path: Path) -> FileWriter:
        self.before("create", path)
        if path in self._nodes:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self.make_directory(path.parent)
        node = self._new("file")
        node.is_synced = False
        self._nodes[path] = node
        return _VirtualWriter(self, path, node)

    def rename(self, source: Path, target: Path, *, replace: bool) -> FileStat:
        self.before("rename", source)
        node = self._node(source)
        self.make_directory(target.parent)
        if not replace and target in self._nodes:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        self._nodes[target] = self._nodes.pop(source)
        self._note(source, target)
        return node.stat()

    def remove(self, path: Path) -> None:
        self.before("remove", path)
        self._node(path)
        del self._nodes[path]
        self._note(path)

    def make_directory(self, path: Path) -> None:
        if path in self._nodes:
            return
        self.make_directory(path.parent)
        self._nodes[path] = self._new("directory")

    def remove_directory(self, path: Path) -> None:
        if any(each.parent == path for each in self._nodes):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
        del self._nodes[path]

    # -- what users of the machine do ------------------------------------------------------------------------------

    def user_writes(self, path: Path, data: bytes) -> None:
        """Another program writes a file in place."""
        self.make_directory(path.parent)
        node = self._nodes.get(path)
        if node is None:
            node = self._nodes[path] = self._new("file")
        node.data, node.mtime_ns = data, self._now_ns()
        self._note(path)

    def user_replaces(self, path: Path, data: bytes) -> None:
        """Another program saves a file by writing a new one and renaming it."""
        self.make_directory(path.parent)
        node = self._nodes[path] = self._new("file")
        node.data = data
        self._note(path)

    def user_links(self, path: Path, target: str) -> None:
        """Another program puts a symlink in the place of whatever is there."""
        self.make_directory(path.parent)
        node = self._nodes[path] = self._new("symlink")
        node.data = target.encode()
        self._note(path)

    def user_renames(self, source: Path, target: Path) -> None:
        """Another program renames a file, or a folder to a name that is free."""
        self.make_directory(target.parent)
        for path in self._tree(source):
            self._nodes[target / path.relative_to(source)] = self._nodes.pop(path)
        self._note(source, target)

    def user_removes(self, path: Path) -> None:
        """Another program removes a file, or a folder with what is in it."""
        for each in self._tree(path):
            del self._nodes[each]
            self._note(each)

    def files_below(self, folder: Path) -> dict[str, bytes]:
        """Every file below a folder: relative name and content."""
        return {
            path.relative_to(folder).as_posix(): node.data
            for path, node in self._nodes.items()
            if node.kind == "file" and path.is_relative_to(folder)
        }

    def _note(self, *paths: Path) -> None:
        self.changed.update(paths)
        self.news.set()

    def _tree(self, path: Path) -> list[Path]:
        self._node(path)
        return [each for each in self._nodes if each.is_relative_to(path)]

    def _node(self, path: Path) -> _Node:
        node = self._nodes.get(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return node

    def _new(self, kind: FileKind) -> _Node:
        inode = self._next_inode
        self._next_inode += 1
        return _Node(kind, inode, self._now_ns())

    def _now_ns(self) -> int:
        assert self._clock is not None
        return int(self._clock.now().timestamp() * 1e9)


class _VirtualWriter:
    def __init__(self, files: VirtualFiles, path: Path, node: _Node) -> None:
        self._files = files
        self._path = path
        self._node = node

    def write(self, data: bytes) -> None:
        try:
            self._files.before("write", self._path)
        except OSError:
            self._node.data += data[: len(data) // 2]  # as where a disk is full in the middle
            raise
        self._node.data += data

    def close(self) -> None:
        self._files.before("sync", self._path)
        self._node.is_synced = True

    def abandon(self) -> None:
        self._files.remove(self._path)
