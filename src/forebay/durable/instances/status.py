"""What is shown of an instance: its state, what it waits for, and its history in the shape that Azure shows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec

from forebay.durable.journal.journal import ATTEMPTING, FAILING, Fact, History, InstanceRow, RuntimeStatus, from_json
from forebay.values.times import from_microseconds, rfc3339


class OrchestrationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an instance."""

    name: str
    instance_id: str
    runtime_status: RuntimeStatus | Literal["Pending"]  # Pending: it has not begun
    input_: Any
    output: Any  # what the orchestrator returned; the message of its failure when it failed; the reason when it was terminated
    custom_status: Any
    failure_code: str | None
    waits_for: str | None  # why it does not move, when it is held
    waits: dict[str, Any] | None  # what it waits for: see `live_waits`
    version: str | None
    parent_instance_id: str | None
    correlation_id: str | None
    project: str | None
    created_time: datetime
    last_updated_time: datetime
    history: list[dict[str, Any]] | None = None  # see `azure_history`


def status_of(
    row: InstanceRow,
    *,
    is_pending: bool = False,
    held: str | None = None,
    waits: dict[str, Any] | None = None,
    history: list[dict[str, Any]] | None = None,
) -> OrchestrationStatus:
    """What is shown of a row."""
    output: Any = from_json(row.output_json) if row.output_json is not None else None
    is_failed = row.status == "Failed"
    return OrchestrationStatus(
        name=row.name,
        instance_id=row.id,
        runtime_status="Pending" if is_pending else row.status,
        input_=from_json(row.input_json),
        output=output["message"] if is_failed else output,
        custom_status=None if row.custom_status_json is None else from_json(row.custom_status_json),
        failure_code=output["code"] if is_failed else None,
        waits_for=held,
        waits=waits,
        version=row.version,
        parent_instance_id=row.parent_id,
        correlation_id=row.correlation_id,
        project=row.project,
        created_time=from_microseconds(row.created_at),
        last_updated_time=from_microseconds(row.updated_at),
        history=history,
    )


def azure_history(row: InstanceRow, history: History, *, shows_output: bool, shows_input: bool) -> list[dict[str, Any]]:
    """The events of an instance, named as in Azure's HTTP API (`showHistory`); failed tries that had a successor are `TaskFailed` too."""
    events: list[dict[str, Any]] = [
        {"EventType": "ExecutionStarted", "FunctionName": row.name, "Timestamp": _time(row.created_at)}
        | ({"Input": from_json(row.input_json)} if shows_input else {})
    ]
    events += [event for _, fact in history for event in _events(fact, shows_output=shows_output, shows_input=shows_input)]
    if row.is_over:
        last = {"EventType": "ExecutionTerminated" if row.status == "Terminated" else "ExecutionCompleted"}
        output = {} if row.output_json is None or not shows_output else {"Result": from_json(row.output_json)}
        events.append(last | {"OrchestrationStatus": row.status} | output | {"Timestamp": _time(row.updated_at)})
    return events


def _events(fact: Fact, *, shows_output: bool, shows_input: bool) -> Iterator[dict[str, Any]]:
    prefix = "SubOrchestrationInstance" if fact.kind.startswith("child_") else "Task"
    if fact.kind == "event":
        data = {"Input": from_json(fact.payload)} if shows_input else {}
        yield {"EventType": "EventRaised", "Name": fact.name} | data | {"Timestamp": _time(fact.at)}
    elif fact.kind == "timer_fired":
        yield {"EventType": "TimerFired", "FireAt": _time(fact.scheduled_at), "Timestamp": _time(fact.at)}
    elif fact.kind in FAILING or fact.kind in ATTEMPTING:
        failure = from_json(fact.payload)
        yield {
            "EventType": f"{prefix}Failed",
            "FunctionName": fact.name,
            "Reason": failure["message"],
            "Details": failure["code"],
            "Attempt": fact.attempt,
            "ScheduledTime": _time(fact.scheduled_at),
            "Timestamp": _time(fact.at),
        }
    else:
        result = {"Result": from_json(fact.payload)} if shows_output else {}
        times = {"ScheduledTime": _time(fact.scheduled_at), "Timestamp": _time(fact.at)}
        yield {"EventType": f"{prefix}Completed", "FunctionName": fact.name} | result | times


def _time(microseconds: int) -> str:
    return rfc3339(from_microseconds(microseconds))
