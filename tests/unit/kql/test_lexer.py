from __future__ import annotations

import time

import pytest

from forebay.telemetry.kql.syntax.lexer import Tokens


def tokens(text: str) -> list[tuple[str, str]]:
    found = Tokens(text)
    return [(kind, text[start:end]) for kind, start, end in zip(found.kinds[:-3], found.starts, found.ends, strict=False)]


def kinds(text: str) -> list[str]:
    return [kind for kind, _ in tokens(text)]


def test_words_and_symbols_are_told_apart_from_texts() -> None:
    found = Tokens("where 'where' == x")
    assert found.symbols[:4] == ["where", "", "==", "x"]


def test_the_last_three_tokens_are_the_end() -> None:
    for text in ("", " ", "a", "a // comment", "a\n\n"):
        found = Tokens(text)
        assert found.kinds[-3:] == ["end"] * 3
        assert found.kinds.count("end") == 3
        assert found.starts[-1] == found.ends[-1] == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "'a'",
        '"a"',
        "''",
        r"'a\'b'",
        r'"\\"',
        "@'a\\'",
        '@"a""b"',
        "@'it''s'",
        "h'secret'",
        'H@"c:\\x"',
        "```a\n'b'```",
        "~~~a\n```\nb~~~",
        "h```x```",
    ],
)
def test_a_text_is_one_token_in_any_of_its_forms(text: str) -> None:
    assert tokens(f"{text} x") == [("string", text), ("word", "x")]


@pytest.mark.parametrize("text", ["'abc", '"abc', r"'abc\'", "@'a''", "h'a", "```abc", "~~~ `"])
def test_a_text_without_its_end_is_unclosed(text: str) -> None:
    assert tokens(f"x {text}") == [("word", "x"), ("unclosed", text)]


def test_a_text_in_quotes_ends_with_its_line() -> None:
    assert tokens("'abc\nx") == [("unclosed", "'abc"), ("word", "x")]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("42", "long"),
        ("0x1F", "long"),
        ("1.", "real"),
        ("1.5", "real"),
        ("1e3", "real"),
        ("1.5E-3", "real"),
        ("1d", "timespan"),
        ("1.5h", "timespan"),
        ("10ms", "timespan"),
        ("2microseconds", "timespan"),
        ("1tick", "timespan"),
        ("7days", "timespan"),
        ("5abc", "word"),
        ("2xx", "word"),
        ("1e", "word"),
        ("0x", "word"),
        ("$left", "word"),
        ("_a1", "word"),
    ],
)
def test_a_number_a_duration_and_a_name_are_told_apart(text: str, kind: str) -> None:
    assert tokens(text) == [(kind, text)]


def test_two_dots_are_no_part_of_a_number() -> None:
    assert tokens("1..2") == [("long", "1"), ("symbol", ".."), ("long", "2")]
    assert tokens("1.0..2.0") == [("real", "1.0"), ("symbol", ".."), ("real", "2.0")]


@pytest.mark.parametrize(
    "text",
    [
        "datetime(2024-01-01 10:00)",
        "time(1.02:03:04)",
        "long(null)",
        "guid(74be27de-1e4e-49d9-b579-fe0b331d3642)",
        "bool(true)",
        "int(-1)",
        "real(+inf)",
    ],
)
def test_a_typed_constant_is_one_token(text: str) -> None:
    assert tokens(text) == [("typed", text)]


def test_functions_whose_names_begin_with_a_type_are_no_constants() -> None:
    assert kinds("datetime_add('day', 1, x)")[:2] == ["word", "symbol"]
    assert kinds("long_name(1)")[:2] == ["word", "symbol"]
    assert kinds("mydatetime(1)")[:2] == ["word", "symbol"]


def test_hyphens_belong_to_the_names_of_operators_only() -> None:
    assert tokens("project-away a-b") == [("word", "project-away"), ("word", "a"), ("symbol", "-"), ("word", "b")]
    assert kinds("mv-expander") == ["word", "symbol", "word"]


def test_negated_operators_are_one_token() -> None:
    assert tokens("a !has b !in~ (c) !between d != e !~ f !contains_cs g") == [
        ("word", "a"),
        ("word", "!has"),
        ("word", "b"),
        ("word", "!in~"),
        ("symbol", "("),
        ("word", "c"),
        ("symbol", ")"),
        ("word", "!between"),
        ("word", "d"),
        ("symbol", "!="),
        ("word", "e"),
        ("symbol", "!~"),
        ("word", "f"),
        ("word", "!contains_cs"),
        ("word", "g"),
    ]
    assert kinds("!hasx") == ["bad", "word"]


def test_comments_and_white_space_are_left_out() -> None:
    assert tokens("\ufeffa // 'not a text\n\u00a0| //\n\tb//c") == [("word", "a"), ("symbol", "|"), ("word", "b")]


def test_a_character_that_is_no_part_of_the_language_is_a_token_of_its_own() -> None:
    assert tokens("a & é") == [("word", "a"), ("bad", "&"), ("bad", "é")]


@pytest.mark.parametrize(
    "piece",
    [
        "'",
        '"',
        "'a",
        '"\\',
        "@'",
        "```",
        "~",
        "//",
        " ",
        "1",
        "1.",
        "a",
        "datetime(",
        "!",
        "\\",
        "h'",
        "1e",
        "/",
        "=",
        "project-",
        "[",
        "#\n",
        "'\n",
        "\u2028",
    ],
)
def test_the_time_is_linear_whatever_the_text(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        start = time.perf_counter()
        Tokens(text)
        return time.perf_counter() - start

    # quadratic, the fastest of these would take half a second
    assert min(seconds(65_536) for _ in range(3)) < 0.25
