"""The program as a user runs it: its own process, nothing replaced."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

FOREBAY = str(Path(sys.executable).with_name("forebay"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of the developer's own settings; data and model caches as they would be for a user."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_") and name in ("HOME", "PATH", "XDG_CACHE_HOME")
    }
    return kept | {"FOREBAY_DATA_DIR": str(tmp_path / "data"), "FOREBAY_EMBEDDER": "mock", "FOREBAY_PORT": "0"}


def forebay(*arguments: str, cwd: Path, environment: dict[str, str], typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FOREBAY, *arguments], cwd=cwd, env=environment, input=typed, capture_output=True, text=True, timeout=120, check=False
    )


def until(is_so: Callable[[], bool], *, seconds: float = 30) -> None:
    """Look until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def median_seconds(command: list[str]) -> float:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started

    return statistics.median(once() for _ in range(5))


@pytest.mark.alone
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
    for command in ("demo", "up", "put", "documents", "search", "query", "keys", "reindex", "check", "settings", "doctor", "bench"):
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


def test_doctor_tells_what_the_embedder_computes_with_and_how_fast(tmp_path: Path, environment: dict[str, str]):
    local = {name: value for name, value in environment.items() if not name.startswith("CT2_")} | {"FOREBAY_EMBEDDER": "minilm"}
    done = forebay("doctor", "--embedder", "--json", cwd=tmp_path, environment=local | {"FOREBAY_MODEL_CACHE_DIR": str(tmp_path / "cache")})
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert list(checks) == ["model cache", "embedder", "processor", "rate"]
    assert (checks["model cache"]["state"], checks["embedder"]["state"], checks["rate"]["state"]) == ("warn", "ok", "ok")
    assert "absent" in checks["model cache"]["detail"]
    assert " by " in checks["processor"]["detail"]
    assert "texts of 800 characters a second" in checks["rate"]["detail"]
    forced = local | {"CT2_FORCE_CPU_ISA": "GENERIC", "FOREBAY_MODEL_CACHE_DIR": str(tmp_path / "cache")}
    again = json.loads(forebay("doctor", "--embedder", "--json", cwd=tmp_path, environment=forced).stdout)["checks"]
    assert again[0]["state"] == "ok"
    assert "GENERIC" in again[2]["detail"]
    assert "set by CT2_FORCE_CPU_ISA=GENERIC" in again[2]["detail"]


def test_doctor_fails_when_the_data_directory_cannot_be(tmp_path: Path, environment: dict[str, str]):
    (tmp_path / "data").write_text("a file", encoding="utf-8")
    done = forebay("doctor", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert "FAIL  data directory" in done.stdout


def test_a_folder_is_put_found_and_cited(tmp_path: Path, environment: dict[str, str]):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "turbines.md").write_text("# Turbines\n\nA forebay is the pool in front of a turbine.\n", encoding="utf-8")
    (notes / "empty.md").touch()
    (notes / "\x1b[2Jevil.md").write_text("penstock\n", encoding="utf-8")
    put = forebay("put", "notes", cwd=tmp_path, environment=environment)
    assert put.returncode == 0, put.stderr
    assert put.stdout.startswith("3 files: 2 indexed, 1 skipped, 2 chunks in ")
    assert "notes/empty.md" in put.stdout

    found = forebay("search", "pool in front of a turbine", "--mode", "text", "-k", "1", cwd=tmp_path, environment=environment)
    assert found.stdout.startswith(" 1. notes/turbines.md:1-3 ")
    listed = forebay("documents", "list", cwd=tmp_path, environment=environment).stdout
    assert "\x1b" not in listed
    assert r"notes/\x1b[2Jevil.md" in listed
    shown = forebay("documents", "show", "notes/empty.md", cwd=tmp_path, environment=environment)
    assert "skipped (empty: " in shown.stdout
    assert "DocumentSkipped" in shown.stdout
    assert forebay("check", cwd=tmp_path, environment=environment).returncode == 0
    assert "2 indexed" in forebay(cwd=tmp_path, environment=environment).stdout


