"""The model of KQL: interprets a bound query row by row, slowly and plainly, after Kusto's documentation and not after our SQL."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.kql import windows
from tests.kql.aggregates import AGGREGATES
from tests.kql.scalars import SCALARS
from tests.kql.values import AnyOrder, Undefined, are_same, is_nan, key_of, parse_json, ticks_of

from forebay.telemetry.kql.binding import bound

Row = dict[int, Any]  # values by the id of their column


class AnyNumber(int):
    """The number of a row among rows in no order."""


class Rows(NamedTuple):
    """Rows; where they have an order, each with its rank, equal ones of which may come in any order."""

    rows: list[Row]
    ranks: list[int] | None = None

    @property
    def has_order(self) -> bool:
        """Whether there is but one order in which they may come."""
        return len(self.rows) <= 1 or (self.ranks is not None and len(set(self.ranks)) == len(self.rows))


class Interpreter:
    """Interprets relations over tables, given by name: their rows, with values in the order of the columns."""

    def __init__(self, tables: Mapping[str, Sequence[Sequence[Any]]], now: Any) -> None:
        self.tables = tables
        self.now = ticks_of(now.replace(tzinfo=None))

    # expressions

    def value(self, expression: bound.Expr, row: Row) -> Any:
        match expression:
            case bound.Constant():
                return _constant(expression)
            case bound.ColumnRef():
                return row[expression.column.id]
            case bound.Widen():
                found = self.value(expression.operand, row)
                return found if found is None or expression.type != "real" else float(found)
            case bound.Call():
                kinds, values = self.arguments(expression.arguments, row)
                return self._in_type(expression.type, SCALARS[expression.function.name](kinds, values))
            case bound.ScalarQuery():
                return self._first(expression)
            case bound.InQuery():
                return self._in_query(expression, row)
            case bound.Parameter(name="now"):
                return self.now
        raise NotImplementedError(type(expression).__name__)

    def arguments(self, arguments: Sequence[bound.Expr | None], row: Row) -> tuple[list[Any], list[Any]]:
        """Types and values; None, both, for what was left out."""
        kinds = [None if each is None else each.type for each in arguments]
        return kinds, [None if each is None else self.value(each, row) for each in arguments]

    def _in_type(self, kind: str, value: Any) -> Any:
        if kind == "string" and value is None:
            return ""
        if kind == "real" and isinstance(value, int):
            return float(value)
        if isinstance(value, float) and math.isinf(value) and kind == "dynamic":
            raise Undefined("infinity as a dynamic value")
        return value

    def _first(self, expression: bound.ScalarQuery) -> Any:
        found = self.relation(expression.relation)
        if not found.rows:
            return "" if expression.type == "string" else None
        column = expression.relation.columns[0].id
        least = None if found.ranks is None else min(found.ranks)
        firsts = [row[column] for place, row in enumerate(found.rows) if found.ranks is None or found.ranks[place] == least]
        if not all(are_same(firsts[0], each) for each in firsts):
            raise Undefined("the first of rows in no order")
        return firsts[0]

    def _in_query(self, expression: bound.InQuery, row: Row) -> bool:
        operand = self.value(expression.operand, row)
        column = expression.relation.columns[0].id
        values = [each[column] for each in self.relation(expression.relation).rows]
        if operand is None or is_nan(operand) or isinstance(operand, (list, dict)):
            raise Undefined("null, NaN or a dynamic value in a table")
        if expression.is_caseless:
            operand, values = operand.lower(), [each.lower() for each in values]
        return (operand in [each for each in values if each is not None]) is not expression.is_negated

    # relations

    def relation(self, relation: bound.Relation) -> Rows:
        return _METHODS[type(relation)](self, relation)

    def _table(self, relation: bound.Table) -> Rows:
        ids = [column.id for column in relation.columns]
        return Rows([dict(zip(ids, row, strict=True)) for row in self.tables[relation.table.name]])

    def _rows(self, relation: bound.Rows) -> Rows:
        if not relation.columns:
            return Rows([{}])
        rows = [
            {column.id: _constant(bound.Constant(column.type, value)) for column, value in zip(relation.columns, row, strict=True)}
            for row in relation.rows
        ]
        return Rows(rows, list(range(len(rows))))

    def _range(self, relation: bound.RangeRows) -> Rows:
        first, last, step = (self.value(each, {}) for each in (relation.first, relation.last, relation.step))
        if first is None or last is None or step is None or not step or relation.columns[0].type == "real":
            raise Undefined("a range of nothing")
        count = max((last - first) // step + 1, 0)
        return Rows([{relation.columns[0].id: first + place * step} for place in range(count)], list(range(count)))

    def _filter(self, relation: bound.Filter) -> Rows:
        source = self.relation(relation.source)
        kept = [place for place, row in enumerate(source.rows) if self.value(relation.predicate, row) is True]
        return _picked(source, kept)

    def _compute(self, relation: bound.Compute) -> Rows:
        source = self.relation(relation.source)
        rows: list[Row] = [{} for _ in source.rows]
        for column, output in zip(relation.columns, relation.outputs, strict=True):
            for row, value in zip(rows, self._values(output, source), strict=True):
                row[column.id] = value
        return Rows(rows, source.ranks)

    def _values(self, output: bound.Expr, source: Rows) -> list[Any]:
        if not isinstance(output, bound.WindowCall):
            return [self.value(output, row) for row in source.rows]
        if not source.has_order:
            raise Undefined("neighbours of rows in no order")
        of_rows = [self.arguments(output.arguments, row)[1] for row in source.rows]
        return windows.values(output.function.name, output.type, of_rows)

    def _summarize(self, relation: bound.Summarize) -> Rows:
        source = self.relation(relation.source)
        groups: dict[Any, tuple[list[Any], list[Row]]] = {}
        for row in source.rows:
            keys = [self.value(key, row) for key in relation.keys]
            if any(isinstance(each, (list, dict)) for each in keys):
                raise Undefined("when dynamic values are the same")
            groups.setdefault(tuple(map(_typed_key, keys)), (keys, []))[1].append(row)
        if not groups and not relation.keys:
            groups[()] = ([], [])
        made = []
        for keys, rows in groups.values():
            values = [*keys, *(self._aggregate(call, rows, is_ordered=source.has_order) for call in relation.aggregates)]
            made.append({column.id: value for column, value in zip(relation.columns, values, strict=True)})
        return Rows(made)

    def _aggregate(self, call: bound.AggregateCall, rows: list[Row], *, is_ordered: bool) -> Any:
        kinds = [each.type for each in call.arguments if each is not None]
        values = [tuple(self.value(each, row) for each in call.arguments if each is not None) for row in rows]
        return AGGREGATES[call.function.name](kinds, values, is_ordered or len(rows) <= 1)

    def _sort(self, relation: bound.Sort) -> Rows:
        """https://learn.microsoft.com/kusto/query/sort-operator: NaN stands beside null, on the side of the numbers."""
        source = self.relation(relation.source)
        keys = [[self.value(key.expression, row) for key in relation.keys] for row in source.rows]
        places = list(range(len(source.rows)))
        for index, key in reversed(list(enumerate(relation.keys))):
            places.sort(key=lambda place: _comparable(keys[place][index]), reverse=key.is_descending)
            places.sort(key=lambda place: _rank_of_null(keys[place][index], is_first=key.is_nulls_first))
        ranks: list[int] = []
        for place, before in zip(places, [None, *places], strict=False):
            is_new = before is None or [_typed_key(each) for each in keys[place]] != [_typed_key(each) for each in keys[before]]
            ranks.append((ranks[-1] if ranks else 0) + is_new)
        is_any = any(isinstance(each, AnyNumber) for values in keys for each in values)
        return Rows([source.rows[place] for place in places], None if is_any else ranks)

    def _serialize(self, relation: bound.Serialize) -> Rows:
        return self.relation(relation.source)

    def _take(self, relation: bound.Take) -> Rows:
        source, count = self.relation(relation.source), self.value(relation.count, {})
        if count is None or count < 0:
            raise Undefined("so many rows")
        if count >= len(source.rows):
            return source
        if count and (source.ranks is None or source.ranks[count - 1] == source.ranks[count]):
            raise Undefined("any of the rows")
        return _picked(source, list(range(count)))

    def _join(self, relation: bound.Join) -> Rows:
        """https://learn.microsoft.com/kusto/query/join-operator: null is not equal to null."""
        left, right = self.relation(relation.left).rows, self.relation(relation.right).rows
        left_keys = [self._join_key([key for key, _ in relation.keys], row) for row in left]
        right_keys = [self._join_key([key for _, key in relation.keys], row) for row in right]
        if relation.kind == "innerunique":
            left, left_keys = _unique(left, left_keys)
        pairs = [(i, j) for i, key in enumerate(left_keys) for j, other in enumerate(right_keys) if key == other and None not in key]
        met = ({i for i, _ in pairs}, {j for _, j in pairs})
        nothing = [
            {column.id: "" if column.type == "string" else None for column in side.columns} for side in (relation.left, relation.right)
        ]
        only_left = [{**row, **nothing[1]} for i, row in enumerate(left) if i not in met[0]]
        only_right = [{**nothing[0], **row} for j, row in enumerate(right) if j not in met[1]]
        both = [{**left[i], **right[j]} for i, j in pairs]
        found = {
            "innerunique": both,
            "inner": both,
            "leftouter": both + only_left,
            "rightouter": both + only_right,
            "fullouter": both + only_left + only_right,
            "leftsemi": [row for i, row in enumerate(left) if i in met[0]],
            "leftanti": [row for i, row in enumerate(left) if i not in met[0]],
            "rightsemi": [row for j, row in enumerate(right) if j in met[1]],
            "rightanti": [row for j, row in enumerate(right) if j not in met[1]],
        }[relation.kind]
        return Rows(
            [{column.id: row[source.id] for column, source in zip(relation.columns, relation.sources, strict=True)} for row in found]
        )

    def _join_key(self, keys: list[bound.Expr], row: Row) -> tuple[Any, ...]:
        values = [self.value(key, row) for key in keys]
        if any(is_nan(each) or isinstance(each, (list, dict)) for each in values):
            raise Undefined("to join by NaN or dynamic values")
        return tuple(None if each is None else key_of(each) for each in values)

    def _concat(self, relation: bound.Concat) -> Rows:
        rows: list[Row] = []
        for source, outputs in zip(relation.sources, relation.outputs, strict=True):
            found = self.relation(source).rows
            rows += [{column.id: self.value(each, row) for column, each in zip(relation.columns, outputs, strict=True)} for row in found]
        return Rows(rows)

    def _shared(self, relation: bound.Shared) -> Rows:
        source = self.relation(relation.relation)
        ids = {inner.id: outer.id for inner, outer in zip(relation.relation.columns, relation.columns, strict=True)}
        return Rows([{outer: row[inner] for inner, outer in ids.items()} for row in source.rows], source.ranks)

    def _expand(self, relation: bound.Expand) -> Rows:
        """https://learn.microsoft.com/kusto/query/mv-expand-operator."""
        source = self.relation(relation.source)
        limit = None if relation.limit is None else self.value(relation.limit, {})
        rows: list[Row] = []
        ranks: list[int] = []
        for number, row in enumerate(source.rows):
            lists = [self._elements(self.value(each, row), relation.is_array)[:limit] for each in relation.values]
            for place in range(max(map(len, lists))):
                made = {**row}
                for column, elements in zip(relation.elements, lists, strict=True):
                    made[column.id] = elements[place] if place < len(elements) else None
                if relation.index is not None:
                    made[relation.index.id] = place
                if relation.row is not None:
                    made[relation.row.id] = number if source.has_order else AnyNumber(number)
                rows.append(made)
                ranks.append(len(ranks) if source.has_order else 0)
        return Rows(rows, ranks if source.has_order and source.ranks is not None else None)

    def _take_each(self, relation: bound.TakeEach) -> Rows:
        source = self.relation(bound.Sort(relation.source.columns, relation.source, relation.keys))
        count = self.value(relation.count, {})
        groups: dict[Any, list[tuple[Row, int]]] = {}
        for row, rank in zip(source.rows, source.ranks or (), strict=True):
            groups.setdefault(_typed_key(row[relation.group.id]), []).append((row, rank))
        if any(0 < count < len(rows) and rows[count - 1][1] == rows[count][1] for rows in groups.values()):
            raise Undefined("any of the rows")
        return Rows([row for rows in groups.values() for row, _ in rows[:count]])

    def _elements(self, value: Any, is_array: bool) -> list[Any]:
        if isinstance(value, AnyOrder) and len(value) > 1:
            raise Undefined("the elements of an array in no order")
        if isinstance(value, dict):
            return [[key, each] if is_array else {key: each} for key, each in value.items()]
        return value if isinstance(value, list) else [value]


