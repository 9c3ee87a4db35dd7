"""`mv-expand` and `mv-apply`: a row for each element of an array or bag.

Source: https://learn.microsoft.com/kusto/query/mv-expand-operator, https://learn.microsoft.com/kusto/query/mv-apply-operator
"""

from __future__ import annotations

from msgspec import Struct

from forebay.telemetry.kql.binding import bound, calls, naming, windows
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.partitioned import Groups, partitioned
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType


class _Expansion(Struct, frozen=True):
    """What is expanded, and how its elements are called and typed."""

    name: str
    value: bound.Expr
    type: KqlType
    column: bound.Column | None  # the column of the source that `mv-apply` takes away


class _Expanded(Struct, frozen=True):
    """Rows of elements: `columns` are what a query sees of them, by name and in order."""

    relation: bound.Expand
    columns: list[tuple[str, bound.Expr]]


@binds(nodes.MvExpand)
def _mv_expand(binder: Binder, node: nodes.MvExpand, source: bound.Relation, environment: Environment) -> bound.Relation:
    expressions = ExpressionBinder(binder, environment, source.columns)
    expanded = _expand(binder, node, source, expressions, _expansions(expressions, node), set(), is_numbered=False)
    return binder.compute(expanded.relation, expanded.columns)


@binds(nodes.MvApply)
def _mv_apply(binder: Binder, node: nodes.MvApply, source: bound.Relation, environment: Environment) -> bound.Relation:
    expressions = ExpressionBinder(binder, environment, source.columns)
    expansions = _expansions(expressions, node)
    away = {each.column.id for each in expansions if each.column is not None}
    expanded = _expand(binder, node, source, expressions, expansions, away, is_numbered=True)
    rows = binder.compute(expanded.relation, expanded.columns)
    body = binder.pipe(rows, node.body, environment)
    around = [column for column in source.columns if column.id not in away]
    applied = partitioned(binder, body, rows, _groups(rows, expanded.relation, around), node, "mv-apply")
    outputs: dict[str, bound.Expr] = {column.name: bound.ColumnRef(column.type, column) for column in around}
    outputs |= {column.name: bound.ColumnRef(column.type, column) for column in body.columns}
    return binder.compute(applied, list(outputs.items()))


def _groups(rows: bound.Relation, expanded: bound.Expand, around: list[bound.Column]) -> Groups:
    """The elements of each row of the source as a group, with the columns of the source, also those that have lost their name."""
    assert isinstance(rows, bound.Compute), "elements are named and typed by a Compute"
    assert expanded.row is not None, "the rows are numbered"
    seen = {column.id for column in rows.columns}
    hidden = [column for column in (expanded.row, expanded.index, *around) if column is not None and column.id not in seen]
    outputs = (*rows.outputs, *(bound.ColumnRef(column.type, column) for column in hidden))
    wide = bound.Compute((*rows.columns, *hidden), expanded, outputs)
    return Groups(wide, expanded.row, expanded.index, tuple(around))


def _expansions(expressions: ExpressionBinder, node: nodes.MvExpand | nodes.MvApply) -> list[_Expansion]:
    """What is expanded. Raises `KqlError` for what is not dynamic, and for a name that comes twice."""
    found: list[_Expansion] = []
    taken = set(expressions.columns)
    used: set[str] = set()
    for each in node.columns:
        inner = each.expression.expression if isinstance(each.expression, nodes.Named) else each.expression
        value = expressions.bind(inner)
        if value.type != "dynamic":
            raise error(
                each, "type", f"expected a dynamic array or bag to expand, got {value.type}", hint="todynamic() makes one of a text"
            )
        name = naming.result_name(each.expression, expressions.columns, expressions.constant_value)
        column = value.column if isinstance(value, bound.ColumnRef) and isinstance(each.expression, nodes.Name) else None
        if name is None:
            name = naming.unnamed(taken)
        elif name in used:
            if column is not None or isinstance(each.expression, nodes.Named):
                raise error(each, "type", f"a column with the name {name[:100]!r} is already declared")
            name = naming.unique(name, taken)
        taken.add(name)
        used.add(name)
        found.append(_Expansion(name, value, each.type or "dynamic", column))
    return found


def _expand(
    binder: Binder,
    node: nodes.MvExpand | nodes.MvApply,
    source: bound.Relation,
    expressions: ExpressionBinder,
    expansions: list[_Expansion],
    away: set[int],
    *,
    is_numbered: bool,
) -> _Expanded:
    """The rows of the elements. Columns of the source that are not `away` stand first, or an expansion in their place."""
    elements = [binder.column(each.name, "dynamic") for each in expansions]
    columns: dict[str, bound.Expr] = {
        column.name: bound.ColumnRef(column.type, column) for column in source.columns if column.id not in away
    }
    for expansion, element in zip(expansions, elements, strict=True):
        columns[expansion.name] = _of_type(bound.ColumnRef("dynamic", element), expansion.type)
    index_name = next((each.value for each in node.parameters if each.name == "with_itemindex"), None)
    index = binder.column(index_name or "index", "long") if index_name is not None or is_numbered else None
    if index is not None and index_name is not None:
        columns[naming.unique(index_name, {*expressions.columns, *columns})] = bound.ColumnRef("long", index)
    row = binder.column("row", "long") if is_numbered else None
    limit = None if node.limit is None else expressions.bind_as(node.limit, "long", "limit")
    made = (*source.columns, *elements, *(each for each in (index, row) if each is not None))
    source, values = windows.lift(binder, source, [each.value for each in expansions])
    expanded = bound.Expand(made, source, tuple(values), tuple(elements), _is_array(node), limit, index, row)
    return _Expanded(expanded, list(columns.items()))


def _of_type(element: bound.Expr, kind: KqlType) -> bound.Expr:
    """The element as `to typeof()` makes it: one of another kind is null, not read as one."""
    if kind in ("dynamic", "string"):
        return calls.convert(element, kind)
    if kind in ("datetime", "timespan", "guid"):  # which JSON writes as texts
        return calls.convert(calls.call("_element_of_text", [element], 0, 0), kind)
    return calls.call(f"_element_as_{kind}", [element], 0, 0)


def _is_array(node: nodes.MvExpand | nodes.MvApply) -> bool:
    for each in node.parameters:
        if each.name in ("kind", "bagexpansion"):
            if each.value not in ("bag", "array"):
                raise error(each, "parameter", f"expected {each.name}=bag or {each.name}=array, got {each.value[:100]!r}")
            return each.value == "array"
    return False
