"""What a driver asks its engine for."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b

import msgspec

from forebay.durable.retries import RetryOptions
from forebay.values.times import to_microseconds


class ActivityAction(msgspec.Struct, frozen=True, gc=False):
    """Run an activity."""

    task_id: int  # from 0, in the order of the yields, over activities, orchestrators and timers
    name: str
    input_json: bytes
    input_hash: str  # tells a replay that the input has changed
    retry: RetryOptions


class ChildAction(msgspec.Struct, frozen=True, gc=False):
    """Run another orchestrator as an instance of its own."""

    task_id: int
    name: str
    input_json: bytes
    input_hash: str
    retry: RetryOptions
    instance_id: str | None  # None: derived from the parent's
    version: str | None  # None: the newest


class TimerAction(msgspec.Struct, frozen=True, gc=False):
    """Tell when a moment has come."""

    task_id: int
    fire_at: datetime

    @property
    def name(self) -> str:
        """A timer has none."""
        return ""

    @property
    def fire_at_us(self) -> int:
        """Microseconds since the epoch."""
        return to_microseconds(self.fire_at)

    @property
    def input_hash(self) -> str:
        """Tells a replay that the moment is another."""
        return input_hash(b"%d" % self.fire_at_us)


class EventAction(msgspec.Struct, frozen=True, gc=False):
    """Tell of an external event. Nothing has to be done for it: events arrive, and the driver hands them out."""

    task_id: int  # -1: as in Azure's library, events are told apart by their names
    name: str


CallAction = ActivityAction | ChildAction
Action = ActivityAction | ChildAction | TimerAction | EventAction


def input_hash(data: bytes) -> str:
    """What the journal keeps of an input instead of the input."""
    return blake2b(data, digest_size=8).hexdigest()
