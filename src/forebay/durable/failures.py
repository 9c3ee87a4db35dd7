"""How a failure is recorded in the journal and how it comes back to an orchestrator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forebay.errors import ForebayError

MESSAGE_LIMIT_CHARACTERS = 4000  # of a failure in the journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure as the journal keeps it."""

    code: str
    message: str
    retryable: bool

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that an exception stands for; an exception that says nothing else may be tried again."""
        message = _message_of(error)
        if isinstance(error, ForebayError):
            return cls(code=error.code, message=message, retryable=error.retryable)
        if isinstance(error, TimeoutError):
            return cls(code="timeout", message=message or "timed out", retryable=True)
        return cls(code=type(error).__name__, message=message or type(error).__name__, retryable=True)

    def to_json(self) -> dict[str, Any]:
        """The form in which it is stored."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Failure:
        """The inverse of `to_json`."""
        return cls(code=value["code"], message=value["message"], retryable=value["retryable"])


def _message_of(error: BaseException) -> str:
    """The text of an exception, such that the journal can take it whatever the exception is."""
    try:
        message = str(error)
    except Exception:
        message = type(error).__name__
    # names of files may carry bytes that are no text
    message = message.encode(errors="backslashreplace").decode()
    return message if len(message) <= MESSAGE_LIMIT_CHARACTERS else message[: MESSAGE_LIMIT_CHARACTERS - 1] + "…"


class TaskFailed(Exception):
    """Raised inside an orchestrator at the `yield` of a task that failed for good."""

    kind = "Task"

    def __init__(self, name: str, failure: Failure, task_id: int | None = None) -> None:
        super().__init__(f"{self.kind} function '{name}' failed: {failure.message}")
        self.name = name
        self.failure = failure
        self.task_id = task_id

    @property
    def code(self) -> str:
        """The stable code of the error that was raised."""
        return self.failure.code


class ActivityFailed(TaskFailed):
    """An activity failed for good."""

    kind = "Activity"


class SubOrchestrationFailed(TaskFailed):
    """Another orchestrator, called by this one, failed or was terminated."""

    kind = "Orchestrator"


class NonDeterministicError(BaseException):
    """The orchestrator, replayed, did something else than its journal says.

    Not an `Exception`: user code must not swallow it, and the instance must not fail of it, since its journal is intact
    and goes on under code that fits it.
    """

    def __init__(self, message: str, *, recorded: str, scheduled: str | None) -> None:
        """`recorded`: the action in the journal; `scheduled`: what the replayed code did in its place, None for nothing."""
        super().__init__(message)
        self.recorded = recorded
        self.scheduled = scheduled


def engine_stopped(before: str, hint: str) -> ForebayError:
    """The error of what an engine had not done when it stopped."""
    return ForebayError("engine_stopped", f"the engine stopped before {before}", retryable=True, hint=hint, status=503)
