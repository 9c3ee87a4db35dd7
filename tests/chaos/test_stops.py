"""Processes that are stopped for a while (SIGSTOP, as a debugger, a suspended machine or a frozen container does) and go on."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

import psutil
import pytest
from scenario import SEEDS, Senders, chance_of, is_alive, settle_and_reckon, workers_of, zombies_of

from program import eventually, running

FILE_COUNT = 45
STOP_COUNT = 6
# shorter than what settles and times out, and longer than any of it
SHORT_SECONDS, LONG_SECONDS = (0.02, 0.3), (2.5, 3.0)
SETTINGS = {
    "FOREBAY_ACTIVITY_TIMEOUT_SECONDS": "1.5",
    "FOREBAY_PARSE_TIMEOUT_SECONDS": "1",
    "FOREBAY_FIRST_RETRY_SECONDS": "0.05",
    "FOREBAY_PARSE_WORKERS": "2",
}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_when_the_server_or_its_parsers_stop_for_a_while(seed: int, tmp_path: Path) -> None:
    chance = chance_of(seed, "stops")
    folder = tmp_path / "folder"
    folder.mkdir()
    with (
        running(tmp_path / "data", watch=[folder], **SETTINGS) as program,
        Senders(program, folder, chance, count=FILE_COUNT, pause_seconds=0.1) as senders,
    ):
        server = psutil.Process(program.pid)
        for number in range(STOP_COUNT):
            workers = workers_of(program)
            victim = server if number % 2 == 0 or not workers else chance.choice(workers)
            stop_for(victim, chance.uniform(*(LONG_SECONDS if number % 4 > 1 else SHORT_SECONDS)))
            time.sleep(chance.uniform(0, 0.3))  # the random moment is what is tested
        senders.finish()
        senders.assert_refusals_can_be_retried()
        assert zombies_of(program) == []
        settle_and_reckon(program, senders.sent)


def test_a_parser_that_stays_stopped_is_replaced_and_its_file_is_indexed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    settings = SETTINGS | {"FOREBAY_PARSE_WORKERS": "1"}
    with running(tmp_path / "data", watch=[folder], **settings) as program:
        (folder / "first.txt").write_text("first")
        program.settled(documents=1)
        (stopped,) = workers_of(program)
        stopped.suspend()
        (folder / "second.txt").write_text("second")
        eventually(lambda: not is_alive(stopped), "the parser that does not move is ended")
        sent = {(str(folder), name): name.removesuffix(".txt") for name in ("first.txt", "second.txt")}
        settle_and_reckon(program, sent)


def stop_for(process: psutil.Process, seconds: float) -> None:
    """Stop a process, and let it go on if it is still there."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            process.send_signal(signal.SIGCONT)
