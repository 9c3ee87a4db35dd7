"""The blob store of one machine: a directory.

    <root>/<container>/...      the blobs, see names.py
    <root>/.uploads/            what is not visible yet; emptied at the start
    <root>/.metadata/           content types and metadata, see sidecars.py

The root belongs to one process, except that any program may put files into the intake container and take them away.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from forebay.blobs import port
from forebay.blobs.tree import BlobTree
from forebay.blobs.upload import Upload
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.values.blob import ARCHIVE, FAILED, INCOMING, PROCESSED, Blob, BlobAddress

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class DirectoryBlobStore:
    """A `BlobStore` below `root`; names in `intake_container` are paths, so that other programs can put files there.

    What fails on disk is a `ForebayError`: `unreadable`, `disk_full` or, for the rest, `storage_failed` (503, retryable).
    """

    def __init__(self, root: Path, effects: Effects, *, intake_container: str = INCOMING) -> None:
        self._tree = BlobTree(effects.files, root, intake_container)
        self._random = effects.random
        self._run = effects.blocking.run
        self._intake_container = intake_container
        self._locks: WeakValueDictionary[BlobAddress, asyncio.Lock] = WeakValueDictionary()
        self._appearing: set[BlobAddress] = set()
        self._unfinished: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Make the containers, and remove what a crash left half-written. Call it once, before anything else."""
        await self._run(self._tree.prepare, [self._intake_container, INCOMING, PROCESSED, FAILED, ARCHIVE])

    async def close(self) -> None:
        """Wait for changes whose callers went away."""
        while self._unfinished:
            await asyncio.wait(self._unfinished)

    async def put(
        self,
        address: BlobAddress,
        content: AsyncIterable[bytes],
        *,
        max_bytes: int,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
        before_visible: port.BeforeVisible | None = None,
        after_visible: Callable[[], None] | None = None,
    ) -> Blob:
        metadata = dict(metadata or {})
        if sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) > port.METADATA_LIMIT_BYTES:
            raise port.too_large(address, "the metadata", port.METADATA_LIMIT_BYTES)
        # again when all content has come; here to refuse before it comes
        await self._on_disk(address, self._tree.check_put, address, if_match, if_none_match)
        upload = self._tree.new_upload(self._random.hex(16))
        try:
            await self._receive(address, upload, content, max_bytes)
        except BaseException:
            await asyncio.shield(self._withdraw(upload, None))
            raise

        async def publish() -> Blob:
            blob: Blob | None = None
            try:
                blob = await self._on_disk(address, self._tree.finish, upload, address, content_type, metadata)
                async with self._locked(address):
                    with self._claimed(address):
                        previous = await self._on_disk(address, self._tree.check_put, address, if_match, if_none_match)
                        try:
                            if before_visible is not None:
                                await before_visible(blob, upload.sha256)
                            await self._on_disk(address, self._tree.show, upload, address, not if_none_match, previous)
                        finally:
                            if after_visible is not None:
                                after_visible()
            except BaseException:
                await self._withdraw(upload, blob)
                raise
            return blob

        return await self._to_the_end(publish())

    async def get(self, address: BlobAddress, *, offset: int = 0, length: int | None = None) -> tuple[Blob, AsyncIterator[bytes]]:
        limit_bytes = port.PIECE_BYTES if length is None else min(length, port.PIECE_BYTES)
        blob, piece = await self._on_disk(address, self._tree.read, address, max(offset, 0), limit_bytes)
        if offset < 0 or offset >= max(blob.size_bytes, 1):
            raise port.range_not_satisfiable(address, offset, blob.size_bytes)
        end = blob.size_bytes if length is None else min(blob.size_bytes, offset + length)
        return blob, self._pieces(blob, piece, offset, end)

    async def read(self, address: BlobAddress, *, limit_bytes: int) -> tuple[Blob, bytes]:
        return await self._on_disk(address, self._tree.read, address, 0, limit_bytes)

    async def head(self, address: BlobAddress) -> Blob:
        return await self._on_disk(address, self._tree.head, address)

    async def containers(self) -> list[str]:
        return await self._on_disk(None, self._tree.containers)

    async def list(self, container: str, *, prefix: str = "", after: str = "", limit: int) -> list[Blob]:
        return await self._on_disk(None, self._tree.listing, container, prefix, after, limit)

    async def delete(self, address: BlobAddress, *, if_match: str | None = None) -> None:
        async def delete() -> None:
            async with self._locked(address):
                await self._on_disk(address, self._tree.delete, address, if_match)

        await self._to_the_end(delete())

    async def move(self, source: BlobAddress, target: BlobAddress, *, etag: str) -> Blob:
        async def move() -> Blob:
            async with self._locked(source, target):
                with self._claimed(target):
                    return await self._on_disk(source, self._tree.move, source, target, etag)

        return await self._to_the_end(move())

    async def unlisted_count(self) -> int:
        """How many files and folders of the intake container have names that are not UTF-8, which no listing can show."""
        return await self._on_disk(None, self._tree.unlisted_count)

    async def _receive(self, address: BlobAddress, upload: Upload, content: AsyncIterable[bytes], max_bytes: int) -> None:
        size_bytes = 0
        waiting = bytearray()
        async for data in content:
            size_bytes += len(data)
            if size_bytes > max_bytes:
                raise port.too_large(address, "the content", max_bytes)
            waiting += data
            if len(waiting) >= port.PIECE_BYTES:
                await self._on_disk(address, upload.write, bytes(waiting))
                waiting.clear()
        await self._on_disk(address, upload.write, bytes(waiting))

    async def _pieces(self, blob: Blob, piece: bytes, offset: int, end: int) -> AsyncIterator[bytes]:
        while offset < end:
            if not piece:
                raise port.blob_changed(blob.address)
            yield piece
            offset += len(piece)
            if offset < end:
                now, piece = await self._on_disk(blob.address, self._tree.read, blob.address, offset, min(end - offset, port.PIECE_BYTES))
                if now.etag != blob.etag:
                    raise port.blob_changed(blob.address)

    async def _withdraw(self, upload: Upload, blob: Blob | None) -> None:
        """Undo an upload that has failed. What the disk does not remove now, the next start does: why it failed matters more."""
        try:
            await self._run(self._tree.withdraw, upload, blob)
        except OSError as error:
            log.warning("what an upload has left behind stays until the next start: %s", error)

    async def _on_disk(self, address: BlobAddress | None, function: Callable[..., Result], *arguments: Any) -> Result:
        try:
            return await self._run(function, *arguments)
        except OSError as error:
            raise _storage_error(address, error) from error

    async def _to_the_end(self, change: Coroutine[Any, Any, Result]) -> Result:
        """Await a change that goes on when the caller is cancelled: its locks cover what its thread is doing."""
        task = asyncio.create_task(change)
        self._unfinished.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._unfinished.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone; then nobody else looks at it

    @asynccontextmanager
    async def _locked(self, *addresses: BlobAddress) -> AsyncIterator[None]:
        """Be the only change of these blobs."""
        async with AsyncExitStack() as stack:
            for address in sorted(set(addresses), key=lambda address: (address.container, address.name)):
                await stack.enter_async_context(self._locks.setdefault(address, asyncio.Lock()))
            yield

    @contextmanager
    def _claimed(self, address: BlobAddress) -> Iterator[None]:
        """Refuse a name while one is appearing that would be its folder, or that it would be the folder of."""
        if address.container == self._intake_container:
            for other in self._appearing:
                if other.name.startswith(f"{address.name}/") or address.name.startswith(f"{other.name}/"):
                    raise port.name_conflict(address)
        self._appearing.add(address)
        try:
            yield
        finally:
            self._appearing.discard(address)


def _storage_error(address: BlobAddress | None, error: OSError) -> ForebayError:
    what = "the blob store" if address is None else f"blob {address.name!r} in container {address.container!r}"
    reason = error.strerror or str(error)
    if isinstance(error, PermissionError):
        return ForebayError(
            "unreadable", f"expected access to {what}, got: {reason}", hint="Grant this program's user access to the file.", status=403
        )
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "Free space on the disk of the data directory; new data is taken again by itself."
        return ForebayError("disk_full", f"expected space for {what}, got: {reason}", retryable=True, hint=hint, status=503)
    hint = "Check the disk and the permissions of the data directory."
    return ForebayError("storage_failed", f"expected to read or write {what}, got: {reason}", retryable=True, hint=hint, status=503)
