"""Appends to the histories of live instances."""

from __future__ import annotations

from collections.abc import Sequence

from forebay.database import Transaction
from forebay.durable.instances.run import Run
from forebay.durable.journal import journal
from forebay.durable.journal.journal import Fact
from forebay.errors import ForebayError


def record(tx: Transaction, run: Run, facts: Sequence[Fact]) -> None:
    """Append facts to an instance's history, in the writer's order. Raises what `record_all` answers."""
    (refusal,) = record_all(tx, [(run, facts)])
    if refusal is not None:
        raise refusal


def record_all(tx: Transaction, found: Sequence[tuple[Run, Sequence[Fact]]]) -> list[ForebayError | None]:
    """The same for several instances: for each the reason why nothing has been recorded of it, if there is one.

    That is `instance_reloaded` when the live instance has been given up meanwhile: its successor replays the journal as it is, so nothing
    may be added behind its back. The same when it has been terminated or purged and does not know of it yet.
    """
    incarnations = journal.going_on(tx, [run.row.key for run, _ in found])
    refusals: list[ForebayError | None] = []
    rows: list[journal.HistoryRow] = []
    for run, facts in found:
        if run.is_over or incarnations.get(run.row.key) != run.row.incarnation:
            refusals.append(ForebayError("instance_reloaded", f"instance {run.row.id} has been reloaded", retryable=True))
            continue
        refusals.append(None)
        for fact in facts:
            rows.append(journal.history_row(run.row.key, run.next_sequence, fact))
            run.next_sequence += 1
    journal.append_rows(tx, rows)
    return refusals
