from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipeline.extract_fields import LIMIT_BY_NAME, SCAN_LIMIT_CHARACTERS, extract_fields
from forebay.pipeline.formats import Format, format_of_name
from forebay.pipeline.symbols import outline_of
from forebay.values.field import Field

MARKDOWN = """---
title: not this
---
The *Reservoir*
===============

The level of the [lake](https://lake.example.org/level) is read on 5 January 2024 and it costs 1.200,50 €.

## Gates ##
```python
# not a heading
```
### Gates
"""
PYTHON = '''#!/usr/bin/env python
# Licence: free
"""Opens the gates.

import nothing
"""
import os.path, sys as system  # both
from . import levels
from lake.gates import (
    Gate,
)

class Tank:
    @height.setter
    def height(self, value): "$5"
'''
JAVASCRIPT = """import pump, {gate} from './pump.js';
import "side-effect";
const fs = require('fs');
class Pump { start() { return import('late'); } }
function drain() { return 1; }
"""


def fields_of(text: str, name: str) -> list[Field]:
    format = format_of_name(name)
    assert isinstance(format, Format)
    return extract_fields(text, format, f"folder/{name}", outline_of(text, format.name))


def values(text: str, name: str, field: str) -> list[str]:
    return [each.value for each in fields_of(text, name) if each.name == field]


@pytest.mark.parametrize(
    ("text", "name", "title"),
    [
        (MARKDOWN, "a.md", "The Reservoir"),
        ("no heading", "a.md", "a.md"),
        (PYTHON, "a.py", "Opens the gates."),
        ("'one line'\n", "a.py", "one line"),
        ('r"""\n  Second line.\n"""\n', "a.py", "Second line."),
        ("x = 1\n'''no docstring'''\n", "a.py", "a.py"),
        ("# a comment only\n", "a.py", "a.py"),
        ("plain", "a.txt", "a.txt"),
        ("Subject: The level \nFrom: a\n\nText", "a.eml", "The level"),
    ],
)
def test_the_title_is_what_the_document_calls_itself_else_its_file_name(text: str, name: str, title: str) -> None:
    (found,) = [each for each in fields_of(text, name) if each.name == "title"]
    assert found.value == title
    assert (found.start == found.end) == (title == name)


def test_headings_are_those_of_the_text_and_not_of_code_or_front_matter() -> None:
    found = [each for each in fields_of(MARKDOWN, "a.md") if each.name == "heading"]
    assert [(each.value, MARKDOWN[each.start : each.end]) for each in found] == [
        ("The Reservoir", "The *Reservoir*"),
        ("Gates", "## Gates ##"),
    ]


def test_code_has_symbols_and_imports_but_no_money() -> None:
    assert values(PYTHON, "a.py", "symbol") == ["Tank", "Tank.height"]
    assert values(PYTHON, "a.py", "import") == ["os.path", "sys", ".", "lake.gates"]
    assert values(PYTHON, "a.py", "money") == []
    assert values(PYTHON, "a.py", "language") == ["python"]
    assert values(JAVASCRIPT, "a.js", "symbol") == ["Pump", "Pump.start", "drain"]
    assert values(JAVASCRIPT, "a.js", "import") == ["./pump.js", "side-effect", "fs"]


def test_the_span_of_a_symbol_is_its_bare_name() -> None:
    for text, name in ((PYTHON, "a.py"), (JAVASCRIPT, "a.js")):
        for each in fields_of(text, name):
            if each.name == "symbol":
                assert text[each.start : each.end] == each.value.rpartition(".")[2]
    (height,) = [each for each in fields_of(PYTHON, "a.py") if each.value == "Tank.height"]
    assert PYTHON[: height.start].endswith("def ")


def test_prose_has_everything_in_it_once() -> None:
    text = MARKDOWN + "Again 2024-01-05, a@b.org, a@b.org and 1200.50 EUR for what is there in the lake.\n"
    found = [(each.name, each.value) for each in fields_of(text, "a.md")]
    assert len(found) == len(set(found))
    for expected in (
        ("language", "en"),
        ("date", "2024-01-05"),
        ("email", "a@b.org"),
        ("money", "EUR 1200.50"),
        ("url", "https://lake.example.org/level"),
    ):
        assert expected in found


def test_fields_are_bounded_however_many_there_are() -> None:
    many = "".join(f"# Heading {n}\n\nmail{n}@x.org http://x.org/{n} USD {n + 10} {1900 + n % 200}-01-01\n\n" for n in range(3000))
    found = fields_of(many, "a.md")
    counts = {name: sum(each.name == name for each in found) for name in LIMIT_BY_NAME}
    assert counts == LIMIT_BY_NAME | {"symbol": 0, "import": 0}
    assert [each.value for each in found if each.name == "email"][:2] == ["mail0@x.org", "mail1@x.org"]
    code = "".join(f"import m{n}\ndef f{n}(): pass\n" for n in range(3000))
    assert (len(values(code, "a.py", "symbol")), len(values(code, "a.py", "import"))) == (100, 100)


PIECES = [
    "# A",
    "\n",
    "===",
    "---",
    "```",
    "http://a.b",
    "a@b.org",
    "2024-01-05",
    "$12",
    " ",
    "def f(): ",
    "import os, x",
    "class A:\n  ",
    '"""',
    "€",
    "😀",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.sampled_from(["a.md", "a.py", "a.js", "a.txt", "a.eml"]))
def test_spans_lie_in_the_text_and_hold_what_the_value_was_made_of(text: str, name: str) -> None:
    found = fields_of(text, name)
    assert found == fields_of(text, name)
    for each in found:
        assert 0 <= each.start <= each.end <= len(text)
        assert 0 < each.confidence <= 1
        source = text[each.start : each.end]
        if each.name in ("email", "url", "import"):
            assert each.value == source
        elif each.name in ("date", "money"):
            assert each.value in values(source, "a.txt", each.name)
        elif each.name == "symbol":
            assert each.value.rpartition(".")[2] == source
        elif each.name == "heading" or (each.name == "title" and source):
            assert set(each.value.replace("`", "").split()) <= set(source.replace("`", "").split())


@pytest.mark.parametrize(
    "unit",
    [
        "# a\n",
        "#\n",
        "a\n=\n",
        "===\n",
        "```\n",
        "'\n",
        '"""',
        "# c\n",
        "import a\n",
        "import ",
        "import a,",
        "import {",
        "import{a,",
        "require('",
        "\nimport x from",
        "@",
        "[](",
        "*",
        "class A",
        "a(){",
        "\\",
    ],
)
@pytest.mark.parametrize("name", ["a.md", "a.py", "a.js"])
def test_hostile_text_takes_no_longer_than_any_other(unit: str, name: str) -> None:
    text = (unit * 300_000)[:300_000]
    format = format_of_name(name)
    assert format is not None
    outline = outline_of(text, format.name)
    started = time.process_time()
    extract_fields(text, format, name, outline)
    assert time.process_time() - started < 3  # quadratic time would be minutes


def test_what_stands_far_back_is_not_looked_at() -> None:
    assert values("x" * SCAN_LIMIT_CHARACTERS + " a@b.org", "a.txt", "email") == []
