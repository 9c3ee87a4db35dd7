from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import ForebayError
from forebay.telemetry.kql.text import NESTING_LIMIT, TEXT_LIMIT_BYTES, ChartHint, check_text, position_text, read_chart

CHARTS = {
    "requests | render timechart": ChartHint(kind="timechart"),
    "requests\n|render piechart with (title='a b', xcolumn=name)": ChartHint(
        kind="piechart", properties={"title": "a b", "xcolumn": "name"}
    ),
    'requests | render linechart with (ycolumns=a, b, title="t")': ChartHint(
        kind="linechart", properties={"ycolumns": "a,b", "title": "t"}
    ),
    "requests | where name == '| render piechart' | count": None,
    "requests // | render piechart": None,
    "requests | extend render = 1": None,
    "requests": None,
}


@pytest.mark.parametrize("text", CHARTS)
def test_the_chart_that_a_query_asks_for_is_read(text: str):
    assert read_chart(text) == CHARTS[text]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "query_syntax"),
        (" \n\t", "query_syntax"),
        ("print '" + "x" * TEXT_LIMIT_BYTES, "query_too_complex"),
        ("é" * (TEXT_LIMIT_BYTES // 2 + 1), "query_too_complex"),
        ("print " + "(" * (NESTING_LIMIT + 1), "query_too_complex"),
        ("print " + "([{" * 20, "query_too_complex"),
    ],
)
def test_a_text_beyond_the_bounds_is_refused(text: str, code: str):
    with pytest.raises(ForebayError) as caught:
        check_text(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "text",
    [
        "print " + "(" * NESTING_LIMIT + "1" + ")" * NESTING_LIMIT,
        "print '" + "(" * 100 + "'",
        'print @"' + "(" * 100 + '"',
        "print 1 // " + "(" * 100,
        "()" * 1000,
    ],
)
def test_brackets_that_nest_within_the_bound_or_are_in_texts_pass(text: str):
    check_text(text)


def test_the_position_of_what_nests_too_deeply_is_told():
    with pytest.raises(ForebayError, match=f"line 2, column {NESTING_LIMIT + 1}$"):
        check_text("print\n" + "(" * 50)


@given(st.text(alphabet="ab|'\"\\@`~ \n()[]{}/=", max_size=60))
def test_any_text_is_read_to_its_end(text: str):
    read_chart(text)
    try:
        check_text(text)
    except ForebayError as error:
        assert error.code == "query_syntax"
        assert not text.strip()


def test_positions_count_lines_and_columns_from_one():
    assert [position_text("ab\ncd", position) for position in (0, 1, 3, 4)] == [
        "line 1, column 1",
        "line 1, column 2",
        "line 2, column 1",
        "line 2, column 2",
    ]
