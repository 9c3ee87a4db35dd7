"""`scan`."""

from __future__ import annotations

from typing import Any

import pytest
from running import run

from forebay.telemetry.kql.errors import KqlError

NUMBERS = "range x from 1 to 6 step 1"


def rows(steps: str, source: str = NUMBERS) -> list[tuple[Any, ...]]:
    return run(f"{source} | scan {steps}").rows


def test_a_step_reads_what_it_had_last() -> None:
    assert [row[1] for row in rows("declare (c: long = 10) with (step s: true => c = s.c + x;)")] == [11, 13, 16, 20, 25, 31]


def test_a_column_without_an_assignment_has_its_default() -> None:
    assert rows("declare (a: long = 7, b: string) with (step s: x == 1 => b = 'b';)") == [(1, 7, "b")]


def test_a_sequence_goes_from_step_to_step_and_its_rows_have_one_number() -> None:
    steps = "with_match_id=m with (step begin: x % 3 == 1; step more: x == begin.x + 1;)"
    assert rows(steps) == [(1, 0), (2, 0), (4, 1), (5, 1)]


def test_a_step_goes_on_while_it_has_a_sequence() -> None:
    steps = "declare (n: long) with (step a: x == 2 => n = x; step b: x - a.x < 4 => n = a.n * 10 + x;)"
    assert rows(steps) == [(2, 2), (3, 23), (4, 24), (5, 25)]


def test_a_row_may_match_several_steps_and_the_last_of_them_comes_first() -> None:
    steps = "with_match_id=m with (step a: true; step b: x - a.x == 1;)"
    assert rows(steps, "range x from 1 to 3 step 1") == [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2)]


def test_steps_without_output_are_not_shown() -> None:
    assert rows("with (step a output=none: x == 1; step b: x == 4;)") == [(4,)]


def test_an_empty_source_has_no_matches() -> None:
    assert rows("with (step a: true;)", f"{NUMBERS} | where x > 9") == []


def test_an_expression_that_is_read_twice_is_as_good_as_one() -> None:
    source = f"{NUMBERS} | extend t = strcat('a long text with the number ', tostring(x))"
    steps = "declare (c: string) with (step s: strlen(strcat(t, s.c)) > 3 and t has '2' => c = substring(strcat(t, s.c), 0, 6);)"
    assert [row[2] for row in rows(steps, source)] == ["a long"]


@pytest.mark.parametrize(
    "steps",
    [
        "with (step a output=last: true;)",
        "with (step a: b.x > 1; step b: true;)",
        "with (step a: true; step a: true;)",
        "with (step a: a.y > 1;)",
        "with (step a: prev(x) > 1;)",
        "with (step a: x;)",
        "with (step a: true => c = 1;)",
        "declare (c: long) with (step a: true => c = 'text';)",
        "declare (x: long) with (step a: true;)",
    ],
)
def test_steps_that_make_no_sense_and_those_that_are_not_supported_are_refused(steps: str) -> None:
    with pytest.raises(KqlError):
        rows(steps)


def test_rows_without_an_order_are_refused() -> None:
    with pytest.raises(KqlError):
        rows("with (step a: true;)", f"{NUMBERS} | summarize by x")
