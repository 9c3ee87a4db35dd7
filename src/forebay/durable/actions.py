"""What a driver asks its engine for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from forebay.durable.retries import RetryOptions
from forebay.values.times import to_microseconds


@dataclass(frozen=True, slots=True)
class ActivityAction:
    """Run an activity."""

    task_id: int  # from 0, in the order of the yields, over activities, orchestrators and timers
    name: str
    input_json: bytes
    retry: RetryOptions

    @property
    def input_hash(self) -> str:
        """Tells a replay that the input has changed."""
        return input_hash(self.input_json)


@dataclass(frozen=True, slots=True)
class ChildAction:
    """Run another orchestrator as an instance of its own."""

    task_id: int
    name: str
    input_json: bytes
    retry: RetryOptions
    instance_id: str | None  # None: derived from the parent's
    version: str | None  # None: the newest

    @property
    def input_hash(self) -> str:
        """Tells a replay that the input has changed."""
        return input_hash(self.input_json)


@dataclass(frozen=True, slots=True)
class TimerAction:
    """Tell when a moment has come."""

    task_id: int
    fire_at: datetime

    name = ""

    @property
    def fire_at_us(self) -> int:
        """Microseconds since the epoch."""
        return to_microseconds(self.fire_at)

    @property
    def input_hash(self) -> str:
        """Tells a replay that the moment is another."""
        return input_hash(b"%d" % self.fire_at_us)


@dataclass(frozen=True, slots=True)
class EventAction:
    """Tell of an external event. Nothing has to be done for it: events arrive, and the driver hands them out."""

    task_id: int  # -1: as in Azure's library, events are told apart by their names
    name: str


CallAction = ActivityAction | ChildAction
Action = ActivityAction | ChildAction | TimerAction | EventAction


def input_hash(data: bytes) -> str:
    """What the journal keeps of an input instead of the input."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
