"""Conditional and partial requests (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from forebay.errors import ForebayError

ANY = "*"
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_TAG = re.compile(r'"([!#-~]*)"|([!#-+\--~]+)')  # the quotes may be left out, as JSON answers have it


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from `start` up to `end`, exclusive."""

    start: int
    end: int


def byte_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The part that a `Range` header asks for; None when the whole is to be sent.

    More than one range, other units and what is no range at all are ignored, as the standard has it. Raises
    `ForebayError` (`range_not_satisfiable`, 416).
    """
    found = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first and last and int(last) < int(first):
        return None
    if first:
        start, end = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
    else:
        start, end = max(0, size_bytes - int(last)), size_bytes
    if start >= end:
        raise ForebayError(
            "range_not_satisfiable",
            f"expected a range within the {size_bytes} bytes of the blob, got {header!r}",
            hint="Ask for the size first (HEAD).",
            status=416,
        )
    return ByteRange(start, end)


def quoted(etag: str) -> str:
    """An ETag as headers have it."""
    return f'"{etag}"'


def required_etag(header: str | None) -> str | None:
    """The ETag that `If-Match` demands, `*` for any, None when it demands nothing.

    Raises `ForebayError` (`invalid_precondition`, 422) for what is no single strong ETag.
    """
    if header is None or header.strip() == ANY:
        return None if header is None else ANY
    found = _TAG.fullmatch(header.strip())
    if found is None:
        raise _invalid("If-Match", "one strong ETag in double quotes, or *", header)
    return found[1] if found[1] is not None else found[2]


def requires_absence(header: str | None) -> bool:
    """Whether `If-None-Match` of a write demands that there is nothing yet.

    Raises `ForebayError` (`invalid_precondition`, 422) for anything but `*`.
    """
    if header is None:
        return False
    if header.strip() != ANY:
        raise _invalid("If-None-Match", "*", header)
    return True


def is_named(header: str | None, etag: str) -> bool:
    """Whether `If-None-Match` of a read names the ETag that the client has; weak comparison."""
    if header is None:
        return False
    return header.strip() == ANY or any(found[1] == etag for found in re.finditer(r'"([^"]*)"', header))


def _invalid(name: str, expected: str, came: str) -> ForebayError:
    return ForebayError(
        "invalid_precondition",
        f"expected {name} to be {expected}, got {came[:200]!r}",
        hint="Send the ETag of the last answer.",
        status=422,
    )
