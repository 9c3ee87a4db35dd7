"""Arithmetic of decimals in Python, for what DuckDB's decimals cannot hold on the way.

Answers are texts with 17 places, as `DECIMAL(38, 17)` reads them; what is too large for it, or was divided by zero, is null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Context, Decimal

PLACES = 17
DIGITS = 38


def _fitting(compute: Callable[[Context, Decimal, Decimal], Decimal]) -> Callable[[str | None, str | None], str | None]:
    """`compute` on texts of decimals."""

    def on_texts(left: str | None, right: str | None) -> str | None:
        from decimal import Context, Decimal, DecimalException

        if left is None or right is None:
            return None
        context = Context(prec=2 * DIGITS)
        try:
            answer = compute(context, Decimal(left), Decimal(right))
            rounded = context.quantize(answer, Decimal(1).scaleb(-PLACES))
        except DecimalException:
            return None
        return None if abs(rounded) >= Decimal(10) ** (DIGITS - PLACES) else format(rounded, "f")

    return on_texts


def _floored(context: Context, value: Decimal, size: Decimal) -> Decimal:
    from decimal import ROUND_FLOOR, InvalidOperation

    if size < 0:
        raise InvalidOperation
    return context.multiply(context.divide(value, size).to_integral_value(ROUND_FLOOR), size)


def _remainder(context: Context, left: Decimal, right: Decimal) -> Decimal:
    found = context.remainder(left, right)
    return found if found >= 0 else context.add(found, abs(right))


multiplied = _fitting(lambda context, left, right: context.multiply(left, right))
divided = _fitting(lambda context, left, right: context.divide(left, right))
remainder = _fitting(_remainder)
floored = _fitting(_floored)


def rounded(value: str | None, places: int | None) -> str | None:
    """To so many places after the point, halves away from zero; with a negative number, before the point."""
    from decimal import ROUND_HALF_UP, Context, Decimal

    if value is None or places is None:
        return None
    if places >= PLACES:
        return value
    if places < PLACES - DIGITS:
        return "0"
    context = Context(prec=2 * DIGITS)
    unit = Decimal(1).scaleb(-places)
    answer = context.multiply(context.divide(Decimal(value), unit).to_integral_value(ROUND_HALF_UP), unit)
    return format(answer, "f") if abs(answer) < Decimal(10) ** (DIGITS - PLACES) else None
