"""The batches of `POST /logs`, `/metrics` and `/events`: `{"entries": [...], "agent_version": "..."}`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

from forebay.errors import ForebayError
from forebay.telemetry.rows import Row, Rows, time_text

BATCH_LIMIT = 1000  # entries

Labels = dict[str, Any]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Kind = Literal["logs", "metrics", "events"]

SEVERITIES = {
    **dict.fromkeys(("trace", "debug", "verbose"), 0),
    **dict.fromkeys(("info", "information", "informational", "notice", "success"), 1),
    **dict.fromkeys(("warn", "warning"), 2),
    **dict.fromkeys(("error", "err"), 3),
    **dict.fromkeys(("critical", "crit", "fatal", "alert", "emergency", "emerg", "panic"), 4),
}


_SEVERITY_DIGITS = frozenset("01234")


# JSON has no cycles: telling the garbage collector of each entry had it look through the whole program's memory again and again
class _Sent(msgspec.Struct, omit_defaults=True, gc=False):
    """What every entry may say. Unknown fields are refused, so that a misspelt one is noticed."""

    timestamp: datetime | None = None
    host: str | None = None
    environment: str | None = None
    labels: Labels | None = None
    trace_id: str | None = None
    span_id: str | None = None


class RaisedError(msgspec.Struct, forbid_unknown_fields=True):
    """An error that a log line is about."""

    type: str | None = None
    message: str | None = None
    stacktrace: str | None = None


class LogEntry(_Sent, kw_only=True, forbid_unknown_fields=True):
    """A log line."""

    message: str
    service: Text
    level: str | int | None = None
    exception: RaisedError | str | None = None


class MetricEntry(_Sent, kw_only=True, forbid_unknown_fields=True):
    """A measurement."""

    name: Text
    value: float
    service: Text
    metric_type: str | None = None
    unit: str | None = None


class EventEntry(_Sent, kw_only=True, forbid_unknown_fields=True):
    """Something that happened."""

    name: Text
    service: str | None = None
    measurements: dict[str, float] | None = None
    user_id: str | None = None
    session_id: str | None = None


Sent = TypeVar("Sent", LogEntry, MetricEntry, EventEntry)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryProblem:
    """What is wrong with one entry."""

    index: int
    field: str
    reason: str


class BatchRefused(ForebayError):
    """A batch with entries that are not as they must be; nothing of it is taken."""

    def __init__(self, problems: list[EntryProblem], entry_count: int) -> None:
        super().__init__(
            "invalid_entries",
            f"expected {entry_count} valid entries, {len(problems)} of them are not",
            hint="`errors` names each of them; correct them and send the batch again.",
            status=422,
        )
        self.problems = problems


class _Batch(msgspec.Struct, Generic[Sent], forbid_unknown_fields=True):
    entries: list[Sent]
    agent_version: str | None = None


class _LooseBatch(msgspec.Struct, forbid_unknown_fields=True):
    entries: list[msgspec.Raw]
    agent_version: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A valid batch."""

    rows: Rows
    entry_count: int
    agent_version: str | None


