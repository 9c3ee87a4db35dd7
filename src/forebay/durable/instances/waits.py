"""What an instance waits for, in words and in the journal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from forebay.durable.activities.rooms import RoomState
from forebay.durable.instances.run import Run, child_id
from forebay.durable.journal.journal import READY, to_json
from forebay.durable.orchestration.actions import Action, ChildAction, EventAction, TimerAction
from forebay.effects import Clock
from forebay.values.times import from_microseconds, rfc3339

NAMED_LIMIT = 20  # waits that are named; of more, only how many


def live_waits(run: Run, rooms: list[RoomState], clock: Clock) -> dict[str, Any]:
    """What the orchestrator of a live instance has scheduled and has not ended: `kind`, what names it, and of timers `until`.

    Also what its activities wait for: a place (`limiter`), or the time of their next try (`retry`).
    """
    limiters = {room.activity: waiting for room in rooms for waiting in room.waiting if waiting.instance_id == run.row.id}
    waits: list[dict[str, Any]] = [
        {"kind": "limiter", "name": name, "calls": limiters[name].call_count, "since": rfc3339(limiters[name].since)}
        for name in sorted(limiters)
    ]
    for rest in run.rests.values():
        until = clock.now() + timedelta(seconds=max(0.0, rest.due - clock.monotonic()))
        waits.append({"kind": "retry", "name": rest.action.name, "attempt": rest.attempts.failed_count + 1, "until": rfc3339(until)})
    return _shown(run, waits, run.waits_since or run.last_at)


def persistent_wait(run: Run, since: int) -> tuple[int | None, str | None]:
    """`wake_at` and `waits_for` of an instance in which nothing moves until a time or a message comes."""
    return run.next_timer(), to_json(_shown(run, [], since))


def _shown(run: Run, further: list[dict[str, Any]], since: int) -> dict[str, Any]:
    actions = run.driver.open_actions()
    # this is done at every step of an instance, and ten thousand things may be open
    waits = [*(_wait(run, action) for action in actions[:NAMED_LIMIT]), *further][:NAMED_LIMIT]
    shown: dict[str, Any] = {"since": rfc3339(from_microseconds(since)), "waits": waits}
    count = len(actions) + len(further)
    return shown if count <= NAMED_LIMIT else shown | {"more": count - NAMED_LIMIT}


def _wait(run: Run, action: Action) -> dict[str, Any]:
    if isinstance(action, EventAction):
        return {"kind": "event", "name": action.name}
    if isinstance(action, TimerAction):
        return {"kind": "timer", "until": rfc3339(action.fire_at)}
    attempts = run.attempts.get(action.task_id)
    attempt = 1 if attempts is None else attempts.failed_count + 1
    if isinstance(action, ChildAction):
        return {"kind": "instance", "name": action.name, "instance_id": child_id(run, action, attempt)}
    return {"kind": "activity", "name": action.name, "attempt": attempt}


NO_WAIT: tuple[int | None, str | None] = (READY, None)
