from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forebay.search.query import TERM_COUNT_LIMIT, match_expression

texts = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def full_text() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE full_text USING fts5(text, context, tokenize='porter unicode61 remove_diacritics 2')")
    yield connection
    connection.close()


def test_words_are_quoted_and_joined_with_or() -> None:
    assert match_expression("parse dates") == '"parse" OR "dates"'


def test_words_are_split_where_full_text_splits_them() -> None:
    assert match_expression("os.path.join_all(x)") == '"os" OR "path" OR "join" OR "all" OR "x"'


def test_marks_stay_in_their_words() -> None:
    assert match_expression("हिन्दी") == '"हिन्दी"'
    assert match_expression("cafe\u0301") == '"caf\u00e9"'


def test_decomposed_syllables_find_composed_ones(full_text: sqlite3.Connection) -> None:
    full_text.execute("SAVEPOINT before")
    full_text.execute("INSERT INTO full_text VALUES ('\ud55c\uae00', '')")
    decomposed = match_expression("\u1112\u1161\u11ab\u1100\u1173\u11af")
    assert full_text.execute("SELECT count(*) FROM full_text WHERE full_text MATCH ?", (decomposed,)).fetchone() == (1,)
    full_text.execute("ROLLBACK TO before")


def test_a_repeated_word_is_asked_for_once_whatever_its_case() -> None:
    assert match_expression("Error error ERROR disk") == '"ERROR" OR "disk"'


def test_stop_words_are_left_out() -> None:
    assert match_expression("the size of the file") == '"size" OR "file"'


def test_a_query_of_stop_words_alone_is_asked_for_as_it_is() -> None:
    assert match_expression("to be or not to be") == '"to" OR "be" OR "or" OR "not"'


@pytest.mark.parametrize("text", ["", "   ", "?!*", '"" : ^ ( )', "\0", "\u0301", "___"])
def test_a_query_without_a_word_has_no_expression(text: str) -> None:
    assert match_expression(text) is None


def test_the_number_of_words_is_bounded() -> None:
    expression = match_expression(" ".join(f"word{number}" for number in range(1000)))
    assert expression is not None
    assert expression.count(" OR ") == TERM_COUNT_LIMIT - 1


@pytest.mark.parametrize(
    "text",
    [
        '"unbalanced',
        "text: secret",
        "-not AND OR NOT",
        "NEAR(alpha beta, 3)",
        "alpha*",
        "{text context}: alpha",
        "^alpha",
        "alpha\0beta",
        "a''b\"c",
    ],
)
def test_query_syntax_is_plain_text(full_text: sqlite3.Connection, text: str) -> None:
    full_text.execute("SELECT * FROM full_text WHERE full_text MATCH ?", (match_expression(text),)).fetchall()
    full_text.execute("SAVEPOINT before")
    full_text.execute("INSERT INTO full_text VALUES (?, '')", (text.replace("\0", " "),))
    assert full_text.execute("SELECT count(*) FROM full_text WHERE full_text MATCH ?", (match_expression(text),)).fetchone() == (1,)
    full_text.execute("ROLLBACK TO before")


def test_a_star_does_not_find_longer_words(full_text: sqlite3.Connection) -> None:
    full_text.execute("SAVEPOINT before")
    full_text.execute("INSERT INTO full_text VALUES ('alphabet', '')")
    assert full_text.execute("SELECT count(*) FROM full_text WHERE full_text MATCH ?", (match_expression("alpha*"),)).fetchone() == (0,)
    full_text.execute("ROLLBACK TO before")


@given(texts)
@example("".join(map(chr, range(0x300))))
def test_any_text_is_a_valid_expression_or_none(full_text: sqlite3.Connection, text: str) -> None:
    expression = match_expression(text)
    if expression is not None:
        full_text.execute("SELECT * FROM full_text WHERE full_text MATCH ?", (expression,)).fetchall()


@pytest.mark.parametrize("text", ["Straße", "cafe\u0301", "हिन्दी", "日本語", "İstanbul", "naïve résumé", "Ωμέγα", "x86_64", "C3PO"])
def test_a_text_is_found_by_itself(full_text: sqlite3.Connection, text: str) -> None:
    full_text.execute("SAVEPOINT before")
    full_text.execute("INSERT INTO full_text VALUES (?, '')", (f"before {text} after",))
    found = full_text.execute("SELECT count(*) FROM full_text WHERE full_text MATCH ?", (match_expression(text),)).fetchone()
    full_text.execute("ROLLBACK TO before")
    assert found == (1,)


def test_every_character_is_data(full_text: sqlite3.Connection) -> None:
    for code_point in range(0x10000):
        expression = match_expression(f"a{chr(code_point)}b") if not 0xD800 <= code_point < 0xE000 else None
        if expression is not None:
            assert expression.count('"') % 2 == 0
            assert "\0" not in expression
