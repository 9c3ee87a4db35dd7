"""The whole program on a telemetry log that a crash and a bad disk have damaged."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tests.integration.http_api import http_api

from forebay.effects import SystemClock, ThreadBlocking
from forebay.telemetry.ingest import Origin, TelemetryIngest
from forebay.telemetry.log.segment_log import SegmentLog

BATCH_COUNT = 20
ORIGIN = Origin(project="default-project", source="test")


async def fill(directory: Path) -> Path:
    """Batches of two lines each, that no tables have seen; the segment that has them."""
    blocking = ThreadBlocking(1)
    log = SegmentLog(directory, blocking)
    await log.open()
    ingest = TelemetryIngest(log, SystemClock())
    for number in range(BATCH_COUNT):
        entries = [{"message": f"{number}-{line}", "service": "gate"} for line in range(2)]
        await ingest.accept_batch("logs", json.dumps({"entries": entries}).encode(), ORIGIN)
    await log.close()
    blocking.close()
    (segment,) = directory.iterdir()
    return segment


async def test_damaged_batches_cost_themselves_and_are_reported_and_everything_else_is_in_the_tables(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o700)
    segment = await fill(tmp_path / "telemetry-log")
    content = bytearray(segment.read_bytes())
    flipped = content.index(b"7-0")
    content[flipped] ^= 1
    segment.write_bytes(content[:-5])
    with caplog.at_level(logging.WARNING):
        async with http_api(tmp_path) as api:
            accepted = await api.client.post("/logs", json={"entries": [{"message": "after", "service": "gate"}]})
            assert accepted.status_code == 202
            answer = (await api.client.post("/query", json={"query": "traces | where cloud_RoleName == 'gate' | project message"})).json()
            health = (await api.client.get("/health")).json()
    expected = {f"{number}-{line}" for number in range(BATCH_COUNT) for line in range(2) if number not in (7, BATCH_COUNT - 1)}
    assert sorted(row[0] for row in answer["tables"][0]["rows"]) == sorted({*expected, "after"})
    assert (answer["lag_seconds"], health["status"]) == (0, "healthy")
    reports = [(each.levelname, each.getMessage()) for each in caplog.records if segment.name in each.getMessage()]
    assert [level for level, _ in reports] == ["ERROR", "WARNING"]
    damage, tail = (text for _, text in reports)
    assert "are damaged; what was stored there is lost" in damage
    assert "hold no whole entry" in tail
