"""What an instance waits for, in words and in the journal."""

from __future__ import annotations

from typing import Any

from forebay.durable.actions import ActivityAction, ChildAction, EventAction, TimerAction
from forebay.durable.journal import READY, to_json
from forebay.durable.run import Run, child_id
from forebay.values.times import from_microseconds, rfc3339

NAMED_LIMIT = 20  # waits that are named; of more, only how many


def open_waits(run: Run) -> list[dict[str, Any]]:
    """Each thing that the orchestrator has scheduled and that has not ended: `kind`, what names it, and for timers and tries `until`."""
    waits: list[dict[str, Any]] = []
    for action in run.driver.open_actions():
        if isinstance(action, EventAction):
            waits.append({"kind": "event", "name": action.name})
        elif isinstance(action, TimerAction):
            waits.append({"kind": "timer", "until": rfc3339(action.fire_at)})
        elif isinstance(action, ChildAction):
            attempts = run.attempts.get(action.task_id)
            attempt = 1 if attempts is None else attempts.failed_count + 1
            waits.append({"kind": "instance", "name": action.name, "instance_id": child_id(run, action, attempt)})
        elif isinstance(action, ActivityAction):
            attempts = run.attempts.get(action.task_id)
            waits.append({"kind": "activity", "name": action.name, "attempt": 1 if attempts is None else attempts.failed_count + 1})
    return waits


def persistent_wait(run: Run, since: int) -> tuple[int | None, str | None]:
    """`wake_at` and `waits_for` of an instance in which nothing moves until a time or a message comes."""
    waits = open_waits(run)
    more = len(waits) - NAMED_LIMIT
    shown: dict[str, Any] = {"since": rfc3339(from_microseconds(since)), "waits": waits[:NAMED_LIMIT]}
    if more > 0:
        shown["more"] = more
    return run.next_timer(), to_json(shown)


NO_WAIT: tuple[int | None, str | None] = (READY, None)
