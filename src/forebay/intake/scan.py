"""Looking at a watched folder without changing or following anything."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from forebay.effects import Files, FileStat
from forebay.errors import ForebayError
from forebay.intake.excludes import Excludes, Scope

log = logging.getLogger(__name__)

Problem: TypeAlias = Literal["outside_source", "not_a_file", "unreadable", "name_not_utf8"]

_LASTING = {errno.EACCES, errno.EPERM, errno.EFBIG, errno.ENAMETOOLONG}  # what does not go by without somebody's doing
GITIGNORE_LIMIT_BYTES = 256 * 1024


class ScanEntry(NamedTuple):
    """A file, or what cannot be one. A tuple, because every scan makes one for every file."""

    name: str  # relative to the source, with `/`; lone surrogates stand for bytes that are not UTF-8
    stat: FileStat  # for a symlink that is followed, the stat of the file that it leads to
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """All that is in a watched folder at about one time."""

    entries: list[ScanEntry]  # in byte order of their names; not those that are as the catalog knows them
    absent: Set[str]  # those names that the catalog knows and nothing has
    excluded_count: int  # files; an excluded directory counts as one
    unknown_prefixes: list[str]  # of the names below folders that could not be listed
    root_inode: int

    def __iter__(self) -> Iterator[ScanEntry]:
        return iter(self.entries)


def scan_source(
    files: Files,
    root: Path,
    excludes: Excludes,
    *,
    known: Mapping[str, str | None] = MappingProxyType({}),
    only: Set[str] | None = None,
    follows_symlinks: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
) -> Scan:
    """List a watched folder, or `only` the given names (none of them ends in `/`) and what is below them. Blocks.

    `known` gives the ETags that the catalog has of some names: a file that has the same is no entry, and costs little more
    than looking at it.

    One bad entry is an entry with its problem: a directory that cannot be listed is *unreadable* under its own name (what
    is below it is unknown, not gone). A directory symlink is never entered: it counts as excluded when it leads to a place
    inside, which is listed there, and is *outside_source* otherwise. Without `follows_symlinks` every symlink is *outside_source*.

    Raises `source_unavailable` (retryable) when the folder itself is missing, unreadable or replaced meanwhile: then
    nothing is known, and in particular no file is known to be gone.
    """
    try:
        resolved = files.resolve(root)
        before = files.stat(resolved)
        walk = _Walk(files, resolved, before, excludes, known=known, only=only, follows_symlinks=follows_symlinks, should_stop=should_stop)
        walk.run()
        after = files.stat(resolved)
    except (OSError, RuntimeError) as error:
        raise _source_unavailable(root, str(error)) from error
    if after.inode != before.inode or after.kind != "directory":
        raise _source_unavailable(root, "another one in its place")
    walk.entries.sort(key=itemgetter(0))  # for UTF-8 the order of code points is that of bytes
    return Scan(
        entries=walk.entries,
        absent=walk.absent.keys() - {printable(entry.name) for entry in walk.entries if entry.problem is not None},
        excluded_count=walk.excluded_count,
        unknown_prefixes=walk.unknown_prefixes,
        root_inode=before.inode,
    )


def printable(name: str) -> str:
    r"""A file name as text that can be stored: bytes that are not UTF-8 show as `\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_source_file(files: Files, root: Path, name: str, *, limit_bytes: int) -> tuple[bytes, FileStat]:
    """At most `limit_bytes` of a file below a watched folder, with the stat of the very file that was read. Blocks.

    Raises `ForebayError` with the codes `outside_source`, `vanished`, `unreadable`, `not_a_file` or `storage_failed` (retryable);
    the read itself follows no symlink, so that swapping one in after the check gains nothing.
    """
    try:
        top = files.resolve(root)
        path = files.resolve(top / name)
        if not path.is_relative_to(top):
            raise _refusal("outside_source", name, "a file inside the watched folder", f"a path that leads to {path}")
        return files.read(path, limit_bytes=limit_bytes)
    except FileNotFoundError as error:
        raise _refusal("vanished", name, "the file that was there", "nothing") from error
    except PermissionError as error:
        raise _refusal("unreadable", name, "permission to read it", "none") from error
    except RuntimeError as error:
        raise _refusal("not_a_file", name, "a regular file", "symlinks in a circle") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _refusal("outside_source", name, "the path that was checked", "a symlink put there meanwhile") from error
        if error.errno == errno.ENOTDIR:  # a folder became a file, or (on Linux) a symlink
            raise _refusal("vanished", name, "the file that was there", "another path") from error
        if error.errno in {errno.EINVAL, errno.ENXIO, errno.EISDIR}:
            raise _refusal("not_a_file", name, "a regular file", "something else") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}:
            raise _refusal("unreadable", name, "to read it", str(error)) from error
        raise ForebayError("storage_failed", f"{name!r} could not be read: {error}", retryable=True, status=503) from error


class _Walk:
    """One pass over a folder."""

    def __init__(
        self,
        files: Files,
        root: Path,
        root_stat: FileStat,
        excludes: Excludes,
        *,
        known: Mapping[str, str | None],
        only: Set[str] | None,
        follows_symlinks: bool,
        should_stop: Callable[[], bool],
    ) -> None:
        self.entries: list[ScanEntry] = []
        self.absent = dict(known)
        self.unknown_prefixes: list[str] = []
        self._should_stop = should_stop
        self.excluded_count = 0
        self._files = files
        self._root = root
        self._excludes = excludes
        self._follows_symlinks = follows_symlinks
        self._wanted = None if only is None else _names_by_directory(only)
        self._waiting: list[tuple[Path, FileStat, Scope]] = [(root, root_stat, excludes.top())]

    def run(self) -> None:
        """Visit every directory; the order does not matter, since the entries are sorted in the end."""
        while self._waiting:
            if self._should_stop():
                raise InterruptedError(errno.EINTR, "the program is stopping")
            directory, stat, scope = self._waiting.pop()
            try:
                found = self._found(directory, scope.prefix)
                scope = self._with_gitignore(directory, scope, found)
            except (FileNotFoundError, NotADirectoryError):
                if not scope.prefix:
                    raise
            except OSError as error:
                if not scope.prefix:
                    raise
                self.unknown_prefixes.append(scope.prefix)
                if error.errno in _LASTING:
                    self.entries.append(ScanEntry(scope.prefix[:-1], stat, "unreadable"))
                else:  # it may well go by: what is below is looked at again next time
                    log.warning("%s could not be listed: %s", directory, error)
            else:
                self._visit(directory, scope, found)

    def _found(self, directory: Path, prefix: str) -> list[tuple[str, FileStat]]:
        """The entries of a directory that are to be looked at; its `.gitignore` is among them in any case."""
        wanted = self._wanted.get(prefix) if self._wanted is not None else None
        if wanted is None:
            return self._files.scan(directory)
        found = []
        for name in {*wanted, ".gitignore"}:
            with contextlib.suppress(FileNotFoundError):
                found.append((name, self._files.stat(directory / name)))
        return found

    def _visit(self, directory: Path, scope: Scope, found: list[tuple[str, FileStat]]) -> None:
        prefix, absent = scope.prefix, self.absent
        touched = self._excludes.touched(scope, [name for name, _ in found])
        wanted = self._wanted.get(prefix) if self._wanted is not None else None
        for name, stat in found:
            if wanted is not None and name not in wanted:
                continue
            kind, path = stat.kind, prefix + name
            if name in touched and self._excludes.is_excluded(scope, name, kind == "directory"):
                self.excluded_count += 1
            elif not name.isascii() and not _is_utf8(name):
                self.entries.append(ScanEntry(path, stat, "name_not_utf8"))
            elif kind == "file":
                if absent.pop(path, None) != stat.etag:
                    self.entries.append(ScanEntry(path, stat))
            elif kind == "directory":
                self._waiting.append((directory / name, stat, self._excludes.below(scope, name)))
            elif kind == "symlink":
                self._follow(directory / name, path, stat)
            else:
                self.entries.append(ScanEntry(path, stat, "not_a_file"))

    def _follow(self, link: Path, name: str, link_stat: FileStat) -> None:
        try:
            target = self._files.resolve(link)
            if not self._follows_symlinks or not target.is_relative_to(self._root):
                self.entries.append(ScanEntry(name, link_stat, "outside_source"))
                return
            stat = self._files.stat(target)
        except PermissionError:
            self.entries.append(ScanEntry(name, link_stat, "unreadable"))
            return
        except (OSError, RuntimeError):  # RuntimeError: a symlink loop, in Python 3.11 and 3.12
            self.entries.append(ScanEntry(name, link_stat, "not_a_file"))
            return
        # a link of another name must not lead to a secret
        if stat.kind == "directory" or self._excludes.is_explicitly_excluded(target.relative_to(self._root).as_posix()):
            self.excluded_count += 1
        elif stat.kind != "file":
            self.entries.append(ScanEntry(name, stat, "not_a_file"))
        elif self.absent.pop(name, None) != stat.etag:
            self.entries.append(ScanEntry(name, stat))

    def _with_gitignore(self, directory: Path, scope: Scope, found: list[tuple[str, FileStat]]) -> Scope:
        """Rules that cannot be read raise `OSError`: indexing what they exclude would be worse than to wait."""
        if not self._excludes.respects_gitignore or not any(name == ".gitignore" and stat.kind == "file" for name, stat in found):
            return scope
        data, stat = self._files.read(directory / ".gitignore", limit_bytes=GITIGNORE_LIMIT_BYTES)
        if stat.size_bytes > GITIGNORE_LIMIT_BYTES:
            raise OSError(errno.EFBIG, f".gitignore has more than {GITIGNORE_LIMIT_BYTES} bytes", str(directory))
        return self._excludes.with_gitignore(scope, data.decode("utf-8", "surrogateescape"))


def _names_by_directory(only: Set[str]) -> dict[str, set[str]]:
    """Which entries lead to the wanted names, by the prefix of their directory; a directory that is wanted whole has none."""
    wanted: dict[str, set[str]] = {"": set()}
    for name in only:
        prefix = ""
        for part in name.split("/"):
            wanted.setdefault(prefix, set()).add(part)
            if prefix + part in only:
                break  # what is below comes with it
            prefix += part + "/"
    return {} if "" in only else wanted


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _refusal(code: str, name: str, expected: str, got: str) -> ForebayError:
    return ForebayError(code, f"expected {expected} at {name!r}, got {got}", hint="The next scan looks at it again.", status=409)


def _source_unavailable(root: Path, got: str) -> ForebayError:
    return ForebayError(
        "source_unavailable",
        f"expected a readable folder at {root}, got: {got}",
        retryable=True,
        hint="Mount it, or correct the path or its permissions; documents from it stay until it can be listed again.",
        status=503,
    )
