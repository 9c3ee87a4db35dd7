"""The program as a user runs it: its own process, nothing replaced."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

FOREBAY = str(Path(sys.executable).with_name("forebay"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of the developer's own settings; data and model caches as they would be for a user."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_") and name in ("HOME", "PATH", "XDG_CACHE_HOME")
    }
    return kept | {"FOREBAY_DATA_DIR": str(tmp_path / "data"), "FOREBAY_EMBEDDER": "mock", "FOREBAY_PORT": "0"}


def forebay(*arguments: str, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FOREBAY, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def median_seconds(command: list[str]) -> float:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started

    return statistics.median(once() for _ in range(5))


def test_help_is_there_at_once():
    bare = median_seconds([sys.executable, "-c", "pass"])
    assert median_seconds([FOREBAY, "--help"]) < max(0.5, 40 * bare)


def test_help_loads_nothing_heavy():
    program = "import sys; sys.argv = ['forebay', '--help']\nfrom forebay.cli.main import main\ntry: main()\nfinally: print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    loaded = set(printed.splitlines()[-1].split())
    assert "typer" in loaded
    assert not loaded & {"fastapi", "pydantic", "httpx", "numpy", "ctranslate2", "kreuzberg", "tokenizers", "sqlalchemy", "rich", "msgspec"}


def test_help_names_every_command(tmp_path: Path, environment: dict[str, str]):
    done = forebay("--help", cwd=tmp_path, environment=environment)
    assert done.returncode == 0
    for command in ("demo", "up", "put", "documents", "search", "check", "settings", "doctor"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("search",), ("search", "x", "--nonsense"), ("put", "missing.txt"), ("demo", "missing")]
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...], tmp_path: Path, environment: dict[str, str]):
    done = forebay(*arguments, cwd=tmp_path, environment=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_setting_exits_with_2_and_names_the_variable(tmp_path: Path, environment: dict[str, str]):
    done = forebay("settings", cwd=tmp_path, environment=environment | {"CHUNK_SIZE": "many"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: CHUNK_SIZE expects a whole number from 50 to 100000, but got 'many'.\nhint: ")


def test_settings_tell_value_and_origin(tmp_path: Path, environment: dict[str, str]):
    (tmp_path / ".env").write_text("FOREBAY_HOST=0.0.0.0\n", encoding="utf-8")
    done = forebay("settings", "--json", cwd=tmp_path, environment=environment)
    settings = {each["name"]: each for each in json.loads(done.stdout)["settings"]}
    assert settings["embedder"]["value"] == "mock"
    assert settings["embedder"]["origin"] == "environment FOREBAY_EMBEDDER"
    assert settings["host"] == settings["host"] | {"value": "0.0.0.0", "origin": ".env", "default": "127.0.0.1"}


def test_without_arguments_the_next_step_is_shown(tmp_path: Path, environment: dict[str, str]):
    done = forebay(cwd=tmp_path, environment=environment)
    assert done.returncode == 0
    assert "forebay demo" in done.stdout
    assert not (tmp_path / "data").exists()


def test_doctor_finds_a_healthy_machine_and_leaves_nothing_behind(tmp_path: Path, environment: dict[str, str]):
    done = forebay("doctor", "--json", cwd=tmp_path, environment=environment)
    body = json.loads(done.stdout)
    assert {each["name"]: each["state"] for each in body["checks"] if each["state"] == "fail"} == {}
    assert done.returncode == 0
    assert {each["name"] for each in body["checks"]} >= {"Python", "SQLite", "data directory", "fdatasync", "embedder", "parser", "port"}
    assert list(tmp_path.iterdir()) == []


def test_doctor_fails_when_the_data_directory_cannot_be(tmp_path: Path, environment: dict[str, str]):
    (tmp_path / "data").write_text("a file", encoding="utf-8")
    done = forebay("doctor", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert "FAIL  data directory" in done.stdout
