"""Plugins that count what was active over time, each said in KQL.

It reads rows with the columns `id`, `moment` and `slice` (the dimensions as a text).

Sources: https://learn.microsoft.com/kusto/query/active-users-count-plugin,
https://learn.microsoft.com/kusto/query/activity-counts-metrics-plugin,
https://learn.microsoft.com/kusto/query/activity-metrics-plugin, https://learn.microsoft.com/kusto/query/sliding-window-counts-plugin,
https://learn.microsoft.com/kusto/query/rolling-percentile-plugin
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forebay.telemetry.kql.binding import bound, calls
from forebay.telemetry.kql.binding.environment import Environment, ScalarBinding
from forebay.telemetry.kql.binding.operators.evaluate import Plugin, plugin
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType

_COUNTS = """
let rows = source | where moment between (start .. end) | extend moment = bin_at(moment, window, start);
let new = rows | summarize moment = min(moment) by id, slice | summarize new = count() by moment, slice;
rows
| summarize count = count(), dcount = count_distinct(id) by moment, slice
| join kind=leftouter (new) on moment, slice
| extend new_dcount = coalesce(new, 0)
| sort by slice asc, moment asc
| extend aggregated_dcount = row_cumsum(new_dcount, slice != prev(slice))
"""

_METRICS = """
let rows = source | where moment between (start .. end) | summarize by id, slice, moment = bin_at(moment, window, start);
let before = rows | extend moment = moment + window;
let sizes = before | summarize size = count() by moment, slice;
let kept = rows | join kind=inner (before) on id, slice, moment | summarize kept = count() by moment, slice;
rows
| summarize dcount_values = count() by moment, slice
| join kind=leftouter (kept) on moment, slice
| join kind=leftouter (sizes) on moment, slice
| extend kept = coalesce(kept, 0)
| extend dcount_newvalues = dcount_values - kept
| extend retention_rate = iff(isnull(size), real(nan), todouble(kept) / size)
| extend churn_rate = iff(isnull(size), real(nan), todouble(size - kept) / size)
| sort by slice asc, moment asc
"""

_SLIDING = """
source
| where moment between (start - lookback .. end)
| extend moment = bin_at(moment, window, start)
| mv-expand shown = range(moment, moment + lookback - window, window) to typeof(datetime)
| where shown between (start .. end)
| summarize Count = count(), Dcount = count_distinct(id) by moment = shown, slice
| sort by slice asc, moment asc
"""

_ROLLING = """
let rows = source | extend moment = bin(moment, window);
let shown = rows | summarize by moment, slice;
rows
| mv-expand moment = range(moment, moment + window * (count - 1), window) to typeof(datetime)
| join kind=inner (shown) on moment, slice
| summarize found = todouble(percentile(value, percent)) by moment, slice
| sort by slice asc, moment asc
"""


# a value is active in a period where it is there, and in enough periods that are less than `lookback` before it or the same
_ACTIVE = """
let periods = source
| where moment > start - lookback - period and moment <= end
| summarize by id, slice, period_ = bin_at(moment, period, start);
periods
| where period_ >= start
| join kind=inner (periods | project id, slice, before = period_) on id, slice
| where before <= period_ and before > period_ - lookback
| summarize seen = count() by id, slice, period_
| where seen >= least
| summarize dcount = count_distinct(id) by moment = bin_at(period_, window, start), slice
| sort by slice asc, moment asc
"""


@plugin("active_users_count")
def _active_users_count(use: Plugin) -> bound.Relation:
    kinds: dict[str, KqlType] = {"start": "datetime", "end": "datetime", "lookback": "timespan", "period": "timespan", "least": "long"}
    values = _values(use, 2, {**kinds, "window": "timespan"})
    return _said(use, _ACTIVE, _sourced(use, 8), values, ("dcount",))


@plugin("activity_counts_metrics")
def _activity_counts_metrics(use: Plugin) -> bound.Relation:
    values = _values(use, 2, {"start": "datetime", "end": "datetime", "window": "timespan"})
    return _said(use, _COUNTS, _sourced(use, 5), values, ("count", "dcount", "new_dcount", "aggregated_dcount"))


@plugin("activity_metrics")
def _activity_metrics(use: Plugin) -> bound.Relation:
    values = _values(use, 2, {"start": "datetime", "end": "datetime", "window": "timespan"})
    shown = ("dcount_values", "dcount_newvalues", "retention_rate", "churn_rate")
    return _said(use, _METRICS, _sourced(use, 5), values, shown)


@plugin("sliding_window_counts")
def _sliding_window_counts(use: Plugin) -> bound.Relation:
    values = _values(use, 2, {"start": "datetime", "end": "datetime", "lookback": "timespan", "window": "timespan"})
    return _said(use, _SLIDING, _sourced(use, 6), values, ("Count", "Dcount"))


@plugin("rolling_percentile")
def _rolling_percentile(use: Plugin) -> bound.Relation:
    if len(use.node.arguments) < 5:
        raise use.error("expected a column, a percentage, a column of times, the size of bins and their number")
    value, percent, moment, window, count, *slices = use.node.arguments
    column = use.column(value)
    values = {
        "percent": bound.Constant("real", use.constant(percent, "real")),
        "window": bound.Constant("timespan", use.constant(window, "timespan")),
        "count": bound.Constant("long", use.constant(count, "long")),
    }
    source = _source(use, {"value": column, "moment": _time(use, moment)}, slices)
    name = f"rolling_{values['count'].value}_percentile_{column.name}_{values['percent'].value:g}"
    return _said(use, _ROLLING, (source, _time(use, moment), slices), values, ("found",), {"found": name.replace(".", "_")})


_Sourced = tuple[bound.Relation, bound.Column, Sequence[nodes.Expression]]


def _sourced(use: Plugin, count: int) -> _Sourced:
    """The rows as the KQL reads them, the column of times, and the dimensions, which begin after so many arguments."""
    moment = _time(use, use.node.arguments[1])
    slices = use.node.arguments[count:]
    return _source(use, {"id": use.column(use.node.arguments[0]), "moment": moment}, slices), moment, slices


def _time(use: Plugin, node: nodes.Expression) -> bound.Column:
    column = use.column(node)
    if column.type != "datetime":
        raise use.error(f"expected a column of datetimes, {column.name} is {column.type}", node)
    return column


def _source(use: Plugin, columns: Mapping[str, bound.Column], slices: Sequence[nodes.Expression]) -> bound.Relation:
    """`slice` tells the values of all dimensions apart; they themselves are `slice0`, `slice1`, ..."""
    parts: list[bound.Expr] = []
    outputs: list[tuple[str, bound.Expr]] = [(name, bound.ColumnRef(column.type, column)) for name, column in columns.items()]
    for place, each in enumerate(slices):
        column = use.column(each)
        value = bound.ColumnRef(column.type, column)
        outputs.append((f"slice{place}", value))
        parts.append(calls.convert(value, "string"))
    slice_ = calls.convert(calls.call("pack_array", parts, 0, 0), "string") if parts else bound.Constant("string", "")
    return use.binder.compute(use.source, [*outputs, ("slice", slice_)])


def _values(use: Plugin, first: int, kinds: Mapping[str, KqlType]) -> dict[str, bound.Constant | bound.Expr]:
    """The arguments from the one of this place, by their names in the KQL."""
    if len(use.node.arguments) < first + len(kinds):
        raise use.error(f"expected {first + len(kinds)} arguments at least, got {len(use.node.arguments)}")
    found: dict[str, bound.Constant | bound.Expr] = {}
    for (name, kind), argument in zip(kinds.items(), use.node.arguments[first:], strict=False):
        value = use.expressions.bind(argument)
        if value.type != kind:
            raise use.error(f"expected {kind} for the {name}, got {value.type}", argument)
        if name in ("window", "lookback", "period", "least") and not (
            isinstance(value, bound.Constant) and value.value and value.value > 0
        ):
            raise use.error(f"expected a constant above 0 for the {name}", argument)
        found[name] = value
    return found


def _said(
    use: Plugin,
    text: str,
    sourced: _Sourced,
    values: Mapping[str, bound.Expr],
    shown: Sequence[str],
    names: Mapping[str, str] | None = None,
) -> bound.Relation:
    """What a plugin answers: the time, the dimensions and what is counted."""
    from forebay.telemetry.kql.syntax.parser import parse

    source, moment, slices = sourced
    environment = Environment()
    environment.set("source", use.binder.share(use.node.plugin, source, is_materialized=True))
    for name, value in values.items():
        environment.set(name, ScalarBinding(value))
    picked = ", ".join(f"slice{place} = take_any(slice{place})" for place in range(len(slices)))
    if picked:
        text += f"\n| join kind=leftouter (source | summarize {picked} by slice) on slice | sort by slice asc, moment asc"
    *lets, query = parse(text).statements
    try:
        for each in lets:
            assert isinstance(each, nodes.Let), "all but the last name something"
            use.binder.define(each, environment)
        assert isinstance(query, nodes.QueryStatement), "the last is what is asked"
        found = use.binder.relation(query.expression, environment)
    except KqlError as wrong:
        raise use.error(str(wrong)) from None
    by_name = {column.name: column for column in found.columns}
    outputs = [(moment.name, "moment"), *((use.column(each).name, f"slice{place}") for place, each in enumerate(slices))]
    outputs += [((names or {}).get(name, name), name) for name in shown]
    return use.binder.compute(found, [(name, bound.ColumnRef(by_name[of].type, by_name[of])) for name, of in outputs])
