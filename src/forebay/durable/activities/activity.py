"""What an activity may ask about the try that it is, and how it tells that it is alive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityInfo:
    """The try that is running."""

    name: str
    instance_id: str
    activity_id: str  # the same at every try of one call, also after a crash: what an effect elsewhere may be keyed by
    attempt: int  # from 1
    heartbeat: Callable[[], None]  # call it, from any thread: the time limit begins anew


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEvent:
    """An event for an instance."""

    instance_id: str
    name: str
    data: Any = None  # a JSON value


@dataclass(frozen=True, slots=True)
class ResultWithEvents:
    """What an activity returns that wants events raised in the commit that records its result, and so exactly once.

    Events for instances that have ended, or that there are none of, are logged and go nowhere. Not for activities in processes.
    """

    value: Any  # the result, a JSON value
    events: Sequence[OutgoingEvent]


_current: ContextVar[Callable[[], ActivityInfo]] = ContextVar("forebay_activity")


def current_activity() -> ActivityInfo:
    """The activity that the caller runs in. Raises `RuntimeError` outside of one."""
    try:
        tell = _current.get()
    except LookupError:
        raise RuntimeError("current_activity() was called outside of an activity") from None
    return tell()


def tell_of_activity(tell: Callable[[], ActivityInfo]) -> None:
    """From now on the caller's context is that of a try. Few activities ask which, so it is described only then."""
    _current.set(tell)
