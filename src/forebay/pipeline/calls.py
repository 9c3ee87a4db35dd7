"""Calls to models and storage as spans of OpenTelemetry's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.trace import Span, StatusCode, Tracer

from forebay.errors import ForebayError


@contextmanager
def calling(tracer: Tracer, name: str, attributes: Mapping[str, str] | Mapping[str, str | int]) -> Iterator[Span]:
    """The span of the call that the block is; `type` and `target` say what is called.

    One that fails has the code of its error as `error.type`; the error itself is recorded by the activity around it.
    """
    span = tracer.start_span(name, attributes=attributes)
    try:
        yield span
    except BaseException as error:
        span.set_attribute("error.type", error.code if isinstance(error, ForebayError) else type(error).__name__)
        span.set_status(StatusCode.ERROR, str(error))
        raise
    finally:
        span.end()
