"""`make-series`: groups by the keys and by places on an axis, then arrays over the places."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound, calls
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.operators.summarize import check_keys, summarize
from forebay.telemetry.kql.binding.outputs import Output, bind_output, bind_outputs, named
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import NUMBERS, TICKS_PER_MICROSECOND, KqlType

_PLACE = "$place"
_ZERO: dict[KqlType, bound.Constant] = {
    "datetime": bound.Constant("datetime", 0),
    "timespan": bound.Constant("timespan", 0),
    "long": bound.Constant("long", 0),
    "real": bound.Constant("real", 0.0),
}


class _Axis:
    """The axis, with its bounds, all of one type (the step of datetimes is a timespan)."""

    def __init__(self, expressions: ExpressionBinder, fixed: ExpressionBinder, node: nodes.MakeSeries) -> None:
        if node.step is None:
            raise error(node, "type", "make-series expected a step", hint="on t from a to b step 1h")
        self.node = node
        (self.output,) = _single(bind_output(expressions, node.axis), node.axis)
        value = self.output.expression
        bounds = [None if each is None else fixed.bind(each) for each in (node.first, node.last)]
        step = fixed.bind(node.step)
        if value.type in ("datetime", "timespan"):
            self.type: KqlType = value.type
            self.step = fixed.bind_as(node.step, "timespan", "the step of make-series")
        else:
            found = calls.common_type([each.type for each in (value, step, *bounds) if each is not None])
            if found is None or found not in NUMBERS:
                types = ", ".join(dict.fromkeys(each.type for each in (value, step, *bounds) if each is not None))
                raise error(node.axis, "type", f"the axis of make-series: expected datetimes, timespans or numbers, got {types}")
            self.type = "long" if found == "int" else "real" if found == "decimal" else found
            self.step = calls.convert(step, self.type)
        self.value = self._as_axis(value, node.axis)
        self.first, self.last = (
            None if each is None else self._as_axis(each, place or node)
            for each, place in zip(bounds, (node.first, node.last), strict=True)
        )
        self._check_step()

    def _as_axis(self, expression: bound.Expr, node: nodes.Node) -> bound.Expr:
        if expression.type == self.type:
            return expression
        if expression.type == "dynamic" or (expression.type in NUMBERS and self.type in NUMBERS):
            return calls.convert(expression, self.type)
        raise error(node, "type", f"make-series: expected {self.type}, as the axis is, got {expression.type}")

    def _check_step(self) -> None:
        if not isinstance(self.step, bound.Constant):
            return
        least = TICKS_PER_MICROSECOND if self.type == "datetime" else 0
        if self.step.value is None or self.step.value <= 0 or self.step.value < least:
            raise error(self.node.step or self.node, "type", "make-series: expected a step above 0", hint="step 1h")

    def call(self, name: str, *arguments: bound.Expr) -> bound.Expr:
        """A function of the axis."""
        return calls.call(name, arguments, self.node.start, self.node.end)


def _single(outputs: list[Output], node: nodes.Node) -> list[Output]:
    if len(outputs) != 1:
        raise error(node, "type", "expected one column for the axis of make-series")
    return outputs


@binds(nodes.MakeSeries)
def _make_series(binder: Binder, node: nodes.MakeSeries, source: bound.Relation, environment: Environment) -> bound.Relation:
    expressions = ExpressionBinder(binder, environment, source.columns)
    fixed = ExpressionBinder(binder, environment, ())
    axis = _Axis(expressions, fixed, node)
    keys = bind_outputs(expressions, node.keys)
    check_keys(keys)
    origin, first, end, predicate = _bounds(axis, is_range=node.is_range)
    filtered = bound.Filter(source.columns, source, predicate)

    aggregated: list[tuple[bound.Column, bound.AggregateCall]] = []
    over = ExpressionBinder(binder, environment, source.columns, aggregates=aggregated)
    values: list[Output] = []
    defaults: list[bound.Expr] = []
    for each in node.aggregates:
        for output in map(_plain_number, bind_output(over, each.expression)):
            values.append(output)
            defaults.append(_default(fixed, each, output))

    place = Output(_PLACE, True, axis.call("_series_place", axis.value, origin, axis.step), node.axis)
    outputs = [*keys, place, *values]
    names = [name for name, _ in named([*keys, *values, axis.output])]
    grouped = [(str(index), each.expression) for index, each in enumerate(outputs)]
    groups = summarize(binder, filtered, grouped, len(keys) + 1, aggregated, outputs)
    key_columns, place_column, value_columns = groups.columns[: len(keys)], groups.columns[len(keys)], groups.columns[len(keys) + 1 :]
    made = [binder.column(name, each.type, is_nullable=each.is_nullable) for name, each in zip(names, key_columns, strict=False)]
    made += [binder.column(name, "dynamic") for name in names[len(keys) :]]
    is_never_empty = any(each.name == "kind" and each.value == "nonempty" for each in node.parameters) and not keys
    return bound.MakeSeries(
        tuple(made), groups, key_columns, place_column, value_columns, tuple(defaults), origin, axis.step, first, end, is_never_empty
    )


def _plain_number(output: Output) -> Output:
    """A series has integers or reals, no decimals."""
    if output.expression.type != "decimal":
        return output
    return Output(output.name, output.is_declared, calls.convert(output.expression, "real"), output.node)


def _bounds(axis: _Axis, *, is_range: bool) -> tuple[bound.Expr, bound.Expr | None, bound.Expr | None, bound.Expr]:
    """The origin, the first place and the one behind the last, and which rows count.

    `from` is where the first bin begins. Without it, and in the legacy form `in range(first, last, step)`, bins are those of `bin()`;
    in that form the bin of `last` is the last one.
    """
    zero = _ZERO[axis.type]
    if is_range and axis.first is not None and axis.last is not None:
        first = axis.call("_series_place", axis.first, zero, axis.step)
        end = axis.call("_series_end", axis.last, zero, axis.step)
        low = axis.call("bin", axis.first, axis.step)
        high = axis.call("+", axis.call("bin", axis.last, axis.step), axis.step)
        return zero, first, end, axis.call("and", axis.call(">=", axis.value, low), axis.call("<", axis.value, high))
    origin = axis.first or zero
    conditions = []
    if axis.first is not None:
        conditions.append(axis.call(">=", axis.value, axis.first))
    if axis.last is not None:
        conditions.append(axis.call("<", axis.value, axis.last))
    predicate = axis.call("isnotnull", axis.value) if not conditions else conditions[0]
    if len(conditions) == 2:
        predicate = axis.call("and", *conditions)
    end_place = None if axis.last is None else axis.call("_series_length", axis.last, origin, axis.step)
    return origin, bound.Constant("long", 0) if axis.first is not None else None, end_place, predicate


def _default(fixed: ExpressionBinder, node: nodes.SeriesAggregate, output: Output) -> bound.Expr:
    """What stands where a group has no rows: 0, if nothing else is said. A number is one of the type of the values."""
    kind = output.expression.type
    if kind not in NUMBERS and (kind not in ("datetime", "timespan", "bool") or node.default is None):
        raise error(
            output.node,
            "type",
            f"make-series: expected numbers, got {kind}",
            hint="default=... says what stands in the gaps" if node.default is None else "",
        )
    if node.default is None:
        return calls.convert(bound.Constant("long", 0), kind) if kind != "int" else bound.Constant("int", 0)
    default = fixed.bind(node.default)
    if isinstance(default, bound.Constant) and default.value is None:
        return bound.Constant(kind, None)
    if default.type == kind or calls.is_wider(kind, default.type):
        return calls.convert(default, kind)
    if default.type == "long" and kind == "int" and isinstance(default, bound.Constant) and abs(default.value) < 2**31:
        return bound.Constant("int", default.value)
    if default.type in ("real", "decimal", "long") and kind in ("int", "long", "real"):
        return default  # the gaps are filled with values of another type
    raise error(node.default, "type", f"make-series: expected a default of type {kind}, got {default.type}")
