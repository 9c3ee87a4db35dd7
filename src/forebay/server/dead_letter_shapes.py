"""The JSON shapes of dead letters. Their fields are what other programs hold on to: added to, never renamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from forebay.durable import DeadLetter, LettersReport
from forebay.durable.journal import journal
from forebay.durable.letters import Try
from forebay.values.times import from_microseconds, rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterJson:
    """What failed for good: an activity, or an orchestrator of itself. `correlation_id` and `instance_id` lead to its trace."""

    id: int
    kind: Literal["activity", "orchestrator"]
    name: str
    code: str
    reason: str
    attempts: int
    first_failed_at: str
    last_failed_at: str
    instance_id: str
    orchestrator: str
    correlation_id: str | None
    project: str
    status: Literal["open", "replayed", "purged"]
    status_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTryJson:
    """A try that failed."""

    attempt: int
    at: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterDetail(DeadLetterJson):
    """A dead letter by itself.

    `payload` is the input of what failed; `tries` has the failed tries as far as the instance still has them; `settlement` says who
    replayed or purged it (`by`), as which instance (`instance_id`), or why (`reason`).
    """

    payload: Any
    tries: list[FailedTryJson]
    settlement: dict[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterPage:
    """Dead letters, newest first."""

    deadletters: list[DeadLetterJson]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedLetter:
    """A dead letter, and the instance that does its work again; null in a dry run."""

    id: int
    instance_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterError:
    """Why a dead letter stays as it is."""

    id: int
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LettersReplayed:
    """How many dead letters were replayed, and how many a replay takes: the same number unless it was a dry run."""

    replayed: int
    would_replay: int
    letters: list[ReplayedLetter]
    errors: list[LetterError]


@dataclass(frozen=True, slots=True, kw_only=True)
class LettersPurged:
    """How many dead letters were put away, and how many a purge takes: the same number unless it was a dry run."""

    purged: int
    would_purge: int
    errors: list[LetterError]


def letter_json(letter: DeadLetter, default_project: str) -> DeadLetterJson:
    """A dead letter in a list."""
    return DeadLetterJson(**_fields(letter, default_project))


def letter_detail(letter: DeadLetter, tries: Sequence[Try], default_project: str) -> DeadLetterDetail:
    """A dead letter by itself."""
    return DeadLetterDetail(
        **_fields(letter, default_project),
        payload=journal.from_json(letter.input_json),
        tries=[
            FailedTryJson(attempt=each.attempt, at=_time(each.at), code=each.failure.code, message=each.failure.message) for each in tries
        ],
        settlement=None if letter.settlement_json is None else journal.from_json(letter.settlement_json),
    )


def letters_replayed(report: LettersReport, *, dry_run: bool) -> LettersReplayed:
    """What a replay has done, or would do."""
    count = len(report.settled)
    return LettersReplayed(
        replayed=0 if dry_run else count,
        would_replay=count,
        letters=[ReplayedLetter(id=letter, instance_id=instance_id) for letter, instance_id in report.settled.items()],
        errors=_errors(report),
    )


def letters_purged(report: LettersReport, *, dry_run: bool) -> LettersPurged:
    """What a purge has done, or would do."""
    count = len(report.settled)
    return LettersPurged(purged=0 if dry_run else count, would_purge=count, errors=_errors(report))


def _errors(report: LettersReport) -> list[LetterError]:
    return [LetterError(id=each.id, code=each.error.code, message=each.error.message, hint=each.error.hint) for each in report.problems]


def _fields(letter: DeadLetter, default_project: str) -> dict[str, Any]:
    return {
        "id": letter.id,
        "kind": letter.kind,
        "name": letter.name,
        "code": letter.code,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "first_failed_at": _time(letter.first_failed_at),
        "last_failed_at": _time(letter.last_failed_at),
        "instance_id": letter.instance_id,
        "orchestrator": letter.orchestrator,
        "correlation_id": letter.correlation_id,
        "project": letter.project or default_project,
        "status": letter.status,
        "status_at": _time(letter.status_at),
    }


def _time(microseconds: int) -> str:
    return rfc3339(from_microseconds(microseconds))
