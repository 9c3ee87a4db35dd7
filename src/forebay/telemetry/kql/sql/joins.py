"""`Join` and `Concat`."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.sql.expressions import ExpressionWriter
from forebay.telemetry.kql.sql.generator import Generator, writes
from forebay.telemetry.kql.sql.select import Select, Slot
from forebay.telemetry.kql.types import DUCKDB_TYPES

_JOINS: dict[bound.JoinKind, str] = {
    "innerunique": "JOIN",
    "inner": "JOIN",
    "leftouter": "LEFT JOIN",
    "rightouter": "RIGHT JOIN",
    "fullouter": "FULL JOIN",
    "leftsemi": "SEMI JOIN",
    "rightsemi": "SEMI JOIN",
    "leftanti": "ANTI JOIN",
    "rightanti": "ANTI JOIN",
}
_LEFT_MAY_MISS = frozenset({"rightouter", "fullouter"})
_RIGHT_MAY_MISS = frozenset({"leftouter", "fullouter"})


@writes(bound.Join)
def _join(generator: Generator, relation: bound.Join) -> Select:
    left, left_keys = _with_keys(relation.left, [key for key, _ in relation.keys], -1)
    right, right_keys = _with_keys(relation.right, [key for _, key in relation.keys], -1 - len(relation.keys))
    sides = [(left, "l"), (right, "r")]
    sources: list[str] = []
    slots: dict[int, Slot] = {}
    for side, name in sides:
        select = generator.select(side)
        if name == "l" and relation.kind == "innerunique":
            select = _unique(generator, select, left_keys)
        source, aliases = select.as_source()
        sources.append(f"{source} AS {name}")
        for column in side.columns:
            slots[column.id] = Slot(f"{name}.{aliases[column.id]}", select.slots[column.id].is_nullable)
    writer = ExpressionWriter(generator, slots, {})
    on = " AND ".join(f"{writer.value(left)} = {writer.value(right)}" for left, right in zip(left_keys, right_keys, strict=True))
    if relation.kind in ("rightsemi", "rightanti"):
        sources.reverse()
    of_left = {column.id for column in left.columns}
    outputs: dict[int, Slot] = {}
    for column, source_column in zip(relation.columns, relation.sources, strict=True):
        slot = slots[source_column.id]
        misses = relation.kind in (_LEFT_MAY_MISS if source_column.id in of_left else _RIGHT_MAY_MISS)
        outputs[column.id] = Slot(slot.sql, slot.is_nullable or misses)
    return Select(f"{sources[0]}\n{_JOINS[relation.kind]} {sources[1]} ON {on}", relation.columns, outputs, can_hoist=False)


def _with_keys(side: bound.Relation, keys: list[bound.Expr], number: int) -> tuple[bound.Relation, list[bound.Expr]]:
    """A side of a join with a column for each key that has to be computed, and the keys; columns are numbered down from `number`."""
    made = {index: key for index, key in enumerate(keys) if not isinstance(key, bound.ColumnRef)}
    if not made:
        return side, keys
    columns = {index: bound.Column(number - index, "key", key.type) for index, key in made.items()}
    passed = [bound.ColumnRef(column.type, column) for column in side.columns]
    computed = bound.Compute((*side.columns, *columns.values()), side, (*passed, *made.values()))
    return computed, [bound.ColumnRef(key.type, columns[index]) if index in made else key for index, key in enumerate(keys)]


def _unique(generator: Generator, select: Select, keys: list[bound.Expr]) -> Select:
    """One row of each key."""
    if not select.is_plain or select.order:
        select = select.nested()
    writer = generator.writer(select)
    select.qualify = f"DISTINCT ON ({', '.join(writer.value(key) for key in keys)}) "
    return select


@writes(bound.Concat)
def _concat(generator: Generator, relation: bound.Concat) -> Select:
    aliases: dict[int, str] = {}
    parts: list[str] = []
    nullable: set[int] = set()
    for source, outputs in zip(relation.sources, relation.outputs, strict=True):
        select = generator.select(bound.Compute(relation.columns, source, outputs))
        for index, column in enumerate(relation.columns):
            slot, output = select.slots[column.id], outputs[index]
            if slot.is_nullable:
                nullable.add(column.id)
            if isinstance(output, bound.Constant) and output.value is not None and column.type not in ("string", "bool", "datetime"):
                select.slots[column.id] = Slot(f"{slot.sql}::{DUCKDB_TYPES[column.type]}", slot.is_nullable, is_name=False)
        text = select.text()
        parts.append(f"({text})" if select.order or select.limit is not None else text)
        aliases = aliases or select.aliases()
    joined = "\nUNION ALL\n".join(parts)
    slots = {column.id: Slot(aliases[column.id], column.id in nullable) for column in relation.columns}
    return Select(f"(\n{joined}\n)", relation.columns, slots)
