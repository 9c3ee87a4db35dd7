"""Blobs: bytes under a name of the caller's choice, in a container."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import StreamingResponse

from forebay.blobs.port import blob_changed, blob_not_found, precondition_failed
from forebay.catalog.ownership import projects_of_blobs
from forebay.errors import ForebayError
from forebay.server.access import Accepting, PartsOf, Reader, SenderOf, Writer, concern
from forebay.server.answers import json_answer
from forebay.server.bodies import declared_bytes, declared_type
from forebay.server.keys.key import Caller
from forebay.server.pages import Cursor, Limit, decode_cursor, encode_cursor
from forebay.server.parts import Parts
from forebay.server.problems import problem
from forebay.server.ranges import ANY, ByteRange, byte_range, is_named, quoted, required_etag, requires_absence
from forebay.server.shapes import BlobPage, BlobStored, blob_json
from forebay.values.arrival import INCOMING_SOURCE
from forebay.values.blob import Blob, BlobAddress

_LOOK_LIMIT = 10_000  # blobs that are looked at at once
_TRIES = 3  # of opening a blob that is written again and again

Container = Annotated[str, Path(description="The container: `incoming`, `processed`, `failed`, `archive` exist from the start.")]
Name = Annotated[str, Path(description="The blob's name; it may contain `/`.")]
IfMatch = Annotated[str | None, Header(description="Only if the blob has this ETag (`*`: any) now.")]
IfNoneMatch = Annotated[str | None, Header(description="A write: `*`, only if there is none. A read: 304 if the blob has this ETag.")]


class _BlobName(Convertor[str]):
    """Like `path`, which would cut off a line feed at the end and match no other: every name has its own address."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def router() -> APIRouter:
    """The routes below `/containers`."""
    routes = APIRouter(tags=["blobs"])
    register_url_convertor("blob_name", _BlobName())
    path = "/containers/{container}/blobs/{name:blob_name}"
    routes.get("/containers/{container}/blobs", response_model=BlobPage)(list_blobs)
    routes.put(path, status_code=201, response_model=BlobStored, dependencies=[Accepting], openapi_extra=_RAW_BODY)(put_blob)
    routes.get(path, response_class=Response, responses=_CONTENT)(get_blob)
    routes.head(path, response_class=Response)(head_blob)
    routes.delete(path, status_code=204, response_class=Response, dependencies=[Accepting])(delete_blob)
    return routes


_BYTES: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_RAW_BODY = {
    "requestBody": {"description": "The blob's bytes as they are.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
}
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole blob", "content": _BYTES},
    206: {"description": "The part that `Range` asks for", "content": _BYTES},
    304: {"description": "The blob has the ETag that `If-None-Match` names"},
}


