"""What Forebay needs of a blob store, and the errors that every adapter answers with."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

from forebay.errors import ForebayError
from forebay.values.blob import Blob, BlobAddress

BeforeVisible: TypeAlias = Callable[[Blob, str], Awaitable[None]]  # the blob as it will be, and its SHA-256 in hexadecimal

PIECE_BYTES = 256 * 1024  # what a streaming read hands over at a time
METADATA_LIMIT_BYTES = 8 * 1024  # keys and values together, as Azure has it


class BlobStore(Protocol):
    """Named bytes in containers.

    Every method raises `ForebayError`: `container_not_found` and `blob_not_found` (404), `invalid_name` (422),
    `unreadable` (403), `disk_full` (503, retryable), and what it names itself.
    """

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
        before_visible: BeforeVisible | None = None,
        after_visible: Callable[[], None] | None = None,
    ) -> Blob:
        """Write a blob, whole or not at all.

        `if_match` names the ETag that the blob must have now (`*`: any), `if_none_match` demands that there is none.
        Raises `precondition_failed` (412), `blob_exists` (409), `name_conflict` (409; one name is a folder of the other),
        `too_large` (413; over `max_bytes`, or metadata over 8 KB).

        Guarantees: the content is on stable storage before `before_visible` is awaited, with the final ETag; nobody
        sees the blob before that returns, and nobody ever does when it raises. `after_visible` is called once it is
        visible, or never will be, but only after `before_visible` was. Of several conditional puts that
        expect the same state exactly one succeeds. Once all content has come, cancellation no longer stops the put.
        """
        ...

    async def get(self, address: BlobAddress, *, offset: int = 0, length: int | None = None) -> tuple[Blob, AsyncIterator[bytes]]:
        """Stream at most `length` bytes from `offset` in pieces of at most 256 KB.

        Raises `range_not_satisfiable` (416) for an offset at or beyond the end, except 0 of an empty blob. When the blob
        is written again while it is read, the iterator raises `blob_changed` (409, retryable): pieces of two versions
        are never mixed.
        """
        ...

    async def read(self, address: BlobAddress, *, limit_bytes: int) -> tuple[Blob, bytes]:
        """The first `limit_bytes` of the content at once; `blob.size_bytes` tells whether that is all of it."""
        ...

    async def head(self, address: BlobAddress) -> Blob:
        """What is known of a blob without reading it."""
        ...

    async def containers(self) -> list[str]:
        """The names of all containers, sorted."""
        ...

    async def list(self, container: str, *, prefix: str = "", after: str = "", limit: int) -> list[Blob]:
        """At most `limit` blobs whose names start with `prefix` and come after `after`, in byte order of their names."""
        ...

    async def delete(self, address: BlobAddress, *, if_match: str | None = None) -> None:
        """Remove a blob. Raises `precondition_failed` (412) when it has another ETag than `if_match`."""
        ...

    async def move(self, source: BlobAddress, target: BlobAddress, *, etag: str) -> Blob:
        """Give the blob with this ETag another address; it keeps content, ETag, content type and metadata.

        Raises `precondition_failed` (412) when the source has another ETag (a newer arrival, which stays) and
        `blob_exists` (409) when there is a different blob at the target.

        Guarantees: idempotent (a target with that ETag means done), atomic, overwrites nothing.
        """
        ...


def container_not_found(container: str) -> ForebayError:
    """404: there is no such container."""
    return ForebayError(
        "container_not_found",
        f"expected an existing container, got {container!r}",
        hint="List the containers, or create it first.",
        status=404,
    )


def blob_not_found(address: BlobAddress) -> ForebayError:
    """404: there is no such blob."""
    return ForebayError(
        "blob_not_found",
        f"there is no blob {address.name!r} in container {address.container!r}",
        hint="List the container to see the names in it.",
        status=404,
    )


def blob_exists(address: BlobAddress) -> ForebayError:
    """409: a blob is where none was expected."""
    return ForebayError(
        "blob_exists",
        f"expected no blob {address.name!r} in container {address.container!r}, but there is one",
        hint="Choose another name, or replace it with If-Match.",
        status=409,
    )


def blob_changed(address: BlobAddress) -> ForebayError:
    """409, retryable: the content is another one than when reading began."""
    return ForebayError(
        "blob_changed",
        f"blob {address.name!r} in container {address.container!r} was written again while it was read",
        retryable=True,
        hint="Read it again from the start.",
        status=409,
    )


def precondition_failed(address: BlobAddress, expected: str, found: str | None) -> ForebayError:
    """412: the ETag is not the expected one."""
    return ForebayError(
        "precondition_failed",
        f"expected blob {address.name!r} in container {address.container!r} with ETag {expected}, "
        + ("but there is none" if found is None else f"but it has {found}"),
        hint="Somebody wrote it meanwhile: look at the blob again and decide.",
        status=412,
    )


def name_conflict(address: BlobAddress) -> ForebayError:
    """409: where names are paths, one name would have to be both a blob and a folder."""
    return ForebayError(
        "name_conflict",
        f"blob {address.name!r} cannot be put into container {address.container!r}: there a name is a path, "
        "and this one is, or leads through, what is taken by something else",
        hint="Choose a name that neither extends another blob's name with '/' nor is a folder of others.",
        status=409,
    )


def too_large(address: BlobAddress, what: str, limit_bytes: int) -> ForebayError:
    """413: more bytes than are allowed."""
    return ForebayError(
        "too_large",
        f"expected {what} of blob {address.name!r} to have at most {limit_bytes} bytes, got more",
        hint="Raise FOREBAY_MAX_BLOB_MB (or MAX_BLOB_MB), or split the file.",
        status=413,
    )


def range_not_satisfiable(address: BlobAddress, offset: int, size_bytes: int) -> ForebayError:
    """416: the range begins beyond the end."""
    return ForebayError(
        "range_not_satisfiable",
        f"expected an offset within the {size_bytes} bytes of blob {address.name!r}, got {offset}",
        hint="Ask for the size first (HEAD).",
        status=416,
    )
