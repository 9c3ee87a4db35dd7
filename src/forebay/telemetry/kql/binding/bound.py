"""The bound tree: what a query means, with every name resolved and every type known.

Operators of KQL become few kinds of relations here: `take` after `sort` is `top`, `distinct` is a `Summarize` without aggregates,
`project`, `extend`, `project-away` and their like are all `Compute`. A relation knows its columns; a column is one by its `id`, whatever
its name.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from forebay.telemetry.kql.functions.function import Function
from forebay.telemetry.kql.types import KqlType, TableSchema


class Column(Struct, frozen=True):
    """A column of a relation. Names of one relation are unique, and case counts."""

    id: int
    name: str
    type: KqlType
    is_nullable: bool = True  # for a string: whether NULL may stand for ''
    has_nan: bool = True  # for a real: whether NaN may be among the numbers


# expressions


class Expr(Struct, frozen=True):
    """What has a value in each row."""

    type: KqlType


class Constant(Expr, frozen=True):
    """A value, in the form of `syntax.nodes.Literal`; None is null, of any type but string."""

    value: Any


class ColumnRef(Expr, frozen=True):
    """The value of a column."""

    column: Column


class Call(Expr, frozen=True):
    """A scalar function, or operator, of values. An argument is None where an optional one was left out."""

    function: Function
    arguments: tuple[Expr | None, ...]
    start: int = 0  # where the query says so
    end: int = 0


class Widen(Expr, frozen=True):
    """A number as one of a wider type: int, long, real, decimal, in this order."""

    operand: Expr


class AggregateCall(Expr, frozen=True):
    """An aggregate over the rows of a group: only in `Summarize`, `MakeSeries` and `TopNested`."""

    function: Function
    arguments: tuple[Expr | None, ...]
    start: int = 0  # where the query says so
    end: int = 0


class WindowCall(Expr, frozen=True):
    """A function of a row and its neighbours, in the order of the rows: `row_number`, `prev`, ...; only in `Compute` and `Filter`."""

    function: Function
    arguments: tuple[Expr | None, ...]
    start: int = 0  # where the query says so
    end: int = 0


class Parameter(Expr, frozen=True):
    """A value that comes when the query runs: what `declare query_parameters` names, or the time of the query (`now`)."""

    name: str
    default: Constant | None = None


class ScalarQuery(Expr, frozen=True):
    """`toscalar`: the first column of the first row."""

    relation: Relation


class InQuery(Expr, frozen=True):
    """Whether a value is in the first column of a relation; `is_caseless` for `in~`."""

    operand: Expr
    relation: Relation
    is_caseless: bool
    is_negated: bool


# relations


class Relation(Struct, frozen=True):
    """Rows with columns."""

    columns: tuple[Column, ...]


class Table(Relation, frozen=True):
    """A table of the schema."""

    table: TableSchema


class Rows(Relation, frozen=True):
    """Constant rows (`datatable`, `getschema`), in this order: values in the form of `Constant.value`. `print` computes over one row
    without columns.
    """

    rows: tuple[tuple[Any, ...], ...]


class RangeRows(Relation, frozen=True):
    """`range`: one column."""

    first: Expr
    last: Expr
    step: Expr


class Filter(Relation, frozen=True):
    """Rows for which the predicate is true: not false, not null."""

    source: Relation
    predicate: Expr


class Compute(Relation, frozen=True):
    """One expression for each column; what is passed on is a `ColumnRef` under the same `Column`."""

    source: Relation
    outputs: tuple[Expr, ...]


class Summarize(Relation, frozen=True):
    """One row a group: the keys, then the aggregates, each with its column. Without keys always one row."""

    source: Relation
    keys: tuple[Expr, ...]
    aggregates: tuple[AggregateCall, ...]


class SortKey(Struct, frozen=True):
    """What rows are ordered by."""

    expression: Expr
    is_descending: bool
    is_nulls_first: bool


class Sort(Relation, frozen=True):
    """Rows in order; the rows are serialized then."""

    source: Relation
    keys: tuple[SortKey, ...]


class Serialize(Relation, frozen=True):
    """Rows in the order in which they come, which window functions may then go by."""

    source: Relation


class Take(Relation, frozen=True):
    """At most so many rows: the first ones where rows are sorted."""

    source: Relation
    count: Expr


class Sample(Relation, frozen=True):
    """So many random rows."""

    source: Relation
    count: Expr


JoinKind = Literal["innerunique", "inner", "leftouter", "rightouter", "fullouter", "leftsemi", "rightsemi", "leftanti", "rightanti"]


class Join(Relation, frozen=True):
    """Rows of both sides whose keys are equal. `sources[i]` is the column of a side that becomes `columns[i]`."""

    left: Relation
    right: Relation
    kind: JoinKind
    keys: tuple[tuple[Expr, Expr], ...]
    sources: tuple[Column, ...]


class Concat(Relation, frozen=True):
    """Rows of each source, one after the other; `outputs[i]` has one expression for each column, over `sources[i]`."""

    sources: tuple[Relation, ...]
    outputs: tuple[tuple[Expr, ...], ...]


class Shared(Relation, frozen=True):
    """A relation that a `let` has named and that is read in several places: computed once with `materialize` or `as`, else as DuckDB
    likes.
    """

    name: str
    relation: Relation
    is_materialized: bool


Before = Literal["", "skip", "capture"]


class TextSplit(Struct, frozen=True):
    """A text that `Parse` looks for, and what becomes of what is before it: '' (nothing may be), "skip" or "capture"."""

    before: Before
    text: str


class Parse(Relation, frozen=True):
    """Rows with what a pattern finds in a text: behind the columns of the source the captured texts, then whether the pattern matched.

    The pattern is either `splits` and what becomes of the rest after them, or a regular expression with one group a capture. Where it does
    not match, captures are NULL (for '').
    """

    source: Relation
    text: Expr
    splits: tuple[TextSplit, ...]
    rest: Before
    regex: str | None = None


class Expand(Relation, frozen=True):
    """`mv-expand`: a row for each element. `elements[i]` is the column, dynamic, of the elements of `values[i]`; the columns of the source
    go on.

    Values of one row are expanded side by side, the shorter ones filled up with null. An array has its elements, a bag a bag of each key
    (or `[key, value]`, where `is_array`), null and any other value itself; what is empty has no row.
    """

    source: Relation
    values: tuple[Expr, ...]
    elements: tuple[Column, ...]
    is_array: bool
    limit: Expr | None = None  # of the elements of each row
    index: Column | None = None  # long: the place of the element, from 0
    row: Column | None = None  # long: a number for each row of the source


class TakeEach(Relation, frozen=True):
    """At most so many rows for each value of a column: the first ones by the keys."""

    source: Relation
    group: Column
    keys: tuple[SortKey, ...]
    count: Expr


class MakeSeries(Relation, frozen=True):
    """`make-series`, over what is aggregated already: for each group of the keys one row with an array of each of the values, by their
    places.

    `columns` are the keys, one column of each of the values, and the axis. The place i is at `origin + i * step`. Arrays go from the place
    `first` to before the place `end`; where one of these is None, from the first or to the last place that a group has.
    """

    source: Relation
    keys: tuple[Column, ...]
    place: Column
    values: tuple[Column, ...]
    defaults: tuple[Expr, ...]
    origin: Expr
    step: Expr
    first: Expr | None
    end: Expr | None
    is_never_empty: bool  # without rows, one row of defaults


class ComputeEach(Relation, frozen=True):
    """A `Compute` in which windows see the rows of one group, in the order of `keys`."""

    source: Relation
    outputs: tuple[Expr, ...]
    group: Column
    keys: tuple[SortKey, ...]


class ScanState(Struct, frozen=True):
    """What `step.column` reads: `column` stands for it in expressions, `origin` is the column of the rows, or one that is declared."""

    column: Column
    step: int
    origin: Column


class ScanStep(Struct, frozen=True):
    """A step: when a row matches it, and the values of the declared columns then; None is the default."""

    condition: Expr
    assignments: tuple[Expr | None, ...]
    is_shown: bool


class Scan(Relation, frozen=True):
    """`scan`: a row for each match of a row of the source with a step, in the order of the rows; of each group by itself where there is
    one.

    `columns` are those of the source, the declared ones and, last, the number of the match.
    """

    source: Relation
    steps: tuple[ScanStep, ...]
    states: tuple[ScanState, ...]
    defaults: tuple[Constant, ...]  # of the declared columns
    group: Column | None = None
    keys: tuple[SortKey, ...] = ()  # the order of the rows of a group