def test_a_failed_file_makes_put_fail_and_the_others_are_stored(tmp_path: Path, environment: dict[str, str]):
    (tmp_path / "large.txt").write_bytes(b"x" * (2 << 20))
    (tmp_path / "small.txt").write_text("small", encoding="utf-8")
    done = forebay("put", "large.txt", "small.txt", "--json", cwd=tmp_path, environment=environment | {"FOREBAY_MAX_BODY_MB": "1"})
    body = json.loads(done.stdout)
    assert done.returncode == 1
    assert {each["name"]: each["reason"] for each in body["documents"]} == {"large.txt": "body_too_large", "small.txt": None}


def test_commands_use_the_running_server_and_ctrl_c_stops_it(tmp_path: Path, environment: dict[str, str]):
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "a.md").write_text("penstock\n", encoding="utf-8")
    server = subprocess.Popen([FOREBAY, "up", "--watch", "watched"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        announced = "".join(iter(server.stdout.readline, "  stop             Ctrl-C\n"))
        url = json.loads((tmp_path / "data" / "server.json").read_text(encoding="utf-8"))["url"]
        assert url in announced
        assert str(watched) in announced
        until(lambda: '"a.md"' in forebay("search", "penstock", "--json", cwd=tmp_path, environment=environment).stdout)
        (tmp_path / "b.md").write_text("tailrace\n", encoding="utf-8")
        assert forebay("put", "b.md", cwd=tmp_path, environment=environment).returncode == 0
        assert url in forebay(cwd=tmp_path, environment=environment).stdout
        second = forebay("up", cwd=tmp_path, environment=environment)
        assert second.returncode == 3
        assert "Traceback" not in second.stderr
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    assert server.returncode == 0
    assert not (tmp_path / "data" / "server.json").exists()
    assert "2 indexed" in forebay(cwd=tmp_path, environment=environment).stdout


def test_a_data_directory_that_another_process_holds_is_not_available(tmp_path: Path, environment: dict[str, str]):
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "forebay.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = forebay("search", "x", cwd=tmp_path, environment=environment)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: ")
    assert "hint: " in done.stderr


def test_ctrl_c_in_put_says_what_is_stored_and_the_rest_can_follow(tmp_path: Path, environment: dict[str, str]):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(600):
        (many / f"{number:04}.txt").write_text(f"note {number}\n", encoding="utf-8")
    put = subprocess.Popen(
        [FOREBAY, "put", "many"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a job in the background inherits that it is ignored
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads run in this test
    )
    until(lambda: len(list((tmp_path / "data").glob("containers/*/*.txt"))) > 20)
    put.send_signal(signal.SIGINT)
    out, err = put.communicate(timeout=60)
    assert (put.returncode, out) == (130, "")
    assert "of 600 files are stored" in err
    assert "Traceback" not in err
    again = forebay("put", "many", cwd=tmp_path, environment=environment)
    assert again.stdout.startswith("600 files: 600 indexed, 600 chunks in ")
    assert forebay("check", cwd=tmp_path, environment=environment).returncode == 0


def test_the_demo_indexes_a_folder_and_asks_it_three_questions(tmp_path: Path, environment: dict[str, str]):
    notes = tmp_path / "notes"
    notes.mkdir()
    for topic in ("Turbines and pools", "Valves and gates", "Spillways and weirs"):
        (notes / f"{topic.split()[0].lower()}.md").write_text(f"# {topic}\n\nAll about {topic.lower()}.\n", encoding="utf-8")
    (notes / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    before = {path: path.read_bytes() for path in notes.iterdir()}
    done = forebay("demo", "notes", cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    assert "Indexed 3 documents, 3 chunks in " in done.stdout
    assert "unsupported_type" in done.stdout
    for number in (1, 2, 3):
        assert f"Question {number}  " in done.stdout
    assert "turbines.md:1-3" in done.stdout
    assert "\n  DocumentIndexed     3 ███" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert {path: path.read_bytes() for path in notes.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes"]


def test_a_demo_of_nothing_readable_fails(tmp_path: Path, environment: dict[str, str]):
    (tmp_path / "void").mkdir()
    done = forebay("demo", "void", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert "0 documents" in done.stdout


def test_a_query_without_a_server_tells_what_happened_to_files(tmp_path: Path, environment: dict[str, str]):
    (tmp_path / "a.md").write_text("penstock\n", encoding="utf-8")
    (tmp_path / "b.md").touch()
    assert forebay("put", "a.md", "b.md", cwd=tmp_path, environment=environment).returncode == 0
    asked = "documents | summarize files = count() by status | order by status asc"
    table = forebay("query", asked, cwd=tmp_path, environment=environment)
    assert table.stdout.splitlines() == ["status   files", "indexed      1", "skipped      1"], table.stderr
    printed = forebay("query", "-", "--json", cwd=tmp_path, environment=environment, typed=asked).stdout
    assert json.loads(printed)["tables"][0]["rows"] == [["indexed", 1], ["skipped", 1]]
    wrong = forebay("query", "documents\n| wher status == 'x'", cwd=tmp_path, environment=environment)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: line 2, column 3: ")
    assert "\n  | wher status == 'x'\n    ^\n" in wrong.stderr
    assert forebay("reindex", cwd=tmp_path, environment=environment).stdout.startswith("The index is that of the settings")


def test_keys_and_queries_go_through_the_running_server(tmp_path: Path, environment: dict[str, str]):
    server = subprocess.Popen([FOREBAY, "up"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        "".join(iter(server.stdout.readline, "  stop             Ctrl-C\n"))
        url = json.loads((tmp_path / "data" / "server.json").read_text(encoding="utf-8"))["url"]
        made = forebay("keys", "create", "collector", "--scope", "ingest", "--json", cwd=tmp_path, environment=environment)
        key = json.loads(made.stdout)
        entry = {"name": "gate_opened", "service": "gate", "measurements": {"seconds": 2.5}}
        headers = {"X-API-Key": key["key"]}
        with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
            assert client.post("/events", json={"entries": [entry, entry]}).status_code == 202
            assert client.post("/query", json={"query": "customEvents"}).status_code == 403

        asked = "customEvents | where cloud_RoleName == 'gate' | summarize seconds = sum(todouble(customMeasurements.seconds)) by name"
        csv = forebay("query", asked, "--csv", cwd=tmp_path, environment=environment)
        assert csv.stdout == "name,seconds\ngate_opened,5.0\n", csv.stderr
        chart = forebay("query", f"{asked} | render barchart", cwd=tmp_path, environment=environment)
        assert chart.stdout.startswith("gate_opened 5 ███")
        (tmp_path / "a.md").write_text("tailrace\n", encoding="utf-8")
        assert forebay("put", "a.md", cwd=tmp_path, environment=environment).returncode == 0
        assert json.loads(forebay("reindex", "--json", cwd=tmp_path, environment=environment).stdout)["status"] == "current"

        listed = forebay("keys", "list", cwd=tmp_path, environment=environment).stdout
        assert "collector" in listed
        assert key["key"] not in listed
        assert forebay("keys", "revoke", key["id"], cwd=tmp_path, environment=environment).stdout.startswith("Revoked collector")
        with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
            assert client.post("/events", json={"entries": [entry]}).status_code == 401
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    assert server.returncode == 0


def test_a_reader_that_goes_away_ends_a_query_quietly(tmp_path: Path, environment: dict[str, str]):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = subprocess.run(
            [FOREBAY, "query", "print 1"], cwd=tmp_path, env=environment, stdout=gone, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
