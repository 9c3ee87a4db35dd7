"""Zip containers (DOCX, XLSX, PPTX, ODT, ODS) looked through before a parser opens them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from forebay.pipeline.refused import Refused

INFLATED_LIMIT_BYTES = 128 * 1024 * 1024
# Office XML compresses 5 to 30 times; only what also is large is refused for its ratio.
RATIO_LIMIT, RATIO_APPLIES_ABOVE_BYTES = 200, 16 * 1024 * 1024
MEMBER_LIMIT_COUNT = 10_000

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")  # the stream's name, MS-OFFCRYPTO 2.3.4
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # APPNOTE.TXT 4.3.7: magic, name length, extra length
_STEP_BYTES = 1024 * 1024


# What a package of each format has a member of, and what it is called in messages.
_PACKAGES = {
    "docx": ("a DOCX", "word/", "a Word document"),
    "xlsx": ("an XLSX", "xl/workbook.xml", "a workbook"),
    "pptx": ("a PPTX", "ppt/presentation.xml", "a presentation"),
    "odt": ("an ODT", "content.xml", "an OpenDocument text"),
    "ods": ("an ODS", "content.xml", "an OpenDocument spreadsheet"),
}
_ODF_KINDS = {"odt": "application/vnd.oasis.opendocument.text", "ods": "application/vnd.oasis.opendocument.spreadsheet"}
_ODF_MANIFEST, _ODF_MANIFEST_LIMIT_BYTES = "META-INF/manifest.xml", 4 * 1024 * 1024


def check_package(format_name: str, data: bytes) -> None:
    """Check that the bytes are an unencrypted document of the format and of bearable size, without trusting its directory.

    `format_name` is one of `docx`, `xlsx`, `pptx`, `odt` and `ods`.
    Raises `Refused`: `content_mismatch`, `encrypted`, `corrupt` or `archive_bomb`.
    """
    expected, needed, content = _PACKAGES[format_name]
    if data.startswith(_OLE_MAGIC):
        if _ENCRYPTED_PACKAGE in data:
            raise Refused("encrypted", f"expected {expected} that opens without a password, got an encrypted one")
        raise Refused("content_mismatch", f"expected {expected}, got an OLE file (of an old Office?)")
    if not data.startswith(b"PK"):
        raise Refused("content_mismatch", f"expected {expected}, got data that starts with {data[:8].hex(' ')}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error, UnicodeError) as error:
        raise Refused("corrupt", f"expected {expected}, got a zip archive that cannot be opened: {error}") from error
    names = {member.filename for member in members}
    marker = "mimetype" if format_name in _ODF_KINDS else "[Content_Types].xml"
    if marker not in names or not any(name.startswith(needed) for name in names):
        raise Refused("content_mismatch", f"expected {expected}, got a zip archive without {content} in it")
    if any(member.flag_bits & 1 for member in members):
        raise Refused("encrypted", f"expected {expected} that opens without a password, got encrypted members")
    if len(members) > MEMBER_LIMIT_COUNT:
        raise Refused("archive_bomb", f"expected at most {MEMBER_LIMIT_COUNT:,} members, got {len(members):,}")
    limit = inflation_limit_bytes(len(data))
    _refuse_over(limit, sum(member.file_size for member in members))
    inflated = 0
    for member in members:
        inflated += _inflated_bytes(data, member, limit - inflated)
        _refuse_over(limit, inflated)
    if format_name in _ODF_KINDS:
        _check_opendocument(data, expected, _ODF_KINDS[format_name])


def _check_opendocument(data: bytes, expected: str, expected_kind: str) -> None:
    """OpenDocument has one container for all its kinds, and says in a list what is encrypted."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            kind = archive.read("mimetype").decode("ascii", "replace").strip()
            manifest = b""
            if _ODF_MANIFEST in archive.NameToInfo:
                with archive.open(_ODF_MANIFEST) as member:
                    manifest = member.read(_ODF_MANIFEST_LIMIT_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise Refused("corrupt", f"expected {expected} whose members can be read: {error}"[:300]) from error
    if not kind.startswith(expected_kind):
        raise Refused("content_mismatch", f"expected {expected}, got {kind[:80]!r}")
    if b"encryption-data" in manifest:
        raise Refused("encrypted", f"expected {expected} that opens without a password, got encrypted members")


def inflation_limit_bytes(size_bytes: int) -> int:
    """How much an archive of `size_bytes` may hold."""
    return min(INFLATED_LIMIT_BYTES, max(RATIO_APPLIES_ABOVE_BYTES, size_bytes * RATIO_LIMIT))


def _refuse_over(limit: int, inflated: int) -> None:
    if inflated > limit:
        raise Refused("archive_bomb", f"expected at most {limit:,} bytes when inflated, got {inflated:,} or more")


def _inflated_bytes(data: bytes, member: zipfile.ZipInfo, allowed: int) -> int:
    """Inflate a member and count, going at most a step past `allowed`: declared sizes can lie."""
    if member.compress_type == zipfile.ZIP_STORED:
        return member.compress_size
    if member.compress_type != zipfile.ZIP_DEFLATED:
        raise Refused("corrupt", f"expected stored or deflated members, got compression method {member.compress_type}")
    offset = member.header_offset
    try:
        magic, name_length, extra_length = _LOCAL_HEADER.unpack_from(data, offset)
    except struct.error as error:
        raise Refused("corrupt", f"a member's header lies outside of the archive, at byte {offset:,}") from error
    if magic != b"PK\x03\x04":
        raise Refused("corrupt", f"expected a member's header at byte {offset:,}, got {magic.hex(' ')}")
    offset += _LOCAL_HEADER.size + name_length + extra_length
    # the stream says itself where it ends: the declared compressed size can lie as well
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    count = 0
    try:
        while not stream.eof and offset < len(data) and count <= allowed:
            step = data[offset : offset + _STEP_BYTES]
            count += len(stream.decompress(step, _STEP_BYTES))
            offset += len(step) - len(stream.unconsumed_tail)
    except zlib.error as error:
        raise Refused("corrupt", f"the member {member.filename[:80]!r} cannot be inflated: {error}") from error
    return count
