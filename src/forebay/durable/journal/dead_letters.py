"""What failed for good: kept until somebody has it done again, or puts it away."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from forebay.database.transaction import Transaction
from forebay.durable.failures import Failure
from forebay.durable.journal.journal import InstanceRow, to_json

if TYPE_CHECKING:
    from forebay.durable.journal.transitions import LetterTransition, Transitions

LetterKind = Literal["activity", "orchestrator"]
LetterStatus = Literal["open", "replayed", "purged"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row of `dead_letters`."""

    id: int
    kind: LetterKind
    instance_id: str
    orchestrator: str
    task_id: int  # -1: the orchestrator failed of itself
    name: str  # of what failed
    input_json: str
    code: str
    reason: str
    attempts: int
    first_failed_at: int  # microseconds since the epoch
    last_failed_at: int
    correlation_id: str | None
    project: str | None
    status: LetterStatus
    status_at: int
    settlement_json: str | None  # who replayed or purged it (`by`), as which instance (`instance_id`), or why (`reason`)


LETTER_COLUMNS = (
    "id, kind, instance_id, orchestrator, task_id, name, input, code, reason, attempts, first_failed_at, last_failed_at,"
    " correlation_id, project, status, status_at, settlement"
)
_TOLD: dict[LetterStatus, LetterTransition] = {"replayed": "DeadLetterReplayed", "purged": "DeadLetterPurged"}


def put_away(
    tx: Transaction,
    row: InstanceRow,
    failure: Failure,
    at: int,
    *,
    activity: tuple[int, str, str] | None,
    attempts: int = 1,
    first_failed_at: int | None = None,
) -> int:
    """Keep what has failed; `activity`: its task, its name and its input. Returns the letter's id."""
    task_id, name, input_json = activity or (-1, row.name, row.input_json)
    inserted = tx.execute(
        "INSERT INTO dead_letters (kind, instance_id, orchestrator, task_id, name, input, code, reason, attempts, first_failed_at,"
        " last_failed_at, correlation_id, project, status, status_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)",
        (
            "orchestrator" if activity is None else "activity",
            row.id,
            row.name,
            task_id,
            name,
            input_json,
            failure.code,
            failure.message,
            attempts,
            at if first_failed_at is None else first_failed_at,
            at,
            row.correlation_id,
            row.project,
            at,
        ),
    )
    assert inserted.lastrowid is not None
    return inserted.lastrowid


def load_letter(connection: sqlite3.Connection, letter: int) -> DeadLetter | None:
    """One dead letter."""
    row = connection.execute(f"SELECT {LETTER_COLUMNS} FROM dead_letters WHERE id = ?", (letter,)).fetchone()
    return DeadLetter(*row) if row else None


def open_letters_of(connection: sqlite3.Connection, instance_ids: Sequence[str]) -> list[int]:
    """The ids of the open dead letters of these instances."""
    query = "SELECT id FROM dead_letters WHERE instance_id IN (SELECT value FROM json_each(?)) AND status = 'open' ORDER BY id"
    return [letter for (letter,) in connection.execute(query, (to_json(list(instance_ids)),))]


def settle(
    tx: Transaction,
    transitions: Transitions,
    letters: Sequence[int],
    status: Literal["replayed", "purged"],
    settlement: dict[str, Any],
) -> None:
    """Move those of the letters on that are open, and keep who did so."""
    for letter in letters:
        changed = tx.execute(
            "UPDATE dead_letters SET status = ?, status_at = ?, settlement = ? WHERE id = ? AND status = 'open'",
            (status, tx.now_us, to_json(settlement), letter),
        )
        if changed.rowcount == 1:
            transitions.record_letter(tx, letter, _TOLD[status])
