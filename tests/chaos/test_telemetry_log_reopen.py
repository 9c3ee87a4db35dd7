"""How long a telemetry log that is full takes to open again after a crash, from a disk that has nothing in memory."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from forebay.effects import ThreadBlocking
from forebay.errors import ForebayError
from forebay.telemetry.log.files import DiskLogFiles
from forebay.telemetry.log.port import Entry
from forebay.telemetry.log.segment_log import PARTITION, SegmentLimits, SegmentLog

LOG_MIB = int(os.environ.get("FOREBAY_TEST_LOG_MIB", "256"))  # 2048 is the default of FOREBAY_TELEMETRY_LOG_MB
LIMITS = SegmentLimits(log_bytes=LOG_MIB << 20)
OPEN_SECONDS = 2.0
BATCH = b'{"traces": [' + b'{"message": "the gate is open", "cloud_RoleName": "gate"}, ' * 2000 + b"{}]}"


class CountingFiles(DiskLogFiles):
    """The real files, and how much of them was read."""

    read_bytes = 0

    def read(self, path: Path, start: int, limit_bytes: int) -> bytes:
        data = super().read(path, start, limit_bytes)
        self.read_bytes += len(data)
        return data


async def fill(log: SegmentLog) -> int:
    """Append until the log refuses more; how many entries it took."""
    count = 0
    while True:
        entries = [Entry(topic="logs.raw", payload=BATCH, record_count=2001) for _ in range(32)]
        told = await asyncio.gather(*(log.append(entry) for entry in entries), return_exceptions=True)
        count += sum(not isinstance(each, BaseException) for each in told)
        for each in told:
            if isinstance(each, BaseException):
                assert isinstance(each, ForebayError) and each.code == "telemetry_log_full", each
                return count


def tear(path: Path) -> None:
    """Leave half of a write behind the last entry, as a crash does."""
    with path.open("ab") as file:
        file.write(bytes.fromhex(path.name.removesuffix(".segment").partition("-")[2]) + BATCH)


def forget(directory: Path) -> int:
    """Drop the files from memory, as a start of the machine does; their size."""
    total = 0
    for path in directory.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            total += path.stat().st_size
    return total


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system does not let files be dropped from memory")
async def test_a_full_log_opens_within_two_seconds_and_reads_only_its_newest_segment_for_that(tmp_path: Path) -> None:
    directory, blocking = tmp_path / "log", ThreadBlocking(2)
    log = SegmentLog(directory, blocking, limits=LIMITS)
    await log.open()
    count = await fill(log)
    await log.close()
    tear(max(directory.iterdir()))
    size_bytes = forget(directory)
    assert size_bytes > 0.9 * LIMITS.log_bytes

    files = CountingFiles()
    log = SegmentLog(directory, blocking, files=files, limits=LIMITS)
    began = time.monotonic()
    await log.open()
    took_seconds = time.monotonic() - began
    print(f"{size_bytes >> 20} MiB in {count} entries were open after {took_seconds:.3f} s, {files.read_bytes >> 20} MiB of them read")
    assert took_seconds < OPEN_SECONDS
    assert files.read_bytes <= 2 * LIMITS.segment_bytes
    assert [each.is_tail for each in log.discarded] == [True]
    assert log.ends() == {PARTITION: count}
    # a reader that has seen nearly all goes on at once, too
    began = time.monotonic()
    (last,) = await log.read({PARTITION: count - 1}, limit_bytes=1)
    assert (last.offset, last.entry.payload) == (count, BATCH)
    assert time.monotonic() - began < OPEN_SECONDS
    await log.close()
    blocking.close()
