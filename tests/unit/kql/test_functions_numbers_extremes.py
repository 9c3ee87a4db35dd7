"""No values make the SQL of operators and of functions of numbers fail, whatever stands beside it in the query."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from itertools import product
from random import Random
from typing import Any

from running import Tables, answer, database

from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.functions import load, registry
from forebay.telemetry.kql.functions.function import Function, Parameter
from forebay.telemetry.kql.types import KqlType, Schema

NAMES = """
    == != < <= > >= in !in between !between + - * / % and or not iff case coalesce max_of min_of isnull isnotnull bin bin_at abs
    ceiling round sign sqrt pow exp exp2 exp10 log log2 log10 gamma loggamma sin cos tan cot atan asin acos atan2 degrees radians isnan
    isinf isfinite rand binary_and binary_or binary_xor binary_not binary_shift_left binary_shift_right bitset_count_ones erf erfc
    beta_cdf beta_pdf beta_inv welch_test convert_angle convert_length convert_temperature
""".split()
EXTREMES: dict[KqlType, list[Any]] = {
    "int": [0, 1, -1, 2**31 - 1, -(2**31), None],
    "long": [0, 1, -1, 63, 2**63 - 1, -(2**63), None],
    "real": [0.0, -0.5, 1e308, -1e308, 5e-324, math.inf, -math.inf, math.nan, None],
    "decimal": ["0", "-0.00000000000000001", "999999999999999999999.9", "-999999999999999999999.9", None],
    "timespan": [0, 1, -1, 864_000_000_000, 2**63 - 1, -(2**63), None],
    "datetime": [datetime.fromisoformat(each) for each in ("0001-01-01", "1969-12-31", "9999-12-31 23:59:59.999999")] + [None],
    "bool": [True, False, None],
    "string": ["", "a", "true", None],
    "guid": ["74be27de-1e4e-49d9-b579-fe0b331d3642", None],
    "dynamic": ["null", "1", '"a"', "[1, 2]", '{"a": 1}', "1e308", None],
}
MOST_ARGUMENTS = 6
CONSTANTS: dict[KqlType, str] = {"string": "'Meter'", "bool": "true", "int": "1", "long": "1"}


def table() -> Tables:
    """Columns `long0`, `long1`, ... of each type, in each row some of the extremes."""
    chance = Random(1)
    columns = [(f"{kind}{index}", kind) for kind in EXTREMES for index in range(MOST_ARGUMENTS)]
    return Tables(columns, [[chance.choice(EXTREMES[kind]) for _, kind in columns] for _ in range(300)])


def calls(function: Function) -> Iterator[str]:
    """The calls of a function with columns of each of the types that it takes."""
    parameters = [each for each in function.parameters if not each.is_optional and each.default is None]
    for kinds in product(*(sorted(each.types) for each in parameters)):
        if len({kind for kind, each in zip(kinds, parameters, strict=True) if each.variable}) < 2:
            arguments = [argument(each, kind, place) for place, (each, kind) in enumerate(zip(parameters, kinds, strict=True))]
            yield call(function, arguments)


def argument(parameter: Parameter, kind: KqlType, place: int) -> str:
    return CONSTANTS[kind] if parameter.is_constant else f"{kind}{place}"


def call(function: Function, arguments: list[str]) -> str:
    if function.kind != "operator":
        return f"{function.name}({', '.join(arguments)})"
    if len(arguments) == 1:
        return f"{function.name}{arguments[0]}"
    right = f"({arguments[1]} .. {arguments[2]})" if "between" in function.name else f"({arguments[1]})"
    return f"{arguments[0]} {function.name} {right}"


def is_taken(expression: str, schema: Schema) -> bool:
    try:
        compile_query(f"E | project v = {expression}", schema)
    except KqlError:
        return False  # refused for these types
    return True


def test_no_values_make_the_sql_fail() -> None:
    load()
    connection, schema = database({"E": table()})
    expressions = {expression for name in NAMES for function in registry.find(name) for expression in calls(function)}
    taken = [expression for expression in sorted(expressions) if is_taken(expression, schema)]
    assert len(taken) > 300
    for first in range(0, len(taken), 40):
        some = taken[first : first + 40]
        answer(connection, schema, "E | project " + ", ".join(f"v{index} = {each}" for index, each in enumerate(some)))
