"""`scan`.

Source: https://learn.microsoft.com/kusto/query/scan-operator
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from forebay.telemetry.kql.binding import bound, calls, windows
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.parts import has_window
from forebay.telemetry.kql.syntax import nodes

_STEP_LIMIT = 20


@binds(nodes.Scan)
def _scan(binder: Binder, node: nodes.Scan, source: bound.Relation, environment: Environment) -> bound.Relation:
    match_name = _parameters(node)
    if not windows.is_serialized(source):
        raise error(node, "type", "scan expected rows in an order, got rows without one", hint="`sort by ...` or `serialize` before")
    scan = _Scan(binder, node, source, environment)
    relation = scan.relation()
    shown = relation.columns[:-1] if match_name is None else relation.columns
    outputs = [(column.name, bound.ColumnRef(column.type, column)) for column in shown]
    if match_name is not None:
        outputs[-1] = (match_name, outputs[-1][1])
    return binder.compute(relation, outputs)


def _parameters(node: nodes.Scan) -> str | None:
    """The name of the column of matches, where it is wanted. Raises `KqlError`."""
    name = None
    for parameter in node.parameters:
        if parameter.name != "with_match_id":
            raise error(parameter, "unsupported", f"scan {parameter.name} is not supported", construct=f"scan {parameter.name}")
        name = parameter.value
    if node.order or node.partition:
        raise error(
            node, "unsupported", "scan with an order or partitions of its own is not supported", hint="sort before, partition around"
        )
    if len(node.steps) > _STEP_LIMIT:
        raise error(node, "too_complex", f"expected at most {_STEP_LIMIT} steps, got {len(node.steps)}")
    for step in node.steps:
        if step.output == "last" or step.is_optional:
            what = "output=last" if step.output == "last" else "optional"
            raise error(step, "unsupported", f"scan: a step with {what} is not supported", construct=f"scan {what}")
    return name


class _Scan:
    def __init__(self, binder: Binder, node: nodes.Scan, source: bound.Relation, environment: Environment) -> None:
        self._binder, self._node, self._source, self._environment = binder, node, source, environment
        self._steps = {step.name: index for index, step in enumerate(node.steps)}
        taken = {column.name for column in source.columns}
        if len(self._steps) < len(node.steps):
            raise error(node, "type", "scan: two steps have the same name")
        self._declared: dict[str, bound.Column] = {}
        for name, kind, _ in node.declarations:
            if name in taken or name in self._declared:
                raise error(node, "type", f"a column with the name {name[:100]!r} is already declared")
            self._declared[name] = binder.column(name, kind)
        self._states: dict[tuple[str, str], bound.ScanState] = {}

    def relation(self) -> bound.Scan:
        steps = tuple(self._step(index, step) for index, step in enumerate(self._node.steps))
        columns = (*self._source.columns, *self._declared.values(), self._binder.column("match_id", "long"))
        return bound.Scan(columns, self._source, steps, tuple(self._states.values()), tuple(map(self._default, self._node.declarations)))

    def _default(self, declaration: tuple[str, Any, nodes.Expression | None]) -> bound.Constant:
        _, kind, given = declaration
        if given is None:
            return bound.Constant(kind, None)
        value = ExpressionBinder(self._binder, self._environment, ()).bind_as(given, kind, "scan: a default")
        if not isinstance(value, bound.Constant):
            raise error(given, "type", "scan: expected a constant as a default")
        return value

    def _step(self, index: int, step: nodes.ScanStep) -> bound.ScanStep:
        condition = self._bound(step.condition, index)
        if condition.type != "bool":
            raise error(step, "type", f"scan: expected a condition (bool), got {condition.type}")
        given: dict[str, bound.Expr] = {}
        for each in step.assignments:
            if not isinstance(each, nodes.Named) or each.names[0] not in self._declared:
                raise error(each, "type", "scan: expected an assignment to a column that is declared", hint="declare (name: type)")
            value = self._bound(each.expression, index)
            kind = self._declared[each.names[0]].type
            if value.type != kind and not calls.is_wider(kind, value.type) and value.type != "dynamic":
                raise error(each, "type", f"scan: expected {kind} for {each.names[0]}, got {value.type}")
            given[each.names[0]] = calls.convert(value, kind)
        return bound.ScanStep(condition, tuple(given.get(name) for name in self._declared), step.output == "all")

    def _bound(self, node: nodes.Expression, index: int) -> bound.Expr:
        node = self._named(node, index)
        columns = (*self._source.columns, *(state.column for state in self._states.values()))
        value = ExpressionBinder(self._binder, self._environment, columns).bind(node)
        if has_window(value):
            raise error(node, "type", "scan: functions of neighbours may not stand in a step", hint="extend a column with prev(...) before")
        return value

    def _named(self, node: Any, index: int) -> Any:
        """The expression with a name for each `step.column` in it."""
        if isinstance(node, nodes.Member) and isinstance(node.object, nodes.Name) and node.object.name in self._steps:
            state = self._state(node, node.object.name, index)
            return nodes.Name(node.start, node.end, state.column.name)
        if isinstance(node, tuple):
            return tuple(self._named(each, index) for each in node)
        if isinstance(node, nodes.Node):
            changed: Mapping[str, Any] = {field: self._named(getattr(node, field), index) for field in node.__struct_fields__}
            return msgspec.structs.replace(node, **changed)
        return node

    def _state(self, node: nodes.Member, step: str, index: int) -> bound.ScanState:
        if self._steps[step] > index:
            raise error(node, "type", f"scan: the step {step} comes after the one that reads it")
        known = self._states.get((step, node.name))
        if known is None:
            by_name = {column.name: column for column in self._source.columns} | self._declared
            if node.name not in by_name:
                raise error(node, "unknown_column", f"there is no column {node.name[:100]!r} in the step {step}")
            origin = by_name[node.name]
            column = self._binder.column(f"{step}\0{node.name}", origin.type)
            known = self._states[step, node.name] = bound.ScanState(column, self._steps[step], origin)
        return known
