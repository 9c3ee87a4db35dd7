"""Sources: tables, names of `let`, `datatable`, `print`, `range`, and calls that make tables."""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.binding import bound, calls
from forebay.telemetry.kql.binding.binder import Binder, binds, binds_source
from forebay.telemetry.kql.binding.environment import Environment, FunctionBinding, ScalarBinding, TableBinding
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.operators.patterns import read_pattern
from forebay.telemetry.kql.binding.outputs import Output, bind_outputs, named
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import TICKS_PER_MICROSECOND, KqlType

ROW_LIMIT = 20_000  # of a datatable
RANGE_LIMIT = 1_000_000  # values of a `range`


@binds_source(nodes.Name)
def _name(binder: Binder, node: nodes.Name, environment: Environment) -> bound.Relation:
    found = environment.find(node.name)
    if isinstance(found, TableBinding):
        return binder.read(found, node)
    if isinstance(found, FunctionBinding):
        return _call(binder, nodes.Call(node.start, node.end, node.name, ()), environment)
    if isinstance(found, ScalarBinding):
        raise error(node, "type", f"expected a table, {node.name} is a value ({found.expression.type})", hint=f"print {node.name} shows it")
    if node.name not in binder.schema:
        raise binder.unknown_table(node, node.name)
    return binder.table(binder.schema[node.name])


@binds_source(nodes.Call)
def _call(binder: Binder, node: nodes.Call, environment: Environment) -> bound.Relation:
    by_pattern = read_pattern(binder, node, environment)
    if by_pattern is not None:
        return by_pattern
    if node.object is not None or node.name in ("cluster", "database", "workspace", "app", "resource"):
        name = node.name if node.object is None else _first_call(node)
        raise error(
            node,
            "unsupported",
            f"{name}() is not supported: a query reads the tables that it sees",
            hint="name the table alone",
            construct=name,
        )
    caller = ExpressionBinder(binder, environment, ())
    found = environment.find(node.name)
    if isinstance(found, FunctionBinding):
        if not binder.is_tabular(found):
            raise error(node, "type", f"expected a table, {node.name}() answers a value", hint=f"print {node.name}(...) shows it")
        return binder.call_table(found, node, caller)
    if node.name == "materialize" and len(node.arguments) == 1:
        relation = binder.relation(node.arguments[0], environment)
        return binder.read(binder.share("materialized", relation, is_materialized=True), node)
    if node.name == "view" and len(node.arguments) == 1:
        return binder.relation(node.arguments[0], environment)
    if node.name == "table" and node.arguments:
        table = caller.try_constant(node.arguments[0])
        if table is None or table.type != "string":
            raise error(node.arguments[0], "type", "table() takes the table's name as a constant text")
        return _name(binder, nodes.Name(node.start, node.end, table.value), environment)
    if registry.find(node.name):
        raise error(node, "type", f"expected a table, {node.name}() answers a value", hint=f"print {node.name}(...) shows it")
    raise calls.unknown_function(node.name, node.start, node.end)


def _first_call(node: nodes.Call) -> str:
    here: nodes.Expression = node
    while isinstance(here, (nodes.Call, nodes.Member)) and here.object is not None:
        here = here.object
    return here.name if isinstance(here, (nodes.Call, nodes.Member, nodes.Name)) else node.name


@binds_source(nodes.Member)
def _member(binder: Binder, node: nodes.Member, environment: Environment) -> bound.Relation:
    by_pattern = read_pattern(binder, node, environment)
    if by_pattern is not None:
        return by_pattern
    inner = node.object
    while isinstance(inner, (nodes.Call, nodes.Member)) and inner.object is not None:
        inner = inner.object
    name = inner.name if isinstance(inner, (nodes.Call, nodes.Member, nodes.Name)) else node.name
    raise error(
        node,
        "unsupported",
        f"{name} is not supported: a query reads the tables that it sees",
        hint=f"name the table alone: {node.name}",
        construct=name,
    )


@binds_source(nodes.Datatable)
def _datatable(binder: Binder, node: nodes.Datatable, environment: Environment) -> bound.Relation:
    width = len(node.columns)
    if not width or len(node.values) % width:
        raise error(node, "type", f"expected values for rows of {width} columns, got {len(node.values)} values")
    if len(node.values) // width > ROW_LIMIT:
        raise error(node, "too_complex", f"expected at most {ROW_LIMIT} rows in a datatable, got {len(node.values) // width}")
    names = [name for name, _ in node.columns]
    if len(set(names)) < width:
        twice = next(name for name in names if names.count(name) > 1)
        raise error(node, "type", f"a column with the name {twice[:100]!r} is already declared")
    expressions = ExpressionBinder(binder, environment, ())
    values = [_cell(expressions, value, node.columns[index % width][1]) for index, value in enumerate(node.values)]
    rows = tuple(tuple(values[index : index + width]) for index in range(0, len(values), width))
    return bound.Rows(tuple(binder.column(name, kind) for name, kind in node.columns), rows)


