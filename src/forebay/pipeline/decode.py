"""Bytes to text for what is text: by byte order mark, UTF-8, declaration, or detection."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from forebay.pipeline.formats import Format
from forebay.pipeline.parts import Part
from forebay.pipeline.refused import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedText:
    """The text that chunks index. No byte order mark, newlines as they came, never a lone surrogate."""

    text: str
    encoding: str | None  # None where the bytes are not text themselves (PDF, DOCX)
    guessed: bool = False  # True when neither a mark, nor UTF-8, nor a declaration settled the encoding
    replaced_count: int = 0  # bytes or sequences that became U+FFFD
    parts: tuple[Part, ...] = ()  # pages, slides, sheets; in order, none for a text without any


# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What is found in the wild, in the order of preference where the statistics cannot tell two apart.
_CANDIDATES = (
    *("cp1252", "cp932", "gb18030", "euc_jp", "cp949", "big5", "cp1251"),
    *("cp1250", "cp1254", "cp1253", "cp1255", "cp1256", "koi8_r"),
)
_DETECTION_SAMPLE_BYTES = 32 * 1024
_DECLARATION_WITHIN_BYTES = 1024
_LINE_BEFORE_BYTES = 200
_HIGH_BYTE = re.compile(rb"[\x80-\xff]")
_HIGH_BYTES = bytes(range(0x80, 0x100))
_WESTERN_HIGH_RATIO_LIMIT = 0.4
_REPLACED_RATIO_LIMIT = 0.1  # above this it is not that encoding's text
# A file with broken bytes is still UTF-8 when for each of them there are this many good multi-byte characters.
_GOOD_PER_BROKEN_COUNT = 4
# Declared encodings that would let escapes or lone surrogates through.
_REFUSED_DECLARATIONS = frozenset({"utf-7", "unicode-escape", "raw-unicode-escape", "idna", "punycode"})

_HTML_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})")
_PYTHON_COOKIE = re.compile(rb"\A[^\n]{0,200}\n?[ \t\f]*#[^\n]{0,200}?coding[:=][ \t]*([-\w.]{1,40})")  # PEP 263
_PARAMETER = re.compile(r";\s*charset\s*=\s*\"?([\w.:-]{1,40})", re.IGNORECASE)


def decode_text(data: bytes, *, declared: str | None = None) -> DecodedText:
    """Decode by byte order mark, then strict UTF-8, then the `declared` encoding, then by detection.

    Detection looks at a bounded sample, so its time does not grow with the file.
    Raises `Refused` with `undecodable` when no encoding fits.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark) and (encoding != "utf-32-le" or _is_valid(data[len(mark) :], encoding)):
            return _decode(data[len(mark) :], encoding, guessed=False)
    try:
        return DecodedText(text=data.decode("utf-8"), encoding="utf-8")
    except UnicodeDecodeError:
        pass
    if declared is not None and _is_valid(data, declared):
        return DecodedText(text=data.decode(declared), encoding=codecs.lookup(declared).name)
    if _is_broken_utf8(data):
        return _decode(data, "utf-8", guessed=True)
    return _decode(data, _detect(data), guessed=True)


def _decode(data: bytes, encoding: str, *, guessed: bool) -> DecodedText:
    try:
        return DecodedText(text=data.decode(encoding), encoding=encoding, guessed=guessed)
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
    replaced_count = text.count("\ufffd") - data.decode(encoding, "ignore").count("\ufffd")
    if replaced_count > len(text) * _REPLACED_RATIO_LIMIT:
        raise Refused("undecodable", f"expected {encoding} text, got {replaced_count:,} invalid of {len(text):,} characters")
    return DecodedText(text=text, encoding=encoding, guessed=guessed, replaced_count=replaced_count)


def _is_valid(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_broken_utf8(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    genuine_count = data.count(b"\xef\xbf\xbd")
    broken_count = text.count("\ufffd") - genuine_count
    good_count = len(text) - broken_count - len(data.translate(None, _HIGH_BYTES))
    return good_count >= broken_count * _GOOD_PER_BROKEN_COUNT


def _detect(data: bytes) -> str:
    from charset_normalizer import from_bytes

    matches = from_bytes(_detection_sample(data), cp_isolation=list(_CANDIDATES), enable_fallback=False)
    ranked = [
        (match.chaos, -match.coherence, _CANDIDATES.index(encoding))
        for match in matches
        for encoding in (match.encoding, *(same.encoding for same in match.submatch))
        if encoding in _CANDIDATES
    ]
    if not ranked:
        # short Western texts can look odd to the statistics
        high_count = len(data) - len(data.translate(None, _HIGH_BYTES))
        if high_count <= len(data) * _WESTERN_HIGH_RATIO_LIMIT and _is_valid(data, "cp1252"):
            return "cp1252"
        raise Refused("undecodable", "expected text in UTF-8 or a known legacy encoding, got bytes that fit none")
    return _CANDIDATES[min(ranked)[2]]


def _detection_sample(data: bytes) -> bytes:
    """The first lines that have bytes outside of ASCII: the others say nothing about the encoding."""
    lines: list[bytes] = []
    room = _DETECTION_SAMPLE_BYTES
    end = 0
    while room > 0 and (found := _HIGH_BYTE.search(data, end)):
        start = max(end, data.rfind(b"\n", end, found.start()) + 1, found.start() - _LINE_BEFORE_BYTES)
        end = data.find(b"\n", found.end(), start + room) + 1 or min(start + room, len(data))
        lines.append(data[start:end])
        room -= end - start
    sample = b"".join(lines)
    if room > 0:
        return sample
    # end at a space or a line's end, which are never part of a longer character
    cut = max(sample.rfind(b" "), sample.rfind(b"\n"))
    return sample[: cut + 1] if cut > 0 else sample


def declared_charset(format: Format, data: bytes, content_type: str | None) -> str | None:
    """What the sender or the file itself says about its encoding, if Python knows it as a text encoding."""
    found = _PARAMETER.search(content_type or "")
    declared = found[1] if found else None
    pattern = {"html": _HTML_CHARSET, "python": _PYTHON_COOKIE, "xml": _XML_ENCODING}.get(format.name)
    if declared is None and pattern is not None and (in_file := pattern.search(data[:_DECLARATION_WITHIN_BYTES])):
        declared = in_file[1].decode("ascii", "replace")
    return known_charset(declared)


def known_charset(declared: str | None) -> str | None:
    """Python's name of a declared text encoding; None for what is unknown or not to be trusted."""
    if declared is None:
        return None
    try:
        name = codecs.lookup(declared).name
        "".encode(name)  # refuses codecs between bytes and bytes
    except (LookupError, ValueError):
        return None
    return None if name in _REFUSED_DECLARATIONS else name
