"""Brings the index to the settings in force, beside searches: documents cut otherwise are cut again, texts get the model's vectors.

Searches go by the old model until the last text has a vector of the new one; the change is one commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from forebay.catalog import models
from forebay.catalog.arrivals import has_open_arrivals
from forebay.database import Transaction
from forebay.durable import OrchestrationContext, Registry, RetryOptions, Task
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.pipeline.pipeline import Pipeline
from forebay.pipeline.verify import read_again

REINDEX = "reindex"
ACTOR = "reindex"

READ_AGAIN_COUNT = 100  # documents that arrive again in one commit, about 30 ms
TEXT_COUNT = 4096  # texts found at once; their ids fit into one payload
SLICE_TEXTS = 64  # texts embedded by one activity
DROP_COUNT = 2048  # vectors removed in one commit
LOOK_SECONDS = 0.5  # between looks at what still arrives
LONGEST_WAIT_SECONDS = 60.0  # in one activity


def register_reindex_orchestration(registry: Registry, retry: RetryOptions) -> None:
    """Register the orchestration; its activities are those below, and `embed_texts` of `embedding.py`.

    Its input is `{"model"}`, its output `{"read_again", "embedded"}`, both counts. It fails when its model is not configured any
    more, or cannot embed; what is embedded by then stays.
    """

    @registry.orchestrator
    def reindex(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
        model: str = context.get_input()["model"]
        page = {"after_version": 0}
        read_again_count = embedded_count = 0
        while (page := (yield context.call_activity_with_retry("read_outdated_again", retry, page)))["count"]:
            read_again_count += page["count"]
        while (yield context.call_activity_with_retry("wait_for_reading", retry)):
            pass
        is_complete = False
        while not is_complete:
            found = yield context.call_activity_with_retry("find_texts", retry, model)
            texts = found["texts"]
            slices = [{"model": model, "texts": texts[first : first + SLICE_TEXTS]} for first in range(0, len(texts), SLICE_TEXTS)]
            if slices:
                counts = yield context.task_all([context.call_activity_with_retry("embed_texts", retry, each) for each in slices])
                embedded_count += sum(counts)
            else:
                built = {"model": model, "instance": context.instance_id, "seen_until_us": found["seen_until_us"]}
                is_complete = yield context.call_activity_with_retry("search_by", retry, built)
        yield context.call_activity_with_retry("drop_unused_vectors", retry)
        return {"read_again": read_again_count, "embedded": embedded_count}


def register_reindex_activities(registry: Registry, pipeline: Pipeline, effects: Effects, notify: Callable[[], None]) -> None:
    """Register its activities; `notify` tells the dispatcher that something arrived."""
    writer, readers = pipeline.database.writer, pipeline.database.readers
    recipe, clock = pipeline.limits.recipe, effects.clock
    activity = registry.activity(timeout_seconds=pipeline.limits.activity_timeout_seconds)

    @registry.transactional
    def read_outdated_again(tx: Transaction, page: dict[str, int]) -> dict[str, int]:
        """Let some of the documents that were cut by another recipe arrive again; the next page begins where this one ends."""
        found = models.outdated_documents(tx.connection, recipe, after_version=page["after_version"], limit=READ_AGAIN_COUNT)
        for _, document in found:
            read_again(tx, document, ACTOR, effects.random)
        return {"after_version": found[-1][0] if found else 0, "count": len(found)}

    @activity
    async def wait_for_reading(_: None) -> bool:
        """Whether documents that arrived again are still in work after a while."""
        until = clock.monotonic() + min(LONGEST_WAIT_SECONDS, pipeline.limits.activity_timeout_seconds / 2)
        notify()
        while await readers.run(lambda connection: has_open_arrivals(connection, ACTOR)):
            if clock.monotonic() >= until:
                return True
            await clock.sleep(LOOK_SECONDS)
        return False

    @activity
    async def find_texts(model: str) -> dict[str, Any]:
        """Texts that lack a vector of the model, and up to which moment versions have been looked at."""

        def look(connection: sqlite3.Connection) -> dict[str, Any]:
            texts = models.texts_without_vector(connection, model, limit=TEXT_COUNT)
            return {"texts": texts, "seen_until_us": models.newest_version_at(connection)}

        return await readers.run(look)

    @registry.transactional
    def search_by(tx: Transaction, built: dict[str, Any]) -> bool:
        """Let searches go by the model, unless a version without vectors of it became current since the last look."""
        wanted = models.built_model(tx.connection)
        if wanted is None or (wanted.id, wanted.instance_id) != (built["model"], built["instance"]):
            raise ForebayError(
                "model_not_configured",
                f"expected {built['model']} to be the model that is built, got {wanted.id if wanted else 'none'}",
                hint="Run `forebay reindex` again, with the settings that are meant.",
                status=409,
            )
        if models.texts_without_vector(tx.connection, wanted.id, after_us=built["seen_until_us"], limit=1):
            return False
        models.search_by(tx, wanted.id, wanted.made_by, is_complete=True)
        models.stop_building(tx)
        return True

    @activity
    async def drop_unused_vectors(_: None) -> None:
        """Remove the vectors of models that nothing uses any more."""
        first: int | None = 0
        while first is not None:
            first = await writer.submit(partial(models.drop_unused_vectors, first_text_id=first, limit=DROP_COUNT), bulk=True)
