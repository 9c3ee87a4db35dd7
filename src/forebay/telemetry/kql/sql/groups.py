"""`Summarize`."""

from __future__ import annotations

import re

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.sql.expressions import ExpressionWriter
from forebay.telemetry.kql.sql.generator import Generator, writes
from forebay.telemetry.kql.sql.literals import literal
from forebay.telemetry.kql.sql.relations import hoistable, numbered, used
from forebay.telemetry.kql.sql.select import Select, Slot


@writes(bound.Summarize)
def _summarize(generator: Generator, relation: bound.Summarize) -> Select:
    select = generator.select(relation.source)
    uses = {each for expression in (*relation.keys, *relation.aggregates) for each in used(expression)}
    is_mergeable = select.is_plain and all(select.slots[each].is_name for each in uses)
    if select.order and not is_mergeable and relation.aggregates:
        select = numbered(generator, select)
    elif not is_mergeable:
        select = select.nested()
    select = hoistable(generator, select, [*relation.keys, *relation.aggregates])
    writer = generator.writer(select, order=f" ORDER BY {', '.join(select.order)}" if select.order else "")
    slots: dict[int, Slot] = {}
    for column, key in zip(relation.columns, relation.keys, strict=False):
        slots[column.id] = Slot(_key(writer, key), column.type != "string", is_name=False)
    for column, call in zip(relation.columns[len(relation.keys) :], relation.aggregates, strict=True):
        argument = writer.argument(call)
        slots[column.id] = Slot(argument.bare, argument.is_nullable, is_name=False)
    select.columns, select.slots = relation.columns, _percentiles_together(slots)
    select.keys = [slots[column.id].sql for column in relation.columns[: len(relation.keys)]]
    select.order = []
    return select


_PERCENTILE = re.compile(r"quantile_disc\((.+), ([0-9.]+)\)", re.DOTALL)


def _percentiles_together(slots: dict[int, Slot]) -> dict[int, Slot]:
    """The same, several percentiles of one value as elements of one list, for which DuckDB orders the values once."""
    found: dict[str, list[tuple[int, str]]] = {}
    for column, slot in slots.items():
        percentile = _PERCENTILE.fullmatch(slot.sql)
        if percentile is not None:
            found.setdefault(percentile[1], []).append((column, percentile[2]))
    for value, places in found.items():
        if len(places) > 1:
            fractions = ", ".join(fraction for _, fraction in places)
            for index, (column, _) in enumerate(places, 1):
                slots[column] = Slot(f"quantile_disc({value}, [{fractions}])[{index}]", slots[column].is_nullable, is_name=False)
    return slots


def _key(writer: ExpressionWriter, key: bound.Expr) -> str:
    """What to group by: a number alone would be the place of an output."""
    return literal(key.type, key.value, is_typed=True) if isinstance(key, bound.Constant) else writer.value(key)
