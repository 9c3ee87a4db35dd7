"""What may be done to an instance from outside: each is one commit, and the live instance follows it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from forebay.database.transaction import Transaction
from forebay.durable.failures import NonDeterministicError
from forebay.durable.instances.rewind import Cut, cut
from forebay.durable.instances.waits import NO_WAIT
from forebay.durable.journal import journal
from forebay.durable.journal.dead_letters import open_letters_of, settle
from forebay.durable.journal.journal import INSTANCE_COLUMNS, OVER, Fact, InstanceRow, NewInstance, RuntimeStatus, instance_row
from forebay.durable.journal.removal import family, remove
from forebay.errors import ForebayError
from forebay.values.times import to_microseconds

if TYPE_CHECKING:
    from forebay.durable.engine import DurableEngine

Result = TypeVar("Result")

PURGE_BATCH = 100  # instances in one commit


_WITH_OPEN_LETTERS = """
WITH RECURSIVE kept(key, parent) AS (
  SELECT i.key, i.parent FROM dead_letters l JOIN instances i ON i.id = l.instance_id WHERE l.status = 'open'
  UNION SELECT i.key, i.parent FROM kept k JOIN instances i ON i.key = k.parent
) SELECT key FROM kept"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFilter:
    """Which instances; None: any."""

    created_from: datetime | None = None
    created_to: datetime | None = None
    statuses: Sequence[RuntimeStatus] | None = None
    id_prefix: str | None = None
    name: str | None = None
    names: frozenset[str] | None = None  # of orchestrators
    project: str | None = None

    def where(self) -> tuple[str, list[Any]]:
        """A condition on `instances i`, and its parameters."""
        parts: list[tuple[str, list[Any]]] = []
        if self.created_from is not None:
            parts.append(("i.created_at >= ?", [to_microseconds(self.created_from)]))
        if self.created_to is not None:
            parts.append(("i.created_at <= ?", [to_microseconds(self.created_to)]))
        if self.statuses is not None:
            marks = ", ".join("?" * len(self.statuses))
            parts.append((f"i.status IN ({marks})", list(self.statuses)))
        if self.id_prefix:
            parts.append(("substr(i.id, 1, ?) = ?", [len(self.id_prefix), self.id_prefix]))
        if self.name is not None:
            parts.append(("i.name = ?", [self.name]))
        if self.names is not None:
            marks = ", ".join("?" * len(self.names))
            parts.append((f"i.name IN ({marks})", sorted(self.names)))
        if self.project is not None:
            parts.append(("i.project = ?", [self.project]))
        return " AND ".join(text for text, _ in parts) or "1", [value for _, values in parts for value in values]


