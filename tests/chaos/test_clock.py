"""A wall clock that is set forward and back by hours, on the real program, while retries and timers are pending."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from scenario import SEEDS, Senders, chance_of, settle_and_reckon, workers_of

from program import running

CLOCKED = (sys.executable, str(Path(__file__).with_name("clocked_server.py")))
FILE_COUNT = 42
JUMP_COUNT = 6
RESTART_COUNT = 2
JUMP_SECONDS = (-43_200, -3600, -60, -1, 1, 60, 3600, 43_200)
SETTINGS = {"FOREBAY_FIRST_RETRY_SECONDS": "0.3", "FOREBAY_RECONCILE_INTERVAL_SECONDS": "2"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_that_jumps_by_hours_loses_nothing_and_does_nothing_twice(seed: int, tmp_path: Path) -> None:
    chance = chance_of(seed, "clock jumps")
    folder, offset = tmp_path / "folder", tmp_path / "offset"
    folder.mkdir()
    offset.write_text("0")
    environment = {"FOREBAY_TEST_CLOCK_OFFSET_FILE": str(offset)} | SETTINGS
    with (
        running(tmp_path / "data", watch=[folder], command=CLOCKED, **environment) as program,
        Senders(program, folder, chance, count=FILE_COUNT, pause_seconds=0.05) as senders,
    ):
        for number in range(JUMP_COUNT):
            time.sleep(chance.uniform(0, 0.4))  # the random moment is what is tested
            for worker in workers_of(program):
                worker.kill()  # what it parses waits for its next try while the clock jumps
            offset.write_text(str(float(offset.read_text()) + chance.choice(JUMP_SECONDS)))
            if number % (JUMP_COUNT // RESTART_COUNT) == 1:
                program.kill()
                program.start()
        senders.finish()
        settle_and_reckon(program, senders.sent)


def test_the_clock_of_the_program_is_the_one_that_jumps(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text(str(-10 * 365 * 86_400))
    with (
        running(tmp_path / "data", command=CLOCKED, FOREBAY_TEST_CLOCK_OFFSET_FILE=os.fspath(offset)) as program,
        program.client() as client,
    ):
        identity = client.post("/documents", params={"name": "a.txt"}, content="a text").json()["id"]
        document = client.get(f"/documents/{identity}", params={"wait_seconds": 30}).json()
        offset.write_text("0")
        other = client.post("/documents", params={"name": "b.txt"}, content="a text").json()["id"]
        later = client.get(f"/documents/{other}", params={"wait_seconds": 30}).json()
        assert document["status"] == later["status"] == "indexed"
        assert int(later["created_at"][:4]) - int(document["created_at"][:4]) in (9, 10)
