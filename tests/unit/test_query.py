from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forebay.search.query import TERM_COUNT_LIMIT, TextQuery, text_query

texts = st.text(st.characters(exclude_categories=["Cs"]))
typed = st.lists(
    st.sampled_from(['"', " ", "a", "the", "dam", "isOpen", "x_y", "*", "AND", "NEAR(", ":", "\0", ".", "-"]), max_size=20
).map("".join)


def match_expression(text: str) -> str | None:
    query = text_query(text)
    return query.expression if query else None


def expressions(query: TextQuery | None) -> list[str]:
    return [] if query is None else [each for each in (query.expression, query.required, query.fallback) if each]


def count(full_text: sqlite3.Connection, text: str, expression: str | None) -> int:
    """How many rows the expression finds when `text` is the only one."""
    full_text.execute("SAVEPOINT before")
    full_text.execute("INSERT INTO full_text VALUES (?, '')", (text,))
    (found,) = full_text.execute("SELECT count(*) FROM full_text WHERE full_text MATCH ?", (expression,)).fetchone()
    full_text.execute("ROLLBACK TO before")
    return int(found)


@pytest.fixture(scope="module")
def full_text() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE full_text USING fts5(text, context, tokenize='porter unicode61 remove_diacritics 2')")
    yield connection
    connection.close()


def test_words_are_quoted_and_joined_with_or() -> None:
    assert match_expression("parse the dates") == '"parse" OR "dates"'


def test_words_are_split_where_full_text_splits_them() -> None:
    assert match_expression("os.the.path, to x") == '"os" OR "path" OR "x"'


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
    assert match_expression("Error error ERROR disk") == '"ERROR" OR "disk" OR "ERROR disk" OR "ERRORdisk"'


def test_stop_words_are_left_out() -> None:
    assert match_expression("the size of the file") == '"size" OR "file"'


def test_a_query_of_stop_words_alone_is_asked_for_as_it_is() -> None:
    assert match_expression("to be or not to be") == '"to" OR "be" OR "or" OR "not"'


@pytest.mark.parametrize("text", ["", "   ", "?!*", '"" : ^ ( )', "\0", "\u0301", "___"])
def test_a_query_without_a_word_has_no_expression(text: str) -> None:
    assert match_expression(text) is None


def test_the_number_of_words_is_bounded() -> None:
    for text in (" ".join(f"word{number}" for number in range(1000)), " ".join(f'"two words{number}"' for number in range(1000))):
        query = text_query(text)
        assert query is not None
        assert all(each.count('"') // 2 <= 4 * TERM_COUNT_LIMIT for each in expressions(query))


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


@given(texts | typed)
@example("".join(map(chr, range(0x300))))
@example('"dam" "the" x')
def test_any_text_is_valid_expressions_or_none(full_text: sqlite3.Connection, text: str) -> None:
    for expression in expressions(text_query(text)):
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


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("json decoder", "a JSONDecoder for"),
        ("insort_right", "insort right"),
        ("insort right", "insortright"),
    ],
)
def test_names_are_found_however_they_are_joined(full_text: sqlite3.Connection, query: str, text: str) -> None:
    assert count(full_text, text, match_expression(query)) == 1


def test_neighbours_are_asked_for_as_phrases_but_not_across_stop_words() -> None:
    assert match_expression("gate of the dam wall") == '"gate" OR "dam" OR "wall" OR "dam wall" OR "damwall"'


@pytest.mark.parametrize(
    ("query", "matching", "other"),
    [
        ('"group commit"', "we group commits here", "commit the group"),
        ('journal "group commit"', "a group commit", "the journal commits a group"),
        ('"sluice gate" "dam wall"', "the dam wall has a sluice gate", "the dam wall and the gate"),
        ('say "to be".', "to be or", "be to"),
        ('"AND" of it', "this and that", "this or that"),
    ],
)
def test_the_words_of_a_quotation_have_to_stand_side_by_side(full_text: sqlite3.Connection, query: str, matching: str, other: str) -> None:
    parsed = text_query(query)
    assert parsed is not None
    for expression in (parsed.expression, parsed.required):
        assert count(full_text, matching, expression) == 1
        assert count(full_text, other, expression) == 0


@pytest.mark.parametrize(
    "text", ['5" by 6" pipes', 'print("hello world")', '{"a": "b"}', 'an "unfinished one', '"" empty', '"?!" sign', 'x"y z"']
)
def test_what_only_looks_like_a_quotation_requires_nothing(text: str) -> None:
    parsed = text_query(text)
    assert parsed is not None
    assert parsed.required is None


def test_the_last_word_may_be_a_beginning() -> None:
    found = {text: getattr(text_query(text), "fallback", None) for text in ("open turbi", "tu", "open the", '"turbi"')}
    assert found == {"open turbi": '"turbi"*', "tu": None, "open the": None, '"turbi"': None}


def test_camel_case_may_be_spelt_apart_elsewhere() -> None:
    found = text_query("JSONDecoder getURLPath of it")
    assert found is not None
    assert found.fallback == '"JSON Decoder" OR "get URL Path"'


def test_the_number_of_terms_counts_what_is_asked_for() -> None:
    counts = [getattr(text_query(text), "term_count", None) for text in ("dam", "the dam of dam walls", 'dam "sluice gate"', "to be")]
    assert counts == [1, 2, 3, 2]
