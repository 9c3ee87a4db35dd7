"""Each difference from Microsoft's library that we choose is as `differences.py` says, on both sides."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import msgspec
import pytest
from azure.durable_functions.models.DurableOrchestrationContext import DurableOrchestrationContext
from azure.durable_functions.models.history.HistoryEventType import HistoryEventType
from tests.oracle.differences import BREAKS, DIFFERENCES, MISSING, WAITS, Difference
from tests.oracle.library import TIME_FORMAT, TIMER, LibraryBroke, LibraryHost, without_details
from tests.oracle.world import BROKEN, START

from forebay.durable.failures import Failure
from forebay.durable.orchestration.actions import Action, ActivityAction, TimerAction
from forebay.durable.orchestration.context import OrchestrationContext
from forebay.durable.orchestration.driver import Driver
from forebay.values.times import to_microseconds

STARTED = {"EventType": HistoryEventType.ORCHESTRATOR_STARTED, "EventId": -1, "IsPlayed": False, "Timestamp": START.isoformat()}


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.orchestrator.__name__)
def test_the_library_does_what_is_said_of_it(difference: Difference) -> None:
    assert on_library(difference) == difference.library


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.orchestrator.__name__)
def test_ours_does_what_is_said_of_it(difference: Difference) -> None:
    assert on_ours(difference) == difference.ours


def test_every_public_name_of_the_librarys_context_is_ours_too_or_is_listed_as_missing() -> None:
    ours = OrchestrationContext(instance_id="mine", input_json="null", now_us=to_microseconds(START))
    body = {"history": [STARTED], "instanceId": "mine", "isReplaying": False, "parentInstanceId": None}
    library = DurableOrchestrationContext(**body)

    assert {name for name in dir(library) if not name.startswith("_") and not hasattr(ours, name)} == set(MISSING)


def on_library(difference: Difference) -> Any:
    try:
        host = LibraryHost(difference.orchestrator, instance_id="mine", value=None, now=START, keeps_events=False)
        for kind, *what in difference.happens:
            if host.state.is_done:
                break
            if kind == "completed":
                host.completed(*what, START)
            elif kind == "failed":
                number, text = what
                host.failed(number, f"Activity function 'work' failed: {text}", START)
            else:
                host.raise_event(*what, START)
    except (LibraryBroke, SystemExit):
        return BREAKS
    state = host.state
    if difference.seen == "calls":
        return [json.loads(action["input"])["key"] for action in state.actions]
    if difference.seen == "moment":
        return next(action["fireAt"] for action in state.actions if action["actionType"] == TIMER)
    if difference.seen == "status":
        return state.custom_status
    if not state.is_done:
        return WAITS
    if state.failure is not None:
        return BREAKS if "recursion" in state.failure else {"failed": state.failure}
    return json.dumps(state.output) if difference.seen == "json" else without_details(state.output)


def on_ours(difference: Difference) -> Any:
    context = OrchestrationContext(instance_id="mine", input_json="null", now_us=to_microseconds(START))
    driver = Driver(difference.orchestrator, context)
    driver.start()
    actions: list[Action] = driver.take_actions()
    for kind, *what in difference.happens:
        if kind == "event":
            driver.raise_event(*what, now_us=to_microseconds(START))
        elif kind == "completed":
            driver.settle(what[0], now_us=to_microseconds(START), result=what[1])
        else:
            driver.settle(what[0], now_us=to_microseconds(START), failure=Failure(code=BROKEN, message=what[1], retryable=True))
        actions += driver.take_actions()
    driver.close()
    if difference.seen == "calls":
        return [json.loads(action.input_json)["key"] for action in actions if isinstance(action, ActivityAction)]
    if difference.seen == "moment":
        return next(utc(action.fire_at) for action in actions if isinstance(action, TimerAction))
    if difference.seen == "status":
        return context.custom_status
    outcome = driver.outcome
    if outcome is None:
        return WAITS
    if outcome.failure is not None:
        return {"failed": outcome.failure.message}
    encoded = msgspec.json.encode(outcome.output)
    return encoded.decode() if difference.seen == "json" else json.loads(encoded)


def utc(moment: datetime) -> str:
    offset = moment.utcoffset()
    assert offset is not None
    return (moment.replace(tzinfo=None) - offset).strftime(TIME_FORMAT)
