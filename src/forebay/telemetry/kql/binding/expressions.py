"""Binds expressions: names to columns and values, calls to functions, each with its type."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from forebay.telemetry.kql.binding import bound, calls
from forebay.telemetry.kql.binding.environment import Environment, FunctionBinding, ScalarBinding, TableBinding
from forebay.telemetry.kql.errors import Code, Diagnostic, KqlError
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType

if TYPE_CHECKING:
    from forebay.telemetry.kql.binding.binder import Binder

_LEAST_INT = -(2**31)
_NEGATED = {"!in": "in", "!in~": "in~"}


def error(node: nodes.Node, code: Code, message: str, *, hint: str = "", construct: str = "") -> KqlError:
    """What is wrong at a node."""
    return KqlError(Diagnostic(code, message, node.start, node.end, hint=hint, construct=construct))


def first_column(relation: bound.Relation, node: nodes.Node) -> bound.Column:
    """The column that a table stands for where values are wanted."""
    if not relation.columns:
        raise error(node, "type", "expected a table with columns, got one without")
    return relation.columns[0]


class ExpressionBinder:
    """Binds expressions over the rows of one relation.

    `aggregates` collects the aggregates that are met; where it is None, they are refused. `other_columns` are those of `$right` in a join,
    `columns` then those of `$left`.
    """

    def __init__(
        self,
        binder: Binder,
        environment: Environment,
        columns: Iterable[bound.Column],
        *,
        aggregates: list[tuple[bound.Column, bound.AggregateCall]] | None = None,
        other_columns: Iterable[bound.Column] | None = None,
    ) -> None:
        self.binder = binder
        self.environment = environment
        self.columns = {column.name: column for column in columns}
        self.aggregates = aggregates
        self.other_columns = None if other_columns is None else {column.name: column for column in other_columns}
        self.key_names: tuple[str, ...] = ()  # what `summarize` groups by, which `arg_max(t, *)` leaves out
        self._is_in_aggregate = False

    def bind(self, node: nodes.Expression) -> bound.Expr:
        """The bound form of an expression. Raises `KqlError`."""
        self.binder.count(node)
        method = _METHODS.get(type(node))
        if method is None:
            raise error(node, "type", "expected a value, got a table", hint="toscalar(...) makes one of a table")
        return method(self, node)

    def bind_as(self, node: nodes.Expression, kind: KqlType, what: str) -> bound.Expr:
        """The same, of this type; a number may be of a narrower one, and a dynamic value is converted."""
        found = self.bind(node)
        if found.type == kind:
            return found
        if calls.is_wider(kind, found.type) or found.type == "dynamic":
            return calls.convert(found, kind)
        raise error(node, "type", f"{what}: expected {kind}, got {found.type}")

    def bind_condition(self, node: nodes.Expression, what: str) -> bound.Expr:
        """A condition: bool, or a number or a dynamic value that is made one."""
        found = self.bind(node)
        if found.type == "bool":
            return found
        if found.type in ("dynamic", "int", "long"):
            return calls.call("tobool", [found], node.start, node.end)
        raise error(node, "type", f"{what}: expected a condition (bool), got {found.type}")

    def try_constant(self, node: nodes.Expression) -> bound.Constant | None:
        """The constant that the expression is, if it is one."""
        found = self.bind(node)
        return found if isinstance(found, bound.Constant) else None

    def constant_value(self, node: nodes.Expression) -> Any:
        """The value of a constant; None for anything else."""
        if isinstance(node, nodes.Literal):
            return node.value
        found = self.environment.find(node.name) if isinstance(node, nodes.Name) else None
        if isinstance(found, ScalarBinding) and isinstance(found.expression, bound.Constant):
            return found.expression.value
        return None

    # names and values

    def _literal(self, node: nodes.Literal) -> bound.Expr:
        return bound.Constant(node.type, "" if node.type == "string" and node.value is None else node.value)

    def _name(self, node: nodes.Name) -> bound.Expr:
        column = self.columns.get(node.name)
        if column is not None:
            return bound.ColumnRef(column.type, column)
        found = self.environment.find(node.name)
        if isinstance(found, ScalarBinding):
            self.binder.count(node, found.size)
            return found.expression
        if isinstance(found, FunctionBinding) and not self.binder.is_tabular(found):
            return self.binder.call_scalar(found, nodes.Call(node.start, node.end, node.name, ()), self)
        if isinstance(found, (TableBinding, FunctionBinding)) or node.name in self.binder.schema:
            raise error(node, "type", f"{node.name} is a table, expected a value", hint=f"toscalar({node.name}) takes its first value")
        raise self._unknown_column(node, node.name)

    def _unknown_column(self, node: nodes.Node, name: str) -> KqlError:
        nearest = difflib.get_close_matches(name.lower(), [each.lower() for each in self.columns], n=1)
        known = next((each for each in self.columns if nearest and each.lower() == nearest[0]), None)
        hint = f"did you mean {known}?" if known else "getschema shows the columns"
        return error(node, "unknown_column", f"there is no column {name[:100]!r} here", hint=hint)

    def _wildcard(self, node: nodes.Wildcard) -> bound.Expr:
        raise error(node, "syntax", f"expected an expression, got {node.pattern!r}")

    def _typeof(self, node: nodes.TypeOf) -> bound.Expr:
        return bound.Constant("string", node.type or "")

    def _named(self, node: nodes.Named) -> bound.Expr:
        raise error(node, "syntax", f"expected an expression, got one with the name {node.names[0]!r}")

    # dynamic values

    def _member(self, node: nodes.Member) -> bound.Expr:
        if isinstance(node.object, nodes.Name) and node.object.name in ("$left", "$right") and self.other_columns is not None:
            side = self.columns if node.object.name == "$left" else self.other_columns
            if node.name not in side:
                raise error(node, "unknown_column", f"there is no column {node.name[:100]!r} on the side {node.object.name}")
            return bound.ColumnRef(side[node.name].type, side[node.name])
        base = self.bind(node.object)
        return self._access("member", base, bound.Constant("string", node.name), node)

    def _index(self, node: nodes.Index) -> bound.Expr:
        base = self.bind(node.object)
        index = self.bind(node.index)
        if isinstance(index, bound.Constant) and index.type == "string":
            return self._access("member", base, index, node)
        return self._access("element", base, index, node)

    def _access(self, function: str, base: bound.Expr, key: bound.Expr, node: nodes.Node) -> bound.Expr:
        if base.type != "dynamic":
            raise error(node, "type", f"expected a dynamic value before the key, got {base.type}", hint="parse_json() makes one of a text")
        return calls.call(function, [base, key], node.start, node.end)

    # operators

    def _unary(self, node: nodes.Unary) -> bound.Expr:
        operand = self.bind(node.operand)
        is_negated = node.operator == "-" and operand.type in ("int", "long", "real", "timespan")
        # the least int, long and timespan have no opposite of their type
        if is_negated and isinstance(operand, bound.Constant) and operand.value is not None and not -math.inf < operand.value <= _LEAST_INT:
            return bound.Constant(operand.type, -operand.value)
        return operand if node.operator == "+" else calls.call("-", [operand], node.start, node.end)

    def _binary(self, node: nodes.Binary) -> bound.Expr:
        # a chain such as `a and b and c ...` is as deep as it is long on its left side, so it is walked
        chain = [node]
        while isinstance(chain[-1].left, nodes.Binary):
            chain.append(chain[-1].left)
        value = self._operand(chain[-1].left, chain[-1].operator)
        for each in reversed(chain):
            self.binder.count(each)
            value = calls.call(
                each.operator, _with_zero_spans(each.operator, value, self._operand(each.right, each.operator)), each.start, each.end
            )
        return value

    def _operand(self, node: nodes.Expression, operator: str) -> bound.Expr:
        if operator in ("and", "or"):
            return self.bind_condition(node, f"an operand of {operator}")
        if isinstance(node, nodes.Wildcard) and node.pattern == "*":
            raise error(node, "unsupported", f"`* {operator}` is supported as a condition of its own only", construct=f"* {operator}")
        return self.bind(node)

    def _between(self, node: nodes.Between) -> bound.Expr:
        name = "!between" if node.is_negated else "between"
        return calls.call(name, [self.bind(node.operand), self.bind(node.low), self.bind(node.high)], node.start, node.end)

    def _in(self, node: nodes.In) -> bound.Expr:
        operand = self.bind(node.operand)
        if len(node.items) == 1 and self.binder.is_table(node.items[0], self.environment, self.columns):
            return self._in_table(node, operand)
        items = [self.bind(item) for item in node.items]
        return calls.call(node.operator, [operand, *items], node.start, node.end)

    def _in_table(self, node: nodes.In, operand: bound.Expr) -> bound.Expr:
        if node.operator in ("has_any", "has_all"):
            return self._has_in_table(node, operand)
        relation = self.binder.relation(node.items[0], self.environment)
        first = first_column(relation, node.items[0])
        if first.type != operand.type:
            kind = calls.common_type([first.type, operand.type]) or (
                first.type if operand.type == "dynamic" else operand.type if first.type == "dynamic" else None
            )
            if kind is None:
                raise error(node, "type", f"{node.operator}: expected a table whose first column is {operand.type}, got {first.type}")
            operand = calls.convert(operand, kind)
            relation = self.binder.compute(relation, [(first.name, calls.convert(bound.ColumnRef(first.type, first), kind))])
        is_caseless = node.operator.endswith("~")
        return bound.InQuery("bool", operand, relation, is_caseless, node.operator.startswith("!"))

    def _has_in_table(self, node: nodes.In, operand: bound.Expr) -> bound.Expr:
        """`has_any (T)`: what is searched for is an array of the first column."""
        relation = self.binder.relation(node.items[0], self.environment)
        first = first_column(relation, node.items[0])
        terms = calls.call("make_set", [calls.convert(bound.ColumnRef(first.type, first), "string")], node.start, node.end)
        assert isinstance(terms, bound.AggregateCall), "it is declared so"
        array = bound.Summarize((self.binder.column("terms", "dynamic"),), relation, (), (terms,))
        return calls.call(node.operator, [operand, bound.ScalarQuery("dynamic", array)], node.start, node.end)

    # calls

    def _call(self, node: nodes.Call) -> bound.Expr:
        if node.object is not None:
            raise error(node, "syntax", f"expected a function call, got one of a member: .{node.name}()")
        special = SPECIAL.get(node.name)
        if special is not None:
            return special(self, node)
        found = self.environment.find(node.name)
        if isinstance(found, FunctionBinding):
            return self.binder.call_scalar(found, node, self)
        if isinstance(found, ScalarBinding) and not node.arguments and not registry.find(node.name):  # count() is the aggregate
            self.binder.count(node, found.size)
            return found.expression
        return self.declared(node)

    def declared(self, node: nodes.Call) -> bound.Expr:
        """The call of a function of the registry, or of an aggregate where those may stand."""
        candidates = registry.find(node.name)
        kinds = {each.kind for each in candidates}
        if kinds == {"operator"} or registry.is_internal(node.name):  # written between its operands, or ours alone
            raise calls.unknown_function(node.name, node.start, node.end)
        if "aggregate" in kinds and (len(kinds) == 1 or len(node.arguments) == 1):  # hll_merge(x) is one, hll_merge(x, y) a function
            return self.aggregate(node)
        arguments = list(node.arguments)
        if any(isinstance(each, nodes.Wildcard) and each.pattern == "*" for each in arguments):
            arguments = [*self._all_columns(arguments)]
        to = arguments.pop() if arguments and isinstance(arguments[-1], nodes.TypeOf) else None
        value = calls.call(node.name, [self.bind(each) for each in arguments], node.start, node.end)
        if to is None:
            return value
        return calls.convert(value, cast("nodes.TypeOf", to).type or "string")

    def _all_columns(self, arguments: Sequence[nodes.Expression]) -> Iterable[nodes.Expression]:
        """The arguments, with all columns in the place of a star."""
        for each in arguments:
            if isinstance(each, nodes.Wildcard) and each.pattern == "*":
                yield from (nodes.Name(each.start, each.end, name) for name in self.columns)
            else:
                yield each

    def aggregate(self, node: nodes.Call) -> bound.Expr:
        """The column of an aggregate; it is computed with the group."""
        return self.aggregate_of(node, [self.bind_aggregated(each) for each in node.arguments])

    def bind_aggregated(self, node: nodes.Expression) -> bound.Expr:
        """An argument of an aggregate, which may have none in it."""
        before, self._is_in_aggregate = self._is_in_aggregate, True
        try:
            return self.bind(node)
        finally:
            self._is_in_aggregate = before

    def aggregate_of(self, node: nodes.Call, arguments: Sequence[bound.Expr | None]) -> bound.Expr:
        """The column of the aggregate of these arguments."""
        if self.aggregates is None or self._is_in_aggregate:
            where = "within another aggregate" if self._is_in_aggregate else "here"
            raise error(node, "type", f"{node.name}() is an aggregate, which may not stand {where}", hint="summarize takes aggregates")
        made = calls.call(node.name, arguments, node.start, node.end)
        assert isinstance(made, bound.AggregateCall), "the registry says that it is an aggregate"
        column = self.binder.column(node.name, made.type)
        self.aggregates.append((column, made))
        return bound.ColumnRef(made.type, column)

    def _pipeline(self, node: nodes.Expression) -> bound.Expr:
        raise error(node, "type", "expected a value, got a table", hint="toscalar(...) takes the first value of a table")


def _with_zero_spans(operator: str, left: bound.Expr, right: bound.Expr) -> list[bound.Expr]:
    """The operands, a number 0 beside a timespan as the timespan of nothing, which it is in whatever unit."""
    operands = [left, right]
    if operator in ("==", "!=", "<", "<=", ">", ">="):
        for index, other in ((0, right), (1, left)):
            each = operands[index]
            if other.type == "timespan" and isinstance(each, bound.Constant) and each.type == "long" and each.value == 0:
                operands[index] = bound.Constant("timespan", 0)
    return operands


_METHODS: dict[type[Any], Callable[[ExpressionBinder, Any], bound.Expr]] = {
    nodes.Literal: ExpressionBinder._literal,
    nodes.Name: ExpressionBinder._name,
    nodes.Wildcard: ExpressionBinder._wildcard,
    nodes.TypeOf: ExpressionBinder._typeof,
    nodes.Named: ExpressionBinder._named,
    nodes.Member: ExpressionBinder._member,
    nodes.Index: ExpressionBinder._index,
    nodes.Unary: ExpressionBinder._unary,
    nodes.Binary: ExpressionBinder._binary,
    nodes.Between: ExpressionBinder._between,
    nodes.In: ExpressionBinder._in,
    nodes.Call: ExpressionBinder._call,
    nodes.Pipeline: ExpressionBinder._pipeline,
}

# calls that need more than values: tables, all columns, names of columns; see special.py
SPECIAL: dict[str, Callable[[ExpressionBinder, nodes.Call], bound.Expr]] = {}
