"""A real process, killed at random moments."""

from __future__ import annotations

import json
import select
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.engine_process import expected_output

from forebay.testing.virtual_loop import SeededRandomness

ROUNDS = 10
INSTANCES_PER_ROUND = 250


def read_line(process: subprocess.Popen[str], deadline_seconds: float) -> str | None:
    """A line of output; None if there is none before the deadline."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], deadline_seconds)
    return process.stdout.readline() if ready else None


def test_a_process_that_is_killed_again_and_again_finishes_every_instance_once(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    random = SeededRandomness(11)
    killed_under_way = 0
    for round_number in range(1, ROUNDS + 1):
        process = launch(path, round_number * INSTANCES_PER_ROUND)
        assert read_line(process, 20) == "running\n"
        if read_line(process, random.ratio() * 0.25) is None:
            killed_under_way += 1
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()
        assert check_database(path) == "ok"
    count = ROUNDS * INSTANCES_PER_ROUND
    process = launch(path, count)
    out, _ = process.communicate(timeout=60)
    assert out == "running\ndone\n"
    assert process.returncode == 0

    assert killed_under_way >= ROUNDS / 2, "the moments were not random enough"
    connection = sqlite3.connect(path)
    instances = connection.execute("SELECT id, status, output FROM instances").fetchall()
    assert {name: (status, json.loads(output)) for name, status, output in instances} == {
        f"i{number}": ("Completed", expected_output(number)) for number in range(count)
    }
    effects = connection.execute("SELECT name, count(*) FROM effects GROUP BY name").fetchall()
    assert dict(effects) == {f"i{number}-{part}": 1 for number in range(count) for part in (0, 1, 2, "end")}
    twice = connection.execute(
        "SELECT instance, task_id FROM history WHERE kind <> 'attempt_failed' GROUP BY instance, task_id HAVING count(*) > 1"
    )
    assert twice.fetchall() == []
    connection.close()


def launch(path: Path, count: int) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.integration.engine_process", str(path), str(count)]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)


def check_database(path: Path) -> str:
    deadline = time.monotonic() + 10
    while True:
        try:
            connection = sqlite3.connect(path)
            found: str = connection.execute("PRAGMA integrity_check").fetchone()[0]
            connection.close()
        except sqlite3.OperationalError:  # the killed process may still be on its way out
            if time.monotonic() > deadline:
                raise
        else:
            return found
