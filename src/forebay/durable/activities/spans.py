"""Tries of activities as spans of OpenTelemetry's API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import context as contexts
from opentelemetry.trace import NoOpTracer, StatusCode, Tracer, set_span_in_context

from forebay.durable.activities.processes import RemoteTraceback
from forebay.durable.failures import Failure
from forebay.errors import ForebayError

_NOTHING = nullcontext()


class AttemptSpans:
    """Makes a span of each try, current while the activity runs.

    Its attributes are `type` (`activity`), `target` and `instance_id` (the instance), `activity`, `attempt` (from 1), `task` (from 0) and,
    of a try that failed, `error.type`, the code of its failure. An error that says nothing of itself is recorded with its stack.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self.is_off = isinstance(tracer, NoOpTracer)

    def attempt(self, activity: str, instance_id: str, task_id: int, attempt: int) -> AbstractContextManager[None]:
        """The span of the try that the block is."""
        return _NOTHING if self.is_off else self._attempt(activity, instance_id, task_id, attempt)

    @contextmanager
    def _attempt(self, activity: str, instance_id: str, task_id: int, attempt: int) -> Iterator[None]:
        attributes = {
            "type": "activity",
            "target": instance_id,
            "instance_id": instance_id,
            "activity": activity,
            "attempt": str(attempt),
            "task": str(task_id),
        }
        span = self._tracer.start_span(activity, attributes=attributes)
        span.add_event("activity started")
        token = contexts.attach(set_span_in_context(span))
        try:
            yield
            span.add_event("activity completed")
        except asyncio.CancelledError:
            span.set_attribute("error.type", "cancelled")
            span.set_status(StatusCode.ERROR, "the engine stopped, or the instance ended, before the activity did")
            raise
        except BaseException as error:
            failure = Failure.of(error)
            if isinstance(error.__cause__, RemoteTraceback) or not isinstance(error, ForebayError | TimeoutError):
                span.record_exception(error)
            span.add_event("activity failed", {"code": failure.code, "severity": 2})
            span.set_attribute("error.type", failure.code)
            span.set_status(StatusCode.ERROR, failure.message)
            raise
        finally:
            contexts.detach(token)
            span.end()
