"""The way of a document, from top to bottom: begin, read, embed in parallel, persist, tidy up, move."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from forebay.durable import ActivityFailed, OrchestrationContext, Registry, RetryOptions, Task
from forebay.pipeline.embedders.costs import sum_of_costs
from forebay.values.blob import FAILED, PROCESSED

ORCHESTRATION = "ingest_document"
SLICE_CHUNKS = 64  # chunks embedded by one activity

Steps = Generator[Task[Any], Any, Any]


def register_ingest(registry: Registry, retry: RetryOptions) -> None:
    """Register the orchestration; its activities are those of `activities.py` and `transitions.py`."""

    @registry.orchestrator
    def ingest_document(context: OrchestrationContext) -> Steps:
        sequence: int = context.get_input()["arrival"]
        begun = yield context.call_activity_with_retry("begin", retry, sequence)
        if begun["outcome"] is not None:
            ended = begun
        else:
            try:
                ended = yield from _index(context, sequence)
            except ActivityFailed as failed:
                ended = yield from _give_up(context, sequence, failed)
        yield from _tidy(context, sequence, ended)
        return {"outcome": ended["outcome"]}

    def _index(context: OrchestrationContext, sequence: int) -> Steps:
        read = yield context.call_activity_with_retry("read_and_chunk", retry, sequence)
        if read["unchanged"]:
            return (yield context.call_activity_with_retry("keep", retry, sequence))
        slices = [
            {"version": read["version"], "first": first, "last": min(first + SLICE_CHUNKS, read["chunk_count"]) - 1}
            for first in range(0, read["chunk_count"], SLICE_CHUNKS)
        ]
        is_missing, embedded_count = read["missing_count"] > 0, 0
        costs: dict[str, float] = {}
        for is_last_try in (False, False, True):
            if is_missing:
                done = yield context.task_all([context.call_activity_with_retry("embed", retry, each) for each in slices])
                charged = [each for each in done if isinstance(each, dict)]  # the others asked no server
                embedded_count += sum(each["embedded"] if isinstance(each, dict) else each for each in done)
                costs = sum_of_costs([costs, *(each["costs"] for each in charged)])
            written = {"arrival": sequence, "version": read["version"], "embedded": embedded_count} | ({"costs": costs} if costs else {})
            try:
                return (yield context.call_activity_with_retry("persist", retry, written))
            except ActivityFailed as failed:
                if failed.code != "embedding_incomplete" or is_last_try:
                    raise
            is_missing = True  # searches have gone over to another model meanwhile

    def _give_up(context: OrchestrationContext, sequence: int, failed: ActivityFailed) -> Steps:
        if failed.code == "source_changed":
            yield from _attempt(context, "look_again", sequence)
        yield from _attempt(context, "discard_staged_version", sequence)
        failure = {"arrival": sequence, "activity": failed.name, "code": failed.code, "message": failed.failure.message}
        return (yield context.call_activity_with_retry("refuse", retry, failure))

    def _attempt(context: OrchestrationContext, name: str, value: Any) -> Steps:
        """What helps, but must not stand in the way of an outcome."""
        try:
            yield context.call_activity_with_retry(name, retry, value)
        except ActivityFailed:
            return

    def _tidy(context: OrchestrationContext, sequence: int, ended: dict[str, Any]) -> Steps:
        """What follows a decided outcome and cannot undo it."""
        try:
            if ended.get("retire") is not None:
                yield context.call_activity_with_retry("retire_version", retry, ended["retire"])
            if ended.get("discard"):
                yield context.call_activity_with_retry("discard_staged_version", retry, sequence)
            container = {"indexed": PROCESSED, "unchanged": PROCESSED, "superseded": PROCESSED, "failed": FAILED}.get(ended["outcome"])
            if container is not None and ended["is_blob"]:
                move = {"arrival": sequence, "container": container}
                name = yield context.call_activity_with_retry("move_blob", retry, move)
                if name is not None:
                    yield context.call_activity_with_retry("record_move", retry, move | {"name": name})
            if ended["outcome"] == "deleted" and ended["is_blob"]:
                yield context.call_activity_with_retry("delete_blobs", retry, sequence)
        except ActivityFailed:
            # the outcome stands; the blob stays where it is, known by its ETag
            return
