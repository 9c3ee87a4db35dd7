"""The journal: what is known of every instance, in a few tables, written through the database's writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal

import msgspec
from msgspec.structs import astuple, replace

from forebay.database.migrations import Migration
from forebay.database.transaction import Transaction
from forebay.durable.orchestration.actions import Action, ActivityAction, ChildAction, EventAction, TimerAction, input_hash
from forebay.values.correlation import Correlation

RuntimeStatus = Literal["Running", "Suspended", "Completed", "Failed", "Terminated"]
FactKind = Literal[
    "completed", "failed", "attempt_failed",  # an activity
    "child_completed", "child_failed", "child_attempt_failed",  # another orchestrator
    "timer_fired",
    "event",
]  # fmt: skip
End = tuple[RuntimeStatus, str, int]  # status, output or failure as JSON, when

READY = 0  # the `wake_at` of an instance that has something to do
OVER = ("Completed", "Failed", "Terminated")

SETTLING: frozenset[FactKind] = frozenset({"completed", "failed", "child_completed", "child_failed", "timer_fired"})
FAILING: frozenset[FactKind] = frozenset({"failed", "child_failed"})
ATTEMPTING: frozenset[FactKind] = frozenset({"attempt_failed", "child_attempt_failed"})


def schema() -> list[Migration]:
    """The migrations of the journal's tables."""
    folder = files("forebay.durable.journal")
    return [folder.joinpath(name).read_text() for name in ("journal.sql", "journal_2.sql", "journal_3.sql")]


class Fact(msgspec.Struct, frozen=True, gc=False):
    """One row of an instance's history."""

    kind: FactKind
    task_id: int  # -1: none, it is an event from outside
    name: str  # of the activity, orchestrator or event
    input_hash: str
    attempt: int
    scheduled_at: int
    at: int
    payload: str  # JSON: the result, the failure, or the event's data

    @property
    def action_kind(self) -> type[Action]:
        """What has been scheduled for it."""
        if self.kind == "timer_fired":
            return TimerAction
        if self.kind == "event":
            return EventAction
        return ChildAction if self.kind.startswith("child_") else ActivityAction


History = list[tuple[int, Fact]]  # with their sequence numbers


class Parent(msgspec.Struct, frozen=True, gc=False):
    """The task of another instance that waits for this one."""

    key: int
    incarnation: int
    task_id: int
    attempt: int  # from 1


class InstanceRow(msgspec.Struct, frozen=True, gc=False):
    """One row of `instances`."""

    key: int
    id: str
    name: str
    status: RuntimeStatus
    input_json: str
    output_json: str | None
    created_at: int
    updated_at: int
    lane: str
    correlation_id: str | None = None
    project: str | None = None
    version: str | None = None
    incarnation: int = 0
    parent: Parent | None = None
    parent_id: str | None = None
    custom_status_json: str | None = None
    wake_at: int | None = READY
    waits_for_json: str | None = None

    @property
    def correlation(self) -> Correlation | None:
        """What ties the instance to the request that has led to it."""
        return None if self.correlation_id is None else Correlation(id=self.correlation_id, project=self.project)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in OVER


