"""Request bodies: their declared type, and small ones as a whole."""

from __future__ import annotations

import zlib
from typing import TypeVar

import msgspec
from fastapi import Request

from forebay.errors import ForebayError

Body = TypeVar("Body")

JSON_LIMIT_BYTES = 1 << 20

# what HTTP clients say when nobody has told them anything
_UNDECLARED_TYPES = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})


def declared_type(request: Request) -> str | None:
    """The content type that the sender declares; None when it declares nothing."""
    declared = request.headers.get("content-type", "").strip()
    return None if _media_type(declared) in _UNDECLARED_TYPES else declared[:255]


def declared_bytes(request: Request) -> int:
    """How long the body is according to its sender; 0 when it does not say."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def refuse_multipart(request: Request) -> None:
    """Raise `ForebayError` (`unsupported_media_type`, 415) for a form with files: the body is to be the file itself."""
    if _media_type(request.headers.get("content-type", "")).startswith("multipart/"):
        raise ForebayError(
            "unsupported_media_type",
            "expected the file itself as the body, got a multipart form",
            hint="With curl: --data-binary @FILE instead of -F or --form.",
            status=415,
        )


async def json_body(request: Request) -> bytes:
    """The whole body of a request in JSON. Raises `ForebayError` (`body_too_large`, 413) over 1 MiB."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > JSON_LIMIT_BYTES:
            raise ForebayError("body_too_large", f"expected a JSON body of at most {JSON_LIMIT_BYTES} bytes, got more", status=413)
    return bytes(body)


async def typed_body(request: Request, kind: type[Body], *, page: str, is_optional: bool = False) -> Body:
    """The body as a `kind`; nothing counts as `{}` where it is optional.

    Raises `ForebayError`: `invalid_json` (400), `invalid_request` (422), `body_too_large`; the hint names the `page` of /docs.
    """
    raw = await json_body(request)
    try:
        return msgspec.json.decode(raw or (b"{}" if is_optional else b""), type=kind)
    except msgspec.ValidationError as error:
        raise ForebayError("invalid_request", str(error), hint=f"See {page} in /docs.", status=422) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ForebayError("invalid_json", f"expected a JSON object, but: {error}", hint=f"See {page} in /docs.", status=400) from None


async def inflated_body(request: Request, *, limit_bytes: int) -> bytes:
    """The whole body, inflated where it is gzip.

    Raises `ForebayError`: `body_too_large` (413) over `limit_bytes`, as it comes or inflated; `invalid_gzip` (400).
    *Guarantees*: hardly more than the limit is inflated, whatever the body promises.
    """
    is_compressed = request.headers.get("content-encoding", "").strip().lower() == "gzip"
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    body = bytearray()
    received_bytes = 0
    async for piece in request.stream():
        received_bytes += len(piece)  # gzip can go on for ever without saying anything
        try:
            body += inflater.decompress(piece, limit_bytes + 1 - len(body)) if is_compressed else piece
        except zlib.error as error:
            raise _invalid_gzip(str(error)) from None
        if max(received_bytes, len(body)) > limit_bytes:
            raise ForebayError(
                "body_too_large",
                f"expected at most {limit_bytes} bytes of telemetry at a time, got more",
                hint="Send several smaller batches.",
                status=413,
            )
        if inflater.unused_data:
            raise _invalid_gzip("something follows its first member, where one member is expected")
    if is_compressed and not inflater.eof:
        raise _invalid_gzip("it ends too early")
    return bytes(body)


def _invalid_gzip(reason: str) -> ForebayError:
    return ForebayError(
        "invalid_gzip",
        f"expected a body in gzip, as Content-Encoding says, but: {reason}",
        hint="Compress it again as one gzip member, or send it as it is.",
        status=400,
    )


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
