"""What happens to instances and dead letters, told to whoever follows: one row for each change of state, written with the change."""

from __future__ import annotations

from typing import Any, Literal

from forebay.database.transaction import Transaction
from forebay.durable.journal.dead_letters import load_letter
from forebay.durable.journal.journal import InstanceRow, from_json, to_json

InstanceTransition = Literal[
    "Started", "Completed", "Failed", "Terminated", "Suspended", "Resumed", "ContinuedAsNew", "Rewound", "Restarted", "Purged"
]
LetterTransition = Literal["DeadLettered", "DeadLetterReplayed", "DeadLetterPurged"]

_INSERT = "INSERT INTO instance_events (instance_id, name, type, at, correlation_id, project, data) VALUES (?, ?, ?, ?, ?, ?, ?)"


class Transitions:
    """Writes rows of `instance_events`, or none where nobody follows them."""

    def __init__(self, *, is_on: bool) -> None:
        self.is_on = is_on

    def record(self, tx: Transaction, row: InstanceRow, type_: InstanceTransition, at: int, data: dict[str, Any] | None = None) -> None:
        """`row` as it is from then on; `at` and `created_at` in microseconds since the epoch.

        `data` may have `output_bytes`, `failed_attempts`, `failure_code` and `reason`: why somebody wanted it.
        """
        if self.is_on:
            state = {
                "status": row.status,
                "created_at": row.created_at,
                "input_bytes": len(row.input_json.encode()),
                "version": row.version,
            }
            tx.execute(_INSERT, (row.id, row.name, type_, at, row.correlation_id, row.project, to_json(state | (data or {}))))

    def record_letter(self, tx: Transaction, letter_id: int, type_: LetterTransition) -> None:
        """The whole letter as it is from now on, but for the payload of what failed: the instance may be gone by then."""
        letter = load_letter(tx.connection, letter_id) if self.is_on else None
        if letter is None:
            return
        state = {
            "letter": letter.id,
            "kind": letter.kind,
            "name": letter.name,
            "code": letter.code,
            "reason": letter.reason,
            "attempts": letter.attempts,
            "first_failed_at": letter.first_failed_at,
            "last_failed_at": letter.last_failed_at,
            "status": letter.status,
        }
        if letter.settlement_json is not None:
            state["settlement"] = from_json(letter.settlement_json)
        tx.execute(
            _INSERT,
            (letter.instance_id, letter.orchestrator, type_, letter.status_at, letter.correlation_id, letter.project, to_json(state)),
        )
