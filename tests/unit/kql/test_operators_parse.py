"""`parse` and `parse-where`."""

from __future__ import annotations

from typing import Any

import pytest
from running import run

from forebay.telemetry.kql.errors import KqlError


def parsed(text: str, pattern: str, operator: str = "parse") -> list[Any]:
    """What is made of a text, of one row: [] where it is left out."""
    found = run(f"print s = {text!r} | {operator} s with {pattern}").rows
    return list(found[0][1:]) if found else []


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("a=1, b=xy", '"a=" a ", b=" b', ["1", "xy"]),
        ("a=1", '"a=" a ", b=" b', ["", ""]),
        ("from here", 'who " here"', ["from"]),
        ("1 of 2", 'part: long " of " whole: long', [1, 2]),
        # each column ends where the next text is first found
        ("k=1;k=2;k=3", '"k=" a ";" b', ["1", "k=2;k=3"]),
        ("y=1,x=2,x=9", '* "x=" v "," *', ["2"]),
        # the whole text has to match
        ("xa=1", '"a=" v', [""]),
        ("aXcYc", '"a" v "c"', ["XcY"]),
        ("aXcYd", '"a" v "c"', [""]),
        ("ab", '"a" v "ab"', [""]),
        ("one\ntwo: 2", '* "two: " n: long', [2]),
        ("a.b+c", '"a.b" v "c"', ["+"]),
        ("axb+c", '"a.b" v "c"', [""]),
        ("it's", '"it" v', ["'s"]),
        ("a==1", '"a" "==" v', ["1"]),
        # a typed column before a star takes what looks like it
        ("n=27 junk m=-3;", '"n=" n: long * "m=" m: long *', [27, -3]),
        ("n=x junk m=3", '"n=" n: long * "m=" m: long', [None, None]),
        ("one\nn=2 x", '* "n=" n: long *', [2]),
        ("n=1.5x", '"n=" n: real *', [1.5]),
    ],
)
def test_a_text_is_taken_apart(text: str, pattern: str, expected: list[Any]) -> None:
    assert parsed(text, pattern) == expected


@pytest.mark.parametrize(
    ("operator", "expected"),
    [("parse", [None, "", ""]), ("parse kind=relaxed", [None, "2", "3"]), ("parse-where", [])],
)
def test_one_column_that_does_not_convert_counts_for_all_except_in_relaxed(operator: str, expected: list[Any]) -> None:
    assert parsed("a=1.5,b=2,c=3", '"a=" a: long ",b=" b ",c=" c', operator) == expected


def test_parse_where_keeps_rows_that_match() -> None:
    assert run('datatable(s: string)["a=1", "b=2", "a=x"] | parse-where s with "a=" n: int').rows == [("a=1", 1)]


def test_a_column_takes_the_place_of_one_with_its_name() -> None:
    answer = run('print s = "a=1", b = 7 | parse s with "a=" s: long')
    assert (answer.columns, answer.rows) == (["s", "b"], [(1, 7)])


@pytest.mark.parametrize(
    ("operator", "text", "pattern", "expected"),
    [
        ("parse kind=regex", "aXcYcd", '"a" v "c"', ["XcY"]),
        ("parse kind=regex", "zaXc", '"a" v "(c)"', ["X"]),
        ("parse kind=regex flags=U", "aXcYc", '"a" v "c"', ["X"]),
        ("parse kind=regex flags=i", "A=5", '"a=" v', ["5"]),
        ("parse kind=regex", "A=5", '"a=" v', [""]),
        ("parse kind=regex flags=s", "a=x\ny", '"a=" v', ["x\ny"]),
        ("parse kind=regex flags=m", "x\na=1", '"^a=" v', ["1"]),
        ("parse kind=regex", "n=27x", '"n=" n: long', [27]),
        ("parse kind=regex", "f=1,b=2", '"(f|g)=" a "," "(b)=" b: long', ["1", 2]),
        ("parse-where kind=regex", "none", '"a=" v', []),
    ],
)
def test_regular_expressions_search_and_are_greedy(operator: str, text: str, pattern: str, expected: list[Any]) -> None:
    assert parsed(text, pattern, operator) == expected


@pytest.mark.parametrize(
    "operator",
    [
        'parse s with "a" x y',
        'parse s with "a" x * "b" y',
        'parse s with "a" x: string *',
        'parse s with * x "b"',
        'parse s with "" x',
        'parse s with "a" x "b" x',
        'parse s with "a" x: datetime * "b"',
        'parse kind=simple flags=i s with "a" x',
        'parse kind=other s with "a" x',
        'parse kind=regex flags=x s with "a" x',
        'parse kind=regex s with "a(" x',
        'parse kind=regex s with "a" x: datetime',
        'parse-where kind=relaxed s with "a" x',
    ],
)
def test_patterns_that_do_not_say_where_a_column_ends_are_refused(operator: str) -> None:
    with pytest.raises(KqlError):
        run(f"print s = 'a' | {operator}")
