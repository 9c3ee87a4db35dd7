"""Request bodies: their declared type, and small ones as a whole."""

from __future__ import annotations

from fastapi import Request

from forebay.errors import ForebayError

JSON_LIMIT_BYTES = 1 << 20

# what HTTP clients say when nobody has told them anything
_UNDECLARED_TYPES = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})


def declared_type(request: Request) -> str | None:
    """The content type that the sender declares; None when it declares nothing."""
    declared = request.headers.get("content-type", "").strip()
    return None if _media_type(declared) in _UNDECLARED_TYPES else declared[:255]


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


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
