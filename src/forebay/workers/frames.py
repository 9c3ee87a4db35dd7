"""What a worker process and its parent say to each other: length-prefixed MessagePack, never pickle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Generic, TypeVar

import msgspec

Message = TypeVar("Message")

_PREFIX_BYTES = 4  # little endian, length of the message
MESSAGE_LIMIT_BYTES = 1 << 30

_encoder = msgspec.msgpack.Encoder()


def frame(message: msgspec.Struct) -> bytes:
    """The bytes of a message on the wire."""
    buffer = bytearray()
    _encoder.encode_into(message, buffer, _PREFIX_BYTES)
    buffer[:_PREFIX_BYTES] = (len(buffer) - _PREFIX_BYTES).to_bytes(_PREFIX_BYTES, "little")
    return bytes(buffer)


def read_frame(stream: BinaryIO, decoder: msgspec.msgpack.Decoder[Message]) -> Message | None:
    """Wait for the next message of the parent; None when it has gone."""
    prefix = stream.read(_PREFIX_BYTES)
    if len(prefix) < _PREFIX_BYTES:
        return None
    length = int.from_bytes(prefix, "little")
    body = stream.read(length)
    return decoder.decode(body) if len(body) == length else None


class FrameReader(Generic[Message]):
    """Puts a worker's messages together from pieces of any size."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[Message]) -> None:
        self._decoder = decoder
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes.

        Raises `ValueError` on what is no message: the worker is not to be trusted after that.
        """
        self._waiting += data
        offset = 0
        try:
            while len(self._waiting) - offset >= _PREFIX_BYTES:
                start = offset + _PREFIX_BYTES
                length = int.from_bytes(self._waiting[offset:start], "little")
                if length > MESSAGE_LIMIT_BYTES:
                    raise ValueError(f"expected a message of at most {MESSAGE_LIMIT_BYTES:,} bytes, got {length:,}")
                if len(self._waiting) - start < length:
                    break
                offset = start + length
                with memoryview(self._waiting) as view:
                    message = self._decoder.decode(view[start:offset])
                yield message
        except msgspec.MsgspecError as error:
            raise ValueError(f"expected an answer, got something else: {error}") from error
        finally:
            del self._waiting[:offset]