def _constant(expression: bound.Constant) -> Any:
    value = expression.value
    if value is None:
        return "" if expression.type == "string" else None
    if expression.type == "dynamic":
        from forebay.telemetry.kql.sql.literals import json_text

        return parse_json(json_text(value))
    if expression.type == "datetime":
        return value // 10 * 10
    if expression.type == "guid":
        return str(value).lower()
    return float(value) if expression.type == "real" else value


def _typed_key(value: Any) -> Any:
    return (type(value).__name__, key_of(value)) if isinstance(value, bool) else key_of(value)


def _comparable(value: Any) -> Any:
    return (0, 0) if value is None or is_nan(value) else (1, value)


def _rank_of_null(value: Any, *, is_first: bool) -> int:
    rank = 2 if value is None else 1 if is_nan(value) else 0
    return -rank if is_first else rank


def _picked(source: Rows, places: list[int]) -> Rows:
    return Rows([source.rows[place] for place in places], None if source.ranks is None else [source.ranks[place] for place in places])


def _unique(rows: list[Row], keys: list[tuple[Any, ...]]) -> tuple[list[Row], list[tuple[Any, ...]]]:
    """One row of each key."""
    found: dict[tuple[Any, ...], Row] = {}
    for row, key in zip(rows, keys, strict=True):
        known = found.setdefault(key, row)
        if not all(are_same(known[column], row[column]) for column in row):
            raise Undefined("any of the rows of a key")
    return list(found.values()), list(found)


_METHODS: dict[type[bound.Relation], Callable[[Any, Any], Rows]] = {
    bound.Table: Interpreter._table,
    bound.Rows: Interpreter._rows,
    bound.RangeRows: Interpreter._range,
    bound.Filter: Interpreter._filter,
    bound.Compute: Interpreter._compute,
    bound.Summarize: Interpreter._summarize,
    bound.Sort: Interpreter._sort,
    bound.Serialize: Interpreter._serialize,
    bound.Take: Interpreter._take,
    bound.Join: Interpreter._join,
    bound.Concat: Interpreter._concat,
    bound.Shared: Interpreter._shared,
    bound.Expand: Interpreter._expand,
    bound.TakeEach: Interpreter._take_each,
}
