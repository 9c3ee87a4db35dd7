"""Runs the calls of instances, with a task of its own only for each that waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any

import msgspec

from forebay.durable.activities.awaiting import go_on
from forebay.durable.instances.run import Attempts, Run
from forebay.durable.orchestration.actions import ActivityAction

TURN_LIMIT = 256  # calls that end without waiting, before the loop looks at anything else

Steps = Coroutine[Any, None, None]


class Call(msgspec.Struct, frozen=True):
    """A try of an activity that is to begin."""

    run: Run
    action: ActivityAction
    attempts: Attempts
    called_at: int  # microseconds since the epoch
    is_transactional: bool


class Workers:
    """Begins calls in the order in which they come, each in a copy of its instance's context.

    A task costs as much as a short activity does, so one task runs one call after the other. The first that waits has that task for
    itself from then on, and other tasks begin the rest.

    *Guarantees*: `asyncio.current_task()` is the same from the beginning of a call to its end. While it waits it is among the `tasks`
    of its `Run`, and cancelling it touches no other call.
    """

    def __init__(self, begin: Callable[[Call], Steps | None]) -> None:
        """`begin` answers what is left of a call that waits."""
        self.tasks: set[asyncio.Task[None]] = set()
        self._begin_call = begin
        self._queue: deque[Call] = deque()
        self._free_count = 0  # tasks in which no call waits

    def start(self, call: Call) -> None:
        """Let a call begin soon."""
        self._queue.append(call)
        if self._free_count == 0:
            self._add_task()

    def close(self) -> None:
        """Begin nothing more."""
        self._queue.clear()

    def _add_task(self) -> None:
        self._free_count += 1
        task = asyncio.get_running_loop().create_task(self._serve())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self) -> None:
        try:
            begun = self._begin()
        finally:
            self._free_count -= 1
            if self._queue and self._free_count == 0:
                self._add_task()
        if begun is None:
            return
        # the others may wait as well: each gets a task at once, not one after the other
        while self._free_count < len(self._queue):
            self._add_task()
        run, steps, context, awaited = begun
        task = asyncio.current_task()
        assert task is not None
        run.tasks.add(task)
        try:
            await go_on(awaited, lambda _: context.run(steps.send, None), lambda error: context.run(partial(steps.throw, error)))
        finally:
            run.tasks.discard(task)

    def _begin(self) -> tuple[Run, Steps, Context, Any] | None:
        """Run what is queued until a call waits; that call, and what it waits for."""
        task = asyncio.current_task()
        assert task is not None
        for _ in range(TURN_LIMIT):
            if not self._queue or task.cancelling():  # a call that cancels its task must not cancel the next
                break
            call = self._queue.popleft()
            context = call.run.context.copy()
            steps = context.run(self._begin_call, call)
            if steps is None:
                continue
            try:
                return call.run, steps, context, context.run(steps.send, None)
            except StopIteration:
                pass
        return None
