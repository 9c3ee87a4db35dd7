"""What functions of a row and its neighbours answer, in the order of the rows: https://learn.microsoft.com/kusto/query/window-functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tests.kql.values import Undefined, are_same

Cells = Sequence[Sequence[Any]]  # the arguments of each row


def values(name: str, kind: str, rows: Cells) -> list[Any]:
    """The value for each row."""
    found = _FUNCTIONS[name](rows)
    if kind == "real":
        return [None if each is None else float(each) for each in found]
    return ["" if kind == "string" and each is None else each for each in found]


def _neighbour(direction: int) -> Callable[[Cells], list[Any]]:
    def neighbours(rows: Cells) -> list[Any]:
        found = []
        for place, (_, offset, _default) in enumerate(rows):
            other = place + direction * offset
            found.append(rows[other][0] if 0 <= other < len(rows) else None)
        return found

    return neighbours


def _has_neighbour(direction: int) -> Callable[[Cells], list[bool]]:
    return lambda rows: [0 <= place + direction * offset < len(rows) for place, (offset,) in enumerate(rows)]


def _row_number(rows: Cells) -> list[int]:
    return [place + (rows[0][0] if rows[0][0] is not None else 1) for place in range(len(rows))] if rows else []


def _row_cumsum(rows: Cells) -> list[Any]:
    found = []
    total: Any = 0
    for value, *_ in rows:
        total = total + (value or 0)
        if isinstance(total, float) and (not math.isfinite(total) or abs(total) > 1e15):
            raise Undefined("a sum that depends on the order")
        if isinstance(total, int) and not -(1 << 31) <= total < 1 << 31:
            raise Undefined("a sum beyond its type")
        found.append(total)
    return found


def _latest(rows: Cells) -> list[Any]:
    """The greatest value so far where the condition was true: values rise."""
    found: list[Any] = []
    for value, condition in rows:
        before = found[-1] if found else None
        found.append(value if condition else before)
    return found


def _count(rows: Cells) -> list[int]:
    return [sum(1 for (condition,) in rows[: place + 1] if condition) for place in range(len(rows))]


def _is_changed(rows: Cells) -> list[bool]:
    return [place == 0 or not are_same(rows[place - 1][0], rows[place][0]) for place in range(len(rows))]


_FUNCTIONS: dict[str, Callable[[Cells], list[Any]]] = {
    "prev": _neighbour(-1),
    "next": _neighbour(1),
    "has_before": _has_neighbour(-1),
    "has_after": _has_neighbour(1),
    "row_number": _row_number,
    "row_cumsum": _row_cumsum,
    "position": lambda rows: list(range(1, len(rows) + 1)),
    "latest": _latest,
    "count": _count,
    "is_changed": _is_changed,
}
