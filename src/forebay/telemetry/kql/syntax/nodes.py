"""The syntax tree: what a query says, before anything is known of tables and types.

Every node has the range of characters that it was read from, `start` to `end`. Source of the grammar:
https://learn.microsoft.com/kusto/query/ (one page an operator).
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from forebay.telemetry.kql.types import KqlType


class Node(Struct, frozen=True):
    """A part of a query."""

    start: int
    end: int


# expressions


class Expression(Node, frozen=True):
    """What has a value, or, where tables may stand, is one."""


class Name(Expression, frozen=True):
    """A column, a table, or what `let` has named. `['a name']` is one, too."""

    name: str


class Wildcard(Expression, frozen=True):
    """A pattern for names: `*`, `abc*`, `*abc*`."""

    pattern: str


class Literal(Expression, frozen=True):
    """A constant.

    `value` by type: bool, int (also for timespan: ticks of 100 ns), float, Decimal, str (also for guid, canonical), for datetime the ticks
    of 100 ns since 0001-01-01 as int, for dynamic what JSON decodes to (with `DynamicValue` for typed values within); None for null.
    """

    type: KqlType
    value: Any


class DynamicValue(Struct, frozen=True):
    """A typed literal inside `dynamic(...)`: `datetime(2024-01-01)`, `1h`, ..., in the form of `Literal`."""

    type: KqlType
    value: Any


class Unary(Expression, frozen=True):
    """`-x` or `+x`."""

    operator: str
    operand: Expression


class Binary(Expression, frozen=True):
    """Two operands: `and`, `or`, `==`, `<>` (read as `!=`), `=~`, `<`, `+`, `has`, `!startswith_cs`, `matches regex`, `like`, ..."""

    operator: str
    left: Expression
    right: Expression


class Between(Expression, frozen=True):
    """`x between (low .. high)`."""

    operand: Expression
    low: Expression
    high: Expression
    is_negated: bool


class In(Expression, frozen=True):
    """`in`, `!in`, `in~`, `!in~`, `has_any`, `has_all`, `!has_any`, `!has_all` over a list; one item may be a pipeline."""

    operator: str
    operand: Expression
    items: tuple[Expression, ...]


class Member(Expression, frozen=True):
    """`a.b`; `a['b']` is an `Index`."""

    object: Expression
    name: str


class Index(Expression, frozen=True):
    """`a[0]`, `a['b']`."""

    object: Expression
    index: Expression


class Call(Expression, frozen=True):
    """`f(a, b)`; `object` is what stands before the dot, in `cluster('c').database('d')`."""

    name: str
    arguments: tuple[Expression, ...]
    object: Expression | None = None


class Named(Expression, frozen=True):
    """`name = expression`, or `(a, b) = expression`."""

    names: tuple[str, ...]
    expression: Expression
    is_list: bool = False  # names were in brackets


class TypeOf(Expression, frozen=True):
    """`typeof(long)`; with columns, `typeof(a: long, b: string)`; `columns` may begin with `*` (type "")."""

    type: KqlType | None
    columns: tuple[tuple[str, KqlType | str], ...] = ()


class Pipeline(Expression, frozen=True):
    """A source and what its rows go through. A source alone in brackets is not wrapped."""

    source: Expression
    operators: tuple[Operator, ...]


# sources that are no expressions elsewhere


class Datatable(Expression, frozen=True):
    """`datatable(a: string, b: long) ['x', 1]`: the values in reading order."""

    columns: tuple[tuple[str, KqlType], ...]
    values: tuple[Expression, ...]


class ExternalData(Expression, frozen=True):
    """`externaldata(...) [...]`: read, so that it can be refused by its name."""


class Print(Expression, frozen=True):
    """`print a = 1, 2`."""

    outputs: tuple[Expression, ...]  # Named or other


class Range(Expression, frozen=True):
    """`range x from 1 to 3 step 1`."""

    name: str
    first: Expression
    last: Expression
    step: Expression


# operators


class Operator(Node, frozen=True):
    """What rows go through."""


class Parameter(Node, frozen=True):
    """`kind=inner`, `hint.strategy=shuffle`, `withsource=T`; the value as written, without quotes."""

    name: str
    value: str


class Where(Operator, frozen=True):
    """`where`, `filter`."""

    predicate: Expression


class Project(Operator, frozen=True):
    """`project`; entries are expressions, `Named` where they have names."""

    outputs: tuple[Expression, ...]


class Extend(Operator, frozen=True):
    """`extend`."""

    outputs: tuple[Expression, ...]


class ProjectAway(Operator, frozen=True):
    """`project-away`: names and wildcards."""

    columns: tuple[Name | Wildcard, ...]


class ProjectKeep(Operator, frozen=True):
    """`project-keep`: names and wildcards."""

    columns: tuple[Name | Wildcard, ...]


class ProjectRename(Operator, frozen=True):
    """`project-rename new = old`: the old ones are `Name`."""

    outputs: tuple[Expression, ...]


class ProjectByNames(Operator, frozen=True):
    """`project-by-names 'a', dynamic(['b', 'c']), 'd*'`: constants that are names, lists of names or patterns."""

    names: tuple[Expression, ...]


class ReorderKey(Node, frozen=True):
    """A name or wildcard of `project-reorder`, with `asc`, `desc`, `granny-asc`, `granny-desc` or ''."""

    column: Name | Wildcard
    direction: str


class ProjectReorder(Operator, frozen=True):
    """`project-reorder`."""

    keys: tuple[ReorderKey, ...]


class Summarize(Operator, frozen=True):
    """`summarize aggregates by keys`."""

    aggregates: tuple[Expression, ...]
    keys: tuple[Expression, ...]
    parameters: tuple[Parameter, ...] = ()


class Distinct(Operator, frozen=True):
    """`distinct a, b = c` or `distinct *` (a `Wildcard`)."""

    columns: tuple[Expression, ...]


class Count(Operator, frozen=True):
    """`count`, `count as name`."""

    name: str | None = None


class Take(Operator, frozen=True):
    """`take`, `limit`."""

    count: Expression


class SortKey(Node, frozen=True):
    """`expression asc nulls last`; '' is what was not said."""

    expression: Expression
    direction: str  # asc, desc or ''
    nulls: str  # first, last or ''


class Sort(Operator, frozen=True):
    """`sort by`, `order by`."""

    keys: tuple[SortKey, ...]


class Top(Operator, frozen=True):
    """`top 10 by x desc`."""

    count: Expression
    keys: tuple[SortKey, ...]


class TopNestedLevel(Node, frozen=True):
    """`top-nested 3 of a with others = 'x' by count() desc`; without a count all are kept."""

    count: Expression | None
    key: Expression  # Named or other
    others: Expression | None
    aggregate: Expression  # Named or other
    direction: str  # asc, desc or ''


class TopNested(Operator, frozen=True):
    """`top-nested`, one level after the other."""

    levels: tuple[TopNestedLevel, ...]


class TopHitters(Operator, frozen=True):
    """`top-hitters 3 of a by b`."""

    count: Expression
    key: Expression
    weight: Expression | None


class Join(Operator, frozen=True):
    """`join kind=inner (right) on a, $left.b == $right.c`."""

    right: Expression
    conditions: tuple[Expression, ...]
    parameters: tuple[Parameter, ...] = ()


class Lookup(Operator, frozen=True):
    """`lookup kind=leftouter (right) on a`."""

    right: Expression
    conditions: tuple[Expression, ...]
    parameters: tuple[Parameter, ...] = ()


class Union(Operator, frozen=True):
    """`union kind=outer withsource=T isfuzzy=true a, (b | c), d*`; as a source its own is None.

    A union that begins a query is `Pipeline(source=UnionSource(...), ...)`.
    """

    tables: tuple[Expression, ...]
    parameters: tuple[Parameter, ...] = ()


class UnionSource(Expression, frozen=True):
    """`union a, b` where a source may stand."""

    union: Union


class ExpandColumn(Node, frozen=True):
    """`name = expression to typeof(long)`; the expression may be `Named`."""

    expression: Expression
    type: KqlType | None


class MvExpand(Operator, frozen=True):
    """`mv-expand kind=array with_itemindex=i a, b to typeof(long) limit 5`."""

    columns: tuple[ExpandColumn, ...]
    limit: Expression | None
    parameters: tuple[Parameter, ...] = ()


class MvApply(Operator, frozen=True):
    """`mv-apply a on (where a > 1)`; `body` is what the expanded rows go through."""

    columns: tuple[ExpandColumn, ...]
    limit: Expression | None
    body: tuple[Operator, ...]
    parameters: tuple[Parameter, ...] = ()


class ParsePart(Node, frozen=True):
    """A part of a pattern: a literal text, a column with its type, or `*`."""

    literal: str | None = None
    name: str | None = None
    type: KqlType = "string"  # both None: `*`


class Parse(Operator, frozen=True):
    """`parse kind=relaxed flags=i message with 'user=' user: long *`, and `parse-where`."""

    expression: Expression
    parts: tuple[ParsePart, ...]
    is_where: bool
    parameters: tuple[Parameter, ...] = ()


class ParseKv(Operator, frozen=True):
    """`parse-kv message as (a: string, b: long) with (pair_delimiter=' ', kv_delimiter='=')`; settings hold expressions."""

    expression: Expression
    columns: tuple[tuple[str, KqlType], ...]
    settings: tuple[Expression, ...]  # Named


class SeriesAggregate(Node, frozen=True):
    """`name = avg(x) default = 0`; the expression may be `Named`."""

    expression: Expression
    default: Expression | None


class MakeSeries(Operator, frozen=True):
    """`make-series avg(x) default=0 on t from a to b step c by k`; bounds may be missing. `in range(a, b, c)` is the same."""

    aggregates: tuple[SeriesAggregate, ...]
    axis: Expression  # Named or other
    first: Expression | None
    last: Expression | None
    step: Expression | None
    keys: tuple[Expression, ...]
    is_range: bool = False  # `in range(...)`: the last step is included
    parameters: tuple[Parameter, ...] = ()


class Serialize(Operator, frozen=True):
    """`serialize n = row_number()`."""

    outputs: tuple[Expression, ...]


class Search(Operator, frozen=True):
    """`search kind=case_sensitive in (a, b*) predicate`; inside the predicate a text alone, or `col: 'text'`, searches."""

    predicate: Expression
    tables: tuple[Expression, ...]  # Name or Wildcard; empty: all
    parameters: tuple[Parameter, ...] = ()


class SearchSource(Expression, frozen=True):
    """`search` where a source may stand."""

    search: Search


class SearchTerm(Expression, frozen=True):
    """`column: 'text'` or, without a column, `'text'` (only inside `search`)."""

    column: str | None
    term: Expression


class Find(Expression, frozen=True):
    """`find withsource=s in (a, b) where predicate project x, y`; a source only."""

    predicate: Expression
    tables: tuple[Expression, ...]
    outputs: tuple[Expression, ...]  # Name, Named or TypedName-like `Member`; empty: project-smart
    parameters: tuple[Parameter, ...] = ()


class As(Operator, frozen=True):
    """`as name`."""

    name: str


class Sample(Operator, frozen=True):
    """`sample 10`."""

    count: Expression


class SampleDistinct(Operator, frozen=True):
    """`sample-distinct 10 of x`."""

    count: Expression
    key: Expression


class Partition(Operator, frozen=True):
    """`partition by key (operators)` or `{ source | operators }`."""

    key: Expression
    body: tuple[Operator, ...]
    parameters: tuple[Parameter, ...] = ()
    source: Expression | None = None


class GetSchema(Operator, frozen=True):
    """`getschema`."""


class Render(Operator, frozen=True):
    """`render timechart with (title='x', ycolumns=a, b)`; property values as written, without quotes."""

    chart: str
    properties: tuple[tuple[str, str], ...] = ()


class Evaluate(Operator, frozen=True):
    """`evaluate pivot(a, sum(b)) : (x: long)`; `schema` is what was said after the colon."""

    plugin: str
    arguments: tuple[Expression, ...]
    schema: tuple[tuple[str, KqlType | str], ...] | None = None
    parameters: tuple[Parameter, ...] = ()


class EvaluateSource(Expression, frozen=True):
    """`evaluate` where a source may stand."""

    evaluate: Evaluate


class Invoke(Operator, frozen=True):
    """`invoke f(a)`: the rows are the function's first argument."""

    name: str
    arguments: tuple[Expression, ...]


