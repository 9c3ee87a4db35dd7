"""Forgetting instances."""

from __future__ import annotations

import sqlite3

from forebay.database.transaction import Transaction
from forebay.durable.journal.journal import INSTANCE_COLUMNS, InstanceRow, instance_row
from forebay.durable.journal.transitions import Transitions

_FAMILY = f"""
WITH RECURSIVE family(key) AS (SELECT ? UNION SELECT i.key FROM instances i JOIN family f ON i.parent = f.key)
SELECT {INSTANCE_COLUMNS} FROM instances i WHERE i.key IN (SELECT key FROM family) ORDER BY i.key"""


def family(connection: sqlite3.Connection, key: int) -> list[InstanceRow]:
    """An instance, its sub-orchestrations, theirs, and so on."""
    return [instance_row(row) for row in connection.execute(_FAMILY, (key,)).fetchall()]


def remove(tx: Transaction, first: InstanceRow, transitions: Transitions) -> list[InstanceRow]:
    """Forget an instance and its sub-orchestrations, of those only what has ended; what has been forgotten."""
    removed = [row for row in family(tx.connection, first.key) if row.is_over or row.key == first.key]
    for row in removed:
        for table in ("history", "messages"):
            tx.execute(f"DELETE FROM {table} WHERE instance = ?", (row.key,))
        tx.execute("UPDATE instances SET parent = NULL WHERE parent = ?", (row.key,))
        tx.execute("DELETE FROM instances WHERE key = ?", (row.key,))
        transitions.record(tx, row, "Purged", tx.now_us)
    return removed
