"""Stops a translation that takes too long or grows too large.

The library's grammar can backtrack, and it writes an argument out once for every time that its SQL needs it, so a text of a few hundred
bytes can mean hours or gigabytes.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from forebay.errors import ForebayError

TIME_LIMIT_SECONDS = 5.0
TEXT_LIMIT_CHARACTERS = 1 << 20  # of one rendered expression
TOTAL_LIMIT_CHARACTERS = 32 << 20  # of all of them: arguments that are joined next


class _Late(BaseException):
    """Raised in the middle of a translation; nothing in between may catch it."""


def too_complex(why: str) -> ForebayError:
    """The refusal of a query that is not wrong, but too much."""
    return ForebayError(
        "query_too_complex", f"the query is too complex: {why}", hint="compute intermediate values with extend, one step at a time"
    )


@contextmanager
def time_limit(seconds: float = TIME_LIMIT_SECONDS) -> Iterator[None]:
    """Raise `ForebayError` (`query_too_complex`) in this thread when what runs inside takes longer."""
    thread = ctypes.c_ulong(threading.get_ident())
    lock = threading.Lock()
    is_over = False

    def stop() -> None:
        with lock:
            if not is_over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_Late))

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except _Late:
        raise too_complex(f"its translation takes longer than {seconds:g} seconds") from None
    finally:
        with lock:
            is_over = True
        timer.cancel()


@contextmanager
def size_limit(rendering_folder: str) -> Iterator[None]:
    """Raise `ForebayError` (`query_too_complex`) when the texts that the functions in this folder return exceed the limits.

    A trace function sees them before the next one multiplies them.
    """
    total = 0

    def on_return(frame: FrameType, event: str, value: Any) -> Any:
        nonlocal total
        if event == "return" and isinstance(value, str):
            total += len(value)
            if len(value) > TEXT_LIMIT_CHARACTERS or total > TOTAL_LIMIT_CHARACTERS:
                raise too_complex("its SQL is too long")
        return on_return

    def on_call(frame: FrameType, event: str, value: Any) -> Any:
        if not frame.f_code.co_filename.startswith(rendering_folder):
            return None
        frame.f_trace_lines = False
        return on_return

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(before)
