"""`pivot`: the values of a column as columns.

Source: https://learn.microsoft.com/kusto/query/pivot-plugin
"""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.binding import bound, calls, naming
from forebay.telemetry.kql.binding.operators.evaluate import Plugin, plugin
from forebay.telemetry.kql.binding.plugins.unpacking import COLUMN_LIMIT
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType

# aggregates that are 0 where there is nothing to aggregate
_ZERO = frozenset({"count", "sum", "dcount"})
_AGGREGATES = frozenset({"min", "max", "take_any", "any", "avg", "stdev", "variance", "make_list", "make_bag", "make_set", *_ZERO})


@plugin("pivot")
def _pivot(use: Plugin) -> bound.Relation:
    if not use.node.arguments:
        raise use.error("expected a column whose values become columns, got nothing")
    pivot, *others = use.node.arguments
    of = use.column(pivot)
    aggregate = nodes.Call(use.node.start, use.node.end, "count", ())
    if others and isinstance(others[0], nodes.Call):
        aggregate = others.pop(0)  # type: ignore[assignment]
    if aggregate.name not in _AGGREGATES:
        raise use.error(f"expected one of {', '.join(sorted(_AGGREGATES))}, got {aggregate.name}()", aggregate)
    aggregated: list[tuple[bound.Column, bound.AggregateCall]] = []
    over = type(use.expressions)(use.binder, use.environment, use.source.columns, aggregates=aggregated)
    over.aggregate(aggregate)
    ((value, call),) = aggregated
    keys = [use.column(each) for each in others] or _other_columns(use, of, aggregate)
    groups = _groups(use, [*keys, of], [value], [call])
    text = calls.convert(bound.ColumnRef(of.type, of), "string")
    if use.node.schema is not None:
        return _with_schema(use, groups, keys, text, value, aggregate.name)
    names = _values(use, text)
    cells = [(name, _cell(text, name, value)) for name in names]
    rows = _rows(use, groups, keys, [cell for _, cell in cells], value.type)
    outputs: list[tuple[str, bound.Expr]] = [(key.name, bound.ColumnRef(key.type, key)) for key in keys]
    taken = {key.name for key in keys}
    for (name, _), column in zip(cells, rows.columns[len(keys) :], strict=True):
        unique = naming.unique(name, taken)
        taken.add(unique)
        outputs.append((unique, _filled(column, aggregate.name)))
    return use.binder.compute(rows, outputs)


def _with_schema(
    use: Plugin, groups: bound.Relation, keys: list[bound.Column], text: bound.Expr, value: bound.Column, aggregate: str
) -> bound.Relation:
    """The columns that the query names: keys, and values of the pivoted column."""
    by_name = {key.name: key for key in keys}
    schema: list[tuple[str, Any]] = list(use.node.schema or ())
    for name, kind in schema:
        expected: KqlType = by_name[name].type if name in by_name else value.type
        if kind != expected:
            raise use.error(f"the column {name} is {expected}, the schema says {kind or 'nothing'}")
    rows = _rows(use, groups, keys, [_cell(text, name, value) for name, _ in schema if name not in by_name], value.type)
    cells = iter(rows.columns[len(keys) :])
    outputs = [
        (name, bound.ColumnRef(by_name[name].type, by_name[name]) if name in by_name else _filled(next(cells), aggregate))
        for name, _ in schema
    ]
    return use.binder.compute(rows, outputs)


def _other_columns(use: Plugin, of: bound.Column, aggregate: nodes.Call) -> list[bound.Column]:
    """All columns but the pivoted one and those that are aggregated."""
    used = {of.id}
    pending: list[Any] = list(aggregate.arguments)
    while pending:
        each = pending.pop()
        if isinstance(each, nodes.Name) and each.name in use.expressions.columns:
            used.add(use.expressions.columns[each.name].id)
        elif isinstance(each, (tuple, list)):
            pending += each
        elif isinstance(each, nodes.Node):
            pending += [getattr(each, field) for field in each.__struct_fields__]
    return [column for column in use.source.columns if column.id not in used]


def _groups(use: Plugin, keys: list[bound.Column], columns: list[bound.Column], aggregates: list[bound.AggregateCall]) -> bound.Relation:
    for key in keys:
        if key.type == "dynamic":
            raise use.error(f"expected something to group by, the column {key.name} is dynamic: tostring() makes it so")
    return bound.Summarize((*keys, *columns), use.source, tuple(bound.ColumnRef(key.type, key) for key in keys), tuple(aggregates))


def _values(use: Plugin, text: bound.Expr) -> list[str]:
    """The names that the values make, in their order."""
    name = use.binder.column("value", "string")
    found = [row[0] for row in use.explore(bound.Summarize((name,), use.source, (text,), ()))]
    if len(found) > COLUMN_LIMIT:
        raise use.error(f"the column has {len(found)} values, expected at most {COLUMN_LIMIT}")
    if not all(found):
        raise use.error("the column has an empty value, which cannot be the name of a column")
    return sorted(found)


def _cell(text: bound.Expr, name: str, value: bound.Column) -> bound.Expr:
    is_it = calls.call("==", [text, bound.Constant("string", name)], 0, 0)
    return calls.call("iff", [is_it, bound.ColumnRef(value.type, value), bound.Constant(value.type, None)], 0, 0)


def _rows(use: Plugin, groups: bound.Relation, keys: list[bound.Column], cells: list[bound.Expr], kind: KqlType) -> bound.Relation:
    """One row for each of the keys; each cell has one value at most."""
    (take_any,) = (each for each in registry.find("take_any") if len(each.parameters) == 1)
    columns = (*keys, *(use.binder.column("cell", kind) for _ in cells))
    refs = tuple(bound.ColumnRef(key.type, key) for key in keys)
    return bound.Summarize(columns, groups, refs, tuple(bound.AggregateCall(kind, take_any, (cell,)) for cell in cells))


def _filled(column: bound.Column, aggregate: str) -> bound.Expr:
    value = bound.ColumnRef(column.type, column)
    if aggregate not in _ZERO:
        return value
    zero = bound.Constant("long", 0)
    return calls.call("coalesce", [value, zero if column.type in ("long", "timespan") else calls.widen(zero, column.type)], 0, 0)
