"""Calls that need more than values: tables, names of columns, or all columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from forebay.telemetry.kql.binding import bound, calls
from forebay.telemetry.kql.binding.expressions import SPECIAL, ExpressionBinder, error, first_column
from forebay.telemetry.kql.syntax import nodes

_VARYING = frozenset({"rand", "new_guid"})
_WITHOUT_EXPRESSIONS = frozenset({"columns", "rows", "table", "function", "value"})
_Special = Callable[[ExpressionBinder, nodes.Call], bound.Expr]


def _special(*names: str) -> Callable[[_Special], _Special]:
    def declare(method: _Special) -> _Special:
        for name in names:
            SPECIAL[name] = method
        return method

    return declare


@_special("toscalar")
def _toscalar(self: ExpressionBinder, node: nodes.Call) -> bound.Expr:
    if len(node.arguments) != 1:
        raise error(node, "type", f"toscalar() takes one table or value, got {len(node.arguments)}")
    argument = node.arguments[0]
    if self.binder.is_table(argument, self.environment, self.columns):
        relation = self.binder.relation(argument, self.environment)
    else:
        value = self.bind(argument)
        if not _varies(value):
            return value
        relation = self.binder.compute(bound.Rows((), ((),)), [("print_0", value)])
    if _varies(relation):  # it is one value wherever it is read
        relation = self.binder.read(self.binder.share("toscalar", relation, is_materialized=True), node)
    return bound.ScalarQuery(first_column(relation, argument).type, relation)


def _varies(root: bound.Expr | bound.Relation) -> bool:
    """Whether it is something else each time that it is computed."""
    pending: list[Any] = [root]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if isinstance(each, (tuple, list)):
            pending += each
        elif isinstance(each, Struct) and id(each) not in seen:
            seen.add(id(each))
            if isinstance(each, bound.Sample) or (isinstance(each, bound.Call) and each.function.name in _VARYING):
                return True
            pending += [getattr(each, name) for name in each.__struct_fields__ if name not in _WITHOUT_EXPRESSIONS]
    return False


@_special("materialize")
def _materialize(self: ExpressionBinder, node: nodes.Call) -> bound.Expr:
    raise error(node, "type", "materialize() makes a table, expected a value", hint="toscalar(...) takes the first value of a table")


@_special("column_ifexists", "columnifexists")
def _column_ifexists(self: ExpressionBinder, node: nodes.Call) -> bound.Expr:
    if len(node.arguments) != 2:
        raise error(node, "type", f"{node.name}() takes a column's name and a value, got {len(node.arguments)} arguments")
    name = self.bind(node.arguments[0])
    if not isinstance(name, bound.Constant) or name.type != "string":
        raise error(node.arguments[0], "type", f"{node.name}() takes the column's name as a constant text")
    column = self.columns.get(name.value)
    return bound.ColumnRef(column.type, column) if column is not None else self.bind(node.arguments[1])


@_special("column_names_of")
def _column_names_of(self: ExpressionBinder, node: nodes.Call) -> bound.Expr:
    if len(node.arguments) != 1:
        raise error(node, "type", f"column_names_of() takes one table, got {len(node.arguments)} arguments")
    relation = self.binder.relation(node.arguments[0], self.environment)
    return bound.Constant("dynamic", [column.name for column in relation.columns])


@_special("pack_all")
def _pack_all(self: ExpressionBinder, node: nodes.Call) -> bound.Expr:
    arguments: list[bound.Expr] = []
    for column in self.columns.values():
        arguments += [bound.Constant("string", column.name), bound.ColumnRef(column.type, column)]
    ignores_nulls = self.try_constant(node.arguments[0]) if node.arguments else None
    name = "bag_pack_without_empty" if ignores_nulls is not None and ignores_nulls.value else "bag_pack"
    return calls.call(name, arguments, node.start, node.end)


@_special("bag_pack_columns")
def _bag_pack_columns(self: ExpressionBinder, node: nodes.Call) -> bound.Expr:
    arguments: list[bound.Expr] = []
    for each in node.arguments:
        if not isinstance(each, nodes.Name):
            raise error(each, "type", "bag_pack_columns() takes names of columns")
        arguments += [bound.Constant("string", each.name), self.bind(each)]
    return calls.call("bag_pack", arguments, node.start, node.end)


@_special("now")
def _now(self: ExpressionBinder, node: nodes.Call) -> bound.Expr:
    now = bound.Parameter("datetime", "now")
    if not node.arguments:
        return now
    return calls.call("+", [now, self.bind_as(node.arguments[0], "timespan", "now()")], node.start, node.end)


@_special("ago")
def _ago(self: ExpressionBinder, node: nodes.Call) -> bound.Expr:
    if len(node.arguments) != 1:
        raise error(node, "type", f"ago() takes one timespan, got {len(node.arguments)} arguments")
    span = self.bind_as(node.arguments[0], "timespan", "ago()")
    return calls.call("-", [bound.Parameter("datetime", "now"), span], node.start, node.end)


@_special("bin_auto")
def _bin_auto(self: ExpressionBinder, node: nodes.Call) -> bound.Expr:
    if len(node.arguments) != 1:
        raise error(node, "type", f"bin_auto() takes one value, got {len(node.arguments)} arguments")
    size = self.binder.options.get("query_bin_auto_size")
    if size is None:
        raise error(node, "type", "bin_auto() expected its size, got none", hint="set query_bin_auto_size = 1h;")
    value = self.bind(node.arguments[0])
    at = self.binder.options.get("query_bin_auto_at")
    if at is None:
        return calls.call("bin", [value, size], node.start, node.end)
    return calls.call("bin_at", [value, size, at], node.start, node.end)
