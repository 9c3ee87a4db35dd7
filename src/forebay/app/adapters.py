"""What reaches outside, chosen by settings."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from forebay.blobs.directory import DirectoryBlobStore
from forebay.blobs.port import BlobStore
from forebay.catalog import tables
from forebay.catalog.models import searched_model
from forebay.database import Database, Migration, open_database
from forebay.durable.journal import journal
from forebay.effects import Effects, real_effects
from forebay.errors import ForebayError
from forebay.intake.watch import ChangeFeed, FileSystemFeed
from forebay.pipeline.embedders.port import Embedder
from forebay.pipeline.parse import Parser
from forebay.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """What reaches outside, chosen by settings; simulations bring their own."""

    effects: Effects
    database: Database
    blobs: BlobStore
    parser: Parser
    embedder: Embedder  # the configured one
    feed: ChangeFeed
    previous_embedder: Embedder | None = None  # the one that searches go by until the index has been brought to the configured one


def schemas() -> Mapping[str, Sequence[Migration]]:
    """The tables of every component that lives in catalog.db."""
    from forebay.server.keys import store as keys

    return {"durable": journal.schema(), "catalog": tables.schema(), "keys": keys.schema()}


@asynccontextmanager
async def real_adapters(settings: Settings) -> AsyncIterator[Adapters]:
    """The adapters of a program that runs for real, open until the block ends."""
    from forebay.pipeline.workers.pool import WorkerPool

    effects = real_effects()
    embedder = make_embedder(settings, effects)  # first: it may refuse its settings, when nothing is open yet
    data_dir = settings.data_dir.absolute()
    blobs = DirectoryBlobStore(data_dir / "containers", effects, intake_container=settings.intake.container)
    await blobs.open()
    database = await open_database(data_dir / "catalog.db", schemas(), clock=effects.clock, queue_limit=settings.database.queue_limit)
    previous = await _previous_embedder(settings, database, embedder, effects)
    parser = WorkerPool(
        worker_count=settings.reading.parse_workers,
        timeout_seconds=settings.reading.parse_timeout_seconds,
        memory_bytes=settings.reading.parse_memory_bytes,
        scratch_directory=data_dir / "parser-scratch",
    )
    try:
        yield Adapters(
            effects=effects,
            database=database,
            blobs=blobs,
            parser=parser,
            embedder=embedder,
            feed=FileSystemFeed(),
            previous_embedder=previous,
        )
    finally:
        await embedder.close()
        if previous is not None:
            await previous.close()
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


async def _previous_embedder(settings: Settings, database: Database, configured: Embedder, effects: Effects) -> Embedder | None:
    """The embedder of the model that searches go by, if that is another than the configured one and can still be made."""
    searched = await database.readers.run(searched_model)
    if searched is None or searched.id == configured.model_id:
        return None
    try:
        before = dataclasses.replace(settings, embedding=settings.embedding.with_recipe(searched.made_by))
        previous = make_embedder(before, effects)
    except ForebayError as error:  # its key is not set any more, or remote models are forbidden
        log.warning("the embedder of %s cannot be made: %s", searched.id, error)
        return None
    if previous.model_id == searched.id:
        return previous
    await previous.close()
    return None
