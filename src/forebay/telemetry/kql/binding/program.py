"""Binds a program: its statements, one after the other, and what the last one asks."""

from __future__ import annotations

from msgspec import Struct

from forebay.telemetry.kql import functions
from forebay.telemetry.kql.binding import (
    bound,
    calls,
    operators,
    special,  # noqa: F401 - it declares calls
    spread,
)
from forebay.telemetry.kql.binding.binder import Binder, Explore
from forebay.telemetry.kql.binding.environment import Broken, Environment, PatternBinding, ScalarBinding
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.operators.patterns import restrict
from forebay.telemetry.kql.errors import DIAGNOSTICS_LIMIT, Diagnostic, KqlError
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType, Schema


class Query(Struct, frozen=True):
    """A query that is bound."""

    relation: bound.Relation
    parameters: tuple[bound.Parameter, ...]  # what `declare query_parameters` names
    fixed_now: bound.Constant | None  # what `set query_now` says: a datetime
    chart: nodes.Render | None
    explored: bool  # its columns depend on rows that were read while it was bound, so it may not be kept


def bind(program: nodes.Program, schema: Schema, *, explore: Explore | None = None) -> Query:
    """The meaning of a program over the tables of `schema`.

    Raises `KqlError` with everything that is wrong. Guarantee: the bound tree reads nothing but tables of `schema`.
    """
    functions.load()
    operators.load()
    spread.load()
    try:
        return _bind(program, Binder(schema, explore=explore))
    except RecursionError:
        raise KqlError(Diagnostic("too_complex", "the query is nested too deeply", program.start, program.end)) from None


def _bind(program: nodes.Program, binder: Binder) -> Query:
    environment = Environment()
    parameters: list[bound.Parameter] = []
    fixed_now: bound.Constant | None = None
    relation: bound.Relation | None = None
    wrong: list[Diagnostic] = []
    for statement in program.statements:
        try:
            if isinstance(statement, nodes.Let):
                binder.define(statement, environment)
            elif isinstance(statement, nodes.DeclareParameters):
                parameters += _declare(binder, statement, environment)
            elif isinstance(statement, nodes.SetOption):
                value = None if statement.value is None else _option(binder, statement.value, environment)
                if value is not None:
                    binder.options[statement.name] = value
                if statement.name == "query_now":
                    if value is None or value.type != "datetime":
                        raise error(statement, "type", "query_now: expected a datetime", hint="set query_now = datetime(2024-01-31);")
                    fixed_now = value
            elif isinstance(statement, nodes.DeclarePattern):
                environment.set(statement.name, PatternBinding(statement, Environment(environment)))
            elif isinstance(statement, nodes.RestrictAccess):
                restrict(binder, statement, environment)
            elif isinstance(statement, nodes.UnsupportedStatement):
                raise error(statement, "unsupported", f"{statement.name} is not supported", construct=statement.name)
            elif isinstance(statement, nodes.QueryStatement):
                if relation is not None:
                    raise error(statement, "unsupported", "expected one query, got several", hint="send them one at a time")
                relation = binder.relation(statement.expression, environment)
        except KqlError as found:
            wrong += found.diagnostics
            if len(wrong) >= DIAGNOSTICS_LIMIT or any(each.code == "too_complex" for each in found.diagnostics):
                break
    if wrong:
        raise KqlError(*_distinct(wrong))
    if relation is None:
        raise KqlError(Diagnostic("syntax", "expected a query, found none after the statements", program.end, program.end))
    if not relation.columns:
        raise error(program.statements[-1], "type", "expected at least one column in the answer, got none", hint="project some")
    return Query(relation, tuple(parameters), fixed_now, binder.chart, binder.explored)


def _option(binder: Binder, value: nodes.Expression, environment: Environment) -> bound.Constant | None:
    """The value of an option; names without quotes, which some options have, are none."""
    if isinstance(value, nodes.Name) and environment.find(value.name) is None:
        return None
    return ExpressionBinder(binder, environment, ()).try_constant(value)


def _declare(binder: Binder, statement: nodes.DeclareParameters, environment: Environment) -> list[bound.Parameter]:
    declared: list[bound.Parameter] = []
    wrong: list[Diagnostic] = []
    for parameter in statement.parameters:
        kind = parameter.type or "string"
        default: bound.Constant | None = None
        try:
            if parameter.default is not None:
                default = _default(binder, parameter, parameter.default, kind, environment)
        except KqlError as found:
            wrong += found.diagnostics
            environment.set(parameter.name, Broken(found))
            continue
        declared.append(bound.Parameter(kind, parameter.name, default))
        environment.set(parameter.name, ScalarBinding(declared[-1]))
    if wrong:
        raise KqlError(*wrong)
    return declared


def _default(
    binder: Binder, parameter: nodes.LambdaParameter, default: nodes.Expression, kind: KqlType, environment: Environment
) -> bound.Constant:
    value = ExpressionBinder(binder, environment, ()).bind(default)
    value = calls.widen(value, kind) if calls.is_wider(kind, value.type) else value
    if kind == "int" and value.type == "long" and isinstance(value, bound.Constant):  # a literal is long
        value = bound.Constant(kind, value.value)
    if not isinstance(value, bound.Constant) or value.type != kind:
        raise error(default, "type", f"expected a constant of the type {kind} for {parameter.name}, got {value.type}")
    return value


def _distinct(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    return sorted(set(diagnostics), key=lambda each: (each.start, each.end))[:DIAGNOSTICS_LIMIT]
