"""The composition root: the only place where the parts are wired together."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay import __version__
from forebay.blobs.directory import DirectoryBlobStore
from forebay.blobs.port import BlobStore
from forebay.catalog import tables
from forebay.catalog.history import check_history, repair_documents
from forebay.data_directory import own_data_directory
from forebay.database import Database, Migration, open_database
from forebay.durable import DurableEngine, EngineLimits, Registry, RetryOptions, journal
from forebay.effects import Effects, real_effects
from forebay.errors import ForebayError
from forebay.intake.dispatch import Dispatcher
from forebay.intake.excludes import Excludes
from forebay.intake.intake import Intake
from forebay.intake.places import Place
from forebay.intake.reconcile import Reconciler
from forebay.intake.sources import ArrivalSources
from forebay.intake.watch import ChangeFeed, FileSystemFeed, Watcher
from forebay.pipeline.activities import Pipeline, PipelineLimits, register_activities
from forebay.pipeline.embedders.port import Embedder
from forebay.pipeline.ingest import ORCHESTRATION, register_ingest
from forebay.pipeline.parse import Parser
from forebay.pipeline.stage_times import StageTimes
from forebay.pipeline.transitions import register_transitions
from forebay.pipeline.verify import check_index, repair_index
from forebay.search.search import Search
from forebay.search.vectors import VectorIndex
from forebay.settings import Settings
from forebay.values.arrival import INCOMING_SOURCE

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forebay.server.parts import Parts

log = logging.getLogger(__name__)

RESTART_SECONDS = 5.0
REST_SECONDS = 10.0  # how long a check waits for work under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """What reaches outside, chosen by settings; simulations bring their own."""

    effects: Effects
    database: Database
    blobs: BlobStore
    parser: Parser
    embedder: Embedder
    feed: ChangeFeed


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """Everything between the adapters and the server."""

    settings: Settings
    adapters: Adapters
    engine: DurableEngine
    dispatcher: Dispatcher
    intake: Intake
    reconciler: Reconciler
    watcher: Watcher
    search: Search
    pipeline: Pipeline

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


def schemas() -> Mapping[str, Sequence[Migration]]:
    """The tables of every component that lives in catalog.db."""
    return {"durable": journal.schema(), "catalog": tables.schema()}


def places(settings: Settings, blob_root: Path) -> list[Place]:
    """The intake container and the watched folders. Blobs are excluded by nothing: somebody put them there on purpose."""
    everything = Excludes(exclude=(), include=(), respect_gitignore=False)
    intake = settings.intake
    patterns = intake.exclude_patterns
    project = settings.default_project
    incoming = Place(
        project=project,
        source=INCOMING_SOURCE,
        root=blob_root / intake.container,
        container=intake.container,
        prefix=intake.prefix,
        excludes=everything,
    )
    folders = []
    for folder in dict.fromkeys(each.resolve() for each in intake.watch):
        if folder.is_relative_to(settings.data_dir.resolve()):
            raise ForebayError(
                "invalid_setting",
                f"{folder} cannot be watched: it is the data directory, or part of it",
                hint="watch a folder of your own, or drop files into the intake container",
            )
        own = _own_data(folder, settings.data_dir.resolve())
        excludes = Excludes(exclude=(*patterns, *own), include=intake.include, respect_gitignore=intake.respect_gitignore)
        folders.append(Place(project=project, source=str(folder), root=folder, container=None, prefix="", excludes=excludes))
    return [incoming, *folders]


def _own_data(folder: Path, data_dir: Path) -> list[str]:
    """The pattern that keeps a folder's watch from indexing this program's own data directory below it."""
    if not data_dir.is_relative_to(folder):
        return []
    return ["/" + re.sub(r"([*?\[\]\\!# ])", r"\\\1", data_dir.relative_to(folder).as_posix()) + "/"]


@asynccontextmanager
async def run_core(settings: Settings, adapters: Adapters) -> AsyncIterator[Core]:
    """Wire the parts together and keep them running until the block ends."""
    effects, database, blobs = adapters.effects, adapters.database, adapters.blobs
    settle_seconds = settings.intake.settle_seconds
    watched = places(settings, settings.data_dir.absolute() / "containers")
    registry = Registry()
    engine = DurableEngine(registry, database, effects=effects, limits=_engine_limits(settings))
    dispatcher = Dispatcher(
        database.readers,
        database.writer,
        engine.client,
        effects.clock,
        orchestration=ORCHESTRATION,
        limit=settings.engine.inflight_instances,
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
        embedder=adapters.embedder,
        limits=_pipeline_limits(settings),
        times=StageTimes(effects.clock),
    )
    register_ingest(registry, _retry(settings))
    register_transitions(registry)
    register_activities(registry, pipeline)
    search = Search(database.readers, adapters.embedder, VectorIndex(adapters.embedder.model_id, adapters.embedder.dimensions))
    await _continue_transaction_time(database)
    async with engine:
        background = [
            asyncio.create_task(_keep_running("dispatcher", dispatcher.run, effects)),
            asyncio.create_task(_keep_running("watcher", watcher.run, effects)),
        ]
        try:
            yield Core(
                settings=settings,
                adapters=adapters,
                engine=engine,
                dispatcher=dispatcher,
                intake=intake,
                reconciler=reconciler,
                watcher=watcher,
                search=search,
                pipeline=pipeline,
            )
        finally:
            reconciler.stop()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forebay:
    """The running program."""

    settings: Settings
    core: Core
    parts: Parts  # what the HTTP API stands on
    asgi: FastAPI  # the HTTP API
    admin_key: str

    async def until_idle(self) -> None:
        """Return once every source has been compared with the catalog and every arrival has its outcome."""
        await self.core.watcher.until_reconciled()
        await self.core.dispatcher.until_idle()


@asynccontextmanager
async def open_forebay(settings: Settings) -> AsyncIterator[Forebay]:
    """The whole program on its data directory, without a socket: for commands, embedding and tests.

    Raises `ForebayError`: `locked`, `data_dir_unusable`, `database_damaged`, `schema_too_new`, `admin_key_damaged`.
    """
    from forebay.server.create import create_server
    from forebay.server.keys import keys_of, load_or_create_admin_key
    from forebay.server.parts import Parts, ServerState

    with own_data_directory(settings.data_dir.absolute()):
        async with _real_adapters(settings) as adapters:
            admin_key = load_or_create_admin_key(adapters.effects, settings.data_dir.absolute())
            async with run_core(settings, adapters) as core:
                parts = Parts(
                    settings=settings,
                    effects=adapters.effects,
                    readers=adapters.database.readers,
                    intake=core.intake,
                    blobs=adapters.blobs,
                    search=core.search,
                    embedder=adapters.embedder,
                    client=core.engine.client,
                    keys=keys_of(settings, admin_key),
                    version=__version__,
                    times=core.pipeline.times,
                    state=ServerState(is_ready=True),
                    sources=core.watcher,
                    checks=core,
                )
                yield Forebay(settings=settings, core=core, parts=parts, asgi=create_server(parts), admin_key=admin_key)


def _pipeline_limits(settings: Settings) -> PipelineLimits:
    return PipelineLimits(
        max_blob_bytes=settings.reading.max_blob_bytes,
        max_text_characters=settings.reading.max_text_characters,
        accept_unknown_text=settings.reading.accept_unknown_text,
        chunk_size=settings.chunking.chunk_size,
        chunker=settings.chunking.chunker,
        scan_action=settings.reading.scan_action,
        embed_concurrency=2 * settings.embedding.embed_threads,
        activity_timeout_seconds=settings.engine.activity_timeout_seconds,
    )


def _engine_limits(settings: Settings) -> EngineLimits:
    return EngineLimits(
        inflight_instances=settings.engine.inflight_instances,
        payload_bytes=settings.engine.payload_limit_bytes,
        stop_deadline_seconds=settings.server.stop_deadline_seconds / 2,  # the server has the other half
    )


def _retry(settings: Settings) -> RetryOptions:
    first_retry_milliseconds = max(1, int(settings.engine.first_retry_seconds * 1000))
    return RetryOptions(first_retry_milliseconds, settings.engine.activity_attempts, settings.engine.retry_coefficient)


@asynccontextmanager
async def _real_adapters(settings: Settings) -> AsyncIterator[Adapters]:
    from forebay.pipeline.workers.pool import WorkerPool

    effects = real_effects()
    embedder = make_embedder(settings, effects)  # first: it may refuse its settings, when nothing is open yet
    data_dir = settings.data_dir.absolute()
    blobs = DirectoryBlobStore(data_dir / "containers", effects, intake_container=settings.intake.container)
    await blobs.open()
    database = await open_database(data_dir / "catalog.db", schemas(), clock=effects.clock, queue_limit=settings.database.queue_limit)
    parser = WorkerPool(
        worker_count=settings.reading.parse_workers,
        timeout_seconds=settings.reading.parse_timeout_seconds,
        memory_bytes=settings.reading.parse_memory_bytes,
        scratch_directory=data_dir / "parser-scratch",
    )
    try:
        yield Adapters(effects=effects, database=database, blobs=blobs, parser=parser, embedder=embedder, feed=FileSystemFeed())
    finally:
        await embedder.close()
        await parser.close()
        await blobs.close()
        await database.close()
        effects.blocking.close()


def make_embedder(settings: Settings, effects: Effects | None = None) -> Embedder:
    """The embedder that the settings name; a remote one waits by the clock of `effects`.

    Raises `ForebayError` `invalid_setting` when a remote one lacks what it needs.
    """
    embedding = settings.embedding
    if embedding.embedder_in_force == "mock":
        from forebay.pipeline.embedders.mock import MockEmbedder

        return MockEmbedder()
    if embedding.embedder_in_force == "minilm":
        from forebay.pipeline.embedders.minilm import MiniLMEmbedder

        return MiniLMEmbedder(cache_directory=embedding.model_cache_dir, thread_count=embedding.embed_threads)
    from forebay.pipeline.embedders.providers import remote_embedder

    return remote_embedder(embedding, effects or real_effects())


async def _continue_transaction_time(database: Database) -> None:
    """Times go on where they were, even if the wall clock has been set back since."""
    newest = await database.readers.run(
        lambda connection: connection.execute("SELECT at FROM events ORDER BY sequence DESC LIMIT 1").fetchone()
    )
    if newest is not None:
        database.writer.not_before(newest[0])


async def _keep_running(name: str, work: Callable[[], Awaitable[None]], effects: Effects) -> None:
    """What the program cannot do without begins again when an unexpected error has ended it."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("the %s ended; it begins again in %g s", name, RESTART_SECONDS)
        await effects.clock.sleep(RESTART_SECONDS)
