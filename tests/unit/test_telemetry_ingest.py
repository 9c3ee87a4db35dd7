"""How telemetry is taken in, whatever is in it."""

from __future__ import annotations

import pytest

from forebay.effects import SystemClock
from forebay.errors import ForebayError
from forebay.telemetry.ingest import Origin, TelemetryIngest
from forebay.telemetry.log.port import Entry, StoredEntry

BODY = b'{"entries": [{"message": "m", "service": "s"}]}'
ORIGIN = Origin(project="p", source="k")


class OneEntryLog:
    """A log with room for a single entry."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def check_room(self, size_bytes: int) -> None:
        if self.entries:
            raise ForebayError("telemetry_log_full", "there is no room", retryable=True, status=503)

    async def append(self, entry: Entry) -> StoredEntry:
        self.entries.append(entry)
        return StoredEntry(partition="test", offset=len(self.entries), entry=entry)


async def test_a_batch_without_room_is_refused_before_it_is_decoded() -> None:
    ingest = TelemetryIngest(OneEntryLog(), SystemClock())  # type: ignore[arg-type]
    assert await ingest.accept_batch("logs", BODY, ORIGIN) == 1
    for body in (BODY, b"no JSON"):
        with pytest.raises(ForebayError) as refused:
            await ingest.accept_batch("logs", body, ORIGIN)
        assert refused.value.code == "telemetry_log_full"
    assert (ingest.counts("p").batches, ingest.counts("p").refused) == (1, 2)


async def test_what_has_been_taken_is_wanted_in_the_tables_soon() -> None:
    hastened: list[object] = []
    ingest = TelemetryIngest(OneEntryLog(), SystemClock(), hasten=hastened.append)  # type: ignore[arg-type]
    await ingest.accept_batch("logs", BODY, ORIGIN)
    assert hastened == [{"test": 1}]
