"""Operators that work on the rows of each group by themselves, as if there were no others: the body of `mv-apply` and of `partition`.

The operators are bound as they always are. Then a column that tells the groups apart is led through them: `summarize` groups by it as well,
`take` takes some rows of each group, window functions see the rows of one, all else lets it pass. A group whose rows are all filtered away
is gone, also for a `summarize` after that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.binder import Binder
from forebay.telemetry.kql.binding.expressions import error
from forebay.telemetry.kql.binding.parts import has_window
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax import nodes

_NAMES: dict[type[bound.Relation], str] = {
    bound.Join: "join",
    bound.Concat: "union",
    bound.Sample: "sample",
    bound.Shared: "as",
    bound.Rows: "getschema",
    bound.MakeSeries: "make-series",
}


class Groups(Struct, frozen=True):
    """Rows in groups.

    `group` tells the groups apart, `place` gives the rows of one their order. The columns `passed` have one value in a group.
    """

    relation: bound.Relation
    group: bound.Column
    place: bound.Column | None
    passed: tuple[bound.Column, ...]


def partitioned(
    binder: Binder, body: bound.Relation, rows: bound.Relation, groups: Groups, node: nodes.Operator, name: str
) -> bound.Relation:
    """The body for each group: it was bound over `rows`, which are those of `groups` without the columns that the query does not see.

    The columns `group` and `passed` go through to the end. Raises `KqlError` (`unsupported`) for what cannot be done so; `name` is what the
    query calls the operator.
    """
    chain: list[bound.Relation] = []
    each: bound.Relation | None = body
    while each is not None and each is not rows:
        chain.append(each)
        each = getattr(each, "source", None)
    if each is None:
        raise _unsupported(chain[-1], node, name)
    steps = _Steps(binder, groups)
    made = groups.relation
    for each in reversed(chain):
        step = _STEPS.get(type(each))
        if step is None:
            raise _unsupported(each, node, name)
        made = step(steps, each, made)
    return steps.in_order(made)


def _unsupported(relation: bound.Relation, node: nodes.Operator, name: str) -> KqlError:
    inner = _NAMES.get(type(relation), type(relation).__name__.lower())
    return error(node, "unsupported", f"{inner} is not supported within {name}", construct=f"{name} {inner}")


class _Steps:
    """Each method answers what an operator becomes over a source whose rows are in groups."""

    def __init__(self, binder: Binder, groups: Groups) -> None:
        self._binder = binder
        self._group = groups.group
        self._passed = groups.passed
        # how the rows of a group are ordered, by columns that are led through
        self._keys: tuple[bound.SortKey, ...] = () if groups.place is None else (_ascending(groups.place),)
        self._is_sorted = False

    def _with_hidden(self, columns: tuple[bound.Column, ...]) -> tuple[bound.Column, ...]:
        ordered = [key.expression.column for key in self._keys if isinstance(key.expression, bound.ColumnRef)]
        return tuple({column.id: column for column in (*columns, self._group, *ordered, *self._passed)}.values())

    def compute(self, relation: bound.Compute | bound.ComputeEach, source: bound.Relation) -> bound.Relation:
        columns = self._with_hidden(relation.columns)
        outputs = (*relation.outputs, *_references(columns[len(relation.columns) :]))
        if isinstance(relation, bound.ComputeEach):
            return bound.ComputeEach(columns, source, outputs, relation.group, relation.keys)
        if has_window(*outputs):
            return bound.ComputeEach(columns, source, outputs, self._group, self._keys)
        return bound.Compute(columns, source, outputs)

    def filter(self, relation: bound.Filter, source: bound.Relation) -> bound.Relation:
        return bound.Filter(source.columns, source, relation.predicate)

    def serialize(self, relation: bound.Serialize, source: bound.Relation) -> bound.Relation:
        return source

    def parse(self, relation: bound.Parse, source: bound.Relation) -> bound.Relation:
        made = relation.columns[len(relation.source.columns) :]
        return bound.Parse((*source.columns, *made), source, relation.text, relation.splits, relation.rest, relation.regex)

    def scan(self, relation: bound.Scan, source: bound.Relation) -> bound.Relation:
        made = relation.columns[len(relation.source.columns) :]
        columns = (*source.columns, *made)
        return bound.Scan(columns, source, relation.steps, relation.states, relation.defaults, self._group, self._keys)

    def expand(self, relation: bound.Expand, source: bound.Relation) -> bound.Relation:
        columns = self._with_hidden(relation.columns)
        return bound.Expand(
            columns, source, relation.values, relation.elements, relation.is_array, relation.limit, relation.index, relation.row
        )

    def sort(self, relation: bound.Sort, source: bound.Relation) -> bound.Relation:
        computed: list[tuple[bound.Column, bound.Expr]] = []
        keys: list[bound.SortKey] = []
        for key in relation.keys:
            expression = key.expression
            if not isinstance(expression, bound.ColumnRef):
                computed.append((self._binder.column("key", expression.type), expression))
                expression = bound.ColumnRef(expression.type, computed[-1][0])
            keys.append(bound.SortKey(expression, key.is_descending, key.is_nulls_first))
        self._keys = (*keys, *self._keys)  # what was the order, is that of rows that are equal now
        self._is_sorted = True
        columns = (*source.columns, *(column for column, _ in computed))
        return bound.Compute(columns, source, (*_references(source.columns), *(expression for _, expression in computed)))

    def take(self, relation: bound.Take, source: bound.Relation) -> bound.Relation:
        return bound.TakeEach(source.columns, source, self._group, self._keys, relation.count)

    def take_each(self, relation: bound.TakeEach, source: bound.Relation) -> bound.Relation:
        return bound.TakeEach(source.columns, source, relation.group, relation.keys, relation.count)

    def summarize(self, relation: bound.Summarize, source: bound.Relation) -> bound.Relation:
        ordered = bound.Sort(source.columns, source, self._keys) if self._keys else source
        self._keys, self._is_sorted = (), False
        known = {column.id for column in relation.columns}
        passed = [column for column in (self._group, *self._passed) if column.id not in known]
        keys = [column for column in passed if column is self._group]
        values = [column for column in passed if column is not self._group]
        (any_value,) = registry.find("take_any_of_row")
        count = len(relation.keys)
        return bound.Summarize(
            (*relation.columns[:count], *keys, *relation.columns[count:], *values),
            ordered,
            (*relation.keys, *_references(keys)),
            (*relation.aggregates, *(bound.AggregateCall(each.type, any_value, (each,)) for each in _references(values))),
        )

    def in_order(self, relation: bound.Relation) -> bound.Relation:
        """The rows of one group after the other, where the body has sorted them."""
        if not self._is_sorted:
            return relation
        return bound.Sort(relation.columns, relation, (_ascending(self._group), *self._keys))


def _references(columns: Sequence[bound.Column]) -> tuple[bound.Expr, ...]:
    return tuple(bound.ColumnRef(column.type, column) for column in columns)


def _ascending(column: bound.Column) -> bound.SortKey:
    return bound.SortKey(bound.ColumnRef(column.type, column), is_descending=False, is_nulls_first=True)


_STEPS: dict[type[bound.Relation], Callable[[_Steps, Any, bound.Relation], bound.Relation]] = {
    bound.Compute: _Steps.compute,
    bound.ComputeEach: _Steps.compute,
    bound.Filter: _Steps.filter,
    bound.Serialize: _Steps.serialize,
    bound.Parse: _Steps.parse,
    bound.Scan: _Steps.scan,
    bound.Expand: _Steps.expand,
    bound.Sort: _Steps.sort,
    bound.Take: _Steps.take,
    bound.TakeEach: _Steps.take_each,
    bound.Summarize: _Steps.summarize,
}
