"""Binds relations: sources, pipelines, and calls of the query's own functions."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from forebay.telemetry.kql.binding import bound, calls, windows
from forebay.telemetry.kql.binding.environment import (
    Binding,
    Broken,
    Environment,
    FunctionBinding,
    PatternBinding,
    ScalarBinding,
    TableBinding,
)
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.parts import operands
from forebay.telemetry.kql.errors import DIAGNOSTICS_LIMIT, Diagnostic, KqlError
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import INTEGERS, KqlType, Schema, TableColumn, TableSchema

EXPRESSION_LIMIT = 20_000  # bound expressions of one query, its functions' bodies counted where they are called
WEIGHT_LIMIT = 2_000  # relations of one query; what `let` has named is one wherever it is read, for it is computed once
WIDTH_LIMIT = 500_000  # columns of all relations of one query
CALL_DEPTH_LIMIT = 20  # of the query's own functions

_COLUMNS_STAY = (nodes.Where, nodes.Sort, nodes.Top, nodes.Take, nodes.Sample, nodes.Render)

Explore = Callable[[bound.Relation], list[tuple[Any, ...]]]
BindOperator = Callable[["Binder", Any, bound.Relation, Environment], bound.Relation]
BindSource = Callable[["Binder", Any, Environment], bound.Relation]

OPERATORS: dict[type[nodes.Operator], BindOperator] = {}
SOURCES: dict[type[nodes.Expression], BindSource] = {}


def binds(kind: type[nodes.Operator]) -> Callable[[BindOperator], BindOperator]:
    """Declare what binds an operator."""

    def declare(function: BindOperator) -> BindOperator:
        OPERATORS[kind] = function
        return function

    return declare


def binds_source(kind: type[nodes.Expression]) -> Callable[[BindSource], BindSource]:
    """Declare what binds a source."""

    def declare(function: BindSource) -> BindSource:
        SOURCES[kind] = function
        return function

    return declare


class Binder:
    """Binds one query.

    `explore` answers the rows of a relation while the query is bound, for operators whose columns depend on data (`evaluate pivot`);
    without it those are refused.
    """

    def __init__(self, schema: Schema, *, explore: Explore | None = None) -> None:
        self.schema = schema
        self.explore = explore
        self.explored = False
        self.chart: nodes.Render | None = None
        self.options: dict[str, bound.Constant] = {}  # what `set` says
        self._column_count = 0
        self._expression_count = 0
        self._weight = 0
        self._width = 0
        self._depth = 0
        self._tabular: dict[int, bool] = {}  # whether a function answers a table, by the identity of its node

    # making

    def column(self, name: str, kind: KqlType, *, is_nullable: bool = True, has_nan: bool = True) -> bound.Column:
        """A new column."""
        self._column_count += 1
        return bound.Column(self._column_count, name, kind, is_nullable, has_nan)

    def columns(self, like: Iterable[TableColumn | bound.Column]) -> tuple[bound.Column, ...]:
        """New columns with the names and values of others."""
        return tuple(self.column(each.name, each.type, is_nullable=each.is_nullable, has_nan=each.has_nan) for each in like)

    def compute(self, source: bound.Relation, outputs: Sequence[tuple[str, bound.Expr]]) -> bound.Relation:
        """A `Compute` with these names; a column that is passed on under its own name stays the same one."""
        source, expressions = windows.lift(self, source, [each for _, each in outputs])
        columns = [
            each.column if isinstance(each, bound.ColumnRef) and each.column.name == name else self.column(name, each.type)
            for name, each in outputs
        ]
        if len({column.id for column in columns}) < len(columns):  # a column that is passed on twice
            columns = [self.column(column.name, column.type) for column in columns]
        return bound.Compute(tuple(columns), source, tuple(expressions))

    def share(self, name: str, relation: bound.Relation, *, is_materialized: bool) -> TableBinding:
        """A name for a relation that may be read several times."""
        return TableBinding(name, relation, is_materialized)

    def scalar(self, expression: bound.Expr) -> ScalarBinding:
        """A name for a value."""
        size = 0
        pending: list[bound.Expr | None] = [expression]
        while pending and size <= EXPRESSION_LIMIT:
            pending += operands(pending.pop())
            size += 1
        return ScalarBinding(expression, size)

    def count(self, node: nodes.Node, number: int = 1) -> None:
        """Count one more expression, or several. Raises `KqlError` (`too_complex`)."""
        self._expression_count += number
        if self._expression_count > EXPRESSION_LIMIT:
            raise error(
                node, "too_complex", f"the query has more than {EXPRESSION_LIMIT} expressions, those of its functions counted at each call"
            )

    def weigh(self, node: nodes.Node, weight: int = 1) -> None:
        """Count relations. Raises `KqlError` (`too_complex`)."""
        self._weight += weight
        if self._weight > WEIGHT_LIMIT:
            raise error(
                node, "too_complex", f"the query has more than {WEIGHT_LIMIT} tables and operators, those of functions counted at each call"
            )

    def widen(self, node: nodes.Node, relation: bound.Relation) -> bound.Relation:
        """The same relation, its columns counted. Raises `KqlError` (`too_complex`)."""
        self._width += len(relation.columns)
        if self._width > WIDTH_LIMIT:
            message = f"the tables and operators of the query have more than {WIDTH_LIMIT} columns"
            raise error(node, "too_complex", message, hint="project fewer")
        return relation

    # relations

    def is_table(self, node: nodes.Expression, environment: Environment, columns: Mapping[str, Any]) -> bool:
        """Whether the expression is a table, where both a table and a value may stand."""
        if isinstance(node, (nodes.Member, nodes.Index)):
            inner = node.object
            return isinstance(inner, nodes.Call) and isinstance(environment.find(inner.name), PatternBinding)
        if isinstance(node, nodes.Pipeline) or (type(node) in SOURCES and not isinstance(node, (nodes.Name, nodes.Call))):
            return True
        if isinstance(node, nodes.Name):
            found = environment.find(node.name)
            if isinstance(found, FunctionBinding):
                return self.is_tabular(found)
            return node.name not in columns and (isinstance(found, TableBinding) or (found is None and node.name in self.schema))
        if isinstance(node, nodes.Call):
            if node.name in ("materialize", "table", "view"):
                return True
            found = environment.find(node.name)
            if isinstance(found, FunctionBinding):
                return self.is_tabular(found)
            return node.object is not None or isinstance(found, PatternBinding)
        return False

    def is_tabular(self, found: FunctionBinding) -> bool:
        """Whether a function of the query's own answers a table."""
        key = id(found.function)
        if key not in self._tabular:
            self._tabular[key] = self._is_tabular(found)
        return self._tabular[key]

    def _is_tabular(self, found: FunctionBinding) -> bool:
        names = Environment(found.environment)
        for parameter in found.function.parameters:
            if parameter.columns is not None:
                names.set(parameter.name, TableBinding("", bound.Rows((), ()), False))
            else:
                names.set(parameter.name, ScalarBinding(bound.Constant(parameter.type or "string", None)))
        for let in found.function.lets:
            if isinstance(let.value, nodes.Lambda):
                names.set(let.name, FunctionBinding(let.name, let.value, Environment(names)))
            elif self.is_table(let.value, names, {}):
                names.set(let.name, TableBinding("", bound.Rows((), ()), False))
            else:
                names.set(let.name, ScalarBinding(bound.Constant("string", None)))
        return self.is_table(found.function.body, names, {})

    def relation(self, node: nodes.Expression, environment: Environment) -> bound.Relation:
        """The relation that a source or pipeline is. Raises `KqlError`."""
        self.weigh(node)
        if isinstance(node, nodes.Pipeline):
            return self.pipe(self.relation(node.source, environment), node.operators, environment)
        source = SOURCES.get(type(node))
        if source is None:
            raise error(node, "type", "expected a table", hint="print shows a value")
        return self.widen(node, source(self, node, environment))

    def pipe(self, relation: bound.Relation, operators: Sequence[nodes.Operator], environment: Environment) -> bound.Relation:
        """What comes out of the operators. What is wrong in one is kept, and the others are bound as if it were not there."""
        broken: list[Diagnostic] = []
        misses_columns = False
        inner = Environment(environment)
        for operator in operators:
            self.weigh(operator)
            method = OPERATORS.get(type(operator))
            try:
                if method is None:
                    name = operator.name if isinstance(operator, nodes.Unsupported) else type(operator).__name__.lower()
                    raise error(operator, "unsupported", f"the operator {name} is not supported", construct=name)
                relation = self.widen(operator, method(self, operator, relation, inner))
            except KqlError as unplaced:
                wrong = calls.placed(unplaced, operator.start, operator.end)
                if any(each.code == "too_complex" for each in wrong.diagnostics):
                    raise wrong from None
                # what an operator that is missing would have made is missing further on: that is not worth telling
                broken += [each for each in wrong.diagnostics if not misses_columns or each.code not in ("unknown_column", "type")]
                misses_columns = misses_columns or not isinstance(operator, _COLUMNS_STAY)
                if len(broken) >= DIAGNOSTICS_LIMIT:
                    break
        if broken:
            raise KqlError(*broken)
        return relation

    def table(self, schema: TableSchema) -> bound.Relation:
        """A table of the schema, with columns of its own each time that it is read."""
        return bound.Table(self.columns(schema.columns), schema)

    def read(self, found: TableBinding, node: nodes.Node) -> bound.Relation:
        """What `let` has named, with columns of its own each time that it is read."""
        self.weigh(node)
        return bound.Shared(self.columns(found.relation.columns), found.name, found.relation, found.is_materialized)

    def unknown_table(self, node: nodes.Node, name: str) -> KqlError:
        """The refusal of a table that nobody knows."""
        nearest = difflib.get_close_matches(name.lower(), [table.lower() for table in self.schema], n=1)
        known = next((table for table in self.schema if nearest and table.lower() == nearest[0]), None)
        hint = f"did you mean {known}?" if known else f"there are {', '.join(sorted(self.schema))}"
        return error(node, "unknown_table", f"there is no table {name[:100]!r}", hint=hint)

    # the query's own functions

    def define(self, let: nodes.Let, environment: Environment) -> None:
        """Give a name what `let` says. Raises `KqlError`; the name then stands for that error."""
        try:
            environment.set(let.name, self._defined(let, environment))
        except KqlError as wrong:
            environment.set(let.name, Broken(wrong))
            raise

    def _defined(self, let: nodes.Let, environment: Environment) -> Binding:
        value = let.value
        if isinstance(value, nodes.Lambda):
            # what is named later is not seen in its body, nor is the function itself
            return FunctionBinding(let.name, value, Environment(environment))
        if not self.is_table(value, environment, {}):
            return self.scalar(ExpressionBinder(self, environment, ()).bind(value))
        is_materialized = isinstance(value, nodes.Call) and value.name == "materialize" and len(value.arguments) == 1
        made = value.arguments[0] if is_materialized and isinstance(value, nodes.Call) else value
        return self.share(let.name, self.relation(made, environment), is_materialized=is_materialized)

    def call_scalar(self, found: FunctionBinding, node: nodes.Call, caller: ExpressionBinder) -> bound.Expr:
        """The value of a call of the query's own function."""
        inside = self._enter(found, node, caller)
        try:
            return ExpressionBinder(self, inside, ()).bind(found.function.body)
        finally:
            self._depth -= 1

    def call_table(
        self, found: FunctionBinding, node: nodes.Call, caller: ExpressionBinder, first: bound.Relation | None = None
    ) -> bound.Relation:
        """The rows of a call of the query's own function; `first` is what `invoke` passes."""
        inside = self._enter(found, node, caller, first)
        try:
            return self.relation(found.function.body, inside)
        finally:
            self._depth -= 1

    def _enter(
        self, found: FunctionBinding, node: nodes.Call, caller: ExpressionBinder, first: bound.Relation | None = None
    ) -> Environment:
        if self._depth >= CALL_DEPTH_LIMIT:
            raise error(node, "too_complex", f"functions call each other more than {CALL_DEPTH_LIMIT} deep")
        inside = Environment(found.environment)
        parameters = list(found.function.parameters)
        if first is not None and parameters:
            inside.set(parameters[0].name, self.share(parameters[0].name, first, is_materialized=False))
            parameters = parameters[1:]
        given = self._given(found, parameters, node)
        for parameter, argument in zip(parameters, given, strict=True):
            if parameter.columns is not None:
                relation = self.relation(argument, caller.environment) if argument is not None else None
                if relation is None:
                    raise error(node, "type", f"{found.name}() expected a table for {parameter.name}")
                self._check_columns(parameter, relation, node)
                inside.set(parameter.name, self.share(parameter.name, relation, is_materialized=False))
            else:
                inside.set(parameter.name, self.scalar(self._value(found, parameter, argument, node, caller)))
        self._depth += 1
        try:
            for let in found.function.lets:
                self.define(let, inside)
        except BaseException:
            self._depth -= 1
            raise
        return inside

    def _given(
        self, found: FunctionBinding, parameters: Sequence[nodes.LambdaParameter], node: nodes.Call
    ) -> list[nodes.Expression | None]:
        if len(node.arguments) > len(parameters):
            raise error(node, "type", f"{found.name}() takes {len(parameters)} arguments, got {len(node.arguments)}")
        by_name = {each.names[0]: each.expression for each in node.arguments if isinstance(each, nodes.Named)}
        in_order = [each for each in node.arguments if not isinstance(each, nodes.Named)]
        unknown = set(by_name) - {parameter.name for parameter in parameters}
        if unknown:
            raise error(node, "type", f"{found.name}() has no parameter {min(unknown)!r}")
        given: list[nodes.Expression | None] = []
        for parameter in parameters:
            if parameter.name in by_name:
                given.append(by_name[parameter.name])
            else:
                given.append(in_order.pop(0) if in_order else parameter.default)
            if given[-1] is None:
                raise error(node, "type", f"{found.name}() expected a value for {parameter.name}, got none")
        return given

    def _value(
        self,
        found: FunctionBinding,
        parameter: nodes.LambdaParameter,
        argument: nodes.Expression | None,
        node: nodes.Call,
        caller: ExpressionBinder,
    ) -> bound.Expr:
        assert argument is not None, "missing arguments were refused"
        value = caller.bind(argument)
        kind = parameter.type
        if kind is None or kind == value.type:
            return value
        is_integer = kind in INTEGERS and value.type in INTEGERS  # a literal is long, and may be passed for int
        if is_integer and isinstance(value, bound.Constant) and (value.value is None or abs(value.value) < 2**31):
            return bound.Constant(kind, value.value)
        # anything may be passed for a text: Azure's own workbooks do so with times
        if is_integer or calls.is_wider(kind, value.type) or kind == "string" or "dynamic" in (kind, value.type):
            return calls.convert(value, kind)
        raise error(argument, "type", f"{found.name}(): expected {kind} for {parameter.name}, got {value.type}")

    def _check_columns(self, parameter: nodes.LambdaParameter, relation: bound.Relation, node: nodes.Node) -> None:
        has = {column.name: column.type for column in relation.columns}
        for name, kind in parameter.columns or ():
            if has.get(name) != kind:
                came = has.get(name, "no such column")
                raise error(node, "type", f"expected a table with the column {name}: {kind} for {parameter.name}, got {came}")
