from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.cli.output import cell_width, clipped, duration_text, print_error, print_json, print_table, size_text, visible
from forebay.cli.progress import Tally
from forebay.cli.questions import questions_from
from forebay.cli.search import citation, explanation, passage

ACTS_ON_TERMINALS = {"Cc", "Cs", "Co", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07.txt", r"\x1b[2J\x1b]0;owned\x07.txt"),
        ("\x9b31mred", r"\x9b31mred"),
        ("cv\u202efdp.exe", r"cv\u202efdp.exe"),
        ("two\nlines\r", r"two\nlines\r"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028separator", r"line\u2028separator"),
        ("not utf-8: \udcff", r"not utf-8: \udcff"),
        ("tag \U000e0041", r"tag \U000e0041"),
    ],
)
def test_what_could_act_on_a_terminal_is_shown_as_an_escape(hostile: str, shown: str):
    assert visible(hostile) == shown


@pytest.mark.parametrize("text", ["plain.txt", "Größe.md", "文書.txt", "दस्तावेज़", "مستند", "👩\u200d🔬 notes", "ﬁle", "a\u0301"])
def test_letters_of_every_script_stay(text: str):
    assert visible(text) == text


def test_newlines_stay_where_a_text_has_lines():
    assert visible("a\nb\tc", keep_newlines=True) == "a\nb\\tc"


@given(st.text())
def test_nothing_that_acts_on_a_terminal_ever_gets_through(text: str):
    shown = visible(text)
    assert not {unicodedata.category(character) for character in shown} & ACTS_ON_TERMINALS
    assert visible(shown) == shown


@given(st.dictionaries(st.text(), st.text()))
def test_json_is_the_same_object_without_raw_control_characters(body: dict[str, str]):
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        print_json(body)
    assert json.loads(printed.getvalue()) == body
    raw = printed.getvalue().replace("\n", "")
    assert not {unicodedata.category(character) for character in raw} & ACTS_ON_TERMINALS


def test_an_error_is_a_message_and_a_hint_on_standard_error(capsys: pytest.CaptureFixture[str]):
    print_error("no \x1b[31m", "do this")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error: no \\x1b[31m\nhint: do this\n")


def test_a_table_is_aligned_by_cells_and_not_by_characters(capsys: pytest.CaptureFixture[str]):
    print_table(("NAME", "N"), [("文書", "1"), ("plain", "20")], right=(1,))
    assert capsys.readouterr().out == "NAME    N\n文書    1\nplain  20\n"


@given(st.text(alphabet="a文 ", max_size=30), st.integers(min_value=1, max_value=20))
def test_a_clipped_text_fits(text: str, columns: int):
    assert cell_width(clipped(text, columns)) <= columns


def test_sizes_and_durations_are_rounded_for_people():
    assert [size_text(size) for size in (0, 812, 14_541, 3 << 30)] == ["0 B", "812 B", "14.2 KiB", "3.0 GiB"]
    assert [duration_text(seconds) for seconds in (0.42, 12.4, 65, 7390)] == ["0.4 s", "12 s", "1:05", "2:03:10"]


def test_progress_tells_counts_rate_and_time_left():
    tally = Tally(total=100, indexed=45, skipped=4, failed=1, chunks=1234)
    assert tally.describe(10.0) == "50/100 files · 1,234 chunks · 5.0 files/s · 10 s left · 4 skipped · 1 failed"


def test_a_citation_is_the_name_with_its_lines():
    assert citation({"name": "docs/a.md", "lines": [3, 9]}) == "docs/a.md:3-9"


def shown(snippet: str, *matches: str, columns: int = 80) -> list[str]:
    """The rows of a passage, with brackets around matches."""
    highlights = [found.span() for found in re.finditer("|".join(matches), snippet)] if matches else []
    rows = passage(snippet, highlights, columns=columns)
    return ["".join(f"[{cell}]" if is_match else cell for cell, is_match in row).replace("][", "") for row in rows]


def test_a_passage_begins_with_the_first_row_that_matches():
    text = "Introduction\n\nfiller\n    the durable engine\n        replays its journal\n"
    assert shown(text, "engine", "journal") == ["the durable [engine]", "    replays its [journal]"]


def test_a_passage_loses_the_indentation_that_all_its_rows_share():
    assert shown("    def double(x):\n        return 2 * x", "double") == ["def [double](x):", "    return 2 * x"]


def test_a_passage_without_matches_is_the_beginning():
    assert shown("one\ntwo\nthree\nfour\nfive") == ["one", "two", "three", "four"]


def test_a_long_row_is_cut_around_the_first_match():
    (row,) = shown("x " * 90 + "needle" + " y" * 9, "needle", columns=40)
    assert "[needle]" in row
    assert len(row) <= 42


@given(st.text(max_size=200), st.lists(st.integers(0, 200), max_size=6), st.integers(min_value=10, max_value=80))
def test_a_passage_always_fits_and_is_harmless(text: str, places: list[int], columns: int):
    ordered = sorted(set(places))
    for row in passage(text, list(zip(ordered[::2], ordered[1::2], strict=False)), columns=columns):
        line = "".join(cell for cell, _ in row)
        assert cell_width(line) <= columns
        assert visible(line) == line


def test_an_explanation_tells_ranks_scores_and_words():
    hit = {
        "score": 0.75,
        "ranks": {"text": 2, "vector": 1},
        "scores": {"text": 7.125, "vector": 0.5},
        "snippet": "the Dam of the dam\x1b",
        "highlights": [[4, 7], [15, 18]],
    }
    assert explanation(hit, "hybrid") == "text #2: BM25 7.12; vector #1: cosine 0.5000; the words add 0.2500; matches: dam"
    alone = {**hit, "ranks": {"text": None, "vector": 1}, "scores": {"text": None, "vector": 0.5}, "highlights": []}
    assert explanation(alone, "hybrid") == "vector #1: cosine 0.5000; no word of the query in the snippet"


def test_questions_come_from_headings_then_symbols_then_sentences():
    documents = [
        ("a.md", [{"text": "# Install\n\n## Getting `started` quickly\n", "symbol": None}]),
        ("b.py", [{"text": "# flake8: noqa", "symbol": None}, {"text": "def f(): pass", "symbol": "HttpServer.read_body"}]),
        ("c.md", [{"text": "# Getting started quickly\n\nRun the installer and wait a moment.", "symbol": None}]),
        ("d.md", [{"text": "# Not needed any more", "symbol": None}]),
    ]
    assert questions_from(documents) == ["Getting started quickly", "read body", "Run the installer and wait a moment."]


def test_a_short_name_is_asked_for_with_what_holds_it():
    assert questions_from([("a.py", [{"text": "", "symbol": "pkg.HTTPServer.close"}])]) == ["http server close"]


def test_documents_without_words_give_no_questions():
    assert questions_from([("a.txt", [{"text": "1 2 3", "symbol": None}]), ("b.txt", [])]) == []
