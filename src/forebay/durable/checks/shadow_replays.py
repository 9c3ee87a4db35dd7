"""Replays a sample of the instances that have ended: code that is not deterministic shows before a crash makes it matter."""

from __future__ import annotations

import logging
import math
import sqlite3
from collections import deque
from collections.abc import Callable

from forebay.database import Readers
from forebay.durable.checks.shadow import Divergence, Shadowed, shadow_replay
from forebay.durable.journal import journal
from forebay.durable.journal.journal import InstanceRow
from forebay.durable.registry import Registry
from forebay.effects import Randomness

log = logging.getLogger(__name__)

WAITING_LIMIT = 256  # instances; what ends while so many wait is not sampled


class ShadowReplays:
    """Replays one sampled instance after the other, where reads run and not in the event loop; never changes one."""

    def __init__(
        self, registry: Registry, readers: Readers, random: Randomness, *, ratio: float, diverged: Callable[[Divergence], None]
    ) -> None:
        """`ratio`: the share of instances that is replayed; `diverged` is told of each that did something else."""
        self._registry = registry
        self._readers = readers
        self._random = random
        self._ratio = ratio
        self._diverged = diverged
        self._waiting: deque[InstanceRow] = deque()
        self._passed_over = self._draw()  # instances, until the next one is taken

    def takes(self, row: InstanceRow) -> bool:
        """Maybe put an instance that has ended into the sample; True when `run` has to be called."""
        if self._passed_over >= 1 or len(self._waiting) >= WAITING_LIMIT:
            self._passed_over -= 1
            return False
        self._passed_over = self._draw()
        self._waiting.append(row)
        return len(self._waiting) == 1

    def _draw(self) -> float:
        """How many instances in a row are not taken when each is with the same chance: one number for all of them, not one for each."""
        if not 0 < self._ratio < 1:
            return 0 if self._ratio > 0 else math.inf
        return math.log(1 - self._random.ratio()) / math.log(1 - self._ratio)

    async def run(self) -> None:
        """Replay what waits."""
        while self._waiting:
            ended = self._waiting[0]

            def look(connection: sqlite3.Connection, ended: InstanceRow = ended) -> Shadowed:
                row = journal.load_instance(connection, ended.id)
                if row is None or (row.key, row.status, row.updated_at) != (ended.key, ended.status, ended.updated_at):
                    return "same"  # purged, or made to go on, meanwhile
                return shadow_replay(self._registry, row, journal.load_history(connection, row.key))

            try:
                found = await self._readers.run(look)
                if isinstance(found, Divergence):
                    self._diverged(found)
            except Exception:
                log.exception("instance %s could not be replayed for comparison; it is not affected", ended.id)
            finally:
                self._waiting.popleft()
