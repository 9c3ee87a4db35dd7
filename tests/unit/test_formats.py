from __future__ import annotations

import io
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.cli.search import place_of, print_hit
from forebay.pipeline.chunk import ChunkerSetting, chunk_text
from forebay.pipeline.formats import FORMATS, Format, format_of_name
from forebay.pipeline.headings import heading_paths
from forebay.pipeline.mail import read_mail
from forebay.pipeline.notebook import notebook_to_markdown
from forebay.pipeline.parts import Part, joined
from forebay.pipeline.refused import Refused
from forebay.pipeline.validate import check_content
from forebay.values.chunk import ChunkLocation

PACKAGES = {
    "a.docx": ("[Content_Types].xml", "word/document.xml"),
    "a.xlsx": ("[Content_Types].xml", "xl/workbook.xml"),
    "a.pptx": ("[Content_Types].xml", "ppt/presentation.xml"),
    "a.odt": ("mimetype", "content.xml"),
}


def known(name: str) -> Format:
    found = format_of_name(name)
    assert found is not None
    return found


def package(name: str, content: bytes = b"<x/>", **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(PACKAGES[name][0], "application/vnd.oasis.opendocument.text" if name == "a.odt" else "<Types/>")
        archive.writestr(PACKAGES[name][1], content)
        for member, data in members.items():
            archive.writestr(member, data)
    return buffer.getvalue()


def reason_of(name: str, data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        check_content(known(name), data)
    return caught.value.reason


@pytest.mark.parametrize("format", [format for format in FORMATS if format.grammar], ids=lambda each: each.name)
def test_every_grammar_is_installed_and_splits_code(format: Format) -> None:
    assert format.grammar is not None
    assert format.language is not None
    module, _, function = format.grammar.partition(":")
    assert getattr(import_module(module), function or "language")()
    text = "a = 1\n" * 50
    assert len(chunk_text(text, format, chunk_size=100, chunker="auto")) > 1


fragments = st.sampled_from(
    [
        "class A {\n",
        "}\n",
        "def f\n",
        "end\n",
        "key: |\n  text\n",
        "- a\n",
        '"',
        "'",
        "/*",
        "<a>",
        "`${",
        "\r\n",
        "\t",
        "é",
        "👩",
        "\0",
        "#",
        "\\\n",
    ]
)


@given(
    text=st.lists(fragments | st.text(max_size=8), max_size=40).map("".join),
    format=st.sampled_from([format for format in FORMATS if format.grammar]),
    chunk_size=st.integers(1, 60),
)
@settings(max_examples=400, deadline=None)
def test_any_text_is_split_by_any_grammar_without_a_loss(text: str, format: Format, chunk_size: int) -> None:
    reached = 0
    for chunk in chunk_text(text, format, chunk_size=chunk_size, chunker="auto"):
        assert chunk.text == text[chunk.start : chunk.end]
        assert len(chunk.text) <= chunk_size
        assert not text[reached : chunk.start].strip()
        reached = chunk.end
    assert not text[reached:].strip()


def test_the_page_about_formats_names_every_suffix() -> None:
    page = Path(__file__).parents[2].joinpath("docs/formats.md").read_text(encoding="utf-8")
    assert [suffix for format in FORMATS for suffix in format.suffixes if f"`{suffix}`" not in page] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_a_whole_package_passes_and_a_cut_one_is_corrupt(name: str) -> None:
    whole = package(name, b"<x>" + bytes(range(60, 122)) * 50 + b"</x>")
    check_content(known(name), whole)
    assert reason_of(name, whole[: len(whole) // 2]) == "corrupt"
    assert reason_of(name, whole[:-10]) == "corrupt"


@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_in_a_package_has_to_be_what_its_name_says(name: str) -> None:
    for other in PACKAGES:
        if other != name:
            assert reason_of(name, package(other)) == "content_mismatch"
    assert reason_of(name, b"%PDF-1.7 not a zip") == "content_mismatch"
    assert reason_of(name, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)) == "content_mismatch"


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_inflates_enormously_is_an_archive_bomb(name: str) -> None:
    assert reason_of(name, package(name, b"a" * 60_000_000)) == "archive_bomb"


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_with_a_password_is_encrypted(name: str) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + "EncryptedPackage".encode("utf-16-le")
    assert reason_of(name, ole) == "encrypted"
    flagged = bytearray(package(name))
    flagged[flagged.index(b"PK\x01\x02") + 8] |= 1
    assert reason_of(name, bytes(flagged)) == "encrypted"


def test_an_open_document_says_in_its_manifest_that_it_is_encrypted() -> None:
    manifest = b'<manifest:file-entry manifest:full-path="content.xml"><manifest:encryption-data/></manifest:file-entry>'
    assert reason_of("a.odt", package("a.odt", **{"META-INF/manifest.xml": manifest})) == "encrypted"


def test_an_open_document_of_another_kind_is_a_mismatch() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", "<x/>")
    assert reason_of("a.odt", buffer.getvalue()) == "content_mismatch"


def test_rtf_begins_with_its_mark_and_ends_with_a_brace() -> None:
    check_content(known("a.rtf"), b"{\\rtf1\\ansi Hello\\par}\r\n\0")
    assert reason_of("a.rtf", b"{\\rtf1\\ansi Hello\\par") == "corrupt"
    assert reason_of("a.rtf", b"Hello") == "content_mismatch"


@pytest.mark.parametrize("data", [b"Just a letter.\nSubject: none of a mail", b"%PDF-1.7\nFrom: x", b"key: value\n", b"From: x\n\0\0"])
def test_what_does_not_begin_with_a_header_is_no_mail(data: bytes) -> None:
    assert reason_of("a.eml", data) == "content_mismatch"


def test_mail_may_begin_with_the_line_of_a_mailbox() -> None:
    check_content(known("a.eml"), b"From ann@example.com Mon Apr  1 10:00:00 2024\nReceived: by x\nFrom: ann@example.com\n\nHi\n")


def paths_of(text: str, *needles: str) -> list[tuple[str, ...] | None]:
    return heading_paths(text, [text.index(needle) for needle in needles])


def test_headings_nest_by_level_and_a_heading_stands_under_itself() -> None:
    text = "intro\n\n# Guide\n\na1\n\n## Install\n\na2\n\n### Linux\n\na3\n\n## Use\n\na4\n\n# End\n"
    assert paths_of(text, "intro", "# Guide", "a1", "a2", "a3", "a4", "# End") == [
        None,
        ("Guide",),
        ("Guide",),
        ("Guide", "Install"),
        ("Guide", "Install", "Linux"),
        ("Guide", "Use"),
        ("End",),
    ]


def test_underlined_headings_are_headings_and_rules_are_not() -> None:
    text = "Guide\r\n=====\r\n\r\na1\r\n\r\nInstall\r\n---\r\n\r\na2\r\n\r\n---\r\n\r\na3\r\n\r\n- item\r\n---\r\na4"
    assert paths_of(text, "a1", "a2", "a3", "a4") == [("Guide",), ("Guide", "Install"), ("Guide", "Install"), ("Guide", "Install")]


def test_fenced_code_and_front_matter_have_no_headings() -> None:
    text = "---\ntitle: x\n---\n# One\n```sh\n# comment\n```\n~~~\n```\n# more\n~~~\na1\n#hashtag\na2\n"
    assert paths_of(text, "a1", "a2") == [("One",), ("One",)]


def test_titles_are_shown_without_markup() -> None:
    text = "# **Bold** and `code` [link](http://x.y) \\# a_b ##\n\na1"
    assert paths_of(text, "a1") == [("Bold and code link # a_b",)]


@given(st.lists(st.sampled_from(["# a\n", "## b\n", "c\n", "===\n", "---\n", "```\n", "~~~~\n", "\n", "    x\n", "\r"]), max_size=40))
def test_any_lines_have_some_path_at_each_position(lines: list[str]) -> None:
    text = "".join(lines)
    paths = heading_paths(text, range(len(text)))
    assert len(paths) == len(text)
    assert all(path is None or all(path) for path in paths)


@given(
    pieces=st.lists(st.text(alphabet="ab \n.é", max_size=40), max_size=12),
    chunk_size=st.integers(1, 30),
    chunker=st.sampled_from(["auto", "fixed"]),
    name=st.sampled_from(["a.pdf", "a.docx"]),
)
@settings(max_examples=200, deadline=None)
def test_no_chunk_spans_two_pages_and_each_names_its_page(pieces: list[str], chunk_size: int, chunker: ChunkerSetting, name: str) -> None:
    text, parts = joined((ChunkLocation(page=number), piece) for number, piece in enumerate(pieces, 1))
    chunks = chunk_text(text, known(name), chunk_size=chunk_size, chunker=chunker, parts=parts)
    reached = 0
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert not text[reached : chunk.start].strip()
        reached = chunk.end
        assert chunk.location is not None
        assert chunk.location.page is not None
        assert chunk.text.strip() in pieces[chunk.location.page - 1]
    assert not text[reached:].strip()


def test_rows_are_those_that_a_chunk_has_characters_of() -> None:
    part = Part(start=0, location=ChunkLocation(sheet="S"), unit="rows", offsets=(0, 5, 10), numbers=(1, 4, 9))
    assert part.location_of(0, 4).rows == (1, 1)
    assert part.location_of(3, 5).rows == (1, 4)
    assert part.location_of(10, 99).rows == (9, 9)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (ChunkLocation(page=3), "page 3"),
        (ChunkLocation(slide=12), "slide 12"),
        (ChunkLocation(sheet="Budget", rows=(3, 17), cell_range="A3:F17"), "Budget!A3:F17"),
        (ChunkLocation(sheet="It's 2024", rows=(2, 2), cell_range="B2"), "'It''s 2024'!B2"),
        (ChunkLocation(rows=(2, 9), cell_range="A2:C9"), "A2:C9"),
        (ChunkLocation(sheet="Sales 2024", rows=(2, 9)), "Sales 2024 rows 2-9"),  # of an index made before there were ranges
        (ChunkLocation(sheet="S", rows=(2, 2)), "S row 2"),
        (ChunkLocation(cells=(1, 3), headings=("Analysis",)), "cells 1-3 Analysis"),
        (ChunkLocation(headings=("Guide", "Install")), "Guide > Install"),
    ],
)
def test_a_location_reads_as_words_and_survives_json(location: ChunkLocation, shown: str) -> None:
    assert place_of(location.to_json()) == shown
    assert ChunkLocation.from_json(location.to_json()) == location


def test_a_hit_is_printed_with_its_place_behind_the_citation(capsys: pytest.CaptureFixture[str]) -> None:
    hit = {
        "name": "report.pdf",
        "lines": [10, 14],
        "snippet": "Costs fell.",
        "highlights": [],
        "score": 1.0,
        "symbol": None,
        "location": {"page": 3},
    }
    print_hit(1, hit)
    assert " 1. report.pdf:10-14 page 3  score" in capsys.readouterr().out
    print_hit(1, hit | {"location": {"headings": ["evil\x1b[2J"]}})
    assert "\x1b[2J" not in capsys.readouterr().out
    print_hit(1, hit | {"location": None})
    assert " 1. report.pdf:10-14  score" in capsys.readouterr().out


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_that_is_no_notebook_is_a_mismatch(value: object) -> None:
    import json

    with pytest.raises(Refused) as caught:
        notebook_to_markdown(json.dumps(value))
    assert caught.value.reason == "content_mismatch"


@given(st.binary(max_size=300))
def test_any_bytes_behind_a_header_are_a_mail_or_refused(data: bytes) -> None:
    try:
        text = read_mail(b"From: a@b.c\nContent-Type: multipart/mixed; boundary=b\nSubject: " + data).text
    except Refused as refused:
        assert refused.reason in ("undecodable", "corrupt")
    else:
        text.encode("utf-8")
