"""Text that somebody posts to the orchestrator `embeddings`: stored as a document like any upload, and followed to its outcome."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from forebay.catalog.arrivals import ending_of
from forebay.database import Readers
from forebay.durable import OrchestrationContext, Registry, RetryOptions, Task
from forebay.errors import ForebayError
from forebay.values.reasons import REASONS

EMBEDDINGS = "embeddings"
FIRST_LOOK_SECONDS = 0.1  # after the first look at an arrival that is under way, which finds most short texts done
LONGEST_LOOK_SECONDS = 15.0  # between two looks


def register_posted_text(registry: Registry, retry: RetryOptions) -> None:
    """Register the orchestration.

    Its input is `{"projectId", "name", "documentId", "arrival"}`, where the last is the sequence of the arrival that the stored text is.
    Its output is `{"ok": true, "id": name}` once the text answers searches; `"ok"` is false, and `"outcome"` says why, when something
    newer of that name came first. It fails with the reason for which the document was skipped or failed.

    It waits by timers, which takes no place from the documents that it waits for.
    """

    @registry.orchestrator
    def embeddings(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
        posted = context.get_input()
        look_seconds = FIRST_LOOK_SECONDS
        while (outcome := (yield context.call_activity_with_retry("outcome_of_text", retry, posted["arrival"]))) is None:
            yield context.create_timer(context.current_utc_datetime + timedelta(seconds=look_seconds))
            look_seconds = min(LONGEST_LOOK_SECONDS, look_seconds * 2)
        if outcome in ("indexed", "unchanged"):
            return {"ok": True, "id": posted["name"]}
        return {"ok": False, "id": posted["name"], "outcome": outcome}


def register_posted_text_activities(registry: Registry, readers: Readers) -> None:
    """Register `outcome_of_text`."""

    @registry.activity(expected=REASONS)
    async def outcome_of_text(sequence: int) -> str | None:
        """How an arrival ended; None while it is under way. Raises `ForebayError` with the reason for which it was skipped or failed."""
        outcome, reason = await readers.run(lambda connection: ending_of(connection, sequence))
        if reason in REASONS:
            raise ForebayError(reason, f"the text was {outcome}: {REASONS[reason].meaning}", hint=REASONS[reason].remedy)
        return outcome
