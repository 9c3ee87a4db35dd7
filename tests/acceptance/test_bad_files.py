"""One bad file ends with its reason and stops nothing."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from program import running

GOOD = "The good neighbour is indexed whatever happens next door."


def encrypted_pdf() -> bytes:
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer, encrypt=StandardEncryption("secret", canPrint=0))
    canvas.drawString(100, 700, "hidden")
    canvas.save()
    return buffer.getvalue()


def zipped(content: bytes, name: str = "a.txt") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def docx_bomb() -> bytes:
    import docx

    buffer = io.BytesIO()
    docx.Document().save(buffer)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/media/zeros.xml", b"\0" * (300 << 20))
    return buffer.getvalue()


BAD_FILES = {
    "corrupt.pdf": (b"%PDF-1.7\n%broken\nxref\n0 1\n", "corrupt"),
    "encrypted.pdf": (encrypted_pdf(), "encrypted"),
    "empty.txt": (b"", "empty"),
    "blank.md": (b" \n\t\n ", "empty"),
    "big.txt": (b"word " * (11 * 1024 * 1024 // 5), "too_large"),
    "test.bin": (b"looks like text", "unsupported_type"),
    "archive.txt": (zipped(b"text"), "content_mismatch"),
    "bomb.docx": (docx_bomb(), "archive_bomb"),
    "bomb.txt": (gzip.compress(b"\0" * (64 << 20)), "content_mismatch"),
    "image.md": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "content_mismatch"),
    "not-really.docx": (zipped(b"text"), None),
    "deep.json": (b"[" * 200_000, None),
}


def test_each_bad_file_ends_with_its_reason_and_its_neighbours_are_indexed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    outside = tmp_path / "outside.txt"
    outside.write_text("must not be read: the secret zeppelin")
    for number in range(20):
        (folder / f"good-{number}.txt").write_text(f"{GOOD} Number {number}.")
    for name, (content, _) in BAD_FILES.items():
        (folder / name).write_bytes(content)
    (folder / "new\nline.txt").write_text("a name with a newline")
    (folder / "escape\x1b[31m.txt").write_text("a name with a terminal escape")
    (folder / "link.txt").symlink_to(outside)
    (folder / "inside.txt").symlink_to(folder / "good-1.txt")
    os.mkfifo(folder / "pipe.txt")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_bytes(b"a name that is not UTF-8")
    (folder / "loop").symlink_to(folder)
    with running(tmp_path / "data", watch=[folder]) as program:
        summary = program.settled(documents=30)
        with program.client() as client:
            documents: dict[str, Any] = {each["name"]: each for each in client.get("/documents?limit=1000").json()["documents"]}
            hits = client.post("/search", json={"query": "secret zeppelin", "mode": "text"}).json()["hits"]
        assert program.stop() == 0
    assert hits == []
    for number in range(20):
        assert documents[f"good-{number}.txt"]["status"] == "indexed"
    for name, (_, reason) in BAD_FILES.items():
        document = documents[name]
        if reason is not None:
            assert (document["status"], document["reason"]) == ("skipped", reason), name
        else:
            assert document["status"] in ("indexed", "skipped", "failed"), name
    assert documents["link.txt"]["reason"] == "outside_source"
    assert documents["pipe.txt"]["reason"] == "not_a_file"
    assert documents["caf\\xe9.txt"]["reason"] == "name_not_utf8"
    assert documents["inside.txt"]["status"] == "indexed"
    assert documents["new\nline.txt"]["status"] == "indexed"
    assert documents["escape\x1b[31m.txt"]["status"] == "indexed"
    assert not any(name.startswith("loop/") for name in documents)
    assert sum(summary["outcomes"].values()) == summary["arrivals"] == len(documents)


@pytest.mark.parametrize(
    ("behaviour", "reason"), [("segfault", "parser_crashed"), ("hang", "parser_timeout"), (f"allocate {8 << 30}", "parser_memory")]
)
def test_a_parser_that_misbehaves_costs_one_file(behaviour: str, reason: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(10):
        (folder / f"good-{number}.txt").write_text(f"{GOOD} Number {number}.")
    (folder / "bad.txt").write_text(behaviour)
    command = [sys.executable, os.fspath(Path(__file__).with_name("hostile_parser_server.py"))]
    settings = {"FOREBAY_PARSE_TIMEOUT_SECONDS": "1", "FOREBAY_PARSE_MEMORY_MB": "512", "FOREBAY_ACTIVITY_ATTEMPTS": "2"}
    with running(tmp_path / "data", watch=[folder], command=command, FOREBAY_FIRST_RETRY_SECONDS="0.01", **settings) as program:
        program.settled(documents=11)
        with program.client() as client:
            documents: dict[str, Any] = {each["name"]: each for each in client.get("/documents").json()["documents"]}
        assert program.stop() == 0
    bad = documents.pop("bad.txt")
    assert (bad["status"], bad["reason"]) == ("failed", reason)
    assert {each["status"] for each in documents.values()} == {"indexed"}
