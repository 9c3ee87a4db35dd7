"""What an instance waits for, in words and in the journal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from forebay.durable.activities.rooms import RoomState
from forebay.durable.instances.run import Run, child_id
from forebay.durable.journal.journal import READY, to_json
from forebay.durable.orchestration.actions import ChildAction, EventAction, TimerAction
from forebay.effects import Clock
from forebay.values.times import from_microseconds, rfc3339

NAMED_LIMIT = 20  # waits that are named; of more, only how many


def open_waits(run: Run) -> list[dict[str, Any]]:
    """Each thing that the orchestrator has scheduled and that has not ended: `kind`, what names it, and of timers `until`."""
    waits: list[dict[str, Any]] = []
    for action in run.driver.open_actions():
        if isinstance(action, EventAction):
            waits.append({"kind": "event", "name": action.name})
        elif isinstance(action, TimerAction):
            waits.append({"kind": "timer", "until": rfc3339(action.fire_at)})
        else:
            attempts = run.attempts.get(action.task_id)
            attempt = 1 if attempts is None else attempts.failed_count + 1
            if isinstance(action, ChildAction):
                waits.append({"kind": "instance", "name": action.name, "instance_id": child_id(run, action, attempt)})
            else:
                waits.append({"kind": "activity", "name": action.name, "attempt": attempt})
    return waits


def live_waits(run: Run, rooms: list[RoomState], clock: Clock) -> dict[str, Any]:
    """The same of a live instance, with what its activities wait for: a place (`limiter`), or the time of their next try (`retry`)."""
    limiters = {room.activity: waiting for room in rooms for waiting in room.waiting if waiting.instance_id == run.row.id}
    waits = open_waits(run)
    for name in sorted(limiters):
        waits.append({"kind": "limiter", "name": name, "calls": limiters[name].call_count, "since": rfc3339(limiters[name].since)})
    for rest in run.rests.values():
        until = clock.now() + timedelta(seconds=max(0.0, rest.due - clock.monotonic()))
        waits.append({"kind": "retry", "name": rest.action.name, "attempt": rest.attempts.failed_count + 1, "until": rfc3339(until)})
    return _shown(waits, run.waits_since or run.last_at)


def persistent_wait(run: Run, since: int) -> tuple[int | None, str | None]:
    """`wake_at` and `waits_for` of an instance in which nothing moves until a time or a message comes."""
    return run.next_timer(), to_json(_shown(open_waits(run), since))


def _shown(waits: list[dict[str, Any]], since: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"since": rfc3339(from_microseconds(since)), "waits": waits[:NAMED_LIMIT]}
    return shown if len(waits) <= NAMED_LIMIT else shown | {"more": len(waits) - NAMED_LIMIT}


NO_WAIT: tuple[int | None, str | None] = (READY, None)
