"""A program of its own that appends numbered entries until it is killed; see test_telemetry_log_kill.

Usage: telemetry_log_process DIRECTORY FIRST_NUMBER. It writes `running`, then for each acknowledged entry its number and its offset.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from forebay.effects import ThreadBlocking
from forebay.telemetry.log.port import Entry
from forebay.telemetry.log.segment_log import SegmentLimits, SegmentLog

SENDER_COUNT = 8
SIZES = (0, 50, 700, 20_000)


def payload(number: int) -> bytes:
    """What entry `number` holds."""
    return b"%d " % number * (1 + SIZES[number % len(SIZES)] // 8)


async def main(directory: Path, first: int) -> None:
    log = SegmentLog(directory, ThreadBlocking(2), limits=SegmentLimits(segment_bytes=1 << 20))
    await log.open()
    os.write(1, b"running\n")
    numbers = itertools.count(first)

    async def send() -> None:
        for number in numbers:
            stored = await log.append(Entry(topic="logs.raw", payload=payload(number), record_count=1, headers={"number": str(number)}))
            os.write(1, b"%d %d\n" % (number, stored.offset))

    await asyncio.gather(*(send() for _ in range(SENDER_COUNT)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
