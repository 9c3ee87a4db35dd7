"""What an engine and the processes of its activities say to each other."""

from __future__ import annotations

import msgspec


class Call(msgspec.Struct, frozen=True, array_like=True, tag="call"):
    """Run a function, as one try of an activity."""

    module: str
    qualified_name: str
    input_json: bytes
    payload_limit_bytes: int
    name: str
    instance_id: str
    activity_id: str
    attempt: int
    correlation: tuple[str, str | None] | None  # id and project


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """The process has started and waits for calls."""


class Begun(msgspec.Struct, frozen=True, array_like=True, tag="begun"):
    """The call is being worked on."""


class Beat(msgspec.Struct, frozen=True, array_like=True, tag="beat"):
    """The activity says that it is alive."""


class Line(msgspec.Struct, frozen=True, array_like=True, tag="line"):
    """Something was logged."""

    logger: str
    level: int
    message: str
    path: str
    line: int
    function: str
    created: float  # seconds since the epoch
    thread: str
    trace: str  # of the exception that was logged; empty: none
    dimensions: dict[str, str]


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """The call has ended."""

    result_json: bytes


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """The call has failed."""

    code: str
    message: str
    retryable: bool
    trace: str  # empty where the failure says everything itself
    is_unsound: bool  # the process should do nothing more


FromProcess = Ready | Begun | Beat | Line | Done | Failed

call_decoder = msgspec.msgpack.Decoder(Call)
answer_decoder: msgspec.msgpack.Decoder[FromProcess] = msgspec.msgpack.Decoder(FromProcess)
