"""Operators, comparison, numbers and conditions: what they answer, also for nulls and extremes."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import pytest
from running import Tables, run

from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.types import KqlType, schema_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LARGEST, SMALLEST = 2**63 - 1, -(2**63)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _plain(value: Any) -> Any:
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def printed(expressions: dict[str, Any]) -> dict[str, Any]:
    """What `print` answers for each expression."""
    (row,) = run("print " + ", ".join(f"v{index} = {each}" for index, each in enumerate(expressions))).rows
    return {each: _plain(value) for each, value in zip(expressions, row, strict=True)}


CONSTANTS: dict[str, dict[str, Any]] = {
    "integer arithmetic": {
        "2 + 3": 5, "2 - 3": -1, "2 * 3": 6, "(2 + 3) * 4": 20, "2 - (3 - 4)": 3, "-(2 + 3)": -5,
        "9 / 4": 2, "-9 / 4": -2, "9 / -4": -2, "9 / 0": None, "int(9) / int(4)": 2,
        "17 % 5": 2, "-17 % 5": 3, "17 % -5": 2, "-17 % -5": 3, "17 % 0": None, "-17 % 8": 7,
        "long(null) + 1": None, "9223372036854775807 + 2": SMALLEST + 1, "9223372036854775807 * 3": LARGEST - 2,
        "int(2147483647) + int(1)": 2**31,
    },
    "real arithmetic": {
        "1.5 + 1": 2.5, "9 / 4.0": 2.25, "1.0 / 0": math.inf, "-1.0 / 0": -math.inf, "0.0 / 0": "NaN", "-8.5 % 3": 0.5, "8.5 % 3": 2.5,
        "0.25 % 100000000000000000000.0": 0.25, "1.0 % 0": "NaN", "real(null) * 2": None,
    },
    "decimals": {
        "decimal(0.1) + decimal(0.2)": "0.30000000000000000", "decimal(1.25) * decimal(1.5)": "1.87500000000000000",
        "decimal(2) / 3": "0.66666666666666667", "decimal(2) / 0": None, "decimal(-8.5) % 3": "0.50000000000000000",
        "decimal(100000000000) * decimal(100000000000)": None, "round(decimal(0.125), 2)": "0.13000000000000000",
        "round(decimal(1250), -2)": "1300.00000000000000000", "bin(decimal(-7.5), 2)": "-8.00000000000000000",
        "ceiling(decimal(1.1))": "2.00000000000000000", "abs(decimal(-1.1))": "1.10000000000000000", "decimal(1.5) > 1": True,
        "iff(true, decimal(1.5), 2)": "1.50000000000000000",
    },
    "times": {
        "2h + 30m": 2.5 * HOUR, "2h - 3h": -HOUR, "-(2h - 3h)": HOUR, "2h * 3": 6 * HOUR, "3 * 2h": 6 * HOUR, "2h * 1.5": 3 * HOUR,
        "0.5 * 2h": HOUR, "3h / 2": 1.5 * HOUR, "3h / 1.5": 2 * HOUR, "90m / 1h": 1.5, "1h / 0s": math.inf, "1h / 0": None,
        "150m % 1h": 0.5 * HOUR, "-150m % 1h": 0.5 * HOUR, "1h % 0s": None,
        "datetime(2024-02-28) + 1d": at("2024-02-29"), "36h + datetime(2024-02-28)": at("2024-02-29 12:00"),
        "datetime(2024-03-01) - 1d": at("2024-02-29"), "datetime(2024-03-01) - datetime(2024-02-01)": 29 * DAY,
        "datetime(2024-03-01) + -1h": at("2024-02-29 23:00"), "datetime(2024-03-01) + 15ticks": at("2024-03-01 00:00:00.000001"),
        "datetime(2024-03-01) - 15ticks": at("2024-02-29 23:59:59.999998"),
        "datetime(0001-01-02) / 1d": 1.0, "datetime(2024-03-01 10:20) % 1h": timedelta(minutes=20), "1d * 100000000000000": None,
    },
    "equality": {
        "1 == 1": True, "1 == 1.0": True, "1 != 2": True, "'a' == 'A'": False, "'a' != 'A'": True, "1h == 60m": True,
        "true == false": False,
        "long(null) == 1": False, "long(null) != 1": True, "1 == long(null)": False, "long(null) == long(null)": None,
        "long(null) != long(null)": None, "real(nan) == real(nan)": False, "real(nan) != real(nan)": True, "real(nan) != 1": True,
        "(1 == 2) == (3 == 4)": True,
    },
    "equality with constants of other types": {
        "datetime(2024-01-31) == '2024-01-31'": True, "'2024-01-31' != datetime(2024-01-31)": False, "1h == '01:00:00'": True,
        "guid(74be27de-1e4e-49d9-b579-fe0b331d3642) == '74BE27DE-1e4e-49d9-b579-fe0b331d3642'": True,
        "true == 1": True, "false == 1": False, "true != 0": True, "true == 'True'": True, "'False' == false": True,
    },
    "order": {
        "1 < 2": True, "2 <= 1.5": False, "2 > 1.5": True, "1h >= 60m": True, "datetime(2024-01-02) > datetime(2024-01-01)": True,
        "long(null) < 1": None, "1 >= long(null)": None, "false < true": True,
        **dict.fromkeys((f"real(nan) {symbol} 1" for symbol in ("<", "<=", ">", ">=")), False),
        **dict.fromkeys((f"1 {symbol} real(nan)" for symbol in ("<", "<=", ">", ">=")), False),
    },
    "ranges": {
        "5 between (5 .. 9)": True, "9 between (5 .. 9)": True, "4.9 between (5 .. 9)": False, "5 !between (6 .. 9)": True,
        "6 between (9 .. 5)": False, "long(null) between (1 .. 2)": None, "long(null) !between (1 .. 2)": None,
        "1 between (long(null) .. 2)": None,
        "datetime(2024-01-03) between (datetime(2024-01-01) .. 2d)": True,
        "datetime(2024-01-03 00:01) between (datetime(2024-01-01) .. 2d)": False,
        "7h between (2h .. 6h)": False, "real(nan) between (1 .. 2)": False,
    },
    "lists": {
        "2 in (1, 2)": True, "2 in (1, 2.0)": True, "2 !in (1, 3)": True, "'a' in ('A', 'b')": False, "'' in ('a', '')": True,
        "long(null) in (1, 2)": False, "long(null) !in (1, 2)": True, "1 in (long(null), 1)": True, "long(null) in (long(null))": False,
        "2 in (dynamic([1, 2]))": True, "'b' in (dynamic(['a', 'b']))": True, "'1' in (dynamic([1, 2]))": True,
        "2 in (dynamic(['2']))": False,
        "datetime(2024-01-31) in (dynamic([datetime(2024-01-31)]))": True, "1 in (dynamic([]))": False, "1 !in (dynamic([]))": True,
        "2 in (dynamic(2))": True, "datetime(2024-01-31) in (datetime(2024-01-30), datetime(2024-01-31))": True,
    },
    "logic": {
        "true and false": False, "true or false": True, "bool(null) and false": False, "bool(null) or true": True, "not(true)": False,
        "not(bool(null))": None, "not(0)": True, "not(3)": False, "true and not(false) or false": True,
    },
    "choice": {
        "iff(1 > 2, 'a', 'b')": "b", "iif(true, 1, 2.5)": 1.0, "iff(bool(null), 1, 2)": 2, "iff(true, dynamic([1]), 'a')": [1],
        "iff(false, dynamic([1]), 'a')": "a", "case(1 > 2, 'a', 2 > 1, 'b', 'c')": "b", "case(1 > 2, 1, 2 > 3, 2, 2.5)": 2.5,
        "coalesce('', 'a', 'b')": "a", "coalesce(' ', 'a')": " ", "coalesce('', '')": "", "coalesce(long(null), 0, 5)": 0,
        "coalesce(long(null), long(null))": None, "coalesce(dynamic(null), dynamic([]))": [], "coalesce(dynamic(null), 5)": 5,
        "max_of(2, 5, 3)": 5, "min_of(2, 1.5)": 1.5, "max_of('a', 'b')": "b", "max_of(long(null), 2)": 2,
        "min_of(long(null), long(null))": None,
        "max_of(1h, 90m)": 1.5 * HOUR, "max_of(false, true)": True,
    },
    "null": {
        "isnull(long(null))": True, "isnull(0)": False, "isnull('')": False, "isnotnull('')": True, "isnull(dynamic(null))": True,
        "isnull(dynamic({'a': null}).a)": True, "isnull(dynamic({'a': 1}).b)": True, "notnull(dynamic([]))": True,
        "isnotnull(datetime(null))": False,
        "assert(1 < 2, 'impossible')": True,
    },
    "bins of numbers": {
        "bin(17, 5)": 15, "bin(-17, 5)": -20, "bin(-15, 5)": -15, "bin(17, 0)": None, "bin(17, -5)": None, "bin(7.9, 1)": 7.0,
        "bin(-7.1, 1)": -8.0,
        "bin(7.9, 0)": "NaN", "bin(9007199254740993, 1)": 9007199254740993, "floor(17, 5)": 15, "bin_at(17, 5, 1)": 16,
        "bin_at(-17, 5, 1)": -19,
        "bin_at(7.5, 2.5, 6.0)": 6.0, "bin_at(5.5, 2.5, 6.0)": 3.5, "bin(150m, 1h)": 2 * HOUR, "bin(-150m, 1h)": -3 * HOUR,
        "bin_at(150m, 1h, 15m)": 2.25 * HOUR, "bin_at(-150m, 1h, 15m)": -2.75 * HOUR,
    },
    "bins of times": {
        "bin(datetime(2024-05-17 13:47:11.5), 1s)": at("2024-05-17 13:47:11"),
        "bin(datetime(2024-05-17 13:47), 1h)": at("2024-05-17 13:00"),
        "bin(datetime(2024-05-17 13:47), 15m)": at("2024-05-17 13:45"), "bin(datetime(2024-05-17 13:47), 1d)": at("2024-05-17"),
        "bin(datetime(2024-05-17), 7d)": at("2024-05-13"), "bin(datetime(2024-05-12 23:59), 7d)": at("2024-05-06"),
        "bin(datetime(1966-05-17 13:47), 15m)": at("1966-05-17 13:45"), "bin(datetime(0001-01-01 00:10), 7h)": at("0001-01-01"),
        "bin(datetime(9999-12-31 23:59:59), 7d)": at("9999-12-27"), "bin(datetime(2024-05-17), 0s)": None,
        "bin(datetime(2024-05-17 00:00:00.000007), 25ticks)": at("2024-05-17 00:00:00.000005"),
        "bin_at(datetime(2024-05-17 10:20), 1d, datetime(1990-01-01 12:00))": at("2024-05-16 12:00"),
        "bin_at(datetime(1980-05-17 10:20), 1d, datetime(1990-01-01 12:00))": at("1980-05-16 12:00"),
    },
    "rounding": {
        "round(2.5)": 3.0, "round(-2.5)": -3.0, "round(7)": 7.0, "round(2.345, 1)": 2.3, "round(2345, -2)": 2300.0,
        "round(1.1, long(null))": None,
        "ceiling(1.2)": 2.0, "ceiling(-1.2)": -1.0, "ceiling(3)": 3.0, "abs(-3)": 3, "abs(int(-3))": 3, "abs(-3.5)": 3.5,
        "abs(-3h)": 3 * HOUR,
        "sign(-3)": -1.0, "sign(0.0)": 0.0, "sign(real(null))": 0.0, "sign(real(nan))": 0.0,
    },
    "powers and logarithms": {
        "sqrt(9)": 3.0, "sqrt(-9)": None, "pow(2, 10)": 1024.0, "pow(-8, 0.5)": "NaN", "exp(0)": 1.0, "exp(1000)": math.inf,
        "exp2(5)": 32.0,
        "exp10(-2)": 0.01, "log(1)": 0.0, "log(0)": -math.inf, "log(-1)": None, "log2(32)": 5.0, "log2(-1)": None, "log10(1000)": 3.0,
        "log10(-1)": None,
        "gamma(4)": pytest.approx(6), "loggamma(4)": pytest.approx(math.log(6)), "gamma(0)": math.inf,
    },
    "angles": {
        "sin(0)": 0.0, "cos(0)": 1.0, "tan(1.0 / 0)": "NaN", "cot(0)": math.inf, "atan(1)": pytest.approx(math.pi / 4),
        "atan2(1, -1)": pytest.approx(3 * math.pi / 4),
        "asin(1)": pytest.approx(math.pi / 2), "asin(1.5)": None, "acos(-1.5)": None, "acos(real(nan))": "NaN", "pi()": math.pi,
        "degrees(pi())": 180.0, "radians(180)": math.pi,
    },
    "what a real is": {
        "isnan(real(nan))": True, "isnan(1)": False, "isnan(real(null))": False, "isinf(-1.0 / 0)": True, "isinf(1)": False,
        "isfinite(1)": True, "isfinite(real(nan))": False, "isfinite(real(null))": False,
    },
    "results as operands": {
        "(2 + 3) * 4": 20, "10 - (3 - 2)": 9, "100 / (10 / 5)": 50, "binary_not(5) * 2": -12, "1 + binary_or(4, 2) * 3": 19,
        "2 * -toint(3)": -6, "-(-toint(3))": 3, "17 % 8 + 1": 2, "not(1 == 1) == false": True, "(1 in (1, 2)) == true": True,
        "(5 between (1 .. 9)) == true": True, "iff(true, 1, 2) * 3": 3, "bin(17, 5) / 2": 7, "-(-17 % 5)": -3,
        "sqrt(16) * 2": 8.0, "(2 > 1) and not(3 > 4)": True,
    },
    "bits": {
        "binary_and(12, 10)": 8, "binary_or(12, 10)": 14, "binary_xor(12, 10)": 6, "binary_not(0)": -1, "binary_shift_left(3, 4)": 48,
        "binary_shift_left(3, 63)": SMALLEST, "binary_shift_left(-3, 4)": -48, "binary_shift_left(3, 68)": 48,
        "binary_shift_left(3, -1)": None,
        "binary_shift_right(48, 4)": 3, "binary_shift_right(-48, 4)": -3, "binary_shift_right(48, 68)": 3,
        "binary_shift_right(48, -1)": None,
        "bitset_count_ones(255)": 8, "bitset_count_ones(-1)": 64, "binary_and(long(null), 1)": None,
    },
    "distributions": {
        "erf(1)": pytest.approx(math.erf(1)), "erfc(5)": pytest.approx(math.erfc(5)), "erf(real(null))": None,
        "beta_cdf(0.3, 2, 3)": pytest.approx(0.3483), "beta_cdf(1, 2, 3)": 1.0, "beta_cdf(1.1, 2, 3)": "NaN", "beta_cdf(0.5, 0, 3)": "NaN",
        "beta_pdf(0.3, 2, 3)": pytest.approx(1.764), "beta_pdf(-0.1, 2, 3)": "NaN", "beta_pdf(real(null), 2, 3)": None,
        "beta_inv(0.3483, 2, 3)": pytest.approx(0.3), "beta_inv(1.1, 2, 3)": None, "beta_inv(0.5, -1, 3)": "NaN",
        "welch_test(1.0, 2.0, 5, 1.0, 3.0, 6)": pytest.approx(1.0), "welch_test(1.0, 2.0, 1, 1.0, 3.0, 6)": None,
        # of Student's t with 2 degrees of freedom: p = 1 - t / sqrt(2 + t^2)
        "welch_test(2.0, 1.0, 2, 0.0, 1.0, 2)": pytest.approx(1 - 2 / math.sqrt(6)),
    },
    "units": {
        "convert_length(3, 'Foot', 'Meter')": pytest.approx(0.9144), "convert_mass(2, 'Tonne', 'Kilogram')": 2000.0,
        "convert_energy(1, 'KilowattHour', 'Joule')": 3.6e6, "convert_force(1, 'PoundForce', 'Newton')": pytest.approx(4.4482216),
        "convert_speed(36, 'KilometerPerHour', 'MeterPerSecond')": pytest.approx(10),
        "convert_volume(2, 'Liter', 'Centiliter')": pytest.approx(200),
        "convert_temperature(212, 'DegreeFahrenheit', 'DegreeCelsius')": pytest.approx(100),
        "convert_angle(0.5, 'Tilt', 'Degree')": pytest.approx(30),
        "convert_angle(180, 'Degree', 'Radian')": pytest.approx(math.pi), "convert_length(1, 'foot', 'Meter')": None,
        "convert_mass(real(null), 'Gram', 'Pound')": None,
    },
    "dynamic operands": {
        "dynamic(2) + 1": 3, "dynamic({'a': 2}).a * 1.5": 3.0, "1.5 * dynamic(2)": 3.0, "dynamic(5.5) > 5": True,
        "dynamic(5.5) == 5": False,
        "dynamic('a') == 'a'": True, "dynamic('a') in ('a', 'b')": True, "dynamic('a') in (dynamic(['a']))": True,
        "dynamic(null) == 'a'": False,
        "dynamic(true) == true": True, "1h * dynamic(2)": 2 * HOUR, "dynamic({'a': 1}).b == 1": False, "dynamic({'a': 1}).b != 1": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("group", CONSTANTS)
def test_constants_give_kustos_values(group: str) -> None:
    assert printed(CONSTANTS[group]) == CONSTANTS[group]


def test_types_of_results_are_those_of_the_engine() -> None:
    types = {
        "int(1) + int(2)": "long", "-toint(1)": "long", "abs(int(1))": "long", "bin(int(1), int(2))": "long", "int(7) / int(2)": "long",
        "1 + 1.5": "real", "1.5 + decimal(1)": "decimal", "1h / 1h": "real", "1h * 2": "timespan", "ceiling(1)": "real", "round(1)": "real",
        "sign(1)": "real", "pow(2, 3)": "real", "iff(true, int(1), 2)": "long", "iff(true, int(1), int(2))": "int",
        "max_of(int(1), 2.5)": "real",
        "coalesce(dynamic(1), 'a')": "dynamic", "datetime(2024-01-02) - datetime(2024-01-01)": "timespan", "rand()": "real",
        "rand(5)": "real",
        "bin(1h, 1h)": "timespan", "case(true, 1, 2)": "long", "dynamic(1) + 1": "long",
    }  # fmt: skip
    found = run("print " + ", ".join(f"v{index} = {each}" for index, each in enumerate(types))).types
    assert dict(zip(types, found, strict=True)) == types


COLUMNS: tuple[tuple[str, KqlType], ...] = (
    ("id", "long"), ("a", "long"), ("b", "long"), ("i", "int"), ("r", "real"), ("q", "real"), ("s", "string"), ("u", "string"),
    ("t", "datetime"), ("p", "timespan"), ("f", "bool"), ("d", "dynamic"),
)  # fmt: skip
ROWS = [
    (1, 7, 2, 7, 7.5, 2.0, "x", "x", at("2024-01-31 10:20"), 36_000_000_000, True, '{"a": 7}'),
    (2, -7, 2, -7, -7.5, math.nan, "", "x", at("1969-12-31 23:59"), -36_000_000_000, False, "[1, 7]"),
    (3, LARGEST, LARGEST, 2**31 - 1, math.inf, 0.0, "True", "True", at("0001-01-01"), 0, True, '"x"'),
    (4, SMALLEST, -1, -(2**31), math.nan, math.nan, "False", "", at("9999-12-31 23:59"), 1, False, "7"),
    (5, None, None, None, None, None, None, None, None, None, None, None),
]  # fmt: skip
TABLES = {"T": Tables(COLUMNS, ROWS)}


def column(expression: str) -> list[Any]:
    return [_plain(row[1]) for row in run(f"T | project id, v = {expression} | sort by id asc", TABLES).rows]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + b", [9, -5, -2, LARGEST, None]),
        ("a - b", [5, -9, 0, SMALLEST + 1, None]),
        ("a * b", [14, -14, 1, SMALLEST, None]),
        ("a / b", [3, -3, 1, None, None]),
        ("a % 5", [2, 3, 2, 2, None]),
        ("a % 8", [7, 1, 7, 0, None]),
        ("a / (b - 2)", [None, None, 1, 3074457345618258602, None]),
        ("-a", [-7, 7, -LARGEST, SMALLEST, None]),
        ("-i", [-7, 7, -(2**31) + 1, 2**31, None]),
        ("i + 1", [8, -6, 2**31, -(2**31) + 1, None]),
        ("i * i", [49, 49, (2**31 - 1) ** 2, 2**62, None]),
        ("r / q", [3.75, "NaN", math.inf, "NaN", None]),
        ("a == b", [False, False, True, False, None]),
        ("a != b", [True, True, False, True, None]),
        ("a == 7", [True, False, False, False, False]),
        ("r == q", [False, False, False, False, None]),
        ("r != q", [True, True, True, True, None]),
        ("r > 0", [True, False, True, False, None]),
        ("r <= q", [False, False, False, False, None]),
        ("s == u", [True, False, True, False, True]),
        ("s == ''", [False, True, False, False, True]),
        ("s in ('', 'x')", [True, True, False, False, True]),
        ("s !in ('x')", [False, True, True, True, True]),
        ("s == true", [False, False, True, False, False]),
        ("a in (7, -7)", [True, True, False, False, False]),
        ("7 in (d)", [False, True, False, True, False]),
        ("s in (d)", [False, False, False, False, False]),
        ("t + p", [at("2024-01-31 11:20"), at("1969-12-31 22:59"), at("0001-01-01"), at("9999-12-31 23:59"), None]),
        ("t - p", [at("2024-01-31 09:20"), at("1970-01-01 00:59"), at("0001-01-01"), at("9999-12-31 23:59"), None]),
        (
            "(t - datetime(1970-01-01)) / 1d",
            [pytest.approx(19753.4305555), pytest.approx(-1 / 1440), -719162.0, pytest.approx(2932896.99930555), None],
        ),
        ("bin(t, 1h)", [at("2024-01-31 10:00"), at("1969-12-31 23:00"), at("0001-01-01"), at("9999-12-31 23:00"), None]),
        ("bin(t, 7d)", [at("2024-01-29"), at("1969-12-29"), at("0001-01-01"), at("9999-12-27"), None]),
        ("bin(t, p)", [at("2024-01-31 10:00"), None, None, at("9999-12-31 23:59"), None]),
        ("bin(a, 5)", [5, -10, LARGEST - 2, None, None]),
        ("bin(i, 5)", [5, -10, 2147483645, -2147483650, None]),
        ("bin(p, 2h)", [timedelta(0), -2 * HOUR, timedelta(0), timedelta(0), None]),
        ("abs(a)", [7, 7, LARGEST, None, None]),
        ("iff(f, a, b)", [7, 2, LARGEST, -1, None]),
        ("case(a > 0, 'plus', a < 0, 'minus', s)", ["plus", "minus", "plus", "minus", ""]),
        ("coalesce(s, 'none')", ["x", "none", "True", "False", "none"]),
        ("max_of(r, 0)", [7.5, 0.0, math.inf, "NaN", 0.0]),
        ("isnull(a) or isnull(s)", [False, False, False, False, True]),
        ("binary_shift_left(a, b)", [28, -28, SMALLEST, None, None]),
        ("d == 'x'", [False, False, True, False, False]),
        ("d == 7", [False, False, False, True, False]),
    ],
)
def test_columns_give_kustos_values(expression: str, expected: list[Any]) -> None:
    assert column(expression) == expected


@pytest.mark.parametrize(
    ("predicate", "kept"),
    [
        ("a == 7", [1]), ("a != 7", [2, 3, 4, 5]), ("a == b", [3]), ("a != b", [1, 2, 4]), ("not(a == 7)", [2, 3, 4, 5]),
        ("not(a == b)", [1, 2, 4]),
        ("not(a > 0)", [2, 4]), ("s == 'x'", [1]), ("s != 'x'", [2, 3, 4, 5]), ("s == ''", [2, 5]), ("s != ''", [1, 3, 4]),
        ("s == u", [1, 3, 5]),
        ("s in ('x', 'True')", [1, 3]), ("s !in ('x', 'True')", [2, 4, 5]), ("s in ('x', '')", [1, 2, 5]), ("a in (7, -7)", [1, 2]),
        ("a !in (7, -7)", [3, 4, 5]), ("r > 0", [1, 3]), ("r < 0", [2]), ("r != r", [4]), ("r == q", []), ("f == false", [2, 4]),
        ("f != false", [1, 3, 5]),
        ("s == false", [4]), ("s != false", [1, 2, 3, 5]), ("a > 0 and s == 'x'", [1]), ("a > 0 or isnull(a)", [1, 3, 5]),
        ("a between (-7 .. 7)", [1, 2]), ("a !between (-7 .. 7)", [3, 4]), ("t between (datetime(2024-01-01) .. 31d)", [1]),
        ("iff(a == b, true, false)", [3]),
    ],
)  # fmt: skip
def test_conditions_keep_kustos_rows(predicate: str, kept: list[int]) -> None:
    assert [row[0] for row in run(f"T | where {predicate} | project id | sort by id asc", TABLES).rows] == kept


@pytest.mark.parametrize(
    "expression",
    [
        "dynamic([1]) == dynamic([1])", "dynamic(1) < dynamic(2)", "dynamic(1) + dynamic(2)", "-dynamic(1)", "'a' < 'b'", "1 == 'a'",
        "'a' + 'b'",
        "datetime(2024-01-01) + 1", "'a' between ('a' .. 'b')", "iff(true, 1, 'a')", "iff('a', 1, 2)", "case(true, 1)",
        "case(true, 1, true, 2)",
        "case(1, 2, 3)", "coalesce(1)", "coalesce(1, 'a')", "max_of(1)", "max_of(dynamic(1), 2)", "sqrt('4')", "floor(7.9)", "true == 2",
        "datetime(2024-01-01) == 'soon'", "'no' == false", "bin(datetime(2024-01-01), 1)",
    ],
)  # fmt: skip
def test_what_kusto_has_no_answer_to_is_refused(expression: str) -> None:
    with pytest.raises((KqlError, ValueError)):
        run(f"print {expression}")


def test_assert_fails_the_query_with_its_message() -> None:
    with pytest.raises(Exception, match="too short"):
        run("let check = (n: long) { assert(n > 3, 'too short') }; print check(2)")


@pytest.mark.parametrize(
    ("query", "sql"),
    [
        ("T | where s == 'x' | project id", "\"s\" = 'x'"),
        ("T | where a == 5 | project id", '"a" = 5'),
        ("T | where i > 5 | project id", '"i" > 5'),
        ("T | where s in ('x', 'y') | project id", "\"s\" IN ('x', 'y')"),
        ("T | where t > datetime(2024-01-31) - 1h | project id", "INTERVAL '1 hour'"),
        ("T | where t between (datetime(2024-01-01) .. 1d) | project id", "BETWEEN TIMESTAMP '2024-01-01 00:00:00' AND"),
        ("T | project bin(t, 1h)", "date_trunc('hour', \"t\")"),
        (
            "T | project bin(t, 5m)",
            'make_timestamp((epoch_us("t") + 1215057101400000000) // 300000000 * 300000000 - 1215057101400000000)',
        ),
        ("T | project a % 8", '"a" & 7'),
        ("T | project i + 1", '"i"::BIGINT + 1'),
    ],
)
def test_sql_is_short_where_nothing_can_be_null_or_overflow(query: str, sql: str) -> None:
    text = compile_query(query, schema_of({"T": COLUMNS})).statement.sql
    assert sql in text
    assert "coalesce" not in text
    assert "TRY" not in text