async def put_blob(
    *,
    request: Request,
    parts: PartsOf,
    sender: SenderOf,
    caller: Writer,
    container: Container,
    name: Name,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Store a blob.

    It appears whole or not at all. In the intake container it is ingested like any other arrival, and refused like an upload (503 with
    `Retry-After`) while too much waits.
    """
    address = await _address_to_write(parts, caller, container, name)
    expected, must_be_absent = required_etag(if_match), requires_absence(if_none_match)
    lane = (sender.project, INCOMING_SOURCE) if parts.intake.triggers(address) else None
    async with parts.admission.room(lane, declared_bytes(request)):
        blob = await parts.intake.put(
            sender, address, request.stream(), declared_type(request), if_match=expected, if_none_match=must_be_absent
        )
    stored = BlobStored(container=blob.address.container, name=blob.address.name, etag=blob.etag, size_bytes=blob.size_bytes)
    return json_answer(stored, status=201, headers={"ETag": quoted(blob.etag)})


async def list_blobs(
    parts: PartsOf,
    caller: Reader,
    container: Container,
    prefix: Annotated[str, Query(description="Only names that begin with this.")] = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the blobs of a container in byte order of their names; a key that belongs to a project sees those of its project only."""
    after = decode_cursor(cursor) if cursor else ""
    found = await _own_blobs(parts, caller, container, prefix, after, limit + 1)
    next_cursor = encode_cursor(found[limit - 1].address.name) if len(found) > limit else None
    return json_answer(BlobPage(blobs=[blob_json(each) for each in found[:limit]], next_cursor=next_cursor))


async def get_blob(
    *,
    request: Request,
    parts: PartsOf,
    caller: Reader,
    container: Container,
    name: Name,
    wanted: Annotated[str | None, Header(alias="Range", description="One range of bytes.")] = None,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
    if_range: Annotated[str | None, Header(description="`Range` counts only if the blob has this ETag.")] = None,
) -> Response:
    """Read a blob, or a part of it.

    Always as an attachment of bytes: whatever somebody has stored, no browser runs it here.
    """
    address = await _own_address(request, parts, caller, container, name)
    for _ in range(_TRIES):
        blob = await parts.blobs.head(address)
        unchanged = _precondition(blob, if_match, if_none_match)
        if unchanged is not None:
            return unchanged
        try:
            part = byte_range(wanted, blob.size_bytes) if if_range is None or if_range.strip() == quoted(blob.etag) else None
        except ForebayError as error:
            answer = problem(error)
            answer.headers["Content-Range"] = f"bytes */{blob.size_bytes}"
            return answer
        opened = await _open(parts, blob, part)
        if opened is not None:
            return opened
    raise blob_changed(address)


async def head_blob(
    *,
    request: Request,
    parts: PartsOf,
    caller: Reader,
    container: Container,
    name: Name,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Look at a blob without reading it."""
    blob = await parts.blobs.head(await _own_address(request, parts, caller, container, name))
    unchanged = _precondition(blob, if_match, if_none_match)
    return unchanged if unchanged is not None else Response(headers=_headers(blob) | {"Content-Length": str(blob.size_bytes)})


async def delete_blob(
    request: Request, parts: PartsOf, caller: Writer, container: Container, name: Name, if_match: IfMatch = None
) -> Response:
    """Remove a blob. A document that was made of it stays."""
    expected = required_etag(if_match)
    address = await _own_address(request, parts, caller, container, name)
    await parts.blobs.delete(address, if_match=None if expected == ANY else expected)
    return Response(status_code=204)


async def _own_blobs(parts: Parts, caller: Caller, container: str, prefix: str, after: str, limit: int) -> list[Blob]:
    """At most `limit` that the caller may see: a cursor must name none of another project, so the search ends at one's own."""
    own: list[Blob] = []
    look_count = limit
    while True:
        found = await parts.blobs.list(container, prefix=prefix, after=after, limit=look_count)
        names = await _own_names(parts, caller, container, [each.address.name for each in found])
        own += [each for each in found if each.address.name in names]
        if len(own) >= limit or len(found) < look_count:
            return own[:limit]
        after = found[-1].address.name
        look_count = min(4 * look_count, _LOOK_LIMIT)  # each look reads the whole folder


async def _own_names(parts: Parts, caller: Caller, container: str, names: list[str]) -> set[str]:
    """Those that the caller's project owns."""
    if caller.project is None:
        return set(names)
    owners = await _owners(parts, container, names)
    return {name for name, project in owners.items() if project == caller.project}


async def _owners(parts: Parts, container: str, names: list[str]) -> dict[str, str]:
    """The project of each blob; what never arrived belongs to the default project."""
    found = await parts.readers.run(lambda connection: projects_of_blobs(connection, container, names))
    return {name: project or parts.settings.default_project for name, project in found.items()}


async def _own_address(request: Request, parts: Parts, caller: Caller, container: str, name: str) -> BlobAddress:
    """The address of a blob that the caller may see, whose project the request then concerns. Raises `ForebayError` (`blob_not_found`)."""
    address = BlobAddress(container=container, name=name)
    owner = (await _owners(parts, container, [name]))[name]
    if caller.project not in (None, owner):
        raise blob_not_found(address)
    concern(request, owner)
    return address


async def _address_to_write(parts: Parts, caller: Caller, container: str, name: str) -> BlobAddress:
    """The address of a blob that the caller may make or replace. Raises `ForebayError` (`wrong_project`)."""
    if name not in await _own_names(parts, caller, container, [name]):
        raise ForebayError(
            "wrong_project",
            f"the name {name!r} in {container!r} does not belong to the project {caller.project!r}",
            hint="Upload with POST /documents, which finds a name of its own.",
            status=403,
        )
    return BlobAddress(container=container, name=name)


async def _open(parts: Parts, blob: Blob, part: ByteRange | None) -> Response | None:
    """The content of this very version of a blob; None when there is another one by now."""
    start, length = (part.start, part.end - part.start) if part else (0, None)
    found, pieces = await parts.blobs.get(blob.address, offset=start, length=length)
    if found.etag != blob.etag:
        return None
    headers = _headers(blob) | {"Content-Length": str(blob.size_bytes if length is None else length)}
    if part is None:
        return StreamingResponse(pieces, headers=headers)
    headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{blob.size_bytes}"
    return StreamingResponse(pieces, status_code=206, headers=headers)


def _precondition(blob: Blob, if_match: str | None, if_none_match: str | None) -> Response | None:
    """The answer that a condition makes of a read. Raises `ForebayError` (`precondition_failed`)."""
    expected = required_etag(if_match)
    if expected not in (None, ANY, blob.etag):
        raise precondition_failed(blob.address, str(expected), blob.etag)
    return Response(status_code=304, headers={"ETag": quoted(blob.etag)}) if is_named(if_none_match, blob.etag) else None


def _headers(blob: Blob) -> dict[str, str]:
    file_name = quote(blob.address.name.rpartition("/")[2], safe="")
    return {
        "ETag": quoted(blob.etag),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{file_name}",
        "Cache-Control": "private, no-cache",
    }
