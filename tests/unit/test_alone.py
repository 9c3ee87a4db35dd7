"""A test that is marked `alone` runs while no other test does; all others run at the same time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import time
from pathlib import Path

import pytest

LOG = Path(__file__).with_name("log")


def tell(line):
    with LOG.open("a") as file:
        file.write(line + "\\n")


def stay(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_both_processes_run_at_the_same_time():
    tell("here " + __name__)
    end = time.monotonic() + 60
    while LOG.read_text().count("here") < 2:
        assert time.monotonic() < end
"""
ALONE = """
@pytest.mark.alone
def test_alone():
    tell("alone begins")
    stay(0.3)
    tell("alone ends")
"""
OTHERS = """
@pytest.mark.parametrize("number", range(40))
def test_other(number):
    tell("other begins")
    stay(0.02)
    tell("other ends")
"""


def test_no_other_test_runs_beside_one_that_is_marked_alone(tmp_path: Path) -> None:
    shutil.copyfile(CONFTEST, tmp_path / "conftest.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    (tmp_path / "test_one.py").write_text(TESTS + ALONE)
    (tmp_path / "test_two.py").write_text(TESTS + OTHERS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--numprocesses", "2", "--dist", "loadfile"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert "43 passed" in done.stdout, done.stdout + done.stderr
    lines = (tmp_path / "log").read_text().splitlines()
    before = lines[: lines.index("alone begins")]
    assert before.count("other begins") == before.count("other ends")
    assert lines[lines.index("alone begins") + 1] == "alone ends"
    assert lines.count("other ends") - before.count("other ends") > 0, "they went on afterwards"
