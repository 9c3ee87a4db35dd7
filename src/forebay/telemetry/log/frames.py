"""How entries lie in a segment file: one frame each, which says where it begins, how long it is, and whether it is whole.

Frame: marker (8 bytes) | body length (u32) | offset (u64) | CRC-32 of length, offset and body (u32) | body; little-endian.
The body is MessagePack: [topic, record count, headers, payload]. The marker is random and belongs to one segment, as the sync marker of
an Avro file does (https://avro.apache.org/docs/1.12.0/specification/#object-container-files): behind a damaged frame it leads to the
next good one, and no payload can pretend to be a frame, because no sender knows it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from forebay.telemetry.log.port import Entry

MARKER_BYTES = 8
FRAME_LIMIT_BYTES = 64 << 20  # of a body

_HEAD = struct.Struct(f"<{MARKER_BYTES}sIQI")
_CHECKED = struct.Struct("<IQ")  # what the checksum covers besides the body


class _Body(msgspec.Struct, array_like=True):
    topic: str
    record_count: int
    headers: Mapping[str, str]
    payload: bytes


class Frame(NamedTuple):
    """A whole frame, and where it lies. A tuple, because recovery makes one for every entry."""

    start: int
    end: int
    offset: int
    body: memoryview

    def entry(self) -> Entry:
        """What is in it. Raises `msgspec.MsgspecError` or `ValueError` if that is no entry, though the checksum holds."""
        body = msgspec.msgpack.decode(self.body, type=_Body)
        return Entry(topic=body.topic, payload=body.payload, record_count=body.record_count, headers=body.headers)


class Damage(NamedTuple):
    """Bytes that belong to no whole frame."""

    start: int
    end: int


def encode_body(entry: Entry) -> bytes:
    """The body of an entry's frame; its offset is not known yet."""
    return msgspec.msgpack.encode(_Body(entry.topic, entry.record_count, entry.headers, entry.payload))


def encode_head(marker: bytes, offset: int, body: bytes) -> bytes:
    """What stands before the body."""
    return _HEAD.pack(marker, len(body), offset, _checksum(len(body), offset, body))


def scan(data: bytes, *, marker: bytes, position: int, after_offset: int, before_offset: int) -> Iterator[Frame | Damage]:
    """The frames in `data`, which lies at `position` of its file, and the damage before, between and after them.

    Offsets have to grow, above `after_offset` and below `before_offset`; what has another one counts as damage.

    *Guarantees*: every byte is in exactly one of what is yielded, in order; a frame is only yielded with the bytes that were
    written, as far as a checksum of 32 bits can tell.
    """
    view, at = memoryview(data), 0
    while at < len(data):
        start = data.find(marker, at)
        while start >= 0:
            frame = _frame_at(view, start, position, after_offset, before_offset)
            if frame is not None:
                break
            start = data.find(marker, start + 1)
        else:
            yield Damage(position + at, position + len(data))
            return
        if start > at:
            yield Damage(position + at, position + start)
        yield frame
        at, after_offset = frame.end - position, frame.offset


def _frame_at(view: memoryview, start: int, position: int, after_offset: int, before_offset: int) -> Frame | None:
    body_start = start + _HEAD.size
    if body_start > len(view):
        return None
    _, length, offset, checksum = _HEAD.unpack_from(view, start)
    end = body_start + length
    if length > FRAME_LIMIT_BYTES or end > len(view) or not after_offset < offset < before_offset:
        return None
    body = view[body_start:end]
    if _checksum(length, offset, body) != checksum:
        return None
    return Frame(position + start, position + end, offset, body)


def _checksum(length: int, offset: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(_CHECKED.pack(length, offset)))
