"""Places for the calls of one activity: as many as its limit allows, given in turns."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from forebay.durable.activities.limits import CallOutcome, Limit
from forebay.durable.failures import Failure
from forebay.effects import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An instance whose calls wait for a place."""

    instance_id: str
    lane: str
    call_count: int
    since: datetime  # the first of these calls waits


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomState:
    """The limit of an activity, and what it holds up."""

    activity: str
    limit: int  # in force
    lowest_limit: int
    highest_limit: int
    running_count: int
    waiting: tuple[Waiting, ...]  # in the order of their turns, as far as lanes and instances go


@dataclass(slots=True)
class _Waiter:
    place: asyncio.Future[None]
    since: datetime


_Lane = OrderedDict[str, deque[_Waiter]]  # by instance


class Room:
    """Lets calls run, at most as many at once as the limit allows.

    *Guarantees*: lanes take turns, and so do the instances of a lane: one with many calls delays any other by one call a turn.
    The calls of an instance run in the order in which they came. A call that is cancelled while it waits leaves nothing behind.
    """

    def __init__(self, activity: str, limit: Limit, clock: Clock) -> None:
        self._activity = activity
        self._limit = limit
        self._clock = clock
        self._running_count = 0
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()

    @asynccontextmanager
    async def place(self, lane: str, instance_id: str) -> AsyncIterator[None]:
        """Wait for a place and keep it until the block ends; how the block ends, and when, is what the limit learns from."""
        await self.enter(lane, instance_id)
        call, began = self._limit.begun(), self._clock.monotonic()
        outcome: CallOutcome = "other"
        try:
            yield
            outcome = "completed"
        except Exception as error:
            failure = Failure.of(error)
            # fewer calls do not help a database that cannot write
            outcome = "overload" if failure.retryable and failure.code != "database_unavailable" else "other"
            raise
        finally:
            is_full = bool(self._lanes) or self._running_count >= self._limit.in_force
            self._limit.ended(call, outcome, self._clock.monotonic() - began, is_full=is_full)
            self.leave()

    async def enter(self, lane: str, instance_id: str) -> None:
        """Wait for a place; `leave` gives it back. The limit learns nothing from it."""
        if self._lanes or self._running_count >= self._limit.in_force:
            await self._wait(lane, instance_id)
        else:
            self._running_count += 1

    def leave(self) -> None:
        """Give a place back."""
        self._running_count -= 1
        self._admit()

    def snapshot(self) -> RoomState:
        """The limit in force, and what waits for a place since when."""
        waiting = []
        for lane, instances in self._lanes.items():
            for instance_id, waiters in instances.items():
                alive = [waiter for waiter in waiters if not waiter.place.done()]
                if alive:
                    waiting.append(Waiting(instance_id=instance_id, lane=lane, call_count=len(alive), since=alive[0].since))
        return RoomState(
            activity=self._activity,
            limit=self._limit.in_force,
            lowest_limit=self._limit.lowest,
            highest_limit=self._limit.highest,
            running_count=self._running_count,
            waiting=tuple(waiting),
        )

    async def _wait(self, lane: str, instance_id: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._lanes.setdefault(lane, OrderedDict()).setdefault(instance_id, deque())
        waiters.append(_Waiter(place, self._clock.now()))
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the place was given in the moment of the cancellation
            raise

    def _admit(self) -> None:
        while self._running_count < self._limit.in_force and (waiter := self._next()) is not None:
            self._running_count += 1
            waiter.place.set_result(None)

    def _next(self) -> _Waiter | None:
        """The call whose turn it is; its instance and its lane go to the end of their queues."""
        while self._lanes:
            lane, instances = self._lanes.popitem(last=False)
            instance_id, waiters = instances.popitem(last=False)
            waiter = waiters.popleft()
            while waiters and waiter.place.done():  # cancelled: it has no turn
                waiter = waiters.popleft()
            if waiters:
                instances[instance_id] = waiters
            if instances:
                self._lanes[lane] = instances
            if not waiter.place.done():
                return waiter
        return None