@dataclass(frozen=True, slots=True)
class BatchDecoder(Generic[Sent]):
    """Turns the body of one route into rows."""

    kind: Kind
    strict: msgspec.json.Decoder[_Batch[Sent]]
    entry: msgspec.json.Decoder[Sent]
    to_row: Callable[[Sent, str], tuple[str, Row]]
    is_plain: Callable[[Sent], bool]  # whether the tables take it as it is, under the name of its kind

    def decode(self, body: bytes, received: datetime) -> Batch:
        """The entries of a batch, each as the tables take it.

        Raises `ForebayError` (`invalid_json`, `batch_too_large`) and `BatchRefused`, which names every bad entry.
        """
        try:
            batch = self.strict.decode(body)
            if len(batch.entries) > BATCH_LIMIT:
                raise _too_many(len(batch.entries))
            rows: dict[str, list[Any]] = {}
            plain = [sent for sent in batch.entries if self.is_plain(sent)]
            if plain:
                rows[self.kind] = plain
            if len(plain) < len(batch.entries):
                now = time_text(received)
                for sent in batch.entries:
                    if not self.is_plain(sent):
                        table, row = self.to_row(sent, now)
                        rows.setdefault(table, []).append(row)
        except (msgspec.ValidationError, OverflowError, ValueError) as error:
            raise self._explained(body, error) from None
        return Batch(rows, len(batch.entries), batch.agent_version)

    def _explained(self, body: bytes, error: Exception) -> ForebayError:
        """The decoder stops at the first mistake: look at each entry by itself."""
        try:
            batch = msgspec.json.decode(body, type=_LooseBatch)
        except msgspec.ValidationError as mistake:
            return ForebayError("invalid_request", _reason(mistake)[1], hint=f"See POST /{self.kind} in /docs.", status=422)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as mistake:
            return ForebayError("invalid_json", f"expected JSON, but: {mistake}", hint=f"See POST /{self.kind} in /docs.", status=400)
        if len(batch.entries) > BATCH_LIMIT:
            return _too_many(len(batch.entries))
        problems = []
        for index, raw in enumerate(batch.entries):
            try:
                self.to_row(self.entry.decode(raw), "")
            except _FieldError as mistake:
                problems.append(EntryProblem(index=index, field=mistake.field, reason=str(mistake)))
            except (msgspec.ValidationError, OverflowError, ValueError) as mistake:
                field, reason = _reason(mistake)
                problems.append(EntryProblem(index=index, field=field, reason=reason))
        if not problems:  # the whole was refused for what no entry shows
            return ForebayError("invalid_request", str(error), hint=f"See POST /{self.kind} in /docs.", status=422)
        return BatchRefused(problems, len(batch.entries))