class Operations:
    """The operations on the instances of one engine.

    All raise `ForebayError`: `instance_not_found` (404), `instance_over` (410) where it must not have ended, `instance_not_over`
    (409) where it must have, `database_unavailable`.
    """

    def __init__(self, engine: DurableEngine) -> None:
        self._engine = engine

    async def raise_event(self, instance_id: str, name: str, data_json: str) -> None:
        """Durable when this returns; the instance reads it when it waits for that name."""

        def unit(tx: Transaction) -> InstanceRow:
            row = self._running(tx.connection, instance_id)
            at = max(tx.now_us, row.created_at)
            journal.send_message(tx, row.key, Fact("event", -1, name, "", 1, at, at, data_json))
            return row

        await self.commit([instance_id], unit, lambda row: self._engine.admission.wake(row.key, has_mail=True))

    async def terminate(self, instance_id: str, reason: str) -> None:
        """End an instance and the sub-orchestrations that it waits for; activities under way are cancelled."""

        def unit(tx: Transaction) -> list[InstanceRow]:
            first = self._running(tx.connection, instance_id)
            going_on = [row for row in family(tx.connection, first.key) if not row.is_over]
            ends: dict[int, journal.End] = {
                row.key: ("Terminated", journal.to_json(reason), max(tx.now_us, row.updated_at)) for row in going_on
            }
            journal.end_instances(tx, ends)
            ended = [journal.ended(row, ends[row.key]) for row in going_on]
            for row in ended:
                self._engine.transitions.record(tx, row, "Terminated", row.updated_at, {"reason": reason})
            journal.tell_parent(tx, ended[0])
            return ended

        def terminated(ended: list[InstanceRow]) -> None:
            for row in ended:
                self._engine.admission.forget(row.key)
                self._engine.ended(row)
            if ended[0].parent is not None:
                self._engine.admission.wake(ended[0].parent.key, has_mail=True)

        await self.commit([instance_id], unit, terminated)

    async def suspend(self, instance_id: str, reason: str) -> None:
        """Let an instance rest: activities under way end, what has ended and what comes waits until it is resumed."""

        def suspended(row: InstanceRow) -> None:
            run = self._engine.mover.runs.get(row.key)
            if run is None:
                self._engine.admission.forget(row.key)
            else:
                run.row, run.persisted_wait = replace(run.row, status="Suspended"), NO_WAIT
                self._engine.admission.settled(run)

        await self.commit([instance_id], lambda tx: self._set_status(tx, instance_id, "Suspended", reason), suspended)

    async def resume(self, instance_id: str, reason: str) -> None:
        """Let a suspended instance go on."""

        def resumed(row: InstanceRow) -> None:
            run = self._engine.mover.runs.get(row.key)
            if run is not None:
                run.row = replace(run.row, status="Running")
            self._engine.admission.wake(row.key, has_mail=True)

        await self.commit([instance_id], lambda tx: self._set_status(tx, instance_id, "Running", reason), resumed)

    async def rewind(self, instance_id: str, reason: str) -> None:
        """Let a failed instance go on from before its failure; what succeeded without knowing of it is not run again.

        Raises `ForebayError` also with `instance_not_failed` (409) and `non_deterministic` (409): its code has changed too much.
        """
        first = await self._engine.load(instance_id)
        if first is None:
            raise _not_found(instance_id)
        if first.status != "Failed":
            raise ForebayError(
                "instance_not_failed",
                f"instance {instance_id!r} is {first.status}; only a failed one can be rewound",
                hint="'restart' runs an instance again from its beginning",
                status=409,
            )
        cuts = await self.cuts(first)
        await self.commit([instance_id], lambda tx: self.go_back(tx, cuts, reason), self.went_back)

    async def cuts(self, row: InstanceRow) -> list[tuple[InstanceRow, Cut]]:
        """What is left of the histories of a failed instance, and of the sub-orchestrations that it failed of, when it goes back.

        Raises `ForebayError`: `orchestrator_not_found` (409), `non_deterministic` (409).
        """
        history = await self._engine.database.readers.run(lambda connection: journal.load_history(connection, row.key))
        orchestrator = self._engine.registry.find_orchestrator(row.name, row.version)
        if orchestrator is None:
            raise ForebayError("orchestrator_not_found", f"orchestrator {row.name!r} of instance {row.id!r} is not registered", status=409)
        try:
            left = cut(row, orchestrator, history)
        except NonDeterministicError as error:
            raise ForebayError(
                "non_deterministic",
                f"instance {row.id!r} cannot go on: {error}",
                hint="'restart' runs it again from its beginning",
                status=409,
            ) from None
        cuts = [(row, left)]
        for child in await self._engine.database.readers.run(lambda connection: _children(connection, row, left.failed_children)):
            cuts += await self.cuts(child)
        return cuts

    def go_back(self, tx: Transaction, cuts: list[tuple[InstanceRow, Cut]], reason: str, *, by: str = "rewind") -> list[InstanceRow]:
        """Rewind instances in this transaction; tell `went_back` of what this returns once it is durable.

        Their open dead letters are settled as replayed `by` whoever does it.
        """
        return [row for each, row_cut in cuts for row in self._go_back(tx, each, row_cut, reason, by)]

    def went_back(self, rows: list[InstanceRow]) -> None:
        """Instances have been rewound."""
        for row in rows:
            self._engine.admission.forget(row.key)
            self._engine.admission.wake(row.key)

    async def reset(self, new: NewInstance) -> InstanceRow:
        """Let an instance that has ended begin again from its beginning, under its id; one that does not exist is started."""

        def unit(tx: Transaction) -> tuple[InstanceRow, list[InstanceRow]]:
            known = journal.load_instance(tx.connection, new.id)
            removed: list[InstanceRow] = []
            if known is not None:
                if known.project != (None if new.correlation is None else new.correlation.project):
                    raise ForebayError(
                        "instance_exists", f"instance {new.id!r} exists already", hint="choose another instance id", status=409
                    )
                if not known.is_over:
                    raise _not_over(known)
                removed = remove(tx, known, self._engine.transitions)
            row, _ = journal.insert_instance(tx, new)
            self._engine.transitions.record(tx, row, "Started" if known is None else "Restarted", row.created_at)
            return row, removed

        def begun(answer: tuple[InstanceRow, list[InstanceRow]]) -> None:
            row, removed = answer
            for each in removed:
                self._engine.admission.forget(each.key)
            self._engine.admission.add(row, is_new=True)

        row, _ = await self.commit([new.id], unit, begun)
        return row

    async def purge(self, instance_id: str) -> int:
        """Forget an instance that has ended, with the sub-orchestrations that have; how many those are together."""

        def unit(tx: Transaction) -> list[InstanceRow]:
            row = journal.load_instance(tx.connection, instance_id)
            if row is None:
                raise _not_found(instance_id)
            if not row.is_over:
                raise _not_over(row)
            return remove(tx, row, self._engine.transitions)

        return len(await self._engine.database.writer.submit(unit))

    async def purge_by(self, which: InstanceFilter, *, updated_before: int | None = None, keeps_open_letters: bool = False) -> int:
        """The same for every instance that has ended and is not part of another's present round.

        `updated_before`: microseconds since the epoch.

        With `keeps_open_letters` those stay that have an open dead letter, or whose sub-orchestrations have one.
        """
        where, parameters = which.where()
        if updated_before is not None:
            where, parameters = f"{where} AND i.updated_at < ?", [*parameters, updated_before]
        if keeps_open_letters:
            where = f"{where} AND i.key NOT IN ({_WITH_OPEN_LETTERS})"
        statuses = ", ".join(f"'{each}'" for each in OVER)
        # nor of one that has begun anew since then: one that does so for ever would keep all that it ever called
        parent = "SELECT 1 FROM instances p WHERE p.key = i.parent AND p.incarnation = i.parent_incarnation"
        parentless = f"(i.parent IS NULL OR NOT EXISTS ({parent}))"
        query = (
            f"SELECT {INSTANCE_COLUMNS} FROM instances i WHERE i.status IN ({statuses}) AND {parentless} AND {where} LIMIT {PURGE_BATCH}"
        )

        def unit(tx: Transaction) -> tuple[int, int]:
            rows = [instance_row(row) for row in tx.execute(query, parameters).fetchall()]
            return len(rows), sum(len(remove(tx, row, self._engine.transitions)) for row in rows)

        count = 0
        while True:
            found, removed = await self._engine.database.writer.submit(unit, bulk=True)
            count += removed
            if found < PURGE_BATCH:
                return count

    # -- parts ----------------------------------------------------------------------------------------------------

    async def commit(self, ids: Sequence[str], unit: Callable[[Transaction], Result], then: Callable[[Result], None]) -> Result:
        """Write, and once that is durable let the live instances follow, also when the caller is cancelled in between.

        `ids`: of the instances that are changed, with all their sub-orchestrations. A write that was reported as failed may be durable all
        the same: they are looked at again then.
        """

        async def work() -> Result:
            try:
                result = await self._engine.database.writer.submit(unit)
            except ForebayError as error:
                if error.code == "database_unavailable":
                    self._engine.look_again(ids)
                raise
            then(result)
            return result

        return await asyncio.shield(self._engine.mover.spawn(work()))

    def _running(self, connection: sqlite3.Connection, instance_id: str) -> InstanceRow:
        row = journal.load_instance(connection, instance_id)
        if row is None:
            raise _not_found(instance_id)
        if row.is_over:
            raise ForebayError(
                "instance_over", f"instance {instance_id!r} has ended: it is {row.status}", hint="start another one", status=410
            )
        return row

    def _set_status(self, tx: Transaction, instance_id: str, status: RuntimeStatus, reason: str) -> InstanceRow:
        row = self._running(tx.connection, instance_id)
        if row.status == status:
            return row
        tx.execute("UPDATE instances SET status = ?, updated_at = ?, wake_at = 0 WHERE key = ?", (status, tx.now_us, row.key))
        changed = replace(row, status=status, updated_at=tx.now_us)
        self._engine.transitions.record(tx, changed, "Suspended" if status == "Suspended" else "Resumed", tx.now_us, {"reason": reason})
        return changed

    def _go_back(self, tx: Transaction, row: InstanceRow, left: Cut, reason: str, by: str) -> list[InstanceRow]:
        now = journal.load_instance(tx.connection, row.id)
        if now is None or (now.status, now.updated_at) != ("Failed", row.updated_at):
            raise ForebayError("instance_not_failed", f"instance {row.id!r} has changed meanwhile", retryable=True, status=409)
        journal.replace_history(tx, row.key, left.facts)
        removed = []
        for child in _children(tx.connection, row, None):
            assert child.parent is not None
            if child.parent.task_id >= left.first_undone_task or child.status == "Terminated":
                removed += remove(tx, child, self._engine.transitions)
        tx.execute(
            "UPDATE instances SET status = 'Running', output = NULL, updated_at = ?, wake_at = 0, waits_for = NULL WHERE key = ?",
            (tx.now_us, row.key),
        )
        letters = open_letters_of(tx.connection, [row.id, *(each.id for each in removed)])
        settle(tx, self._engine.transitions, letters, "replayed", {"by": by, "instance_id": row.id})
        changed = replace(row, status="Running", output_json=None, updated_at=tx.now_us)
        self._engine.transitions.record(tx, changed, "Rewound", tx.now_us, {"reason": reason})
        return [*removed, changed]


def _children(connection: sqlite3.Connection, row: InstanceRow, tasks: list[int] | None) -> list[InstanceRow]:
    """The sub-orchestrations of an instance; with `tasks` the newest try of each that has failed."""
    found = connection.execute(
        f"SELECT {INSTANCE_COLUMNS} FROM instances i WHERE i.parent = ? AND i.parent_incarnation = ? ORDER BY i.key",
        (row.key, row.incarnation),
    )
    children = [instance_row(each) for each in found.fetchall()]
    if tasks is None:
        return children
    newest = {child.parent.task_id: child for child in children if child.parent is not None}
    return [newest[task] for task in tasks if task in newest and newest[task].status == "Failed"]


def _not_found(instance_id: str) -> ForebayError:
    return ForebayError("instance_not_found", f"there is no instance {instance_id!r}", status=404)


def _not_over(row: InstanceRow) -> ForebayError:
    return ForebayError(
        "instance_not_over", f"instance {row.id!r} has not ended: it is {row.status}", hint="terminate it first", status=409
    )