class ScanStep(Node, frozen=True):
    """`step s output=all: condition => a = b, c = d;`."""

    name: str
    condition: Expression
    assignments: tuple[Expression, ...]  # Named
    is_optional: bool = False
    output: str = "all"  # all, last, none


class Scan(Operator, frozen=True):
    """`scan declare (a: long = 0) with (step ...; step ...)`; `order by`/`partition by` and `with_match_id` where given."""

    declarations: tuple[tuple[str, KqlType, Expression | None], ...]
    steps: tuple[ScanStep, ...]
    order: tuple[SortKey, ...] = ()
    partition: tuple[Expression, ...] = ()
    parameters: tuple[Parameter, ...] = ()


class Consume(Operator, frozen=True):
    """`consume`: nothing comes out."""


class AssertSchema(Operator, frozen=True):
    """`assert-schema (a: long, b: string)`."""

    columns: tuple[tuple[str, KqlType], ...]


class Unsupported(Operator, frozen=True):
    """An operator that is known and read over, so that it can be refused by its name: `fork`, `facet`, `reduce`, `graph-match`, ..."""

    name: str


# statements


class LambdaParameter(Node, frozen=True):
    """`x: long = 1`, or a table `(a: long, b: string)` or `(*)`: `columns` is then not None, and `is_open` tells of the star."""

    name: str
    type: KqlType | None
    default: Expression | None = None
    columns: tuple[tuple[str, KqlType], ...] | None = None
    is_open: bool = False


