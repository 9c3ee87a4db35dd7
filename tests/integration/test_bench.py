from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest

from forebay.cli.bench_corpus import note, write_corpus
from forebay.cli.main import application
from forebay.cli.measure import memory_bytes

NAMES = [
    "disk: confirmed writes of 4 KB",
    "embedder alone",
    "files to searchable",
    "chunks to searchable",
    "comparison of the unchanged folder",
    "upload of 4 KB to first hit",
    "search, median",
    "search, 95th percentile",
    "memory at most, all processes",
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("FOREBAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FOREBAY_EMBEDDER", "mock")
    monkeypatch.setattr("forebay.cli.bench.SYNC_SECONDS", 0.05)
    monkeypatch.chdir(tmp_path)


def bench(*arguments: str) -> int:
    return int(application()(["bench", *arguments], standalone_mode=False) or 0)


def test_every_figure_is_measured_and_nothing_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench("--files", "6", "--json")
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert [figure["name"] for figure in report["figures"]] == NAMES
    assert all(figure["value"] > 0 for figure in report["figures"])
    with_yardstick = [figure for figure in report["figures"] if figure["yardstick"]]
    assert [figure["name"] for figure in with_yardstick] == [NAMES[number] for number in (3, 4, 5, 6)]
    assert all(figure["ratio"] > 0 for figure in with_yardstick)
    assert report["corpus"]["files"] == 6
    assert report["embedder"] == "mock-64"
    assert "measuring files to searchable" in printed.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_ones_own_is_measured_and_not_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    write_corpus(folder, 3)
    (folder / "picture.png").write_bytes(b"\x89PNG")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    bench("--dir", str(folder))
    out = capsys.readouterr().out
    assert all(name in out for name in NAMES)
    assert "4 files" in out
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_without_text_is_refused_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match="expected files with some text"):
        bench("--dir", "empty")
    with pytest.raises(Exception, match="expected a folder"):
        bench("--dir", "missing")


def test_a_remote_embedder_is_not_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FOREBAY_EMBEDDER", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-used")
    bench("--files", "1", "--json")
    assert json.loads(capsys.readouterr().out)["embedder"].startswith("all-MiniLM-L6-v2")


def test_generated_files_are_the_same_everywhere_and_share_no_sentence() -> None:
    notes = [note(number) for number in range(4)]
    assert notes == [note(number) for number in range(4)]
    assert all(3000 < len(text) < 6000 for text in notes)
    lines = [set(text.splitlines()[2:]) for text in notes]
    assert all(not one & other for one, other in itertools.combinations(lines, 2))


def test_memory_is_that_of_a_process_with_its_children() -> None:
    assert memory_bytes(os.getpid()) > 10 << 20
