from __future__ import annotations

import time
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipeline.chunk import chunk_text
from forebay.pipeline.formats import Format, format_of_name
from forebay.values.chunk import Chunk

NAMES = ["a.txt", "a.md", "a.py", "a.js", "a.csv"]


def chunks_of(text: str, name: str = "a.txt", chunk_size: int = 800, chunker: Literal["auto", "fixed"] = "auto") -> list[Chunk]:
    return chunk_text(text, known(name), chunk_size=chunk_size, chunker=chunker)


def known(name: str) -> Format:
    found = format_of_name(name)
    assert found is not None
    return found


def check_invariants(text: str, chunks: list[Chunk], chunk_size: int) -> None:
    reached = 0
    for number, chunk in enumerate(chunks):
        assert chunk.ordinal == number
        assert chunk.text == text[chunk.start : chunk.end]
        assert 0 < len(chunk.text) <= chunk_size
        assert not chunk.text.isspace()
        assert chunk.start >= reached
        assert not text[reached : chunk.start].strip(), "a character was left out"
        reached = chunk.end
        line_end = "\n" if "\n" in text else "\r"
        assert chunk.first_line == text.count(line_end, 0, chunk.start) + 1
        assert chunk.last_line == text.count(line_end, 0, chunk.end - 1) + 1
    assert not text[reached:].strip()


fragments = st.sampled_from(
    [
        "def f(x):\n",
        "    return 1\n",
        "class A {",
        "}",
        "# Heading\n\n",
        "- item\n",
        "```\n",
        "word ",
        "\r\n",
        "\n\n\n",
        "\t",
        "é",
        "👩‍👧",
        '"""',
        "`${",
    ]
)
texts = st.one_of(st.text(max_size=300), st.lists(st.one_of(fragments, st.text(max_size=8)), max_size=60).map("".join))


@given(text=texts, name=st.sampled_from(NAMES), chunk_size=st.integers(1, 60), chunker=st.sampled_from(["auto", "fixed"]))
@settings(max_examples=400, deadline=None)
def test_chunks_are_ordered_slices_that_leave_nothing_out(text: str, name: str, chunk_size: int, chunker: Literal["auto", "fixed"]) -> None:
    chunks = chunks_of(text, name, chunk_size, chunker)
    check_invariants(text, chunks, chunk_size)
    assert chunks == chunks_of(text, name, chunk_size, chunker)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("unit", ["word ", "x", "line of text\n", "# heading\n\npara\n\n", "e\u0301", "def f():\r\n    pass\r\n"])
def test_long_texts_keep_the_promises_across_segments(name: str, unit: str) -> None:
    text = unit * (200_000 // len(unit))
    check_invariants(text, chunks_of(text, name), 800)


def test_ten_megabytes_on_one_line_take_seconds() -> None:
    text = '[1,2,{"a":"b"}],' * 625_000
    began = time.perf_counter()
    check = chunks_of(text, "a.json")
    assert time.perf_counter() - began < 20
    assert len(check) > 12_000


def test_lines_are_counted_by_line_feeds_and_by_returns_only_where_there_is_no_other() -> None:
    def lines(text: str) -> list[tuple[int, int]]:
        return [(chunk.first_line, chunk.last_line) for chunk in chunks_of(text, chunk_size=5)]

    assert lines("aaaa\nbbbb\ncccc") == [(1, 1), (2, 2), (3, 3)]
    assert lines("aaaa\r\nbbbb\r\ncccc") == [(1, 1), (2, 2), (3, 3)]
    assert lines("aaaa\rbbbb\rcccc") == [(1, 1), (2, 2), (3, 3)]
    assert lines("a\rb\nc") == [(1, 2)]


def test_fixed_cuts_plain_slices_and_a_line_end_belongs_to_its_line() -> None:
    chunks = chunks_of("ab\ncd\n\n\n\nef", "a.md", 3, "fixed")
    assert [(chunk.text, chunk.first_line, chunk.last_line) for chunk in chunks] == [("ab\n", 1, 1), ("cd\n", 2, 2), ("ef", 6, 6)]


def test_markdown_is_split_at_headings() -> None:
    text = "# One\n\n" + "first " * 20 + "\n\n# Two\n\n" + "second " * 20
    assert [chunk.text.split("\n")[0] for chunk in chunks_of(text, "a.md", 200)] == ["# One", "# Two"]


def test_python_is_split_between_definitions() -> None:
    text = "def first():\n    return 1\n\n\ndef second():\n    return 2\n"
    assert [chunk.text.strip().split("(")[0] for chunk in chunks_of(text, "a.py", 40)] == ["def first", "def second"]


def test_a_chunk_of_code_has_the_symbol_at_its_first_character_that_is_not_blank() -> None:
    text = "class A:\n    def first(self):\n        return 1\n\n    def second(self):\n        return 2\n"
    assert [(chunk.text.split("(")[0].strip(), chunk.symbol) for chunk in chunks_of(text, "a.py", 50)] == [
        ("class A:", "A"),
        ("def first", "A.first"),
        ("def second", "A.second"),
    ]
    assert chunks_of("const f = () => {\n  return 1;\n};\n", "a.js")[0].symbol == "f"


def test_text_and_markdown_have_no_symbols() -> None:
    assert {chunk.symbol for name in ("a.txt", "a.md") for chunk in chunks_of("def f():\n    pass\n", name)} == {None}