class NewInstance(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance begins with."""

    id: str
    name: str
    input_json: str
    version: str | None = None
    lane: str = ""
    correlation: Correlation | None = None
    parent: Parent | None = None


INSTANCE_COLUMNS = (
    "i.key, i.id, i.name, i.status, i.input, i.output, i.created_at, i.updated_at, i.lane, i.correlation_id, i.project,"
    " i.version, i.incarnation, i.parent, i.parent_incarnation, i.parent_task, i.parent_attempt,"
    " (SELECT p.id FROM instances p WHERE p.key = i.parent),"
    " i.custom_status, i.wake_at, i.waits_for"
)


def instance_row(row: Sequence[Any]) -> InstanceRow:
    """The instance of a row of `INSTANCE_COLUMNS`."""
    key, id_, name, status, input_json, output_json, created_at, updated_at, lane, correlation_id, project, version, incarnation = row[:13]
    return InstanceRow(
        key=key,
        id=id_,
        name=name,
        status=status,
        input_json=input_json,
        output_json=output_json,
        created_at=created_at,
        updated_at=updated_at,
        lane=lane,
        correlation_id=correlation_id,
        project=project,
        version=version,
        incarnation=incarnation,
        parent=None if row[13] is None else Parent(*row[13:17]),
        parent_id=row[17],
        custom_status_json=row[18],
        wake_at=row[19],
        waits_for_json=row[20],
    )


_INSTANCES = (
    "instances (id, name, status, input, lane, created_at, updated_at, correlation_id, project, version,"
    " parent, parent_incarnation, parent_task, parent_attempt)"
)


def insert_instances(tx: Transaction, news: Sequence[NewInstance]) -> list[tuple[InstanceRow, bool]]:
    """Record the starts of instances; the second values are False where the id was taken already."""
    (newest_key,) = tx.execute("SELECT coalesce(max(key), 0) FROM instances").fetchone()
    values: list[Any] = []
    for new in news:
        ties = (None, None) if new.correlation is None else (new.correlation.id, new.correlation.project)
        of = new.parent
        parent = (None,) * 4 if of is None else (of.key, of.incarnation, of.task_id, of.attempt)
        values += (new.id, new.name, "Running", new.input_json, new.lane, tx.now_us, tx.now_us, *ties, new.version, *parent)
    inserted_count, last_key = tx.insert_rows(_INSTANCES, 14, values, "ON CONFLICT (id) DO NOTHING")
    if inserted_count == len(news):
        # keys are given out in order, and without gaps where there was no conflict
        return [(_begun(tx, new, key), True) for key, new in enumerate(news, last_key - inserted_count + 1)]
    found = []
    for new in news:
        row = _existing(tx, new)
        found.append((row, row.key > newest_key))
        newest_key = max(newest_key, row.key)
    return found


def insert_instance(tx: Transaction, new: NewInstance) -> tuple[InstanceRow, bool]:
    """The same for one."""
    (inserted,) = insert_instances(tx, [new])
    return inserted


def _begun(tx: Transaction, new: NewInstance, key: int) -> InstanceRow:
    if new.parent is not None:
        return _existing(tx, new)  # with the parent's id
    return InstanceRow(
        key=key,
        id=new.id,
        name=new.name,
        status="Running",
        input_json=new.input_json,
        output_json=None,
        created_at=tx.now_us,
        updated_at=tx.now_us,
        lane=new.lane,
        correlation_id=None if new.correlation is None else new.correlation.id,
        project=None if new.correlation is None else new.correlation.project,
        version=new.version,
    )


def _existing(tx: Transaction, new: NewInstance) -> InstanceRow:
    row = load_instance(tx.connection, new.id)
    assert row is not None
    return row


HISTORY_WIDTH = 10  # columns


def history_row(instance: int, sequence: int, fact: Fact) -> tuple[Any, ...]:
    """A fact as a row of `history`."""
    return (instance, sequence, *astuple(fact))


def append_history(tx: Transaction, values: Sequence[Any]) -> None:
    """Add rows to histories, given one after the other."""
    tx.insert_rows("history", HISTORY_WIDTH, values)


def replace_history(tx: Transaction, instance: int, facts: Iterable[Fact]) -> None:
    """Let an instance's history be these facts, numbered anew."""
    tx.execute("DELETE FROM history WHERE instance = ?", (instance,))
    append_history(tx, [value for sequence, fact in enumerate(facts) for value in history_row(instance, sequence, fact)])


def end_instances(tx: Transaction, ends: Mapping[int, End]) -> None:
    """Record how instances that went on have ended, by their keys."""
    tx.execute_many(
        "UPDATE instances SET status = ?, output = ?, updated_at = ?, wake_at = 0, waits_for = NULL WHERE key = ?",
        [(*end, key) for key, end in ends.items()],
    )
    tx.execute("DELETE FROM messages WHERE instance IN (SELECT value FROM json_each(?))", (to_json(list(ends)),))


def ended(row: InstanceRow, end: End) -> InstanceRow:
    """The row of an instance that went on, as it is from its end on."""
    status, output_json, at = end
    return replace(row, status=status, output_json=output_json, updated_at=at)


def begin_anew(tx: Transaction, row: InstanceRow, input_json: str, unread: Iterable[Fact], at: int) -> None:
    """Let an instance forget what it did: with another input, and the events that it has not read."""
    tx.execute(
        "UPDATE instances SET input = ?, incarnation = incarnation + 1, created_at = ?, updated_at = ?,"
        " wake_at = 0, waits_for = NULL WHERE key = ?",
        (input_json, at, at, row.key),
    )
    tx.execute("DELETE FROM messages WHERE instance = ? AND incarnation = ?", (row.key, row.incarnation))
    replace_history(tx, row.key, unread)


def goes_on(tx: Transaction, instance: int, incarnation: int) -> bool:
    """Whether an instance is still there, has not ended, and has not begun anew."""
    query = "SELECT 1 FROM instances WHERE key = ? AND incarnation = ? AND status IN ('Running', 'Suspended')"
    return tx.execute(query, (instance, incarnation)).fetchone() is not None


def going_on(tx: Transaction, instances: Sequence[int]) -> dict[int, int]:
    """The incarnation of each of these instances that is there and has not ended."""
    query = "SELECT key, incarnation FROM instances WHERE key IN (SELECT value FROM json_each(?)) AND status IN ('Running', 'Suspended')"
    return dict(tx.execute(query, (to_json(instances),)).fetchall())


def going_on_count(tx: Transaction, instances: Sequence[int]) -> tuple[int, int]:
    """How many of these instances are there and have not ended, and the sum of their incarnations."""
    query = (
        "SELECT count(*), coalesce(sum(incarnation), 0) FROM instances"
        " WHERE key IN (SELECT value FROM json_each(?)) AND status IN ('Running', 'Suspended')"
    )
    count, incarnations = tx.execute(query, (to_json(instances),)).fetchone()
    return count, incarnations


def set_wait(tx: Transaction, instance: int, wake_at: int | None, waits_for_json: str | None) -> None:
    """Record when an instance has something to do, and what it waits for until then."""
    tx.execute("UPDATE instances SET wake_at = ?, waits_for = ? WHERE key = ?", (wake_at, waits_for_json, instance))


def set_custom_status(tx: Transaction, instance: int, status_json: str | None) -> None:
    """Record what an orchestrator shows of itself."""
    tx.execute("UPDATE instances SET custom_status = ?, updated_at = ? WHERE key = ?", (status_json, tx.now_us, instance))


def tell_parent(tx: Transaction, row: InstanceRow) -> None:
    """Leave the end of an instance for the one that waits for it, if it still does."""
    parent = row.parent
    if parent is None or not goes_on(tx, parent.key, parent.incarnation):
        return
    assert row.output_json is not None
    kind: FactKind = "child_completed" if row.status == "Completed" else "child_failed"
    payload = row.output_json
    if row.status == "Terminated":
        reason = from_json(row.output_json)
        payload = to_json(
            {"code": "terminated", "message": f"the instance was terminated: {reason or 'no reason given'}", "retryable": False}
        )
    hash_ = input_hash(row.input_json.encode()) if row.incarnation == 0 else ""  # what it was called with is forgotten by then
    fact = Fact(kind, parent.task_id, row.name, hash_, parent.attempt, row.created_at, row.updated_at, payload)
    send_message(tx, parent.key, fact, parent.incarnation)


def has_told_parent(tx: Transaction, parent: Parent) -> bool:
    """Whether the end of what a task waits for lies there for its instance to read."""
    query = "SELECT 1 FROM messages WHERE instance = ? AND incarnation = ? AND task_id = ? AND attempt = ?"
    return tx.execute(query, (parent.key, parent.incarnation, parent.task_id, parent.attempt)).fetchone() is not None


def count_failures(connection: sqlite3.Connection, instance: int) -> int:
    """How many tries of activities and sub-orchestrations of an instance have failed."""
    kinds = "('attempt_failed', 'failed', 'child_attempt_failed', 'child_failed')"
    (count,) = connection.execute(f"SELECT count(*) FROM history WHERE instance = ? AND kind IN {kinds}", (instance,)).fetchone()
    return int(count)


def load_instance(connection: sqlite3.Connection, instance_id: str) -> InstanceRow | None:
    """One instance by its id."""
    row = connection.execute(f"SELECT {INSTANCE_COLUMNS} FROM instances i WHERE i.id = ?", (instance_id,)).fetchone()
    return instance_row(row) if row else None


def load_ready(connection: sqlite3.Connection, *, after_key: int, limit: int) -> list[tuple[InstanceRow, History]]:
    """The oldest running instances after a key that have something to do, each with its history."""
    rows = connection.execute(
        f"SELECT {INSTANCE_COLUMNS} FROM instances i WHERE i.status = 'Running' AND i.wake_at = 0 AND i.key > ? ORDER BY i.key LIMIT ?",
        (after_key, limit),
    ).fetchall()
    return [(row, load_history(connection, row.key)) for row in map(instance_row, rows)]


def load_running(connection: sqlite3.Connection, keys: Sequence[int]) -> list[tuple[InstanceRow, History]]:
    """Those of these instances that run, each with its history, in the order of the keys."""
    found = []
    for key in keys:
        row = connection.execute(f"SELECT {INSTANCE_COLUMNS} FROM instances i WHERE i.key = ? AND i.status = 'Running'", (key,)).fetchone()
        if row:
            found.append((instance_row(row), load_history(connection, key)))
    return found


def load_beginning(connection: sqlite3.Connection) -> tuple[int, list[tuple[int, int]], list[int]]:
    """What an engine begins with: the newest key, key and time of every instance that waits for a time, and who has messages."""
    (newest,) = connection.execute("SELECT max(key) FROM instances").fetchone()
    timed = connection.execute("SELECT key, wake_at FROM instances WHERE status = 'Running' AND wake_at > 0").fetchall()
    return newest or 0, timed, load_addressed(connection)


def load_addressed(connection: sqlite3.Connection) -> list[int]:
    """The keys of all that have messages."""
    return [key for (key,) in connection.execute("SELECT DISTINCT instance FROM messages ORDER BY instance")]


def load_history(connection: sqlite3.Connection, instance: int) -> History:
    """An instance's history in order."""
    found = connection.execute(
        "SELECT sequence, kind, task_id, name, input_hash, attempt, scheduled_at, at, payload FROM history"
        " WHERE instance = ? ORDER BY sequence",
        (instance,),
    )
    return [(row[0], Fact(*row[1:])) for row in found]


def send_message(tx: Transaction, instance: int, fact: Fact, incarnation: int | None = None) -> None:
    """Leave a fact for an instance to read; `incarnation`: no other one of it may."""
    tx.execute(
        "INSERT INTO messages (instance, incarnation, kind, task_id, name, input_hash, attempt, scheduled_at, at, payload)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (instance, incarnation, *astuple(fact)),
    )


def load_messages(connection: sqlite3.Connection, instance: int, *, after: int, incarnation: int, limit: int) -> list[tuple[int, Fact]]:
    """The next messages that wait for an instance, in order, with their numbers."""
    found = connection.execute(
        "SELECT sequence, kind, task_id, name, input_hash, attempt, scheduled_at, at, payload FROM messages"
        " WHERE instance = ? AND sequence > ? AND (incarnation IS NULL OR incarnation = ?) ORDER BY sequence LIMIT ?",
        (instance, after, incarnation, limit),
    )
    return [(row[0], Fact(*row[1:])) for row in found]


def delete_message(tx: Transaction, sequence: int) -> None:
    """Forget a message that has been read."""
    tx.execute("DELETE FROM messages WHERE sequence = ?", (sequence,))


def to_json(value: Any) -> str:
    """A JSON value as text."""
    return msgspec.json.encode(value).decode()


def from_json(text: str) -> Any:
    """The inverse of `to_json`."""
    return msgspec.json.decode(text)
