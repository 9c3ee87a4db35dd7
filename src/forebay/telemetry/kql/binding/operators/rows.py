"""Operators that choose and order rows."""

from __future__ import annotations

from collections.abc import Sequence

from forebay.telemetry.kql.binding import bound, windows
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.operators.search import bind_predicate
from forebay.telemetry.kql.binding.parts import has_window
from forebay.telemetry.kql.syntax import nodes


@binds(nodes.Where)
def _where(binder: Binder, node: nodes.Where, source: bound.Relation, environment: Environment) -> bound.Relation:
    predicate = bind_predicate(ExpressionBinder(binder, environment, source.columns), node.predicate)
    if has_window(predicate):
        return windows.filtered(binder, source, predicate)
    return bound.Filter(source.columns, source, predicate)


@binds(nodes.Take)
def _take(binder: Binder, node: nodes.Take, source: bound.Relation, environment: Environment) -> bound.Relation:
    return bound.Take(source.columns, source, bind_count(binder, node.count, environment, "take"))


def bind_count(binder: Binder, node: nodes.Expression, environment: Environment, what: str) -> bound.Expr:
    """A number of rows. Raises `KqlError` for a constant below 0."""
    count = ExpressionBinder(binder, environment, ()).bind_as(node, "long", what)
    if isinstance(count, bound.Constant) and (count.value is None or count.value < 0):
        raise error(node, "type", f"{what}: expected a number of rows of 0 or more, got {count.value}")
    return count


@binds(nodes.Sort)
def _sort(binder: Binder, node: nodes.Sort, source: bound.Relation, environment: Environment) -> bound.Relation:
    return _ordered(binder, source, sort_keys(binder, node.keys, source, environment))


def _ordered(binder: Binder, source: bound.Relation, keys: tuple[bound.SortKey, ...]) -> bound.Relation:
    below, expressions = windows.extracted(binder, source, [key.expression for key in keys])
    if below is source:
        return bound.Sort(source.columns, source, keys)
    keys = tuple(bound.SortKey(each, key.is_descending, key.is_nulls_first) for each, key in zip(expressions, keys, strict=True))
    passed = tuple(bound.ColumnRef(column.type, column) for column in source.columns)
    return bound.Compute(source.columns, bound.Sort(below.columns, below, keys), passed)


def sort_keys(binder: Binder, keys: Sequence[nodes.SortKey], source: bound.Relation, environment: Environment) -> tuple[bound.SortKey, ...]:
    """What to order by: descending where nothing is said; nulls are the least."""
    expressions = ExpressionBinder(binder, environment, source.columns)
    found = []
    for key in keys:
        expression = expressions.bind(key.expression)
        if expression.type == "dynamic":
            raise error(
                key, "type", "expected something with an order to sort by, got dynamic", hint="tostring(), toreal(), ... makes it so"
            )
        is_descending = key.direction != "asc"
        is_nulls_first = key.nulls == "first" if key.nulls else not is_descending
        found.append(bound.SortKey(expression, is_descending, is_nulls_first))
    return tuple(found)


@binds(nodes.Top)
def _top(binder: Binder, node: nodes.Top, source: bound.Relation, environment: Environment) -> bound.Relation:
    ordered = _ordered(binder, source, sort_keys(binder, node.keys, source, environment))
    return bound.Take(source.columns, ordered, bind_count(binder, node.count, environment, "top"))


@binds(nodes.Sample)
def _sample(binder: Binder, node: nodes.Sample, source: bound.Relation, environment: Environment) -> bound.Relation:
    return bound.Sample(source.columns, source, bind_count(binder, node.count, environment, "sample"))


@binds(nodes.Consume)
def _consume(binder: Binder, node: nodes.Consume, source: bound.Relation, environment: Environment) -> bound.Relation:
    return bound.Filter(source.columns, source, bound.Constant("bool", False))


@binds(nodes.Render)
def _render(binder: Binder, node: nodes.Render, source: bound.Relation, environment: Environment) -> bound.Relation:
    binder.chart = node
    return source


@binds(nodes.As)
def _as(binder: Binder, node: nodes.As, source: bound.Relation, environment: Environment) -> bound.Relation:
    named = binder.share(node.name, source, is_materialized=False)
    environment.set(node.name, named)
    return binder.read(named, node)
