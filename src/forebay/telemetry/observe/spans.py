"""OpenTelemetry's tracing API, with rows behind it: what layers below telemetry do becomes `dependencies`, `traces` and `exceptions`.

The API is the contract: any other tracer may be given to those layers, and spans of theirs mean the same there. How spans become
rows: the attributes `type` and `target` are columns, `error.type` is the result code; of the others, texts are dimensions and numbers
measurements. An event of a span is a line of `traces`, of the severity that its attribute `severity` says; a recorded exception a row
of `exceptions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer
from opentelemetry.util import types

from forebay.effects import Clock
from forebay.telemetry.observe.recorder import Recorder, performance_bucket
from forebay.telemetry.observe.stacks import MESSAGE_LIMIT_CHARACTERS, exception_columns
from forebay.telemetry.observe.summaries import Summaries
from forebay.values.correlation import current_correlation

TYPE, TARGET, ERROR_TYPE = "type", "target", "error.type"
SEVERITY = "severity"  # of an event: 0 to 4, as in the column
ATTRIBUTE_LIMIT_CHARACTERS = 1000


class RecordedSpan(Span):
    """A call of something, from its start to its end."""

    def __init__(self, tracer: RecordingTracer, name: str, parent: RecordedSpan | None, attributes: types.Attributes) -> None:
        self._tracer = tracer
        self.recorder = tracer.recorder
        self._name = name
        self._id = self.recorder.next_span_id()
        correlation = current_correlation()
        if correlation is not None:
            self.operation_id, self.project = correlation.id, correlation.project
            # a task may have been started inside a span that has nothing to do with its work
            parent = parent if parent is not None and parent.operation_id == correlation.id else None
        elif parent is not None:
            self.operation_id, self.project = parent.operation_id, parent.project
        else:
            self.operation_id, self.project = f"{self._id:032x}", None
        self._parent_id = parent.span_id if parent is not None else None
        self._type: str | None = None
        self._target: str | None = None
        self._code: str | None = None
        self._description: str | None = None
        self.is_failed = False
        self._is_ended = False
        self._dimensions: dict[str, str] = {}
        self._measurements: dict[str, float] = {}
        if attributes:
            self.set_attributes(attributes)
        self._at = self.recorder.now()
        self._began = tracer.clock.monotonic()

    @property
    def span_id(self) -> str:
        """As columns have it."""
        return f"{self._id:016x}"

    @property
    def dimensions(self) -> Mapping[str, str]:
        """What has been said of the call so far."""
        return self._dimensions

    def get_span_context(self) -> SpanContext:
        """The W3C identity: an operation id that is no trace id stands for its hash."""
        try:
            trace_id = int(self.operation_id, 16) if len(self.operation_id) == 32 else 0
        except ValueError:
            trace_id = 0
        if not trace_id:
            trace_id = int.from_bytes(hashlib.blake2b(self.operation_id.encode(), digest_size=16).digest()) or 1
        return SpanContext(trace_id, self._id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def set_attributes(self, attributes: Mapping[str, types.AttributeValue]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def set_attribute(self, key: str, value: types.AttributeValue) -> None:
        if self._is_ended:
            return  # the row shares what has been said
        if key == TYPE:
            self._type = str(value)
        elif key == TARGET:
            self._target = str(value)
        elif key == ERROR_TYPE:
            self._code = str(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self._measurements[key] = value
        else:
            self._dimensions[key] = str(value)[:ATTRIBUTE_LIMIT_CHARACTERS]

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        """A line of `traces`; the time is now, whatever `timestamp` says."""
        if self._is_ended:
            return
        severity = attributes.get(SEVERITY, 1) if attributes else 1
        row = {"message": name[:MESSAGE_LIMIT_CHARACTERS], "severityLevel": severity} | self._context(attributes)
        self.recorder.add("traces", row, project=self.project)

    def record_exception(
        self, exception: BaseException, attributes: types.Attributes = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """A row of `exceptions`, with the stack."""
        if self._is_ended:
            return
        row = exception_columns(exception) | self._context(attributes)
        self.recorder.add("exceptions", row, project=self.project, is_failure=True)

    def update_name(self, name: str) -> None:
        self._name = name

    def is_recording(self) -> bool:
        return not self._is_ended

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        self.is_failed = code is StatusCode.ERROR
        self._description = (status.description if isinstance(status, Status) else description) if self.is_failed else None

    def end(self, end_time: int | None = None) -> None:
        """Write the row of the call; the time is now, whatever `end_time` says."""
        if self._is_ended:
            return
        duration = (self._tracer.clock.monotonic() - self._began) * 1000
        self._is_ended = True
        row: dict[str, Any] = {
            "timestamp": self._at,
            "id": self.span_id,
            "name": self._name,
            "type": self._type or "InProc",
            "target": self._target,
            "success": "False" if self.is_failed else "True",
            "resultCode": (self._code or "error") if self.is_failed else "0",
            "duration": duration,
            "performanceBucket": performance_bucket(duration),
            "operation_Id": self.operation_id,
            "operation_ParentId": self._parent_id,
        }
        if self._description is not None:
            self._dimensions["message"] = self._description[:MESSAGE_LIMIT_CHARACTERS]
        if self._dimensions:
            row["customDimensions"] = self._dimensions
        if self._measurements:
            row["customMeasurements"] = self._measurements
        self.recorder.add("dependencies", row, project=self.project, is_failure=self.is_failed)
        self._tracer.sum_up(self._type, self._name, duration, self._measurements, is_failed=self.is_failed, project=self.project)

    def _context(self, attributes: types.Attributes) -> dict[str, Any]:
        own = self._dimensions
        if attributes:
            own = own | {key: str(value)[:ATTRIBUTE_LIMIT_CHARACTERS] for key, value in attributes.items() if key != SEVERITY}
        # a copy: attributes that are set later belong to later rows
        return {"operation_Id": self.operation_id, "operation_ParentId": self.span_id, "customDimensions": dict(own)}


class RecordingTracer(Tracer):
    """Makes spans whose rows go to a recorder, and sums them up."""

    def __init__(self, recorder: Recorder, summaries: Summaries, clock: Clock) -> None:
        self.recorder = recorder
        self.clock = clock
        self._summaries = summaries

    def start_span(  # noqa: PLR0917 - the API's signature
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: types.Attributes = None,
        links: Any = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> RecordedSpan:
        """A span that begins now. Its operation is that of the current correlation, else that of its parent."""
        parent = trace.get_current_span(context)
        # a span of another program's tracer is no parent
        is_ours = isinstance(parent, RecordedSpan) and parent.recorder is self.recorder and parent.is_recording()
        return RecordedSpan(self, name, cast("RecordedSpan", parent) if is_ours else None, attributes)

    @contextmanager
    def start_as_current_span(  # type: ignore[override] # noqa: PLR0917 - the API's also decorates functions; none is decorated here
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: types.Attributes = None,
        links: Any = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        """The same, as the current span of the block."""
        span = self.start_span(name, context, attributes=attributes)
        token = contexts.attach(trace.set_span_in_context(span))
        try:
            yield span
        except Exception as error:
            if record_exception:
                span.record_exception(error)
            if set_status_on_exception and not span.is_failed:
                span.set_status(StatusCode.ERROR, str(error))
            raise
        finally:
            contexts.detach(token)
            if end_on_exit:
                span.end()

    def sum_up(
        self, kind: str | None, name: str, duration: float, measurements: Mapping[str, float], *, is_failed: bool, project: str | None
    ) -> None:
        """Count a call towards the figures of the minute."""
        if kind == "activity":
            self._summaries.add("activity_duration", duration, (("activity", name), ("success", str(not is_failed))), project=project)
        elif kind == "model" and not is_failed and "texts" in measurements and duration > 0:
            self._summaries.add("embedder_texts_per_second", measurements["texts"] / (duration / 1000), (), project=project)
