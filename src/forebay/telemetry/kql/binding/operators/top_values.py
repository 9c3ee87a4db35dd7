"""`top-nested`, `top-hitters` and `sample-distinct`: the values of a column that there are most of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from forebay.telemetry.kql.binding import bound, naming
from forebay.telemetry.kql.binding.binder import OPERATORS, Binder, binds
from forebay.telemetry.kql.binding.environment import Environment, TableBinding
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.operators.rows import bind_count
from forebay.telemetry.kql.binding.operators.summarize import check_keys, summarize
from forebay.telemetry.kql.binding.outputs import Output, bind_output
from forebay.telemetry.kql.binding.parts import children
from forebay.telemetry.kql.functions.function import Function, parse_signature
from forebay.telemetry.kql.syntax import nodes

# values as one key, in which nulls are the same
_KEY = Function(
    "key", "scalar", "key(values: any...) -> long", parse_signature("key(values: any...)")[1], "long", "row({values})", "", nulls="never"
)

LEVEL_LIMIT = 20  # of `top-nested`


class _Level(Struct, frozen=True):
    """A level of `top-nested`, and the names of its columns."""

    node: nodes.TopNestedLevel
    key: str
    aggregate: str


@binds(nodes.TopNested)
def _top_nested(binder: Binder, node: nodes.TopNested, source: bound.Relation, environment: Environment) -> bound.Relation:
    return _TopNested(binder, node, source, environment).relation()


class _TopNested:
    """Levels are grouped one by one, each by its key and those of the levels above; the best of each are joined to the best above."""

    def __init__(self, binder: Binder, node: nodes.TopNested, source: bound.Relation, environment: Environment) -> None:
        self._binder = binder
        self._environment = environment
        self._node = node
        self._source: TableBinding = binder.share("top_nested", source, is_materialized=not _is_repeatable(source))
        self._levels: list[_Level] = []
        if len(node.levels) > LEVEL_LIMIT:
            raise error(node, "too_complex", f"expected at most {LEVEL_LIMIT} levels, got {len(node.levels)}")
        for level in node.levels:
            self._levels.append(self._level(level))

    def _level(self, node: nodes.TopNestedLevel) -> _Level:
        taken = [name for level in self._levels for name in (level.key, level.aggregate)]
        key = naming.unique(naming.result_name(node.key) or naming.unnamed(taken), taken)
        if isinstance(node.aggregate, nodes.Named):
            if node.aggregate.names[0] in (*taken, key):
                raise error(node.aggregate, "type", f"a column with the name {node.aggregate.names[0][:100]!r} is already declared")
            return _Level(node, key, node.aggregate.names[0])
        return _Level(node, key, naming.unique(f"aggregated_{naming.result_name(node.key) or ''}", [*taken, key]))

    def relation(self) -> bound.Relation:
        """All levels, and the rows of what is not among the best where the query wants them."""
        best: list[bound.Relation] = []
        for depth in range(len(self._levels)):
            best.append(self._best(depth, best[-1] if best else None))
        best[-1] = self._in_order(best[-1])
        wanted = [depth for depth in range(len(self._levels)) if any(level.node.others is not None for level in self._levels[depth:])]
        if not wanted:
            return best[-1]
        kept = best[-1]
        parts = [self._others(depth, best) for depth in wanted]
        columns = tuple(self._binder.column(column.name, column.type) for column in kept.columns)
        return bound.Concat(columns, (kept, *(source for source, _ in parts)), (_refs(kept.columns), *(outputs for _, outputs in parts)))

    def _in_order(self, best: bound.Relation) -> bound.Relation:
        """Level by level, the best first."""
        keys: list[bound.SortKey] = []
        for level, (key, aggregate) in zip(self._levels, _pairs(best.columns), strict=True):
            is_descending = level.node.direction != "asc"
            keys.append(bound.SortKey(bound.ColumnRef(aggregate.type, aggregate), is_descending, not is_descending))
            keys.append(bound.SortKey(bound.ColumnRef(key.type, key), is_descending=True, is_nulls_first=False))
        return bound.Sort(best.columns, best, tuple(keys))

    def _best(self, depth: int, above: bound.Relation | None) -> bound.Relation:
        """The values of a level that are kept, with those of the levels above, and the aggregates of all."""
        level = self._levels[depth]
        source = self._binder.read(self._source, self._node)
        groups = self._grouped(source, source.columns, self._keys(source, depth), [level])
        *keys, aggregate = groups.columns
        if level.node.count is not None:
            count = bind_count(self._binder, level.node.count, self._environment, "top-nested")
            groups = self._first(groups, keys[:-1], aggregate, count, is_descending=level.node.direction != "asc")
        if above is None:
            return groups
        return self._below(above, groups, keys[:-1], [keys[-1], aggregate])

    def _keys(self, source: bound.Relation, depth: int) -> list[Output]:
        """The keys of the levels up to `depth`."""
        expressions = ExpressionBinder(self._binder, self._environment, source.columns)
        found = []
        for level in self._levels[: depth + 1]:
            (output,) = bind_output(expressions, level.node.key)
            found.append(Output(level.key, False, output.expression, level.node.key))
        check_keys(found)
        return found

    def _grouped(
        self, source: bound.Relation, columns: Sequence[bound.Column], keys: Sequence[Output], levels: Sequence[_Level]
    ) -> bound.Relation:
        """The groups of these keys, with the aggregates of these levels over these columns."""
        aggregated: list[tuple[bound.Column, bound.AggregateCall]] = []
        over = ExpressionBinder(self._binder, self._environment, columns, aggregates=aggregated)
        outputs = []
        for level in levels:
            (output,) = bind_output(over, level.node.aggregate)
            outputs.append(Output(level.aggregate, False, output.expression, level.node))
        names = [(str(each.name), each.expression) for each in (*keys, *outputs)]
        return summarize(self._binder, source, names, len(keys), aggregated, [*keys, *outputs])

    def _first(
        self, groups: bound.Relation, above: Sequence[bound.Column], aggregate: bound.Column, count: bound.Expr, *, is_descending: bool
    ) -> bound.Relation:
        """The first groups of each of those above."""
        keys = (bound.SortKey(bound.ColumnRef(aggregate.type, aggregate), is_descending, not is_descending),)
        if not above:
            return bound.Take(groups.columns, bound.Sort(groups.columns, groups, keys), count)
        group = self._binder.column("group", "long")
        within = bound.Compute((*groups.columns, group), groups, (*_refs(groups.columns), _key(above)))
        return bound.TakeEach(within.columns, within, group, keys, count)

    def _below(
        self, above: bound.Relation, rows: bound.Relation, keys: Sequence[bound.Column], kept: Sequence[bound.Column]
    ) -> bound.Relation:
        """The rows whose keys are those of a row above: its columns, and those that are kept of theirs."""
        sources = (*above.columns, *kept)
        columns = tuple(self._binder.column(column.name, column.type) for column in sources)
        return bound.Join(columns, above, rows, "inner", ((_key(above.columns[::2]), _key(keys)),), sources)

    def _others(self, depth: int, best: Sequence[bound.Relation]) -> tuple[bound.Relation, tuple[bound.Expr, ...]]:
        """The rows that belong to the best above, but not to those of this level, in one group for each above; and what is shown of it."""
        source = self._binder.read(self._source, self._node)
        made = [each.expression for each in self._keys(source, depth)]
        keys = [self._binder.column("key", each.type) for each in made]
        rows: bound.Relation = bound.Compute((*source.columns, *keys), source, (*_refs(source.columns), *made))
        rows = bound.Join(rows.columns, rows, best[depth], "leftanti", ((_key(keys), _key(best[depth].columns[::2])),), rows.columns)
        above: Sequence[bound.Expr] = [bound.Constant("long", 1)]  # one group, or none where there are no rows
        columns: Sequence[bound.Column] = source.columns
        if depth:
            rows = self._below(best[depth - 1], rows, keys[:-1], source.columns)
            above, columns = _refs(rows.columns[: 2 * depth]), rows.columns[2 * depth :]
        given = [Output(f"above_{index}", False, each, self._node) for index, each in enumerate(above)]
        shown = [level for level in self._levels[depth:] if level.node.others is not None]
        groups = self._grouped(rows, columns, given, shown)
        outputs: list[bound.Expr] = [*_refs(groups.columns[: 2 * depth])]
        aggregates = list(_refs(groups.columns[len(given) :]))
        for level, (key, aggregate) in zip(self._levels[depth:], _pairs(best[-1].columns[2 * depth :]), strict=True):
            label = self._label(level, key)
            outputs += [label or bound.Constant(key.type, None), aggregates.pop(0) if label else bound.Constant(aggregate.type, None)]
        return groups, tuple(outputs)

    def _label(self, level: _Level, key: bound.Column) -> bound.Expr | None:
        if level.node.others is None:
            return None
        return ExpressionBinder(self._binder, self._environment, ()).bind_as(level.node.others, key.type, "with others")


def _is_repeatable(relation: bound.Relation) -> bool:
    """Whether the rows are the same each time that they are read: not where some are taken of many."""
    pending = [relation]
    while pending:
        each = pending.pop()
        if isinstance(each, (bound.Take, bound.TakeEach, bound.Sample)):
            return False
        if not (isinstance(each, bound.Shared) and each.is_materialized):
            pending += children(each)
    return True


def _refs(columns: Iterable[bound.Column]) -> tuple[bound.Expr, ...]:
    return tuple(bound.ColumnRef(column.type, column) for column in columns)


def _pairs(columns: Sequence[bound.Column]) -> list[tuple[bound.Column, bound.Column]]:
    return list(zip(columns[::2], columns[1::2], strict=True))


def _key(columns: Sequence[bound.Column]) -> bound.Expr:
    return bound.Call("long", _KEY, _refs(columns))


@binds(nodes.TopHitters)
def _top_hitters(binder: Binder, node: nodes.TopHitters, source: bound.Relation, environment: Environment) -> bound.Relation:
    """Exact where Kusto approximates."""
    name = "sum" if node.weight is not None else "count"
    weights = () if node.weight is None else (node.weight,)
    of = naming.result_name(node.weight if node.weight is not None else node.key) or ""
    groups = nodes.Summarize(
        node.start,
        node.end,
        (nodes.Named(node.start, node.end, (f"approximate_{name}_{of}",), nodes.Call(node.start, node.end, name, weights)),),
        (node.key,),
    )
    hitters = OPERATORS[nodes.Summarize](binder, groups, source, environment)
    column = hitters.columns[-1]
    ordered = bound.Sort(hitters.columns, hitters, (bound.SortKey(bound.ColumnRef(column.type, column), True, False),))
    return bound.Take(hitters.columns, ordered, bind_count(binder, node.count, environment, "top-hitters"))


@binds(nodes.SampleDistinct)
def _sample_distinct(binder: Binder, node: nodes.SampleDistinct, source: bound.Relation, environment: Environment) -> bound.Relation:
    values = OPERATORS[nodes.Distinct](binder, nodes.Distinct(node.start, node.end, (node.key,)), source, environment)
    return bound.Take(values.columns, values, bind_count(binder, node.count, environment, "sample-distinct"))