class _FieldError(ValueError):
    """A value that its type allows and the field does not."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def _time(sent: _Sent, now: str) -> str:
    try:
        return now if sent.timestamp is None else time_text(sent.timestamp)
    except OverflowError:
        raise _FieldError("timestamp", "expected a time between the years 1 and 9999 in UTC") from None


def _log_row(sent: LogEntry, now: str) -> tuple[str, Row]:
    labels = sent.labels
    severity = _severity(sent.level)
    if severity is None and sent.level is not None:
        labels = _with_label(labels, "level", sent.level)
    row: dict[str, Any] = {
        "timestamp": _time(sent, now),
        "message": sent.message,
        "severityLevel": severity,
        "customDimensions": labels,
        "operation_Id": sent.trace_id,
        "operation_ParentId": sent.span_id,
        "cloud_RoleName": sent.service,
        "cloud_RoleInstance": sent.host,
        "environment": sent.environment,
        "itemType": "trace",
        "itemCount": 1,
    }
    error = _error_of(sent)
    if error is None:
        return "traces", row
    message = error.message or sent.message
    row |= {"itemType": "exception", "type": error.type, "outerType": error.type, "message": message, "outerMessage": message}
    row |= {"problemId": error.type, "severityLevel": 3 if severity is None else severity}
    if message != sent.message:
        row["customDimensions"] = _with_label(labels, "message", sent.message)
    row["details"] = [{"type": error.type, "message": message, "rawStack": error.stacktrace}]
    return "exceptions", row


def _with_label(labels: Labels | None, name: str, value: Any) -> Labels:
    """Labels with one more for a field that has no column; where the sender has such a label, too, it gets a `_` at its end."""
    known = labels or {}
    while name in known:
        name += "_"
    return {name: value, **known}


def _error_of(sent: LogEntry) -> RaisedError | None:
    """The error that a line is about: in its own field, or in labels as OpenTelemetry names them."""
    if isinstance(sent.exception, str):
        last = sent.exception.strip().rpartition("\n")[2]  # of a Python traceback: `ValueError: too short`
        named = re.match(r"([A-Za-z_][\w.]*)(?:: (.*))?$", last)
        return RaisedError(named[1] if named else None, (named[2] if named else last) or None, sent.exception)
    if sent.exception is not None:
        return sent.exception
    labels = sent.labels or {}
    if "exception.type" in labels or "exception.message" in labels:
        told = (labels.get(f"exception.{name}") for name in ("type", "message", "stacktrace"))
        return RaisedError(*(None if each is None else str(each) for each in told))
    return None


def _severity(level: str | int | None) -> int | None:
    if isinstance(level, str):
        return SEVERITIES.get(level.lower(), int(level) if level in _SEVERITY_DIGITS else None)
    return level if level is not None and 0 <= level <= 4 else None


_METRIC_TYPES = ("counter", "gauge", "histogram")


def _metric_row(sent: MetricEntry, now: str) -> tuple[str, Row]:
    labels = sent.labels
    if sent.metric_type is not None:
        if sent.metric_type.lower() not in _METRIC_TYPES:
            raise _FieldError("metric_type", f"expected {', '.join(_METRIC_TYPES)}, got {sent.metric_type!r:.80}")
        labels = _with_label(labels, "metric_type", sent.metric_type.lower())
    if sent.unit is not None:
        labels = _with_label(labels, "unit", sent.unit)
    value = sent.value
    return "customMetrics", {
        "timestamp": _time(sent, now),
        "name": sent.name,
        "value": value,
        "valueCount": 1,
        "valueSum": value,
        "valueMin": value,
        "valueMax": value,
        "customDimensions": labels,
        "operation_Id": sent.trace_id,
        "operation_ParentId": sent.span_id,
        "cloud_RoleName": sent.service,
        "cloud_RoleInstance": sent.host,
        "environment": sent.environment,
        "itemType": "customMetric",
        "itemCount": 1,
    }


def _event_row(sent: EventEntry, now: str) -> tuple[str, Row]:
    return "customEvents", {
        "timestamp": _time(sent, now),
        "name": sent.name,
        "customDimensions": sent.labels,
        "customMeasurements": sent.measurements,
        "operation_Id": sent.trace_id,
        "operation_ParentId": sent.span_id,
        "user_Id": sent.user_id,
        "session_Id": sent.session_id,
        "cloud_RoleName": sent.service,
        "cloud_RoleInstance": sent.host,
        "environment": sent.environment,
        "itemType": "customEvent",
        "itemCount": 1,
    }


def _is_plain_time(sent: _Sent) -> bool:
    """A time that is between the years 1 and 9999 in UTC, too: DuckDB takes others, and nothing that reads them does."""
    return sent.timestamp is None or 1 < sent.timestamp.year < 9999


def _is_plain_log(sent: LogEntry) -> bool:
    """A line at a known level that is about no error."""
    level, labels = sent.level, sent.labels
    return (
        sent.exception is None
        and _is_plain_time(sent)
        and (level is None or (level.lower() in SEVERITIES if isinstance(level, str) else 0 <= level <= 4))
        and (labels is None or ("exception.type" not in labels and "exception.message" not in labels))
    )


def _is_plain_metric(sent: MetricEntry) -> bool:
    """A bare value: what is to be merged into its labels is not left to SQL."""
    return sent.metric_type is None and sent.unit is None and _is_plain_time(sent)


def _is_never_plain(sent: EventEntry) -> bool:
    return False


def log_decoder() -> BatchDecoder[LogEntry]:
    """The decoder of `POST /logs`: lines as they are, for traces, and rows of exceptions for those that are about an error."""
    return BatchDecoder("logs", msgspec.json.Decoder(_Batch[LogEntry]), msgspec.json.Decoder(LogEntry), _log_row, _is_plain_log)


def metric_decoder() -> BatchDecoder[MetricEntry]:
    """The decoder of `POST /metrics`: rows of customMetrics."""
    return BatchDecoder(
        "metrics", msgspec.json.Decoder(_Batch[MetricEntry]), msgspec.json.Decoder(MetricEntry), _metric_row, _is_plain_metric
    )


def event_decoder() -> BatchDecoder[EventEntry]:
    """The decoder of `POST /events`: rows of customEvents."""
    return BatchDecoder("events", msgspec.json.Decoder(_Batch[EventEntry]), msgspec.json.Decoder(EventEntry), _event_row, _is_never_plain)


def _too_many(count: int) -> ForebayError:
    return ForebayError(
        "batch_too_large", f"expected at most {BATCH_LIMIT} entries, got {count}", hint="Send several smaller batches.", status=422
    )


_PLACE = re.compile(r"(?P<reason>.*) - at `\$\.?(?P<field>[^`]*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")


def _reason(error: Exception) -> tuple[str, str]:
    """(field, reason) out of a message of the decoder."""
    text = str(error)
    for pattern, reason in ((_MISSING, "is required"), (_UNKNOWN, "is not known")):
        if named := pattern.match(text):
            return named["field"], reason
    placed = _PLACE.match(text)
    return (placed["field"], placed["reason"]) if placed else ("", text)
