"""Tables by texts, `declare pattern`, and which tables the rest of a query sees, `restrict access`.

Sources: https://learn.microsoft.com/kusto/query/pattern-statement, https://learn.microsoft.com/kusto/query/restrict-statement
"""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.binder import Binder, binds_source
from forebay.telemetry.kql.binding.environment import Broken, Environment, FunctionBinding, PatternBinding, TableBinding
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.outputs import matches_wildcard
from forebay.telemetry.kql.syntax import nodes


def read_pattern(binder: Binder, node: nodes.Expression, environment: Environment) -> bound.Relation | None:
    """The table that `p('a')`, `p('a').b` or `p('a').['b']` means; None for anything that is no call of a pattern. Raises `KqlError`."""
    call = node.object if isinstance(node, (nodes.Member, nodes.Index)) else node
    if not isinstance(call, nodes.Call) or call.object is not None:
        return None
    found = environment.find(call.name)
    if not isinstance(found, PatternBinding):
        return None
    expressions = ExpressionBinder(binder, environment, ())
    arguments = tuple(_text(expressions, each) for each in call.arguments)
    path = None
    if isinstance(node, nodes.Member):
        path = node.name
    elif isinstance(node, nodes.Index):
        path = _text(expressions, node.index)
    for entry in found.pattern.entries:
        if entry.arguments == arguments and entry.path == path:
            return binder.relation(entry.body, Environment(found.environment))
    raise error(
        node, "unknown_table", f"the pattern {call.name} says nothing about these values", hint="declare pattern says which there are"
    )


def _text(expressions: ExpressionBinder, node: nodes.Expression) -> str:
    value = expressions.try_constant(node)
    if value is None or value.type != "string":
        raise error(node, "type", "a pattern takes constant texts")
    return str(value.value)


@binds_source(nodes.Index)
def _index(binder: Binder, node: nodes.Index, environment: Environment) -> bound.Relation:
    found = read_pattern(binder, node, environment)
    if found is None:
        raise error(node, "type", "expected a table", hint="print shows a value")
    return found


def restrict(binder: Binder, node: nodes.RestrictAccess, environment: Environment) -> None:
    """Hide all tables, and names of tables, but these. What was named before still reads what it did. Raises `KqlError`."""
    named = {name for name, binding in environment.names().items() if _is_tabular(binder, binding)}
    kept: set[str] = set()
    for each in node.tables:
        if isinstance(each, nodes.Wildcard):  # means names of the query itself, as in Kusto
            kept |= {name for name in named if matches_wildcard(each.pattern, name)}
        elif not isinstance(each, nodes.Name):
            raise error(
                each, "unsupported", "restrict access: expected the name of a table, or a pattern such as abc*", construct="database"
            )
        elif each.name not in named and each.name not in binder.schema:
            raise binder.unknown_table(each, each.name)
        else:
            kept.add(each.name)
    for name in (named | set(binder.schema)) - kept:
        environment.set(name, Broken(error(node, "unknown_table", f"restrict access hides the table {name[:100]!r}")))


def _is_tabular(binder: Binder, binding: object) -> bool:
    return isinstance(binding, (TableBinding, PatternBinding)) or (isinstance(binding, FunctionBinding) and binder.is_tabular(binding))
