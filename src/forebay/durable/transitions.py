"""What happens to instances, told to whoever follows: one row for each change of state, written with the change."""

from __future__ import annotations

from typing import Any, Literal

from forebay.database.transaction import Transaction
from forebay.durable.journal import InstanceRow, to_json

TransitionType = Literal[
    "Started", "Completed", "Failed", "Terminated", "Suspended", "Resumed", "ContinuedAsNew", "Rewound", "Restarted", "Purged",
    "DeadLettered", "DeadLetterReplayed", "DeadLetterPurged",
]  # fmt: skip


class Transitions:
    """Writes rows of `instance_events`, or none where nobody follows them."""

    def __init__(self, *, is_on: bool) -> None:
        self._is_on = is_on

    def record(self, tx: Transaction, row: InstanceRow, type_: TransitionType, at: int, data: dict[str, Any] | None = None) -> None:
        """`row` as it is from then on; `at` in microseconds since the epoch."""
        if self._is_on:
            state = {"status": row.status, "created_at": row.created_at, "input_bytes": len(row.input_json), "version": row.version}
            tx.execute(
                "INSERT INTO instance_events (instance_id, name, type, at, correlation_id, project, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row.id, row.name, type_, at, row.correlation_id, row.project, to_json(state | (data or {}))),
            )
