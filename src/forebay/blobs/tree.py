"""Blobs as files: every blocking step of the directory adapter, without its concurrency.

Nothing is read or written through a symlink below the root; what is not a regular file is no blob.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from forebay.blobs import names, port
from forebay.blobs.sidecars import Sidecars
from forebay.blobs.upload import Upload
from forebay.effects import Files, FileStat
from forebay.values.blob import Blob, BlobAddress

_UPLOADS, _METADATA = ".uploads", ".metadata"
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # no leading dot: such directories are the store's own
_NO_BLOB_ERRORS = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO}  # gone, a symlink, a directory, a socket
_RESERVED = re.compile(r"\d{14}_[0-9a-f]{8}_")  # how the names of uploads begin, see names.py
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BlobTree:
    """The directory tree of a store. Methods block and raise `OSError` besides the errors of the port."""

    def __init__(self, files: Files, root: Path, intake_container: str) -> None:
        self._files = files
        self._root = root
        self._intake_container = intake_container
        self._sidecars = Sidecars(files, root / _METADATA)

    def prepare(self, containers: list[str]) -> None:
        """Make what is missing, and remove uploads that a crash interrupted."""
        self._files.make_directory(self._root)
        self._root = self._files.resolve(self._root)  # reading refuses symlinks, and the root may well be below one
        self._sidecars = Sidecars(self._files, self._root / _METADATA)
        for folder in (_UPLOADS, _METADATA, *containers):
            self._files.make_directory(self._root / folder)
        for name, _ in self._files.scan(self._root / _UPLOADS):
            self._files.remove(self._root / _UPLOADS / name)

    def containers(self) -> list[str]:
        return sorted(name for name, stat in self._files.scan(self._root) if stat.kind == "directory" and _CONTAINER.fullmatch(name))

    def new_upload(self, private_name: str) -> Upload:
        return Upload(self._files, self._root / _UPLOADS / private_name)

    def finish(self, upload: Upload, address: BlobAddress, content_type: str | None, metadata: Mapping[str, str]) -> Blob:
        """The blob that the upload will be, all of it on stable storage and nothing visible."""
        stat = upload.finish()
        self._sidecars.write(stat.etag, content_type, metadata)
        return _blob(address, stat, content_type, metadata)

    def withdraw(self, upload: Upload, blob: Blob | None) -> None:
        """Undo `finish`."""
        upload.discard()
        if blob is not None:
            self._sidecars.remove(blob.etag)

    def check_put(self, address: BlobAddress, if_match: str | None, if_none_match: bool) -> FileStat | None:
        """What a put would replace, if anything. Raises what forbids the put."""
        path = self._path(address)
        if not self._has_folders(address, path):
            raise port.name_conflict(address)
        found = self._stat(path)
        if found is not None and found.kind == "directory" and self._prune(path):
            found = None
        if found is not None and found.kind != "file":
            raise port.name_conflict(address)
        if if_match is not None and (found is None or if_match not in {"*", found.etag}):
            raise port.precondition_failed(address, if_match, found.etag if found else None)
        if if_none_match and found is not None:
            raise port.blob_exists(address)
        return found

    def show(self, upload: Upload, address: BlobAddress, replace: bool, previous: FileStat | None) -> None:
        """Make a finished upload visible."""
        self._rename(upload.path, address, replace=replace)
        if previous is not None:
            with contextlib.suppress(OSError):  # the put has succeeded; a sidecar left over belongs to nobody
                self._sidecars.remove(previous.etag)

    def head(self, address: BlobAddress) -> Blob:
        return self._described(address, self._look(address))

    def read(self, address: BlobAddress, offset: int, limit_bytes: int) -> tuple[Blob, bytes]:
        """At most `limit_bytes` from `offset`, with the blob as it was in that moment."""
        path = self._path(address)
        try:
            data, stat = self._files.read(path, limit_bytes=limit_bytes, offset=offset)
        except OSError as error:
            if error.errno in _NO_BLOB_ERRORS:
                raise port.blob_not_found(address) from error
            raise
        return self._described(address, stat), data

    def listing(self, container: str, prefix: str, after: str, limit: int) -> list[Blob]:
        folder = self._container(container)
        found: list[tuple[str, FileStat]] = []
        if container == self._intake_container:
            for name, stat in self._listed_paths(folder, "", prefix, after):
                if len(found) >= limit:
                    break
                found.append((name, stat))
        else:
            # the order of encoded names is not that of names
            matching = ((name, stat) for name, stat in self._listed_encoded(folder, ()) if name.startswith(prefix) and name > after)
            found = heapq.nsmallest(limit, matching, key=lambda item: item[0])
        return [self._described(BlobAddress(container=container, name=name), stat) for name, stat in found]

    def unlisted_count(self) -> int:
        return self._count_unlisted(self._container(self._intake_container))

    def delete(self, address: BlobAddress, if_match: str | None) -> None:
        found = self._look(address)
        if if_match not in {None, "*", found.etag}:
            raise port.precondition_failed(address, str(if_match), found.etag)
        try:
            self._files.remove(self._path(address))
        except FileNotFoundError as error:
            raise port.blob_not_found(address) from error
        self._sidecars.remove(found.etag)

    def move(self, source: BlobAddress, target: BlobAddress, etag: str) -> Blob:
        there = self.check_put(target, None, False)
        here = self._look_if_any(source)
        if there is not None and there.etag == etag:
            if here is not None and here.etag == etag and source != target:
                self._files.remove(self._path(source))  # two names of one file: a crash between linking and unlinking
            return self._described(target, there)
        if here is None:
            raise port.blob_not_found(source)
        if here.etag != etag:
            raise port.precondition_failed(source, etag, here.etag)
        if there is not None:
            raise port.blob_exists(target)
        # Linking and unlinking would remove whatever another program puts at the source in between. Nobody else writes
        # below the target's container, so that the look above is as good.
        moved = self._rename(self._path(source), target, replace=target.container != self._intake_container)
        if moved.etag != etag:
            self._put_back(source, target)
            raise port.precondition_failed(source, etag, moved.etag)
        self._prune_reserved(source)
        return self._described(target, moved)

    def _prune_reserved(self, address: BlobAddress) -> None:
        """Remove the empty folders of an upload whose name had a `/`; a folder that a user made is left alone."""
        top = address.name.split("/", 1)[0]
        if "/" in address.name and address.container == self._intake_container and _RESERVED.match(top):
            with contextlib.suppress(OSError):
                self._prune(self._path(BlobAddress(container=address.container, name=top)))

    def _put_back(self, source: BlobAddress, target: BlobAddress) -> None:
        """Undo a move that took a newer file, which came between the look and the rename."""
        try:
            self._files.rename(self._path(target), self._path(source), replace=False)
        except FileExistsError:
            self._files.remove(self._path(target))  # one newer still is at the source already

    def _rename(self, source: Path, target: BlobAddress, *, replace: bool) -> FileStat:
        try:
            return self._files.rename(source, self._path(target), replace=replace)
        except FileExistsError as error:
            raise port.blob_exists(target) from error
        except (IsADirectoryError, NotADirectoryError) as error:
            raise port.name_conflict(target) from error

    def _container(self, container: str) -> Path:
        folder = self._root / container
        found = self._stat(folder) if _CONTAINER.fullmatch(container) else None
        if found is None or found.kind != "directory":
            raise port.container_not_found(container)
        return folder

    def _path(self, address: BlobAddress) -> Path:
        is_path = address.container == self._intake_container
        parts = names.path_parts(address.name) if is_path else names.encoded_parts(address.name)
        return self._container(address.container).joinpath(*parts)

    def _has_folders(self, address: BlobAddress, path: Path) -> bool:
        """Whether all that is there of the folders between container and blob are real directories."""
        folder = self._root / address.container
        for part in path.relative_to(folder).parts[:-1]:
            folder = folder / part
            found = self._stat(folder)
            if found is None:
                return True
            if found.kind != "directory":
                return False
        return True

    def _stat(self, path: Path) -> FileStat | None:
        try:
            return self._files.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _look_if_any(self, address: BlobAddress) -> FileStat | None:
        path = self._path(address)
        found = self._stat(path) if self._has_folders(address, path) else None
        return found if found is not None and found.kind == "file" else None

    def _look(self, address: BlobAddress) -> FileStat:
        found = self._look_if_any(address)
        if found is None:
            raise port.blob_not_found(address)
        return found

    def _described(self, address: BlobAddress, stat: FileStat) -> Blob:
        return _blob(address, stat, *self._sidecars.read(stat.etag))

    def _prune(self, folder: Path) -> bool:
        """Remove a tree of empty directories; False, and something left, when there is a file in it."""
        try:
            for name, stat in self._files.scan(folder):
                if stat.kind != "directory" or not self._prune(folder / name):
                    return False
            self._files.remove_directory(folder)
        except OSError:
            return False
        return True

    def _listed_paths(self, folder: Path, path: str, prefix: str, after: str) -> Iterator[tuple[str, FileStat]]:
        """Files below `folder` in byte order of whole names, which for UTF-8 is the order of code points."""
        entries = []
        for name, stat in self._scan_below(folder):
            if stat.kind in {"file", "directory"} and _is_utf8(name):
                # as part of longer names a directory sorts by its name with '/'
                entries.append((f"{path}{name}/" if stat.kind == "directory" else path + name, name, stat))
        for whole, name, stat in sorted(entries, key=lambda entry: entry[0]):
            if stat.kind == "file":
                if whole.startswith(prefix) and whole > after:
                    yield whole, stat
            elif (whole.startswith(prefix) or prefix.startswith(whole)) and (whole > after or after.startswith(whole)):
                yield from self._listed_paths(folder / name, whole, prefix, after)

    def _listed_encoded(self, folder: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, FileStat]]:
        for part, stat in self._scan_below(folder):
            if stat.kind == "directory" and part.startswith("+"):
                yield from self._listed_encoded(folder / part, (*parts, part))
            elif stat.kind == "file" and (name := names.decoded_name((*parts, part))) is not None:
                yield name, stat

    def _count_unlisted(self, folder: Path) -> int:
        count = 0
        for name, stat in self._scan_below(folder):
            if not _is_utf8(name):
                count += 1
            elif stat.kind == "directory":
                count += self._count_unlisted(folder / name)
        return count

    def _scan_below(self, folder: Path) -> list[tuple[str, FileStat]]:
        try:
            return self._files.scan(folder)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []  # gone meanwhile, or another program's own; neither may fail the whole listing


def _blob(address: BlobAddress, stat: FileStat, content_type: str | None, metadata: Mapping[str, str]) -> Blob:
    return Blob(
        address=address,
        etag=stat.etag,
        size_bytes=stat.size_bytes,
        last_modified=_time(stat.mtime_ns),
        content_type=content_type,
        metadata=dict(metadata),
    )


def _time(mtime_ns: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=mtime_ns // 1000)
    except OverflowError:  # any program can give a file any time
        return datetime.max.replace(tzinfo=UTC) if mtime_ns > 0 else datetime.min.replace(tzinfo=UTC)


def _is_utf8(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)
