"""The whole program, killed again and again while files arrive by every way."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from scenario import SEEDS, Senders, chance_of, settle_and_reckon

from program import running

KILL_COUNT = int(os.environ.get("FOREBAY_TEST_KILLS", "8"))
FILE_COUNT = 200


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_every_file_is_indexed_exactly_once_whenever_the_program_is_killed(seed: int, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    chance = chance_of(seed, "kills")
    with (
        running(tmp_path / "data", watch=[folder]) as program,
        Senders(program, folder, chance, count=FILE_COUNT) as senders,
    ):
        for _ in range(KILL_COUNT):
            time.sleep(chance.uniform(0, 0.5))  # not a wait for something: the random moment is what is tested
            program.kill()
            program.start()
        senders.finish()
        settle_and_reckon(program, senders.sent)
