"""What the layers above telemetry tell of themselves: requests, events, figures, lines and errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from opentelemetry.trace import NoOpTracer, Tracer

from forebay.effects import Clock
from forebay.telemetry.observe.log_lines import write_lines_for
from forebay.telemetry.observe.names import MEANS
from forebay.telemetry.observe.recorder import Recorder, performance_bucket
from forebay.telemetry.observe.spans import RecordingTracer
from forebay.telemetry.observe.stacks import exception_columns
from forebay.telemetry.observe.summaries import Dimensions, Series, Summaries, Summary
from forebay.values.correlation import Correlation, current_correlation

URL_LIMIT_CHARACTERS = 2048
KEYS_LIMIT = 1000  # of events that are told once a second for each key


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A figure at the moment of reading; several measurements since the last one when it has a count."""

    name: str
    value: float
    dimensions: Mapping[str, str] = field(default_factory=dict)
    count: int = 1


Watch = Callable[[], Awaitable[Sequence[Gauge]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that has been answered."""

    name: str  # method and route
    url: str  # without secrets
    began_at: datetime
    duration_milliseconds: float
    status: int
    client_ip: str | None
    parent_id: str | None = None  # the span that has sent it, as W3C's traceparent says
    is_told: bool = True  # False: it counts in the figures only


@dataclass(slots=True)
class _Repeated:
    dimensions: Mapping[str, str]
    measurements: Mapping[str, float]
    count: int
    at: datetime
    project: str | None


class Observation:
    """One program's account of itself; without a recorder it says nothing, at next to no cost.

    *Guarantees*: no method waits, and none raises for what the telemetry log does.
    """

    def __init__(self, recorder: Recorder | None = None, clock: Clock | None = None) -> None:
        self._recorder = recorder
        self._summaries = Summaries()
        self._repeated: dict[tuple[str, str], _Repeated] = {}
        self._watches: list[Watch] = []
        self._ready_at: float | None = None
        self._clock = clock
        self.stop_reason: str | None = None  # whoever begins a stop may say why
        self.tracer: Tracer = NoOpTracer()
        if recorder is not None and clock is not None:
            self.tracer = RecordingTracer(recorder, self._summaries, clock)

    @property
    def is_on(self) -> bool:
        """Whether anything is recorded."""
        return self._recorder is not None

    @property
    def dropped_count(self) -> int:
        """Rows that were not kept since the start."""
        return self._recorder.dropped_count if self._recorder is not None else 0

    def own_this_task(self) -> None:
        """Make log lines of the calling task, and of those that it starts from now on, lines of this program."""
        write_lines_for(self._recorder)

    def event(
        self,
        name: str,
        dimensions: Mapping[str, str] | None = None,
        measurements: Mapping[str, float] | None = None,
        *,
        project: str | None = None,
        correlation: Correlation | None = None,
    ) -> None:
        """A row of `customEvents`."""
        self._add("customEvents", {"name": name} | _properties(dimensions, measurements), project=project, correlation=correlation)

    def repeated_event(
        self,
        name: str,
        key: str,
        dimensions: Mapping[str, str],
        measurements: Mapping[str, float] | None = None,
        *,
        project: str | None = None,
        count: int = 1,
    ) -> None:
        """As `event`, but those of one key within a second become one row: that of the first, with their `count`."""
        if self._recorder is None:
            return
        known = self._repeated.get((name, key))
        if known is not None:
            known.count += count
        elif len(self._repeated) < KEYS_LIMIT:
            self._repeated[name, key] = _Repeated(dimensions, measurements or {}, count, self._recorder.now(), project)

    def measurement(
        self, name: str, value: float, dimensions: Mapping[str, str] | None = None, *, correlation: Correlation | None = None
    ) -> None:
        """A row of `customMetrics` for one value; figures that come often go to `summarize`."""
        row = {"name": name, **_single(value), **_properties(dimensions, None)}
        self._add("customMetrics", row, correlation=correlation)

    def summarize(self, name: str, value: float, dimensions: Dimensions = (), *, project: str | None = None) -> None:
        """One value of many: a minute's make a row."""
        if self._recorder is not None:
            self._summaries.add(name, value, dimensions, project=project)

    def line(self, message: str, dimensions: Mapping[str, str] | None = None, *, correlation: Correlation | None = None) -> None:
        """A row of `traces` that is no line of the log."""
        self._add("traces", {"message": message, "severityLevel": 1} | _properties(dimensions, None), correlation=correlation)

    def error(self, error: BaseException, dimensions: Mapping[str, str] | None = None) -> None:
        """A row of `exceptions`: something that nobody expected."""
        if self._recorder is not None:
            self._add("exceptions", exception_columns(error) | _properties(dimensions, None), is_failure=True)

    def request(self, request: Request, *, correlation: Correlation) -> None:
        """A row of `requests`, and its share of the figures."""
        if self._recorder is None:
            return
        dimensions = (("request", request.name), ("status", str(request.status)))
        self._summaries.add("http_request_duration", request.duration_milliseconds, dimensions, project=correlation.project)
        if not request.is_told:
            return
        is_failed = request.status >= 400
        row = {
            "timestamp": request.began_at.replace(tzinfo=None),
            "id": f"{self._recorder.next_span_id():016x}",
            "name": request.name,
            "url": request.url[:URL_LIMIT_CHARACTERS],
            "success": "False" if is_failed else "True",
            "resultCode": str(request.status),
            "duration": request.duration_milliseconds,
            "performanceBucket": performance_bucket(request.duration_milliseconds),
            "operation_Name": request.name,
            "operation_ParentId": request.parent_id,
            "client_IP": request.client_ip,
        }
        self._add("requests", row, correlation=correlation, is_failure=is_failed)

    @contextmanager
    def watching(self, watch: Watch) -> Iterator[None]:
        """Ask for these figures each time the counters are read, as long as the block runs."""
        self._watches.append(watch)
        try:
            yield
        finally:
            self._watches.remove(watch)

    def started(self, seconds: float) -> None:
        """The program is ready, so long after its start began."""
        if self._clock is None:
            return
        self._ready_at = self._clock.monotonic()
        self.event("application_started", measurements={"startup_milliseconds": seconds * 1000})
        self.measurement("application_startup_time", seconds * 1000)

    def stopped(self, reason: str) -> None:
        """The program has ended."""
        if self._clock is not None and self._ready_at is not None:
            uptime_seconds = self._clock.monotonic() - self._ready_at
            self.event("application_stopped", {"reason": self.stop_reason or reason}, {"uptime_seconds": uptime_seconds})

    async def read_watches(self) -> None:
        """A row for each figure that is watched."""
        for watch in tuple(self._watches):
            for gauge in await watch():
                self._add("customMetrics", {"name": gauge.name, **_single(gauge.value, gauge.count), **_properties(gauge.dimensions, None)})

    def report(self) -> None:
        """Rows for what has been summed up since the last report."""
        taken = self._summaries.take()
        for (project, name, dimensions), summary in (taken | _success_rates(taken)).items():
            self._add("customMetrics", _summed(name, dimensions, summary), project=project)

    def report_repeated(self) -> None:
        """Rows for the events of the last second that are told once for each key."""
        repeated, self._repeated = self._repeated, {}
        for (name, key), each in repeated.items():
            row = {"timestamp": each.at, "name": name}
            properties = _properties({"key": key, **each.dimensions}, {**each.measurements, "count": each.count})
            self._add("customEvents", row | properties, project=each.project)

    def _add(
        self,
        table: str,
        row: dict[str, Any],
        *,
        project: str | None = None,
        correlation: Correlation | None = None,
        is_failure: bool = False,
    ) -> None:
        if self._recorder is None:
            return
        known = correlation or current_correlation()
        if known is not None:
            row["operation_Id"] = known.id
            project = project or known.project
        self._recorder.add(table, row, project=project, is_failure=is_failure)


def _properties(dimensions: Mapping[str, str] | None, measurements: Mapping[str, float] | None) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if dimensions:
        row["customDimensions"] = dimensions
    if measurements:
        row["customMeasurements"] = measurements
    return row


def _single(value: float, count: int = 1) -> dict[str, Any]:
    extremes = {"valueMin": value, "valueMax": value} if count == 1 else {}
    return {"value": value, "valueCount": count, "valueSum": value, **extremes}


def _success_rates(taken: dict[Series, Summary]) -> dict[Series, Summary]:
    """How the tries of each activity went, from the numbers of those that took some time."""
    rates: dict[Series, Summary] = {}
    for (project, name, dimensions), summary in taken.items():
        if name == "activity_duration" and dimensions:
            activity, (_, success) = dimensions
            rate = rates.setdefault((project, "activity_success_rate", (activity,)), Summary())
            rate.add(1.0 if success == "True" else 0.0, count=summary.count)
    return rates


def _summed(name: str, dimensions: Dimensions, summary: Summary) -> dict[str, Any]:
    row = {"name": name, **summary.columns(), **_properties(dict(dimensions), None)}
    if name in MEANS:
        row["value"] = summary.sum / summary.count
    return row
