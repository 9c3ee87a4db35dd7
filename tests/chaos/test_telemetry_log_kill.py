"""The telemetry log in a real process, killed again and again while several senders append."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.chaos.telemetry_log_process import payload

from forebay.effects import ThreadBlocking
from forebay.telemetry.log.segment_log import SegmentLog
from forebay.testing.telemetry_log_contract import number_of, read_all

KILL_COUNT = int(os.environ.get("FOREBAY_TEST_KILLS", "20"))
NUMBERS_PER_ROUND = 1_000_000


def append_until_killed(directory: Path, round_number: int, chance: random.Random) -> dict[int, int]:
    """The numbers that one process acknowledged, by their offsets."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.chaos.telemetry_log_process", str(directory), str(round_number * NUMBERS_PER_ROUND)]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    # by time it is mostly hit in a write or a sync, at times the first; by count, right after an answer
    by_time = threading.Timer(chance.random() * 0.3, process.send_signal, [signal.SIGKILL])
    if round_number % 4 == 0:
        by_time.start()
    limit_count = chance.randrange(1, 3000)
    acknowledged: dict[int, int] = {}
    for line in process.stdout:
        if not line.endswith(b"\n"):
            break  # killed in the middle of telling us
        number, offset = map(int, line.split())
        assert offset not in acknowledged
        acknowledged[offset] = number
        if len(acknowledged) == 1 and round_number % 4:
            by_time.start()
        if len(acknowledged) == limit_count:
            process.send_signal(signal.SIGKILL)
    by_time.cancel()
    if by_time.is_alive():
        by_time.join()
    process.stdout.close()
    assert process.wait(20) == -signal.SIGKILL
    return acknowledged


async def test_everything_acknowledged_is_there_however_often_the_process_is_killed(tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged: dict[int, int] = {}
    busy_rounds = 0
    for round_number in range(KILL_COUNT):
        found = append_until_killed(tmp_path / "log", round_number, chance)
        busy_rounds += bool(found)
        assert not found or min(found) > max(acknowledged, default=0), "an offset was used again"
        acknowledged |= found
    assert busy_rounds > KILL_COUNT / 2

    blocking = ThreadBlocking(2)
    log = SegmentLog(tmp_path / "log", blocking)
    await log.open()
    entries = await read_all(log, limit_bytes=8 << 20)
    there = {each.offset: number_of(each) for each in entries}
    assert {offset: number for offset, number in acknowledged.items() if there.get(offset) != number} == {}
    assert len(set(there.values())) == len(entries) == len(there)
    assert [each.offset for each in entries] == sorted(there)
    assert all(each.entry.payload == payload(number_of(each)) for each in entries)
    assert all(each.is_tail for each in log.discarded)
    await log.close()
    blocking.close()
