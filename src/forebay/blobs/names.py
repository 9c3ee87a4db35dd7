"""Blob names: which are allowed, and the paths that stand for them on disk.

In the intake container a name *is* a path, so that any program can drop files there. Elsewhere a name becomes one
flat file name: everything but ASCII letters, digits and `-._~` is percent-encoded. An encoded name of more than 255
bytes is cut into pieces of 200: folders `+piece` that end in a file `=piece`; neither sign occurs in an encoded name, so
no two names share a file and no name is a folder of another. Both ways are reversible.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote, unquote_to_bytes

from forebay.errors import ForebayError

NAME_LIMIT_BYTES = 1024
COMPONENT_LIMIT_BYTES = 255  # the limit of Linux and macOS file systems for one file name
_PIECE_LENGTH = 200
_KEPT_SUFFIX_BYTES = 20  # a longer "suffix" is no type, so shortening may cut it


def check_name(name: str) -> None:
    """Raise `ForebayError` `invalid_name` unless `name` can be a blob's: any UTF-8 but what a path gives a meaning to."""
    problem = _problem(name)
    if problem:
        raise _invalid(name, problem)


def path_parts(name: str) -> tuple[str, ...]:
    """The path below the intake container. Raises `invalid_name`, also for a component that no file system takes."""
    check_name(name)
    parts = tuple(name.split("/"))
    if any(_byte_length(part) > COMPONENT_LIMIT_BYTES for part in parts):
        raise _invalid(name, f"components of at most {COMPONENT_LIMIT_BYTES} bytes")
    return parts


def encoded_parts(name: str) -> tuple[str, ...]:
    """The path below any other container. Raises `invalid_name`."""
    check_name(name)
    return _encode(name)


def decoded_name(parts: tuple[str, ...]) -> str | None:
    """The name that `encoded_parts` made these of; None for a path that it never makes."""
    *folders, file = parts
    encoded = "".join(part[1:] for part in parts) if folders else file
    try:
        name = unquote_to_bytes(encoded).decode("utf-8")
        return name if not _problem(name) and _encode(name) == parts else None
    except UnicodeError:
        return None


def reserved_name(now: datetime, random_hex: str, original: str) -> str:
    """A collision-free name for an upload: `{%Y%m%d%H%M%S}_{8 hex}_{original}`.

    What makes it too long for the intake container is cut out before the suffix; users see and search the original
    anyway. Raises `invalid_name` when the original itself is none.
    """
    check_name(original)
    name = f"{now:%Y%m%d%H%M%S}_{random_hex}_{original}"
    if _byte_length(name) > NAME_LIMIT_BYTES:
        name = name.replace("/", "_")
    return "/".join(_shortened(part) for part in name.split("/"))


def _problem(name: str) -> str | None:
    """What a valid name would be, when this is none."""
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "valid UTF-8"
    if length > NAME_LIMIT_BYTES:
        return f"at most {NAME_LIMIT_BYTES} bytes"
    if "\0" in name:
        return "no NUL"
    if any(part in {"", ".", ".."} for part in name.split("/")):
        return "components between '/' that are neither empty nor '.' or '..'"
    return None


def _encode(name: str) -> tuple[str, ...]:
    encoded = quote(name, safe="")
    if len(encoded) <= COMPONENT_LIMIT_BYTES:
        return (encoded,)
    *folders, file = (encoded[start : start + _PIECE_LENGTH] for start in range(0, len(encoded), _PIECE_LENGTH))
    return (*(f"+{piece}" for piece in folders), f"={file}")


def _shortened(part: str) -> str:
    if _byte_length(part) <= COMPONENT_LIMIT_BYTES:
        return part
    stem, dot, suffix = part.rpartition(".")
    if not dot or _byte_length(suffix) > _KEPT_SUFFIX_BYTES:
        stem, dot, suffix = part, "", ""
    kept = stem.encode("utf-8")[: COMPONENT_LIMIT_BYTES - _byte_length(dot + suffix)]
    return kept.decode("utf-8", "ignore") + dot + suffix


def _byte_length(text: str) -> int:
    return len(text.encode("utf-8"))


def _invalid(name: str, expected: str) -> ForebayError:
    shown = name if len(name) <= 80 else name[:80] + "..."
    return ForebayError(
        "invalid_name",
        f"expected a blob name with {expected}, got {shown!r}",
        hint="A name is at most 1,024 bytes of UTF-8, without leading, trailing or double '/', '.' and '..' components.",
        status=422,
    )
