"""The orchestrators of the program: what runs, and what recorded histories are replayed against."""

from __future__ import annotations

from forebay.durable import Registry, RetryOptions
from forebay.pipeline.ingest import register_ingest
from forebay.pipeline.posted_text import register_posted_text
from forebay.pipeline.reindex import register_reindex_orchestration
from forebay.settings import Settings


def register_orchestrations(registry: Registry, settings: Settings) -> None:
    """Register every orchestrator, without the activities."""
    retry = retry_of(settings)
    register_ingest(registry, retry)
    register_reindex_orchestration(registry, retry)
    register_posted_text(registry, retry)


def retry_of(settings: Settings) -> RetryOptions:
    """How activities of the pipeline are tried again."""
    first_retry_milliseconds = max(1, int(settings.engine.first_retry_seconds * 1000))
    return RetryOptions(first_retry_milliseconds, settings.engine.activity_attempts, settings.engine.retry_coefficient)
