"""The whole program, killed again and again while several senders send logs, metrics and events."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import statistics
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from scenario import SEEDS, chance_of
from telemetry_senders import Sender, assert_exactly_once, stored

from program import Program, eventually, running

KILL_COUNT = int(os.environ.get("FOREBAY_TEST_KILLS", "5"))
SENDER_COUNT = 4
START_SECONDS = 2.0  # of the processor until it takes telemetry again: the clock on the wall shows what others do, too, and is printed


@dataclass(frozen=True)
class Start:
    """What it took until the program was ready again."""

    wall_seconds: float
    processor_seconds: float


def kill_at_random(program: Program, chance: random.Random) -> Start | None:
    """Kill a running program and start it again; None where it was killed once more while it started."""
    time.sleep(chance.uniform(0.05, 0.6))  # not a wait for something: the random moment is what is tested
    program.kill()
    if chance.random() < 0.2:
        again = threading.Timer(chance.uniform(0.1, 1.0), program.kill)
        again.start()
        with contextlib.suppress(AssertionError):
            program.start()
        again.join()
        assert program.process is not None
        assert program.process.wait() == -signal.SIGKILL, "it ended by itself"
        program.start()
        return None
    began = time.monotonic()
    program.start()
    wall_seconds = time.monotonic() - began
    used = psutil.Process(program.pid).cpu_times()
    return Start(wall_seconds, used.user + used.system)


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_every_acknowledged_record_is_in_the_tables_once_whenever_the_program_is_killed(seed: int, tmp_path: Path) -> None:
    chance = chance_of(seed, "telemetry kills")
    starts: list[Start] = []
    with running(tmp_path / "data", FOREBAY_RATE_LIMIT="0") as program:
        senders = [Sender(program, number, chance, pause_seconds=0.005) for number in range(SENDER_COUNT)]
        try:
            for sender in senders:
                sender.start()
            for _ in range(KILL_COUNT):
                start = kill_at_random(program, chance)
                if start is not None:
                    starts.append(start)
        finally:
            for sender in senders:
                sender.is_ending.set()
            for sender in senders:
                sender.join(60)
        acknowledged = set().union(*(sender.acknowledged for sender in senders))
        eventually(lambda: is_drained(program), "everything is in the tables")
        assert program.stop() == 0
    assert not any(sender.is_alive() for sender in senders)
    assert [text for sender in senders for text in sender.wrong] == []
    found = stored(tmp_path / "data")
    wall_seconds = [start.wall_seconds for start in starts]
    retried_count = sum(sender.retried_count for sender in senders)
    print(
        f"{KILL_COUNT} kills, {len(acknowledged)} records acknowledged, {found.total()} stored, {retried_count} batches sent again,"
        f" starts of {statistics.median(wall_seconds):.2f} s in the middle and {max(wall_seconds):.2f} s at most"
    )
    assert_exactly_once(acknowledged, found)
    assert {kind for kind, _ in acknowledged} == {"logs", "metrics", "events"}
    assert retried_count > 0, "nothing was sent again"
    assert len(acknowledged) > 100
    assert statistics.median(start.processor_seconds for start in starts) < START_SECONDS


def is_drained(program: Program) -> bool:
    """Whether an answer misses nothing that was acknowledged before it."""
    with program.client() as client:
        answer = client.post("/query", json={"query": "traces | count"})
    return answer.status_code == 200 and answer.json()["lag_seconds"] == 0
