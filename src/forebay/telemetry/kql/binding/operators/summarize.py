"""`summarize`, `distinct` and `count`."""

from __future__ import annotations

from typing import cast

from forebay.telemetry.kql.binding import bound, windows
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.outputs import Output, bind_outputs, named
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax import nodes


@binds(nodes.Summarize)
def _summarize(binder: Binder, node: nodes.Summarize, source: bound.Relation, environment: Environment) -> bound.Relation:
    if not node.aggregates and not node.keys:
        message = "summarize: expected aggregates, or `by` and what to group by, got nothing"
        raise error(node, "syntax", message, hint="summarize count() by name")
    expressions = ExpressionBinder(binder, environment, source.columns)
    keys = bind_outputs(expressions, _columns_of(node.keys, source))
    check_keys(keys)
    aggregated: list[tuple[bound.Column, bound.AggregateCall]] = []
    over = ExpressionBinder(binder, environment, source.columns, aggregates=aggregated)
    over.key_names = tuple(output.name for output in keys if output.name is not None and isinstance(output.expression, bound.ColumnRef))
    outputs = bind_outputs(over, node.aggregates)
    if not keys and not aggregated:  # constants alone: one row all the same
        aggregated.append((binder.column("rows", "long"), row_count()))
    return summarize(binder, source, named([*keys, *outputs]), len(keys), aggregated, [*keys, *outputs])


def check_keys(keys: list[Output]) -> None:
    """Refuse what cannot be grouped by. Raises `KqlError`."""
    for key in keys:
        if key.expression.type == "dynamic":
            raise error(key.node, "type", "expected something to group by, got dynamic", hint="tostring(), tolong(), ... makes it so")


def summarize(
    binder: Binder,
    source: bound.Relation,
    names: list[tuple[str, bound.Expr]],
    key_count: int,
    aggregated: list[tuple[bound.Column, bound.AggregateCall]],
    outputs: list[Output],
) -> bound.Relation:
    """The groups: keys, aggregates, and what is computed of them."""
    key_columns = [
        each.column if isinstance(each, bound.ColumnRef) and each.column.name == name else binder.column(name, each.type)
        for name, each in names[:key_count]
    ]
    if len({column.id for column in key_columns}) < len(key_columns):
        key_columns = [binder.column(column.name, column.type) for column in key_columns]
    keys = [each for _, each in names[:key_count]]
    source, expressions = windows.extracted(binder, source, [*keys, *(call for _, call in aggregated)])
    columns = (*key_columns, *(column for column, _ in aggregated))
    groups = bound.Summarize(
        columns, source, tuple(expressions[:key_count]), cast("tuple[bound.AggregateCall, ...]", tuple(expressions[key_count:]))
    )
    given = {column.id for column in groups.columns}
    for output, (_, each) in zip(outputs[key_count:], names[key_count:], strict=True):
        _check_only_groups(each, given, output)
    passed = [(column.name, bound.ColumnRef(column.type, column)) for column in key_columns]
    return binder.compute(groups, [*passed, *names[key_count:]])


def _check_only_groups(expression: bound.Expr, given: set[int], output: Output) -> None:
    pending: list[bound.Expr | None] = [expression]
    while pending:
        each = pending.pop()
        if isinstance(each, bound.ColumnRef) and each.column.id not in given:
            raise error(
                output.node,
                "type",
                f"{each.column.name} is not in an aggregate",
                hint=f"take_any({each.column.name}) takes one of its values",
            )
        if isinstance(each, (bound.Call, bound.WindowCall)):
            pending += each.arguments
        elif isinstance(each, bound.Widen):
            pending.append(each.operand)


@binds(nodes.Distinct)
def _distinct(binder: Binder, node: nodes.Distinct, source: bound.Relation, environment: Environment) -> bound.Relation:
    expressions = ExpressionBinder(binder, environment, source.columns)
    keys = bind_outputs(expressions, _columns_of(node.columns, source))
    return summarize(binder, source, named(keys), len(keys), [], keys)


def _columns_of(entries: tuple[nodes.Expression, ...], source: bound.Relation) -> list[nodes.Expression]:
    """The entries, with all columns in the place of a star."""
    found: list[nodes.Expression] = []
    for each in entries:
        if isinstance(each, nodes.Wildcard) and each.pattern == "*":
            found += [nodes.Name(each.start, each.end, column.name) for column in source.columns]
        else:
            found.append(each)
    return found


@binds(nodes.Count)
def _count(binder: Binder, node: nodes.Count, source: bound.Relation, environment: Environment) -> bound.Relation:
    return count_rows(binder, source, node.name or "Count")


def count_rows(binder: Binder, source: bound.Relation, name: str) -> bound.Relation:
    """One row with the number of rows."""
    return bound.Summarize((binder.column(name, "long"),), source, (), (row_count(),))


def row_count() -> bound.AggregateCall:
    """`count()`."""
    (count,) = (each for each in registry.find("count") if not each.parameters)
    return bound.AggregateCall("long", count, ())
