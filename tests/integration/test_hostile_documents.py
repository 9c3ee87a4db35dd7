"""Documents whose numbers and nesting no program writes: they are read as far as they make sense, or refused by a reason."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.pipeline.refused import Refused

sys.path.insert(0, str(Path(__file__).parents[1] / "acceptance"))

from hostile_contents import Hostile, hostile_contents

CASES = {case.name: case for case in hostile_contents("/nowhere")}


def parsed(name: str, data: bytes) -> Parsed:
    return parse(
        ParseRequest(
            name=name,
            content_type=None,
            data=data,
            max_blob_bytes=10 << 20,
            accept_unknown_text=False,
            chunk_size=800,
            chunker="auto",
            max_text_characters=20_000_000,
        )
    )


def text_of(case: Hostile) -> str:
    return "\n".join(chunk.text for chunk in parsed(case.name, case.make()).chunks)


@pytest.mark.parametrize("name", ["heading-text.ipynb", "heading-huge.ipynb", "heading-list.ipynb", "heading-nan.ipynb"])
def test_a_heading_of_an_impossible_level_is_a_heading(name: str) -> None:
    assert text_of(CASES[name]) in ("# headed", "###### headed")


@pytest.mark.parametrize(("level", "expected"), [(1, "# a"), (3, "### a"), (6, "###### a"), (7, "###### a"), (0, "# a"), (-1, "# a")])
def test_a_heading_of_an_old_notebook_keeps_its_level(level: int | None, expected: str) -> None:
    cells = [{"cell_type": "heading", "source": "a", "level": level}]
    (chunk,) = parsed("old.ipynb", json.dumps({"worksheets": [{"cells": cells}]}).encode()).chunks
    assert chunk.text == expected


@pytest.mark.parametrize("name", ["style.xlsx", "style-format.xlsx", "reference.xlsx", "numbers.xlsx", "level.odt", "spaces.odt"])
def test_numbers_with_thousands_of_digits_do_not_matter_where_the_text_does_not_depend_on_them(name: str) -> None:
    assert str(CASES[name].says) in text_of(CASES[name])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *(("index.xlsx", "corrupt"), ("deep.odt", "corrupt"), ("deep-spans.odt", "corrupt"), ("deep.pptx", "corrupt")),
        *(("deep-strings.xlsx", "corrupt"), ("nested-deeper.eml", "corrupt"), ("deep.ipynb", "corrupt")),
    ],
)
def test_what_is_nested_without_end_is_refused(name: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        parsed(name, CASES[name].make())
    assert caught.value.reason == reason
