"""`parse-kv`."""

from __future__ import annotations

from typing import Any

import pytest
from running import run

from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.functions.parse_kv_python import pairs_of

COMMA = "pair_delimiter=',', kv_delimiter=':'"
SPACE = "pair_delimiter=' ', kv_delimiter='='"


def values(text: str, columns: str, settings: str = "") -> list[Any]:
    tail = f" with ({settings})" if settings else ""
    return list(run(f"print s = {text!r} | parse-kv s as ({columns}){tail} | project-away s").rows[0])


@pytest.mark.parametrize(
    ("text", "columns", "settings", "expected"),
    [
        ("b: x y , a:5", "a: long, b: string", COMMA, [5, "x y"]),
        ("a:1,a:2,b:u:v", "a: long, b: string, c: string, d: long", COMMA, [1, "u:v", "", None]),
        ("a:x,junk,b:2", "a: long, b: long", COMMA, [None, 2]),
        ("a=>1||b=>2", "a: int, b: int", "pair_delimiter='||', kv_delimiter='=>'", [1, 2]),
        ('a="x y" "b c"=2', "a: string, ['b c']: long", SPACE + ", quote='\"'", ["x y", 2]),
        ("a=(x y) b=<1 2>", "a: string, b: string", SPACE + ", quote='()', quote='<>'", ["x y", "1 2"]),
        ('a="x \\"y" b=1', "a: string, b: long", SPACE + r", quote='\"', escape='\\'", ['x "y', 1]),
        ('a="open b=1', "a: string, b: long", SPACE + ", quote='\"'", ['"open', 1]),
        ("a=x y b=z w", "a: string, b: string", SPACE, ["x", "z"]),
        ("a=x y b=z w", "a: string, b: string", SPACE + ", greedy=true", ["x y", "z w"]),
        ("12 [I] a: 5, b-'it is'", "a: long, b: string", 'quote="\'"', [5, "it is"]),
        ("a: 5; b=6", "a: long, b: long, c: long", "", [5, 6, None]),
        ("(a)=1 (b)= 2 (a)=3", "a: long, b: long, c: long", r"regex=@'\((\w)\)=\s*(\d)'", [1, 2, None]),
    ],
)
def test_values_are_found_by_their_keys(text: str, columns: str, settings: str, expected: list[Any]) -> None:
    assert values(text, columns, settings) == expected


@pytest.mark.parametrize(
    "settings", ["pair_delimiter=','", "other=1", "quote='abc'", "regex='a'", "regex='(a)(b'", "pair_delimiter='', kv_delimiter=':'"]
)
def test_settings_that_make_no_sense_are_refused(settings: str) -> None:
    with pytest.raises(KqlError):
        values("a", "a: long", settings)


@pytest.mark.parametrize("text", ['"a ' * 100_000, "," * 300_000, "a" * 300_000, 'a:"' * 100_000])
def test_a_text_is_read_over_once_whatever_is_in_it(text: str) -> None:
    settings = {"pair": ",", "kv": ":", "quotes": [['"', '"']], "escapes": "", "greedy": False}
    assert isinstance(pairs_of(text, settings), dict)


TEXTS = [
    *("a:1,b:2", "a:1,,b:2", " a : 1 , b : 2 ", "b:2 a:1", "a :1", "a: 1 b: 2", "aa:1,a:2,a:3", "a:b:1,b", "a", "", ",a:1", "a:1,"),
    *(
        "a:x y,b:\t2 ",
        "a->1;;b->2",
        "a->1;;;b->2",
        "x;;a->b->c",
        "b:a:7,a:8",
        "a: 1, b: 2",
        "a: 1,  b: 2, a: 3",
        " a = 1,b = x = y",
        "a  = 1",
    ),
]


@pytest.mark.parametrize(("pair", "kv"), [(",", ":"), (" ", ":"), (";;", "->"), (", ", ": "), (",", " = ")])
def test_looking_for_one_key_answers_as_reading_all_pairs(pair: str, kv: str) -> None:
    settings = f"pair_delimiter='{pair}', kv_delimiter='{kv}'"
    found = run(f"datatable(s: string){TEXTS!r} | parse-kv s as (a: string, b: string) with ({settings})").rows
    read = {"pair": pair, "kv": kv, "quotes": [], "escapes": "", "greedy": False}
    for text, *values in found:
        assert values == [pairs_of(text, read).get(key, "") for key in "ab"], text
