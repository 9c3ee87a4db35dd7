"""Refuse what cannot be read, before any work: by name, type and size first, then by content."""

from __future__ import annotations

import re

from forebay.pipeline.archives import check_package
from forebay.pipeline.formats import UNKNOWN_TEXT, Format, format_of_name, format_of_text_type
from forebay.pipeline.refused import Refused

# What senders say when they say nothing: curl's defaults for a body.
UNDECLARED_TYPES = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})

TEXT_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")

# Formats whose first bytes could pass for text in some legacy encoding, and those worth naming in a message.
_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b\x08", "gzip data"),
    (b"BZh91AY&SY", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstandard data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file (old Office, or encrypted Office)"),
    (b"\x7fELF", "an ELF program"),
    (b"MZ\x90\x00", "a Windows program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
)
_SAMPLE_BYTES = 64 * 1024
_PDF_HEADER_WITHIN_BYTES = 1024  # as readers tolerate it, PDF 32000-1 appendix H
# All but those that text has: bell, backspace, white space, DOS's end of file, and escape (terminal logs).
_CONTROLS = bytes(sorted(set(range(32)) - {7, 8, 9, 10, 11, 12, 13, 26, 27}))
_CONTROL_RATIO_LIMIT = 0.05
_MAIL_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?(?:>?From [^\n]*\n)?[\x21-\x39\x3b-\x7e]{1,76}[ \t]*:")
_MAIL_FIELD = re.compile(rb"^(?:From|Date|Received|Subject|Message-ID|Return-Path)[ \t]*:", re.IGNORECASE | re.MULTILINE)


def accept(name: str, content_type: str | None, size_bytes: int, *, max_blob_bytes: int, accept_unknown_text: bool) -> Format:
    """The format of a file that may be read, decided without reading it.

    A known suffix decides; otherwise a declared type of `text/...` does. `max_blob_bytes` is the size limit, inclusive.
    Raises `Refused`: `unsupported_type`, `too_large` or `empty`.
    """
    declared = media_type(content_type)
    format = format_of_name(name) or format_of_text_type(declared) or (UNKNOWN_TEXT if accept_unknown_text else None)
    if format is None:
        came = f"declared as {declared}" if declared not in UNDECLARED_TYPES else "without a declared type"
        raise Refused("unsupported_type", f"expected a known suffix or a text/... content type, got {_shown(name)} {came}")
    if size_bytes > max_blob_bytes:
        raise Refused("too_large", f"expected at most {max_blob_bytes:,} bytes, got {size_bytes:,}")
    if size_bytes == 0:
        raise Refused("empty", "expected some content, got 0 bytes")
    return format


def media_type(content_type: str | None) -> str:
    """The bare type of a Content-Type header, lower case, without parameters."""
    return (content_type or "").partition(";")[0].strip().lower()


def check_content(format: Format, data: bytes) -> None:
    """Check that the bytes are what the format says, as far as that can be told without parsing them.

    Raises `Refused`: `empty`, `content_mismatch` (`unsupported_type` for a file taken as text on trust), `corrupt`, and for
    formats that are zip archives `encrypted` or `archive_bomb`.
    """
    if not data:
        raise Refused("empty", "expected some content, got 0 bytes")
    if not format.is_binary:
        _check_text(format, data)
    elif format.name == "pdf":
        if b"%PDF-" not in data[:_PDF_HEADER_WITHIN_BYTES]:
            raise Refused("content_mismatch", f"expected a PDF, got {_kind(data)}")
    elif format.name == "rtf":
        _check_rtf(data)
    elif format.name == "eml":
        _check_mail(data)
    else:
        check_package(format.name, data)


def _check_rtf(data: bytes) -> None:
    if not data.lstrip()[:5] == b"{\\rtf":
        raise Refused("content_mismatch", f"expected RTF, got {_kind(data)}")
    # some writers pad with NUL or end with DOS's end of file
    if not data.rstrip(b" \t\r\n\0\x1a").endswith(b"}"):
        raise Refused("corrupt", "expected RTF that is closed by a brace, got a file that ends before it")


def _check_mail(data: bytes) -> None:
    """Mail has no signature: it is text that begins with header fields, one of which every mail has."""
    if _signature(data) or b"\0" in data[:_SAMPLE_BYTES] or not _MAIL_HEADER.match(data) or not _MAIL_FIELD.search(data[:_SAMPLE_BYTES]):
        raise Refused("content_mismatch", f"expected an e-mail message that begins with its header, got {_kind(data)}")


def _check_text(format: Format, data: bytes) -> None:
    if data.startswith(TEXT_BOMS):
        return
    sample = data[:_SAMPLE_BYTES]
    control_count = len(sample) - len(sample.translate(None, _CONTROLS))
    if b"\0" in data or control_count > len(sample) * _CONTROL_RATIO_LIMIT or _signature(data):
        reason = "unsupported_type" if format == UNKNOWN_TEXT else "content_mismatch"
        raise Refused(reason, f"expected text, got {_kind(data)}")


def _signature(data: bytes) -> str | None:
    return next((kind for magic, kind in _SIGNATURES if data.startswith(magic)), None)


def _kind(data: bytes) -> str:
    if known := _signature(data):
        return known
    nul = data.find(b"\0")
    if nul >= 0:
        return f"binary data (a NUL at byte {nul:,})"
    return f"data that starts with {data[:8].hex(' ')}"


def _shown(name: str) -> str:
    """A name that is safe to print: control characters could steer a terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "�", name)[-120:]
