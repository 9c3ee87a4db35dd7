"""A real folder of more than 300 files, with the real embedder: everything accounted for, found and cited."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from program import Program, assert_sound, running

PACKAGES = (
    "asyncio collections concurrent ctypes curses dbm email encodings html http importlib json lib2to3 logging re sqlite3 tomllib "
    "turtledemo urllib venv wsgiref xml xmlrpc zoneinfo"
).split()
LEFT_OUT = (
    "__pycache__",
    "tests",
    "test",
    "*.so",
    "cp[0-9]*",
    "iso8859*",
    "mac_*",
    "koi8*",
)  # character tables would be a third of the text

# what somebody would ask, and the file that answers it
KNOWN_THINGS = {
    "parse a date in an e-mail header": "email/_parseaddr.py",
    "turn a JSON document into Python objects": "json/decoder.py",
    "rotate log files when they reach a size": "logging/handlers.py",
    "the towers of Hanoi drawn with turtles": "turtledemo/minimal_hanoi.py",
    "ordered dictionary that remembers insertion order": "collections/__init__.py",
    "quote special characters in a URL": "urllib/parse.py",
    "find the time zone's transition for a daylight saving change": "zoneinfo/_zoneinfo.py",
    "cookie jar that stores HTTP cookies": "http/cookiejar.py",
    "parse a TOML configuration file": "tomllib/_parser.py",
    "create a virtual environment with pip": "venv/__init__.py",
}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Path, dict[str, Any]]]:
    """The running program over the folder, when everything has settled."""
    directory = tmp_path_factory.mktemp("real")
    folder = directory / "library"
    for package in PACKAGES:
        shutil.copytree(Path(sysconfig.get_path("stdlib")) / package, folder / package, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing follows")
    (folder / "nothing.txt").write_bytes(b"")
    (folder / "test.bin").write_bytes(b"text, but who knows")
    (folder / ".env").write_text("SECRET=1")
    with running(directory / "data", watch=[folder], FOREBAY_EMBEDDER="minilm") as program:
        yield program, folder, program.settled()
        assert program.stop() == 0
    assert_sound_with_model(directory / "data")


def assert_sound_with_model(data_dir: Path) -> None:
    """`assert_sound` checks the vectors of the configured model."""
    import program

    previous = program.clean_environment
    program.clean_environment = lambda **more: previous(**more) | {"FOREBAY_EMBEDDER": "minilm"}
    try:
        assert_sound(data_dir)
    finally:
        program.clean_environment = previous


def listed(client: httpx.Client) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = client.get("/documents", params={"limit": 100} | ({"cursor": cursor} if cursor else {})).json()
        documents += page["documents"]
        cursor = page["next_cursor"]
        if cursor is None:
            return documents


def test_every_file_is_accounted_for(indexed: tuple[Program, Path, dict[str, Any]]) -> None:
    program, folder, summary = indexed
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert len(on_disk) > 300
    with program.client() as client:
        documents = {document["name"]: document for document in listed(client)}
    assert on_disk - documents.keys() == {".env"}, "excluded by default, and only counted"
    assert documents.keys() <= on_disk
    assert summary["excluded"] == 1
    not_indexed = {name: (each["status"], each["reason"]) for name, each in documents.items() if each["status"] != "indexed"}
    assert {name: not_indexed.pop(name) for name in ("broken.pdf", "nothing.txt", "test.bin")} == {
        "broken.pdf": ("skipped", "corrupt"),
        "nothing.txt": ("skipped", "empty"),
        "test.bin": ("skipped", "unsupported_type"),
    }
    for name, (status, reason) in not_indexed.items():
        assert status == "skipped", name
        assert reason in ("empty", "unsupported_type"), name
        assert (reason == "empty") == (not (folder / name).read_bytes().strip()), name
    assert sum(summary["outcomes"].values()) == summary["arrivals"] == len(documents)


@pytest.mark.parametrize(("question", "answer"), KNOWN_THINGS.items())
def test_known_things_are_found_in_the_first_five_with_true_citations(
    indexed: tuple[Program, Path, dict[str, Any]], question: str, answer: str
) -> None:
    program, folder, _ = indexed
    with program.client() as client:
        hits = client.post("/search", json={"query": question, "k": 5}).json()["hits"]
    assert answer in [hit["name"] for hit in hits]
    for hit in hits:
        text = (folder / hit["name"]).read_bytes().decode()
        start, end = hit["characters"]
        assert text[start:end] == hit["text"]
        first, last = hit["lines"]
        cited = "\n".join(text.split("\n")[first - 1 : last])
        assert hit["text"] in cited
        assert text.count("\n", 0, start) + 1 == first
