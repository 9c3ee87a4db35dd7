"""Everything between the adapters and the server, wired together and kept running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from forebay.app.adapters import Adapters
from forebay.app.orchestrations import register_orchestrations
from forebay.app.places import places
from forebay.app.running import keep_running
from forebay.catalog.history import check_history, repair_documents
from forebay.database import Database
from forebay.durable import DeadLetters, Divergence, DurableEngine, EngineLimits, Registry, Retention
from forebay.intake.dispatch import Dispatcher
from forebay.intake.intake import Intake
from forebay.intake.reconcile import Reconciler
from forebay.intake.sources import ArrivalSources
from forebay.intake.watch import Watcher
from forebay.pipeline.activities import register_activities
from forebay.pipeline.arrive_again import arrive_again
from forebay.pipeline.embedding import register_embedding
from forebay.pipeline.index_model import IndexModel, IndexState
from forebay.pipeline.ingest import ORCHESTRATION
from forebay.pipeline.pipeline import Pipeline, PipelineLimits
from forebay.pipeline.posted_text import register_posted_text_activities
from forebay.pipeline.reindex import register_reindex_activities
from forebay.pipeline.stage_times import StageTimes
from forebay.pipeline.transitions import register_transitions
from forebay.pipeline.verify import check_index, repair_index
from forebay.search.search import Search
from forebay.settings import Settings
from forebay.telemetry.observe.observation import Observation
from forebay.values.correlation import Correlation

READS_PER_PARSER = 8  # files read and written beside the one that is parsed; more change nothing but the wait of others
REST_SECONDS = 10.0  # how long a check waits for work under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """Everything between the adapters and the server."""

    settings: Settings
    adapters: Adapters
    engine: DurableEngine
    letters: DeadLetters
    dispatcher: Dispatcher
    intake: Intake
    reconciler: Reconciler
    watcher: Watcher
    search: Search
    pipeline: Pipeline
    model: IndexModel

    async def state(self) -> IndexState:
        """How far the index is from the settings; see `pipeline.index_model`."""
        return await self.model.state(self.engine.client)

    async def reindex(self) -> IndexState:
        """Begin to bring the index to the settings."""
        return await self.model.start(self.engine.client)

    async def index(self, repair: bool = False) -> dict[str, Any]:
        """Check the index, after mending it with `repair`; see `pipeline.verify`."""
        found = await self._check_index_at_rest()
        if not repair or found["ok"]:
            return found
        if await repair_index(self.pipeline, found["problems"], self.adapters.effects.random):
            await self.dispatcher.until_idle()
        return await self._check_index_at_rest()

    async def _check_index_at_rest(self) -> dict[str, Any]:
        """What work under way has written in part looks like damage, so problems count only if they stay."""
        deadline = self.adapters.effects.clock.monotonic() + REST_SECONDS
        while True:
            found = await check_index(self.pipeline)
            if found["ok"] or not self.engine.live_count or self.adapters.effects.clock.monotonic() >= deadline:
                return found
            await self.adapters.effects.clock.sleep(0.2)

    async def history(self, repair: bool = False) -> dict[str, Any]:
        """Check the history, after mending the documents with `repair`; see `catalog.history`."""
        found = await self.adapters.database.readers.run(check_history)
        if not repair or found["ok"]:
            return found
        await self.adapters.database.writer.submit(repair_documents, bulk=True)
        return await self.adapters.database.readers.run(check_history)


@asynccontextmanager
async def run_core(
    settings: Settings, adapters: Adapters, observation: Observation | None = None, *, drained: Callable[[], int] | None = None
) -> AsyncIterator[Core]:
    """Wire the parts together and keep them running until the block ends; what they do is told to `observation`.

    `drained`: up to which sequence the tables have the transitions of the journal.
    """
    observation = observation or Observation()
    effects, database, blobs = adapters.effects, adapters.database, adapters.blobs
    settle_seconds = settings.intake.settle_seconds
    watched = places(settings, settings.data_dir.absolute() / "containers")
    registry = Registry()
    engine = DurableEngine(
        registry,
        database,
        effects=effects,
        limits=_engine_limits(settings),
        tracer=observation.tracer,
        records_transitions=True,
        diverged=lambda found: _tell_divergence(observation, found),
    )
    dispatcher = Dispatcher(
        database.readers,
        database.writer,
        engine.client,
        effects.clock,
        orchestration=ORCHESTRATION,
        limit=settings.engine.inflight_instances,
        observation=observation,
    )
    intake = Intake(
        blobs,
        database.writer,
        dispatcher,
        effects,
        container=settings.intake.container,
        prefix=settings.intake.prefix,
        max_bytes=settings.server.max_body_bytes,
    )
    reconciler = Reconciler(intake, database.readers, effects, settle_seconds=settle_seconds)
    watcher = Watcher(
        watched,
        reconciler,
        adapters.feed,
        effects.clock,
        settle_seconds=settle_seconds,
        interval_seconds=settings.intake.reconcile_interval_seconds,
    )
    pipeline = Pipeline(
        database=database,
        sources=ArrivalSources(blobs, effects, {place.key: place for place in watched}, reconciler, settle_seconds=settle_seconds),
        parser=adapters.parser,
        embedders={each.model_id: each for each in (adapters.previous_embedder, adapters.embedder) if each is not None},
        limits=_pipeline_limits(settings),
        times=StageTimes(effects.clock),
        tracer=observation.tracer,
    )
    register_orchestrations(registry, settings)
    register_transitions(registry)
    register_activities(registry, pipeline)
    register_embedding(registry, pipeline)
    register_reindex_activities(registry, pipeline, effects, dispatcher.notify)
    register_posted_text_activities(registry, database.readers)
    letters = DeadLetters(engine, {ORCHESTRATION: arrive_again(pipeline, effects.random, dispatcher.notify)})
    retention = Retention(engine, timedelta(days=settings.engine.instance_retention_days), drained=drained)
    search = Search(database.readers, pipeline.embedders)
    model = IndexModel(pipeline, adapters.embedder, settings.embedding.recipe, effects)
    await _continue_transaction_time(database)
    await model.adopt()
    async with engine:
        background = [
            asyncio.create_task(keep_running("dispatcher", dispatcher.run, effects.clock)),
            asyncio.create_task(keep_running("watcher", watcher.run, effects.clock)),
        ]
        if settings.engine.instance_retention_days:
            background.append(asyncio.create_task(keep_running("retention", retention.run, effects.clock)))
        try:
            yield Core(
                settings=settings,
                adapters=adapters,
                engine=engine,
                letters=letters,
                dispatcher=dispatcher,
                intake=intake,
                reconciler=reconciler,
                watcher=watcher,
                search=search,
                pipeline=pipeline,
                model=model,
            )
        finally:
            reconciler.stop()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)


def _pipeline_limits(settings: Settings) -> PipelineLimits:
    return PipelineLimits(
        max_blob_bytes=settings.reading.max_blob_bytes,
        max_text_characters=settings.reading.max_text_characters,
        accept_unknown_text=settings.reading.accept_unknown_text,
        chunk_size=settings.chunking.chunk_size,
        chunker=settings.chunking.chunker,
        scan_action=settings.reading.scan_action,
        read_concurrency=READS_PER_PARSER * settings.reading.parse_workers,
        embed_concurrency=settings.embedding.embed_concurrency,
        activity_timeout_seconds=settings.engine.activity_timeout_seconds,
    )


def _engine_limits(settings: Settings) -> EngineLimits:
    return EngineLimits(
        inflight_instances=settings.engine.inflight_instances + 1,  # documents, and the re-index that may wait for them
        payload_bytes=settings.engine.payload_limit_bytes,
        message_lifetime_seconds=settings.engine.message_lifetime_days * 86_400,
        shadow_replay_ratio=settings.engine.shadow_replay_ratio,
        stop_deadline_seconds=settings.server.stop_deadline_seconds / 2,  # the server has the other half
    )


def _tell_divergence(observation: Observation, found: Divergence) -> None:
    told = {
        "instance_id": found.instance_id,
        "orchestrator": found.name,
        "recorded": found.recorded,
        "scheduled": found.scheduled or "nothing",
    }
    ties = None if found.correlation_id is None else Correlation(id=found.correlation_id, project=found.project)
    observation.event("replay_diverged", told | {"message": found.message}, correlation=ties)


async def _continue_transaction_time(database: Database) -> None:
    """Times go on where they were, even if the wall clock has been set back since."""
    newest = await database.readers.run(
        lambda connection: connection.execute("SELECT at FROM events ORDER BY sequence DESC LIMIT 1").fetchone()
    )
    if newest is not None:
        database.writer.not_before(newest[0])
