"""Values of expressions, many in one query."""

from __future__ import annotations

from typing import Any

from running import Tables, run


def values(expressions: dict[str, Any] | list[str]) -> dict[str, Any]:
    """What each expression is, on its own."""
    names = list(expressions)
    answer = run("print " + ", ".join(f"v{place} = {expression}" for place, expression in enumerate(names)))
    return dict(zip(names, answer.rows[0], strict=True))


def column(expression: str, kind: Any, cells: list[Any]) -> list[Any]:
    """What an expression of the column `x` is in each row."""
    table = Tables([("place", "long"), ("x", kind)], list(enumerate(cells)))
    return [row[0] for row in run(f"T | sort by place asc | project value = {expression}", {"T": table}).rows]


def kept(condition: str, kind: Any, cells: list[Any]) -> list[Any]:
    """The cells, by their column `x`, that a `where` keeps."""
    table = Tables([("place", "long"), ("x", kind)], list(enumerate(cells)))
    rows = run(f"T | where {condition} | sort by place asc | project place", {"T": table}).rows
    return [cells[row[0]] for row in rows]
