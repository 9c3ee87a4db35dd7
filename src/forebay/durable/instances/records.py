"""Appends to the histories of live instances, and to those only that the journal still has as they are in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from forebay.database import Transaction
from forebay.durable.instances.run import Run
from forebay.durable.journal import journal
from forebay.durable.journal.journal import Fact
from forebay.errors import ForebayError


def record(tx: Transaction, run: Run, facts: Sequence[Fact]) -> None:
    """Append facts to an instance's history, in the writer's order. Raises what the `fence` of it gives."""
    for refusal in fence([run])(tx).values():
        raise refusal
    journal.append_history(tx, [value for fact in facts for value in run.next_row(fact)])


def fence(runs: Sequence[Run]) -> Callable[[Transaction], dict[int, ForebayError]]:
    """Tells why nothing may be recorded of some of these instances, by their positions.

    `instance_reloaded`: the live instance has been given up meanwhile, and its successor replays the journal as it is, so nothing may be
    added behind its back; or it has been terminated or purged and does not know of it yet.
    """
    keys = [run.row.key for run in runs]
    incarnations = [run.row.incarnation for run in runs]
    # incarnations only grow, and no live instance is ahead of the journal: all are the same when the sums are
    expected = (len(set(keys)), sum(incarnations))

    def refusals(tx: Transaction) -> dict[int, ForebayError]:
        if journal.going_on_count(tx, keys) == expected and not any(run.is_over for run in runs):
            return {}
        going_on = journal.going_on(tx, keys)
        return {
            position: ForebayError("instance_reloaded", f"instance {run.row.id} has been reloaded", retryable=True)
            for position, run in enumerate(runs)
            if run.is_over or going_on.get(keys[position]) != incarnations[position]
        }

    return refusals
