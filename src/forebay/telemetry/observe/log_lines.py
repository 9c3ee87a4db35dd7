"""Log lines of this program as rows of `traces`, and of `exceptions` where they bring an error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace

from forebay.telemetry.observe.recorder import Recorder
from forebay.telemetry.observe.spans import RecordedSpan
from forebay.telemetry.observe.stacks import exception_columns
from forebay.values.correlation import current_correlation

LOGGER = "forebay"
_LEVEL = logging.INFO
_OWN_WORK = "forebay.telemetry."  # what moves telemetry must not make any
_LINE_LIMIT_CHARACTERS = 8000

# whose lines the calling task writes, where several programs share the process and so the loggers
_WRITTEN_FOR: ContextVar[Recorder | None] = ContextVar("written_for", default=None)


def write_lines_for(recorder: Recorder | None) -> Recorder | None:
    """Say whose log lines those of the calling task are, and of the tasks that it starts from now on; return whose they were."""
    before = _WRITTEN_FOR.get()
    _WRITTEN_FOR.set(recorder)
    return before


class LogLines(logging.Handler):
    """Hands the lines of one program to its recorder.

    A line belongs to the program of the span, else of the task, that it is written in; one from a thread of its own belongs to the
    only program that there is, and to none where there are several.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(_LEVEL)
        self._recorder = recorder
        self._level_before = logging.NOTSET

    def install(self) -> None:
        """Take lines from now on."""
        logger, others = logging.getLogger(LOGGER), _installed()
        self._level_before = others[0]._level_before if others else logger.level
        logger.addHandler(self)
        if logger.getEffectiveLevel() > _LEVEL:
            logger.setLevel(_LEVEL)

    def uninstall(self) -> None:
        """Take no more; with the last one the logger is as it was."""
        logger = logging.getLogger(LOGGER)
        logger.removeHandler(self)
        if not _installed():
            logger.setLevel(self._level_before)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; one that cannot be formatted is left out, as everywhere in telemetry."""
        if record.name.startswith(_OWN_WORK) or not self._is_ours():
            return
        try:
            self._take(record)
        except Exception:
            self.handleError(record)

    def _is_ours(self) -> bool:
        span = trace.get_current_span()
        written_for = span.recorder if isinstance(span, RecordedSpan) else _WRITTEN_FOR.get()
        return written_for is self._recorder or (written_for is None and _installed() == [self])

    def _take(self, record: logging.LogRecord) -> None:
        row, project = self._context(record)
        is_failure = record.levelno >= logging.ERROR
        message = record.getMessage()[:_LINE_LIMIT_CHARACTERS]
        self._recorder.add(
            "traces", row | {"message": message, "severityLevel": severity_of(record.levelno)}, project=project, is_failure=is_failure
        )
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._recorder.add("exceptions", exception_columns(error) | row, project=project, is_failure=True)

    def _context(self, record: logging.LogRecord) -> tuple[dict[str, Any], str | None]:
        dimensions = {"logger": record.name}
        given = getattr(record, "dimensions", None)
        if isinstance(given, Mapping):
            dimensions |= {str(name): str(value) for name, value in given.items()}
        row: dict[str, Any] = {"customDimensions": dimensions}
        span, correlation = trace.get_current_span(), current_correlation()
        if isinstance(span, RecordedSpan) and span.is_recording():
            row |= {"operation_Id": span.operation_id, "operation_ParentId": span.span_id}
            return row, span.project
        if correlation is not None:
            row["operation_Id"] = correlation.id
            return row, correlation.project
        return row, None


def _installed() -> list[LogLines]:
    return [handler for handler in logging.getLogger(LOGGER).handlers if isinstance(handler, LogLines)]


def severity_of(level: int) -> int:
    """The severity of Application Insights for a level of the standard library's."""
    return min(4, max(0, level // 10 - 1))
