"""Takes telemetry in: what this returns from is durable."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.telemetry.decoders.batches import Kind, event_decoder, log_decoder, metric_decoder
from forebay.telemetry.log.port import Positions, TelemetryLog
from forebay.telemetry.rows import Rows, entry_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who sends, and for whom. Only the server knows that."""

    project: str
    source: str  # as the tables' column `source` has it
    key: str | None = None  # of the batch, unique to its sender: sent again, it is taken once


@dataclass(slots=True)
class IngestCounts:
    """What has been taken since the start."""

    records: Counter[str] = field(default_factory=Counter)  # by kind
    batches: int = 0
    refused: int = 0  # batches

    def add(self, other: IngestCounts) -> None:
        """Count what `other` has counted too."""
        self.records += other.records
        self.batches += other.batches
        self.refused += other.refused


class TelemetryIngest:
    """Decodes batches and appends them to the telemetry log."""

    def __init__(self, log: TelemetryLog, clock: Clock, *, hasten: Callable[[Positions], None] | None = None) -> None:
        """`hasten` is told what has been taken: senders look for it sooner than the platform for what it says of itself."""
        self._log = log
        self._hasten = hasten
        self._clock = clock
        self._decoders = {decoder.kind: decoder for decoder in (log_decoder(), metric_decoder(), event_decoder())}
        self._counts: defaultdict[str, IngestCounts] = defaultdict(IngestCounts)  # by project

    def counts(self, project: str | None = None) -> IngestCounts:
        """What has been taken of a project, or of all of them."""
        total = IngestCounts()
        for each in self._counts.values() if project is None else [self._counts[project]] if project in self._counts else []:
            total.add(each)
        return total

    async def accept_batch(self, kind: Kind, body: bytes, origin: Origin) -> int:
        """Take a batch of logs, metrics or events; returns how many entries it has.

        Raises `ForebayError` for what is no valid batch (see `BatchDecoder.decode`) and for what the log refuses, which may be
        sent again (see `TelemetryLog.append`). *Guarantees*: all of the batch is durable on return, and none of it is taken otherwise,
        unless the log could not tell.
        """
        received, counts = self._clock.now(), self._counts[origin.project]
        try:
            self._log.check_room(len(body))
            batch = self._decoders[kind].decode(body, received)
            if batch.entry_count:
                await self.append(f"{kind}.raw", batch.rows, origin, agent=batch.agent_version)
        except Exception as error:
            counts.refused += 1
            if isinstance(error, RecursionError):
                raise _too_deep(kind) from None
            raise
        counts.records[kind] += batch.entry_count
        counts.batches += 1
        return batch.entry_count

    async def append(self, topic: str, rows: Rows, origin: Origin, *, agent: str | None = None) -> None:
        """Make rows durable; `agent` is what sent them."""
        received = self._clock.now()
        entry = entry_of(topic, rows, project=origin.project, source=origin.source, received=received, key=origin.key, agent=agent)
        stored = await self._log.append(entry)
        if self._hasten is not None:
            self._hasten({stored.partition: stored.offset})


def _too_deep(kind: Kind) -> ForebayError:
    return ForebayError("invalid_request", "expected entries of some levels, got hundreds", hint=f"See POST /{kind} in /docs.", status=422)