class Lambda(Expression, frozen=True):
    """`(x: long) { let y = 1; x + y }`; `view () { ... }`."""

    parameters: tuple[LambdaParameter, ...]
    lets: tuple[Let, ...]
    body: Expression
    is_view: bool = False


class Statement(Node, frozen=True):
    """A part of a program, ended by `;`."""


class Let(Statement, frozen=True):
    """`let name = expression`, table or function."""

    name: str
    value: Expression


class SetOption(Statement, frozen=True):
    """`set name = value`."""

    name: str
    value: Expression | None


class DeclareParameters(Statement, frozen=True):
    """`declare query_parameters(a: long = 1, b: string)`."""

    parameters: tuple[LambdaParameter, ...]


class PatternEntry(Node, frozen=True):
    """`("a", "b").["c"] = { table }`: what a pattern means for these texts; without a path, `path` is None."""

    arguments: tuple[str, ...]
    path: str | None
    body: Expression


class DeclarePattern(Statement, frozen=True):
    """`declare pattern name = (a: string)[b: string] { ... }`; `declare pattern name` alone has no entries."""

    name: str
    entries: tuple[PatternEntry, ...]


class RestrictAccess(Statement, frozen=True):
    """`restrict access to (a, b*)`."""

    tables: tuple[Expression, ...]


class UnsupportedStatement(Statement, frozen=True):
    """`alias database`: known, read over, refused by name."""

    name: str


class QueryStatement(Statement, frozen=True):
    """What is asked."""

    expression: Expression


class Program(Node, frozen=True):
    """All statements of a text."""

    statements: tuple[Statement, ...]
