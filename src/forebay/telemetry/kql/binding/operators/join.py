"""`join` and `lookup`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from forebay.telemetry.kql.binding import bound, calls, naming
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.outputs import unknown_column
from forebay.telemetry.kql.syntax import nodes

_KINDS: dict[str, bound.JoinKind] = {
    **{
        kind: cast("bound.JoinKind", kind)
        for kind in "innerunique inner leftouter rightouter fullouter leftsemi rightsemi leftanti rightanti".split()
    },
    "anti": "leftanti",
    "leftantisemi": "leftanti",
    "rightantisemi": "rightanti",
}
_ONE_SIDED = {"leftsemi": "left", "leftanti": "left", "rightsemi": "right", "rightanti": "right"}


@binds(nodes.Join)
def _join(binder: Binder, node: nodes.Join, source: bound.Relation, environment: Environment) -> bound.Relation:
    kind = _kind(node, "innerunique", tuple(_KINDS))
    right = binder.relation(node.right, environment)
    keys = _keys(binder, node.conditions, node, source, right, environment)
    side = _ONE_SIDED.get(kind)
    if side is not None:
        sources = source.columns if side == "left" else right.columns
        return bound.Join(sources, source, right, kind, keys, sources)
    return _joined(binder, source, right, right.columns, kind, keys)


@binds(nodes.Lookup)
def _lookup(binder: Binder, node: nodes.Lookup, source: bound.Relation, environment: Environment) -> bound.Relation:
    kind = _kind(node, "leftouter", ("leftouter", "inner"))
    right = binder.relation(node.right, environment)
    keys = _keys(binder, node.conditions, node, source, right, environment)
    by = {column.id for _, key in keys for column in _columns(key)}
    return _joined(binder, source, right, tuple(column for column in right.columns if column.id not in by), kind, keys)


def _joined(
    binder: Binder,
    left: bound.Relation,
    right: bound.Relation,
    shown: Sequence[bound.Column],
    kind: bound.JoinKind,
    keys: tuple[tuple[bound.Expr, bound.Expr], ...],
) -> bound.Relation:
    taken = {column.name for column in (*left.columns, *shown)}
    given = {column.name for column in left.columns}
    columns = [binder.column(column.name, column.type) for column in left.columns]
    numbers: dict[str, int] = {}
    for column in shown:
        name = naming.unique(column.name, taken, numbers) if column.name in given else column.name
        taken.add(name)
        given.add(name)
        columns.append(binder.column(name, column.type))
    return bound.Join(tuple(columns), left, right, kind, keys, (*left.columns, *shown))


def _kind(node: nodes.Join | nodes.Lookup, default: str, allowed: Sequence[str]) -> bound.JoinKind:
    for parameter in node.parameters:
        if parameter.name == "kind":
            if parameter.value not in allowed:
                raise error(parameter, "type", f"there is no kind {parameter.value[:50]!r}; expected {', '.join(allowed)}")
            return _KINDS[parameter.value]
    return _KINDS[default]


def _keys(
    binder: Binder,
    conditions: Sequence[nodes.Expression],
    node: nodes.Node,
    left: bound.Relation,
    right: bound.Relation,
    environment: Environment,
) -> tuple[tuple[bound.Expr, bound.Expr], ...]:
    pending = list(conditions)
    if not pending:
        raise error(node, "syntax", "expected `on` with the columns to join by")
    found: list[tuple[bound.Expr, bound.Expr]] = []
    while pending:
        condition = pending.pop(0)
        if isinstance(condition, nodes.Binary) and condition.operator == "and":
            pending[:0] = [condition.left, condition.right]
            continue
        found.append(_key(binder, condition, left, right, environment))
    return tuple(found)


def _key(
    binder: Binder, condition: nodes.Expression, left: bound.Relation, right: bound.Relation, environment: Environment
) -> tuple[bound.Expr, bound.Expr]:
    if isinstance(condition, nodes.Name):
        sides = []
        for relation in (left, right):
            column = next((column for column in relation.columns if column.name == condition.name), None)
            if column is None:
                raise unknown_column(condition, condition.name, relation)
            sides.append(bound.ColumnRef(column.type, column))
        first, second = sides
    elif isinstance(condition, nodes.Binary) and condition.operator == "==":
        both = ExpressionBinder(binder, environment, left.columns, other_columns=right.columns)
        values = [both.bind(condition.left), both.bind(condition.right)]
        of_left, of_right = ({column.id for column in relation.columns} for relation in (left, right))
        used = [{column.id for column in _columns(value)} for value in values]
        if used[0] <= of_right and used[1] <= of_left and not (used[0] <= of_left and used[1] <= of_right):
            values.reverse()
            used.reverse()
        if not (used[0] and used[1] and used[0] <= of_left and used[1] <= of_right):
            raise error(condition, "type", "expected $left.column == $right.column to join by")
        first, second = values  # type: ignore[assignment]
    else:
        raise error(condition, "unsupported", "expected a column, or $left.column == $right.column, to join by", construct="join on")
    return _comparable(condition, first, second)


def _comparable(node: nodes.Node, first: bound.Expr, second: bound.Expr) -> tuple[bound.Expr, bound.Expr]:
    """Both in one type, as `==` has them."""
    if first.type == "dynamic" and second.type == "dynamic":
        return calls.convert(first, "string"), calls.convert(second, "string")
    kind = calls.common_type([each.type for each in (first, second) if each.type != "dynamic"])
    if kind is None:
        raise error(
            node, "type", f"expected columns of one type to join by, got {first.type} and {second.type}", hint="extend converts one before"
        )
    return calls.convert(first, kind), calls.convert(second, kind)


def _columns(expression: bound.Expr | None) -> list[bound.Column]:
    if isinstance(expression, bound.ColumnRef):
        return [expression.column]
    if isinstance(expression, bound.Call):
        return [column for argument in expression.arguments for column in _columns(argument)]
    if isinstance(expression, bound.Widen):
        return _columns(expression.operand)
    return []
