"""The journal: what is known of every instance, in two tables, written through the database's writer."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import msgspec

from forebay.database.migrations import Migration
from forebay.database.transaction import Transaction
from forebay.values.correlation import Correlation

RuntimeStatus = Literal["Running", "Completed", "Failed"]
FactKind = Literal["completed", "failed", "attempt_failed"]
End = tuple[RuntimeStatus, str, int]  # status, output or failure as JSON, when


def schema() -> list[Migration]:
    """The migrations of the journal's tables."""
    return [files("forebay.durable").joinpath("journal.sql").read_text()]


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of an instance's history."""

    kind: FactKind
    task_id: int
    name: str
    input_hash: str
    attempt: int
    scheduled_at: int
    at: int
    payload: str  # JSON


History = list[tuple[int, Fact]]  # with their sequence numbers


@dataclass(frozen=True, slots=True)
class InstanceRow:
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

    @property
    def correlation(self) -> Correlation | None:
        """What ties the instance to the request that has led to it."""
        return None if self.correlation_id is None else Correlation(id=self.correlation_id, project=self.project)


_INSTANCE_COLUMNS = "key, id, name, status, input, output, created_at, updated_at, lane, correlation_id, project"


def insert_instance(
    tx: Transaction, instance_id: str, name: str, input_json: str, lane: str, correlation: Correlation | None = None
) -> tuple[InstanceRow, bool]:
    """Record the start of an instance; the second value is False when the id was taken already."""
    ties = (None, None) if correlation is None else (correlation.id, correlation.project)
    inserted = tx.execute(
        "INSERT INTO instances (id, name, status, input, lane, created_at, updated_at, correlation_id, project)"
        " VALUES (?, ?, 'Running', ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        (instance_id, name, input_json, lane, tx.now_us, tx.now_us, *ties),
    )
    if inserted.rowcount == 1:
        key = inserted.lastrowid
        assert key is not None
        return InstanceRow(key, instance_id, name, "Running", input_json, None, tx.now_us, tx.now_us, lane, *ties), True
    row = load_instance(tx.connection, instance_id)
    assert row is not None
    return row, False


def append_fact(tx: Transaction, instance: int, sequence: int, fact: Fact) -> None:
    """Add one row to an instance's history."""
    tx.execute(
        "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            instance,
            sequence,
            fact.kind,
            fact.task_id,
            fact.name,
            fact.input_hash,
            fact.attempt,
            fact.scheduled_at,
            fact.at,
            fact.payload,
        ),
    )


def end_instance(tx: Transaction, instance: int, status: RuntimeStatus, output_json: str, at: int) -> None:
    """Record how an instance ended."""
    tx.execute("UPDATE instances SET status = ?, output = ?, updated_at = ? WHERE key = ?", (status, output_json, at, instance))


def load_instance(connection: sqlite3.Connection, instance_id: str) -> InstanceRow | None:
    """One instance by its id."""
    row = connection.execute(f"SELECT {_INSTANCE_COLUMNS} FROM instances WHERE id = ?", (instance_id,)).fetchone()
    return InstanceRow(*row) if row else None


def load_running(connection: sqlite3.Connection, *, after_key: int, limit: int) -> list[tuple[InstanceRow, History]]:
    """The oldest running instances after a key, each with its history."""
    rows = connection.execute(
        f"SELECT {_INSTANCE_COLUMNS} FROM instances WHERE status = 'Running' AND key > ? ORDER BY key LIMIT ?", (after_key, limit)
    ).fetchall()
    return [(row, load_history(connection, row.key)) for row in (InstanceRow(*each) for each in rows)]


def load_history(connection: sqlite3.Connection, instance: int) -> History:
    """An instance's history in order."""
    found = connection.execute(
        "SELECT sequence, kind, task_id, name, input_hash, attempt, scheduled_at, at, payload FROM history"
        " WHERE instance = ? ORDER BY sequence",
        (instance,),
    )
    return [(row[0], Fact(*row[1:])) for row in found]


def to_json(value: Any) -> str:
    """A JSON value as text."""
    return msgspec.json.encode(value).decode()


def from_json(text: str) -> Any:
    """The inverse of `to_json`."""
    return msgspec.json.decode(text)
