"""Arithmetic and rounding of decimals, which DuckDB holds with 38 digits, 17 of them after the point."""

from __future__ import annotations

from collections.abc import Callable

from forebay.telemetry.kql.functions import decimals_python
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import operator, scalar

operator("+(left: decimal, right: decimal) -> decimal", "TRY({left} + {right})", "The sum.")
operator("-(left: decimal, right: decimal) -> decimal", "TRY({left} - {right})", "The difference.")
operator("-(value: decimal) -> decimal", "-{value}", "The opposite.", nulls="propagate")

# DuckDB's product of two has 34 digits after the point, its quotient is a real
for _symbol, _name, _summary, _python in (
    ("*", "_decimal_product", "The product.", decimals_python.multiplied),
    ("/", "_decimal_quotient", "The quotient.", decimals_python.divided),
    ("%", "_decimal_remainder", "The remainder, never negative.", decimals_python.remainder),
):
    _function = operator(f"{_name}(left: decimal, right: decimal) -> decimal", "", _summary, python=_python)

    def _called(python_name: str) -> Callable[[Argument, Argument], str]:
        return lambda left, right: f"{python_name}({left}::VARCHAR, {right}::VARCHAR)::DECIMAL(38, 17)"

    operator(f"{_symbol}(left: decimal, right: decimal) -> decimal", _called(_function.python_name), _summary)

scalar("abs(value: decimal) -> decimal", "abs({value})", "The distance from zero.", nulls="propagate")
scalar("ceiling(value: decimal) -> decimal", "TRY_CAST(ceil({value}) AS DECIMAL(38, 17))", "The least whole number that is not less.")
scalar(
    "bin(value: decimal, size: decimal) -> decimal",
    None,
    "The greatest multiple of the size that is not greater.",
    aliases=("floor",),
    python=decimals_python.floored,
)
scalar("round(value: decimal, places: long = 0) -> decimal", None, "The nearest number of so many places.", python=decimals_python.rounded)
