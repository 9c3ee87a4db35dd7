"""What ties together everything that one request or file sets off, wherever it is worked on."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """One id from the first request to the last write, and whose work it is."""

    id: str  # as `X-Correlation-ID` has it
    project: str | None = None  # None while that is not known


_CURRENT: ContextVar[Correlation | None] = ContextVar("correlation", default=None)


def current_correlation() -> Correlation | None:
    """That of the work which the calling task does."""
    return _CURRENT.get()


def correlate(correlation: Correlation | None) -> None:
    """Say what the calling task, and the tasks that it starts from now on, work for; None: nothing in particular."""
    _CURRENT.set(correlation)
