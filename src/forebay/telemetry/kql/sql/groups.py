"""`Summarize`."""

from __future__ import annotations

import re

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.parts import used
from forebay.telemetry.kql.sql.expressions import ExpressionWriter
from forebay.telemetry.kql.sql.generator import Generator, writes
from forebay.telemetry.kql.sql.literals import literal
from forebay.telemetry.kql.sql.relations import hoistable, numbered
from forebay.telemetry.kql.sql.select import Select, Slot


@writes(bound.Summarize)
def _summarize(generator: Generator, relation: bound.Summarize) -> Select:
    select = generator.select(relation.source)
    uses = used(*relation.keys, *relation.aggregates)
    is_mergeable = select.is_plain and all(select.slots[each].is_name for each in uses)
    if select.order and not is_mergeable and relation.aggregates:
        select = numbered(generator, select)
    elif not is_mergeable:
        select = select.nested()
    select = hoistable(generator, select, [*relation.keys, *relation.aggregates])
    extreme = _extreme(relation) if select.has_rowid else None
    rows = None if extreme is None else _rows_of_extremes(generator, relation, select, extreme)
    if rows is not None:
        return rows
    writer = generator.writer(select, order=f" ORDER BY {', '.join(select.order)}" if select.order else "")
    slots: dict[int, Slot] = {}
    for column, key in zip(relation.columns, relation.keys, strict=False):
        slots[column.id] = Slot(_key(writer, key), column.type != "string", is_name=False)
    for column, call in zip(relation.columns[len(relation.keys) :], relation.aggregates, strict=True):
        argument = writer.argument(call)
        slots[column.id] = Slot(argument.bare, argument.is_nullable, is_name=False)
    select.columns, select.slots = relation.columns, _percentiles_together(slots)
    select.keys = [writer.key(key) or slots[column.id].sql for column, key in zip(relation.columns, relation.keys, strict=False)]
    select.order = []
    return select


def _extreme(relation: bound.Summarize) -> tuple[str, bound.ColumnRef] | None:
    """`arg_max` or `arg_min` and its column, where all aggregates are values of the row in which that is greatest, or least."""
    if not relation.keys or not relation.aggregates:
        return None
    name, by = relation.aggregates[0].function.name, relation.aggregates[0].arguments[:1]
    if name not in ("arg_max", "arg_min") or not isinstance(by[0], bound.ColumnRef):
        return None
    return (name, by[0]) if all(each.function.name == name and each.arguments[:1] == by for each in relation.aggregates) else None


def _rows_of_extremes(
    generator: Generator, relation: bound.Summarize, select: Select, extreme: tuple[str, bound.ColumnRef]
) -> Select | None:
    """The rows themselves, found by their number. None where the keys are not the same when they are computed again."""
    writer = generator.writer(select)
    keys = [_key(writer, key) for key in relation.keys]
    if any("random()" in key or "uuid()" in key for key in keys):
        return None
    name, column = extreme
    by = writer.argument(column)
    found = f"{name}(rowid, {by})"
    if by.is_nullable and by.type != "string":
        # not DuckDB's `arg_max_nulls_last`: it loses values where one of its threads has seen nothing but nulls
        found = f"coalesce({found}, first(rowid))"
    slots = {each.id: Slot(key, each.type != "string", is_name=False) for each, key in zip(relation.columns, keys, strict=False)}
    for each, (_, value) in zip(relation.columns[len(keys) :], (call.arguments for call in relation.aggregates), strict=True):
        slots[each.id] = writer.slot(value if value is not None else column)
    select.keep("\n".join([f"SELECT {found}", *select.from_where(), f"GROUP BY {', '.join(keys)}"]))
    select.columns, select.slots, select.order = relation.columns, slots, []
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
