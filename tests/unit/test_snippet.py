from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.search.snippet import CLOSING, OPENING, SNIPPET_LENGTH, best_snippet, marked_spans


def marked(text: str, *words: str) -> str:
    return re.sub("|".join(words), lambda found: f"{OPENING}{found.group()}{CLOSING}", text)


def spans(text: str, *words: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer("|".join(words), text)]


def test_marks_become_spans_of_the_text() -> None:
    text = "the dam and the weir"
    assert marked_spans(text, marked(text, "dam", "weir")) == [(4, 7), (16, 20)]
    assert marked_spans("dam", marked("dam", "dam")) == [(0, 3)]
    assert marked_spans(text, text) == []


@pytest.mark.parametrize(
    "other", [f"{OPENING}dam", f"a dam{CLOSING}", f"{OPENING}another text{CLOSING}", f"{OPENING}{OPENING}a dam{CLOSING}{CLOSING}"]
)
def test_marks_that_do_not_fit_the_text_are_no_highlights(other: str) -> None:
    assert marked_spans("a dam", other) == []


def test_a_text_that_contains_the_marks_itself_is_not_highlighted() -> None:
    text = f"a dam {OPENING} here"
    assert marked_spans(text, marked(text, "dam")) == []


def test_a_short_text_is_its_own_snippet() -> None:
    found = best_snippet("the dam", [(4, 7)])
    assert (found.text, found.highlights) == ("the dam", ((4, 7),))


def test_a_snippet_shows_where_most_of_the_different_words_are() -> None:
    text = "dam dam dam dam. " + "filler " * 60 + "the sluice of a dam. " + "filler " * 60
    found = best_snippet(text, spans(text, "dam", "sluice"))
    assert "the sluice of a dam." in found.text
    assert [found.text[first:last] for first, last in found.highlights] == ["sluice", "dam"]


def test_a_snippet_of_a_text_without_matches_is_its_beginning() -> None:
    text = "word " * 100
    assert text.startswith(best_snippet(text, []).text)
    assert best_snippet(text, []).text.endswith("word")


def test_a_snippet_begins_with_a_line_and_ends_between_words() -> None:
    text = "x" * 300 + "\nthe line of the dam is here " + "and goes on and on " * 20
    found = best_snippet(text, spans(text, "dam"))
    assert found.text.startswith("the line of the dam")
    assert text[text.index(found.text) + len(found.text)].isspace()


@given(st.text(st.sampled_from("ab \n\U0001f600"), max_size=900), st.sampled_from(["a", "ab", "b+", "a b"]))
def test_a_snippet_is_a_slice_and_its_highlights_are_matches(text: str, pattern: str) -> None:
    matches = spans(text, pattern)
    found = best_snippet(text, matches)
    assert found.text in text
    assert len(found.text) <= SNIPPET_LENGTH
    assert all(re.fullmatch(pattern, found.text[first:last]) for first, last in found.highlights)
    assert list(found.highlights) == sorted(found.highlights)
    assert bool(found.highlights) == bool(matches)
    assert marked_spans(text, marked(text, pattern)) == matches
