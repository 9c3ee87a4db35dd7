"""What the routes need of the program; the composition root puts it together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Protocol

from forebay.blobs.port import BlobStore
from forebay.database import Readers
from forebay.durable import DeadLetters, DurableClient
from forebay.effects import Effects
from forebay.intake.admission import Admission
from forebay.intake.intake import Intake
from forebay.pipeline.embedders.port import Embedder
from forebay.pipeline.index_model import IndexState
from forebay.pipeline.stage_times import StageTimes
from forebay.search.search import Search
from forebay.server.keys.ring import KeyRing
from forebay.server.rate_limits import TokenBuckets
from forebay.settings import Settings
from forebay.telemetry.drainer import Drainer
from forebay.telemetry.ingest import TelemetryIngest
from forebay.telemetry.observe.observation import Observation
from forebay.telemetry.query.engine import QueryEngine


class SourceProgress(Protocol):
    """How far the comparison of sources and catalog is; `intake.watch.Watcher` has it."""

    @property
    def is_reconciled(self) -> bool:
        """Whether every place has been compared completely since the start."""
        ...

    @property
    def excluded_count(self) -> int:
        """Files that were left out at the last complete comparison."""
        ...


class Checks(Protocol):
    """The proofs that index and history are what they should be.

    Answers are `{"ok", "checked": {noun: count}, "problems": [{"code", "document_id", "message"}]}`.
    """

    async def index(self, repair: bool) -> dict[str, Any]:
        """Compare chunks, full text and vectors with the blobs; `repair` mends what can be mended."""
        ...

    async def history(self, repair: bool) -> dict[str, Any]:
        """Compare documents and versions with the events; `repair` mends what can be mended."""
        ...


class Index(Protocol):
    """The index, and the settings that it may be behind."""

    async def state(self) -> IndexState:
        """How far the index is from the settings."""
        ...

    async def reindex(self) -> IndexState:
        """Begin to bring the index to the settings, in the background."""
        ...


class TelemetryParts(Protocol):
    """The telemetry path."""

    @property
    def ingest(self) -> TelemetryIngest:
        """Takes telemetry in."""
        ...

    @property
    def queries(self) -> QueryEngine:
        """Answers KQL."""
        ...

    @property
    def drainer(self) -> Drainer:
        """Moves what came in into the tables."""
        ...


@dataclass(slots=True)
class ServerState:
    """Where the program is between start and stop."""

    is_ready: bool = False  # recovered and accepting; set by whoever has opened the program
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_stopping(self) -> bool:
        """Whether a stop has begun: nothing new is accepted."""
        return self.stopping.is_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that the HTTP API stands on."""

    settings: Settings
    effects: Effects
    readers: Readers
    intake: Intake
    admission: Admission
    blobs: BlobStore
    search: Search
    embedder: Embedder
    client: DurableClient
    letters: DeadLetters
    keys: KeyRing
    rates: TokenBuckets
    version: str
    times: StageTimes
    state: ServerState
    sources: SourceProgress
    checks: Checks
    index: Index
    telemetry: TelemetryParts
    observation: Observation = field(default_factory=Observation)
