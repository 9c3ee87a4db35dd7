"""Forgets what has ended long ago, so that the journal does not grow for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from forebay.database import Transaction
from forebay.durable.instances.operations import InstanceFilter, Operations
from forebay.values.times import to_microseconds

if TYPE_CHECKING:
    from forebay.durable.engine import DurableEngine

log = logging.getLogger(__name__)

LONGEST_PAUSE = timedelta(hours=1)
PAUSES_IN_AGE = 10  # or more: what is too old goes at most a tenth of the age later
BATCH = 1000  # letters or events of one commit, some milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How much is there no more."""

    instances: int
    letters: int
    events: int


class Retention:
    """Deletes ended instances, settled dead letters and the transitions of both once they are older than `age`.

    Instances go with all their sub-orchestrations. One with an open dead letter, its own or of a sub-orchestration, stays until that is
    settled, so that it can be replayed. The file keeps its size, and what comes next is written where there is room.
    """

    def __init__(self, engine: DurableEngine, age: timedelta, *, drained: Callable[[], int] | None = None) -> None:
        """`drained`: up to which sequence somebody has read the transitions that are kept for them; later ones stay whatever their age."""
        self._engine = engine
        self._operations = Operations(engine)
        self._age = age
        self._drained = drained

    async def run(self) -> None:
        """Go through again and again until cancelled."""
        pause = min(LONGEST_PAUSE, self._age / PAUSES_IN_AGE)
        while True:
            found = await self.forget()
            if found.instances or found.letters:
                log.info(
                    "forgot %d instances and %d dead letters that were settled more than %s ago", found.instances, found.letters, self._age
                )
            await self._engine.effects.clock.sleep(pause.total_seconds())

    async def forget(self) -> Forgotten:
        """Delete what is too old now, in small commits that let all else go first. Raises `ForebayError` (`database_unavailable`)."""
        before = to_microseconds(self._engine.effects.clock.now() - self._age)
        instances = await self._operations.purge_by(InstanceFilter(), updated_before=before, keeps_open_letters=True)
        return Forgotten(instances=instances, letters=await self._forget_letters(before), events=await self._forget_events(before))

    async def _forget_letters(self, before: int) -> int:
        def unit(tx: Transaction) -> int:
            old = f"SELECT id FROM dead_letters WHERE status <> 'open' AND status_at < ? ORDER BY status_at LIMIT {BATCH}"
            return tx.execute(f"DELETE FROM dead_letters WHERE id IN ({old})", (before,)).rowcount

        return await self._in_batches(unit)

    async def _forget_events(self, before: int) -> int:
        def unit(tx: Transaction) -> int:
            # times and sequences rise together, but for moments: what is not the oldest can wait for the next time
            oldest = f"SELECT sequence, at FROM instance_events ORDER BY sequence LIMIT {BATCH}"
            last = 1 << 62 if self._drained is None else self._drained()
            return tx.execute(
                f"DELETE FROM instance_events WHERE sequence IN (SELECT sequence FROM ({oldest}) WHERE at < ? AND sequence <= ?)",
                (before, last),
            ).rowcount

        return await self._in_batches(unit)

    async def _in_batches(self, unit: Callable[[Transaction], int]) -> int:
        count = 0
        while True:
            deleted = await self._engine.database.writer.submit(unit, bulk=True)
            count += deleted
            if deleted < BATCH:
                return count
