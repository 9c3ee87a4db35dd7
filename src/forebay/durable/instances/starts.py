"""Records new instances: those that are asked for in one turn of the event loop together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from forebay.database import Transaction, Writer
from forebay.database.writer import answer_all
from forebay.durable.failures import engine_stopped
from forebay.durable.instances.together import write_together
from forebay.durable.journal import journal
from forebay.durable.journal.journal import InstanceRow, NewInstance
from forebay.durable.journal.transitions import Transitions

Started = tuple[InstanceRow, bool]  # the second value is False when the id was taken already


class Starts:
    """Records instances, and lets them be admitted, whether or not their callers still wait."""

    def __init__(
        self,
        writer: Writer,
        transitions: Transitions,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        admit: Callable[[InstanceRow, bool], None],
    ) -> None:
        self._writer = writer
        self._transitions = transitions
        self._spawn = spawn
        self._admit = admit
        self._unwritten: list[tuple[NewInstance, asyncio.Future[Started], Context]] = []
        self._unanswered: set[asyncio.Future[Started]] = set()

    async def record(self, new: NewInstance) -> Started:
        """The instance once it is durable, or the one that has its id. Raises what the writer does, or `engine_stopped`."""
        answer: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self._unanswered.add(answer)
        self._unwritten.append((new, answer, copy_context()))
        if len(self._unwritten) == 1:
            self._spawn(self._write())
        try:
            return await answer
        finally:
            self._unanswered.discard(answer)

    def close(self) -> None:
        """Tell the callers that are left that the engine has stopped; nothing may be under way any more."""
        self._unwritten.clear()
        for answer in self._unanswered:
            if not answer.done():
                answer.set_exception(
                    engine_stopped("the instance was known to be recorded", "start it again: if it has been, that changes nothing")
                )

    async def _write(self) -> None:
        starts, self._unwritten = self._unwritten, []
        outcomes = await write_together(self._writer, [new for new, _, _ in starts], self._unit)
        for (_, _, context), outcome in zip(starts, outcomes, strict=True):
            if not isinstance(outcome, BaseException):
                context.run(self._admit, *outcome)  # the instance's context is a copy of that of its caller
        answer_all([answer for _, answer, _ in starts], outcomes)

    def _unit(self, news: list[NewInstance]) -> Callable[[Transaction], list[Started]]:
        def unit(tx: Transaction) -> list[Started]:
            started = journal.insert_instances(tx, news)
            for row, is_new in started:
                if is_new:
                    self._transitions.record(tx, row, "Started", row.created_at)
            return started

        return unit
