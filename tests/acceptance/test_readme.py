"""What the README shows works as it is written."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from program import FOREBAY, clean_environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder like a clone's root."""
    for name in ("docs", "README.md"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / name)
    return tmp_path


def test_the_commands_of_the_readme_run_one_after_the_other(checkout: Path) -> None:
    commands = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    assert len(commands) >= 5
    for command in commands:
        arguments = [str(FOREBAY) if word == ".venv/bin/forebay" else word for word in shlex.split(command)]
        done = subprocess.run(arguments, cwd=checkout, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert done.stdout, command


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_programs_of_the_readme_run(number: int, checkout: Path) -> None:
    script = blocks("python")[number]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=checkout, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ("docs" in script) == (".md:" in done.stdout), done.stdout
    assert done.stdout


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
