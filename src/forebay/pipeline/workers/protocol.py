"""What a parser and its parent say to each other."""

from __future__ import annotations

import msgspec

from forebay.pipeline.parse import Parsed, ParseRequest


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

request_decoder = msgspec.msgpack.Decoder(ParseRequest)
answer_decoder: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
