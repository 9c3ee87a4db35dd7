"""A process in which activities run, one at a time.

Started as `python -m forebay.durable.activities.process_worker LOG_LEVELS PARENT_PID` with a socket as standard input, which carries both
directions. LOG_LEVELS is a JSON object: the levels of the parent's loggers.
"""

from __future__ import annotations

import importlib
import logging
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from forebay.durable.activities.activity import ActivityInfo, tell_of_activity
from forebay.durable.activities.payloads import encode_payload
from forebay.durable.activities.process_protocol import Beat, Begun, Call, Done, Failed, FromProcess, Line, Ready, call_decoder
from forebay.durable.failures import Failure
from forebay.errors import ForebayError
from forebay.values.correlation import Correlation, correlate
from forebay.workers.frames import frame, read_frame
from forebay.workers.inside import be_expendable, die_with, take_channel

_TRACE_LIMIT_CHARACTERS = 8000


class Parent:
    """The engine, as its process sees it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()  # what is said from several threads must not mix

    def say(self, message: FromProcess) -> None:
        """Send a message."""
        data = frame(message)
        with self._lock:
            self._channel.sendall(data)

    def beat(self) -> None:
        """The activity is alive."""
        self.say(Beat())


class LineSender(logging.Handler):
    """Hands what is logged to the parent, which knows what to do with it."""

    def __init__(self, parent: Parent) -> None:
        super().__init__()
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line; one that cannot be formatted is complained of as the standard library does."""
        try:
            dimensions = getattr(record, "dimensions", None)
            self._parent.say(
                Line(
                    logger=record.name,
                    level=record.levelno,
                    message=_text(record.getMessage()),
                    path=record.pathname,
                    line=record.lineno,
                    function=record.funcName or "",
                    created=record.created,
                    thread=record.threadName or "",
                    trace=_trace(record.exc_info[1]) if record.exc_info else "",
                    dimensions={str(name): _text(str(value)) for name, value in dimensions.items()}
                    if isinstance(dimensions, Mapping)
                    else {},
                )
            )
        except Exception:
            self.handleError(record)


def main() -> None:
    """Serve until the parent closes the socket."""
    levels, parent_pid = sys.argv[1:3]
    channel = take_channel()
    die_with(int(parent_pid))
    be_expendable()
    parent = Parent(channel)
    logging.getLogger().addHandler(LineSender(parent))
    for name, level in msgspec.json.decode(levels, type=dict[str, int]).items():
        logging.getLogger(name).setLevel(level)
    parent.say(Ready())
    with channel.makefile("rb") as stream:
        while (call := read_frame(stream, call_decoder)) is not None:
            parent.say(Begun())
            parent.say(_answer(call, parent))


def _answer(call: Call, parent: Parent) -> Done | Failed:
    correlate(None if call.correlation is None else Correlation(id=call.correlation[0], project=call.correlation[1]))
    info = ActivityInfo(
        name=call.name, instance_id=call.instance_id, activity_id=call.activity_id, attempt=call.attempt, heartbeat=parent.beat
    )
    try:
        tell_of_activity(lambda: info)
        result = _find(call)(msgspec.json.decode(call.input_json))
        return Done(encode_payload(result, f"the result of {call.name}", call.payload_limit_bytes))
    except BaseException as error:  # whatever it is, it is the activity's
        failure = Failure.of(error)
        trace = "" if isinstance(error, ForebayError) else _trace(error)
        # what else failed to get memory is unknown, and so is what a panic in an extension has left
        is_unsound = isinstance(error, MemoryError) or not isinstance(error, Exception)
        return Failed(code=failure.code, message=failure.message, retryable=failure.retryable, trace=trace, is_unsound=is_unsound)


def _find(call: Call) -> Callable[[Any], Any]:
    try:
        found: Any = importlib.import_module(call.module)
        for name in call.qualified_name.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise ForebayError(
            "activity_not_importable",
            f"activity {call.name!r} runs in a process of its own, which cannot import {call.module}.{call.qualified_name}: {error}",
            hint="define it at the top level of a module that can be imported by itself",
        ) from error
    function: Callable[[Any], Any] = found
    return function


def _trace(error: BaseException | None) -> str:
    return _text("".join(traceback.format_exception(error)).strip())[-_TRACE_LIMIT_CHARACTERS:]


def _text(value: str) -> str:
    # names of files may carry bytes that are no text
    return value.encode(errors="backslashreplace").decode()


if __name__ == "__main__":
    main()
