"""What the documentation of scalar functions (from a to i), operators and types says, and was done otherwise."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import isnan
from typing import Any

import pytest
from expressions import column, values
from running import NOW, Tables, run

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("before", "expression", "expected"),
    [
        ("x = 90000", "x * 1s", 90_000 * SECOND),
        ("x = -90000", "x * 1s", -90_000 * SECOND),
        ("x = 200s", "x + x + x", 600 * SECOND),
        ("x = -200s", "x * 1000", -200_000 * SECOND),
        ("x = 2147483647", "x + 1", 2_147_483_648),
        ("x = toscalar(print 90000)", "x * 1s", 90_000 * SECOND),
        ("x = long(-9223372036854775808)", "x", -(1 << 63)),
    ],
)
def test_a_column_of_a_constant_computes_with_64_bits(before: str, expression: str, expected: Any) -> None:
    assert run(f"print {before} | extend y = {expression} | project y").rows == [(expected,)]


def test_a_constant_beside_the_columns_of_a_table_computes_with_64_bits() -> None:
    table = Tables([("a", "long")], [(1,), (2,)])
    assert run("T | extend n = 90000 | project y = n * 1s | take 1", {"T": table}).rows == [(90_000 * SECOND,)]


def test_around_takes_both_ends_in() -> None:
    expected = {
        "around(17, 20, 3)": True, "around(23, 20, 3)": True, "around(16, 20, 3)": False, "around(24, 20, 3)": False,
        "around(20, 20, 0)": True, "around(20, 20, -1)": False, "around(17.5, 20, 2.5)": True, "around(int(17), 20.0, 2)": False,
        "around(decimal(1.5), 2, 0.5)": True, "around(decimal(1.4), 2, 0.5)": False,
        "around(2h, 3h, 60m)": True, "around(2h, 3h, 59m)": False,
        "around(9223372036854775807, -9223372036854775807, 2)": False,
        "around(datetime(2024-02-29), datetime(2024-03-01), 1d)": True, "around(datetime(2024-03-02), datetime(2024-03-01), 1d)": True,
        "around(datetime(2024-02-29), datetime(2024-03-01), 23h)": False, "around(datetime(2024-03-01), datetime(2024-03-01), -1s)": False,
        "around(datetime(0001-01-01), datetime(9999-12-31), 1d)": False,
    }  # fmt: skip
    assert values(expected) == expected


def test_around_is_null_where_something_is_null_and_nothing_is_around_nan() -> None:
    expected = {
        "around(int(null), 1, 1)": None, "around(1, int(null), 1)": None, "around(1, 1, int(null))": None,
        "around(real(null), 1.0, 1.0)": None, "around(datetime(null), datetime(2024-01-01), 1d)": None,
        "around(datetime(2024-01-01), datetime(2024-01-01), timespan(null))": None,
        "around(real(nan), 1.0, 1.0)": False, "around(1.0, real(nan), 1.0)": False, "around(real(nan), real(nan), 1.0)": False,
    }  # fmt: skip
    assert values(expected) == expected


def test_around_of_columns_is_exact_to_the_tick() -> None:
    times = [*(datetime.fromisoformat(f"2024-05-17 12:00:00.00000{last}") for last in (0, 1, 2)), None]
    for delta in ("15ticks", "15ticks * tolong(place >= 0)"):
        assert column(f"around(x, datetime(2024-05-17 12:00), {delta})", "datetime", times) == [True, True, False, None]


def test_bins_of_a_negative_size_are_null() -> None:
    sizes = ["bin(17, -5)", "bin(-2h, -1h)", "bin(1.5, -1)", "bin(decimal(7.5), -2)", "bin(datetime(2024-05-17), -1d)", "floor(17, -5)"]
    assert set(values(sizes).values()) == {None}
    assert column("bin(17, x)", "long", [5, -5, 0, None]) == [15, None, None, None]
    found = column("bin(7.5, x)", "real", [2.0, -2.0, None, 0.0])
    assert found[:3] == [6.0, None, None]
    assert isnan(found[3])


def test_a_datetime_of_nothing_is_now() -> None:
    assert run("print datetime(), date(), datetime() - 1h").rows == [
        (NOW.replace(tzinfo=None),) * 2 + (NOW.replace(tzinfo=None) - 3600 * SECOND,)
    ]


def test_todate_is_todatetime() -> None:
    assert values(["todate('2024-05-17')", "todate(dynamic({'a': '2024-05-17'}).a)"]) == dict.fromkeys(
        ["todate('2024-05-17')", "todate(dynamic({'a': '2024-05-17'}).a)"], datetime.fromisoformat("2024-05-17")
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("'nothing', b", "b"), ("'a', b", "a"), ("'nothing', 1", "Column1"), ("'nothing', column_ifexists('b', a)", "b")],
)
def test_column_ifexists_is_called_as_what_it_answers(arguments: str, expected: str) -> None:
    table = Tables([("a", "long"), ("b", "long")], [(1, 2)])
    assert run(f"T | project column_ifexists({arguments})", {"T": table}).columns == [expected]


def test_dynamic_to_json_of_what_is_not_dynamic_is_its_text() -> None:
    expected = {"dynamic_to_json(5)": "5", "dynamic_to_json(true)": "True", "dynamic_to_json(1h)": "01:00:00", "dynamic_to_json('a')": "a"}
    assert values(expected) == expected


def test_rounding_takes_a_dynamic_value_for_a_real_number() -> None:
    cells = ['{"n": -2.5}', '{"n": 3}', "{}"]
    for expression, expected in {
        "abs(x.n)": [2.5, 3.0, None],
        "ceiling(x.n)": [-2.0, 3.0, None],
        "round(x.n)": [-3.0, 3.0, None],
        "bin(x.n, x.n)": [None, 3.0, None],
    }.items():
        assert column(f"pack_array(gettype({expression}), {expression})", "dynamic", cells) == [["real", each] for each in expected]
