"""What may be done with dead letters: look at them, replay them, put them away."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from msgspec import structs

from forebay.database.transaction import Transaction
from forebay.durable.failures import Failure
from forebay.durable.instances.operations import Operations
from forebay.durable.journal import journal
from forebay.durable.journal.dead_letters import LETTER_COLUMNS, DeadLetter, load_letter, open_letters_of, settle
from forebay.durable.journal.journal import InstanceRow, NewInstance
from forebay.durable.journal.letter_filter import LetterFilter
from forebay.errors import ForebayError
from forebay.values.correlation import Correlation

if TYPE_CHECKING:
    from forebay.durable.engine import DurableEngine

PAGE_LIMIT = 1000  # dead letters in one answer
BATCH = 100  # dead letters loaded at once while many are replayed or purged

Which = Sequence[int] | LetterFilter  # ids, or whatever fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How what failed is done again."""

    instance_ids: Sequence[str]  # the instances whose dead letters are settled by it
    write: Callable[[Transaction], str]  # begins it, in the transaction that settles them; returns the id of the instance that runs
    then: Callable[[], None]  # called once that is durable
    begun_ids: Sequence[str] = ()  # of instances that it starts


Replayer = Callable[[DeadLetter, str], Awaitable[Replay]]  # the letter, and who wants it; raises `ForebayError` where it cannot be


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A try that failed."""

    attempt: int  # from 1
    at: int  # microseconds since the epoch
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterProblem:
    """Why a dead letter stays as it is."""

    id: int
    error: ForebayError


@dataclass(slots=True)
class LettersReport:
    """What was done with several dead letters, or would have been."""

    settled: dict[int, str | None] = field(default_factory=dict)  # by id: the instance that runs for it, if one does
    problems: list[LetterProblem] = field(default_factory=list)


class DeadLetters:
    """The dead letters of one engine.

    *Guarantees*: a dead letter is replayed at most once, however many ask at a time: it is settled in the very transaction that begins
    its work again, so a crash leaves either an open letter or work that goes on. What fails again becomes a dead letter of its own.
    """

    def __init__(self, engine: DurableEngine, replayers: Mapping[str, Replayer] | None = None) -> None:
        """`replayers`: how to do again what an orchestrator failed at, by its name.

        Without one, an instance that failed is rewound, together with those that failed of it; any other is started once more, under
        an id of its own.
        """
        self._engine = engine
        self._operations = Operations(engine)
        self._replayers = dict(replayers or {})

    async def list_letters(
        self, which: LetterFilter | None = None, *, limit: int = PAGE_LIMIT, before: int | None = None
    ) -> tuple[list[DeadLetter], int | None]:
        """A page of dead letters, newest first, and what to give as `before` for the next; None after the last."""
        limit = min(limit, PAGE_LIMIT)
        where, values = (which or LetterFilter()).where()
        query = f"SELECT {LETTER_COLUMNS} FROM dead_letters WHERE {where} AND id < ? ORDER BY id DESC LIMIT ?"
        found = await self._read(query, [*values, before if before is not None else 1 << 62, limit + 1])
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def show(self, letter_id: int, which: LetterFilter | None = None) -> tuple[DeadLetter, list[Try]]:
        """A dead letter, and the tries that failed as far as the history of its instance still has them.

        Raises `ForebayError` (`dead_letter_not_found`), also for one that `which` leaves out.
        """
        where, values = (which or LetterFilter(status=None)).where()
        found = await self._read(f"SELECT {LETTER_COLUMNS} FROM dead_letters WHERE {where} AND id = ?", [*values, letter_id])
        if not found:
            raise _not_found(letter_id)
        (letter,) = found
        return letter, await self._engine.database.readers.run(lambda connection: _tries(connection, letter))

    async def replay(self, which: Which, *, by: str, dry_run: bool = False, within: LetterFilter | None = None) -> LettersReport:
        """Do again what failed, for open dead letters: those with these ids, or those that fit and are there now, oldest first.

        All open letters of an instance are settled together. With `dry_run` nothing is changed. `by`: who wants it; `within`: other ids
        count as if they did not exist.
        """
        report = LettersReport()
        async for letter in self._chosen(which, within, report):
            if letter.id in report.settled:
                continue  # with another one of its instance
            try:
                report.settled |= await self._replay(letter, by, dry_run=dry_run)
            except ForebayError as error:
                report.problems.append(LetterProblem(id=letter.id, error=error))
        return report

    async def purge(
        self, which: Which, *, by: str, reason: str = "", dry_run: bool = False, within: LetterFilter | None = None
    ) -> LettersReport:
        """Put open dead letters away; a record of who did it and why stays. The arguments are those of `replay`."""
        report = LettersReport()
        async for letter in self._chosen(which, within, report):
            try:
                if not dry_run:
                    await self._submit_purge(letter, {"by": by, "reason": reason})
                report.settled[letter.id] = None
            except ForebayError as error:
                report.problems.append(LetterProblem(id=letter.id, error=error))
        return report

    async def _read(self, query: str, values: Sequence[object]) -> list[DeadLetter]:
        def read(connection: sqlite3.Connection) -> list[DeadLetter]:
            return [DeadLetter(*row) for row in connection.execute(query, values).fetchall()]

        return await self._engine.database.readers.run(read)

    async def _chosen(self, which: Which, within: LetterFilter | None, report: LettersReport) -> AsyncIterator[DeadLetter]:
        """The open ones of the chosen letters; for ids that are no open ones there is a problem in the report."""
        if isinstance(which, LetterFilter):
            where, values = replace(which, status="open").where()
            newest = await self._read(f"SELECT {LETTER_COLUMNS} FROM dead_letters ORDER BY id DESC LIMIT 1", [])
            after, last = 0, newest[0].id if newest else 0  # what is replayed may fail again, and is not chosen then
            query = f"SELECT {LETTER_COLUMNS} FROM dead_letters WHERE {where} AND id > ? AND id <= ? ORDER BY id LIMIT {BATCH}"
            while found := await self._read(query, [*values, after, last]):
                for letter in found:
                    yield letter
                after = found[-1].id
            return
        for letter_id in dict.fromkeys(which):
            try:
                letter, _ = await self.show(letter_id, within)
                if letter_id not in report.settled:
                    _must_be_open(letter)
                yield letter
            except ForebayError as error:
                report.problems.append(LetterProblem(id=letter_id, error=error))

    async def _replay(self, letter: DeadLetter, by: str, *, dry_run: bool) -> dict[int, str | None]:
        again = await self._plan(letter, by)
        if dry_run:
            found = await self._engine.database.readers.run(lambda connection: open_letters_of(connection, again.instance_ids))
            return dict.fromkeys(found)

        def unit(tx: Transaction) -> dict[int, str | None]:
            _must_be_open(load_letter(tx.connection, letter.id))
            letters = open_letters_of(tx.connection, again.instance_ids)
            instance_id = again.write(tx)
            settle(tx, self._engine.transitions, letters, "replayed", {"by": by, "instance_id": instance_id})
            return dict.fromkeys(letters, instance_id)

        return await self._operations.commit([*again.instance_ids, *again.begun_ids], unit, lambda _: again.then())

    async def _submit_purge(self, letter: DeadLetter, settlement: dict[str, str]) -> None:
        def unit(tx: Transaction) -> None:
            _must_be_open(load_letter(tx.connection, letter.id))
            settle(tx, self._engine.transitions, [letter.id], "purged", settlement)

        await self._engine.database.writer.submit(unit)

    # -- ways to do it again --------------------------------------------------------------------------------------

    async def _plan(self, letter: DeadLetter, by: str) -> Replay:
        replayer = self._replayers.get(letter.orchestrator)
        if replayer is not None:
            return await replayer(letter, by)
        row = await self._engine.load(letter.instance_id)
        if row is not None and not row.is_over:
            raise ForebayError(
                "instance_not_over",
                f"instance {row.id!r} has not ended: it is {row.status}, and may still deal with the failure itself",
                hint="wait for its end, or terminate it; purge the dead letter if nothing is left to do",
                status=409,
            )
        if row is not None and row.status == "Failed" and _is_same_run(row, letter):
            return await self._rewind(row, by)
        return self._restart(letter, row)

    async def _rewind(self, row: InstanceRow, by: str) -> Replay:
        """From the outermost instance that failed of this one."""
        family = [row]
        while (parent := await self._failed_parent(family[-1])) is not None:
            family.append(parent)
        for first in reversed(family):
            cuts = await self._operations.cuts(first)
            ids = [each.id for each, _ in cuts]
            if row.id in ids:
                break  # else that one failed of something else; at the latest the instance itself is among them
        rewound: list[InstanceRow] = []

        def write(tx: Transaction) -> str:
            rewound[:] = self._operations.go_back(tx, cuts, "dead letter replayed", by=by)
            return first.id

        return Replay(instance_ids=ids, write=write, then=lambda: self._operations.went_back(rewound))

    async def _failed_parent(self, row: InstanceRow) -> InstanceRow | None:
        parent = None if row.parent_id is None else await self._engine.load(row.parent_id)
        is_same = parent is not None and row.parent is not None and parent.incarnation == row.parent.incarnation
        return parent if is_same and parent is not None and parent.status == "Failed" else None

    def _restart(self, letter: DeadLetter, row: InstanceRow | None) -> Replay:
        if row is not None and _is_same_run(row, letter):
            new = self._engine.instance_like(row, None)
        elif letter.kind == "orchestrator":
            new = self._instance_of(letter)
        else:
            raise ForebayError(
                "dead_letter_stale",
                f"nothing is left of the run of instance {letter.instance_id!r} that failed: it was purged, or has begun anew",
                hint="start the orchestrator by hand if its work is still wanted, then purge the dead letter",
                status=409,
            )
        started: list[InstanceRow] = []

        def write(tx: Transaction) -> str:
            inserted, _ = journal.insert_instance(tx, new)
            self._engine.transitions.record(tx, inserted, "Started", inserted.created_at)
            started[:] = [inserted]
            return inserted.id

        return Replay(
            instance_ids=[letter.instance_id],
            begun_ids=[new.id],
            write=write,
            then=lambda: self._engine.admission.add(started[0], is_new=True),
        )

    def _instance_of(self, letter: DeadLetter) -> NewInstance:
        """The same as the instance that failed, whose input the letter has."""
        new = self._engine.new_instance(letter.orchestrator, None, None)
        ties = None if letter.correlation_id is None else Correlation(id=letter.correlation_id, project=letter.project)
        return structs.replace(new, input_json=letter.input_json, correlation=ties)


def _is_same_run(row: InstanceRow, letter: DeadLetter) -> bool:
    """Whether the instance has not been restarted, or begun anew, since the failure."""
    return row.created_at <= letter.last_failed_at


def _must_be_open(letter: DeadLetter | None) -> None:
    if letter is not None and letter.status == "open":
        return
    if letter is None:
        raise ForebayError("dead_letter_not_found", "the dead letter is there no more", status=404)
    raise ForebayError(
        "dead_letter_not_open",
        f"dead letter {letter.id} is {letter.status} already",
        hint="'show' tells who did so; a failure since then has a dead letter of its own",
        status=409,
    )


def _not_found(letter_id: int) -> ForebayError:
    return ForebayError(
        "dead_letter_not_found",
        f"there is no dead letter {letter_id}",
        hint="`forebay deadletters list`, or GET /deadletters, lists those that are open",
        status=404,
    )


def _tries(connection: sqlite3.Connection, letter: DeadLetter) -> list[Try]:
    row = journal.load_instance(connection, letter.instance_id)
    if row is None or letter.kind == "orchestrator":
        return []
    return [
        Try(attempt=fact.attempt, at=fact.at, failure=Failure.from_json(journal.from_json(fact.payload)))
        for _, fact in journal.load_history(connection, row.key)
        if fact.task_id == letter.task_id
        and fact.kind in ("attempt_failed", "failed")
        and letter.first_failed_at <= fact.at <= letter.last_failed_at
    ]
