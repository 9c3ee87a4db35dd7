"""The door: everything that arrives becomes a row of the arrivals table here."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass

from forebay.blobs.names import reserved_name
from forebay.blobs.port import BlobStore
from forebay.catalog.arrivals import record_arrival
from forebay.database import Transaction, Writer
from forebay.effects import Effects
from forebay.intake.dispatch import Dispatcher
from forebay.values.arrival import INCOMING_SOURCE, UPLOAD_SOURCE, Arrival, Location, NewArrival
from forebay.values.blob import Blob, BlobAddress
from forebay.values.document import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends something, and under which correlation id."""

    project: str
    actor: str
    correlation_id: str


class Intake:
    """Records arrivals, and tells the dispatcher."""

    def __init__(
        self, blobs: BlobStore, writer: Writer, dispatcher: Dispatcher, effects: Effects, *, container: str, prefix: str, max_bytes: int
    ) -> None:
        self._blobs = blobs
        self._writer = writer
        self._dispatcher = dispatcher
        self._effects = effects
        self.container = container
        self.prefix = prefix
        self._max_bytes = max_bytes
        self._appearing: Counter[str] = Counter()  # names in the intake container

    @property
    def appearing(self) -> frozenset[str]:
        """Blobs of the intake container whose arrivals may be recorded while there is nothing, or something older, under their names."""
        return frozenset(name for name, count in self._appearing.items() if count)

    def triggers(self, address: BlobAddress) -> bool:
        """Whether a blob at this address is an arrival."""
        return address.container == self.container and address.name.startswith(self.prefix)

    async def upload(self, sender: Sender, name: str, content: AsyncIterable[bytes], content_type: str | None) -> tuple[Arrival, Blob]:
        """Store an uploaded document under a collision-free blob name and record its arrival.

        Guarantees: when this returns, blob and arrival are durable. A crash before may leave an arrival whose blob never
        became visible; it fails as `vanished`.
        """
        reserved = self.prefix + reserved_name(self._effects.clock.now(), self._effects.random.hex(4), name)
        return await self._put(sender, UPLOAD_SOURCE, name, BlobAddress(container=self.container, name=reserved), content, content_type)

    async def put(
        self,
        sender: Sender,
        address: BlobAddress,
        content: AsyncIterable[bytes],
        content_type: str | None,
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> Blob:
        """Store a blob under an explicit name; in the intake container that is an arrival."""
        if not self.triggers(address):
            return await self._blobs.put(
                address,
                content,
                max_bytes=self._max_bytes,
                content_type=content_type,
                if_match=if_match,
                if_none_match=if_none_match,
            )
        _, blob = await self._put(
            sender, INCOMING_SOURCE, address.name, address, content, content_type, if_match=if_match, if_none_match=if_none_match
        )
        return blob

    async def delete(self, sender: Sender, document: Document) -> Arrival | None:
        """Record that a user wants a document gone; None when that has been recorded before."""
        new = NewArrival(
            kind="deleted",
            project=document.project,
            source=document.source,
            name=document.name,
            # keeps the ETag, so that the file, if it stays where it is, is no news
            location=document.blob,
            size_bytes=document.size_bytes,
            content_type=document.content_type,
            actor=sender.actor,
            correlation_id=sender.correlation_id,
            event_id=self._effects.random.hex(16),
        )
        (arrival,) = await self.record([new])
        return arrival

    async def record(self, arrivals: Sequence[NewArrival]) -> list[Arrival | None]:
        """Record arrivals in one commit; None for each that is known already."""

        def unit(tx: Transaction) -> list[Arrival | None]:
            return [record_arrival(tx, new) for new in arrivals]

        recorded = await self._writer.submit(unit)
        self._dispatcher.notify()
        return recorded

    async def _put(
        self,
        sender: Sender,
        source: str,
        name: str,
        address: BlobAddress,
        content: AsyncIterable[bytes],
        content_type: str | None,
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> tuple[Arrival, Blob]:
        event_id = self._effects.random.hex(16)
        recorded: list[Arrival | None] = []

        async def record(blob: Blob, sha256: str) -> None:
            new = NewArrival(
                kind="created",
                project=sender.project,
                source=source,
                name=name,
                location=Location(container=address.container, name=address.name, etag=blob.etag),
                size_bytes=blob.size_bytes,
                content_type=content_type,
                target_name=self.target_name(source, address.name),
                actor=sender.actor,
                correlation_id=sender.correlation_id,
                event_id=event_id,
            )
            self._dispatcher.hold(event_id)
            recorded.extend(await self.record([new]))

        self._appearing[address.name] += 1
        try:
            blob = await self._blobs.put(
                address,
                content,
                max_bytes=self._max_bytes,
                content_type=content_type,
                if_match=if_match,
                if_none_match=if_none_match,
                before_visible=record,
                after_visible=lambda: self._dispatcher.release(event_id),
            )
        finally:
            self._appearing -= Counter([address.name])
        (arrival,) = recorded
        assert arrival is not None  # a new file has a new ETag
        return arrival, blob

    def target_name(self, source: str, blob_name: str) -> str:
        """The collision-free name that the blob of an arrival gets when it leaves the intake container."""
        if source == UPLOAD_SOURCE:
            return blob_name
        return reserved_name(self._effects.clock.now(), self._effects.random.hex(4), blob_name)
