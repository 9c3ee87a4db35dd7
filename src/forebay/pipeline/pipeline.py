"""What the activities of the pipeline work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from opentelemetry.trace import NoOpTracer, Tracer

from forebay.database import Database
from forebay.durable import Concurrency
from forebay.errors import ForebayError
from forebay.pipeline.content_scan import ScanAction
from forebay.pipeline.embedders.port import Embedder
from forebay.pipeline.parse import Parser
from forebay.pipeline.sources import Sources
from forebay.pipeline.stage_times import StageTimes

PARSER_VERSION = 2  # a change of readers or chunkers that changes their output must increase it


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineLimits:
    """What the pipeline accepts, and how it cuts it."""

    max_blob_bytes: int
    max_text_characters: int
    accept_unknown_text: bool
    chunk_size: int  # code points
    chunker: Literal["auto", "fixed"]
    read_concurrency: Concurrency  # files read, cut and written at once
    embed_concurrency: Concurrency  # slices embedded at once
    activity_timeout_seconds: float
    scan_action: ScanAction = "warn"

    @property
    def recipe(self) -> str:
        """What the chunks of a document depend on besides its bytes."""
        return f"{PARSER_VERSION}:{self.chunker}:{self.chunk_size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The parts that the activities stand on."""

    database: Database
    sources: Sources
    parser: Parser
    embedders: Mapping[str, Embedder]  # by model id: the configured one, and the one that searches still go by
    limits: PipelineLimits
    times: StageTimes
    tracer: Tracer = field(default_factory=NoOpTracer)  # of calls to models and storage

    def embedder(self, model: str) -> Embedder:
        """The embedder of a model. Raises `ForebayError` `model_not_configured`."""
        if model not in self.embedders:
            raise ForebayError(
                "model_not_configured",
                f"expected the embedder of {model}, got settings that make {', '.join(self.embedders)}",
                hint="Set FOREBAY_EMBEDDER and what belongs to it as they were, or run `forebay reindex`.",
                status=409,
            )
        return self.embedders[model]
