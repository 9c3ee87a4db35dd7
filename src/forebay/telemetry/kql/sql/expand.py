"""`Expand` and `TakeEach`."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.parts import used
from forebay.telemetry.kql.sql.generator import Generator, writes
from forebay.telemetry.kql.sql.select import Select, Slot

_ENTRY = '"$entry"'  # a key and a value in a lambda: no column is called so


def _elements(value: str, *, is_array: bool) -> str:
    """The SQL of a list of JSON."""
    made = "json_array" if is_array else "json_object"
    entries = f"list_transform(list_zip(json_keys({value}), {value} -> '$.*'), lambda {_ENTRY}: {made}({_ENTRY}[1], {_ENTRY}[2]))"
    return f"coalesce(from_json({value}, '[\"JSON\"]'), CASE WHEN json_type({value}) = 'OBJECT' THEN {entries} ELSE [{value}] END)"


_ROW = bound.Column(-1, "row", "long", is_nullable=False)
_PLACE = bound.Column(-2, "place", "long", is_nullable=False)


@writes(bound.Expand)
def _expand(generator: Generator, relation: bound.Expand) -> Select:
    # three queries, from the inside out: the values, their lists, and a row for each element
    read = used(relation.limit)
    passed = [column for column in relation.source.columns if column in relation.columns or column.id in read]
    outputs = (*(bound.ColumnRef(column.type, column) for column in passed), *relation.values)
    below = generator.select(bound.Compute((*passed, *relation.elements), relation.source, outputs))
    select = below.nested()
    limit = "" if relation.limit is None else f"[:greatest({generator.writer(select).value(relation.limit)}, 0)]"
    lists: list[str] = []
    for element in relation.elements:
        elements = f"{_elements(select.slots[element.id].sql, is_array=relation.is_array)}{limit}"
        lists.append(select.hoisted.setdefault(elements, generator.hoisted_name()))
        select.slots[element.id] = Slot(f"unnest({lists[-1]})", True, is_name=False)
    lengths = ", ".join(f"len({name})" for name in lists)
    place = Slot(f"unnest(range({lengths if len(lists) == 1 else f'greatest({lengths})'}))", False, is_name=False)
    row = Slot(generator.hoisted_name(), False)
    select.columns = relation.columns
    if below.order:
        select.columns = (*relation.columns, _ROW, _PLACE)
        select.slots |= {_ROW.id: row, _PLACE.id: place}
    if relation.index is not None:
        select.slots[relation.index.id] = place
    if relation.row is not None:
        select.slots[relation.row.id] = row
    if below.order or relation.row in relation.columns:
        select.hoisted["row_number() OVER ()"] = row.sql
    expanded = select.nested()
    if below.order:
        expanded.order = [expanded.slots[_ROW.id].sql, expanded.slots[_PLACE.id].sql]
        expanded.columns = relation.columns
    return expanded


@writes(bound.TakeEach)
def _take_each(generator: Generator, relation: bound.TakeEach) -> Select:
    select = generator.select(relation.source).nested()
    writer = generator.writer(select)
    keys = ", ".join(writer.order_by(relation.keys))
    order = f" ORDER BY {keys}" if keys else ""
    group = select.slots[relation.group.id].sql
    name = generator.hoisted_name()
    select.hoisted[f"row_number() OVER (PARTITION BY {group}{order})"] = name
    select.where.append(f"{name} <= {writer.value(relation.count)}")
    return select
