"""`partition by key (...)`. All strategies have the same rows, and the one without a name is not limited to 64 keys."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound, windows
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Environment, ScalarBinding
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.partitioned import Groups, partitioned
from forebay.telemetry.kql.binding.parts import has_window
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax import nodes


@binds(nodes.Partition)
def _partition(binder: Binder, node: nodes.Partition, source: bound.Relation, environment: Environment) -> bound.Relation:
    for parameter in node.parameters:
        if not parameter.name.startswith("hint."):
            raise error(parameter, "syntax", f"partition has no parameter {parameter.name}", hint="hint.strategy=native, shuffle or legacy")
        if parameter.name == "hint.strategy" and parameter.value in ("native", "shuffle") and _is_ordered(node):
            # an answer would look as if the order of its groups meant something
            raise error(
                parameter,
                "unsupported",
                f"partition: rows that are ordered in each group are not supported with {parameter.name}={parameter.value},"
                " which leaves open how the groups follow each other",
                hint="leave the hint out",
                construct="partition hint.strategy",
            )
    key = ExpressionBinder(binder, environment, source.columns).bind(node.key)
    if not isinstance(key, bound.ColumnRef):
        raise error(node.key, "type", "partition: expected a column to partition by", hint="extend one before")
    if key.type == "dynamic":
        raise error(
            node.key, "type", "partition: expected something to group by, got dynamic", hint="tostring(), tolong(), ... makes it so"
        )
    if node.source is not None:
        return _from_source(binder, node, source, key.column, environment)
    passed = tuple(bound.ColumnRef(column.type, column) for column in source.columns)
    # rows have an order within the body only where they had one, or where they are asked for one
    rows = bound.Compute(source.columns, source, passed)
    body = binder.pipe(rows, node.body, environment)
    place = None
    grouped: bound.Relation = bound.Compute(source.columns, source, passed)
    if windows.is_serialized(source) or _needs_order(body, rows):
        place = binder.column("place", "long")
        (row_number,) = registry.find("row_number")
        number = bound.WindowCall("long", row_number, (bound.Constant("long", 1), None))
        grouped = bound.Compute((*source.columns, place), source, (*passed, number))
    found = partitioned(binder, body, rows, Groups(grouped, key.column, place, ()), node, "partition")
    return binder.compute(found, [(column.name, bound.ColumnRef(column.type, column)) for column in body.columns])


def _from_source(
    binder: Binder, node: nodes.Partition, source: bound.Relation, key: bound.Column, environment: Environment
) -> bound.Relation:
    """`{ T | ... }`: the rows of a table of its own for each key, which the operators may name."""
    assert node.source is not None, "only then is it called"
    inside = Environment(environment)
    inside.set(key.name, ScalarBinding(bound.ColumnRef(key.type, key)))
    table = binder.relation(node.source, environment)
    if any(column.name == key.name for column in table.columns):
        raise error(node.source, "type", f"partition: the table has a column {key.name[:100]!r} as well", hint="rename one before")
    keys = bound.Summarize((key,), source, (bound.ColumnRef(key.type, key),), ())
    one = bound.Constant("long", 1)
    columns = (key, *table.columns)
    each = bound.Join(columns, keys, table, "inner", ((one, one),), columns)
    rows = bound.Compute(table.columns, table, tuple(bound.ColumnRef(column.type, column) for column in table.columns))
    body = binder.pipe(rows, node.body, inside)
    here: bound.Relation | None = body
    while here is not None and here is not rows:
        # without rows, an aggregate still has one, which a group that is gone would not have
        if not isinstance(here, (bound.Compute, bound.Filter, bound.Take, bound.Sort, bound.Parse, bound.Expand)) or (
            isinstance(here, bound.Compute) and has_window(*here.outputs)
        ):
            message = "partition { }: where, extend, project, parse, mv-expand, sort and take are supported"
            raise error(node, "unsupported", message, construct="partition { }")
        here = getattr(here, "source", None)
    found = partitioned(binder, body, rows, Groups(each, key, None, ()), node, "partition")
    return binder.compute(found, [(column.name, bound.ColumnRef(column.type, column)) for column in body.columns])


def _is_ordered(node: nodes.Partition) -> bool:
    return any(isinstance(each, (nodes.Sort, nodes.Scan)) for each in node.body)


def _needs_order(body: bound.Relation, rows: bound.Relation) -> bool:
    """Whether something in the body goes by the order of rows."""
    each: bound.Relation | None = body
    while each is not None and each is not rows:
        if isinstance(each, (bound.Serialize, bound.Scan)) or (isinstance(each, bound.Compute) and has_window(*each.outputs)):
            return True
        each = getattr(each, "source", None)
    return False
