"""What the program reads of itself from time to time: how much waits, and how the database commits."""

from __future__ import annotations

from collections.abc import Sequence

from forebay.app.core import Core
from forebay.catalog.backlog import backlog
from forebay.telemetry.log.segment_log import SegmentLog
from forebay.telemetry.observe.observation import Gauge, Watch


def watch_of(core: Core, log: SegmentLog) -> Watch:
    """The figures of a running program."""
    writer = core.adapters.database.writer
    known = writer.load()

    async def read() -> Sequence[Gauge]:
        nonlocal known
        before, known = known, writer.load()
        open_arrivals = await core.adapters.database.readers.run(backlog)
        depths = {
            "writer.journal": known.journal_waiting_count,
            "writer.bulk": known.bulk_waiting_count,
            "arrivals": open_arrivals.total,
            "instances": core.engine.live_count,
            **{f"room.{room.activity}": sum(each.call_count for each in room.waiting) for room in core.engine.rooms()},
        }
        gauges = [Gauge(name="queue_depth", value=depth, dimensions={"queue": queue}) for queue, depth in depths.items()]
        gauges.append(Gauge(name="telemetry_log_bytes", value=log.stored_bytes + log.waiting_bytes))
        commits = known.commit_count - before.commit_count
        gauges.append(Gauge(name="database_commits", value=commits))
        if commits:
            milliseconds = (known.commit_seconds - before.commit_seconds) * 1000
            gauges.append(Gauge(name="database_commit_duration", value=milliseconds, count=commits))
        return gauges

    return read
