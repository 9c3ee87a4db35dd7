"""Calls that answer several columns: `arg_max(t, *)`, `percentiles(x, 50, 95)`, `series_fit_line(y)`, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from forebay.telemetry.kql.binding import bound, calls, naming
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax import nodes

Columns = list[tuple[str, bound.Expr]]
Spread = Callable[[ExpressionBinder, nodes.Call], Columns | None]
SPREADS: dict[str, Spread] = {}


def _spreads(*names: str) -> Callable[[Spread], Spread]:
    def declare(spread: Spread) -> Spread:
        for name in names:
            SPREADS[name] = spread
        return spread

    return declare


def _picked(expressions: ExpressionBinder, node: nodes.Call, names: Sequence[str], taken: set[str]) -> list[tuple[str, nodes.Expression]]:
    """What a call picks of a row, `*` as the columns that it means: all but the keys and those that the call names."""
    has_star = any(isinstance(each, nodes.Wildcard) for each in node.arguments)
    keys = set(expressions.key_names)
    known = taken | {each.name for each in node.arguments if isinstance(each, nodes.Name)} | keys
    found: list[tuple[str, nodes.Expression]] = []
    for name, each in zip(names, node.arguments, strict=True):
        if isinstance(each, nodes.Wildcard):
            found += [
                (name.replace("*", column), nodes.Name(each.start, each.end, column))
                for column in expressions.columns
                if column not in known
            ]
        elif isinstance(each, nodes.Named):
            found.append((each.names[0], each.expression))
        elif not (has_star and isinstance(each, nodes.Name) and each.name in keys):
            found.append((name, each))
    return found


@_spreads("arg_max", "arg_min", "argmax", "argmin")
def _arg(expressions: ExpressionBinder, node: nodes.Call) -> Columns:
    """The extreme value, and the other columns of its row."""
    names = naming.result_names(node)
    if not node.arguments or names is None:
        raise error(node, "type", f"{node.name}() takes an expression and what to pick of its row, got nothing")
    first = node.arguments[0]
    if isinstance(first, nodes.Named):
        names, first = (first.names[0], *names[1:]), first.expression
    by = expressions.bind_aggregated(first)
    others = nodes.Call(node.start, node.end, node.name, node.arguments[1:])
    taken = {first.name} if isinstance(first, nodes.Name) else set()
    return [
        (names[0], expressions.aggregate_of(node, [by, by])),
        *(
            (name, expressions.aggregate_of(node, [by, expressions.bind_aggregated(each)]))
            for name, each in _picked(expressions, others, names[1:], taken)
        ),
    ]


@_spreads("take_any", "any")
def _take_any(expressions: ExpressionBinder, node: nodes.Call) -> Columns | None:
    """Values of any row, all of the same one."""
    names = naming.result_names(node)
    if names is None or not node.arguments:
        return None
    picked = _picked(expressions, node, names, set())
    of_row = nodes.Call(node.start, node.end, "take_any" if len(picked) == 1 else "take_any_of_row", ())
    return [(name, expressions.aggregate_of(of_row, [expressions.bind_aggregated(each)])) for name, each in picked]


@_spreads("percentile", "percentilew", "percentiles", "percentilesw")
def _percentiles(expressions: ExpressionBinder, node: nodes.Call) -> Columns:
    measured_count = 2 if "w" in node.name else 1
    names = naming.result_names(node, expressions.constant_value)
    if names is None or len(node.arguments) <= measured_count:
        raise error(node, "type", f"{node.name}() takes an expression and percentages, got {len(node.arguments)} arguments")
    single = nodes.Call(node.start, node.end, "percentile" if measured_count == 1 else "percentilew", ())
    measured = [expressions.bind_aggregated(each) for each in node.arguments[:measured_count]]
    columns: Columns = []
    for name, each in zip(names, node.arguments[measured_count:], strict=True):
        percentage = expressions.bind_aggregated(each)
        if percentage.type == "dynamic":
            array = "percentiles_array" if measured_count == 1 else "percentilesw_array"
            raise error(each, "type", f"{node.name}() takes numbers as percentages, got dynamic", hint=f"{array}() takes an array of them")
        columns.append((name, expressions.aggregate_of(single, [*measured, percentage])))
    return columns


@_spreads("array_sort_asc", "array_sort_desc")
def _sorted_arrays(expressions: ExpressionBinder, node: nodes.Call) -> Columns | None:
    """The array in order, and others in the order of the first one."""
    value = expressions.declared(node)
    arrays = [each for each in node.arguments if not (isinstance(each, nodes.Literal) and each.type == "bool")]
    names = [f"{naming.result_name(each) or f'array{index}'}_sorted" for index, each in enumerate(arrays)]
    if len(arrays) == 1:
        return [(names[0], value)]
    return [(name, calls.call("element", [value, bound.Constant("long", index)], node.start, node.end)) for index, name in enumerate(names)]


def _series(expressions: ExpressionBinder, node: nodes.Call) -> Columns:
    """The elements of one array, each in its type."""
    value = expressions.declared(node)
    names = naming.result_names(node) or ()
    columns: Columns = []
    for index, (suffix, kind) in enumerate(registry.SPREAD[node.name]):
        part = calls.call(f"_part_{kind}", [value, bound.Constant("long", index)], node.start, node.end)
        columns.append((names[index] if index < len(names) else f"{node.name}_{suffix}", part))
    return columns


@cache
def load() -> None:
    """Declare the spreads of functions that the registry says answer several columns."""
    for name in registry.SPREAD:
        SPREADS.setdefault(name, _series)
