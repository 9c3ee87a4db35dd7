"""`ComputeEach`."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.sql.expressions import ExpressionWriter
from forebay.telemetry.kql.sql.generator import Generator, writes
from forebay.telemetry.kql.sql.relations import hoistable
from forebay.telemetry.kql.sql.select import Select


@writes(bound.ComputeEach)
def _compute_each(generator: Generator, relation: bound.ComputeEach) -> Select:
    select = generator.select(relation.source).nested()
    expressions = [*relation.outputs, *(key.expression for key in relation.keys)]
    select = hoistable(generator, select, expressions)
    writer = generator.writer(select)
    keys = writer.order_by(relation.keys)
    group = writer.value(bound.ColumnRef(relation.group.type, relation.group))
    order = f"PARTITION BY {group} ORDER BY {', '.join(keys)}"
    writer = ExpressionWriter(generator, select.slots, select.hoisted, order=order, group=f", {group}")
    select.slots = {column.id: writer.slot(each) for column, each in zip(relation.columns, relation.outputs, strict=True)}
    select.columns = relation.columns
    select.has_windows = True
    return select