def _cell(expressions: ExpressionBinder, node: nodes.Expression, kind: KqlType) -> Any:
    """A value of a datatable in the type of its column. Kusto converts constants there."""
    value = expressions.bind(node)
    if not isinstance(value, bound.Constant):
        raise error(node, "type", "expected a constant in a datatable")
    if value.value is None or value.type == kind:
        return value.value if value.value is not None or kind != "string" else ""
    if calls.is_wider(kind, value.type):
        widened = calls.widen(value, kind)
        assert isinstance(widened, bound.Constant), "a constant widens to one"
        return widened.value
    converted = _converted(value, kind)
    if converted is _NOT_CONVERTED:
        raise error(node, "type", f"expected {kind}, got {value.type}")
    return converted


_NOT_CONVERTED: Any = object()


def _converted(value: bound.Constant, kind: KqlType) -> Any:
    if kind == "dynamic":
        return nodes.DynamicValue(value.type, value.value) if value.type in ("datetime", "timespan", "guid", "decimal") else value.value
    if kind == "int" and value.type == "long":
        return value.value if -(2**31) <= value.value < 2**31 else None
    if kind == "long" and value.type in ("real", "decimal"):
        return int(value.value)
    if kind == "bool" and value.type in ("int", "long"):
        return bool(value.value)
    if value.type == "string" and kind != "string":
        from forebay.telemetry.kql.syntax.literals import text_value

        return text_value(kind, value.value)
    if kind == "string" and value.type in ("int", "long"):
        return str(value.value)
    return _NOT_CONVERTED


@binds_source(nodes.Print)
def _print(binder: Binder, node: nodes.Print, environment: Environment) -> bound.Relation:
    expressions = ExpressionBinder(binder, environment, ())
    outputs: list[Output] = []
    for entry in node.outputs:
        found = bind_outputs(expressions, [entry])
        if isinstance(entry, nodes.Named):
            outputs += found[: len(entry.names)]
        elif len(found) > 1:
            outputs += found
        else:  # nothing here has a name of its own
            outputs.append(Output(f"print_{len(outputs)}", False, found[0].expression, entry))
    return binder.compute(bound.Rows((), ((),)), named(outputs))


@binds_source(nodes.Range)
def _range(binder: Binder, node: nodes.Range, environment: Environment) -> bound.Relation:
    expressions = ExpressionBinder(binder, environment, ())
    first, last, step = (expressions.bind(each) for each in (node.first, node.last, node.step))
    if first.type in ("datetime", "timespan"):
        if last.type != first.type or step.type != "timespan":
            raise error(
                node, "type", f"range: expected {first.type}, {first.type} and a timespan, got {first.type}, {last.type}, {step.type}"
            )
        kind: KqlType = first.type
        if isinstance(step, bound.Constant) and step.value is not None and first.type == "datetime" and step.value % TICKS_PER_MICROSECOND:
            raise error(
                node.step, "unsupported", "a range of datetimes in steps of less than a microsecond is not supported", construct="range"
            )
    else:
        common = calls.common_type([first.type, last.type, step.type])
        if common not in ("int", "long", "real"):
            raise error(node, "type", f"range: expected numbers or datetimes, got {first.type}, {last.type}, {step.type}")
        kind = common
        first, last, step = (calls.widen(each, kind) for each in (first, last, step))
    if isinstance(step, bound.Constant) and step.value == 0:
        raise error(node.step, "type", "range: expected a step other than 0")
    _check_length(node, first, last, step)
    return bound.RangeRows((binder.column(node.name, kind),), first, last, step)


def _check_length(node: nodes.Range, first: bound.Expr, last: bound.Expr, step: bound.Expr) -> None:
    """Refuse a range of constants that is too long; any other one is refused when it runs."""
    values = [each.value for each in (first, last, step) if isinstance(each, bound.Constant) and each.value is not None]
    if len(values) == 3 and (values[1] - values[0]) / values[2] >= RANGE_LIMIT:
        raise error(node, "too_complex", f"expected a range of at most {RANGE_LIMIT} values, got more")


@binds_source(nodes.UnionSource)
def _union(binder: Binder, node: nodes.UnionSource, environment: Environment) -> bound.Relation:
    from forebay.telemetry.kql.binding.operators.union import bind_union

    return bind_union(binder, node.union, None, environment)


@binds_source(nodes.ExternalData)
def _external_data(binder: Binder, node: nodes.ExternalData, environment: Environment) -> bound.Relation:
    raise error(node, "unsupported", "externaldata is not supported: a query reads the tables that it sees", construct="externaldata")


@binds(nodes.Invoke)
def _invoke(binder: Binder, node: nodes.Invoke, source: bound.Relation, environment: Environment) -> bound.Relation:
    found = environment.find(node.name)
    if not isinstance(found, FunctionBinding):
        raise calls.unknown_function(node.name, node.start, node.end)
    call = nodes.Call(node.start, node.end, node.name, node.arguments)
    return binder.call_table(found, call, ExpressionBinder(binder, environment, ()), source)
