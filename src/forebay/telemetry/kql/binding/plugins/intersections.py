"""`dcount_intersect`: how many values sets have in common, of the states that `hll` keeps of them.

Source: https://learn.microsoft.com/kusto/query/dcount-intersect-plugin
"""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound, calls
from forebay.telemetry.kql.binding.operators.evaluate import Plugin, plugin

_MOST_SETS = 16


@plugin("dcount_intersect")
def _dcount_intersect(use: Plugin) -> bound.Relation:
    if not 2 <= len(use.node.arguments) <= _MOST_SETS:
        raise use.error(f"expected 2 to {_MOST_SETS} states of hll(), got {len(use.node.arguments)}")
    states = [use.expressions.bind_as(each, "dynamic", "dcount_intersect") for each in use.node.arguments]
    outputs: dict[str, bound.Expr] = {column.name: bound.ColumnRef(column.type, column) for column in use.source.columns}
    for place in range(len(states)):
        outputs[f"s{place}"] = calls.call("dcount_of_intersection", states[: place + 1], 0, 0)
    return use.binder.compute(use.source, list(outputs.items()))
