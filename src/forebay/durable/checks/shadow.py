"""Replays what the journal has of an instance against the registered code, and compares; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forebay.durable.failures import NonDeterministicError
from forebay.durable.instances.run import begin_replay, expect
from forebay.durable.journal.journal import History, InstanceRow, RuntimeStatus, from_json, to_json
from forebay.durable.orchestration.driver import Outcome
from forebay.durable.registry import Registry

# an orchestrator fails of these outside of its own code: what it returned, or showed, could not be recorded
_UNRECORDABLE = ("payload_too_large", "payload_not_json")
_SHOWN_CHARACTERS = 200  # of an outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """An instance for which the registered code does something else than the journal says."""

    instance_id: str
    name: str  # the orchestrator
    version: str | None
    status: RuntimeStatus
    recorded: str  # the action, or outcome, in the journal
    scheduled: str | None  # what the code does in its place; None: nothing
    message: str  # both in one sentence
    project: str | None = None
    correlation_id: str | None = None


Shadowed = Divergence | Literal["same", "unregistered"]


def shadow_replay(registry: Registry, row: InstanceRow, history: History) -> Shadowed:
    """Run a fresh orchestrator along the history of an instance, running or ended.

    `unregistered`: an ended instance whose orchestrator, or its version, is gone, so that nothing can go wrong with it any more; of
    one that runs that is a divergence, as it would wait for ever. Of the orchestrator's code everything runs that ran before, and
    nothing else: activities are not called.
    """
    orchestrator = registry.find_orchestrator(row.name, row.version)
    if orchestrator is None:
        what = f"orchestrator {row.name!r}" + ("" if row.version is None else f" version {row.version!r}")
        return "unregistered" if row.is_over else _divergence(row, what, None, f"{what} is not registered")
    run = begin_replay(row, orchestrator)
    run.driver.context.is_replaying = True  # to the end: what an orchestrator says of itself when it is not has been said
    try:
        run.driver.start()
        for _, fact in history:
            expect(run, fact)
            run.apply(fact)
        outcome = run.driver.outcome
    except NonDeterministicError as error:
        return _divergence(row, error.recorded, error.scheduled, str(error))
    finally:
        run.driver.close()
    recorded, replayed = _recorded(row), _replayed(outcome)
    if recorded is None or recorded == replayed or (_is_unrecordable(row) and (outcome is None or outcome.failure is None)):
        return "same"
    return _divergence(row, recorded, replayed, f"the journal has the end {recorded}; the replayed code {_ends(replayed)}")


def _recorded(row: InstanceRow) -> str | None:
    """The end in the journal; None where the orchestrator did not bring it about."""
    if row.output_json is None or row.status not in ("Completed", "Failed"):
        return None
    return _end(row.status, row.output_json)


def _replayed(outcome: Outcome | None) -> str | None:
    if outcome is None or outcome.continued is not None:
        return None if outcome is None else "a new beginning"
    if outcome.failure is not None:
        return _end("Failed", to_json(outcome.failure.to_json()))
    try:
        return _end("Completed", to_json(outcome.output))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return f"Completed with what is no JSON value: {error}"


def _end(status: str, output_json: str) -> str:
    """Equal for equal ends, whatever the order in objects was."""
    text = to_json(_sorted(from_json(output_json)))
    return f"{status} {text}"


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _is_unrecordable(row: InstanceRow) -> bool:
    return row.status == "Failed" and row.output_json is not None and from_json(row.output_json)["code"] in _UNRECORDABLE


def _ends(replayed: str | None) -> str:
    return "has not ended by then" if replayed is None else f"ends {_short(replayed)}"


def _divergence(row: InstanceRow, recorded: str, scheduled: str | None, message: str) -> Divergence:
    return Divergence(
        instance_id=row.id,
        name=row.name,
        version=row.version,
        status=row.status,
        recorded=_short(recorded),
        scheduled=None if scheduled is None else _short(scheduled),
        message=_short(message, 3 * _SHOWN_CHARACTERS),
        project=row.project,
        correlation_id=row.correlation_id,
    )


def _short(text: str, limit: int = _SHOWN_CHARACTERS) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
