"""`partition by key (...)`."""

from __future__ import annotations

from typing import Any

import pytest
from running import run

from forebay.telemetry.kql.errors import KqlError

ROWS = "datatable(k: string, a: long)['x', 1, 'y', 5, 'x', 3, 'y', 2, 'x', 2]"


def rows(body: str, hint: str = "") -> list[tuple[Any, ...]]:
    return sorted(run(f"{ROWS} | partition {hint} by k ({body})").rows)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("top 1 by a", [("x", 3), ("y", 5)]),
        ("where a > 2", [("x", 3), ("y", 5)]),
        ("count", [(2,), (3,)]),
        ("summarize s = sum(a) by b = a % 2 | top 1 by s", [(1, 4), (1, 5)]),
        ("sort by a asc | take 1 | project a", [(1,), (2,)]),
        ("sort by a asc | extend n = row_number()", [("x", 1, 1), ("x", 2, 2), ("x", 3, 3), ("y", 2, 1), ("y", 5, 2)]),
        ("extend n = row_number()", [("x", 1, 1), ("x", 2, 3), ("x", 3, 2), ("y", 2, 2), ("y", 5, 1)]),
        ("sort by a asc | extend p = prev(a) | where isnull(p) | project k, a", [("x", 1), ("y", 2)]),
        ("sort by a asc | extend c = row_cumsum(a) | top 1 by c | project k, c", [("x", 6), ("y", 7)]),
        ("sort by a asc | extend c = row_cumsum(a, a == 2) | top 1 by c | project k, c", [("x", 5), ("y", 7)]),
        ("sort by a asc | scan declare (c: long = 0) with (step s: true => c = s.c + a;) | summarize max(c)", [(6,), (7,)]),
        ("parse k with b 'x' *", [("x", 1, ""), ("x", 2, ""), ("x", 3, ""), ("y", 2, ""), ("y", 5, "")]),
    ],
)
def test_the_body_sees_the_rows_of_one_key(body: str, expected: list[tuple[Any, ...]]) -> None:
    assert rows(body) == expected


def test_strategies_do_not_matter() -> None:
    assert rows("top 1 by a", "hint.strategy=native") == rows("top 1 by a", "hint.strategy=shuffle")


def test_what_cannot_be_done_for_each_key_is_refused() -> None:
    with pytest.raises(KqlError):
        rows("join (datatable(a: long)[1]) on a")


def test_only_columns_are_keys() -> None:
    with pytest.raises(KqlError):
        run("print d = dynamic(1) | partition by d (take 1)")
