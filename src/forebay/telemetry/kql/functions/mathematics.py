"""Functions of numbers: rounding, powers, logarithms, angles, and what a real is.

Null is the answer where Kusto says so: the root or logarithm of a negative number, the arc of what is no sine. Else IEEE 754 goes.
Source: https://learn.microsoft.com/kusto/query/scalar-functions#mathematical-functions
"""

from __future__ import annotations

from collections.abc import Callable

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import scalar


def _not_negative(function: str) -> Callable[[Argument], str]:
    def sql(value: Argument) -> str:
        if value.is_constant and value.value is not None and value.value >= 0:
            return f"{function}({value})"
        return f"CASE WHEN {value.once} >= 0 THEN {function}({value.once}) END"

    return sql


def _arc(function: str) -> str:
    return f"CASE WHEN {{value.once}} BETWEEN -1 AND 1 OR isnan({{value.once}}) THEN {function}({{value.once}}) END"


def _round(value: Argument, places: Argument) -> str:
    """DuckDB takes the number of places as an INTEGER; beyond what a real can have, it changes nothing."""
    if places.is_constant:
        return "NULL::DOUBLE" if places.value is None else f"round({value}, {min(max(places.value, -400), 400)})"
    place = places.once
    return f"round({value}, (CASE WHEN {place} > 400 THEN 400 WHEN {place} < -400 THEN -400 ELSE {place} END)::INTEGER)"


# rounding; of real numbers first, for that is what a dynamic value is taken for
scalar("abs(value: real) -> real", "abs({value})", "The distance from zero.", nulls="propagate")
scalar(
    "abs(value: integer) -> long",
    lambda value: f"abs({value}::BIGINT)" if value.type == "int" else f"TRY(abs({value}))",
    "The distance from zero.",
)
scalar("abs(value: timespan) -> timespan", "TRY(abs({value}))", "The timespan without its sign.")
scalar("ceiling(value: real) -> real", "ceil({value})", "The least whole number that is not less.", nulls="propagate")
scalar("ceiling(value: integer) -> real", "{value}::DOUBLE", "The number itself.", nulls="propagate")
scalar("round(value: real) -> real", "round({value})", "The nearest whole number, halves away from zero.", nulls="propagate")
scalar("round(value: real, places: long) -> real", _round, "The nearest number of so many places after the point.", nulls="propagate")
scalar("sign(value: real) -> real", "coalesce(sign({value}), 0)::DOUBLE", "-1, 0 or 1; 0 also of null and NaN.", nulls="never")

# powers and logarithms
scalar("sqrt(value: real) -> real", _not_negative("sqrt"), "The square root; null of a negative number.")
scalar("pow(base: real, exponent: real) -> real", "pow({base}, {exponent})", "The power.", nulls="propagate")
scalar("exp(exponent: real) -> real", "exp({exponent})", "The power of e.", nulls="propagate")
scalar("exp2(exponent: real) -> real", "pow(2e0, {exponent})", "The power of 2.", nulls="propagate")
scalar("exp10(exponent: real) -> real", "pow(10e0, {exponent})", "The power of 10.", nulls="propagate")
scalar("log(value: real) -> real", _not_negative("ln"), "The natural logarithm; null of a negative number.")
scalar("log2(value: real) -> real", _not_negative("log2"), "The logarithm to base 2; null of a negative number.")
scalar("log10(value: real) -> real", _not_negative("log10"), "The logarithm to base 10; null of a negative number.")
scalar("gamma(value: real) -> real", "gamma({value})", "The gamma function.", nulls="propagate")
scalar("loggamma(value: real) -> real", "lgamma({value})", "The logarithm of the gamma function's absolute value.", nulls="propagate")

# angles
for _name in ("sin", "cos", "tan", "cot", "atan"):
    scalar(f"{_name}(value: real) -> real", f"{_name}({{value}})", f"The {_name} of an angle in radians.", nulls="propagate")
scalar("asin(value: real) -> real", _arc("asin"), "The angle whose sine this is; null outside -1 to 1.")
scalar("acos(value: real) -> real", _arc("acos"), "The angle whose cosine this is; null outside -1 to 1.")
scalar("atan2(y: real, x: real) -> real", "atan2({y}, {x})", "The angle of a point, in radians.", nulls="propagate")
scalar("pi() -> real", "pi()", "The ratio of a circle's circumference to its diameter.", nulls="never")
scalar("degrees(radians: real) -> real", "degrees({radians})", "Radians as degrees.", nulls="propagate")
scalar("radians(degrees: real) -> real", "radians({degrees})", "Degrees as radians.", nulls="propagate")

# what a real is
for _name, _summary in (
    ("isnan", "Whether a number is NaN."),
    ("isinf", "Whether a number is infinite."),
    ("isfinite", "Whether a number is finite."),
):
    scalar(
        f"{_name}(value: real) -> bool", f"coalesce({_name}({{value}}), false)", _summary, nulls="never", condition=f"{_name}({{value}})"
    )

scalar("rand() -> real", "random()", "A random number from 0 to 1.", nulls="never")
scalar("rand(bound: long) -> real", "floor(random() * {bound})", "A random whole number below the bound.", nulls="propagate")
