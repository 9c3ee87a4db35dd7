"""Five hundred instances of several kinds in a process that is killed at random moments, while another one sends them events.

`make chaos` kills it more often (FOREBAY_TEST_ENGINE_KILLS).
"""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.waiting_process import OUTPUTS, effects_of, kind_of

from forebay.testing.virtual_loop import SeededRandomness

KILL_COUNT = int(os.environ.get("FOREBAY_TEST_ENGINE_KILLS", "8"))
SEED = int(os.environ.get("FOREBAY_TEST_SEED", "1"))
INSTANCE_COUNT = 500
ROOT = Path(__file__).parents[2]


def test_every_instance_ends_right_whenever_the_process_is_killed(tmp_path: Path) -> None:
    path, port_file, executions = tmp_path / "test.db", tmp_path / "port", tmp_path / "executions"
    chance = SeededRandomness(SEED)
    under_way_count = 0
    with running("tests.chaos.event_sender", port_file, INSTANCE_COUNT) as sender:
        for life in range(1, KILL_COUNT + 1):
            with running("tests.chaos.waiting_process", path, executions, INSTANCE_COUNT * life // KILL_COUNT) as program:
                publish(read_line(program, 30), port_file)
                # not a wait for something: the random moment is what is tested
                if read_line(program, chance.ratio() * 0.2) == "":
                    under_way_count += 1
                program.send_signal(signal.SIGKILL)
                assert program.wait(10) == -signal.SIGKILL
        with running("tests.chaos.waiting_process", path, executions, INSTANCE_COUNT) as program:
            publish(read_line(program, 30), port_file)
            assert read_line(program, 60) == "done\n"
            assert program.wait(30) == 0
        assert sender.wait(30) == 0
    assert under_way_count >= KILL_COUNT / 2, "the moments were not random enough"
    check(path, executions)


def publish(port: str, port_file: Path) -> None:
    """Tell the sender the port, all of it at once."""
    beside = port_file.with_suffix(".new")
    beside.write_text(port)
    beside.replace(port_file)


def check(path: Path, executions: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found = connection.execute("SELECT id, status, output FROM instances WHERE parent IS NULL").fetchall()
    assert {name: (status, json.loads(output)) for name, status, output in found} == {
        f"i{number}": ("Completed", OUTPUTS[kind_of(number)]) for number in range(INSTANCE_COUNT)
    }
    # nothing is left open, and nothing is left unread
    assert connection.execute("SELECT id FROM instances WHERE status IN ('Running', 'Suspended')").fetchall() == []
    assert connection.execute("SELECT count(*) FROM messages").fetchone() == (0,)
    effects = dict(connection.execute("SELECT name, count(*) FROM effects GROUP BY name"))
    assert effects == {name: 1 for number in range(INSTANCE_COUNT) for name in effects_of(number)}
    twice = "SELECT instance, task_id FROM history WHERE task_id >= 0 AND kind NOT LIKE '%attempt_failed' GROUP BY 1, 2 HAVING count(*) > 1"
    assert connection.execute(twice).fetchall() == []
    connection.close()

    times = Counter(executions.read_text().splitlines())
    expected = {f"i{number} {part}" for number in range(INSTANCE_COUNT) if kind_of(number) == "fan_out" for part in range(5)}
    expected |= {f"i{number} child {part}" for number in range(INSTANCE_COUNT) if kind_of(number) == "family" for part in range(3)}
    assert times.keys() == expected
    assert max(times.values()) <= 1 + KILL_COUNT
    assert sum(times.values()) <= len(expected) + 16 * 5 * KILL_COUNT  # what so few places let run at once


@contextmanager
def running(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A program, killed at the end if it has not ended by then."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: subprocess.Popen[str], deadline_seconds: float) -> str:
    """A line of output; nothing if there is none before the deadline."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], deadline_seconds)
    return process.stdout.readline() if ready else ""
