"""The bound tree as text, for people: one line for each relation, what it reads indented below it."""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.parts import children
from forebay.telemetry.kql.sql.literals import datetime_text, json_text, timespan_text

_WIDEST_CONSTANT = 60


def outline(relation: bound.Relation) -> str:
    """The tree, every name with its type where it comes up."""
    lines: list[str] = []
    seen: set[int] = set()
    pending: list[tuple[bound.Relation, int]] = [(relation, 0)]
    while pending:
        each, depth = pending.pop()
        lines.append("  " * depth + _line(each))
        if isinstance(each, bound.Shared):
            if id(each.relation) in seen:
                continue
            seen.add(id(each.relation))
        pending += [(child, depth + 1) for child in reversed(_below(each))]
    return "\n".join(lines)


def _below(relation: bound.Relation) -> list[bound.Relation]:
    if isinstance(relation, bound.Join):
        return [relation.left, relation.right]
    if isinstance(relation, bound.Concat):
        return list(relation.sources)
    return children(relation)


def _line(relation: bound.Relation) -> str:
    kind = type(relation).__name__.lower()
    columns = ", ".join(f"{column.name}: {column.type}" for column in relation.columns)
    match relation:
        case bound.Table(table=table):
            return f"table {table.name} ({columns})"
        case bound.Rows(rows=rows):
            return f"rows {len(rows)} ({columns})"
        case bound.Filter(predicate=predicate):
            return f"filter {expression_text(predicate)}"
        case bound.Compute(outputs=outputs):
            return "compute " + ", ".join(map(_output, relation.columns, outputs))
        case bound.Summarize(keys=keys, aggregates=aggregates):
            of = ", ".join(map(_output, relation.columns[len(keys) :], aggregates))
            by = ", ".join(map(_output, relation.columns, keys))
            return f"summarize {of}" + (f" by {by}" if keys else "")
        case bound.Sort(keys=keys):
            return "sort " + ", ".join(f"{expression_text(key.expression)} {'desc' if key.is_descending else 'asc'}" for key in keys)
        case bound.Take(count=count) | bound.Sample(count=count):
            return f"{kind} {expression_text(count)}"
        case bound.Join(kind=how, keys=keys):
            on = " and ".join(f"{expression_text(left)} == {expression_text(right)}" for left, right in keys)
            return f"join {how} on {on} ({columns})"
        case bound.Shared(name=name):
            return f"let {name} ({columns})"
    return f"{kind} ({columns})"


def _output(column: bound.Column, expression: bound.Expr) -> str:
    if isinstance(expression, bound.ColumnRef) and expression.column == column:
        return column.name
    return f"{column.name} = {expression_text(expression)}: {column.type}"


def expression_text(expression: bound.Expr | None) -> str:
    """An expression, close to how KQL writes it, conversions that KQL makes by itself included."""
    match expression:
        case None:
            return "none"
        case bound.Constant(type=kind, value=value):
            return _constant(kind, value)
        case bound.ColumnRef(column=column):
            return column.name
        case bound.Widen(type=kind, operand=operand):
            return f"{kind}({expression_text(operand)})"
        case bound.Parameter(name=name):
            return f"${name}"
        case bound.ScalarQuery():
            return "toscalar(...)"
        case bound.InQuery(operand=operand, is_negated=is_negated):
            return f"{expression_text(operand)} {'!in' if is_negated else 'in'} (...)"
        case bound.Call(function=function, arguments=(left, right)) if function.kind == "operator":
            return f"({expression_text(left)} {function.name} {expression_text(right)})"
        case bound.Call() | bound.AggregateCall() | bound.WindowCall():
            return f"{expression.function.name}({', '.join(map(expression_text, expression.arguments))})"
    return type(expression).__name__


def _constant(kind: str, value: Any) -> str:
    if value is None:
        return f"{kind}(null)"
    if kind == "datetime":
        return f"datetime({datetime_text(value)})"
    if kind == "timespan":
        return f"time({timespan_text(value)})"
    text = json_text(value) if kind in ("string", "dynamic") else str(value).lower() if kind == "bool" else str(value)
    return text if len(text) <= _WIDEST_CONSTANT else text[: _WIDEST_CONSTANT - 3] + "..."
