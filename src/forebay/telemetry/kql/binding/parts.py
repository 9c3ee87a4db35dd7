"""What a node of the bound tree is made of. Every query is walked several times, so a node is looked up by its type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from forebay.telemetry.kql.binding import bound

_OPERANDS: dict[type[Any], Callable[[Any], Sequence[Any]]] = {
    **dict.fromkeys((bound.Call, bound.AggregateCall, bound.WindowCall), attrgetter("arguments")),
    **dict.fromkeys((bound.Widen, bound.InQuery), lambda node: (node.operand,)),
}
_PARTS: dict[type[Any], Callable[[Any], Sequence[Any]]] = {
    **_OPERANDS,
    bound.InQuery: lambda node: (node.operand, node.relation),
    bound.ScalarQuery: lambda node: (node.relation,),
    bound.SortKey: lambda node: (node.expression,),
    tuple: lambda nodes: nodes,
}


def operands(expression: bound.Expr | None) -> Sequence[bound.Expr | None]:
    """What a value is computed from in the same row, right below it."""
    read = _OPERANDS.get(type(expression))
    return () if read is None else read(expression)


def parts(node: Any) -> Sequence[Any]:
    """Everything right below a node: relations, expressions and tuples of them."""
    read = _PARTS.get(type(node))
    if read is not None:
        return read(node)
    return [getattr(node, name) for name in _fields(type(node))] if isinstance(node, bound.Relation) else ()


def children(relation: bound.Relation) -> list[bound.Relation]:
    """The relations right below one, those in its expressions included."""
    found: list[bound.Relation] = []
    pending = list(parts(relation))
    while pending:
        each = pending.pop()
        if isinstance(each, bound.Relation):
            found.append(each)
        else:
            pending += parts(each)
    return found


def has_window(*expressions: bound.Expr | None) -> bool:
    """Whether one of the expressions looks at other rows."""
    pending = list(expressions)  # a stack: chains of operators are deeper than Python calls
    while pending:
        each = pending.pop()
        if type(each) is bound.WindowCall:
            return True
        pending += operands(each)
    return False


def used(*expressions: bound.Expr | None) -> set[int]:
    """The columns that expressions read."""
    found: set[int] = set()
    pending = list(expressions)
    while pending:
        each = pending.pop()
        if type(each) is bound.ColumnRef:
            found.add(each.column.id)
        else:
            pending += operands(each)
    return found


@cache
def _fields(kind: type[bound.Relation]) -> tuple[str, ...]:
    """Where a relation has others, or expressions."""
    return tuple(name for name in kind.__struct_fields__ if name not in ("columns", "rows", "table"))
