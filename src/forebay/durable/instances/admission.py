"""Which instances are in memory: at most so many that move, and some of those that wait."""

from __future__ import annotations

import logging
import sqlite3
from collections import OrderedDict, deque

from forebay.database import Database
from forebay.durable.instances.alarms import Alarms
from forebay.durable.instances.mover import Mover
from forebay.durable.instances.run import Run
from forebay.durable.journal import journal
from forebay.durable.journal.journal import History, InstanceRow
from forebay.effects import Clock
from forebay.errors import ForebayError

ADMISSION_BATCH = 64  # instances loaded in one read
RETRY_SECONDS = 1.0  # until the journal is read again after that has failed

log = logging.getLogger(__name__)


class Admission:
    """Brings instances to life, oldest first, and lets those go that wait. What finds no room waits in the journal."""

    def __init__(self, database: Database, mover: Mover, clock: Clock, *, moving_limit: int, waiting_limit: int) -> None:
        """`moving_limit`: live at once with something under way; `waiting_limit`: kept in memory while they wait."""
        self._database = database
        self._mover = mover
        self._clock = clock
        self._moving_limit = moving_limit
        self._waiting_limit = waiting_limit
        self._waiting: OrderedDict[int, Run] = OrderedDict()  # the one that has waited longest is first
        self._ready: deque[int] = deque()  # keys of instances that have been woken and found no room
        self._queued: set[int] = set()  # the same
        self._loading: set[int] = set()
        self._is_loading_next = False  # whatever is newer than `_seen_key` may be among it
        self._stale: set[int] = set()  # changed while they were being loaded, or may have been
        self._may_have_mail = False  # somebody may have messages of which nobody was told
        self._seen_key = 0  # every ready instance up to this key is live, held, over or queued
        self._newest_key = 0
        self._is_admitting = False
        self._timers = Alarms(lambda: clock.now().timestamp(), clock, self.wake)
        self._rests = Alarms(clock.monotonic, clock, self.wake)

    async def open(self) -> None:
        """Begin with what the journal has; the first instances are live when this returns."""
        self._newest_key, timed, addressed = await self._database.readers.run(journal.load_beginning)
        for key, wake_at in timed:
            self._timers.set(key, wake_at / 1e6)
        self._ready.extend(addressed)
        self._queued.update(addressed)
        await self._admit()

    def close(self) -> None:
        """Wake nothing any more."""
        self._timers.close()
        self._rests.close()

    @property
    def moving_count(self) -> int:
        """How many instances are live and have something under way."""
        return len(self._mover.runs) - len(self._waiting)

    def is_new(self, key: int) -> bool:
        """Whether the instance has not found room yet since it was started."""
        return key > self._seen_key

    def add(self, row: InstanceRow, *, is_new: bool) -> None:
        """An instance has been recorded, or found recorded; it comes to life at once if there is room and none is before it."""
        is_next = is_new and self._seen_key == self._newest_key == row.key - 1 and not self._is_admitting
        self._newest_key = max(self._newest_key, row.key)
        if is_next and not self._ready and self.moving_count < self._moving_limit and not self._mover.is_stopping:
            self._seen_key = row.key
            self._mover.bring_to_life(row, [], is_new=True)
        else:
            self.make_room()

    def wake(self, key: int, *, has_mail: bool = False) -> None:
        """There is, or may be, something to do for an instance."""
        if self._mover.is_stopping:
            return
        if self._is_loading(key):
            self._stale.add(key)
            return
        run = self._mover.runs.get(key)
        if run is not None:
            run.has_mail = run.has_mail or has_mail
            if key not in self._waiting:
                self._mover.move(run)
                return
            if self.moving_count < self._moving_limit and not self._ready:
                del self._waiting[key]
                self._mover.move(run)
                return
        if key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
        self.make_room()

    def forget(self, key: int) -> None:
        """The instance is not what it was: whoever loads it has to do so again."""
        run = self._mover.runs.get(key)
        if run is not None:
            self._mover.drop(run)
        self._outdate(key)

    def look_for_mail(self) -> None:
        """Wake all that have messages: what was reported as failed may have left some."""
        self._may_have_mail = True
        self.make_room()

    def settled(self, run: Run) -> None:
        """Nothing is to be done for a live instance right now."""
        key = run.row.key
        if run.timers or run.rests or run.has_alarm:
            self._set_alarms(run)
        if run.busy or run.transactional_count or run.is_advancing or run.is_due:
            self._waiting.pop(key, None)
        elif run.is_suspended:
            self._mover.drop(run)  # nothing wakes it but a change from outside
        elif run.row.id in self._mover.held:
            self._evict(run)  # it may yet go on without what is missing
        else:
            self._waiting[key] = run
            self._waiting.move_to_end(key)
            while len(self._waiting) > self._waiting_limit:
                self._evict(next(iter(self._waiting.values())))
            self.make_room()

    def left(self, run: Run) -> None:
        """An instance is in memory no more."""
        self._waiting.pop(run.row.key, None)
        self._outdate(run.row.key)
        self.make_room()

    def _outdate(self, key: int) -> None:
        self._timers.set(key, None)
        self._rests.set(key, None)
        if self._is_loading(key):
            self._stale.add(key)

    def _is_loading(self, key: int) -> bool:
        return key in self._loading or (self._is_loading_next and key > self._seen_key)

    def _set_alarms(self, run: Run) -> None:
        timer = None if run.is_suspended else run.next_timer()
        rest = None if run.is_suspended else run.next_rest()
        self._timers.set(run.row.key, None if timer is None else timer / 1e6)
        self._rests.set(run.row.key, rest)
        run.has_alarm = bool(run.timers or run.rests)

    def make_room(self) -> None:
        """Admit what waits, if there is room."""
        is_waited_for = self._ready or self._seen_key < self._newest_key or self._may_have_mail
        if is_waited_for and not self._is_admitting and not self._mover.is_stopping and self.moving_count < self._moving_limit:
            self._is_admitting = True
            self._mover.spawn(self._admit_all())

    def _evict(self, run: Run) -> None:
        """Let an instance go that waits; its alarms stay."""
        key = run.row.key
        timer, rest = run.next_timer(), run.next_rest()
        self._mover.drop(run)
        self._timers.set(key, None if timer is None else timer / 1e6)
        self._rests.set(key, rest)

    async def _admit(self) -> None:
        self._is_admitting = True
        await self._admit_all()

    async def _admit_all(self) -> None:
        try:
            while not self._mover.is_stopping and (room := min(self._moving_limit - self.moving_count, ADMISSION_BATCH)) > 0:
                try:
                    if self._may_have_mail:
                        await self._wake_addressed()
                    elif self._ready:
                        await self._admit_woken(room)
                    elif self._seen_key < self._newest_key:
                        await self._admit_next(room)
                    else:
                        return
                except (sqlite3.Error, ForebayError) as error:
                    log.warning("instances wait until the journal can be read again: %s", error)
                    await self._clock.sleep(RETRY_SECONDS)
        finally:
            self._is_admitting = False

    async def _admit_woken(self, room: int) -> None:
        keys = []
        while self._ready and room > 0:
            room -= 1
            key = self._ready.popleft()
            self._queued.discard(key)
            run = self._mover.runs.get(key)
            if run is None:
                keys.append(key)
            elif self._waiting.pop(key, None) is not None or run.has_mail:
                self._mover.move(run)
        if keys:
            self._loading.update(keys)
            try:
                found = await self._database.readers.run(lambda connection: journal.load_running(connection, keys))
            except BaseException:
                self._stale.update(keys)
                self._bring_to_life([])
                raise
            self._bring_to_life(found)

    async def _admit_next(self, room: int) -> None:
        after_key, newest_key = self._seen_key, self._newest_key
        found: list[tuple[InstanceRow, History]] = []
        self._is_loading_next = True
        try:
            found = await self._database.readers.run(lambda connection: journal.load_ready(connection, after_key=after_key, limit=room))
            self._seen_key = found[-1][0].key if len(found) == room else max(newest_key, found[-1][0].key if found else 0)
        finally:
            self._bring_to_life(found)

    async def _wake_addressed(self) -> None:
        self._may_have_mail = False
        try:
            keys = await self._database.readers.run(journal.load_addressed)
        except BaseException:
            self._may_have_mail = True
            raise
        for key in keys:
            self.wake(key, has_mail=True)

    def _bring_to_life(self, found: list[tuple[InstanceRow, History]]) -> None:
        """What has been loaded, but for what has changed meanwhile: that has to be looked at again, whether or not it was found."""
        stale, self._stale = self._stale, set()
        self._loading.clear()
        self._is_loading_next = False
        for row, history in found:
            if row.key not in stale and row.key not in self._mover.runs and not self._mover.is_stopping:
                self._mover.bring_to_life(row, history, is_new=False)
        for key in stale:
            self.wake(key, has_mail=True)
