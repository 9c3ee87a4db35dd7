"""Instances on the terminal: tables, timelines, what they wait for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from forebay.cli.output import bold, clipped, duration_text, print_facts, print_steps, print_table, visible

VALUE_COLUMNS = 200  # of an input, an output or an event's data; --json has all
_COMMAND = "forebay instances"


def print_instances(found: list[dict[str, Any]]) -> None:
    """A table of instances."""
    rows = [
        (
            each["runtimeStatus"],
            visible(each["name"]),
            each["createdTime"].replace("T", " ").rstrip("Z"),
            visible(each["instanceId"]),
            visible(_waits_in_short(each) or each["failureCode"] or ""),
        )
        for each in found
    ]
    print_table(("STATUS", "ORCHESTRATOR", "STARTED (UTC)", "ID", "WAITS FOR, OR FAILED OF"), rows)


def print_instance(state: dict[str, Any], *, has_timeline: bool = True) -> None:
    """An instance: facts, timeline, what it waits for, and what can be done next."""
    print(bold(visible(state["instanceId"])))
    facts = [
        ("status", state["runtimeStatus"]),
        ("orchestrator", state["name"] + (f" version {state['version']}" if state["version"] else "")),
        ("project", state["project"]),
        ("part of", state["parentInstanceId"]),
        ("correlation", state["correlationId"]),
        ("input", _value(state["input"])),
        ("shows", _value(state["customStatus"])),
        ("failed of", state["failureCode"]),
        ("output", _value(state["output"])),
    ]
    print_facts((name, visible(str(value))) for name, value in facts if value not in (None, ""))
    if has_timeline:
        print()
        print_table(("WHEN (UTC)", "TOOK", "WHAT"), [_row(each, state) for each in state["historyEvents"]], right=(1,))
    if state["waits"] is not None:
        print()
        print(f"Since {_time(state['waits']['since'])} it waits for:")
        for wait in _waits(state):
            print(f"  {visible(wait)}")
    steps = list(_next_steps(state))
    if steps:
        print("\nNext:")
        print_steps(steps)


def print_news(state: dict[str, Any], told: int) -> int:
    """Tell on standard error what has happened since `told` events; how many those are by now."""
    events: list[dict[str, Any]] = state["historyEvents"]
    if len(events) < told:
        told = 0  # it has begun anew
    for event in events[told:]:
        when, took, what = _row(event, state)
        print(f"{when}  {what}{f' ({took})' if took else ''}", file=sys.stderr, flush=True)
    return len(events)


def _row(event: dict[str, Any], state: dict[str, Any]) -> tuple[str, str, str]:
    begun = event.get("ScheduledTime")
    took = ""
    if begun is not None:
        took = _took(begun, event["Timestamp"])
    elif event["EventType"] in ("ExecutionCompleted", "ExecutionTerminated"):
        took = _took(state["historyEvents"][0]["Timestamp"], event["Timestamp"])
    return _time(event["Timestamp"]), took, visible(_what(event))


def _what(event: dict[str, Any]) -> str:
    name = event.get("FunctionName", "")
    match event["EventType"]:
        case "ExecutionStarted":
            return f"{name} started"
        case "TaskCompleted":
            return f"activity {name} completed{_of(event, 'Result')}"
        case "TaskFailed":
            return f"activity {name} failed, try {event['Attempt']}: {event['Reason']} [{event['Details']}]"
        case "SubOrchestrationInstanceCompleted":
            return f"orchestrator {name} completed{_of(event, 'Result')}"
        case "SubOrchestrationInstanceFailed":
            return f"orchestrator {name} failed, try {event['Attempt']}: {event['Reason']} [{event['Details']}]"
        case "TimerFired":
            return f"timer fired, set for {_time(event['FireAt'])}"
        case "EventRaised":
            return f"event {event['Name']} came{_of(event, 'Input')}"
        case "ExecutionTerminated":
            return f"terminated{_of(event, 'Result')}"
        case _:
            return f"ended: {event.get('OrchestrationStatus', event['EventType'])}"


def _of(event: dict[str, Any], field: str) -> str:
    value = _value(event.get(field))
    return f": {value}" if value else ""


def _waits(state: dict[str, Any]) -> Iterator[str]:
    waits = state["waits"]
    for wait in waits["waits"]:
        yield _wait(wait)
    if waits.get("more"):
        yield f"{waits['more']:,} more"


def _wait(wait: dict[str, Any]) -> str:
    match wait["kind"]:
        case "event":
            return f"the event {wait['name']}"
        case "timer":
            return f"a timer, until {_time(wait['until'])}"
        case "instance":
            return f"orchestrator {wait['name']}, instance {wait['instance_id']}"
        case "activity":
            return f"activity {wait['name']}, try {wait['attempt']}"
        case "limiter":
            return f"a place for activity {wait['name']}, since {_time(wait['since'])}"
        case "retry":
            return f"try {wait['attempt']} of activity {wait['name']}, at {_time(wait['until'])}"
        case "queue":
            return f"its turn: {wait['limit']} instances move at a time"
        case "resume":
            return "somebody to resume it"
        case "code":
            return f"code that fits: {wait['reason']}"
        case other:
            return str(other)


def _waits_in_short(state: dict[str, Any]) -> str:
    if state["waits"] is None:
        return ""
    first, *others = _waits(state) if state["waits"]["waits"] else [""]
    return first + (f" and {len(others)} more" if others else "")


def _next_steps(state: dict[str, Any]) -> Iterator[tuple[str, str]]:
    identity = visible(state["instanceId"])
    if state["runtimeStatus"] == "Suspended":
        yield f"{_COMMAND} resume {identity}", "let it go on"
    elif state["waits"] is not None:
        yield f"{_COMMAND} watch {identity}", "follow it until it ends"
        for wait in state["waits"]["waits"]:
            if wait["kind"] == "event":
                yield f"{_COMMAND} raise {identity} {visible(wait['name'])} --data JSON", "send the event"
            elif wait["kind"] == "instance":
                yield f"{_COMMAND} show {visible(wait['instance_id'])}", "see what it does"
    elif state["runtimeStatus"] == "Failed":
        yield f"{_COMMAND} rewind {identity}", "go on from before the failure, once its cause is mended"
        yield f"{_COMMAND} restart {identity}", "run it again from its beginning"


def _value(value: Any) -> str:
    return "" if value is None else clipped(json.dumps(value, ensure_ascii=False), VALUE_COLUMNS)


def _time(text: str) -> str:
    """An RFC 3339 time in UTC, to the millisecond."""
    return text[:23].replace("T", " ").rstrip("Z")


def _took(begun: str, ended: str) -> str:
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else duration_text(seconds)
