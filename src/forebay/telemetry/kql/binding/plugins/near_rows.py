"""`rows_near`: the rows around those for which a condition is true, said in KQL.

Source: https://learn.microsoft.com/kusto/query/rows-near-plugin
"""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound, calls, naming, windows
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.operators.evaluate import Plugin, plugin
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax import nodes

# how many rows up to each one are hits; a row is near where that number changes within its surroundings
_NEAR = """
source
| sort by ['{row}'] asc
| extend ['{hit}'] = row_cumsum(['{hit}'])
| where coalesce(next(['{hit}'], {before}), toscalar(source | summarize sum(['{hit}']))) > prev(['{hit}'], {after}, 0)
"""


@plugin("rows_near")
def _rows_near(use: Plugin) -> bound.Relation:
    from forebay.telemetry.kql.syntax.parser import parse

    arguments = use.arguments("condition", "rows", "rows_after", required=2)
    if not windows.is_serialized(use.source):
        raise use.error("expected rows in an order: `sort by ...` or `serialize` before")
    before = _count(use, arguments["rows"])
    after = _count(use, arguments["rows_after"]) if "rows_after" in arguments else before
    names = {column.name for column in use.source.columns}
    row, hit = naming.unique("row", names), naming.unique("hit", names)
    (row_number,) = registry.find("row_number")
    number = bound.WindowCall("long", row_number, (bound.Constant("long", 1), None))
    passed = [(column.name, bound.ColumnRef(column.type, column)) for column in use.source.columns]
    condition = calls.convert(use.expressions.bind_condition(arguments["condition"], "rows_near"), "long")
    source = use.binder.compute(use.source, [*passed, (row, number), (hit, condition)])
    environment = Environment()
    environment.set("source", use.binder.share(use.node.plugin, source, is_materialized=True))
    (query,) = parse(_NEAR.format(row=row, hit=hit, before=before, after=after + 1)).statements
    assert isinstance(query, nodes.QueryStatement), "it asks for rows"
    found = use.binder.relation(query.expression, environment)
    by_name = {column.name: column for column in found.columns}
    return use.binder.compute(found, [(name, bound.ColumnRef(by_name[name].type, by_name[name])) for name, _ in passed])


def _count(use: Plugin, node: nodes.Expression) -> int:
    value = use.constant(node, "long")
    if value is None or not 0 <= value <= 1_000_000:
        raise use.error("expected a number of rows of 0 to 1,000,000", node)
    return int(value)
