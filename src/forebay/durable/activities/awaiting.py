"""Awaiting a coroutine whose first step has been made by hand."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import coroutine
from typing import Any


@coroutine
def go_on(awaited: Any, send: Callable[[None], Any], throw: Callable[[BaseException], Any]) -> Generator[Any, None, Any]:
    """The result of a coroutine that waits for `awaited`; `send` and `throw` are its own."""
    while True:
        thrown: BaseException | None = None
        try:
            yield awaited
        except BaseException as error:
            thrown = error  # thrown below: what the coroutine raises has nothing to do with this handler
        try:
            awaited = send(None) if thrown is None else throw(thrown)
        except StopIteration as ended:
            return ended.value
        finally:
            del thrown  # it holds this frame, which must not hold it
