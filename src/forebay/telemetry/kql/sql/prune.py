"""Leaves out columns that nobody reads, before they are put together, sorted or grouped."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.parts import used


def pruned(relation: bound.Relation) -> bound.Relation:
    """The same rows with the same columns; below, only what they need."""
    return _pruned(relation, frozenset(column.id for column in relation.columns))


def _pruned(relation: bound.Relation, needed: frozenset[int]) -> bound.Relation:
    if isinstance(relation, bound.Filter):
        source = _pruned(relation.source, needed | used(relation.predicate))
        return bound.Filter(source.columns, source, relation.predicate)
    if isinstance(relation, bound.Sort):
        source = _pruned(relation.source, needed | used(*(key.expression for key in relation.keys)))
        return bound.Sort(source.columns, source, relation.keys)
    if isinstance(relation, (bound.Take, bound.Sample)):
        source = _pruned(relation.source, needed)
        return type(relation)(source.columns, source, relation.count)
    if isinstance(relation, bound.Serialize):
        source = _pruned(relation.source, needed)
        return bound.Serialize(source.columns, source)
    if isinstance(relation, bound.Compute):
        kept = [index for index, column in enumerate(relation.columns) if column.id in needed]
        outputs = tuple(relation.outputs[index] for index in kept)
        source = _pruned(relation.source, frozenset(used(*outputs)))
        return bound.Compute(tuple(relation.columns[index] for index in kept), source, outputs)
    if isinstance(relation, bound.Summarize):
        return _pruned_groups(relation, needed)
    if isinstance(relation, bound.Concat):
        return _pruned_concat(relation, needed)
    if isinstance(relation, bound.Join):
        return _pruned_join(relation, needed)
    if isinstance(relation, bound.Expand):
        return _pruned_elements(relation, needed)
    if isinstance(relation, bound.MakeSeries):
        return _pruned_series(relation, needed)
    if isinstance(relation, bound.TakeEach):
        below = needed.union({relation.group.id}, used(*(key.expression for key in relation.keys)))
        source = _pruned(relation.source, below)
        return bound.TakeEach(source.columns, source, relation.group, relation.keys, relation.count)
    if isinstance(relation, bound.Parse):
        source = _pruned(relation.source, needed | used(relation.text))
        columns = (*source.columns, *relation.columns[len(relation.source.columns) :])
        return bound.Parse(columns, source, relation.text, relation.splits, relation.rest, relation.regex)
    if isinstance(relation, bound.Scan):
        return _pruned_scan(relation, needed)
    if isinstance(relation, bound.Table):
        return bound.Table(tuple(column for column in relation.columns if column.id in needed), relation.table)
    return relation


def _pruned_scan(relation: bound.Scan, needed: frozenset[int]) -> bound.Relation:
    below = needed.union({state.origin.id for state in relation.states}, used(*(key.expression for key in relation.keys)))
    for step in relation.steps:
        below = below | used(step.condition, *step.assignments)
    if relation.group is not None:
        below |= {relation.group.id}
    source = _pruned(relation.source, below)
    columns = (*source.columns, *relation.columns[len(relation.source.columns) :])
    return bound.Scan(columns, source, relation.steps, relation.states, relation.defaults, relation.group, relation.keys)


def _pruned_groups(relation: bound.Summarize, needed: frozenset[int]) -> bound.Relation:
    keys = len(relation.keys)
    kept = [index for index in range(len(relation.aggregates)) if relation.columns[keys + index].id in needed]
    if not kept and not keys:
        kept = [0]  # it is one row all the same
    aggregates = tuple(relation.aggregates[index] for index in kept)
    source = _pruned(relation.source, frozenset(used(*relation.keys, *aggregates)))
    columns = (*relation.columns[:keys], *(relation.columns[keys + index] for index in kept))
    return bound.Summarize(columns, source, relation.keys, aggregates)


def _pruned_concat(relation: bound.Concat, needed: frozenset[int]) -> bound.Relation:
    kept = [index for index, column in enumerate(relation.columns) if column.id in needed]
    outputs = tuple(tuple(each[index] for index in kept) for each in relation.outputs)
    sources = tuple(_pruned(source, frozenset(used(*output))) for source, output in zip(relation.sources, outputs, strict=True))
    return bound.Concat(tuple(relation.columns[index] for index in kept), sources, outputs)


def _pruned_join(relation: bound.Join, needed: frozenset[int]) -> bound.Relation:
    kept = [index for index, column in enumerate(relation.columns) if column.id in needed]
    sources = tuple(relation.sources[index] for index in kept)
    below = frozenset(column.id for column in sources)
    left = _pruned(relation.left, below | used(*(key for key, _ in relation.keys)))
    right = _pruned(relation.right, below | used(*(key for _, key in relation.keys)))
    return bound.Join(tuple(relation.columns[index] for index in kept), left, right, relation.kind, relation.keys, sources)


def _pruned_elements(relation: bound.Expand, needed: frozenset[int]) -> bound.Relation:
    elements = {column.id for column in relation.elements}  # each of them makes rows
    source = _pruned(relation.source, needed | used(relation.limit, *relation.values))
    return bound.Expand(
        tuple(column for column in relation.columns if column.id in needed or column.id in elements),
        source,
        relation.values,
        relation.elements,
        relation.is_array,
        relation.limit,
        relation.index,
        relation.row,
    )


def _pruned_series(relation: bound.MakeSeries, needed: frozenset[int]) -> bound.Relation:
    keys = len(relation.keys)
    kept = [index for index in range(len(relation.values)) if relation.columns[keys + index].id in needed]
    values = tuple(relation.values[index] for index in kept)
    source = _pruned(relation.source, frozenset(column.id for column in (*relation.keys, relation.place, *values)))
    return bound.MakeSeries(
        (*relation.columns[:keys], *(relation.columns[keys + index] for index in kept), relation.columns[-1]),
        source,
        relation.keys,
        relation.place,
        values,
        tuple(relation.defaults[index] for index in kept),
        relation.origin,
        relation.step,
        relation.first,
        relation.end,
        relation.is_never_empty,
    )
