"""Encodings that DuckDB does not have, row by row. What cannot be encoded or decoded is '' or None."""

from __future__ import annotations

import binascii
from typing import Any

_MOST_BYTES = 16_777_216  # of what is decompressed
_LONGEST_PUNYCODE = 1_000  # characters: encoding takes the square of the time
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_URL_BYTES = [chr(byte) if byte in _UNRESERVED else f"%{byte:02x}" for byte in range(256)]
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))  # what parts domains in Chinese and Japanese
_STORED = 128  # bytes: of so few, tables for compression would make more


def _decoded(encoded: str | None) -> bytes | None:
    try:
        return binascii.a2b_base64((encoded or "").encode("ascii"), strict_mode=True)
    except ValueError:
        return None


def _encoded(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def base64_decode_toarray(encoded: str | None) -> list[int] | None:
    """The bytes."""
    found = _decoded(encoded)
    return None if found is None else list(found)


def base64_encode_fromarray(array: Any) -> str:
    """Of an array of numbers from 0 to 255."""
    if not isinstance(array, list) or not all(isinstance(each, int) and 0 <= each <= 255 for each in array):
        return ""
    return _encoded(bytes(array))


def base64_decode_toguid(encoded: str | None) -> str | None:
    """The guid of 16 bytes in the order of Windows."""
    found = _decoded(encoded)
    if found is None or len(found) != 16:
        return None
    from uuid import UUID

    return str(UUID(bytes_le=found))


def base64_encode_fromguid(value: str | None) -> str:
    """Its bytes in the order of Windows."""
    if value is None:
        return ""
    from uuid import UUID

    return _encoded(UUID(value).bytes_le)


def url_encode_component(url: str | None) -> str:
    """All but letters, digits and `-_.~` of ASCII as %xx."""
    return "".join([_URL_BYTES[byte] for byte in (url or "").encode("utf-8", "replace")])


def url_encode(url: str | None) -> str:
    """The same, but a space becomes +."""
    return url_encode_component(url).replace("%20", "+")


def url_decode(encoded: str | None) -> str:
    """The text; a % without two digits after it stays, a + is a space."""
    if not encoded or ("%" not in encoded and "+" not in encoded):
        return encoded or ""
    from urllib.parse import unquote_plus

    return unquote_plus(encoded)


def gzip_compress(text: str | None) -> str:
    """As base64."""
    import zlib

    data = (text or "").encode("utf-8", "replace")
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    ending = zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return _encoded(header + _deflated(data) + ending) if data else ""


def zlib_compress(text: str | None) -> str:
    """As base64."""
    import zlib

    data = (text or "").encode("utf-8", "replace")
    return _encoded(b"\x78\x01" + _deflated(data) + zlib.adler32(data).to_bytes(4, "big")) if data else ""


def _deflated(data: bytes) -> bytes:
    import zlib

    compressor = zlib.compressobj(0 if len(data) < _STORED else 6, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def gzip_decompress(encoded: str | None) -> str:
    """The text, if it is not too long."""
    return _decompressed(encoded, 31)


def zlib_decompress(encoded: str | None) -> str:
    """The text, if it is not too long."""
    return _decompressed(encoded, 15)


def _decompressed(encoded: str | None, window: int) -> str:
    import zlib

    data = _decoded(encoded)
    if not data:
        return ""
    decompressor = zlib.decompressobj(window)
    try:
        found = decompressor.decompress(data, _MOST_BYTES)
        return found.decode() if decompressor.eof else ""
    except (zlib.error, UnicodeDecodeError):
        return ""


def codepoints_of_text(text: str | None) -> list[int]:
    """The code point of each character."""
    return [ord(each) for each in text or ""]


def text_of_codepoints(codes: Any) -> str:
    """The text; '' if one is no code point."""
    waiting, characters = [codes], []
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += reversed(each)
        elif isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= 0x10FFFF and not 0xD800 <= each <= 0xDFFF:
            characters.append(chr(each))
        else:
            return ""
    return "".join(characters)


def punycode_from_string(text: str | None) -> str:
    """The ASCII of a text."""
    return _punycode(text or "")


def _punycode(text: str) -> str:
    if len(text) > _LONGEST_PUNYCODE:
        return ""
    return text.encode("punycode").decode("ascii")


def punycode_to_string(text: str | None) -> str:
    """The text of an ASCII."""
    return _from_punycode(text or "")


def _from_punycode(text: str) -> str:
    if len(text) > _LONGEST_PUNYCODE:
        return ""
    try:
        return text.encode("ascii").decode("punycode")
    except (UnicodeError, ValueError):
        return ""


def punycode_domain_from_string(text: str | None) -> str:
    """A domain decoded, part by part; '' if one part cannot be."""
    parts = [_from_punycode(part[4:]) if part[:4].lower() == "xn--" else part for part in (text or "").split(".")]
    return ".".join(parts) if all(parts) else ""


def punycode_domain_to_string(text: str | None) -> str:
    """A domain encoded, part by part."""
    return ".".join(part if part.isascii() else f"xn--{_punycode(part)}" for part in (text or "").translate(_DOTS).split("."))
