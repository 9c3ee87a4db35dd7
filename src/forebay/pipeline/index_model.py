"""Which model the index goes by, and its change to the configured one."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from typing import Literal

from forebay.catalog import models
from forebay.database import Transaction
from forebay.durable import DurableClient
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.pipeline.embedders.port import Embedder
from forebay.pipeline.pipeline import Pipeline
from forebay.pipeline.reindex import REINDEX

log = logging.getLogger(__name__)

DECISION_TRIES = 10
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexState:
    """How far the index is from the settings."""

    status: Literal["current", "outdated", "running", "failed"]
    configured_model: str
    searched_model: str  # what searches go by
    missing_texts: int  # texts of searchable documents without a vector of the configured model
    outdated_documents: int  # searchable documents that were cut under other settings
    instance_id: str | None  # of the orchestration under way, or failed
    message: str | None  # what is wrong, or to be done


class IndexModel:
    """Keeps the model that searches go by, until a re-index has built the configured one."""

    def __init__(self, pipeline: Pipeline, configured: Embedder, made_by: models.Recipe, effects: Effects) -> None:
        self._pipeline = pipeline
        self._configured = configured
        self._made_by = made_by
        self._random = effects.random
        self._clock = effects.clock

    async def adopt(self) -> None:
        """Decide at the start which model searches go by.

        That is the one of the last run, as long as it can still be made and something is indexed by it. Otherwise it is the
        configured one at once: vectors of a model that cannot embed a question are of no use.
        """
        configured = self._configured.model_id
        before = await self._pipeline.database.readers.run(models.searched_model)
        built = await self._pipeline.database.readers.run(models.built_model)
        is_kept = before is not None and (before.id == configured or before.id in self._pipeline.embedders)
        is_as_configured = before is not None and (before.id, before.made_by) == (configured, self._made_by)
        if not is_as_configured or (built is not None and built.id != configured):
            await self._decide(is_kept=is_kept)
        after = await self._pipeline.database.readers.run(models.searched_model)
        if before is not None and after is not None and (before.id != configured or not after.is_complete):
            log.warning("documents were indexed by %s, the settings name %s: run `forebay reindex`", before.id, configured)

    async def _decide(self, *, is_kept: bool) -> None:
        configured = self._configured.model_id

        def unit(tx: Transaction) -> None:
            built = models.built_model(tx.connection)
            if built is not None and built.id != configured:
                models.stop_building(tx)
            is_empty = not models.texts_without_vector(tx.connection, configured, limit=1)
            searched = models.searched_model(tx.connection)
            if is_empty or not is_kept:
                models.search_by(tx, configured, self._made_by, is_complete=is_empty)
            elif searched is not None and searched.id == configured:  # made otherwise by now: its server has moved
                models.search_by(tx, configured, self._made_by, is_complete=searched.is_complete)

        for is_last_try in (*[False] * (DECISION_TRIES - 1), True):
            try:
                await self._pipeline.database.writer.submit(unit)
                return
            except ForebayError as error:
                if is_last_try or not error.retryable:
                    raise
                await self._clock.sleep(RETRY_SECONDS)

    async def state(self, client: DurableClient) -> IndexState:
        """How far the index is from the settings, and the re-index that is under way or failed last."""
        configured, recipe = self._configured.model_id, self._pipeline.limits.recipe

        def look(connection: sqlite3.Connection) -> tuple[models.SearchedModel, models.BuiltModel | None, int, int]:
            searched = models.searched_model(connection)
            assert searched is not None, "a start has chosen one"
            is_whole = searched.is_complete and searched.id == configured  # no version becomes current without its vectors
            missing = 0 if is_whole else models.count_texts_without_vector(connection, configured)
            return searched, models.built_model(connection), missing, models.count_outdated_documents(connection, recipe)

        searched, built, missing, outdated = await self._pipeline.database.readers.run(look)
        instance = await client.get_status(built.instance_id) if built else None
        status: Literal["current", "outdated", "running", "failed"] = "current"
        message = None
        if instance is not None and instance.runtime_status != "Completed":
            status = "failed" if instance.runtime_status in ("Failed", "Terminated") else "running"
            message = f"{instance.output}; run `forebay reindex` again" if status == "failed" else None
        elif searched.id != configured or missing or outdated:
            status = "outdated"
            message = _advice(searched.id, configured, missing, outdated)
        return IndexState(
            status=status,
            configured_model=configured,
            searched_model=searched.id,
            missing_texts=missing,
            outdated_documents=outdated,
            instance_id=instance.instance_id if instance else None,
            message=message,
        )

    async def start(self, client: DurableClient) -> IndexState:
        """Bring the index to the settings in force, in the background; one that is under way goes on, a failed one begins again."""
        state = await self.state(client)
        if state.status in ("current", "running"):
            return state
        new_id = f"{REINDEX}-{self._random.hex(8)}"

        def unit(tx: Transaction) -> str:
            built = models.built_model(tx.connection)
            if built is not None and built.instance_id != state.instance_id:
                return built.instance_id  # begun a moment ago, perhaps cut short before its instance was durable
            models.build(tx, self._configured.model_id, self._made_by, new_id)
            return new_id

        instance_id = await self._pipeline.database.writer.submit(unit)
        await client.start_new(REINDEX, instance_id, {"model": self._configured.model_id})
        return await self.state(client)


def _advice(searched: str, configured: str, missing: int, outdated: int) -> str:
    found = []
    if searched != configured:
        found.append(f"searches go by {searched}, the settings name {configured}")
    if missing:
        found.append(f"{missing} texts have no vector of {configured}")
    if outdated:
        found.append(f"{outdated} documents were cut under other settings")
    return "; ".join(found) + ": run `forebay reindex`"
