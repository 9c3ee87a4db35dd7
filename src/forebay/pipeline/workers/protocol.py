"""What a worker and its parent say to each other: length-prefixed MessagePack, never pickle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from forebay.pipeline.parse import Parsed, ParseRequest

_PREFIX_BYTES = 4  # little endian, length of the message
MESSAGE_LIMIT_BYTES = 1 << 30


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """The worker has started and waits for requests."""


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """The answer to the oldest request."""

    parsed: Parsed


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """There is no answer to the oldest request; the worker lives on unless it `is_leaving`."""

    reason: str  # a code of `values.reasons`
    message: str
    is_refusal: bool  # the file's fault
    is_leaving: bool = False  # later requests were not looked at


FromWorker = Ready | Done | Failed

_encoder = msgspec.msgpack.Encoder()
_request_decoder = msgspec.msgpack.Decoder(ParseRequest)
_answer_decoder: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


def frame(message: ParseRequest | FromWorker) -> bytes:
    """The bytes of a message on the wire."""
    buffer = bytearray()
    _encoder.encode_into(message, buffer, _PREFIX_BYTES)
    buffer[:_PREFIX_BYTES] = (len(buffer) - _PREFIX_BYTES).to_bytes(_PREFIX_BYTES, "little")
    return bytes(buffer)


def read_request(stream: BinaryIO) -> ParseRequest | None:
    """Wait for the next request; None when the parent has gone."""
    prefix = stream.read(_PREFIX_BYTES)
    if len(prefix) < _PREFIX_BYTES:
        return None
    length = int.from_bytes(prefix, "little")
    body = stream.read(length)
    return _request_decoder.decode(body) if len(body) == length else None


class AnswerReader:
    """Puts the worker's messages together from pieces of any size."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[FromWorker]:
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
                    answer = _answer_decoder.decode(view[start:offset])
                yield answer
        except msgspec.MsgspecError as error:
            raise ValueError(f"expected an answer, got something else: {error}") from error
        finally:
            del self._waiting[:offset]
